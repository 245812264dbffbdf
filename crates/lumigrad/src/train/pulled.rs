//! A prior that pulls at splats beside photographs.

use super::dataset::Dataset;
use super::views::camera;
use crate::guiding::{PriorTerm, PriorTermKeys};
use crate::{Error, Result};
use lumigrad_core::ops::{concat, random};
use lumigrad_core::{DType, Device, Var};
use lumigrad_scene::camera::View;
use lumigrad_splat::Gaussians;
use lumigrad_splat::device::{CameraVars, DeviceOptions, GaussianVars, Term, over, render_vars};

/// What a prior that the job names adds to the loss of a step: its pull at patches over a background, seen from between the
/// cameras, about the middle of the Gaussians at the start. `None` where none is named.
///
/// # Errors
/// As [`PriorTerm::new`]'s.
pub fn term(
    keys: &PriorTermKeys,
    dataset: &Dataset,
    gaussians: &Gaussians,
    (background, seed): ([f32; 3], u64),
    device: &Device,
) -> Result<Option<Term>> {
    let views: Vec<View> = dataset.train.iter().map(|s| s.view.clone()).collect();
    let Some(prior) = PriorTerm::new(keys, "train splats", views.iter(), seed)? else { return Ok(None) };
    let (target, device) = (gaussians.sphere().0, device.clone());
    Ok(Some(Box::new(move |vars, options, step| {
        let seed = random::hash(seed, step as u64);
        let cameras = prior.patches(&views.iter().collect::<Vec<_>>(), target, seed);
        let pulled = shown(vars, options, &cameras, background, &device);
        let pulled = pulled.and_then(|patches| {
            let loss = prior.evaluate(&patches, &cameras, target, seed)?;
            match loss.tensor().item()?.is_finite() {
                true => Ok(loss),
                false => Err(Error::job(
                    "the prior's pull was not finite, or exploded, ten times in a row: lower --guidance-weight, or change \
                     --guidance-times",
                )),
            }
        });
        pulled.map_err(|e| lumigrad_splat::Error::Device { message: e.to_string() })
    })))
}

/// Pictures [n, rows, columns, 3] of Gaussians over a background, by cameras of one size.
///
/// # Errors
/// Those of the device.
pub fn shown(
    vars: &GaussianVars,
    options: &DeviceOptions,
    cameras: &[View],
    background: [f32; 3],
    device: &Device,
) -> Result<Var> {
    let picture = |view: &View| -> Result<Var> {
        let taken = render_vars(vars, &CameraVars::new(&camera(view), device, DType::F32)?, options)?;
        Ok(over(&taken, background)?.reshape(&[1, view.height, view.width, 3])?)
    };
    let pictures = cameras.iter().map(picture).collect::<Result<Vec<_>>>()?;
    Ok(concat(&pictures.iter().collect::<Vec<_>>(), 0)?)
}
