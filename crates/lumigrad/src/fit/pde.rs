//! `fit pde`: a field that solves an equation which the job writes down.

use super::describe::{self, Defaults};
use super::drive::{Output, Setup, Task, drive};
use super::linear::{self, Rows};
use super::{Fit, FitKeys, MOST_COLUMNS, columns};
use crate::fields::place::{affine, pixels};
use crate::fields::shade::coloured;
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::{Observer, Stop, Summary};
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Activation, Derivatives, Equation, Field, Jet, Names, Stream};
use lumigrad_scene::picture::Picture;
use std::collections::BTreeMap;
use std::sync::Arc;

job_keys! {
    /// Solve an equation by a field: what must be zero inside, and what on faces of the domain.
    FitPdeJob {
        include fit: FitKeys;
        /// What must be zero inside, from u, its derivatives (u_x, u_xy), coordinates, constants, numbers, pi, + - * / ^ and
        /// sin, cos, tan, exp, ln, sqrt, abs, tanh.
        residual: Option<String>, Text, example "\"u_t - a*u_xx\"";
        /// Coordinates with their ranges.
        domain: String, Text, default "\"x = -1:1, y = -1:1\"";
        /// What must be zero on faces, separated by semicolons: `t = 0: u - sin(pi*x); x = -1: u`. `all: u` means every face.
        conditions: String, Text, default "\"all: u\"";
        /// Constants with their values.
        constants: String, Text, default "\"\"";
        /// The solution, where it is known, to score the field by.
        exact: Option<String>, Text, example "\"exp(-t)*sin(x)\"";
        /// Weight of the conditions.
        condition_weight: f64, Amount, default "10.0";
        /// A coordinate, such as t, whose range grows from its low end to the whole over the first half of the run: what comes
        /// first is solved first.
        grow: Option<String>, Text, example "\"t\"";
        /// Columns and rows of the pictures.
        picture: usize, Count(2), default "256";
    }
}

pub const FIT: Fit = Fit { name: "fit pde", about: FitPdeJob::ABOUT[0], positional: &[], keys: FitPdeJob::keys, run };

const DEFAULTS: Defaults = Defaults {
    encoding: "none",
    sine: (64, 3),
    omega: 5.0,
    sine_rate: 1e-3,
    grid: (8, 16, 4, 64),
    activation: Activation::Softplus,
};
/// Points of a step inside, and on faces.
const BATCH: usize = 4096;
const FACE_BATCH: usize = 1024;
/// Points that the end is judged at.
const JUDGED: usize = 1 << 14;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitPdeJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    let problem = Problem::new(&job)?;
    columns(job.picture, MOST_COLUMNS)?;
    let field = describe::field(&job.fit, problem.axes.len(), 1, &DEFAULTS)?;
    let named = (format!("{} = 0", problem.inside.text()), "pde".into());
    let setup = Setup::of_field(&job.fit, named, (&field, &DEFAULTS), 2000, &device)?;
    let mut task = PdeTask::new(problem, field, job.clone(), device)?;
    drive(setup, &mut task, document, stop, observer)
}

/// A coordinate.
struct Axis {
    name: char,
    lo: f64,
    hi: f64,
}

impl Axis {
    /// Half of the range: units in one of the field's domain.
    fn half(&self) -> f64 {
        0.5 * (self.hi - self.lo)
    }

    fn middle(&self) -> f64 {
        0.5 * (self.lo + self.hi)
    }
}

/// What must be zero where.
pub struct Problem {
    axes: Vec<Axis>,
    inside: Equation,
    /// Axis, end (−1 or 1), equation.
    faces: Vec<(usize, f64, Equation)>,
    exact: Option<Equation>,
}

