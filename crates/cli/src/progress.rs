//! The progress bar: one line on the terminal's error stream.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lumigrad::run::{Event, Observer};

/// Steps of a bar that shows time instead of iterations.
const TIME_STEPS: u64 = 1000;

/// Shows events as a bar; silent where the error stream is no terminal or the job is quiet.
pub struct Progress {
    bar: ProgressBar,
    seconds: Option<f64>,
    psnr: Option<f64>,
    quiet: bool,
}

impl Progress {
    /// A bar that appears with the first event.
    pub fn new(quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        Self { bar, seconds: None, psnr: None, quiet }
    }
}

impl Observer for Progress {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Started { iterations, seconds, .. } => {
                self.seconds = if iterations.is_none() { *seconds } else { None };
                self.bar.set_length(iterations.map_or(TIME_STEPS, |n| n as u64));
                let style = ProgressStyle::with_template("{wide_bar:.cyan} {pos}/{len} {per_sec} {msg} ETA {eta}");
                if let Ok(style) = style {
                    self.bar.set_style(style.progress_chars("━╸─"));
                }
            }
            Event::Step { iteration, seconds, loss } => {
                let position = match self.seconds {
                    Some(limit) => (TIME_STEPS as f64 * (seconds / limit).min(1.0)) as u64,
                    None => *iteration as u64,
                };
                self.bar.set_position(position);
                let psnr = self.psnr.map_or(String::new(), |p| format!(" PSNR {p:.2} dB"));
                self.bar.set_message(format!("loss {loss:.5}{psnr}"));
            }
            Event::Eval { psnr, .. } => self.psnr = Some(*psnr),
            Event::Phase(what) => self.bar.set_message(what.clone()),
            Event::Warning(text) if !self.quiet => self.bar.suspend(|| eprintln!("warning: {text}")),
            Event::Done { .. } => self.bar.finish_and_clear(),
            _ => {}
        }
    }
}
