use crate::{Bvh, Result, SurfaceSampler, check_indices};
use glam::DVec3;
use rayon::prelude::*;

/// A triangle mesh to compare.
#[derive(Clone, Copy, Debug)]
pub struct Surface<'a> {
    /// Name for messages.
    pub name: &'a str,
    /// Vertices.
    pub positions: &'a [[f32; 3]],
    /// Triangles, counter-clockwise from outside.
    pub triangles: &'a [[u32; 3]],
}

/// A point of a surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Its triangle.
    pub triangle: usize,
    /// Weights of the triangle's corners.
    pub weights: [f64; 3],
}

impl Surface<'_> {
    pub(crate) fn corners(&self, triangle: usize) -> [DVec3; 3] {
        self.triangles[triangle].map(|v| DVec3::from_array(self.positions[v as usize].map(f64::from)))
    }

    /// Where a sample is.
    pub fn place(&self, sample: Sample) -> [f64; 3] {
        let p = self.corners(sample.triangle);
        (p[0] * sample.weights[0] + p[1] * sample.weights[1] + p[2] * sample.weights[2]).to_array()
    }

    /// Points spread evenly over the area: stratified along the sum of the triangles' areas, a low-discrepancy pair (Roberts'
    /// R2) inside of each.
    ///
    /// **Determinism**: the same for the same mesh. **Errors**: a surface without area, indices out of range.
    pub fn samples(&self, count: usize) -> Result<Vec<Sample>> {
        Ok(SurfaceSampler::new(*self)?.stratified(count))
    }
}

/// Twice the area, along the normal.
pub(crate) fn cross(p: [DVec3; 3]) -> DVec3 {
    (p[1] - p[0]).cross(p[2] - p[0])
}

/// How far two surfaces are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Mean distance, mean of both directions, in % of the second surface's bounding-box diagonal.
    pub chamfer_percent: f64,
    /// Harmonic mean of the fractions of samples within 1 % of the diagonal of the other surface.
    pub f_score: f64,
    /// Mean angle between a sample's normal and that of the closest triangle, degrees, both directions.
    pub normal_angle_deg: f64,
}

/// Compares surfaces by `samples` area-weighted points each way, measured to the closest point of the other surface.
///
/// **Determinism**: the same samples for the same meshes. **Errors**: a surface without area, indices out of range.
pub fn compare(a: Surface, b: Surface, samples: usize) -> Result<Comparison> {
    let diagonal = {
        let points =
            || b.triangles.iter().flatten().map(|&v| DVec3::from_array(b.positions[v as usize].map(f64::from)));
        check_indices(b.positions.len(), b.triangles)?;
        let (lo, hi) = points().fold((DVec3::INFINITY, DVec3::NEG_INFINITY), |(l, h), p| (l.min(p), h.max(p)));
        (hi - lo).length()
    };
    let forward = one_way(a, b, samples, 0.01 * diagonal)?;
    let backward = one_way(b, a, samples, 0.01 * diagonal)?;
    let (p, r) = (forward.1, backward.1);
    Ok(Comparison {
        chamfer_percent: 50.0 * (forward.0 + backward.0) / diagonal,
        f_score: if p + r > 0.0 { 2.0 * p * r / (p + r) } else { 0.0 },
        normal_angle_deg: 0.5 * (forward.2 + backward.2),
    })
}

/// Mean distance, fraction within the threshold, mean normal angle.
fn one_way(from: Surface, to: Surface, samples: usize, threshold: f64) -> Result<(f64, f64, f64)> {
    let samples = from.samples(samples)?;
    let bvh = Bvh::new(to.positions, to.triangles);
    let normals: Vec<DVec3> = (0..to.triangles.len()).map(|k| cross(to.corners(k)).normalize_or_zero()).collect();
    let rows: Vec<(f64, f64, f64)> = samples
        .par_iter()
        .map(|&sample| {
            let (p, point) = (from.corners(sample.triangle), DVec3::from_array(from.place(sample)));
            let Some(hit) = bvh.nearest(point) else { return (f64::INFINITY, 0.0, 180.0) };
            let cosine = cross(p).normalize_or_zero().dot(normals[hit.triangle as usize]);
            let angle = cosine.clamp(-1.0, 1.0).acos().to_degrees();
            (hit.distance, (hit.distance <= threshold) as u8 as f64, angle)
        })
        .collect();
    let n = samples.len().max(1) as f64;
    Ok((
        rows.iter().map(|r| r.0).sum::<f64>() / n,
        rows.iter().map(|r| r.1).sum::<f64>() / n,
        rows.iter().map(|r| r.2).sum::<f64>() / n,
    ))
}

#[test]
fn parallel_squares_are_their_distance_apart() {
    let square = |z: f32| vec![[0.0, 0.0, z], [1.0, 0.0, z], [1.0, 1.0, z], [0.0, 1.0, z]];
    let (a, b) = (square(0.0), square(0.1));
    let triangles = [[0, 1, 2], [0, 2, 3]];
    let surface = |p| Surface { name: "square", positions: p, triangles: &triangles };
    let c = compare(surface(&a), surface(&b), 1000).unwrap();
    assert!((c.chamfer_percent - 100.0 * 0.1 / 2f64.sqrt()).abs() < 1e-4, "{c:?}");
    assert!(c.f_score < 1e-12 && c.normal_angle_deg < 1e-4);
    let same = compare(surface(&a), surface(&a), 1000).unwrap();
    assert!(same.chamfer_percent < 1e-6 && same.f_score == 1.0);
    let empty = Surface { name: "nothing", positions: &a, triangles: &[] };
    assert!(compare(surface(&a), empty, 10).is_err());
}
