//! The loop of all fits: steps within a budget, checkpoints, scores, the run folder.

use super::describe::{self, Defaults};
use super::frames::FrameKeys;
use super::image::clamped;
use super::{FitKeys, RunKeys};
use crate::run::job::Document;
use crate::run::report::{Curve, Figure, Film, Gallery, Image, Report, Series, Slider};
use crate::run::{
    self, Array, Budget, Checkpoint, Event, Observer, Record, RunFolder, Saves, Stop, Summary, USUAL, peak_memory_bytes,
};
use crate::{Error, Result};
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Field, Model, Parameter, Rates, State, Training};
use lumigrad_optim::Schedule;
use lumigrad_scene::picture::Picture;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// What is fitted.
pub trait Task {
    /// How much of the budget is spent before the step that comes, from 0 to 1.
    fn progress(&mut self, _progress: f64) {}

    /// Other parameters to go on with, where it is time for them (grids that grow). Nothing is remembered of the old ones.
    fn regrown(&mut self, _values: &[Tensor]) -> Result<Option<Vec<Parameter>>> {
        Ok(None)
    }

    /// What learning rates are multiplied with beside the schedule.
    fn factor(&self) -> f64 {
        1.0
    }

    /// Makes a step of what is no parameter of a tape, and gives its loss. `None`: the step is one of [`Self::loss`].
    fn own_step(&mut self) -> Result<Option<f64>> {
        Ok(None)
    }

    /// The loss of a step, of the recorded parameters. What it draws at random depends on seed and step only.
    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var>;

    /// PSNR of the present values, dB, where that means something.
    fn psnr(&mut self, _values: &[Tensor]) -> Result<Option<f64>> {
        Ok(None)
    }

    /// What a resumed run needs beside the parameters, by name.
    fn state(&self) -> Vec<(&'static str, Vec<f32>)> {
        vec![]
    }

    /// Takes that back, and gives parameters of the shapes that they have there where they are not those of the start.
    fn restore(&mut self, _find: &dyn Fn(&str) -> Option<Vec<f32>>) -> Result<Option<Vec<Parameter>>> {
        Ok(None)
    }

    /// Writes results, figures and pages.
    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()>;
}

/// Where a task's results go.
pub struct Output<'a> {
    /// The run folder.
    pub folder: &'a RunFolder,
    /// Figures and files.
    pub summary: &'a mut Summary,
    /// The page.
    pub report: &'a mut Report,
}

impl Output<'_> {
    /// Writes a file of the run folder and names it in the summary.
    pub fn file(&mut self, name: &str, file: &str, bytes: &[u8]) -> Result<()> {
        self.folder.write(file, bytes)?;
        self.summary.output(name, &self.folder.final_path(file));
        Ok(())
    }

    /// A figure of the summary that the page shows too.
    pub fn figure(&mut self, key: &str, label: &str, value: f64, digits: usize, unit: &str) {
        self.summary.metric(key, value);
        self.report.figures.push(Figure::new(label, format!("{value:.digits$}{unit}"), ""));
    }
}

/// Longest side of pictures on the page.
const SIDE: usize = 640;
/// Pictures of a film in a second.
const FILM_RATE: f64 = 12.0;

impl Output<'_> {
    /// Writes a field with facts about it.
    pub fn model(&mut self, field: &Field, values: &[Tensor], facts: BTreeMap<String, String>) -> Result<()> {
        let bytes = Model { field: field.clone(), values: values.to_vec(), facts }.to_bytes()?;
        self.summary.metric("model_bytes", bytes.len() as f64);
        self.file("field", "field.safetensors", &bytes)
    }

    /// Writes pictures as frames/000.png and so on, and a video of them where one is wanted.
    pub fn frames(&mut self, n: usize, keys: &FrameKeys, frame: impl Fn(usize) -> Result<Picture>) -> Result<()> {
        let digits = (n - 1).to_string().len().max(3);
        let mut paths = vec![];
        for k in 0..n {
            let name = format!("frames/{k:0digits$}.png");
            self.folder.write(&name, &clamped(frame(k)?).encode_png()?)?;
            paths.push(self.folder.path(&name));
        }
        self.summary.output("frames", &self.folder.final_path("frames"));
        if let Some(to) = &keys.video {
            run::video(&paths, keys.rate, to)?;
            self.summary.output("video", to);
        }
        Ok(())
    }

    /// Pictures of the page to compare; values beyond [0, 1] are cut off.
    pub fn slider<N: Into<String>>(&mut self, name: &str, note: String, states: Vec<(N, Picture)>) -> Result<()> {
        self.report.sliders.push(Slider { name: name.into(), note, states: images(states)? });
        Ok(())
    }

    /// A moving picture of the page; values beyond [0, 1] are cut off.
    pub fn film(&mut self, name: &str, note: &str, frames: Vec<Picture>) -> Result<()> {
        let seconds = frames.len() as f64 / FILM_RATE;
        let frames =
            images(frames.into_iter().map(|p| ("", p)).collect())?.into_iter().map(|(_, image)| image).collect();
        self.report.films.push(Film { name: name.into(), note: note.into(), frames, seconds });
        Ok(())
    }

    /// Pictures of the page side by side; values beyond [0, 1] are cut off.
    pub fn gallery<N: Into<String>>(&mut self, name: &str, note: &str, states: Vec<(N, Picture)>) -> Result<()> {
        self.report.galleries.push(Gallery { name: name.into(), note: note.into(), states: images(states)? });
        Ok(())
    }
}

