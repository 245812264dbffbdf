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
        let mut summary = summary.clone();
        if profile {
            summary.details.insert("profile".into(), profile_json());
        }
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

/// Columns of a table at most; what has more is listed.
const MAX_COLUMNS: usize = 6;

/// `name  value`, with the parts of lists and objects indented below.
fn entry(name: &str, value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let row = |value: &str| format!("{indent}{name:<width$} {value}\n", width = 28usize.saturating_sub(2 * depth));
    match value {
        Value::Array(items) if items.iter().any(|v| v.is_array() || v.is_object()) => {
            let parts = || items.iter().enumerate().map(|(i, v)| entry(&i.to_string(), v, depth + 1)).collect();
            row("").trim_end().to_owned() + "\n" + &table(items).unwrap_or_else(parts)
        }
        Value::Object(parts) => {
            parts.iter().fold(row("").trim_end().to_owned() + "\n", |text, (k, v)| text + &entry(k, v, depth + 1))
        }
        other => row(&cell(name, other)),
    }
}

/// A value in one line; sizes of memory in KiB or MiB.
fn cell(name: &str, value: &Value) -> String {
    match value {
        Value::Number(n) if name.ends_with("_bytes") && n.is_u64() => {
            let bytes = n.as_u64().unwrap_or_default() as f64;
            if bytes < (1 << 20) as f64 {
                format!("{:.1} KiB", bytes / 1024.0)
            } else {
                format!("{:.1} MiB", bytes / (1 << 20) as f64)
            }
        }
        Value::String(s) => s.clone(),
        Value::Null => "-".into(),
        Value::Number(n) if n.is_f64() => {
            let x = n.as_f64().unwrap_or_default();
            if x != 0.0 && x.abs() < 1e-3 {
                return format!("{x:.3e}");
            }
            let text = format!("{x:.5}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Value::Array(items) => format!("[{}]", items.iter().map(|v| cell("", v)).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// Objects with the same few keys as rows below a head.
fn table(items: &[Value]) -> Option<String> {
    let keys: Vec<&String> = items.first()?.as_object()?.keys().collect();
    let same = |v: &Value| v.as_object().is_some_and(|o| o.keys().eq(keys.iter().copied()));
    if keys.len() > MAX_COLUMNS || !items.iter().all(same) {
        return None;
    }
    let mut rows = vec![keys.iter().map(|k| k.to_string()).collect::<Vec<_>>()];
    rows.extend(items.iter().map(|v| keys.iter().map(|k| cell(k, &v[k.as_str()])).collect()));
    let widths: Vec<usize> =
        (0..keys.len()).map(|c| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}")).collect();
        format!("  {}\n", cells.join("  ").trim_end())
    };
    Some(rows.iter().map(line).collect())
}

/// Kernels, the costliest first.
fn profile_json() -> Value {
    let row = |e: lumigrad::core::profile::Entry| {
        let ms = e.seconds * 1e3;
        serde_json::json!({ "kernel": e.name, "ms": ms, "launches": e.launches, "bytes": e.bytes })
    };
    lumigrad::core::profile::table().into_iter().map(row).collect()
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
