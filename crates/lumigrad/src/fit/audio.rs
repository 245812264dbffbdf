//! `fit audio`: a sound as a field of time.

use super::describe::{self, Defaults};
use super::drive::{Output, Setup, Task, drive, run_name};
use super::{Fit, FitKeys, given, spectrum};
use crate::fields::signal::time;
use crate::fields::sound::Sound;
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::report::{Clip, Curve, Gallery, Series};
use crate::run::{Observer, Stop, Summary};
use crate::{Error, Result};
use lumigrad_core::ops::random::uniform;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Activation, Derivatives, Encoding, Field};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

job_keys! {
    /// Fit a field of time to a sound, and sample it at any rate.
    FitAudioJob {
        include fit: FitKeys;
        /// The sound: WAV with PCM of 8 to 32 bits or 32-bit floats, of one or more channels.
        sound: Option<PathBuf>, Path, example "\"sound.wav\"";
        /// Seconds from the beginning that are fitted. Without it all.
        max_seconds: Option<f64>, Amount, example "10.0";
        /// Samples in a second of the sound that is written. Without it those of the sound.
        rate: Option<usize>, Count(1), example "48000";
    }
}

pub const FIT: Fit =
    Fit { name: "fit audio", about: FitAudioJob::ABOUT[0], positional: &["sound"], keys: FitAudioJob::keys, run };

const DEFAULTS: Defaults = Defaults {
    encoding: "hash",
    sine: (256, 4),
    // SIREN has 3000 (30, with time from −100 to 100), which takes longer for the same error.
    omega: 1e4,
    sine_rate: 2e-4,
    grid: (16, 16, 64, 1 << 16),
    activation: Activation::Relu,
};
/// Samples of a step where there are more and the job does not say, without and with an encoding.
const BATCH: usize = 1 << 12;
const ENCODED_BATCH: usize = 1 << 14;
/// Samples that a coordinate of 32 bits tells apart well.
const MOST_SAMPLES: usize = 1 << 23;
/// Channels and seconds on the page.
const SHOWN: usize = 2;
const HEARD: f64 = 30.0;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitAudioJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    let path = given(&job.sound, &FIT, "SOUND", "give a sound: lumigrad fit audio sound.wav")?;
    let sound = Sound::load(&path, job.max_seconds)?;
    if sound.len() > MOST_SAMPLES {
        let what = format!("{} samples: a field has at most {MOST_SAMPLES}", sound.len());
        return Err(Error::file(path.display(), what, "give a part of it by --max-seconds"));
    }
    let field = describe::field(&job.fit, 1, sound.channels, &Defaults { grid: grid(sound.len()), ..DEFAULTS })?;
    let plain = field.encoding == Encoding::Identity;
    let batch = job.fit.run.batch.unwrap_or(if plain { BATCH } else { ENCODED_BATCH }).min(sound.len());
    let named =
        (format!("{} ({:.2} s at {} Hz)", path.display(), sound.seconds(), sound.rate), run_name("audio", &path));
    let setup = Setup::of_field(&job.fit, named, (&field, &DEFAULTS), if plain { 2000 } else { 5000 }, &device)?;
    let scale = sound.data.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let scale = if scale > 0.0 { scale } else { 1.0 };
    let rate = job.rate.map_or(sound.rate, |r| u32::try_from(r).unwrap_or(u32::MAX));
    let mut task = AudioTask { sound, scale, field, batch, rate, seed: job.fit.run.common.seed, device };
    drive(setup, &mut task, document, stop, observer)
}

/// Levels, rows, coarsest and finest resolution that suit so many samples: the finest level has a corner every 4 of them.
fn grid(samples: usize) -> (usize, usize, usize, usize) {
    let (levels, rows, base, _) = DEFAULTS.grid;
    (levels, rows, base, (samples / 4).max(2 * base))
}

struct AudioTask {
    sound: Sound,
    /// The largest sample: the field is of the sound divided by it, as SIREN's authors have it.
    scale: f32,
    field: Field,
    batch: usize,
    rate: u32,
    seed: u64,
    device: Device,
}

impl AudioTask {
    /// The field as a sound of so many samples.
    fn sampled(&self, values: &[Tensor], samples: usize, rate: u32) -> Result<Sound> {
        let points: Vec<f32> = (0..samples).map(|k| time(k, samples)).collect();
        let mut data = self.field.sample(values, &points, &Arc::new(Derivatives::none()))?.remove(0);
        data.iter_mut().for_each(|x| *x *= self.scale);
        Ok(Sound { rate, channels: self.sound.channels, data })
    }

