//! Losses between pictures. Each one is an entry of [`LOSSES`]; the loss of a pixel is a map, its mean is taken over all
//! pixels and channels (weighted ones where there is a mask).

use crate::{Error, Result};
use lumigrad_core::map::Expr;
use lumigrad_core::{Map, Tensor, Var};

/// Smoothness of Charbonnier's loss near zero.
const CHARBONNIER: f64 = 1e-3;

/// A loss between a picture and its target.
#[derive(Clone, Copy)]
pub struct Loss {
    /// Name as in jobs.
    pub name: &'static str,
    /// What it is, for `--help`.
    pub about: &'static str,
    pixel: fn(Expr, Expr) -> Expr,
}

/// All losses.
pub const LOSSES: &[Loss] = &[
    Loss { name: "l1", about: "mean |a − b|", pixel: |a, b| (a - b).abs() },
    Loss { name: "l2", about: "mean (a − b)²", pixel: |a, b| (a - b).square() },
    Loss {
        name: "charbonnier",
        about: "mean √((a − b)² + ε²) − ε, ε = 0.001",
        pixel: |a, b| ((a - b).square() + CHARBONNIER * CHARBONNIER).sqrt() - CHARBONNIER,
    },
    Loss {
        name: "log",
        about: "mean (ln(1 + a) − ln(1 + b))², for high dynamic range",
        pixel: |a, b| ((1.0 + a.max(0.0)).ln() - (1.0 + b.max(0.0)).ln()).square(),
    },
];

impl std::fmt::Debug for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Loss({})", self.name)
    }
}

impl Loss {
    /// The loss of a name.
    ///
    /// # Errors
    /// There is none; the message lists all.
    pub fn from_name(name: &str) -> Result<Self> {
        let known = || LOSSES.iter().map(|l| l.name).collect::<Vec<_>>().join(", ");
        LOSSES
            .iter()
            .find(|l| l.name == name)
            .copied()
            .ok_or_else(|| Error::UnknownLoss { name: name.into(), known: known() })
    }

    /// Mean loss of a picture [H, W, 4] against a target of the same shape, shape [].
    ///
    /// `weight` [H, W, 1] counts pixels more or less (a mask); the mean is over the weights.
    /// **Gradients** flow to `picture`.
    pub fn evaluate(&self, picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
        let target = Var::from(target.clone());
        let pixel = self.pixel;
        let sums = match weight {
            None => {
                let map = Map::cached(&format!("optim/loss {}", self.name), |m| {
                    let ([a], [b]) = (m.item("picture"), m.item("target"));
                    m.sum("loss", &[pixel(a, b)]);
                });
                return Ok(map
                    .apply(&[picture, &target])?
                    .remove(0)
                    .reshape(&[])?
                    .scale(1.0 / picture.len() as f64)?);
            }
            Some(weight) => {
                let map = Map::cached(&format!("optim/weighted_loss {}", self.name), |m| {
                    let (a, b) = (m.item::<4>("picture"), m.item::<4>("target"));
                    let [w] = m.item("weight");
                    let all: Expr = (0..4).map(|k| pixel(a[k], b[k])).sum();
                    m.sum("loss", &[w * all]);
                });
                map.apply(&[picture, &target, &weight.clone().into()])?.remove(0)
            }
        };
        let total: f64 = weight.map_or(Ok(0.0), |w| w.to_f64_vec().map(|v| v.iter().sum()))?;
        Ok(sums.reshape(&[])?.scale(0.25 / total.max(1e-12))?)
    }
}
