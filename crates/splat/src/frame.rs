//! Splats of a view, listed by the tiles that they touch.

use crate::Error;
use crate::lanes::{Precision, level};
use crate::project::{Camera, Splat, project};
use crate::rows::{BLOCK, Rows};
use fearless_simd::{Simd, dispatch};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Pixels along a side of a tile.
pub(crate) const TILE: usize = 16;
/// Most entries of all lists: 2.5 GB of them.
const MOST: usize = 1 << 27;
/// Blocks that are projected together.
const CHUNK: usize = 32;

/// A splat in the list of a tile.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// The bits of its depth.
    depth: u32,
    splat: u32,
    /// Place among all lists in the order of splats.
    slot: u32,
}

/// Splats and, per tile, those that touch it.
///
/// Every entry of a list has one writer, and sums run over the entries of a splat in the order of tiles: results are the
/// same bits for any number of threads.
#[derive(Default)]
pub(crate) struct Frame<T> {
    /// Columns and rows of the picture.
    pub size: [usize; 2],
    /// log₂ of the least alpha that is drawn.
    pub least: T,
    /// In the order of Gaussians.
    pub splats: Vec<Splat<T>>,
    /// For each block of Gaussians its first splat, and a bit for each Gaussian that has one.
    pub blocks: Vec<(u32, u16)>,
    /// First slot of each splat, and the number of all.
    slots: Vec<u32>,
    /// Lists of all tiles, one after the other, in the order of splats.
    entries: Vec<Entry>,
    /// Splats of all tiles, one after the other, by depth.
    pub ids: Vec<u32>,
    /// First entry of each tile, and the number of all.
    pub starts: Vec<u32>,
    /// Slot → entry, known once lists are sorted.
    places: Vec<AtomicU32>,
    parts: Vec<Part<T>>,
}

/// Splats of a chunk with the tiles of each.
#[derive(Default)]
struct Part<T> {
    splats: Vec<Splat<T>>,
    blocks: Vec<(u32, u16)>,
    counts: Vec<u32>,
    tiles: Vec<u32>,
}

impl<T: Precision> Frame<T> {
    /// Splats as rows (mean, quadratic form, log₂ of the opacity, red, green, blue, depth) with lists that were made
    /// elsewhere.
    pub fn listed(rows: &[[T; 10]], ids: &[u32], starts: &[u32], size: [usize; 2], least: T) -> Self {
        let splat = |r: &[T; 10]| {
            // Of the conic, up to a factor: σ = −ln 2 · (a dx² + b dx dy + c dy²).
            let scale = T::from_f64(-2.0 * std::f64::consts::LN_2);
            let (a, b, c) = (r[2] * scale, r[3] * scale * T::of(0.5), r[4] * scale);
            let det = a * c - b * b;
            Splat {
                mean: [r[0], r[1]],
                quadratic: [r[2], r[3], r[4]],
                log_opacity: r[5],
                channels: [r[6], r[7], r[8], r[9]],
                half: [c, a].map(|x| (reach(r[5], least) * x / det).sqrt()),
            }
        };
        Self {
            size,
            least,
            splats: rows.iter().map(splat).collect(),
            ids: ids.to_vec(),
            starts: starts.to_vec(),
            ..Default::default()
        }
    }

    /// Projects all rows and lists the splats, in the memory of an earlier frame.
    ///
    /// **Errors**: more entries than memory should hold; the lists are then empty.
    pub fn update(&mut self, rows: &Rows<T>, camera: &Camera<T>, size: [usize; 2]) -> Result<(), Error> {
        self.size = size;
        self.least = camera.least;
        let chunk = CHUNK * rows.width * BLOCK;
        let mut parts = std::mem::take(&mut self.parts);
        parts.resize_with(rows.data.len().div_ceil(chunk), Part::default);
        let chunks = parts.par_iter_mut().zip(rows.data.par_chunks(chunk));
        chunks.for_each(|(part, chunk)| self.fill(part, chunk, rows.width, camera));
        let listed = self.list(&parts);
        self.parts = parts;
        listed
    }

