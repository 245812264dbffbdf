//! Samples along rays.

use crate::kernels::march::{Keep, KeepParams, MarchCount, MarchEmit, Params, Visible};
use crate::{Occupancy, Rays, Result};
use lumigrad_core::kernels::{Order, scan, segment_ids};
use lumigrad_core::map::CallParams;
use lumigrad_core::ops::slice_tensor;
use lumigrad_core::{DType, Map, Tensor, Var};

/// Samples of rays: those of a ray are neighbours, front to back.
#[derive(Clone, Debug)]
pub struct Samples {
    /// First sample of each ray, and one more: u32 [R + 1].
    pub offsets: Tensor,
    /// Ray of each sample: u32 \[M\].
    pub rays: Tensor,
    /// Distance of each sample's middle: \[M\].
    pub middles: Tensor,
    /// Its length: \[M\].
    pub lengths: Tensor,
}

/// How samples are placed. Distances are in the unit of [`Rays`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct March {
    /// Distance of samples.
    pub step: f64,
    /// Part of the distance by which steps grow, where that is more than `step`; 0: they do not.
    pub ratio: f64,
    /// Nearest and farthest sample.
    pub range: [f64; 2],
    /// Samples of a ray at most.
    pub most: usize,
    /// Samples of all rays at most: rays from the one that has more are left out.
    pub total: usize,
    /// Whether space outside of the box is contracted ([`crate::Mapping::Contracted`]).
    pub unbounded: bool,
}

/// Places samples along rays where space is not empty; of the first rays only, where all have too many together. `shifts` moves each ray's by a part of a step, from 0 to 1: \[R\].
///
/// **Gradients**: none; where samples lie is taken as given. **Cost**: rays are walked twice, and the number of samples is
/// read back.
///
/// # Errors
/// Shapes that do not fit; memory.
pub fn march(rays: &Rays, shifts: &Tensor, occupancy: &Occupancy, how: &March) -> Result<Samples> {
    let n = rays.len();
    let params = Params {
        rays: n as u32,
        resolution: occupancy.resolution() as u32,
        most: how.most.min(1 << 16) as u32,
        unbounded: how.unbounded as u32,
        step: how.step.max(1e-6) as f32,
        ratio: how.ratio.max(0.0) as f32,
        near: how.range[0].max(0.0) as f32,
        far: how.range[1].min(1e9) as f32,
    };
    if shifts.len() != n {
        return Err(lumigrad_core::Error::shape("the rays' shifts", shifts.shape(), format!("[{n}]")).into());
    }
    let (origins, directions, words) = (&rays.origins, &rays.directions, occupancy.words());
    let mut counts = Tensor::uninit(origins.device(), DType::U32, &[n + 1])?;
    MarchCount { origins, directions, shifts, words, counts: &mut counts }.launch(&params, n + 1)?;
    let (offsets, samples) = counted(&counts, how.total)?;
    let n = offsets.len() - 1;
    let params = Params { rays: n as u32, ..params };
    let new = || Tensor::uninit(origins.device(), DType::F32, &[samples]);
    let (mut middles, mut lengths) = (new()?, new()?);
    MarchEmit { origins, directions, shifts, words, offsets: &offsets, middles: &mut middles, lengths: &mut lengths }
        .launch(&params, n)?;
    let rays = segment_ids(&offsets, samples)?;
    Ok(Samples { offsets, rays, middles, lengths })
}

/// First rows of segments with so many rows (the last is 0), and the number of all.
fn offsets(counts: &Tensor) -> Result<(Tensor, usize)> {
    let offsets = scan(counts, 0, Order { exclusive: true, reverse: false })?;
    let n = offsets.len();
    let total = slice_tensor(&offsets, 0, n - 1, n)?.to_vec::<u32>()?[0];
    Ok((offsets, total as usize))
}

/// First samples of the first rays of those that have so many, as many as have no more than `total` together, and the number of all.
pub fn counted(counts: &Tensor, total: usize) -> Result<(Tensor, usize)> {
    let (offsets, samples) = offsets(counts)?;
    if samples <= total {
        return Ok((offsets, samples));
    }
    let all = offsets.to_vec::<u32>()?;
    let n = all.partition_point(|o| *o as usize <= total) - 1;
    Ok((slice_tensor(&offsets, 0, 0, n + 1)?, all[n] as usize))
}

