//! The thing that pictures show, as places.

use super::Shown;
use crate::{Error, Result};
use lumigrad_core::ops::pointwise;
use lumigrad_core::{Device, Tensor, Var};

/// Which place of one thing each pixel of several pictures shows.
///
/// [`Canvas::average`] takes pictures to places, [`Canvas::show`] places to pictures. Showing and averaging again changes
/// no place, to the last bit.
#[derive(Clone, Debug)]
pub struct Canvas {
    /// Places that pixels show, ascending.
    covered: Vec<u32>,
    /// For each pixel the row of its place among these (0 where it shows none), u32 `[P]`.
    rows: Tensor,
    /// 1 where a pixel shows a place, [P, 1].
    shows: Tensor,
    /// Pixels that show places, place by place, u32 `[M]`; within a place by their numbers.
    order: Tensor,
    /// Where each place's pixels begin, u32 [K + 1].
    offsets: Tensor,
    /// The first pixel of the place that each entry of `order` shows, u32 `[M]`.
    firsts: Tensor,
    /// The first pixel of each place, u32 `[K]`.
    first: Tensor,
    /// How much each entry of `order` counts; sums to 1 in each place, [M, 1].
    weights: Tensor,
}

impl Canvas {
    /// From the place that each pixel shows, if any, and how much it counts there.
    ///
    /// **Shapes**: `pixels` has an entry for each pixel of all pictures, picture by picture, row by row; `weights` likewise,
    /// numbers of at least 0. Where a place's weights are all 0, its pixels count alike.
    ///
    /// # Errors
    /// Lengths that differ, weights that are negative or not finite, no pixel that shows anything.
    pub fn new(pixels: &[Option<u32>], weights: &[f32], device: &Device) -> Result<Self> {
        if pixels.len() != weights.len() {
            return Err(Error::shape("weights of a canvas", &[weights.len()], format!("[{}] (pixels)", pixels.len())));
        }
        if let Some(k) = weights.iter().position(|w| !(*w >= 0.0 && w.is_finite())) {
            return Err(Error::Setting(format!(
                "pixel {k} of a canvas weighs {}, expected a number of at least 0",
                weights[k]
            )));
        }
        let mut entries: Vec<(u32, u32)> =
            pixels.iter().enumerate().filter_map(|(k, place)| place.map(|p| (p, k as u32))).collect();
        if entries.is_empty() {
            return Err(Error::Setting("no pixel shows a place of the canvas; move the views closer".into()));
        }
        entries.sort_unstable();
        let (mut covered, mut offsets, mut rows) = (vec![], vec![], vec![0u32; pixels.len()]);
        let (mut firsts, mut first, mut shares) = (vec![], vec![], vec![]);
        for chunk in entries.chunk_by(|a, b| a.0 == b.0) {
            offsets.push(shares.len() as u32);
            let sum: f64 = chunk.iter().map(|(_, k)| weights[*k as usize] as f64).sum();
            for &(_, k) in chunk {
                let share = if sum > 0.0 { weights[k as usize] as f64 / sum } else { 1.0 / chunk.len() as f64 };
                rows[k as usize] = covered.len() as u32;
                firsts.push(chunk[0].1);
                shares.push(share as f32);
            }
            first.push(chunk[0].1);
            covered.push(chunk[0].0);
        }
        offsets.push(shares.len() as u32);
        let order: Vec<u32> = entries.iter().map(|e| e.1).collect();
        let shows: Vec<f32> = pixels.iter().map(|p| if p.is_some() { 1.0 } else { 0.0 }).collect();
        let numbers = |list: &[u32]| Tensor::from_slice(device, list, &[list.len()]);
        let column = |list: &[f32]| Tensor::from_slice(device, list, &[list.len(), 1]);
        Ok(Self {
            rows: numbers(&rows)?,
            shows: column(&shows)?,
            order: numbers(&order)?,
            offsets: numbers(&offsets)?,
            firsts: numbers(&firsts)?,
            first: numbers(&first)?,
            weights: column(&shares)?,
            covered,
        })
    }

    /// Places that some pixel shows, ascending.
    pub fn covered(&self) -> &[u32] {
        &self.covered
    }

    /// Where it is.
    pub fn device(&self) -> &Device {
        self.rows.device()
    }

    /// Pixels of all pictures.
    pub fn n_pixels(&self) -> usize {
        self.rows.len()
    }

    /// The weighted mean of what pixels say of each covered place.
    ///
    /// Computed as the first pixel's value and the mean difference to it, so that places whose pixels agree keep their value
    /// to the last bit. **Shapes**: pictures [P, C]; result [covered, C]. **Gradients**: to the pictures.
    ///
    /// # Errors
    /// Another number of pixels.
    pub fn average(&self, pictures: &Var) -> Result<Var> {
        self.check("pictures", pictures, self.n_pixels())?;
        let apart = pictures.gather(&self.order)?.sub(&pictures.gather(&self.firsts)?)?;
        let mean = apart.mul(&self.weights.cast(pictures.dtype())?.into())?.segment_sum(&self.offsets)?;
        Ok(pictures.gather(&self.first)?.add(&mean)?)
    }

    /// What pixels show of the places; those that show none keep what is in `otherwise`.
    ///
    /// **Shapes**: places [covered, C], otherwise [P, C]; result [P, C]. **Gradients**: to both.
    ///
    /// # Errors
    /// Other numbers of places or pixels.
    pub fn show(&self, places: &Var, otherwise: &Var) -> Result<Var> {
        self.check("places", places, self.covered.len())?;
        self.check("otherwise", otherwise, self.n_pixels())?;
        let seen = places.gather(&self.rows)?;
        let shows = Var::from(self.shows.cast(places.dtype())?);
        Ok(pointwise("guidance/show", &[&shows, &seen, otherwise], |x| x[0].greater(0.5).select(x[1], x[2]))?)
    }

    fn check(&self, what: &str, rows: &Var, expected: usize) -> Result<()> {
        match rows.shape() {
            [n, _] if *n == expected => Ok(()),
            shape => Err(Error::shape(&format!("{what} of a canvas"), shape, format!("[{expected}, C]"))),
        }
    }
}

/// Pictures [V, h, w, C] as the pixels of a canvas, [V·h·w, C].
pub(super) fn pixels(pictures: &Tensor) -> Result<Var> {
    match *pictures.shape() {
        [v, h, w, c] => Ok(pictures.reshape(&[v * h * w, c])?.into()),
        _ => Err(Error::shape("pictures of a canvas", pictures.shape(), "[views, height, width, channels]")),
    }
}

impl Shown for Canvas {
    /// Averaged in places and shown again; pixels that show no place keep what they have.
    fn agreed(&self, pictures: &Tensor) -> Result<Tensor> {
        let own = pixels(pictures)?;
        Ok(self.show(&self.average(&own)?, &own)?.tensor().reshape(pictures.shape())?)
    }
}
