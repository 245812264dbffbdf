use crate::chamfer::cross;
use crate::{Error, Result, Sample, Surface, check_indices, random};
use glam::Vec3;
use rayon::prelude::*;

/// Draws points from a surface, uniformly by area.
///
/// Holds a copy of the triangles; build it once and draw as often as wanted.
pub struct SurfaceSampler {
    corners: Vec<[Vec3; 3]>,
    /// Of vertices, corner by corner; empty: those of faces.
    normals: Vec<[Vec3; 3]>,
    /// Sums of areas up to and with each triangle.
    cumulative: Vec<f64>,
    /// Where to begin looking, for as many equal parts of the area as there are triangles.
    guide: Vec<u32>,
}

/// A point drawn from a surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfacePoint {
    /// Where it is.
    pub position: [f32; 3],
    /// Unit normal.
    pub normal: [f32; 3],
    /// Its triangle.
    pub triangle: u32,
    /// Weights of the triangle's corners.
    pub weights: [f32; 3],
}

impl SurfaceSampler {
    /// Prepares a surface, with the normals of its faces.
    ///
    /// # Errors
    /// A surface without area or with positions that are not finite, indices out of range.
    pub fn new(surface: Surface) -> Result<Self> {
        check_indices(surface.positions.len(), surface.triangles)?;
        let (mut cumulative, mut total) = (Vec::with_capacity(surface.triangles.len()), 0.0);
        for k in 0..surface.triangles.len() {
            total += cross(surface.corners(k)).length();
            cumulative.push(total);
        }
        if !(total > 0.0 && total.is_finite()) {
            return Err(Error::Empty(surface.name.into()));
        }
        let n = cumulative.len();
        let mut guide = Vec::with_capacity(n);
        let mut triangle = 0;
        for part in 0..n {
            while triangle + 1 < n && cumulative[triangle] < part as f64 / n as f64 * total {
                triangle += 1;
            }
            guide.push(triangle as u32);
        }
        let corners = surface.triangles.iter().map(|t| t.map(|v| Vec3::from_array(surface.positions[v as usize])));
        Ok(Self { corners: corners.collect(), normals: vec![], cumulative, guide })
    }

    /// Interpolates normals of the vertices (see [`vertex_normals`](crate::vertex_normals)) instead of taking those of
    /// faces.
    ///
    /// # Errors
    /// A triangle names a vertex without a normal, or their number is not that of the sampler's.
    pub fn with_normals(mut self, normals: &[[f32; 3]], triangles: &[[u32; 3]]) -> Result<Self> {
        check_indices(normals.len(), triangles)?;
        if triangles.len() != self.corners.len() {
            return Err(Error::Triangles { found: triangles.len(), expected: self.corners.len() });
        }
        self.normals = triangles.iter().map(|t| t.map(|v| Vec3::from_array(normals[v as usize]))).collect();
        Ok(self)
    }

    /// The surface's area.
    pub fn area(&self) -> f64 {
        0.5 * self.cumulative.last().copied().unwrap_or(0.0)
    }

    /// Points number `first` to `first + count` of the stream `seed`: independent and uniform by area.
    ///
    /// **Determinism**: a point depends on the surface, the seed and its number alone.
    pub fn draw(&self, seed: u64, first: u64, count: usize) -> Vec<SurfacePoint> {
        (0..count as u64).into_par_iter().map(|k| self.point(seed, first.wrapping_add(k))).collect()
    }

    fn point(&self, seed: u64, number: u64) -> SurfacePoint {
        // Between the multiples of 2⁻⁵³, so that no triangle without area is met.
        let along = random::unit(random::number(seed, number.wrapping_mul(2))) + 0.5f64.powi(54);
        let bits = random::number(seed, number.wrapping_mul(2).wrapping_add(1));
        let half = |bits: u64| (bits as u32 as f64 + 0.5) * 0.5f64.powi(32);
        let weights = fold(half(bits), half(bits >> 32)).map(|w| w as f32);
        let triangle = self.at(along);
        let c = &self.corners[triangle];
        let position = c[0] + (c[1] - c[0]) * weights[1] + (c[2] - c[0]) * weights[2];
        let face = || cross(c.map(|p| p.as_dvec3())).normalize_or_zero().as_vec3();
        let smooth = self.normals.get(triangle).and_then(|n| {
            let sum = n[0] * weights[0] + n[1] * weights[1] + n[2] * weights[2];
            sum.try_normalize()
        });
        SurfacePoint {
            position: position.to_array(),
            normal: smooth.unwrap_or_else(face).to_array(),
            triangle: triangle as u32,
            weights,
        }
    }

    /// Points spread evenly: stratified along the sum of the triangles' areas, a low-discrepancy pair (Roberts' R2) inside
    /// of each.
    pub fn stratified(&self, count: usize) -> Vec<Sample> {
        let sample = |i: usize| Sample {
            triangle: self.at((i as f64 + 0.5) / count as f64),
            weights: fold((i as f64 * 0.754_877_666_246_693).fract(), (i as f64 * 0.569_840_290_998_053).fract()),
        };
        (0..count).into_par_iter().map(sample).collect()
    }

