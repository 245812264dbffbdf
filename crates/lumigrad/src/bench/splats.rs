//! Cases of the group `splats`: rendering and training steps.

use super::timing::{record, time};
use crate::core::{DType, Device};
use crate::run::Summary;
use crate::splat::device::{CameraVars, DeviceOptions, DeviceTrainer, GaussianVars, render_vars};
use crate::splat::{
    Gaussians, Kernel, RenderOptions, Renderer, Train, TrainOptions, TrainState, Trainer, TrainingPicture, View,
};
use crate::{Error, Result};

/// A cloud that fills the picture.
pub(super) struct Case {
    pub name: &'static str,
    pub gaussians: u32,
    pub size: [usize; 2],
    /// Standard deviation of a Gaussian in a cloud of height 1.
    pub sigma: f32,
}

/// About 50 Gaussians are in a pixel.
const SMALL: Case = Case { name: "100k_400", gaussians: 100_000, size: [400; 2], sigma: 0.008 };
/// What hardware GPUs are for; about 30 Gaussians are in a pixel.
const LARGE: [Case; 2] = [
    Case { name: "1m_1080p", gaussians: 1_000_000, size: [1920, 1080], sigma: 0.002 },
    Case { name: "3m_1080p", gaussians: 3_000_000, size: [1920, 1080], sigma: 0.001_2 },
];

impl Case {
    /// A low-discrepancy cloud (Roberts 2018) in a box of the picture's shape.
    pub fn cloud(&self) -> Gaussians {
        let at = |i: u32, k: f64| ((i as f64 * k).fract() - 0.5) as f32;
        let ratios = [0.819_172_513_396_164_5, 0.671_043_606_703_789_3, 0.549_700_477_901_970_3];
        let mut means: Vec<[f32; 3]> = (0..self.gaussians).map(|i| ratios.map(|r| at(i, r))).collect();
        let colours: Vec<[f32; 3]> = means.iter().map(|m| m.map(|x| x + 0.5)).collect();
        let [width, height] = self.size.map(|x| x as f32);
        means.iter_mut().for_each(|m| m[0] *= width / height);
        let mut gaussians = Gaussians::from_points(&means, &colours, 3, Kernel::Classic);
        gaussians.log_scales.fill([self.sigma.ln(); 3]);
        gaussians
    }

    pub fn view(&self) -> View {
        let [width, height] = self.size;
        let focal = height as f32;
        View {
            viewmat: [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.5], [0.0, 0.0, 0.0, 1.0]],
            intrinsics: [focal, focal, width as f32 / 2.0, height as f32 / 2.0],
            width,
            height,
            projection: Default::default(),
            shutter: Default::default(),
        }
    }
}

fn failed(e: crate::splat::Error) -> Error {
    Error::job(e.to_string())
}

/// Rendering, and a whole training step: of 100 000 Gaussians, and of millions where there is a GPU.
pub fn steps(device: &Device, summary: &mut Summary) -> Result<()> {
    measure(device, &SMALL, summary)?;
    let hardware = !device.is_cpu() && !device.is_software();
    LARGE.iter().filter(|_| hardware).try_for_each(|case| measure(device, case, summary))
}

fn measure(device: &Device, case: &Case, summary: &mut Summary) -> Result<()> {
    let (gaussians, view) = (case.cloud(), case.view());
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
    record(summary, &format!("splats_{}_render_ms", case.name), rendered.median * 1e3, &rendered);
    let colour = vec![[0.5; 3]; view.width * view.height];
    let picture = TrainingPicture { view, colour, alpha: vec![], mask: vec![], depth: vec![], normals: vec![] };
    let state = TrainState::new(gaussians);
    let mut trainer: Box<dyn Train> = match device.is_cpu() {
        true => Box::new(Trainer::resume(state, vec![picture], TrainOptions::default()).map_err(failed)?),
        false => Box::new(DeviceTrainer::new(state, &[picture], TrainOptions::default(), device).map_err(failed)?),
    };
    let step = time(device, || trainer.step(0.5).map(drop).map_err(failed))?;
    record(summary, &format!("splats_{}_step_ms", case.name), step.median * 1e3, &step);
    Ok(())
}
