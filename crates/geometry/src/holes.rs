//! Closes holes of surfaces.

use crate::{Error, Result, check_indices};
use glam::DVec3;
use std::collections::{BTreeMap, HashSet};

/// Edges of a hole at most: closing one takes time by their third power.
const MOST: usize = 1000;

/// What closing holes has added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Closed {
    /// New triangles, of vertices that are there, facing as those around them.
    pub triangles: Vec<[u32; 3]>,
    /// Holes that were closed.
    pub n_closed: usize,
    /// Holes that are longer, or cannot be closed without an edge of more than two triangles.
    pub n_left: usize,
}

/// Closes holes of at most `longest` edges (and 1000) by the triangles of least area between their border's vertices.
///
/// A border that touches itself in a vertex is taken as several holes. **Determinism**: the same for any machine.
/// **Cost**: O(n³) for a hole of n edges.
///
/// **Source**: Barequet & Sharir, "Filling Gaps in the Boundary of a Polyhedron", 1995.
///
/// # Errors
/// Indices out of range, positions that are not finite.
pub fn close_holes(positions: &[[f32; 3]], triangles: &[[u32; 3]], longest: usize) -> Result<Closed> {
    check_indices(positions.len(), triangles)?;
    if let Some(vertex) = positions.iter().position(|p| !p.iter().all(|x| x.is_finite())) {
        return Err(Error::NotFinite { vertex });
    }
    let mut edges: HashSet<(u32, u32)> = HashSet::with_capacity(3 * triangles.len());
    let mut sides: BTreeMap<(u32, u32), (usize, bool)> = BTreeMap::new();
    for t in triangles.iter().filter(|t| t[0] != t[1] && t[1] != t[2] && t[2] != t[0]) {
        for (a, b) in [(t[0], t[1]), (t[1], t[2]), (t[2], t[0])] {
            edges.insert((a.min(b), a.max(b)));
            let side = sides.entry((a.min(b), a.max(b))).or_insert((0, a < b));
            side.0 += 1;
        }
    }
    // Around a hole, against the triangles beside it.
    let mut next: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (&(a, b), &(_, forwards)) in sides.iter().filter(|(_, side)| side.0 == 1) {
        let (from, to) = if forwards { (b, a) } else { (a, b) };
        next.entry(from).or_default().push(to);
    }
    let place = |v: u32| DVec3::from(positions[v as usize].map(f64::from));
    let mut out = Closed::default();
    for border in borders(next) {
        let fits = border.len() >= 3 && border.len() <= longest.min(MOST);
        match if fits { least(&border, place, &edges) } else { None } {
            Some(new) => {
                for (a, b) in new.iter().flat_map(|t| [(t[0], t[1]), (t[1], t[2]), (t[2], t[0])]) {
                    edges.insert((a.min(b), a.max(b)));
                }
                out.triangles.extend(new);
                out.n_closed += 1;
            }
            None => out.n_left += 1,
        }
    }
    Ok(out)
}

/// Closed paths along which no vertex comes twice.
fn borders(mut next: BTreeMap<u32, Vec<u32>>) -> Vec<Vec<u32>> {
    let mut found = vec![];
    while let Some((&start, _)) = next.first_key_value() {
        let mut path = vec![start];
        while let Some(&end) = path.last() {
            let Some(list) = next.get_mut(&end) else { break };
            let to = list.pop();
            if list.is_empty() {
                next.remove(&end);
            }
            let Some(to) = to else { break };
            match path.iter().position(|&v| v == to) {
                Some(k) => {
                    found.push(path.split_off(k));
                    if path.is_empty() {
                        break;
                    }
                    // The vertex where the path touched itself is on it still.
                    path.push(to);
                }
                None => path.push(to),
            }
        }
    }
    found
}

