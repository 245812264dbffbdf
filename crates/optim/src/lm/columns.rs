//! Which columns of a Jacobian can be had together.

use lumigrad_core::Tensor;
use std::ops::Range;

/// Elements of all arrays, flat, in passes. Where each residual depends on one row of an array at most (a camera's motion,
/// which its own picture sees alone), the rows' columns do not overlap and share a pass: six for any number of cameras.
pub struct Columns {
    /// Elements of the array whose rows are separable, and the length of a row.
    shared: Option<(Range<usize>, usize)>,
    elements: usize,
}

impl Columns {
    /// `separable[k]` tells of array k that its rows, along the last dimension, are. Two such arrays overlap with each
    /// other; the larger one is used.
    pub fn new(like: &[Tensor], separable: &[bool]) -> Self {
        let (mut shared, mut elements) = (None::<(Range<usize>, usize)>, 0);
        for (k, t) in like.iter().enumerate() {
            let here = elements..elements + t.len();
            elements = here.end;
            let Some(width) = row(t, separable.get(k).copied().unwrap_or(false)) else { continue };
            if shared.as_ref().is_none_or(|(there, _)| there.len() < here.len()) {
                shared = Some((here, width));
            }
        }
        Self { shared, elements }
    }

    /// All elements.
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// Passes that all columns take.
    pub fn passes(&self) -> usize {
        self.shared.as_ref().map_or(self.elements, |(range, width)| self.elements - range.len() + width)
    }

    /// The elements of a pass.
    pub fn members(&self, pass: usize) -> impl Iterator<Item = usize> + use<> {
        let (first, end, step) = match &self.shared {
            None => (pass, pass + 1, 1),
            Some((range, width)) if pass < *width => (range.start + pass, range.end, *width),
            Some((range, width)) => {
                let other = pass - width;
                let element = if other < range.start { other } else { other + range.len() };
                (element, element + 1, 1)
            }
        };
        (first..end).step_by(step)
    }

    /// The elements of JᵀJ's column `k` that its pass tells: of a shared pass those in the same row.
    pub fn seen_from(&self, k: usize) -> Range<usize> {
        match &self.shared {
            Some((range, width)) if range.contains(&k) => {
                let first = k - (k - range.start) % width;
                first..first + width
            }
            _ => 0..self.elements,
        }
    }

    /// True where column `k`'s pass tells element `i`.
    pub fn sees(&self, k: usize, i: usize) -> bool {
        self.seen_from(k).contains(&i)
    }
}

/// Length of an array's rows, where there are several that are separable.
pub fn row(t: &Tensor, separable: bool) -> Option<usize> {
    let width = t.shape().last().copied().filter(|w| separable && *w > 0)?;
    (t.len() > width).then_some(width)
}
