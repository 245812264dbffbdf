//! Splats whose colours are painted.

use super::pages::Looks;
use super::runner::Runner;
use super::texels::Painter;
use super::thing::{Seen, Thing};
use crate::fit::drive::Output;
use crate::run::report::Figure;
use crate::train::camera;
use crate::{Error, Result};
use lumigrad_core::ops::{concat_tensors, slice_tensor};
use lumigrad_core::{DType, Device, Jacobian, Map, Tape, Tensor, Var};
use lumigrad_guidance::Shown;
use lumigrad_optim::conjugate_gradients;
use lumigrad_scene::camera::View;
use lumigrad_splat::device::{CameraVars, DeviceOptions, GaussianVars, features_vars};
use lumigrad_splat::{C0, Gaussians, Kernel, formats};
use std::path::Path;

/// Iterations of the least squares in a step of denoising. They begin at the mean that splats have over pixels, and what they have
/// not fitted after so many is finer than a step can tell.
const STEP_ITERATIONS: usize = 8;
/// Iterations for the colours that are written.
const LAST_ITERATIONS: usize = 60;
/// Alpha of a pixel below which it shows nothing.
const FAINT: f64 = 1e-3;

/// Gaussians seen from cameras: pictures are W·c of their colours c, with compositing's weights W.
pub struct Cloud {
    gaussians: Gaussians,
    /// W of each view.
    views: Vec<Jacobian>,
    /// 1 / Σ W over the pixels of all views, [N, 1]; 0 where no view sees a Gaussian.
    shares: Var,
    /// W·1, [P, 1].
    alpha: Var,
}

impl Cloud {
    /// Weights of views of one size.
    ///
    /// # Errors
    /// Surfels; views that see nothing; those of the device.
    pub fn new(gaussians: Gaussians, views: &[View], device: &Device) -> Result<Self> {
        if gaussians.kernel == Kernel::Surfel {
            return Err(Error::usage("texture", "these splats are surfels", "take ellipsoids, or a mesh of them"));
        }
        // Colours are features: harmonics are not looked at.
        let vars = GaussianVars::new(&gaussians.clone().with_degree(0), device, DType::F32)?;
        let options = DeviceOptions { kernel: gaussians.kernel, sh_degree: 0, alpha_min: 1.0 / 255.0 };
        let ones = Tensor::full(device, DType::F32, &[gaussians.len(), 3], 1.0)?;
        let (mut jacobians, mut alphas) = (vec![], vec![]);
        let mut sums = Var::from(Tensor::zeros(device, DType::F32, ones.shape())?);
        for view in views {
            let tape = Tape::new();
            let colours = tape.variable(ones.clone());
            let seen = features_vars(&vars, &CameraVars::new(&camera(view), device, DType::F32)?, &options, &colours)?;
            let seen = seen.reshape(&[view.width * view.height, 3])?;
            let weights = tape.linearize(&seen, &[&colours])?;
            let everywhere = Tensor::full(device, DType::F32, seen.shape(), 1.0)?;
            sums = sums.add(&weights.apply_transpose(&everywhere)?.remove(0).into())?;
            alphas.push(slice_tensor(seen.tensor(), 1, 0, 1)?);
            jacobians.push(weights);
        }
        let alpha = Var::from(concat_tensors(&alphas.iter().collect::<Vec<_>>(), 0)?);
        let sums = sums.slice(1, 0, 1)?;
        if sums.sum()?.tensor().item()? <= 0.0 {
            return Err(Error::job("no view sees a splat"));
        }
        let inverse = Map::cached("texture/inverse", |m| {
            let [x] = m.item::<1>("x");
            m.output("inverse", &[x.greater(1e-6).select(1.0 / x.max(1e-6), 0.0)]);
        });
        let shares = inverse.apply(&[&sums])?.remove(0);
        Ok(Self { gaussians, views: jacobians, shares, alpha })
    }

    /// Number of Gaussians, and of those that a view sees.
    pub fn counts(&self) -> Result<(usize, usize)> {
        let seen = self.shares.tensor().to_vec::<f32>()?.iter().filter(|x| **x > 0.0).count();
        Ok((self.gaussians.len(), seen))
    }

