//! What is learnt of each photograph beside the Gaussians: where it was taken from, how it was exposed and toned.

use super::trainer::{core, optim};
use super::{CameraVars, bilateral};
use crate::{Error, Remembered, TrainOptions, View};
use lumigrad_core::{CallParams, DType, Device, Gradients, Map, Tape, Tensor, Var};
use lumigrad_optim::pose::{Chart, poses, retract};
use lumigrad_optim::{Adam, Group};

type Result<T> = std::result::Result<T, Error>;

/// Part of the run after which cameras learn: at first all pictures differ from what is drawn, in one way, and exposures
/// would follow it together.
const FROM: f64 = 0.1;
/// What rates are multiplied with until the last step.
const LAST: f64 = 0.01;
/// Leaves colours as they are.
pub(super) const IDENTITY: [f32; 12] = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];

/// Cameras that are learnt.
pub struct Cameras {
    device: Device,
    learns: Learns,
    /// Of poses, exposures and tones at the first step.
    rates: [f64; 3],
    chart: Chart,
    pictures: Vec<Own>,
}

#[derive(Clone, Copy)]
struct Learns {
    poses: bool,
    exposures: bool,
    tones: bool,
}

/// What is known of one picture.
struct Own {
    /// World → camera; numbers of `f32`, so that checkpoints hold them.
    pose: [[f64; 4]; 4],
    /// Rows of three factors and a constant.
    exposure: [f32; 12],
    /// A bilateral grid, where it is learnt.
    tones: Option<Tensor>,
    /// Of the motion, the exposure and the tones: each picture has steps of its own.
    adams: [Adam; 3],
}

/// Recorded motion [1, 6], exposure [1, 12] and bilateral grid of a picture, where they are learnt.
#[derive(Default)]
pub struct CameraLeaves {
    motion: Option<Var>,
    exposure: Option<Var>,
    tones: Option<Var>,
}

