//! `results`: the evidence so far, once or whenever it changes.

use std::io::Write;

use clap::{Args, ValueEnum};
use tonic::{Status, Streaming};

use super::client::{Client, Connection};
use super::retry::Backoff;
use super::{Error, Layout, report, wire};
use crate::rpc::pb::{
    Experiment, ExperimentResults, GetExperimentRequest, GetResultsRequest, WatchResultsRequest,
    WatchResultsResponse,
};

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
    /// Again whenever the current results change, at most every two seconds, until interrupted.
    #[arg(long, conflicts_with = "iteration")]
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
    if options.watch {
        return watch(&client, options, out, layout).await;
    }
    let request = GetResultsRequest {
        experiment_id: options.experiment.clone(),
        iteration: options.iteration,
        metric_ids: options.metrics.clone(),
        segment: None,
    };
    let results = fetch(&client, request).await?;
    let text = render(&client, options, &results, layout).await?;
    Ok(out.write_all(text.as_bytes())?)
}

/// Prints the results whenever they change. A server that goes away is waited for.
async fn watch(
    client: &Client,
    options: &Options,
    out: &mut dyn Write,
    layout: Layout,
) -> Result<(), Error> {
    let request = WatchResultsRequest {
        experiment_id: options.experiment.clone(),
        metric_ids: options.metrics.clone(),
        min_interval: None,
    };
    // Only a terminal has a width: there the page is drawn over the one before.
    let clear = if layout.width.is_some() { CLEAR } else { "" };
    let mut backoff = Backoff::default();
    let mut changes = None;
    loop {
        match next(client, &request, &mut changes).await {
            Ok(None) => return Ok(()),
            Ok(Some(change)) => {
                backoff = Backoff::default();
                // A sign of life has no results.
                let Some(results) = change.results else { continue };
                let text = render(client, options, &results, layout).await?;
                write!(out, "{clear}{text}")?;
                out.flush()?;
            }
            Err(status) => {
                changes = None;
                let Some(wait) = backoff.wait_after(&status) else {
                    return Err(Error::call(format!("watch {}", options.experiment))(status));
                };
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// The next change; begins to watch where nobody does.
async fn next(
    client: &Client,
    request: &WatchResultsRequest,
    changes: &mut Option<Streaming<WatchResultsResponse>>,
) -> Result<Option<WatchResultsResponse>, Status> {
    let changes = if let Some(changes) = changes {
        changes
    } else {
        let begun = client.data.clone().watch_results(request.clone()).await?;
        changes.insert(begun.into_inner())
    };
    changes.message().await
}

async fn render(
    client: &Client,
    options: &Options,
    results: &ExperimentResults,
    layout: Layout,
) -> Result<String, Error> {
    Ok(match options.output {
        Output::Json => wire::to_json_text("ExperimentResults", results)?,
        Output::Table => report(results, &experiment(client, &options.experiment).await?, layout),
    })
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
