//! What changes predictions: pure functions on ε̂, picture by picture.
//!
//! All take tensors [n, …] alike and do not read anything back.

use crate::sample::weighted;
use crate::{Condition, DiffusionPrior, Error, Level, Result};
use lumigrad_core::ops::pointwise;
use lumigrad_core::{Tensor, Var};

/// ε_u + s·(ε_c − ε_u) (Ho & Salimans 2022): 0 is unconditional, 1 conditional. Code that writes ε_c + s(ε_c − ε_u) has s + 1.
pub fn classifier_free(unconditional: &Tensor, conditional: &Tensor, scale: f64) -> Result<Tensor> {
    weighted(&[(unconditional, 1.0 - scale), (conditional, scale)])
}

/// Inner products per picture, [n, 1].
fn dots(a: &Var, b: &Var) -> Result<Var> {
    let n = a.shape().first().copied().unwrap_or(1);
    let rows = a.mul(b)?.reshape(&[n, a.len() / n.max(1)])?;
    Ok(rows.sum_axis(1)?.reshape(&[n, 1])?)
}

/// Weights [n, 1] times pictures [n, …], added.
fn spread(terms: &[(&Var, &Var)]) -> Result<Tensor> {
    let shape = terms[0].0.shape().to_vec();
    let n = shape.first().copied().unwrap_or(1);
    let rows = |x: &Var| x.reshape(&[n, x.len() / n.max(1)]);
    let mut sum: Option<Var> = None;
    for (x, w) in terms {
        let part = rows(x)?.mul(w)?;
        sum = Some(match sum {
            None => part,
            Some(s) => s.add(&part)?,
        });
    }
    Ok(sum.expect("at least one term").tensor().reshape(&shape)?)
}

/// ε_u without what is not along the first right singular vector of the rows ε_u and ε_c (TCFG, Kwon et al. 2025).
///
/// From the 2 × 2 Gram matrix. Pictures whose predictions both vanish are left as they are.
pub fn tangential(unconditional: &Tensor, conditional: &Tensor) -> Result<Tensor> {
    let (u, c) = (Var::from(unconditional.clone()), Var::from(conditional.clone()));
    let (uu, uc, cc) = (dots(&u, &u)?, dots(&u, &c)?, dots(&c, &c)?);
    // The eigenvector (p, q) of the larger eigenvalue; y = p·u + q·c is along v₁ with |y|² = λ. (u·v₁)v₁ = (u·y)/λ·y.
    let part = |which: usize| {
        pointwise(&format!("guidance/tangential {which}"), &[&uu, &uc, &cc], |g| {
            let half = 0.5 * (g[0] - g[2]);
            let lambda = 0.5 * (g[0] + g[2]) + (half * half + g[1] * g[1]).sqrt();
            // Of the two forms of the eigenvector, the one that does not cancel.
            let first = half.less(0.0);
            let (p, q) = (first.select(g[1], lambda - g[2]), first.select(lambda - g[0], g[1]));
            let norm = (p * p + q * q).max(1e-38);
            let along = (p * g[0] + q * g[1]) / (norm * lambda.max(1e-38));
            let defined = (1e-30f64 - lambda).less(0.0);
            match which {
                0 => defined.select(along * p, 1.0),
                _ => defined.select(along * q, 0.0),
            }
        })
    };
    spread(&[(&u, &part(0)?), (&c, &part(1)?)])
}

/// The part of `x` that is orthogonal to `direction`, picture by picture; `x` where the direction vanishes.
pub fn orthogonal(x: &Tensor, direction: &Tensor) -> Result<Tensor> {
    let (x, d) = (Var::from(x.clone()), Var::from(direction.clone()));
    let inputs = [&dots(&x, &d)?, &dots(&d, &d)?];
    let along = pointwise("guidance/minus along", &inputs, |v| -v[0] / v[1].max(1e-38))?;
    let one = Var::from(Tensor::full(x.device(), x.dtype(), along.shape(), 1.0)?);
    spread(&[(&x, &one), (&d, &along)])
}

/// ε_u + s·(ε_c − ε_u) − w·(ε_n − ε_u)⊥, of the negative direction only what is orthogonal to the wanted one (Perp-Neg,
/// Armandpour et al. 2023): it cannot undo the condition.
pub fn perpendicular(
    unconditional: &Tensor,
    conditional: &Tensor,
    negative: &Tensor,
    scale: f64,
    weight: f64,
) -> Result<Tensor> {
    let wanted = weighted(&[(conditional, 1.0), (unconditional, -1.0)])?;
    let unwanted = weighted(&[(negative, 1.0), (unconditional, -1.0)])?;
    let rest = orthogonal(&unwanted, &wanted)?;
    weighted(&[(unconditional, 1.0), (&wanted, scale), (&rest, -weight)])
}

