//! Surfaces of sources, by every method.

use super::extract;
use super::place::Place;
use super::source::{Depths, Source};
use crate::run::{Array, Checkpoint};
use crate::{Error, Result};
use glam::DVec3;
use lumigrad_geometry::{Border, DepthView, Method, SampleGrid, Subset, Tsdf, Unseen};
use lumigrad_scene::camera::{Framing, View, sphere_views};

/// Every way to take a surface out of a field: those of samples, and fusion of depth maps.
pub const METHODS: &[&str] = &["mc", "mt", "dc", "flexicubes", "tsdf"];
/// Views of a fusion.
const VIEWS: usize = 48;
/// Rows and columns of a view over the cells of the grid along its longest side, at least so many.
const PIXELS: (f64, usize) = (1.5, 64);
/// Distances that count in a fusion, in spacings.
const TRUNCATION: f64 = 3.0;

/// A surface in a source's domain.
#[derive(Clone)]
pub struct Extracted {
    pub positions: Vec<[f32; 3]>,
    pub triangles: Vec<[u32; 3]>,
    /// sRGB encoded.
    pub colours: Option<Vec<[f32; 3]>>,
}

impl Extracted {
    /// Writes it into a checkpoint, under a name.
    pub fn save(&self, name: &str, checkpoint: &mut Checkpoint) {
        let n = self.positions.len();
        let flat = |rows: &[[f32; 3]]| Array::F32(rows.as_flattened().to_vec());
        checkpoint.insert(format!("{name}.positions"), &[n, 3], flat(&self.positions));
        let triangles = Array::U32(self.triangles.as_flattened().to_vec());
        checkpoint.insert(format!("{name}.triangles"), &[self.triangles.len(), 3], triangles);
        if let Some(colours) = &self.colours {
            checkpoint.insert(format!("{name}.colours"), &[n, 3], flat(colours));
        }
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// Arrays that are missing, or of other shapes.
    pub fn restore(name: &str, checkpoint: &Checkpoint) -> Result<Self> {
        let rows = |part: &str| {
            let shape = checkpoint.tensors.get(&format!("{name}.{part}")).map(|(shape, _)| shape.clone());
            [shape.and_then(|s| s.first().copied()).unwrap_or(0), 3]
        };
        let numbers = |part: &str| -> Result<Vec<[f32; 3]>> {
            Ok(checkpoint.f32(&format!("{name}.{part}"), &rows(part))?.as_chunks::<3>().0.to_vec())
        };
        let positions = numbers("positions")?;
        let triangles = checkpoint.u32(&format!("{name}.triangles"), &rows("triangles"))?.as_chunks::<3>().0.to_vec();
        let known = checkpoint.tensors.contains_key(&format!("{name}.colours"));
        let colours = if known { Some(numbers("colours")?) } else { None };
        let within = triangles.as_flattened().iter().all(|v| (*v as usize) < positions.len());
        match within && colours.as_ref().is_none_or(|c| c.len() == positions.len()) {
            true => Ok(Self { positions, triangles, colours }),
            false => Err(Error::file("--resume", "the checkpoint's surface does not fit together", "start anew")),
        }
    }

    /// A part of it.
    pub fn kept(&self, part: Subset) -> Self {
        let (positions, colours) = (part.rows(&self.positions), self.colours.as_ref().map(|c| part.rows(c)));
        Self { positions, triangles: part.triangles, colours }
    }
}

/// Takes the surface out of a source, closed at its box, on a grid of about so many cells along the longest side.
///
/// # Errors
/// A method that there is none of; what the source cannot do.
pub fn extracted(source: &dyn Source, method: &str, resolution: usize) -> Result<Extracted> {
    let grid = extract::grid(source.half(), resolution);
    if method == "tsdf" {
        return fused(source.place(), &grid, |view| source.depths(view));
    }
    let unknown = || Error::usage("--method", format!("{method:?}"), format!("one of {METHODS:?}"));
    let method = Method::from_name(method).ok_or_else(unknown)?;
    let samples = extract::sampled(&grid, &mut |points| source.values(points))?;
    let tangents = |points: &[[f32; 3]]| source.tangents(points);
    let (positions, triangles) = lumigrad_geometry::extract(method, &samples, &grid, 0.0, Border::Closed, tangents)?;
    let colours = source.colours(&positions)?;
    Ok(Extracted { positions, triangles, colours })
}

/// The surface of depth maps from views all around a box, which is a grid around 0 of a domain that lies somewhere in the world.
///
/// # Errors
/// What `depths`, which says what views of the world see, cannot do.
pub fn fused(place: Place, grid: &SampleGrid, mut depths: impl FnMut(&View) -> Result<Depths>) -> Result<Extracted> {
    // In the world, where views are.
    let world = SampleGrid {
        origin: std::array::from_fn(|c| grid.origin[c] * place.scale + place.centre[c]),
        spacing: grid.spacing.map(|s| s * place.scale),
        ..*grid
    };
    let cells = grid.size.iter().max().map_or(0, |n| n - 1);
    let side = ((PIXELS.0 * cells as f64) as usize).max(PIXELS.1);
    // Of the sphere around the box: what no view sees is taken for solid.
    let radius = DVec3::from(grid.origin).length() * place.scale;
    let mut tsdf = Tsdf::new(world, TRUNCATION * world.spacing[0])?;
    for view in sphere_views(VIEWS, &Framing::of_sphere(place.centre, radius, (side, side))) {
        let seen = depths(&view)?;
        tsdf.add(&DepthView {
            viewmat: view.viewmat,
            intrinsics: view.intrinsics,
            width: view.width,
            height: view.height,
            depths: &seen.depths,
            colours: &seen.colours,
            weights: &[],
        })?;
    }
    let found = tsdf.surface(Unseen::Solid)?;
    let positions = found.positions.iter().map(|&p| place.inwards(p)).collect();
    Ok(Extracted { positions, triangles: found.triangles, colours: found.colours })
}
