//! Training on a device: the steps of [`crate::Trainer`], recorded on a tape.

mod losses;

use super::cameras::{CameraLeaves, Cameras};
use super::composite::Watch;
use super::features::normals_of;
use super::room::Room;
use super::shot::Shot;
use super::step::Term;
use super::surfels::surfels_vars;
use super::{DeviceOptions, GaussianVars, listed, over, surfel_picture};
use crate::raycast::{RaycastOptions, raycast_vars};
use crate::rows::Rows;
use crate::strategy::State;
use crate::train::{BETAS, EPSILON, Plan, Train, check, check_rays, extent, growth, schedule};
use crate::{
    Error, Gaussians, Kernel, StepReport, Technique, TrainOptions, TrainState, TrainingPicture, View, smoothing,
};
use lumigrad_core::map::Expr;
use lumigrad_core::map::random as random_in_map;
use lumigrad_core::ops::random;
use lumigrad_core::{CallParams, Device, Map, Tape, Tensor, Var};
use lumigrad_optim::pose::Chart;
use lumigrad_optim::{Adam, Group, Loss};
use std::sync::Arc;

type Result<T> = std::result::Result<T, Error>;

/// A training picture as it is drawn.
pub(super) struct Drawn {
    /// [H, W, 3].
    pub colour: Var,
    /// [H, W, 3].
    pub target: Tensor,
    /// What is drawn [H·W, 5], colour, depth and transmittance.
    pixels: Var,
    /// [H, W, 10], where surfels are drawn.
    surfels: Option<Var>,
    /// Normals [H·W, 3], each summed with its weights, where the photograph's are known.
    normals: Option<Var>,
}

/// Names of the arrays, in the order of [`GaussianVars::all`].
const NAMES: [&str; 6] = ["means", "log_scales", "rotations", "opacity_logits", "dc", "rest"];

/// Trains Gaussians on any device: one picture per step, 0.8 L1 + 0.2 (1 − SSIM), exact Adam. Strategies that change the
/// number of Gaussians act on the host. On a GPU a step reads back once.
///
/// **Determinism**: the same seed gives the same bits from run to run on one device. **Limits**: on a GPU, what is learnt is
/// worked on in pages that the adapter binds at once, and may be as long as its buffers. What is drawn from is bound as a
/// whole: 40 bytes per Gaussian, and per Gaussian and tile. That makes 3.3 million of each where 128 MiB are bound, 53 million
/// where 2 GiB are; beyond, an error says so.
pub struct DeviceTrainer {
    pub(super) device: Device,
    kernel: Kernel,
    sh_degree: usize,
    pub(super) options: TrainOptions,
    shots: Arc<[Shot]>,
    views: Arc<[View]>,
    extent: f32,
    /// Sizes that Gaussians are smoothed with, [N, 1], where they are.
    smoothing: Option<Tensor>,
    pub(super) arrays: Vec<Tensor>,
    /// Of the means, whose rate falls, and of the others.
    pub(super) adams: [Adam; 2],
    loss: Loss,
    pub(super) step: usize,
    /// Sums of the pulls at means, and counts [N, 2], where the strategy looks at them.
    pub(super) growth: Option<Tensor>,
    pub(super) cameras: Option<Cameras>,
    /// A loss beside that of photographs.
    pub(super) term: Option<Term>,
    /// Where lists are made, so that a step reads back once; `None` on the host, where that costs nothing.
    pub(super) room: Option<Room>,
}

pub(super) fn core(e: lumigrad_core::Error) -> Error {
    Error::Device { message: e.to_string() }
}

pub(super) fn optim(e: lumigrad_optim::Error) -> Error {
    Error::Device { message: e.to_string() }
}