    /// The triangle where a part of the area from 0 to 1 is reached.
    fn at(&self, part: f64) -> usize {
        let n = self.cumulative.len();
        let area = part * self.cumulative[n - 1];
        let mut triangle = self.guide[((part * n as f64) as usize).min(n - 1)] as usize;
        while triangle > 0 && self.cumulative[triangle - 1] >= area {
            triangle -= 1;
        }
        while triangle + 1 < n && self.cumulative[triangle] < area {
            triangle += 1;
        }
        triangle
    }
}

/// Weights of a triangle's corners from two numbers in [0, 1], uniform by area.
fn fold(u: f64, v: f64) -> [f64; 3] {
    let (u, v) = if u + v > 1.0 { (1.0 - u, 1.0 - v) } else { (u, v) };
    [1.0 - u - v, u, v]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::{Mesh, cube, joined, sphere};
    use glam::DVec3;

    fn surface((positions, triangles): &Mesh) -> Surface<'_> {
        Surface { name: "shape", positions, triangles }
    }

    #[test]
    fn triangles_are_drawn_by_their_area() {
        // Cubes with areas 1 : 9, and a triangle without area at each end.
        let mut mesh = joined(&[cube([0.0; 3], 1.0), cube([5.0; 3], 3.0)]);
        mesh.1.insert(0, [0, 0, 1]);
        mesh.1.push([2, 2, 2]);
        let sampler = SurfaceSampler::new(surface(&mesh)).unwrap();
        assert!((sampler.area() - 60.0).abs() < 1e-9);
        let n = 100_000;
        let points = sampler.draw(7, 0, n);
        let mut count = vec![0.0; mesh.1.len()];
        points.iter().for_each(|p| count[p.triangle as usize] += 1.0);
        let mut chi = 0.0;
        for (k, t) in mesh.1.iter().enumerate() {
            let p = t.map(|v| DVec3::from_array(mesh.0[v as usize].map(f64::from)));
            let expected = n as f64 * 0.5 * cross(p).length() / 60.0;
            assert!(expected > 0.0 || count[k] == 0.0);
            chi += if expected > 0.0 { (count[k] - expected).powi(2) / expected } else { 0.0 };
        }
        // 23 degrees of freedom: 49.7 is passed by one seed in a thousand.
        assert!(chi < 49.7, "{chi}");
        // Within a triangle: thirds of the weights' mean, and their covariances.
        for (i, j, expected) in [(0, 0, 1.0 / 6.0), (0, 1, 1.0 / 12.0), (1, 1, 1.0 / 6.0), (1, 2, 1.0 / 12.0)] {
            let mean = points.iter().map(|p| (p.weights[i] * p.weights[j]) as f64).sum::<f64>() / n as f64;
            assert!((mean - expected).abs() < 2e-3, "{mean}");
        }
    }

    #[test]
    fn points_depend_on_seed_and_number_alone() {
        let mesh = sphere(16, 1.0);
        let sampler = SurfaceSampler::new(surface(&mesh)).unwrap();
        let of = |n| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| sampler.draw(3, 10, 5000))
        };
        assert!(of(1) == of(3) && of(1)[90..] == sampler.draw(3, 100, 4910)[..]);
        assert!(sampler.draw(4, 10, 5000) != of(1) && sampler.draw(4, 0, 0).is_empty());
    }

    #[test]
    fn normals_are_those_of_faces_or_interpolated() {
        let mesh = sphere(24, 1.0);
        let sampler = SurfaceSampler::new(surface(&mesh)).unwrap();
        let flat = sampler.draw(1, 0, 1000);
        let smooth = sampler.with_normals(&mesh.0, &mesh.1).unwrap().draw(1, 0, 1000);
        for (a, b) in flat.iter().zip(&smooth) {
            let (p, n) = (Vec3::from_array(b.position).normalize(), Vec3::from_array(b.normal));
            assert!(a.position == b.position && p.dot(n) > 0.99999 && p.dot(Vec3::from_array(a.normal)) > 0.98);
        }
    }

    #[test]
    fn surfaces_without_area_are_errors() {
        let of = |m: &Mesh| SurfaceSampler::new(surface(m)).map(|_| ());
        assert!(of(&(vec![[0.0; 3]; 3], vec![[0, 1, 2]])).is_err() && of(&(vec![], vec![])).is_err());
        let mut nan = cube([0.0; 3], 1.0);
        nan.0[0][1] = f32::NAN;
        assert!(of(&nan).is_err() && of(&(vec![], vec![[0, 1, 2]])).is_err());
        let unit = cube([0.0; 3], 1.0);
        assert!(SurfaceSampler::new(surface(&unit)).unwrap().with_normals(&unit.0, &unit.1[1..]).is_err());
    }
}