    /// Makes the lists of tiles of those of splats.
    fn list(&mut self, parts: &[Part<T>]) -> Result<(), Error> {
        self.splats.clear();
        self.blocks.clear();
        self.slots.clear();
        let entries: usize = parts.iter().map(|p| p.tiles.len()).sum();
        if entries > MOST {
            self.starts.clear();
            self.ids.clear();
            return Err(Error::Lists { entries, most: MOST });
        }
        let mut slot = 0;
        for part in parts {
            let first = self.splats.len() as u32;
            self.splats.extend_from_slice(&part.splats);
            self.blocks.extend(part.blocks.iter().map(|&(start, bits)| (first + start, bits)));
            for &count in &part.counts {
                self.slots.push(slot);
                slot += count;
            }
        }
        self.slots.push(slot);
        let [columns, lines] = self.tiles();
        self.starts.clear();
        self.starts.resize(columns * lines + 1, 0);
        for &tile in parts.iter().flat_map(|p| &p.tiles) {
            self.starts[tile as usize + 1] += 1;
        }
        for t in 0..columns * lines {
            self.starts[t + 1] += self.starts[t];
        }
        self.entries.resize(slot as usize, Entry::default());
        self.places.resize_with(slot as usize, || AtomicU32::new(0));
        // Each thread walks over the tiles of all splats, and lists those of its own part of the picture.
        let per = (columns * lines).div_ceil(rayon::current_num_threads()).max(1);
        let mut all = lists(&mut self.entries, &self.starts);
        let shares = all.par_chunks_mut(per).enumerate();
        shares.for_each(|(k, lists)| scatter(parts, k * per, lists));
        let places = &self.places;
        self.ids.resize(slot as usize, 0);
        let sorted = lists(&mut self.ids, &self.starts);
        all.into_par_iter().zip(sorted).for_each_init(Vec::new, |keys, ((first, list), (_, ids))| {
            keys.clear();
            keys.extend(list.iter().enumerate().map(|(k, e)| (e.depth as u64) << 32 | k as u64));
            keys.sort_unstable();
            for (k, (key, id)) in keys.iter().zip(ids).enumerate() {
                let entry = list[*key as u32 as usize];
                *id = entry.splat;
                places[entry.slot as usize].store((first + k) as u32, Relaxed);
            }
        });
        Ok(())
    }

    fn fill(&self, part: &mut Part<T>, chunk: &[T], width: usize, camera: &Camera<T>) {
        part.splats.clear();
        part.blocks.clear();
        part.counts.clear();
        part.tiles.clear();
        for block in chunk.chunks_exact(width * BLOCK) {
            let first = part.splats.len() as u32;
            let bits = dispatch!(level(), simd => fill_block(simd, self.size, block, camera, part));
            part.blocks.push((first, bits));
        }
    }

    /// Columns and rows of tiles.
    pub fn tiles(&self) -> [usize; 2] {
        self.size.map(|n| n.div_ceil(TILE))
    }

    /// Moments of a splat: the sum over its entries.
    #[inline(always)]
    pub fn sum<const C: usize>(&self, splat: usize, of: &[[T; C]]) -> [T; C] {
        let mut sum = [T::ZERO; C];
        for slot in self.slots[splat]..self.slots[splat + 1] {
            let part = &of[self.places[slot as usize].load(Relaxed) as usize];
            (0..C).for_each(|k| sum[k] += part[k]);
        }
        sum
    }
}

/// Adds the splats of a block and their tiles; gives a bit for each Gaussian that has one.
#[inline(always)]
fn fill_block<S: Simd, T: Precision>(
    simd: S,
    size: [usize; 2],
    block: &[T],
    camera: &Camera<T>,
    part: &mut Part<T>,
) -> u16 {
    let mut splats = [Splat::default(); BLOCK];
    let mut rest = project(simd, block, camera, &mut splats);
    let mut bits = 0;
    while rest != 0 {
        let k = rest.trailing_zeros() as usize;
        rest &= rest - 1;
        let count = part.tiles.len();
        tiles_of(&splats[k], size, camera.least, &mut part.tiles);
        if part.tiles.len() > count {
            bits |= 1 << k;
            part.counts.push((part.tiles.len() - count) as u32);
            part.splats.push(splats[k]);
        }
    }
    bits
}

/// Lists the splats of some tiles from `first` on.
fn scatter<T: Precision>(parts: &[Part<T>], first: usize, lists: &mut [(usize, &mut [Entry])]) {
    let mut filled = vec![0usize; lists.len()];
    let (mut splat, mut slot) = (0, 0);
    for part in parts {
        let mut tiles = &part.tiles[..];
        for (own, &count) in part.splats.iter().zip(&part.counts) {
            // Depths are positive: their bits are in the order of their values.
            let depth = (own.channels[3].to_f64() as f32).to_bits();
            let (now, rest) = tiles.split_at(count as usize);
            for (k, &tile) in now.iter().enumerate() {
                let tile = (tile as usize).wrapping_sub(first);
                if let Some(at) = filled.get_mut(tile) {
                    lists[tile].1[*at] = Entry { depth, splat, slot: slot + k as u32 };
                    *at += 1;
                }
            }
            (tiles, splat, slot) = (rest, splat + 1, slot + count);
        }
    }
}

