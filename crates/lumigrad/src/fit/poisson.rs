//! `fit poisson`: a picture of which only derivatives are known; two pictures composed by their derivatives.

use super::describe::{self, Defaults};
use super::drive::{Output, Setup, Task, drive, run_name};
use super::frames::picture;
use super::image::{centres, clamped, errors};
use super::known::{Batch, Known};
use super::{Fit, FitKeys, given};
use crate::Result;
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::{Observer, Stop, Summary};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Activation, Derivatives, Field};
use lumigrad_scene::picture::Picture;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

job_keys! {
    /// Recover a picture from its gradients or its Laplacian alone, or compose two by their gradients.
    FitPoissonJob {
        include fit: FitKeys;
        /// The picture: PNG, JPEG, WebP, EXR or HDR. Alpha is taken as over black.
        image: Option<PathBuf>, Path, example "\"picture.png\"";
        /// Bound of the longer side; pictures are reduced to it.
        max_size: Option<usize>, Count(1), example "256";
        /// What is known of the picture.
        from: String, Choice(&["gradient", "laplacian"]), default "\"gradient\"";
        /// A picture of the same size that is set into the picture where the mask is bright: it gives its derivatives there, the
        /// picture its colours elsewhere.
        source: Option<PathBuf>, Path, example "\"source.png\"";
        /// Where the source is set in: a picture of the same size, bright there and dark elsewhere.
        mask: Option<PathBuf>, Path, example "\"mask.png\"";
        /// Take the picture's own gradient within the mask where it is the stronger one.
        mixed: bool, Flag, default "false";
        /// Compare derivatives pixel by pixel only, as SIREN's authors do; without it, also their means over squares of 2, 4, 8, …
        /// pixels, which tell of errors that vary slowly.
        pixelwise: bool, Flag, default "false";
        /// Weight of the picture's colours outside of the mask.
        value_weight: f64, Amount, default "100.0";
    }
}

pub const FIT: Fit =
    Fit { name: "fit poisson", about: FitPoissonJob::ABOUT[0], positional: &["image"], keys: FitPoissonJob::keys, run };

const DEFAULTS: Defaults = Defaults {
    encoding: "none",
    sine: (128, 4),
    omega: 30.0,
    sine_rate: 5e-4,
    grid: (16, 16, 16, 512),
    activation: Activation::Mish,
};
/// Points of a step where there are more and the job does not say.
const BATCH: usize = 1 << 14;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitPoissonJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    let path = given(&job.image, &FIT, "IMAGE", "give a picture: lumigrad fit poisson picture.png")?;
    let known = Known::load(&path, &job)?;
    let (width, height) = (known.picture.width, known.picture.height);
    let field = describe::field(&job.fit, 2, known.picture.channels, &DEFAULTS)?;
    let named = (format!("{} ({width}×{height}) from its {}", path.display(), job.from), run_name("poisson", &path));
    let setup = Setup::of_field(&job.fit, named, (&field, &DEFAULTS), 2000, &device)?;
    let batch = job.fit.run.batch.unwrap_or(BATCH);
    let seed = job.fit.run.common.seed;
    let mut task = PoissonTask {
        places: centres(width, height),
        known,
        field,
        batch,
        all: None,
        seed,
        device,
        pixelwise: job.pixelwise,
    };
    drive(setup, &mut task, document, stop, observer)
}

struct PoissonTask {
    known: Known,
    /// Centres of the pixels.
    places: Vec<f32>,
    field: Field,
    batch: usize,
    /// Of all pixels, where a step takes all.
    all: Option<Batch>,
    seed: u64,
    device: Device,
    pixelwise: bool,
}

impl PoissonTask {
    /// The whole picture where a step takes it, else a square at a random place.
    fn batch(&mut self, step: u64) -> Result<Batch> {
        let (w, h) = (self.known.picture.width, self.known.picture.height);
        let whole = w * h <= self.batch;
        if let Some(all) = &self.all {
            return Ok(all.clone());
        }
        let rows = h.min((self.batch as f64).sqrt().ceil() as usize);
        let place = random::hash(self.seed, step) as usize % (w * h);
        let rectangle = match whole {
            true => [[0; 2], [h, w]],
            false => [[place / w, place % w], [rows, w.min(self.batch.div_ceil(rows))]],
        };
        let draw = |k| random::uniform(self.seed ^ step.rotate_left(32), k);
        let batch = self.known.rectangle(&self.places, rectangle, draw, &self.device)?;
        if whole && self.known.composition.is_none() {
            self.all = Some(batch.clone());
        }
        Ok(batch)
    }

