//! The configuration file: a YAML map whose keys are the names of flags.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command};
use serde_saphyr::{RenderOptions, SnippetMode, UserMessageFormatter};

use super::CONFIG_VARIABLE;

/// Why a configuration file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration file {path}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no YAML map of settings.
    #[error("the configuration file {path} is no map from settings to values: {problem}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// It names a setting that there is not.
    #[error(
        "the configuration file {path} has '{name}', which is no setting; `tiebreak serve --help` \
         lists them all"
    )]
    Unknown {
        /// Which file.
        path: PathBuf,
        /// What is no setting.
        name: String,
    },
    /// A value in it or in a variable cannot be used.
    #[error("{origin}: {problem}")]
    Value {
        /// Which file and setting, or which variable.
        origin: String,
        /// Why not.
        problem: String,
    },
}

/// `command` with the settings of the configuration file, if one is named, as defaults of its
/// subcommand `serve`. Values of the file and of variables are tried here, because only here is
/// it known where they come from.
///
/// # Errors
/// [`ConfigError`].
pub fn with_file(command: Command, arguments: &[OsString]) -> Result<Command, ConfigError> {
    // A file for the server is no business of its clients.
    if arguments.get(1).is_none_or(|command| command != "serve") {
        return Ok(command);
    }
    try_variables(&command, arguments)?;
    #[expect(clippy::disallowed_methods, reason = "the file is needed before clap reads the rest")]
    let Some(path) = file_named(arguments).or_else(|| std::env::var_os(CONFIG_VARIABLE)) else {
        return Ok(command);
    };
    let path = PathBuf::from(path);
    let text = std::fs::read_to_string(&path)
        .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
    with_defaults(command, &path, &parse(&path, &text)?)
}

/// Tries the variables that no flag overrides.
fn try_variables(command: &Command, arguments: &[OsString]) -> Result<(), ConfigError> {
    let serve = command.find_subcommand("serve");
    for arg in serve.into_iter().flat_map(Command::get_arguments) {
        let (Some(flag), Some(variable)) = (arg.get_long(), arg.get_env()) else { continue };
        #[expect(clippy::disallowed_methods, reason = "clap does not say where a value is from")]
        let Ok(value) = std::env::var(variable) else { continue };
        let flag = format!("--{flag}");
        let given = arguments.iter().filter_map(|argument| argument.to_str());
        if !given.map(|argument| argument.split('=').next()).any(|name| name == Some(&flag)) {
            attempt(arg, &value).map_err(|problem| ConfigError::Value {
                origin: format!("the environment variable {}", variable.to_string_lossy()),
                problem,
            })?;
        }
    }
    Ok(())
}

/// Whether the flag takes the value; why not, without the flag and the value.
fn attempt(arg: &Arg, value: &str) -> Result<(), String> {
    let alone = Command::new("serve").no_binary_name(true).arg(arg.clone().env(None::<&str>));
    let flag = format!("--{}={value}", arg.get_long().unwrap_or_default());
    let Err(error) = alone.try_get_matches_from([flag]) else { return Ok(()) };
    if let Some(ContextValue::Strings(choices)) = error.get(ContextKind::ValidValue)
        && !choices.is_empty()
    {
        return Err(format!("must be one of {}", choices.join(", ")));
    }
    // A parser's own words; the rest of clap's text is about command lines.
    Err(error.source().map_or_else(|| error.kind().to_string(), ToString::to_string))
}

fn file_named(arguments: &[OsString]) -> Option<OsString> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--config" {
            return rest.next().cloned();
        }
        if let Some(path) = argument.to_str().and_then(|text| text.strip_prefix("--config=")) {
            return Some(path.into());
        }
    }
    None
}

pub(super) fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, Scalar>, ConfigError> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let mut plain = RenderOptions::new(&UserMessageFormatter);
        plain.snippets = SnippetMode::Off;
        let mut problem = error.render_with_options(plain);
        if problem.contains("mapping values are not allowed") {
            problem += "; a value with a colon at its end needs quotes";
        }
        ConfigError::Malformed { path: path.to_owned(), problem }
    })
}

/// A value of the file; whatever it is, the flag's parser reads it as text.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Whole(i64),
    Number(f64),
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

pub(super) fn with_defaults(
    command: Command,
    path: &Path,
    settings: &BTreeMap<String, Scalar>,
) -> Result<Command, ConfigError> {
    let mut defaults = Vec::new();
    for (name, value) in settings {
        let serve = command.find_subcommand("serve");
        let mut known = serve.into_iter().flat_map(Command::get_arguments);
        let arg = known.find(|arg| arg.get_long() == Some(name) && arg.get_id() != "config");
        let Some(arg) = arg else {
            return Err(ConfigError::Unknown { path: path.to_owned(), name: name.clone() });
        };
        let value = value.to_string();
        attempt(arg, &value).map_err(|problem| ConfigError::Value {
            origin: format!("the configuration file {}: {name}", path.display()),
            problem,
        })?;
        defaults.push((arg.get_id().clone(), value));
    }
    Ok(command.mut_subcommand("serve", |serve| {
        defaults
            .into_iter()
            .fold(serve, |serve, (id, value)| serve.mut_arg(id, |arg| arg.default_value(value)))
    }))
}
