//! Cuts surfaces into charts.

use super::NONE;
use super::flatten::{Frame, Overlaps};
use glam::DVec3;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Cosine of the angle to a chart's mean normal up to which it grows.
const SOFT: f64 = 0.64;
/// Cosine of the angle that no triangle of a chart exceeds.
const HARD: f64 = 0.37;
/// Charts of fewer triangles join a neighbour where they can.
const SMALL: usize = 12;

/// Triangles that are laid flat together.
pub struct Chart {
    /// In the order in which it grew.
    pub triangles: Vec<u32>,
    /// The plane that they are laid on, with their corners.
    pub frame: Frame,
}

/// Charts of a surface: every triangle is in one.
pub fn charts(places: &[DVec3], triangles: &[[u32; 3]]) -> Vec<Chart> {
    let surface = Surfaces::new(places, triangles);
    let mut sets = surface.grown((0..triangles.len() as u32).collect());
    surface.join_small(&mut sets);
    let mut done = vec![];
    // What would lie on top of others, or too steep, is cut off and grows again.
    while !sets.is_empty() {
        let mut left = vec![];
        for set in sets {
            let (chart, rest) = surface.laid(set);
            done.extend(chart);
            left.extend(rest);
        }
        sets = surface.grown(left);
    }
    done
}

struct Surfaces<'a> {
    places: &'a [DVec3],
    triangles: &'a [[u32; 3]],
    /// Normals as long as twice the areas.
    normals: Vec<DVec3>,
    neighbours: Vec<[u32; 3]>,
}

/// A number that heaps sort by.
#[derive(PartialEq)]
struct Cost(f64);
impl Eq for Cost {}
impl PartialOrd for Cost {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Cost {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl<'a> Surfaces<'a> {
    fn new(places: &'a [DVec3], triangles: &'a [[u32; 3]]) -> Self {
        let normal = |t: &[u32; 3]| {
            let [a, b, c] = t.map(|v| places[v as usize]);
            (b - a).cross(c - a)
        };
        Self { places, triangles, normals: triangles.iter().map(normal).collect(), neighbours: neighbours(triangles) }
    }

    /// Cosine between a triangle and an axis of length one; 1 for triangles without area, which lie anywhere.
    fn along(&self, t: u32, axis: DVec3) -> f64 {
        let normal = self.normals[t as usize];
        let length = normal.length();
        if length > 0.0 { normal.dot(axis) / length } else { 1.0 }
    }

    /// Charts of these triangles: the largest that is in none yet is the seed of the next.
    fn grown(&self, mut free: Vec<u32>) -> Vec<Vec<u32>> {
        let mut open = vec![false; self.triangles.len()];
        free.iter().for_each(|&t| open[t as usize] = true);
        let area = |t: u32| self.normals[t as usize].length_squared();
        free.sort_by(|&a, &b| area(b).total_cmp(&area(a)).then(a.cmp(&b)));
        let grow = |seed| if open[seed as usize] { Some(self.grow(seed, &mut open)) } else { None };
        free.into_iter().filter_map(grow).collect()
    }

    fn grow(&self, seed: u32, open: &mut [bool]) -> Vec<u32> {
        let (mut set, mut sum) = (vec![], DVec3::ZERO);
        let mut next = BinaryHeap::from([(Reverse(Cost(0.0)), Reverse(seed))]);
        while let Some((Reverse(Cost(cost)), Reverse(t))) = next.pop() {
            if !open[t as usize] {
                continue;
            }
            let now = 1.0 - self.along(t, sum.normalize_or_zero());
            if !set.is_empty() {
                if now > 1.0 - SOFT {
                    continue;
                }
                // The chart's normal has turned since.
                if now > cost + 1e-3 {
                    next.push((Reverse(Cost(now)), Reverse(t)));
                    continue;
                }
            }
            open[t as usize] = false;
            set.push(t);
            sum += self.normals[t as usize];
            let axis = sum.normalize_or_zero();
            for &n in &self.neighbours[t as usize] {
                if n != NONE && open[n as usize] {
                    next.push((Reverse(Cost(1.0 - self.along(n, axis))), Reverse(n)));
                }
            }
        }
        set
    }

