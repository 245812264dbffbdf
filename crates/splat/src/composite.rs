//! Compositing of splats front to back, and its reverse mode: a tile at a time, 8 or 16 pixels in a vector.

use crate::frame::{Frame, TILE, lists};
use crate::lanes::{Mask, Precision, V, level};
use crate::project::{Moments, Splat};
use fearless_simd::{Select, Simd, SimdBase, SimdFloat, SimdMask, dispatch};
use rayon::prelude::*;

/// Largest alpha of a splat.
pub(crate) const ALPHA_MAX: f64 = 0.99;
/// A pixel is finished before the splat that would leave less transmittance than this.
const T_MIN: f64 = 1e-4;
/// Pixels of a tile.
pub(crate) const PIXELS: usize = TILE * TILE;
/// Planes of a picture: red, green, blue, depth, and the transmittance behind all.
pub(crate) const PLANES: usize = 5;
/// Splats of a list that are brought together before they are drawn: they stand far apart in memory.
const NEAR: usize = 64;
/// Pixels of a cell, 4 × 2: the parts of a tile that are drawn or left out as a whole.
const CELL: usize = 8;

/// A picture before the background, tile by tile and plane by plane. The pixels of a tile are in squares of 4 × 4, row by
/// row within; see [`place`].
pub(crate) type Tiled<T> = Vec<[[T; PIXELS]; PLANES]>;

/// Where a pixel of a tile stands.
pub(crate) const fn place(x: usize, y: usize) -> usize {
    ((y / 4) * 4 + x / 4) * 16 + (y % 4) * 4 + x % 4
}

/// Calls `each(pixel of the picture, tile, place in the tile)`.
pub(crate) fn for_pixels([width, height]: [usize; 2], mut each: impl FnMut(usize, usize, usize)) {
    let columns = width.div_ceil(TILE);
    for y in 0..height {
        for x in 0..width {
            each(y * width + x, y / TILE * columns + x / TILE, place(x % TILE, y % TILE));
        }
    }
}

/// What a vector of pixels is about to see of a splat.
struct Falloff<N, M> {
    dx: N,
    dy: N,
    /// e^−σ times the opacity.
    raw: N,
    /// Drawn, of the pixels that are not finished.
    hit: M,
}

/// The pixels of a tile while splats are drawn.
struct Canvas<'a, S: Simd, T: Precision> {
    simd: S,
    /// First centre of the tile.
    low: [T; 2],
    /// Columns and rows of the pixels from there.
    places: [[T; PIXELS]; 2],
    /// log₂ of the least alpha.
    least: T,
    /// Transmittance; negative where finished.
    left: &'a mut [T; PIXELS],
}

impl<'a, S: Simd, T: Precision> Canvas<'a, S, T> {
    #[inline(always)]
    fn new(simd: S, frame: &Frame<T>, tile: usize, left: &'a mut [T; PIXELS]) -> Self {
        let corner = corner(frame, tile);
        for y in 0..TILE {
            for x in 0..TILE {
                let inside = corner[0] + x < frame.size[0] && corner[1] + y < frame.size[1];
                left[place(x, y)] = if inside { T::ONE } else { -T::ONE };
            }
        }
        let mut places = [[T::ZERO; PIXELS]; 2];
        for y in 0..TILE {
            for x in 0..TILE {
                (places[0][place(x, y)], places[1][place(x, y)]) = (T::of(x as f32), T::of(y as f32));
            }
        }
        Self { simd, low: corner.map(|x| T::of(x as f32 + 0.5)), places, least: frame.least, left }
    }

    #[inline(always)]
    fn falloff(&self, splat: &Splat<T>, at: usize) -> Falloff<V<S, T>, Mask<S, T>> {
        let c = |x: T| V::<S, T>::splat(self.simd, x);
        let len = V::<S, T>::LEN;
        let dx = c(splat.mean[0]) - V::<S, T>::from_slice(self.simd, &self.places[0][at..at + len]);
        let dy = c(splat.mean[1]) - V::<S, T>::from_slice(self.simd, &self.places[1][at..at + len]);
        let [a, b, c2] = splat.quadratic;
        let power = dx.mul_add(dx.mul_add(c(a), dy * c(b)), (dy * dy).mul_add(c(c2), c(splat.log_opacity)));
        let hit = power.simd_ge(c(self.least)) & self.left_at(at).simd_gt(c(T::ZERO));
        Falloff { dx, dy, raw: T::exp2(self.simd, power), hit }
    }

