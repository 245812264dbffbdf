//! What makes a grid's opacity binary: nothing or everything, so that it is a surface.
//!
//! Opacity that jumps where light enters a cell would draw cells as blocks, of grids that are not much finer than pixels.
//! Here the activation behind the interpolation is made ever steeper instead: where the interpolated number crosses a fixed
//! level, within a cell, opacity jumps from 0 to 1, and the surface that is taken out later is the one that was rendered.
//! Photographs are blurred where a pixel sees two surfaces, a binary medium is not: pixels are the mean of several rays.
//!
//! **Source**: Reiser, Garbin, Srinivasan, Verbin, Szeliski, Mildenhall, Barron, Hedman & Geiger, "Binary Opacity Grids", 2024,
//! §4; the activation deviates as said.

use super::super::radiance::Light;
use crate::Result;
use lumigrad_core::{Map, Var};

/// Name of the method.
pub const NAME: &str = "binary";
/// Rays of a pixel.
pub const RAYS: usize = 4;
/// Numbers at a corner: a colour, which is the same from all sides, as that of a mesh is.
pub const FEATURES: usize = 3;
/// Part of a run from which several rays go through each pixel and opacities are made binary, and from which they stay so.
const RAMP: [f64; 2] = [0.4, 0.95];
/// How much steeper the activation is at the end.
const SHARPEST: f64 = 256.0;
/// Weight of the entropy of a ray's samples at the end.
const ENTROPY: f64 = 3e-4;

/// How far the ramp is, from 0 to 1, at this part of a run. Too early it would freeze wrong surfaces.
fn ramp(progress: f64) -> f64 {
    ((progress - RAMP[0]) / (RAMP[1] - RAMP[0])).clamp(0.0, 1.0)
}

/// How steep the activation is: slowly at first, while it still says where a surface should go.
pub fn sharpness(progress: f64) -> f64 {
    SHARPEST.powf(ramp(progress).powi(2))
}

/// Rays of a pixel in a step.
pub fn rays(progress: f64, most: usize) -> usize {
    if progress < RAMP[0] { 1 } else { most }
}

/// Opacities between these are neither nothing nor everything.
const HALF: [f32; 2] = [0.1, 0.9];

/// Opacities of the samples that are seen, [M, 1].
fn opacities(light: &Light) -> Result<Var> {
    let map = Map::cached("voxels/binary opacity", |m| {
        let ([density], [length]) = (m.item("density"), m.item("length"));
        m.output("opacity", &[1.0 - (-(density * length)).exp()]);
    });
    let n = light.samples.len();
    let lengths = Var::from(light.samples.lengths.clone()).reshape(&[n, 1])?;
    Ok(map.apply(&[&light.densities.reshape(&[n, 1])?, &lengths])?.remove(0))
}

/// Share of the samples that are seen whose opacity is nothing or everything.
pub fn share(light: &Light) -> Result<f64> {
    let all = opacities(light)?.tensor().to_vec::<f32>()?;
    let decided = all.iter().filter(|a| !(HALF[0]..=HALF[1]).contains(*a)).count();
    Ok(decided as f64 / all.len().max(1) as f64)
}

/// The entropy −α ln α − (1 − α) ln(1 − α) of the samples that are seen, per ray, with its weight; `None` where it has none.
pub fn entropy(light: &Light, progress: f64) -> Result<Option<Var>> {
    let weight = ENTROPY * ramp(progress);
    if !(weight > 0.0) || light.samples.is_empty() {
        return Ok(None);
    }
    let map = Map::cached("voxels/binary entropy", |m| {
        let [alpha] = m.item("opacity");
        let alpha = alpha.clamp(1e-5, 1.0 - 1e-5);
        m.output("entropy", &[-(alpha * alpha.ln() + (1.0 - alpha) * (1.0 - alpha).ln())]);
    });
    let each = map.apply(&[&opacities(light)?])?.remove(0);
    Ok(Some(each.sum()?.scale(weight / light.samples.n_rays().max(1) as f64)?))
}