fn images<N: Into<String>>(states: Vec<(N, Picture)>) -> Result<Vec<(String, Image)>> {
    let image = |(name, p): (N, Picture)| Ok((name.into(), Image::new(&clamped(p.into_srgb()), SIDE)?));
    states.into_iter().map(image).collect()
}

/// A fit before its first step.
pub struct Setup<'a> {
    /// Keys of the run.
    pub keys: &'a RunKeys,
    /// What is fitted, for people.
    pub title: String,
    /// Name of the run folder where none is given.
    pub name: String,
    /// Parameters at their start.
    pub parameters: Vec<Parameter>,
    /// Learning rates.
    pub rates: Rates,
    /// How they fall.
    pub schedule: Schedule,
    /// Part of the run over which they rise.
    pub warm_up: f64,
    /// Steps without a limit.
    pub iterations: usize,
}

impl<'a> Setup<'a> {
    /// Of one field, with rates that fall along a cosine to a hundredth.
    pub fn of_field(
        keys: &'a FitKeys,
        (title, name): (String, String),
        (field, defaults): (&Field, &Defaults),
        iterations: usize,
        device: &Device,
    ) -> Result<Self> {
        let parameters = field.start(keys.run.common.seed, device)?;
        let (rates, schedule) = (describe::rates(keys, field, defaults), Schedule::Cosine { end: 0.01 });
        Ok(Self { keys: &keys.run, title, name, parameters, rates, schedule, warm_up: 0.0, iterations })
    }
}

/// Name of a run of a kind, on a file.
pub fn run_name(kind: &str, path: &Path) -> String {
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
    stem.map_or(kind.into(), |s| format!("{kind}-{s}"))
}

/// Points kept of the loss curve.
const CURVE: usize = 400;

/// Trains, and writes the run folder.
///
/// # Errors
/// What the task cannot do; a run that diverges; files that cannot be written.
pub fn drive(
    setup: Setup,
    task: &mut dyn Task,
    document: &Document,
    stop: &Stop,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let start = Instant::now();
    let keys = setup.keys;
    let device = setup.parameters.first().map_or_else(Device::cpu, |p| p.value.device().clone());
    let mut summary = Summary::new(document.command().name, device.to_string(), keys.common.seed);
    let place = keys.out.clone().unwrap_or_else(|| Path::new("runs").join(&setup.name));
    let fingerprint = document.fingerprint();
    let mut saves = Saves::new(&place, keys.checkpoint_every);
    let found = if keys.resume { saves.latest(&place, &fingerprint)? } else { None };
    let mut training = Training::new(setup.parameters, setup.rates);
    let mut spent = 0.0;
    if let Some(c) = &found {
        spent = c.facts.get("seconds").and_then(|s| s.parse().ok()).unwrap_or(0.0);
        let own = |name: &str| {
            let (_, _, numbers) = c.arrays_under(TASK).find(|(found, ..)| *found == name)?;
            Some(numbers.to_vec())
        };
        if let Some(parameters) = task.restore(&own)? {
            training.replace(parameters);
        }
        restore(&mut training, c, &device)?;
    }
    let iterations = if keys.seconds.is_some() { keys.iterations } else { keys.iterations.or(Some(setup.iterations)) };
    let budget = Budget { iterations, seconds: keys.seconds, stop_loss: keys.stop_loss };
    let folder = RunFolder::create(&place)?;
    let what = setup.title.clone();
    observer.event(&Event::Started { what, device: device.to_string(), iterations, seconds: keys.seconds });
    let often = keys.eval_every.unwrap_or(iterations.map_or(500, |n| (n / 10).max(1)));
    let stride = iterations.map_or(20, |n| (n / CURVE).max(1));
    let (mut interrupted, mut returned) = (false, 0);
    while !budget.is_spent(training.steps(), spent) {
        if stop.is_requested() {
            interrupted = true;
            break;
        }
        let from = Instant::now();
        let progress = budget.progress(training.steps(), spent);
        let factor = setup.schedule.factor_with_warm_up(progress, setup.warm_up);
        let step = training.steps() as u64;
        task.progress(progress);
        if let Some(parameters) = task.regrown(&training.values())? {
            training.replace(parameters);
        }
        let done = match task.own_step()? {
            Some(loss) => training.pass(loss),
            None => training.step(factor * task.factor(), |vars| task.loss(vars, step))?,
        };
        returned += u32::from(done.returned);
        spent += from.elapsed().as_secs_f64();
        let steps = training.steps();
        let mut record = Record { iteration: steps, seconds: spent, loss: done.loss, test_psnr: None };
        if steps.is_multiple_of(often) {
            record.test_psnr = task.psnr(&training.values())?;
        }
        observer.event(&Event::Step { iteration: steps, seconds: spent, loss: done.loss });
        if let Some(psnr) = record.test_psnr {
            observer.event(&Event::Eval { iteration: steps, psnr });
        }
        if record.test_psnr.is_some() || steps.is_multiple_of(stride) {
            summary.history.push(record);
        }
        if let Err(e) = saves.save_when_due(|| checkpoint(&training, task, &fingerprint, (keys.common.seed, spent))) {
            observer.event(&Event::Warning(format!("no checkpoint could be written: {e}")));
        }
        if budget.is_reached(done.loss) {
            break;
        }
    }
    if returned > 0 {
        let text = format!("the training diverged {returned} times; it was taken back and went on with smaller steps");
        observer.event(&Event::Warning(text.clone()));
        summary.warnings.push(text);
    }
    observer.event(&Event::Phase("writing".into()));
    summary.iterations = training.steps();
    let steps = (training.steps() - found.as_ref().map_or(0, |c| c.step as usize)).max(1);
    let own = spent - found.as_ref().and_then(|c| c.facts.get("seconds")?.parse::<f64>().ok()).unwrap_or(0.0);
    summary.metric("ms_per_iteration", 1e3 * own / steps as f64);
    if let Some(record) = summary.history.last() {
        summary.metric("loss", record.loss);
    }
    let n: usize = training.parameters().iter().map(|p| p.value.len()).sum();
    summary.metric("n_parameters", n as f64);
    let mut report = Report { title: setup.title, ..Report::default() };
    task.finish(&training.values(), &mut Output { folder: &folder, summary: &mut summary, report: &mut report })?;
    folder.write("job.toml", document.anchored().to_toml().as_bytes())?;
    let end = checkpoint(&training, task, &fingerprint, (keys.common.seed, spent))?;
    end.save(&folder.path("checkpoint.safetensors"))?;
    summary.seconds = start.elapsed().as_secs_f64();
    summary.peak_memory_bytes = peak_memory_bytes();
    complete(&mut report, &summary, n, document);
    folder.close(&USUAL, &report, &mut summary, &saves)?;
    observer.event(&Event::Done { seconds: summary.seconds, interrupted });
    Ok(summary)
}

