//! Losses that are means over elements: one map reads prediction and target once.

use crate::Result;
use lumigrad_core::map::{Builder, Expr};
use lumigrad_core::{CallParams, Map, Tensor, Var};

/// Smoothness near zero, of Charbonnier's loss and of the weights that stand for L1 in least squares.
const EPSILON: f64 = 1e-3;

/// Definition of a loss per element.
#[derive(Clone, Copy)]
pub struct Pixel {
    /// Unique name of the maps.
    name: &'static str,
    /// Error e of an element against its target.
    error: fn(Expr, Expr) -> Expr,
    /// Loss ρ of an error.
    value: fn(Expr) -> Expr,
    /// ρ'(e) / e, its weight in iteratively reweighted least squares; `None`: 2, of a square.
    weight: Option<fn(Expr) -> Expr>,
}

fn charbonnier(e: Expr) -> Expr {
    (e.square() + EPSILON * EPSILON).sqrt()
}

pub const L1: Pixel =
    Pixel { name: "l1", error: |a, b| a - b, value: |e| e.abs(), weight: Some(|e| 1.0 / charbonnier(e)) };

pub const L2: Pixel = Pixel { name: "l2", error: |a, b| a - b, value: |e| e.square(), weight: None };

pub const CHARBONNIER: Pixel = Pixel {
    name: "charbonnier",
    error: |a, b| a - b,
    value: |e| charbonnier(e) - EPSILON,
    weight: Some(|e| 1.0 / charbonnier(e)),
};

pub const LOG: Pixel = Pixel {
    name: "log",
    error: |a, b| (1.0 + a.max(0.0)).ln() - (1.0 + b.max(0.0)).ln(),
    value: |e| e.square(),
    weight: None,
};

/// Errors above this count linearly in Huber's loss.
const DELTA: f64 = 0.1;

pub const HUBER: Pixel = Pixel {
    name: "huber",
    error: |a, b| a - b,
    value: |e| e.abs().less_eq(DELTA).select(0.5 * e.square(), DELTA * (e.abs() - 0.5 * DELTA)),
    weight: Some(|e| DELTA / e.abs().max(DELTA)),
};

/// Σ weights · C as a tensor of one element, at least 1e-12.
pub fn total<const C: usize>(weight: &Tensor) -> Result<Tensor> {
    let map = Map::cached(&format!("optim/total_weight {C}"), |m| {
        let [w] = m.item("weight");
        m.sum("total", &[w * C as f64]);
    });
    let sum = map.apply(&[&weight.clone().into()])?.remove(0);
    Ok(sum.clamp(1e-12, 1e30)?.tensor().clone())
}

fn weighted<const C: usize>(pixel: Pixel, picture: &Var, target: &Var, weight: &Tensor) -> Result<Var> {
    let map = Map::cached(&format!("optim/weighted_loss {} {C}", pixel.name), |m| {
        let (a, b) = (m.item::<C>("picture"), m.item::<C>("target"));
        let [w] = m.item("weight");
        let all: Expr = (0..C).map(|k| (pixel.value)((pixel.error)(a[k], b[k]))).sum();
        m.sum("loss", &[w * all]);
    });
    let sum = map.apply(&[picture, target, &weight.clone().into()])?.remove(0);
    Ok(sum.div(&total::<C>(weight)?.into())?.reshape(&[])?)
}

fn weighted_residuals<const C: usize>(pixel: Pixel, picture: &Var, target: &Var, weight: &Tensor) -> Result<Var> {
    let roots = |m: &mut Builder| {
        let (a, b) = (m.item::<C>("picture"), m.item::<C>("target"));
        let ([w], [total]) = (m.item("weight"), m.uniform("total"));
        let root = |k: usize| (pixel.weight_of((pixel.error)(a[k], b[k])) * w.max(0.0) / total).sqrt();
        m.output("roots", &(0..C).map(root).collect::<Vec<_>>());
    };
    let map = Map::cached(&format!("optim/weighted_roots {} {C}", pixel.name), roots);
    let fixed = [picture.stop_gradient(), target.clone(), weight.clone().into(), total::<C>(weight)?.into()];
    let roots = map.apply(&fixed.iter().collect::<Vec<_>>())?.remove(0);
    times_error(pixel, picture, target, &roots)
}

