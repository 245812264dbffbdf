//! From the first step to the last.

use super::problem::Target;
use super::run::Optimizer;
use crate::Result;
use crate::run::{Record, Stop};
use lumigrad_core::Tensor;
use lumigrad_scene::Scene;
use lumigrad_scene::camera::View;
use std::time::Instant;

/// What a run leaves behind.
pub struct Outcome {
    /// The optimised scene.
    pub scene: Scene,
    /// Loss over all training views at the end.
    pub loss: f64,
    /// Steps and evaluations.
    pub history: Vec<Record>,
    /// Median milliseconds of a step.
    pub ms_per_iteration: f64,
    /// Camera errors (degrees, % of the distance) where truth is known and cameras moved.
    pub camera_errors: Option<(f64, f64)>,
    /// Error of optimised intrinsics, in %, where truth is known.
    pub intrinsics_error: Option<f64>,
    /// The run was stopped before its end.
    pub interrupted: bool,
}

/// Runs to the end of the budget, or until `stop` is requested.
pub fn optimize(
    optimizer: &mut Optimizer,
    stop: &Stop,
    mut observe: impl FnMut(&Optimizer, &Record),
) -> Result<Outcome> {
    let settings = optimizer.settings;
    let budget = settings.budget;
    let start = Instant::now();
    let mut interrupted = false;
    let steps_per_epoch = optimizer.problem.train.len().div_ceil(optimizer.batch().len());
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let mut recent: Vec<f64> = vec![];
    loop {
        let seconds = optimizer.seconds + start.elapsed().as_secs_f64();
        if budget.is_spent(optimizer.iteration, seconds) {
            break;
        }
        if stop.is_requested() {
            interrupted = true;
            break;
        }
        let step = Instant::now();
        let loss = optimizer.step(budget.progress(optimizer.iteration, seconds))?;
        optimizer.times.push(step.elapsed().as_secs_f64() * 1e3);
        let seconds = optimizer.seconds + start.elapsed().as_secs_f64();
        let mut record = Record { iteration: optimizer.iteration, seconds, loss, test_psnr: None };
        let scored = optimizer.is_scored(optimizer.iteration);
        if scored {
            record.test_psnr = Some(optimizer.psnr()?);
        }
        if optimizer.is_logged(optimizer.iteration) {
            optimizer.history.push(record.clone());
        }
        observe(optimizer, &record);
        if optimizer.method.as_ref().is_some_and(|m| m.converged()) {
            break;
        }
        recent.push(loss);
        if recent.len() > steps_per_epoch {
            recent.remove(0);
        }
        // The mean over an epoch of steps is cheap and nearly the loss.
        let likely = recent.len() == steps_per_epoch && budget.is_reached(mean(&recent));
        if (likely || scored) && budget.stop_loss.is_some() && budget.is_reached(optimizer.total_loss()?) {
            break;
        }
    }
    optimizer.seconds += start.elapsed().as_secs_f64();
    let views: Vec<&View> = optimizer.problem.train.iter().map(|t| &t.view).collect();
    let camera_errors = match (&optimizer.poses, settings.moves_cameras(), &optimizer.problem.truth) {
        (Some(p), true, Some(_)) => Some(p.errors(&views)),
        _ => None,
    };
    let intrinsics_error = match (&optimizer.intrinsics, &optimizer.problem.truth) {
        (Some(i), Some(_)) => Some(i.error_percent(&views)?),
        _ => None,
    };
    let mut times = optimizer.times.clone();
    times.sort_by(f64::total_cmp);
    Ok(Outcome {
        scene: optimizer.scene()?,
        loss: optimizer.total_loss()?,
        history: optimizer.history.clone(),
        ms_per_iteration: times.get(times.len() / 2).copied().unwrap_or(0.0),
        camera_errors,
        intrinsics_error,
        interrupted,
    })
}

/// Mean PSNR of pictures against targets over RGB.
pub fn mean_psnr(pictures: &[Tensor], targets: &[Target]) -> Result<f64> {
    let mut sum = 0.0;
    for (picture, target) in pictures.iter().zip(targets) {
        sum += psnr(&picture.to_vec::<f32>()?, &target.encoded.to_vec::<f32>()?);
    }
    Ok(sum / targets.len().max(1) as f64)
}

/// PSNR over RGB of [.., 4] pictures.
pub fn psnr(a: &[f32], b: &[f32]) -> f64 {
    let rgb = |x: &[f32]| x.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect::<Vec<f32>>();
    lumigrad_metrics::psnr(&rgb(a), &rgb(b)).unwrap_or(0.0)
}
