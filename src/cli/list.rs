//! `list`: the experiments of a server, newest first.

use std::collections::HashMap;
use std::io::Write;

use clap::{Args, ValueEnum};

use super::client::Connection;
use super::layout::{Layout, Tone, cell};
use super::report::state_name;
use super::results::Output;
use super::{Error, wire};
use crate::rpc::pb::experiment::State;
use crate::rpc::pb::{Experiment, ListExperimentsRequest, ListExperimentsResponse};

/// What `list` can be told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Only experiments in these states; without it all but the archived.
    #[arg(long = "state", value_enum, value_name = "STATE")]
    pub states: Vec<StateFilter>,
    /// Only experiments with all these labels.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// A table for people or canonical protobuf JSON for programs.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Which server.
    #[command(flatten)]
    pub connection: Connection,
}

/// A state by the name people use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StateFilter {
    /// Being edited.
    Draft,
    /// Assigning and collecting.
    Running,
    /// Everyone receives control.
    Paused,
    /// Results frozen.
    Concluded,
    /// Read-only history.
    Archived,
}

impl From<StateFilter> for State {
    fn from(filter: StateFilter) -> Self {
        match filter {
            StateFilter::Draft => Self::Draft,
            StateFilter::Running => Self::Running,
            StateFilter::Paused => Self::Paused,
            StateFilter::Concluded => Self::Concluded,
            StateFilter::Archived => Self::Archived,
        }
    }
}

/// Prints the experiments.
pub(super) async fn run(
    options: &Options,
    out: &mut dyn Write,
    layout: Layout,
) -> Result<(), Error> {
    let experiments = fetch(options).await?;
    let text = match options.output {
        Output::Table => table(&experiments, layout),
        Output::Json => {
            let all = ListExperimentsResponse { experiments, next_page_token: String::new() };
            wire::to_json_text("ListExperimentsResponse", &all)?
        }
    };
    write!(out, "{text}")?;
    Ok(())
}

/// All pages as one.
async fn fetch(options: &Options) -> Result<Vec<Experiment>, Error> {
    let mut client = options.connection.open().await?;
    let labels: HashMap<String, String> = options.labels.iter().cloned().collect();
    let mut request = ListExperimentsRequest {
        states: options.states.iter().map(|&state| State::from(state).into()).collect(),
        labels,
        ..ListExperimentsRequest::default()
    };
    let mut experiments = Vec::new();
    loop {
        let page = client.admin.list_experiments(request.clone()).await;
        let page = page.map_err(Error::call("list experiments"))?.into_inner();
        experiments.extend(page.experiments);
        if page.next_page_token.is_empty() {
            return Ok(experiments);
        }
        request.page_token = page.next_page_token;
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// One line per experiment. Pure.
fn table(experiments: &[Experiment], layout: Layout) -> String {
    if experiments.is_empty() {
        return "No experiments.\n".to_owned();
    }
    let mut table = layout.plain_table();
    let names = ["Experiment", "State", "Split", "Primary metric", "Owner", "Started"];
    table.set_header(names.map(|name| cell(name, Tone::Strong)));
    for experiment in experiments {
        let tone = match experiment.state() {
            State::Running => Tone::Good,
            State::Paused => Tone::Caution,
            State::Archived | State::Concluded => Tone::Faint,
            State::Unspecified | State::Draft => Tone::Plain,
        };
        table.add_row(vec![
            cell(experiment.experiment_id.clone(), Tone::Plain),
            cell(state_name(experiment.state()), tone),
            cell(split(experiment), Tone::Plain),
            cell(primary(experiment), Tone::Plain),
            cell(experiment.owner.clone(), Tone::Plain),
            cell(started(experiment), Tone::Plain),
        ]);
    }
    format!("{}\n", table.trim_fmt())
}

/// "control 80 %, treatment 20 %".
fn split(experiment: &Experiment) -> String {
    let share = |variant: &crate::rpc::pb::Variant| {
        let percent = f64::from(variant.weight_basis_points) / 100.0;
        format!("{} {percent} %", variant.variant_id)
    };
    experiment.variants.iter().map(share).collect::<Vec<_>>().join(", ")
}

fn primary(experiment: &Experiment) -> String {
    use crate::rpc::pb::metric::Role;
    let primary = experiment.metrics.iter().find(|metric| metric.role() == Role::Primary);
    primary.map(|metric| metric.metric_id.clone()).unwrap_or_default()
}

/// The day, in UTC.
fn started(experiment: &Experiment) -> String {
    let day = experiment.start_time.map(|time| time.to_string().chars().take(10).collect());
    day.unwrap_or_else(|| super::figures::ABSENT.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::definition;

    #[test]
    fn a_line_tells_state_split_and_purpose() {
        let yaml = include_str!("../../examples/support-bot.yaml");
        let mut experiments = definition::parse("support-bot.yaml", yaml).unwrap();
        experiments[0].set_state(State::Running);
        let text = table(&experiments, Layout::plain());
        for part in ["support-bot", "running", "control 80 %, treatment 20 %", "task_completed"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert_eq!(table(&[], Layout::plain()), "No experiments.\n");
    }
}
