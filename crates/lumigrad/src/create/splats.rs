//! The `create splats` command: Gaussians pulled from noise towards a prior's subject.

use super::cameras::camera;
use super::drive::drive;
use super::keys::{CloudKeys, CreateKeys, CreateSplatsJob};
use super::learnt::Learnt;
use super::model::{Drawn, Model};
use super::plan::Plan;
use crate::run::job::Document;
use crate::run::{Observer, RunFolder, Stop, Summary, require_memory};
use crate::train::pulled::shown;
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{DType, Device, Var};
use lumigrad_guidance::View as Direction;
use lumigrad_optim::Group;
use lumigrad_splat::device::{DeviceOptions, GaussianVars};
use lumigrad_splat::{Gaussians, Kernel, formats};
use std::path::Path;

/// Names of the arrays, in the order of [`GaussianVars::all`].
const NAMES: [&str; 5] = ["means", "log_scales", "rotations", "opacity_logits", "dc"];
/// Rates relative to that of the means.
const RATES: [f64; 5] = [1.0, 2.0, 2.0, 5.0, 4.0];
/// Radius of the ball that Gaussians start in, and stay near, metres.
const BALL: f64 = 0.8;
/// How Gaussians are drawn: pictures are small, so that those below a pixel must not grow.
const KERNEL: Kernel = Kernel::Mip;
/// Bytes that a step takes for a Gaussian and for a pixel of a view, roughly.
const SPLAT_BYTES: u64 = 300;
const PIXEL_BYTES: u64 = 400;

/// Creates, and writes the run folder.
///
/// # Errors
/// Priors, subjects or settings that cannot be used; guidance that diverges again and again; files that cannot be written.
pub fn splats(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: CreateSplatsJob = document.parse()?;
    let mut model = |plan: &Plan, device: &Device| -> Result<Box<dyn Model>> {
        Ok(Box::new(Cloud::new(&job.cloud, &job.create, plan.side, device)?))
    };
    drive("create splats", (&job.create, None), document, &mut model, stop, observer)
}

/// Gaussians.
pub struct Cloud {
    learnt: Learnt,
    /// Weight of the sum of opacities.
    opacity_weight: f64,
}

impl Cloud {
    /// Grey noise: means even in a ball, sizes so that all of them fill it about once.
    ///
    /// # Errors
    /// More memory than there is.
    pub fn new(job: &CloudKeys, create: &CreateKeys, side: usize, device: &Device) -> Result<Self> {
        let (views, pixels) = (create.batch as u64, (side * side) as u64);
        let needed = (job.splats as u64).saturating_mul(SPLAT_BYTES.saturating_mul(views.saturating_add(2)));
        let needed = needed.saturating_add(views.saturating_mul(pixels.saturating_mul(PIXEL_BYTES)));
        require_memory(needed, "--splats", "fewer Gaussians (--splats) or views per step (--batch)")?;
        let (n, key) = (job.splats, random::hash(create.common.seed, 21));
        let point = |i: usize| -> [f32; 3] {
            // The first of a row of candidates that is in the ball.
            let candidate = |t: u64| [0, 1, 2].map(|k| 2.0 * random::uniform(key, (i as u64 * 64 + t) * 3 + k) - 1.0);
            let inside = (0..64).map(candidate).find(|p| p.iter().map(|x| x * x).sum::<f64>() < 1.0);
            inside.unwrap_or([0.0; 3]).map(|x| (BALL * x) as f32)
        };
        let size = (BALL * (1.0 / n as f64).cbrt()).max(1e-4).ln() as f32;
        let grey = |i: usize| [0, 1, 2].map(|k| (0.6 * random::normal(random::hash(key, 1), 3 * i as u64 + k)) as f32);
        let gaussians = Gaussians {
            means: (0..n).map(point).collect(),
            log_scales: vec![[size; 3]; n],
            rotations: vec![[1.0, 0.0, 0.0, 0.0]; n],
            opacity_logits: vec![-1.5; n],
            sh_degree: 0,
            sh: (0..n).map(grey).collect(),
            kernel: KERNEL,
        };
        let vars = GaussianVars::new(&gaussians, device, DType::F32)?;
        let arrays = vars.all().into_iter().map(|v| v.tensor().clone()).collect();
        let group = |(name, factor): (&str, f64)| Group { epsilon: 1e-15, ..Group::new(name, job.rate * factor) };
        let mut groups: Vec<Group> = NAMES.into_iter().zip(RATES).map(group).collect();
        groups[0].bounds = (-1.2 * BALL, 1.2 * BALL);
        groups[1].bounds = (1e-3f64.ln(), 0.25f64.ln());
        groups[3].bounds = (-8.0, 8.0);
        groups[4].bounds = (-1.9, 1.9);
        Ok(Self { learnt: Learnt::new(arrays, groups, device), opacity_weight: job.opacity_weight / n as f64 })
    }

    /// The Gaussians on the host.
    ///
    /// # Errors
    /// Those of the device.
    pub fn gaussians(&self) -> Result<Gaussians> {
        Ok(GaussianVars::from_all(self.learnt.vars()).gaussians(KERNEL)?)
    }
}

impl Model for Cloud {
    fn learnt(&self) -> &Learnt {
        &self.learnt
    }

    fn learnt_mut(&mut self) -> &mut Learnt {
        &mut self.learnt
    }

    fn drawn(&self, arrays: &[Var], from: &[Direction], side: usize, _progress: f64) -> Result<Drawn> {
        let vars = GaussianVars::from_all(arrays.to_vec());
        let options = DeviceOptions { kernel: KERNEL, sh_degree: 0, alpha_min: 1.0 / 255.0 };
        let cameras = from.iter().map(|direction| camera(*direction, side)).collect::<Result<Vec<_>>>()?;
        let renders = shown(&vars, &options, &cameras, [1.0; 3], self.learnt.device())?;
        let loss = match self.opacity_weight > 0.0 {
            true => Some(vars.opacity_logits.sigmoid()?.sum()?.scale(self.opacity_weight)?),
            false => None,
        };
        Ok(Drawn { renders, normals: None, loss })
    }

    fn damp(&mut self, factor: f64) -> Result<()> {
        // Colours are grey where their harmonics are zero.
        let dc = &mut self.learnt.arrays[4];
        *dc = Var::from(dc.clone()).scale(factor)?.tensor().clone();
        Ok(())
    }

    fn write(&self, folder: &RunFolder, summary: &mut Summary) -> Result<Vec<(&'static str, &'static str)>> {
        let gaussians = self.gaussians()?;
        summary.metric("n_splats", gaussians.len() as f64);
        let file = formats::write(Path::new("splats.ply"), &gaussians).map_err(|e| Error::job(e.message))?;
        folder.write("splats.ply", &file)?;
        Ok(vec![("splats", "splats.ply")])
    }
}
