//! Arguments, made from the tables of keys.

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use lumigrad::run::job::{Command, Document, Key, Kind, nearest};
use lumigrad::{Error, Result};
use std::path::{Path, PathBuf};

/// The whole command line.
pub fn parser() -> clap::Command {
    let parser = clap::Command::new("lumigrad")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Differentiable graphics: recover scenes from pictures, render, compare, convert")
        .after_help("Every flag is a key of a job file and the other way round; --print-job prints the complete job. Relative paths in a job file are relative to that file, those of flags to the working folder.")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(clap::Command::new("run").about("Run a job file: lumigrad run JOB.toml [flags of its command]"));
    Command::all().iter().fold(parser, |parser, command| match command.name.split_once(' ') {
        None => parser.subcommand(subcommand(command, command.name)),
        Some((group, name)) => {
            let child = subcommand(command, name);
            if parser.find_subcommand(group).is_some() {
                parser.mut_subcommand(group, |parent| parent.subcommand(child))
            } else {
                let parent = clap::Command::new(group).about(group_about(group)).subcommand_required(true);
                parser.subcommand(parent.arg_required_else_help(true).subcommand(child))
            }
        }
    })
}

/// What commands of two words have in common.
fn group_about(group: &str) -> &'static str {
    match group {
        "create" => "Create what a prior knows, from noise",
        "fit" => "Fit a neural field to a signal, a shape or an equation",
        "edit" => "Change a model until its pictures are what a prior is asked for",
        "train" => "Train a model on posed photographs",
        "prior" => "Priors over pictures: train, sample, describe",
        _ => "",
    }
}

/// The command's name, of two words where it belongs to a group, and its arguments.
pub fn chosen(matches: &ArgMatches) -> Option<(String, &ArgMatches)> {
    let (first, inner) = matches.subcommand()?;
    Some(match inner.subcommand() {
        Some((second, innermost)) => (format!("{first} {second}"), innermost),
        None => (first.to_owned(), inner),
    })
}

fn subcommand(command: &Command, name: &'static str) -> clap::Command {
    let keys = command.keys.iter().map(|key| argument(key, command));
    clap::Command::new(name)
        .about(command.about)
        .next_line_help(true)
        .args(keys)
        .arg(
            Arg::new("job file")
                .long("job")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Job file to start from"),
        )
        .arg(
            Arg::new("set")
                .long("set")
                .value_name("KEY=VALUE")
                .action(ArgAction::Append)
                .help("Set any key, section.key included. Repeatable"),
        )
        .arg(
            Arg::new("print job")
                .long("print-job")
                .action(ArgAction::SetTrue)
                .help("Print the complete job, with all keys explained, and end"),
        )
}

fn argument(key: &Key, command: &Command) -> Arg {
    let words = key.words();
    let arg = Arg::new(key.name).help(key.help());
    let arg = match words.is_empty() {
        true => arg,
        false => {
            let lines: String = words.iter().map(|(name, about)| format!("\n  {name:<18} {about}")).collect();
            arg.long_help(key.help() + "\n" + &lines)
        }
    };
    if let Some(place) = command.positional.iter().position(|p| *p == key.name) {
        let arg = arg.index(place + 1).value_name(key.name.to_uppercase());
        return if key.kind.is_list() { arg.num_args(1..).action(ArgAction::Append) } else { arg };
    }
    let arg = match key.name {
        "out" => arg.short('o'),
        _ => arg,
    };
    match key.kind {
        Kind::Flag => arg.long(key.flag()).action(ArgAction::SetTrue),
        kind => {
            let action = if kind.is_list() { ArgAction::Append } else { ArgAction::Set };
            let arg = arg.long(key.flag()).value_name(kind.placeholder()).action(action).allow_negative_numbers(true);
            // Expressions and places may begin with a minus.
            if matches!(kind, Kind::Text) { arg.allow_hyphen_values(true) } else { arg }
        }
    }
}

/// Replaces `run JOB …` by the job's own command: `COMMAND --job JOB …`.
///
/// # Errors
/// There is no job file, or its command is unknown.
pub fn expand_run(mut argv: Vec<String>) -> Result<Vec<String>> {
    if argv.get(1).map(String::as_str) != Some("run") || argv.iter().skip(2).any(|a| a == "--help" || a == "-h") {
        return Ok(argv);
    }
    let is_job = |a: &String| a.ends_with(".toml");
    let place = argv.iter().skip(2).position(is_job).or_else(|| argv.iter().skip(2).position(|a| !a.starts_with('-')));
    let Some(place) = place else {
        return Err(Error::usage("run", "no job file was given", "lumigrad run job.toml"));
    };
    let file = argv.remove(place + 2);
    let document = Document::load(Path::new(&file))?;
    let words = document.command().name.split(' ').map(str::to_owned);
    argv.splice(1..2, words.chain(["--job".to_owned(), file]));
    Ok(argv)
}

/// The job of parsed arguments: file, then flags, then `--set`.
///
/// # Errors
/// The job file or a value is wrong, or the file is of another command.
pub fn document(name: &str, matches: &ArgMatches) -> Result<Document> {
    let command = Command::named(name).ok_or_else(|| Error::usage(name, "unknown command", ""))?;
    let given = |key: &Key| matches.value_source(key.name) == Some(clap::parser::ValueSource::CommandLine);
    // `lumigrad optimize job.toml`: a job file in the first place is no scene.
    let first = command.positional.first().and_then(|p| matches.get_one::<String>(p));
    let in_place = first.filter(|f| f.ends_with(".toml")).map(PathBuf::from);
    let file = matches.get_one::<PathBuf>("job file").cloned().or_else(|| in_place.clone());
    let mut document = match file {
        Some(file) => {
            let document = Document::load(&file)?;
            let found = document.command().name;
            if found != name {
                let help = format!("lumigrad run {}", file.display());
                return Err(Error::usage(file.display(), format!("a job of {found:?}, not of {name:?}"), help));
            }
            document
        }
        None => Document::new(command.clone()),
    };
    for key in command.keys.iter().filter(|k| given(k)) {
        if in_place.is_some() && command.positional.first() == Some(&key.name) {
            continue;
        }
        let texts = match key.kind {
            Kind::Flag => vec![],
            _ => matches.get_many::<String>(key.name).into_iter().flatten().cloned().collect(),
        };
        document.set_flag(key.name, texts)?;
    }
    for expression in matches.get_many::<String>("set").into_iter().flatten() {
        document.set_expression(expression)?;
    }
    Ok(document)
}

/// A mistake in the arguments as one message with a remedy.
pub fn usage_error(error: &clap::Error) -> Error {
    use clap::error::{ContextKind, ContextValue};
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(s)) => s.clone(),
        Some(ContextValue::Strings(list)) => list.join(", "),
        _ => String::new(),
    };
    let rendered = error.to_string();
    let first = rendered.lines().next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    let location =
        [ContextKind::InvalidArg, ContextKind::InvalidSubcommand].into_iter().map(text).find(|t| !t.is_empty());
    let suggested =
        [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand].into_iter().map(text).find(|t| !t.is_empty());
    let location = location.unwrap_or_else(|| "command line".into());
    let known: Vec<String> = Command::all()
        .iter()
        .flat_map(|c| c.keys.iter().map(|k| format!("--{}", k.flag())).collect::<Vec<_>>())
        .collect();
    let near = || nearest(&location, known.iter().map(String::as_str)).filter(|n| *n != location).map(str::to_owned);
    let help = match suggested.or_else(near) {
        Some(word) => format!("did you mean {word}?"),
        None => "lumigrad --help shows commands and flags".into(),
    };
    Error::usage(location, message, help)
}
