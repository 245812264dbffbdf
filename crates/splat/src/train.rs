//! Training Gaussians on pictures with known cameras.

pub(crate) mod pictures;

use crate::composite::{Drawn, Tiled};
use crate::frame::Frame;
use crate::loss::{Planes, Scratch};
use crate::project::{Camera, Moments};
use crate::raycast::{self, host::Rays};
use crate::render::camera;
use crate::rows::{BLOCK, Rows};
use crate::strategy::{Pulls, State, Strategy};
use crate::update::{Adam, pull, update};
use crate::{Error, Gaussians, Technique, View, smoothing, view};
use lumigrad_core::ops::random::{hash, uniform};
use pictures::{by_tiles, hide, ignore, over, target};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A picture to learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingPicture {
    /// Its camera.
    pub view: View,
    /// Colours [H·W], display-encoded, straight alpha.
    pub colour: Vec<[f32; 3]>,
    /// Opacities [H·W]; empty: opaque.
    pub alpha: Vec<f32>,
    /// Which pixels count [H·W]: those above ½; empty: all.
    pub mask: Vec<f32>,
    /// Depths along the camera's axis [H·W], 0 where unknown; empty: none is known. For device trainers.
    pub depth: Vec<f32>,
    /// Unit normals in the camera's axes (x right, y down, z forward) [H·W], zeros where unknown; empty: none is known. For
    /// device trainers that splat.
    pub normals: Vec<[f32; 3]>,
}

/// What stands behind Gaussians and transparent pictures while training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Background {
    /// One display-encoded colour.
    Colour([f32; 3]),
    /// Another colour in every step, which keeps transparent places empty.
    Random,
}

/// How to train. Learning rates are those of Adam.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// Splatting or ray casting.
    pub technique: Technique,
    /// How the number of Gaussians changes.
    pub strategy: Strategy,
    /// Seed of the order of pictures and of random backgrounds.
    pub seed: u64,
    /// What stands behind.
    pub background: Background,
    /// Near plane.
    pub near: f32,
    /// Rates of the means at the first and the last step, times the scene's extent.
    pub means_rate: [f32; 2],
    /// Rate of the logarithms of the scales.
    pub scales_rate: f32,
    /// Rate of the rotations.
    pub rotations_rate: f32,
    /// Rate of the logits of the opacities.
    pub opacities_rate: f32,
    /// Rate of the constant colour; that of the other harmonics is a twentieth.
    pub colour_rate: f32,
    /// Steps after which one more degree of spherical harmonics is used; in short runs tenths of them.
    pub steps_per_degree: usize,
    /// Weight of the mean opacity in the loss.
    pub opacity_weight: f32,
    /// Weight of the mean scale in the loss.
    pub scale_weight: f32,
    /// Gaussians of the mip kernel are no finer than what the pictures tell apart: what is learnt is smoothed, by sizes that
    /// follow the means until the run ends, before it is drawn and written ([`Gaussians::smoothed`]).
    pub smoothing: bool,
    /// Weight of the difference to known depths, in units of the scene's extent, beside the loss. Of device trainers.
    pub depth_weight: f32,
    /// Weight of the difference to known normals beside the loss: 1 − cosine and the sum of absolute differences. Of device
    /// trainers.
    pub normal_map_weight: f32,
    /// Weight of [`crate::device::depth_distortion`] of surfels, of what lies behind the first tenth of the run.
    pub distortion_weight: f32,
    /// Weight of [`crate::device::normal_consistency`] of surfels, after the first quarter.
    pub normal_weight: f32,
    /// Learn where pictures were taken from. Of device trainers.
    pub refine_poses: bool,
    /// Rate of poses at the first step, in radians and in units of the scene's extent; at the last one a hundredth.
    pub pose_rate: f32,
    /// Learn how each picture was exposed, an affine map of its colours. Of device trainers.
    pub exposures: bool,
    /// Learn how each picture was toned, place by place: a bilateral grid of affine maps.
    pub bilateral_grid: bool,
    /// Rate of these at the first step; at the last one a hundredth.
    pub tone_rate: f32,
    /// Rate of exposures at the first step; at the last one a hundredth.
    pub exposure_rate: f32,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            technique: Technique::Splat,
            strategy: Strategy::Fixed,
            seed: 0,
            background: Background::Colour([0.0; 3]),
            near: 0.01,
            means_rate: [1.6e-4, 1.6e-6],
            scales_rate: 5e-3,
            rotations_rate: 1e-3,
            opacities_rate: 0.05,
            colour_rate: 2.5e-3,
            steps_per_degree: 1000,
            opacity_weight: 0.0,
            scale_weight: 0.0,
            smoothing: false,
            refine_poses: false,
            pose_rate: 1e-4,
            exposures: false,
            bilateral_grid: false,
            tone_rate: 2e-3,
            depth_weight: 0.1,
            normal_map_weight: 0.05,
            distortion_weight: 0.0,
            normal_weight: 0.05,
            exposure_rate: 2e-3,
        }
    }
}

