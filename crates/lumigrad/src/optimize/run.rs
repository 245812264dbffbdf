//! The optimisation loop.

use super::display::encode;
use super::estimator::Estimator;
use super::intrinsics::Intrinsics;
use super::objective::{StepObjective, unwrap_objective};
use super::poses::Poses;
use super::problem::{Problem, Target, bounds};
use super::settings::Settings;
use super::start::{initialise, initialise_intrinsics, optimised_environment};
use super::variable::{Variable, default_rate};
use crate::run::{Array, Checkpoint, Record, Stop};
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_optim::method::{State, find};
use lumigrad_optim::{Group, Loss, Method, Objective, Plan, Sample, Schedule};
use lumigrad_raster::shading::ENVIRONMENT_POINTER;
use lumigrad_raster::{Bindings, Camera, Options, Renderer};
use lumigrad_scene::camera::View;
use lumigrad_scene::environment::Environment;
use lumigrad_scene::{ParameterKind, Scene};
use std::collections::HashMap;
use std::time::Instant;

/// What a run leaves behind.
pub struct Outcome {
    /// The optimised scene.
    pub scene: Scene,
    /// Loss over all training views at the end.
    pub loss: f64,
    /// Steps and evaluations.
    pub history: Vec<Record>,
    /// Median milliseconds of a step.
    pub ms_per_iteration: f64,
    /// Camera errors (degrees, % of the distance) where truth is known and cameras moved.
    pub camera_errors: Option<(f64, f64)>,
    /// Error of optimised intrinsics, in %, where truth is known.
    pub intrinsics_error: Option<f64>,
    /// The run was stopped before its end.
    pub interrupted: bool,
}

/// The state of a run, which checkpoints hold.
pub struct Optimizer<'p> {
    pub(super) problem: &'p Problem,
    pub(super) settings: &'p Settings,
    pub(super) device: Device,
    pub(super) renderer: Renderer,
    pub(super) variables: Vec<Variable>,
    poses: Option<Poses>,
    pub(super) motion: Option<Tensor>,
    pub(super) moves_poses: bool,
    pose_rate: Option<f64>,
    intrinsics_rate: Option<f64>,
    /// The scene that variables are written into: the problem's, with meshes as remeshed.
    pub(super) base: Scene,
    /// Remeshings done.
    pub(super) stage: usize,
    pub(super) intrinsics: Option<Intrinsics>,
    /// Absent while it works.
    method: Option<Box<dyn Method>>,
    pub(super) loss: Loss,
    /// Where gradients are estimated from pictures.
    pub(super) estimator: Option<Estimator>,
    schedule: Schedule,
    /// Steps done.
    pub iteration: usize,
    history: Vec<Record>,
    times: Vec<f64>,
    /// Seconds of steps before this run (of a resumed one).
    seconds: f64,
}

/// Before the names of what the optimiser remembers, in checkpoints.
const METHOD: &str = "optimizer/";
pub(super) const POSE_GROUP: &str = "/views/*/pose";
pub(super) const INTRINSICS_GROUP: &str = "/views/*/intrinsics";

impl<'p> Optimizer<'p> {
    /// Prepares a run: resolves parameters, applies `init`.
    pub fn new(problem: &'p Problem, settings: &'p Settings, device: &Device) -> Result<Self> {
        let (centre, radius) = bounds(&problem.scene)?;
        let mut variables: Vec<Variable> = vec![];
        let mut images: HashMap<(usize, bool), usize> = HashMap::new();
        let (mut pose_rate, mut intrinsics_rate) = (None, None);
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
                variables.push(Variable::new(&problem.scene, parameter, rate, device)?);
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
            loss: Loss::from_name(&settings.loss)?,
            estimator: None,
            schedule: Schedule::Exponential { end: 0.05 },
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
        let mut groups: Vec<Group> = self
            .variables
            .iter()
            .map(|v| Group {
                bounds: v.bounds(),
                uniform: v.is_geometry(),
                betas: if v.is_geometry() { (0.8, 0.98) } else { (0.9, 0.999) },
                ..Group::new(v.parameter.pointer.clone(), v.rate)
            })
            .collect();
        if let Some(rate) = self.pose_rate {
            groups.push(Group { betas: (0.8, 0.95), separable: true, ..Group::new(POSE_GROUP, rate) });
        }
        if let Some(rate) = self.intrinsics_rate {
            groups.push(Group { separable: true, ..Group::new(INTRINSICS_GROUP, rate) });
        }
        let steps = self.settings.budget.iterations.unwrap_or(1000);
        self.method = Some(find(&self.settings.optimizer)?.build(Plan { groups, steps, seed: self.settings.seed }));
        Ok(())
    }

