//! `replay`: a recorded A/B test, row by row, through the same calls that live traffic uses.
//!
//! The file is read twice: first every row is checked, so that a misspelt column or a stray cell
//! is told before anything is sent; then it is sent, a bounded number of batches at a time.

mod cells;
mod columns;
mod dimensions;
mod faults;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use tonic::Code;

use self::columns::{Columns, Selection, VariantSource, pair};
use self::faults::Faults;
use super::client::{Client, Connection};
use super::delivery::{Delivery, Parcel, Tally};
use super::{Error, Layout, definition, figures, progress, results};
use crate::rpc::pb::bucketing::Algorithm;
use crate::rpc::pb::experiment::State;
use crate::rpc::pb::{
    Bucketing, Experiment, GetExperimentRequest, Outcome, StartExperimentRequest,
    UpdateExperimentRequest,
};

/// What `replay` can be told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The recorded test: one row per outcome, with a header.
    #[arg(value_name = "FILE.csv")]
    pub file: PathBuf,
    /// The experiment in YAML; created if the server does not have it.
    #[arg(long, value_name = "FILE.yaml")]
    pub experiment: PathBuf,
    /// Column of the unit: who was randomised.
    #[arg(long, value_name = "COL")]
    pub unit: String,
    /// Column of the recorded variant, or `assign` to let the server assign.
    #[arg(long, value_name = "COL|assign")]
    pub variant: VariantSource,
    /// A metric and its column; an empty cell is an outcome without it.
    #[arg(long = "metric", value_name = "NAME=COL", value_parser = pair, required = true)]
    pub metrics: Vec<(String, String)>,
    /// Another name for a variant of the file, where that is no valid id.
    #[arg(long = "map-variant", value_name = "FROM=TO", value_parser = pair)]
    pub map_variants: Vec<(String, String)>,
    /// Column of a unique id: makes it safe to send the file twice.
    #[arg(long, value_name = "COL")]
    pub event_id: Option<String>,
    /// Column of the time: RFC 3339 or seconds since 1970.
    #[arg(long, value_name = "COL")]
    pub time: Option<String>,
    /// An attribute and its column; numbers are sent as numbers, all else as text.
    #[arg(long = "attribute", value_name = "NAME=COL", value_parser = pair)]
    pub attributes: Vec<(String, String)>,
    /// A dimension to break results down by, and its column; a unit has the value of its first
    /// row. Declared in the experiment if it is not.
    #[arg(long = "dimension", value_name = "NAME=COL", value_parser = pair)]
    pub dimensions: Vec<(String, String)>,
    /// Outcomes per call.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub batch: u16,
    /// Calls at a time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub in_flight: u8,
    /// Only the first rows.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Which server.
    #[command(flatten)]
    pub connection: Connection,
}

/// Replays a file and prints what it shows.
pub(super) async fn run(
    options: &Options,
    out: &mut dyn Write,
    layout: Layout,
) -> Result<(), Error> {
    let experiment = definition::load_one(&options.experiment)?;
    check_algorithm(options, &experiment)?;
    let Checked { rows, differing } = check_rows(options, &experiment)?;
    let client = options.connection.open().await?;
    prepare(&client, &experiment, options).await?;
    if differing > 0 {
        let rows = figures::counted(figures::signed_count(differing), "row");
        let note = "tell another value of a dimension than the first row of their unit; a unit \
                    counts under its first";
        writeln!(std::io::stderr(), "note: {rows} {note}")?;
    }
    if options.event_id.is_none() {
        let warning = "warning: without --event-id a lost answer cannot be told from a lost \
                       outcome, so no call is repeated, and a second replay counts everything twice";
        writeln!(std::io::stderr(), "{warning}")?;
    }
    let tally = send(options, &experiment, &client, rows).await?;
    write!(out, "{}\n\n", counts(&tally))?;
    write!(out, "{}", results::page(&client, &experiment.experiment_id, layout).await?)?;
    if tally.refused == 0 { Ok(()) } else { Err(refusals(&tally)) }
}

