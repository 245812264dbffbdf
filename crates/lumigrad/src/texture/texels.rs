//! Textures that views are denoised for, by either method.

use super::compose::filled;
use super::painted::Painted;
use super::runner::{Runner, Stage};
use super::thing::{Seen, Thing};
use super::{GENESIS, TextureJob};
use crate::Result;
use crate::guiding::{FIRST_TIME, Guide};
use crate::run::job::Size;
use lumigrad_core::ops::random_normal;
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_guidance::{
    Agreement, Canvas, Decoded, Level, Pinned, Shown, Synchrony, TextureSpace, combine, one_by_one, texel_noise,
};

/// Views, and the texels that they show.
pub struct Texels {
    pub seen: Seen,
    /// In pictures.
    pub painted: Painted,
    pub canvas: Canvas,
    /// In what is denoised, where that is not pictures.
    latents: Option<Painted>,
}

/// Everything that is known before the first step.
pub struct Painter<'a> {
    pub job: &'a TextureJob,
    pub guide: &'a Guide,
    pub size: Size,
    pub device: Device,
}

/// What was painted.
pub struct PaintedTexels {
    /// The views at the end.
    pub texels: Texels,
    /// Their pictures, [V, h, w, 3] in the prior's range.
    pub pictures: Tensor,
    /// Colours of all texels [texels, 3] in the prior's range, without gaps.
    pub colours: Vec<f32>,
    /// Texels that views saw.
    pub covered: usize,
    /// Each view by itself: the texels of the views, and their pictures.
    pub apart: Option<(Painted, Tensor)>,
}

