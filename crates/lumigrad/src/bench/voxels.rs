//! Cases of the group `voxels`.

use super::timing::{record, time};
use crate::Result;
use crate::core::Device;
use crate::geometry::{Border, SampleGrid, marching_cubes};
use crate::run::Summary;

/// Samples along each side of the grid.
const SIDE: usize = 256;

/// `marching_cubes_256_s`: a surface of half a million triangles, of which every part of the grid has some, from 256³ samples.
pub fn surfaces(device: &Device, summary: &mut Summary) -> Result<()> {
    let grid = SampleGrid::over([-1.0; 3], [1.0; 3], [SIDE; 3]);
    // A gyroid, four periods of it along each axis.
    let wave = |i: usize| (4.0 * std::f32::consts::TAU * i as f32 / SIDE as f32).sin_cos();
    let waves: Vec<(f32, f32)> = (0..SIDE).map(wave).collect();
    let sample = |k: usize| {
        let [(sx, cx), (sy, cy), (sz, cz)] = [k % SIDE, k / SIDE % SIDE, k / SIDE / SIDE].map(|i| waves[i]);
        sx * cy + sy * cz + sz * cx
    };
    let samples: Vec<f32> = (0..grid.n_samples()).map(sample).collect();
    let timing = time(device, || Ok(marching_cubes(&samples, &grid, 0.0, Border::Closed).map(drop)?))?;
    record(summary, "marching_cubes_256_s", timing.median, &timing);
    Ok(())
}