    fn derivatives(&self) -> Arc<Derivatives> {
        Arc::new(if self.known.laplacian { Derivatives::laplacian(2) } else { Derivatives::gradient(2) })
    }

    /// The picture that is found, and the factor and offsets that bring the field there.
    fn found(&self, values: &[Tensor]) -> Result<(Picture, (f64, Vec<f64>))> {
        let mut data = self.field.sample(values, &self.places, &Arc::new(Derivatives::none()))?.remove(0);
        let (scale, offsets) = self.known.alignment(&data);
        data.iter_mut().zip(offsets.iter().cycle()).for_each(|(x, o)| *x = (scale * *x as f64 + o) as f32);
        Ok((picture(self.known.picture.width, self.known.picture.height, data), (scale, offsets)))
    }

    /// PSNR against the picture; of a composition, outside of the mask.
    fn score(&self, found: &Picture) -> Result<f64> {
        let channels = found.channels;
        let of = |p: &Picture| -> Vec<f32> {
            let values = clamped(p.clone()).data;
            let outside = |k: usize| self.known.composition.as_ref().is_none_or(|c| !c.inside[k / channels]);
            values.into_iter().enumerate().filter(|&(k, _)| outside(k)).map(|(_, x)| x).collect()
        };
        Ok(lumigrad_metrics::psnr(&of(found), &of(&self.known.picture))?)
    }

    /// Length of the gradient, or size of the Laplacian, of each pixel, as a picture.
    fn strength(&self, slopes: &[f32]) -> Picture {
        let top = 4.0 * self.known.slope_scale.sqrt() as f32;
        let length = |s: &[f32]| s.iter().map(|x| x * x).sum::<f32>().sqrt() / top;
        let data = slopes.chunks_exact(self.known.row()).map(length).collect();
        clamped(picture(self.known.picture.width, self.known.picture.height, data))
    }

    /// Slopes of the field, as the known ones are ordered.
    fn slopes(&self, values: &[Tensor]) -> Result<Vec<f32>> {
        let streams = self.field.sample(values, &self.places, &self.derivatives())?;
        let n = self.known.slopes.len();
        if self.known.laplacian {
            return Ok(streams.into_iter().last().filter(|s| s.len() == n).unwrap_or_else(|| vec![0.0; n]));
        }
        let (x, y) = (&streams[1], &streams[2]);
        Ok(x.iter().zip(y).flat_map(|(&x, &y)| [x, y]).collect())
    }
}