    fn axis(&self, set: &[u32]) -> DVec3 {
        set.iter().map(|&t| self.normals[t as usize]).sum::<DVec3>().normalize_or_zero()
    }

    /// Small charts become part of the neighbour with the longest common border among those that they are not too steep for.
    fn join_small(&self, sets: &mut Vec<Vec<u32>>) {
        let mut of = vec![NONE; self.triangles.len()];
        sets.iter().enumerate().for_each(|(k, set)| set.iter().for_each(|&t| of[t as usize] = k as u32));
        let axes: Vec<DVec3> = sets.iter().map(|set| self.axis(set)).collect();
        let mut order: Vec<usize> = (0..sets.len()).filter(|&k| sets[k].len() < SMALL).collect();
        order.sort_by_key(|&k| (sets[k].len(), k));
        for k in order {
            if sets[k].len() >= SMALL {
                continue;
            }
            let mut borders: BTreeMap<u32, f64> = BTreeMap::new();
            for &t in &sets[k] {
                for (side, &n) in self.neighbours[t as usize].iter().enumerate() {
                    if n != NONE && of[n as usize] as usize != k {
                        let [a, b] =
                            [side, (side + 1) % 3].map(|c| self.places[self.triangles[t as usize][c] as usize]);
                        *borders.entry(of[n as usize]).or_default() += a.distance(b);
                    }
                }
            }
            let fits = |other: &u32| sets[k].iter().all(|&t| self.along(t, axes[*other as usize]) > HARD);
            let best = borders.iter().filter(|(other, _)| fits(other)).max_by(|a, b| a.1.total_cmp(b.1));
            if let Some((&other, _)) = best {
                let set = std::mem::take(&mut sets[k]);
                set.iter().for_each(|&t| of[t as usize] = other);
                sets[other as usize].extend(set);
            }
        }
        sets.retain(|set| !set.is_empty());
    }

    /// A set laid flat, and what does not fit there.
    fn laid(&self, set: Vec<u32>) -> (Option<Chart>, Vec<u32>) {
        let axis = self.axis(&set);
        let (steep, set): (Vec<u32>, Vec<u32>) = set.into_iter().partition(|&t| self.along(t, axis) < HARD);
        let (mut left, mut kept) = (steep, vec![]);
        // A set whose normals cancel: its first triangle alone.
        let (set, axis) = match (set.first(), left.first()) {
            (None, Some(&first)) => {
                left.remove(0);
                (vec![first], self.normals[first as usize].normalize_or_zero())
            }
            _ => (set, axis),
        };
        let mut frame = Frame::new(axis);
        let mut overlaps = Overlaps::default();
        let flat: Vec<_> =
            set.iter().map(|&t| frame.flat(self.triangles[t as usize].map(|v| self.places[v as usize]))).collect();
        overlaps.prepare(&flat);
        for (t, corners) in set.into_iter().zip(flat) {
            if overlaps.add(corners) {
                frame.corners.push(corners);
                kept.push(t);
            } else {
                left.push(t);
            }
        }
        ((!kept.is_empty()).then_some(Chart { triangles: kept, frame }), left)
    }
}

/// Triangles across each edge (from corner k to the next) that exactly two triangles have, in opposite directions.
pub fn neighbours(triangles: &[[u32; 3]]) -> Vec<[u32; 3]> {
    let mut edges: Vec<(u32, u32, usize)> = (0..3 * triangles.len())
        .map(|corner| {
            let t = triangles[corner / 3];
            let (a, b) = (t[corner % 3], t[(corner + 1) % 3]);
            (a.min(b), a.max(b), corner)
        })
        .collect();
    edges.sort_unstable();
    let mut found = vec![[NONE; 3]; triangles.len()];
    for group in edges.chunk_by(|x, y| (x.0, x.1) == (y.0, y.1)) {
        if let &[(a, b, i), (.., j)] = group
            && a != b
            && triangles[i / 3][i % 3] != triangles[j / 3][j % 3]
        {
            found[i / 3][i % 3] = (j / 3) as u32;
            found[j / 3][j % 3] = (i / 3) as u32;
        }
    }
    found
}