    /// A splat whose mean is counted from the first centre.
    #[inline(always)]
    fn near(&self, splat: &Splat<T>) -> Splat<T> {
        Splat { mean: [splat.mean[0] - self.low[0], splat.mean[1] - self.low[1]], ..*splat }
    }

    /// The first splats of a list, [`Canvas::near`].
    #[inline(always)]
    fn gather(&self, frame: &Frame<T>, list: &[u32], out: &mut [Splat<T>; NEAR]) {
        for (to, &splat) in out.iter_mut().zip(list) {
            *to = self.near(&frame.splats[splat as usize]);
        }
    }

    /// Cells with pixels that are not finished, as bits.
    #[inline(always)]
    fn open(&self) -> u32 {
        let mut open = 0u32;
        for cell in 0..PIXELS / CELL {
            let pixels = &self.left[cell * CELL..(cell + 1) * CELL];
            open |= (pixels.iter().any(|&t| t > T::ZERO) as u32) << cell;
        }
        open
    }

    /// The transmittance of a vector of pixels after a splat; the cells `own` that it stands in are no longer open when all
    /// of their pixels are finished.
    #[inline(always)]
    fn leave(&mut self, at: usize, own: u32, after: V<S, T>, open: &mut u32) {
        let len = V::<S, T>::LEN;
        after.store_slice(&mut self.left[at..at + len]);
        if after.simd_le(V::<S, T>::splat(self.simd, T::ZERO)).all_true() {
            // Vectors shorter than a cell close it when all of its pixels are finished.
            let cell = at / CELL * CELL;
            if len >= CELL || self.left[cell..cell + CELL].iter().all(|&t| t <= T::ZERO) {
                *open &= !own;
            }
        }
    }

    #[inline(always)]
    fn left_at(&self, at: usize) -> V<S, T> {
        V::<S, T>::from_slice(self.simd, &self.left[at..at + V::<S, T>::LEN])
    }
}

fn corner<T>(frame: &Frame<T>, tile: usize) -> [usize; 2] {
    let columns = frame.size[0].div_ceil(TILE);
    [tile % columns * TILE, tile / columns * TILE]
}

/// Cells of a tile whose centres a splat (counted from the first one) may reach, as bits.
#[inline(always)]
fn cells<T: Precision>(splat: &Splat<T>) -> u32 {
    let range = |k: usize, per_pixel: f32| {
        let half = splat.half[k] + T::of(0.125);
        let mean = splat.mean[k];
        let first = ((mean - half) * T::of(per_pixel)).max(T::ZERO).floor();
        let last = ((mean + half) * T::of(per_pixel)).min(T::of(15.0)).floor();
        (first.to_f64() as i32, last.to_f64() as i32)
    };
    // A cell reaches from its first centre to its last one: one of the left and upper neighbours may be in vain.
    let ((x0, x1), (y0, y1)) = (range(0, 0.25), range(1, 0.5));
    let (x1, y1) = (x1.min(3), y1.min(7));
    if x0 > x1 || y0 > y1 {
        return 0;
    }
    let columns = ((1u32 << (2 * (x1 - x0 + 1))) - 1) << (2 * x0);
    let mut lines = 0;
    for y in y0..=y1 {
        lines |= (0x55 << (y & 1)) << (8 * (y >> 1));
    }
    (columns * 0x0101_0101) & lines
}

/// Vectors of pixels in cells. A closure over these would not be compiled for the instruction set of its caller.
struct Vectors {
    bits: u32,
    /// Bits of the cells of the present vector, its first pixel, and the end of its cell.
    own: u32,
    at: usize,
    end: usize,
}

impl Vectors {
    /// Of vectors of `len` pixels.
    #[inline(always)]
    fn new(bits: u32, len: usize) -> Self {
        let bits = if len > CELL { (bits | bits >> 1) & 0x5555_5555 } else { bits };
        Self { bits, own: 0, at: 0, end: 0 }
    }