impl Task for PoissonTask {
    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let batch = self.batch(step)?;
        let jet = self.field.jet(parameters, &batch.points.into(), &self.derivatives())?;
        let weight = 1.0 / self.known.slope_scale;
        let n = self.known.picture.channels as f64;
        let mut sum: Option<Var> = None;
        for (axis, wanted) in batch.slopes.into_iter().enumerate() {
            let found = if self.known.laplacian { jet.laplacian()? } else { jet.first(axis)? };
            let mut error = found.sub(&wanted.into())?;
            if let Some([inside, ..]) = &batch.values {
                error = error.mul(&inside.clone().into())?;
            }
            let error = self.mean_square(&error, batch.size)?.scale(weight * n)?;
            sum = Some(match sum {
                Some(s) => s.add(&error)?,
                None => error,
            });
        }
        let sum = sum.expect("there is an axis");
        let Some([_, weights, wanted]) = batch.values else { return Ok(sum) };
        let error = jet.value().sub(&wanted.into())?.square()?.mul(&weights.into())?;
        Ok(sum.add(&error.mean()?)?)
    }

    fn psnr(&mut self, values: &[Tensor]) -> Result<Option<f64>> {
        Ok(Some(self.score(&self.found(values)?.0)?))
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let (found, alignment) = self.found(values)?;
        let psnr = self.score(&found)?;
        let slopes = self.slopes(values)?;
        let known = &self.known;
        let inside = |k: usize| known.is_inside(k / known.row());
        let wrong = slopes.iter().zip(&known.slopes).enumerate().filter(|&(k, _)| inside(k));
        let (mut wrong_sum, mut sum) = (0.0, 0.0);
        for (_, (&a, &b)) in wrong {
            wrong_sum += ((a - b) as f64).powi(2);
            sum += (b as f64).powi(2);
        }
        match known.composition {
            None => output.figure("psnr", "PSNR, means aligned", psnr, 2, " dB"),
            Some(_) => output.figure("outside_psnr", "PSNR outside of the mask", psnr, 2, " dB"),
        }
        let (key, label) = match known.laplacian {
            true => ("laplacian_error_percent", "Error of the Laplacian"),
            false => ("gradient_error_percent", "Error of the gradient"),
        };
        output.figure(key, label, 100.0 * (wrong_sum / if sum > 0.0 { sum } else { 1.0 }).sqrt(), 2, " %");
        self.save(values, alignment, output)?;
        let mut shown = found.clone();
        if let Some(c) = &known.composition {
            // What is known there need not be fitted.
            let n = shown.channels;
            for (k, x) in shown.data.iter_mut().enumerate().filter(|(k, _)| !c.inside[k / n]) {
                *x = known.picture.data[k];
            }
        }
        output.file("image", "image.png", &clamped(shown.clone()).encode_png()?)?;
        let (wanted, has) = (self.strength(&known.slopes), self.strength(&slopes));
        let states = match &known.composition {
            None => vec![
                ("picture", known.picture.clone()),
                ("recovered", found.clone()),
                ("error ×10", errors(&found, &known.picture)),
            ],
            Some(c) => vec![
                ("picture", known.picture.clone()),
                ("composed", shown),
                ("source", c.source.clone()),
                ("field", found),
            ],
        };
        let name = if known.laplacian { "Laplacian" } else { "gradient" };
        let difference: Vec<f32> = slopes.iter().zip(&known.slopes).map(|(a, b)| 10.0 * (a - b)).collect();
        let own = vec![("wanted", wanted), ("of the field", has), ("error ×10", self.strength(&difference))];
        for (name, note, states) in [("picture", format!("{psnr:.2} dB"), states), (name, name.to_owned(), own)] {
            output.slider(name, note, states)?;
        }
        Ok(())
    }
}

impl PoissonTask {
    /// Mean square of derivatives' errors [N, channels], and of their means over squares of 2ˡ pixels with weights 4ˡ.
    ///
    /// An error of the picture of frequency k is one of k times the size in its gradient, so that the mean square hardly
    /// sees slow ones. Means over squares keep those with k < 2⁻ˡ: the sum weighs errors of the picture about alike. That is
    /// for errors that can vanish; where pictures are composed some remain, and the mean square alone spreads them evenly.
    fn mean_square(&self, error: &Var, [mut rows, mut columns]: [usize; 2]) -> Result<Var> {
        let mut sum = error.square()?.mean()?;
        let channels = error.shape()[1];
        let mut means = error.reshape(&[rows, columns, channels])?;
        let mut weight = 1.0;
        while !self.pixelwise && self.known.composition.is_none() && rows.min(columns) >= 2 {
            (rows, columns) = (rows / 2, columns / 2);
            weight *= 4.0;
            let even = means.slice(0, 0, 2 * rows)?.slice(1, 0, 2 * columns)?;
            let across = even.reshape(&[2 * rows, columns, 2, channels])?.mean_axis(2)?;
            means = across.reshape(&[rows, 2, columns, channels])?.mean_axis(1)?;
            sum = sum.add(&means.square()?.mean()?.scale(weight)?)?;
        }
        Ok(sum)
    }

    /// Writes the field, brought to where the picture is: its last layer takes up factor and offsets.
    fn save(&self, values: &[Tensor], (scale, offsets): (f64, Vec<f64>), output: &mut Output) -> Result<()> {
        let mut values = values.to_vec();
        let last = values.len() - 2;
        for (k, value) in values.iter_mut().enumerate().skip(last) {
            let mut numbers = value.to_vec::<f32>()?;
            let offset = |at: usize| if k > last { offsets[at] } else { 0.0 };
            numbers.iter_mut().enumerate().for_each(|(at, x)| *x = (scale * *x as f64 + offset(at)) as f32);
            *value = Tensor::from_slice(&self.device, &numbers, value.shape())?;
        }
        let size = format!("{}x{}", self.known.picture.width, self.known.picture.height);
        let facts = [("kind", "image"), ("transfer", "srgb"), ("size", &size)];
        let facts: BTreeMap<String, String> = facts.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        output.model(&self.field, &values, facts)
    }
}
