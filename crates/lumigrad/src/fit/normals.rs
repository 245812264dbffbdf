//! How right a field's derivatives are: those of the network, and those of the fitted operator; and how the network learns
//! the latter.

use crate::Result;
use lumigrad_core::{Tensor, Var};
use lumigrad_field::{Derivatives, Field, Parameter, PolyFit, Rates, Training, surface};
use lumigrad_geometry::{NormalWeights, Surface, SurfaceSampler, mean_curvature, vertex_normals};
use lumigrad_optim::Schedule;
use std::sync::Arc;

/// Points of the surface that derivatives are judged at.
const JUDGED: usize = 1 << 13;
/// Points whose values are taken at a time: each needs many around it.
const CHUNK: usize = 1 << 10;
/// Samples of the operator that gives normals.
const SLOPE_SAMPLES: usize = 32;
/// Points and steps of the fine-tuning, points of a step, and its rate.
const TUNED: usize = 1 << 15;
const TUNING_STEPS: usize = 600;
const TUNING_BATCH: usize = 1 << 13;
const TUNING_RATE: f64 = 1e-3;
/// Deviation of half of these points from the surface.
const TUNED_NEAR: f64 = 0.01;

/// Points of a surface with normals and curvature that are known.
pub struct Truth {
    points: Vec<f32>,
    normals: Vec<f32>,
    curvatures: Vec<f32>,
}

impl Truth {
    /// Of a mesh, whose vertices' own normals are taken where there are some, and whose curvature is the cotangent Laplacian's.
    pub fn of(mesh: Surface, normals: Option<&[[f32; 3]]>, seed: u64) -> Result<Self> {
        let made;
        let normals = match normals {
            Some(given) => given,
            None => {
                made = vertex_normals(mesh.positions, mesh.triangles, NormalWeights::Angle)?;
                &made
            }
        };
        let curvature = mean_curvature(mesh.positions, mesh.triangles)?;
        let sampler = SurfaceSampler::new(mesh)?.with_normals(normals, mesh.triangles)?;
        let drawn = sampler.draw(seed ^ 0x5eed, 0, JUDGED);
        let curvatures = drawn.iter().map(|s| {
            let corners = mesh.triangles[s.triangle as usize].map(|v| curvature[v as usize]);
            (0..3).map(|c| s.weights[c] * corners[c]).sum()
        });
        Ok(Self {
            curvatures: curvatures.collect(),
            points: drawn.iter().flat_map(|s| s.position).collect(),
            normals: drawn.iter().flat_map(|s| s.normal).collect(),
        })
    }
}

/// The operators of a field of three coordinates.
pub struct Operators<'a> {
    field: &'a Field,
    /// Of degree 2.
    fit: PolyFit,
    /// Of degree 1, for normals alone.
    slope: PolyFit,
}

/// Mean errors over points of a surface.
#[derive(Clone, Copy, Debug, Default)]
pub struct Errors {
    /// Angles of normals, degrees.
    pub differentiated: f64,
    /// The fitted operator's.
    pub fitted: f64,
    /// |k − k'|/max(|k|, 1) of mean curvatures.
    pub curvature_differentiated: f64,
    /// The fitted operator's.
    pub curvature_fitted: f64,
}

impl<'a> Operators<'a> {
    /// With fitted operators of this deviation, the one of degree 2 with so many samples.
    pub fn new(field: &'a Field, sigma: f64, samples: usize, seed: u64) -> Result<Self> {
        let slope = PolyFit::new(3, 1, sigma, SLOPE_SAMPLES, seed)?;
        Ok(Self { field, fit: PolyFit::new(3, 2, sigma, samples, seed)?, slope })
    }

    /// Gradients and curvatures at points, by differentiation.
    fn differentiated(&self, values: &[Var], points: &Tensor) -> Result<(Vec<f32>, Vec<f32>)> {
        let jet = self.field.jet(values, &points.clone().into(), &Arc::new(Derivatives::hessian(3)))?;
        let gradient = surface::gradient(&jet)?;
        let curvature = surface::mean_curvature(&gradient, &surface::hessian(&jet)?)?;
        Ok((gradient.tensor().to_vec()?, curvature.tensor().to_vec()?))
    }

    /// The same by the fitted operator.
    fn fitted(&self, values: &[Var], points: &Tensor) -> Result<(Vec<f32>, Vec<f32>)> {
        let found = self.fit.apply(|p| self.field.value(values, p), &points.clone().into())?;
        let hessian = found.hessian.expect("of degree 2");
        let curvature = surface::mean_curvature(&found.gradient, &hessian)?;
        Ok((found.gradient.tensor().to_vec()?, curvature.tensor().to_vec()?))
    }

    /// Unit normals by the fitted operator, at points of three numbers each.
    pub fn fitted_normals(&self, values: &[Tensor], points: &[f32]) -> Result<Vec<[f32; 3]>> {
        let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        let mut normals = vec![];
        for chunk in points.chunks(3 * CHUNK) {
            let points = Tensor::from_slice(values[0].device(), chunk, &[chunk.len() / 3, 3])?;
            let found = self.slope.apply(|p| self.field.value(&vars, p), &points.into())?;
            normals.extend(found.gradient.tensor().to_vec::<f32>()?.chunks_exact(3).map(unit));
        }
        Ok(normals)
    }
}

