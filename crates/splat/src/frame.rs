//! Splats of a view, listed by the tiles that they touch.

use crate::Error;
use crate::lanes::{Precision, level};
use crate::project::{Camera, Seen, Splat, project};
use crate::rows::{BLOCK, Rows};
use fearless_simd::{Simd, dispatch};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Pixels along a side of a tile.
pub(crate) const TILE: usize = 16;
/// Most entries of all lists: 2.5 GB of them.
const MOST: usize = 1 << 27;
/// Most parts that Gaussians are listed in, and numbers of their counts by tiles.
const PARTS: usize = 64;
const COUNTS: usize = 1 << 22;

/// A Gaussian as a camera sees it.
pub(crate) trait InPicture<T>: Copy + Default + Send + Sync {
    /// Those of a block of rows, and what they are smoothed with.
    fn project<S: Simd>(simd: S, block: (&[T], &[T]), camera: &Camera<T>, out: &mut [Self; BLOCK]) -> Seen<T>;

    /// What lists are sorted by; positive.
    fn order(&self) -> f32;

    /// Its quadratic form about a mean, where it is cut off by one.
    fn outline(&self) -> Option<&Splat<T>> {
        None
    }
}

impl<T: Precision> InPicture<T> for Splat<T> {
    #[inline(always)]
    fn project<S: Simd>(simd: S, block: (&[T], &[T]), camera: &Camera<T>, out: &mut [Self; BLOCK]) -> Seen<T> {
        project(simd, block, camera, out)
    }

    fn order(&self) -> f32 {
        self.channels[3].to_f64() as f32
    }

    fn outline(&self) -> Option<&Splat<T>> {
        Some(self)
    }
}

impl<T: Precision, P> Default for Frame<T, P> {
    fn default() -> Self {
        Self {
            size: [0; 2],
            least: T::ZERO,
            splats: vec![],
            seen: vec![],
            ids: vec![],
            starts: vec![],
            slots: vec![],
            owners: vec![],
            places: vec![],
            entries: vec![],
            parts: vec![],
        }
    }
}

/// Splats and, per tile, those that touch it.
///
/// Every entry of a list has one writer, and sums run over the entries of a splat in the order of tiles: results are the
/// same bits for any number of threads.
pub(crate) struct Frame<T, P = Splat<T>> {
    /// Columns and rows of the picture.
    pub size: [usize; 2],
    /// log₂ of the least alpha that is drawn.
    pub least: T,
    /// Of each Gaussian; what is not seen has none of meaning.
    pub splats: Vec<P>,
    /// For each block a bit for each Gaussian that is seen.
    pub seen: Vec<u16>,
    /// Gaussians of all tiles, one tile after the other, by depth.
    pub ids: Vec<u32>,
    /// First entry of each tile, and the number of all.
    pub starts: Vec<u32>,
    /// Where sums are to be made: first slot of each Gaussian, and the number of all.
    slots: Vec<u32>,
    /// Slot → Gaussian.
    owners: Vec<u32>,
    /// Slot → entry, known once lists are sorted.
    places: Vec<AtomicU32>,
    /// Lists of all tiles, one after the other, in the order of Gaussians: the bits of a depth above a Gaussian, or a slot.
    entries: Vec<AtomicU64>,
    parts: Vec<Part>,
}

/// What Gaussians side by side are listed in.
#[derive(Default)]
struct Part {
    /// Tiles of each Gaussian that is seen, and how many.
    tiles: Vec<u32>,
    counts: Vec<u32>,
    /// Entries per tile; then the place of the next one.
    next: Vec<u32>,
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
}

