//! Meshes of fields.

use crate::Result;
use lumigrad_geometry::{Border, SampleGrid, marching_cubes};

/// Cells of the coarse grid along one side of a block.
const BLOCK: usize = 8;

/// Samples of a field over a grid, where a surface may be near: exact there, elsewhere of the right side only.
///
/// The field is sampled at the corners of blocks of 8³ cells first. A block is sampled in full where its corners differ in
/// sign, or where one of them is nearer to the surface than `reach` times the block's diagonal; for distances half a diagonal
/// (reach 0.5) suffices, for fields that are no distances choose more, or infinity for all.
///
/// # Errors
/// Those of the field.
pub fn sample_near(grid: &SampleGrid, reach: f64, field: &dyn Fn(&[f32]) -> Result<Vec<f32>>) -> Result<Vec<f32>> {
    let [nx, ny, nz] = grid.size;
    let blocks = grid.size.map(|n| n.saturating_sub(1).div_ceil(BLOCK).max(1));
    let at = |b: usize, n: usize| (b * BLOCK).min(n - 1);
    let place = |i: usize, j: usize, k: usize| i + nx * (j + ny * k);
    let point = |i: usize, j: usize, k: usize| grid.point(place(i, j, k)).map(|x| x as f32);
    // Corners of blocks.
    let [cx, cy, cz] = blocks.map(|b| b + 1);
    let corners: Vec<[usize; 3]> =
        (0..cx * cy * cz).map(|c| [at(c % cx, nx), at(c / cx % cy, ny), at(c / cx / cy, nz)]).collect();
    let coarse = field(&corners.iter().flat_map(|&[i, j, k]| point(i, j, k)).collect::<Vec<f32>>())?;
    let diagonal = grid.spacing.map(|s| (s * BLOCK as f64).powi(2)).iter().sum::<f64>().sqrt();
    let mut samples = vec![0.0; grid.n_samples()];
    let mut wanted = vec![];
    for b in 0..blocks.iter().product::<usize>() {
        let [bx, by, bz] = [b % blocks[0], b / blocks[0] % blocks[1], b / blocks[0] / blocks[1]];
        let of = |c: usize| coarse[(bx + (c & 1)) + cx * ((by + (c >> 1 & 1)) + cy * (bz + (c >> 2)))];
        let values: [f32; 8] = std::array::from_fn(of);
        let near = values.iter().any(|v| !(v.abs() as f64 > reach * diagonal));
        let crossed = values.iter().any(|v| (*v < 0.0) != (values[0] < 0.0));
        for k in at(bz, nz)..=at(bz + 1, nz) {
            for j in at(by, ny)..=at(by + 1, ny) {
                for i in at(bx, nx)..=at(bx + 1, nx) {
                    match near || crossed {
                        true => wanted.push(place(i, j, k)),
                        // Faces that a sampled neighbour shares are overwritten below.
                        false => samples[place(i, j, k)] = values[0],
                    }
                }
            }
        }
    }
    wanted.sort_unstable();
    wanted.dedup();
    for part in wanted.chunks(1 << 18) {
        let points: Vec<f32> = part.iter().flat_map(|&s| grid.point(s).map(|x| x as f32)).collect();
        part.iter().zip(field(&points)?).for_each(|(&s, value)| samples[s] = value);
    }
    Ok(samples)
}

/// The zero set of a field over a box, closed at its faces.
///
/// # Errors
/// Those of the field and of the grid.
#[allow(clippy::type_complexity)]
pub fn surface(
    (lo, hi): ([f64; 3], [f64; 3]),
    resolution: usize,
    reach: f64,
    field: &dyn Fn(&[f32]) -> Result<Vec<f32>>,
) -> Result<(Vec<[f32; 3]>, Vec<[u32; 3]>)> {
    let longest = (0..3).map(|c| hi[c] - lo[c]).fold(0.0, f64::max);
    let size = std::array::from_fn(|c| ((hi[c] - lo[c]) / longest * resolution as f64).ceil().max(1.0) as usize + 1);
    let grid = SampleGrid::over(lo, hi, size);
    let samples = sample_near(&grid, reach, field)?;
    Ok(marching_cubes(&samples, &grid, 0.0, Border::Closed)?)
}
