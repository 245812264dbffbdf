//! The loss around the solution of a run, on a plane of two random directions that are as long as what they move (Li et al.
//! 2018, "Visualizing the Loss Landscape of Neural Nets").

use super::objective::{StepObjective, unwrap_objective};
use super::problem::Problem;
use super::run::{Optimizer, POSE_GROUP};
use super::settings::Settings;
use crate::run::job::Document;
use crate::run::job::commands::{LandscapeJob, OptimizeJob};
use crate::run::report::{Curve, Figure, Gallery, Image, Report, Series};
use crate::run::{Checkpoint, Event, Observer, Stop, Summary, peak_memory_bytes};
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_optim::{Objective, Sample};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Length of a camera's motion, in radians and in distances to the scene: it has no length of its own.
const MOTION: f64 = 0.1;
/// Pixels of the picture along a side.
const SIDE: usize = 480;
/// Bands of colour; their edges are the contours.
const BANDS: f64 = 24.0;

/// Draws the landscape of a run folder: landscape.png, landscape.json and landscape.html in `out`, by default the folder.
///
/// # Errors
/// There is no run of `optimize`, or its scene or pictures are gone.
pub fn landscape(job: &LandscapeJob, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let start = Instant::now();
    let usage = |message: &str| Error::usage("landscape", message, "lumigrad landscape runs/NAME");
    let run = job.run.as_deref().ok_or_else(|| usage("RUN is missing"))?;
    let file = run.join("job.toml");
    if !file.is_file() {
        return Err(Error::file(run.display(), "this folder holds no job.toml", "give the run folder of optimize"));
    }
    let document = Document::load(&file)?;
    if document.command().name != "optimize" {
        return Err(usage(&format!(
            "{} is a run of {:?}, not of \"optimize\"",
            run.display(),
            document.command().name
        )));
    }
    let settings = Settings::from_job(&document.parse::<OptimizeJob>()?)?;
    let device = Device::from_name(&job.common.device)?;
    let mut summary = Summary::new("landscape", device.to_string(), job.common.seed);
    observer.event(&Event::Phase("loading".into()));
    let problem = Problem::load(&settings, &device)?;
    let mut optimizer = Optimizer::new(&problem, &settings, &device)?;
    optimizer.restore(&Checkpoint::load(&run.join("checkpoint.safetensors"))?)?;

    let n = job.samples | 1; // odd, so that the solution is one of them
    let observed = run.display().to_string();
    let iterations = Some(n * n);
    observer.event(&Event::Started { what: observed, device: device.to_string(), iterations, seconds: None });
    let plane = Plane::new(&optimizer, job.common.seed)?;
    let at = |k: usize| job.range * (2.0 * k as f64 / (n - 1) as f64 - 1.0);
    let mut losses = vec![f64::NAN; n * n];
    for (k, loss) in losses.iter_mut().enumerate() {
        if stop.is_requested() {
            return Err(Error::job("interrupted before the landscape was complete; nothing was written"));
        }
        *loss = plane.loss(at(k % n), at(k / n))?;
        let seconds = start.elapsed().as_secs_f64();
        observer.event(&Event::Step { iteration: k + 1, seconds, loss: *loss });
    }
    let centre = losses[(n * n) / 2];
    let least = losses.iter().copied().filter(|x| x.is_finite()).fold(f64::INFINITY, f64::min);
    summary.metric("loss", centre);
    summary.metric("least_loss", least);
    summary.metric("n_samples", (n * n) as f64);

    let out: PathBuf = job.out.clone().unwrap_or_else(|| run.to_path_buf());
    std::fs::create_dir_all(&out).map_err(|e| Error::io(&out, e))?;
    let picture = draw(&losses, n)?;
    write(&out.join("landscape.png"), &picture.png)?;
    let axis: Vec<f64> = (0..n).map(at).collect();
    let rows: Vec<&[f64]> = losses.chunks_exact(n).collect();
    let data = serde_json::json!({ "axis": axis, "loss": rows });
    write(&out.join("landscape.json"), format!("{data:#}").as_bytes())?;
    let line = |name: &str, of: &dyn Fn(usize) -> f64| Series {
        name: name.into(),
        points: (0..n).map(|k| (at(k), of(k))).collect(),
    };
    let series = vec![
        line("along the first direction", &|k| losses[n / 2 * n + k]),
        line("along the second", &|k| losses[k * n + n / 2]),
    ];
    summary.seconds = start.elapsed().as_secs_f64();
    summary.peak_memory_bytes = peak_memory_bytes();
    let note = format!("±{} lengths of what is optimised; dark is low", job.range);
    let name = run.file_name().and_then(|n| n.to_str()).unwrap_or("run");
    let verdict = match least < centre {
        true => "lower than at the solution, which is no minimum",
        false => "nothing lower around the solution",
    };
    let report = Report {
        title: format!("Loss landscape of {name}"),
        subtitle: format!("{n} × {n} losses over {} views, {:.1} s on {device}", problem.train.len(), summary.seconds),
        figures: vec![
            Figure::new("Loss at the solution", format!("{centre:.3e}"), ""),
            Figure::new("Least loss drawn", format!("{least:.3e}"), verdict),
        ],
        curves: vec![Curve {
            title: "Loss through the solution".into(),
            x_label: "lengths of what is optimised".into(),
            log: true,
            series,
            ..Curve::default()
        }],
        galleries: vec![Gallery { name: "landscape".into(), note, states: vec![("log loss".into(), picture)] }],
        job: document.to_toml(),
        ..Report::default()
    };
    report.write(&out.join("landscape.html"))?;
    for (name, file) in [("picture", "landscape.png"), ("data", "landscape.json"), ("report", "landscape.html")] {
        summary.output(name, &out.join(file));
    }
    observer.event(&Event::Done { seconds: summary.seconds, interrupted: false });
    Ok(summary)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(lumigrad_scene::write_atomically(path, bytes)?)
}

