//! Runs the program as a user does.

use serde_json::Value;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

/// One call of the program.
pub struct Run {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Run {
    /// Calls the program in `folder`.
    pub fn new<A: AsRef<OsStr>>(folder: &Path, arguments: &[A]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lumigrad"));
        // Mesa's drivers complain on standard error where this variable is missing.
        command.args(arguments).current_dir(folder).env("XDG_RUNTIME_DIR", folder);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
    }

    /// The one JSON object on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}\n{}\n{}", self.out, self.err))
    }
}