impl<T: Precision, P: InPicture<T>> Frame<T, P> {
    /// Projects all rows and lists the splats, in the memory of an earlier frame. Where there is `smoothing`, whole blocks
    /// of it, Gaussians are [`crate::Gaussians::smoothed`]. [`Frame::sum`] needs what `keep` keeps.
    ///
    /// **Errors**: more entries than memory should hold; the lists are then empty.
    pub fn update(
        &mut self,
        rows: &Rows<T>,
        smoothing: &[T],
        camera: &Camera<T>,
        size: [usize; 2],
        keep: bool,
    ) -> Result<(), Error> {
        self.size = size;
        self.least = camera.least;
        let blocks = rows.n.div_ceil(BLOCK);
        self.splats.resize(blocks * BLOCK, P::default());
        self.seen.resize(blocks, 0);
        let [columns, lines] = self.tiles();
        let most = (COUNTS / (columns * lines).max(1)).clamp(1, PARTS);
        let per = blocks.div_ceil(most.min(4 * rayon::current_num_threads())).max(1);
        self.parts.resize_with(blocks.div_ceil(per), Part::default);
        let chunks = self.parts.par_iter_mut().zip(rows.data.par_chunks(per * rows.width * BLOCK));
        let out = self.splats.par_chunks_mut(per * BLOCK).zip(self.seen.par_chunks_mut(per));
        chunks.zip(out).enumerate().for_each(|(k, ((part, rows_of), (splats, seen)))| {
            part.clear(columns * lines);
            let blocks = rows_of.chunks_exact(rows.width * BLOCK).zip(splats.as_chunks_mut::<BLOCK>().0);
            for (i, ((block, splats), seen)) in blocks.zip(seen).enumerate() {
                let block = (block, smoothing_of(smoothing, k * per + i));
                *seen = dispatch!(level(), simd => fill_block(simd, columns, block, camera, splats, part));
            }
        });
        self.list(per, keep)
    }

    /// Makes the lists of tiles of those of Gaussians, `per` blocks of which are a part.
    fn list(&mut self, per: usize, keep: bool) -> Result<(), Error> {
        let [columns, lines] = self.tiles();
        self.starts.clear();
        let entries: usize = self.parts.iter().map(|p| p.tiles.len()).sum();
        if entries > MOST {
            self.ids.clear();
            return Err(Error::Lists { entries, most: MOST });
        }
        let mut start = 0;
        for tile in 0..columns * lines {
            self.starts.push(start);
            for part in &mut self.parts {
                start += std::mem::replace(&mut part.next[tile], start);
            }
        }
        self.starts.push(start);
        self.entries.resize_with(entries, AtomicU64::default);
        self.ids.resize(entries, 0);
        let kept = if keep { entries } else { 0 };
        self.owners.resize(kept, 0);
        self.places.resize_with(kept, AtomicU32::default);
        self.slots.resize(if keep { self.splats.len() + 1 } else { 0 }, 0);
        self.scatter(per, keep);
        let (entries, owners, places) = (&self.entries, &self.owners, &self.places);
        let sorted = lists(&mut self.ids, &self.starts).into_par_iter();
        sorted.for_each_init(Sort::default, |sort, (first, ids)| {
            let keys = sort.sorted(entries[first..first + ids.len()].iter().map(|e| e.load(Relaxed)));
            for (k, (key, id)) in keys.iter().zip(ids).enumerate() {
                *id = *key as u32;
                if keep {
                    *id = owners[*key as u32 as usize];
                    places[*key as u32 as usize].store((first + k) as u32, Relaxed);
                }
            }
        });
        Ok(())
    }

    /// Lists Gaussians by tiles.
    fn scatter(&mut self, per: usize, keep: bool) {
        let mut firsts = vec![0];
        self.parts.iter().for_each(|p| firsts.push(firsts[firsts.len() - 1] + p.tiles.len() as u32));
        let owners: Vec<&mut [u32]> = match keep {
            true => lists(&mut self.owners, &firsts).into_iter().map(|l| l.1).collect(),
            false => self.parts.iter().map(|_| &mut [][..]).collect(),
        };
        let (splats, seen, entries) = (&self.splats, &self.seen, &self.entries);
        let mut slots: Vec<&mut [u32]> = self.slots.chunks_mut(per * BLOCK).collect();
        slots.resize_with(self.parts.len().max(slots.len()), Default::default);
        let parts = self.parts.par_iter_mut().zip(owners).zip(slots).zip(&firsts).enumerate();
        parts.for_each(|(k, (((part, owners), slots), &first))| {
            let (mut tiles, mut slot) = (&part.tiles[..], first);
            let mut counts = part.counts.iter();
            let blocks = k * per..seen.len().min((k + 1) * per);
            for i in blocks.start * BLOCK..blocks.end * BLOCK {
                if keep {
                    slots[i - blocks.start * BLOCK] = slot;
                }
                if seen[i / BLOCK] >> (i % BLOCK) & 1 == 0 {
                    continue;
                }
                // Depths are positive: their bits are in the order of their values.
                let depth = (splats[i].order().to_bits() as u64) << 32;
                let (now, rest) = tiles.split_at(counts.next().map_or(0, |&n| n as usize));
                for &tile in now {
                    let at = &mut part.next[tile as usize];
                    entries[*at as usize].store(depth | if keep { slot } else { i as u32 } as u64, Relaxed);
                    *at += 1;
                    if keep {
                        owners[(slot - first) as usize] = i as u32;
                    }
                    slot += 1;
                }
                tiles = rest;
            }
        });
        if let Some(last) = self.slots.last_mut() {
            *last = firsts[firsts.len() - 1];
        }
    }

