//! Latents of pictures that show one thing.

use super::Shown;
use crate::sample::weighted;
use crate::{Capability, DiffusionPrior, Error, Result};
use lumigrad_core::Tensor;
use lumigrad_core::ops::{concat_tensors, slice_tensor};

/// Agreement of latents: their pictures agree, and the latents follow.
///
/// A latent is a patch of a picture, whose numbers change when it is turned or seen from farther away: those of two views cannot be
/// averaged as colours can. So each view is decoded, D(z), the pictures are made to agree, P, and the latents become
/// z + E(P) − E(D(z)). The autoencoder's own error is in both terms and cancels: latents whose pictures agree stay as they are, to
/// the last bit, and nothing fades from step to step as it would in E(P). (SyncMVD, Liu et al. 2023, averages latents in a latent
/// texture instead, as [`super::TextureSpace`] does; that needs no autoencoder, and what it shows is less sharp.)
///
/// **Cost**: a decoding and two encodings of each view, one view at a time. **Determinism**: as that of the prior.
pub struct Decoded<'a> {
    prior: &'a dyn DiffusionPrior,
    shown: &'a dyn Shown,
}

impl<'a> Decoded<'a> {
    /// Latents of a prior, whose pictures show a thing.
    ///
    /// # Errors
    /// A prior that cannot encode and decode.
    pub fn new(prior: &'a dyn DiffusionPrior, shown: &'a dyn Shown) -> Result<Self> {
        for capability in [Capability::Encode, Capability::Decode] {
            prior.info().require(capability, " (needed where views agree in pictures)")?;
        }
        Ok(Self { prior, shown })
    }
}

impl Shown for Decoded<'_> {
    fn agreed(&self, latents: &Tensor) -> Result<Tensor> {
        let pictures = one_by_one(latents, |_, z| self.prior.decode(z))?;
        let shared = self.shown.agreed(&pictures)?;
        let encoded = |pictures: &Tensor| one_by_one(pictures, |_, x| self.prior.encode(x));
        let moved = weighted(&[(&encoded(&shared)?, 1.0), (&encoded(&pictures)?, -1.0)])?;
        weighted(&[(latents, 1.0), (&moved, 1.0)])
    }
}

/// What is made of pictures [n, …] one at a time, told their numbers: memory for one is enough.
///
/// # Errors
/// No picture; those of `make`.
pub fn one_by_one(pictures: &Tensor, mut make: impl FnMut(usize, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let n = pictures.shape().first().copied().unwrap_or(0);
    if n == 0 {
        return Err(Error::shape("pictures", pictures.shape(), "at least one"));
    }
    let parts = (0..n).map(|i| make(i, &slice_tensor(pictures, 0, i, i + 1)?)).collect::<Result<Vec<_>>>()?;
    Ok(concat_tensors(&parts.iter().collect::<Vec<_>>(), 0)?)
}
