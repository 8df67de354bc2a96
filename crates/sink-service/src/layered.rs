//! Precedence of settings: command line, then environment, then file.
//!
//! clap knows the first two. Values of the file are turned into arguments, but only for options
//! which neither of the others sets, and clap parses the result: one place checks values, whatever
//! their origin.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Parser};
use toml::{Table, Value};

use crate::exit::Exit;
use crate::settings::{self, Setting, is_request};

/// The flag which names the file. It can't be in the file.
const CONFIG: &str = "config";

/// Where the file is. Flatten it into the top-level command.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigFileArgs {
    /// TOML file with further settings, named like the flags; flags and environment take precedence.
    #[arg(long = CONFIG, env = "CDC_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LayeredError {
    /// The file can't be read.
    #[error("can't read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML. The offending line is not shown: it may hold a password.
    #[error("the configuration file {} is not valid TOML: line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// No command has such an option.
    #[error("unknown setting `{key}` in the configuration file")]
    UnknownKey {
        /// As written in the file.
        key: String,
    },
    /// The same option in two spellings.
    #[error("settings `{first}` and `{second}` in the configuration file are the same")]
    Twice {
        /// One spelling.
        first: String,
        /// The other.
        second: String,
    },
    /// The value can't be an argument of the option.
    #[error("setting `{key}` in the configuration file must be {expected}")]
    WrongKind {
        /// As written in the file.
        key: String,
        /// What the option takes.
        expected: &'static str,
    },
    /// clap refuses the command line, or answers it: `--help` and `--version` end up here too.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
}

impl LayeredError {
    /// Tells the user, on stderr, or on stdout for what was asked for, and says how to exit.
    pub fn report(&self) -> Exit {
        match self {
            Self::Arguments(error) => {
                // A closed stdout or stderr leaves nobody to tell.
                let _ = error.print();
                if error.use_stderr() { Exit::Usage } else { Exit::Success }
            }
            other => {
                let source = std::error::Error::source(other).map(|s| format!(": {s}")).unwrap_or_default();
                eprintln!("error: {other}{source}");
                Exit::Usage
            }
        }
    }
}

/// Parses the command line and environment of the process together with the file of `--config`, for a
/// command which has [`ConfigFileArgs`]. `default_subcommand` is what is meant when none is named.
///
/// # Errors
/// See [`LayeredError`].
pub fn parse<P: Parser>(
    argv: impl IntoIterator<Item = OsString>,
    default_subcommand: Option<&str>,
) -> Result<P, LayeredError> {
    parse_with_settings(argv, default_subcommand).map(|(parsed, _)| parsed)
}

/// As [`parse`], and also answers the settings in effect, for support.
///
/// # Errors
/// See [`LayeredError`].
pub fn parse_with_settings<P: Parser>(
    argv: impl IntoIterator<Item = OsString>,
    default_subcommand: Option<&str>,
) -> Result<(P, Vec<Setting>), LayeredError> {
    let mut argv: Vec<OsString> = argv.into_iter().collect();
    if let Some(name) = default_subcommand {
        argv = with_default_subcommand(argv, name, P::command());
    }
    let argv = match config_path(&argv, P::command()) {
        Some(path) => merge(argv, |name| std::env::var_os(name), &read(&path)?, P::command())?,
        None => argv,
    };
    let mut command = P::command();
    let mut matches = command.try_get_matches_from_mut(argv)?;
    let settings = {
        let (chosen, matches) = chosen(&command, &matches);
        settings::of(chosen, matches)
    };
    let parsed = P::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))?;
    Ok((parsed, settings))
}

/// The file which command line or environment name; `None` also when clap will refuse them anyway.
fn config_path(argv: &[OsString], command: Command) -> Option<PathBuf> {
    let matches = command.ignore_errors(true).try_get_matches_from(argv).ok()?;
    matches.try_get_one::<PathBuf>(CONFIG).ok()?.cloned()
}

/// Reads a configuration file.
///
/// # Errors
/// It can't be read, or is not TOML.
pub fn read(path: &Path) -> Result<Table, LayeredError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| LayeredError::Read { path: path.to_path_buf(), source })?;
    text.parse::<Table>().map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|b| *b == b'\n').count() + 1;
        LayeredError::Syntax { path: path.to_path_buf(), line, message: error.message().to_owned() }
    })
}

/// Adds the file's settings to a command line, for the options of the chosen subcommand which are
/// set neither there nor in the environment. Settings for other subcommands are passed over, so that
/// one file serves all of them.
///
/// Keys are the options' long names, or those in kebab case, or aliases. An array repeats an option;
/// an integer repeats a counter (`verbose = 2`).
///
/// # Errors
/// A key means no option of any subcommand, or a value has the wrong kind.
pub fn merge(
    mut argv: Vec<OsString>,
    env: impl Fn(&OsStr) -> Option<OsString>,
    file: &Table,
    command: Command,
) -> Result<Vec<OsString>, LayeredError> {
    let mut command = command.ignore_errors(true);
    command.build();
    // Other errors are ignored here; this one means that clap answers by itself, as with --help.
    let Ok(matches) = command.try_get_matches_from_mut(&argv) else { return Ok(argv) };
    let (chosen, matches) = chosen(&command, &matches);

    let mut added = Vec::new();
    let mut spellings = HashMap::new();
    for (key, value) in file {
        let Some(option) = option(chosen, key) else {
            if exists(&command, key) {
                continue;
            }
            return Err(LayeredError::UnknownKey { key: key.clone() });
        };
        if let Some(first) = spellings.insert(option.get_id(), key) {
            return Err(LayeredError::Twice { first: first.clone(), second: key.clone() });
        }
        let rendered = render(option, key, value)?;
        let on_command_line =
            matches.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine);
        let in_environment = option.get_env().is_some_and(|name| env(name).is_some());
        if !on_command_line && !in_environment {
            added.extend(rendered);
        }
    }
    // Behind everything, so that they belong to the subcommand; but what follows `--` is no option.
    let end = argv.iter().position(|arg| arg == "--").unwrap_or(argv.len());
    argv.splice(end..end, added);
    Ok(argv)
}