/// ω of Omegance (Hou et al. 2024) for a strength: logistic, 0.95 at −∞, 1 at 0, 1.05 at ∞.
///
/// ε̂ is taken off in a step, so that ω < 1 leaves more noise: more detail.
pub fn omega(strength: f64) -> f64 {
    0.95 + 0.1 / (1.0 + (-strength).exp())
}

/// ω·ε̂, with strengths [n, height, width, 1] (a mask of where there is more or less detail).
pub fn omegance_masked(noise: &Tensor, strengths: &Tensor) -> Result<Tensor> {
    let scaled = pointwise("guidance/omegance", &[&noise.clone().into(), &strengths.clone().into()], |v| {
        v[0] * (0.95 + 0.1 * (0.5 * (0.5 * v[1]).tanh() + 0.5))
    })?;
    Ok(scaled.tensor().clone())
}

/// What is done with predictions, in the order of the fields. The default is the plain conditional prediction.
#[derive(Clone, Debug)]
pub struct Guidance {
    /// Scale s of classifier-free guidance.
    pub scale: f64,
    /// Dampen the unconditional prediction first (TCFG).
    pub tangential: bool,
    /// What pictures should not show.
    pub negative: Option<Condition>,
    /// Weight of the negative direction's orthogonal part; without it the negative prediction stands for the
    /// unconditional one.
    pub perpendicular: Option<f64>,
    /// Strength of Omegance at the start and at the end of a run.
    pub detail: [f64; 2],
}

impl Default for Guidance {
    fn default() -> Self {
        Self { scale: 1.0, tangential: false, negative: None, perpendicular: None, detail: [0.0; 2] }
    }
}

/// Predictions before they are combined, for methods that need their differences.
pub struct Predictions {
    /// ε̂ of the condition.
    pub conditional: Tensor,
    /// ε̂ of the null condition (of the same views), where the guidance asks for it.
    pub unconditional: Option<Tensor>,
    /// All combined.
    pub guided: Tensor,
}

impl Guidance {
    /// Checks numbers, and whether the prior can.
    pub fn check(&self, prior: &dyn DiffusionPrior) -> Result<()> {
        let numbers = [self.scale, self.perpendicular.unwrap_or(0.0), self.detail[0], self.detail[1]];
        if let Some(x) = numbers.iter().find(|x| !x.is_finite()) {
            return Err(Error::Setting(format!("a scale of guidance is {x}, expected a finite number")));
        }
        if self.perpendicular.is_some() && self.negative.is_none() {
            return Err(Error::Setting("perpendicular guidance needs a negative condition".into()));
        }
        self.negative.as_ref().map_or(Ok(()), |n| prior.info().check_condition(n))
    }

    /// ε̂ of x_t at `progress` (0 to 1) of a run.
    pub fn predict(
        &self,
        prior: &dyn DiffusionPrior,
        noisy: &Tensor,
        levels: &[Level],
        conditions: &[Condition],
        progress: f64,
    ) -> Result<Predictions> {
        let conditional = prior.predict(noisy, levels, conditions)?;
        let views = |subject: &Condition| -> Vec<Condition> {
            conditions.iter().map(|c| Condition { view: c.view, ..subject.clone() }).collect()
        };
        let needs_null = self.scale != 1.0 || self.tangential || self.perpendicular.is_some();
        let null = || prior.predict(noisy, levels, &views(&Condition::null()));
        let negative = self.negative.as_ref().map(|n| prior.predict(noisy, levels, &views(n))).transpose()?;
        let base = match (&negative, self.perpendicular) {
            (Some(n), None) => Some(n.clone()),
            _ if needs_null => Some(null()?),
            _ => None,
        };
        let damped = match (&base, self.tangential) {
            (Some(u), true) => Some(tangential(u, &conditional)?),
            _ => base.clone(),
        };
        let mut guided = match (&damped, &negative, self.perpendicular) {
            (Some(u), Some(n), Some(w)) => perpendicular(u, &conditional, n, self.scale, w)?,
            (Some(u), _, _) => classifier_free(u, &conditional, self.scale)?,
            _ => conditional.clone(),
        };
        let strength = self.detail[0] + (self.detail[1] - self.detail[0]) * progress.clamp(0.0, 1.0);
        if strength != 0.0 {
            guided = weighted(&[(&guided, omega(strength))])?;
        }
        Ok(Predictions { conditional, unconditional: base, guided })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_core::{DType, Device};

    fn pictures(values: &[f64]) -> Tensor {
        Tensor::from_slice(&Device::cpu(), values, &[2, values.len() / 2]).unwrap()
    }

    fn close(a: &Tensor, b: &[f64]) {
        let a = a.to_f64_vec().unwrap();
        assert!(a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-9), "{a:?} is not {b:?}");
    }

