//! `tiebreak simulate`: the error rates that the statistics promise, measured on the user's own machine.
//!
//! Streams of outcomes run through the code that answers `GetResults`, with a look after every outcome. Every rate is a
//! share of streams and comes with its Monte-Carlo error; a seed reproduces a table to the digit, on any number of
//! processors.
//!
//! | part | question | runs through |
//! |---|---|---|
//! | `--aa` | how often is a winner called where there is none? | `stats::sequential` |
//! | `--ab` | how often, and how soon, is a true effect found? | `stats::sequential` |
//! | `--units` | and where every unit brings many outcomes? | `stats::sequential` over groups |
//! | `--quantiles` | the same for P95, from the sketch | `stats::quantile` |
//! | `--engine` | the same from counters to verdict | `domain::outcome`, `domain::tally`, `domain::analysis` |

pub mod engine;
mod parts;
mod streams;
mod table;

use std::io::{self, Write};

use clap::{ArgAction, Args};

use crate::stats::Undefined;

/// Measures false positives, power and coverage of every method, by simulation.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "a flag for each part")]
pub struct Options {
    /// Simulated experiments behind each row.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub streams: u32,

    /// Reproduces a table.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Outcomes of each A/A experiment, all looked at.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub outcomes: u32,

    /// Significance level.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    pub alpha: f64,

    /// Only the named parts (all but --engine if none is named): no difference, eleven populations.
    #[arg(long, action = ArgAction::SetTrue)]
    pub aa: bool,

    /// A rate of 0.75 that becomes 0.80.
    #[arg(long, action = ArgAction::SetTrue)]
    pub ab: bool,

    /// No difference, units that return.
    #[arg(long, action = ArgAction::SetTrue)]
    pub units: bool,

    /// P95 of latencies.
    #[arg(long, action = ArgAction::SetTrue)]
    pub quantiles: bool,

    /// No difference, from counters to verdict: about a second per five streams.
    #[arg(long, action = ArgAction::SetTrue)]
    pub engine: bool,
}

/// Why a simulation ended early.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A parameter makes no test.
    #[error("these options describe no test: {0}")]
    Options(#[from] Undefined),
    /// The experiment of the engine was refused: a fault of this program.
    #[error("the simulated experiment is refused: {0}")]
    Experiment(String),
    /// The table could not be printed.
    #[error("cannot print")]
    Output(#[from] io::Error),
}

type Part = fn(&Options) -> Result<String, SimulateError>;

/// Runs what the options name and prints one table per part.
///
/// # Errors
/// [`SimulateError`].
pub fn run(options: &Options) -> Result<(), SimulateError> {
    let named = options.aa || options.ab || options.units || options.quantiles || options.engine;
    let parts: [(bool, Part); 5] = [
        (options.aa || !named, parts::no_difference),
        (options.ab || !named, parts::difference),
        (options.units || !named, parts::returning_units),
        (options.quantiles || !named, parts::quantiles),
        (options.engine, parts::engine),
    ];
    let mut output = io::stdout();
    writeln!(
        output,
        "{} streams per row, seed {}, alpha {}. A rate p is known to ±√(p(1-p)/{}), one standard error.",
        options.streams, options.seed, options.alpha, options.streams
    )?;
    for (_, part) in parts.iter().filter(|(wanted, _)| *wanted) {
        writeln!(output, "\n{}", part(options)?)?;
        output.flush()?;
    }
    Ok(())
}
