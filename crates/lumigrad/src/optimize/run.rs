//! The optimisation loop.

use super::diagnosis::where_it_breaks;
use super::estimator::Estimator;
use super::flexible::Flexible;
use super::intrinsics::Intrinsics;
use super::objective::{StepObjective, unwrap_objective};
use super::poses::Poses;
use super::problem::{Problem, Target, bounds};
use super::settings::Settings;
use super::start::{initialise, initialise_intrinsics, optimised_environment};
use super::topology::Topology;
use super::tuning::Tuning;
use super::variable::{Variable, default_rate};
use crate::guiding::PriorTerm;
use crate::run::Record;
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_geometry::Cut;
use lumigrad_optim::method::find;
use lumigrad_optim::{Group, Loss, Method, Objective, Plan, Sample, Schedule};
use lumigrad_raster::shading::ENVIRONMENT_POINTER;
use lumigrad_raster::{Camera, Options, Renderer};
use lumigrad_scene::camera::View;
use lumigrad_scene::environment::Environment;
use lumigrad_scene::{ParameterKind, Scene};
use std::collections::HashMap;

/// The state of a run, which checkpoints hold.
pub struct Optimizer<'p> {
    pub(super) problem: &'p Problem,
    pub(super) settings: &'p Settings,
    pub(super) device: Device,
    pub(super) renderer: Renderer,
    pub(super) variables: Vec<Variable>,
    pub(super) poses: Option<Poses>,
    pub(super) motion: Option<Tensor>,
    pub(super) moves_poses: bool,
    pose_rate: Option<f64>,
    intrinsics_rate: Option<f64>,
    /// The scene that variables are written into: the problem's, with meshes as remeshed.
    pub(super) base: Scene,
    /// Remeshings done.
    pub(super) stage: usize,
    /// The shape, where it is no mesh; the first variables are its arrays.
    pub(super) flexible: Option<Flexible>,
    /// Where it gets holes and islands.
    pub(super) topology: Option<Topology>,
    /// How much of the run is done, from 0 to 1.
    pub(super) progress: f64,
    pub(super) intrinsics: Option<Intrinsics>,
    /// Absent while it works.
    pub(super) method: Option<Box<dyn Method>>,
    pub(super) loss: Loss,
    /// Where gradients are estimated from pictures.
    pub(super) estimator: Option<Estimator>,
    pub(super) schedule: Schedule,
    /// Factor of all learning rates, beside the schedule's.
    pub rate_factor: f64,
    /// The weight of textures' smoothness, where it tunes itself.
    pub(super) tuning: Option<Tuning>,
    /// A prior that pulls beside the pictures, and what patches for it are in front of.
    pub(super) prior: Option<(PriorTerm, [f64; 3])>,
    /// Norms of the gradient by group, after steps that are logged.
    norms: Vec<(usize, Vec<f64>)>,
    /// Steps done.
    pub iteration: usize,
    pub(super) history: Vec<Record>,
    pub(super) times: Vec<f64>,
    /// Seconds of steps before this run (of a resumed one).
    pub(super) seconds: f64,
}

/// Longest motion of a camera in one step of Levenberg–Marquardt, in radians and distances to the scene: linear models of
/// pictures reach no further, and a camera that leaves does not come back.
const REACH: f64 = 0.1;
pub(super) const POSE_GROUP: &str = "/views/*/pose";
pub(super) const INTRINSICS_GROUP: &str = "/views/*/intrinsics";

