//! CSL files: contours on planes, as text.

use super::{Plane, Region, Slice, Slices};
use crate::{Error, Result};
use glam::DVec3;

/// Vertices may lie so far from their plane, in parts of the extent of all.
const FLATNESS: f64 = 0.01;
/// A gap so many times as long as any edge of a contour is no edge.
const GAP: f64 = 3.0;
/// Files with more planes are damaged.
const MOST_PLANES: usize = 100_000;

/// A line that says something: its number, and its words.
struct Line<'a> {
    number: usize,
    words: Vec<&'a str>,
}

struct Lines<'a> {
    rest: Box<dyn Iterator<Item = (usize, &'a str)> + 'a>,
    last: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let lines = text.lines().enumerate().map(|(k, line)| (k + 1, line.trim()));
        Self { rest: Box::new(lines.filter(|(_, line)| !line.is_empty())), last: 1 }
    }

    /// The next line, which holds `what` in at least `n` words.
    fn next(&mut self, what: &str, n: usize) -> Result<Line<'a>> {
        let Some((number, text)) = self.rest.next() else {
            return fail(self.last, format!("the file ends where {what} is expected; it was cut off"));
        };
        self.last = number;
        let words: Vec<&str> = text.split_whitespace().collect();
        if words.len() < n {
            return fail(number, format!("{} words, expected {what}", words.len()));
        }
        Ok(Line { number, words })
    }
}

fn fail<T>(line: usize, message: String) -> Result<T> {
    Err(Error::Text { line, message })
}

impl Line<'_> {
    fn count(&self, word: usize, what: &str) -> Result<usize> {
        let text = self.words[word];
        text.parse().or_else(|_| fail(self.number, format!("{text:?} is no {what}, expected a whole number")))
    }

    fn number(&self, word: usize) -> Result<f64> {
        let text = self.words[word];
        match text.parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(x),
            _ => fail(self.number, format!("{text:?} is no finite number")),
        }
    }

    fn vector(&self, word: usize) -> Result<DVec3> {
        Ok(DVec3::new(self.number(word)?, self.number(word + 1)?, self.number(word + 2)?))
    }
}

/// A plane as the file has it.
struct Section {
    line: usize,
    index: String,
    normal: DVec3,
    offset: f64,
    points: Vec<DVec3>,
    components: Vec<Vec<usize>>,
}

impl Slices {
    /// Reads a CSL file: `CSLC`, the numbers of planes and labels, then for each plane a line `index vertices components
    /// A B C D` (the plane Ax + By + Cz + D = 0), a line per vertex, and a line per component: the number of its vertices
    /// (with `hK` behind it where it is a hole of component K), a label, and the vertices' indices.
    ///
    /// Holes are found by parity, whatever the file calls them. Planes without vertices are kept: nothing is inside there.
    ///
    /// # Errors
    /// A file that says something else: the line, what was found and what was expected.
    pub fn from_csl(text: &str) -> Result<Self> {
        let mut lines = Lines::new(text);
        let first = lines.next("CSLC", 1)?;
        if first.words[0].trim_start_matches('\u{feff}') != "CSLC" {
            return fail(first.number, format!("{:?}, expected CSLC: this is no CSL file", first.words[0]));
        }
        let counts = lines.next("the numbers of planes and labels", 2)?;
        let n_planes = counts.count(0, "number of planes")?;
        let n_labels = counts.count(1, "number of labels")?;
        if !(1..=MOST_PLANES).contains(&n_planes) {
            return fail(counts.number, format!("{n_planes} planes, expected 1 to {MOST_PLANES}"));
        }
        let mut found = Self::default();
        if n_labels > 2 {
            found.warnings.push(format!("{n_labels} labels: what is inside of an odd number of contours is the solid"));
        }
        let sections = (0..n_planes).map(|k| section(&mut lines, k + 1, n_planes)).collect::<Result<Vec<_>>>()?;
        if let Some((line, text)) = lines.rest.next() {
            let text: String = text.chars().take(20).collect();
            return fail(line, format!("{text:?} after the last of {n_planes} planes"));
        }
        let points = || sections.iter().flat_map(|s| &s.points);
        let lo = points().fold(DVec3::INFINITY, |a, &b| a.min(b));
        let hi = points().fold(DVec3::NEG_INFINITY, |a, &b| a.max(b));
        let (centre, extent) = if lo.x <= hi.x { ((lo + hi) / 2.0, lo.distance(hi)) } else { (DVec3::ZERO, 0.0) };
        for section in sections {
            let slice = section.slice(centre, extent, &mut found.warnings)?;
            found.slices.push(slice);
        }
        Ok(found)
    }
}

