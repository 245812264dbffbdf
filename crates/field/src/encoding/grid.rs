//! Learnt features in grids of several resolutions.

use crate::kernels::grid::{GridEncode, GridTable, LAPLACIAN, LEVEL, Params};
use crate::{Derivatives, Error, Jet, Result, Stream};
use lumigrad_core::ops::{self, random::uniform};
use lumigrad_core::{Operator, Tensor, Var, apply};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a grid's rows are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// Levels of more rows than the table has are hashed; others are stored whole (Müller et al. 2022).
    Hash,
    /// All levels are stored whole.
    Dense,
    /// Planes along each pair of axes, stored whole; their features stand side by side.
    Planes,
}

/// Weights between corners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// t: continuous, piecewise linear along each axis.
    Linear,
    /// t²(3 − 2t): once continuously differentiable.
    Smoothstep,
}

/// Grids of several resolutions (multi-resolution hash grid of Müller et al. 2022, or stored whole).
///
/// Level l has scale base·bˡ − 1 and ⌈scale⌉ + 1 corners a side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// How rows are stored.
    pub storage: Storage,
    /// Weights between corners.
    pub interpolation: Interpolation,
    /// Levels.
    pub n_levels: usize,
    /// Features of a level: 1, 2, 4 or 8.
    pub n_features_per_level: usize,
    /// log₂ of the rows of a hashed level.
    pub log2_hashmap_size: u32,
    /// Resolution of the coarsest level.
    pub base_resolution: usize,
    /// Ratio b of resolutions.
    pub per_level_scale: f64,
}

/// Most rows of all levels together.
const MOST_ROWS: usize = 1 << 28;

struct Level {
    axes: Vec<usize>,
    offset: usize,
    rows: usize,
    resolution: usize,
    scale: f64,
    hashed: bool,
}

impl Grid {
    /// A hash grid whose finest level has so many cells a side.
    pub fn hash(n_levels: usize, log2_hashmap_size: u32, base_resolution: usize, finest: usize) -> Self {
        let steps = n_levels.saturating_sub(1).max(1) as f64;
        Self {
            storage: Storage::Hash,
            interpolation: Interpolation::Linear,
            n_levels,
            n_features_per_level: 2,
            log2_hashmap_size,
            base_resolution,
            per_level_scale: (finest as f64 / base_resolution as f64).max(1.0).powf(1.0 / steps),
        }
    }

    /// Cells along a side of the finest level.
    pub fn finest_resolution(&self) -> f64 {
        self.base_resolution as f64 * self.per_level_scale.powi(self.n_levels as i32 - 1)
    }

    fn levels(&self, dim: usize) -> Vec<Level> {
        let subsets: Vec<Vec<usize>> = match self.storage {
            Storage::Planes => (0..dim).flat_map(|a| (a + 1..dim).map(move |b| vec![a, b])).collect(),
            _ => vec![(0..dim).collect()],
        };
        let mut offset = 0;
        let mut levels = vec![];
        for l in 0..self.n_levels {
            let scale = self.base_resolution as f64 * self.per_level_scale.powi(l as i32) - 1.0;
            let resolution = scale.ceil() as usize + 1;
            for axes in &subsets {
                // Far more than any grid may have: sums of these stay within a usize.
                let dense = (resolution as f64).powi(axes.len() as i32).min(1e12);
                let most = (1u64 << self.log2_hashmap_size.min(40)) as f64;
                let hashed = self.storage == Storage::Hash && dense > most;
                let rows = if hashed { most } else { ((dense as usize).next_multiple_of(8)) as f64 } as usize;
                levels.push(Level { axes: axes.clone(), offset, rows, resolution, scale, hashed });
                offset = offset.saturating_add(rows);
            }
        }
        levels
    }

    /// Components that it makes.
    pub fn width(&self, dim: usize) -> usize {
        let subsets = if self.storage == Storage::Planes { dim * dim.saturating_sub(1) / 2 } else { 1 };
        self.n_levels * subsets * self.n_features_per_level
    }

    /// Shape of its table: rows of all levels, features.
    pub fn shape(&self, dim: usize) -> Vec<usize> {
        vec![self.levels(dim).last().map_or(0, |l| l.offset + l.rows), self.n_features_per_level]
    }

