//! A job as a commented file.

use super::document::literal;
use super::{Document, Key, Kind, Preset};
use std::fmt::Write;
use toml::Value;

/// Width of comments.
const COLUMNS: usize = 100;

impl Document {
    /// The complete job as a job file: every key with its documentation, those without a value commented out. It parses
    /// back to the same job.
    pub fn to_toml(&self) -> String {
        let command = self.command();
        let mut text = format!("# {}\n", command.about);
        text += "# Relative paths are relative to this file. Keys behind # have no value; what stands there is an example.\n";
        let _ = write!(text, "command = {}\n\n", Value::String(command.name.into()));
        let tables = |k: &&Key| matches!(k.kind, Kind::Params | Kind::Inits);
        for key in command.keys.iter().filter(|k| !tables(k)) {
            comment(&mut text, key);
            match (self.get(key.name), key.preset) {
                (Some(value), _) => _ = writeln!(text, "{} = {value}\n", key.name),
                (None, Preset::Example(example) | Preset::Default(example)) => {
                    let _ = writeln!(text, "# {} = {example}\n", key.name);
                }
            }
        }
        // Tables end the file: what follows a header belongs to it.
        for key in command.keys.iter().filter(tables) {
            comment(&mut text, key);
            let (value, mark) = match (self.get(key.name), key.preset) {
                (Some(value), _) => (value, ""),
                (None, Preset::Example(example) | Preset::Default(example)) => (literal(example), "# "),
            };
            match value {
                Value::Array(items) => {
                    for table in items.iter().filter_map(Value::as_table) {
                        let _ = writeln!(text, "{mark}[[{}]]", key.name);
                        entries(&mut text, mark, table);
                    }
                }
                Value::Table(table) => {
                    let _ = writeln!(text, "{mark}[{}]", key.name);
                    entries(&mut text, mark, &table);
                }
                _ => {}
            }
            text.push('\n');
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }
}

fn entries(text: &mut String, mark: &str, table: &toml::Table) {
    for (name, value) in table {
        let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let name = if bare { name.clone() } else { Value::String(name.clone()).to_string() };
        let _ = writeln!(text, "{mark}{name} = {value}");
    }
}

fn comment(text: &mut String, key: &Key) {
    let mut line = String::from("#");
    for word in key.help().split(' ') {
        if line.len() + word.len() >= COLUMNS {
            let _ = writeln!(text, "{line}");
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}
