//! What a run has seen of each leaf, by which leaves are dropped and split.

use super::super::super::radiance::{Batch, Light};
use super::Leaves;
use crate::Result;
use crate::volume::{Fate, Leaf};

/// Leaves are halved whose sides are longer than so many of the smallest pixels that see them.
const PIXELS: f32 = 1.4;

/// Numbers per leaf.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Most weight that it had in a ray.
    weights: Vec<f32>,
    /// By how much the rays that it gives light to miss their pixels, times its weight.
    misses: Vec<f32>,
    /// Size of the smallest pixel that saw it.
    pixels: Vec<f32>,
}

impl Tally {
    /// Of so many leaves, of which nothing was seen.
    pub fn new(n: usize) -> Self {
        Self { weights: vec![0.0; n], misses: vec![0.0; n], pixels: vec![f32::INFINITY; n] }
    }

    /// Takes in what the rays of a step saw; `pixel` is the size of a pixel at distance 1.
    ///
    /// # Errors
    /// The device gives nothing back.
    pub fn note(&mut self, leaves: &Leaves, light: &Light, batch: &Batch, pixel: f64) -> Result<()> {
        let samples = &light.samples;
        if samples.is_empty() {
            return Ok(());
        }
        let points =
            samples.points(&batch.rays.origins.clone().into(), &batch.rays.directions.clone().into(), false)?;
        let found = leaves.octree(points.device())?.locate(points.tensor())?.to_vec::<u32>()?;
        let missed = batch.missed(light)?.tensor().to_vec::<f32>()?;
        let missed: Vec<f32> = missed.as_chunks::<3>().0.iter().map(|d| d.iter().map(|x| x.abs()).sum()).collect();
        let (weights, middles) = (light.weights.tensor().to_vec::<f32>()?, samples.middles.to_vec::<f32>()?);
        let rays = samples.rays.to_vec::<u32>()?;
        for (i, &leaf) in found.iter().enumerate() {
            let leaf = leaf as usize;
            self.weights[leaf] = self.weights[leaf].max(weights[i]);
            self.misses[leaf] += weights[i] * missed[rays[i] as usize];
            self.pixels[leaf] = self.pixels[leaf].min(middles[i] * pixel as f32);
        }
        Ok(())
    }

    /// Fates of the leaves: those whose weight never reached `least`, or a tenth of the largest of all if that is less, are dropped,
    /// and of those that may be halved, the `part` with the largest misses is, down to a level.
    pub fn fates(&self, leaves: &[Leaf], least: f32, (part, most): (f64, usize), deepest: u32) -> Vec<Fate> {
        let largest = self.weights.iter().copied().fold(0.0, f32::max);
        let least = least.min(0.1 * largest).max(f32::MIN_POSITIVE);
        let mut fates: Vec<Fate> =
            self.weights.iter().map(|w| if *w < least { Fate::Drop } else { Fate::Keep }).collect();
        let may = |k: &usize| {
            let leaf = leaves[*k];
            fates[*k] == Fate::Keep && leaf.level < deepest && leaf.side() as f32 > PIXELS * self.pixels[*k]
        };
        let mut order: Vec<usize> = (0..leaves.len()).filter(may).collect();
        order.sort_by(|a, b| self.misses[*b].total_cmp(&self.misses[*a]).then(a.cmp(b)));
        let split = (part * order.len() as f64).ceil() as usize;
        let room = most.saturating_sub(fates.iter().filter(|f| **f == Fate::Keep).count()) / 7;
        let split = split.min(room);
        order[..split.min(order.len())].iter().for_each(|k| fates[*k] = Fate::Split);
        fates
    }

    /// All numbers, for a checkpoint.
    pub fn to_numbers(&self) -> Vec<f32> {
        [&self.weights[..], &self.misses, &self.pixels].concat()
    }

    /// Numbers of [`Self::to_numbers`]; others are left alone.
    pub fn restore(&mut self, numbers: &[f32]) {
        let n = self.weights.len();
        if numbers.len() == 3 * n {
            self.weights.copy_from_slice(&numbers[..n]);
            self.misses.copy_from_slice(&numbers[n..2 * n]);
            self.pixels.copy_from_slice(&numbers[2 * n..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_dropped_where_nothing_is_and_halved_where_most_is_missed() {
        let leaf = |level| Leaf { level, place: [0; 3] };
        let leaves = [leaf(2), leaf(2), leaf(2), leaf(2), leaf(6)];
        let mut tally = Tally::new(5);
        tally.weights = vec![0.5, 1e-5, 0.5, 0.5, 0.5];
        tally.misses = vec![1.0, 9.0, 2.0, 3.0, 9.0];
        tally.pixels = vec![0.1, 0.1, 0.1, 0.6, 0.001];
        // The second is empty, pixels do not tell parts of the fourth, and the last is small enough.
        let fates = tally.fates(&leaves, 1e-3, (0.5, 100), 6);
        assert_eq!(fates, [Fate::Keep, Fate::Drop, Fate::Split, Fate::Keep, Fate::Keep]);
        let mut again = Tally::new(5);
        again.restore(&tally.to_numbers());
        assert_eq!(again.fates(&leaves, 1e-3, (1.0, 100), 7), tally.fates(&leaves, 1e-3, (1.0, 100), 7));
    }
}
