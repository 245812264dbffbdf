//! Patches of pixels seen from places between the cameras (RegNeRF, Niemeyer et al. 2022).

use crate::Result;
use crate::volume::Rays;
use lumigrad_core::{Device, Tensor, Var};

/// Pixels along a patch's side.
pub const SIDE: usize = 8;
/// Patches of a step.
pub const PATCHES: usize = 16;
/// How much more the weight is at the start, and the steps over which it falls.
const FIRST: f64 = 4000.0;
const STEPS: f64 = 512.0;

/// Factor of the weight in a step.
pub fn factor(step: u64) -> f64 {
    FIRST.powf((1.0 - step as f64 / STEPS).max(0.0))
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
