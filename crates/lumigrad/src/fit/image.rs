//! `fit image`: a picture as a field.

use super::describe::{self, Defaults};
use super::drive::{Output, Setup, Task, drive, run_name};
use super::{Fit, FitKeys, given};
use crate::guiding::{PriorTerm, PriorTermKeys};
use crate::run::job::Kind::*;
use crate::run::job::{Document, Size, job_keys};
use crate::run::{Observer, Stop, Summary};
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Activation, Derivatives, Field};
use lumigrad_scene::picture::{Picture, Transfer};
use std::path::PathBuf;
use std::sync::Arc;

job_keys! {
    /// Fit a field to a picture, and sample it at any size.
    FitImageJob {
        include fit: FitKeys;
        include prior: PriorTermKeys;
        /// The picture: PNG, JPEG, WebP, EXR or HDR.
        image: Option<PathBuf>, Path, example "\"picture.png\"";
        /// Bound of the longer side; the picture is reduced to it.
        max_size: Option<usize>, Count(1), example "256";
        /// Size of the picture that is sampled. Without it that of the picture.
        size: Option<Size>, Size, example "\"1024x1024\"";
    }
}

pub const FIT: Fit =
    Fit { name: "fit image", about: FitImageJob::ABOUT[0], positional: &["image"], keys: FitImageJob::keys, run };

const DEFAULTS: Defaults = Defaults {
    encoding: "none",
    sine: (256, 4),
    omega: 60.0,
    sine_rate: 1e-3,
    grid: (16, 16, 16, 512),
    activation: Activation::Relu,
};
/// Pixels of a step where there are more and the job does not say.
const BATCH: usize = 1 << 16;
/// The same with an encoding, whose steps are small.
const ENCODED_BATCH: usize = 1 << 14;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitImageJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    let path = given(&job.image, &FIT, "IMAGE", "give a picture: lumigrad fit image picture.png")?;
    let picture = load(&path, job.max_size)?;
    let channels = picture.channels;
    let field = describe::field(&job.fit, 2, channels, &Defaults { grid: grid(&picture), ..DEFAULTS })?;
    let plain = field.encoding == lumigrad_field::Encoding::Identity;
    let batch = job.fit.run.batch.unwrap_or(if plain { BATCH } else { ENCODED_BATCH });
    let named = (format!("{} ({}×{})", path.display(), picture.width, picture.height), run_name("image", &path));
    let setup = Setup::of_field(&job.fit, named, (&field, &DEFAULTS), if plain { 2000 } else { 5000 }, &device)?;
    let size = job.size.map(|s| (s.width, s.height));
    let seed = job.fit.run.common.seed;
    let name = path.display().to_string();
    let prior = PriorTerm::beside(&job.prior, "fit image", &[(&name, [picture.height, picture.width])], seed)?;
    if prior.is_some() && (channels != 3 || picture.transfer != Transfer::Srgb) {
        let message = format!("{name} has {channels} channels{}", if channels == 3 { " of light" } else { "" });
        return Err(Error::usage("--prior", message, "a prior pulls at display-encoded colours without alpha"));
    }
    let mut task = ImageTask { pixels: Pixels::new(&picture), picture, field, batch, size, seed, device, prior };
    drive(setup, &mut task, document, stop, observer)
}

/// Levels, rows, coarsest and finest resolution that suit a picture.
fn grid(picture: &Picture) -> (usize, usize, usize, usize) {
    let (levels, rows, base, _) = DEFAULTS.grid;
    (levels, rows, base, picture.width.max(picture.height).max(2 * base))
}

/// A picture without hidden colours: alpha stays a channel, colour is straight.
pub(crate) fn load(path: &std::path::Path, max_size: Option<usize>) -> Result<Picture> {
    let picture = Picture::load(path)?;
    let longest = picture.width.max(picture.height);
    if longest == 0 {
        return Err(Error::file(path.display(), "a picture without pixels", "give one that has some"));
    }
    if let Some(k) = picture.data.iter().position(|x| !x.is_finite()) {
        let (x, y) = (k / picture.channels % picture.width, k / picture.channels / picture.width);
        return Err(Error::file(path.display(), format!("the pixel at {x}, {y} is not finite"), "repair the picture"));
    }
    let own = (picture.width, picture.height);
    let (w, h) = reduced(own, max_size);
    if (w, h) == own {
        return Ok(picture);
    }
    let transfer = picture.transfer;
    let small = picture.into_linear().resized(w, h);
    Ok(if transfer == Transfer::Srgb { small.into_srgb() } else { small })
}

