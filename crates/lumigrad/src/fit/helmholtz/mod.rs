//! `fit helmholtz`: standing waves of sources in a medium, with layers around it that swallow what leaves.
//!
//! Time enters as exp(iωt). A layer stretches coordinates into the complex: s = 1 − i·a·(d/L)² at depth d (Berenger's
//! perfectly matched layer as SIREN's authors use it), and the field satisfies
//! (1/s_x) ∂x(1/s_x ∂x u) + (1/s_y) ∂y(1/s_y ∂y u) + (k/c)² u = −f: divided by s_x s_y, so that corners weigh no more than
//! the rest.
//!
//! Near a source the field bends at its width, far below a wavelength. There the field of the source alone is added to the
//! network ([`near`]), cut off over two wavelengths, and the network has to say the rest. Waves of about the right length leave
//! almost no residual, wherever they go: gradient descent takes very long to tell them apart. But the equation is linear, so
//! that the output layer is solved for by least squares ([`solve`]); steps, of which there are none unless they are asked for, move
//! what is below it, and are followed by another solution.

mod near;
mod solve;

use near::Near;
use solve::Row;

use super::describe::{self, Defaults};
use super::drive::{Output, Setup, Task, drive};
use super::{Fit, FitKeys, MOST_COLUMNS, columns, positive};
use crate::fields::place::pixels;
use crate::fields::shade::coloured;
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::{Observer, Stop, Summary};
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Map, Tensor, Var};
use lumigrad_field::{Activation, Derivatives, Equation, Field, Jet, Names};
use rustfft::num_complex::Complex;
use std::collections::BTreeMap;
use std::sync::Arc;

job_keys! {
    /// Solve the Helmholtz equation: waves of one frequency that go out from sources in the square from -1 to 1.
    FitHelmholtzJob {
        include fit: FitKeys;
        /// Wave number: 2 pi over the wavelength where the speed is 1.
        wavenumber: f64, Amount, default "20.0";
        /// Sources, separated by semicolons: X,Y or X,Y,STRENGTH each.
        sources: String, Text, default "\"0,0\"";
        /// Deviation of the sources, which are round.
        source_width: f64, Amount, default "0.05";
        /// Speed of waves in the medium, an expression of x and y.
        speed: String, Text, default "\"1\"";
        /// Width of the layer along each side in which waves vanish.
        layer: f64, Amount, default "0.25";
        /// How strongly they do.
        layer_strength: f64, Amount, default "2.0";
        /// Columns and rows of the pictures.
        picture: usize, Count(2), default "256";
    }
}

pub const FIT: Fit =
    Fit { name: "fit helmholtz", about: FitHelmholtzJob::ABOUT[0], positional: &[], keys: FitHelmholtzJob::keys, run };

const DEFAULTS: Defaults = Defaults {
    encoding: "none",
    sine: (1536, 1),
    // Of the first layer per wave number: weights reach three quarters beyond it.
    omega: 3.5,
    sine_rate: 3e-4,
    grid: (8, 16, 4, 64),
    activation: Activation::Softplus,
};
/// Points of a step, and points on each side.
const BATCH: usize = 4096;
const SIDE_BATCH: usize = 256;
/// Points that the output layer is solved at, per unit of the last hidden layer, and at least; and their part on sides.
const SOLVED: usize = 8;
const SOLVED_LEAST: usize = 4096;
const SOLVED_SIDES: f64 = 0.125;
/// How much more a side counts than a point inside.
const SIDE_WEIGHT: f64 = 4.0;
/// Points that the end is judged at.
const JUDGED: usize = 1 << 14;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitHelmholtzJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    let medium = Medium::new(&job)?;
    columns(job.picture, MOST_COLUMNS)?;
    let defaults = Defaults { omega: DEFAULTS.omega * job.wavenumber, ..DEFAULTS };
    let field = describe::field(&job.fit, 2, 2, &defaults)?;
    let named = (format!("Waves of wave number {}", job.wavenumber), "helmholtz".into());
    let mut setup = Setup::of_field(&job.fit, named, (&field, &defaults), 0, &device)?;
    let batch = job.fit.run.batch.unwrap_or(BATCH);
    let mut task = WavesTask { medium, field, batch, seed: job.fit.run.common.seed, picture: job.picture, device };
    let keys = &job.fit.run;
    let steps = keys.iterations.map_or(keys.seconds.is_some(), |n| n > 0);
    let values: Vec<Tensor> = setup.parameters.iter().map(|p| p.value.clone()).collect();
    let start = if steps { task.solved(&values)? } else { values };
    for (parameter, value) in setup.parameters.iter_mut().zip(start) {
        parameter.value = value;
    }
    drive(setup, &mut task, document, stop, observer)
}

