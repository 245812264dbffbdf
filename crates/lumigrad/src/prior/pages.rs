//! What a training of a prior writes: figures, the prior, the page.

use super::draw;
use super::folder::{CHANNELS, Part};
use super::frechet::{Moments, stream};
use super::score::{BANDS, Score, Trial};
use super::task::{PriorTask, many};
use crate::Result;
use crate::fit::drive::Output;
use crate::run::report::{Curve, Series, Table};
use lumigrad_core::{Device, Tensor};
use lumigrad_guidance::modify::Guidance;
use lumigrad_guidance::trained::FILE;
use lumigrad_guidance::{Condition, DiffusionPrior};
use lumigrad_scene::picture::{Picture, Transfer};

/// Pictures along a side of a sheet.
const SHEET: usize = 8;
/// Times that pixels are enlarged on the page.
const ZOOM: usize = 3;
/// Samples whose nearest neighbours are shown.
const NEIGHBOURS: usize = 8;
/// How losses are measured.
const PROTOCOL: &str = "Mean square error of the prediction of picture − noise, over pixels and over α uniform in [0, 1], on \
patches of pictures that were held out; the Gaussian has mean and covariance of 16384 patches of the trained pictures (full up to \
1536 numbers, beyond that independent cosine waves).";
/// How distances are measured.
const DISTANCE: &str = "Squared Fréchet distance to patches of the trained pictures, in 48 fixed random features (two \
convolutions of 3 × 3 with rectifiers, averaged over the patch).";

impl PriorTask {
    pub fn write(&mut self, output: &mut Output) -> Result<()> {
        let seed = self.job.run.common.seed;
        let trial = Trial::new(&self.folder, Part::HeldOut, self.job.test_patches, stream(seed, 1), &self.device)?;
        let (own, best) = (trial.score(&*self.prior)?, self.best_gaussian()?);
        let gaussian = trial.score(best.as_ref())?;
        output.figure("loss", "Loss on held-out pictures", own.loss, 4, "");
        output.figure("gaussian_loss", "Best Gaussian", gaussian.loss, 4, "");
        output.figure("loss_over_gaussian", "Loss over the best Gaussian's", own.loss / gaussian.loss, 3, "");
        self.prior.facts_mut().insert("loss".into(), own.loss.to_string());
        self.prior.facts_mut().insert("loss_over_gaussian".into(), (own.loss / gaussian.loss).to_string());
        self.prior.facts_mut().insert("held_out".into(), self.folder.held_out().join(", "));
        output.file("prior", FILE, &self.prior.to_bytes()?)?;
        self.losses(&own, &gaussian, output);
        if self.job.drawn > 0 {
            self.compare(best.as_ref(), output)?;
        }
        Ok(())
    }

    /// Errors by level, and during the run.
    fn losses(&self, own: &Score, gaussian: &Score, output: &mut Output) {
        let points = |s: &Score| (0..BANDS).map(|k| ((k as f64 + 0.5) / BANDS as f64, s.bands[k])).collect();
        let series = |name: &str, points| Series { name: name.into(), points };
        output.report.curves.push(Curve {
            title: "Loss by level, from noise to pictures".into(),
            unit: String::new(),
            x_label: "α".into(),
            log: false,
            series: vec![series("network", points(own)), series("best Gaussian", points(gaussian))],
        });
        if self.seen.len() > 1 {
            output.report.curves.push(Curve {
                title: "Loss on held-out pictures".into(),
                unit: String::new(),
                x_label: "step".into(),
                log: false,
                series: vec![series("network", self.seen.clone())],
            });
        }
        let rows = (0..BANDS).map(|k| {
            let band = format!("{:.1} to {:.1}", k as f64 / BANDS as f64, (k + 1) as f64 / BANDS as f64);
            let (a, b) = (own.bands[k], gaussian.bands[k]);
            vec![band, format!("{a:.4}"), format!("{b:.4}"), format!("{:.3}", a / b)]
        });
        let columns = ["α", "network", "best Gaussian", "ratio"].map(String::from).into();
        output.report.tables.push(Table { title: PROTOCOL.into(), columns, rows: rows.collect() });
    }

