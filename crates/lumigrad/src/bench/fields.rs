//! Training steps of neural fields, beside the matrix products that the machine does in the same moment.

use super::timing::{record, time};
use crate::Result;
use crate::core::{DType, Device, Tape, Var, ops};
use crate::field::{Activation, Derivatives, Encoding, Field, Grid, Jet, Rates, Training};
use crate::run::Summary;
use std::sync::Arc;
use std::time::Instant;

/// Points of a step on values, and of steps on derivatives.
const POINTS: usize = 1 << 16;
const DERIVED_POINTS: usize = 1 << 14;
/// Side of the matrices whose product is the peak.
const SIDE: usize = 2048;
/// Repetitions; the median counts.
const RUNS: usize = 7;

fn seconds(device: &Device, run: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    run()?;
    device.synchronize()?;
    Ok(start.elapsed().as_secs_f64())
}

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A step's milliseconds and, of its matrix products, the part of the peak rate that it reaches; medians over repetitions
/// that alternate with products, so that both see the same machine.
pub(super) fn beside_products(
    device: &Device,
    operations: f64,
    step: &mut dyn FnMut() -> Result<()>,
) -> Result<[f64; 3]> {
    let matrix = |seed| ops::random_uniform(device, DType::F32, &[SIDE, SIDE], seed, -1.0, 1.0).map(Var::from);
    let (a, b) = (matrix(1)?, matrix(2)?);
    let mut product = || -> Result<()> {
        a.matmul(&b)?;
        Ok(())
    };
    let peak = 2.0 * (SIDE as f64).powi(3);
    step()?;
    product()?;
    let (mut times, mut fractions, mut rates) = (vec![], vec![], vec![]);
    for _ in 0..RUNS {
        let rate = peak / seconds(device, &mut product)?;
        let time = seconds(device, step)?;
        times.push(1e3 * time);
        rates.push(rate / 1e9);
        fractions.push(operations / time / rate);
    }
    Ok([median(times), median(fractions), median(rates)])
}

/// SIREN of 256 × 3 as the paper has it (a first layer, three hidden ones, a linear one): values, gradients, Laplacians.
pub fn siren(device: &Device, summary: &mut Summary) -> Result<()> {
    let field = Field::siren(2, 1, 256, 4);
    let products: usize = field.shapes().iter().filter(|(n, _)| n.ends_with("weight")).map(|(_, s)| s[0] * s[1]).sum();
    let rates = Rates { rate: 1e-4, table_rate: 1e-2, clip: None };
    let cases = [
        ("siren_step", POINTS, Derivatives::none()),
        ("siren_gradient_step", DERIVED_POINTS, Derivatives::gradient(2)),
        ("siren_laplacian_step", DERIVED_POINTS, Derivatives::laplacian(2)),
    ];
    for (name, n, derivatives) in cases {
        let points = ops::random_uniform(device, DType::F32, &[n, 2], 3, -1.0, 1.0)?;
        let target = Var::from(ops::random_uniform(device, DType::F32, &[n, 1], 4, -1.0, 1.0)?);
        let mut training = Training::new(field.start(1, device)?, rates);
        // Forward, and backward by weights and by what came in.
        let operations = 6.0 * products as f64 * (n * derivatives.n_streams()) as f64;
        let derivatives = Arc::new(derivatives);
        let mut step = || -> Result<()> {
            training.step(1.0, |vars| -> Result<Var> {
                let jet = field.jet(vars, &points.clone().into(), &derivatives)?;
                Ok(match (derivatives.first().len(), jet.laplacian()) {
                    (0, _) => jet.value().sub(&target)?.square()?.mean()?,
                    (_, Ok(laplacian)) => laplacian.sub(&target)?.square()?.mean()?,
                    (_, Err(_)) => {
                        let by = |k: usize| -> Result<Var> { Ok(jet.first(k)?.sub(&target)?.square()?.mean()?) };
                        by(0)?.add(&by(1)?)?
                    }
                })
            })?;
            Ok(())
        };
        let [ms, fraction, rate] = beside_products(device, operations, &mut step)?;
        summary.metric(&format!("{name}_ms"), ms);
        summary.metric(&format!("{name}_gemm_fraction"), fraction);
        summary.metric("siren_gemm_gflops", rate);
    }
    Ok(())
}

