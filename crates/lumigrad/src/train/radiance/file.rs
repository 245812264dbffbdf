//! Radiance media in files, and pictures of them.

use super::super::voxels::{Grids, Leaves};
use super::Medium;
use super::scene::Scene;
use crate::fields::render::{own_flags, save, unused};
use crate::fit::frames::picture;
use crate::run::job::commands::RenderJob;
use crate::run::{self, Summary, require_memory};
use crate::volume::{Domain, Frustum, Mapping, March, Occupancy};
use crate::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use glam::DVec3;
use lumigrad_core::{Device, Tensor};
use lumigrad_field::{Description, Model, Radiance};
use lumigrad_scene::camera::{Framing, View, orbit};
use lumigrad_scene::picture::{Precision, save_exr};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

/// The fact that holds all others.
const PLACE: &str = "place";
/// Bytes that are held per pixel.
const PIXEL_BYTES: u64 = 64;
/// Of a forward-facing scene, the circle that views stand on, in parts of the rig's radius, and the part of what it sees that is
/// shown.
const CIRCLE: f64 = 0.5;
const SHOWN: f64 = 0.8;
/// Auxiliary pictures.
const AOVS: [&str; 2] = ["depth", "mask"];

/// Where a field lies, and how it is sampled.
#[derive(Serialize, Deserialize)]
struct Place {
    centre: [f64; 3],
    half: [f64; 3],
    unbounded: bool,
    /// Of forward-facing scenes, whose box is one of its device coordinates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frustum: Option<Frustum>,
    step: f64,
    ratio: f64,
    range: [f64; 2],
    most: usize,
    background: [f32; 3],
    /// Cells along a side of the occupancy grid, and its bits in base64.
    resolution: usize,
    occupancy: String,
}

/// A medium that files keep.
pub trait Kept: Medium + Description + Clone + 'static {}
impl<M: Medium + Description + Clone + 'static> Kept for M {}

/// The file of a medium in space.
pub fn to_bytes<M: Kept>(medium: &M, scene: &Scene, values: &[Tensor]) -> Result<Vec<u8>> {
    let (domain, march) = (scene.domain, scene.march);
    let place = Place {
        centre: domain.centre,
        half: domain.half,
        unbounded: domain.is_contracted(),
        frustum: if let Mapping::Forward(frustum) = domain.mapping { Some(frustum) } else { None },
        step: march.step,
        ratio: march.ratio,
        range: march.range,
        most: march.most,
        background: scene.background,
        resolution: scene.grid.resolution(),
        occupancy: BASE64.encode(scene.grid.to_bits()?),
    };
    let text = serde_json::to_string(&place).map_err(|e| Error::job(e.to_string()))?;
    let facts = BTreeMap::from([("kind".to_owned(), "radiance".to_owned()), (PLACE.to_owned(), text)]);
    Ok(Model { field: medium.clone(), values: values.to_vec(), facts }.to_bytes()?)
}

/// A medium of one kind, as a file holds it.
pub(crate) struct Opened<M> {
    pub(crate) medium: M,
    pub(crate) values: Vec<Tensor>,
    pub(crate) domain: Domain,
    pub(crate) march: March,
    pub(crate) grid: Occupancy,
    pub(crate) background: [f32; 3],
}

impl<M: Kept> Opened<M> {
    /// Reads a file's bytes; `None` where it is of another kind.
    ///
    /// # Errors
    /// What it says of itself is wrong.
    pub(crate) fn read(path: &Path, bytes: &[u8], device: &Device) -> Option<Result<Self>> {
        Model::<M>::is_in(bytes).then(|| Self::whole(path, bytes, device))
    }

    fn whole(path: &Path, bytes: &[u8], device: &Device) -> Result<Self> {
        let help = "write the file anew by lumigrad train";
        let wrong = |message: String| Error::file(path.display(), message, help);
        let Model { field, values, facts } = Model::<M>::from_bytes(bytes, device).map_err(|e| wrong(e.to_string()))?;
        let text = facts.get(PLACE).ok_or_else(|| wrong(format!("it lacks {PLACE:?}")))?;
        let place: Place = serde_json::from_str(text).map_err(|e| wrong(format!("{PLACE}: {e}")))?;
        let numbers = [place.step, place.ratio, place.range[0], place.range[1]];
        if !numbers.iter().all(|x| x.is_finite() && *x >= 0.0) || !(place.step > 1e-5) || place.most > 1 << 16 {
            return Err(wrong(format!("{PLACE}: steps of {numbers:?}, {} of a ray", place.most)));
        }
        let mapping = match place.frustum {
            Some(_) if place.unbounded => return Err(wrong(format!("{PLACE}: both unbounded and forward-facing"))),
            Some(frustum) => Mapping::Forward(frustum),
            None if place.unbounded => Mapping::Contracted,
            None => Mapping::Bounded,
        };
        let domain = Domain::new(place.centre, place.half, mapping).map_err(|e| wrong(e.to_string()))?;
        let bits = BASE64.decode(&place.occupancy).map_err(|e| wrong(format!("occupancy: {e}")))?;
        let grid = Occupancy::from_bits(place.resolution, &bits, device)?;
        let grid = grid.ok_or_else(|| wrong(format!("occupancy: {} bytes of bits", bits.len())))?;
        let Place { step, ratio, range, most, unbounded, background, .. } = place;
        let march = March { step, ratio, range, most, total: usize::MAX, unbounded };
        Ok(Self { medium: field, values, domain, march, grid, background })
    }
}