impl DeviceTrainer {
    /// Prepares training from a state: of step 0 with empty moments, or one of [`Train::state`].
    ///
    /// **Errors**: as [`crate::Trainer::new`]; memory of the device.
    pub fn new(
        state: TrainState,
        pictures: &[TrainingPicture],
        options: TrainOptions,
        device: &Device,
    ) -> Result<Self> {
        check(&state.gaussians, pictures)?;
        check_rays(&state.gaussians, &options, pictures)?;
        let shots: Vec<Shot> = pictures.iter().map(|p| Shot::new(p, device)).collect::<Result<_>>()?;
        let all: Vec<View> = pictures.iter().map(|p| p.view.clone()).collect();
        let mut out = Self::bare(&state, (shots.into(), all.into()), extent(pictures), options, device)?;
        let views: Vec<&View> = pictures.iter().map(|p| &p.view).collect();
        let remembered = state.cameras.as_ref();
        let chart = chart(&views, out.extent);
        out.cameras = Cameras::new(&views, chart, &out.options, device, remembered)?;
        out.fill(&state)?;
        Ok(out)
    }

    /// Another model of the same pictures.
    pub(super) fn beside(&self, state: TrainState) -> Result<Self> {
        let data = (self.shots.clone(), self.views.clone());
        let mut out = Self::bare(&state, data, self.extent, self.options.clone(), &self.device)?;
        out.fill(&state)?;
        Ok(out)
    }

    /// A trainer without arrays.
    fn bare(
        state: &TrainState,
        (shots, views): (Arc<[Shot]>, Arc<[View]>),
        extent: f32,
        options: TrainOptions,
        device: &Device,
    ) -> Result<Self> {
        Ok(Self {
            device: device.clone(),
            kernel: state.gaussians.kernel,
            sh_degree: state.gaussians.sh_degree,
            extent,
            options,
            shots,
            views,
            smoothing: None,
            arrays: vec![],
            adams: [Adam::new(vec![]), Adam::new(vec![])],
            loss: Loss::from_name("l1+ssim").map_err(optim)?,
            step: state.step,
            growth: None,
            cameras: None,
            term: None,
            room: (!device.is_cpu()).then(|| Room::new(1)),
        })
    }

    /// Takes the arrays of a state.
    fn fill(&mut self, state: &TrainState) -> Result<()> {
        let rows = Rows::<f32>::new(&state.gaussians);
        let fill = |all: &[f32], name| -> Result<Rows<f32>> {
            let mut moments = Rows::zeros(rows.n, rows.width);
            if !all.is_empty() {
                moments.fill(all, name)?;
            }
            Ok(moments)
        };
        let moments = [fill(&state.first, "first moments")?, fill(&state.second, "second moments")?];
        self.upload(&rows, &moments)?;
        match state.smoothing.len() == rows.n && self.smooths() {
            true => self.smoothing = Some(self.column(&state.smoothing)?),
            false => self.smooth()?,
        }
        let mut growth = growth(self.options.strategy, rows.n);
        if !state.growth.is_empty() && growth.n > 0 {
            growth.fill(&state.growth, "growth")?;
        }
        self.count(&growth)
    }

    fn smooths(&self) -> bool {
        smoothing::applies(self.kernel, self.options.smoothing)
    }

    fn column(&self, numbers: &[f32]) -> Result<Tensor> {
        Tensor::from_slice(&self.device, numbers, &[numbers.len(), 1]).map_err(core)
    }

    /// Finds sizes for the means as they are, where Gaussians are smoothed.
    fn smooth(&mut self) -> Result<()> {
        if self.smooths() {
            let means = self.arrays[0].to_vec::<f32>().map_err(core)?;
            let sizes = smoothing::sizes(means.as_chunks::<3>().0, &self.views, self.options.near);
            self.smoothing = Some(self.column(&sizes)?);
        }
        Ok(())
    }

    /// After a step that may have changed rows.
    pub(super) fn smooth_when_due(&mut self, progress: f64) -> Result<()> {
        match smoothing::is_due(self.step, self.options.strategy.resizes(self.step, progress)) {
            true => self.smooth(),
            false => Ok(()),
        }
    }

