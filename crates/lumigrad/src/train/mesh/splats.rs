//! The first stage: coarse Gaussians, and what checkpoints keep of them.

use super::super::dataset::{Dataset, Shot};
use super::super::splats::{training, unusable};
use super::super::start::places;
use super::super::views::camera;
use super::TrainMeshJob;
use crate::run::background;
use crate::{Error, Result};
use lumigrad_core::Device;
use lumigrad_splat::device::DeviceTrainer;
use lumigrad_splat::{
    Background, Gaussians, Kernel, Strategy, Train, TrainOptions, TrainState, Trainer, TrainingPicture,
};
use std::sync::Arc;

/// Degree of their harmonics: what is seen of a surface depends a little on where from.
const SH_DEGREE: usize = 1;
/// Weights of opacities and scales: Gaussians fall where no picture needs them.
const WEIGHT: f32 = 0.01;

/// A trainer, at its start where there is no state to go on from.
///
/// # Errors
/// Pictures or Gaussians that cannot be trained.
pub fn trainer(
    job: &TrainMeshJob,
    dataset: &mut Dataset,
    state: Option<TrainState>,
    device: &Device,
) -> Result<Box<dyn Train>> {
    let (seed, cap) = (job.run.common.seed, job.max_splats);
    let state = state.unwrap_or_else(|| {
        let (means, colours) = places(seed, dataset, cap);
        TrainState::new(Gaussians::from_points(&means, &colours, SH_DEGREE, Kernel::Classic))
    });
    let still = |shot: &mut Shot| TrainingPicture { view: camera(&shot.view), ..training(shot, true) };
    let pictures: Arc<[TrainingPicture]> = dataset.train.iter_mut().map(still).collect();
    // What is transparent must stay empty, whatever the background: depths are taken from the Gaussians.
    let cut_out = pictures.iter().any(|p| !p.alpha.is_empty());
    let options = TrainOptions {
        seed,
        background: if cut_out { Background::Random } else { background(&job.photos.background)? },
        strategy: Strategy::Mcmc { cap },
        opacity_weight: WEIGHT,
        scale_weight: WEIGHT,
        depth_weight: 0.0,
        normal_map_weight: 0.0,
        ..TrainOptions::default()
    };
    Ok(match device.is_cpu() {
        true => Box::new(Trainer::resume(state, pictures, options).map_err(unusable)?),
        false => Box::new(DeviceTrainer::new(state, &pictures, options, device).map_err(unusable)?),
    })
}

/// Arrays of Gaussians by name.
pub fn arrays(g: &Gaussians) -> Vec<(&'static str, Vec<f32>)> {
    vec![
        ("means", g.means.as_flattened().to_vec()),
        ("log_scales", g.log_scales.as_flattened().to_vec()),
        ("rotations", g.rotations.as_flattened().to_vec()),
        ("opacity_logits", g.opacity_logits.clone()),
        ("sh", g.sh.as_flattened().to_vec()),
    ]
}

/// The Gaussians of such arrays; `None` where there are none.
///
/// # Errors
/// Arrays that do not fit each other.
pub fn gaussians(find: &dyn Fn(&str) -> Option<Vec<f32>>) -> Result<Option<Gaussians>> {
    let Some(means) = find("means") else { return Ok(None) };
    let rows = |name: &str| find(name).unwrap_or_default();
    let three = |data: &[f32]| data.as_chunks::<3>().0.to_vec();
    let found = Gaussians {
        means: three(&means),
        log_scales: three(&rows("log_scales")),
        rotations: rows("rotations").as_chunks::<4>().0.to_vec(),
        opacity_logits: rows("opacity_logits"),
        sh: three(&rows("sh")),
        sh_degree: SH_DEGREE,
        kernel: Kernel::Classic,
    };
    let n = found.means.len();
    let lengths = [found.log_scales.len(), found.rotations.len(), found.opacity_logits.len()];
    match lengths.iter().all(|l| *l == n) && found.sh.len() == n * found.n_basis() {
        true => Ok(Some(found)),
        false => Err(Error::file("--resume", "the checkpoint's Gaussians do not fit each other", "start anew")),
    }
}
