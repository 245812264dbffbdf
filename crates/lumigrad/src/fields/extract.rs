//! Samples of fields on grids, for surfaces to be taken out of.

use crate::run::require_memory;
use crate::{Error, Result};
use glam::DVec3;
use lumigrad_geometry::SampleGrid;

/// Fine samples along a coarse cell.
const STRIDE: usize = 4;
/// Cells of the finest mesh along its longest side.
const FINEST: usize = 1024;
/// What a sample of the grid takes, its part of the mesh and of indices included.
const SAMPLE_BYTES: u64 = 8;

/// Refuses grids that are too fine, or that do not fit in memory.
///
/// # Errors
/// Those; `flag` is what asks for the grid.
pub fn check(flag: &str, half: DVec3, resolution: usize) -> Result<()> {
    if resolution > FINEST {
        let message = format!("{resolution}, expected at most {FINEST}");
        return Err(Error::usage(flag, message, "choose a coarser mesh"));
    }
    require_memory(SAMPLE_BYTES * grid(half, resolution).n_samples() as u64, flag, "choose a coarser mesh")
}

/// Values of a field at points, three numbers each.
pub type Values<'a> = &'a mut dyn FnMut(&[f32]) -> Result<Vec<f32>>;

/// A grid around a box with about `resolution` samples along its longest side.
pub fn grid(half: DVec3, resolution: usize) -> SampleGrid {
    let spacing = 2.0 * half.max_element() / resolution.max(2 * STRIDE) as f64;
    let cells = half.to_array().map(|h| (2.0 * h / spacing / STRIDE as f64).ceil().max(1.0) as usize * STRIDE);
    let size = cells.map(|n| n + 1);
    SampleGrid { size, origin: cells.map(|n| -0.5 * n as f64 * spacing), spacing: [spacing; 3] }
}

/// Samples of a field on a grid: all coarse ones, fine ones near the surface, between coarse ones linear elsewhere.
pub fn sampled(grid: &SampleGrid, values: Values) -> Result<Vec<f32>> {
    let [nx, ny, nz] = grid.size;
    let coarse = grid.size.map(|n| (n - 1) / STRIDE + 1);
    let cells = coarse.map(|n| n - 1);
    let n_cells: usize = cells.iter().product();
    let at = |i: [usize; 3]| i[0] + nx * (i[1] + ny * i[2]);
    let all =
        |n: [usize; 3]| (0..n.iter().product::<usize>()).map(move |k| [k % n[0], k / n[0] % n[1], k / n[0] / n[1]]);
    let mut samples = vec![f32::NAN; nx * ny * nz];
    let fill = |samples: &mut [f32], wanted: &[usize], values: &mut dyn FnMut(&[f32]) -> Result<Vec<f32>>| {
        let points: Vec<f32> = wanted.iter().flat_map(|&k| grid.point(k).map(|x| x as f32)).collect();
        let found = values(&points)?;
        wanted.iter().zip(found).for_each(|(&k, v)| samples[k] = v);
        Ok::<_, crate::Error>(())
    };
    let wanted: Vec<usize> = all(coarse).map(|i| at(i.map(|k| k * STRIDE))).collect();
    fill(&mut samples, &wanted, values)?;

    // Cells whose corners differ, or are closer to the surface than they are large, and their neighbours.
    let diagonal = (3f64.sqrt() * STRIDE as f64 * grid.spacing[0]) as f32;
    let corner = |i: [usize; 3], k: usize| at([0, 1, 2].map(|c| (i[c] + (k >> c & 1)) * STRIDE));
    let near = |samples: &[f32], i: [usize; 3]| {
        let corners = || (0..8).map(|k| samples[corner(i, k)]);
        let first = corners().next().is_some_and(|v| v < 0.0);
        corners().any(|v| (v < 0.0) != first || v.abs() < diagonal)
    };
    let cell = |i: [usize; 3]| i[0] + cells[0] * (i[1] + cells[1] * i[2]);
    let around = move |i: [usize; 3]| {
        let range = move |c: usize| i[c].saturating_sub(1)..(i[c] + 2).min(cells[c]);
        range(2).flat_map(move |z| range(1).flat_map(move |y| range(0).map(move |x| [x, y, z])))
    };
    let mut fine = vec![false; n_cells];
    let mut next: Vec<[usize; 3]> = all(cells).filter(|&i| near(&samples, i)).collect();
    while !next.is_empty() {
        let mut added: Vec<[usize; 3]> = next.drain(..).flat_map(around).filter(|&i| !fine[cell(i)]).collect();
        added.sort_unstable();
        added.dedup();
        let mut wanted = vec![];
        for &i in &added {
            fine[cell(i)] = true;
            let own = all([STRIDE + 1; 3]).map(|k| at([0, 1, 2].map(|c| i[c] * STRIDE + k[c])));
            wanted.extend(own.filter(|&k| samples[k].is_nan()));
        }
        wanted.sort_unstable();
        wanted.dedup();
        fill(&mut samples, &wanted, values)?;
        // Where the surface leaves what is fine, that grows.
        for &i in &added {
            let first = samples[corner(i, 0)] < 0.0;
            let crossed =
                all([STRIDE + 1; 3]).any(|k| (samples[at([0, 1, 2].map(|c| i[c] * STRIDE + k[c]))] < 0.0) != first);
            if crossed && around(i).any(|j| !fine[cell(j)]) {
                next.push(i);
            }
        }
    }
    for i in all(cells).filter(|&i| !fine[cell(i)]) {
        let corners: [f32; 8] = std::array::from_fn(|k| samples[corner(i, k)]);
        for k in all([STRIDE + 1; 3]) {
            let to = at([0, 1, 2].map(|c| i[c] * STRIDE + k[c]));
            if samples[to].is_nan() {
                let t = k.map(|k| k as f32 / STRIDE as f32);
                let weight = |corner: usize| {
                    (0..3).map(|c| if corner >> c & 1 == 1 { t[c] } else { 1.0 - t[c] }).product::<f32>()
                };
                samples[to] = (0..8).map(|c| weight(c) * corners[c]).sum();
            }
        }
    }
    Ok(samples)
}
