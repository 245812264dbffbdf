//! Cases of the group `guidance`: the network of priors, and a step of score distillation.

use super::fields::beside_products;
use super::splats::Case;
use crate::Result;
use crate::core::{DType, Device, Tape, Tensor, Var, ops};
use crate::guidance::distill::{Distiller, Options};
use crate::guidance::unet::{UNet, UNetConfig, features};
use crate::guidance::{Condition, CosineMixture, DiffusionPrior, Level, Objective, PriorInfo, TrainedPrior};
use crate::optim::{Adam, Group};
use crate::run::Summary;
use crate::splat::Kernel;
use crate::splat::device::{CameraVars, DeviceOptions, GaussianVars, render_vars};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Pictures of a forward pass, and pixels along their sides.
const BATCH: usize = 64;
const PATCH: usize = 16;
/// Pixels along a side of the render that is guided.
const SIDE: usize = 64;
/// Its Gaussians.
const CLOUD: Case = Case { name: "guided", gaussians: 5_000, size: [SIDE; 2], sigma: 0.03 };
/// Steps that count, after those that do not.
const STEPS: (usize, usize) = (31, 5);

fn config(widths: &[usize]) -> UNetConfig {
    UNetConfig { widths: widths.to_vec(), ..UNetConfig::small(6, 3, 0) }
}

/// `unet_forward_ms`, `unet_step_ms`: the network of `prior train` on 64 patches of 16², and of their forward and backward
/// passes the part of the matrix products' peak rate.
pub fn unet(device: &Device, summary: &mut Summary) -> Result<()> {
    let net = UNet::new(config(&[64, 96]))?;
    let values = net.start(1, device)?;
    let constants: Vec<Var> = values.iter().cloned().map(Var::from).collect();
    let x = Var::from(ops::random_normal(device, DType::F32, &[BATCH, PATCH, PATCH, 6], 1)?);
    let level = [Level::flow(0.5)?];
    let told = Var::from(features(&level, &[Condition::null()], BATCH, 0, device, DType::F32)?);
    let operations = 2.0 * (BATCH * net.multiplications(PATCH)) as f64;
    let mut forward = || -> Result<()> { Ok(net.forward(&constants, &x, &told).map(drop)?) };
    let mut step = || -> Result<()> {
        let tape = Tape::new();
        let vars: Vec<Var> = values.iter().map(|v| tape.variable(v.clone())).collect();
        let loss = net.forward(&vars, &x, &told)?.square()?.mean()?;
        Ok(tape.backward(&loss).map(drop)?)
    };
    // Backward by weights and by what came in.
    let cases: [Pass; 2] = [("unet_forward", operations, &mut forward), ("unet_step", 3.0 * operations, &mut step)];
    for (name, operations, run) in cases {
        let [ms, fraction, rate] = beside_products(device, operations, run)?;
        summary.metric(&format!("{name}_ms"), ms);
        summary.metric(&format!("{name}_gemm_fraction"), fraction);
        summary.metric("unet_gemm_gflops", rate);
    }
    Ok(())
}

/// A pass of the network: its name, its operations, and how it runs.
type Pass<'a> = (&'a str, f64, &'a mut dyn FnMut() -> Result<()>);

/// A prior that counts the time of its predictions.
struct Timed {
    prior: TrainedPrior,
    nanoseconds: AtomicU64,
}

impl DiffusionPrior for Timed {
    fn info(&self) -> &PriorInfo {
        self.prior.info()
    }

    fn predict(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> crate::guidance::Result<Tensor> {
        noisy.device().synchronize()?;
        let start = Instant::now();
        let noise = self.prior.predict(noisy, levels, conditions)?;
        noise.device().synchronize()?;
        self.nanoseconds.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        Ok(noise)
    }
}

/// `sds_step_ms`: 5000 Gaussians rendered at 64², pulled by score distillation with a prior of 64² pictures, backward pass
/// and Adam. `sds_overhead`: the part of it that is neither the prior's predictions nor rendering, backward pass and Adam.
/// Medians over steps.
pub fn distillation(device: &Device, summary: &mut Summary) -> Result<()> {
    let waves = SIDE * SIDE * 3;
    let gaussian = CosineMixture::new(SIDE, 3, vec![1.0], vec![0.0; waves], vec![0.1; waves])?;
    let prior = TrainedPrior::new("bench", config(&[64, 96, 128]), gaussian, vec![], Objective::Iadb, (1, device))?;
    let prior = Arc::new(Timed { prior, nanoseconds: AtomicU64::new(0) });
    let mut distiller = Distiller::new(prior.clone(), Options::default(), 1)?;
    let start = GaussianVars::new(&CLOUD.cloud(), device, DType::F32)?;
    let mut values: Vec<Tensor> = start.all().iter().map(|v| v.tensor().clone()).collect();
    let mut adam = Adam::new((0..values.len()).map(|k| Group::new(k.to_string(), 1e-3)).collect());
    let camera = CameraVars::new(&CLOUD.view(), device, DType::F32)?;
    let options = DeviceOptions { kernel: Kernel::Classic, sh_degree: 3, alpha_min: 1.0 / 255.0 };
    let (mut steps, mut overheads) = (vec![], vec![]);
    for step in 0..STEPS.0 + STEPS.1 {
        let began = Instant::now();
        let tape = Tape::new();
        let vars: Vec<Var> = values.iter().map(|v| tape.variable(v.clone())).collect();
        let picture = render_vars(&GaussianVars::from_all(vars.clone()), &camera, &options)?;
        let image = picture.slice(2, 0, 3)?.reshape(&[1, SIDE, SIDE, 3])?;
        device.synchronize()?;
        let rendered = began.elapsed();
        prior.nanoseconds.store(0, Ordering::Relaxed);
        let conditions = [Condition::null()];
        let guided = distiller.guide(image.tensor(), &conditions, &[0], step as u64, 0.5)?;
        device.synchronize()?;
        let pulled = began.elapsed();
        let mut gradients = tape.backward_with(&image, guided.cotangent)?;
        let gradients: Vec<Option<Tensor>> = vars.iter().map(|v| gradients.take(v)).collect();
        drop((tape, vars, picture, image));
        adam.step(&mut values.iter_mut().collect::<Vec<_>>(), &gradients, 1.0).map_err(crate::Error::from)?;
        device.synchronize()?;
        let whole = began.elapsed().as_secs_f64();
        let predicted = prior.nanoseconds.load(Ordering::Relaxed) as f64 * 1e-9;
        if step >= STEPS.1 {
            steps.push(1e3 * whole);
            overheads.push(((pulled - rendered).as_secs_f64() - predicted) / whole);
        }
    }
    summary.metric("sds_step_ms", super::fields::median(steps));
    summary.metric("sds_overhead", super::fields::median(overheads));
    Ok(())
}
