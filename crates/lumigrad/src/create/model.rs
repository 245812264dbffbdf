//! Gaussians that are pulled: their arrays, renders and steps.

use super::cameras::camera;
use crate::run::{Array, Checkpoint};
use crate::train::views::camera as splat_camera;
use crate::{Error, Result};
use lumigrad_core::ops::{concat, random};
use lumigrad_core::{DType, Device, Map, Tape, Tensor, Var};
use lumigrad_guidance::View as Direction;
use lumigrad_optim::{Adam, Group};
use lumigrad_splat::device::{CameraVars, DeviceOptions, GaussianVars, render_vars};
use lumigrad_splat::{Gaussians, Kernel};

/// Names of the arrays, in the order of [`GaussianVars::all`].
const NAMES: [&str; 5] = ["means", "log_scales", "rotations", "opacity_logits", "dc"];
/// Rates relative to that of the means.
const RATES: [f64; 5] = [1.0, 2.0, 2.0, 5.0, 4.0];
/// Radius of the ball that Gaussians start in, and stay near, metres.
const BALL: f64 = 0.8;
/// How Gaussians are drawn: pictures are small, so that those below a pixel must not grow.
const KERNEL: Kernel = Kernel::Mip;

/// The Gaussians and their optimiser.
pub struct Model {
    device: Device,
    arrays: Vec<Tensor>,
    adam: Adam,
}

/// Renders of a step, recorded.
pub struct Recorded {
    tape: Tape,
    vars: GaussianVars,
    /// [n, side, side, 3] over white, display-encoded, as they are: values may leave [0, 1] a little.
    pub renders: Var,
}

impl Model {
    /// A cloud of grey noise: means even in a ball, sizes so that all of them fill it about once.
    pub fn new(n: usize, seed: u64, rate: f64, device: &Device) -> Result<Self> {
        let key = random::hash(seed, 21);
        let point = |i: usize| -> [f32; 3] {
            // The first of a row of candidates that is in the ball.
            let candidate = |t: u64| [0, 1, 2].map(|k| 2.0 * random::uniform(key, (i as u64 * 64 + t) * 3 + k) - 1.0);
            let inside = (0..64).map(candidate).find(|p| p.iter().map(|x| x * x).sum::<f64>() < 1.0);
            inside.unwrap_or([0.0; 3]).map(|x| (BALL * x) as f32)
        };
        let size = (BALL * (1.0 / n as f64).cbrt()).max(1e-4).ln() as f32;
        let grey = |i: usize| [0, 1, 2].map(|k| (0.6 * random::normal(random::hash(key, 1), 3 * i as u64 + k)) as f32);
        let gaussians = Gaussians {
            means: (0..n).map(point).collect(),
            log_scales: vec![[size; 3]; n],
            rotations: vec![[1.0, 0.0, 0.0, 0.0]; n],
            opacity_logits: vec![-1.5; n],
            sh_degree: 0,
            sh: (0..n).map(grey).collect(),
            kernel: KERNEL,
        };
        let vars = GaussianVars::new(&gaussians, device, DType::F32)?;
        let arrays = vars.all().into_iter().map(|v| v.tensor().clone()).collect();
        let group = |(name, factor): (&str, f64)| Group { epsilon: 1e-15, ..Group::new(name, rate * factor) };
        let mut groups: Vec<Group> = NAMES.into_iter().zip(RATES).map(group).collect();
        groups[0].bounds = (-1.2 * BALL, 1.2 * BALL);
        groups[1].bounds = (1e-3f64.ln(), 0.25f64.ln());
        groups[3].bounds = (-8.0, 8.0);
        groups[4].bounds = (-1.9, 1.9);
        Ok(Self { device: device.clone(), arrays, adam: Adam::new(groups) })
    }

    fn drawn(&self, vars: &GaussianVars, from: &[Direction], side: usize) -> Result<Var> {
        let over = Map::cached("create/over white", |m| {
            let [r, g, b, _, left] = m.item("picture");
            m.output("colour", &[r + left, g + left, b + left]);
        });
        let options = DeviceOptions { kernel: KERNEL, sh_degree: 0, alpha_min: 1.0 / 255.0 };
        let mut pictures = vec![];
        for direction in from {
            let camera = CameraVars::new(&splat_camera(&camera(*direction, side)?), &self.device, DType::F32)?;
            let picture = render_vars(vars, &camera, &options)?;
            pictures.push(over.apply(&[&picture])?.remove(0).reshape(&[1, side, side, 3])?);
        }
        Ok(concat(&pictures.iter().collect::<Vec<_>>(), 0)?)
    }