/// The algorithm of the experiment must agree with who assigns.
fn check_algorithm(options: &Options, experiment: &Experiment) -> Result<(), Error> {
    let algorithm = experiment.bucketing.as_ref().map(Bucketing::algorithm);
    let external = algorithm == Some(Algorithm::External);
    let file = options.experiment.display();
    match &options.variant {
        VariantSource::Column(column) if !external => Err(Error::Input(format!(
            "{file}: --variant {column} replays an assignment made elsewhere, so the experiment \
             needs `bucketing: {{algorithm: ALGORITHM_EXTERNAL}}`; to let the server assign, use \
             --variant assign"
        ))),
        VariantSource::Server if external => Err(Error::Input(format!(
            "{file}: with ALGORITHM_EXTERNAL every outcome names its variant; give its column \
             with --variant COL"
        ))),
        VariantSource::Column(_) | VariantSource::Server => Ok(()),
    }
}

/// What reading the whole file once says.
struct Checked {
    rows: u64,
    /// Rows that tell other dimensions than the first of their unit.
    differing: u64,
}

fn check_rows(options: &Options, experiment: &Experiment) -> Result<Checked, Error> {
    let mut faults = Faults::default();
    let (mut rows, mut differing) = (0, 0);
    for (line, outcome) in rows_of(options, experiment)? {
        rows += 1;
        match outcome {
            Ok((_, differs)) => differing += u64::from(differs),
            Err(fault) => faults.add(line, fault),
        }
    }
    if faults.is_empty() && rows == 0 {
        let file = options.file.display();
        return Err(Error::Input(format!("{file}: there is no row below the header")));
    }
    if faults.is_empty() {
        return Ok(Checked { rows, differing });
    }
    Err(Error::Input(format!("{}: {faults}", options.file.display())))
}

/// A row: an outcome, and whether it tells other dimensions than the first of its unit; or a
/// fault.
type Row = Result<(Outcome, bool), String>;

/// The rows of the file with their lines.
fn rows_of(
    options: &Options,
    experiment: &Experiment,
) -> Result<impl Iterator<Item = (u64, Row)> + use<>, Error> {
    let mut reader = csv::Reader::from_reader(open(&options.file)?);
    let file = options.file.display();
    let headers = reader.headers();
    let headers = headers.map_err(|cause| Error::Input(format!("cannot read {file}: {cause}")))?;
    if headers.is_empty() {
        return Err(Error::Input(format!("{file}: the file is empty")));
    }
    let mut columns = Columns::find(&headers.clone(), &selection(options), experiment)?;
    let limit = options.limit.unwrap_or(usize::MAX);
    Ok(reader.into_records().take(limit).map(move |record| match record {
        Ok(record) => {
            let line = record.position().map_or(0, csv::Position::line);
            (line, columns.outcome(&record))
        }
        Err(cause) => (cause.position().map_or(0, csv::Position::line), Err(cause.to_string())),
    }))
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path)
        .map_err(|cause| Error::Input(format!("cannot read {}: {cause}", path.display())))
}

fn selection(options: &Options) -> Selection<'_> {
    Selection {
        unit: &options.unit,
        variant: &options.variant,
        metrics: &options.metrics,
        map_variants: &options.map_variants,
        event_id: options.event_id.as_deref(),
        time: options.time.as_deref(),
        attributes: &options.attributes,
        dimensions: &options.dimensions,
    }
}