impl TrainOptions {
    /// Rates that suit a technique: rays find the places of densities by larger steps than splats those of their means.
    pub fn of(technique: Technique) -> Self {
        let own = Self { technique, ..Self::default() };
        match technique {
            Technique::Splat => own,
            Technique::Raycast => Self { means_rate: own.means_rate.map(|r| 12.0 * r), scales_rate: 1.5e-2, ..own },
        }
    }
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: usize,
    /// Loss of the picture before the step, regularisers not counted.
    pub loss: f32,
    /// Gaussians that were seen.
    pub n_visible: usize,
}

/// All that changes while training: restored, the run goes on to the same bits.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainState {
    /// Steps done.
    pub step: usize,
    /// The Gaussians, before smoothing.
    pub gaussians: Gaussians,
    /// Adam's first moments, per Gaussian: mean, log scale, rotation, logit of the opacity, harmonics.
    pub first: Vec<f32>,
    /// Adam's second moments, laid out alike.
    pub second: Vec<f32>,
    /// What strategies that look at pulls have counted since they last did: for each Gaussian the sum, and of how many.
    pub growth: Vec<f32>,
    /// Sizes that they are smoothed with, one each; empty where they are not, or not yet.
    pub smoothing: Vec<f32>,
    /// Damping of least squares, once it has begun.
    pub damping: Option<f64>,
    /// What an optimiser other than Adam remembers.
    pub method: Option<Remembered>,
    /// Cameras and exposures, where they are learnt.
    pub cameras: Option<Remembered>,
}

impl TrainState {
    /// The start of a training.
    pub fn new(gaussians: Gaussians) -> Self {
        let none = Vec::new;
        let (first, second, growth, smoothing) = (none(), none(), none(), none());
        Self { step: 0, gaussians, first, second, growth, smoothing, damping: None, method: None, cameras: None }
    }
}

/// What is kept between steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// Numbers by name.
    pub numbers: BTreeMap<String, f64>,
    /// Arrays by name, with their shapes.
    pub arrays: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

/// Decay rates of Adam's moments, and what is added to its denominator.
pub(crate) const BETAS: [f32; 2] = [0.9, 0.999];
pub(crate) const EPSILON: f32 = 1e-15;

/// A training that goes on step by step.
pub trait Train {
    /// Renders one picture, and moves all Gaussians towards it. `progress` is the part of the run that is done, in [0, 1]:
    /// schedules follow it.
    ///
    /// **Errors**: those of the device.
    fn step(&mut self, progress: f64) -> Result<StepReport, Error>;

    /// The Gaussians as they are now, smoothed where they are.
    ///
    /// **Errors**: those of the device.
    fn gaussians(&self) -> Result<Gaussians, Error>;

    /// What a resumption needs.
    ///
    /// **Errors**: those of the device.
    fn state(&self) -> Result<TrainState, Error>;

    /// Where the pictures were taken from, world → camera, as far as that was learnt.
    fn poses(&self) -> Option<Vec<[[f64; 4]; 4]>> {
        None
    }

