//! A hierarchy of boxes over triangles, eight children wide.
//!
//! Boxes and triangles are looked at in single precision, eight at a time, with bounds that allow for its rounding;
//! the triangles that may be closest are then measured in double precision. So answers are exact to rounding of `f64`.

mod build;
mod leaf;
#[cfg(test)]
mod tests;

use fearless_simd::{Level, Simd, SimdBase, SimdFloat, SimdFrom, SimdMask, dispatch, f32x8};
use glam::DVec3;
use leaf::Leaf;
use std::sync::OnceLock;

/// Children of a node, and triangles of a leaf at most.
pub(crate) const WIDTH: usize = 8;
/// A reference to a leaf instead of a node.
const LEAF: u32 = 1 << 31;
/// Entries of a stack: 7 for each level but the last. Every level divides the leaves by eight, to a rounding.
pub(crate) const STACK: usize = 96;
/// What single precision may be wrong by, in units of the surface's extent or of the distance, whichever is larger.
const SLACK: f64 = 2e-6;
/// Points farther than this many extents are searched for without the tree: squares would overflow.
const FAR: f64 = 1e15;

/// Eight numbers of as many children or triangles.
pub(crate) type Row = [f32; WIDTH];

/// Boxes of eight children. Absent children have none: their lower bounds are above their upper ones.
#[repr(C, align(32))]
struct Node {
    lo: [Row; 3],
    hi: [Row; 3],
    child: [u32; WIDTH],
    /// Where each child's leaves begin, and where the last one's end.
    leaves: [u32; WIDTH + 1],
}

/// A bounding-volume hierarchy over triangles, for closest points.
pub struct Bvh {
    /// Centre and inverse extent of the surface: nodes and leaves are in these units.
    centre: DVec3,
    scale: f64,
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
    /// Corners and numbers of the triangles, leaf by leaf.
    triangles: Vec<([DVec3; 3], u32)>,
}

/// The closest point of a surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Distance; of [`SignedDistance`](crate::SignedDistance), negative inside.
    pub distance: f64,
    /// Number of the triangle.
    pub triangle: u32,
    /// The point.
    pub point: DVec3,
    /// Weights of the triangle's corners there.
    pub weights: [f64; 3],
}

/// What a search has found.
#[derive(Clone, Copy)]
pub(crate) struct Best {
    square: f64,
    /// Where in the tree's order the triangle is.
    place: u32,
    weights: [f64; 3],
}

/// A child of a node, for those who walk the tree themselves.
pub(crate) enum Child {
    None,
    Node(usize),
    Leaf(usize),
}

/// The best instruction set of this machine.
pub(crate) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(Level::new)
}

impl Bvh {
    /// Builds over all triangles by median splits of the longest axis.
    ///
    /// **Cost**: O(n log n), in parallel; about 900 bytes per eight triangles.
    pub fn new(positions: &[[f32; 3]], triangles: &[[u32; 3]]) -> Self {
        build::build(positions, triangles)
    }

    /// The closest point to `p`; `None` without triangles, and for points that are not finite.
    ///
    /// Of triangles that are as close, any may be named.
    pub fn nearest(&self, p: DVec3) -> Option<Nearest> {
        dispatch!(level(), simd => self.search(simd, p, None)).map(|best| self.describe(&best))
    }

    /// As [`nearest`](Self::nearest), in vectors of `simd`, beginning with the answer for a point close by.
    #[inline(always)]
    pub(crate) fn search<S: Simd>(&self, simd: S, p: DVec3, hint: Option<&Best>) -> Option<Best> {
        let local = self.local(p);
        let mut best = Best { square: f64::INFINITY, place: u32::MAX, weights: [1.0, 0.0, 0.0] };
        if !(local.abs().max_element() <= FAR) {
            if p.is_finite() {
                (0..self.triangles.len()).for_each(|place| self.measure(p, place, &mut best));
            }
            return (best.place != u32::MAX).then_some(best);
        }
        if let Some(hint) = hint {
            self.measure(p, hint.place as usize, &mut best);
        }
        let at = local.as_vec3().to_array();
        let mut limit = self.limit(&best);
        let mut stack = [(0.0f32, 0u32); STACK];
        let mut height = !self.nodes.is_empty() as usize;
        while height > 0 {
            height -= 1;
            let (nearest, reference) = stack[height];
            if !(nearest < limit) {
                continue;
            }
            if reference & LEAF != 0 {
                let leaf = (reference ^ LEAF) as usize;
                let squares = self.leaves[leaf].squares(simd, at);
                let count = self.triangles.len() - WIDTH * leaf;
                let mut left = if count < WIDTH { (1u64 << count) - 1 } else { 0xff };
                loop {
                    left &= squares.simd_lt(limit).to_bitmask();
                    let Some(lane) = least(&squares, left) else { break };
                    left ^= 1 << lane;
                    self.measure(p, WIDTH * leaf + lane, &mut best);
                    limit = self.limit(&best);
                }
            } else {
                let node = &self.nodes[reference as usize];
                let squares = node.squares(simd, at);
                let mut left = squares.simd_lt(limit).to_bitmask();
                let squares = squares.as_slice();
                let bottom = height;
                while left != 0 {
                    let lane = left.trailing_zeros() as usize;
                    left &= left - 1;
                    // The nearest comes last.
                    let entry = (squares[lane], node.child[lane]);
                    let mut k = height;
                    while k > bottom && stack[k - 1].0 < entry.0 {
                        stack[k] = stack[k - 1];
                        k -= 1;
                    }
                    stack[k] = entry;
                    height += 1;
                }
            }
        }
        (best.place != u32::MAX).then_some(best)
    }