/// Creates or updates the experiment and makes it run. Its dimensions are those that it has, those
/// of the file and those of the command: another file of the same test may have told others.
async fn prepare(client: &Client, experiment: &Experiment, options: &Options) -> Result<(), Error> {
    let id = &experiment.experiment_id;
    let mut admin = client.admin.clone();
    let mut experiment = experiment.clone();
    let request = GetExperimentRequest { experiment_id: id.clone() };
    let mut dimensions = match admin.get_experiment(request).await {
        Ok(stored) => stored.into_inner().experiment.unwrap_or_default().dimensions,
        Err(status) if status.code() == Code::NotFound => Vec::new(),
        Err(status) => return Err(Error::call(format!("get experiment {id}"))(status)),
    };
    let told = options.dimensions.iter().map(|(name, _)| name.clone());
    for name in std::mem::take(&mut experiment.dimensions).into_iter().chain(told) {
        if !dimensions.contains(&name) {
            dimensions.push(name);
        }
    }
    experiment.dimensions = dimensions;
    let request = UpdateExperimentRequest {
        experiment: Some(experiment),
        allow_missing: true,
        ..Default::default()
    };
    let stored = admin.update_experiment(request).await;
    let stored = stored.map_err(Error::call(format!("create experiment {id}")))?.into_inner();
    let stored = stored.experiment.ok_or_else(|| Error::lacking("experiment"))?;
    if stored.state() == State::Running {
        return Ok(());
    }
    let request = StartExperimentRequest { experiment_id: id.clone(), ..Default::default() };
    let started = admin.start_experiment(request).await;
    started.map_err(Error::call(format!("start experiment {id}")))?;
    Ok(())
}

async fn send(
    options: &Options,
    experiment: &Experiment,
    client: &Client,
    rows: u64,
) -> Result<Tally, Error> {
    let bar = progress::bar(rows, "Replaying");
    let delivery = Delivery {
        client: client.clone(),
        batch: usize::from(options.batch),
        in_flight: usize::from(options.in_flight),
        repeatable: options.event_id.is_some(),
    };
    // Checked before; the file can only have changed since.
    let parcels = rows_of(options, experiment)?.map(|(line, outcome)| {
        let refused = |fault| Error::Input(format!("line {line}: {fault}"));
        let (outcome, _) = outcome.map_err(refused)?;
        Ok(Parcel { line, outcome })
    });
    let tally = delivery.send(parcels, &bar).await?;
    bar.finish_and_clear();
    Ok(tally)
}

/// "4,001 sent: 4,001 counted, 0 duplicates, 0 not counted".
fn counts(tally: &Tally) -> String {
    let count = |number| figures::count(figures::signed_count(number));
    let mut text = format!(
        "{} sent: {} counted, {} known already, {} not counted",
        figures::counted(figures::signed_count(tally.sent), "row"),
        count(tally.counted),
        count(tally.duplicates),
        count(tally.not_counted),
    );
    if tally.refused > 0 {
        let _ = write!(text, ", {} refused", count(tally.refused));
    }
    text
}

fn refusals(tally: &Tally) -> Error {
    let mut told = String::new();
    for (line, reason) in &tally.refusals {
        let _ = write!(told, "\n  line {line}: {reason}");
    }
    let rest = tally.refused - u64::try_from(tally.refusals.len()).unwrap_or(tally.refused);
    let rest = if rest == 0 {
        String::new()
    } else {
        format!("\n  and {} more", figures::count(figures::signed_count(rest)))
    };
    let refused = figures::counted(figures::signed_count(tally.refused), "row");
    Error::Incomplete(format!("the server refused {refused}{told}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_in_one_line() {
        let tally = Tally { sent: 4001, counted: 3999, duplicates: 2, ..Tally::default() };
        assert_eq!(
            counts(&tally),
            "4,001 rows sent: 3,999 counted, 2 known already, 0 not counted"
        );
    }

    #[test]
    fn the_first_refusals_are_told_and_the_rest_counted() {
        let tally = Tally {
            refused: 12,
            refusals: vec![(2, "no such metric (INVALID_REQUEST)".into())],
            ..Tally::default()
        };
        assert_eq!(
            refusals(&tally).to_string(),
            "the server refused 12 rows\n  line 2: no such metric (INVALID_REQUEST)\n  and 11 more"
        );
    }
}
