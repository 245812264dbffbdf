//! Intrinsics of the job's views: focal lengths as factors, principal points as shifts. Views that start with the same
//! intrinsics and size were taken with one lens and share theirs.

use crate::Result;
use lumigrad_core::map::{CallParams, Map};
use lumigrad_core::ops::random;
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_scene::camera::View;

/// Intrinsics that are optimised.
pub struct Intrinsics {
    /// [fx, fy, cx, cy], width and height of each lens at the start.
    lenses: Vec<[f64; 6]>,
    /// Lens of each view.
    lens: Vec<usize>,
    /// The optimised array, [lenses, 4]: ln(fx / fx₀), ln(fy / fy₀), (cx − cx₀) / width, (cy − cy₀) / height. Focal lengths
    /// stay positive, and steps mean the same for pictures of any size.
    pub value: Tensor,
}

impl Intrinsics {
    /// The views' own.
    pub fn new(views: &[&View], device: &Device) -> Result<Self> {
        let mut lenses: Vec<[f64; 6]> = vec![];
        let mut lens = vec![];
        for v in views {
            let [fx, fy, cx, cy] = v.intrinsics;
            let own = [fx, fy, cx, cy, v.width as f64, v.height as f64];
            let known = lenses.iter().position(|l| *l == own);
            lens.push(known.unwrap_or(lenses.len()));
            if known.is_none() {
                lenses.push(own);
            }
        }
        let value = Tensor::zeros(device, DType::F32, &[lenses.len(), 4])?;
        Ok(Self { lenses, lens, value })
    }

    /// Starts with focal lengths off by factors exp(σ n), n normal, and principal points by σ n of the picture's size.
    pub fn perturb(&mut self, sigma: f64, seed: u64) -> Result<()> {
        let noise: Vec<f32> = (0..self.value.len()).map(|i| (sigma * random::normal(seed, i as u64)) as f32).collect();
        self.value = Tensor::from_slice(self.value.device(), &noise, self.value.shape())?;
        Ok(())
    }

    /// Starts with these [fx, fy, cx, cy], pixels, for all views; focal lengths must be positive.
    pub fn set(&mut self, [fx, fy, cx, cy]: [f64; 4]) -> Result<()> {
        let rows = self.lenses.iter().flat_map(|l| {
            [(fx / l[0]).ln(), (fy / l[1]).ln(), (cx - l[2]) / l[4], (cy - l[3]) / l[5]].map(|x| x as f32)
        });
        self.value = Tensor::from_slice(self.value.device(), &rows.collect::<Vec<f32>>(), self.value.shape())?;
        Ok(())
    }

    /// Row of the array that view `k` reads.
    pub fn lens_of(&self, k: usize) -> usize {
        self.lens[k]
    }

    /// [fx, fy, cx, cy] of view `k`, [4], for a value [lenses, 4] that may be recorded.
    pub fn of_view(&self, k: usize, value: &Var) -> Result<Var> {
        let map = Map::cached("optimize/intrinsics", |m| {
            let x = m.item::<4>("value");
            let l: [_; 6] = std::array::from_fn(|_| m.param());
            m.output("intrinsics", &[l[0] * x[0].exp(), l[1] * x[1].exp(), l[2] + l[4] * x[2], l[3] + l[5] * x[3]]);
        });
        let lens = self.lens[k];
        let call = CallParams { items: 1, real: self.lenses[lens].to_vec(), int: vec![] };
        Ok(map.apply_with(&[&value.slice(0, lens, lens + 1)?], call)?.remove(0).reshape(&[4])?)
    }

    /// Mean error against true views, in %: of focal lengths relative to themselves, of principal points relative to the
    /// picture's size.
    pub fn error_percent(&self, truth: &[&View]) -> Result<f64> {
        let value = self.value.clone().into();
        let mut sum = 0.0;
        for (k, view) in truth.iter().enumerate() {
            let found = self.of_view(k, &value)?.tensor().to_f64_vec()?;
            let [fx, fy, ..] = view.intrinsics;
            let scale = [fx, fy, view.width as f64, view.height as f64];
            sum += (0..4).map(|i| ((found[i] - view.intrinsics[i]) / scale[i]).abs()).sum::<f64>() / 4.0;
        }
        Ok(100.0 * sum / truth.len().max(1) as f64)
    }
}
