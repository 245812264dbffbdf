//! Jobs: what a command is asked to do, as a file, as flags, or both.
//!
//! A [`Document`] collects values from a job file, flags and `--set`; [`Document::parse`] makes the command's typed job.
//! Every key is declared once, in [`commands`], and is a flag as well.
//!
//! Relative paths in a job file are relative to that file; those of flags to the working folder.

pub mod commands;
mod document;
mod key;
mod kind;
mod template;
mod values;

#[cfg(test)]
mod tests;

pub use document::Document;
pub(crate) use key::job_keys;
pub use key::{Key, Preset};
pub use kind::{Kind, nearest};
pub use values::{EnvironmentChoice, InitEntry, ParamEntry, Size, ViewSource};

/// A command: its name, its keys, and which of them stand without a flag.
#[derive(Clone, Debug)]
pub struct Command {
    /// Name as it is typed, and as the first key of its job files.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Keys that are given by place, in this order.
    pub positional: &'static [&'static str],
    /// All keys.
    pub keys: Vec<Key>,
}

impl Command {
    /// All commands.
    pub fn all() -> Vec<Self> {
        use crate::fields::MeshJob;
        use crate::prior::{PriorInfoJob, PriorSampleJob};
        use commands::*;
        let command =
            |name, about: &[&'static str], positional, keys| Self { name, about: about[0].trim(), positional, keys };
        let fits = crate::fit::FITS.iter().map(|f| Self {
            name: f.name,
            about: f.about.trim(),
            positional: f.positional,
            keys: (f.keys)(),
        });
        let mut all = vec![
            command("optimize", OptimizeJob::ABOUT, &["scene"], OptimizeJob::keys()),
            command("landscape", LandscapeJob::ABOUT, &["run"], LandscapeJob::keys()),
            command("render", RenderJob::ABOUT, &["model"], RenderJob::keys()),
            command("mesh", MeshJob::ABOUT, &["field"], MeshJob::keys()),
            command("prior sample", PriorSampleJob::ABOUT, &["prior"], PriorSampleJob::keys()),
            command("prior info", PriorInfoJob::ABOUT, &["prior"], PriorInfoJob::keys()),
            command("eval", EvalJob::ABOUT, &["a"], EvalJob::keys()),
            command("convert", ConvertJob::ABOUT, &["from", "to"], ConvertJob::keys()),
            command("devices", DevicesJob::ABOUT, &[], DevicesJob::keys()),
            command("bench", BenchJob::ABOUT, &["group"], BenchJob::keys()),
        ];
        all.extend(fits);
        all
    }

    /// The command of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|c| c.name == name)
    }

    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|k| k.name == name)
    }
}