    /// Number of Gaussians.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a step is about.
pub(crate) struct Plan {
    pub picture: usize,
    pub background: [f32; 3],
    /// Highest degree of the harmonics that is used, as far as there is one.
    pub sh_degree: usize,
    pub means_rate: f32,
    /// Part of the run that is done.
    pub progress: f64,
}

/// The plan of the step after `step` steps, of `n` pictures.
pub(crate) fn schedule(o: &TrainOptions, extent: f32, n: usize, step: usize, progress: f64) -> Plan {
    // Every picture once per round, in an order that changes from round to round.
    let picture = order(n, hash(o.seed, (step / n) as u64))[step % n];
    let background = match o.background {
        Background::Colour(colour) => colour,
        Background::Random => std::array::from_fn(|k| uniform(o.seed, 4 * step as u64 + k as u64) as f32),
    };
    let sh_degree = (step / o.steps_per_degree.max(1)).max((10.0 * progress) as usize);
    let done = progress.clamp(0.0, 1.0) as f32;
    let means_rate = extent * o.means_rate[0].powf(1.0 - done) * o.means_rate[1].powf(done);
    Plan { picture, background, sh_degree, means_rate, progress }
}

/// Counts of pulls at `n` means, where the strategy looks at them.
pub(crate) fn growth(strategy: Strategy, n: usize) -> Rows<f32> {
    Rows::zeros(if strategy.pulls().is_some() { n } else { 0 }, 2)
}

/// Whether Gaussians can be trained on some pictures.
pub(crate) fn check(gaussians: &Gaussians, pictures: &[TrainingPicture]) -> Result<(), Error> {
    if pictures.is_empty() {
        return Err(Error::Picture { index: 0, found: 0, expected: 1 });
    }
    for (index, picture) in pictures.iter().enumerate() {
        view::check(gaussians, &picture.view)?;
        let expected = picture.view.width * picture.view.height;
        let optional = [picture.alpha.len(), picture.mask.len(), picture.depth.len(), picture.normals.len()];
        let lengths = optional.map(|n| if n == 0 { expected } else { n });
        for found in lengths.into_iter().chain([picture.colour.len()]) {
            if found != expected || expected == 0 {
                return Err(Error::Picture { index, found, expected });
            }
        }
    }
    Ok(())
}

/// Whether pictures can be ray cast in training, where they are to be.
pub(crate) fn check_rays(
    gaussians: &Gaussians,
    options: &TrainOptions,
    pictures: &[TrainingPicture],
) -> Result<(), Error> {
    let refuse = |message: &str| Err(Error::Rays { message: message.into() });
    if options.technique == Technique::Splat {
        return Ok(());
    }
    if options.strategy.pulls().is_some() {
        return refuse("adaptive density control counts pulls at splats; take another strategy");
    }
    if options.smoothing {
        return refuse("smoothed Gaussians are splatted only");
    }
    pictures.iter().try_for_each(|p| raycast::check(gaussians.kernel, &p.view))
}

/// Trains Gaussians on the host: one picture per step, (1 − λ) L1 + λ (1 − SSIM) with λ = 0.2, exact Adam.
///
/// **Determinism**: the same seed gives the same bits for any number of threads, interrupted or not.
/// **Source**: Kerbl et al. 2023.
pub struct Trainer {
    pub(crate) options: TrainOptions,
    pub(crate) pictures: Arc<[TrainingPicture]>,
    extent: f32,
    pub(crate) like: Gaussians,
    pub(crate) rows: Rows<f32>,
    pub(crate) moments: [Rows<f32>; 2],
    growth: Rows<f32>,
    /// Whole blocks of sizes, or none.
    pub(crate) smoothing: Vec<f32>,
    pub(crate) step: usize,
    pub(crate) work: Work,
}

/// Memory that steps use again.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) frame: Frame<f32>,
    pub(crate) drawn: Drawn<f32>,
    pub(crate) loss: Scratch<f32>,
    pub(crate) picture: Planes<f32>,
    pub(crate) target: Planes<f32>,
    pub(crate) by_picture: Planes<f32>,
    pub(crate) grads: Tiled<f32>,
    pub(crate) sums: Vec<[f32; Moments::<f32>::COUNT]>,
    rays: Rays<f32>,
}

