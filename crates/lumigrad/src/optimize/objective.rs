//! The function that a step minimises: the loss over views at given values of everything that is optimised.

use super::display::{encode, over};
use super::run::Optimizer;
use crate::run::fixed;
use crate::{Error, Result};
use lumigrad_core::ops::{concat, random};
use lumigrad_core::{DType, Jacobian, Tape, Tensor, Traced, Var};
use lumigrad_geometry::{Cut, FlexiSurface};
use lumigrad_optim::method::{Gradient, reverse_mode};
use lumigrad_optim::{Objective, Residuals, Sample, total_variation, total_variation_residuals};
use lumigrad_raster::{Bindings, Camera, Frame};
use lumigrad_scene::camera::View;
use std::cell::Cell;

/// The loss of one step.
pub struct StepObjective<'a, 'p> {
    /// The run, whose own arrays are not looked at.
    pub optimizer: &'a Optimizer<'p>,
    /// Views of this step.
    pub batch: Vec<usize>,
    /// Views whose residuals fit memory together.
    pub part: usize,
    /// Norms of the first gradient that was asked for, by group.
    pub norms: Vec<f64>,
}

impl Objective for StepObjective<'_, '_> {
    fn loss(&mut self, values: &[Var], sample: Sample) -> lumigrad_optim::Result<Var> {
        let all: Vec<usize>;
        let views = match sample {
            Sample::Batch => &self.batch,
            Sample::All => {
                all = self.optimizer.views().0;
                &all
            }
        };
        self.sum(values, views).map_err(wrap_objective)
    }

    fn is_whole(&self) -> bool {
        self.batch.len() == self.optimizer.views().0.len()
    }

    fn gradient(&mut self, values: &[Tensor], sample: Sample) -> lumigrad_optim::Result<Gradient> {
        let found = self.unseen_gradient(values, sample)?;
        if self.norms.is_empty() && self.optimizer.is_logged(self.optimizer.iteration + 1) {
            let norm = |g: &Option<Tensor>| match g {
                Some(g) => Ok(Var::from(g.clone()).square()?.sum()?.tensor().item()?.sqrt()),
                None => Ok(0.0),
            };
            self.norms = found.1.iter().map(norm).collect::<lumigrad_core::Result<_>>()?;
        }
        Ok(found)
    }

    fn parts(&self) -> usize {
        self.batch.len().div_ceil(self.part)
    }

    fn residuals(&mut self, values: &[Var], part: usize, coarseness: usize) -> lumigrad_optim::Result<Residuals> {
        let views: Vec<usize> = self.batch.iter().skip(part * self.part).take(self.part).copied().collect();
        self.of_residuals(values, &views, coarseness).map_err(wrap_objective)
    }
}

impl<'a, 'p> StepObjective<'a, 'p> {
    /// Over `batch`.
    pub fn new(optimizer: &'a Optimizer<'p>, batch: Vec<usize>) -> Self {
        let all = batch.len().max(1);
        let part = if optimizer.settings.needs_all_views() { optimizer.settings.batch.unwrap_or(all) } else { all };
        Self { optimizer, batch, part: part.clamp(1, all), norms: vec![] }
    }

    /// The Jacobian of the batch's residuals by all arrays of the run; `None` where they depend on none.
    pub fn jacobian(&self) -> Result<Option<Jacobian>> {
        let tape = Tape::new();
        let leaves: Vec<Var> = self.optimizer.values().into_iter().map(|t| tape.variable(t)).collect();
        let residuals = self.of_residuals(&leaves, &self.batch, 0)?.vector;
        match residuals.is_recorded() {
            true => Ok(Some(tape.linearize(&residuals, &leaves.iter().collect::<Vec<_>>())?)),
            false => Ok(None),
        }
    }

    /// The operators that the batch's loss is recorded from; none where it depends on nothing.
    pub fn trace(&self) -> Result<Vec<Traced>> {
        let tape = Tape::new();
        let leaves: Vec<Var> = self.optimizer.values().into_iter().map(|t| tape.variable(t)).collect();
        let loss = self.sum(&leaves, &self.batch)?;
        if loss.is_recorded() { Ok(tape.trace(&loss)?) } else { Ok(vec![]) }
    }