/// Names a subcommand where the command line doesn't, so that `prog --flag` means `prog start --flag`.
/// A first bare word stays as it is, as do requests for help and the version: those are clap's.
#[must_use]
pub fn with_default_subcommand(mut argv: Vec<OsString>, name: &str, mut command: Command) -> Vec<OsString> {
    command.build();
    let mut words = argv.iter().skip(1).map(|arg| arg.to_string_lossy());
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        if !word.starts_with('-') {
            return argv;
        }
        match command.get_arguments().find(|option| is_spelled(option, &word)) {
            None => break,
            Some(option) if is_request(option) => return argv,
            Some(option) if option.get_action().takes_values() && !word.contains('=') => {
                words.next();
            }
            Some(_) => {}
        }
    }
    argv.insert(argv.len().min(1), name.into());
    argv
}

/// Whether a word of the command line is this option: `--long`, `--long=value`, or a group of short
/// ones which begins with it.
fn is_spelled(option: &Arg, word: &str) -> bool {
    let Some(long) = word.strip_prefix("--") else {
        return option.get_short().is_some_and(|short| word[1..].starts_with(short));
    };
    let long = long.split('=').next().unwrap_or(long);
    option.get_long() == Some(long) || option.get_all_aliases().is_some_and(|all| all.contains(&long))
}

/// The innermost subcommand on the command line.
fn chosen<'a>(mut command: &'a Command, mut matches: &'a ArgMatches) -> (&'a Command, &'a ArgMatches) {
    while let Some((name, inner)) = matches.subcommand() {
        let Some(subcommand) = command.find_subcommand(name) else { break };
        (command, matches) = (subcommand, inner);
    }
    (command, matches)
}

/// The option of a command which a key means.
fn option<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    command.get_arguments().filter(|arg| !is_request(arg)).find(|arg| match arg.get_long() {
        None | Some(CONFIG) => false,
        Some(long) => {
            key == long
                || key == kebab_case(long)
                || arg.get_all_aliases().is_some_and(|all| all.contains(&key))
        }
    })
}

/// Whether a key means an option of a command or of any below it.
fn exists(command: &Command, key: &str) -> bool {
    option(command, key).is_some() || command.get_subcommands().any(|sub| exists(sub, key))
}

/// A setting as arguments.
fn render(option: &Arg, key: &str, value: &Value) -> Result<Vec<OsString>, LayeredError> {
    let wrong = |expected| LayeredError::WrongKind { key: key.to_owned(), expected };
    let flag = format!("--{}", option.get_long().unwrap_or(key));
    match (option.get_action(), value) {
        (ArgAction::SetTrue | ArgAction::SetFalse, Value::Boolean(on)) => {
            let wanted = matches!(option.get_action(), ArgAction::SetTrue);
            Ok(if *on == wanted { vec![flag.into()] } else { Vec::new() })
        }
        (ArgAction::SetTrue | ArgAction::SetFalse, _) => Err(wrong("true or false")),
        (ArgAction::Count, Value::Integer(times @ 0..=255)) => {
            Ok((0..*times).map(|_| OsString::from(&flag)).collect())
        }
        (ArgAction::Count, _) => Err(wrong("a number from 0 to 255")),
        (ArgAction::Append, Value::Array(values)) => values
            .iter()
            .map(|value| scalar(value).map(|text| argument(&flag, &text)).ok_or(wrong("a list of texts")))
            .collect(),
        (_, value) => match scalar(value) {
            Some(text) => Ok(vec![argument(&flag, &text)]),
            None => Err(wrong("a single value")),
        },
    }
}

/// The form with `=` is right for every value: one that starts with a dash, too, and the optional
/// value of a switch.
fn argument(flag: &str, text: &str) -> OsString {
    format!("{flag}={text}").into()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(on) => Some(on.to_string()),
        Value::Datetime(time) => Some(time.to_string()),
        Value::Array(_) | Value::Table(_) => None,
    }
}

/// `targetDBConns` as `target-db-conns`: the form in which every flag is also accepted.
#[must_use]
pub fn kebab_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut kebab = String::with_capacity(name.len() + 4);
    for (i, &c) in chars.iter().enumerate() {
        let after_lower = i > 0 && !chars[i - 1].is_ascii_uppercase();
        // The last capital of a run begins the next word: `GTIDSet` is `gtid-set`.
        let before_lower = i > 0 && chars.get(i + 1).is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && (after_lower || before_lower) {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}

#[cfg(test)]
#[path = "layered_tests.rs"]
mod tests;