impl Trainer {
    /// Prepares training.
    ///
    /// **Errors**: no picture, one whose arrays disagree with its view, what [`crate::render`] refuses; surfels and rolling
    /// shutters, which device trainers train; rays with orthographic cameras, or with strategies that count pulls.
    pub fn new(
        gaussians: Gaussians,
        pictures: impl Into<Arc<[TrainingPicture]>>,
        options: TrainOptions,
    ) -> Result<Self, Error> {
        let pictures = pictures.into();
        check(&gaussians, &pictures)?;
        view::check_ellipsoids(&gaussians)?;
        check_rays(&gaussians, &options, &pictures)?;
        pictures.iter().try_for_each(|p| view::check_still(&p.view))?;
        let rows = Rows::new(&gaussians);
        let zeros = Rows::zeros(rows.n, rows.width);
        let extent = extent(&pictures);
        let moments = [zeros.clone(), zeros];
        let growth = growth(options.strategy, rows.n);
        let (step, smoothing, work) = (0, vec![], Work::default());
        let mut out = Self { options, pictures, extent, like: gaussians, rows, moments, growth, smoothing, step, work };
        out.smooth();
        Ok(out)
    }

    /// Goes on from a saved state; empty moments are zeros.
    ///
    /// **Errors**: as [`Trainer::new`]; moments that do not fit the Gaussians.
    pub fn resume(
        state: TrainState,
        pictures: impl Into<Arc<[TrainingPicture]>>,
        options: TrainOptions,
    ) -> Result<Self, Error> {
        let mut out = Self::new(state.gaussians, pictures, options)?;
        if !out.smoothing.is_empty() && state.smoothing.len() == out.rows.n {
            out.smoothing[..out.rows.n].copy_from_slice(&state.smoothing);
        }
        for ((name, moments), own) in
            [("first moments", state.first), ("second moments", state.second)].into_iter().zip(&mut out.moments)
        {
            if !moments.is_empty() {
                own.fill(&moments, name)?;
            }
        }
        if !state.growth.is_empty() && out.growth.n > 0 {
            out.growth.fill(&state.growth, "growth")?;
        }
        out.step = state.step;
        Ok(out)
    }

    /// Finds sizes for the means as they are, where Gaussians are smoothed.
    fn smooth(&mut self) {
        if !smoothing::applies(self.like.kernel, self.options.smoothing) {
            return;
        }
        let means: Vec<[f32; 3]> = (0..self.rows.n).map(|i| [0, 1, 2].map(|k| self.rows.get(i, k))).collect();
        let views: Vec<View> = self.pictures.iter().map(|p| p.view.clone()).collect();
        self.smoothing = smoothing::sizes(&means, &views, self.options.near);
        self.smoothing.resize(self.rows.n.next_multiple_of(BLOCK), 0.0);
    }

    /// What Adam does in this step.
    fn adam(&self, means_rate: f32) -> Adam {
        let o = &self.options;
        let n = self.rows.n.max(1) as f32;
        Adam {
            step: self.step,
            means: means_rate,
            scales: o.scales_rate,
            rotations: o.rotations_rate,
            opacities: o.opacities_rate,
            colour: o.colour_rate,
            opacity_weight: o.opacity_weight / n,
            scale_weight: o.scale_weight / (3.0 * n),
        }
    }
}

/// A step in two halves, so that others can change what is learnt between them.
impl Trainer {
    pub(crate) fn plan(&self, progress: f64) -> Plan {
        schedule(&self.options, self.extent, self.pictures.len(), self.step, progress)
    }

    pub(crate) fn camera(&self, plan: &Plan) -> Camera<f32> {
        let sh_degree = self.like.sh_degree.min(plan.sh_degree);
        let view = &self.pictures[plan.picture].view;
        let camera = camera::<f32>(self.like.kernel, sh_degree, view, self.options.near);
        if self.casts() { Rays::<f32>::camera(camera) } else { camera }
    }

    fn casts(&self) -> bool {
        self.options.technique == Technique::Raycast
    }

    /// Draws the picture and compares it; gives the loss.
    ///
    /// **Errors**: Gaussians that cover too much.
    pub(crate) fn draw(&mut self, plan: &Plan) -> Result<f32, Error> {
        let camera = self.camera(plan);
        let picture = &self.pictures[plan.picture];
        let size = [picture.view.width, picture.view.height];
        let (casts, w) = (self.casts(), &mut self.work);
        if casts {
            w.rays.draw(&self.rows, &self.smoothing, &camera, size, true)?;
        } else {
            w.frame.update(&self.rows, &self.smoothing, &camera, size, true)?;
            w.drawn.update(&w.frame, false, true);
        }
        over(if casts { &w.rays.picture } else { &w.drawn.picture }, size, plan.background, &mut w.picture);
        target(picture, plan.background, &mut w.target);
        ignore(picture, &w.picture, &mut w.target);
        let loss = w.loss.loss(&w.picture, &w.target, size[0], &mut w.by_picture);
        hide(picture, &mut w.by_picture);
        Ok(loss)
    }

