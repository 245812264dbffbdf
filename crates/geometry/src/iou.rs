use crate::{Error, Result, Surface, Topology, random};
use glam::{DVec2, DVec3};
use rayon::prelude::*;

/// A crossing of a ray and a surface: depth, and +1 or −1 for its facing.
type Crossing = (f64, i32);

/// Intersection over union of the volumes inside two watertight surfaces.
///
/// Rays along z, about `rays` of them, stratified over the bounding box of both; along each ray the lengths inside one
/// and inside both are exact. A point is inside where the winding number is not 0 (so that parts may overlap and cavities
/// face inwards), or where the number of crossings is odd if neighbouring triangles face opposite sides.
///
/// **Determinism**: the same rays for the same boxes. **Accuracy**: the error falls as rays^(−3/4), about 2·10⁻⁴ for
/// 100 000 rays.
///
/// # Errors
/// A surface that is not watertight; surfaces that enclose nothing; indices out of range.
pub fn volume_iou(a: Surface, b: Surface, rays: usize) -> Result<f64> {
    let winding = [consistent(a)?, consistent(b)?];
    let point = |s: Surface, v: u32| DVec3::from_array(s.positions[v as usize].map(f64::from));
    let points = [a, b].into_iter().flat_map(|s| s.triangles.iter().flatten().map(move |&v| point(s, v)));
    let (lo, hi) = points.fold((DVec3::INFINITY, DVec3::NEG_INFINITY), |(l, h), p| (l.min(p), h.max(p)));
    let grid =
        Grid { lo: lo.truncate(), hi: hi.truncate(), n: (rays as f64).sqrt().ceil().clamp(1.0, 4096.0) as usize };
    let crossings = [a, b].map(|s| grid.crossings(s));
    let lengths = |ray: usize| {
        let [p, q] = [0, 1].map(|k| inside(&crossings[k][ray], winding[k]));
        let both = overlap(&p, &q);
        let length = |x: &[[f64; 2]]| x.iter().map(|[from, to]| to - from).sum::<f64>();
        (both, length(&p) + length(&q) - both)
    };
    let sums: Vec<(f64, f64)> = (0..grid.n * grid.n).into_par_iter().map(lengths).collect();
    let (both, either) = sums.iter().fold((0.0, 0.0), |s, x| (s.0 + x.0, s.1 + x.1));
    if either > 0.0 { Ok(both / either) } else { Err(Error::Empty(format!("{} and {}", a.name, b.name))) }
}

/// Whether the triangles of a watertight surface agree on a side.
fn consistent(s: Surface) -> Result<bool> {
    let topology = Topology::welded(s.positions, s.triangles)?;
    if !topology.watertight() {
        return Err(Error::Open {
            name: s.name.into(),
            border: topology.n_border_edges,
            crowded: topology.n_crowded_edges,
        });
    }
    Ok(topology.n_turned_edges == 0)
}

/// Rays along z, one somewhere in each of n × n cells.
struct Grid {
    lo: DVec2,
    hi: DVec2,
    n: usize,
}

impl Grid {
    /// The ray of cell (i, j).
    fn ray(&self, i: usize, j: usize) -> DVec2 {
        // Jitter keeps edges along the axes from falling together with rows of rays.
        let mut x = (j * self.n + i) as u64;
        let mut jitter = || {
            x = x.wrapping_add(random::STEP);
            random::unit(random::scramble(x))
        };
        let cell = DVec2::new(i as f64 + jitter(), j as f64 + jitter()) / self.n as f64;
        self.lo + cell * (self.hi - self.lo)
    }

    /// Where each ray crosses a surface, in order of depth.
    fn crossings(&self, s: Surface) -> Vec<Vec<Crossing>> {
        let mut out = vec![vec![]; self.n * self.n];
        let size = self.hi - self.lo;
        for t in s.triangles {
            let p = t.map(|v| DVec3::from_array(s.positions[v as usize].map(f64::from)));
            let flat = p.map(|p| p.truncate());
            let (lo, hi) = (flat[0].min(flat[1]).min(flat[2]), flat[0].max(flat[1]).max(flat[2]));
            let cell =
                |x: DVec2| ((x - self.lo) / size * self.n as f64).to_array().map(|c| (c as usize).min(self.n - 1));
            let ([i0, j0], [i1, j1]) = (cell(lo), cell(hi));
            for (i, j) in (j0..=j1).flat_map(|j| (i0..=i1).map(move |i| (i, j))) {
                if let Some(crossing) = cross(&p, self.ray(i, j)) {
                    out[j * self.n + i].push(crossing);
                }
            }
        }
        out.par_iter_mut().for_each(|ray| ray.sort_unstable_by(|a, b| a.0.total_cmp(&b.0)));
        out
    }
}

/// Where the line through `at` along z crosses a triangle. Triangles that share an edge agree on its side to the bit, so
/// that the line crosses one of them.
fn cross(p: &[DVec3; 3], at: DVec2) -> Option<Crossing> {
    let sides = [0, 1, 2].map(|k| side(p[(k + 1) % 3].truncate(), p[(k + 2) % 3].truncate(), at));
    let left = sides.map(|(_, left)| left);
    if left != [left[0]; 3] {
        return None;
    }
    let weights = sides.map(|(area, _)| area);
    let total: f64 = weights.iter().sum();
    let depth = (0..3).map(|k| weights[k] * p[k].z).sum::<f64>() / total;
    depth.is_finite().then_some((depth, if left[0] { 1 } else { -1 }))
}

