//! Quantities of implicit surfaces.

use crate::{Jet, Result};
use lumigrad_core::map::{Expr, vector};
use lumigrad_core::{Map, Var};

/// Mean curvature of the level sets of f from its gradient g [N, 3] and second derivatives S [N, 6] (xx, xy, xz, yy, yz,
/// zz): ½ div(g/‖g‖) = (‖g‖² tr S − gᵀSg)/(2‖g‖³), [N, 1]. With f positive outside, a sphere of radius r has +1/r.
///
/// **Gradients**: to both; zero where ‖g‖ is below 1e-10, where the curvature is 0.
pub fn mean_curvature(gradient: &Var, hessian: &Var) -> Result<Var> {
    let map = Map::cached("field/mean curvature", |m| {
        let (g, s) = (m.item::<3>("gradient"), m.item::<6>("hessian"));
        let square = vector::dot(g, g);
        let safe = square.max(1e-20);
        let length = safe.sqrt();
        let at = |i: usize, j: usize| s[[0, 1, 2, 1, 3, 4, 2, 4, 5][3 * i + j]];
        let along: Expr = (0..3).flat_map(|i| (0..3).map(move |j| (i, j))).map(|(i, j)| g[i] * at(i, j) * g[j]).sum();
        let curvature = (safe * (s[0] + s[3] + s[5]) - along) / (2.0 * safe * length);
        m.output("curvature", &[square.less(1e-20).select(0.0, curvature)]);
    });
    Ok(map.apply(&[gradient, hessian])?.remove(0))
}

/// The gradient [N, d] of a jet with one component.
pub fn gradient(jet: &Jet) -> Result<Var> {
    let columns = jet.derivatives().first().iter().map(|&k| jet.first(k)).collect::<Result<Vec<_>>>()?;
    Ok(lumigrad_core::ops::concat(&columns.iter().collect::<Vec<_>>(), 1)?)
}

/// Second derivatives [N, d(d + 1)/2] of a jet with one component, rows of the upper triangle. What is zero wherever it
/// exists is zero.
pub fn hessian(jet: &Jet) -> Result<Var> {
    let axes = jet.derivatives().first().to_vec();
    let pairs = axes.iter().enumerate().flat_map(|(i, &k)| axes[i..].iter().map(move |&l| (k, l)));
    let zero = || -> Result<Var> { Ok(jet.value().scale(0.0)?) };
    let columns = pairs.map(|(k, l)| match jet.second(k, l) {
        Err(crate::Error::Flat { .. }) => zero(),
        found => found,
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(lumigrad_core::ops::concat(&columns.iter().collect::<Vec<_>>(), 1)?)
}

/// Vectors [N, d] of length one; those shorter than 1e-15 become shorter still and have no derivative.
pub fn unit(vectors: &Var) -> Result<Var> {
    let d = vectors.shape()[1];
    let map = Map::cached(&format!("field/unit {d}"), |m| {
        let v = m.item_row("vector", d);
        let length = v.iter().map(|&x| x * x).sum::<Expr>().max(1e-30).sqrt();
        m.output("unit", &v.iter().map(|&x| x / length).collect::<Vec<_>>());
    });
    Ok(map.apply(&[vectors])?.remove(0))
}
