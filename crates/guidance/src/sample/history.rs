//! Methods that remember earlier predictions.

use super::{Method, weighted};
use crate::{Error, Level, Result};
use lumigrad_core::Tensor;

/// State of DPM-Solver++(2M).
#[derive(Clone, Debug, Default)]
pub struct SecondOrder {
    /// x̂0 of the step before, and its ln(a/σ).
    before: Option<(Tensor, f64)>,
}

impl SecondOrder {
    /// x at the level `to`, of x and x̂0 at the level `from`. The first step, and that to σ = 0, are of first order.
    pub fn step(&mut self, x: &Tensor, x0: &Tensor, from: Level, to: Level) -> Result<Tensor> {
        let lambda = |l: Level| (l.a / l.sigma).ln();
        let (now, h) = (lambda(from), lambda(to) - lambda(from));
        let data = match &self.before {
            Some((earlier, then)) if h.is_finite() => {
                let r = 0.5 * h / (now - then); // 1/(2r) of the paper
                weighted(&[(x0, 1.0 + r), (earlier, -r)])?
            }
            _ => x0.clone(),
        };
        self.before = Some((x0.clone(), now));
        // σ′/σ·x − a′(e^(−h) − 1)·D, where a′e^(−h) = σ′a/σ.
        let shrink = to.sigma / from.sigma;
        weighted(&[(x, shrink), (&data, to.a - shrink * from.a)])
    }
}

/// Generalised heavy ball: v ← (1 − β)v + βε̂, and a step along a combination of the last v of which the sum is 1.
#[derive(Clone, Debug)]
pub struct Ghvb {
    order: usize,
    beta: f64,
    /// Latest first.
    velocities: Vec<Tensor>,
}

impl Ghvb {
    /// A method of `order` 1 to 4 with `beta` in (0, 1].
    pub fn new(order: usize, beta: f64) -> Result<Self> {
        match (1..=4).contains(&order) && beta > 0.0 && beta <= 1.0 {
            true => Ok(Self { order, beta, velocities: vec![] }),
            false => Err(Error::Setting(format!("GHVB of order {order} with beta {beta}: expected 1 to 4 and (0, 1]"))),
        }
    }

    /// A fractional order: 1.8 is order 2 with β = 0.8, whole numbers have β = 1.
    pub fn of_order(order: f64) -> Result<Self> {
        match order > 0.0 && order <= 4.0 {
            true => Self::new(order.ceil() as usize, 1.0 - (order.ceil() - order)),
            false => Err(Error::Setting(format!("GHVB of order {order}: expected more than 0, at most 4"))),
        }
    }

    pub(super) fn method(&self) -> Method {
        Method::Ghvb { order: self.order, beta: self.beta }
    }

    /// Weights of the last velocities where `known` of them are there.
    fn weights(&self, known: usize) -> Vec<f64> {
        let b = self.beta;
        match self.order.min(known) {
            1 => vec![1.0],
            2 => [2.0 + b, b - 2.0].map(|w| w / (2.0 * b)).to_vec(),
            3 => [18.0 + 5.0 * b, 8.0 * b - 24.0, 6.0 - b].map(|w| w / (12.0 * b)).to_vec(),
            _ => [46.0 + 9.0 * b, 19.0 * b - 78.0, 42.0 - 5.0 * b, b - 10.0].map(|w| w / (24.0 * b)).to_vec(),
        }
    }

    /// Starts with exact velocities of earlier steps, latest first.
    pub fn with_history(mut self, velocities: Vec<Tensor>) -> Self {
        self.velocities = velocities;
        self
    }

    /// What stands for ε̂ in the step after the prediction ε̂. The first velocity is the first prediction.
    pub fn direction(&mut self, noise: &Tensor) -> Result<Tensor> {
        let v = match self.velocities.first() {
            Some(last) => weighted(&[(last, 1.0 - self.beta), (noise, self.beta)])?,
            None => noise.clone(),
        };
        self.velocities.insert(0, v);
        self.velocities.truncate(4);
        let weights = self.weights(self.velocities.len());
        weighted(&self.velocities.iter().zip(&weights).map(|(v, w)| (v, *w)).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_to_one_and_beta_one_is_adams_bashforth() {
        for order in 1..=4 {
            for beta in [1.0, 0.8, 0.3] {
                let sum: f64 = Ghvb::new(order, beta).unwrap().weights(4).iter().sum();
                assert!((sum - 1.0).abs() < 1e-12, "order {order}, beta {beta}");
            }
        }
        // Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, III.1.
        let fourth = [55.0, -59.0, 37.0, -9.0].map(|w| w / 24.0);
        let found = Ghvb::new(4, 1.0).unwrap().weights(4);
        assert!(found.iter().zip(fourth).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(Ghvb::new(5, 1.0).is_err() && Ghvb::of_order(0.0).is_err() && Ghvb::of_order(f64::NAN).is_err());
        assert_eq!(Ghvb::of_order(2.0).unwrap().method(), Method::Ghvb { order: 2, beta: 1.0 });
    }
}