    /// Squares of distances in the tree's units from which on nothing is better than `best`.
    #[inline(always)]
    fn limit(&self, best: &Best) -> f32 {
        let distance = best.square.sqrt() * self.scale;
        let d = distance + SLACK * (distance + 1.0);
        (d * d) as f32
    }

    /// Measures the distance to a triangle.
    #[inline(always)]
    fn measure(&self, p: DVec3, place: usize, best: &mut Best) {
        let t = &self.triangles[place].0;
        let weights = closest_weights(p, t);
        let square = p.distance_squared(point(t, weights));
        if square < best.square {
            *best = Best { square, place: place as u32, weights };
        }
    }

    /// A search's answer in words of the mesh.
    pub(crate) fn describe(&self, best: &Best) -> Nearest {
        let (t, triangle) = &self.triangles[best.place as usize];
        Nearest {
            distance: best.square.sqrt(),
            triangle: *triangle,
            point: point(t, best.weights),
            weights: best.weights,
        }
    }

    /// A point in the tree's units.
    #[inline(always)]
    pub(crate) fn local(&self, p: DVec3) -> DVec3 {
        (p - self.centre) * self.scale
    }

    pub(crate) fn n_nodes(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn child(&self, node: usize, lane: usize) -> Child {
        match self.nodes[node].child[lane] {
            u32::MAX => Child::None,
            leaf if leaf & LEAF != 0 => Child::Leaf((leaf ^ LEAF) as usize),
            inner => Child::Node(inner as usize),
        }
    }

    /// The leaves below a child.
    pub(crate) fn span(&self, node: usize, lane: usize) -> std::ops::Range<usize> {
        let at = &self.nodes[node].leaves;
        at[lane] as usize..at[lane + 1] as usize
    }

    pub(crate) fn leaf(&self, leaf: usize) -> &Leaf {
        &self.leaves[leaf]
    }

    /// Corners of the triangles of leaves, in the tree's units.
    pub(crate) fn corners(&self, leaves: std::ops::Range<usize>) -> impl Iterator<Item = [DVec3; 3]> + '_ {
        let end = (WIDTH * leaves.end).min(self.triangles.len());
        self.triangles[WIDTH * leaves.start..end].iter().map(|(t, _)| t.map(|p| self.local(p)))
    }
}

impl Node {
    /// Squared distances from a point to the boxes, at most.
    #[inline(always)]
    fn squares<S: Simd>(&self, simd: S, at: [f32; 3]) -> f32x8<S> {
        let zero = f32x8::splat(simd, 0.0);
        let mut sum = zero;
        for c in 0..3 {
            let (lo, hi) = (f32x8::simd_from(simd, self.lo[c]), f32x8::simd_from(simd, self.hi[c]));
            let out = (lo - at[c]).max(at[c] - hi).max(zero);
            sum = out.mul_add(out, sum);
        }
        sum
    }
}

/// The lane of the smallest number among those whose bits are set.
#[inline(always)]
fn least<S: Simd>(squares: &f32x8<S>, mut bits: u64) -> Option<usize> {
    let mut found = None;
    while bits != 0 {
        let lane = bits.trailing_zeros() as usize;
        bits &= bits - 1;
        if found.is_none_or(|k: usize| squares[lane] < squares[k]) {
            found = Some(lane);
        }
    }
    found
}

#[inline(always)]
fn point([a, b, c]: &[DVec3; 3], weights: [f64; 3]) -> DVec3 {
    // About a corner: a sum of three weighted corners would round at their distance from the origin.
    *a + (*b - *a) * weights[1] + (*c - *a) * weights[2]
}

/// Weights of the corners at the closest point of a triangle (Ericson, "Real-Time Collision Detection", §5.1.5).
#[inline(always)]
fn closest_weights(p: DVec3, [a, b, c]: &[DVec3; 3]) -> [f64; 3] {
    let (ab, ac, ap) = (*b - *a, *c - *a, p - *a);
    let (d1, d2) = (ab.dot(ap), ac.dot(ap));
    if d1 <= 0.0 && d2 <= 0.0 {
        return [1.0, 0.0, 0.0];
    }
    let bp = p - *b;
    let (d3, d4) = (ab.dot(bp), ac.dot(bp));
    if d3 >= 0.0 && d4 <= d3 {
        return [0.0, 1.0, 0.0];
    }
    let vc = d1 * d4 - d3 * d2;
    if vc <= 0.0 && d1 >= 0.0 && d3 <= 0.0 && d1 > d3 {
        let t = d1 / (d1 - d3);
        return [1.0 - t, t, 0.0];
    }
    let cp = p - *c;
    let (d5, d6) = (ab.dot(cp), ac.dot(cp));
    if d6 >= 0.0 && d5 <= d6 {
        return [0.0, 0.0, 1.0];
    }
    let vb = d5 * d2 - d1 * d6;
    if vb <= 0.0 && d2 >= 0.0 && d6 <= 0.0 && d2 > d6 {
        let t = d2 / (d2 - d6);
        return [1.0 - t, 0.0, t];
    }
    let va = d3 * d6 - d5 * d4;
    if va <= 0.0 && d4 - d3 >= 0.0 && d5 - d6 >= 0.0 && (d4 - d3) + (d5 - d6) > 0.0 {
        let t = (d4 - d3) / ((d4 - d3) + (d5 - d6));
        return [0.0, 1.0 - t, t];
    }
    let sum = va + vb + vc;
    if sum.abs() < 1e-300 {
        return [1.0, 0.0, 0.0];
    }
    [va / sum, vb / sum, vc / sum]
}