impl Painter<'_> {
    /// Pixels of pictures along a side of what is denoised.
    fn pixels(&self) -> usize {
        self.guide.info().pixels.max(1)
    }

    fn texels(&self, thing: &Thing, side: Option<usize>, denser: bool) -> Result<Texels> {
        let seen = thing.views(self.job, self.size, self.guide, denser)?;
        let painted = thing.painted(self.job, (side, 1), &seen.views, &self.device)?;
        let pixels = self.pixels();
        let latents = if pixels > 1 && self.job.method == GENESIS {
            let size = Size { width: self.size.width / pixels, height: self.size.height / pixels };
            let small = thing.views(self.job, size, self.guide, denser)?;
            Some(thing.painted(self.job, (None, pixels), &small.views, &self.device)?)
        } else {
            None
        };
        Ok(Texels { canvas: painted.canvas(&self.device)?, seen, painted, latents })
    }

    /// Levels from a time on, at the distance that a whole run's have.
    fn levels(&self, from: f64) -> Vec<Level> {
        let steps = (self.job.iterations as f64 * from / FIRST_TIME).ceil().max(1.0) as usize;
        self.guide.info().schedule.levels(from, 0.0, steps)
    }

    fn shape(&self, views: usize) -> [usize; 4] {
        self.guide.info().denoised(views, [self.size.height, self.size.width])
    }

    /// Noise of views that is drawn in texels, `salt` for each stage another.
    fn noise(&self, texels: &Texels, salt: u64) -> Result<Tensor> {
        let pixels = &texels.latents.as_ref().unwrap_or(&texels.painted).texels;
        let shape = self.shape(texels.seen.views.len());
        Ok(texel_noise(pixels, &shape, self.job.common.seed.wrapping_add(salt), &self.device)?)
    }

    /// Runs `run` with clean estimates that agree on a thing in pictures.
    fn synchronised<T>(
        &self,
        shown: &dyn Shown,
        until: f64,
        run: impl FnOnce(&dyn Agreement) -> Result<T>,
    ) -> Result<T> {
        if self.guide.is_slow() {
            return run(&Synchrony { shown: &Decoded::new(&*self.guide.prior, shown)?, until });
        }
        run(&Synchrony { shown, until })
    }

    /// SyncTweedies: pictures of views whose clean estimates agree on a thing, and of each view by itself.
    ///
    /// # Errors
    /// Those of the prior.
    pub fn sync(&self, seen: &Seen, shown: &dyn Shown, runner: &mut Runner) -> Result<(Tensor, Option<Tensor>)> {
        let levels = self.levels(FIRST_TIME);
        runner.started(steps(&levels));
        let noise = random_normal(&self.device, DType::F32, &self.shape(seen.views.len()), self.job.common.seed)?;
        let noisy = start(&noise, levels[0])?;
        let clean = self.synchronised(shown, self.job.until, |agreement| {
            let stage = Stage {
                number: 0,
                title: "denoising",
                noisy: noisy.clone(),
                levels: &levels,
                agreement: Some(agreement),
                conditions: &seen.conditions,
                base: None,
            };
            runner.run(stage)
        })?;
        Ok((self.guide.pictures(&clean)?, self.alone(&noisy, &levels, seen, runner)?))
    }

    /// Pictures of each view by itself from the same noise, where they are asked for.
    fn alone(&self, noisy: &Tensor, levels: &[Level], seen: &Seen, runner: &mut Runner) -> Result<Option<Tensor>> {
        if self.job.no_comparison || runner.is_stopped() {
            return Ok(None);
        }
        let alone = runner.alone(noisy, levels, &seen.conditions)?;
        Ok(alone.map(|z| self.guide.pictures(&z)).transpose()?)
    }

    /// Textures by [`Self::sync`].
    ///
    /// # Errors
    /// Views that see nothing; those of the prior.
    pub fn textures(&self, thing: &Thing, runner: &mut Runner) -> Result<PaintedTexels> {
        let texels = self.texels(thing, self.job.texture_size, false)?;
        let (pictures, apart) = self.sync(&texels.seen, &texels.canvas, runner)?;
        let (mut colours, mut known) = unpainted(&texels.painted);
        texels.put(&pictures, &mut colours, &mut known, |_| true)?;
        let apart = apart.map(|pictures| (texels.painted.clone(), pictures));
        Ok(self.done(texels, pictures, (colours, known), apart))
    }

    fn done(
        &self,
        texels: Texels,
        pictures: Tensor,
        (colours, known): (Vec<f32>, Vec<bool>),
        apart: Option<(Painted, Tensor)>,
    ) -> PaintedTexels {
        let covered = known.iter().filter(|k| **k).count();
        let colours = filled(&texels.painted, colours, &known);
        PaintedTexels { texels, pictures, colours, covered, apart }
    }

    /// GenesisTex: one texture is denoised in all views; what they do not see is made up in denser views, which are then noised a
    /// little and denoised again.
    ///
    /// # Errors
    /// Views that see nothing; those of the prior.
    pub fn genesis(&self, thing: &Thing, runner: &mut Runner) -> Result<PaintedTexels> {
        let job = self.job;
        let first = self.texels(thing, job.texture_size, false)?;
        let dense = self.texels(thing, Some(first.painted.size[0]), true)?;
        let (mut colours, mut known) = unpainted(&first.painted);
        first.painted.texels.iter().flatten().for_each(|&t| known[t as usize] = true);
        let missing = dense.beyond(&known, &self.device)?;
        let (levels, last) = (self.levels(FIRST_TIME), self.levels(job.refine));
        let makes_up = if missing.is_some() { steps(&levels) } else { 0 };
        let refines = if job.refine > 0.0 { steps(&last) } else { 0 };
        runner.started(steps(&levels) + makes_up + refines);

        let noisy = start(&self.noise(&first, 0)?, levels[0])?;
        let mut pictures = None;
        if runner.is_past(0) {
            runner.skip(steps(&levels));
            colours = runner.base(known.len())?.unwrap_or(colours);
        } else {
            let places = first.latents.as_ref().unwrap_or(&first.painted);
            let canvas = places.canvas(&self.device)?;
            let of = (places.texels.as_slice(), places.weights.as_slice());
            let per_view = places.texels.len() / first.seen.views.len();
            let rule = TextureSpace::new(&canvas, of, per_view, [job.until, job.fade], &self.device)?;
            let stage = Stage {
                number: 0,
                title: "denoising a texture",
                noisy: noisy.clone(),
                levels: &levels,
                agreement: Some(&rule),
                conditions: &first.seen.conditions,
                base: None,
            };
            let found = self.guide.pictures(&runner.run(stage)?)?;
            first.put(&found, &mut colours, &mut known, |_| true)?;
            colours = filled(&first.painted, colours, &known);
            pictures = Some(found);
        }
        let apart = self.alone(&noisy, &levels, &first.seen, runner)?.map(|pictures| (first.painted.clone(), pictures));
        if let (Some(found), true) = (&pictures, runner.is_stopped()) {
            return Ok(self.done(first, found.clone(), (colours, known), apart));
        }
        if let Some(missing) = missing {
            if runner.is_past(1) {
                runner.skip(makes_up);
            } else if !runner.is_stopped() {
                self.make_up(&missing, &levels, &mut colours, &known, runner)?;
            }
            missing.painted.texels.iter().flatten().for_each(|&t| known[t as usize] = true);
        }
        let shown = dense.shown(&colours, [self.size.height, self.size.width])?;
        let pictures = if refines > 0 && !runner.is_stopped() {
            self.refined(&dense, &shown, &last, &colours, runner)?
        } else {
            shown
        };
        dense.put(&pictures, &mut colours, &mut known, |_| true)?;
        Ok(self.done(dense, pictures, (colours, known), apart))
    }

    /// Inpainting: views are denoised from noise, what is known of them stays as it is.
    fn make_up(
        &self,
        missing: &Texels,
        levels: &[Level],
        colours: &mut Vec<f32>,
        known: &[bool],
        runner: &mut Runner,
    ) -> Result<()> {
        let marks: Vec<bool> = missing.canvas.covered().iter().map(|&t| known[t as usize]).collect();
        let pinned = Pinned::new(&missing.canvas, &missing.values(colours)?, &marks)?;
        let clean = self.synchronised(&pinned, 1.0, |agreement| {
            let stage = Stage {
                number: 1,
                title: "making up what no view saw",
                noisy: start(&self.noise(missing, 1)?, levels[0])?,
                levels,
                agreement: Some(agreement),
                conditions: &missing.seen.conditions,
                base: Some(colours),
            };
            runner.run(stage)
        })?;
        let mut seen = known.to_vec();
        missing.put(&self.guide.pictures(&clean)?, colours, &mut seen, |t| !known[t])?;
        *colours = filled(&missing.painted, std::mem::take(colours), &seen);
        Ok(())
    }

    /// Image to image: what views show is noised a little and denoised again, together to the end, which closes seams.
    fn refined(
        &self,
        dense: &Texels,
        shown: &Tensor,
        levels: &[Level],
        colours: &[f32],
        runner: &mut Runner,
    ) -> Result<Tensor> {
        let prior = &*self.guide.prior;
        let clean =
            if self.guide.is_slow() { one_by_one(shown, |_, x| prior.entered(x))? } else { prior.entered(shown)? };
        let noise = self.noise(dense, 2)?;
        let noisy = combine(&[(&clean.into(), &[levels[0].a]), (&noise.into(), &[levels[0].sigma])])?;
        let clean = self.synchronised(&dense.canvas, 1.0, |agreement| {
            let stage = Stage {
                number: 2,
                title: "refining",
                noisy: noisy.tensor().clone(),
                levels,
                agreement: Some(agreement),
                conditions: &dense.seen.conditions,
                base: Some(colours),
            };
            runner.run(stage)
        })?;
        Ok(self.guide.pictures(&clean)?)
    }
}

