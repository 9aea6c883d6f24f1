//! `start`, `pause`, `conclude`, `archive`, `delete`: an experiment's way through its states.
//! Whoever leaves it is told where it leads.

use std::io::Write;

use clap::Args;
use tonic::Status;
use tonic_types::StatusExt;

use super::client::Connection;
use super::report::{report, state_name};
use super::{Error, Layout};
use crate::rpc::pb::{
    ArchiveExperimentRequest, ConcludeExperimentRequest, DeleteExperimentRequest, Experiment,
    PauseExperimentRequest, StartExperimentRequest,
};

/// Which experiment of which server.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which experiment.
    #[arg(value_name = "EXPERIMENT")]
    pub experiment: String,
    /// Which server.
    #[command(flatten)]
    pub connection: Connection,
}

/// What `conclude` can be told.
#[derive(Debug, Clone, Args)]
pub struct ConcludeOptions {
    /// Which experiment.
    #[arg(value_name = "EXPERIMENT")]
    pub experiment: String,
    /// The variant that everyone receives from now on; without it control.
    #[arg(long, default_value = "", value_name = "VARIANT", hide_default_value = true)]
    pub winner: String,
    /// Why, for the audit log.
    #[arg(long, default_value = "", value_name = "TEXT", hide_default_value = true)]
    pub note: String,
    /// Which server.
    #[command(flatten)]
    pub connection: Connection,
}

/// DRAFT or PAUSED to RUNNING.
pub(super) async fn start(options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    let mut client = options.connection.open().await?;
    let request =
        StartExperimentRequest { experiment_id: options.experiment.clone(), ..Default::default() };
    let response = client.admin.start_experiment(request).await;
    told(response.map_err(attempt("start", &options.experiment))?.into_inner().experiment, out)
}

/// RUNNING to PAUSED.
pub(super) async fn pause(options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    let mut client = options.connection.open().await?;
    let request =
        PauseExperimentRequest { experiment_id: options.experiment.clone(), ..Default::default() };
    let response = client.admin.pause_experiment(request).await;
    told(response.map_err(attempt("pause", &options.experiment))?.into_inner().experiment, out)
}

/// RUNNING or PAUSED to CONCLUDED; prints the frozen results.
pub(super) async fn conclude(
    options: &ConcludeOptions,
    out: &mut dyn Write,
    layout: Layout,
) -> Result<(), Error> {
    let mut client = options.connection.open().await?;
    let request = ConcludeExperimentRequest {
        experiment_id: options.experiment.clone(),
        winner_variant_id: options.winner.clone(),
        note: options.note.clone(),
        etag: String::new(),
    };
    let response = client.admin.conclude_experiment(request).await;
    let response = response.map_err(attempt("conclude", &options.experiment))?.into_inner();
    let experiment = response.experiment.ok_or_else(|| Error::lacking("experiment"))?;
    let served = match experiment.winner_variant_id.as_str() {
        "" => "control",
        winner => winner,
    };
    let id = &experiment.experiment_id;
    writeln!(out, "{id} is concluded; everyone receives {served} from now on.")?;
    if let Some(results) = response.results {
        write!(out, "\n{}", report(&results, &experiment, layout))?;
    }
    Ok(())
}

/// DRAFT or CONCLUDED to ARCHIVED.
pub(super) async fn archive(options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    let mut client = options.connection.open().await?;
    let request = ArchiveExperimentRequest {
        experiment_id: options.experiment.clone(),
        ..Default::default()
    };
    let response = client.admin.archive_experiment(request).await;
    told(response.map_err(attempt("archive", &options.experiment))?.into_inner().experiment, out)
}

/// DRAFT or ARCHIVED to nothing.
pub(super) async fn delete(options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    let mut client = options.connection.open().await?;
    let request =
        DeleteExperimentRequest { experiment_id: options.experiment.clone(), ..Default::default() };
    let response = client.admin.delete_experiment(request).await;
    response.map_err(attempt("delete", &options.experiment))?;
    writeln!(out, "{} is deleted.", options.experiment)?;
    Ok(())
}

fn attempt(verb: &'static str, experiment: &str) -> impl FnOnce(Status) -> Error {
    let attempt = format!("{verb} experiment {experiment}");
    let way = way(verb, experiment);
    move |status| {
        let misplaced = status
            .get_details_error_info()
            .is_some_and(|info| info.reason == "INVALID_STATE_TRANSITION");
        let refused = Error::call(attempt)(status);
        if misplaced { Error::Input(format!("{refused}\n  {way}")) } else { refused }
    }
}

/// How to get where a verb leads, from anywhere.
fn way(verb: &str, id: &str) -> String {
    match verb {
        "start" => "what is concluded stays so: `apply` a copy under another id".to_owned(),
        "pause" => "only a running experiment is paused".to_owned(),
        "conclude" => format!("only what was started is concluded: `tiebreak start {id}`"),
        "archive" => format!("the way is `tiebreak conclude {id}`, then `tiebreak archive {id}`"),
        _ => format!(
            "the way is `tiebreak conclude {id}`, `tiebreak archive {id}`, then `tiebreak delete \
             {id}`"
        ),
    }
}

fn told(experiment: Option<Experiment>, out: &mut dyn Write) -> Result<(), Error> {
    let experiment = experiment.ok_or_else(|| Error::lacking("experiment"))?;
    let state = state_name(experiment.state());
    writeln!(out, "{} is {state}.", experiment.experiment_id)?;
    Ok(())
}