impl Problem {
    pub fn new(job: &FitPdeJob) -> Result<Self> {
        let missing = || Error::usage("--residual", "it is missing", "for example --residual \"u_xx + u_yy\"");
        let text = job.residual.as_deref().ok_or_else(missing)?;
        let axes = axes(&job.domain)?;
        let constants = constants(&job.constants)?;
        let names = Names { coordinates: axes.iter().map(|a| a.name).collect(), unknowns: vec!["u".into()], constants };
        let read = |flag: &str, text: &str, names: &Names| {
            Equation::parse(text, names).map_err(|e| Error::usage(flag, e.to_string(), ""))
        };
        let inside = read("--residual", text, &names)?;
        let mut faces = vec![];
        for condition in job.conditions.split(';').map(str::trim).filter(|c| !c.is_empty()) {
            let usage = |message: String| Error::usage("--conditions", message, "for example \"t = 0: u - sin(pi*x)\"");
            let (place, text) =
                condition.split_once(':').ok_or_else(|| usage(format!("{condition:?} has no colon")))?;
            let equation = read("--conditions", text, &names)?;
            if place.trim() == "all" {
                faces.extend((0..axes.len()).flat_map(|a| [-1.0, 1.0].map(|end| (a, end, equation.clone()))));
                continue;
            }
            let parts = place.split_once('=').map(|(n, v)| (n.trim(), v.trim().parse::<f64>().ok()));
            let Some((name, Some(value))) = parts else {
                return Err(usage(format!("{place:?} is no face")));
            };
            let at = |a: &Axis| name.chars().eq([a.name]).then(|| [(a.lo, -1.0), (a.hi, 1.0)]);
            let found = axes.iter().enumerate().find_map(|(k, a)| {
                let ends = at(a)?;
                let near = |x: f64| (x - value).abs() <= 1e-9 * (a.hi - a.lo);
                Some((k, ends.iter().find(|(x, _)| near(*x))?.1))
            });
            let (axis, end) = found.ok_or_else(|| usage(format!("{name} = {value} is no face of the domain")))?;
            faces.push((axis, end, equation));
        }
        let known = Names { unknowns: vec![], ..names };
        let exact = job.exact.as_deref().map(|text| read("--exact", text, &known)).transpose()?;
        Ok(Self { axes, inside, faces, exact })
    }

    /// The value of an equation at points of the field's domain.
    fn value(&self, equation: &Equation, field: &Field, parameters: &[Var], points: &Tensor) -> Result<Var> {
        let jet = field.jet(parameters, &points.clone().into(), &Arc::new(equation.needs().clone()))?;
        self.of_jet(equation, &jet, points)
    }

    /// An equation that is linear in the unknown at points of the field's domain, its squares times a weight.
    fn rows(&self, equation: &Equation, points: &Tensor, weight: f64) -> Result<Option<Rows>> {
        let (halves, centres): (Vec<f64>, Vec<f64>) = self.axes.iter().map(|a| (a.half(), a.middle())).unzip();
        let Some(factors) = equation.linear(&affine(points, &halves, &centres)?)? else { return Ok(None) };
        let unit = |s: Stream| match s {
            Stream::First(k) => halves[k],
            Stream::Pair(k, l) => halves[k] * halves[l],
            _ => 1.0,
        };
        let needs = Arc::new(equation.needs().clone());
        let scale: Vec<f64> =
            needs.streams().into_iter().map(|s| weight.sqrt() / unit(s)).chain([weight.sqrt()]).collect();
        let factors = factors.tensor().to_f64_vec()?.iter().zip(scale.iter().cycle()).map(|(x, s)| x * s).collect();
        Ok(Some(Rows { places: points.to_vec::<f32>()?, factors, needs }))
    }

    fn of_jet(&self, equation: &Equation, jet: &Jet, points: &Tensor) -> Result<Var> {
        let halves: Vec<f64> = self.axes.iter().map(Axis::half).collect();
        let centres: Vec<f64> = self.axes.iter().map(Axis::middle).collect();
        let per_unit: Vec<f64> = halves.iter().map(|h| 1.0 / h).collect();
        Ok(equation.residual(&jet.in_units(&per_unit)?, &affine(points, &halves, &centres)?)?)
    }
}

