//! The loss and the results of `train field`.

use super::super::dataset::Dataset;
use super::super::views::{scores, write_views};
use super::file;
use super::occupied::Occupied;
use super::pixels::Pixels;
use super::render::Scene;
use super::{BATCH, TrainFieldJob, patches};
use crate::Result;
use crate::fit::drive::{Output, Task};
use crate::fit::frames::picture;
use crate::run::fixed;
use crate::run::report::Figure;
use crate::volume::{Domain, March};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::Radiance;
use lumigrad_splat::{Background, Image};

/// Held-out pictures that are scored while the run goes on.
const SCORED: usize = 4;
/// Pictures on the page.
const SHOWN: usize = 6;

pub struct FieldTask<'a> {
    job: &'a TrainFieldJob,
    field: Radiance,
    dataset: &'a Dataset,
    pixels: Pixels,
    domain: Domain,
    march: March,
    occupied: Occupied,
    background: Background,
    device: Device,
}

impl<'a> FieldTask<'a> {
    pub fn new(
        job: &'a TrainFieldJob,
        field: Radiance,
        dataset: &'a Dataset,
        (domain, march): (Domain, March),
        background: Background,
        device: &Device,
    ) -> Result<Self> {
        let resolution = job.occupancy_resolution.unwrap_or(if march.unbounded { 128 } else { 64 });
        let occupied = Occupied::new(resolution, march.step, device)?;
        let (pixels, device) = (Pixels::new(dataset)?, device.clone());
        Ok(Self { job, field, dataset, pixels, domain, march, occupied, background, device })
    }

    /// The field in space, as a step sees it.
    fn scene<'b>(&'b self, march: &'b March) -> Scene<'b> {
        let (field, domain, grid) = (&self.field, &self.domain, &self.occupied.grid);
        Scene { field, domain, march, grid, background: fixed(self.background) }
    }

    /// Samples reach over a part of the scene at first.
    fn annealed(&self, step: u64) -> March {
        let Some(n) = self.job.anneal_range else { return self.march };
        let part = ((step + 1) as f64 / n as f64).clamp(0.5, 1.0);
        if part >= 1.0 {
            return self.march;
        }
        let n = self.dataset.train.len() as f64;
        let distance = |c: [f64; 3]| c.iter().map(|x| x * x).sum::<f64>().sqrt();
        let centres = self.dataset.train.iter().map(|s| distance(self.domain.inside(s.view.centre())));
        let middle = centres.sum::<f64>() / n;
        let half = part * 3f64.sqrt();
        March { range: [(middle - half).max(self.march.range[0]), middle + half], ..self.march }
    }

    fn pictures(&self, values: &[Tensor], most: usize) -> Result<Vec<Image>> {
        let scored = self.dataset.scored();
        let scene = self.scene(&self.march);
        let stride = scored.len().div_ceil(most).max(1);
        scored.iter().step_by(stride).map(|s| scene.picture(values, &s.view, &self.device)).collect()
    }
}

impl Task for FieldTask<'_> {
    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let seed = self.job.fit.common.seed;
        let plain: Vec<Var> = parameters.iter().map(Var::stop_gradient).collect();
        self.occupied.follow(&self.field, &plain, step, seed)?;
        let n = self.job.fit.batch.unwrap_or(BATCH);
        let own = random::hash(seed ^ 0xf1e1d, step);
        let batch = self.pixels.draw((n, own), self.dataset, &self.domain, self.background, &self.device)?;
        let march = self.annealed(step);
        let scene = self.scene(&march);
        let distortion = self.job.distortion_weight > 0.0;
        let most = self.job.samples_per_step;
        let (light, done) = scene.light(parameters, &batch.rays, &batch.shifts, most, distortion)?;
        let part = |t: &Tensor| Ok::<_, crate::Error>(Var::from(lumigrad_core::ops::slice_tensor(t, 0, 0, done)?));
        let (colours, weights, behind) = (part(&batch.colours)?, part(&batch.weights)?, part(&batch.behind)?);
        let left = light.opacities.scale(-1.0)?.offset(1.0)?;
        let shown = light.colours.add(&behind.mul(&left)?)?;
        let mut loss = shown.sub(&colours)?.square()?.mul(&weights)?.mean()?;
        if let Some(distortions) = light.distortions {
            // Distances in parts of the box's side.
            let distortion = distortions.mul(&weights)?.mean()?.scale(0.5 * self.job.distortion_weight)?;
            loss = loss.add(&distortion)?;
        }
        if self.job.depth_smoothness > 0.0 {
            let rays = patches::draw(self.dataset, &self.domain, random::hash(own, 1), &self.device)?;
            let shifts = patches::shifts(&rays, &self.device)?;
            let (light, done) = scene.light(parameters, &rays, &shifts, usize::MAX, false)?;
            debug_assert_eq!(done, rays.len());
            let weight = self.job.depth_smoothness * patches::factor(step);
            loss = loss.add(&patches::roughness(&light.depths)?.scale(weight)?)?;
        }
        Ok(loss)
    }

    fn psnr(&mut self, values: &[Tensor]) -> Result<Option<f64>> {
        let scored = self.dataset.scored();
        let stride = scored.len().div_ceil(SCORED).max(1);
        let shots = scored.iter().step_by(stride);
        Ok(Some(scores(&self.pictures(values, SCORED)?, shots, self.background)?.0))
    }

    fn state(&self) -> Vec<(&'static str, Vec<f32>)> {
        vec![("occupancy", self.occupied.grid.densities().to_vec())]
    }

    fn restore(&mut self, find: &dyn Fn(&str) -> Option<Vec<f32>>) -> Result<()> {
        find("occupancy").map_or(Ok(()), |densities| self.occupied.restore(&densities))
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let rendered = self.pictures(values, usize::MAX)?;
        let scored = self.dataset.scored();
        let (psnr, ssim) = scores(&rendered, scored, self.background)?;
        let held_out = if self.dataset.test.is_empty() { "training pictures" } else { "held-out pictures" };
        output.summary.metric("test_psnr", psnr);
        let note = format!("{} {held_out}, 8 bits", rendered.len());
        output.report.figures.push(Figure::new("PSNR", format!("{psnr:.2} dB"), note));
        output.figure("test_ssim", "SSIM", ssim, 4, "");
        let scene = self.scene(&self.march);
        let bytes = file::to_bytes(&scene, values)?;
        output.summary.metric("model_bytes", bytes.len() as f64);
        output.file("field", "field.safetensors", &bytes)?;
        write_views(&output.folder.path("views"), self.dataset, &rendered, self.background)?;
        output.summary.output("views", &output.folder.final_path("views"));
        let stride = rendered.len().div_ceil(SHOWN).max(1);
        for (image, shot) in rendered.iter().zip(scored).step_by(stride) {
            let of = |data: Vec<f32>| picture(image.width, image.height, data);
            let photograph = super::super::views::over(shot, fixed(self.background));
            let states = vec![("rendered", of(image.colour.as_flattened().to_vec())), ("photograph", of(photograph))];
            output.slider(&shot.view.name, String::new(), states)?;
        }
        Ok(())
    }
}