    /// Samples of the prior and of the Gaussian beside trained patches, and their distances.
    fn compare(&self, best: &dyn DiffusionPrior, output: &mut Output) -> Result<()> {
        let (seed, n, p) = (self.job.run.common.seed, self.job.drawn, self.job.patch);
        let drawing = draw::Drawing {
            guidance: Guidance::default(),
            method: "heun",
            steps: self.job.steps,
            condition: Condition::null(),
            seed: stream(seed, 2),
        };
        let of = |prior: &dyn DiffusionPrior| draw::pictures(prior, ([p; 2], n), &drawing, &self.device);
        let (own, gaussian) = (of(&*self.prior)?, of(best)?);
        let real = self.folder.draw(Part::Trained, many(p), stream(seed, 3), &Device::cpu())?.pictures;
        if n > 1 {
            let features = |t: &Tensor| t.to_device(&Device::cpu()).map_err(Into::into).and_then(|t| Moments::of(&t));
            let truth = features(&real)?;
            let distances = [truth.distance(&features(&own)?)?, truth.distance(&features(&gaussian)?)?];
            output.figure("frechet", "Distance of samples", distances[0], 4, "");
            output.figure("frechet_gaussian", "Of the Gaussian's samples", distances[1], 4, "");
            output.figure("frechet_improvement", "Gaussian's over the prior's", distances[1] / distances[0], 2, "");
        }
        let sheets = vec![
            ("prior", sheet(&own.to_vec::<f32>()?, p)),
            ("best Gaussian", sheet(&gaussian.to_vec::<f32>()?, p)),
            ("trained patches", sheet(&real.to_vec::<f32>()?, p)),
        ];
        output.file("samples", "samples.png", &sheets[0].1.encode_png()?)?;
        output.gallery("Samples", DISTANCE, sheets)?;
        let pairs = nearest(&own.to_vec::<f32>()?, &real.to_vec::<f32>()?, p);
        let note = format!("samples above, below each the nearest of {} trained patches", many(p));
        output.gallery("Nearest neighbours", &note, vec![("samples and neighbours", pairs)])
    }
}

/// Patches [N, P, P, 3] in [−1, 1] side by side, 8 in a row, enlarged.
fn sheet(patches: &[f32], p: usize) -> Picture {
    let pixels = p * p * CHANNELS;
    let n = (patches.len() / pixels).min(SHEET * SHEET);
    let (columns, rows) = (n.clamp(1, SHEET), n.div_ceil(SHEET).max(1));
    let cell = p * ZOOM + 1;
    let (width, height) = (columns * cell, rows * cell);
    let mut data = vec![1.0; width * height * CHANNELS];
    for (i, patch) in patches.chunks_exact(pixels).take(n).enumerate() {
        for (y, x) in (0..p * ZOOM * p * ZOOM).map(|k| (k / (p * ZOOM), k % (p * ZOOM))) {
            let to = ((i / columns * cell + y) * width + i % columns * cell + x) * CHANNELS;
            let from = (y / ZOOM * p + x / ZOOM) * CHANNELS;
            for c in 0..CHANNELS {
                data[to + c] = 0.5 + 0.5 * patch[from + c].clamp(-1.0, 1.0);
            }
        }
    }
    Picture { width, height, channels: CHANNELS, data, transfer: Transfer::Srgb, premultiplied: false }
}

/// A sheet of samples with the nearest real patch, by squared distance, below each.
fn nearest(samples: &[f32], real: &[f32], p: usize) -> Picture {
    let pixels = p * p * CHANNELS;
    let chosen: Vec<&[f32]> = samples.chunks_exact(pixels).take(NEIGHBOURS).collect();
    let near = chosen.iter().map(|s| {
        let distance = |r: &[f32]| s.iter().zip(r).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
        let all = real.chunks_exact(pixels).map(|r| (distance(r), r));
        all.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(&[][..], |(_, r)| r)
    });
    let lines: Vec<&[f32]> = chosen.iter().copied().chain(near).collect();
    sheet(&lines.concat(), p)
}