/// θ + a·u + b·v.
struct Plane<'a, 'p> {
    optimizer: &'a Optimizer<'p>,
    values: Vec<Tensor>,
    directions: [Vec<Tensor>; 2],
}

impl<'a, 'p> Plane<'a, 'p> {
    fn new(optimizer: &'a Optimizer<'p>, seed: u64) -> Result<Self> {
        let values = optimizer.values();
        let names = optimizer.names();
        let direction = |which: u64| -> Result<Vec<Tensor>> {
            let of = |(k, (value, name)): (usize, (&Tensor, &String))| {
                let own = value.to_f64_vec()?;
                let stream = random::hash(random::hash(seed, which), k as u64);
                let noise: Vec<f64> = (0..own.len()).map(|i| random::normal(stream, i as u64)).collect();
                let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
                let length = if name == POSE_GROUP { MOTION * (own.len() as f64 / 6.0).sqrt() } else { norm(&own) };
                let scale = length / norm(&noise).max(1e-300);
                let scaled: Vec<f64> = noise.iter().map(|x| x * scale).collect();
                let tensor = Tensor::from_slice(&Device::cpu(), &scaled, value.shape())?;
                Ok(tensor.cast(value.dtype())?.to_device(value.device())?)
            };
            values.iter().zip(&names).enumerate().map(of).collect()
        };
        let directions = [direction(1)?, direction(2)?];
        Ok(Self { optimizer, values, directions })
    }