    /// Starting values, U(±1e-4).
    pub fn start(&self, dim: usize, seed: u64) -> Vec<f64> {
        let n: usize = self.shape(dim).iter().product();
        (0..n as u64).map(|k| 1e-4 * (2.0 * uniform(seed ^ 0x9e37_79b9, k) - 1.0)).collect()
    }

    /// Checks sizes.
    ///
    /// # Errors
    /// Sizes that no grid has.
    pub fn check(&self, dim: usize) -> Result<()> {
        let fails = |what: String| Err(Error::Description(what));
        if !(1..=4).contains(&dim) || (self.storage == Storage::Planes && dim < 2) {
            return fails(format!("a grid of {dim} coordinates: grids have 1 to 4, planes at least 2"));
        }
        if ![1, 2, 4, 8].contains(&self.n_features_per_level) || !(1..=32).contains(&self.n_levels) {
            return fails(format!(
                "{} levels of {} features: expected 1 to 32 levels of 1, 2, 4 or 8",
                self.n_levels, self.n_features_per_level
            ));
        }
        let finest = self.finest_resolution();
        if self.base_resolution < 2 || !(self.per_level_scale >= 1.0) || !(finest <= 4e6) {
            return fails(format!(
                "resolutions from {} to {finest:.0}: expected 2 to 4 million, ascending",
                self.base_resolution
            ));
        }
        if self.log2_hashmap_size > 28 || self.shape(dim)[0] > MOST_ROWS {
            return fails(format!("a grid of {} rows: at most {MOST_ROWS}", self.shape(dim)[0]));
        }
        Ok(())
    }

    /// The features of points and their derivatives.
    pub(super) fn encode(&self, points: &Var, table: &Var, derivatives: &Arc<Derivatives>) -> Result<Jet> {
        let dim = points.shape()[1];
        self.check(dim)?;
        if table.shape() != self.shape(dim) {
            let expected = format!("{:?}", self.shape(dim));
            return Err(lumigrad_core::Error::shape("the grid's table", table.shape(), expected).into());
        }
        let linear = self.interpolation == Interpolation::Linear;
        let streams = derivatives.streams();
        // Weights are linear along each axis: what differentiates twice along one is zero.
        let flat = |s: &Stream| {
            linear && matches!(s, Stream::Laplacian) || matches!(s, Stream::Pair(k, l) if linear && k == l)
        };
        let codes: Vec<u32> = streams.iter().filter(|s| !flat(s)).map(|s| code(*s)).collect();
        let operator = Arc::new(Encode { grid: self.clone(), dim, codes });
        let encoded = apply(operator, &[points, table])?.remove(0);
        let &[_, n, width] = encoded.shape() else { unreachable!("the operator gives three dimensions") };
        let mut at = 0;
        let streams = streams.iter().map(|s| {
            if flat(s) {
                return Ok(None);
            }
            at += 1;
            Ok(Some(encoded.slice(0, at - 1, at)?.reshape(&[n, width])?))
        });
        Ok(Jet::new(derivatives.clone(), streams.collect::<Result<_>>()?))
    }
}

fn code(stream: Stream) -> u32 {
    match stream {
        Stream::Value => 0,
        Stream::First(k) => 1 << (4 * k),
        Stream::Pair(k, l) => (1 << (4 * k)) + (1 << (4 * l)),
        Stream::Laplacian => LAPLACIAN,
    }
}

/// Points [N, d] and table [rows, F] → features [S, N, levels·F], one stream per code.
struct Encode {
    grid: Grid,
    dim: usize,
    codes: Vec<u32>,
}

impl Encode {
    fn params(&self, n: usize, levels: usize, streams: usize) -> Params {
        Params {
            points: n as u32,
            dim: self.dim as u32,
            levels: levels as u32,
            features: self.grid.n_features_per_level as u32,
            streams: streams as u32,
            ease: (self.grid.interpolation == Interpolation::Smoothstep) as u32,
            unused: [0; 2],
        }
    }

    /// The buffers `levels` and `codes`.
    fn tables(&self, like: &Tensor, codes: &[u32]) -> lumigrad_core::Result<(Tensor, Tensor)> {
        let mut words = vec![];
        for l in self.grid.levels(self.dim) {
            let axes = l.axes.iter().enumerate().fold(0u32, |w, (a, &axis)| w | (axis as u32) << (8 * a));
            let mut level = [0u32; LEVEL];
            level[..7].copy_from_slice(&[
                l.offset as u32,
                l.rows as u32,
                l.resolution as u32,
                (l.scale as f32).to_bits(),
                l.hashed as u32,
                l.axes.len() as u32,
                axes,
            ]);
            words.extend(level);
        }
        let levels = Tensor::from_slice(like.device(), &words, &[words.len()])?;
        Ok((levels, Tensor::from_slice(like.device(), codes, &[codes.len()])?))
    }