impl<'p> Optimizer<'p> {
    /// Prepares a run: resolves parameters, applies `init`.
    pub fn new(problem: &'p Problem, settings: &'p Settings, device: &Device) -> Result<Self> {
        let (centre, radius) = bounds(&problem.scene)?;
        let mut variables: Vec<Variable> = vec![];
        let mut images: HashMap<(usize, bool), usize> = HashMap::new();
        let (mut pose_rate, mut intrinsics_rate) = (None, None);
        let flexible = settings.grid.map(|cells| Flexible::new(&problem.scene, cells, device)).transpose()?;
        if let Some(flexible) = &flexible {
            variables.extend(flexible.variables(&problem.scene)?);
        }
        for choice in &settings.params {
            if choice.pattern.starts_with("/views/") {
                match choice.pattern.as_str() {
                    POSE_GROUP => pose_rate = Some(choice.rate.unwrap_or(0.015)),
                    INTRINSICS_GROUP => intrinsics_rate = Some(choice.rate.unwrap_or(2e-3)),
                    other => return Err(Error::job(format!("{other}: expected {POSE_GROUP} or {INTRINSICS_GROUP}"))),
                }
                continue;
            }
            if choice.pattern == ENVIRONMENT_POINTER {
                let start = optimised_environment(problem.environment.as_ref());
                let rate = choice.rate.unwrap_or(0.05);
                variables.push(Variable::environment(&start, settings.environment_smoothness, rate, device)?);
                continue;
            }
            for parameter in problem.scene.resolve(&choice.pattern)? {
                if let ParameterKind::Texture { image, srgb, .. } = parameter.kind {
                    if let Some(&known) = images.get(&(image, srgb)) {
                        variables[known].aliases.push(parameter.pointer);
                        continue;
                    }
                    images.insert((image, srgb), variables.len());
                }
                if variables.iter().any(|v| v.parameter.pointer == parameter.pointer) {
                    continue;
                }
                let rate = choice.rate.unwrap_or_else(|| default_rate(&parameter, radius));
                variables.push(Variable::new(&problem.scene, parameter, rate, settings.displacement, device)?);
            }
        }
        if variables.is_empty() && pose_rate.is_none() && intrinsics_rate.is_none() {
            let help = "name what may change, for example --param '/materials/*/pbrMetallicRoughness/baseColorTexture'; --list-params prints all";
            return Err(Error::job(format!("nothing to optimise: {help}")));
        }
        let views: Vec<&View> = problem.train.iter().map(|t| &t.view).collect();
        let mut intrinsics = match intrinsics_rate {
            Some(_) => Some(Intrinsics::new(&views, device)?),
            None => None,
        };
        for (k, (pattern, init)) in settings.init.iter().enumerate() {
            let seed = settings.seed.wrapping_add(k as u64);
            match (pattern.as_str(), &mut intrinsics) {
                (INTRINSICS_GROUP, Some(intrinsics)) => initialise_intrinsics(intrinsics, init, seed)?,
                _ => initialise(problem, &mut variables, pattern, init, seed)?,
            }
        }
        let (mut poses, mut motion) = (None, None);
        if pose_rate.is_some() || settings.perturb_cameras.is_some() {
            let mut p = Poses::new(&views, centre);
            if let Some((degrees, percent)) = settings.perturb_cameras {
                p.perturb(&views, degrees, percent, settings.seed)?;
            }
            poses = Some(p);
            motion = Some(Tensor::zeros(device, DType::F32, &[views.len(), 6])?);
        }
        let prior = match &settings.prior {
            Some(keys) => PriorTerm::new(keys, "optimize", views.iter().copied(), settings.seed)?,
            None => None,
        };
        let prior = prior.map(|term| (term, centre));
        let options = Options { environment: problem.environment.clone(), dtype: None };
        let mut new = Self {
            moves_poses: pose_rate.is_some(),
            intrinsics,
            renderer: Renderer::new(&problem.scene, device, &options)?,
            method: None,
            pose_rate,
            intrinsics_rate,
            base: problem.scene.clone(),
            stage: 0,
            flexible,
            topology: settings.topology.then(Topology::default),
            progress: 0.0,
            loss: Loss::from_name(&settings.loss)?,
            estimator: None,
            schedule: settings.schedule,
            rate_factor: 1.0,
            tuning: settings.auto_regularisers.then(|| Tuning::new(settings.texture_smoothness)),
            prior,
            norms: vec![],
            device: device.clone(),
            variables,
            poses,
            motion,
            problem,
            settings,
            iteration: 0,
            history: vec![],
            times: vec![],
            seconds: 0.0,
        };
        new.begin()?;
        Ok(new)
    }

    /// A fresh optimiser for the present arrays.
    pub(super) fn begin(&mut self) -> Result<()> {
        if self.settings.stochastic {
            self.estimator = Some(Estimator::new(self)?);
        }
        let (groups, steps) = (self.groups(), self.planned());
        self.method = Some(find(&self.settings.optimizer)?.build(Plan { groups, steps, seed: self.settings.seed }));
        Ok(())
    }

