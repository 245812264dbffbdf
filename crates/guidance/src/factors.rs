//! Factorized Diffusion (Geng et al. 2024): pictures whose parts show different things.
//!
//! x = Σ f_i(x) with linear f_i; ε̂ = Σ f_i(ε̂_i), each ε̂_i of its own condition. A hybrid picture has low frequencies of one
//! and high frequencies of another.

use crate::sample::weighted;
use crate::{Error, Level, Result};
use lumigrad_core::ops::{Border, conv2d_separable};
use lumigrad_core::{Tensor, Var};

/// How pictures are taken apart into two parts that add up to them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Factors {
    /// Low and high frequencies: a Gaussian filter of standard deviation σ pixels and the rest.
    LowHigh {
        /// Pixels; 2 suits pictures of 64².
        sigma: f64,
    },
    /// Grey (the mean of the channels) and colour.
    GreyColour,
    /// What is seen in motion blur along rows, of this many pixels, and the rest.
    Motion {
        /// Pixels, odd.
        pixels: usize,
    },
}

impl Factors {
    /// The first part f₁(x) of pictures [n, height, width, channels]; the second is x − f₁(x).
    ///
    /// **Errors**: filters that are no filters, pictures that are not larger than half the filter.
    pub fn first(self, pictures: &Tensor) -> Result<Tensor> {
        let &[n, h, w, c] = pictures.shape() else {
            return Err(Error::shape("pictures", pictures.shape(), "[n, height, width, channels]"));
        };
        let x = Var::from(pictures.clone());
        match self {
            Self::GreyColour => {
                let grey = x.reshape(&[n * h * w, c])?.mean_axis(1)?.reshape(&[n, h, w, 1])?;
                Ok(grey.broadcast_to(pictures.shape())?.tensor().clone())
            }
            Self::LowHigh { sigma } => {
                if !(sigma > 0.0 && sigma < 1e3) {
                    return Err(Error::Setting(format!("a filter of {sigma} pixels is none; expected more than 0")));
                }
                // A filter wider than the picture has no border to mirror.
                let reach = ((3.0 * sigma).ceil() as usize).clamp(1, h.min(w).saturating_sub(1).max(1));
                let weight = |k: usize| (-0.5 * ((k as f64 - reach as f64) / sigma).powi(2)).exp();
                let total: f64 = (0..=2 * reach).map(weight).sum();
                let kernel: Vec<f64> = (0..=2 * reach).map(|k| weight(k) / total).collect();
                // Pictures of a batch are channels of one picture.
                let together = x.permute(&[1, 2, 0, 3])?.reshape(&[h, w, n * c])?;
                let blurred = conv2d_separable(&together, &kernel, Border::Reflect)?;
                Ok(blurred.reshape(&[h, w, n, c])?.permute(&[2, 0, 1, 3])?.tensor().clone())
            }
            Self::Motion { pixels } => {
                if pixels.is_multiple_of(2) || pixels > w {
                    let reason = format!("a blur of {pixels} pixels: expected an odd number, at most the width {w}");
                    return Err(Error::Setting(reason));
                }
                // Means over shifts along the row; pictures repeat beyond their sides.
                let mut shifted: Vec<Tensor> = vec![];
                for by in 0..pixels {
                    let at = (by + w - pixels / 2) % w;
                    let parts = [x.slice(2, at, w)?, x.slice(2, 0, at)?];
                    shifted.push(lumigrad_core::ops::concat(&[&parts[0], &parts[1]], 2)?.tensor().clone());
                }
                weighted(&shifted.iter().map(|s| (s, 1.0 / pixels as f64)).collect::<Vec<_>>())
            }
        }
    }

    /// f₁(ε̂₁) + f₂(ε̂₂).
    pub fn join(self, first: &Tensor, second: &Tensor) -> Result<Tensor> {
        weighted(&[(&self.first(first)?, 1.0), (second, 1.0), (&self.first(second)?, -1.0)])
    }

    /// x_t whose first part is that of a real picture with noise: the inverse mode, in which only the second part is made.
    pub fn overwrite(self, noisy: &Tensor, picture: &Tensor, noise: &Tensor, level: Level) -> Result<Tensor> {
        self.join(&weighted(&[(picture, level.a), (noise, level.sigma)])?, noisy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_testkit::real;

    const ALL: [Factors; 3] = [Factors::LowHigh { sigma: 1.0 }, Factors::GreyColour, Factors::Motion { pixels: 3 }];

    #[test]
    fn the_same_prediction_in_both_parts_is_that_prediction() {
        let x = real(&[2, 8, 9, 3], 1);
        for factors in ALL {
            let joined = factors.join(&x, &x).unwrap().to_vec::<f64>().unwrap();
            let off = joined.iter().zip(x.as_slice::<f64>().unwrap()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < 1e-12, "{factors:?}: {off}");
        }
    }

    #[test]
    fn constants_are_low_frequencies_and_grey() {
        let flat =
            lumigrad_core::Tensor::full(&lumigrad_core::Device::cpu(), lumigrad_core::DType::F64, &[1, 8, 8, 3], 0.7);
        let flat = flat.unwrap();
        for factors in ALL {
            let first = factors.first(&flat).unwrap().to_vec::<f64>().unwrap();
            assert!(first.iter().all(|x| (x - 0.7).abs() < 1e-12), "{factors:?}");
        }
    }

    #[test]
    fn overwriting_keeps_the_reference_in_the_first_part() {
        let (x, picture, e) = (real(&[1, 6, 6, 3], 1), real(&[1, 6, 6, 3], 2), real(&[1, 6, 6, 3], 3));
        let level = Level::new(0.6, 0.8).unwrap();
        let y = Factors::GreyColour.overwrite(&x, &picture, &e, level).unwrap();
        let noisy = weighted(&[(&picture, 0.6), (&e, 0.8)]).unwrap();
        let found = Factors::GreyColour.first(&y).unwrap().to_vec::<f64>().unwrap();
        let wanted = Factors::GreyColour.first(&noisy).unwrap().to_vec::<f64>().unwrap();
        assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(Factors::Motion { pixels: 4 }.first(&x).is_err() && Factors::LowHigh { sigma: 0.0 }.first(&x).is_err());
    }
}