    /// As another model.
    pub(super) fn smooth_as(&mut self, other: &Self) {
        self.smoothing = other.smoothing.clone();
    }

    /// The sizes on the host.
    fn sizes(&self) -> Result<Vec<f32>> {
        self.smoothing.as_ref().map_or(Ok(vec![]), |s| s.to_vec::<f32>()).map_err(core)
    }

    /// The Gaussians as they are learnt.
    fn learnt(&self) -> Result<Gaussians> {
        let vars = GaussianVars::from_all(self.arrays.iter().cloned().map(Var::from).collect());
        Ok(Gaussians { sh_degree: self.sh_degree, ..vars.gaussians(self.kernel).map_err(core)? })
    }

    /// Widths of the arrays.
    fn widths(&self) -> Vec<usize> {
        let rest = 3 * ((self.sh_degree + 1).pow(2) - 1);
        [3, 3, 4, 1, 3].into_iter().chain((rest > 0).then_some(rest)).collect()
    }

    /// Columns of rows as arrays on the device.
    fn arrays_of(&self, rows: &Rows<f32>) -> Result<Vec<Tensor>> {
        let mut first = 0;
        let mut array = |width: usize| {
            let columns = first..first + width;
            first += width;
            let data: Vec<f32> = (0..rows.n).flat_map(|i| columns.clone().map(move |k| rows.get(i, k))).collect();
            Tensor::from_slice(&self.device, &data, &[rows.n, width]).map_err(core)
        };
        self.widths().into_iter().map(&mut array).collect()
    }

    pub(super) fn upload(&mut self, rows: &Rows<f32>, moments: &[Rows<f32>; 2]) -> Result<()> {
        self.arrays = self.arrays_of(rows)?;
        let mut groups = self.groups();
        let others = groups.split_off(1);
        self.adams = [Adam::new(groups), Adam::new(others)];
        if self.step > 0 {
            let [first, second] = [self.arrays_of(&moments[0])?, self.arrays_of(&moments[1])?];
            for adam in &mut self.adams {
                adam.load_state(self.step as u32, |name| {
                    let (name, which) = name.split_once('#')?;
                    let k = NAMES.iter().position(|n| *n == name)?;
                    Some(if which == "first" { first[k].clone() } else { second[k].clone() })
                });
            }
        }
        Ok(())
    }

    /// Counts pulls from here on.
    fn count(&mut self, growth: &Rows<f32>) -> Result<()> {
        self.growth = match growth.n {
            0 => None,
            n => Some(Tensor::from_slice(&self.device, &growth.flat(), &[n, 2]).map_err(core)?),
        };
        Ok(())
    }

    /// The strategy changes rows, and what goes with them.
    pub(super) fn resize(
        &mut self,
        rows: &mut Rows<f32>,
        moments: &mut [Rows<f32>],
        progress: f64,
        means_rate: f32,
    ) -> Result<()> {
        let (step, seed, extent) = (self.step, self.options.seed, self.extent);
        let mut growth = growth(self.options.strategy, rows.n);
        if let Some(counted) = &self.growth {
            growth.fill(&counted.to_vec::<f32>().map_err(core)?, "growth")?;
        }
        let (growth_now, technique) = (&mut growth, self.options.technique);
        let mut state =
            State { rows, moments, growth: growth_now, extent, step, progress, seed, means_rate, technique };
        self.options.strategy.resize(&mut state);
        self.count(&growth)
    }

    /// Rates of the arrays, that of the means 1.
    pub(super) fn groups(&self) -> Vec<Group> {
        let o = &self.options;
        let rates = [1.0, o.scales_rate, o.rotations_rate, o.opacities_rate, o.colour_rate, o.colour_rate / 20.0];
        let group = |(name, rate): (&str, f32)| Group {
            betas: (BETAS[0] as f64, BETAS[1] as f64),
            epsilon: EPSILON as f64,
            ..Group::new(name, rate as f64)
        };
        NAMES.into_iter().zip(rates).take(self.widths().len()).map(group).collect()
    }

