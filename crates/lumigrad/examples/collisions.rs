//! Balls bounce off a solid that a hash-grid field describes: by its own gradients, and by those of the fitted operator.
//!
//! A field in grids carries noise of high frequency. Its values are good, its derivatives are not, and a bounce doubles the
//! error of a normal. The solid is a sphere, so that every path is known.
//!
//! `cargo run --release -p lumigrad --example collisions`

use lumigrad::core::ops::random::{normal, uniform};
use lumigrad::core::{Device, Tensor, Var};
use lumigrad::field::{
    Activation, Derivatives, Encoding, Error, Field, Grid, PolyFit, Rates, Result, Training, surface,
};
use std::sync::Arc;

const RADIUS: f64 = 0.5;
const BALLS: usize = 400;
const STEPS: usize = 300;
const BATCH: u64 = 4096;

type V = [f64; 3];

fn dot(a: V, b: V) -> f64 {
    (0..3).map(|k| a[k] * b[k]).sum()
}

fn along(p: V, d: V, t: f64) -> V {
    [0, 1, 2].map(|k| p[k] + t * d[k])
}

fn length(a: V) -> f64 {
    dot(a, a).sqrt()
}

/// A field of the sphere's signed distance, trained for a few seconds.
fn trained() -> Result<(Field, Vec<Tensor>)> {
    let encoding = Encoding::Grid(Grid::hash(6, 14, 8, 64));
    let field = Field { activation: Activation::Softplus, ..Field::encoded(3, 1, encoding) };
    let rates = Rates { rate: 5e-3, table_rate: 1e-2, clip: None };
    let device = Device::cpu();
    let mut training = Training::new(field.start(0, &device)?, rates);
    for step in 0..STEPS as u64 {
        // Half of the points near the surface, half anywhere.
        let point = |k: u64| -> V {
            let n = [0, 1, 2].map(|a| normal(step, 3 * k + a));
            match k % 2 {
                0 => n.map(|x| x * (RADIUS + 0.03 * normal(step ^ 77, k)) / length(n)),
                _ => [0, 1, 2].map(|a| 2.0 * uniform(step ^ 99, 3 * k + a) - 1.0),
            }
        };
        let points: Vec<V> = (0..BATCH).map(point).collect();
        let flat: Vec<f32> = points.iter().flatten().map(|&x| x as f32).collect();
        let wanted: Vec<f32> = points.iter().map(|&p| (length(p) - RADIUS) as f32).collect();
        let x = Tensor::from_slice(&device, &flat, &[BATCH as usize, 3])?;
        let wanted = Tensor::from_slice(&device, &wanted, &[BATCH as usize, 1])?;
        let factor = (1.0 - step as f64 / STEPS as f64).max(0.02);
        training.step(factor, |vars| -> Result<Var> {
            Ok(field.value(vars, &x.into())?.sub(&wanted.into())?.square()?.mean()?)
        })?;
    }
    Ok((field, training.values()))
}

/// Normals at points.
fn normals(field: &Field, values: &[Tensor], points: &[V], fit: Option<&PolyFit>) -> Result<Vec<V>> {
    let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
    let flat: Vec<f32> = points.iter().flatten().map(|&x| x as f32).collect();
    let points = Var::from(Tensor::from_slice(&Device::cpu(), &flat, &[points.len(), 3])?);
    let gradient = match fit {
        Some(fit) => fit.apply(|p| field.value(&vars, p), &points)?.gradient,
        None => surface::gradient(&field.jet(&vars, &points, &Arc::new(Derivatives::gradient(3)))?)?,
    };
    let unit = surface::unit(&gradient)?.tensor().to_vec::<f32>()?;
    Ok(unit.as_chunks::<3>().0.iter().map(|n| n.map(f64::from)).collect())
}

/// How far from where they should be balls are, one unit of length after they met the solid: by the field's own normals, and
/// by fitted ones.
fn astray() -> Result<[f64; 2]> {
    let (field, values) = trained()?;
    // Thrown from all around at places near the middle; where they meet the sphere is known.
    let throw = |k: u64| {
        let from = [0, 1, 2].map(|a| normal(5, 6 * k + a));
        let from = from.map(|x| x / length(from));
        let to = [0, 1, 2].map(|a| 0.5 * (uniform(5, 6 * k + 3 + a) - 0.5));
        let d = along(to, from, -1.0);
        let d = d.map(|x| x / length(d));
        let b = dot(from, d);
        let t = -b - (b * b - (dot(from, from) - RADIUS * RADIUS)).max(0.0).sqrt();
        (along(from, d, t), d)
    };
    let met: Vec<(V, V)> = (0..BALLS as u64).map(throw).collect();
    let points: Vec<V> = met.iter().map(|m| m.0).collect();
    let fit = PolyFit::new(3, 1, 0.03, 64, 1)?;
    let bounced = |(p, d): (V, V), n: V| along(p, along(d, n, -2.0 * dot(d, n)), 1.0);
    let mut found = [0.0; 2];
    for (error, fit) in found.iter_mut().zip([None, Some(&fit)]) {
        let normals = normals(&field, &values, &points, fit)?;
        let distance = |(&(p, d), n): (&(V, V), V)| {
            let (own, real) = (bounced((p, d), n), bounced((p, d), p.map(|x| x / RADIUS)));
            length(along(own, real, -1.0))
        };
        *error = met.iter().zip(normals).map(distance).sum::<f64>() / BALLS as f64;
    }
    Ok(found)
}

fn main() -> std::result::Result<(), Error> {
    let [own, fitted] = astray()?;
    println!("one unit of length after the bounce, balls are astray by");
    println!("{own:.4} with the field's own gradients, {fitted:.4} with fitted ones");
    Ok(())
}

#[test]
fn fitted_normals_bounce_better() {
    let [own, fitted] = astray().unwrap();
    assert!(fitted < own / 3.0 && fitted < 0.06, "{own} {fitted}");
}
