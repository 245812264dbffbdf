//! What is painted, and from where it is seen.

use super::TextureJob;
use super::painted::Painted;
use super::{panorama, unwrap};
use crate::files::load_scene;
use crate::guiding::Guide;
use crate::run::job::Size;
use crate::run::{load_splats, require_memory, run_splats, sphere_of, splat_framing, turned};
use crate::{Error, Result};
use lumigrad_core::Device;
use lumigrad_guidance::Condition;
use lumigrad_scene::Scene;
use lumigrad_scene::camera::{Framing, View, orbit};
use lumigrad_splat::Gaussians;
use lumigrad_splat::formats::is_splats;
use std::f64::consts::FRAC_PI_2;

/// Elevation of the circle of views, and of the one below it in denser views, radians.
const CIRCLE: f64 = 0.26;
const LOW_CIRCLE: f64 = -0.5;
/// Views from above and below.
pub const POLES: usize = 2;
/// Texels of an atlas that is made, where the job does not say.
const ATLAS: usize = 256;
/// Bytes of a texel: its colour, which pixels see it, and what is written.
const TEXEL_BYTES: u64 = 64;
/// Bytes of a splat: its parameters, and what views remember of it.
const SPLAT_BYTES: u64 = 400;

/// What is painted.
pub enum Thing {
    /// A mesh, with the charts of its atlas where one was made.
    Mesh(Box<Scene>, Option<usize>),
    /// What is all around.
    Panorama(Size),
    /// Splats.
    Splats(Gaussians),
}

/// Refuses textures that no memory holds.
pub fn require_texels(n: u64, flag: &str) -> Result<()> {
    if n > u64::from(u32::MAX) {
        return Err(Error::usage(flag, format!("{n} texels"), "smaller textures"));
    }
    require_memory(n.saturating_mul(TEXEL_BYTES), flag, "choose a smaller one")
}

impl Thing {
    /// The job's scene or splats, or what is all around; and its name.
    ///
    /// # Errors
    /// None is given, or two; files that cannot be read; what no memory holds.
    pub fn open(job: &TextureJob) -> Result<(String, Self)> {
        if let Some(size) = job.panorama {
            if job.scene.is_some() {
                return Err(Error::usage("--panorama", "a scene was given too", "paint one or the other"));
            }
            require_texels(size.width as u64 * size.height as u64, "--panorama")?;
            return Ok(("panorama".into(), Self::Panorama(size)));
        }
        let path = job.scene.clone().ok_or_else(|| {
            let help = "give a scene: lumigrad texture model.glb --prior materials.safetensors, or --panorama 256x128";
            Error::usage("texture", "SCENE is missing", help)
        })?;
        let name = path.file_stem().map_or("scene".into(), |s| s.to_string_lossy().into_owned());
        if let Some(splats) = if is_splats(&path) { Some(path.clone()) } else { run_splats(&path) } {
            if job.texture_size.is_some() {
                return Err(Error::usage("--texture-size", "splats have no texels", "leave it out"));
            }
            let gaussians = load_splats(&splats)?;
            let bytes = (gaussians.len() as u64).saturating_mul(SPLAT_BYTES).saturating_mul(job.views as u64);
            require_memory(bytes, "--views", "take fewer views, or convert the splats with --max-splats")?;
            return Ok((name, Self::Splats(gaussians)));
        }
        let (scene, charts) = unwrap::paintable(load_scene(&path)?, job.texture_size.unwrap_or(ATLAS))?;
        Ok((name, Self::Mesh(Box::new(scene), charts)))
    }

    /// Cameras all around, and what each of them is asked for: all but two on a circle, one above and one below. In a panorama
    /// they stand in the middle. `denser` ones are twice as many on the circle and as many again below it, in a panorama twice as
    /// many along the horizon.
    ///
    /// # Errors
    /// Views that leave gaps in a panorama.
    pub fn views(&self, job: &TextureJob, size: Size, guide: &Guide, denser: bool) -> Result<Seen> {
        let around = (job.views - POLES) * if denser { 2 } else { 1 };
        let (framing, splats) = match self {
            Self::Panorama(panorama) => {
                let views = panorama::views(around + POLES, size, *panorama)?;
                return Ok(Seen { conditions: vec![guide.wanted.clone()], views });
            }
            Self::Mesh(scene, _) => (framing(scene, size)?, false),
            Self::Splats(gaussians) => (splat_framing(gaussians, size), true),
        };
        let mut views = orbit(around, &framing, CIRCLE);
        if denser {
            let low =
                orbit(around, &framing, LOW_CIRCLE).into_iter().map(|v| View { name: format!("low_{}", v.name), ..v });
            views.extend(low);
        }
        for (name, elevation) in [("above", FRAC_PI_2), ("below", -FRAC_PI_2)] {
            views.extend(orbit(1, &framing, elevation).into_iter().map(|v| View { name: name.into(), ..v }));
        }
        let conditions = guide.seen_from(&views.iter().collect::<Vec<_>>(), framing.centre);
        let views = if splats { views.into_iter().map(turned).collect() } else { views };
        Ok(Seen { conditions, views })
    }

    /// Which texels views show, of textures of a side, or of as many as pixels can tell. Texels of panoramas are as many times
    /// wider as pixels of the views are (`coarser`).
    ///
    /// # Errors
    /// Splats, which have none; views that see nothing.
    pub fn painted(
        &self,
        job: &TextureJob,
        (side, coarser): (Option<usize>, usize),
        views: &[View],
        device: &Device,
    ) -> Result<Painted> {
        match self {
            Self::Mesh(scene, _) => Painted::new((side, job.cosine_power), scene, views, device),
            Self::Panorama(size) => {
                let [width, height] = [size.width, size.height].map(|n| (n / coarser).max(1));
                Ok(panorama::painted(job.cosine_power, Size { width, height }, views))
            }
            Self::Splats(_) => {
                let help = "take --method sync, or a mesh of them: lumigrad mesh SPLATS --method tsdf -o scene.glb";
                Err(Error::usage("--method", "splats have no texels", help))
            }
        }
    }
}

/// Views, and what each is asked for: one condition for each, or one for all.
pub struct Seen {
    /// Cameras.
    pub views: Vec<View>,
    /// What they should show.
    pub conditions: Vec<Condition>,
}

fn framing(scene: &Scene, size: Size) -> Result<Framing> {
    let (centre, _) = sphere_of(scene)?;
    let mut radius = 0.0f64;
    for instance in scene.instances() {
        let far = |p: &[f32; 3]| (0..3).map(|a| (p[a] as f64 - centre[a]).powi(2)).sum::<f64>().sqrt();
        radius = scene.world_geometry(&instance)?.positions.iter().map(far).fold(radius, f64::max);
    }
    Ok(Framing::of_sphere(centre, radius, (size.width, size.height)))
}
