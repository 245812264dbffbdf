//! The cheapest split of a lattice's corners into two sets: a minimum cut.

mod flow;
#[cfg(test)]
mod tests;

use crate::{Error, Lattice, Result};
use flow::Flow;

/// What a split of a lattice's corners costs.
///
/// The cost of a labelling is Σ over corners of `outside` where the corner is outside and of `inside` where it is inside,
/// and Σ over neighbours that are told apart of the `link` between them.
#[derive(Clone, Debug)]
pub struct Split {
    /// The corners.
    pub lattice: Lattice,
    /// Cost of leaving each corner outside; infinite: it must be inside.
    pub outside: Vec<f64>,
    /// Cost of taking each corner in; infinite: it must be outside.
    pub inside: Vec<f64>,
    /// Cost of telling each corner from the next one along x, y and z; of the last ones it does not count.
    pub links: Vec<[f64; 3]>,
}

impl Split {
    /// Which corners are inside in the cheapest split; where several are equally cheap, in the one with the fewest inside.
    ///
    /// **Errors**: arrays that have not one entry per corner, costs below 0 or not a number, infinite links, a corner
    /// that must be on both sides. **Accuracy**: finite costs count in parts of 2⁻³² of the largest.
    /// **Determinism**: one thread, whole numbers. **Cost**: 81 bytes and some hundred operations per corner where the
    /// corners of both sides are near each other.
    /// **Source**: Boykov & Jolly 2001 (the graph); Dinic 1970 (the flow).
    ///
    /// # Errors
    /// As above.
    pub fn cheapest(&self) -> Result<Vec<bool>> {
        self.check()?;
        Ok(Flow::of(self).settle())
    }

    /// What a labelling costs.
    pub fn cost(&self, inside: &[bool]) -> f64 {
        let [nx, ny, nz] = self.lattice.size;
        let (strides, sizes) = ([1, nx, nx * ny], [nx, ny, nz]);
        let mut sum = 0.0;
        for (k, &label) in inside.iter().enumerate().take(self.lattice.len()) {
            sum += if label { self.inside[k] } else { self.outside[k] };
            let place = [k % nx, k / nx % ny, k / (nx * ny)];
            for a in 0..3 {
                if place[a] + 1 < sizes[a] && inside[k + strides[a]] != label {
                    sum += self.links[k][a];
                }
            }
        }
        sum
    }

    fn check(&self) -> Result<()> {
        let n = self.lattice.len();
        let wrong = |what: String| Err(Error::Split(what));
        let lengths = [self.outside.len(), self.inside.len(), self.links.len()];
        if lengths.iter().any(|l| *l != n) {
            return wrong(format!("costs of {lengths:?} corners, expected {n} of the lattice {:?}", self.lattice.size));
        }
        for k in 0..n {
            let (ends, links) = ([self.outside[k], self.inside[k]], self.links[k]);
            if !ends.iter().all(|c| *c >= 0.0) || !links.iter().all(|c| *c >= 0.0 && c.is_finite()) {
                let message = "expected numbers of at least 0, finite between corners";
                return wrong(format!("corner {k} costs {ends:?} and {links:?} to its next ones; {message}"));
            }
            if ends == [f64::INFINITY; 2] {
                return wrong(format!("corner {k} must be inside and outside; let one of its costs be finite"));
            }
        }
        Ok(())
    }
}
