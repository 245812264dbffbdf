//! The result of a job as `--json` prints it and `metrics.json` keeps it.

use lumigrad_metrics::PSNR_CAP;
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;

/// A moment of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Record {
    /// Steps done.
    pub iteration: usize,
    /// Seconds spent on steps.
    pub seconds: f64,
    /// Loss of the step.
    pub loss: f64,
    /// PSNR of the scored views, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_psnr: Option<f64>,
}

/// What a job did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// The command.
    pub command: String,
    /// Version of lumigrad.
    pub version: String,
    /// The device that computed.
    pub device: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Steps done.
    pub iterations: usize,
    /// Seconds of the whole job.
    pub seconds: f64,
    /// Most physical memory held, bytes; 0 where unknown.
    pub peak_memory_bytes: u64,
    /// Figures by name: finite numbers, objects of them, true and false.
    pub metrics: Map<String, Value>,
    /// Moments of the run.
    pub history: Vec<Record>,
    /// Files and folders that were written, by what they are.
    pub outputs: Map<String, Value>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Tables that belong to one command: images of `eval`, adapters of `devices`.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

impl Summary {
    /// An empty summary of a command.
    pub fn new(command: &str, device: impl Into<String>, seed: u64) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { command: command.into(), version, device: device.into(), seed, ..Self::default() }
    }

    /// Adds a figure. Figures are finite: PSNRs are capped at 120 dB, and what is not finite becomes a warning.
    pub fn metric(&mut self, name: &str, value: f64) {
        let capped = if name.contains("psnr") { value.min(PSNR_CAP) } else { value };
        match serde_json::Number::from_f64(capped) {
            Some(number) => _ = self.metrics.insert(name.into(), Value::Number(number)),
            None => self.warnings.push(format!("{name} is {value} and is left out")),
        }
    }

    /// Adds what is true or false.
    pub fn flag(&mut self, name: &str, value: bool) {
        self.metrics.insert(name.into(), Value::Bool(value));
    }

    /// Adds an object of figures.
    pub fn metric_table(&mut self, name: &str, values: impl IntoIterator<Item = (String, f64)>) {
        let mut table = Map::new();
        for (key, value) in values {
            match serde_json::Number::from_f64(value) {
                Some(number) => _ = table.insert(key, Value::Number(number)),
                None => self.warnings.push(format!("{name} of {key} is {value} and is left out")),
            }
        }
        self.metrics.insert(name.into(), Value::Object(table));
    }

    /// A figure by name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.metrics.get(name)?.as_f64()
    }

    /// Adds a file or folder that was written.
    pub fn output(&mut self, name: &str, path: &Path) {
        self.outputs.insert(name.into(), Value::String(path.to_string_lossy().into_owned()));
    }

    /// The summary as indented JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|e| format!("{{\"error\": {{\"message\": \"{e}\"}}}}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_finite_numbers() {
        let mut summary = Summary::new("eval", "cpu", 0);
        summary.metric("psnr", f64::INFINITY);
        summary.metric("loss", f64::NAN);
        summary.metric_table("parameter_error", [("/a".to_owned(), 0.5), ("/b".to_owned(), f64::INFINITY)]);
        assert_eq!(summary.get("psnr"), Some(120.0));
        assert_eq!(summary.get("loss"), None);
        assert_eq!(summary.warnings.len(), 2);
        let json: Value = serde_json::from_str(&summary.to_json()).unwrap();
        assert_eq!(json["metrics"]["parameter_error"]["/a"], 0.5);
        assert!(json.get("details").is_none());
    }
}