    fn unseen_gradient(&mut self, values: &[Tensor], sample: Sample) -> lumigrad_optim::Result<Gradient> {
        let Some(estimator) = &self.optimizer.estimator else {
            return reverse_mode(values, |leaves| self.loss(leaves, sample));
        };
        let all = self.optimizer.views().0;
        let views = if sample == Sample::All { &all } else { &self.batch };
        let (loss, mut gradients) = estimator.gradient(self.optimizer, values, views).map_err(wrap_objective)?;
        let tape = Tape::new();
        let leaves: Vec<Var> = values.iter().map(|t| tape.variable(t.clone())).collect();
        let terms = self.regularisers(&leaves, None).map_err(wrap_objective)?;
        if !terms.is_empty() {
            let mut others = tape.backward(&add_up(terms, "no regulariser").map_err(wrap_objective)?)?;
            for (gradient, leaf) in gradients.iter_mut().zip(&leaves) {
                if let (Some(g), Some(other)) = (gradient.as_mut(), others.take(leaf)) {
                    *g = Var::from(g.clone()).add(&other.into())?.tensor().clone();
                }
            }
        }
        Ok((loss, gradients))
    }

    /// Every view is an equal share; where weights of residuals change from point to point, the loss stands beside them.
    fn of_residuals(&self, values: &[Var], views: &[usize], coarseness: usize) -> Result<Residuals> {
        let o = self.optimizer;
        let (loss, share) = (o.loss.coarse(coarseness), 1.0 / views.len() as f64);
        let textures = self.textures(values);
        let judged = !loss.is_sum_of_squares() || !textures.is_empty();
        let sum = Cell::new(0.0);
        let surface = self.surface(values)?;
        let mut parts = self.of_views(values, surface.as_ref(), views, |picture, k| {
            let ((picture, target), mask) = (o.compared(picture, k)?, o.problem.train[k].mask.as_ref());
            if judged {
                let here = loss.evaluate(&picture.stop_gradient(), &target, mask)?.tensor().item()?;
                sum.set(sum.get() + share * here);
            }
            Ok(loss.residuals(&picture, &target, mask)?.scale(share.sqrt())?)
        })?;
        for (texture, weight) in textures {
            sum.set(sum.get() + weight * total_variation(&texture.stop_gradient())?.tensor().item()?);
            parts.push(total_variation_residuals(texture)?.scale(weight.sqrt())?);
        }
        let vector = concat(&parts.iter().collect::<Vec<_>>(), 0)?;
        Ok(Residuals { vector, loss: judged.then(|| sum.get()) })
    }

    /// The shape at values of everything that is optimised, where it is no mesh.
    fn surface(&self, values: &[Var]) -> Result<Option<FlexiSurface>> {
        self.optimizer.flexible.as_ref().map(|f| f.surface(values, Cut::Centres)).transpose()
    }

    /// What `of` makes of each view's encoded picture.
    fn of_views(
        &self,
        values: &[Var],
        surface: Option<&FlexiSurface>,
        views: &[usize],
        of: impl Fn(&Var, usize) -> Result<Var>,
    ) -> Result<Vec<Var>> {
        let o = self.optimizer;
        self.with_frame(values, surface, |frame, viewmats, lens| {
            let picture = |&k: &usize| {
                let camera = o.camera(&o.problem.train[k], k, viewmats, lens)?;
                of(&encode(&frame.render(&camera)?.image)?, k)
            };
            views.iter().map(picture).collect()
        })
    }

    /// What `of` makes of the scene at values of everything that is optimised, the training views' poses and their lens.
    fn with_frame<T>(
        &self,
        values: &[Var],
        surface: Option<&FlexiSurface>,
        of: impl FnOnce(&Frame, Option<&Var>, Option<&Var>) -> Result<T>,
    ) -> Result<T> {
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
        let reshaped = match o.flexible.as_ref().zip(surface) {
            Some((flexible, surface)) => Some(flexible.renderer(&o.renderer, surface, &mut bindings)?),
            None => None,
        };
        let frame = reshaped.as_ref().unwrap_or(&o.renderer).frame(&bindings)?;
        of(&frame, viewmats.as_ref(), lens)
    }

