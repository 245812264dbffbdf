//! Residuals in parts: memory is bounded by one of them.

use super::{LevenbergMarquardt, LmStep, Residuals, linearize};
use crate::Error;
use crate::vectors::{add_scaled, dot, product, zeros_like};
use lumigrad_core::{CallParams, Map, Tape, Tensor, Var};

/// Lengths of the combined step that are tried, in units of it.
const LENGTHS: [f64; 4] = [1.0, 0.5, 0.25, 0.1];

impl LevenbergMarquardt {
    /// One iteration over residuals that come in `subsets` parts: each part is linearised and solved by itself, the steps
    /// are combined by the mean that is weighted with the parts' diag JᵀJ, and the length is searched by `judge`, a loss of
    /// the parameters (of some of the data, for example). Parameters change only where `judge` falls.
    ///
    /// λ is halved after a step and doubled where none was found. **Source**: Höllein et al. 2025, "3DGS-LM". **Cost**: as
    /// [`LevenbergMarquardt::step`] for each part, with the memory of one; `judge` is called up to five times.
    ///
    /// # Errors
    /// Those of `residuals` and `judge`.
    pub fn step_subsets<R: Into<Residuals>, E: From<Error>>(
        &mut self,
        parameters: &mut [Tensor],
        subsets: usize,
        residuals: impl Fn(usize, &[Var]) -> Result<R, E>,
        judge: impl Fn(&[Tensor]) -> Result<f64, E>,
    ) -> Result<LmStep, E> {
        let before = judge(parameters)?;
        let mut report = LmStep { previous_loss: before, loss: before, lambda: self.lambda, ..LmStep::default() };
        let (mut weighted, mut weights) = (zeros_like(parameters)?, zeros_like(parameters)?);
        self.steps += 1;
        for subset in 0..subsets {
            let (jacobian, _) = linearize(parameters, &|_: &Tape, leaves: &[Var]| residuals(subset, leaves))?;
            let Some(jacobian) = jacobian else { continue };
            let system = self.system(&jacobian, parameters, false)?;
            let (delta, iterations) = self.conjugate_gradients(&system)?;
            report.inner_iterations += iterations;
            weighted = add_scaled(&weighted, 1.0, &product(1.0, &delta, &system.diagonal)?)?;
            weights = add_scaled(&weights, 1.0, &system.diagonal)?;
        }
        let delta = quotients(&weighted, &weights)?;
        report.step_norm = dot(&delta, &weighted)?.max(0.0).sqrt();
        for length in LENGTHS {
            report.trials += 1;
            let next = add_scaled(parameters, length, &delta)?;
            let loss = judge(&next)?;
            // Also what is not a number is no better.
            if loss < report.loss {
                parameters.clone_from_slice(&next);
                (report.loss, report.accepted) = (loss, true);
                break;
            }
        }
        self.lambda = if report.accepted { 0.5 * self.lambda } else { 2.0 * self.lambda }.clamp(1e-8, 1e8);
        Ok(report)
    }
}

/// a / b, zero where b is.
fn quotients(a: &[Tensor], b: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    let map = Map::cached("optim/quotients", |m| {
        let ([a], [b]) = (m.item("a"), m.item("b"));
        let divides = b.greater(0.0);
        m.output("quotient", &[divides.select(a / divides.select(b, 1.0), 0.0)]);
    });
    let of = |(a, b): (&Tensor, &Tensor)| Ok(map.run(&[a, b], &CallParams::default())?.remove(0).reshape(a.shape())?);
    a.iter().zip(b).map(of).collect()
}

#[cfg(test)]
mod tests {
    use crate::{LevenbergMarquardt, LmOptions, Result};
    use lumigrad_core::{Device, Tensor, Var};

    #[test]
    fn parts_of_a_line_fit_find_the_whole_fit() {
        // y = 2x − 1 in two parts of points; each part alone determines both unknowns.
        let cpu = Device::cpu();
        let column = |data: &[f64]| Tensor::from_slice(&cpu, data, &[data.len()]).unwrap();
        let parts = [[0.0, 1.0, 2.0], [3.0, 4.0, 6.0]];
        let of = |x: &[f64; 3], unknowns: &[Var]| -> Result<Var> {
            let target = column(&x.map(|x| 2.0 * x - 1.0));
            let line = Var::from(column(x)).mul(&unknowns[0])?.add(&unknowns[1])?;
            Ok(line.sub(&target.into())?)
        };
        let mut solver = LevenbergMarquardt::new(LmOptions { dense_limit: 0, ..LmOptions::default() });
        let mut unknowns = [column(&[0.0]), column(&[0.0])];
        let judge = |unknowns: &[Tensor]| -> Result<f64> {
            let vars: Vec<Var> = unknowns.iter().cloned().map(Var::from).collect();
            let squares = parts.iter().map(|x| Ok(of(x, &vars)?.square()?.sum()?.tensor().item()?));
            Ok(squares.collect::<Result<Vec<f64>>>()?.into_iter().sum())
        };
        for _ in 0..12 {
            solver.step_subsets(&mut unknowns, 2, |s, v| of(&parts[s], v), judge).unwrap();
        }
        assert!((unknowns[0].item().unwrap() - 2.0).abs() < 1e-3 && (unknowns[1].item().unwrap() + 1.0).abs() < 3e-3);
    }
}
