//! Compositing of splats front to back, and its derivatives: a tile at a time, 8 or 16 pixels in a vector.

mod tangent;

pub(crate) use tangent::tangent;

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
    /// Zero where it is not drawn.
    alpha: N,
    /// Where it is, finished pixels included.
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

    /// Columns and rows of a vector of pixels, counted from the first centre.
    #[inline(always)]
    fn place(&self, at: usize) -> [V<S, T>; 2] {
        let end = at + V::<S, T>::LEN;
        let [x, y] = &self.places;
        [V::<S, T>::from_slice(self.simd, &x[at..end]), V::<S, T>::from_slice(self.simd, &y[at..end])]
    }

    /// `splat`: [`Canvas::near`].
    #[inline(always)]
    fn falloff(&self, splat: &Splat<T>, [x, y]: [V<S, T>; 2]) -> Falloff<V<S, T>, Mask<S, T>> {
        let c = |x: T| V::<S, T>::splat(self.simd, x);
        let (dx, dy) = (c(splat.mean[0]) - x, c(splat.mean[1]) - y);
        let [a, b, c2] = splat.quadratic;
        let power = dx.mul_add(dx.mul_add(c(a), dy * c(b)), (dy * dy).mul_add(c(c2), c(splat.log_opacity)));
        let hit = power.simd_ge(c(self.least));
        let alpha = T::exp2(self.simd, power).min(c(T::from_f64(ALPHA_MAX)));
        Falloff { dx, dy, alpha: hit.select(alpha, c(T::ZERO)), hit }
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

/// The next splats of a list, brought together.
struct Near<T> {
    /// Means are counted from the first centre of the tile.
    splats: [Splat<T>; NEAR],
    /// First and last column, and row, that each may reach.
    low: [[T; NEAR]; 2],
    high: [[T; NEAR]; 2],
}

impl<T: Precision> Near<T> {
    fn new() -> Self {
        let nothing = [[T::ZERO; NEAR]; 2];
        Self { splats: [Splat::default(); NEAR], low: nothing, high: nothing }
    }

    #[inline(always)]
    fn gather<S: Simd>(&mut self, canvas: &Canvas<S, T>, frame: &Frame<T>, list: &[u32]) {
        for (k, &splat) in list.iter().take(NEAR).enumerate() {
            let splat = canvas.near(&frame.splats[splat as usize]);
            for axis in 0..2 {
                let half = splat.half[axis] + T::of(0.125);
                self.low[axis][k] = splat.mean[axis] - half;
                self.high[axis][k] = splat.mean[axis] + half;
            }
            self.splats[k] = splat;
        }
    }

    /// The splats, as bits, that may reach the pixels `first` to `first` + `extent` of an axis.
    #[inline(always)]
    fn reach<S: Simd>(&self, simd: S, axis: usize, first: usize, extent: usize) -> u64 {
        let len = V::<S, T>::LEN;
        let first = V::<S, T>::splat(simd, T::of(first as f32));
        let last = first + T::of(extent as f32);
        let mut bits = 0;
        for k in (0..NEAR).step_by(len) {
            let low = V::<S, T>::from_slice(simd, &self.low[axis][k..k + len]);
            let high = V::<S, T>::from_slice(simd, &self.high[axis][k..k + len]);
            bits |= (low.simd_le(last) & high.simd_ge(first)).to_bitmask() << k;
        }
        bits
    }

    /// The first `count` splats, as bits, that may reach each column of cells, and each row of a vector's cells: columns have four
    /// pixels, rows two, or four where a vector has two cells (every second one is then used).
    #[inline(always)]
    fn cells<S: Simd>(&self, simd: S, count: usize) -> ([u64; 4], [u64; 8]) {
        let among = u64::MAX >> (NEAR - count);
        let rows_at_once = if V::<S, T>::LEN > CELL { 4 } else { 2 };
        let (mut columns, mut rows) = ([0; 4], [0; 8]);
        for (k, bits) in columns.iter_mut().enumerate() {
            *bits = self.reach(simd, 0, 4 * k, 3) & among;
        }
        for k in (0..8).step_by(rows_at_once / 2) {
            rows[k] = self.reach(simd, 1, 2 * k, rows_at_once - 1);
        }
        (columns, rows)
    }
}

/// Draws a tile, vector of pixels after vector: what a pixel gathers stays in registers while splats pass by. With `KEEP`
/// the cells that each splat is drawn in are noted.
#[inline(always)]
fn forward_tile<S: Simd, T: Precision, const C: usize, const KEEP: bool>(
    simd: S,
    frame: &Frame<T>,
    tile: usize,
    list: &[u32],
    cells_drawn: &mut [u32],
    out: &mut [[T; PIXELS]; PLANES],
) {
    let [red, green, blue, depth, left] = out;
    let planes = [red, green, blue, depth];
    let canvas = Canvas::new(simd, frame, tile, left);
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let len = V::<S, T>::LEN;
    let mut near = Near::new();
    for first in (0..list.len()).step_by(NEAR) {
        let count = (list.len() - first).min(NEAR);
        near.gather(&canvas, frame, &list[first..first + count]);
        let (columns, rows) = near.cells(simd, count);
        let (mut hits, mut open) = ([0u32; NEAR], false);
        for at in (0..PIXELS).step_by(len) {
            let mut t = canvas.left_at(at);
            if !t.simd_gt(c(0.0)).any_true() {
                continue;
            }
            open = true;
            let cell = at / CELL;
            let own: u32 = if len > CELL { 3 << cell } else { 1 << cell };
            let mut bits = columns[cell / 2 % 4] & rows[cell / 8 * 2 + cell % 2];
            let mut sums = [c(0.0); C];
            for ch in 0..C {
                sums[ch] = V::<S, T>::from_slice(simd, &planes[ch][at..at + len]);
            }
            let place = canvas.place(at);
            while bits != 0 {
                let k = bits.trailing_zeros() as usize % NEAR;
                bits &= bits - 1;
                let splat = &near.splats[k];
                let f = canvas.falloff(splat, place);
                let next = (-t).mul_add(f.alpha, t);
                let stays = next.simd_gt(c(T_MIN));
                let weight = stays.select(f.alpha * t, c(0.0));
                for ch in 0..C {
                    sums[ch] = weight.mul_add(V::<S, T>::splat(simd, splat.channels[ch]), sums[ch]);
                }
                if KEEP {
                    let drawn = (f.hit & t.simd_gt(c(0.0))).any_true();
                    hits[k] |= if drawn { own } else { 0 };
                }
                t = stays.select(next, -t.abs());
                if !stays.any_true() {
                    break;
                }
            }
            for ch in 0..C {
                sums[ch].store_slice(&mut planes[ch][at..at + len]);
            }
            t.store_slice(&mut canvas.left[at..at + len]);
        }
        if KEEP {
            cells_drawn[first..first + count].copy_from_slice(&hits[..count]);
        }
        if !open {
            if KEEP {
                cells_drawn[first..].fill(0);
            }
            break;
        }
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
            let f = canvas.falloff(splat, canvas.place(at));
            let alpha = f.alpha;
            let t = canvas.left_at(at);
            let next = (-t).mul_add(alpha, t);
            let stays = next.simd_gt(c(T_MIN));
            let shown = f.hit & stays;
            let weight = stays.select(alpha * t, c(0.0));
            let mut colour = c(0.0);
            for ch in 0..C {
                let g = V::<S, T>::from_slice(simd, &grads[ch][at..at + len]);
                colour = g.mul_add(V::<S, T>::splat(simd, splat.channels[ch]), colour);
                moments[6 + ch] = weight.mul_add(g, moments[6 + ch]);
            }
            let to_come = V::<S, T>::from_slice(simd, &rest[at..at + len]) - weight * colour;
            to_come.store_slice(&mut rest[at..at + len]);
            let by_alpha = t * colour - to_come * T::inverse(simd, c(1.0) - alpha);
            let s = (shown & alpha.simd_lt(c(ALPHA_MAX))).select(-(alpha * by_alpha), c(0.0));
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
            let after = stays.select(next, -t.abs());
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
    /// Draws a frame, in the memory of an earlier picture; without `depth` its plane is zero. What only [`Drawn::backward`]
    /// needs is left out unless it is to be kept.
    pub fn update(&mut self, frame: &Frame<T>, depth: bool, keep: bool) {
        let n = frame.starts.len().saturating_sub(1);
        self.picture.resize_with(n, || [[T::ZERO; PIXELS]; PLANES]);
        self.cells.resize(if keep { frame.ids.len() } else { 0 }, 0);
        let none: Vec<u32> = if keep { vec![] } else { vec![0; n + 1] };
        let tiles = lists(&mut self.cells, if keep { &frame.starts } else { &none }).into_par_iter();
        tiles.zip(self.picture.par_iter_mut()).enumerate().for_each(|(tile, ((_, cells), out))| {
            *out = [[T::ZERO; PIXELS]; PLANES];
            let list = &frame.ids[frame.starts[tile] as usize..frame.starts[tile + 1] as usize];
            match (depth, keep) {
                (true, true) => {
                    dispatch!(level(), simd => forward_tile::<_, T, 4, true>(simd, frame, tile, list, cells, out))
                }
                (true, false) => {
                    dispatch!(level(), simd => forward_tile::<_, T, 4, false>(simd, frame, tile, list, cells, out))
                }
                (false, true) => {
                    dispatch!(level(), simd => forward_tile::<_, T, 3, true>(simd, frame, tile, list, cells, out))
                }
                (false, false) => {
                    dispatch!(level(), simd => forward_tile::<_, T, 3, false>(simd, frame, tile, list, cells, out))
                }
            }
        });
    }

    /// As [`Drawn::update`], without depth and kept, with the change of the picture when splats change along `tangents`: rows
    /// of mean, quadratic form, log₂ of the opacity, red, green, blue and depth.
    pub fn update_along(&mut self, frame: &Frame<T>, tangents: &[[T; 10]], change: &mut Tiled<T>) {
        tangent::drawn_along(frame, tangents, (&mut self.picture, &mut self.cells), change);
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
