//! `results`: the evidence so far, once or whenever it changes.

use std::io::Write;

use clap::{Args, ValueEnum};
use tonic::{Status, Streaming};

use super::client::{Client, Connection};
use super::report::segments;
use super::retry::Backoff;
use super::{Error, Layout, report, wire};
use crate::rpc::pb::{
    Experiment, ExperimentResults, GetExperimentRequest, GetResultsRequest, GetResultsResponse,
    Segment, WatchResultsRequest, WatchResultsResponse,
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
    /// Side by side the values of a dimension, or one of them alone: `country`, `country=DE`.
    #[arg(long, value_name = "DIMENSION[=VALUE]", conflicts_with = "watch")]
    pub segment: Option<String>,
    /// A page for people, or protobuf's JSON for programs: a field that is false, zero or empty is
    /// left out. With --watch one document per line.
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
        segment: options.segment.as_deref().map(segment),
    };
    let dimension = request.segment.as_ref().filter(|segment| segment.value.is_empty());
    let text = if let Some(dimension) = dimension.map(|segment| segment.dimension.clone()) {
        let answer = ask(&client, request).await?;
        match options.output {
            Output::Json => wire::to_json_text("GetResultsResponse", &answer)?,
            Output::Table => {
                let experiment = experiment(&client, &options.experiment).await?;
                segments(&answer, &dimension, &experiment, layout)
            }
        }
    } else {
        let results = fetch(&client, request).await?;
        render(&client, options, &results, layout).await?
    };
    Ok(out.write_all(text.as_bytes())?)
}

/// `country` or `country=DE`. A value may hold further equals signs.
fn segment(text: &str) -> Segment {
    let (dimension, value) = text.split_once('=').unwrap_or((text, ""));
    Segment { dimension: dimension.to_owned(), value: value.to_owned() }
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
                write!(out, "{}{text}", separator(options.output, layout, &results))?;
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
        Output::Json if options.watch => wire::to_json_line("ExperimentResults", results)?,
        Output::Json => wire::to_json_text("ExperimentResults", results)?,
        Output::Table => report(results, &experiment(client, &options.experiment).await?, layout),
    })
}

/// What stands before a page that follows others: on a terminal it is drawn over them; elsewhere a
/// line tells the time.
fn separator(output: Output, layout: Layout, results: &ExperimentResults) -> String {
    match output {
        Output::Json => String::new(),
        Output::Table if layout.terminal => CLEAR.to_owned(),
        Output::Table => {
            let time = results.compute_time.map(|time| time.to_string()).unwrap_or_default();
            format!("──── {time} ────\n")
        }
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

/// The results of a request.
pub(super) async fn fetch(
    client: &Client,
    request: GetResultsRequest,
) -> Result<ExperimentResults, Error> {
    ask(client, request).await?.results.ok_or_else(|| Error::lacking("results"))
}

async fn ask(client: &Client, request: GetResultsRequest) -> Result<GetResultsResponse, Error> {
    let attempt = format!("get the results of {}", request.experiment_id);
    let response = client.data.clone().get_results(request).await;
    Ok(response.map_err(Error::call(attempt))?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_a_dimension_or_one_of_its_values() {
        for (text, dimension, value) in
            [("plan", "plan", ""), ("plan=pro", "plan", "pro"), ("a=b=c", "a", "b=c")]
        {
            let expected = Segment { dimension: dimension.into(), value: value.into() };
            assert_eq!(segment(text), expected);
        }
    }

    #[test]
    fn pages_in_a_pipe_are_separated_by_the_time() {
        let time = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 };
        let results = ExperimentResults { compute_time: Some(time), ..Default::default() };
        let before =
            |output, terminal| separator(output, Layout { terminal, ..Layout::plain() }, &results);
        assert_eq!(before(Output::Table, false), "──── 2023-11-14T22:13:20Z ────\n");
        assert_eq!(before(Output::Table, true), CLEAR);
        assert_eq!(before(Output::Json, false), "");
    }
}