    /// Views of a step: each epoch is a random order of all.
    fn batch(&self) -> Vec<usize> {
        let n = self.problem.train.len();
        let all = if self.settings.moves_cameras() || self.settings.needs_all_views() { n } else { 1 };
        let size = match self.settings.needs_all_views() {
            true => n, // in parts of a batch
            false => self.settings.batch.unwrap_or(all).clamp(1, n),
        };
        if size == n {
            return (0..n).collect();
        }
        let first = self.iteration * size;
        (first..first + size)
            .map(|i| {
                let (epoch, place) = ((i / n) as u64, i % n);
                let mut order: Vec<usize> = (0..n).collect();
                order.sort_by_key(|&k| random::hash(self.settings.seed ^ epoch.wrapping_mul(0x9e37), k as u64));
                order[place]
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
        self.remesh_when_due(progress)?;
        // The method may write to arrays that nobody else holds; while it works, they are not here.
        let mut method = self.method.take().expect("a step does not begin within another");
        let nothing = Tensor::zeros(&Device::cpu(), DType::F32, &[0])?;
        let mut values: Vec<Tensor> =
            self.arrays().into_iter().map(|array| std::mem::replace(array, nothing.clone())).collect();
        let mut objective = StepObjective::new(self, self.batch());
        let result = method.step(&mut values, &mut objective, self.schedule.factor(progress));
        for (array, value) in self.arrays().into_iter().zip(values) {
            *array = value;
        }
        self.method = Some(method);
        let value = result.map_err(unwrap_objective)?;
        if !value.is_finite() {
            return Err(Error::job(format!(
                "the loss became {value} at step {}; lower the learning rates",
                self.iteration
            )));
        }
        if let (true, Some(poses), Some(motion)) = (self.moves_poses, &mut self.poses, &mut self.motion) {
            poses.absorb(motion)?;
            *motion = Tensor::zeros(&self.device, DType::F32, motion.shape())?;
        }
        self.device.submit();
        self.iteration += 1;
        Ok(value)
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

    /// Pointers of the groups.
    pub(super) fn names(&self) -> Vec<String> {
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

    /// Encoded pictures of targets at the present state.
    pub fn pictures(&self, targets: &[Target], training: bool) -> Result<Vec<Tensor>> {
        let mut bindings = Bindings::new();
        for v in &self.variables {
            v.bind(&v.value.clone().into(), &mut bindings)?;
        }
        let frame = self.renderer.frame(&bindings)?;
        let motion = self.motion.clone().filter(|_| training).map(Var::from);
        let viewmats = self.viewmats(motion.as_ref())?;
        let lens = self.intrinsics.as_ref().filter(|_| training).map(|i| Var::from(i.value.clone()));
        targets
            .iter()
            .enumerate()
            .map(|(k, t)| {
                Ok(encode(&frame.render(&self.camera(t, k, viewmats.as_ref(), lens.as_ref())?)?.image)?
                    .tensor()
                    .clone())
            })
            .collect()
    }

    /// Pictures of the scored views at the present state.
    pub fn scored_pictures(&self) -> Result<Vec<Tensor>> {
        self.pictures(self.problem.scored(), self.problem.test.is_empty())
    }

    /// Mean PSNR of the scored views, 8-bit, display-encoded over black.
    pub fn psnr(&self) -> Result<f64> {
        mean_psnr(&self.scored_pictures()?, self.problem.scored())
    }

    /// Loss over all training views.
    pub fn total_loss(&self) -> Result<f64> {
        let mut sum = 0.0;
        for (picture, target) in self.pictures(&self.problem.train, true)?.into_iter().zip(&self.problem.train) {
            let loss = self.loss.evaluate(&picture.into(), &target.encoded, target.mask.as_ref())?;
            sum += loss.tensor().item()?;
        }
        Ok(sum / self.problem.train.len() as f64)
    }

    /// The scene with the present values.
    pub fn scene(&self) -> Result<Scene> {
        let mut scene = self.base.clone();
        for v in &self.variables {
            v.store(&mut scene)?;
        }
        Ok(scene)
    }

    /// The whole state, for `--resume`.
    pub fn checkpoint(&self, job: String) -> Result<Checkpoint> {
        let state = self.method.as_ref().map(|m| m.state()).unwrap_or_default();
        let mut c = Checkpoint { step: self.iteration as u64, seed: self.settings.seed, job, ..Default::default() };
        c.facts.extend(state.numbers.iter().map(|(name, x)| (format!("{METHOD}{name}"), x.to_string())));
        c.facts.insert("seconds".into(), self.seconds.to_string());
        self.save_meshes(&mut c);
        for v in &self.variables {
            c.insert(v.parameter.pointer.clone(), v.value.shape(), Array::F32(v.value.to_vec::<f32>()?));
        }
        for (name, t) in &state.tensors {
            c.insert(format!("{METHOD}{name}"), t.shape(), Array::F32(t.to_vec::<f32>()?));
        }
        if let Some(intrinsics) = &self.intrinsics {
            let value = &intrinsics.value;
            c.insert(INTRINSICS_GROUP, value.shape(), Array::F32(value.to_vec::<f32>()?));
        }
        if let Some(poses) = &self.poses {
            let flat = poses.base.iter().flatten().flatten().copied().collect();
            c.insert("/views", &[poses.base.len(), 4, 4], Array::F64(flat));
        }
        Ok(c)
    }

    /// Goes on from a checkpoint.
    pub fn restore(&mut self, c: &Checkpoint) -> Result<()> {
        self.iteration = c.step as usize;
        self.seconds = c.facts.get("seconds").and_then(|s| s.parse().ok()).unwrap_or(0.0);
        self.restore_meshes(c)?;
        for v in &mut self.variables {
            let shape = v.value.shape().to_vec();
            v.value = Tensor::from_slice(&self.device, c.f32(&v.parameter.pointer, &shape)?, &shape)?;
        }
        if let Some(intrinsics) = &mut self.intrinsics {
            let shape = intrinsics.value.shape().to_vec();
            intrinsics.value = Tensor::from_slice(&self.device, c.f32(INTRINSICS_GROUP, &shape)?, &shape)?;
        }
        if let Some(poses) = &mut self.poses {
            let flat = c.f64("/views", &[poses.base.len(), 4, 4])?;
            for (pose, values) in poses.base.iter_mut().zip(flat.chunks_exact(16)) {
                *pose = std::array::from_fn(|r| std::array::from_fn(|k| values[4 * r + k]));
            }
        }
        let mut state = State::default();
        for (name, text) in &c.facts {
            if let (Some(name), Ok(x)) = (name.strip_prefix(METHOD), text.parse()) {
                state.numbers.insert(name.into(), x);
            }
        }
        for (name, (shape, array)) in &c.tensors {
            if let (Some(name), Array::F32(data)) = (name.strip_prefix(METHOD), array) {
                state.tensors.insert(name.into(), Tensor::from_slice(&self.device, data, shape)?);
            }
        }
        if let Some(method) = &mut self.method {
            method.load_state(&state);
        }
        Ok(())
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

/// Mean PSNR of pictures against targets over RGB.
pub fn mean_psnr(pictures: &[Tensor], targets: &[Target]) -> Result<f64> {
    let mut sum = 0.0;
    for (picture, target) in pictures.iter().zip(targets) {
        sum += psnr(&picture.to_vec::<f32>()?, &target.encoded.to_vec::<f32>()?);
    }
    Ok(sum / targets.len().max(1) as f64)
}

/// PSNR over RGB of [.., 4] pictures.
pub fn psnr(a: &[f32], b: &[f32]) -> f64 {
    let rgb = |x: &[f32]| x.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect::<Vec<f32>>();
    lumigrad_metrics::psnr(&rgb(a), &rgb(b)).unwrap_or(0.0)
}

/// Runs to the end of the budget, or until `stop` is requested.
pub fn optimize(
    optimizer: &mut Optimizer,
    stop: &Stop,
    mut observe: impl FnMut(&Optimizer, &Record),
) -> Result<Outcome> {
    let settings = optimizer.settings;
    let budget = settings.budget;
    let start = Instant::now();
    let mut interrupted = false;
    let planned = budget.iterations.unwrap_or(1000);
    let steps_per_epoch = optimizer.problem.train.len().div_ceil(optimizer.batch().len());
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let mut recent: Vec<f64> = vec![];
    let (often, sparse) = ((planned / 10).max(1), (planned / 200).max(1));
    loop {
        let seconds = optimizer.seconds + start.elapsed().as_secs_f64();
        if budget.is_spent(optimizer.iteration, seconds) {
            break;
        }
        if stop.is_requested() {
            interrupted = true;
            break;
        }
        let step = Instant::now();
        let loss = optimizer.step(budget.progress(optimizer.iteration, seconds))?;
        optimizer.times.push(step.elapsed().as_secs_f64() * 1e3);
        let seconds = optimizer.seconds + start.elapsed().as_secs_f64();
        let mut record = Record { iteration: optimizer.iteration, seconds, loss, test_psnr: None };
        let scored = optimizer.iteration.is_multiple_of(often);
        if scored {
            record.test_psnr = Some(optimizer.psnr()?);
        }
        if scored || optimizer.iteration.is_multiple_of(sparse) {
            optimizer.history.push(record.clone());
        }
        observe(optimizer, &record);
        if optimizer.method.as_ref().is_some_and(|m| m.converged()) {
            break;
        }
        recent.push(loss);
        if recent.len() > steps_per_epoch {
            recent.remove(0);
        }
        // The mean over an epoch of steps is cheap and nearly the loss.
        let likely = recent.len() == steps_per_epoch && budget.is_reached(mean(&recent));
        if (likely || scored) && budget.stop_loss.is_some() && budget.is_reached(optimizer.total_loss()?) {
            break;
        }
    }
    optimizer.seconds += start.elapsed().as_secs_f64();
    let views: Vec<&View> = optimizer.problem.train.iter().map(|t| &t.view).collect();
    let camera_errors = match (&optimizer.poses, settings.moves_cameras(), &optimizer.problem.truth) {
        (Some(p), true, Some(_)) => Some(p.errors(&views)),
        _ => None,
    };
    let intrinsics_error = match (&optimizer.intrinsics, &optimizer.problem.truth) {
        (Some(i), Some(_)) => Some(i.error_percent(&views)?),
        _ => None,
    };
    let mut times = optimizer.times.clone();
    times.sort_by(f64::total_cmp);
    Ok(Outcome {
        scene: optimizer.scene()?,
        loss: optimizer.total_loss()?,
        history: optimizer.history.clone(),
        ms_per_iteration: times.get(times.len() / 2).copied().unwrap_or(0.0),
        camera_errors,
        intrinsics_error,
        interrupted,
    })
}
