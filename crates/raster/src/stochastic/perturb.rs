//! Parameters moved by random signs, and gradients from the sums that they reach.

use super::{Reach, Unknown};
use crate::Result;
use lumigrad_core::map::{CallParams, Expr, Map};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor};

/// An array moved both ways.
pub struct Moved {
    /// +ε·s and −ε·s.
    pub values: [Tensor; 2],
    /// ±1 for each element (of textures: for each block of texels), 0 for those that keep still.
    pub signs: Tensor,
}

/// Random signs, [rows, columns], of the draws `draw` of rows.
fn signs(
    like: &Tensor,
    (rows, columns): (usize, usize),
    draw: impl Fn(usize) -> usize,
    unknown: &Unknown,
    seed: u64,
) -> Result<Tensor> {
    let moves = |row: usize, column: usize| {
        let used = unknown.columns.get(column).copied().unwrap_or(true);
        used && !matches!(&unknown.reach, Reach::Rows(rows) if !rows.contains(&row))
    };
    let sign = |i: usize| {
        let (row, column) = (i / columns, i % columns);
        match (moves(row, column), random::hash(seed, (draw(row) * columns + column) as u64) >> 63) {
            (false, _) => 0.0,
            (true, 0) => 1.0,
            (true, _) => -1.0,
        }
    };
    let all: Vec<f32> = (0..rows * columns).map(sign).collect();
    Ok(Tensor::from_slice(&Device::cpu(), &all, &[rows, columns])?.cast(like.dtype())?.to_device(like.device())?)
}

fn finite(x: f64) -> f64 {
    x.clamp(-1e30, 1e30)
}

/// Both moved arrays.
pub fn perturb(value: &Tensor, unknown: &Unknown, seed: u64) -> Result<Moved> {
    let real = vec![unknown.step, finite(unknown.bounds.0), finite(unknown.bounds.1)];
    let both = |x: Expr, step: Expr, [lo, hi]: [Expr; 2]| [(x + step).min(hi).max(lo), (x - step).min(hi).max(lo)];
    let (signs, moved) = match &unknown.reach {
        Reach::Texture(texture) => {
            let units = texture.unit_numbers(seed);
            let signs = signs(value, (units.len(), 4), |block| units[block] as usize, unknown, seed)?;
            let map = Map::cached("stochastic/perturb texels", |m| {
                let texel = m.item::<4>("texels");
                let signs = m.table::<4>("signs");
                let (step, lo, hi) = (m.param(), m.param(), m.param());
                let block = super::texels::block_of(m);
                let moved = signs.fetch(block).map(|s| s * step);
                let pair = |k: usize| both(texel[k], moved[k], [lo, hi]);
                m.output("ahead", &[pair(0)[0], pair(1)[0], pair(2)[0], pair(3)[0]]);
                m.output("behind", &[pair(0)[1], pair(1)[1], pair(2)[1], pair(3)[1]]);
            });
            let texels = value.reshape(&[value.len() / 4, 4])?;
            let call = CallParams { items: 0, real, int: texture.block_params() };
            let moved = map.run(&[&texels, &signs], &call)?;
            (signs, moved)
        }
        _ => {
            let columns = value.shape().last().copied().unwrap_or(1).max(1);
            let signs = signs(value, (value.len() / columns, columns), |row| row, unknown, seed)?;
            let map = Map::cached("stochastic/perturb", |m| {
                let ([x], [s]) = (m.item("values"), m.item("signs"));
                let (step, lo, hi) = (m.param(), m.param(), m.param());
                let [ahead, behind] = both(x, s * step, [lo, hi]);
                m.output("ahead", &[ahead]);
                m.output("behind", &[behind]);
            });
            let moved = map.run(&[value, &signs], &CallParams { items: 0, real, int: vec![] })?;
            (signs, moved)
        }
    };
    let mut moved = moved.into_iter().map(|t| t.reshape(value.shape()));
    let mut next = || moved.next().expect("two arrays");
    Ok(Moved { values: [next()?, next()?], signs })
}

/// Half the sum of both losses, and their difference for each pixel [P, 1].
pub fn compare(ahead: &Tensor, behind: &Tensor) -> Result<(f64, Tensor)> {
    let map = Map::cached("stochastic/compare", |m| {
        let ([a], [b]) = (m.item("ahead"), m.item("behind"));
        m.sum("total", &[(a + b) * 0.5]);
        m.output("change", &[a - b]);
    });
    let mut out = map.run(&[ahead, behind], &CallParams::default())?;
    let change = out.pop().expect("two outputs");
    Ok((out.remove(0).item()?, change))
}

/// s · sum / 2ε for each element.
pub fn gradient(value: &Tensor, unknown: &Unknown, signs: &Tensor, sums: &Tensor, seed: u64) -> Result<Tensor> {
    let half = 0.5 / unknown.step;
    let out = match &unknown.reach {
        Reach::Texture(texture) => {
            let map = Map::cached("stochastic/texel gradient", |m| {
                let (signs, sums, shares) = (m.table::<4>("signs"), m.table::<1>("sums"), m.table::<1>("shares"));
                let half = m.param();
                let block = super::texels::block_of(m);
                let share = sums.fetch(block)[0] * half * shares.fetch(block)[0];
                m.output("gradient", &signs.fetch(block).map(|s| s * share));
            });
            let call = CallParams { items: value.len() / 4, real: vec![half], int: texture.block_params() };
            map.run(&[signs, sums, &texture.shares(seed, value)?], &call)?
        }
        _ => {
            // One sum for all, or one for each row.
            let columns = if sums.len() == 1 { value.len().max(1) } else { value.len() / sums.len() };
            let map = Map::cached("stochastic/gradient", |m| {
                let [s] = m.item("signs");
                let sums = m.table::<1>("sums");
                let (half, columns) = (m.param(), m.int_param());
                m.output("gradient", &[s * sums.fetch(m.index().quotient(columns))[0] * half]);
            });
            map.run(&[signs, sums], &CallParams { items: value.len(), real: vec![half], int: vec![columns as i32] })?
        }
    };
    Ok(out.into_iter().next().expect("one output").reshape(value.shape())?)
}