    /// Arrays and moments as rows on the host.
    pub(super) fn download(&self) -> Result<(Rows<f32>, [Rows<f32>; 2])> {
        let widths = self.widths();
        let rows_of = |arrays: &[Tensor]| -> Result<Rows<f32>> {
            let n = self.len();
            let mut rows = Rows::zeros(n, widths.iter().sum());
            let mut first = 0;
            for (array, &width) in arrays.iter().zip(&widths) {
                for (i, row) in array.to_vec::<f32>().map_err(core)?.chunks_exact(width).enumerate() {
                    for (k, &x) in row.iter().enumerate() {
                        let at = rows.at(i, first + k);
                        rows.data[at] = x;
                    }
                }
                first += width;
            }
            Ok(rows)
        };
        let moments = |which: &str| -> Result<Rows<f32>> {
            let arrays: Option<Vec<Tensor>> = self.moments(which).into_iter().collect();
            match arrays {
                Some(arrays) => rows_of(&arrays),
                None => Ok(Rows::zeros(self.len(), widths.iter().sum())),
            }
        };
        Ok((rows_of(&self.arrays)?, [moments("first")?, moments("second")?]))
    }

    /// Gaussians as they are drawn.
    pub(super) fn shown(&self, vars: &GaussianVars) -> Result<GaussianVars> {
        match &self.smoothing {
            Some(sizes) => vars.smoothed(&sizes.clone().into()).map_err(core),
            None => Ok(vars.clone()),
        }
    }

    /// How they are drawn.
    pub(super) fn shading(&self, sh_degree: usize) -> DeviceOptions {
        DeviceOptions { kernel: self.kernel, sh_degree, alpha_min: 1.0 / 255.0 }
    }

    /// The picture of some arrays over a background, and its target.
    pub(super) fn drawn(
        &self,
        vars: &GaussianVars,
        (leaves, watch, room): (&CameraLeaves, Option<&Watch>, Option<&Room>),
        k: usize,
        background: [f32; 3],
        sh_degree: usize,
    ) -> Result<Drawn> {
        let shot = &self.shots[k];
        let camera = match &self.cameras {
            Some(cameras) => cameras.camera(k, leaves, &shot.camera)?,
            None => shot.camera.clone(),
        };
        let options = self.shading(sh_degree);
        let vars = &self.shown(vars)?;
        let [width, height] = shot.camera.size;
        let guided = self.options.normal_map_weight > 0.0 && shot.normals.is_some();
        let (mut surfels, mut normals) = (None, None);
        let picture = if self.options.technique == Technique::Raycast {
            raycast_vars(vars, &camera, &RaycastOptions::new(self.kernel, sh_degree)).map_err(core)?
        } else if self.kernel == Kernel::Surfel && watch.is_none() {
            let all = surfels_vars(vars, &camera, &options).map_err(core)?;
            let picture = surfel_picture(&all).map_err(core)?;
            normals = guided.then(|| all.slice(2, 4, 7)).transpose().map_err(core)?;
            surfels = Some(all);
            picture
        } else {
            let drawn = listed(vars, &camera, &options, room).map_err(core)?;
            normals = guided.then(|| normals_of(&drawn, vars, &camera)).transpose().map_err(core)?;
            drawn.composite(watch).map_err(core)?
        };
        let normals = normals.map(|n| n.reshape(&[width * height, 3])).transpose().map_err(core)?;
        let pixels = picture.reshape(&[width * height, 5]).map_err(core)?;
        let mut colour = over(&pixels, background).map_err(core)?;
        if let Some(cameras) = &self.cameras {
            colour = cameras.expose(k, leaves, &colour, [width, height])?;
        }
        let behind = CallParams { items: 0, real: background.map(f64::from).to_vec(), int: vec![] };
        let target = Map::cached("splat/target", |m| {
            let [r, g, b, a] = m.item("rgba");
            let behind = std::array::from_fn::<Expr, 3, _>(|_| m.param());
            let mix = |c: Expr, k: usize| c * a + (1.0 - a) * behind[k];
            m.output("target", &[mix(r, 0), mix(g, 1), mix(b, 2)]);
        });
        let target = target.run(&[&shot.rgba], &behind).map_err(core)?.remove(0);
        let shape = [height, width, 3];
        let (colour, target) = (colour.reshape(&shape).map_err(core)?, target.reshape(&shape).map_err(core)?);
        Ok(Drawn { colour, target, pixels, surfels, normals })
    }

