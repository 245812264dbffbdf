//! The CPU bodies: rays in parallel.

use super::{KeepBuffers, KeepParams, MarchCountBuffers, MarchEmitBuffers, Params, VisibleBuffers};
use crate::kernels::{PIECE, STILL, by_rays, row, span};
use crate::occupancy::words_of;
use lumigrad_core::Real;
use rayon::prelude::*;

/// The lattice and the grid.
struct Scene<'a, R> {
    step: R,
    ratio: R,
    unbounded: bool,
    resolution: usize,
    /// Where the bits of the coarser levels begin.
    starts: [usize; 2],
    words: &'a [u32],
}

struct Ray<R> {
    origin: [R; 3],
    direction: [R; 3],
    shift: R,
    first: u32,
    far: R,
}

impl<'a, R: Real> Scene<'a, R> {
    fn new(p: &Params, words: &'a [u32]) -> Self {
        let resolution = p.resolution as usize;
        let first = words_of(resolution, 0);
        let starts = [first, first + words_of(resolution, 1)];
        let (step, ratio) = (R::of(p.step), R::of(p.ratio));
        Self { step, ratio, unbounded: p.unbounded == 1, resolution, starts, words }
    }

    /// Distance of place number x of the lattice.
    fn distance(&self, x: R) -> R {
        if x * self.ratio > R::ONE { self.step / self.ratio * (self.ratio * x - R::ONE).exp() } else { self.step * x }
    }

    fn number(&self, t: R) -> R {
        if t * self.ratio <= self.step {
            return t / self.step;
        }
        (R::ONE + (t * self.ratio / self.step).ln()) / self.ratio
    }

    /// The first place number whose middle lies at or behind a distance.
    fn first_behind(&self, t: R, shift: R) -> u32 {
        (self.number(t) - shift - R::of(0.5)).to_f64().ceil().max(0.0) as u32
    }

    fn ray(&self, p: &Params, origin: [R; 3], direction: [R; 3], shift: R) -> Ray<R> {
        let [near, far] = span(origin, direction, [R::of(p.near), R::of(p.far)], self.unbounded);
        Ray { origin, direction, shift, first: self.first_behind(near, shift), far }
    }

    fn is_full(&self, start: usize, side: usize, [x, y, z]: [usize; 3]) -> bool {
        let bit = (z * side + y) * side + x;
        self.words[start + bit / 32] >> (bit % 32) & 1 == 1
    }

    /// The coarsest empty level at a point of the cube.
    fn empty_level(&self, q: [R; 3]) -> Option<u32> {
        let n = self.resolution;
        let cell = q.map(|x| (((x.to_f64() + 1.0) * 0.5 * n as f64) as usize).min(n - 1));
        if !self.is_full(self.starts[1], n >> 4, cell.map(|c| c >> 4)) {
            Some(2)
        } else if !self.is_full(self.starts[0], n >> 2, cell.map(|c| c >> 2)) {
            Some(1)
        } else if !self.is_full(0, n, cell) {
            Some(0)
        } else {
            None
        }
    }

    /// The next sample from a place number on.
    fn advance(&self, ray: &Ray<R>, mut i: u32) -> Option<u32> {
        loop {
            let t = self.distance(R::from_f64(i as f64) + ray.shift + R::of(0.5));
            if !(t < ray.far) {
                return None;
            }
            let p: [R; 3] = std::array::from_fn(|a| ray.origin[a] + t * ray.direction[a]);
            let norm = p[0].abs().max(p[1].abs()).max(p[2].abs());
            let inner = if self.unbounded { R::of(0.5) } else { R::ONE };
            let contracted = self.unbounded && norm > R::ONE;
            let factor = if contracted { R::of(0.5) * (R::of(2.0) - R::ONE / norm) / norm } else { inner };
            let q = p.map(|x| x * factor);
            let Some(level) = self.empty_level(q) else { return Some(i) };
            let mut next = i + 1;
            if !contracted {
                // Leave the cell: its faces are planes here.
                let size = R::from_f64(2.0 * (1u32 << (2 * level)) as f64 / self.resolution as f64);
                let mut leave = ray.far;
                for a in 0..3 {
                    let d = ray.direction[a];
                    if d.abs() < R::of(STILL) {
                        continue;
                    }
                    let low = ((q[a] + R::ONE) / size).floor();
                    let side = if d > R::ZERO { R::ONE } else { R::ZERO };
                    let face = ((low + side) * size - R::ONE) / inner;
                    leave = leave.min((face - ray.origin[a]) / d);
                }
                next = next.max(self.first_behind(leave, ray.shift));
            }
            i = next;
        }
    }
}