/// A trained medium.
pub(crate) struct Trained {
    pub(super) name: String,
    pub(super) medium: Box<dyn Medium>,
    pub(super) values: Vec<Tensor>,
    pub(super) domain: Domain,
    pub(super) march: March,
    pub(super) grid: Occupancy,
    pub(super) background: [f32; 3],
    pub(super) device: Device,
}

impl Trained {
    /// Reads a file's bytes; `None` where it is of another kind.
    ///
    /// # Errors
    /// What it says of itself is wrong.
    pub(crate) fn read(path: &Path, bytes: &[u8], device: &Device) -> Result<Option<Self>> {
        let found = [Self::of::<Radiance>, Self::of::<Grids>, Self::of::<Leaves>]
            .iter()
            .find_map(|read| read(path, bytes, device));
        found.transpose()
    }

    /// A medium of one kind; `None` where the file is of another.
    fn of<M: Kept>(path: &Path, bytes: &[u8], device: &Device) -> Option<Result<Self>> {
        let name = path.display().to_string();
        let whole = |o: Opened<M>| {
            let Opened { medium, values, domain, march, grid, background } = o;
            Self { name, medium: Box::new(medium), values, domain, march, grid, background, device: device.clone() }
        };
        Opened::<M>::read(path, bytes, device).map(|read| read.map(whole))
    }

    /// The medium where it lies.
    pub(super) fn scene(&self) -> Scene<'_> {
        let (domain, march, grid) = (&self.domain, &self.march, &self.grid);
        Scene { medium: &*self.medium, domain, march, grid, background: self.background }
    }

    /// Views from all around, or of a forward-facing scene from a small circle within the rig of its cameras.
    fn around(&self, n: usize, size: (usize, usize)) -> Result<Vec<View>> {
        let Mapping::Forward(frustum) = self.domain.mapping else {
            let framing = Framing::of_sphere(self.domain.centre, self.domain.unit(), size);
            return Ok(orbit(n, &framing, run::ELEVATION));
        };
        let [right, down, _] = frustum.axes.map(DVec3::from);
        let (middle, yfov) = (self.domain.middle(), 2.0 * (SHOWN * self.domain.half[1]).atan());
        let view = |k: usize| {
            let (sin, cos) = (TAU * k as f64 / n as f64).sin_cos();
            let eye = DVec3::from(frustum.origin) + CIRCLE * frustum.scale * (sin * right - cos * down);
            Ok(View::look_at(&format!("orbit_{k:03}"), eye.into(), middle, (-down).into(), yfov, size)?)
        };
        (0..n).map(view).collect()
    }

    /// Renders pictures into the job's folder, over the background that it was trained with, and gives what was written.
    ///
    /// # Errors
    /// Settings that do not suit a radiance field; a file that cannot be written.
    pub(crate) fn render(&self, job: &RenderJob, summary: &mut Summary) -> Result<Vec<PathBuf>> {
        let light = vec![("--environment", job.environment.is_some())];
        let [surface, moving] = own_flags(job);
        unused("a radiance field", &[light, surface, moving].concat())?;
        if let Some(other) = job.aov.iter().find(|a| !AOVS.contains(&a.as_str())) {
            return Err(Error::usage("--aov", format!("radiance fields have no {other}"), AOVS.join(", ")));
        }
        let size = job.size.unwrap_or(run::SIZE);
        let views = run::choose(vec![], job.camera.as_deref(), size, &|n| self.around(n, (size.width, size.height)))?;
        let pixels = views.iter().map(|v| v.width as u64 * v.height as u64).max().unwrap_or(0);
        require_memory(pixels.saturating_mul(PIXEL_BYTES), "--size", "render smaller pictures")?;
        run::make_folder(&job.out)?;
        let scene = self.scene();
        let mut written = vec![];
        for view in &views {
            let (name, seen) = (run::file_name(&view.name), scene.picture(&self.values, view, &self.device)?);
            let (width, height) = (view.width, view.height);
            written.push(save(picture(width, height, seen.colour.as_flattened().to_vec()), &name, job)?);
            for aov in &job.aov {
                // Where nothing is seen nothing has a depth.
                let depth = |(d, a): (&f32, &f32)| if *a > 1e-3 { d / a } else { 0.0 };
                let (names, data): (&[&str], Vec<f32>) = match aov.as_str() {
                    "depth" => (&["Z"], seen.depth.iter().zip(&seen.alpha).map(depth).collect()),
                    _ => (&["Y"], seen.alpha.clone()),
                };
                let path = job.out.join(format!("{name}_{aov}.exr"));
                save_exr(&path, (width, height), names, &data, Precision::Float)?;
                written.push(path);
            }
        }
        summary.metric("n_views", views.len() as f64);
        Ok(written)
    }
}
