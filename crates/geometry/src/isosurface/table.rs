//! The triangles of a cell for each of the 256 patterns of signs at its corners, made by rule.
//!
//! Corner x + 2y + 4z stands at (x, y, z). Edge 4a + k runs along axis a; the bits of k are its place on the axes a + 1
//! and a + 2, modulo 3.

use std::sync::OnceLock;

/// Triangles of a cell at most.
pub(super) const MOST: usize = 5;

/// What a cell is cut into.
#[derive(Clone, Copy, Default)]
pub(super) struct Case {
    pub n: usize,
    /// Triangles by the edges that their corners are on, counter-clockwise from the positive side.
    pub triangles: [[u8; 3]; MOST],
    /// A bit per edge that is crossed.
    pub edges: u16,
}

/// Where an edge begins.
pub(super) fn offset(edge: usize) -> [usize; 3] {
    let (axis, k) = (edge / 4, edge % 4);
    let mut at = [0; 3];
    (at[(axis + 1) % 3], at[(axis + 2) % 3]) = (k & 1, k >> 1);
    at
}

/// The case of each pattern, whose bits are the negative corners.
pub(super) fn cases() -> &'static [Case; 256] {
    static CASES: OnceLock<[Case; 256]> = OnceLock::new();
    CASES.get_or_init(|| std::array::from_fn(case))
}

fn case(negative: usize) -> Case {
    let mut out = Case::default();
    for polygon in polygons(negative, None) {
        out.edges |= polygon.iter().fold(0, |bits, edge| bits | 1 << edge);
        for t in triangulate(&polygon).unwrap_or_default() {
            out.triangles[out.n] = t;
            out.n += 1;
        }
    }
    out
}

/// The outlines of the surface in a cell, as edges. On the face `turned`, which has two diagonal pairs, the positive corners
/// are cut off from each other.
pub(super) fn polygons(negative: usize, turned: Option<u8>) -> Vec<Vec<u8>> {
    let mut next = successors(negative, turned);
    let outline = |start: usize| {
        let mut polygon = vec![];
        let mut at = start;
        while let Some(to) = next[at].take() {
            polygon.push(at as u8);
            at = to;
        }
        polygon
    };
    (0..12).map(outline).filter(|polygon| !polygon.is_empty()).collect()
}

/// The edge that the cell's outline goes on to from each edge that is crossed, with the positive side to its right when
/// seen from outside.
///
/// On every face, a stretch of negative corners is cut off from the rest. Where two such corners face each other
/// diagonally both are cut off, whatever the rest of the cell is like: so both cells of a face draw the same lines on it.
/// On the face `turned` the two others are.
fn successors(negative: usize, turned: Option<u8>) -> [Option<usize>; 12] {
    let mut next = [None; 12];
    for (axis, side) in (0..3).flat_map(|axis| [(axis, 0), (axis, 1)]) {
        // Corners around the face, counter-clockwise from outside.
        let corner = |u: usize, v: usize| side << axis | u << ((axis + 1) % 3) | v << ((axis + 2) % 3);
        let mut around = [corner(0, 0), corner(1, 0), corner(1, 1), corner(0, 1)];
        if side == 0 {
            around.reverse();
        }
        let is = |k: usize| negative >> around[k % 4] & 1 == 1;
        let edge = |k: usize| between(around[k % 4], around[(k + 1) % 4]);
        for k in (0..4).filter(|&k| !is(k) && is(k + 1)) {
            let end = (k + 1..k + 4).find(|&j| is(j) && !is(j + 1)).unwrap_or(k + 1);
            let turned = turned == Some(face(axis, side));
            next[edge(k)] = Some(edge(if turned { k + 3 } else { end }));
        }
    }
    next
}

/// Number of the face across an axis on one side.
pub(super) fn face(axis: usize, side: usize) -> u8 {
    (2 * axis + side) as u8
}

/// The edge between two corners.
fn between(p: usize, q: usize) -> usize {
    let axis = (p ^ q).trailing_zeros() as usize;
    4 * axis + ((p >> ((axis + 1) % 3) & 1) | (p >> ((axis + 2) % 3) & 1) << 1)
}

/// Cuts a polygon of edges into triangles, no diagonal of which lies in a face: there the neighbouring cell could have the
/// same diagonal, and four triangles would meet in it.
fn triangulate(polygon: &[u8]) -> Option<Vec<[u8; 3]>> {
    let n = polygon.len();
    if n < 3 {
        return Some(vec![]);
    }
    let (first, last) = (polygon[0], polygon[n - 1]);
    (1..n - 1).find_map(|k| {
        let apex = polygon[k];
        let open = |p: u8, q: u8, side: bool| side || faces(p as usize) & faces(q as usize) == 0;
        if !open(first, apex, k == 1) || !open(apex, last, k == n - 2) {
            return None;
        }
        let (left, right) = (triangulate(&polygon[..=k])?, triangulate(&polygon[k..])?);
        Some([vec![[first, apex, last]], left, right].concat())
    })
}

/// A bit for each of the two faces of an edge.
pub(super) fn faces(edge: usize) -> u8 {
    let at = offset(edge);
    (0..3).filter(|&axis| axis != edge / 4).map(|axis| 1 << (2 * axis + at[axis])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn every_case_is_cut_along_its_outline() {
        for (negative, case) in cases().iter().enumerate() {
            let crossed = |e: usize| {
                let at = offset(e);
                let low = at[0] | at[1] << 1 | at[2] << 2;
                (negative >> low ^ negative >> (low | 1 << (e / 4))) & 1 == 1
            };
            assert!((0..12).all(|e| (case.edges >> e & 1 == 1) == crossed(e)), "{negative}");
            // Sides without a partner are the outline: one into and one out of each crossed edge, each on a face.
            let mut sides: HashMap<(u8, u8), i32> = HashMap::new();
            for t in &case.triangles[..case.n] {
                for k in 0..3 {
                    *sides.entry((t[k], t[(k + 1) % 3])).or_default() += 1;
                }
            }
            assert!(sides.values().all(|&n| n == 1), "{negative}");
            let outline: Vec<_> = sides.keys().filter(|(p, q)| !sides.contains_key(&(*q, *p))).collect();
            assert_eq!(outline.len(), case.edges.count_ones() as usize, "{negative}");
            assert!(outline.iter().all(|(p, q)| faces(*p as usize) & faces(*q as usize) != 0));
            // Diagonals are within the cell.
            let inner = sides.keys().filter(|(p, q)| sides.contains_key(&(*q, *p)));
            assert!(inner.into_iter().all(|(p, q)| faces(*p as usize) & faces(*q as usize) == 0), "{negative}");
        }
        assert_eq!(cases().iter().map(|c| c.n).max(), Some(MOST));
        assert_eq!(cases()[1].triangles[0], [0, 4, 8]);
    }
}
