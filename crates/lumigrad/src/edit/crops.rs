//! Which pictures of a model the prior sees.

use crate::Result;
use crate::train::radiance::Scene;
use crate::volume::Rays;
use lumigrad_core::ops::random::{hash, uniform};
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_scene::camera::View;

/// Samples of a step's rays at most.
const SAMPLES: usize = 1 << 24;

/// Cameras, and what of their pictures is cut out.
pub struct Crops {
    /// All of one size.
    pub views: Vec<View>,
    /// Rows and columns of a crop.
    pub side: [usize; 2],
    /// Places of the world that crops are centred on.
    pub aims: Vec<[f64; 3]>,
}

/// A crop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Number of the view.
    pub view: usize,
    /// Its first column and row.
    pub corner: [usize; 2],
}

/// Rendered crops.
pub struct Rendered {
    /// Over what is behind, [n, h, w, 3].
    pub colours: Var,
    /// [n, h, w, 1].
    pub opacities: Var,
}

impl Crops {
    /// Whether crops are whole views.
    pub fn whole(&self) -> bool {
        self.views.iter().all(|v| [v.height, v.width] == self.side)
    }

    /// Some crops, by a seed.
    pub fn draw(&self, n: usize, seed: u64) -> Vec<Crop> {
        let one = |k: u64| {
            let view = (hash(seed, 2 * k) % self.views.len() as u64) as usize;
            self.aimed(view, (hash(seed, 2 * k + 1) % self.aims.len().max(1) as u64) as usize)
        };
        (0..n as u64).map(one).collect()
    }

    /// The crop of a view around a place, within the picture.
    pub fn aimed(&self, view: usize, aim: usize) -> Crop {
        let camera = &self.views[view];
        let [h, w] = self.side;
        let middle = [0.5 * camera.width as f64, 0.5 * camera.height as f64];
        let at = self.aims.get(aim).and_then(|p| camera.project(*p)).map_or(middle, |p| [p[0], p[1]]);
        let first = |at: f64, side: usize, n: usize| ((at - 0.5 * side as f64).max(0.0) as usize).min(n - side.min(n));
        Crop { view, corner: [first(at[0], w, camera.width), first(at[1], h, camera.height)] }
    }

    /// Renders crops, with gradients to the parameters; `behind` is a colour for each, and samples are shifted along their rays
    /// by a seed, if there is one.
    pub fn render(
        &self,
        scene: &Scene,
        parameters: &[Var],
        (crops, behind): (&[Crop], &[[f32; 3]]),
        shifted: Option<u64>,
        device: &Device,
    ) -> Result<Rendered> {
        let [h, w] = self.side;
        let size = h * w;
        let (mut places, mut back) = (vec![], vec![]);
        for (crop, colour) in crops.iter().zip(behind) {
            let [x, y] = crop.corner;
            let at = |k: usize| [(x + k % w) as f64 + 0.5, (y + k / w) as f64 + 0.5];
            places.extend((0..size).map(|k| (&self.views[crop.view], at(k))));
            back.extend(std::iter::repeat_n(*colour, size));
        }
        let n = places.len();
        let rays = Rays::new(scene.domain, &places, device)?;
        let shifts = match shifted {
            Some(seed) => {
                let all: Vec<f32> = (0..n as u64).map(|k| uniform(seed, k) as f32).collect();
                Tensor::from_slice(device, &all, &[n])?
            }
            None => Tensor::zeros(device, DType::F32, &[n])?,
        };
        let (light, done) = scene.light(parameters, &rays, &shifts, SAMPLES)?;
        if done < n {
            let message = format!("{n} rays have more than {SAMPLES} samples");
            return Err(crate::Error::usage("--pictures", message, "take fewer or smaller pictures in a step"));
        }
        let back = Var::from(Tensor::from_slice(device, back.as_flattened(), &[n, 3])?);
        let left = light.opacities.scale(-1.0)?.offset(1.0)?;
        let colours = light.colours.add(&back.mul(&left)?)?.reshape(&[crops.len(), h, w, 3])?;
        Ok(Rendered { colours, opacities: light.opacities.reshape(&[crops.len(), h, w, 1])? })
    }
}
