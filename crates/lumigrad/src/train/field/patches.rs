//! Patches of pixels seen from places between the cameras (RegNeRF, Niemeyer et al. 2022).

use super::super::dataset::Dataset;
use crate::Result;
use crate::volume::{Domain, Rays};
use glam::DVec3;
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_scene::camera::View;

/// Pixels along a patch's side.
const SIDE: usize = 8;
/// Patches of a step.
pub const PATCHES: usize = 16;
/// How much more the weight is at the start, and the steps over which it falls.
const FIRST: f64 = 4000.0;
const STEPS: f64 = 512.0;

/// Factor of the weight in a step.
pub fn factor(step: u64) -> f64 {
    FIRST.powf((1.0 - step as f64 / STEPS).max(0.0))
}

/// Rays of patches, patch after patch and row after row.
pub fn draw(dataset: &Dataset, domain: &Domain, seed: u64, device: &Device) -> Result<Rays> {
    let shots = &dataset.train;
    let pick = |k: u64| &shots[(random::hash(seed, k) % shots.len() as u64) as usize].view;
    let mut views = vec![];
    for patch in 0..PATCHES as u64 {
        let (a, b) = (pick(8 * patch), pick(8 * patch + 1));
        let t = random::uniform(seed, 8 * patch + 2);
        let eye = DVec3::from(a.centre()).lerp(DVec3::from(b.centre()), t);
        let up = -DVec3::new(a.viewmat[1][0], a.viewmat[1][1], a.viewmat[1][2]);
        let size = (a.width, a.height);
        // What cannot be looked at from there is looked at as the camera does.
        let looking = View::look_at("patch", eye.into(), domain.centre, up.into(), 1.0, size);
        let view = looking.map_or_else(|_| a.clone(), |v| View { intrinsics: a.intrinsics, ..v });
        let corner = [(2, view.width), (3, view.height)].map(|(k, n)| {
            let room = n.saturating_sub(SIDE) as f64;
            (random::uniform(seed, 8 * patch + 1 + k) * room).floor() + 0.5
        });
        views.push((view, corner));
    }
    let places: Vec<(&View, [f64; 2])> = views
        .iter()
        .flat_map(|(view, [x, y])| {
            (0..SIDE * SIDE).map(move |k| (view, [x + (k % SIDE) as f64, y + (k / SIDE) as f64]))
        })
        .collect();
    Ok(Rays::new(domain, &places, device)?)
}

/// Mean squared difference of neighbours' depths, [patches · side², 1].
pub fn roughness(depths: &Var) -> Result<Var> {
    let patches = depths.len() / (SIDE * SIDE);
    let grid = depths.reshape(&[patches, SIDE, SIDE])?;
    let along = |axis: usize| -> Result<Var> {
        let (a, b) = (grid.slice(axis, 1, SIDE)?, grid.slice(axis, 0, SIDE - 1)?);
        Ok(a.sub(&b)?.square()?.mean()?)
    };
    Ok(along(1)?.add(&along(2)?)?)
}

/// Half shifts: patches are compared, so that all their samples lie at the same distances.
pub fn shifts(rays: &Rays, device: &Device) -> Result<Tensor> {
    Ok(Tensor::full(device, lumigrad_core::DType::F32, &[rays.len()], 0.5)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_planes_across_the_axis_are_smooth() {
        let depths = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
            let all: Vec<f32> =
                (0..2 * SIDE * SIDE).map(|k| f((k % SIDE) as f64, (k / SIDE % SIDE) as f64) as f32).collect();
            let tensor = Tensor::from_slice(&Device::cpu(), &all, &[all.len(), 1]).unwrap();
            roughness(&tensor.into()).unwrap().tensor().item().unwrap()
        };
        assert_eq!(depths(&|_, _| 3.0), 0.0);
        // A tilted plane gives its slopes squared.
        assert!((depths(&|x, y| 1.0 + 0.25 * x - 0.5 * y) - (0.0625 + 0.25)).abs() < 1e-6);
        assert_eq!((factor(0), factor(512), factor(9999)), (4000.0, 1.0, 1.0));
    }
}
