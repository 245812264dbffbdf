use crate::Bvh;
use crate::bvh::{Child, Row, STACK, WIDTH};
use fearless_simd::{Select, Simd, SimdBase, SimdFloat, SimdFrom, SimdMask, f32x8};
use glam::DVec3;
use std::f32::consts::TAU;

/// How many radii a part of the surface must be away to be seen as a dipole, unless asked otherwise.
pub(crate) const ACCURACY: f32 = 2.0;

/// Eight children of a node as dipoles.
#[repr(C, align(32))]
struct Dipoles {
    centre: [Row; 3],
    /// Sums of the triangles' areas along their normals.
    area: [Row; 3],
    /// Squared distances beyond which the dipole stands for its triangles; absent children are always seen so.
    far: Row,
}

/// Winding numbers of a surface: how often it goes around a point; for a closed surface with its normals outwards, 1
/// inside and 0 outside. An open one blends between (Jacobson et al. 2013).
///
/// Triangles nearby contribute their exact solid angle. Parts of the surface that are farther away than `accuracy` times
/// their radius contribute as dipoles (Barill et al. 2018, first order).
pub(crate) struct Winding {
    dipoles: Vec<Dipoles>,
}

impl Winding {
    pub fn new(bvh: &Bvh, accuracy: f32) -> Self {
        let mut out = Self { dipoles: vec![] };
        for node in 0..bvh.n_nodes() {
            let mut d = Dipoles { centre: [[0.0; WIDTH]; 3], area: [[0.0; WIDTH]; 3], far: [-1.0; WIDTH] };
            for lane in 0..WIDTH {
                let leaves = bvh.span(node, lane);
                if leaves.is_empty() {
                    continue;
                }
                let (centre, area, radius) = moments(bvh, leaves);
                for c in 0..3 {
                    (d.centre[c][lane], d.area[c][lane]) = (centre[c] as f32, area[c] as f32);
                }
                d.far[lane] = (accuracy as f64 * radius).powi(2).min(f32::MAX as f64) as f32;
            }
            out.dipoles.push(d);
        }
        out
    }

    /// The winding number of the surface about `at`, a finite point in the tree's units.
    #[inline(always)]
    pub fn number<S: Simd>(&self, simd: S, bvh: &Bvh, at: [f32; 3]) -> f32 {
        let zero = f32x8::splat(simd, 0.0);
        let (mut far, mut near) = (zero, zero);
        let mut stack = [0u32; STACK];
        let mut height = !self.dipoles.is_empty() as usize;
        while height > 0 {
            height -= 1;
            let node = stack[height] as usize;
            let d = &self.dipoles[node];
            let (mut square, mut flux) = (zero, zero);
            for c in 0..3 {
                let r = f32x8::simd_from(simd, d.centre[c]) - at[c];
                square = r.mul_add(r, square);
                flux = r.mul_add(f32x8::simd_from(simd, d.area[c]), flux);
            }
            let alone = square.simd_gt(f32x8::simd_from(simd, d.far));
            let angle = flux / (square * square.sqrt()).max(f32x8::splat(simd, f32::MIN_POSITIVE));
            far += alone.select(angle, zero);
            let mut left = !alone.to_bitmask() & 0xff;
            while left != 0 {
                let lane = left.trailing_zeros() as usize;
                left &= left - 1;
                match bvh.child(node, lane) {
                    Child::None => {}
                    Child::Leaf(leaf) => near += bvh.leaf(leaf).half_angles(simd, at),
                    Child::Node(node) => {
                        stack[height] = node as u32;
                        height += 1;
                    }
                }
            }
        }
        sum(far) / (2.0 * TAU) + sum(near) / TAU
    }
}

/// The sum over lanes, in pairs.
#[inline(always)]
fn sum<S: Simd>(x: f32x8<S>) -> f32 {
    ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]))
}

/// Centre of area, sum of areas along normals, and radius about the centre of the triangles of leaves.
fn moments(bvh: &Bvh, leaves: std::ops::Range<usize>) -> (DVec3, DVec3, f64) {
    let (mut centre, mut area, mut total, mut points, mut n) = (DVec3::ZERO, DVec3::ZERO, 0.0, DVec3::ZERO, 0.0);
    for t in bvh.corners(leaves.clone()) {
        let across = 0.5 * (t[1] - t[0]).cross(t[2] - t[0]);
        let middle = (t[0] + t[1] + t[2]) / 3.0;
        area += across;
        centre += middle * across.length();
        total += across.length();
        points += middle;
        n += 1.0;
    }
    let centre = if total > 0.0 { centre / total } else { points / n };
    let radius = bvh.corners(leaves).flatten().map(|p| p.distance(centre)).fold(0.0, f64::max);
    (centre, area, radius)
}
