//! What an edit changed, and where.

use super::model::Model;
use super::region::Region;
use crate::Result;
use crate::guiding::{Guide, Judged, judge};
use crate::train::radiance::Medium;
use crate::train::voxels::Grids;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_metrics::decibels;
use lumigrad_scene::camera::View;
use lumigrad_splat::Image;

/// Part of a pixel's light that may come from the region where the pixel counts as outside.
const OUTSIDE: f32 = 0.01;
/// Part of a picture that the region is where it fills it.
const FILLED: f32 = 0.98;
/// Pictures that the prior judges at most.
const JUDGED: usize = 256;

/// A grid that shows 1 where it may change and 0 elsewhere, with its own densities.
struct Inside<'a> {
    grids: &'a Grids,
    inside: Var,
}

impl Medium for Inside<'_> {
    fn densities(&self, parameters: &[Var], points: &Var) -> Result<Var> {
        self.grids.densities(parameters, points)
    }

    fn encode_directions(&self, directions: &Var) -> Result<Var> {
        Ok(directions.clone())
    }

    fn evaluate(&self, parameters: &[Var], points: &Var, _: &Var) -> Result<(Var, Var)> {
        let inside = self.grids.sample(points, &self.inside)?.broadcast_to(&[points.shape()[0], 3])?;
        Ok((self.densities(parameters, points)?, inside))
    }

    fn least_weight(&self) -> f64 {
        self.grids.least_weight()
    }
}

/// A view of a model.
pub struct Seen {
    /// Colours, opacities and depths.
    pub image: Image,
    /// Part of each pixel's light that comes from the region.
    pub share: Vec<f32>,
}

/// Renders views of a model with these values.
pub fn see(model: &Model, values: &[Tensor], region: &Region, views: &[View], device: &Device) -> Result<Vec<Seen>> {
    let inside = Inside { grids: &model.grids, inside: touched(model, region, device)?.into() };
    let scene = model.scene(model.background);
    let shares = crate::train::radiance::Scene { medium: &inside, background: [0.0; 3], ..model.scene([0.0; 3]) };
    let one = |view: &View| {
        let share = shares.picture(values, view, device)?.colour.into_iter().map(|c| c[0]).collect();
        Ok(Seen { image: scene.picture(values, view, device)?, share })
    };
    views.iter().map(one).collect()
}

/// 1 at rows that may change and at the next ones, whose cells they reach into; 0 elsewhere, [rows, 1].
fn touched(model: &Model, region: &Region, device: &Device) -> Result<Tensor> {
    let (corners, lattice) = (model.corners(device)?, model.grids.lattice);
    let mut inside = vec![false; lattice.len()];
    corners.iter().zip(&region.rows).for_each(|(&c, r)| inside[c as usize] = *r);
    let mut stride = 1;
    for n in lattice.size {
        let before = inside.clone();
        for (k, inside) in inside.iter_mut().enumerate() {
            let i = k / stride % n;
            *inside |= i > 0 && before[k - stride] || i + 1 < n && before[k + stride];
        }
        stride *= n;
    }
    let rows: Vec<f32> = corners.iter().map(|&c| if inside[c as usize] { 1.0 } else { 0.0 }).collect();
    Ok(Tensor::from_slice(device, &rows, &[rows.len(), 1])?)
}

/// Agreement outside.
pub struct Outside {
    /// PSNR of pixels that see less than a hundredth of the region before and after; at most 120 dB.
    pub psnr: f64,
    /// Which part of all pixels these are.
    pub share: f64,
}

/// Compares what is outside of a region.
pub fn outside(before: &[Seen], after: &[Seen]) -> Outside {
    let (mut sum, mut n, mut all) = (0.0, 0usize, 0usize);
    for (a, b) in before.iter().zip(after) {
        for (k, (x, y)) in a.image.colour.iter().zip(&b.image.colour).enumerate() {
            all += 1;
            if a.share[k] < OUTSIDE && b.share[k] < OUTSIDE {
                n += 1;
                sum += (0..3).map(|c| ((x[c] - y[c]) as f64).powi(2)).sum::<f64>() / 3.0;
            }
        }
    }
    let psnr = decibels(sum / n.max(1) as f64);
    Outside { psnr, share: n as f64 / all.max(1) as f64 }
}

/// Pictures [n, h, w, 3] of the prior's size, cut out of views where the region fills them: by its share in `like`.
///
/// Where it fills none they are the ones that it fills most.
pub fn filled(seen: &[Seen], like: &[Seen], [h, w]: [usize; 2]) -> Vec<f32> {
    let mut found: Vec<(f32, usize, [usize; 2])> = vec![];
    for (k, view) in like.iter().enumerate() {
        let (width, height) = (view.image.width, view.image.height);
        let along = |n: usize, side: usize| (0..=n - side.min(n)).step_by((side / 2).max(1));
        for (y, x) in along(height, h).flat_map(|y| along(width, w).map(move |x| (y, x))) {
            let rows = (y..y + h).flat_map(|v| (x..x + w).map(move |u| v * width + u));
            let share = rows.map(|i| view.share[i]).sum::<f32>() / (h * w) as f32;
            found.push((share, k, [x, y]));
        }
    }
    let most = found.iter().map(|f| f.0).fold(0.0, f32::max).min(FILLED);
    found.retain(|f| f.0 >= most);
    let stride = found.len().div_ceil(JUDGED).max(1);
    let cut = |&(_, k, [x, y]): &(f32, usize, [usize; 2])| {
        let image = &seen[k].image;
        let pixels = (y..y + h).flat_map(move |v| (x..x + w).map(move |u| v * image.width + u));
        pixels.flat_map(|i| image.colour[i]).collect::<Vec<f32>>()
    };
    found.iter().step_by(stride).flat_map(cut).collect()
}

/// What the prior says of pictures that the region fills, seen by other cameras than those of the edit.
///
/// # Errors
/// As the prior's.
pub fn inside(guide: &Guide, seen: &[Seen], like: &[Seen], side: [usize; 2], device: &Device) -> Result<Judged> {
    let pictures = filled(seen, like, side);
    let shape = [pictures.len() / (3 * side[0] * side[1]), side[0], side[1], 3];
    let pictures = Tensor::from_slice(device, &pictures, &shape)?;
    judge(&*guide.prior, &guide.to_range(&pictures)?, &guide.wanted)
}
