//! Pictures drawn from a prior.

use crate::Result;
use lumigrad_core::{DType, Device, Tensor, Var, ops};
use lumigrad_guidance::{Condition, DiffusionPrior, Level, combine};

/// Pictures that are drawn at once.
const AT_ONCE: usize = 64;
/// σ/a where sampling starts: as good as noise.
const START: f64 = 100.0;

/// `n` pictures [n, height, width, channels] of a prior, along the straight path from noise to pictures in `steps` steps.
pub fn pictures(
    prior: &dyn DiffusionPrior,
    (size, n): ([usize; 2], usize),
    steps: usize,
    condition: &Condition,
    seed: u64,
    device: &Device,
) -> Result<Tensor> {
    let conditions = [condition.clone()];
    let start = 1.0 / (1.0 + START);
    let levels: Vec<Level> = (0..=steps)
        .map(|k| {
            let a = start + (1.0 - start) * k as f64 / steps as f64;
            Level { a, sigma: 1.0 - a }
        })
        .collect();
    let mut parts = vec![];
    for first in (0..n).step_by(AT_ONCE) {
        let count = AT_ONCE.min(n - first);
        let shape = [count, size[0], size[1], prior.info().channels];
        let noise = ops::random_normal(device, DType::F32, &shape, ops::random::hash(seed, first as u64))?;
        let mut x = ops::scale_tensor(&noise, 1.0 - start)?;
        for pair in levels.windows(2) {
            let [from, to] = [pair[0], pair[1]];
            let noise = Var::from(prior.predict(&x, &[from], &conditions)?);
            let ratio = to.a / from.a;
            let past = Var::from(x);
            x = combine(&[(&past, &[ratio]), (&noise, &[to.sigma - ratio * from.sigma])])?.tensor().clone();
        }
        parts.push(x);
    }
    Ok(ops::concat_tensors(&parts.iter().collect::<Vec<_>>(), 0)?)
}