    #[test]
    fn scales_zero_and_one_are_the_predictions_themselves() {
        let (u, c) = (pictures(&[1.0, 2.0, 3.0, 4.0]), pictures(&[-1.0, 0.5, 2.0, 0.0]));
        close(&classifier_free(&u, &c, 0.0).unwrap(), &u.to_f64_vec().unwrap());
        close(&classifier_free(&u, &c, 1.0).unwrap(), &c.to_f64_vec().unwrap());
        close(&classifier_free(&u, &c, 3.0).unwrap(), &[-5.0, -2.5, 0.0, -8.0]);
    }

    #[test]
    fn tangential_damping_is_the_projection_on_the_first_singular_vector() {
        // Singular vectors by power iteration on MᵀM, another way than the code's.
        let (u, c) = ([0.3, -1.0, 2.0, 0.4, 1.5, 0.7], [1.0, 0.2, 1.7, -3.0, 0.1, 0.9]);
        let mut expected = vec![];
        for i in 0..2 {
            let (u, c) = (&u[3 * i..3 * i + 3], &c[3 * i..3 * i + 3]);
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
            let mut v = vec![1.0, 0.5, 0.25];
            for _ in 0..400 {
                let (p, q) = (dot(u, &v), dot(c, &v));
                v = (0..3).map(|k| p * u[k] + q * c[k]).collect();
                let norm = dot(&v, &v).sqrt();
                v.iter_mut().for_each(|x| *x /= norm);
            }
            let along = dot(u, &v);
            expected.extend(v.iter().map(|x| along * x));
        }
        close(&tangential(&pictures(&u), &pictures(&c)).unwrap(), &expected);
    }

    #[test]
    fn vanishing_predictions_stay_as_they_are() {
        let (zero, x) = (pictures(&[0.0; 4]), pictures(&[1.0, 2.0, 0.0, -1.0]));
        close(&tangential(&zero, &zero).unwrap(), &[0.0; 4]);
        close(&tangential(&zero, &x).unwrap(), &[0.0; 4]);
        close(&orthogonal(&x, &zero).unwrap(), &x.to_f64_vec().unwrap());
    }

    #[test]
    fn a_perpendicular_negative_does_not_weaken_the_condition() {
        let (u, c) = (pictures(&[0.1, 0.2, 0.3, 0.4]), pictures(&[1.0, 0.0, -1.0, 2.0]));
        let n = pictures(&[2.0, -1.0, 0.5, 0.5]);
        let with = perpendicular(&u, &c, &n, 4.0, 1.5).unwrap();
        let without = classifier_free(&u, &c, 4.0).unwrap();
        let wanted = weighted(&[(&c, 1.0), (&u, -1.0)]).unwrap().to_f64_vec().unwrap();
        let changed = weighted(&[(&with, 1.0), (&without, -1.0)]).unwrap().to_f64_vec().unwrap();
        for i in 0..2 {
            let along: f64 = (2 * i..2 * i + 2).map(|k| wanted[k] * changed[k]).sum();
            assert!(along.abs() < 1e-12);
        }
        // Of a negative along the condition nothing is left.
        let same = perpendicular(&u, &c, &c, 4.0, 1.5).unwrap();
        close(&same, &without.to_f64_vec().unwrap());
    }

    #[test]
    fn omega_is_logistic_between_its_bounds() {
        assert!((omega(0.0) - 1.0).abs() < 1e-12 && (omega(40.0) - 1.05).abs() < 1e-9);
        assert!((omega(-40.0) - 0.95).abs() < 1e-9);
        let noise = Tensor::full(&Device::cpu(), DType::F64, &[1, 1, 2, 3], 2.0).unwrap();
        let strengths = Tensor::from_slice(&Device::cpu(), &[0.0, 1.0], &[1, 1, 2, 1]).unwrap();
        let (here, there) = (2.0, 2.0 * omega(1.0));
        close(&omegance_masked(&noise, &strengths).unwrap(), &[here, here, here, there, there, there]);
    }
}