    /// The plan of the next step.
    pub(super) fn plan(&self, progress: f64) -> Plan {
        let plan = schedule(&self.options, self.extent, self.shots.len(), self.step, progress);
        Plan { sh_degree: plan.sh_degree.min(self.sh_degree), ..plan }
    }

    /// Picture, target and mask of training picture `k` for least squares, all harmonics used.
    pub(super) fn picture(&self, arrays: &[Var], k: usize, progress: f64) -> Result<(Var, Tensor, Option<&Tensor>)> {
        let plan = self.plan(progress);
        let vars = GaussianVars::from_all(arrays.to_vec());
        let shot = &self.shots[k];
        let still = CameraLeaves::default();
        let drawn = self.drawn(&vars, (&still, None, None), k, plan.background, self.sh_degree)?;
        Ok((drawn.colour, drawn.target, shot.mask.as_ref()))
    }

    pub(super) fn take_arrays(&self) -> Vec<Tensor> {
        self.arrays.clone()
    }

    /// Ends a step that was made elsewhere.
    pub(super) fn put_arrays(&mut self, arrays: Vec<Tensor>) {
        self.arrays = arrays;
        self.step += 1;
    }

    /// Adam's `first` or `second` moments of the arrays, where there are any.
    pub(super) fn moments(&self, which: &str) -> Vec<Option<Tensor>> {
        let saved: Vec<(String, Tensor)> = self.adams.iter().flat_map(|a| a.state().1).collect();
        let find = |name: &&str| saved.iter().find(|(n, _)| *n == format!("{name}#{which}")).map(|s| s.1.clone());
        NAMES.iter().take(self.arrays.len()).map(find).collect()
    }