/// A display-encoded picture without alpha: over black.
pub(super) fn opaque(path: &std::path::Path, max_size: Option<usize>) -> Result<Picture> {
    let picture = load(path, max_size)?.into_srgb();
    Ok(if picture.has_alpha() { picture.over([0.0; 3]) } else { picture })
}

/// Two pictures without alpha, in colour where one of them is.
pub(super) fn alike(a: Picture, b: Picture) -> (Picture, Picture) {
    let rgb = |p: Picture| p.into_rgba().over([0.0; 3]);
    if a.channels == b.channels { (a, b) } else { (rgb(a), rgb(b)) }
}

/// Columns and rows where the longer side is at most so long.
pub(super) fn reduced((w, h): (usize, usize), max_size: Option<usize>) -> (usize, usize) {
    let longest = w.max(h);
    let side = |n: usize| max_size.map_or(n, |m| if m < longest { (n * m).div_ceil(longest).max(1) } else { n });
    (side(w), side(h))
}

/// Centres of pixels, with the longer side from −1 to 1.
pub(super) fn centre(index: usize, width: usize, height: usize) -> [f32; 2] {
    let scale = 1.0 / width.max(height) as f32;
    let (x, y) = ((index % width) as f32, (index / width) as f32);
    [(2.0 * x + 1.0 - width as f32) * scale, (2.0 * y + 1.0 - height as f32) * scale]
}

/// All centres of a picture of this size.
pub(super) fn centres(width: usize, height: usize) -> Vec<f32> {
    (0..width * height).flat_map(|k| centre(k, width, height)).collect()
}

/// Points and targets.
struct Pixels {
    points: Vec<f32>,
    /// Of all pixels on the device, where a step takes all.
    all: Option<(Tensor, Tensor)>,
}

impl Pixels {
    fn new(picture: &Picture) -> Self {
        Self { points: centres(picture.width, picture.height), all: None }
    }
}

struct ImageTask {
    picture: Picture,
    pixels: Pixels,
    field: Field,
    batch: usize,
    size: Option<(usize, usize)>,
    seed: u64,
    device: Device,
    prior: Option<PriorTerm>,
}

impl ImageTask {
    /// Points and targets of a step.
    fn batch(&mut self, step: u64) -> Result<(Tensor, Tensor)> {
        let (n, channels) = (self.picture.width * self.picture.height, self.picture.channels);
        if n <= self.batch {
            if self.pixels.all.is_none() {
                let points = Tensor::from_slice(&self.device, &self.pixels.points, &[n, 2])?;
                let targets = Tensor::from_slice(&self.device, &self.picture.data, &[n, channels])?;
                self.pixels.all = Some((points, targets));
            }
            return Ok(self.pixels.all.clone().expect("just made"));
        }
        let (mut points, mut targets) = (vec![], vec![]);
        for k in 0..self.batch as u64 {
            let pixel = (random::hash(self.seed, step * self.batch as u64 + k) % n as u64) as usize;
            points.extend_from_slice(&self.pixels.points[2 * pixel..2 * pixel + 2]);
            targets.extend_from_slice(&self.picture.data[pixel * channels..(pixel + 1) * channels]);
        }
        let points = Tensor::from_slice(&self.device, &points, &[self.batch, 2])?;
        Ok((points, Tensor::from_slice(&self.device, &targets, &[self.batch, channels])?))
    }

