//! The linear problem of one iteration, and its solution.

use super::columns::Columns;
use super::dense::Matrix;
use super::precondition::{Blocks, Preconditioner};
use super::{LevenbergMarquardt, LmStep, MAX_COVARIANCE_PARAMETERS};
use crate::Result;
use crate::conjugate_gradients::conjugate_gradients;
use crate::vectors::{add_product, add_scaled, dot, flatten, product, unflatten, zeros_like};
use lumigrad_core::{CallParams, Jacobian, Map, Tensor, Var};

/// D is at least this fraction of its largest element within a tensor: estimates may come out near zero.
const DIAGONAL_FLOOR: f64 = 1e-6;

/// (JᵀJ + λD)Δ = −g at the present parameters.
pub(super) struct System<'a> {
    jacobian: &'a Jacobian,
    /// g = Jᵀr.
    pub gradient: Vec<Tensor>,
    /// D = diag(JᵀJ), at least a little.
    pub diagonal: Vec<Tensor>,
    /// 1 where a parameter may move, 0 where it presses against a bound or nothing depends on it.
    pub free: Vec<Tensor>,
    normal: Option<Matrix>,
    blocks: Vec<Blocks>,
}

impl System<'_> {
    /// ‖v‖ in the norm dual to D's: √(Σ v²/D) over the free parameters.
    pub fn dual_norm(&self, v: &[Tensor]) -> Result<f64> {
        let inverse = Preconditioner::new(0.0, &self.diagonal, &self.free, &[])?;
        Ok(dot(v, &inverse.apply(v)?)?.max(0.0).sqrt())
    }
}

impl LevenbergMarquardt {
    pub(super) fn bounds(&self, k: usize) -> (f64, f64) {
        let (lo, hi) = self.options.bounds.get(k).copied().unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        // f32 devices have no infinities that arithmetic is sure to keep.
        (lo.max(-1e30), hi.min(1e30))
    }

