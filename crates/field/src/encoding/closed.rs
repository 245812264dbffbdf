//! Encodings that are formulas: one definition, whose derivatives are taken of it.

use crate::{Derivatives, Jet, Result, Stream};
use lumigrad_core::map::Expr;
use lumigrad_core::ops::random::normal;
use lumigrad_core::{Map, Var};
use std::f64::consts::PI;
use std::sync::Arc;

/// The jet of a formula of the coordinates. `key` names formula and settings.
fn by_formula(
    key: &str,
    points: &Var,
    derivatives: &Arc<Derivatives>,
    formula: impl FnOnce(&[Expr]) -> Vec<Expr>,
) -> Result<Jet> {
    let dim = points.shape()[1];
    let streams = derivatives.streams();
    let map = Map::cached(&format!("field/{key} {dim} {streams:?}"), |m| {
        let x = m.item_row("points", dim);
        let features = formula(&x);
        for stream in &streams {
            let of = |f: &Expr| match *stream {
                Stream::Value => *f,
                Stream::First(k) => f.derivative(x[k]),
                Stream::Pair(k, l) => f.derivative(x[k]).derivative(x[l]),
                Stream::Laplacian => derivatives.first().iter().map(|&k| f.derivative(x[k]).derivative(x[k])).sum(),
            };
            m.output("features", &features.iter().map(of).collect::<Vec<_>>());
        }
    });
    Ok(Jet::new(derivatives.clone(), map.apply(&[points])?.into_iter().map(Some).collect()))
}

/// The point, and sin and cos of 2ᵏπx.
pub fn positional(points: &Var, n: usize, derivatives: &Arc<Derivatives>) -> Result<Jet> {
    by_formula(&format!("positional {n}"), points, derivatives, |x| {
        let waves = (0..n).flat_map(|k| {
            let w = PI * (1u64 << k) as f64;
            x.iter().flat_map(move |&x| [(w * x).sin(), (w * x).cos()])
        });
        x.iter().copied().chain(waves).collect()
    })
}

/// sin and cos of 2π⟨b, x⟩, b ~ N(0, σ²).
pub fn random_fourier(points: &Var, n: usize, sigma: f64, seed: u64, derivatives: &Arc<Derivatives>) -> Result<Jet> {
    by_formula(&format!("random fourier {n} {sigma} {seed}"), points, derivatives, |x| {
        let d = x.len() as u64;
        let phases = (0..n as u64).map(|j| {
            let terms = x.iter().zip(0..).map(|(&x, a)| 2.0 * PI * sigma * normal(seed, j * d + a) * x);
            terms.sum::<Expr>()
        });
        phases.flat_map(|p| [p.sin(), p.cos()]).collect()
    })
}

/// Real spherical harmonics as polynomials of a unit vector, in the order l² + l + m, without the Condon-Shortley phase.
pub fn spherical_harmonics(points: &Var, degree: usize, derivatives: &Arc<Derivatives>) -> Result<Jet> {
    by_formula(&format!("spherical harmonics {degree}"), points, derivatives, |p| {
        let [x, y, z] = [p[0], p[1], p[2]];
        let mut values = vec![Expr::from(0.0); (degree + 1) * (degree + 1)];
        // cos mφ and sin mφ times sinᵐθ, and the rest of the Legendre function, by their recurrences.
        let (mut cos, mut sin) = (Expr::from(1.0), Expr::from(0.0));
        let mut start = 1.0; // (2m − 1)!!
        for m in 0..=degree {
            let (mut before, mut now) = (Expr::from(0.0), Expr::from(start));
            for l in m..=degree {
                if l > m {
                    let next = (z * now * (2 * l - 1) as f64 - before * (l + m - 1) as f64) * (1.0 / (l - m) as f64);
                    (before, now) = (now, next);
                }
                let ratio: f64 = (l - m + 1..=l + m).map(|k| k as f64).product();
                let twice = if m == 0 { 1.0 } else { 2.0 };
                let scale = (twice * (2 * l + 1) as f64 / (4.0 * PI * ratio)).sqrt();
                values[l * l + l + m] = scale * now * cos;
                if m > 0 {
                    values[l * l + l - m] = scale * now * sin;
                }
            }
            (cos, sin) = (x * cos - y * sin, x * sin + y * cos);
            start *= (2 * m + 1) as f64;
        }
        values
    })
}
