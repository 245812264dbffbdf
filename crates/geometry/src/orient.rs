use crate::topology::Sets;
use crate::weld_positions;
use glam::DVec3;

/// Sums of area vectors beyond this part of the area tell that a surface is far from closed: it has no volume.
const OPEN: f64 = 0.1;

/// Which triangles to turn so that neighbours face the same side and a closed surface outwards.
///
/// Neighbours are triangles that share an edge of two, corners at equal positions being one. Within what is so
/// connected, the side that more area faces wins. Where a surface has no two sides (a Möbius strip) one seam stays.
/// A surface that is nearly closed and encloses a negative volume is turned as a whole.
pub(crate) fn turned(positions: &[[f32; 3]], triangles: &[[u32; 3]]) -> Vec<bool> {
    let (class, _) = weld_positions(positions);
    let vertex = |corner: usize| class[triangles[corner / 3][corner % 3] as usize];
    let mut edges: Vec<(u32, u32, usize)> = (0..3 * triangles.len())
        .map(|corner| (vertex(corner), vertex(corner / 3 * 3 + (corner + 1) % 3), corner))
        .filter(|e| e.0 != e.1)
        .map(|(a, b, corner)| (a.min(b), a.max(b), corner))
        .collect();
    edges.sort_unstable();
    // A triangle and its other side: parts that face one side.
    let n = triangles.len();
    let mut sides = Sets::new(2 * n);
    for pair in edges.chunk_by(|x, y| (x.0, x.1) == (y.0, y.1)) {
        let &[(.., i), (.., j)] = pair else { continue };
        let same = (vertex(i) != vertex(j)) as usize;
        let (s, t) = (i / 3, j / 3);
        // An agreement that would make a triangle its own other side is left out.
        if sides.root(2 * s) != sides.root(2 * t + same) {
            sides.join(2 * s, 2 * t + 1 - same);
            sides.join(2 * s + 1, 2 * t + same);
        }
    }
    let areas: Vec<DVec3> = triangles.iter().map(|t| area(positions, t)).collect();
    let mut facing = vec![0.0; 2 * n];
    for t in 0..n {
        facing[sides.root(2 * t)] += areas[t].length();
    }
    let mut turned: Vec<bool> = (0..n).map(|t| facing[sides.root(2 * t)] < facing[sides.root(2 * t + 1)]).collect();
    if inside_out(positions, triangles, &areas, &turned) {
        turned.iter_mut().for_each(|t| *t = !*t);
    }
    turned
}

fn inside_out(positions: &[[f32; 3]], triangles: &[[u32; 3]], areas: &[DVec3], turned: &[bool]) -> bool {
    let (mut across, mut total, mut centre) = (DVec3::ZERO, 0.0, DVec3::ZERO);
    let middle = |t: &[u32; 3]| t.iter().map(|&v| point(positions, v)).sum::<DVec3>() / 3.0;
    let signed = |t: usize| if turned[t] { -areas[t] } else { areas[t] };
    for (k, t) in triangles.iter().enumerate() {
        across += signed(k);
        total += areas[k].length();
        centre += middle(t) * areas[k].length();
    }
    centre /= total;
    let volume: f64 = triangles.iter().enumerate().map(|(k, t)| signed(k).dot(middle(t) - centre)).sum();
    across.length() < OPEN * total && volume < 0.0
}

fn point(positions: &[[f32; 3]], v: u32) -> DVec3 {
    DVec3::from_array(positions[v as usize].map(f64::from))
}

fn area(positions: &[[f32; 3]], t: &[u32; 3]) -> DVec3 {
    let [a, b, c] = t.map(|v| point(positions, v));
    0.5 * (b - a).cross(c - a)
}
