//! Cases of the group `splats`: rendering and training steps.

use super::timing::{record, time};
use crate::core::{DType, Device};
use crate::run::Summary;
use crate::splat::device::{CameraVars, DeviceOptions, DeviceTrainer, GaussianVars, render_vars};
use crate::splat::{
    Gaussians, Kernel, RenderOptions, Renderer, Train, TrainOptions, TrainState, Trainer, TrainingPicture, View,
};
use crate::{Error, Result};

const SIDE: usize = 400;
const GAUSSIANS: u32 = 100_000;
/// Standard deviation of a Gaussian in a cloud of size 1: about 50 of them are in a pixel.
const SIZE: f32 = 0.008;

/// A low-discrepancy cloud (Roberts 2018) in the unit cube.
fn cloud() -> Gaussians {
    let at = |i: u32, k: f64| ((i as f64 * k).fract() - 0.5) as f32;
    let ratios = [0.819_172_513_396_164_5, 0.671_043_606_703_789_3, 0.549_700_477_901_970_3];
    let means: Vec<[f32; 3]> = (0..GAUSSIANS).map(|i| ratios.map(|r| at(i, r))).collect();
    let colours: Vec<[f32; 3]> = means.iter().map(|m| m.map(|x| x + 0.5)).collect();
    let mut gaussians = Gaussians::from_points(&means, &colours, 3, Kernel::Classic);
    gaussians.log_scales.fill([SIZE.ln(); 3]);
    gaussians
}

fn view() -> View {
    let half = SIDE as f32 / 2.0;
    View {
        viewmat: [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.5], [0.0, 0.0, 0.0, 1.0]],
        intrinsics: [400.0, 400.0, half, half],
        width: SIDE,
        height: SIDE,
        projection: Default::default(),
    }
}

fn failed(e: crate::splat::Error) -> Error {
    Error::job(e.to_string())
}

/// Rendering, and a whole training step, of 100 000 Gaussians.
pub fn steps(device: &Device, summary: &mut Summary) -> Result<()> {
    let (gaussians, view) = (cloud(), view());
    let options = RenderOptions::default();
    let rendered = match device.is_cpu() {
        true => {
            let mut renderer = Renderer::new(&gaussians).map_err(failed)?;
            time(device, || renderer.render(&view, &options).map(drop).map_err(failed))?
        }
        false => {
            let vars = GaussianVars::new(&gaussians, device, DType::F32)?;
            let camera = CameraVars::new(&view, device, DType::F32)?;
            let options = DeviceOptions { kernel: Kernel::Classic, sh_degree: 3, alpha_min: 1.0 / 255.0 };
            time(device, || Ok(render_vars(&vars, &camera, &options).map(drop)?))?
        }
    };
    record(summary, "splats_100k_400_render_ms", rendered.median * 1e3, &rendered);
    let picture = TrainingPicture { view, colour: vec![[0.5; 3]; SIDE * SIDE], alpha: vec![], mask: vec![] };
    let state = TrainState::new(gaussians);
    let mut trainer: Box<dyn Train> = match device.is_cpu() {
        true => Box::new(Trainer::resume(state, vec![picture], TrainOptions::default()).map_err(failed)?),
        false => Box::new(DeviceTrainer::new(state, &[picture], TrainOptions::default(), device).map_err(failed)?),
    };
    let step = time(device, || trainer.step(0.5).map(drop).map_err(failed))?;
    record(summary, "splats_100k_400_step_ms", step.median * 1e3, &step);
    Ok(())
}
