//! Compositing of splats front to back in tiles of pixels, and its reverse mode.
//!
//! **Determinism**: a tile is drawn by one thread and sums of gradients run over the tiles in order, so that results are
//! the same bits for any number of threads.

use crate::project::{Splat, SplatGrad};
use lumigrad_core::map::approx::Elementary;
use lumigrad_core::simd::vectorized;
use rayon::prelude::*;

const TILE: usize = 16;
/// Pixels of a row whose falloffs are computed together.
const LANES: usize = 8;
/// Largest alpha of a splat.
const ALPHA_MAX: f32 = 0.99;
/// A pixel is finished before the splat that would leave less transmittance than this.
const T_MIN: f32 = 1e-4;

/// Splats and, per tile, those that may touch it, front to back.
pub(crate) struct Frame<R> {
    pub size: [usize; 2],
    pub alpha_min: R,
    /// Splat and the Gaussian it is of, front to back.
    pub splats: Vec<(u32, Splat<R>)>,
    tiles: Vec<Vec<u32>>,
}

/// A pixel before the background: red, green, blue, depth, and the transmittance behind all.
pub(crate) type Pixel<R> = ([R; 4], R);

impl<R: Elementary> Frame<R> {
    /// Sorts the splats by depth (ties by Gaussian) and lists them per tile.
    pub fn new(mut splats: Vec<(u32, Splat<R>)>, size: [usize; 2], alpha_min: R) -> Self {
        splats.sort_by(|a, b| a.1.channels[3].partial_cmp(&b.1.channels[3]).unwrap_or(std::cmp::Ordering::Equal));
        let columns = size[0].div_ceil(TILE);
        let mut tiles = vec![Vec::new(); columns * size[1].div_ceil(TILE)];
        for (index, (_, splat)) in splats.iter().enumerate() {
            let [x, y] = span(splat, [0, 0], size);
            if x.0 < x.1 && y.0 < y.1 {
                for row in y.0 / TILE..y.1.div_ceil(TILE) {
                    for column in x.0 / TILE..x.1.div_ceil(TILE) {
                        tiles[row * columns + column].push(index as u32);
                    }
                }
            }
        }
        Self { size, alpha_min, splats, tiles }
    }

    /// Calls `visit(pixel in the tile, place in the tile's list, splat, dx, dy, e^−σ, T before)` for all that is drawn, front
    /// to back, and returns the transmittances left.
    #[inline(always)]
    fn walk(&self, tile: usize, mut visit: impl FnMut(usize, usize, &Splat<R>, [R; 2], R, R)) -> [R; TILE * TILE] {
        let (low, high) = self.bounds(tile);
        let mut left = [R::ONE; TILE * TILE];
        let mut done = [false; TILE * TILE];
        for (place, &index) in self.tiles[tile].iter().enumerate() {
            let splat = &self.splats[index as usize].1;
            let [xs, ys] = span(splat, low, high);
            for y in ys.0..ys.1 {
                let dy = splat.mean[1] - R::from_f64(y as f64 + 0.5);
                for x0 in (xs.0..xs.1).step_by(LANES) {
                    let mut dx = [R::ZERO; LANES];
                    let mut falloff = [R::ZERO; LANES];
                    let mut any = false;
                    for k in 0..LANES {
                        let [a, b, c] = splat.conic;
                        dx[k] = splat.mean[0] - R::of((x0 + k) as f32 + 0.5);
                        let sigma = R::of(0.5) * (a * dx[k] * dx[k] + c * dy * dy) + b * dx[k] * dy;
                        let inside = R::of((sigma >= R::ZERO) as u8 as f32);
                        falloff[k] = (-sigma).exp_() * inside;
                        any |= alpha(splat, falloff[k]) >= self.alpha_min;
                    }
                    if !any {
                        continue;
                    }
                    for k in 0..LANES.min(xs.1 - x0) {
                        let at = (y - low[1]) * TILE + x0 + k - low[0];
                        let alpha = alpha(splat, falloff[k]);
                        if done[at] || !(alpha >= self.alpha_min) {
                            continue;
                        }
                        let next = left[at] * (R::ONE - alpha);
                        if !(next > R::of(T_MIN)) {
                            done[at] = true;
                            continue;
                        }
                        visit(at, place, splat, [dx[k], dy], falloff[k], left[at]);
                        left[at] = next;
                    }
                }
            }
        }
        left
    }

    /// First and one past the last pixel of a tile.
    fn bounds(&self, tile: usize) -> ([usize; 2], [usize; 2]) {
        let columns = self.size[0].div_ceil(TILE);
        let low = [tile % columns * TILE, tile / columns * TILE];
        (low, [(low[0] + TILE).min(self.size[0]), (low[1] + TILE).min(self.size[1])])
    }