fn axes(text: &str) -> Result<Vec<Axis>> {
    let mut axes: Vec<Axis> = vec![];
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let usage = |message: &str| {
            Error::usage("--domain", format!("{part:?}: {message}"), "for example \"x = -1:1, t = 0:2\"")
        };
        let (name, range) = part.split_once('=').ok_or_else(|| usage("no ="))?;
        let mut letters = name.trim().chars();
        let letter = match (letters.next(), letters.next()) {
            (Some(c), None) if c.is_ascii_lowercase() && c != 'u' => c,
            _ => return Err(usage("a coordinate is one lower-case letter other than u")),
        };
        let number = |s: &str| s.trim().parse::<f64>().ok().filter(|x| x.is_finite());
        let ends = range.split_once(':').and_then(|(a, b)| Some((number(a)?, number(b)?)));
        let (lo, hi) = ends.filter(|(a, b)| a < b).ok_or_else(|| usage("expected LOW:HIGH"))?;
        if axes.iter().any(|a| a.name == letter) {
            return Err(usage("named twice"));
        }
        axes.push(Axis { name: letter, lo, hi });
    }
    match axes.len() {
        1..=4 => Ok(axes),
        n => {
            Err(Error::usage("--domain", format!("{n} coordinates"), "expected 1 to 4, such as \"x = -1:1, t = 0:2\""))
        }
    }
}

fn constants(text: &str) -> Result<BTreeMap<String, f64>> {
    let entry = |part: &str| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().parse::<f64>().ok().filter(|x| x.is_finite())?))
    };
    let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
    parts
        .map(|p| entry(p).ok_or_else(|| Error::usage("--constants", format!("{p:?} is no NAME=NUMBER"), "a=0.1, k=3")))
        .collect()
}

pub struct PdeTask {
    problem: Problem,
    pub field: Field,
    batch: usize,
    job: FitPdeJob,
    /// Axis whose range grows, and the part of it that is looked at.
    growing: Option<(usize, f64)>,
    device: Device,
}

/// Part of the range of a coordinate that grows at the start, and part of the run over which it grows.
const FIRST: f64 = 0.05;
const GROWS: f64 = 0.5;

impl PdeTask {
    pub fn new(problem: Problem, field: Field, job: FitPdeJob, device: Device) -> Result<Self> {
        let growing = match &job.grow {
            None => None,
            Some(name) => {
                let axis = problem.axes.iter().position(|a| name.chars().eq([a.name]));
                let none = || Error::usage("--grow", format!("{name:?} is no coordinate of the domain"), "t");
                Some((axis.ok_or_else(none)?, FIRST))
            }
        };
        Ok(Self { problem, field, batch: job.fit.run.batch.unwrap_or(BATCH), job, growing, device })
    }

    /// Uniform points of the domain; with a face, on it.
    fn points(&self, n: usize, stream: u64, face: Option<(usize, f64)>) -> Result<Tensor> {
        let dim = self.problem.axes.len();
        let seed = random::hash(self.job.fit.run.common.seed, stream);
        let mut points: Vec<f32> =
            (0..(n * dim) as u64).map(|k| (2.0 * random::uniform(seed, k) - 1.0) as f32).collect();
        if let Some((axis, part)) = self.growing {
            points.iter_mut().skip(axis).step_by(dim).for_each(|x| *x = (*x + 1.0) * part as f32 - 1.0);
        }
        if let Some((axis, end)) = face {
            points.iter_mut().skip(axis).step_by(dim).for_each(|x| *x = end as f32);
        }
        Ok(Tensor::from_slice(&self.device, &points, &[n, dim])?)
    }

    /// Mean squares of what must be zero inside and on faces.
    fn squares(&self, parameters: &[Var], n: [usize; 2], stream: u64) -> Result<(Var, Option<Var>)> {
        let p = &self.problem;
        let own = 64 * stream;
        let inside = p.value(&p.inside, &self.field, parameters, &self.points(n[0], own, None)?)?.square()?.mean()?;
        let mut sum: Option<Var> = None;
        for (k, (axis, end, equation)) in p.faces.iter().enumerate() {
            let points = self.points(n[1], own + 1 + k as u64, Some((*axis, *end)))?;
            let square = p.value(equation, &self.field, parameters, &points)?.square()?.mean()?;
            sum = Some(match sum {
                None => square,
                Some(s) => s.add(&square)?,
            });
        }
        Ok((inside, sum))
    }