type C = Complex<f64>;

/// Waves, sources and what they are in.
struct Medium {
    wavenumber: f64,
    /// Places and strengths, and the field of each alone.
    sources: Vec<([f64; 2], f64)>,
    near: Vec<Near>,
    width: f64,
    speed: Equation,
    uniform: bool,
    layer: f64,
    strength: f64,
}

impl Medium {
    fn new(job: &FitHelmholtzJob) -> Result<Self> {
        positive(&[("--wavenumber", job.wavenumber), ("--source-width", job.source_width)])?;
        if !(0.0..0.9).contains(&job.layer) {
            let help = "from 0 to 0.9; the square reaches from -1 to 1";
            return Err(Error::usage("--layer", format!("is {} wide", job.layer), help));
        }
        let names = Names { coordinates: vec!['x', 'y'], ..Names::default() };
        let speed = Equation::parse(&job.speed, &names).map_err(|e| Error::usage("--speed", e.to_string(), ""))?;
        let sources = sources("--sources", &job.sources)?;
        let places: Vec<f32> = sources.iter().flat_map(|(p, _)| p.map(|x| x as f32)).collect();
        let points = Tensor::from_slice(&Device::cpu(), &places, &[sources.len(), 2])?;
        let near = speeds(&speed, &points)?.into_iter().map(|c| Near::new(job.wavenumber / c as f64, job.source_width));
        Ok(Self {
            wavenumber: job.wavenumber,
            near: near.collect(),
            sources,
            width: job.source_width,
            uniform: job.speed.trim().parse() == Ok(1.0),
            speed,
            layer: job.layer,
            strength: job.layer_strength,
        })
    }

    /// What is added to the network at a place: the field of the sources near them, and −f − its equation, of which the
    /// network's must be.
    fn added(&self, p: [f64; 2], factors: &[C; 5]) -> (C, C) {
        let (mut field, mut rest) = (C::new(0.0, 0.0), C::new(0.0, 0.0));
        for ((at, strength), near) in self.sources.iter().zip(&self.near) {
            let from = [p[0] - at[0], p[1] - at[1]];
            rest -= strength * near.source(from[0].hypot(from[1]));
            if let Some(own) = near.at(from) {
                field += own[4] * *strength;
                rest -= factors.iter().zip(own).map(|(f, u)| f * u).sum::<C>() * *strength;
            }
        }
        (field, rest)
    }

    /// s and its derivative along an axis.
    fn stretch(&self, x: f64) -> (C, C) {
        let depth = (x.abs() - (1.0 - self.layer)).max(0.0);
        if depth == 0.0 {
            return (C::new(1.0, 0.0), C::new(0.0, 0.0));
        }
        let share = depth / self.layer;
        let slope = 2.0 * self.strength * share / self.layer * x.signum();
        (C::new(1.0, -self.strength * share * share), C::new(0.0, -slope))
    }

    /// Factors of u_x, u_xx, u_y, u_yy and u at a place where waves have this speed.
    fn factors(&self, [x, y]: [f64; 2], speed: f64) -> [C; 5] {
        let ((sx, dx), (sy, dy)) = (self.stretch(x), self.stretch(y));
        let k = self.wavenumber / speed;
        [-dx / sx.powi(3), sx.powi(-2), -dy / sy.powi(3), sy.powi(-2), C::new(k * k, 0.0)]
    }

    /// The field of the sources in open space of speed 1: each is the Green's function −(i/4)·H₀⁽²⁾(kr) times what a
    /// Gaussian keeps of waves of length 2π/k. `None` where it does not hold: in layers and near sources.
    fn open(&self, p: [f64; 2]) -> Option<C> {
        let inside = p.iter().all(|x| x.abs() <= 1.0 - self.layer);
        if !(self.uniform && inside) {
            return None;
        }
        let kept = (-0.5 * (self.wavenumber * self.width).powi(2)).exp();
        let mut sum = C::new(0.0, 0.0);
        for &(at, strength) in &self.sources {
            let r = (p[0] - at[0]).hypot(p[1] - at[1]);
            if r < NEAR * self.width {
                return None;
            }
            let z = self.wavenumber * r;
            sum += strength * kept * C::new(-0.25 * libm::y0(z), -0.25 * libm::j0(z));
        }
        Some(sum)
    }
}

