//! The function that a step minimises: the loss over views at given values of everything that is optimised.

use super::display::encode;
use super::run::Optimizer;
use super::variable::Variable;
use crate::{Error, Result};
use lumigrad_core::ops::concat;
use lumigrad_core::{Tensor, Var};
use lumigrad_optim::method::{Gradient, reverse_mode};
use lumigrad_optim::{Objective, Sample, total_variation};
use lumigrad_raster::Bindings;
use lumigrad_scene::ParameterKind;

/// The loss of one step.
pub struct StepObjective<'a, 'p> {
    /// The run, whose own arrays are not looked at.
    pub optimizer: &'a Optimizer<'p>,
    /// Views of this step.
    pub batch: Vec<usize>,
}

impl Objective for StepObjective<'_, '_> {
    fn loss(&mut self, values: &[Var], sample: Sample) -> lumigrad_optim::Result<Var> {
        let all: Vec<usize>;
        let views = match sample {
            Sample::Batch => &self.batch,
            Sample::All => {
                all = (0..self.optimizer.problem.train.len()).collect();
                &all
            }
        };
        self.sum(values, views).map_err(wrap_objective)
    }

    fn is_whole(&self) -> bool {
        self.batch.len() == self.optimizer.problem.train.len()
    }

    fn gradient(&mut self, values: &[Tensor], sample: Sample) -> lumigrad_optim::Result<Gradient> {
        let Some(estimator) = &self.optimizer.estimator else {
            return reverse_mode(values, |leaves| self.loss(leaves, sample));
        };
        let all: Vec<usize> = (0..self.optimizer.problem.train.len()).collect();
        let views = if sample == Sample::All { &all } else { &self.batch };
        let (loss, mut gradients) = estimator.gradient(self.optimizer, values, views).map_err(wrap_objective)?;
        if self.optimizer.settings.texture_smoothness > 0.0 {
            let (_, smoothing) = reverse_mode(values, |leaves| self.smoothness(leaves).map_err(wrap_objective))?;
            for (gradient, smoothing) in gradients.iter_mut().zip(smoothing) {
                if let (Some(g), Some(s)) = (gradient.as_mut(), smoothing) {
                    *g = Var::from(g.clone()).add(&s.into())?.tensor().clone();
                }
            }
        }
        Ok((loss, gradients))
    }

    fn residuals(&mut self, values: &[Var], coarseness: usize) -> lumigrad_optim::Result<Var> {
        let o = self.optimizer;
        let share = (1.0 / self.batch.len() as f64).sqrt();
        let parts = self.of_views(values, &self.batch, |picture, k| {
            let target = &o.problem.train[k];
            let mask = target.mask.as_ref();
            Ok(o.loss.reduced_residuals(picture, &target.encoded, mask, coarseness)?.scale(share)?)
        });
        let parts = parts.map_err(wrap_objective)?;
        Ok(concat(&parts.iter().collect::<Vec<_>>(), 0)?)
    }
}

impl StepObjective<'_, '_> {
    /// What `of` makes of each view's encoded picture.
    fn of_views(&self, values: &[Var], views: &[usize], of: impl Fn(&Var, usize) -> Result<Var>) -> Result<Vec<Var>> {
        let o = self.optimizer;
        let (variables, mut others) = (values[..o.variables.len()].iter(), values[o.variables.len()..].iter());
        let mut bindings = Bindings::new();
        for (variable, leaf) in o.variables.iter().zip(variables) {
            variable.bind(leaf, &mut bindings)?;
        }
        let motion = match o.moves_poses {
            true => others.next().cloned(),
            false => o.motion.clone().map(Var::from),
        };
        let lens = o.intrinsics.as_ref().and_then(|_| others.next());
        let viewmats = o.viewmats(motion.as_ref())?;
        let frame = o.renderer.frame(&bindings)?;
        let picture = |&k: &usize| {
            let camera = o.camera(&o.problem.train[k], k, viewmats.as_ref(), lens)?;
            of(&encode(&frame.render(&camera)?.image)?, k)
        };
        views.iter().map(picture).collect()
    }

    fn sum(&self, values: &[Var], views: &[usize]) -> Result<Var> {
        let o = self.optimizer;
        let parts = self.of_views(values, views, |picture, k| {
            let target = &o.problem.train[k];
            Ok(o.loss.evaluate(picture, &target.encoded, target.mask.as_ref())?)
        })?;
        let share = 1.0 / views.len() as f64;
        let terms = parts.into_iter().map(|loss| Ok(loss.scale(share)?)).chain(self.regularisation(values));
        let mut total: Option<Var> = None;
        for term in terms {
            let term: Var = term?;
            total = Some(match total {
                None => term,
                Some(total) => total.add(&term)?,
            });
        }
        total.ok_or_else(|| Error::job("a step without views"))
    }

    fn smoothness(&self, values: &[Var]) -> Result<Var> {
        let mut terms = self.regularisation(values).into_iter();
        let first = terms.next().unwrap_or_else(|| Err(Error::job("no texture is optimised")))?;
        terms.try_fold(first, |sum, term| Ok(sum.add(&term?)?))
    }

    /// What is added to the loss: the mean of the total variations of textures.
    fn regularisation(&self, values: &[Var]) -> Vec<Result<Var>> {
        let o = self.optimizer;
        let is_texture = |v: &Variable| matches!(v.parameter.kind, ParameterKind::Texture { .. });
        let textures: Vec<&Var> =
            o.variables.iter().zip(values).filter(|(v, _)| is_texture(v)).map(|(_, x)| x).collect();
        let weight = o.settings.texture_smoothness / textures.len().max(1) as f64;
        if weight == 0.0 {
            return vec![];
        }
        textures.into_iter().map(|t| Ok(total_variation(t)?.scale(weight)?)).collect()
    }
}

pub fn wrap_objective(error: Error) -> lumigrad_optim::Error {
    lumigrad_optim::Error::Objective(Box::new(error))
}

/// The job's own error, where the optimiser only passed it on.
pub fn unwrap_objective(error: lumigrad_optim::Error) -> Error {
    match error {
        lumigrad_optim::Error::Objective(own) => match own.downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => lumigrad_optim::Error::Objective(other).into(),
        },
        other => other.into(),
    }
}
