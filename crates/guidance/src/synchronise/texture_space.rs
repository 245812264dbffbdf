//! Sampling in texture space (GenesisTex).

use super::{Agreement, Canvas, Estimate, Shown};
use crate::sample::weighted;
use crate::{Error, Result, keyed_noise};
use lumigrad_core::{DType, Device, Tensor, Var};

/// Pictures that are looked up in textures: each view has one of its own, and these are aligned for a part of the steps.
///
/// What a view says of a texel is the mean of its pixels there, and all its pixels show that again: x_t, x̂0 and ε̂ of a view are
/// texels. In each step the views' x̂0 are moved towards their weighted mean by a strength that is 1 at first, falls in the `fade`
/// part of the steps before `until`, and is 0 from then on, so that each view can settle its details. ε̂ follows x̂0, so that
/// x_t = a·x̂0 + σ·ε̂ stays as it is: where the strength is 1 views that show a texel have the same x_t of it, to the last bit, so
/// that they are one texture that is denoised. (In [`super::Synchrony`] each view keeps its own ε̂, and they never agree on x_t.)
///
/// Pixels that show nothing are denoised view by view. [`texel_noise`] is the noise to start from.
///
/// **Source**: Gao et al. 2024, GenesisTex, texture space sampling and dynamic alignment. The paper gives no code and we know no
/// constants of it: that ε̂ follows, the strength's course and its ends are ours.
pub struct TextureSpace<'a> {
    canvas: &'a Canvas,
    own: Canvas,
    until: f64,
    fade: f64,
}

impl<'a> TextureSpace<'a> {
    /// Textures of views that show `canvas`; `pixels` and `weights` are what it was made from, `per_view` the pixels of a view.
    ///
    /// # Errors
    /// Parts of the steps that are not from 0 to 1, pixels that are none of whole views.
    pub fn new(
        canvas: &'a Canvas,
        (pixels, weights): (&[Option<u32>], &[f32]),
        per_view: usize,
        [until, fade]: [f64; 2],
        device: &Device,
    ) -> Result<Self> {
        let bad = |x: f64| !(0.0..=1.0).contains(&x);
        if bad(until) || bad(fade) {
            return Err(Error::Setting(format!("alignment until {until}, fading in {fade}; expected 0 to 1")));
        }
        if pixels.len() != canvas.n_pixels() || per_view == 0 || pixels.len() % per_view != 0 {
            let expected = format!("[{}], views of {per_view}", canvas.n_pixels());
            return Err(Error::shape("pixels of a canvas", &[pixels.len()], expected));
        }
        let places = canvas.covered().last().map_or(0, |&k| u64::from(k)) + 1;
        let views = (pixels.len() / per_view) as u64;
        if places * views > u64::from(u32::MAX) {
            let message = format!("{views} views of {places} texels are too many to be told apart (2^32)");
            return Err(Error::Setting(message));
        }
        // A texel in a view is a place of its own.
        let apart = |(k, place): (usize, &Option<u32>)| place.map(|p| ((k / per_view) as u64 * places) as u32 + p);
        let own: Vec<Option<u32>> = pixels.iter().enumerate().map(apart).collect();
        Ok(Self { canvas, own: Canvas::new(&own, weights, device)?, until, fade })
    }

    /// How far views are aligned at a part of the steps.
    pub fn strength(&self, progress: f64) -> f64 {
        match progress < self.until {
            true if self.fade > 0.0 => ((self.until - progress) / self.fade).min(1.0),
            true => 1.0,
            false => 0.0,
        }
    }
}

impl Agreement for TextureSpace<'_> {
    fn settle(&self, estimate: Estimate, progress: f64) -> Result<Estimate> {
        let Estimate { clean, noise, level } = estimate;
        let (clean, noise) = (self.own.agreed(&clean)?, self.own.agreed(&noise)?);
        let strength = self.strength(progress);
        if strength == 0.0 {
            return Ok(Estimate { clean, noise, level });
        }
        let shared = self.canvas.agreed(&clean)?;
        // What agrees stays as it is: differences are 0 there.
        let moved = weighted(&[(&shared, 1.0), (&clean, -1.0)])?;
        let ratio = strength * level.a / level.sigma;
        let noise = weighted(&[(&noise, 1.0), (&moved, -ratio)])?;
        match strength == 1.0 {
            // Equal but for rounding.
            true => Ok(Estimate { clean: shared, noise: self.canvas.agreed(&noise)?, level }),
            false => Ok(Estimate { clean: weighted(&[(&clean, 1.0), (&moved, strength)])?, noise, level }),
        }
    }
}

/// Noise of pictures [V, h, w, channels] that is drawn in texels: pixels that show one texel have the same, in all views, and each
/// pixel's is N(0, 1). Where nothing is shown it is the pixel's own.
///
/// Texels are looked up, not interpolated, which would make noise weaker. **Determinism**: keyed by seed, texel and channel; pixels
/// of no texel by seed, view and place.
///
/// # Errors
/// A shape of other pictures than those of `pixels`.
pub fn texel_noise(pixels: &[Option<u32>], shape: &[usize], seed: u64, device: &Device) -> Result<Tensor> {
    let &[views, h, w, channels] = shape else {
        return Err(Error::shape("noise of texels", shape, "[views, height, width, channels]"));
    };
    if pixels.len() != views * h * w {
        return Err(Error::shape("noise of texels", shape, format!("{} pixels", pixels.len())));
    }
    let keys: Vec<u64> = (0..views as u64).collect();
    let own = keyed_noise(device, DType::F32, shape, seed, 1, &keys)?;
    let Some(most) = pixels.iter().flatten().max() else { return Ok(own) };
    let texels = keyed_noise(device, DType::F32, &[1, *most as usize + 1, channels], seed, 0, &[0])?;
    let texels = Var::from(texels.reshape(&[*most as usize + 1, channels])?);
    let canvas = Canvas::new(pixels, &vec![1.0; pixels.len()], device)?;
    let covered = Tensor::from_slice(device, canvas.covered(), &[canvas.covered().len()])?;
    let own = Var::from(own.reshape(&[pixels.len(), channels])?);
    Ok(canvas.show(&texels.gather(&covered)?, &own)?.tensor().reshape(shape)?)
}