    /// A prior's pull at patches of the field, at the picture's resolution but between its pixels.
    fn pulled(&self, prior: &PriorTerm, parameters: &[Var], seed: u64) -> Result<Var> {
        let [n, rows, columns] = prior.shape();
        let (w, h) = (self.picture.width, self.picture.height);
        let scale = 1.0 / w.max(h) as f32;
        let mut points = Vec::with_capacity(2 * n * rows * columns);
        for k in 0..n as u64 {
            let place = |room: usize, which: u64| random::uniform(seed, 2 * k + which) as f32 * room as f32 + 0.5;
            let (left, top) = (place(w - columns, 0), place(h - rows, 1));
            for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y as f32, x as f32))) {
                points.push((2.0 * (left + x) - w as f32) * scale);
                points.push((2.0 * (top + y) - h as f32) * scale);
            }
        }
        let points = Tensor::from_slice(&self.device, &points, &[n * rows * columns, 2])?;
        let patches = self.field.value(parameters, &points.into())?.reshape(&[n, rows, columns, 3])?;
        prior.evaluate_unseen(&patches, seed)
    }

    /// The field as a picture.
    fn sampled(&self, values: &[Tensor], width: usize, height: usize) -> Result<Picture> {
        let points = centres(width, height);
        let data = self.field.sample(values, &points, &Arc::new(Derivatives::none()))?.remove(0);
        Ok(Picture { width, height, data, ..self.picture.clone() })
    }

    fn is_hdr(&self) -> bool {
        self.picture.transfer == Transfer::Linear
    }

    /// What pictures are compared by: display-encoded values, light above 1 cut off.
    fn score(&self, values: &[Tensor]) -> Result<(f64, Picture)> {
        let (w, h) = (self.picture.width, self.picture.height);
        let found = self.sampled(values, w, h)?;
        let shown = |p: &Picture| p.clone().into_srgb().data.into_iter().map(|x| x.clamp(0.0, 1.0)).collect::<Vec<_>>();
        Ok((lumigrad_metrics::psnr(&shown(&found), &shown(&self.picture))?, found))
    }
}

impl Task for ImageTask {
    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let (points, targets) = self.batch(step)?;
        let found = self.field.value(parameters, &points.into())?;
        let difference = found.sub(&targets.clone().into())?;
        if !self.is_hdr() {
            let loss = difference.square()?.mean()?;
            return match &self.prior {
                Some(prior) => Ok(loss.add(&self.pulled(prior, parameters, random::hash(!self.seed, step))?)?),
                None => Ok(loss),
            };
        }
        // Relative to what is there, so that lights do not outweigh shadows (Lehtinen et al. 2018).
        let size = found.stop_gradient().square()?.offset(0.01)?;
        Ok(difference.square()?.div(&size)?.mean()?)
    }

    fn psnr(&mut self, values: &[Tensor]) -> Result<Option<f64>> {
        Ok(Some(self.score(values)?.0))
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let (psnr, found) = self.score(values)?;
        output.figure("psnr", "PSNR", psnr, 2, " dB");
        let mse = found.data.iter().zip(&self.picture.data).map(|(a, b)| ((a - b) as f64).powi(2)).sum::<f64>();
        output.summary.metric("mse", mse / found.data.len().max(1) as f64);
        let facts = [("kind", "image"), ("transfer", if self.is_hdr() { "linear" } else { "srgb" })];
        let mut facts: std::collections::BTreeMap<String, String> =
            facts.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        facts.insert("size".into(), format!("{}x{}", self.picture.width, self.picture.height));
        output.model(&self.field, values, facts)?;
        let (w, h) = self.size.unwrap_or((self.picture.width, self.picture.height));
        let sampled = if self.size.is_some() { self.sampled(values, w, h)? } else { found.clone() };
        if self.is_hdr() {
            sampled.save_exr(&output.folder.path("image.exr"))?;
            output.summary.output("image", &output.folder.final_path("image.exr"));
        } else {
            output.file("image", "image.png", &clamped(sampled).encode_png()?)?;
        }
        let errors = errors(&found, &self.picture);
        let states = vec![("picture", self.picture.clone()), ("field", found), ("error ×10", errors)];
        output.slider("picture", format!("{psnr:.2} dB"), states)
    }
}

/// Values within [0, 1].
pub(super) fn clamped(mut picture: Picture) -> Picture {
    picture.data.iter_mut().for_each(|x| *x = x.clamp(0.0, 1.0));
    picture
}

/// Ten times the absolute difference, opaque.
pub(super) fn errors(a: &Picture, b: &Picture) -> Picture {
    let mut out = a.clone();
    let alpha = out.has_alpha();
    let n = out.channels;
    for (k, (x, y)) in out.data.iter_mut().zip(&b.data).enumerate() {
        *x = if alpha && k % n == n - 1 { 1.0 } else { 10.0 * (*x - y).abs() };
    }
    out
}
