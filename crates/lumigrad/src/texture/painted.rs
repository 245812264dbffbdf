//! Which texel each pixel of some views shows.

use crate::{Error, Result};
use glam::{DVec2, DVec3};
use lumigrad_core::{DType, Device};
use lumigrad_guidance::Canvas;
use lumigrad_raster::Camera;
use lumigrad_raster::modular::{interpolate, rasterize};
use lumigrad_raster::render::Geometry;
use lumigrad_scene::Scene;
use lumigrad_scene::camera::View;

/// Pixels along the side of a texel where the job does not say. Larger than a pixel, so that views share texels.
const PIXELS: f64 = 1.2;
/// Bounds of the side of textures that are chosen.
const SIDES: [f64; 2] = [16.0, 4096.0];

/// Texels of all materials, and the pixels that show them.
#[derive(Clone)]
pub struct Painted {
    /// Materials that get textures, all of one size, texels one after another; a panorama is one texture of no material.
    pub materials: Vec<Option<usize>>,
    /// Columns and rows of a texture.
    pub size: [usize; 2],
    /// For each pixel of all views the texel that it shows.
    pub texels: Vec<Option<u32>>,
    /// How straight each pixel sees its surface, to the job's power.
    pub weights: Vec<f32>,
}

/// What a pixel sees.
struct Hit {
    uv: DVec2,
    /// Of the texture, in parts of it, per pixel.
    area: f64,
    cosine: f64,
    /// Number among the painted materials.
    slot: u32,
}

impl Painted {
    /// Looks at the scene from all views, with textures of a side, or of as many texels as pixels can tell; pixels weigh as
    /// the angle's cosine to a power.
    ///
    /// # Errors
    /// Views that see nothing; memory.
    pub fn new((side, power): (Option<usize>, f64), scene: &Scene, views: &[View], device: &Device) -> Result<Self> {
        let geometry = Geometry::new(scene, device, DType::F32)?;
        let mut materials: Vec<usize> = geometry.draws.iter().filter_map(|d| d.instance.material).collect();
        materials.sort_unstable();
        materials.dedup();
        // The painted material of each triangle.
        let mut slots = vec![None; geometry.host_triangles.len()];
        for draw in &geometry.draws {
            let slot = draw.instance.material.and_then(|m| materials.binary_search(&m).ok());
            slots[draw.triangles.clone()].fill(slot.map(|s| s as u32));
        }
        let mut hits: Vec<Option<Hit>> = vec![];
        for view in views {
            hits.extend(seen(scene, &geometry, (&materials, &slots), view, device)?);
        }
        let side = side.map_or_else(|| chosen_side(&hits), Ok)?;
        super::thing::require_texels(
            (side as u64).saturating_pow(2).saturating_mul(materials.len() as u64),
            "--texture-size",
        )?;
        let texel = |h: &Hit| {
            let along = |x: f64| (((x - x.floor()) * side as f64) as usize).min(side - 1);
            h.slot * (side * side) as u32 + (along(h.uv.y) * side + along(h.uv.x)) as u32
        };
        Ok(Self {
            texels: hits.iter().map(|h| h.as_ref().map(texel)).collect(),
            weights: hits.iter().map(|h| h.as_ref().map_or(0.0, |h| h.cosine.powf(power) as f32)).collect(),
            materials: materials.into_iter().map(Some).collect(),
            size: [side; 2],
        })
    }

    /// Texels of a texture.
    pub fn texels_each(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Texels and weights of view k of n.
    pub fn of_view(&self, k: usize, n: usize) -> (&[Option<u32>], &[f32]) {
        let each = self.texels.len() / n.max(1);
        (&self.texels[k * each..(k + 1) * each], &self.weights[k * each..(k + 1) * each])
    }

    /// The same seen by some of n views.
    pub fn select(&self, chosen: &[usize], n: usize) -> Self {
        let parts: Vec<_> = chosen.iter().map(|&k| self.of_view(k, n)).collect();
        let texels = parts.iter().flat_map(|p| p.0.iter().copied()).collect();
        let weights = parts.iter().flat_map(|p| p.1.iter().copied()).collect();
        Self { texels, weights, materials: self.materials.clone(), size: self.size }
    }

    /// The canvas of these texels.
    ///
    /// # Errors
    /// No pixel sees the scene; memory.
    pub fn canvas(&self, device: &Device) -> Result<Canvas> {
        Ok(Canvas::new(&self.texels, &self.weights, device)?)
    }
}

/// What the pixels of a view see.
fn seen(
    scene: &Scene,
    geometry: &Geometry,
    (materials, slots): (&[usize], &[Option<u32>]),
    view: &View,
    device: &Device,
) -> Result<Vec<Option<Hit>>> {
    let vertices = &geometry.constant;
    let clip = Camera::new(view, device, DType::F32)?.project(&vertices.positions)?;
    let layer = rasterize(clip.tensor(), &geometry.triangles, &geometry.flags, view.width, view.height, None)?;
    let at = interpolate(&vertices.texcoords, &clip, &geometry.triangles, &layer)?;
    let triangles = layer.triangles.to_vec::<u32>()?;
    let [uv, dx, dy] = [at.values, at.dx, at.dy].map(|v| v.tensor().to_vec::<f32>());
    let (uv, dx, dy) = (uv?, dx?, dy?);
    let eye = |pixel: usize| {
        let place = [(pixel % view.width) as f64 + 0.5, (pixel / view.width) as f64 + 0.5];
        view.ray(place).map_or(DVec3::ZERO, |[_, along]| DVec3::from(along).normalize_or_zero())
    };
    let hit = |(pixel, number): (usize, &u32)| {
        let triangle = (*number as usize).checked_sub(1)?;
        let slot = slots[triangle]?;
        let material = &scene.materials()[materials[slot as usize]];
        let texture = material.base_color_texture.as_ref();
        let first = 4 * pixel + 2 * texture.map_or(0, |t| t.texcoord.min(1));
        let matrix = texture.and_then(|t| t.transform.as_ref()).map(|t| t.matrix().map(|r| r.map(f64::from)));
        let row = |values: &[f32], w: f64| {
            let p = [values[first] as f64, values[first + 1] as f64, w];
            let turned = |m: [[f64; 3]; 2]| m.map(|r| (0..3).map(|k| r[k] * p[k]).sum::<f64>());
            DVec2::from(matrix.map_or([p[0], p[1]], turned))
        };
        let corners =
            geometry.host_triangles[triangle].map(|v| DVec3::from(geometry.host_positions[v as usize].map(f64::from)));
        let normal = (corners[1] - corners[0]).cross(corners[2] - corners[0]).normalize_or_zero();
        let uv = row(&uv, 1.0);
        uv.is_finite().then(|| Hit {
            uv,
            area: row(&dx, 0.0).perp_dot(row(&dy, 0.0)).abs(),
            cosine: normal.dot(eye(pixel)).abs(),
            slot,
        })
    };
    Ok(triangles.iter().enumerate().map(hit).collect())
}

/// The side of textures whose texels are [`PIXELS`] wide in the middle of the pixels.
fn chosen_side(hits: &[Option<Hit>]) -> Result<usize> {
    let mut areas: Vec<f64> = hits.iter().flatten().map(|h| h.area).filter(|a| *a > 0.0).collect();
    if areas.is_empty() {
        return Err(Error::job("no view sees a surface with texture coordinates that can be painted"));
    }
    let middle = areas.len() / 2;
    let (_, median, _) = areas.select_nth_unstable_by(middle, f64::total_cmp);
    Ok((1.0 / (PIXELS * median.sqrt())).clamp(SIDES[0], SIDES[1]).round() as usize)
}