/// Deviations of a source within which it is felt.
const NEAR: f64 = 5.0;

pub fn sources(flag: &str, text: &str) -> Result<Vec<([f64; 2], f64)>> {
    let parts = text.split(';').map(str::trim).filter(|p| !p.is_empty());
    let all = parts.map(|part| {
        let numbers: Option<Vec<f64>> =
            part.split(',').map(|x| x.trim().parse().ok().filter(|x: &f64| x.is_finite())).collect();
        match numbers.as_deref() {
            Some(&[x, y]) => Ok(([x, y], 1.0)),
            Some(&[x, y, strength]) => Ok(([x, y], strength)),
            _ => Err(Error::usage(flag, format!("cannot read {part:?}"), "X,Y or X,Y,STRENGTH; 0,0")),
        }
    });
    let all = all.collect::<Result<Vec<_>>>()?;
    match all.iter().all(|(p, _)| p.iter().all(|x| x.abs() <= 1.0)) && !all.is_empty() {
        true => Ok(all),
        false => Err(Error::usage(flag, "lie outside of the square or are none", "coordinates from -1 to 1")),
    }
}

/// Speeds at places [N, 2].
pub fn speeds(speed: &Equation, points: &Tensor) -> Result<Vec<f32>> {
    let jet = Jet::seed(&points.clone().into(), Arc::new(Derivatives::none()))?;
    let speeds = speed.residual(&jet, &points.clone().into())?.tensor().to_vec::<f32>()?;
    match speeds.iter().find(|c| !(c.is_finite() && **c > 1e-3)) {
        Some(c) => Err(Error::usage("--speed", format!("is {c} somewhere"), "a speed is above 0 everywhere")),
        None => Ok(speeds),
    }
}

/// Residual of the equation, real and imaginary part: factors times u and its derivatives, plus the source.
fn residual() -> Map {
    Map::cached("fit/helmholtz", |m| {
        let factors = m.item::<10>("factors");
        let source = m.item::<2>("source");
        let terms = ["u_x", "u_xx", "u_y", "u_yy", "u"].map(|name| m.item::<2>(name));
        let (mut re, mut im) = (source[0], source[1]);
        for (k, [a, b]) in terms.into_iter().enumerate() {
            let (p, q) = (factors[2 * k], factors[2 * k + 1]);
            re = re + p * a - q * b;
            im = im + p * b + q * a;
        }
        m.output("residual", &[re, im]);
    })
}

struct WavesTask {
    medium: Medium,
    field: Field,
    batch: usize,
    seed: u64,
    picture: usize,
    device: Device,
}

impl WavesTask {
    /// The equation's residual at places [N, 2], in units of k²: [N, 2].
    fn residual(&self, parameters: &[Var], places: &[f32]) -> Result<Var> {
        let n = places.len() / 2;
        let points = Tensor::from_slice(&self.device, places, &[n, 2])?;
        let speeds = speeds(&self.medium.speed, &points)?;
        let unit = self.unit();
        let (mut factors, mut sources) = (Vec::with_capacity(10 * n), Vec::with_capacity(2 * n));
        for (p, speed) in places.as_chunks::<2>().0.iter().zip(speeds) {
            let p = p.map(f64::from);
            let own = self.medium.factors(p, speed as f64);
            factors.extend(own.iter().flat_map(|c| [(c.re * unit) as f32, (c.im * unit) as f32]));
            let (_, rest) = self.medium.added(p, &own);
            sources.extend([(-rest.re * unit) as f32, (-rest.im * unit) as f32]);
        }
        let constant = |data: &[f32], width: usize| -> Result<Var> {
            Ok(Tensor::from_slice(&self.device, data, &[n, width])?.into())
        };
        let wanted = Arc::new(Derivatives::of(&[0, 1], &[[0, 0], [1, 1]]));
        let jet = self.field.jet(parameters, &points.into(), &wanted)?;
        let (factors, sources) = (constant(&factors, 10)?, constant(&sources, 2)?);
        let streams = [jet.first(0)?, jet.second(0, 0)?, jet.first(1)?, jet.second(1, 1)?, jet.value().clone()];
        let inputs: Vec<&Var> = [&factors, &sources].into_iter().chain(&streams).collect();
        Ok(residual().apply(&inputs)?.remove(0))
    }