/// The lists of tiles with their first entries.
pub(crate) fn lists<'a, E>(mut all: &'a mut [E], starts: &[u32]) -> Vec<(usize, &'a mut [E])> {
    let mut out = Vec::with_capacity(starts.len());
    for pair in starts.windows(2) {
        let (list, rest) = all.split_at_mut((pair[1] - pair[0]) as usize);
        out.push((pair[0] as usize, list));
        all = rest;
    }
    out
}

/// Twice the σ at which alpha is least.
fn reach<T: Precision>(log_opacity: T, least: T) -> T {
    (log_opacity - least).max(T::ZERO) * T::from_f64(2.0 * std::f64::consts::LN_2)
}

/// Columns and rows (first, one past the last) of the pixels whose centres a splat may reach.
#[inline(always)]
fn span<T: Precision>(splat: &Splat<T>, size: [usize; 2]) -> [(usize, usize); 2] {
    let mut out = [(0, 0); 2];
    for (k, range) in out.iter_mut().enumerate() {
        let (mean, half, n) = (splat.mean[k], splat.half[k], T::of(size[k] as f32));
        // Centres at +½; an eighth more than exact arithmetic needs.
        let first = (mean - half - T::of(0.625)).floor() + T::ONE;
        let end = (mean + half + T::of(0.625)).floor();
        // Through i32: conversions to wider whole numbers are slow.
        *range = (first.max(T::ZERO).min(n).to_f64() as i32 as usize, end.max(T::ZERO).min(n).to_f64() as i32 as usize);
    }
    out
}

/// Adds the tiles in which alpha reaches its least value at a pixel.
#[inline(always)]
fn tiles_of<T: Precision>(splat: &Splat<T>, size: [usize; 2], least: T, out: &mut Vec<u32>) {
    let [xs, ys] = span(splat, size);
    if xs.0 >= xs.1 || ys.0 >= ys.1 {
        return;
    }
    let columns = size[0].div_ceil(TILE);
    let (x0, x1, y0, y1) = (xs.0 / TILE, (xs.1 - 1) / TILE, ys.0 / TILE, (ys.1 - 1) / TILE);
    if x0 == x1 && y0 == y1 {
        out.push((y0 * columns + x0) as u32);
        return;
    }
    // A little less than what is drawn: rounding must not lose a pixel.
    let least = least - splat.log_opacity - T::of(1e-3);
    let [a, b, c] = splat.quadratic;
    let slopes = [T::of(-0.5) * b / a, T::of(-0.5) * b / c];
    for y in y0..=y1 {
        for x in x0..=x1 {
            if largest(splat, slopes, [x, y]) >= least {
                out.push((y * columns + x) as u32);
            }
        }
    }
}

/// The largest log₂ e^−σ at the points between the centres of a tile's outer pixels. `slopes`: where it is largest along a
/// row at distance 1, and along a column.
#[inline(always)]
fn largest<T: Precision>(splat: &Splat<T>, slopes: [T; 2], tile: [usize; 2]) -> T {
    let [a, b, c] = splat.quadratic;
    let corner = |k: usize| T::of(tile[k] as f32 * TILE as f32 + 0.5) - splat.mean[k];
    let low = [corner(0), corner(1)];
    let high = [low[0] + T::of(TILE as f32 - 1.0), low[1] + T::of(TILE as f32 - 1.0)];
    let value = |x: T, y: T| a * x * x + b * x * y + c * y * y;
    let (x, y) = (T::ZERO.max(low[0]).min(high[0]), T::ZERO.max(low[1]).min(high[1]));
    if x == T::ZERO && y == T::ZERO {
        return T::ZERO;
    }
    // The maximum is on one of the sides that face the centre: where it is along them, clamped.
    let on_x = if x == T::ZERO { -T::INFINITY } else { value(x, (slopes[1] * x).max(low[1]).min(high[1])) };
    let on_y = if y == T::ZERO { -T::INFINITY } else { value((slopes[0] * y).max(low[0]).min(high[0]), y) };
    on_x.max(on_y)
}