pub fn march_count<R: Real>(p: &Params, _items: usize, b: MarchCountBuffers<'_, R>) {
    let scene = Scene::new(p, b.words);
    b.counts.par_iter_mut().with_min_len(PIECE).enumerate().for_each(|(k, count)| {
        *count = 0;
        if k >= p.rays as usize {
            return;
        }
        let ray = scene.ray(p, row(b.origins, k), row(b.directions, k), b.shifts[k]);
        let mut i = ray.first;
        while *count < p.most
            && let Some(found) = scene.advance(&ray, i)
        {
            i = found + 1;
            *count += 1;
        }
    });
}

pub fn march_emit<R: Real>(p: &Params, _items: usize, b: MarchEmitBuffers<'_, R>) {
    let scene = Scene::new(p, b.words);
    by_rays(b.offsets, [b.middles, b.lengths], |k, _, [middles, lengths]| {
        if middles.is_empty() {
            return;
        }
        let ray = scene.ray(p, row(b.origins, k), row(b.directions, k), b.shifts[k]);
        let (mut next, mut last) = (Some(ray.first), R::ZERO);
        for (middle, length) in middles.iter_mut().zip(lengths) {
            next = next.and_then(|i| scene.advance(&ray, i));
            *length = R::ZERO;
            if let Some(i) = next {
                let x = R::from_f64(i as f64) + ray.shift;
                last = scene.distance(x + R::of(0.5));
                *length = scene.distance(x + R::ONE) - scene.distance(x);
                next = Some(i + 1);
            }
            *middle = last;
        }
    });
}

/// Calls `found` with every sample of a ray that light reaches and that has weight.
fn reached<R: Real>(
    p: &KeepParams,
    (densities, lengths): (&[R], &[R]),
    range: std::ops::Range<usize>,
    mut found: impl FnMut(usize),
) {
    let (deepest, least) = (-R::of(p.threshold).ln(), R::of(p.least));
    let mut depth = R::ZERO;
    for i in range {
        if depth > deepest {
            break;
        }
        let tau = densities[i] * lengths[i];
        if least == R::ZERO || (-depth).exp() * (R::ONE - (-tau).exp()) >= least {
            found(i);
        }
        depth += tau;
    }
}

pub fn visible<R: Real>(p: &KeepParams, _items: usize, b: VisibleBuffers<'_, R>) {
    b.counts.par_iter_mut().with_min_len(PIECE).enumerate().for_each(|(ray, count)| {
        *count = 0;
        if ray < p.rays as usize {
            let range = b.offsets[ray] as usize..b.offsets[ray + 1] as usize;
            reached(p, (b.densities, b.lengths), range, |_| *count += 1);
        }
    });
}

pub fn keep<R: Real>(p: &KeepParams, _items: usize, b: KeepBuffers<'_, R>) {
    by_rays(b.kept, [b.kept_middles, b.kept_lengths], |ray, _, [middles, lengths]| {
        let range = b.offsets[ray] as usize..b.offsets[ray + 1] as usize;
        let mut places = middles.iter_mut().zip(lengths);
        reached(p, (b.densities, b.lengths), range, |i| {
            if let Some((middle, length)) = places.next() {
                (*middle, *length) = (b.middles[i], b.lengths[i]);
            }
        });
    });
}
