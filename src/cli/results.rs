//! `results`: the evidence so far, once or again and again.

use std::io::Write;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::client::{Client, Connection};
use super::{Error, Layout, report, wire};
use crate::rpc::pb::{Experiment, ExperimentResults, GetExperimentRequest, GetResultsRequest};

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(2);
/// Cursor to the top left corner, everything below it erased.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// What `results` can be told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which experiment.
    #[arg(value_name = "EXPERIMENT")]
    pub experiment: String,
    /// Results of an earlier iteration; 0 is the current one.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub iteration: u32,
    /// Only these metrics.
    #[arg(long = "metric", value_name = "METRIC")]
    pub metrics: Vec<String>,
    /// A page for people or canonical protobuf JSON for programs.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Look again every two seconds, until interrupted.
    #[arg(long)]
    pub watch: bool,
    /// Which server.
    #[command(flatten)]
    pub connection: Connection,
}

/// Who reads the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// People.
    Table,
    /// Programs.
    Json,
}

/// Prints the results.
pub(super) async fn run(
    options: &Options,
    out: &mut dyn Write,
    layout: Layout,
) -> Result<(), Error> {
    let client = options.connection.open().await?;
    let request = GetResultsRequest {
        experiment_id: options.experiment.clone(),
        iteration: options.iteration,
        metric_ids: options.metrics.clone(),
        segment: None,
    };
    loop {
        let results = fetch(&client, request.clone()).await?;
        let text = match options.output {
            Output::Json => wire::to_json_text("ExperimentResults", &results)?,
            Output::Table => {
                let experiment = experiment(&client, &options.experiment).await?;
                report(&results, &experiment, layout)
            }
        };
        // Only a terminal has a width: there the page is drawn over the one before.
        let clear = options.watch && layout.width.is_some();
        write!(out, "{}{text}", if clear { CLEAR } else { "" })?;
        if !options.watch {
            return Ok(());
        }
        out.flush()?;
        tokio::time::sleep(EVERY).await;
    }
}

/// The page of an experiment as of now.
pub(super) async fn page(client: &Client, id: &str, layout: Layout) -> Result<String, Error> {
    let request = GetResultsRequest { experiment_id: id.to_owned(), ..Default::default() };
    let results = fetch(client, request).await?;
    Ok(report(&results, &experiment(client, id).await?, layout))
}

/// One experiment.
pub(super) async fn experiment(client: &Client, id: &str) -> Result<Experiment, Error> {
    let request = GetExperimentRequest { experiment_id: id.to_owned() };
    let response = client.admin.clone().get_experiment(request).await;
    let response = response.map_err(Error::call(format!("get experiment {id}")))?;
    response.into_inner().experiment.ok_or_else(|| Error::lacking("experiment"))
}

async fn fetch(client: &Client, request: GetResultsRequest) -> Result<ExperimentResults, Error> {
    let attempt = format!("get the results of {}", request.experiment_id);
    let response = client.data.clone().get_results(request).await;
    let response = response.map_err(Error::call(attempt))?;
    response.into_inner().results.ok_or_else(|| Error::lacking("results"))
}