    /// Steps that the run will have, about.
    pub(super) fn planned(&self) -> usize {
        self.settings.budget.iterations.unwrap_or(1000)
    }

    /// Settings of the optimised arrays.
    pub(super) fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = self
            .variables
            .iter()
            .map(|v| Group {
                bounds: v.bounds(),
                uniform: v.is_uniform(),
                betas: if v.is_uniform() { (0.8, 0.98) } else { (0.9, 0.999) },
                ..Group::new(v.parameter.pointer.clone(), v.rate)
            })
            .collect();
        if let Some(rate) = self.pose_rate {
            groups.push(Group { betas: (0.8, 0.95), separable: true, reach: REACH, ..Group::new(POSE_GROUP, rate) });
        }
        if let Some(rate) = self.intrinsics_rate {
            groups.push(Group { separable: true, ..Group::new(INTRINSICS_GROUP, rate) });
        }
        groups
    }

    /// Views of a step: each epoch is a random order of all.
    pub(super) fn batch(&self) -> Vec<usize> {
        let views = self.views().0;
        let n = views.len();
        let all = if self.settings.moves_cameras() || self.settings.needs_all_views() { n } else { 1 };
        let size = match self.settings.needs_all_views() {
            true => n, // in parts of a batch
            false => self.settings.batch.unwrap_or(all).clamp(1, n),
        };
        if size == n {
            return views;
        }
        let first = self.iteration * size;
        (first..first + size)
            .map(|i| {
                let (epoch, place) = ((i / n) as u64, i % n);
                let mut order: Vec<usize> = (0..n).collect();
                order.sort_by_key(|&k| random::hash(self.settings.seed ^ epoch.wrapping_mul(0x9e37), k as u64));
                views[order[place]]
            })
            .collect()
    }

    pub(super) fn viewmats(&self, motion: Option<&Var>) -> Result<Option<Var>> {
        self.poses.as_ref().zip(motion).map(|(poses, motion)| poses.viewmats(motion)).transpose()
    }

    /// Camera of training view `k`; `viewmats` [n, 3, 4] and `lens` replace what is optimised.
    pub(super) fn camera(
        &self,
        target: &Target,
        k: usize,
        viewmats: Option<&Var>,
        lens: Option<&Var>,
    ) -> Result<Camera> {
        let mut camera = Camera::new(&target.view, &self.device, DType::F32)?;
        if let Some(viewmats) = viewmats {
            camera.viewmat = viewmats.slice(0, k, k + 1)?.reshape(&[3, 4])?;
        }
        if let (Some(intrinsics), Some(lens)) = (&self.intrinsics, lens) {
            camera.intrinsics = intrinsics.of_view(k, lens)?;
        }
        Ok(camera)
    }

    /// One step; gives the loss before it.
    pub fn step(&mut self, progress: f64) -> Result<f64> {
        self.progress = progress;
        self.remesh_when_due(progress)?;
        self.nucleate_when_due(progress)?;
        self.tune_when_due(progress)?;
        // The method may write to arrays that nobody else holds; while it works, they are not here.
        let mut method = self.method.take().expect("a step does not begin within another");
        let nothing = Tensor::zeros(&Device::cpu(), DType::F32, &[0])?;
        let mut values: Vec<Tensor> =
            self.arrays().into_iter().map(|array| std::mem::replace(array, nothing.clone())).collect();
        if let Some(beta) = self.schedule.momentum(progress) {
            method.set_momentum(beta);
        }
        let mut objective = StepObjective::new(self, self.batch());
        let factor = self.schedule.factor(progress) * self.rate_factor;
        let result = method.step(&mut values, &mut objective, factor);
        let norms = objective.norms;
        for (array, value) in self.arrays().into_iter().zip(values) {
            *array = value;
        }
        self.method = Some(method);
        let value = result.map_err(unwrap_objective)?;
        if !value.is_finite() {
            let place = where_it_breaks(&StepObjective::new(self, self.batch()));
            let place = place.map_or(String::new(), |p| format!(": {p}"));
            let step = self.iteration;
            return Err(Error::job(format!("the loss became {value} at step {step}{place}; lower the learning rates")));
        }
        if self.is_logged(self.iteration + 1) && !norms.is_empty() {
            self.norms.push((self.iteration + 1, norms));
        }
        if let (true, Some(poses), Some(motion)) = (self.moves_poses, &mut self.poses, &mut self.motion) {
            poses.absorb(motion)?;
            *motion = Tensor::zeros(&self.device, DType::F32, motion.shape())?;
        }
        self.device.submit();
        self.iteration += 1;
        Ok(value)
    }

    /// True for steps that the history keeps: some two hundred of a run.
    pub(super) fn is_logged(&self, iteration: usize) -> bool {
        iteration.is_multiple_of((self.planned() / 200).max(1)) || self.is_scored(iteration)
    }

    /// True for steps after which the held-out pictures are scored: ten of a run.
    pub(super) fn is_scored(&self, iteration: usize) -> bool {
        iteration.is_multiple_of((self.planned() / 10).max(1))
    }

    /// Weight of the textures' total variation.
    pub fn texture_weight(&self) -> f64 {
        self.tuning.as_ref().map_or(self.settings.texture_smoothness, |t| t.weight)
    }

    /// Norms of the gradient by group, in the order of [`Optimizer::names`], after logged steps.
    pub fn norms(&self) -> &[(usize, Vec<f64>)] {
        &self.norms
    }

    /// Optimised arrays, in the order of the groups.
    fn arrays(&mut self) -> Vec<&mut Tensor> {
        let motion = self.motion.as_mut().filter(|_| self.moves_poses);
        let lens = self.intrinsics.as_mut().map(|i| &mut i.value);
        self.variables.iter_mut().map(|v| &mut v.value).chain(motion).chain(lens).collect()
    }

    /// The optimised arrays, in the order of the groups.
    pub(super) fn values(&self) -> Vec<Tensor> {
        let motion = self.motion.as_ref().filter(|_| self.moves_poses);
        let lens = self.intrinsics.as_ref().map(|i| &i.value);
        self.variables.iter().map(|v| &v.value).chain(motion).chain(lens).cloned().collect()
    }

    /// The optimised arrays as constants.
    pub(super) fn leaves(&self) -> Vec<Var> {
        self.values().into_iter().map(Var::from).collect()
    }

    /// Pointers of the groups.
    pub fn names(&self) -> Vec<String> {
        let motion = self.motion.as_ref().filter(|_| self.moves_poses).map(|_| POSE_GROUP.to_owned());
        let lens = self.intrinsics.as_ref().map(|_| INTRINSICS_GROUP.to_owned());
        self.variables.iter().map(|v| v.parameter.pointer.clone()).chain(motion).chain(lens).collect()
    }

    /// Names of groups on which no training picture depends.
    pub fn unobserved(&self) -> Result<Vec<String>> {
        let values = self.values();
        let mut names: Vec<Option<String>> = self.names().into_iter().map(Some).collect();
        for view in 0..self.problem.train.len() {
            if names.iter().all(Option::is_none) {
                break;
            }
            let mut objective = StepObjective::new(self, vec![view]);
            let (_, gradients) = objective.gradient(&values, Sample::Batch).map_err(unwrap_objective)?;
            for (name, gradient) in names.iter_mut().zip(gradients) {
                if let Some(gradient) = gradient
                    && gradient.to_f64_vec()?.iter().any(|g| *g != 0.0)
                {
                    *name = None;
                }
            }
        }
        Ok(names.into_iter().flatten().collect())
    }

    /// The scene with the present values.
    pub fn scene(&self) -> Result<Scene> {
        let mut scene = self.base.clone();
        for v in &self.variables {
            v.store(&mut scene)?;
        }
        match &self.flexible {
            Some(flexible) => flexible.result(&scene, &flexible.surface(&self.leaves(), Cut::Diagonals)?),
            None => Ok(scene),
        }
    }

    /// The light from all around at the present state, where it is optimised.
    pub fn environment(&self) -> Result<Option<Environment>> {
        for v in &self.variables {
            if let Some(e) = v.radiance()? {
                return Ok(Some(e));
            }
        }
        Ok(None)
    }

    /// The optimised arrays.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }
}