fn unit(v: &[f32]) -> [f32; 3] {
    let length = v.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-20);
    [v[0] / length, v[1] / length, v[2] / length]
}

/// Errors of a field's derivatives on a surface.
pub fn measure(operators: &Operators, values: &[Tensor], truth: &Truth) -> Result<Errors> {
    let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
    let mut sums = Errors::default();
    let angle = |a: &[f32], b: &[f32]| {
        let (a, b) = (unit(a), unit(b));
        let dot: f32 = (0..3).map(|c| a[c] * b[c]).sum();
        // By the chord, which keeps its digits at small angles.
        let chord = (0..3).map(|c| (a[c] - b[c]).powi(2)).sum::<f32>().sqrt() as f64;
        if dot > 0.0 {
            (2.0 * (0.5 * chord).min(1.0).asin()).to_degrees()
        } else {
            (dot as f64).clamp(-1.0, 1.0).acos().to_degrees()
        }
    };
    let curvature = |found: f32, real: f32| ((found - real).abs() / real.abs().max(1.0)) as f64;
    for (k, chunk) in truth.points.chunks(3 * CHUNK).enumerate() {
        let points = Tensor::from_slice(values[0].device(), chunk, &[chunk.len() / 3, 3])?;
        let (g, h) = operators.differentiated(&vars, &points)?;
        let (gf, hf) = operators.fitted(&vars, &points)?;
        for i in 0..h.len() {
            let at = k * CHUNK + i;
            let normal = &truth.normals[3 * at..3 * at + 3];
            sums.differentiated += angle(&g[3 * i..3 * i + 3], normal);
            sums.fitted += angle(&gf[3 * i..3 * i + 3], normal);
            sums.curvature_differentiated += curvature(h[i], truth.curvatures[at]);
            sums.curvature_fitted += curvature(hf[i], truth.curvatures[at]);
        }
    }
    let n = truth.curvatures.len().max(1) as f64;
    Ok(Errors {
        differentiated: sums.differentiated / n,
        fitted: sums.fitted / n,
        curvature_differentiated: sums.curvature_differentiated / n,
        curvature_fitted: sums.curvature_fitted / n,
    })
}

/// A field whose own derivatives are those of the fitted operator.
pub struct Tuned {
    /// Its parameters.
    pub values: Vec<Tensor>,
    /// RMS change of its values over that of the values, at the points that it was tuned with.
    pub change: f64,
}

/// Trains a copy of a field whose gradients have the directions of its fitted ones, and whose values stay (Chetan et al.
/// 2025, §4): mean (f − f₀)² / mean f₀² + mean ‖n − n₀‖².
pub fn finetune(operators: &Operators, values: &[Tensor], surface: &SurfaceSampler, seed: u64) -> Result<Tuned> {
    let (field, device) = (operators.field, values[0].device().clone());
    let mut points: Vec<f32> = surface.draw(seed ^ 0x70e, 0, TUNED).iter().flat_map(|s| s.position).collect();
    for (k, x) in points.iter_mut().enumerate().skip(3 * TUNED / 2) {
        *x += (TUNED_NEAR * lumigrad_core::ops::random::normal(seed ^ 0x7e4, k as u64)) as f32;
    }
    let targets = operators.fitted_normals(values, &points)?;
    let none = Arc::new(Derivatives::none());
    let before = field.sample(values, &points, &none)?.remove(0);
    let size = before.iter().map(|x| (x * x) as f64).sum::<f64>() / before.len() as f64;
    let shapes = field.start(seed, &device)?;
    let parameters: Vec<Parameter> =
        shapes.into_iter().zip(values).map(|(p, v)| Parameter { value: v.clone(), ..p }).collect();
    let rates = Rates { rate: TUNING_RATE, table_rate: TUNING_RATE, clip: None };
    let mut training = Training::new(parameters, rates);
    let gradient = Arc::new(Derivatives::gradient(3));
    for step in 0..TUNING_STEPS {
        let start = (step * TUNING_BATCH) % TUNED;
        let range = |width: usize| start * width..(start + TUNING_BATCH) * width;
        // Points on the surface and beside it in turn: the stride goes through both halves.
        let tensor =
            |data: &[f32], width: usize| Tensor::from_slice(&device, &data[range(width)], &[TUNING_BATCH, width]);
        let (p, f, n) = (tensor(&points, 3)?, tensor(&before, 1)?, tensor(targets.as_flattened(), 3)?);
        let factor = Schedule::Cosine { end: 0.05 }.factor(step as f64 / TUNING_STEPS as f64);
        training.step(factor, |vars| -> Result<Var> {
            let jet = field.jet(vars, &p.into(), &gradient)?;
            let values = jet.value().sub(&f.into())?.square()?.mean()?.scale(1.0 / size.max(1e-12))?;
            let normals = surface::unit(&surface::gradient(&jet)?)?.sub(&n.into())?.square()?.mean()?.scale(3.0)?;
            Ok(values.add(&normals)?)
        })?;
    }
    let values = training.values();
    let after = field.sample(&values, &points, &none)?.remove(0);
    let moved = before.iter().zip(&after).map(|(a, b)| ((a - b) * (a - b)) as f64).sum::<f64>() / before.len() as f64;
    Ok(Tuned { values, change: (moved / size.max(1e-12)).sqrt() })
}
