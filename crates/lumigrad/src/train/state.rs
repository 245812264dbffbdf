//! Trainings of splats as checkpoints.

use super::splats::unusable;
use crate::run::{Array, Checkpoint};
use crate::{Error, Result};
use lumigrad_splat::{Gaussians, Remembered, Train, TrainState};

/// Before the names of what the optimiser remembers, and of what is learnt of cameras, in checkpoints.
const METHOD: &str = "optimizer/";
const CAMERAS: &str = "cameras/";

/// The state of a training, for `--resume`.
pub fn checkpoint(trainer: &dyn Train, job: &str, seed: u64, spent: f64) -> Result<Checkpoint> {
    let state = trainer.state().map_err(unusable)?;
    let mut c = Checkpoint { step: state.step as u64, seed, job: job.into(), ..Default::default() };
    c.facts.insert("seconds".into(), spent.to_string());
    if let Some(damping) = state.damping {
        c.facts.insert("damping".into(), damping.to_string());
    }
    let (g, n) = (&state.gaussians, state.gaussians.len());
    let flat = |a: &[[f32; 3]]| Array::F32(a.as_flattened().to_vec());
    c.insert("means", &[n, 3], flat(&g.means));
    c.insert("log_scales", &[n, 3], flat(&g.log_scales));
    c.insert("rotations", &[n, 4], Array::F32(g.rotations.as_flattened().to_vec()));
    c.insert("opacity_logits", &[n], Array::F32(g.opacity_logits.clone()));
    c.insert("sh", &[n, g.n_basis(), 3], flat(&g.sh));
    c.insert("first", &[state.first.len()], Array::F32(state.first));
    c.insert("second", &[state.second.len()], Array::F32(state.second));
    if !state.growth.is_empty() {
        c.insert("growth", &[state.growth.len()], Array::F32(state.growth));
    }
    if !state.smoothing.is_empty() {
        c.insert("smoothing", &[n], Array::F32(state.smoothing));
    }
    for (prefix, kept) in [(METHOD, state.method), (CAMERAS, state.cameras)] {
        let kept = kept.unwrap_or_default();
        c.facts.extend(kept.numbers.iter().map(|(name, x)| (format!("{prefix}{name}"), x.to_string())));
        for (name, (shape, data)) in kept.arrays {
            c.insert(format!("{prefix}{name}"), &shape, Array::F32(data));
        }
    }
    Ok(c)
}

/// The state in a checkpoint, of Gaussians like those of the start.
pub fn restored(c: &Checkpoint, like: &Gaussians) -> Result<TrainState> {
    let n = c.tensors.get("means").map_or(0, |t| t.0[0]);
    let three = |name: &str, shape: &[usize]| Ok::<_, Error>(c.f32(name, shape)?.as_chunks::<3>().0.to_vec());
    let basis = like.n_basis();
    let gaussians = Gaussians {
        means: three("means", &[n, 3])?,
        log_scales: three("log_scales", &[n, 3])?,
        rotations: c.f32("rotations", &[n, 4])?.as_chunks::<4>().0.to_vec(),
        opacity_logits: c.f32("opacity_logits", &[n])?.to_vec(),
        sh: three("sh", &[n, basis, 3])?,
        sh_degree: like.sh_degree,
        kernel: like.kernel,
    };
    let moments = |name: &str| Ok::<_, Error>(c.f32(name, &[n * (11 + 3 * basis)])?.to_vec());
    let damping = c.facts.get("damping").and_then(|d| d.parse().ok());
    let (first, second) = (moments("first")?, moments("second")?);
    let (method, cameras) = (remembered(c, METHOD), remembered(c, CAMERAS));
    let optional = |name: &str, shape: &[usize]| match c.tensors.contains_key(name) {
        true => Ok::<_, Error>(c.f32(name, shape)?.to_vec()),
        false => Ok(vec![]),
    };
    let (growth, smoothing) = (optional("growth", &[2 * n])?, optional("smoothing", &[n])?);
    Ok(TrainState { step: c.step as usize, gaussians, first, second, growth, smoothing, damping, method, cameras })
}

/// What was kept under a prefix.
fn remembered(c: &Checkpoint, prefix: &str) -> Option<Remembered> {
    let mut out = Remembered::default();
    out.numbers.extend(c.numbers_under(prefix).map(|(name, x)| (name.into(), x)));
    let arrays = c.arrays_under(prefix).map(|(name, shape, data)| (name.into(), (shape.to_vec(), data.to_vec())));
    out.arrays.extend(arrays);
    (out != Remembered::default()).then_some(out)
}