    /// Numbers of the Gaussians that are seen.
    pub fn drawn(&self) -> impl Iterator<Item = usize> + '_ {
        let of = |(block, &bits): (usize, &u16)| {
            (0..BLOCK).filter(move |k| bits >> k & 1 == 1).map(move |k| block * BLOCK + k)
        };
        self.seen.iter().enumerate().flat_map(of)
    }

    /// Columns and rows of tiles.
    pub fn tiles(&self) -> [usize; 2] {
        self.size.map(|n| n.div_ceil(TILE))
    }

    /// Moments of a Gaussian's splat: the sum over its entries.
    #[inline(always)]
    pub fn sum<const C: usize>(&self, gaussian: usize, of: &[[T; C]]) -> [T; C] {
        let mut sum = [T::ZERO; C];
        for slot in self.slots[gaussian]..self.slots[gaussian + 1] {
            let part = &of[self.places[slot as usize].load(Relaxed) as usize];
            (0..C).for_each(|k| sum[k] += part[k]);
        }
        sum
    }
}

impl Part {
    /// Adds all tiles between first and last columns and rows.
    fn fill(&mut self, [x0, x1, y0, y1]: [usize; 4], columns: usize) {
        for tile in (y0..=y1).flat_map(|y| (x0..=x1).map(move |x| y * columns + x)) {
            self.tiles.push(tile as u32);
            self.next[tile] += 1;
        }
    }

    fn clear(&mut self, tiles: usize) {
        self.tiles.clear();
        self.counts.clear();
        self.next.clear();
        self.next.resize(tiles, 0);
    }
}

/// What a block is smoothed with.
pub(crate) fn smoothing_of<T>(smoothing: &[T], block: usize) -> &[T] {
    smoothing.get(block * BLOCK..(block + 1) * BLOCK).unwrap_or(&[])
}

/// Projects a block and adds the tiles of its splats; gives a bit for each Gaussian that is seen.
#[inline(always)]
fn fill_block<S: Simd, T: Precision, P: InPicture<T>>(
    simd: S,
    columns: usize,
    block: (&[T], &[T]),
    camera: &Camera<T>,
    splats: &mut [P; BLOCK],
    part: &mut Part,
) -> u16 {
    let seen = P::project(simd, block, camera, splats);
    let (mut rest, mut bits) = (seen.bits, 0);
    while rest != 0 {
        let k = rest.trailing_zeros() as usize;
        rest &= rest - 1;
        let count = part.tiles.len();
        // Through i32: conversions to wider whole numbers are slow.
        let mut about = [0; 4];
        for (place, tiles) in about.iter_mut().zip(&seen.tiles) {
            *place = tiles[k].to_f64() as i32 as usize;
        }
        match splats[k].outline() {
            Some(splat) => tiles_of(splat, about, columns, camera.least, part),
            None => part.fill(about, columns),
        }
        if part.tiles.len() > count {
            bits |= 1 << k;
            part.counts.push((part.tiles.len() - count) as u32);
        }
    }
    bits
}

/// Sorts by the upper halves of numbers, in memory that is used again. Numbers come with ascending lower halves.
#[derive(Default)]
struct Sort {
    keys: Vec<u64>,
    other: Vec<u64>,
}

