//! Cotangents that are not finite, or explode.

use crate::Result;
use lumigrad_core::ops::pointwise;
use lumigrad_core::{Device, Tensor, Var};

/// Bad steps in a row after which a run must go back.
const IN_A_ROW: usize = 10;
/// A norm this many times the usual one is an explosion.
const EXPLOSION: f64 = 1e3;
/// Part of the usual norm that a step replaces.
const MEMORY: f64 = 0.05;

/// What became of a step's cotangent; the worse the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing: it was finite and not too large.
    Fine,
    /// Pictures that exploded were scaled down.
    Clamped,
    /// Pictures that were not finite pull nothing.
    Zeroed,
    /// The same for the tenth time in a row: go back to the last good state.
    RollBack,
}

/// Counts of what went wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watch {
    /// Pictures whose cotangent was not finite.
    pub not_finite: u64,
    /// Pictures whose cotangent exploded.
    pub exploded: u64,
    /// Bad steps since the last good one.
    in_a_row: usize,
    /// The usual norm of a picture, 0 before the first.
    usual: f64,
}

impl Watch {
    pub(super) fn forget(&mut self) {
        self.in_a_row = 0;
    }

    /// The cotangent [n, …] as it may be used, its norms, and what was done. Reads n norms back.
    pub(super) fn check(&mut self, cotangent: &Tensor, value: f64, norm: f64) -> Result<(Tensor, Vec<f64>, Verdict)> {
        let n = cotangent.shape().first().copied().unwrap_or(1);
        let mut x = Var::from(cotangent.clone());
        if value.is_finite() {
            let limit = Tensor::full(x.device(), x.dtype(), &[1], value)?;
            x = pointwise("guidance/clip", &[&x, &limit.into()], |v| v[0].max(-v[1]).min(v[1]))?;
        }
        // From the cotangent as it came: NaN must not be clipped away.
        let raw = norms(cotangent, n)?;
        let clipped = if value.is_finite() { norms(x.tensor(), n)? } else { raw.clone() };
        let (mut factors, mut found) = (vec![1.0; n], clipped.clone());
        let (mut bad, mut large) = (false, false);
        for i in 0..n {
            let limit = if self.usual > 0.0 { norm.min(EXPLOSION * self.usual) } else { norm };
            if !raw[i].is_finite() {
                (factors[i], found[i], bad) = (0.0, 0.0, true);
                self.not_finite += 1;
            } else if clipped[i] > limit {
                (factors[i], found[i]) = (limit / clipped[i], limit);
                if limit < norm {
                    large = true;
                    self.exploded += 1;
                }
            }
        }
        let good: Vec<f64> = found.iter().copied().filter(|x| *x > 0.0).collect();
        if !good.is_empty() {
            let mean = good.iter().sum::<f64>() / good.len() as f64;
            self.usual = if self.usual == 0.0 { mean } else { self.usual + MEMORY * (mean - self.usual) };
        }
        self.in_a_row = if bad || large { self.in_a_row + 1 } else { 0 };
        let verdict = match (bad, large) {
            _ if self.in_a_row >= IN_A_ROW => Verdict::RollBack,
            (true, _) => Verdict::Zeroed,
            (_, true) => Verdict::Clamped,
            _ => Verdict::Fine,
        };
        if factors.iter().any(|f| *f != 1.0) {
            let each = [&[n][..], &vec![1; x.shape().len().saturating_sub(1)]].concat();
            let host = Tensor::from_slice(&Device::cpu(), &factors, &each)?;
            let factors = Var::from(host.cast(x.dtype())?.to_device(x.device())?);
            // 0 · NaN is NaN: a zeroed picture must be chosen, not multiplied.
            x = pointwise("guidance/zeroed", &[&x, &factors], |v| v[1].greater(0.0).select(v[0] * v[1], 0.0))?;
        }
        Ok((x.tensor().clone(), found, verdict))
    }
}

/// Norm of each picture.
pub(super) fn norms(x: &Tensor, n: usize) -> Result<Vec<f64>> {
    let rows = Var::from(x.reshape(&[n, x.len() / n.max(1)])?);
    Ok(rows.square()?.sum_axis(1)?.tensor().to_f64_vec()?.into_iter().map(f64::sqrt).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f64]) -> Tensor {
        Tensor::from_slice(&Device::cpu(), values, &[2, 2]).unwrap()
    }

    #[test]
    fn what_is_not_finite_pulls_nothing_and_ten_in_a_row_go_back() {
        let mut watch = Watch::default();
        for k in 1..=10 {
            let (x, norms, verdict) = watch.check(&tensor(&[3.0, 4.0, f64::NAN, 1.0]), f64::INFINITY, 1e9).unwrap();
            assert_eq!(x.to_vec::<f64>().unwrap(), [3.0, 4.0, 0.0, 0.0]);
            assert_eq!(norms, [5.0, 0.0]);
            assert_eq!(verdict, if k < 10 { Verdict::Zeroed } else { Verdict::RollBack });
        }
        assert_eq!(watch.not_finite, 10);
        let (_, _, verdict) = watch.check(&tensor(&[3.0, 4.0, 1.0, 1.0]), f64::INFINITY, 1e9).unwrap();
        assert_eq!(verdict, Verdict::Fine);
    }

    #[test]
    fn norms_and_values_are_clipped() {
        let mut watch = Watch::default();
        let (x, _, verdict) = watch.check(&tensor(&[3.0, 4.0, 0.0, 1.0]), f64::INFINITY, 2.5).unwrap();
        assert_eq!((x.to_vec::<f64>().unwrap(), verdict), (vec![1.5, 2.0, 0.0, 1.0], Verdict::Fine));
        let (x, _, _) = watch.check(&tensor(&[3.0, -4.0, 0.0, 1.0]), 2.0, 1e9).unwrap();
        assert_eq!(x.to_vec::<f64>().unwrap(), [2.0, -2.0, 0.0, 1.0]);
        let (_, norms, verdict) = watch.check(&tensor(&[1e9, 0.0, 0.0, 1.0]), f64::INFINITY, f64::INFINITY).unwrap();
        assert!(verdict == Verdict::Clamped && norms[0] < 1e4);
    }
}