    /// Moves all Gaussians by the derivative by the picture.
    pub(crate) fn learn(&mut self, plan: &Plan, progress: f64, loss: f32) -> StepReport {
        let camera = self.camera(plan);
        let view = &self.pictures[plan.picture].view;
        let (casts, w) = (self.casts(), &mut self.work);
        by_tiles(&w.by_picture, [view.width, view.height], plan.background, &mut w.grads);
        let pulls = self.options.strategy.pulls();
        if casts {
            w.rays.backward(&w.grads, &camera);
        } else {
            w.drawn.backward(&w.frame, &w.grads, (false, pulls == Some(Pulls::OfPixels)), &mut w.sums);
            if let Some(pulls) = pulls {
                pull(&mut self.growth, pulls, &w.frame, &mut w.sums);
            }
        }
        self.step += 1;
        let adam = self.adam(plan.means_rate);
        let (work, rows, moments, smoothing) = (&self.work, &mut self.rows, &mut self.moments, &self.smoothing);
        match casts {
            true => update(rows, moments, smoothing, &camera, &work.rays.frame, &work.rays.sums, &adam),
            false => update(rows, moments, smoothing, &camera, &work.frame, &work.sums, &adam),
        }
        let n_visible = if casts { work.rays.frame.drawn().count() } else { work.frame.drawn().count() };
        let (rows, moments, growth, extent) = (&mut self.rows, &mut self.moments, &mut self.growth, self.extent);
        let (step, seed, means_rate) = (self.step, self.options.seed, plan.means_rate);
        let technique = self.options.technique;
        let mut state = State { rows, moments, growth, extent, step, progress, seed, means_rate, technique };
        self.options.strategy.act(&mut state);
        if smoothing::is_due(self.step, self.options.strategy.resizes(self.step, progress)) {
            self.smooth();
        }
        StepReport { step, loss, n_visible }
    }
}

impl Train for Trainer {
    fn step(&mut self, progress: f64) -> Result<StepReport, Error> {
        let plan = self.plan(progress);
        let loss = self.draw(&plan)?;
        Ok(self.learn(&plan, progress, loss))
    }

    fn gaussians(&self) -> Result<Gaussians, Error> {
        let learnt = self.rows.gaussians(&self.like);
        if self.smoothing.is_empty() { Ok(learnt) } else { learnt.smoothed(&self.smoothing[..self.rows.n]) }
    }

    fn state(&self) -> Result<TrainState, Error> {
        let [first, second] = self.moments.each_ref().map(Rows::flat);
        let growth = self.growth.flat();
        let smoothing = self.smoothing.iter().take(self.rows.n).copied().collect();
        let learnt = self.rows.gaussians(&self.like);
        Ok(TrainState { step: self.step, first, second, growth, smoothing, ..TrainState::new(learnt) })
    }

    fn len(&self) -> usize {
        self.rows.n
    }
}

/// 1.1 × the largest distance of a camera from the cameras' mean; 1 where all stand together.
pub(crate) fn extent(pictures: &[TrainingPicture]) -> f32 {
    let eyes: Vec<[f32; 3]> = pictures.iter().map(|p| p.view.eye()).collect();
    let mean: [f32; 3] = std::array::from_fn(|k| eyes.iter().map(|e| e[k]).sum::<f32>() / eyes.len() as f32);
    let distance = |e: &[f32; 3]| (0..3).map(|k| (e[k] - mean[k]).powi(2)).sum::<f32>().sqrt();
    let largest = eyes.iter().map(distance).fold(0.0, f32::max);
    if largest > 0.0 { 1.1 * largest } else { 1.0 }
}

/// A permutation of 0..n.
fn order(n: usize, seed: u64) -> Vec<usize> {
    let mut out: Vec<usize> = (0..n).collect();
    out.sort_by_key(|&i| hash(seed, i as u64));
    out
}

#[cfg(test)]
#[path = "train_tests.rs"]
pub(crate) mod tests;
