//! Derivatives of renderers that have none: stochastic gradient estimation (Deliot, Heitz & Belcour 2024, "Transforming a
//! Non-Differentiable Rasterizer into a Differentiable One with Stochastic Gradient Estimation").
//!
//! All parameters move at once by ±ε with random signs s; the scene is rendered with +s and with −s; and each parameter
//! takes the change of the loss of the pixels that it reaches, Σ (ℓ₊ − ℓ₋) · s / 2ε. What the other parameters change
//! there has a random sign: it is noise, which steps average out. The pixels are found by the triangle numbers and
//! texture coordinates that the renderer writes beside its colours ([`Reach`]).
//!
//! The estimate is of the derivative of the loss smoothed over ±ε, so that silhouettes, which jump from pixel to pixel,
//! have one. The sum over pixels makes it unbiased; a mean would weigh parameters by the number of their pixels.
//! **Cost**: two renders and passes over the pixels and the parameters, however many these are.

#[cfg(feature = "gpu")]
mod hardware;
mod perturb;
mod pointer;
mod reach;
mod texels;
mod units;
mod visible;

#[cfg(feature = "gpu")]
pub use hardware::HardwareRasterizer;
pub use reach::Reach;
pub use texels::TextureReach;

use crate::Error;
use lumigrad_core::Tensor;
use lumigrad_core::ops::random;

/// A surface in front of each pixel, as renderers write it beside colours.
#[derive(Clone, Debug)]
pub struct Visible {
    /// Triangle number + 1, u32 [H · W]; 0 = nothing.
    pub triangles: Tensor,
    /// Both sets of texture coordinates, [H · W, 4].
    pub texcoords: Tensor,
}

/// A rendered picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// [H, W, C]; what its loss makes of it is the caller's.
    pub color: Tensor,
    /// What is seen, nearest first: one layer, or several where surfaces are blended.
    pub layers: Vec<Visible>,
}

/// A renderer that offers only pictures.
pub trait ImageRenderer {
    /// Its errors.
    type Error: From<Error>;

    /// The picture at these values of the parameters.
    ///
    /// # Errors
    /// When it cannot be rendered.
    fn render(&mut self, values: &[Tensor]) -> Result<Picture, Self::Error>;
}

/// What is known of a parameter array.
#[derive(Clone, Debug)]
pub struct Unknown {
    /// Pixels that its elements reach.
    pub reach: Reach,
    /// ε: how far elements are moved, and over which the loss is smoothed. Of the size of a pixel for positions.
    pub step: f64,
    /// The first three columns are linear light and move by ε in display encoding (sRGB), in which such losses as of
    /// encoded pictures are straight: in linear light an ε to which eyes are blind in bright colours takes dark ones far
    /// round the bend, and the smoothed loss has its minimum elsewhere.
    pub encoded: bool,
    /// Values stay within; near them ε shrinks, to an eighth at most, so that both moves are alike.
    pub bounds: (f64, f64),
    /// What each column of the array changes; empty: everything.
    pub columns: Vec<Column>,
}

/// What the elements of a column change in the pixels that they reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Nothing: they keep still.
    Nothing,
    /// One channel of the picture (0, 1, 2 = red, green, blue): base colours, emission. Then the changes of the others are
    /// not noise to them.
    Channel(usize),
    /// All channels.
    Everything,
}

/// The loss, the mean of both renders, and its estimated gradients.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// Σ over pixels.
    pub loss: f64,
    /// One for each array, of its shape.
    pub gradients: Vec<Tensor>,
}

/// One draw of the estimator. `loss` gives the loss of each pixel, [H · W], or of each channel of each pixel, [H · W, C]
/// with C of 3 or 4; its sum is the loss. The same `seed` gives the same bits.
///
/// # Errors
/// Those of the renderer and of `loss`; shapes that do not fit.
pub fn estimate<R: ImageRenderer + ?Sized>(
    renderer: &mut R,
    values: &[Tensor],
    unknowns: &[Unknown],
    mut loss: impl FnMut(&Tensor) -> Result<Tensor, R::Error>,
    seed: u64,
) -> Result<Estimate, R::Error> {
    let mut moved = vec![];
    let draw = |k: usize| random::hash(seed, k as u64);
    for (k, (value, unknown)) in values.iter().zip(unknowns).enumerate() {
        moved.push(perturb::perturb(value, unknown, draw(k))?);
    }
    let (mut shots, mut pixels) = (vec![], 0);
    for sign in 0..2 {
        let values: Vec<Tensor> = moved.iter().map(|m| m[sign].clone()).collect();
        let picture = renderer.render(&values)?;
        pixels = picture.color.shape().iter().take(2).product();
        shots.push((loss(&picture.color)?, picture.layers));
    }
    let ((ahead, front), (behind, back)) = (shots.remove(0), shots.remove(0));
    let (total, change) = perturb::compare(&ahead, &behind, pixels)?;
    let mut gradients = vec![];
    for (k, ((value, unknown), moved)) in values.iter().zip(unknowns).zip(moved).enumerate() {
        let sums = unknown.reach.sums(&change, &front, &back, draw(k))?;
        gradients.push(perturb::gradient(value, unknown, &moved, &sums, draw(k))?);
    }
    Ok(Estimate { loss: total, gradients })
}