    fn loss(&self, a: f64, b: f64) -> Result<f64> {
        let [u, v] = &self.directions;
        let bounds = self.optimizer.variables().iter().map(|v| v.bounds()).map(Some).chain(std::iter::repeat(None));
        let moved = self.values.iter().zip(u).zip(v).zip(bounds).map(|(((x, u), v), bounds)| {
            let along = |d: &Tensor, s: f64| Var::from(d.clone()).scale(s);
            let moved = Var::from(x.clone()).add(&along(u, a)?)?.add(&along(v, b)?)?;
            let (lo, hi) = bounds.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
            Ok(moved.clamp(lo.max(-1e30), hi.min(1e30))?)
        });
        let moved = moved.collect::<Result<Vec<Var>>>()?;
        let all = (0..self.optimizer.problem.train.len()).collect();
        let loss = StepObjective::new(self.optimizer, all).loss(&moved, Sample::All).map_err(unwrap_objective)?;
        Ok(loss.tensor().item()?)
    }
}

/// The logarithm of the loss in bands of colour, a cross at the solution.
fn draw(losses: &[f64], n: usize) -> Result<Image> {
    let logs: Vec<f64> = losses.iter().map(|x| x.max(1e-12).ln()).collect();
    let finite = || logs.iter().copied().filter(|x| x.is_finite());
    let (lo, hi) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let level = |x: f64| if x.is_finite() { (x - lo) / (hi - lo).max(1e-12) } else { 1.0 };
    let value = |x: usize, y: usize| {
        let place = |p: usize| (p as f64 + 0.5) / SIDE as f64 * (n - 1) as f64;
        let (px, py) = (place(x), place(SIDE - 1 - y));
        let (i, j) = ((px as usize).min(n - 2), (py as usize).min(n - 2));
        let (s, t) = (px - i as f64, py - j as f64);
        let at = |i: usize, j: usize| level(logs[j * n + i]);
        (1.0 - t) * ((1.0 - s) * at(i, j) + s * at(i + 1, j)) + t * ((1.0 - s) * at(i, j + 1) + s * at(i + 1, j + 1))
    };
    let pixel = |k: usize| {
        let (x, y) = (k % SIDE, k / SIDE);
        let (dx, dy) = (x.abs_diff(SIDE / 2), y.abs_diff(SIDE / 2));
        if (dx <= 1 && dy <= 8) || (dy <= 1 && dx <= 8) {
            return [1.0; 3];
        }
        let here = value(x, y);
        let band = |v: f64| (v * BANDS) as i64;
        let edge = x > 0 && y > 0 && (band(value(x - 1, y)) != band(here) || band(value(x, y - 1)) != band(here));
        color(here).map(|c| if edge { 0.6 * c } else { c })
    };
    let data: Vec<f32> = (0..SIDE * SIDE).flat_map(pixel).collect();
    Image::from_encoded(&data, SIDE, SIDE)
}

/// From dark blue over green to yellow.
fn color(t: f64) -> [f32; 3] {
    const STOPS: [[f64; 3]; 5] =
        [[0.10, 0.07, 0.28], [0.16, 0.29, 0.55], [0.12, 0.53, 0.52], [0.40, 0.77, 0.36], [0.97, 0.90, 0.25]];
    let place = t.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let k = (place as usize).min(STOPS.len() - 2);
    let s = place - k as f64;
    std::array::from_fn(|c| ((1.0 - s) * STOPS[k][c] + s * STOPS[k + 1][c]) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bowl_is_dark_in_the_middle_and_the_right_way_up() {
        let n = 9;
        // Higher in the upper half: the second direction points up.
        let bowl = |k: usize| {
            let (x, y) = ((k % n) as f64 - 4.0, (k / n) as f64 - 4.0);
            1e-3 + x * x + if y > 0.0 { 4.0 * y * y } else { y * y }
        };
        let image = draw(&(0..n * n).map(bowl).collect::<Vec<_>>(), n).unwrap();
        let picture = image::load_from_memory(&image.png).unwrap().to_rgb8();
        let sum = |x: u32, y: u32| picture.get_pixel(x, y).0.iter().map(|c| *c as u32).sum::<u32>();
        let s = SIDE as u32;
        assert!(sum(s / 2 + 12, s / 2 + 12) < sum(s / 2, s - 3) && sum(s / 2, s - 3) < sum(s / 2, 2));
        draw(&[f64::NAN; 9], 3).unwrap();
    }
}
