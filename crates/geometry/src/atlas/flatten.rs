//! Charts in the plane.

use super::charts::Chart;
use glam::{DVec2, DVec3};
use std::collections::HashMap;

/// Corners of a triangle in the plane.
pub type Flat = [DVec2; 3];

/// A plane, x right and y up as seen from where its axis points, and triangles in it.
pub struct Frame {
    right: DVec3,
    up: DVec3,
    /// Of the chart's triangles, in its order.
    pub corners: Vec<Flat>,
}

impl Frame {
    /// Across an axis of length one; any, where it is 0.
    pub fn new(axis: DVec3) -> Self {
        let axis = if axis == DVec3::ZERO { DVec3::Z } else { axis };
        let (right, up) = axis.any_orthonormal_pair();
        Self { right, up, corners: vec![] }
    }

    /// A triangle as its axis sees it.
    pub fn flat(&self, corners: [DVec3; 3]) -> Flat {
        corners.map(|p| DVec2::new(p.dot(self.right), p.dot(self.up)))
    }
}

/// The signed area of a triangle, positive where it turns from x to y.
pub fn area([a, b, c]: &Flat) -> f64 {
    0.5 * (*b - *a).perp_dot(*c - *a)
}

/// Triangles in the plane, of which none overlap.
#[derive(Default)]
pub struct Overlaps {
    cell: f64,
    cells: HashMap<[i32; 2], Vec<u32>>,
    kept: Vec<Flat>,
}

/// Parts of a triangle's size that rounding may make two neighbours overlap by.
const SLACK: f64 = 1e-9;

impl Overlaps {
    /// Chooses cells about as large as these triangles, which may be added.
    pub fn prepare(&mut self, all: &[Flat]) {
        let mean = all.iter().map(|t| area(t).abs()).sum::<f64>() / all.len().max(1) as f64;
        let (lo, hi) = bounds(all.iter().flatten().copied());
        // No triangle is in more than a few thousand cells.
        self.cell = (2.0 * mean.sqrt()).max((hi - lo).max_element() / 64.0).max(f64::MIN_POSITIVE);
    }

    /// Adds a triangle that overlaps none so far; says whether it did. Those without area overlap none.
    pub fn add(&mut self, t: Flat) -> bool {
        if !(area(&t).abs() > 0.0) {
            return true;
        }
        let (lo, hi) = bounds(t.iter().copied());
        let [x, y] = [0, 1].map(|c| (lo[c] / self.cell).floor() as i32..=(hi[c] / self.cell).floor() as i32);
        let cells = || y.clone().flat_map(|j| x.clone().map(move |i| [i, j]));
        let hits = |k: &u32| overlap(&t, &self.kept[*k as usize]);
        if cells().any(|cell| self.cells.get(&cell).is_some_and(|list| list.iter().any(hits))) {
            return false;
        }
        let k = self.kept.len() as u32;
        cells().for_each(|cell| self.cells.entry(cell).or_default().push(k));
        self.kept.push(t);
        true
    }
}

/// Whether the interiors of two triangles meet: no side of either has the other on its far side.
fn overlap(a: &Flat, b: &Flat) -> bool {
    let apart = |of: &Flat, other: &Flat| {
        let turn = area(of).signum();
        (0..3).any(|k| {
            let (from, side) = (of[k], of[(k + 1) % 3] - of[k]);
            let slack = SLACK * side.length_squared();
            other.iter().all(|&p| turn * side.perp_dot(p - from) <= slack)
        })
    };
    !apart(a, b) && !apart(b, a)
}

/// The least and the largest coordinates.
pub fn bounds(points: impl Iterator<Item = DVec2>) -> (DVec2, DVec2) {
    points.fold((DVec2::INFINITY, DVec2::NEG_INFINITY), |(lo, hi), p| (lo.min(p), hi.max(p)))
}

/// A chart turned so that its bounding rectangle is the smallest, longer than high, its corner at 0; y points down.
pub struct Upright {
    /// Of the chart's triangles, in its order.
    pub corners: Vec<Flat>,
    /// Sides that no other triangle of the chart has.
    pub border: Vec<[DVec2; 2]>,
    /// Width and height.
    pub extent: DVec2,
}

/// Turns a chart upright.
pub fn upright(chart: &Chart, triangles: &[[u32; 3]]) -> Upright {
    let flat = &chart.frame.corners;
    let mut x = smallest(&hull(flat.iter().flatten().copied().collect()));
    let turned = |x: DVec2, p: DVec2| DVec2::new(p.dot(x), -p.dot(x.perp()));
    let (lo, hi) = bounds(flat.iter().flatten().map(|p| turned(x, *p)));
    if (hi - lo).y > (hi - lo).x {
        x = x.perp();
    }
    let (lo, hi) = bounds(flat.iter().flatten().map(|p| turned(x, *p)));
    let corners: Vec<Flat> = flat.iter().map(|t| t.map(|p| turned(x, p) - lo)).collect();
    let mut sides: HashMap<(u32, u32), usize> = HashMap::new();
    let side = |t: u32, k: usize| {
        let (a, b) = (triangles[t as usize][k], triangles[t as usize][(k + 1) % 3]);
        (a.min(b), a.max(b))
    };
    let all = || chart.triangles.iter().enumerate().flat_map(|(i, &t)| (0..3).map(move |k| (i, k, side(t, k))));
    all().for_each(|(.., s)| *sides.entry(s).or_default() += 1);
    let outer = all().filter(|(.., s)| sides[s] == 1);
    let border = outer.map(|(i, k, _)| [corners[i][k], corners[i][(k + 1) % 3]]).collect();
    Upright { border, corners, extent: hi - lo }
}

/// The convex hull of points, counter-clockwise.
fn hull(mut points: Vec<DVec2>) -> Vec<DVec2> {
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    points.dedup();
    let half = |points: &mut dyn Iterator<Item = DVec2>| {
        let mut chain: Vec<DVec2> = vec![];
        for p in points {
            while let [.., a, b] = chain[..]
                && (b - a).perp_dot(p - a) <= 0.0
            {
                chain.pop();
            }
            chain.push(p);
        }
        chain.pop();
        chain
    };
    let lower = half(&mut points.iter().copied());
    let upper = half(&mut points.iter().rev().copied());
    if lower.is_empty() { points } else { [lower, upper].concat() }
}

/// The direction of a convex polygon's side along which its bounding rectangle is the smallest.
fn smallest(hull: &[DVec2]) -> DVec2 {
    let mut best = (f64::INFINITY, DVec2::X);
    for k in 0..hull.len() {
        let x = (hull[(k + 1) % hull.len()] - hull[k]).normalize_or_zero();
        if x == DVec2::ZERO {
            continue;
        }
        let (lo, hi) = bounds(hull.iter().map(|p| DVec2::new(p.dot(x), p.dot(x.perp()))));
        let size = (hi - lo).x * (hi - lo).y;
        if size < best.0 {
            best = (size, x);
        }
    }
    best.1
}
