//! Pictures of any size by a prior over patches.

use crate::{Capability, Condition, DiffusionPrior, Error, Level, PriorInfo, Result, of_picture};
use lumigrad_core::ops::{concat_tensors, slice_tensor};
use lumigrad_core::{Tensor, Var};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A prior over patches of one size, for pictures that are larger: every patch is predicted, and where patches overlap their
/// predictions are averaged.
///
/// All patches of a picture have one level of noise, so that averaging ε̂ is averaging clean estimates.
/// **Source**: Bar-Tal et al. 2023, MultiDiffusion, with ε̂ in place of steps.
pub struct Tiled {
    patches: Arc<dyn DiffusionPrior>,
    side: [usize; 2],
    stride: usize,
    info: PriorInfo,
    layouts: Mutex<HashMap<[usize; 3], Arc<Layout>>>,
}

/// Patches that are predicted at a time.
const PART: usize = 512;
/// Layouts that are remembered.
const REMEMBERED: usize = 8;

/// Which pixels patches show.
struct Layout {
    /// The pixel of each patch's pixel, u32 [patches · side].
    pixels: Tensor,
    /// The same by pixel, u32.
    order: Tensor,
    /// Where each pixel's entries begin.
    offsets: Tensor,
    /// 1 / patches that show each pixel, [pixels, 1].
    shares: Tensor,
    /// Patches of a picture.
    patches: usize,
}

impl Tiled {
    /// Patches that begin every `stride` pixels, and at the far borders.
    ///
    /// # Errors
    /// The prior has no size of its own; the stride is 0 or leaves gaps; the prior works on latents.
    pub fn new(patches: Arc<dyn DiffusionPrior>, stride: usize) -> Result<Self> {
        let own = patches.info();
        let Some(side) = own.size else {
            return Err(Error::Setting(format!("{} takes pictures of any size, it needs no patches", own.name)));
        };
        if stride == 0 || stride > side[0].min(side[1]) {
            let message = format!(
                "patches of {side:?} pixels cannot begin every {stride}; expected 1 to {}",
                side[0].min(side[1])
            );
            return Err(Error::Setting(message));
        }
        let capabilities = own
            .capabilities
            .iter()
            .copied()
            .filter(|c| matches!(c, Capability::Labels | Capability::Text | Capability::Views));
        let info = PriorInfo {
            name: format!("{}, in patches", own.name),
            size: None,
            made_for: None,
            multiple: 1,
            pixels: 1,
            capabilities: capabilities.collect(),
            ..own.clone()
        };
        if own.can(Capability::Encode) {
            return Err(Error::Setting(format!("{} works on latents, which are not cut into patches", own.name)));
        }
        Ok(Self { patches, side, stride, info, layouts: Mutex::new(HashMap::new()) })
    }

    /// Predictions of patches, some at a time.
    fn by_parts(&self, patches: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Tensor> {
        let n = patches.shape()[0];
        let mut found = vec![];
        for start in (0..n).step_by(PART) {
            let end = (start + PART).min(n);
            let part = |many: bool| if many { start..end } else { 0..1 };
            let cut = slice_tensor(patches, 0, start, end)?;
            let (levels, conditions) = (&levels[part(levels.len() > 1)], &conditions[part(conditions.len() > 1)]);
            found.push(self.patches.predict(&cut, levels, conditions)?);
        }
        Ok(concat_tensors(&found.iter().collect::<Vec<_>>(), 0)?)
    }

    fn starts(&self, length: usize, side: usize) -> Vec<usize> {
        let last = length - side;
        (0..last).step_by(self.stride).chain([last]).collect()
    }

    fn layout(&self, [n, h, w]: [usize; 3], like: &Tensor) -> Result<Arc<Layout>> {
        let mut known = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = known.get(&[n, h, w]).filter(|l| l.pixels.device() == like.device()) {
            return Ok(layout.clone());
        }
        let (rows, columns) = (self.starts(h, self.side[0]), self.starts(w, self.side[1]));
        let mut pixels = vec![];
        for picture in 0..n {
            for (y, x) in rows.iter().flat_map(|y| columns.iter().map(move |x| (*y, *x))) {
                for v in 0..self.side[0] {
                    pixels.extend((0..self.side[1]).map(|u| ((picture * h + y + v) * w + x + u) as u32));
                }
            }
        }
        let mut order: Vec<u32> = (0..pixels.len() as u32).collect();
        order.sort_by_key(|&k| pixels[k as usize]);
        let (mut offsets, mut counts) = (vec![0u32], vec![0u32; n * h * w]);
        pixels.iter().for_each(|&p| counts[p as usize] += 1);
        for c in &counts {
            offsets.push(offsets[offsets.len() - 1] + c);
        }
        let shares: Vec<f64> = counts.iter().map(|c| 1.0 / *c as f64).collect();
        let numbers = |list: &[u32]| Tensor::from_slice(like.device(), list, &[list.len()]);
        let shares = Tensor::from_slice(&lumigrad_core::Device::cpu(), &shares, &[shares.len(), 1])?;
        let layout = Arc::new(Layout {
            pixels: numbers(&pixels)?,
            order: numbers(&order)?,
            offsets: numbers(&offsets)?,
            shares: shares.cast(like.dtype())?.to_device(like.device())?,
            patches: rows.len() * columns.len(),
        });
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert([n, h, w], layout.clone());
        Ok(layout)
    }
}

impl DiffusionPrior for Tiled {
    fn info(&self) -> &PriorInfo {
        &self.info
    }

