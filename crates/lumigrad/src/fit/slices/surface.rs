//! The parts of a field's surface that contours support.

use crate::Result;
use glam::DVec3;
use lumigrad_geometry::{Border, Bvh, SampleGrid, compact, marching_cubes, parts};

/// A part of the surface belongs to a contour within so many fine cells.
const TOUCH: f64 = 3.0;

/// A mesh in the field's coordinates.
pub struct Mesh {
    pub positions: Vec<[f32; 3]>,
    pub triangles: Vec<[u32; 3]>,
    /// Parts that no contour supports, which were left out.
    pub n_removed: usize,
}

/// The surface of samples, closed, without the parts that none of `contours` touches, unless that is all.
pub fn extract(samples: &[f32], grid: &SampleGrid, contours: &[DVec3]) -> Result<Mesh> {
    let (positions, triangles) = marching_cubes(samples, grid, 0.0, Border::Closed)?;
    let (part, n) = parts(positions.len(), &triangles)?;
    let mut touched = vec![false; n];
    if !triangles.is_empty() {
        let bvh = Bvh::new(&positions, &triangles);
        for found in contours.iter().filter_map(|&p| bvh.nearest(p)) {
            if found.distance <= TOUCH * grid.spacing[0] {
                touched[part[found.triangle as usize] as usize] = true;
            }
        }
    }
    let kept = touched.iter().filter(|&&t| t).count();
    if kept == 0 || kept == n {
        return Ok(Mesh { positions, triangles, n_removed: 0 });
    }
    let supported = triangles.iter().zip(&part).filter(|(_, part)| touched[**part as usize]);
    let (positions, triangles) = compact(&positions, supported.map(|(t, _)| *t).collect());
    Ok(Mesh { positions, triangles, n_removed: n - kept })
}