    #[inline(always)]
    fn next(&mut self, len: usize) -> Option<(usize, u32)> {
        self.at += len;
        if self.at >= self.end {
            if self.bits == 0 {
                return None;
            }
            let cell = self.bits.trailing_zeros();
            self.bits &= self.bits - 1;
            self.own = if len > CELL { 3 << cell } else { 1 << cell };
            self.at = cell as usize * CELL;
            self.end = self.at + CELL;
        }
        Some((self.at, self.own))
    }
}

#[inline(always)]
fn forward_tile<S: Simd, T: Precision, const C: usize>(
    simd: S,
    frame: &Frame<T>,
    tile: usize,
    list: &[u32],
    cells_drawn: &mut [u32],
    out: &mut [[T; PIXELS]; PLANES],
) {
    let [red, green, blue, depth, left] = out;
    let sums = [red, green, blue, depth];
    let mut canvas = Canvas::new(simd, frame, tile, left);
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let len = V::<S, T>::LEN;
    let mut open = canvas.open();
    let mut near = [Splat::default(); NEAR];
    for (k, drawn) in cells_drawn.iter_mut().enumerate() {
        *drawn = 0;
        if open == 0 {
            continue;
        }
        if k % NEAR == 0 {
            canvas.gather(frame, &list[k..], &mut near);
        }
        let splat = &near[k % NEAR];
        let mut hits = 0;
        let mut vectors = Vectors::new(cells(splat) & open, len);
        while let Some((at, own)) = vectors.next(len) {
            // Also where nothing is hit: to skip that costs more than it saves.
            let f = canvas.falloff(splat, at);
            hits |= if f.hit.any_true() { own } else { 0 };
            let alpha = f.raw.min(c(ALPHA_MAX));
            let t = canvas.left_at(at);
            let next = t - t * alpha;
            let stays = next.simd_gt(c(T_MIN));
            let weight = (f.hit & stays).select(alpha * t, c(0.0));
            for ch in 0..C {
                let sum = &mut sums[ch][at..at + len];
                let value = V::<S, T>::splat(simd, splat.channels[ch]);
                weight.mul_add(value, V::<S, T>::from_slice(simd, sum)).store_slice(sum);
            }
            canvas.leave(at, own, f.hit.select(stays.select(next, -t), t), &mut open);
        }
        *drawn = hits;
    }
    canvas.left.iter_mut().for_each(|t| *t = t.abs());
}

