//! Samples of a prior, for people to see.

use super::Guide;
use crate::Result;
use crate::fit::frames::picture;
use lumigrad_core::ops::random_normal;
use lumigrad_core::{DType, Device};
use lumigrad_guidance::{Capability, synchronised};
use lumigrad_scene::picture::Picture;

/// Steps of DDIM.
const STEPS: usize = 30;
/// Time that sampling begins at: nearly noise.
pub const FIRST_TIME: f64 = 0.98;

/// Pictures of what a prior is asked for, by DDIM; a single one where there are latents, for such a prior is slow.
///
/// # Errors
/// As the prior's.
pub fn samples(guide: &Guide, n: usize, [h, w]: [usize; 2], seed: u64, device: &Device) -> Result<Vec<Picture>> {
    let n = if guide.info().can(Capability::Decode) { n.min(1) } else { n };
    let noise = random_normal(device, DType::F32, &guide.info().denoised(n, [h, w]), seed ^ 0x5a3)?;
    let levels = guide.info().schedule.levels(FIRST_TIME, 0.0, STEPS);
    let mut predict = |x: &_, level| guide.predict(x, level);
    let found = synchronised(&noise, &levels, None, &mut predict)?;
    let shown = guide.shown(&guide.prior.left(&found)?)?;
    Ok(shown.chunks_exact(h * w * 3).map(|data| picture(w, h, data.to_vec())).collect())
}
