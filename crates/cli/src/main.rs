//! The `lumigrad` program: arguments in, jobs run, results out as text or as one JSON object.

mod arguments;
mod commands;
mod output;
mod progress;

use lumigrad::run::Stop;
use std::process::ExitCode;

/// Exit code of a job that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let argv: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    // Before arguments are understood, only their presence tells how to answer.
    let json = argv.iter().any(|a| a == "--json");
    let name = argv.get(1).filter(|a| !a.starts_with('-')).cloned().unwrap_or_default();
    let argv = match arguments::expand_run(argv) {
        Ok(argv) => argv,
        Err(e) => return output::failure(&name, &e, json),
    };
    let matches = match arguments::parser().try_get_matches_from(&argv) {
        Ok(matches) => matches,
        Err(e) if !e.use_stderr() => {
            let _ = e.print();
            return ExitCode::SUCCESS;
        }
        Err(e) if e.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = e.print();
            return ExitCode::from(2);
        }
        Err(e) => return output::failure(&name, &arguments::usage_error(&e), json),
    };
    let Some((name, matches)) = arguments::chosen(&matches) else { return ExitCode::from(2) };
    let name = name.as_str();
    let document = match arguments::document(name, matches) {
        Ok(document) => document,
        Err(e) => return output::failure(name, &e, json),
    };
    if matches.get_flag("print job") {
        output::text(&document.to_toml());
        return ExitCode::SUCCESS;
    }
    let stop = Stop::new();
    let asked = stop.clone();
    // A job without steps has nothing to finish or to save.
    let has_steps = document.command().key("iterations").is_some();
    let handler = ctrlc::set_handler(move || {
        if asked.request() || !has_steps {
            std::process::exit(INTERRUPTED.into());
        }
        eprintln!("stopping after this step; once more to quit at once");
    });
    if let Err(e) = handler {
        eprintln!("warning: Ctrl-C will not be noticed: {e}");
    }
    let json = json || document.is_set("json");
    match commands::run(&document, &stop) {
        Ok(summary) => {
            output::success(&summary, json, document.is_set("quiet"), document.is_set("profile"));
            if stop.is_requested() { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS }
        }
        Err(e) => output::failure(name, &e, json),
    }
}