    /// The system; `may_form`: JᵀJ in full where it is cheap.
    pub(super) fn system<'a>(
        &self,
        jacobian: &'a Jacobian,
        parameters: &[Tensor],
        may_form: bool,
    ) -> Result<System<'a>> {
        let gradient = jacobian.apply_transpose(jacobian.value())?;
        let separable = &self.options.separable;
        let columns = Columns::new(parameters, separable);
        let passes = columns.passes().min(jacobian.value().len());
        let forms = may_form && columns.elements() <= MAX_COVARIANCE_PARAMETERS && passes <= self.options.dense_limit;
        let (normal, blocks, raw, floor) = if forms {
            let normal = Matrix::normal(jacobian, parameters, &columns)?;
            let diagonal = unflatten(&normal.diagonal(), parameters)?;
            (Some(normal), vec![], diagonal, 0.0)
        } else {
            let seed = self.options.seed.wrapping_add(self.steps.wrapping_mul(1 << 20));
            let mut diagonal = jacobian.diagonal(self.options.probes, seed)?;
            let blocks = Blocks::of(jacobian, parameters, separable)?;
            for b in &blocks {
                diagonal[b.array] = b.diagonal(&parameters[b.array])?;
            }
            (None, blocks, diagonal, DIAGONAL_FLOOR)
        };
        let map = Map::cached("optim/lm_diagonal", |m| {
            let ([d], [g], [x]) = (m.item("diagonal"), m.item("gradient"), m.item("parameters"));
            let [floor, lo, hi] = std::array::from_fn(|_| m.param());
            let d = d.max(floor);
            let outward = x.less_eq(lo).and(g.greater(0.0)).or(hi.less_eq(x).and(g.less(0.0)));
            let moves = d.greater(0.0).and(outward.not());
            m.output("diagonal", &[d]);
            m.output("free", &[moves.select(1.0, 0.0)]);
        });
        let (mut diagonal, mut free) = (vec![], vec![]);
        for (k, t) in parameters.iter().enumerate() {
            let largest = if floor > 0.0 { raw[k].to_f64_vec()?.into_iter().fold(0.0, f64::max) } else { 0.0 };
            let (lo, hi) = self.bounds(k);
            let call = CallParams { items: 0, real: vec![floor * largest, lo, hi], int: vec![] };
            let mut out = map.run(&[&raw[k], &gradient[k], t], &call)?;
            free.push(out.remove(1).reshape(t.shape())?);
            diagonal.push(out.remove(0).reshape(t.shape())?);
        }
        Ok(System { jacobian, gradient, diagonal, free, normal, blocks })
    }

    /// Rows that would change more than they may, shortened.
    fn within_reach(&self, mut delta: Vec<Tensor>) -> Result<Vec<Tensor>> {
        for (t, reach) in delta.iter_mut().zip(&self.options.reach).filter(|(_, reach)| reach.is_finite()) {
            let mut values = t.to_f64_vec()?;
            let width = t.shape().last().copied().unwrap_or(1).max(1);
            for row in values.chunks_mut(width) {
                let scale = reach / row.iter().map(|x| x * x).sum::<f64>().sqrt().max(*reach);
                row.iter_mut().for_each(|x| *x *= scale);
            }
            *t = unflatten(&values, std::slice::from_ref(t))?.remove(0);
        }
        Ok(delta)
    }

    /// Parameters of a trial, and the decrease that the linear model predicts; `None` when λ is too small for the
    /// factorisation.
    pub(super) fn propose(
        &self,
        system: &System,
        parameters: &[Tensor],
        report: &mut LmStep,
    ) -> Result<Option<(Vec<Tensor>, f64)>> {
        let delta = match &system.normal {
            Some(normal) => {
                let fixed: Vec<bool> = flatten(&system.free)?.iter().map(|f| *f == 0.0).collect();
                let Some(factor) = normal.factor(self.lambda, &fixed) else { return Ok(None) };
                let right: Vec<f64> = flatten(&product(-1.0, &system.gradient, &system.free)?)?;
                unflatten(&factor.solve(&right), parameters)?
            }
            None => {
                let (delta, iterations) = self.conjugate_gradients(system)?;
                report.inner_iterations += iterations;
                delta
            }
        };
        let delta = self.within_reach(delta)?;
        let mut next = add_scaled(parameters, 1.0, &delta)?;
        for (k, t) in next.iter_mut().enumerate().filter(|(k, _)| *k < self.options.bounds.len()) {
            let (lo, hi) = self.bounds(k);
            *t = Var::from(t.clone()).clamp(lo, hi)?.tensor().clone();
        }
        let delta = add_scaled(&next, -1.0, parameters)?;
        report.step_norm = dot(&delta, &product(1.0, &delta, &system.diagonal)?)?.sqrt();
        let image = [system.jacobian.apply(&delta)?];
        let predicted = -dot(&system.gradient, &delta)? - 0.5 * dot(&image, &image)?;
        Ok(Some((next, predicted)))
    }

    /// Solves (JᵀJ + λD)Δ = −g over the free parameters by preconditioned [`conjugate_gradients`]. Gives Δ and the
    /// iterations.
    pub(super) fn conjugate_gradients(&self, system: &System) -> Result<(Vec<Tensor>, usize)> {
        let inverse = Preconditioner::new(self.lambda, &system.diagonal, &system.free, &system.blocks)?;
        let apply = |p: &[Tensor]| {
            let image = system.jacobian.apply_transpose(&system.jacobian.apply(p)?)?;
            add_product(&image, self.lambda, &system.diagonal, p)
        };
        let (x, r) = (zeros_like(&system.gradient)?, product(-1.0, &system.gradient, &system.free)?);
        let goal = |first: f64| first * self.options.inner_tolerance.powi(2);
        conjugate_gradients(x, r, apply, |r| inverse.apply(r), goal, self.options.max_inner)
    }
}
