//! The CPU bodies: points and rays in parallel.

use super::{EMPTY, LEAF, LocateBuffers, LocateParams, WalkCountBuffers, WalkEmitBuffers, WalkParams};
use crate::kernels::{PIECE, STILL, by_rays, row, span};
use crate::octree::DEEPEST;
use lumigrad_core::Real;
use rayon::prelude::*;

/// By how much a ray looks ahead, in parts of its distance where that is more than 1.
const AHEAD: f32 = 1.0 / (1u32 << 19) as f32;

/// A point's place in cells of the deepest level.
fn cell<R: Real>(point: [R; 3]) -> [u32; 3] {
    let n = 1u32 << DEEPEST;
    point.map(|x| (((x.to_f64() + 1.0) * 0.5 * f64::from(n)) as u32).min(n - 1))
}

/// Which child of a node of the level above a cell lies in.
fn octant(cell: [u32; 3], level: u32) -> u32 {
    let bit = |a: usize| (cell[a] >> (DEEPEST - level) & 1) << a;
    bit(0) | bit(1) | bit(2)
}

/// The word of the node that a cell lies in, a leaf's or [`EMPTY`], and its level.
fn descend(nodes: &[u32], cell: [u32; 3]) -> (u32, u32) {
    let (mut node, mut level) = (0, 0);
    loop {
        level += 1;
        let word = nodes[(8 * node + octant(cell, level)) as usize];
        if word >= LEAF {
            return (word, level);
        }
        node = word;
    }
}

/// The leaf that a cell lies in; where that is empty, the first of the smallest part of the tree around it that is not.
fn nearest(nodes: &[u32], cell: [u32; 3]) -> u32 {
    let (mut node, mut level) = (0, 0);
    loop {
        level += 1;
        let octant = octant(cell, level);
        let near = (0..8).map(|other| nodes[(8 * node + (octant ^ other)) as usize]).find(|word| *word != EMPTY);
        // An inner node has a child that is not empty.
        let Some(word) = near else { return 0 };
        if word >= LEAF {
            return word ^ LEAF;
        }
        node = word;
    }
}

pub fn locate<R: Real>(_: &LocateParams, _items: usize, b: LocateBuffers<'_, R>) {
    let points = b.points.as_chunks::<3>().0.par_iter().with_min_len(PIECE);
    points.zip(b.leaves).for_each(|(point, leaf)| *leaf = nearest(b.nodes, cell(*point)));
}

/// Calls `found` with where a ray enters and leaves each leaf, until that gives false.
fn walk<R: Real>(
    p: &WalkParams,
    nodes: &[u32],
    [origin, direction]: [[R; 3]; 2],
    mut found: impl FnMut([R; 2]) -> bool,
) {
    let [mut t, far] = span(origin, direction, [R::of(p.near), R::of(p.far)], false);
    // Along an axis that a ray does not move on it meets no face.
    let slopes = direction.map(|d| if d.abs() < R::of(STILL) { R::ZERO } else { R::ONE / d });
    while t < far {
        let ahead = t + R::of(AHEAD) * t.max(R::ONE);
        let place = cell(std::array::from_fn(|a| origin[a] + ahead * direction[a]));
        let (word, level) = descend(nodes, place);
        let side = R::of(2.0 / (1u32 << level) as f32);
        let mut leave = far;
        for a in 0..3 {
            if slopes[a] != R::ZERO {
                let face = (place[a] >> (DEEPEST - level)) + u32::from(slopes[a] > R::ZERO);
                leave = leave.min((R::from_f64(f64::from(face)) * side - R::ONE - origin[a]) * slopes[a]);
            }
        }
        let next = leave.max(ahead);
        if word != EMPTY && !found([t, next.min(far)]) {
            return;
        }
        t = next;
    }
}

pub fn walk_count<R: Real>(p: &WalkParams, _items: usize, b: WalkCountBuffers<'_, R>) {
    b.counts.par_iter_mut().with_min_len(PIECE).enumerate().for_each(|(k, count)| {
        *count = 0;
        if k < p.rays as usize {
            walk(p, b.nodes, [row(b.origins, k), row(b.directions, k)], |_| {
                *count += p.per_leaf;
                *count + p.per_leaf <= p.most
            });
        }
    });
}

pub fn walk_emit<R: Real>(p: &WalkParams, _items: usize, b: WalkEmitBuffers<'_, R>) {
    let part = R::ONE / R::from_f64(f64::from(p.per_leaf));
    by_rays(b.offsets, [b.middles, b.lengths], |k, _, [middles, lengths]| {
        let mut slots = middles.iter_mut().zip(lengths);
        let mut last = R::ZERO;
        if slots.len() > 0 {
            walk(p, b.nodes, [row(b.origins, k), row(b.directions, k)], |[from, to]| {
                let length = (to - from) * part;
                for (i, (middle, own)) in slots.by_ref().take(p.per_leaf as usize).enumerate() {
                    last = from + length * R::from_f64(i as f64 + 0.5);
                    (*middle, *own) = (last, length);
                }
                slots.len() > 0
            });
        }
        slots.for_each(|slot| (*slot.0, *slot.1) = (last, R::ZERO));
    });
}
