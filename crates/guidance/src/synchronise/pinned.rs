//! A canvas of which a part is painted already.

use super::canvas::pixels;
use super::{Canvas, Shown};
use crate::{Error, Result};
use lumigrad_core::ops::pointwise;
use lumigrad_core::{Tensor, Var};

/// A canvas some of whose places keep their values, whatever pictures say of them: what is missing is made up around them.
pub struct Pinned<'a> {
    canvas: &'a Canvas,
    values: Var,
    known: Var,
}

impl<'a> Pinned<'a> {
    /// **Shapes**: values [covered, C], in the order of [`Canvas::covered`]; `known` has an entry for each covered place.
    ///
    /// # Errors
    /// Other numbers of places.
    pub fn new(canvas: &'a Canvas, values: &Tensor, known: &[bool]) -> Result<Self> {
        let n = canvas.covered().len();
        if known.len() != n || values.shape().first() != Some(&n) {
            let expected = format!("[{n}, C] and as many marks (places of the canvas)");
            return Err(Error::shape("values of a pinned canvas", values.shape(), expected));
        }
        let marks: Vec<f32> = known.iter().map(|k| if *k { 1.0 } else { 0.0 }).collect();
        let known = Tensor::from_slice(values.device(), &marks, &[n, 1])?;
        Ok(Self { canvas, values: values.clone().into(), known: known.into() })
    }
}

impl Shown for Pinned<'_> {
    fn agreed(&self, pictures: &Tensor) -> Result<Tensor> {
        let own = pixels(pictures)?;
        let found = self.canvas.average(&own)?;
        let places = pointwise("guidance/pinned", &[&self.known, &self.values, &found], |x| {
            x[0].greater(0.5).select(x[1], x[2])
        })?;
        Ok(self.canvas.show(&places, &own)?.tensor().reshape(pictures.shape())?)
    }
}
