//! `fit wave`: waves that go out from where the medium is disturbed at first, in one network of space and time.

use super::describe::{self, Defaults};
use super::drive::{Output, Setup, Task, drive};
use super::pde::{FitPdeJob, PdeTask, Problem};
use super::{Fit, FitKeys, MOST_COLUMNS, columns, positive};
use crate::fields::place::pixels;
use crate::fields::shade::coloured;
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::{Observer, Stop, Summary};
use crate::{Error, Result};
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Activation, Derivatives, Field};
use std::sync::Arc;

job_keys! {
    /// Solve the wave equation in the square from -1 to 1: u_tt = c^2 (u_xx + u_yy) from a bump at rest; its sides let waves out.
    FitWaveJob {
        include fit: FitKeys;
        /// Middles of the bumps, separated by semicolons: X,Y or X,Y,HEIGHT each.
        bumps: String, Text, default "\"0,0\"";
        /// Deviation of the bumps, which are Gaussians.
        bump_width: f64, Amount, default "0.1";
        /// Speed of waves in the medium, an expression of x and y.
        speed: String, Text, default "\"1\"";
        /// The end of time.
        duration: f64, Amount, default "0.8";
        /// Weight of how the medium is at first.
        start_weight: f64, Amount, default "100.0";
        /// Times that are shown.
        frames: usize, Count(2), default "6";
        /// Columns and rows of the pictures.
        picture: usize, Count(2), default "192";
    }
}

pub const FIT: Fit =
    Fit { name: "fit wave", about: FitWaveJob::ABOUT[0], positional: &[], keys: FitWaveJob::keys, run };

const DEFAULTS: Defaults = Defaults {
    encoding: "none",
    sine: (128, 3),
    omega: 10.0,
    sine_rate: 3e-4,
    grid: (8, 16, 4, 64),
    activation: Activation::Softplus,
};
/// Most times.
const MOST_FRAMES: usize = 1000;
/// Points along each axis that the solution is compared with the known one at.
const COMPARED: usize = 24;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitWaveJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    positive(&[("--bump-width", job.bump_width), ("--duration", job.duration)])?;
    columns(job.picture, MOST_COLUMNS)?;
    if job.frames > MOST_FRAMES {
        return Err(Error::usage("--frames", format!("{} times", job.frames), format!("at most {MOST_FRAMES}")));
    }
    let bumps = super::helmholtz::sources("--bumps", &job.bumps)?;
    let equation = equation(&job, &bumps);
    // A mistake in the speed is told as one of the speed.
    let square = FitPdeJob { residual: Some(job.speed.clone()), conditions: String::new(), ..equation.clone() };
    Problem::new(&square).map_err(|e| Error::usage("--speed", e.to_string(), "an expression of x and y"))?;
    let problem = Problem::new(&equation)?;
    let field = describe::field(&job.fit, 3, 1, &DEFAULTS)?;
    let named = (format!("Waves until {}", job.duration), "wave".into());
    let setup = Setup::of_field(&job.fit, named, (&field, &DEFAULTS), 4000, &device)?;
    let inner = PdeTask::new(problem, field, equation, device)?;
    let mut task = WaveTask { inner, bumps, job: job.clone() };
    drive(setup, &mut task, document, stop, observer)
}

type Bumps = [([f64; 2], f64)];

/// The equation as a job of `fit pde`. Sides let out waves that meet them upright (Engquist & Majda 1977, of first order).
fn equation(job: &FitWaveJob, bumps: &Bumps) -> FitPdeJob {
    let FitWaveJob { speed, duration, bump_width: width, start_weight, .. } = job;
    let bump = |([x, y], height): &([f64; 2], f64)| format!("({height})*exp(-((x-({x}))^2+(y-({y}))^2)/(2*{width}^2))");
    let start = bumps.iter().map(bump).collect::<Vec<_>>().join("+");
    // Conditions are weighted alike; slopes in time are smaller by the width where the start is as wrong.
    let root = start_weight.max(0.0).sqrt();
    let conditions = [
        format!("t = 0: {root}*(u - ({start}))"),
        format!("t = 0: {}*u_t", root * width),
        format!("x = -1: {width}*(u_t - ({speed})*u_x)"),
        format!("x = 1: {width}*(u_t + ({speed})*u_x)"),
        format!("y = -1: {width}*(u_t - ({speed})*u_y)"),
        format!("y = 1: {width}*(u_t + ({speed})*u_y)"),
    ];
    FitPdeJob {
        fit: job.fit.clone(),
        // Second derivatives are as large as a bump's, its height over the square of its width.
        residual: Some(format!("{}*(u_tt - ({speed})^2*(u_xx + u_yy))", width * width)),
        domain: format!("x = -1:1, y = -1:1, t = 0:{duration}"),
        conditions: conditions.join("; "),
        constants: String::new(),
        exact: None,
        condition_weight: 1.0,
        grow: Some("t".into()),
        picture: job.picture,
    }
}