#[inline(always)]
#[allow(clippy::too_many_arguments)] // what a tile reads and writes
fn backward_tile<S: Simd, T: Precision, const C: usize, const PULLS: bool>(
    simd: S,
    frame: &Frame<T>,
    tile: usize,
    list: &[u32],
    cells_drawn: Option<&[u32]>,
    picture: &[[T; PIXELS]; PLANES],
    grads: &[[T; PIXELS]; PLANES],
    out: &mut [[T; Moments::<f32>::COUNT]],
) {
    let half = frame.size.map(|n| T::from_f64(-0.5 * std::f64::consts::LN_2 * n as f64));
    let mut left = [T::ZERO; PIXELS];
    let mut canvas = Canvas::new(simd, frame, tile, &mut left);
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let len = V::<S, T>::LEN;
    let mut open = canvas.open();
    // Product of the gradient with what is still to come, the transmittance behind all included.
    let mut rest = [T::ZERO; PIXELS];
    for plane in 0..PLANES {
        for i in 0..PIXELS {
            rest[i] += picture[plane][i] * grads[plane][i];
        }
    }
    let mut near = [Splat::default(); NEAR];
    for (k, out) in out.iter_mut().enumerate() {
        if k % NEAR == 0 {
            canvas.gather(frame, &list[k..], &mut near);
        }
        *out = [T::ZERO; Moments::<f32>::COUNT];
        let splat = &near[k % NEAR];
        let drawn = match cells_drawn {
            Some(drawn) => drawn[k],
            None => cells(splat) & open,
        };
        if drawn == 0 {
            continue;
        }
        let mut moments = [c(0.0); Moments::<f32>::COUNT];
        let mut vectors = Vectors::new(drawn, len);
        while let Some((at, own)) = vectors.next(len) {
            let f = canvas.falloff(splat, at);
            let alpha = f.raw.min(c(ALPHA_MAX));
            let t = canvas.left_at(at);
            let next = t - t * alpha;
            let stays = next.simd_gt(c(T_MIN));
            let shown = f.hit & stays;
            let weight = shown.select(alpha * t, c(0.0));
            let mut colour = c(0.0);
            for ch in 0..C {
                let g = V::<S, T>::from_slice(simd, &grads[ch][at..at + len]);
                colour = g.mul_add(V::<S, T>::splat(simd, splat.channels[ch]), colour);
                moments[6 + ch] = weight.mul_add(g, moments[6 + ch]);
            }
            let to_come = V::<S, T>::from_slice(simd, &rest[at..at + len]) - weight * colour;
            to_come.store_slice(&mut rest[at..at + len]);
            let by_alpha = t * colour - to_come * T::inverse(simd, c(1.0) - alpha);
            let s = (shown & f.raw.simd_lt(c(ALPHA_MAX))).select(-(alpha * by_alpha), c(0.0));
            let (sx, sy) = (s * f.dx, s * f.dy);
            moments[0] += s;
            moments[1] += sx;
            moments[2] += sy;
            moments[3] = sx.mul_add(f.dx, moments[3]);
            moments[4] = sx.mul_add(f.dy, moments[4]);
            moments[5] = sy.mul_add(f.dy, moments[5]);
            if PULLS {
                let [a, b, c2] = splat.quadratic;
                let x = sx * (a + a) + sy * b;
                let y = sx * b + sy * (c2 + c2);
                let (x, y) = (x * half[0], y * half[1]);
                moments[9] += (x * x + y * y).sqrt();
            }
            let after = f.hit.select(stays.select(next, -t), t);
            match cells_drawn {
                Some(_) => after.store_slice(&mut canvas.left[at..at + len]),
                None => canvas.leave(at, own, after, &mut open),
            }
        }
        for (sum, lanes) in out.iter_mut().zip(moments) {
            *sum = lanes.reduce_sum();
        }
    }
}

/// What the forward pass leaves for the backward one.
#[derive(Default)]
pub(crate) struct Drawn<T> {
    pub picture: Tiled<T>,
    /// For each entry the cells that it is drawn in.
    cells: Vec<u32>,
}

impl<T: Precision> Drawn<T> {
    /// Draws a frame, in the memory of an earlier picture; without `depth` its plane is zero.
    pub fn update(&mut self, frame: &Frame<T>, depth: bool) {
        let n = frame.starts.len().saturating_sub(1);
        self.picture.resize_with(n, || [[T::ZERO; PIXELS]; PLANES]);
        self.cells.resize(frame.ids.len(), 0);
        let tiles = lists(&mut self.cells, &frame.starts).into_par_iter().zip(self.picture.par_iter_mut());
        tiles.enumerate().for_each(|(tile, ((first, cells), out))| {
            *out = [[T::ZERO; PIXELS]; PLANES];
            let list = &frame.ids[first..first + cells.len()];
            match depth {
                true => dispatch!(level(), simd => forward_tile::<_, T, 4>(simd, frame, tile, list, cells, out)),
                false => dispatch!(level(), simd => forward_tile::<_, T, 3>(simd, frame, tile, list, cells, out)),
            }
        });
    }

    /// As [`backward`].
    pub fn backward(
        &self,
        frame: &Frame<T>,
        grads: &Tiled<T>,
        wanted: (bool, bool),
        out: &mut Vec<[T; Moments::<f32>::COUNT]>,
    ) {
        backward(frame, &self.picture, Some(&self.cells), grads, wanted, out);
    }
}

