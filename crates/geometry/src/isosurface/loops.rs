//! The sheets of surface in a cell, for each of the 256 patterns of signs at its corners: what dual methods have a vertex for.

use super::table::{faces, polygons};
use std::sync::OnceLock;

/// No edge is crossed there.
pub(super) const NONE: u8 = u8::MAX;

/// Which sheet each edge of a cell is crossed by.
#[derive(Clone, Copy)]
pub(super) struct Loops {
    /// Sheets.
    pub n: usize,
    /// The sheet of each edge, or [`NONE`].
    pub of: [u8; 12],
}

impl Loops {
    fn new(polygons: &[Vec<u8>]) -> Self {
        let mut of = [NONE; 12];
        for (k, polygon) in polygons.iter().enumerate() {
            polygon.iter().for_each(|&edge| of[edge as usize] = k as u8);
        }
        Self { n: polygons.len(), of }
    }

    /// A bit per edge of a sheet.
    pub fn edges(&self, sheet: usize) -> u16 {
        (0..12).filter(|&e| self.of[e] == sheet as u8).fold(0, |bits, e| bits | 1 << e)
    }
}

/// A pattern of signs.
#[derive(Clone, Copy)]
pub(super) struct Sheets {
    /// As marching cubes draws them.
    pub plain: Loops,
    /// The face, if there is one, on which one sheet has two lines. Where both cells of the face do, their vertices would be
    /// joined twice and the surface not be manifold.
    pub doubled: Option<u8>,
    /// With the other two corners of that face cut off, which makes two sheets.
    pub turned: Loops,
}

impl Sheets {
    /// The sheets to use.
    pub fn loops(&self, turned: bool) -> &Loops {
        if turned { &self.turned } else { &self.plain }
    }
}

/// The sheets of each pattern, whose bits are the negative corners.
pub(super) fn sheets() -> &'static [Sheets; 256] {
    static SHEETS: OnceLock<[Sheets; 256]> = OnceLock::new();
    SHEETS.get_or_init(|| std::array::from_fn(of_pattern))
}

fn of_pattern(negative: usize) -> Sheets {
    let outlines = polygons(negative, None);
    let lines = |face: u8| {
        let on = |edge: &u8| faces(*edge as usize) >> face & 1 == 1;
        outlines.iter().map(|p| p.iter().filter(|e| on(e)).count() / 2).max().unwrap_or(0)
    };
    let doubled = (0..6).find(|&face| lines(face) == 2);
    let turned = doubled.map_or(outlines.clone(), |face| polygons(negative, Some(face)));
    Sheets { plain: Loops::new(&outlines), doubled, turned: Loops::new(&turned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_patterns_draw_two_lines_of_one_sheet_on_a_face_and_turning_it_parts_them() {
        let all: Vec<&Sheets> = sheets().iter().filter(|s| s.doubled.is_some()).collect();
        // Two diagonal positive corners of a face, and the same with the one opposite them positive: 12 and 24 of them.
        assert_eq!(all.len(), 36);
        for s in all {
            let face = s.doubled.unwrap();
            assert_eq!((s.plain.n, s.turned.n), (1, 2));
            let on: Vec<u8> = (0..12).filter(|&e| faces(e) >> face & 1 == 1).map(|e| s.turned.of[e]).collect();
            assert_eq!(on.iter().filter(|&&sheet| sheet == 0).count(), 2);
            assert!(on.iter().all(|&sheet| sheet != NONE));
        }
        assert_eq!(sheets().iter().map(|s| s.plain.n).max(), Some(4));
    }
}