impl Samples {
    /// Samples.
    pub fn len(&self) -> usize {
        self.middles.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rays.
    pub fn n_rays(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Places of the samples in the cube [−1, 1]³: [M, 3].
    ///
    /// **Gradients**: to origins and directions of rays [R, 3].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn points(&self, origins: &Var, directions: &Var, unbounded: bool) -> Result<Var> {
        let map = Map::cached(&format!("volume/points {unbounded}"), |m| {
            let [ray] = m.item_int("rays");
            let [t] = m.item("middles");
            let (origins, directions) = (m.table::<3>("origins"), m.table::<3>("directions"));
            let (o, d) = (origins.fetch(ray), directions.fetch(ray));
            let p: [_; 3] = std::array::from_fn(|a| o[a] + t * d[a]);
            if !unbounded {
                m.output("points", &p);
                return;
            }
            let norm = p[0].abs().max(p[1].abs()).max(p[2].abs());
            let outer = 0.5 * (2.0 - 1.0 / norm) / norm;
            let factor = norm.less_eq(1.0).select(0.5, outer);
            m.output("points", &p.map(|x| x * factor));
        });
        if self.n_rays() == 0 {
            return Ok(Tensor::zeros(self.middles.device(), self.middles.dtype(), &[0, 3])?.into());
        }
        let middles = self.middles.cast(origins.dtype())?;
        let inputs = [&Var::from(self.rays.clone()), &Var::from(middles), origins, directions];
        let call = CallParams { items: self.len(), ..CallParams::default() };
        Ok(map.apply_with(&inputs, call)?.remove(0))
    }

    /// Those samples that light reaches and that have weight: a ray ends where less than `threshold` of it is left, and
    /// samples whose weight is below `least` are left out as if they were empty (0: none is).
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn visible(&self, densities: &Tensor, threshold: f64, least: f64) -> Result<Samples> {
        let (n, device) = (self.n_rays(), self.middles.device());
        let (threshold, least) = (threshold.max(1e-30) as f32, least.max(0.0) as f32);
        let params = KeepParams { rays: n as u32, threshold, least, unused: 0 };
        let (first, lengths, middles) = (&self.offsets, &self.lengths, &self.middles);
        if densities.len() != self.len() {
            let expected = format!("[{}], one per sample", self.len());
            return Err(lumigrad_core::Error::shape("densities", densities.shape(), expected).into());
        }
        let mut counts = Tensor::uninit(device, DType::U32, &[n + 1])?;
        Visible { offsets: first, densities, lengths, counts: &mut counts }.launch(&params, n + 1)?;
        let (kept, samples) = offsets(&counts)?;
        let new = || Tensor::uninit(device, middles.dtype(), &[samples]);
        let (mut kept_middles, mut kept_lengths) = (new()?, new()?);
        let (a, b) = (&mut kept_middles, &mut kept_lengths);
        Keep { offsets: first, kept: &kept, densities, middles, lengths, kept_middles: a, kept_lengths: b }
            .launch(&params, n)?;
        let rays = segment_ids(&kept, samples)?;
        Ok(Samples { offsets: kept, rays, middles: kept_middles, lengths: kept_lengths })
    }

    /// Sums along rays of values times weights: `result[r, c]` = Σ wᵢ vᵢ.
    ///
    /// **Shapes**: weights \[M\], values [M, C]; result [R, C]. **Gradients**: to both.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn along(&self, weights: &Var, values: &Var) -> Result<Var> {
        let m = self.len();
        let weighted = values.mul(&weights.reshape(&[m, 1])?)?;
        Ok(weighted.segment_sum(&self.offsets)?)
    }

    /// Sums of the weights: how much of a ray's light comes from its samples, [R, 1].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn opacities(&self, weights: &Var) -> Result<Var> {
        Ok(weights.reshape(&[self.len(), 1])?.segment_sum(&self.offsets)?)
    }

    /// Mean distances, not divided by the opacity: Σ wᵢ mᵢ, [R, 1].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn depths(&self, weights: &Var) -> Result<Var> {
        let middles = self.middles.cast(weights.dtype())?.reshape(&[self.len(), 1])?;
        self.along(weights, &middles.into())
    }
}
