//! Splats of a view, listed by the tiles that they touch.

use crate::Error;
use crate::lanes::{Precision, level};
use crate::project::{Camera, Splat, project};
use crate::rows::{BLOCK, Rows};
use fearless_simd::dispatch;
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
pub(crate) struct Entry {
    /// Depth, then the splat: what lists are sorted by.
    key: u64,
    /// Place among all lists in the order of splats.
    slot: u32,
}

impl Entry {
    /// Number of the splat.
    pub fn splat(self) -> usize {
        self.key as u32 as usize
    }
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
    /// Lists of all tiles, one after the other.
    pub entries: Vec<Entry>,
    /// First entry of each tile, and the number of all.
    pub starts: Vec<u32>,
    /// Slot → entry, known once lists are sorted.
    places: Vec<AtomicU32>,
}

/// Splats of a chunk with the tiles of each.
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
            entries: ids.iter().map(|&id| Entry { key: id as u64, slot: 0 }).collect(),
            starts: starts.to_vec(),
            ..Default::default()
        }
    }

    /// Projects all rows and lists the splats, in the memory of an earlier frame.
    ///
    /// **Errors**: more entries than memory should hold; the lists are then empty.
    pub fn update(&mut self, rows: &Rows<T>, camera: &Camera<T>, size: [usize; 2]) -> Result<(), Error> {
        self.size = size;
        self.least = camera.alpha_min.ln() * T::from_f64(std::f64::consts::LOG2_E);
        let chunks = rows.data.par_chunks(CHUNK * rows.width * BLOCK);
        let parts: Vec<Part<T>> = chunks.map(|chunk| self.part(chunk, rows.width, camera)).collect();
        self.splats.clear();
        self.blocks.clear();
        self.slots.clear();
        let entries: usize = parts.iter().map(|p| p.tiles.len()).sum();
        if entries > MOST {
            self.starts.clear();
            self.entries.clear();
            return Err(Error::Lists { entries, most: MOST });
        }
        let mut slot = 0;
        for part in &parts {
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
        let n = columns * lines;
        self.starts.clear();
        self.starts.resize(n + 1, 0);
        for &tile in parts.iter().flat_map(|p| &p.tiles) {
            self.starts[tile as usize + 1] += 1;
        }
        for t in 0..n {
            self.starts[t + 1] += self.starts[t];
        }
        let mut next: Vec<u32> = self.starts[..n].to_vec();
        self.entries.resize(slot as usize, Entry::default());
        let mut tiles = parts.iter().flat_map(|p| &p.tiles);
        for (i, splat) in self.splats.iter().enumerate() {
            // Depths are positive: their bits are in the order of their values.
            let key = ((splat.channels[3].to_f64() as f32).to_bits() as u64) << 32 | i as u64;
            for slot in self.slots[i]..self.slots[i + 1] {
                let place = &mut next[*tiles.next().expect("a tile for each slot") as usize];
                self.entries[*place as usize] = Entry { key, slot };
                *place += 1;
            }
        }
        self.places.resize_with(slot as usize, || AtomicU32::new(0));
        let places = &self.places;
        lists(&mut self.entries, &self.starts).into_par_iter().for_each(|(first, list)| {
            list.sort_unstable_by_key(|e| e.key);
            for (k, entry) in list.iter().enumerate() {
                places[entry.slot as usize].store((first + k) as u32, Relaxed);
            }
        });
        Ok(())
    }

    fn part(&self, chunk: &[T], width: usize, camera: &Camera<T>) -> Part<T> {
        let mut part = Part { splats: vec![], blocks: vec![], counts: vec![], tiles: vec![] };
        for block in chunk.chunks_exact(width * BLOCK) {
            let (first, mut bits) = (part.splats.len() as u32, 0u16);
            dispatch!(level(), simd => project(simd, block, camera, |k, splat| {
                let count = part.tiles.len();
                self.tiles_of(&splat, &mut part.tiles);
                if part.tiles.len() > count {
                    bits |= 1 << k;
                    part.counts.push((part.tiles.len() - count) as u32);
                    part.splats.push(splat);
                }
            }));
            part.blocks.push((first, bits));
        }
        part
    }

    /// Columns and rows of tiles.
    pub fn tiles(&self) -> [usize; 2] {
        self.size.map(|n| n.div_ceil(TILE))
    }

    /// Adds the tiles in which alpha reaches its least value at a pixel.
    fn tiles_of(&self, splat: &Splat<T>, out: &mut Vec<u32>) {
        let [xs, ys] = span(splat, self.size);
        if xs.0 >= xs.1 || ys.0 >= ys.1 {
            return;
        }
        let columns = self.tiles()[0];
        let [xs, ys] = [xs, ys].map(|s| s.0 / TILE..(s.1 - 1) / TILE + 1);
        let alone = xs.len() == 1 && ys.len() == 1;
        // A little less than what is drawn: rounding must not lose a pixel.
        let least = self.least - splat.log_opacity - T::of(1e-3);
        for y in ys {
            for x in xs.clone() {
                if alone || largest(splat, [x, y]) >= least {
                    out.push((y * columns + x) as u32);
                }
            }
        }
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
fn span<T: Precision>(splat: &Splat<T>, size: [usize; 2]) -> [(usize, usize); 2] {
    std::array::from_fn(|k| {
        let half = splat.half[k];
        let clamp = |x: T| x.to_f64().clamp(0.0, size[k] as f64) as usize;
        // Centres at +½; an eighth more than exact arithmetic needs.
        (
            clamp((splat.mean[k] - half - T::of(0.625)).floor() + T::ONE),
            clamp((splat.mean[k] + half + T::of(0.625)).floor()),
        )
    })
}

/// The largest log₂ e^−σ at the points between the centres of a tile's outer pixels.
fn largest<T: Precision>(splat: &Splat<T>, tile: [usize; 2]) -> T {
    let [a, b, c] = splat.quadratic;
    let low: [T; 2] = std::array::from_fn(|k| T::of(tile[k] as f32 * TILE as f32 + 0.5) - splat.mean[k]);
    let high = low.map(|x| x + T::of(TILE as f32 - 1.0));
    let value = |x: T, y: T| a * x * x + b * x * y + c * y * y;
    let nearest = |x: T, k: usize| x.max(low[k]).min(high[k]);
    let corner = [0, 1].map(|k| nearest(T::ZERO, k));
    if corner[0] == T::ZERO && corner[1] == T::ZERO {
        return T::ZERO;
    }
    // The maximum is on one of the sides that face the centre: where it is along them, clamped.
    let half = T::of(-0.5);
    let on_x = if corner[0] == T::ZERO { -T::INFINITY } else { value(corner[0], nearest(half * b * corner[0] / c, 1)) };
    let on_y = if corner[1] == T::ZERO { -T::INFINITY } else { value(nearest(half * b * corner[1] / a, 0), corner[1]) };
    on_x.max(on_y)
}