    fn sum(&self, values: &[Var], views: &[usize]) -> Result<Var> {
        let surface = self.surface(values)?;
        let pictures = self.of_pictures(values, surface.as_ref(), views)?;
        let regularisers = self.regularisers(values, surface.as_ref())?;
        add_up(std::iter::once(pictures).chain(regularisers), "a step without views")
    }

    /// What is added to the loss over views.
    fn regularisers(&self, values: &[Var], surface: Option<&FlexiSurface>) -> Result<Vec<Var>> {
        let o = self.optimizer;
        let own = o.flexible.as_ref().zip(surface).map(|(f, surface)| f.loss(surface, values, o.progress));
        let smooth = self.textures(values).into_iter().map(|(t, weight)| Ok(total_variation(t)?.scale(weight)?));
        let shapes = o.variables.iter().zip(values);
        let shapes = shapes.filter_map(|(v, leaf)| v.shape_loss(leaf, &o.settings.shape).transpose());
        smooth.chain(shapes).chain(own).chain(self.guided(values, surface).transpose()).collect()
    }

    /// What the prior that the job names pulls at patches seen from between the cameras, over the background.
    fn guided(&self, values: &[Var], surface: Option<&FlexiSurface>) -> Result<Option<Var>> {
        let o = self.optimizer;
        let Some((prior, centre)) = &o.prior else { return Ok(None) };
        let seed = random::hash(random::hash(o.settings.seed, 7), o.iteration as u64);
        let views: Vec<&View> = o.problem.train.iter().map(|t| &t.view).collect();
        let cameras = prior.patches(&views, *centre, seed);
        let patches = self.with_frame(values, surface, |frame, _, _| {
            let patch = |view: &View| {
                let camera = Camera::new(view, &o.device, DType::F32)?;
                let picture = over(&encode(&frame.render(&camera)?.image)?, fixed(o.settings.background), true)?;
                Ok(picture.slice(2, 0, 3)?.reshape(&[1, view.height, view.width, 3])?)
            };
            cameras.iter().map(patch).collect::<Result<Vec<Var>>>()
        })?;
        let patches = concat(&patches.iter().collect::<Vec<_>>(), 0)?;
        Ok(Some(prior.evaluate(&patches, &cameras, *centre, seed)?))
    }

    /// The mean loss over views, without regularisers.
    fn of_pictures(&self, values: &[Var], surface: Option<&FlexiSurface>, views: &[usize]) -> Result<Var> {
        let (o, share) = (self.optimizer, 1.0 / views.len() as f64);
        let parts = self.of_views(values, surface, views, |picture, k| {
            let (picture, target) = o.compared(picture, k)?;
            Ok(o.loss.evaluate(&picture, &target, o.problem.train[k].mask.as_ref())?.scale(share)?)
        })?;
        add_up(parts, "a step without views")
    }

    /// The mean loss over the batch, without regularisers.
    pub fn pictures(&self, values: &[Var]) -> Result<Var> {
        self.of_pictures(values, self.surface(values)?.as_ref(), &self.batch)
    }

    /// The mean of the textures' total variations, with a weight of 1.
    pub fn variation(&self, values: &[Var]) -> Result<Var> {
        let textures = self.textures(values);
        let share = 1.0 / textures.len().max(1) as f64;
        let parts = textures.into_iter().map(|(t, _)| Ok(total_variation(t)?.scale(share)?));
        add_up(parts.collect::<Result<Vec<_>>>()?, "no texture is optimised")
    }

    /// Textures that are smoothed, with the weights of their total variations: what is added to the loss is their mean.
    fn textures<'v>(&self, values: &'v [Var]) -> Vec<(&'v Var, f64)> {
        let o = self.optimizer;
        let textures: Vec<&Var> =
            o.variables.iter().zip(values).filter(|(v, _)| v.is_texture()).map(|(_, x)| x).collect();
        let weight = o.texture_weight() / textures.len().max(1) as f64;
        if weight > 0.0 { textures.into_iter().map(|t| (t, weight)).collect() } else { vec![] }
    }
}

fn add_up(terms: impl IntoIterator<Item = Var>, without: &str) -> Result<Var> {
    let mut total: Option<Var> = None;
    for term in terms {
        total = Some(match total {
            None => term,
            Some(total) => total.add(&term)?,
        });
    }
    total.ok_or_else(|| Error::job(without))
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