impl Sort {
    fn sorted(&mut self, keys: impl Iterator<Item = u64>) -> &[u64] {
        self.keys.clear();
        self.keys.extend(keys);
        if self.keys.len() < 64 {
            self.keys.sort_unstable();
            return &self.keys;
        }
        let least = self.keys.iter().fold(u64::MAX, |a, &b| a.min(b)) >> 32;
        let most = self.keys.iter().fold(0, |a, &b| a.max(b)) >> 32;
        let digits = (64 - (most - least).leading_zeros()).div_ceil(8) as usize;
        let digit = |key: u64, k: usize| ((key >> 32) - least) as usize >> (8 * k) & 255;
        let mut starts = [[0u32; 256]; 4];
        for &key in &self.keys {
            for (k, starts) in starts.iter_mut().enumerate().take(digits) {
                starts[digit(key, k)] += 1;
            }
        }
        self.other.resize(self.keys.len(), 0);
        for (k, starts) in starts.iter_mut().enumerate().take(digits) {
            let mut sum = 0;
            starts.iter_mut().for_each(|n| sum += std::mem::replace(n, sum));
            for &key in &self.keys {
                let at = &mut starts[digit(key, k)];
                self.other[*at as usize] = key;
                *at += 1;
            }
            std::mem::swap(&mut self.keys, &mut self.other);
        }
        &self.keys
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

/// Adds the tiles, of those about a splat (first and last column, first and last row), in which alpha reaches its least value at a pixel.
#[inline(always)]
fn tiles_of<T: Precision>(splat: &Splat<T>, [x0, x1, y0, y1]: [usize; 4], columns: usize, least: T, part: &mut Part) {
    // A little less than what is drawn: rounding must not lose a pixel.
    let least = least - splat.log_opacity - T::of(1e-3);
    let [a, b, c] = splat.quadratic;
    let slopes = [T::of(-0.5) * b / a, T::of(-0.5) * b / c];
    // A line of tiles is reached along all of the splat's extent.
    let line = x0 == x1 || y0 == y1;
    for y in y0..=y1 {
        for x in x0..=x1 {
            if line || largest(splat, slopes, [x, y]) >= least {
                let tile = y * columns + x;
                part.tiles.push(tile as u32);
                part.next[tile] += 1;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kernel;
    use crate::render::camera;
    use crate::render_tests::{scene, view};

    #[test]
    fn lists_are_sorted_by_depth_and_keep_the_order_of_equal_ones() {
        for (n, modulus) in [(0, 1), (5, 3), (64, 7), (3000, 1), (3000, 250), (3000, 70_000), (3000, u32::MAX)] {
            let depth = |i: u32| i.wrapping_mul(2_654_435_761) % modulus;
            let keys: Vec<u64> = (0..n).map(|i| (depth(i) as u64) << 32 | i as u64).collect();
            let mut expected = keys.clone();
            expected.sort();
            assert_eq!(Sort::default().sorted(keys.into_iter()), expected, "{n} keys below {modulus}");
        }
    }

    #[test]
    fn lists_do_not_depend_on_threads_nor_on_what_is_kept() {
        let mut gaussians = scene(Kernel::Classic, 1);
        for i in 0..300 {
            gaussians.means.push([(i as f32 * 0.7).sin(), (i as f32 * 1.3).sin(), 0.01 * (i % 9) as f32]);
        }
        gaussians.log_scales.resize(306, [-2.5, -1.5, -3.0]);
        gaussians.rotations.resize(306, [0.9, 0.1, 0.3, -0.4]);
        gaussians.opacity_logits.resize(306, 0.3);
        gaussians.sh.resize(4 * 306, [0.1; 3]);
        let view = crate::View { width: 70, height: 50, intrinsics: [70.0, 70.0, 35.0, 25.0], ..view() };
        let lists = |threads: usize, keep: bool| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut frame = Frame::<f32>::default();
            let camera = camera(gaussians.kernel, 1, &view, 0.01);
            pool.install(|| frame.update(&Rows::new(&gaussians), &[], &camera, [70, 50], keep)).unwrap();
            frame
        };
        let one = lists(1, true);
        assert!(one.ids.len() > 600, "{}", one.ids.len());
        for (threads, keep) in [(1, false), (2, true), (3, false)] {
            let other = lists(threads, keep);
            assert!(other.ids == one.ids && other.starts == one.starts && other.seen == one.seen);
        }
        // Every entry has one slot, that of its Gaussian.
        let ids: Vec<[f32; 1]> = one.ids.iter().map(|&i| [i as f32]).collect();
        for gaussian in one.drawn() {
            let n = one.slots[gaussian + 1] - one.slots[gaussian];
            assert_eq!(one.sum(gaussian, &ids), [n as f32 * gaussian as f32]);
        }
    }
}
