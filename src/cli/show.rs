//! `get`: one experiment in the form that `apply` reads.

use std::io::Write;

use clap::{Args, ValueEnum};

use super::client::Connection;
use super::wire::{self, Names};
use super::{Error, results, yaml};

/// What `get` can be told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which experiment.
    #[arg(value_name = "EXPERIMENT")]
    pub experiment: String,
    /// YAML as `apply` reads it, or canonical protobuf JSON.
    #[arg(long, value_enum, default_value_t = Form::Yaml)]
    pub output: Form,
    /// Which server.
    #[command(flatten)]
    pub connection: Connection,
}

/// How a definition is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people and for `apply`.
    Yaml,
    /// For programs.
    Json,
}

/// Prints the experiment.
pub(super) async fn run(options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    let client = options.connection.open().await?;
    let experiment = results::experiment(&client, &options.experiment).await?;
    let text = match options.output {
        Form::Yaml => {
            let value = wire::to_json("Experiment", &experiment, Names::Proto)?;
            yaml::to_yaml(&value, Some(&wire::descriptor("Experiment")?))
        }
        Form::Json => wire::to_json_text("Experiment", &experiment)?,
    };
    write!(out, "{text}")?;
    Ok(())
}
