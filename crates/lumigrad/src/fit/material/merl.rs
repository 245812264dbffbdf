//! Measured materials of the MERL database (Matusik et al. 2003).
//!
//! A file has three 32-bit numbers, the cells along the half angle (finer near 0), the difference angle and the turn; then
//! 64-bit numbers in that order, the turn fastest, all of red, of green, of blue. Negative ones were not measured.

use super::angles::Angles;
use crate::{Error, Result};
use std::f64::consts::{FRAC_PI_2, PI};
use std::path::Path;

/// Cells along half angle, difference angle and turn.
const CELLS: [usize; 3] = [90, 90, 180];
const COUNT: usize = CELLS[0] * CELLS[1] * CELLS[2];
/// What the file's numbers of each channel are multiplied by.
const SCALES: [f64; 3] = [1.0 / 1500.0, 1.15 / 1500.0, 1.66 / 1500.0];
const HEADER: usize = 12;
const HELP: &str = "give a file of the MERL BRDF database";

/// A measured material.
pub struct Merl {
    /// Per cell.
    values: Vec<[f32; 3]>,
    /// Cells that were measured, with both directions above the horizon.
    known: Vec<u32>,
}

impl Merl {
    /// Reads a file.
    ///
    /// # Errors
    /// A file of another size or shape; numbers that are not finite; nothing that was measured.
    pub fn load(path: &Path) -> Result<Self> {
        let io = |e| Error::io(path, e);
        let length = std::fs::metadata(path).map_err(io)?.len();
        let expected = (HEADER + 3 * 8 * COUNT) as u64;
        if length != expected {
            return Err(Error::file(path.display(), format!("{length} bytes, expected {expected}"), HELP));
        }
        Self::parse(&std::fs::read(path).map_err(io)?, &path.display().to_string())
    }

    fn parse(bytes: &[u8], location: &str) -> Result<Self> {
        let fails = |message: String| Error::file(location, message, HELP);
        let (header, body) = bytes.split_at_checked(HEADER).ok_or_else(|| fails("ends in its header".into()))?;
        let cells: Vec<i32> = header.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        if cells.iter().zip(CELLS).any(|(&found, expected)| found as i64 != expected as i64) {
            return Err(fails(format!("cells {cells:?}, expected {CELLS:?}")));
        }
        let (numbers, rest) = body.as_chunks::<8>();
        if numbers.len() != 3 * COUNT || !rest.is_empty() {
            return Err(fails(format!("{} bytes of numbers, expected {}", body.len(), 3 * 8 * COUNT)));
        }
        let mut values = vec![[0.0; 3]; COUNT];
        for (k, &bytes) in numbers.iter().enumerate() {
            let x = f64::from_le_bytes(bytes) * SCALES[k / COUNT];
            if !x.is_finite() {
                return Err(fails(format!("number {k} is not finite")));
            }
            values[k % COUNT][k / COUNT] = x as f32;
        }
        let is_known = |k: &u32| values[*k as usize].iter().all(|x| *x >= 0.0) && centre(*k as usize).is_above();
        let known: Vec<u32> = (0..COUNT as u32).filter(is_known).collect();
        if known.is_empty() {
            return Err(fails("nothing in it was measured".into()));
        }
        Ok(Self { values, known })
    }

    /// A cell that was measured, by a random number.
    pub fn draw(&self, number: u64) -> Angles {
        centre(self.known[(number % self.known.len() as u64) as usize] as usize)
    }

    /// The BRDF of the cell around angles; 0 where it was not measured.
    pub fn at(&self, angles: Angles) -> [f32; 3] {
        let place =
            [(angles.half / FRAC_PI_2).max(0.0).sqrt(), angles.difference / FRAC_PI_2, angles.turn.rem_euclid(PI) / PI];
        let index = |k: usize| ((place[k] * CELLS[k] as f64) as usize).min(CELLS[k] - 1);
        self.values[(index(0) * CELLS[1] + index(1)) * CELLS[2] + index(2)].map(|x| x.max(0.0))
    }
}

/// Angles in the middle of a cell.
fn centre(cell: usize) -> Angles {
    let index = [cell / (CELLS[1] * CELLS[2]), cell / CELLS[2] % CELLS[1], cell % CELLS[2]];
    Angles::from_unit(std::array::from_fn(|k| (index[k] as f64 + 0.5) / CELLS[k] as f64))
}

/// The bytes of a file of a material that is known at angles; negative numbers stand for what was not measured.
#[cfg(test)]
pub fn bytes(value: impl Fn(Angles) -> [f64; 3]) -> Vec<u8> {
    let mut out: Vec<u8> = CELLS.iter().flat_map(|&n| (n as i32).to_le_bytes()).collect();
    let values: Vec<[f64; 3]> = (0..COUNT).map(|k| value(centre(k))).collect();
    for (channel, scale) in SCALES.iter().enumerate() {
        out.extend(values.iter().flat_map(|v| (v[channel] / scale).to_le_bytes()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another number in every cell.
    fn unlike(a: Angles) -> [f64; 3] {
        [a.half + 0.1, a.difference + 2.0 * a.turn, if a.half > 1.2 { -1.0 } else { a.turn }]
    }

    #[test]
    fn what_was_written_is_read() {
        let merl = Merl::parse(&bytes(unlike), "a.binary").unwrap();
        for k in (0..COUNT).step_by(997) {
            let angles = centre(k);
            let (found, expected) = (merl.at(angles), unlike(angles).map(|x| x.max(0.0)));
            assert!((0..3).all(|c| (found[c] as f64 - expected[c]).abs() < 1e-5), "{k}: {found:?} {expected:?}");
            // Light and viewer exchanged.
            assert_eq!(merl.at(Angles { turn: angles.turn + PI, ..angles }), found);
        }
        for number in 0..1000 {
            let angles = merl.draw(number * 7919);
            assert!(angles.half < 1.2 && angles.is_above(), "{angles:?}");
        }
        // Angles at their ends belong to the last cells.
        merl.at(Angles { half: FRAC_PI_2, difference: FRAC_PI_2, turn: 2.0 * PI });
    }

    #[test]
    fn mistakes_are_told() {
        let whole = bytes(unlike);
        let said = |bytes: &[u8]| Merl::parse(bytes, "a.binary").err().unwrap().to_string();
        assert!(said(&whole[..7]).contains("header"));
        assert!(said(&whole[..5000]).contains("4988 bytes of numbers"));
        let mut other = whole.clone();
        other[0] = 91;
        assert!(said(&other).contains("cells [91, 90, 180], expected [90, 90, 180]"));
        let mut nan = whole;
        nan[HEADER + 8 * 5..HEADER + 8 * 6].copy_from_slice(&f64::NAN.to_le_bytes());
        assert!(said(&nan).contains("number 5 is not finite"));
        assert!(said(&bytes(|_| [-1.0; 3])).contains("nothing in it was measured"));
    }
}