/// √weight · error, flat.
fn times_error(pixel: Pixel, picture: &Var, target: &Var, roots: &Var) -> Result<Var> {
    let map = Map::cached(&format!("optim/residuals {}", pixel.name), |m| {
        let ([a], [b], [root]) = (m.item("picture"), m.item("target"), m.item("roots"));
        m.output("residuals", &[root * (pixel.error)(a, b)]);
    });
    Ok(map.apply(&[picture, target, roots])?.remove(0).reshape(&[picture.len()])?)
}

fn shares<const C: usize>(pixel: Pixel, picture: &Tensor, target: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let map = Map::cached(&format!("optim/pixels {} {C}", pixel.name), |m| {
        let (a, b) = (m.item::<C>("picture"), m.item::<C>("target"));
        let ([w], [total]) = (m.item("weight"), m.uniform("total"));
        let share = |k: usize| w * (pixel.value)((pixel.error)(a[k], b[k])) / total;
        m.output("loss", &(0..C).map(share).collect::<Vec<_>>());
    });
    Ok(map.run(&[picture, target, weight, &total::<C>(weight)?], &CallParams::default())?.remove(0))
}

impl Pixel {
    fn weight_of(self, error: Expr) -> Expr {
        self.weight.map_or(2.0.into(), |weight| weight(error))
    }

    /// True where the loss is the square of the error.
    pub fn is_square(self) -> bool {
        self.weight.is_none()
    }

    /// What each element adds to [`Pixel::mean`], [H, W, C].
    pub fn shares(self, picture: &Tensor, target: &Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
        let (h, w) = (picture.shape()[0], picture.shape()[1]);
        let ones;
        let weight = match weight {
            Some(weight) => weight,
            None => {
                ones = Tensor::full(picture.device(), picture.dtype(), &[h, w, 1], 1.0)?;
                &ones
            }
        };
        let all = with_channels!(picture.shape()[2], shares(self, picture, target, weight))?;
        Ok(all.reshape(picture.shape())?)
    }

    /// The mean over elements, or the weighted mean.
    pub fn mean(self, picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
        let target = Var::from(target.clone());
        if let Some(weight) = weight {
            return with_channels!(picture.shape()[2], weighted(self, picture, &target, weight));
        }
        let map = Map::cached(&format!("optim/loss {}", self.name), |m| {
            let ([a], [b]) = (m.item("picture"), m.item("target"));
            m.sum("loss", &[(self.value)((self.error)(a, b))]);
        });
        Ok(map.apply(&[picture, &target])?.remove(0).reshape(&[])?.scale(1.0 / picture.len() as f64)?)
    }

    /// Residuals r, flat, with ½‖r‖² as [`Loss::residuals`](super::Loss::residuals) says.
    pub fn residuals(self, picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
        let target = Var::from(target.clone());
        if let Some(weight) = weight {
            return with_channels!(picture.shape()[2], weighted_residuals(self, picture, &target, weight));
        }
        let map = Map::cached(&format!("optim/roots {}", self.name), |m| {
            let ([a], [b], share) = (m.item("picture"), m.item("target"), m.param());
            m.output("roots", &[(self.weight_of((self.error)(a, b)) * share).sqrt()]);
        });
        let share = CallParams { items: 0, real: vec![1.0 / picture.len() as f64], int: vec![] };
        let roots = map.apply_with(&[&picture.stop_gradient(), &target], share)?.remove(0);
        times_error(self, picture, &target, &roots)
    }
}
