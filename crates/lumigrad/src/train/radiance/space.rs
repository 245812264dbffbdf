//! The part of space that is trained, with its photographs.

use super::super::dataset::{Dataset, Shot};
use super::super::report::beside;
use super::super::views::scores;
use super::occupied::Occupied;
use super::pixels::{Batch, Pixels};
use super::scene::{Light, Scene};
use super::{Medium, SpaceKeys, file};
use crate::Result;
use crate::fit::drive::Output;
use crate::guiding::PriorTerm;
use crate::run::{background, fixed};
use crate::volume::{Domain, Mapping, March, Rays};
use lumigrad_core::ops::slice_tensor;
use lumigrad_core::{DType, Device, Map, Tensor, Var};
use lumigrad_scene::camera::View;
use lumigrad_splat::{Background, Image};

/// Held-out pictures that are scored while the run goes on.
const SCORED: usize = 4;

/// Distance of the nearest sample of a ray, in half sides of the box: nothing may grow right in front of a camera.
const NEAREST: f64 = 0.05;

/// Weights of the colour of each sample and of the entropy of what is left of a ray's light.
const POINT_WEIGHT: f64 = 0.01;
const ENTROPY_WEIGHT: f64 = 1e-3;

/// The nearest sample's distance: a forward-facing box begins in front of all cameras.
pub fn nearest(domain: &Domain) -> f64 {
    if let Mapping::Forward(_) = domain.mapping { 0.0 } else { NEAREST }
}

/// Photographs, and where in the space that they show samples lie.
pub struct Space<'a> {
    /// Photographs.
    pub dataset: &'a Dataset,
    /// The part of the world that is modelled.
    pub domain: Domain,
    /// How samples are placed in it.
    pub march: March,
    /// Where it is empty.
    pub occupied: Occupied,
    /// Where it is computed.
    pub device: Device,
    pixels: Pixels,
    background: Background,
    /// What stands behind pixels of a step.
    behind: Background,
    distortion: f64,
    /// Samples of a step at most.
    samples: usize,
    prior: Option<PriorTerm>,
}

impl<'a> Space<'a> {
    /// Everything may be full.
    ///
    /// # Errors
    /// Keys that cannot be read; no pixel counts; memory.
    pub fn new(
        keys: &SpaceKeys,
        dataset: &'a Dataset,
        (domain, march): (Domain, March),
        (seed, device): (u64, &Device),
    ) -> Result<Self> {
        let prior = PriorTerm::new(&keys.prior, "training", dataset.train.iter().map(|s| &s.view), seed)?;
        let resolution = keys.occupancy_resolution.unwrap_or(if domain.mapping == Mapping::Bounded { 64 } else { 128 });
        let occupied = Occupied::new(resolution, march.step, device)?;
        let silhouettes = match keys.masks.as_str() {
            "auto" => domain.mapping == Mapping::Bounded,
            chosen => chosen == "silhouette",
        };
        let (pixels, background) = (Pixels::new(dataset, silhouettes)?, background(&keys.photos.background)?);
        let (distortion, samples) = (keys.distortion_weight, keys.samples_per_step);
        // What is cut out by masks is opaque, and outside of silhouettes is nothing: over a fixed background neither shows.
        let masked = |s: &Shot| !s.mask.is_empty() && s.alpha.is_empty();
        let behind = if dataset.train.iter().any(masked) { Background::Random } else { background };
        Ok(Self {
            dataset,
            domain,
            march,
            occupied,
            device: device.clone(),
            pixels,
            background,
            behind,
            distortion,
            samples,
            prior,
        })
    }