/// For each entry, sums of the derivative by its splat ([`Moments`]), given a picture and the derivative by it; `depth` as
/// when it was drawn. Without depth, `pulls` of pixels may be in its place. Without `cells`, those that splats are drawn in
/// are found again.
pub(crate) fn backward<T: Precision>(
    frame: &Frame<T>,
    picture: &Tiled<T>,
    cells: Option<&[u32]>,
    grads: &Tiled<T>,
    (depth, pulls): (bool, bool),
    out: &mut Vec<[T; Moments::<f32>::COUNT]>,
) {
    out.resize(frame.ids.len(), [T::ZERO; Moments::<f32>::COUNT]);
    let tiles = lists(out, &frame.starts).into_par_iter().enumerate();
    tiles.for_each(|(tile, (first, out))| {
        let range = first..first + out.len();
        let (list, cells) = (&frame.ids[range.clone()], cells.map(|c| &c[range]));
        let (picture, grads) = (&picture[tile], &grads[tile]);
        match (depth, pulls) {
            (true, _) => dispatch!(level(), simd => backward_tile::<_, T, 4, false>(simd, frame, tile, list, cells, picture, grads, out)),
            (_, true) => dispatch!(level(), simd => backward_tile::<_, T, 3, true>(simd, frame, tile, list, cells, picture, grads, out)),
            (_, false) => dispatch!(level(), simd => backward_tile::<_, T, 3, false>(simd, frame, tile, list, cells, picture, grads, out)),
        }
    });
}

/// The change of a picture when splats change along `tangents`, rows of mean, quadratic form, log₂ of the opacity, red,
/// green, blue and depth.
pub(crate) fn tangent<T: Precision>(frame: &Frame<T>, tangents: &[[T; 10]]) -> Tiled<T> {
    let mut out = vec![[[T::ZERO; PIXELS]; PLANES]; frame.starts.len().saturating_sub(1)];
    out.par_iter_mut().enumerate().for_each(|(tile, out)| {
        let range = frame.starts[tile] as usize..frame.starts[tile + 1] as usize;
        dispatch!(level(), simd => tangent_tile(simd, frame, tile, &frame.ids[range], tangents, out));
    });
    out
}

#[inline(always)]
fn tangent_tile<S: Simd, T: Precision>(
    simd: S,
    frame: &Frame<T>,
    tile: usize,
    list: &[u32],
    tangents: &[[T; 10]],
    out: &mut [[T; PIXELS]; PLANES],
) {
    let mut left = [T::ZERO; PIXELS];
    let mut canvas = Canvas::new(simd, frame, tile, &mut left);
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let value = |x: T| V::<S, T>::splat(simd, x);
    let len = V::<S, T>::LEN;
    let mut open = canvas.open();
    for &splat in list {
        let by = tangents[splat as usize];
        let splat = canvas.near(&frame.splats[splat as usize]);
        let mut vectors = Vectors::new(cells(&splat) & open, len);
        while let Some((at, own)) = vectors.next(len) {
            let f = canvas.falloff(&splat, at);
            let alpha = f.raw.min(c(ALPHA_MAX));
            let t = canvas.left_at(at);
            let next = t - t * alpha;
            let stays = next.simd_gt(c(T_MIN));
            let shown = f.hit & stays;
            let [qa, qb, qc] = splat.quadratic;
            let slope = (f.dx * qa * c(2.0) + f.dy * qb) * by[0] + (f.dx * qb + f.dy * qc * c(2.0)) * by[1];
            let form = f.dx * f.dx * by[2] + f.dx * f.dy * by[3] + f.dy * f.dy * by[4];
            let by_power = slope + form + value(by[5]);
            let moves = shown & f.raw.simd_lt(c(ALPHA_MAX));
            let by_alpha = moves.select(alpha * by_power * c(std::f64::consts::LN_2), c(0.0));
            let by_left = V::<S, T>::from_slice(simd, &out[PLANES - 1][at..at + len]);
            let weight = shown.select(alpha * t, c(0.0));
            let by_weight = shown.select(by_alpha * t + alpha * by_left, c(0.0));
            for ch in 0..4 {
                let sum = V::<S, T>::from_slice(simd, &out[ch][at..at + len]);
                let sum = sum + by_weight * splat.channels[ch] + weight * by[6 + ch];
                sum.store_slice(&mut out[ch][at..at + len]);
            }
            let after = by_left * (c(1.0) - alpha) - t * by_alpha;
            shown.select(after, by_left).store_slice(&mut out[PLANES - 1][at..at + len]);
            canvas.leave(at, own, f.hit.select(stays.select(next, -t), t), &mut open);
        }
    }
}
