//! A support bot's A/B test from the first user to the verdict: simulated people, real calls.
//!
//! A client like any other. The server assigns every user; the simulation only decides how a user
//! fares under the variant that came back. With the same seed the same people come, so the same
//! page is printed.

mod simulation;

use std::io::Write;
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use tonic::Code;

use self::simulation::{Arm, Simulation};
use super::client::{Client, Connection, DEFAULT_ENDPOINT, endpoint};
use super::delivery::{Delivery, Parcel, Tally};
use super::retry::Backoff;
use super::{Error, Layout, definition, figures, progress, results};
use crate::rpc::pb::{
    AssignRequest, Assignment, CreateExperimentRequest, Experiment, Outcome, StartExperimentRequest,
};

/// The experiment is the one in the examples: what is shown is what can be read and changed.
const DEFINITION: &str = include_str!("../../../examples/support-bot.yaml");
const TIMEOUT: Duration = Duration::from_secs(10);
const ASSIGNMENTS_IN_FLIGHT: usize = 64;
const BATCH: usize = 100;
const BATCHES_IN_FLIGHT: usize = 8;

/// What the demo can be told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Use this server; without it the demo starts one of its own in a temporary directory.
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    pub endpoint: Option<String>,
    /// Which people come: the same seed, the same people.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// How many people come.
    #[arg(long, default_value_t = 4840, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub users: u32,
    /// The id of the experiment that is created.
    #[arg(long, default_value = "support-bot", value_name = "ID")]
    pub experiment: String,
}

/// Runs the test against the server of `options`, or against the default endpoint.
///
/// # Errors
/// When the server refuses a call, for instance because the experiment exists already.
pub async fn run(options: &Options, out: &mut dyn Write, layout: Layout) -> Result<(), Error> {
    let endpoint = options.endpoint.clone().unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    let client = Connection { endpoint, timeout: TIMEOUT }.open().await?;
    let experiment = create(&client, &options.experiment).await?;
    let simulation = Simulation::new(options.seed);
    let assignments = assign(&client, &experiment.experiment_id, options.users).await?;
    let parcels = dialogs(&simulation, &assignments);
    let tally = log(&client, parcels).await?;
    writeln!(
        out,
        "{} had {} with the bot, all of it simulated (seed {}).\n",
        figures::counted(i64::from(options.users), "user"),
        figures::counted(figures::signed_count(tally.sent), "dialog"),
        options.seed,
    )?;
    let page = results::page(&client, &experiment.experiment_id, layout).await?;
    write!(out, "{page}")?;
    if tally.refused > 0 {
        return Err(Error::Incomplete(format!("the server refused {} dialogs", tally.refused)));
    }
    Ok(())
}

async fn create(client: &Client, id: &str) -> Result<Experiment, Error> {
    let mut experiment = definition::parse("examples/support-bot.yaml", DEFINITION)?
        .pop()
        .ok_or_else(|| Error::Input("examples/support-bot.yaml is empty".to_owned()))?;
    id.clone_into(&mut experiment.experiment_id);
    let mut admin = client.admin.clone();
    let request = CreateExperimentRequest { experiment: Some(experiment), validate_only: false };
    let created = admin.create_experiment(request).await.map_err(|status| {
        if status.code() == Code::AlreadyExists {
            let text = format!("experiment {id} exists already; choose another with --experiment");
            return Error::Input(text);
        }
        Error::call(format!("create experiment {id}"))(status)
    })?;
    let experiment = created.into_inner().experiment.ok_or_else(|| Error::lacking("experiment"))?;
    let start = StartExperimentRequest { experiment_id: id.to_owned(), ..Default::default() };
    admin.start_experiment(start).await.map_err(Error::call(format!("start experiment {id}")))?;
    Ok(experiment)
}

/// Asks the server for every user's variant, in the order of the users.
async fn assign(client: &Client, experiment: &str, users: u32) -> Result<Vec<Assignment>, Error> {
    let bar = progress::bar(u64::from(users), "Assigning users");
    let mut answers = stream::iter(0..users)
        .map(|user| assign_one(client, experiment, user))
        .buffered(ASSIGNMENTS_IN_FLIGHT);
    let mut assignments = Vec::new();
    while let Some(assignment) = answers.next().await {
        assignments.push(assignment?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(assignments)
}

async fn assign_one(client: &Client, experiment: &str, user: u32) -> Result<Assignment, Error> {
    let mut backoff = Backoff::default();
    loop {
        let request = AssignRequest {
            experiment_id: experiment.to_owned(),
            unit_id: unit(user),
            ..Default::default()
        };
        match client.data.clone().assign(request).await {
            Ok(response) => {
                let assignment = response.into_inner().assignment;
                return assignment.ok_or_else(|| Error::lacking("assignment"));
            }
            Err(status) => match backoff.wait_after(&status) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(Error::call(format!("assign {}", unit(user)))(status)),
            },
        }
    }
}

fn unit(user: u32) -> String {
    format!("user-{user:05}")
}

/// The outcomes of all users: first everybody's first dialog, then the second of those who came
/// back, so that the variants fill up side by side as they do in life.
fn dialogs(simulation: &Simulation, assignments: &[Assignment]) -> Vec<Parcel> {
    let mut dialogs: Vec<(usize, Outcome)> = Vec::new();
    for (user, assignment) in (0_u32..).zip(assignments) {
        let arm = if assignment.control { Arm::Control } else { Arm::Treatment };
        for (turn, dialog) in simulation.dialogs(user, arm).into_iter().enumerate() {
            let outcome = Outcome {
                experiment_id: assignment.experiment_id.clone(),
                unit_id: unit(user),
                values: dialog.values(),
                event_id: format!("dialog-{user:05}-{turn}"),
                iteration: assignment.iteration,
                ..Outcome::default()
            };
            dialogs.push((turn, outcome));
        }
    }
    dialogs.sort_by_key(|(turn, _)| *turn);
    let numbered = (1_u64..).zip(dialogs);
    numbered.map(|(line, (_, outcome))| Parcel { line, outcome }).collect()
}

async fn log(client: &Client, parcels: Vec<Parcel>) -> Result<Tally, Error> {
    let bar: ProgressBar =
        progress::bar(u64::try_from(parcels.len()).unwrap_or(u64::MAX), "Logging their dialogs");
    let delivery = Delivery {
        client: client.clone(),
        batch: BATCH,
        in_flight: BATCHES_IN_FLIGHT,
        repeatable: true,
    };
    let tally = delivery.send(parcels.into_iter().map(Ok), &bar).await?;
    bar.finish_and_clear();
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_measures_what_the_simulation_tells() {
        let experiment = definition::parse("support-bot.yaml", DEFINITION).unwrap().remove(0);
        let told = Simulation::new(1)
            .dialogs(1, Arm::Control)
            .iter()
            .flat_map(|dialog| dialog.values().into_keys())
            .collect::<std::collections::HashSet<_>>();
        for metric in told {
            assert!(experiment.metrics.iter().any(|m| m.metric_id == metric), "{metric}");
        }
        let weights: u32 = experiment.variants.iter().map(|v| v.weight_basis_points).sum();
        assert_eq!(weights, 10_000);
    }

    #[test]
    fn event_ids_are_unique() {
        let assignment = Assignment { control: true, ..Assignment::default() };
        let parcels = dialogs(&Simulation::new(7), &vec![assignment; 500]);
        let ids: std::collections::HashSet<&str> =
            parcels.iter().map(|parcel| parcel.outcome.event_id.as_str()).collect();
        assert_eq!(ids.len(), parcels.len());
    }
}
