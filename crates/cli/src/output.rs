//! What the program says at its end.

use lumigrad::Error;
use lumigrad::run::Summary;
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;

/// Writes to standard output; a reader that has gone away is no error.
pub fn text(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Reports a failure; the exit code is 2 for wrong usage, else 1.
pub fn failure(command: &str, error: &Error, json: bool) -> ExitCode {
    eprintln!("error: {error}");
    if json {
        let error = json!({"message": error.to_string(), "location": error.location(), "help": error.help()});
        text(&format!("{:#}\n", json!({"command": command, "error": error})));
    }
    ExitCode::from(if error.is_usage() { 2 } else { 1 })
}

/// Reports a result.
pub fn success(summary: &Summary, json: bool, quiet: bool, profile: bool) {
    if profile {
        eprint!("{}", profile_table());
    }
    if json {
        return text(&format!("{}\n", summary.to_json()));
    }
    if quiet {
        return;
    }
    summary.warnings.iter().for_each(|w| eprintln!("warning: {w}"));
    let mut lines = String::new();
    for (name, value) in summary.metrics.iter().chain(&summary.details) {
        lines += &entry(name, value, 0);
    }
    for (name, path) in &summary.outputs {
        lines += &entry(name, path, 0);
    }
    text(&lines);
}

/// `name  value`, with the parts of lists and objects indented below.
fn entry(name: &str, value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let row = |value: &str| format!("{indent}{name:<width$} {value}\n", width = 28usize.saturating_sub(2 * depth));
    match value {
        Value::String(s) => row(s),
        Value::Number(n) if n.is_f64() => {
            let text = format!("{:.5}", n.as_f64().unwrap_or_default());
            row(text.trim_end_matches('0').trim_end_matches('.'))
        }
        Value::Array(items) => {
            let head = row("");
            items.iter().enumerate().fold(head, |text, (i, v)| text + &entry(&i.to_string(), v, depth + 1))
        }
        Value::Object(table) => table.iter().fold(row(""), |text, (k, v)| text + &entry(k, v, depth + 1)),
        other => row(&other.to_string()),
    }
}

fn profile_table() -> String {
    let mut lines = format!("{:>10} {:>8} {:>12}  kernel\n", "ms", "launches", "MiB");
    for e in lumigrad::core::profile::table() {
        // Names of generated kernels list all that they depend on; their beginning tells which they are.
        let name: String = e.name.chars().take(60).collect();
        let mib = e.bytes as f64 / (1 << 20) as f64;
        lines += &format!("{:>10.2} {:>8} {mib:>12.1}  {}\n", e.seconds * 1e3, e.launches, name);
    }
    lines
}