fn section(lines: &mut Lines, number: usize, of: usize) -> Result<Section> {
    let what = format!("plane {number} of {of} (index, vertices, components, A, B, C, D)");
    let head = lines.next(&what, 7)?;
    let (n_points, n_components) = (head.count(1, "number of vertices")?, head.count(2, "number of components")?);
    let (normal, offset) = (head.vector(3)?, head.number(6)?);
    if normal == DVec3::ZERO {
        return fail(head.number, format!("plane {} has the normal 0 0 0", head.words[0]));
    }
    let (mut points, mut components) = (vec![], vec![]);
    for k in 0..n_points {
        let line = lines.next(&format!("vertex {k} of {n_points} of plane {number}"), 3)?;
        if line.words.len() != 3 {
            return fail(line.number, format!("{} words, expected the 3 numbers of vertex {k}", line.words.len()));
        }
        points.push(line.vector(0)?);
    }
    for k in 0..n_components {
        let line = lines.next(&format!("component {k} of {n_components} of plane {number}"), 2)?;
        let (count, parent) = line.words[0].split_once('h').map_or((line.words[0], None), |(c, p)| (c, Some(p)));
        let (Ok(count), true) = (count.parse::<usize>(), parent.is_none_or(|p| p.parse::<usize>().is_ok())) else {
            return fail(
                line.number,
                format!("{:?} is no number of vertices, nor one of a hole (12h0)", line.words[0]),
            );
        };
        line.count(1, "label")?;
        let given = line.words.len() - 2;
        if given != count {
            return fail(line.number, format!("{given} indices, expected {count}"));
        }
        let indices = (2..line.words.len()).map(|w| match line.count(w, "index")? {
            i if i < n_points => Ok(i),
            i => fail(line.number, format!("index {i}, expected less than {n_points}: the vertices of this plane")),
        });
        components.push(indices.collect::<Result<Vec<_>>>()?);
    }
    Ok(Section { line: head.number, index: head.words[0].to_owned(), normal, offset, points, components })
}

impl Section {
    fn slice(self, centre: DVec3, extent: f64, warnings: &mut Vec<String>) -> Result<Slice> {
        let length = self.normal.length();
        let height = |p: &DVec3| (self.normal.dot(*p) + self.offset) / length;
        let n = self.points.len();
        let off = self.points.iter().map(|p| height(p).abs()).fold(0.0, f64::max);
        if !(off <= FLATNESS * extent.max(f64::MIN_POSITIVE)) && n > 0 {
            let message = format!("vertices of plane {} lie up to {off:.3} away from it, expected on it", self.index);
            return fail(self.line, message);
        }
        // Where numbers were rounded, vertices tell the offset better.
        let offset = self.offset - self.points.iter().map(height).sum::<f64>() / n.max(1) as f64 * length;
        let Some(plane) = Plane::new(self.normal, offset, centre) else {
            return fail(self.line, format!("plane {} is not finite", self.index));
        };
        let mut contours = vec![];
        for component in &self.components {
            let polygon: Vec<_> = component.iter().map(|&i| plane.flat(self.points[i])).collect();
            if polygon.len() < 3 {
                warnings.push(format!("plane {}: a contour of {} vertices is left out", self.index, polygon.len()));
                continue;
            }
            let longest = polygon.windows(2).map(|w| w[0].distance(w[1])).fold(0.0, f64::max);
            let gap = polygon[0].distance(polygon[polygon.len() - 1]);
            if gap > GAP * longest {
                let index = &self.index;
                warnings.push(format!("plane {index}: the ends of a contour are {gap:.3} apart; a line closes it"));
            }
            contours.push(polygon);
        }
        Ok(Slice { plane, region: Region::new(contours) })
    }
}