impl Cameras {
    /// Cameras that start at the views' own; `None` where nothing of them is learnt.
    ///
    /// **Errors**: memory of the device.
    pub fn new(
        views: &[&View],
        chart: Chart,
        options: &TrainOptions,
        device: &Device,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Self>> {
        let tones = options.bilateral_grid;
        let learns = Learns { poses: options.refine_poses, exposures: options.exposures, tones };
        if !learns.poses && !learns.exposures && !learns.tones {
            return Ok(None);
        }
        let own = |view: &&View| -> Result<Own> {
            let adam = |name: &str| Adam::new(vec![Group { epsilon: 1e-15, ..Group::new(name, 1.0) }]);
            // Cells that few pixels see do not follow rounding.
            let tones_adam = Adam::new(vec![Group { epsilon: 1e-8, ..Group::new("tones", 1.0) }]);
            Ok(Own {
                pose: view.viewmat.map(|row| row.map(f64::from)),
                exposure: IDENTITY,
                tones: learns.tones.then(|| bilateral::identity(device)).transpose().map_err(core)?,
                adams: [adam("motion"), adam("exposure"), tones_adam],
            })
        };
        let rates = [options.pose_rate, options.exposure_rate, options.tone_rate].map(f64::from);
        let pictures = views.iter().map(own).collect::<Result<_>>()?;
        let mut out = Self { device: device.clone(), learns, rates, chart, pictures };
        if let Some(remembered) = remembered {
            out.recall(remembered)?;
        }
        Ok(Some(out))
    }

    /// Leaves for picture `k` on a tape.
    ///
    /// **Errors**: memory of the device.
    pub fn leaves(&self, k: usize, tape: &Tape) -> Result<CameraLeaves> {
        let motion = self.learns.poses.then(|| self.still()).transpose()?;
        let exposure = self.learns.exposures.then(|| self.exposure(k)).transpose()?;
        let tones = self.pictures[k].tones.clone();
        let [motion, exposure, tones] = [motion, exposure, tones].map(|x| x.map(|x| tape.variable(x)));
        Ok(CameraLeaves { motion, exposure, tones })
    }

    fn exposure(&self, k: usize) -> Result<Tensor> {
        Tensor::from_slice(&self.device, &self.pictures[k].exposure, &[1, 12]).map_err(core)
    }

    fn still(&self) -> Result<Tensor> {
        Tensor::zeros(&self.device, DType::F32, &[1, 6]).map_err(core)
    }

    /// The camera of picture `k`, moved.
    pub fn camera(&self, k: usize, leaves: &CameraLeaves, like: &CameraVars) -> Result<CameraVars> {
        let motion = leaves.motion.clone().map_or_else(|| self.still().map(Var::from), Ok)?;
        let viewmat = poses(&motion, &[self.pictures[k].pose], self.chart).map_err(optim)?;
        Ok(CameraVars { viewmat: viewmat.reshape(&[1, 12]).map_err(core)?, ..like.clone() })
    }

    /// Colours [H·W, 3] as picture `k` exposes and tones them.
    pub fn expose(&self, k: usize, leaves: &CameraLeaves, colour: &Var, size: [usize; 2]) -> Result<Var> {
        let colour = if self.learns.exposures { self.affine(k, leaves, colour)? } else { colour.clone() };
        let tones = leaves.tones.clone().or_else(|| self.pictures[k].tones.clone().map(Var::from));
        tones.map_or(Ok(colour.clone()), |tones| bilateral::tone(&colour, &tones, size)).map_err(core)
    }

    /// What is added to the loss: tones change slowly.
    pub fn regularised(&self, leaves: &CameraLeaves, loss: &Var) -> Result<Var> {
        match &leaves.tones {
            Some(tones) => bilateral::variation(tones).and_then(|v| loss.add(&v)).map_err(core),
            None => Ok(loss.clone()),
        }
    }

    /// A matrix and a constant.
    fn affine(&self, k: usize, leaves: &CameraLeaves, colour: &Var) -> Result<Var> {
        let map = Map::cached("splat/expose", |m| {
            let (c, e) = (m.item::<3>("colour"), m.uniform::<12>("exposure"));
            let row = |r: usize| e[4 * r] * c[0] + e[4 * r + 1] * c[1] + e[4 * r + 2] * c[2] + e[4 * r + 3];
            m.output("exposed", &[row(0), row(1), row(2)]);
        });
        let exposure = leaves.exposure.clone().map_or_else(|| self.exposure(k).map(Var::from), Ok)?;
        Ok(map.apply_with(&[colour, &exposure], CallParams::default()).map_err(core)?.remove(0))
    }

    /// Moves camera and exposure of picture `k` along their gradients.
    pub fn learn(&mut self, k: usize, leaves: &CameraLeaves, gradients: &mut Gradients, progress: f64) -> Result<()> {
        if progress < FROM {
            return Ok(());
        }
        let factor = LAST.powf(progress.clamp(0.0, 1.0));
        let (mut motion, exposure) = (self.still()?, self.exposure(k)?);
        let own = &mut self.pictures[k];
        let [pose_adam, exposure_adam, tones_adam] = &mut own.adams;
        if let Some(gradient) = leaves.motion.as_ref().and_then(|m| gradients.take(m)) {
            pose_adam.step(&mut [&mut motion], &[Some(gradient)], self.rates[0] * factor).map_err(optim)?;
            let motion = motion.to_f64_vec().map_err(core)?;
            let moved = retract(&[own.pose], &motion, self.chart).map_err(optim)?[0];
            own.pose = moved.map(|row| row.map(|x| f64::from(x as f32)));
        }
        if let Some(gradient) = leaves.exposure.as_ref().and_then(|e| gradients.take(e)) {
            let mut exposure = exposure;
            exposure_adam.step(&mut [&mut exposure], &[Some(gradient)], self.rates[1] * factor).map_err(optim)?;
            own.exposure.copy_from_slice(&exposure.to_vec::<f32>().map_err(core)?);
        }
        if let (Some(leaf), Some(tones)) = (&leaves.tones, &mut own.tones) {
            tones_adam.step(&mut [tones], &[gradients.take(leaf)], self.rates[2] * factor).map_err(optim)?;
        }
        Ok(())
    }

    /// Poses, world → camera.
    pub fn poses(&self) -> Vec<[[f64; 4]; 4]> {
        self.pictures.iter().map(|p| p.pose).collect()
    }

    /// For checkpoints.
    ///
    /// **Errors**: those of the device.
    pub fn remember(&self) -> Result<Remembered> {
        let mut out = Remembered::default();
        for (k, own) in self.pictures.iter().enumerate() {
            let pose = own.pose.iter().flatten().map(|x| *x as f32).collect();
            out.arrays.insert(format!("{k} pose"), (vec![4, 4], pose));
            out.arrays.insert(format!("{k} exposure"), (vec![12], own.exposure.to_vec()));
            if let Some(tones) = &own.tones {
                let data = tones.to_vec::<f32>().map_err(core)?;
                out.arrays.insert(format!("{k} grid"), (tones.shape().to_vec(), data));
            }
            for adam in &own.adams {
                let (steps, tensors) = adam.state();
                for (name, tensor) in &tensors {
                    let data = tensor.to_vec::<f32>().map_err(core)?;
                    out.arrays.insert(format!("{k} {name}"), (tensor.shape().to_vec(), data));
                }
                let name = &adam.groups()[0].name;
                out.numbers.insert(format!("{k} {name}"), steps as f64);
            }
        }
        Ok(out)
    }

    fn recall(&mut self, from: &Remembered) -> Result<()> {
        for (k, own) in self.pictures.iter_mut().enumerate() {
            let tensor = |name: &str| -> Option<Tensor> {
                let (shape, data) = from.arrays.get(&format!("{k} {name}"))?;
                Tensor::from_slice(&self.device, data, shape).ok()
            };
            if let Some((_, pose)) = from.arrays.get(&format!("{k} pose")).filter(|p| p.1.len() == 16) {
                own.pose = std::array::from_fn(|r| std::array::from_fn(|c| f64::from(pose[4 * r + c])));
            }
            if let Some((_, exposure)) = from.arrays.get(&format!("{k} exposure")).filter(|e| e.1.len() == 12) {
                own.exposure.copy_from_slice(exposure);
            }
            if own.tones.is_some() {
                own.tones = tensor("grid").or(own.tones.take());
            }
            for adam in &mut own.adams {
                let name = adam.groups()[0].name.clone();
                let steps = from.numbers.get(&format!("{k} {name}")).copied().unwrap_or(0.0);
                adam.load_state(steps as u32, tensor);
            }
        }
        Ok(())
    }
}