/// Networks that GPUs run as one launch, rectified ones of 16 inputs and two hidden layers: a step forward and back, and how
/// many times as long the same takes layer by layer. On the CPU the former is the operator that keeps blocks in the cache.
pub fn networks(device: &Device, summary: &mut Summary) -> Result<()> {
    for width in [16, 64, 128] {
        let field = Field { width, ..Field::encoded(16, 4, Encoding::Identity) };
        let mlp = field.mlp();
        let points = Var::from(ops::random_uniform(device, DType::F32, &[DERIVED_POINTS, 16], 3, -1.0, 1.0)?);
        let values: Vec<_> = field.start(1, device)?.into_iter().map(|p| p.value).collect();
        let step = |fused: bool| -> Result<f64> {
            let start = Instant::now();
            let tape = Tape::new();
            let vars: Vec<Var> = values.iter().map(|v| tape.variable(v.clone())).collect();
            let seed = Jet::seed(&points, Arc::new(Derivatives::none()))?;
            let found = if fused { mlp.forward_in_one(&seed, &vars)? } else { mlp.forward_by_layers(&seed, &vars)? };
            tape.backward(&found.value().square()?.mean()?)?;
            device.synchronize()?;
            Ok(1e3 * start.elapsed().as_secs_f64())
        };
        // Shaders are compiled by the first.
        step(true)?;
        step(false)?;
        let (mut times, mut ratios) = (vec![], vec![]);
        for _ in 0..RUNS {
            let (fused, layers) = (step(true)?, step(false)?);
            times.push(fused);
            ratios.push(layers / fused);
        }
        summary.metric(&format!("mlp_{width}_step_ms"), median(times));
        summary.metric(&format!("mlp_{width}_layers_ratio"), median(ratios));
    }
    Ok(())
}

/// A hash grid of 16 levels and 2¹⁶ rows with two layers of 64: encoding alone, and a step.
pub fn hash(device: &Device, summary: &mut Summary) -> Result<()> {
    let encoding = Encoding::Grid(Grid::hash(16, 16, 16, 512));
    let field = Field { activation: Activation::Relu, ..Field::encoded(3, 1, encoding.clone()) };
    let points = ops::random_uniform(device, DType::F32, &[DERIVED_POINTS, 3], 3, -1.0, 1.0)?;
    let target = Var::from(ops::random_uniform(device, DType::F32, &[DERIVED_POINTS, 1], 4, -1.0, 1.0)?);
    let mut training = Training::new(field.start(1, device)?, Rates { rate: 1e-3, table_rate: 1e-2, clip: None });
    let table = Var::from(training.parameters()[0].value.clone());
    let none = Arc::new(Derivatives::none());
    let points = Var::from(points);
    let mut encode = || -> Result<()> {
        encoding.encode(&points, std::slice::from_ref(&table), &none)?;
        Ok(())
    };
    let mut step = || -> Result<()> {
        training
            .step(1.0, |vars| -> Result<Var> { Ok(field.value(vars, &points)?.sub(&target)?.square()?.mean()?) })?;
        Ok(())
    };
    for (name, run) in [("hash_encode_ms", &mut encode as &mut dyn FnMut() -> Result<()>), ("hash_step_ms", &mut step)]
    {
        let timing = time(device, run)?;
        record(summary, name, 1e3 * timing.median, &timing);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_all_widths_run() {
        let device = Device::cpu();
        let mut summary = Summary::new("bench fields", device.to_string(), 0);
        networks(&device, &mut summary).unwrap();
        for width in [16, 64, 128] {
            assert!(summary.get(&format!("mlp_{width}_step_ms")).is_some_and(|ms| ms > 0.0), "{width}");
        }
    }
}
