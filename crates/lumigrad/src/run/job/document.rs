//! A job as it is put together: a file, then flags, then `--set`.

use super::{Command, Key, Kind, Preset, nearest};
use crate::{Error, Result};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::Path;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// Largest job file that is read.
const MAX_BYTES: u64 = 4 << 20;

/// The values of a job that differ from the defaults, all of them checked.
#[derive(Clone, Debug)]
pub struct Document {
    command: Command,
    values: Table,
}

impl Document {
    /// A job with nothing but defaults.
    pub fn new(command: Command) -> Self {
        Self { command, values: Table::new() }
    }

    /// Reads a job file. Its first key is `command`; relative paths in it are relative to it.
    ///
    /// # Errors
    /// A file that cannot be read or is no TOML, unknown commands and keys (with the nearest known), and values of the
    /// wrong kind: each with file and line.
    pub fn load(path: &Path) -> Result<Self> {
        let size = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
        if size > MAX_BYTES {
            return Err(Error::usage(path.display(), format!("a job file of {size} bytes"), "expected at most 4 MiB"));
        }
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse_text(&text, &path.display().to_string(), folder)
    }

    /// As [`Self::load`], from text: `location` names it in errors, `folder` is what its paths are relative to.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse_text(text: &str, location: &str, folder: &Path) -> Result<Self> {
        let line_of = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|&&b| b == b'\n').count() + 1;
        let place = |line: usize| format!("{location}:{line}");
        let syntax = |e: toml::de::Error| {
            let line = e.span().map_or(1, |s| line_of(s.start));
            Error::usage(place(line), e.message().trim().replace('\n', "; "), "")
        };
        let spanned = DeTable::parse(text).map_err(syntax)?;
        let mut lines = HashMap::new();
        for (key, value) in spanned.get_ref().iter() {
            note_lines(key.get_ref(), key, value, &line_of, &mut lines);
        }
        let table: Table = toml::from_str(text).map_err(syntax)?;
        let line = |key: &str| lines.get(key).copied().unwrap_or(1);

        let names: Vec<&str> = Command::all().iter().map(|c| c.name).collect();
        let command = match table.get("command") {
            Some(Value::String(name)) => Command::named(name).ok_or_else(|| {
                let hint =
                    nearest(name, names.iter().copied()).map_or(String::new(), |n| format!(", did you mean {n:?}?"));
                let message = format!("unknown command {name:?}{hint}");
                Error::usage(place(line("command")), message, format!("commands: {}", names.join(", ")))
            })?,
            _ => {
                let help = format!("begin the job file with command = \"optimize\" (commands: {})", names.join(", "));
                return Err(Error::usage(place(1), "the job has no command", help));
            }
        };
        let mut document = Self::new(command);
        for (path, name, value) in document.entries(table) {
            let key = document.known(&name).map_err(|(m, h)| Error::usage(place(line(&path)), m, h))?;
            let value = key.kind.normalise(value).map_err(|message| {
                // The message may name an entry of a table, whose line is closer.
                let inner = message.split(": ").next().and_then(|entry| lines.get(&format!("{name}.{entry}")));
                Error::usage(place(inner.copied().unwrap_or(line(&path))), format!("{name}: {message}"), "")
            })?;
            document.values.insert(name, key.kind.rebase(value, folder));
        }
        Ok(document)
    }

    /// The command.
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// Keys of a job file with their places and values. A table that is no key itself is a section: `[auto]` with
    /// `regularisers` in it is `auto_regularisers`.
    fn entries(&self, table: Table) -> Vec<(String, String, Value)> {
        let mut out = vec![];
        for (name, value) in table.into_iter().filter(|(name, _)| name != "command") {
            match value {
                Value::Table(inner) if self.command.key(&name).is_none() => {
                    let entry = |(key, value)| (format!("{name}.{key}"), format!("{name}_{key}"), value);
                    out.extend(inner.into_iter().map(entry));
                }
                value => out.push((name.clone(), name, value)),
            }
        }
        out
    }

    fn known(&self, name: &str) -> std::result::Result<Key, (String, String)> {
        self.command.key(name).copied().ok_or_else(|| {
            let known = self.command.keys.iter().map(|k| k.name);
            let hint =
                nearest(&name.replace('-', "_"), known).map_or(String::new(), |k| format!(", did you mean {k:?}?"));
            let help = format!("lumigrad {} --print-job prints all keys", self.command.name);
            (format!("unknown key {name:?}{hint}"), help)
        })
    }

    /// Sets a key from the texts of a flag (several for a repeatable one; none for its bare presence).
    ///
    /// # Errors
    /// A text that does not fit the key.
    pub fn set_flag(&mut self, name: &str, texts: Vec<String>) -> Result<()> {
        let key = self.known(name).map_err(|(m, h)| Error::usage(format!("--{name}"), m, h))?;
        let value = match (key.kind, texts.as_slice()) {
            (Kind::Flag, []) => Value::Boolean(true),
            (kind, _) if kind.is_list() => Value::Array(texts.into_iter().map(Value::String).collect()),
            (_, texts) => Value::String(texts.last().cloned().unwrap_or_default()),
        };
        let value = key.kind.normalise(value).map_err(|m| Error::usage(format!("--{}", key.flag()), m, ""))?;
        match (key.kind, value, self.values.get_mut(name)) {
            (Kind::Inits, Value::Table(new), Some(Value::Table(old))) => old.extend(new),
            (_, value, _) => {
                self.values.insert(name.into(), value);
            }
        }
        Ok(())
    }

    /// Sets a key to a value.
    ///
    /// # Errors
    /// An unknown key, or a value that does not fit it.
    pub fn set(&mut self, name: &str, value: Value) -> Result<()> {
        let key = self.known(name).map_err(|(m, h)| Error::usage(name, m, h))?;
        let value = key.kind.normalise(value).map_err(|m| Error::usage(name, m, ""))?;
        self.values.insert(name.into(), value);
        Ok(())
    }

    /// Applies `key=value` or `section.key=value`; the value is TOML, or a bare text.
    ///
    /// # Errors
    /// An unknown key, or a value that does not fit it.
    pub fn set_expression(&mut self, expression: &str) -> Result<()> {
        let place = format!("--set {expression}");
        let Some((path, text)) = expression.split_once('=') else {
            return Err(Error::usage(place, "expected KEY=VALUE", "for example --set iterations=200"));
        };
        let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut t| t.remove("value"));
        let value = parsed.unwrap_or_else(|| Value::String(text.to_owned()));
        let (name, inner) = match path.trim().split_once('.') {
            Some((name, inner)) => (name, Some(inner.trim_matches('"'))),
            None => (path.trim(), None),
        };
        let joined = inner.map(|inner| format!("{name}_{inner}"));
        let (name, inner) = match &joined {
            Some(joined) if self.command.key(name).is_none() => (joined.as_str(), None),
            _ => (name, inner),
        };
        let key = self.known(name).map_err(|(m, h)| Error::usage(&place, m, h))?;
        let value = match inner {
            None => value,
            Some(inner) => {
                let mut whole = match (self.values.get(name), key.kind) {
                    (Some(present), _) => present.clone(),
                    (None, Kind::Inits) => Value::Table(Table::new()),
                    (None, _) => Value::Array(vec![]),
                };
                set_inner(&mut whole, inner, value).map_err(|m| Error::usage(&place, m, ""))?;
                whole
            }
        };
        let value = key.kind.normalise(value).map_err(|m| Error::usage(&place, m, ""))?;
        self.values.insert(name.into(), value);
        Ok(())
    }

    /// A key's value: as given, else its default, else none.
    pub fn get(&self, name: &str) -> Option<Value> {
        match (self.values.get(name), self.command.key(name)?.preset) {
            (Some(value), _) => Some(value.clone()),
            (None, Preset::Default(text)) => Some(literal(text)),
            (None, Preset::Example(_)) => None,
        }
    }

    /// True where a flag is set.
    pub fn is_set(&self, name: &str) -> bool {
        self.get(name) == Some(Value::Boolean(true))
    }

    /// The typed job.
    ///
    /// # Errors
    /// A value that does not fit its type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        let mut table = Table::new();
        for key in &self.command.keys {
            match (self.get(key.name), key.kind) {
                (Some(value), _) => table.insert(key.name.into(), value),
                (None, Kind::Params | Kind::Paths | Kind::Materials) => {
                    table.insert(key.name.into(), Value::Array(vec![]))
                }
                (None, Kind::Inits) => table.insert(key.name.into(), Value::Table(Table::new())),
                (None, _) => None,
            };
        }
        table.try_into().map_err(|e: toml::de::Error| Error::usage("job", e.message(), ""))
    }

    /// The settings that a resumed run must share with its checkpoint, as text: all but limits, folders and switches.
    pub fn fingerprint(&self) -> String {
        let free = [
            "out",
            "resume",
            "json",
            "quiet",
            "profile",
            "threads",
            "iterations",
            "seconds",
            "stop_loss",
            "checkpoint_every",
            "eval_every",
        ];
        let text = self.to_toml();
        let keep = |line: &&str| {
            let key = line.split('=').next().unwrap_or("").trim().trim_start_matches('#').trim();
            !line.starts_with('#') && !free.contains(&key)
        };
        text.lines().filter(keep).collect::<Vec<_>>().join("\n")
    }

    /// The same job with its paths absolute, so that it can be moved.
    pub fn anchored(&self) -> Self {
        let here = std::env::current_dir().unwrap_or_default();
        let kind = |name: &str| self.command.key(name).map_or(Kind::Text, |k| k.kind);
        let values = self.values.clone().into_iter().map(|(name, v)| {
            let v = kind(&name).rebase(v, &here);
            (name, v)
        });
        Self { command: self.command.clone(), values: values.collect() }
    }
}

