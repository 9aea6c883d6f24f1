//! The program `tiebreak`: `serve` runs the service, every other command is a client of it.

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tiebreak::{cli, config, server, simulate};

/// A call is many small pieces of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    let ended = match parsed.command {
        Command::Serve(args) => server::program(&args.into()).await,
        Command::Simulate(options) => simulate::run(&options).map_err(Into::into),
        Command::Client(command) => server::client(command).await,
    };
    ended.map_or_else(|error| failed(error.as_ref(), 1), |()| ExitCode::SUCCESS)
}

/// Prints the whole chain of causes in one line.
fn failed(error: &dyn std::error::Error, code: u8) -> ExitCode {
    // Nothing is left to do when stderr is gone, too.
    let _ = writeln!(std::io::stderr(), "error: {}", cli::chain(error));
    ExitCode::from(code)
}