    fn predict(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Tensor> {
        self.info.check("noisy pictures", noisy.shape())?;
        let &[n, h, w, c] = noisy.shape() else { unreachable!("just checked") };
        let [side_y, side_x] = self.side;
        if h < side_y || w < side_x {
            let expected = format!("at least {side_x}×{side_y} pixels, a patch of {}", self.patches.info().name);
            return Err(Error::shape("noisy pictures", noisy.shape(), expected));
        }
        self.info.check_entries("levels", n, levels.len())?;
        self.info.check_entries("conditions", n, conditions.len())?;
        let layout = self.layout([n, h, w], noisy)?;
        let cut = Var::from(noisy.reshape(&[n * h * w, c])?).gather(&layout.pixels)?;
        let cut = cut.tensor().reshape(&[n * layout.patches, side_y, side_x, c])?;
        let (levels, conditions) = (spread(levels, n, layout.patches), spread(conditions, n, layout.patches));
        let found = self.by_parts(&cut, &levels, &conditions)?;
        let found = Var::from(found.reshape(&[n * layout.patches * side_y * side_x, c])?);
        let sums = found.gather(&layout.order)?.segment_sum(&layout.offsets)?;
        Ok(sums.mul(&layout.shares.clone().into())?.tensor().reshape(&[n, h, w, c])?)
    }
}

/// Entries of pictures as entries of their patches.
fn spread<T: Clone>(entries: &[T], n: usize, patches: usize) -> Vec<T> {
    if entries.len() == 1 {
        return entries.to_vec();
    }
    (0..n).flat_map(|i| std::iter::repeat_n(of_picture(entries, i).clone(), patches)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Parameterisation, Schedule, combine};
    use lumigrad_core::ops::random_normal;
    use lumigrad_core::{DType, Device};

    /// Patches of 4 × 4 whose noise is what is in them, by a level's σ.
    struct Plain(PriorInfo);

    impl DiffusionPrior for Plain {
        fn info(&self) -> &PriorInfo {
            &self.0
        }

        fn predict(&self, noisy: &Tensor, levels: &[Level], _: &[Condition]) -> Result<Tensor> {
            self.0.check("noisy", noisy.shape())?;
            let factors: Vec<f64> = levels.iter().map(|l| l.sigma).collect();
            Ok(combine(&[(&noisy.clone().into(), &factors)])?.tensor().clone())
        }
    }

    fn plain() -> Arc<dyn DiffusionPrior> {
        Arc::new(Plain(PriorInfo {
            name: "plain".into(),
            size: Some([4, 4]),
            made_for: None,
            multiple: 1,
            pixels: 1,
            channels: 3,
            range: [-1.0, 1.0],
            labels: vec![],
            schedule: Schedule::Cosine,
            parameterisation: Parameterisation::Noise,
            capabilities: vec![],
        }))
    }

    #[test]
    fn a_pointwise_prior_is_the_same_in_patches() {
        let noisy = random_normal(&Device::cpu(), DType::F32, &[2, 9, 11, 3], 5).unwrap();
        let levels = [Level { a: 1.0, sigma: 0.5 }, Level { a: 1.0, sigma: 2.0 }];
        let found = Tiled::new(plain(), 3).unwrap().predict(&noisy, &levels, &[Condition::null()]).unwrap();
        let (found, noisy) = (found.to_vec::<f32>().unwrap(), noisy.to_vec::<f32>().unwrap());
        for (k, (f, x)) in found.iter().zip(&noisy).enumerate() {
            let sigma = if k < noisy.len() / 2 { 0.5 } else { 2.0 };
            assert!((f - sigma * x).abs() < 1e-6);
        }
    }

    #[test]
    fn pictures_smaller_than_a_patch_and_gaps_between_patches_are_refused() {
        let tiled = Tiled::new(plain(), 4).unwrap();
        let small = random_normal(&Device::cpu(), DType::F32, &[1, 3, 8, 3], 5).unwrap();
        let error = tiled.predict(&small, &[Level { a: 1.0, sigma: 1.0 }], &[Condition::null()]).unwrap_err();
        assert!(error.to_string().contains("4×4"), "{error}");
        assert!(Tiled::new(plain(), 5).is_err() && Tiled::new(plain(), 0).is_err());
        assert!(Tiled::new(Arc::new(Tiled::new(plain(), 2).unwrap()), 2).is_err());
    }
}
