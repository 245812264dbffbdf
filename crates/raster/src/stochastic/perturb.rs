//! Parameters moved by random signs, and gradients from the sums that they reach.

use super::{Column, Reach, Unknown};
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
        let used = unknown.columns.get(column) != Some(&Column::Nothing);
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

/// Place of the change of the whole loss in rows of [`compare`].
const WHOLE: usize = 3;

fn compare_map<const C: usize>() -> Map {
    Map::cached(&format!("stochastic/compare {C}"), |m| {
        let (a, b) = (m.item::<C>("ahead"), m.item::<C>("behind"));
        m.sum("total", &[(0..C).map(|k| (a[k] + b[k]) * 0.5).sum()]);
        let whole: Expr = (0..C).map(|k| a[k] - b[k]).sum();
        let channel = |k: usize| if C > 2 { a[k] - b[k] } else { whole };
        m.output("change", &[channel(0), channel(1), channel(2), whole]);
    })
}

/// Half the sum of both losses, and their difference for each pixel [P, 4]: by channel, then of all channels.
pub fn compare(ahead: &Tensor, behind: &Tensor, pixels: usize) -> Result<(f64, Tensor)> {
    let map = match ahead.len() / pixels.max(1) {
        3 => compare_map::<3>(),
        4 => compare_map::<4>(),
        _ => compare_map::<1>(),
    };
    let mut out = map.run(&[ahead, behind], &CallParams::default())?;
    let change = out.pop().expect("two outputs");
    Ok((out.remove(0).item()?, change))
}

/// For each column, which of the sums is its own.
fn own_sums(unknown: &Unknown, columns: usize, device: &Device) -> Result<Tensor> {
    let own = |column: usize| match unknown.columns.get(column) {
        Some(&Column::Channel(channel)) => channel.min(WHOLE) as u32,
        _ => WHOLE as u32,
    };
    let all: Vec<u32> = (0..columns).map(own).collect();
    Ok(Tensor::from_slice(device, &all, &[columns])?)
}

/// s · sum / 2ε for each element.
pub fn gradient(value: &Tensor, unknown: &Unknown, signs: &Tensor, sums: &Tensor, seed: u64) -> Result<Tensor> {
    let half = 0.5 / unknown.step;
    let out = match &unknown.reach {
        Reach::Texture(texture) => {
            let map = Map::cached("stochastic/texel gradient", |m| {
                let (signs, sums, shares) = (m.table::<4>("signs"), m.table::<1>("sums"), m.table::<1>("shares"));
                let own = m.table_int::<1>("own");
                let half = m.param();
                let block = super::texels::block_of(m);
                let (signs, share) = (signs.fetch(block), half * shares.fetch(block)[0]);
                let of = |k: usize| {
                    let sum = sums.fetch(block * 4 + own.fetch((k as i32).into())[0])[0];
                    signs[k] * sum * share
                };
                m.output("gradient", &[of(0), of(1), of(2), of(3)]);
            });
            let call = CallParams { items: value.len() / 4, real: vec![half], int: texture.block_params() };
            let sums = sums.reshape(&[sums.len(), 1])?;
            map.run(&[signs, &sums, &texture.shares(seed, value)?, &own_sums(unknown, 4, value.device())?], &call)?
        }
        _ => {
            let columns = value.shape().last().copied().unwrap_or(1).max(1);
            // One row of sums for all, or one for each row.
            let items = if sums.len() == 4 { value.len() } else { columns };
            let map = Map::cached("stochastic/gradient", |m| {
                let [s] = m.item("signs");
                let (sums, own) = (m.table::<1>("sums"), m.table_int::<1>("own"));
                let (half, columns, items) = (m.param(), m.int_param(), m.int_param());
                let row = m.index().quotient(items);
                let column = m.index() - m.index().quotient(columns) * columns;
                m.output("gradient", &[s * sums.fetch(row * 4 + own.fetch(column)[0])[0] * half]);
            });
            let sums = sums.reshape(&[sums.len(), 1])?;
            let call =
                CallParams { items: value.len(), real: vec![half], int: vec![columns as i32, items.max(1) as i32] };
            map.run(&[signs, &sums, &own_sums(unknown, columns, value.device())?], &call)?
        }
    };
    Ok(out.into_iter().next().expect("one output").reshape(value.shape())?)
}
