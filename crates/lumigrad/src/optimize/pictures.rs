//! Pictures of a run at its present state, and how they are compared with their targets.

use super::display::{encode, over};
use super::drive::mean_psnr;
use super::problem::Target;
use super::run::Optimizer;
use crate::Result;
use crate::run::fixed;
use crate::splat::Background;
use lumigrad_core::ops::random;
use lumigrad_core::{Tensor, Var};
use lumigrad_geometry::Cut;
use lumigrad_raster::{Bindings, Camera, Frame};

impl Optimizer<'_> {
    /// Encoded pictures of targets at the present state: over black, or as photographs without alpha show them.
    pub fn pictures(&self, targets: &[Target], training: bool) -> Result<Vec<Tensor>> {
        self.shown(targets, training, |frame, camera, t| {
            let picture = encode(&frame.render(camera)?.image)?;
            let shown = if t.opaque { over(&picture, fixed(self.settings.background), true)? } else { picture };
            Ok(shown.tensor().clone())
        })
    }

    /// What `of` makes of the present state, seen by each target's camera.
    pub(super) fn shown<T>(
        &self,
        targets: &[Target],
        training: bool,
        of: impl Fn(&Frame, &Camera, &Target) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut bindings = Bindings::new();
        for v in &self.variables {
            v.bind(&v.value.clone().into(), &mut bindings)?;
        }
        let reshaped = match &self.flexible {
            Some(flexible) => {
                let surface = flexible.surface(&self.leaves(), Cut::Diagonals)?;
                Some(flexible.renderer(&self.renderer, &surface, &mut bindings)?)
            }
            None => None,
        };
        let frame = reshaped.as_ref().unwrap_or(&self.renderer).frame(&bindings)?;
        let motion = self.motion.clone().filter(|_| training).map(Var::from);
        let viewmats = self.viewmats(motion.as_ref())?;
        let lens = self.intrinsics.as_ref().filter(|_| training).map(|i| Var::from(i.value.clone()));
        targets
            .iter()
            .enumerate()
            .map(|(k, t)| {
                let camera = self.camera(t, k, viewmats.as_ref(), lens.as_ref())?;
                of(&frame, &camera, t)
            })
            .collect()
    }

    /// What a training view is compared over in this step.
    fn background(&self, view: usize) -> [f32; 3] {
        match self.settings.background {
            Background::Colour(colour) => colour,
            Background::Random => {
                let seed = random::hash(random::hash(self.settings.seed, 5), self.iteration as u64);
                std::array::from_fn(|c| random::uniform(seed, (3 * view + c) as u64) as f32)
            }
        }
    }

    /// An encoded picture of a training view over black, and its target, as they are compared: over the background, with
    /// no alpha where the photograph has none.
    pub(super) fn compared(&self, picture: &Var, view: usize) -> Result<(Var, Tensor)> {
        let target = &self.problem.train[view];
        let background = self.background(view);
        if background == [0.0; 3] && !target.opaque {
            return Ok((picture.clone(), target.encoded.clone()));
        }
        let behind = over(&target.encoded.clone().into(), background, target.opaque)?;
        Ok((over(picture, background, target.opaque)?, behind.tensor().clone()))
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
        for (k, picture) in self.pictures(&self.problem.train, true)?.into_iter().enumerate() {
            let (picture, target) = self.compared(&picture.into(), k)?;
            let loss = self.loss.evaluate(&picture, &target, self.problem.train[k].mask.as_ref())?;
            sum += loss.tensor().item()?;
        }
        Ok(sum / self.problem.train.len() as f64)
    }
}