/// Steps that are taken through levels.
fn steps(levels: &[Level]) -> usize {
    levels.iter().filter(|l| l.sigma > 0.0).count()
}

/// Pictures of noise alone at a level.
fn start(noise: &Tensor, level: Level) -> Result<Tensor> {
    let deviation = level.a.hypot(level.sigma);
    Ok(Var::from(noise.clone()).scale(deviation)?.tensor().clone())
}

/// Colours of texels that nobody has painted.
fn unpainted(painted: &Painted) -> (Vec<f32>, Vec<bool>) {
    let n = painted.materials.len() * painted.texels_each();
    (vec![0.0; 3 * n], vec![false; n])
}

impl Texels {
    /// Puts what pictures show, averaged, into those of the texels that are `wanted`.
    fn put(
        &self,
        pictures: &Tensor,
        colours: &mut [f32],
        known: &mut [bool],
        wanted: impl Fn(usize) -> bool,
    ) -> Result<()> {
        let own = Var::from(pictures.reshape(&[pictures.len() / 3, 3])?);
        let values = self.canvas.average(&own)?.tensor().to_vec::<f32>()?;
        for (&t, value) in self.canvas.covered().iter().zip(values.chunks_exact(3)) {
            let t = t as usize;
            if wanted(t) {
                colours[3 * t..3 * t + 3].copy_from_slice(value);
                known[t] = true;
            }
        }
        Ok(())
    }

    /// Colours of the covered texels, [covered, 3].
    fn values(&self, colours: &[f32]) -> Result<Tensor> {
        let covered = self.canvas.covered();
        let values: Vec<f32> = covered.iter().flat_map(|&t| colours[3 * t as usize..][..3].to_vec()).collect();
        Ok(Tensor::from_slice(self.canvas.device(), &values, &[covered.len(), 3])?)
    }

    /// Pictures [V, h, w, 3] of colours of texels, over their mean.
    fn shown(&self, colours: &[f32], [h, w]: [usize; 2]) -> Result<Tensor> {
        let values = self.values(colours)?;
        let mean = Var::from(values.clone()).mean_axis(0)?.reshape(&[1, 3])?;
        let n = self.canvas.n_pixels();
        let behind = Var::from(Tensor::zeros(values.device(), DType::F32, &[n, 3])?).add(&mean)?;
        Ok(self.canvas.show(&values.into(), &behind)?.tensor().reshape(&[n / (h * w), h, w, 3])?)
    }

    /// Those of the views that show texels which are not known, if any does.
    fn beyond(&self, known: &[bool], device: &Device) -> Result<Option<Texels>> {
        let n = self.seen.views.len();
        let unknown = |texel: &Option<u32>| texel.is_some_and(|t| !known[t as usize]);
        let shows = |k: &usize| self.painted.of_view(*k, n).0.iter().any(unknown);
        let chosen: Vec<usize> = (0..n).filter(shows).collect();
        if chosen.is_empty() {
            return Ok(None);
        }
        let of = |painted: &Painted| painted.select(&chosen, n);
        let conditions = match self.seen.conditions.len() {
            1 => self.seen.conditions.clone(),
            _ => chosen.iter().map(|&k| self.seen.conditions[k].clone()).collect(),
        };
        let views = chosen.iter().map(|&k| self.seen.views[k].clone()).collect();
        let painted = of(&self.painted);
        let canvas = painted.canvas(device)?;
        Ok(Some(Texels { seen: Seen { views, conditions }, painted, canvas, latents: self.latents.as_ref().map(of) }))
    }
}
