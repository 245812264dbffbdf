//! Repeats a computation and sums its times up.

use crate::Result;
use crate::core::Device;
use crate::run::Summary;
use serde_json::{Map, Value};
use std::time::Instant;

/// Runs before the first that counts, and their seconds, at least: a GPU that was idle is slow for a while.
const WARM_UP: (usize, f64) = (3, 0.7);
/// Runs that count.
const RUNS: usize = 15;

/// Seconds of one run.
pub struct Timing {
    /// The median.
    pub median: f64,
    /// Distance between the quartiles over the median.
    pub spread: f64,
}

/// Times `run` until the device has finished, after a warm-up.
pub fn time(device: &Device, mut run: impl FnMut() -> Result<()>) -> Result<Timing> {
    let mut once = || -> Result<f64> {
        let start = Instant::now();
        run()?;
        device.synchronize()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let (mut runs, mut spent) = (0, 0.0);
    while runs < WARM_UP.0 || spent < WARM_UP.1 {
        spent += once()?;
        runs += 1;
    }
    let mut seconds = (0..RUNS).map(|_| once()).collect::<Result<Vec<_>>>()?;
    seconds.sort_by(f64::total_cmp);
    let median = seconds[RUNS / 2];
    Ok(Timing { median, spread: (seconds[RUNS * 3 / 4] - seconds[RUNS / 4]) / median })
}

/// Writes a figure, and its spread beside those of others.
pub fn record(summary: &mut Summary, name: &str, figure: f64, timing: &Timing) {
    summary.metric(name, figure);
    let all = summary.details.entry("spread").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(all) = all {
        all.insert(name.into(), timing.spread.into());
    }
}
