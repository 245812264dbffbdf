//! Blends of two moving pictures by their gradients (Pérez et al. 2003; as a network of place and time, Schardong et al. 2024).

use super::landmarks::inwards;
use crate::Result;
use lumigrad_core::map::{CallParams, Expr, Map};
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Activation, Derivatives, Encoding, Field, Grid, Parameter};
use std::sync::Arc;

/// u = (1 − t)·A + t·B + 4t(1 − t)·χ·g of the warped pictures A and B: a network g adds to their mean what gradients want.
///
/// Where both pictures have something to show, their mean has half of each. So the gradient that is wanted is a mean that
/// leans to the picture that changes more: U = w·∇A + (1 − w)·∇B with w = (1 − t)²|∇A|² / ((1 − t)²|∇A|² + t²|∇B|²), the
/// lengths over all channels: one weight for all, so that no colours part; and one that goes smoothly from picture to picture,
/// where Pérez et al. take the longer of both. χ falls to 0 at the border of a rectangle, so that pictures go over into their
/// mean there without a seam, and so they do at both ends of time: what the paper has as a loss holds by construction.
pub struct Blend {
    /// From x, y and 2t − 1 to what is added to each channel.
    pub field: Field,
    /// Half of the sides of the rectangle, in the domain.
    half: [f32; 2],
    /// Half of a pixel.
    step: f32,
}

impl Blend {
    /// For pictures of a size, over this part of their width and height.
    pub fn new((w, h): (usize, usize), channels: usize, region: f64) -> Self {
        let finest = (w.max(h) / 2).max(8);
        let levels = ((finest as f64 / COARSEST as f64).log2().ceil() as usize).max(1) + 1;
        let grid = Encoding::Grid(Grid::hash(levels, LOG2_ROWS, COARSEST, finest));
        let activation = Activation::Softplus;
        let field = Field { activation, depth: 1, ..Field::encoded(3, channels, grid) };
        let half = inwards([w as f64, h as f64], (w, h)).map(|x| (x * region) as f32);
        Self { field, half, step: 1.0 / w.max(h) as f32 }
    }

    /// Parameters at their start, beside those of a warp.
    pub fn start(&self, seed: u64, device: &Device) -> Result<Vec<Parameter>> {
        let named = |p: Parameter| Parameter { name: format!("blend.{}", p.name), ..p };
        Ok(self.field.start(seed, device)?.into_iter().map(named).collect())
    }

    /// A place of the rectangle, by two numbers from 0 to 1.
    pub fn place(&self, x: f64, y: f64) -> [f32; 2] {
        [(2.0 * x - 1.0) as f32 * self.half[0], (2.0 * y - 1.0) as f32 * self.half[1]]
    }

    /// Half a pixel to the right, left, down and up of each place.
    pub fn around(&self, places: &[f32]) -> Vec<f32> {
        let s = self.step;
        places.chunks_exact(2).flat_map(|p| [p[0] + s, p[1], p[0] - s, p[1], p[0], p[1] + s, p[0], p[1] - s]).collect()
    }

    /// 4t(1 − t)·χ and its slopes; 0 outside of the rectangle.
    fn fade(&self, place: &[f32], time: f32) -> [f32; 3] {
        let share = [place[0] / self.half[0], place[1] / self.half[1]];
        let [x, y] = share.map(|s| (1.0 - s * s).max(0.0));
        let slope = |k: usize| if share[k].abs() < 1.0 { -2.0 * share[k] / self.half[k] } else { 0.0 };
        [x * y, slope(0) * y, x * slope(1)].map(|f| 4.0 * time * (1.0 - time) * f)
    }