/// Height at distance r of a bump of height 1 after a time, where waves go a distance d in it: the Hankel transform
/// s² ∫ k exp(−k²s²/2) cos(kd) J₀(kr) dk.
fn spreading(width: f64, d: f64, r: f64) -> f64 {
    let (most, n) = (8.0 / width, 2000);
    let h = most / n as f64;
    let value = |k: f64| k * (-0.5 * (k * width).powi(2)).exp() * (k * d).cos() * libm::j0(k * r);
    // Simpson's rule.
    let sum: f64 = (0..=n)
        .map(|i| {
            let weight = if i == 0 || i == n { 1.0 } else { 2.0 + 2.0 * (i % 2) as f64 };
            weight * value(i as f64 * h)
        })
        .sum();
    width * width * sum * h / 3.0
}

struct WaveTask {
    inner: PdeTask,
    bumps: Vec<([f64; 2], f64)>,
    job: FitWaveJob,
}

impl WaveTask {
    fn field(&self) -> &Field {
        &self.inner.field
    }

    fn sample(&self, values: &[Tensor], places: &[f32]) -> Result<Vec<f32>> {
        Ok(self.field().sample(values, places, &Arc::new(Derivatives::none()))?.remove(0))
    }

    /// Error against the known solution in a medium of one speed, in percent, where no side is felt yet.
    fn error(&self, values: &[Tensor]) -> Result<Option<f64>> {
        let Ok(speed) = self.job.speed.trim().parse::<f64>() else { return Ok(None) };
        let (mut places, mut known) = (vec![], vec![]);
        let width = self.job.bump_width;
        for k in 0..COMPARED.pow(3) {
            let share = |i: usize| (i as f64 + 0.5) / COMPARED as f64;
            let p = [2.0 * share(k % COMPARED) - 1.0, 2.0 * share(k / COMPARED % COMPARED) - 1.0];
            let t = share(k / COMPARED.pow(2)) * self.job.duration;
            // A wave that a side has thrown back has come all the way there first.
            let untouched = |at: &[f64; 2]| {
                let side = (0..2).map(|a| 1.0 - at[a].abs()).fold(f64::INFINITY, f64::min);
                let own = (0..2).map(|a| 1.0 - p[a].abs()).fold(f64::INFINITY, f64::min);
                speed.abs() * t + 4.0 * width < side + own
            };
            if !self.bumps.iter().all(|(at, _)| untouched(at)) {
                continue;
            }
            let height =
                |(at, h): &([f64; 2], f64)| h * spreading(width, speed * t, (p[0] - at[0]).hypot(p[1] - at[1]));
            known.push(self.bumps.iter().map(height).sum::<f64>());
            places.extend([p[0] as f32, p[1] as f32, (2.0 * t / self.job.duration - 1.0) as f32]);
        }
        let found = self.sample(values, &places)?;
        let wrong: f64 = found.iter().zip(&known).map(|(a, b)| (*a as f64 - b).powi(2)).sum();
        let size: f64 = known.iter().map(|b| b * b).sum();
        Ok((size > 0.0).then(|| 100.0 * (wrong / size).sqrt()))
    }
}

impl Task for WaveTask {
    fn progress(&mut self, progress: f64) {
        self.inner.progress(progress);
    }

    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        self.inner.loss(parameters, step)
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        self.inner.finish(values, output)?;
        if let Some(error) = self.error(values)? {
            output.figure("error_percent", "Error before waves meet the sides", error, 2, " %");
        }
        let side = self.job.picture;
        let mut states = vec![];
        for frame in 0..self.job.frames {
            let share = frame as f32 / (self.job.frames - 1) as f32;
            let places: Vec<f32> = pixels(side, side).flat_map(|[x, y]| [x, y, 2.0 * share - 1.0]).collect();
            let u = self.sample(values, &places)?;
            let name = format!("t = {:.3}", share as f64 * self.job.duration);
            states.push((name, coloured(&u, side, side)));
        }
        let note = "colours from each picture's lowest to its highest value; x to the right, y upwards";
        output.gallery("waves", note, states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bump_spreads_as_the_wave_equation_says() {
        // At first it is the bump itself, and differences of it satisfy the equation.
        assert!((spreading(0.1, 0.0, 0.15) - (-0.5f64 * 2.25).exp()).abs() < 1e-9);
        let h = 1e-3;
        for (t, r) in [(0.3, 0.2), (0.5, 0.5), (0.2, 0.35)] {
            let u = |t: f64, r: f64| spreading(0.1, t, r);
            let tt = (u(t + h, r) + u(t - h, r) - 2.0 * u(t, r)) / (h * h);
            let rr = (u(t, r + h) + u(t, r - h) - 2.0 * u(t, r)) / (h * h);
            let slope = (u(t, r + h) - u(t, r - h)) / (2.0 * h);
            assert!((tt - rr - slope / r).abs() < 1e-2 * tt.abs().max(1.0), "{tt} {rr} {slope}");
        }
    }
}
