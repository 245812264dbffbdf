//! The loss and the results of `train field`.

use super::super::radiance::Space;
use super::{BATCH, TrainFieldJob, patches};
use crate::Result;
use crate::fit::drive::{Output, Task};
use crate::guiding;
use crate::volume::{Mapping, March};
use lumigrad_core::ops::random;
use lumigrad_core::{Tensor, Var};
use lumigrad_field::{Parameter, Radiance};

pub struct FieldTask<'a> {
    pub job: &'a TrainFieldJob,
    pub field: Radiance,
    pub space: Space<'a>,
}

impl FieldTask<'_> {
    /// Samples reach over a part of the scene at first.
    fn annealed(&self, step: u64) -> March {
        let march = self.space.march;
        let Some(n) = self.job.anneal_range else { return march };
        let part = ((step + 1) as f64 / n as f64).clamp(0.5, 1.0);
        if part >= 1.0 {
            return march;
        }
        let (domain, shots) = (&self.space.domain, &self.space.dataset.train);
        let (middle, half) = if let Mapping::Forward(_) = domain.mapping {
            let half = domain.half[2] / domain.unit();
            (half, part * half)
        } else {
            let distance = |c: [f64; 3]| c.iter().map(|x| x * x).sum::<f64>().sqrt();
            let centres = shots.iter().map(|s| distance(domain.inside(s.view.centre())));
            (centres.sum::<f64>() / shots.len() as f64, part * 3f64.sqrt())
        };
        March { range: [(middle - half).max(march.range[0]), middle + half], ..march }
    }
}

impl Task for FieldTask<'_> {
    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let seed = self.job.fit.run.common.seed;
        let plain: Vec<Var> = parameters.iter().map(Var::stop_gradient).collect();
        self.space.occupied.follow(&self.field, &plain, step, seed)?;
        let own = random::hash(seed ^ 0xf1e1d, step);
        let mut batch = self.space.draw(self.job.fit.run.batch.unwrap_or(BATCH), 1, own)?;
        let march = self.annealed(step);
        let scene = self.space.scene(&self.field, &march);
        let (_, mut loss) = self.space.loss(&scene, parameters, &mut batch)?;
        if self.job.depth_smoothness > 0.0 {
            let (space, device) = (&self.space, &self.space.device);
            let views = space.views();
            let size = (patches::SIDE, patches::SIDE);
            let seen = guiding::patches(&views, space.domain.middle(), patches::PATCHES, size, random::hash(own, 1));
            let rays = space.rays(&seen)?;
            let shifts = patches::shifts(&rays, device)?;
            let (light, done) = scene.light(parameters, &rays, &shifts, usize::MAX)?;
            debug_assert_eq!(done, rays.len());
            let weight = self.job.depth_smoothness * patches::factor(step);
            loss = loss.add(&patches::roughness(&light.depths)?.scale(weight)?)?;
        }
        self.space.guided(loss, &scene, parameters, random::hash(own, 2))
    }

    fn psnr(&mut self, values: &[Tensor]) -> Result<Option<f64>> {
        Ok(Some(self.space.psnr(&self.field, values)?))
    }

    fn state(&self) -> Vec<(&'static str, Vec<f32>)> {
        vec![("occupancy", self.space.occupied.grid.densities().to_vec())]
    }

    fn restore(&mut self, find: &dyn Fn(&str) -> Option<Vec<f32>>) -> Result<Option<Vec<Parameter>>> {
        find("occupancy").map_or(Ok(()), |densities| self.space.occupied.restore(&densities))?;
        Ok(None)
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        self.space.finish(&self.field, values, "field", output)
    }
}