    /// The pixels of a tile that are in the picture: place in the tile, place in the picture.
    fn pixels(&self, tile: usize) -> impl Iterator<Item = (usize, usize)> + use<R> {
        let (low, high) = self.bounds(tile);
        let width = self.size[0];
        (low[1]..high[1])
            .flat_map(move |y| (low[0]..high[0]).map(move |x| ((y - low[1]) * TILE + x - low[0], y * width + x)))
    }

    /// The picture [H·W].
    pub fn forward(&self) -> Vec<Pixel<R>> {
        let drawn: Vec<_> = (0..self.tiles.len())
            .into_par_iter()
            .map(|tile| {
                let mut sums = [[R::ZERO; 4]; TILE * TILE];
                let left = vectorized(|| {
                    self.walk(tile, |at, _, splat, _, falloff, t| {
                        let weight = alpha(splat, falloff) * t;
                        for ch in 0..4 {
                            sums[at][ch] += weight * splat.channels[ch];
                        }
                    })
                });
                (sums, left)
            })
            .collect();
        let mut out = vec![([R::ZERO; 4], R::ONE); self.size[0] * self.size[1]];
        for (tile, (sums, left)) in drawn.iter().enumerate() {
            for (at, pixel) in self.pixels(tile) {
                out[pixel] = (sums[at], left[at]);
            }
        }
        out
    }

    /// Derivative by each splat, given the picture of [`Frame::forward`] and the derivative by its pixels.
    pub fn backward(&self, picture: &[Pixel<R>], grads: &[Pixel<R>]) -> Vec<SplatGrad<R>> {
        let parts: Vec<Vec<SplatGrad<R>>> = (0..self.tiles.len())
            .into_par_iter()
            .map(|tile| vectorized(|| self.backward_tile(tile, picture, grads)))
            .collect();
        let mut out = vec![SplatGrad::default(); self.splats.len()];
        for (tile, part) in self.tiles.iter().zip(&parts) {
            for (&index, g) in tile.iter().zip(part) {
                let sum = &mut out[index as usize];
                (0..2).for_each(|k| sum.mean[k] += g.mean[k]);
                (0..3).for_each(|k| sum.conic[k] += g.conic[k]);
                (0..4).for_each(|k| sum.channels[k] += g.channels[k]);
                sum.opacity += g.opacity;
            }
        }
        out
    }

    #[inline(always)]
    fn backward_tile(&self, tile: usize, picture: &[Pixel<R>], grads: &[Pixel<R>]) -> Vec<SplatGrad<R>> {
        let mut out = vec![SplatGrad::<R>::default(); self.tiles[tile].len()];
        let mut by_channel = [[R::ZERO; 4]; TILE * TILE];
        // Product of the gradient with what is still to come, and the part that acts through the last transmittance.
        let (mut rest, mut behind) = ([R::ZERO; TILE * TILE], [R::ZERO; TILE * TILE]);
        for (at, pixel) in self.pixels(tile) {
            by_channel[at] = grads[pixel].0;
            rest[at] = (0..4).map(|ch| grads[pixel].0[ch] * picture[pixel].0[ch]).sum();
            behind[at] = grads[pixel].1 * picture[pixel].1;
        }
        self.walk(tile, |at, place, splat, [dx, dy], falloff, t| {
            let alpha = alpha(splat, falloff);
            let g = &mut out[place];
            let mut colour = R::ZERO;
            for ch in 0..4 {
                colour += by_channel[at][ch] * splat.channels[ch];
                g.channels[ch] += alpha * t * by_channel[at][ch];
            }
            rest[at] += -(alpha * t * colour);
            let by_alpha = t * colour - (rest[at] + behind[at]) / (R::ONE - alpha);
            if splat.opacity * falloff < R::of(ALPHA_MAX) {
                let s = -(alpha * by_alpha);
                let [a, b, c] = splat.conic;
                let half = R::of(0.5);
                g.conic[0] += s * half * dx * dx;
                g.conic[1] += s * dx * dy;
                g.conic[2] += s * half * dy * dy;
                g.mean[0] += s * (a * dx + b * dy);
                g.mean[1] += s * (b * dx + c * dy);
                g.opacity += falloff * by_alpha;
            }
        });
        out
    }
}

#[inline(always)]
fn alpha<R: Elementary>(splat: &Splat<R>, falloff: R) -> R {
    (splat.opacity * falloff).min(R::of(ALPHA_MAX))
}

/// Columns and rows (first, one past the last) of the pixels between `low` and `high` whose centres a splat may reach.
fn span<R: Elementary>(splat: &Splat<R>, low: [usize; 2], high: [usize; 2]) -> [(usize, usize); 2] {
    std::array::from_fn(|k| {
        let clamp = |x: R| (x.to_f64().clamp(low[k] as f64, high[k] as f64)) as usize;
        // One pixel more on either side than exact arithmetic needs: rounding must not lose a pixel.
        (
            clamp((splat.mean[k] - splat.half[k]).floor() - R::ONE),
            clamp((splat.mean[k] + splat.half[k]).floor() + R::of(2.0)),
        )
    })
}