    pub(super) fn steps(&self) -> usize {
        self.step
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn seed(&self) -> u64 {
        self.options.seed
    }

    pub(super) fn pictures(&self) -> usize {
        self.shots.len()
    }

    /// What the strategy does after a step that was made elsewhere. Where it changes rows: how many there were, and for each
    /// row which one it was, or that it is new.
    pub(super) fn act(&mut self, progress: f64, means_rate: f32) -> Result<Option<(usize, Vec<Option<usize>>)>> {
        let mut changed = None;
        if self.options.strategy.resizes(self.step, progress) {
            let (mut rows, _) = self.download()?;
            let before = rows.n;
            // Numbers of rows, from 1; those of rows that begin anew become zero.
            let mut numbers = Rows::zeros(before, 1);
            (0..before).for_each(|i| numbers.set_row(i, [(i + 1) as f32]));
            self.resize(&mut rows, std::slice::from_mut(&mut numbers), progress, means_rate)?;
            self.arrays = self.arrays_of(&rows)?;
            let old = |i: usize| (numbers.get(i, 0) as usize).checked_sub(1);
            changed = Some((before, (0..rows.n).map(old).collect()));
        }
        self.explore(means_rate)?;
        self.smooth_when_due(progress)?;
        Ok(changed)
    }

    /// The noise of the strategy.
    pub(super) fn explore(&mut self, means_rate: f32) -> Result<()> {
        match self.options.strategy.noise(means_rate, self.options.technique) {
            Some(size) => self.shake(size),
            None => Ok(()),
        }
    }

    /// Moves means by noise in the shape of their Gaussians.
    fn shake(&mut self, size: f32) -> Result<()> {
        let seed = random::hash(random::hash(self.options.seed, 3), self.step as u64);
        let map = Map::cached("splat/shake", |m| {
            let (mean, scale) = (m.item::<3>("means"), m.item::<3>("log_scales"));
            let (q, [logit]) = (m.item::<4>("rotations"), m.item("opacity_logits"));
            let (size, seed) = (m.param(), m.int_param());
            let [pair, other] = [0, 1].map(|k| random_in_map::normals(seed, m.index() * 2 + k));
            let xi = [pair[0], pair[1], other[0]];
            let norm = lumigrad_core::map::vector::dot(q, q).max(1e-12).sqrt();
            let turn = crate::project::rotation(q.map(|x| x / norm), Expr::from(1.0), Expr::from(2.0));
            let along = std::array::from_fn::<Expr, 3, _>(|c| {
                (turn[0][c] * xi[0] + turn[1][c] * xi[1] + turn[2][c] * xi[2]) * (2.0 * scale[c]).exp()
            });
            let opacity = 1.0 / (1.0 + (-logit).exp());
            let weight = size / (1.0 + (100.0 * (opacity - 0.005)).min(80.0).exp());
            let moved = |r: usize| {
                let by = turn[r][0] * along[0] + turn[r][1] * along[1] + turn[r][2] * along[2];
                mean[r] + weight * by
            };
            m.output("means", &[moved(0), moved(1), moved(2)]);
        });
        let [means, scales, rotations, logits] = [0, 1, 2, 3].map(|k| &self.arrays[k]);
        let call = CallParams { items: 0, real: vec![size as f64], int: vec![seed as i32] };
        self.arrays[0] = map.run(&[means, scales, rotations, logits], &call).map_err(core)?.remove(0);
        Ok(())
    }
}

/// Cameras turn about a point amid what they see, in units of the extent: the same for every start of a run.
fn chart(views: &[&View], extent: f32) -> Chart {
    let mut pivot = [0.0; 3];
    for view in views {
        // An extent along the axis from the eye.
        for (k, (sum, eye)) in pivot.iter_mut().zip(view.eye()).enumerate() {
            *sum += (eye + extent * view.viewmat[2][k]) as f64 / views.len() as f64;
        }
    }
    Chart { unit: extent as f64, pivot }
}

impl Train for DeviceTrainer {
    fn step(&mut self, progress: f64) -> Result<StepReport> {
        let plan = self.plan(progress);
        loop {
            let tape = Tape::new();
            let recorded = self.record(&tape, &plan, self.room.as_ref())?;
            let [loss, total] = self.loss_of(&recorded, &recorded.drawn.colour, &plan)?;
            let mut gradients = tape.backward(&total).map_err(core)?;
            let by_arrays = recorded.take(&mut gradients);
            if let Some(found) = self.ask(loss.tensor(), by_arrays)? {
                return self.learn(recorded, &mut gradients, found, &plan, progress);
            }
            // The lists did not fit. Nothing has been learnt yet: the same step again, in a larger room.
        }
    }

    fn gaussians(&self) -> Result<Gaussians> {
        let learnt = self.learnt()?;
        if self.smoothing.is_some() { learnt.smoothed(&self.sizes()?) } else { Ok(learnt) }
    }

    fn state(&self) -> Result<TrainState> {
        let [first, second] = self.download()?.1.each_ref().map(Rows::flat);
        let growth = self.growth.as_ref().map_or(Ok(vec![]), |g| g.to_vec::<f32>()).map_err(core)?;
        let cameras = self.cameras.as_ref().map(Cameras::remember).transpose()?;
        let state = TrainState { step: self.step, first, second, growth, cameras, ..TrainState::new(self.learnt()?) };
        Ok(TrainState { smoothing: self.sizes()?, ..state })
    }

    fn poses(&self) -> Option<Vec<[[f64; 4]; 4]>> {
        self.options.refine_poses.then(|| self.cameras.as_ref().map(Cameras::poses)).flatten()
    }

    fn len(&self) -> usize {
        self.arrays[0].shape()[0]
    }
}