    /// Renders [n, side, side, 3] from some directions.
    pub fn renders(&self, from: &[Direction], side: usize) -> Result<Tensor> {
        let vars = GaussianVars::from_all(self.arrays.iter().cloned().map(Var::from).collect());
        Ok(self.drawn(&vars, from, side)?.tensor().clone())
    }

    /// The same, recorded.
    pub fn record(&self, from: &[Direction], side: usize) -> Result<Recorded> {
        let tape = Tape::new();
        let vars = GaussianVars::from_all(self.arrays.iter().map(|t| tape.variable(t.clone())).collect());
        let renders = self.drawn(&vars, from, side)?;
        Ok(Recorded { tape, vars, renders })
    }

    /// Follows a cotangent of the renders, and lets opacities fade by `opacity_weight`; rates times `factor`.
    pub fn step(&mut self, recorded: Recorded, cotangent: Tensor, opacity_weight: f64, factor: f64) -> Result<()> {
        let Recorded { tape, vars, renders } = recorded;
        let mut loss = lumigrad_guidance::distill::pull(&renders, cotangent)?;
        if opacity_weight > 0.0 {
            loss = loss.add(&vars.opacity_logits.sigmoid()?.sum()?.scale(opacity_weight)?)?;
        }
        let mut gradients = tape.backward(&loss)?;
        let gradients: Vec<Option<Tensor>> = vars.all().into_iter().map(|v| gradients.take(v)).collect();
        let mut values: Vec<&mut Tensor> = self.arrays.iter_mut().collect();
        self.adam.step(&mut values, &gradients, factor)?;
        self.device.submit();
        Ok(())
    }

    /// Multiplies colours (BEG acts on harmonics).
    pub fn damp(&mut self, factor: f64) -> Result<()> {
        self.arrays[4] = Var::from(self.arrays[4].clone()).scale(factor)?.tensor().clone();
        Ok(())
    }

    /// The Gaussians on the host.
    pub fn gaussians(&self) -> Result<Gaussians> {
        let vars = GaussianVars::from_all(self.arrays.iter().cloned().map(Var::from).collect());
        Ok(vars.gaussians(KERNEL)?)
    }

    /// The arrays, to go back to. Cheap: storage is shared.
    pub fn snapshot(&self) -> Vec<Tensor> {
        self.arrays.clone()
    }

    /// Goes back to arrays of [`Model::snapshot`], with an optimiser that forgot.
    pub fn go_back(&mut self, arrays: Vec<Tensor>) {
        self.arrays = arrays;
        self.adam = Adam::new(self.adam.groups().to_vec());
    }

    /// Writes arrays and optimiser into a checkpoint.
    pub fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        for (name, array) in NAMES.iter().zip(&self.arrays) {
            checkpoint.insert(format!("model.{name}"), array.shape(), Array::F32(array.to_vec::<f32>()?));
        }
        let (steps, moments) = self.adam.state();
        checkpoint.facts.insert("adam".into(), steps.to_string());
        for (name, moment) in moments {
            checkpoint.insert(format!("adam.{name}"), moment.shape(), Array::F32(moment.to_vec::<f32>()?));
        }
        Ok(())
    }

    /// Takes up a checkpoint.
    ///
    /// # Errors
    /// Arrays that are missing or of another size.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        for (name, array) in NAMES.iter().zip(&mut self.arrays) {
            let data = checkpoint.f32(&format!("model.{name}"), array.shape())?;
            *array = Tensor::from_slice(&self.device, data, array.shape())?;
        }
        let steps = checkpoint.facts.get("adam").and_then(|s| s.parse().ok());
        let steps = steps.ok_or_else(|| Error::job("the checkpoint does not tell the optimiser's steps"))?;
        let device = self.device.clone();
        let shape_of = |name: &str| checkpoint.tensors.get(&format!("adam.{name}")).map(|(shape, _)| shape.clone());
        self.adam.load_state(steps, |name| {
            let shape = shape_of(name)?;
            Tensor::from_slice(&device, checkpoint.f32(&format!("adam.{name}"), &shape).ok()?, &shape).ok()
        });
        Ok(())
    }
}
