//! Parameters moved by random signs, and gradients from the sums that they reach.

use super::{Column, Reach, Unknown};
use crate::Result;
use lumigrad_core::map::{Builder, CallParams, Expr, Map, srgb};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor};

/// Random signs, [rows, columns], of the draws `draw` of rows: ±1, 0 for those that keep still.
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

/// Moves within bounds.
struct Mover {
    step: Expr,
    bounds: [Expr; 2],
}

impl Mover {
    /// Takes ε and both bounds as parameters.
    fn new(m: &mut Builder) -> Self {
        Self { step: m.param(), bounds: [m.param(), m.param()] }
    }

    /// `x` moved ahead and behind by the sign.
    fn both(&self, x: Expr, sign: Expr, encoded: bool) -> [Expr; 2] {
        let to = |x: Expr| if encoded { srgb::to_encoded(x) } else { x };
        let from = |x: Expr| if encoded { srgb::to_linear(x) } else { x };
        let (centre, [lo, hi]) = (to(x), self.bounds.map(to));
        let room = (centre - lo).min(hi - centre).max(self.step * 0.125);
        let step = sign * room.min(self.step);
        // Values that keep still are not rounded there and back.
        let moved = |step: Expr| sign.abs().less_eq(0.0).select(x, from((centre + step).min(hi).max(lo)));
        [moved(step), moved(-step)]
    }
}

/// One over the distance between both moves, 0 where there is none.
fn inverse_distance(ahead: Expr, behind: Expr) -> Expr {
    let distance = ahead - behind;
    let none = distance.abs().less_eq(0.0);
    none.select(0.0, 1.0 / none.select(1.0, distance))
}

fn finite(x: f64) -> f64 {
    x.clamp(-1e30, 1e30)
}

/// The array moved ahead, by ε·s, and behind, by −ε·s.
pub fn perturb(value: &Tensor, unknown: &Unknown, seed: u64) -> Result<[Tensor; 2]> {
    let real = vec![unknown.step, finite(unknown.bounds.0), finite(unknown.bounds.1)];
    let encoded = unknown.encoded;
    let moved = match &unknown.reach {
        Reach::Texture(texture) => {
            let units = texture.unit_numbers(seed);
            let signs = signs(value, (units.len(), 4), |block| units[block] as usize, unknown, seed)?;
            let map = Map::cached(&format!("stochastic/perturb texels {encoded}"), |m| {
                let texel = m.item::<4>("texels");
                let signs = m.table::<4>("signs");
                let move_by = Mover::new(m);
                let block = super::texels::block_of(m);
                let signs = signs.fetch(block);
                let both = [0, 1, 2, 3].map(|k| move_by.both(texel[k], signs[k], encoded && k < 3));
                m.output("ahead", &both.map(|b| b[0]));
                m.output("behind", &both.map(|b| b[1]));
            });
            let texels = value.reshape(&[value.len() / 4, 4])?;
            let call = CallParams { items: 0, real, int: texture.block_params() };
            map.run(&[&texels, &signs], &call)?
        }
        _ => {
            let columns = value.shape().last().copied().unwrap_or(1).max(1);
            let signs = signs(value, (value.len() / columns, columns), |row| row, unknown, seed)?;
            let map = Map::cached("stochastic/perturb", |m| {
                let ([x], [s]) = (m.item("values"), m.item("signs"));
                let [ahead, behind] = Mover::new(m).both(x, s, false);
                m.output("ahead", &[ahead]);
                m.output("behind", &[behind]);
            });
            map.run(&[value, &signs], &CallParams { items: 0, real, int: vec![] })?
        }
    };
    let mut moved = moved.into_iter().map(|t| t.reshape(value.shape()));
    let mut next = || moved.next().expect("two arrays");
    Ok([next()?, next()?])
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

/// The sum over the distance between both moves, for each element.
pub fn gradient(
    value: &Tensor,
    unknown: &Unknown,
    [ahead, behind]: &[Tensor; 2],
    sums: &Tensor,
    seed: u64,
) -> Result<Tensor> {
    let out = match &unknown.reach {
        Reach::Texture(texture) => {
            let map = Map::cached("stochastic/texel gradient", |m| {
                let (ahead, behind) = (m.item::<4>("ahead"), m.item::<4>("behind"));
                let (sums, shares, own) = (m.table::<1>("sums"), m.table::<1>("shares"), m.table_int::<1>("own"));
                let block = super::texels::block_of(m);
                let share = shares.fetch(block)[0];
                let of = |k: usize| {
                    let sum = sums.fetch(block * 4 + own.fetch((k as i32).into())[0])[0];
                    sum * share * inverse_distance(ahead[k], behind[k])
                };
                m.output("gradient", &[of(0), of(1), of(2), of(3)]);
            });
            let rows = [value.len() / 4, 4];
            let call = CallParams { items: 0, real: vec![], int: texture.block_params() };
            let (sums, own) = (sums.reshape(&[sums.len(), 1])?, own_sums(unknown, 4, value.device())?);
            map.run(
                &[&ahead.reshape(&rows)?, &behind.reshape(&rows)?, &sums, &texture.shares(seed, value)?, &own],
                &call,
            )?
        }
        _ => {
            let columns = value.shape().last().copied().unwrap_or(1).max(1);
            // One row of sums for all, or one for each row.
            let items = if sums.len() == 4 { value.len() } else { columns };
            let map = Map::cached("stochastic/gradient", |m| {
                let ([ahead], [behind]) = (m.item("ahead"), m.item("behind"));
                let (sums, own) = (m.table::<1>("sums"), m.table_int::<1>("own"));
                let (columns, items) = (m.int_param(), m.int_param());
                let row = m.index().quotient(items);
                let column = m.index() - m.index().quotient(columns) * columns;
                let sum = sums.fetch(row * 4 + own.fetch(column)[0])[0];
                m.output("gradient", &[sum * inverse_distance(ahead, behind)]);
            });
            let sums = sums.reshape(&[sums.len(), 1])?;
            let call = CallParams { items: value.len(), real: vec![], int: vec![columns as i32, items.max(1) as i32] };
            map.run(&[ahead, behind, &sums, &own_sums(unknown, columns, value.device())?], &call)?
        }
    };
    Ok(out.into_iter().next().expect("one output").reshape(value.shape())?)
}