    /// Parameters whose output layer leaves the least of the loss, at so many points inside and on each face; as they were
    /// where an equation is not linear in the unknown.
    pub fn solved(&self, values: &[Tensor], n: [usize; 2], stream: u64) -> Result<Vec<Tensor>> {
        let p = &self.problem;
        let own = 64 * stream;
        let faces = p.faces.iter().map(|(axis, end, e)| (Some((*axis, *end)), e, n[1], self.job.condition_weight));
        let mut all = vec![];
        for (k, (face, equation, n, weight)) in [(None, &p.inside, n[0], 1.0)].into_iter().chain(faces).enumerate() {
            let points = self.points(n, own + k as u64, face)?;
            let Some(rows) = p.rows(equation, &points, weight / n as f64)? else { return Ok(values.to_vec()) };
            all.push(rows);
        }
        linear::output_layer(&self.field, values, &all)
    }

    /// The field, what is left of the equation and the error over the first two coordinates, others at their middle.
    fn pictures(&self, values: &[Tensor]) -> Result<Vec<(&'static str, Picture)>> {
        let dim = self.problem.axes.len();
        let (w, h) = (self.job.picture, if dim > 1 { self.job.picture } else { 1 });
        let mut points = vec![];
        for (k, place) in pixels(w, h).enumerate() {
            points.extend_from_slice(&place[..dim.min(2)]);
            points.resize((k + 1) * dim, 0.0);
        }
        let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        let points = Tensor::from_slice(&self.device, &points, &[w * h, dim])?;
        let p = &self.problem;
        let u = self.field.value(&vars, &points.clone().into())?;
        let residual = p.value(&p.inside, &self.field, &vars, &points)?;
        let picture = |v: &Var| -> Result<Picture> { Ok(coloured(&v.tensor().to_vec::<f32>()?, w, h)) };
        let mut all = vec![("u", picture(&u)?), ("residual", picture(&residual)?)];
        if let Some(exact) = &p.exact {
            all.push(("error", picture(&u.sub(&self.exact(exact, &points)?)?)?));
        }
        Ok(all)
    }

    fn exact(&self, equation: &Equation, points: &Tensor) -> Result<Var> {
        let none = Jet::seed(&points.clone().into(), Arc::new(Derivatives::none()))?;
        self.problem.of_jet(equation, &none, points)
    }
}

impl Task for PdeTask {
    fn progress(&mut self, progress: f64) {
        if let Some((_, part)) = &mut self.growing {
            *part = (FIRST + (1.0 - FIRST) * progress / GROWS).min(1.0);
        }
    }

    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let (inside, faces) = self.squares(parameters, [self.batch, FACE_BATCH.min(self.batch)], step)?;
        Ok(match faces {
            Some(f) => inside.add(&f.scale(self.job.condition_weight)?)?,
            None => inside,
        })
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        self.progress(1.0);
        let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        let (inside, faces) = self.squares(&vars, [JUDGED, JUDGED / 4], u64::MAX / 128)?;
        output.figure("residual_rms", "Residual, RMS", inside.tensor().item()?.sqrt(), 6, "");
        if let Some(faces) = faces {
            let n = self.problem.faces.len() as f64;
            output.figure("condition_rms", "Conditions, RMS", (faces.tensor().item()? / n).sqrt(), 6, "");
        }
        if let Some(exact) = &self.problem.exact {
            let points = self.points(JUDGED, u64::MAX / 3, None)?;
            let real = self.exact(exact, &points)?;
            let found = self.field.value(&vars, &points.into())?;
            let error = found.sub(&real)?.square()?.mean()?.tensor().item()?;
            let size = real.square()?.mean()?.tensor().item()?;
            output.figure("error_rms", "Error, RMS", error.sqrt(), 6, "");
            output.summary.metric("error_percent", 100.0 * (error / size.max(1e-30)).sqrt());
        }
        let mut facts = BTreeMap::from([("kind".to_owned(), "pde".to_owned())]);
        facts.insert("domain".into(), self.job.domain.clone());
        facts.insert("residual".into(), self.problem.inside.text().into());
        output.model(&self.field, values, facts)?;
        let states = self.pictures(values)?;
        let note =
            "colours from the lowest to the highest value; the first coordinate to the right, the second upwards";
        output.gallery("solution", note, states)
    }
}
