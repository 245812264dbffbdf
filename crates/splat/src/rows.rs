//! Parameters of Gaussians in blocks of 16, so that neighbours are worked on in one vector.

use crate::{Error, Gaussians};
use lumigrad_core::Real;

/// Gaussians of a block.
pub(crate) const BLOCK: usize = 16;
/// Places of a Gaussian's numbers: mean 3, log scale 3, rotation 4, logit of the opacity, spherical harmonics.
pub(crate) const SCALE: usize = 3;
pub(crate) const ROTATION: usize = 6;
pub(crate) const OPACITY: usize = 10;
pub(crate) const SH: usize = 11;

/// An array with `width` numbers for each Gaussian, in blocks of [`BLOCK`]: number k of Gaussian i stands at
/// (i / 16 · width + k) · 16 + i mod 16. The last block is filled with zeros, which are never seen: they have no rotation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rows<R> {
    pub n: usize,
    pub width: usize,
    pub data: Vec<R>,
}

impl<R: Real> Rows<R> {
    pub fn zeros(n: usize, width: usize) -> Self {
        Self { n, width, data: vec![R::ZERO; n.div_ceil(BLOCK) * width * BLOCK] }
    }

    pub fn new(gaussians: &Gaussians) -> Self {
        let n_basis = gaussians.n_basis();
        let mut out = Self::zeros(gaussians.len(), SH + 3 * n_basis);
        for i in 0..out.n {
            let head = gaussians.means[i].iter().chain(&gaussians.log_scales[i]).chain(&gaussians.rotations[i]);
            let sh = gaussians.sh[i * n_basis..(i + 1) * n_basis].iter().flatten();
            for (k, &x) in head.chain([&gaussians.opacity_logits[i]]).chain(sh).enumerate() {
                let at = out.at(i, k);
                out.data[at] = R::of(x);
            }
        }
        out
    }

    /// Where number `k` of Gaussian `i` stands.
    pub fn at(&self, i: usize, k: usize) -> usize {
        (i / BLOCK * self.width + k) * BLOCK + i % BLOCK
    }

    /// Number `k` of Gaussian `i`.
    pub fn get(&self, i: usize, k: usize) -> R {
        self.data[self.at(i, k)]
    }

    /// All numbers of Gaussian `i`.
    pub fn row(&self, i: usize) -> impl Iterator<Item = R> + '_ {
        (0..self.width).map(move |k| self.get(i, k))
    }

    /// Adds rows of zeros.
    pub fn grow(&mut self, more: usize) {
        self.n += more;
        self.data.resize(self.n.div_ceil(BLOCK) * self.width * BLOCK, R::ZERO);
    }

    /// Leaves out rows.
    pub fn retain(&mut self, kept: &[bool]) {
        let mut out = Self::zeros(kept.iter().filter(|k| **k).count(), self.width);
        for (to, from) in (0..self.n).filter(|&i| kept[i]).enumerate() {
            out.set_row(to, self.row(from));
        }
        *self = out;
    }

    /// Row `i` becomes `row`.
    pub fn set_row(&mut self, i: usize, row: impl IntoIterator<Item = R>) {
        for (k, x) in row.into_iter().enumerate() {
            let at = self.at(i, k);
            self.data[at] = x;
        }
    }
}

impl Rows<f32> {
    /// All numbers, Gaussian by Gaussian.
    pub fn flat(&self) -> Vec<f32> {
        (0..self.n).flat_map(|i| self.row(i)).collect()
    }

    /// Takes numbers Gaussian by Gaussian.
    pub fn fill(&mut self, all: &[f32], name: &'static str) -> Result<(), Error> {
        if all.len() != self.n * self.width {
            return Err(Error::Length { name, found: all.len(), expected: self.n * self.width });
        }
        all.chunks_exact(self.width).enumerate().for_each(|(i, row)| self.set_row(i, row.iter().copied()));
        Ok(())
    }

    /// The rows as Gaussians of the degree and kernel of `like`.
    pub fn gaussians(&self, like: &Gaussians) -> Gaussians {
        let mut out = Gaussians { sh_degree: like.sh_degree, kernel: like.kernel, ..Default::default() };
        for i in 0..self.n {
            let of = |k: usize| self.get(i, k);
            out.means.push([0, 1, 2].map(of));
            out.log_scales.push([0, 1, 2].map(|k| of(SCALE + k)));
            out.rotations.push([0, 1, 2, 3].map(|k| of(ROTATION + k)));
            out.opacity_logits.push(of(OPACITY));
            out.sh.extend((0..like.n_basis()).map(|b| [0, 1, 2].map(|ch| of(SH + 3 * b + ch))));
        }
        out
    }
}
