//! The command line's clients: everything here talks to a server through the public gRPC API and
//! knows nothing of the rooms behind it.
//!
//! A command writes its answer to the writer it is given, in the [`Layout`] it is given, and its
//! progress to stderr when that is a terminal. A reader that stops reading (`| head`) is not an
//! error.

mod apply;
mod client;
mod definition;
mod delivery;
pub mod demo;
mod difference;
mod error;
mod figures;
mod layout;
mod lifecycle;
mod list;
mod plan;
mod progress;
mod publish;
mod replay;
mod report;
mod results;
mod retry;
mod show;
mod wire;
mod yaml;

use std::io::Write;

use clap::Subcommand;

pub use self::client::Connection;
pub use self::error::{Error, chain};
pub use self::layout::Layout;
pub use self::report::report;

/// What a client can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Simulate an A/B test of a support bot, send it through gRPC and print what it shows.
    Demo(demo::Options),
    /// Send a recorded A/B test from a CSV file through gRPC and print what it shows.
    Replay(replay::Options),
    /// Create or update experiments from YAML files and print the difference.
    Apply(apply::Options),
    /// Print the results of an experiment.
    Results(results::Options),
    /// Write the results into MLflow, W&B or Phoenix.
    Publish(publish::Options),
    /// Compute how many units a test needs.
    Plan(plan::Options),
    /// List experiments.
    List(list::Options),
    /// Print one experiment in the form that `apply` reads.
    Get(show::Options),
    /// Start or resume an experiment.
    Start(lifecycle::Options),
    /// Pause a running experiment: everyone receives control.
    Pause(lifecycle::Options),
    /// Conclude an experiment: freeze the results and serve the winner.
    Conclude(lifecycle::ConcludeOptions),
    /// Archive a draft or concluded experiment.
    Archive(lifecycle::Options),
    /// Delete a draft or archived experiment and all its data.
    Delete(lifecycle::Options),
}

/// Runs one command to its end.
///
/// `Demo` and `Plan` without an endpoint go to the default one; the program starts a server for
/// them first and fills the endpoint in.
///
/// # Errors
/// What went wrong, ready to print: one sentence, then one line per faulty field.
pub async fn run(command: Command, out: &mut dyn Write, layout: Layout) -> Result<(), Error> {
    let done = match command {
        Command::Demo(options) => demo::run(&options, out, layout).await,
        Command::Replay(options) => replay::run(&options, out, layout).await,
        Command::Apply(options) => apply::run(&options, out).await,
        Command::Results(options) => results::run(&options, out, layout).await,
        Command::Publish(options) => publish::run(&options, out).await,
        Command::Plan(options) => plan::run(&options, out).await,
        Command::List(options) => list::run(&options, out, layout).await,
        Command::Get(options) => show::run(&options, out).await,
        Command::Start(options) => lifecycle::start(&options, out).await,
        Command::Pause(options) => lifecycle::pause(&options, out).await,
        Command::Conclude(options) => lifecycle::conclude(&options, out, layout).await,
        Command::Archive(options) => lifecycle::archive(&options, out).await,
        Command::Delete(options) => lifecycle::delete(&options, out).await,
    };
    match done.and_then(|()| out.flush().map_err(Error::from)) {
        Err(Error::Output(cause)) if cause.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