/// What every page has.
fn complete(report: &mut Report, summary: &Summary, parameters: usize, document: &Document) {
    report.subtitle = format!(
        "{} parameters, {} steps, {:.1} s on {}",
        parameters, summary.iterations, summary.seconds, summary.device
    );
    report.warnings.extend(summary.warnings.iter().cloned());
    let curve = |title: &str, unit: &str, log: bool, points: Vec<(f64, f64)>| Curve {
        title: title.into(),
        unit: unit.into(),
        x_label: "step".into(),
        log,
        series: vec![Series { name: title.into(), points }],
    };
    let points = |of: &dyn Fn(&Record) -> Option<f64>| -> Vec<(f64, f64)> {
        summary.history.iter().filter_map(|r| of(r).map(|y| (r.iteration as f64, y))).collect()
    };
    let mut curves = vec![curve("Loss", "", true, points(&|r| Some(r.loss)))];
    if summary.history.iter().any(|r| r.test_psnr.is_some()) {
        curves.push(curve("PSNR", "dB", false, points(&|r| r.test_psnr)));
    }
    curves.append(&mut report.curves);
    report.curves = curves;
    report.job = document.to_toml();
}

/// Before the names of arrays and numbers of a training in checkpoints.
const STATE: &str = "training/";
/// Before the names of a task's own arrays.
const TASK: &str = "task/";

fn checkpoint(training: &Training, task: &dyn Task, job: &str, (seed, spent): (u64, f64)) -> Result<Checkpoint> {
    let mut c = Checkpoint { step: training.steps() as u64, seed, job: job.into(), ..Checkpoint::default() };
    c.facts.insert("seconds".into(), spent.to_string());
    let State { arrays, numbers } = training.state();
    for (name, tensor) in arrays {
        c.insert(format!("{STATE}{name}"), tensor.shape(), Array::F32(tensor.to_vec::<f32>()?));
    }
    for (name, numbers) in task.state() {
        c.insert(format!("{TASK}{name}"), &[numbers.len()], Array::F32(numbers));
    }
    for (name, number) in numbers {
        c.facts.insert(format!("{STATE}{name}"), number.to_string());
    }
    Ok(c)
}

fn restore(training: &mut Training, c: &Checkpoint, device: &Device) -> Result<()> {
    let array = |name: &str, shape: &[usize]| {
        let values = c.f32(&format!("{STATE}{name}"), shape).ok()?;
        Tensor::from_slice(device, values, shape).ok()
    };
    let number = |name: &str| c.facts.get(&format!("{STATE}{name}"))?.parse().ok();
    training.load_state(array, number).map_err(|e| {
        let help = "the checkpoint belongs to another job; leave --resume out to start anew";
        Error::file("--resume", e.to_string(), help)
    })
}