    /// What the field leaves of the sound.
    fn error(&self, found: &Sound) -> Sound {
        let data = found.data.iter().zip(&self.sound.data).map(|(a, b)| a - b).collect();
        Sound { data, ..self.sound.clone() }
    }
}

fn power(sound: &Sound) -> f64 {
    sound.data.iter().map(|&x| (x as f64).powi(2)).sum::<f64>() / sound.data.len().max(1) as f64
}

impl Task for AudioTask {
    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        // One sample of each of as many parts of the sound.
        let (n, parts, channels) = (self.sound.len(), self.batch, self.sound.channels);
        let (mut points, mut targets) = (Vec::with_capacity(parts), Vec::with_capacity(parts * channels));
        for k in 0..parts {
            let u = uniform(self.seed, step * parts as u64 + k as u64);
            let at = (((k as f64 + u) / parts as f64 * n as f64) as usize).min(n - 1);
            points.push(time(at, n));
            targets.extend(self.sound.data[at * channels..(at + 1) * channels].iter().map(|x| x / self.scale));
        }
        let points = Tensor::from_slice(&self.device, &points, &[parts, 1])?;
        let targets = Tensor::from_slice(&self.device, &targets, &[parts, channels])?;
        Ok(self.field.value(parameters, &points.into())?.sub(&targets.into())?.square()?.mean()?)
    }

    fn psnr(&mut self, values: &[Tensor]) -> Result<Option<f64>> {
        let found = self.sampled(values, self.sound.len(), self.sound.rate)?;
        Ok(Some(-10.0 * power(&self.error(&found)).max(1e-12).log10()))
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let found = self.sampled(values, self.sound.len(), self.sound.rate)?;
        let error = self.error(&found);
        let mse = power(&error);
        output.summary.metric("mse", mse);
        output.report.figures.push(crate::run::report::Figure::new("MSE", format!("{mse:.2e}"), "full scale is 1"));
        output.figure(
            "snr_db",
            "Signal to noise",
            10.0 * (power(&self.sound) / mse.max(1e-12)).max(1e-12).log10(),
            1,
            " dB",
        );
        output.figure("psnr", "PSNR", -10.0 * mse.max(1e-12).log10(), 1, " dB");
        let facts = [
            ("kind", "audio".to_owned()),
            ("samples", self.sound.len().to_string()),
            ("rate", self.sound.rate.to_string()),
            ("scale", self.scale.to_string()),
        ];
        let facts: BTreeMap<String, String> = facts.map(|(k, v)| (k.to_owned(), v)).into();
        output.model(&self.field, values, facts)?;
        let samples = (self.sound.seconds() * self.rate as f64).round().max(1.0) as usize;
        let written =
            if self.rate == self.sound.rate { found.clone() } else { self.sampled(values, samples, self.rate)? };
        output.file("sound", "sound.wav", &written.to_wav()?)?;
        self.page(&found, &error, output)
    }
}

impl AudioTask {
    fn page(&self, found: &Sound, error: &Sound, output: &mut Output) -> Result<()> {
        let sounds = [("sound", &self.sound), ("field", found), ("error", error)];
        for (name, sound) in sounds {
            let samples = (HEARD * sound.rate as f64) as usize * sound.channels;
            let data = sound.data[..samples.min(sound.data.len())].to_vec();
            output.report.clips.push(Clip { name: name.into(), wav: Sound { data, ..sound.clone() }.to_wav_16()? });
        }
        for c in 0..self.sound.channels.min(SHOWN) {
            let of = if self.sound.channels > 1 { format!(" of channel {}", c + 1) } else { String::new() };
            let mut waves = Gallery { name: format!("Waveform{of}"), ..Gallery::default() };
            let mut spectra = Gallery { name: format!("Spectrogram{of}"), ..Gallery::default() };
            spectra.note = format!("0 to {} Hz, 90 dB", self.sound.rate / 2);
            let mut curve =
                Curve { title: format!("Spectrum{of}"), unit: "dB".into(), x_label: "Hz".into(), ..Curve::default() };
            for (name, sound) in sounds {
                let samples = sound.channel(c);
                waves.states.push((name.into(), spectrum::waveform(&samples)?));
                spectra.states.push((name.into(), spectrum::spectrogram(&samples)?));
                let points = spectrum::mean_spectrum(&samples, sound.rate);
                curve.series.push(Series { name: name.into(), points });
            }
            output.report.galleries.extend([waves, spectra]);
            output.report.curves.push(curve);
        }
        Ok(())
    }
}