/// Twice the signed area of (a, b, at), and whether `at` is to the left of the edge a → b.
fn side(a: DVec2, b: DVec2, at: DVec2) -> (f64, bool) {
    let flipped = (b.x, b.y) < (a.x, a.y);
    let (p, q) = if flipped { (b, a) } else { (a, b) };
    let area = (q - p).perp_dot(at - p);
    if flipped { (-area, area < 0.0) } else { (area, area >= 0.0) }
}

/// Intervals of a ray inside a surface.
fn inside(crossings: &[Crossing], winding: bool) -> Vec<[f64; 2]> {
    let mut out = vec![];
    let (mut number, mut from) = (0, 0.0);
    for &(depth, facing) in crossings {
        let before = number;
        number = if winding { number + facing } else { 1 - number };
        if before == 0 && number != 0 {
            from = depth;
        } else if before != 0 && number == 0 {
            out.push([from, depth]);
        }
    }
    // What a ray enters it leaves; one that slips past a corner by rounding drops its open end.
    out
}

/// Length of the intersection of two sets of intervals in order.
fn overlap(p: &[[f64; 2]], q: &[[f64; 2]]) -> f64 {
    let (mut i, mut j, mut sum) = (0, 0, 0.0);
    while let (Some(a), Some(b)) = (p.get(i), q.get(j)) {
        sum += (a[1].min(b[1]) - a[0].max(b[0])).max(0.0);
        if a[1] < b[1] { i += 1 } else { j += 1 }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::{Mesh, cube, inside_out, joined, sphere, square, torus};

    /// The stated accuracy for 100 000 rays, with a margin.
    const TOLERANCE: f64 = 5e-4;

    fn iou(a: &Mesh, b: &Mesh) -> Result<f64> {
        let surface = |m| {
            let (p, t): &Mesh = m;
            Surface { name: "shape", positions: p, triangles: t }
        };
        volume_iou(surface(a), surface(b), 100_000)
    }

    fn close(a: &Mesh, b: &Mesh, expected: f64) {
        for (p, q) in [(a, b), (b, a)] {
            let found = iou(p, q).unwrap();
            assert!((found - expected).abs() < TOLERANCE, "{found} against {expected}");
        }
    }

    #[test]
    fn shifted_cubes_overlap_by_the_product_of_sides() {
        let unit = cube([0.0; 3], 1.0);
        close(&unit, &unit, 1.0);
        close(&unit, &cube([0.5, 0.0, 0.0], 1.0), 1.0 / 3.0);
        close(&unit, &cube([0.0, 0.0, 0.25], 1.0), 0.75 / 1.25);
        close(&unit, &cube([0.5, 0.25, 0.125], 1.0), 0.328125 / (2.0 - 0.328125));
        close(&unit, &cube([0.25; 3], 0.5), 0.125);
        close(&unit, &cube([3.0, 0.0, 0.0], 1.0), 0.0);
    }

    #[test]
    fn smooth_shapes_overlap_by_their_volumes() {
        // Alike polyhedra: the ratio of volumes is exact.
        close(&sphere(24, 1.0), &sphere(24, 0.8), 0.512);
        close(&torus(32, 16, 1.0, 0.3), &torus(32, 16, 1.0, 0.15), 0.25);
        // Balls of radius 1 at distance 1 share 5π/12 (two caps of height ½); polyhedra of 2·96² quads are within 1e-3.
        let (a, mut b) = (sphere(96, 1.0), sphere(96, 1.0));
        b.0.iter_mut().for_each(|p| p[2] += 1.0);
        let found = iou(&a, &b).unwrap();
        assert!((found - 5.0 / 27.0).abs() < 1e-3, "{found}");
    }

    #[test]
    fn inside_is_where_the_winding_number_is_not_zero() {
        let (unit, hole) = (cube([0.0; 3], 1.0), cube([0.25; 3], 0.5));
        close(&unit, &inside_out(&unit), 1.0);
        close(&unit, &joined(&[unit.clone(), inside_out(&hole)]), 0.875);
        close(&unit, &joined(&[unit.clone(), hole.clone()]), 1.0);
        close(&joined(&[unit.clone(), cube([0.5, 0.0, 0.0], 1.0)]), &unit, 1.0 / 1.5);
        // One triangle turned: parity.
        let mut turned = unit.clone();
        turned.1[4].swap(0, 1);
        close(&unit, &turned, 1.0);
    }

    #[test]
    fn open_and_empty_surfaces_are_errors() {
        let unit = cube([0.0; 3], 1.0);
        assert!(matches!(iou(&unit, &square(3)), Err(Error::Open { border: 12, .. })));
        assert!(iou(&(vec![], vec![]), &unit).is_err());
        let flat = |m: Mesh| -> Mesh { (m.0.iter().map(|p| [p[0], p[1], 0.0]).collect(), m.1) };
        assert!(iou(&flat(sphere(8, 1.0)), &flat(sphere(8, 1.0))).is_err());
        let nan: Mesh = (vec![[f32::NAN; 3]; 8], unit.1.clone());
        assert!(iou(&nan, &unit).is_err() || iou(&nan, &unit).unwrap().is_finite());
    }
}