    /// Residuals are in units of k² times a field.
    fn unit(&self) -> f64 {
        self.medium.wavenumber.powi(-2)
    }

    /// Values with the output layer that solves the equation best.
    fn solved(&self, values: &[Tensor]) -> Result<Vec<Tensor>> {
        let n = (SOLVED * self.field.width).max(SOLVED_LEAST);
        let places = self.places(n, u64::MAX - 1);
        let speeds = speeds(&self.medium.speed, &Tensor::from_slice(&self.device, &places, &[n, 2])?)?;
        let mut rows: Vec<Row> = vec![];
        for (place, speed) in places.as_chunks::<2>().0.iter().zip(speeds) {
            let p = place.map(f64::from);
            let factors = self.medium.factors(p, speed as f64);
            let (_, rest) = self.medium.added(p, &factors);
            rows.push(Row { place: *place, factors: factors.map(|f| f * self.unit()), makes: rest * self.unit() });
        }
        let sides = self.sides(u64::MAX - 1, (SOLVED_SIDES * n as f64) as usize);
        let zero = C::new(0.0, 0.0);
        for place in sides.as_chunks::<2>().0 {
            let (near, _) = self.medium.added(place.map(f64::from), &[zero; 5]);
            let weight = SIDE_WEIGHT.sqrt();
            rows.push(Row { place: *place, factors: [zero, zero, zero, zero, weight.into()], makes: -near * weight });
        }
        solve::output_layer(&self.field, values, &rows)
    }

    /// Uniform places.
    fn places(&self, n: usize, stream: u64) -> Vec<f32> {
        let seed = random::hash(self.seed, stream);
        (0..2 * n as u64).map(|k| (2.0 * random::uniform(seed, k) - 1.0) as f32).collect()
    }

    /// Places on the four sides.
    fn sides(&self, stream: u64, n: usize) -> Vec<f32> {
        let seed = random::hash(self.seed ^ 0x51de, stream);
        let place = |k: u64| {
            let x = (2.0 * random::uniform(seed, k) - 1.0) as f32;
            match k % 4 {
                0 => [-1.0, x],
                1 => [1.0, x],
                2 => [x, -1.0],
                _ => [x, 1.0],
            }
        };
        (0..n as u64).flat_map(place).collect()
    }

    /// Waves at places: real and imaginary part in turn.
    fn values(&self, values: &[Tensor], places: &[f32]) -> Result<Vec<f32>> {
        let mut all = self.field.sample(values, places, &Arc::new(Derivatives::none()))?.remove(0);
        for (place, u) in places.as_chunks::<2>().0.iter().zip(all.as_chunks_mut::<2>().0) {
            let (near, _) = self.medium.added(place.map(f64::from), &[C::new(0.0, 0.0); 5]);
            *u = [u[0] + near.re as f32, u[1] + near.im as f32];
        }
        Ok(all)
    }
}