/// A preset's TOML as a value. Presets are compiled in and checked by a test.
pub(super) fn literal(text: &str) -> Value {
    let table = toml::from_str::<Table>(&format!("value = {text}"));
    table.ok().and_then(|mut t| t.remove("value")).unwrap_or_else(|| Value::String(text.into()))
}

fn note_lines(
    name: &str,
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    line_of: &impl Fn(usize) -> usize,
    lines: &mut HashMap<String, usize>,
) {
    lines.insert(name.to_owned(), line_of(key.span().start));
    match value.get_ref() {
        DeValue::Table(table) => {
            for (key, value) in table.iter() {
                note_lines(&format!("{name}.{}", key.get_ref()), key, value, line_of, lines);
            }
        }
        DeValue::Array(items) => {
            for item in items.iter() {
                let DeValue::Table(table) = item.get_ref() else { continue };
                for (key, value) in table.iter() {
                    note_lines(&format!("{name}.{}", key.get_ref()), key, value, line_of, lines);
                }
            }
        }
        _ => {}
    }
}

/// Sets an entry of a table, or `N.key` of a list of tables.
fn set_inner(whole: &mut Value, inner: &str, value: Value) -> std::result::Result<(), String> {
    match whole {
        Value::Table(table) => {
            table.insert(inner.to_owned(), value);
            Ok(())
        }
        Value::Array(items) => {
            let n = items.len();
            let place = inner.split_once('.').and_then(|(i, key)| Some((i.parse::<usize>().ok()?, key)));
            let entry = place.and_then(|(i, key)| Some((items.get_mut(i)?.as_table_mut()?, key)));
            let (table, key) =
                entry.ok_or_else(|| format!("expected NUMBER.KEY with a number below {n}, found {inner:?}"))?;
            table.insert(key.to_owned(), value);
            Ok(())
        }
        _ => Err("this key has no parts".into()),
    }
}