    /// What the gradient of the mean lacks of the wanted one, [N, 2·channels], from the colours of both pictures around
    /// places, [4N, channels] each in the order of [`Self::around`], and times [N, 1].
    pub fn wanted(&self, [a, b]: [&Var; 2], times: &Var) -> Result<Var> {
        let (n, channels) = (times.len(), self.field.channels);
        let map = Map::cached(&format!("fit/blend {channels}"), |m| {
            let [a, b] = ["a", "b"].map(|name| m.item_row(name, 4 * channels));
            let [t] = m.item("times");
            let per = m.param();
            let slopes = |of: &[Expr]| -> Vec<Expr> {
                let along = |k: usize, c: usize| (of[2 * k * channels + c] - of[(2 * k + 1) * channels + c]) * per;
                (0..2).flat_map(|k| (0..channels).map(move |c| (k, c))).map(|(k, c)| along(k, c)).collect()
            };
            let (a, b) = (slopes(&a), slopes(&b));
            let square = |of: &[Expr]| of.iter().map(|x| x.square()).sum::<Expr>();
            let (own, other) = ((1.0 - t).square() * square(&a), t.square() * square(&b));
            let more = own / (own + other).max(1e-12) - (1.0 - t);
            let wanted: Vec<Expr> = a.iter().zip(&b).map(|(a, b)| more * (*a - *b)).collect();
            m.output("wanted", &wanted);
        });
        let rows = [a, b].map(|colours| colours.reshape(&[n, 4 * channels]));
        let [a, b] = rows;
        let call = CallParams { real: vec![0.5 / self.step as f64], ..Default::default() };
        Ok(map.apply_with(&[&a?, &b?, times], call)?.remove(0))
    }

    /// Mean square of what is still missing at places, where that is wanted.
    pub fn loss(&self, parameters: &[Var], places: &[f32], times: &[f32], wanted: &Var) -> Result<Var> {
        let (device, channels, n) = (wanted.device(), self.field.channels, times.len());
        let points = Tensor::from_slice(device, &points(places, times), &[n, 3])?;
        let fades: Vec<f32> = places.chunks_exact(2).zip(times).flat_map(|(p, &t)| self.fade(p, t)).collect();
        let fades = Tensor::from_slice(device, &fades, &[n, 3])?.into();
        let jet = self.field.jet(parameters, &points.into(), &Arc::new(Derivatives::of(&[0, 1], &[])))?;
        let map = Map::cached(&format!("fit/blend missing {channels}"), |m| {
            let [g, x, y] = ["g", "g_x", "g_y"].map(|name| m.item_row(name, channels));
            let [f, fx, fy] = m.item("fades");
            let wanted = m.item_row("wanted", 2 * channels);
            let along = |own: &[Expr], slope: Expr, k: usize| -> Vec<Expr> {
                (0..channels).map(|c| f * own[c] + slope * g[c] - wanted[k * channels + c]).collect()
            };
            m.output("missing", &[along(&x, fx, 0), along(&y, fy, 1)].concat());
        });
        let missing = map.apply(&[jet.value(), &jet.first(0)?, &jet.first(1)?, &fades, wanted])?.remove(0);
        Ok(missing.square()?.mean()?)
    }

    /// What is added to the mean at places, at one time.
    pub fn added(&self, values: &[Tensor], places: &[f32], time: f32) -> Result<Vec<f32>> {
        let times = vec![time; places.len() / 2];
        let mut g = self.field.sample(values, &points(places, &times), &Arc::new(Derivatives::none()))?.remove(0);
        for (g, place) in g.chunks_exact_mut(self.field.channels).zip(places.chunks_exact(2)) {
            let fade = self.fade(place, time)[0];
            g.iter_mut().for_each(|g| *g *= fade);
        }
        Ok(g)
    }

    /// Half of the sides of the rectangle, in the domain.
    pub fn half(&self) -> [f32; 2] {
        self.half
    }
}

/// Points of the network's domain.
fn points(places: &[f32], times: &[f32]) -> Vec<f32> {
    places.chunks_exact(2).zip(times).flat_map(|(p, t)| [p[0], p[1], 2.0 * t - 1.0]).collect()
}

/// Cells along the domain at the coarsest level of the network's grid, and log₂ of the rows of a level.
const COARSEST: usize = 4;
const LOG2_ROWS: u32 = 17;
