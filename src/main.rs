//! The program `tiebreak`: `serve` runs the service, every other command is a client of it.

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tiebreak::{cli, config, server, simulate};

/// Honest online A/B tests of LLMs.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Tiebreak {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    Serve(config::ServeArgs),
    /// Measure the error rates of the statistics by simulation.
    Simulate(simulate::Options),
    #[command(flatten)]
    Client(cli::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let command = match config::with_file(Tiebreak::command(), &arguments) {
        Ok(command) => command,
        Err(error) => return failed(&error, 2),
    };
    let matches = command.get_matches_from(arguments);
    let parsed = Tiebreak::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match parsed.command {
        Command::Serve(args) => match server::program(&args.into()).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(error.as_ref(), 1),
        },
        Command::Simulate(options) => match simulate::run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error, 1),
        },
        Command::Client(command) => match server::client(command).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(error.as_ref(), 1),
        },
    }
}

/// Prints the whole chain of causes in one line.
fn failed(error: &dyn std::error::Error, code: u8) -> ExitCode {
    // Nothing is left to do when stderr is gone, too.
    let _ = writeln!(std::io::stderr(), "error: {}", cli::chain(error));
    ExitCode::from(code)
}