    /// A medium in it, sampled in a way of its own.
    pub fn scene<'b>(&'b self, medium: &'b dyn Medium, march: &'b March) -> Scene<'b> {
        let (domain, grid, background) = (&self.domain, &self.occupied.grid, fixed(self.background));
        Scene { medium, domain, march, grid, background }
    }

    /// Everything may be full again, of samples as they are placed now.
    ///
    /// # Errors
    /// Memory.
    pub fn fill(&mut self) -> Result<()> {
        self.occupied = Occupied::new(self.occupied.grid.resolution(), self.march.step, &self.device)?;
        Ok(())
    }

    /// Rays of a step, so many of each pixel.
    ///
    /// # Errors
    /// Memory.
    pub fn draw(&self, n: usize, per_pixel: usize, seed: u64) -> Result<Batch> {
        self.pixels.draw((n, per_pixel, seed), self.dataset, &self.domain, self.behind, &self.device)
    }

    /// The light of a batch's first rays, as many as have no more samples than a step may, and the mean squared difference to the
    /// photographs, with the distortion where it has weight. The batch is cut to these rays.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn loss(&self, scene: &Scene, parameters: &[Var], batch: &mut Batch) -> Result<(Light, Var)> {
        let (light, done) = scene.light(parameters, &batch.rays, &batch.shifts, self.samples)?;
        let part = |t: &Tensor| Ok::<_, crate::Error>(slice_tensor(t, 0, 0, done)?);
        (batch.colours, batch.weights, batch.behind) =
            (part(&batch.colours)?, part(&batch.weights)?, part(&batch.behind)?);
        let var = |t: &Tensor| Var::from(t.clone());
        let (missed, weights) = (batch.missed(&light)?, var(&batch.weights));
        let mut loss = match batch.per_pixel {
            each if each > 1 && done >= each => {
                // Rays of a pixel have one colour to meet together.
                let pixels = done / each;
                let first = |v: &Var| {
                    Ok::<_, crate::Error>(
                        v.slice(0, 0, pixels * each)?.reshape(&[pixels, each, v.shape()[1]])?.mean_axis(1)?,
                    )
                };
                first(&missed)?.square()?.mul(&first(&weights)?)?.mean()?
            }
            _ => missed.square()?.mul(&weights)?.mean()?,
        };
        if self.distortion > 0.0 {
            // Distances in parts of the box's side.
            let spread = light.samples.distortion(&light.weights)?.mul(&var(&batch.weights))?.mean()?;
            loss = loss.add(&spread.scale(0.5 * self.distortion)?)?;
        }
        Ok((light, loss))
    }

    /// A loss with what makes media of grids tidy: each sample should have its pixel's colour, by its weight, and rays should end in
    /// something or in nothing (Sun et al. 2022, §5).
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn tidied(&self, loss: Var, light: &Light, batch: &Batch) -> Result<Var> {
        let weights = Var::from(batch.weights.clone());
        let points = light.seen.sub(&Var::from(batch.colours.clone()).gather(&light.samples.rays)?)?.square()?;
        let each = light.samples.along(&light.weights.stop_gradient(), &points)?.mul(&weights)?;
        let entropy = Map::cached("radiance/entropy", |m| {
            let ([opacity], [weight]) = (m.item("opacity"), m.item("weight"));
            let left = (1.0 - opacity).clamp(1e-6, 1.0 - 1e-6);
            m.output("entropy", &[-(left * left.ln() + (1.0 - left) * (1.0 - left).ln()) * weight]);
        });
        let entropy = entropy.apply(&[&light.opacities, &weights])?.remove(0);
        Ok(loss.add(&each.mean()?.scale(POINT_WEIGHT)?)?.add(&entropy.mean()?.scale(ENTROPY_WEIGHT)?)?)
    }

    /// Cameras of the photographs.
    pub fn views(&self) -> Vec<&View> {
        self.dataset.train.iter().map(|s| &s.view).collect()
    }

    /// Rays through the centres of all pixels of pictures, one after the other and row after row.
    ///
    /// # Errors
    /// Memory.
    pub fn rays(&self, views: &[View]) -> Result<Rays> {
        let mut places = vec![];
        for view in views {
            let pixels = 0..view.width * view.height;
            places.extend(pixels.map(|k| (view, [(k % view.width) as f64 + 0.5, (k / view.width) as f64 + 0.5])));
        }
        Ok(Rays::new(&self.domain, &places, &self.device)?)
    }

    /// A loss with what a prior that the job names pulls at patches of a step, drawn from `seed`; their rays are looked at half a
    /// step in.
    ///
    /// # Errors
    /// Those of the prior.
    pub fn guided(&self, loss: Var, scene: &Scene, parameters: &[Var], seed: u64) -> Result<Var> {
        let Some(prior) = &self.prior else { return Ok(loss) };
        let centre = self.domain.middle();
        let cameras = prior.patches(&self.views(), centre, seed);
        let rays = self.rays(&cameras)?;
        let shifts = Tensor::full(&self.device, DType::F32, &[rays.len()], 0.5)?;
        let (light, _) = scene.light(parameters, &rays, &shifts, usize::MAX)?;
        let behind = Tensor::from_slice(&self.device, &scene.background, &[1, 3])?;
        let left = light.opacities.scale(-1.0)?.offset(1.0)?;
        let shown = light.colours.add(&left.mul(&behind.into())?)?;
        let shown = shown.reshape(&[cameras.len(), cameras[0].height, cameras[0].width, 3])?;
        Ok(loss.add(&prior.evaluate(&shown, &cameras, centre, seed)?)?)
    }

    /// PSNR of some held-out pictures.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn psnr(&self, medium: &dyn Medium, values: &[Tensor]) -> Result<f64> {
        let scored = self.dataset.scored();
        let shots = scored.iter().step_by(scored.len().div_ceil(SCORED).max(1));
        Ok(scores(&self.pictures(medium, values, SCORED)?, shots, self.background)?.0)
    }

    fn pictures(&self, medium: &dyn Medium, values: &[Tensor], most: usize) -> Result<Vec<Image>> {
        let scored = self.dataset.scored();
        let scene = self.scene(medium, &self.march);
        let stride = scored.len().div_ceil(most).max(1);
        scored.iter().step_by(stride).map(|s| scene.picture(values, &s.view, &self.device)).collect()
    }

    /// Scores, pictures and the file of a trained medium, called `name` in the summary and `name`.safetensors.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn finish<M: Medium + file::Kept>(
        &self,
        medium: &M,
        values: &[Tensor],
        name: &str,
        output: &mut Output,
    ) -> Result<()> {
        let rendered = self.pictures(medium, values, usize::MAX)?;
        let bytes = file::to_bytes(medium, &self.scene(medium, &self.march), values)?;
        output.summary.metric("model_bytes", bytes.len() as f64);
        output.file(name, &format!("{name}.safetensors"), &bytes)?;
        beside(self.dataset, &rendered, self.background, output)
    }
}