    /// W·c, [P, 3].
    fn shown(&self, colours: &Tensor) -> lumigrad_core::Result<Tensor> {
        let colours = std::slice::from_ref(colours);
        let views = self.views.iter().map(|w| w.apply(colours)).collect::<lumigrad_core::Result<Vec<_>>>()?;
        concat_tensors(&views.iter().collect::<Vec<_>>(), 0)
    }

    /// Wᵀ·x, [N, 3].
    fn gathered(&self, pixels: &Tensor) -> lumigrad_core::Result<Tensor> {
        let (mut sum, mut start) = (None::<Var>, 0);
        for weights in &self.views {
            let end = start + weights.value().shape()[0];
            let part = Var::from(weights.apply_transpose(&slice_tensor(pixels, 0, start, end)?)?.remove(0));
            sum = Some(match sum {
                Some(sum) => sum.add(&part)?,
                None => part,
            });
            start = end;
        }
        Ok(sum.expect("there are views").tensor().clone())
    }

    /// Colours [N, 3] whose pictures are nearest to pictures [P, 3]: min Σ α·|x − W·c/α|² over pixels, by conjugate gradients
    /// from grey, preconditioned by the sums of weights, whose first step is the weighted mean. Gaussians that no view sees are 0.
    fn fitted(&self, pixels: &Tensor, iterations: usize) -> Result<Tensor> {
        let right = self.gathered(pixels)?;
        let start = Tensor::zeros(right.device(), right.dtype(), right.shape())?;
        let over_alpha = |x: Tensor| -> lumigrad_core::Result<Tensor> {
            let map = Map::cached("texture/over alpha", |m| {
                let ([a], x) = (m.item::<1>("alpha"), m.item::<3>("x"));
                m.output("over", &x.map(|x| a.greater(FAINT).select(x / a.max(FAINT), 0.0)));
            });
            Ok(map.apply(&[&self.alpha, &x.into()])?.remove(0).tensor().clone())
        };
        let normal = |c: &[Tensor]| Ok(vec![self.gathered(&over_alpha(self.shown(&c[0])?)?)?]);
        let shared = |r: &[Tensor]| Ok(vec![Var::from(r[0].clone()).mul(&self.shares)?.tensor().clone()]);
        let (found, _) = conjugate_gradients(vec![start], vec![right], normal, shared, |_| 0.0, iterations)?;
        Ok(found.into_iter().next().expect("one array"))
    }

    /// Pictures of colours over what other pictures [P, 3] have behind.
    fn over(&self, colours: &Tensor, behind: &Var) -> Result<Tensor> {
        let map = Map::cached("texture/over", |m| {
            let ([a], shown, behind) = (m.item::<1>("alpha"), m.item::<3>("shown"), m.item::<3>("behind"));
            let mixed = [0, 1, 2].map(|k| shown[k] + (1.0 - a) * behind[k]);
            m.output("over", &[0, 1, 2].map(|k| a.greater(FAINT).select(mixed[k], behind[k])));
        });
        Ok(map.apply(&[&self.alpha, &self.shown(colours)?.into(), behind])?.remove(0).tensor().clone())
    }

    /// Painted with pictures [V, h, w, 3] in the range from `lo` to `hi`: the Gaussians, without harmonics, and how they look,
    /// [P, 3], over the pictures and over what is darkest. Gaussians that no view sees keep their colour.
    ///
    /// # Errors
    /// Those of the device.
    pub fn painted(&self, pictures: &Tensor, [lo, hi]: [f64; 2]) -> Result<(Gaussians, [Tensor; 2])> {
        let own = pictures.reshape(&[pictures.len() / 3, 3])?;
        let colours = self.fitted(&own, LAST_ITERATIONS)?;
        let dark = Tensor::full(own.device(), own.dtype(), own.shape(), lo)?;
        let seen = [self.over(&colours, &own.into())?, self.over(&colours, &dark.into())?];
        let (found, shares) = (colours.to_vec::<f32>()?, self.shares.tensor().to_vec::<f32>()?);
        let mut gaussians = self.gaussians.clone().with_degree(0);
        for ((sh, colour), share) in gaussians.sh.iter_mut().zip(found.as_chunks::<3>().0).zip(&shares) {
            let dc = |x: f32| ((((f64::from(x) - lo) / (hi - lo)).clamp(0.0, 1.0) - 0.5) as f32) / C0;
            if *share > 0.0 {
                *sh = colour.map(dc);
            }
        }
        Ok((gaussians, seen))
    }
}

