//! Numbers of crossed edges.

use super::signs::{BITS, Signs};
use super::{Field, split};
use crate::{Error, Result};
use rayon::prelude::*;

/// The crossed edges of some directions, in order of the samples they begin at (64 at a time, direction by direction).
pub(super) struct Edges<'a, const D: usize> {
    signs: &'a Signs,
    /// A bit per axis that an edge goes along; not 0.
    directions: [usize; D],
    /// Edges before those of each word of samples and direction.
    firsts: Vec<[u32; D]>,
    per_layer: Vec<usize>,
    /// Edges in all.
    pub n: usize,
}

/// The edges of cells.
pub(super) const AXES: [usize; 3] = [1, 2, 4];

impl<'a, const D: usize> Edges<'a, D> {
    /// # Errors
    /// 2³² edges or more.
    pub fn new(signs: &'a Signs, directions: [usize; D]) -> Result<Self> {
        let ([_, ny, nz], words) = (signs.size, signs.words);
        let count = |at: usize| directions.map(|d| signs.crossed(at / words, d, at % words).count_ones());
        let counts: Vec<[u32; D]> = (0..ny * nz * words).into_par_iter().map(count).collect();
        let mut n = 0;
        let mut next = |k: u32| {
            n += k as usize;
            (n - k as usize) as u32
        };
        let firsts = counts.iter().map(|count| count.map(&mut next)).collect();
        if n > u32::MAX as usize {
            return Err(Error::TooLarge { vertices: n });
        }
        let sum = |layer: &[[u32; D]]| layer.as_flattened().iter().sum::<u32>() as usize;
        Ok(Self { signs, directions, firsts, per_layer: counts.chunks(ny * words).map(sum).collect(), n })
    }

    /// The number of a crossed edge in direction `k` of the list.
    pub fn number(&self, [x, y, z]: [usize; 3], k: usize) -> u32 {
        let (row, word) = (z * self.signs.size[1] + y, x / BITS);
        let before = self.signs.crossed(row, self.directions[k], word) & ((1u64 << (x % BITS)) - 1);
        self.firsts[row * self.signs.words + word][k] + before.count_ones()
    }

    /// What `of` makes of each edge, given by the sample it begins at and its direction's place in the list.
    pub fn map<T: Copy + Default + Send>(&self, of: impl Fn([usize; 3], usize) -> T + Sync) -> Vec<T> {
        let ([_, ny, _], words) = (self.signs.size, self.signs.words);
        let mut all = vec![T::default(); self.n];
        let layers = split(&mut all, self.per_layer.iter().copied());
        layers.into_par_iter().enumerate().for_each(|(z, out)| {
            let mut out = out.iter_mut();
            for (at, (k, &d)) in
                (0..ny * words).flat_map(|at| self.directions.iter().enumerate().map(move |direction| (at, direction)))
            {
                let (y, word) = (at / words, at % words);
                let mut left = self.signs.crossed(z * ny + y, d, word);
                while left != 0 {
                    let x = word * BITS + left.trailing_zeros() as usize;
                    left &= left - 1;
                    if let Some(out) = out.next() {
                        *out = of([x, y, z], k);
                    }
                }
            }
        });
        all
    }

    /// Where the field is `iso` on each edge.
    pub fn crossings(&self, field: &Field) -> Vec<[f32; 3]> {
        self.map(|at, k| field.crossing(at, self.directions[k]).map(|x| x as f32))
    }
}
