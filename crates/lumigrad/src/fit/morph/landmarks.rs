//! Pairs of landmarks: as files have them, in pixels, and in the warp's domain.

use crate::{Error, Result};
use std::collections::HashMap;
use std::path::Path;

/// Columns and rows.
type Size = (usize, usize);

/// Most pairs.
const MOST: usize = 4096;
const HELP: &str = "a line is `xa ya xb yb`, pixels of the first and of the second picture; # begins a comment";

/// A place in the first picture and the one in the second that it goes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    pub a: [f64; 2],
    pub b: [f64; 2],
}

impl Pair {
    /// From pixels to the domain.
    pub fn inwards(self, [a, b]: [Size; 2]) -> Self {
        Self { a: inwards(self.a, a), b: inwards(self.b, b) }
    }
}

/// A place in pixels of a picture, in the domain, where the picture's longer side goes from −1 to 1.
pub fn inwards([x, y]: [f64; 2], (w, h): Size) -> [f64; 2] {
    let longest = w.max(h) as f64;
    [(2.0 * x - w as f64) / longest, (2.0 * y - h as f64) / longest]
}

/// A place of the domain, in pixels of a picture.
pub fn outwards([x, y]: [f64; 2], (w, h): Size) -> [f64; 2] {
    let longest = w.max(h) as f64;
    [(x * longest + w as f64) / 2.0, (y * longest + h as f64) / 2.0]
}

/// The corners of two pictures.
pub fn corners([a, b]: [Size; 2]) -> [Pair; 4] {
    let at = |k: usize, (w, h): Size| [(k % 2 * w) as f64, (k / 2 * h) as f64];
    std::array::from_fn(|k| Pair { a: at(k, a), b: at(k, b) })
}

/// Reads a file.
///
/// # Errors
/// A line that is no pair, with its number; places outside of their picture; a place that goes to two; none at all.
pub fn load(path: &Path, sizes: [Size; 2]) -> Result<Vec<Pair>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let text = String::from_utf8(bytes).map_err(|_| Error::file(path.display(), "is no text", HELP))?;
    parse(&text, &path.display().to_string(), sizes)
}

fn parse(text: &str, location: &str, sizes: [Size; 2]) -> Result<Vec<Pair>> {
    let mut pairs: Vec<Pair> = vec![];
    let mut lines: [HashMap<[u64; 2], usize>; 2] = Default::default();
    for (number, line) in (1..).zip(text.lines()) {
        let fails = |message: String| Error::file(format!("{location}:{number}"), message, HELP);
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || c == ',').filter(|w| !w.is_empty()).collect();
        if words.is_empty() {
            continue;
        }
        let read = |word: &&str| {
            let found = word.parse::<f64>().ok().filter(|x| x.is_finite());
            found.ok_or_else(|| fails(format!("{word:?} is no number")))
        };
        let numbers = words.iter().map(read).collect::<Result<Vec<f64>>>()?;
        let &[xa, ya, xb, yb] = numbers.as_slice() else {
            return Err(fails(format!("{} numbers, expected 4", numbers.len())));
        };
        let pair = Pair { a: [xa, ya], b: [xb, yb] };
        for (which, [x, y], (w, h)) in [("first", pair.a, sizes[0]), ("second", pair.b, sizes[1])] {
            if !(x >= 0.0 && y >= 0.0 && x <= w as f64 && y <= h as f64) {
                return Err(fails(format!("{x}, {y} lies outside of the {which} picture, which has {w}x{h} pixels")));
            }
        }
        for (which, [x, y], known) in [("first", pair.a, 0), ("second", pair.b, 1)] {
            // Adding 0 makes one zero of two.
            let before = lines[known].insert([x, y].map(|x| (x + 0.0).to_bits()), number);
            if let Some(before) = before.filter(|_| !pairs.contains(&pair)) {
                return Err(fails(format!("{x}, {y} of the {which} picture has another partner in line {before}")));
            }
        }
        pairs.push(pair);
        if pairs.len() > MOST {
            return Err(fails(format!("more than {MOST} landmarks")));
        }
    }
    match pairs.is_empty() {
        true => Err(Error::file(location, "no landmarks", HELP)),
        false => Ok(pairs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [Size; 2] = [(64, 48), (40, 80)];

    #[test]
    fn spaces_commas_and_comments_are_read() {
        let text = "# left eye\n 1 2.5\t3 4\n\n5,6,7,8 # right eye\r\n0, 48, 40, 0\n1 2.5 3 4\n";
        let found = parse(text, "l.txt", SIZES).unwrap();
        let pair = |a, b| Pair { a, b };
        let first = pair([1.0, 2.5], [3.0, 4.0]);
        assert_eq!(found, [first, pair([5.0, 6.0], [7.0, 8.0]), pair([0.0, 48.0], [40.0, 0.0]), first]);
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, said) in [
            ("1 2 3\n", "l.txt:1: 3 numbers, expected 4"),
            ("1 2 3 4 5", "5 numbers"),
            ("\n# x\n1 2 3 four", "l.txt:3: \"four\" is no number"),
            ("1 2 3 nan", "\"nan\" is no number"),
            ("1 2 3 1e999", "is no number"),
            ("1 2 3 4\n65 2 3 4", "l.txt:2: 65, 2 lies outside of the first picture, which has 64x48 pixels"),
            ("1 2 3 -4", "3, -4 lies outside of the second"),
            ("1 2 3 4\n1 2 4 4", "l.txt:2: 1, 2 of the first picture has another partner in line 1"),
            ("1 2 3 4\n9 2 3 4", "3, 4 of the second picture has another partner in line 1"),
            ("", "l.txt: no landmarks"),
            ("# 1 2 3 4", "no landmarks"),
        ] {
            let error = parse(text, "l.txt", SIZES).unwrap_err().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
        assert!(parse(&"1 2 3 4\n".repeat(MOST + 1), "l.txt", SIZES).is_err());
    }

    #[test]
    fn pixels_and_the_domain_are_two_names_of_a_place() {
        for (place, size) in [([3.0, 40.0], SIZES[0]), ([40.0, 0.0], SIZES[1])] {
            let back = outwards(inwards(place, size), size);
            assert!((0..2).all(|k| (back[k] - place[k]).abs() < 1e-12), "{place:?} became {back:?}");
        }
        assert_eq!(corners(SIZES)[3].inwards(SIZES), Pair { a: [1.0, 0.75], b: [0.5, 1.0] });
    }
}