impl Task for WavesTask {
    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let inside = self.residual(parameters, &self.places(self.batch, step))?.square()?.mean()?;
        let sides = self.sides(step, 4 * SIDE_BATCH);
        let near = sides.as_chunks::<2>().0.iter().flat_map(|place| {
            let (near, _) = self.medium.added(place.map(f64::from), &[C::new(0.0, 0.0); 5]);
            [near.re as f32, near.im as f32]
        });
        let near: Vec<f32> = near.collect();
        let shape = [sides.len() / 2, 2];
        let points = Tensor::from_slice(&self.device, &sides, &shape)?;
        let near = Var::from(Tensor::from_slice(&self.device, &near, &shape)?);
        let edge = self.field.value(parameters, &points.into())?.add(&near)?.square()?.mean()?;
        Ok(inside.add(&edge.scale(SIDE_WEIGHT * SOLVED_SIDES)?)?)
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let values = &self.solved(values)?;
        let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        let places = self.places(JUDGED, u64::MAX);
        let rms = self.residual(&vars, &places)?.square()?.mean()?.tensor().item()?.sqrt();
        output.figure("residual_rms", "Residual, RMS, in units of k²", rms, 6, "");
        let found = self.values(values, &places)?;
        let (mut wrong, mut size, mut n) = (0.0, 0.0, 0);
        for (p, u) in places.as_chunks::<2>().0.iter().zip(found.as_chunks::<2>().0) {
            let Some(open) = self.medium.open(p.map(f64::from)) else { continue };
            wrong += (open - C::new(u[0] as f64, u[1] as f64)).norm_sqr();
            size += open.norm_sqr();
            n += 1;
        }
        if n > 0 {
            output.figure("mse", "Mean squared error against open space", wrong / n as f64, 9, "");
            let percent = 100.0 * (wrong / size.max(1e-30)).sqrt();
            output.figure("error_percent", "Error against open space", percent, 2, " %");
        }
        let mut facts = BTreeMap::from([("kind".to_owned(), "helmholtz".to_owned())]);
        facts.insert("wavenumber".into(), self.medium.wavenumber.to_string());
        let sources = self.medium.sources.iter().map(|([x, y], strength)| format!("{x},{y},{strength}"));
        facts.insert("beside".into(), "the fields of the sources, cut off near them".into());
        facts.insert("sources".into(), sources.collect::<Vec<_>>().join("; "));
        output.model(&self.field, values, facts)?;
        let side = self.picture;
        let grid: Vec<f32> = pixels(side, side).flatten().collect();
        let u = self.values(values, &grid)?;
        let mut states = vec![];
        for (name, part) in [("real part", 0), ("imaginary part", 1)] {
            let part: Vec<f32> = u.iter().skip(part).step_by(2).copied().collect();
            states.push((name, coloured(&part, side, side)));
        }
        let sizes: Vec<f32> = u.as_chunks::<2>().0.iter().map(|[a, b]| a.hypot(*b)).collect();
        states.push(("size", coloured(&sizes, side, side)));
        let note = "colours from the lowest to the highest value; x to the right, y upwards";
        output.gallery("waves", note, states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn medium(layer: f64) -> Medium {
        let keys = BTreeMap::new();
        let names = Names { coordinates: vec!['x', 'y'], unknowns: vec![], constants: keys };
        Medium {
            wavenumber: 20.0,
            sources: vec![([0.1, -0.2], 1.5)],
            near: vec![Near::new(20.0, 0.05)],
            width: 0.05,
            speed: Equation::parse("1", &names).unwrap(),
            uniform: true,
            layer,
            strength: 5.0,
        }
    }

    #[test]
    fn the_field_of_open_space_solves_the_equation() {
        let m = medium(0.25);
        let h = 1e-3;
        for p in [[0.5, 0.3], [-0.6, 0.1], [0.1, 0.55]] {
            let u = |dx: f64, dy: f64| m.open([p[0] + dx, p[1] + dy]).unwrap();
            let middle = u(0.0, 0.0);
            let second = |a: C, b: C| (a + b - middle * 2.0) / (h * h);
            let own = [
                (u(h, 0.0) - u(-h, 0.0)) / (2.0 * h),
                second(u(h, 0.0), u(-h, 0.0)),
                (u(0.0, h) - u(0.0, -h)) / (2.0 * h),
                second(u(0.0, h), u(0.0, -h)),
                middle,
            ];
            let left: C = m.factors(p, 1.0).iter().zip(own).map(|(f, u)| f * u).sum();
            assert!(left.norm() < 2e-3 * 400.0 * middle.norm(), "{left}");
        }
    }

    #[test]
    fn layers_are_matched_and_differentiated() {
        let m = medium(0.25);
        assert_eq!(m.stretch(0.7).0, C::new(1.0, 0.0));
        assert_eq!(m.stretch(-1.0).0, C::new(1.0, -5.0));
        for x in [0.8, -0.9, 0.99] {
            let h = 1e-6;
            let difference = (m.stretch(x + h).0 - m.stretch(x - h).0) / (2.0 * h);
            assert!((difference - m.stretch(x).1).norm() < 1e-6);
        }
        // (1/s_x) ∂x(1/s_x ∂x u) of u = x², by differences of the flux.
        let (p, h) = ([0.9, -0.85], 1e-5);
        let flux = |x: f64| 2.0 * x / m.stretch(x).0;
        let difference = (flux(p[0] + h) - flux(p[0] - h)) / (2.0 * h) / m.stretch(p[0]).0;
        let f = m.factors(p, 1.0);
        assert!((f[0] * (2.0 * p[0]) + f[1] * 2.0 - difference).norm() < 1e-6);
    }

    #[test]
    fn sources_are_read() {
        assert_eq!(sources("", "0,0; 0.5, -0.5, 2").unwrap(), [([0.0, 0.0], 1.0), ([0.5, -0.5], 2.0)]);
        for bad in ["", "1", "2,0", "0,x", "nan,0"] {
            assert!(sources("", bad).is_err(), "{bad}");
        }
    }
}