impl Shown for Cloud {
    /// Pictures of the colours that fit all of them best, over what each has behind; where nothing is in front they stay.
    fn agreed(&self, pictures: &Tensor) -> lumigrad_guidance::Result<Tensor> {
        let own = pictures.reshape(&[pictures.len() / 3, 3])?;
        let agreed = || -> Result<Tensor> { self.over(&self.fitted(&own, STEP_ITERATIONS)?, &own.clone().into()) };
        let agreed = agreed().map_err(|e| lumigrad_guidance::Error::Setting(e.to_string()))?;
        Ok(agreed.reshape(pictures.shape())?)
    }
}

/// Splats that were painted.
pub struct PaintedSplats {
    /// The views.
    pub seen: Seen,
    /// Their pictures, [V, h, w, 3] in the prior's range.
    pub pictures: Tensor,
    cloud: Cloud,
    /// The same, each by itself.
    apart: Option<Tensor>,
}

impl PaintedSplats {
    /// Paints the job's splats.
    ///
    /// # Errors
    /// As [`Cloud::new`]; those of the prior.
    pub fn new(painter: &Painter, thing: &Thing, gaussians: &Gaussians, runner: &mut Runner) -> Result<Self> {
        let seen = thing.views(painter.job, painter.size, painter.guide, false)?;
        let cloud = Cloud::new(gaussians.clone(), &seen.views, &painter.device)?;
        let (pictures, apart) = painter.sync(&seen, &cloud, runner)?;
        Ok(Self { seen, pictures, cloud, apart })
    }
}

/// Writes the splats and figures; tells how views look.
///
/// # Errors
/// Those of the device, and of writing.
pub fn write(made: &PaintedSplats, painter: &Painter, output: &mut Output) -> Result<Looks> {
    let guide = painter.guide;
    // How far pictures are from those of one cloud, root mean square, in [0, 1].
    let look = |pictures: &Tensor| -> Result<(Gaussians, Vec<f32>, f64)> {
        let (gaussians, [seen, alone]) = made.cloud.painted(pictures, guide.info().range)?;
        let (seen, own) = (guide.shown(&seen)?, guide.shown(pictures)?);
        let squares: f64 = seen.iter().zip(&own).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let apart = (squares / own.len() as f64).sqrt();
        Ok((gaussians, guide.shown(&alone)?, apart))
    };
    let (gaussians, together, disagreement) = look(&made.pictures)?;
    output.summary.metric("disagreement", disagreement);
    let file = formats::write(Path::new("splats.ply"), &gaussians).map_err(|e| Error::job(e.message))?;
    output.file("splats", "splats.ply", &file)?;
    output.summary.metric("n_splats", gaussians.len() as f64);
    let Some(apart) = &made.apart else { return Ok(Looks { together, apart: None }) };
    let (_, apart, alone) = look(apart)?;
    output.summary.metric("disagreement_independent", alone);
    let ratio = alone / disagreement.max(1e-9);
    output.summary.metric("disagreement_ratio", ratio);
    let note = format!("{alone:.4} against {disagreement:.4} root mean square of what one cloud shows");
    output.report.figures.push(Figure::new("Views disagree, each alone over together", format!("{ratio:.1}×"), note));
    Ok(Looks { together, apart: Some(apart) })
}

/// Rows of the page's table.
///
/// # Errors
/// Those of the device.
pub fn rows(made: &PaintedSplats) -> Result<Vec<Vec<String>>> {
    let (all, seen) = made.cloud.counts()?;
    Ok(vec![vec!["splats".into(), all.to_string()], vec!["that a view sees".into(), seen.to_string()]])
}