/// The triangulation of a closed polygon of least area whose inner edges are not there yet; `None` where there is none.
fn least(border: &[u32], place: impl Fn(u32) -> DVec3, edges: &HashSet<(u32, u32)>) -> Option<Vec<[u32; 3]>> {
    let n = border.len();
    let points: Vec<DVec3> = border.iter().map(|&v| place(v)).collect();
    let free = |i: usize, j: usize| {
        let outer = j == i + 1 || (i == 0 && j == n - 1);
        outer || !edges.contains(&(border[i].min(border[j]), border[i].max(border[j])))
    };
    // Of the part from i to j: its least area, and the third corner of the triangle on the side from i to j.
    let mut area = vec![0.0f64; n * n];
    let mut corner = vec![0usize; n * n];
    for span in 2..n {
        for i in 0..n - span {
            let j = i + span;
            area[i * n + j] = f64::INFINITY;
            if !free(i, j) {
                continue;
            }
            for k in i + 1..j {
                let own = 0.5 * (points[k] - points[i]).cross(points[j] - points[i]).length();
                let sum = area[i * n + k] + area[k * n + j] + own;
                if sum < area[i * n + j] {
                    (area[i * n + j], corner[i * n + j]) = (sum, k);
                }
            }
        }
    }
    if !area[n - 1].is_finite() {
        return None;
    }
    let (mut found, mut open) = (vec![], vec![(0, n - 1)]);
    while let Some((i, j)) = open.pop() {
        if j > i + 1 {
            let k = corner[i * n + j];
            found.push([border[i], border[k], border[j]]);
            open.extend([(i, k), (k, j)]);
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Topology;
    use crate::shapes::{Mesh, sphere, square, torus, welded};

    fn closed(mesh: &Mesh, longest: usize) -> (Topology, Closed) {
        let added = close_holes(&mesh.0, &mesh.1, longest).unwrap();
        let all = [mesh.1.clone(), added.triangles.clone()].concat();
        (Topology::new(mesh.0.len(), &all).unwrap(), added)
    }

    #[test]
    fn a_ball_without_its_cap_is_closed_by_the_flat_disc() {
        let mut ball = welded(&sphere(16, 1.0));
        ball.1.retain(|t| t.iter().any(|&v| ball.0[v as usize][2] < 0.6));
        let (topology, added) = closed(&ball, 64);
        assert!(topology.watertight() && topology.manifold() && topology.genus() == Some(0), "{topology:?}");
        assert_eq!((added.n_closed, added.n_left, added.triangles.len()), (1, 0, 30));
        // The border is a regular polygon of 32 corners: its area.
        let point = |v: u32| DVec3::from(ball.0[v as usize].map(f64::from));
        let radius = added.triangles[0].map(point)[0].truncate().length();
        let flat = 16.0 * radius * radius * (std::f64::consts::TAU / 32.0).sin();
        let area: f64 =
            added.triangles.iter().map(|t| t.map(point)).map(|[a, b, c]| 0.5 * (b - a).cross(c - a).z).sum();
        assert!((area - flat).abs() < 1e-6, "{area} {flat}");
        assert_eq!(closed(&ball, 31).1, Closed { n_left: 1, ..Closed::default() });
    }

    #[test]
    fn holes_of_one_triangle_and_holes_that_touch_are_closed() {
        let mut ring = welded(&torus(24, 12, 1.0, 0.4));
        ring.1.remove(100);
        ring.1.remove(7);
        // Two opposite triangles around one vertex.
        let v = ring.1[300][0];
        let around: Vec<usize> = (0..ring.1.len()).filter(|&k| ring.1[k].contains(&v)).collect();
        let shares = |k: usize| ring.1[k].iter().filter(|w| ring.1[around[0]].contains(w)).count();
        let other = *around.iter().find(|&&k| shares(k) == 1).unwrap();
        let (a, b) = (around[0].min(other), around[0].max(other));
        ring.1.remove(b);
        ring.1.remove(a);
        let (topology, added) = closed(&ring, 8);
        assert!(topology.watertight() && topology.manifold() && topology.genus() == Some(1), "{topology:?}");
        assert_eq!((added.n_closed, added.n_left), (4, 0));
    }

    #[test]
    fn borders_of_sheets_and_nonsense_are_left_or_told() {
        let sheet = welded(&square(4));
        assert_eq!(closed(&sheet, 8).1, Closed { n_left: 1, ..Closed::default() });
        // The border of one triangle can only be closed by its other side.
        assert!(closed(&(vec![[0.0; 3]; 3], vec![[0, 1, 2]]), 8).1.n_closed <= 1);
        assert_eq!(close_holes(&[], &[], 8).unwrap(), Closed::default());
        assert!(close_holes(&[[0.0; 3]], &[[0, 0, 1]], 8).is_err());
        assert!(close_holes(&[[f32::NAN; 3]], &[], 8).is_err());
    }
}
