//! A bump is carried around by a rotating flow, as a hash-grid field that a step of time trains anew: u_t + v·∇u = 0.
//!
//! Each step takes the field's derivatives, by differentiation or by the fitted operator, makes a step of second order
//! (Lax & Wendroff) of them, and fits the field to the result. What is wrong with derivatives stays and is carried on. The
//! solution is the bump turned by the angle so far.
//!
//! `cargo run --release -p lumigrad --example advection`

use lumigrad::core::ops::random::uniform;
use lumigrad::core::{Device, Tensor, Var};
use lumigrad::field::{
    Activation, Derivatives, Encoding, Error, Field, Grid, Interpolation, PolyFit, Rates, Result, Training,
};
use std::sync::Arc;

/// Steps of time, and the angle of each.
const STEPS: usize = 8;
const ANGLE: f64 = 0.1;
/// Steps of training at first, and for a step of time.
const FIRST: usize = 250;
const AGAIN: usize = 60;
const BATCH: usize = 4096;
/// Deviation of the bump, and where it is at first.
const WIDTH: f64 = 0.15;
const AWAY: f64 = 0.4;

/// The solution at a place after an angle.
fn bump([x, y]: [f64; 2], angle: f64) -> f64 {
    let (dx, dy) = (x - AWAY * angle.cos(), y - AWAY * angle.sin());
    (-(dx * dx + dy * dy) / (2.0 * WIDTH * WIDTH)).exp()
}

fn places(stream: u64) -> Vec<[f64; 2]> {
    (0..BATCH as u64).map(|k| [0, 1].map(|a| 2.0 * uniform(stream, 2 * k + a) - 1.0)).collect()
}

fn rows<const N: usize>(rows: &[[f64; N]]) -> Result<Var> {
    let flat: Vec<f32> = rows.iter().flatten().map(|&x| x as f32).collect();
    Ok(Tensor::from_slice(&Device::cpu(), &flat, &[rows.len(), N])?.into())
}

/// What a field is, its slopes and its second derivatives xx, xy, yy at places: by differentiation, or fitted.
fn derivatives(field: &Field, values: &[Tensor], at: &[[f64; 2]], fit: Option<&PolyFit>) -> Result<Vec<[f64; 6]>> {
    let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
    let points = rows(at)?;
    let jet = field.jet(&vars, &points, &Arc::new(Derivatives::hessian(2)))?;
    let mut columns = vec![jet.value().clone()];
    match fit {
        None => columns.extend([jet.first(0)?, jet.first(1)?, jet.second(0, 0)?, jet.second(0, 1)?, jet.second(1, 1)?]),
        Some(fit) => {
            let found = fit.apply(|p| field.value(&vars, p), &points)?;
            columns.extend([found.gradient.slice(1, 0, 1)?, found.gradient.slice(1, 1, 2)?]);
            let second =
                found.hessian.ok_or_else(|| Error::Description("a fit of degree 2 has second derivatives".into()))?;
            for k in 0..3 {
                columns.push(second.slice(1, k, k + 1)?);
            }
        }
    }
    let columns: Vec<Vec<f32>> =
        columns.iter().map(|c| c.tensor().to_vec::<f32>()).collect::<std::result::Result<_, _>>()?;
    Ok((0..at.len()).map(|k| std::array::from_fn(|c| columns[c][k] as f64)).collect())
}

/// A step of time at a place: the flow is v = (−y, x), so that v·∇(v·∇u) = vᵀHv − (x, y)·∇u.
fn stepped([x, y]: [f64; 2], [u, ux, uy, xx, xy, yy]: [f64; 6]) -> f64 {
    let first = -y * ux + x * uy;
    let second = y * y * xx - 2.0 * x * y * xy + x * x * yy - (x * ux + y * uy);
    u - ANGLE * first + 0.5 * ANGLE * ANGLE * second
}

/// The error at the end, of the bump's size.
fn carried(fit: Option<&PolyFit>) -> Result<f64> {
    let mut grid = Grid::hash(5, 12, 8, 48);
    grid.interpolation = Interpolation::Smoothstep;
    let field = Field { activation: Activation::Softplus, ..Field::encoded(2, 1, Encoding::Grid(grid)) };
    let mut training =
        Training::new(field.start(0, &Device::cpu())?, Rates { rate: 5e-3, table_rate: 1e-2, clip: None });
    for time in 0..=STEPS {
        let before = training.values();
        let n = if time == 0 { FIRST } else { AGAIN };
        for step in 0..n {
            let at = places((1000 * time + step) as u64);
            let wanted: Vec<[f64; 1]> = match time {
                0 => at.iter().map(|&p| [bump(p, 0.0)]).collect(),
                _ => {
                    let known = derivatives(&field, &before, &at, fit)?;
                    at.iter().zip(known).map(|(&p, d)| [stepped(p, d)]).collect()
                }
            };
            let (points, wanted) = (rows(&at)?, rows(&wanted)?);
            let factor = (1.0 - step as f64 / n as f64).max(0.02) * if time == 0 { 1.0 } else { 0.3 };
            training.step(factor, |vars| -> Result<Var> {
                Ok(field.value(vars, &points)?.sub(&wanted)?.square()?.mean()?)
            })?;
        }
    }
    let at = places(u64::MAX);
    let found = derivatives(&field, &training.values(), &at, None)?;
    let (mut wrong, mut size) = (0.0, 0.0);
    for (&p, found) in at.iter().zip(found) {
        let known = bump(p, ANGLE * STEPS as f64);
        wrong += (found[0] - known).powi(2);
        size += known * known;
    }
    Ok((wrong / size).sqrt())
}

fn both() -> Result<[f64; 2]> {
    // A third of the bump's width.
    let fit = PolyFit::new(2, 2, 0.05, 32, 1)?;
    Ok([carried(None)?, carried(Some(&fit))?])
}

fn main() -> std::result::Result<(), Error> {
    let [own, fitted] = both()?;
    println!("after {:.1} radians the bump is wrong by", ANGLE * STEPS as f64);
    println!("{:.1} % with the field's own derivatives, {:.1} % with fitted ones", 100.0 * own, 100.0 * fitted);
    Ok(())
}

#[test]
fn fitted_derivatives_carry_better() {
    let [own, fitted] = both().unwrap();
    assert!(fitted < own / 2.0 && fitted < 0.15, "{own} {fitted}");
}
