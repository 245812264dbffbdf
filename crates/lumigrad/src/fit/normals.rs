//! How right a field's derivatives are: those of the network, and those of the fitted operator; and how the network learns
//! the latter.

use crate::Result;
use crate::fields::operators::{Derivation, Operators, unit};
use crate::fields::solid::Solid;
use lumigrad_core::ops::random;
use lumigrad_core::{Tensor, Var};
use lumigrad_field::{Derivatives, Field, Parameter, Rates, Training, surface};
use lumigrad_geometry::{NormalWeights, Surface, SurfaceSampler, mean_curvature, vertex_normals};
use lumigrad_optim::Schedule;
use std::sync::Arc;

/// Points of the surface that derivatives are judged at.
const JUDGED: usize = 1 << 13;
/// Further points, by which deviations are chosen.
const TRIED: usize = 1 << 10;
/// Points whose values are taken at a time: each needs many around it.
const CHUNK: usize = 1 << 10;
/// Points and steps of the fine-tuning, points of a step, and its rate.
const TUNED: usize = 1 << 19;
const TUNING_STEPS: usize = 2000;
const TUNING_BATCH: usize = 1 << 14;
const TUNING_RATES: Rates = Rates { rate: 2e-3, table_rate: 8e-3, clip: None };
/// Weight of the values. Normals are rough because values are, by about a hundredth of those near the surface: values must be
/// free to move by that.
const KEPT: f64 = 0.015;
/// Deviation of those near the surface.
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
        let drawn = sampler.draw(seed ^ 0x5eed, 0, JUDGED + TRIED);
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

impl Truth {
    /// Some of its points.
    fn range(&self, range: std::ops::Range<usize>) -> Self {
        let triples = 3 * range.start..3 * range.end;
        Self {
            points: self.points[triples.clone()].to_vec(),
            normals: self.normals[triples].to_vec(),
            curvatures: self.curvatures[range].to_vec(),
        }
    }
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

/// Errors of a field's derivatives on a surface.
pub fn measure(operators: &Operators, solid: &Solid, truth: &Truth) -> Result<Errors> {
    over(operators, solid, &truth.range(0..JUDGED))
}

fn over(operators: &Operators, solid: &Solid, truth: &Truth) -> Result<Errors> {
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
        let points = Tensor::from_slice(solid.device(), chunk, &[chunk.len() / 3, 3])?.into();
        let both = |how| -> Result<[Vec<f32>; 2]> {
            let [gradients, curvatures] = operators.both(solid, how, &points)?;
            Ok([gradients.to_vec()?, curvatures.to_vec()?])
        };
        let [g, h] = both(Derivation::Ad)?;
        let [gf, hf] = both(Derivation::PolyFit)?;
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

/// The operators of the deviation that gives the normals of some points best; they are not those that errors are measured at.
pub fn best(solid: &Solid, sigmas: &[f64], samples: usize, seed: u64, truth: &Truth) -> Result<Operators> {
    let some = truth.range(JUDGED..JUDGED + TRIED);
    let mut found: Option<(f64, Operators)> = None;
    for &sigma in sigmas {
        let operators = Operators::new(sigma, samples, seed)?;
        let error = over(&operators, solid, &some)?.fitted;
        if found.as_ref().is_none_or(|(least, _)| error < *least) {
            found = Some((error, operators));
        }
    }
    Ok(found.expect("some are tried").1)
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
pub fn finetune(
    operators: &Operators,
    solid: &Solid,
    (field, values): (&Field, &[Tensor]),
    surface: &SurfaceSampler,
    seed: u64,
) -> Result<Tuned> {
    let device = values[0].device().clone();
    let points = tuning_points(surface, seed);
    let targets = operators.normals(solid, Derivation::PolyFit, &points)?;
    let none = Arc::new(Derivatives::none());
    let before = field.sample(values, &points, &none)?.remove(0);
    let mean_square = |x: &mut dyn Iterator<Item = f32>| x.map(|x| (x * x) as f64).sum::<f64>() / TUNED as f64;
    // Values count by those near the surface, where points are of each group in turn.
    let size = mean_square(&mut before.iter().enumerate().filter(|(k, _)| k % 8 != 7).map(|(_, x)| *x));
    let shapes = field.start(seed, &device)?;
    let parameters: Vec<Parameter> =
        shapes.into_iter().zip(values).map(|(p, v)| Parameter { value: v.clone(), ..p }).collect();
    let mut training = Training::new(parameters, TUNING_RATES);
    let gradient = Arc::new(Derivatives::gradient(3));
    for step in 0..TUNING_STEPS {
        let start = (step * TUNING_BATCH) % TUNED;
        let range = |width: usize| start * width..(start + TUNING_BATCH) * width;
        let tensor =
            |data: &[f32], width: usize| Tensor::from_slice(&device, &data[range(width)], &[TUNING_BATCH, width]);
        let (p, f, n) = (tensor(&points, 3)?, tensor(&before, 1)?, tensor(targets.as_flattened(), 3)?);
        let factor = Schedule::Cosine { end: 0.05 }.factor(step as f64 / TUNING_STEPS as f64);
        training.step(factor, |vars| -> Result<Var> {
            let jet = field.jet(vars, &p.into(), &gradient)?;
            let values = jet.value().sub(&f.into())?.square()?.mean()?.scale(KEPT / size.max(1e-12))?;
            let normals = surface::unit(&surface::gradient(&jet)?)?.sub(&n.into())?.square()?.mean()?.scale(3.0)?;
            Ok(values.add(&normals)?)
        })?;
    }
    let values = training.values();
    let after = field.sample(&values, &points, &none)?.remove(0);
    let moved = mean_square(&mut before.iter().zip(&after).map(|(a, b)| a - b));
    let whole = mean_square(&mut before.iter().copied());
    Ok(Tuned { values, change: (moved / whole.max(1e-12)).sqrt() })
}

/// Of eight points in turn: four on the surface, three near it, one anywhere.
fn tuning_points(surface: &SurfaceSampler, seed: u64) -> Vec<f32> {
    let drawn = surface.draw(seed ^ 0x70e, 0, TUNED);
    let place = |k: usize, c: usize| {
        let number = (3 * k + c) as u64;
        let near = TUNED_NEAR * random::normal(seed ^ 0x7e4, number);
        match k % 8 {
            0..4 => drawn[k].position[c],
            4..7 => drawn[k].position[c] + near as f32,
            _ => (2.0 * random::uniform(seed ^ 0x7e5, number) - 1.0) as f32,
        }
    };
    (0..TUNED).flat_map(|k| (0..3).map(move |c| (k, c))).map(|(k, c)| place(k, c)).collect()
}