    fn encode(&self, points: &Tensor, table: &Tensor, codes: &[u32]) -> lumigrad_core::Result<Tensor> {
        let n = points.shape()[0];
        let (levels, codes_buffer) = self.tables(points, codes)?;
        let n_levels = levels.len() / LEVEL;
        let width = n_levels * self.grid.n_features_per_level;
        let mut encoded = Tensor::uninit(points.device(), points.dtype(), &[codes.len(), n, width])?;
        GridEncode { points, table, levels: &levels, codes: &codes_buffer, encoded: &mut encoded }
            .launch(&self.params(n, n_levels, codes.len()), n * n_levels)?;
        Ok(encoded)
    }

    /// Features differentiated once more, along each axis: [S, d, N, width].
    fn differentiated(&self, inputs: &[Tensor]) -> lumigrad_core::Result<Var> {
        let codes: Vec<u32> = self.codes.iter().flat_map(|c| (0..self.dim).map(move |a| c + (1 << (4 * a)))).collect();
        let encoded = self.encode(&inputs[0], &inputs[1], &codes)?;
        let &[_, n, width] = encoded.shape() else { unreachable!("encode gives three dimensions") };
        Ok(encoded.reshape(&[self.codes.len(), self.dim, n, width])?.into())
    }
}

impl Operator for Encode {
    fn name(&self) -> &str {
        "field/grid"
    }

    fn forward(&self, inputs: &[Tensor]) -> lumigrad_core::Result<Vec<Tensor>> {
        Ok(vec![self.encode(&inputs[0], &inputs[1], &self.codes)?])
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        _outputs: &[Tensor],
        cotangents: &[Option<Tensor>],
        wanted: &[bool],
    ) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        let Some(cotangents) = &cotangents[0] else { return Ok(vec![None, None]) };
        let points = &inputs[0];
        let &[s, n, width] = cotangents.shape() else { unreachable!("as the output") };
        let to_points = || -> lumigrad_core::Result<Tensor> {
            let by = self.differentiated(inputs)?;
            let c = Var::from(cotangents.reshape(&[s, 1, n, width])?).broadcast_to(by.shape())?;
            // [S, d, N, width] → [d, N] → [N, d].
            let sum = by.mul(&c)?.sum_axis(3)?.sum_axis(0)?.reshape(&[self.dim, n])?.transpose(0, 1)?;
            Ok(sum.tensor().clone())
        };
        let to_table = || -> lumigrad_core::Result<Tensor> {
            let (levels, codes) = self.tables(points, &self.codes)?;
            let n_levels = levels.len() / LEVEL;
            let mut gradient = Tensor::zeros(points.device(), points.dtype(), inputs[1].shape())?;
            GridTable { points, levels: &levels, codes: &codes, cotangents, gradient: &mut gradient }
                .launch(&self.params(n, n_levels, s), n * n_levels)?;
            Ok(gradient)
        };
        Ok(vec![wanted[0].then(to_points).transpose()?, wanted[1].then(to_table).transpose()?])
    }

    fn jvp(
        &self,
        inputs: &[Tensor],
        _: &[Tensor],
        tangents: &[Option<Tensor>],
    ) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        // Linear in the table.
        let by_table = tangents[1].as_ref().map(|t| self.encode(&inputs[0], t, &self.codes)).transpose()?;
        let by_points = tangents[0].as_ref().map(|t| -> lumigrad_core::Result<Tensor> {
            let by = self.differentiated(inputs)?;
            let &[s, d, n, width] = by.shape() else { unreachable!("four dimensions") };
            let along = Var::from(t.clone()).transpose(0, 1)?.reshape(&[1, d, n, 1])?.broadcast_to(by.shape())?;
            by.mul(&along)?.sum_axis(1)?.tensor().reshape(&[s, n, width])
        });
        Ok(vec![match (by_table, by_points.transpose()?) {
            (Some(a), Some(b)) => Some(ops::add_tensors(&a, &b)?),
            (a, b) => a.or(b),
        }])
    }
}
