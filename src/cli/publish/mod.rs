//! `publish`: the results as of now where a team keeps its runs, so that a model registry sees the
//! verdict.

mod mlflow;
mod phoenix;
mod publication;
mod wandb;
mod web;

use std::io::Write;

use clap::{Args, ValueEnum};
use reqwest::Url;

use self::publication::Publication;
use self::web::Web;
use super::client::Connection;
use super::{Error, results};
use crate::rpc::pb::GetResultsRequest;

/// What `publish` can be told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which experiment.
    #[arg(value_name = "EXPERIMENT")]
    experiment: String,
    /// Where to: a run of MLflow or W&B that gets a step with every call, or a span of Phoenix.
    #[arg(long, value_enum, value_name = "PROGRAM")]
    to: Program,
    /// Where the program is; unless said, on this machine at its usual port. W&B's own settings
    /// apply to W&B.
    #[arg(long, env = "TIEBREAK_PUBLISH_URL", value_name = "URL", value_parser = url)]
    url: Option<Url>,
    /// The program's API key, sent as a bearer token.
    #[arg(long, env = "TIEBREAK_PUBLISH_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
    /// MLflow experiment, Phoenix project or W&B [ENTITY/]PROJECT; unless said the experiment's own
    /// telemetry.project, and `tiebreak` where it has none.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Results of an earlier iteration; 0 is the current one.
    #[arg(long, default_value_t = 0, value_name = "N")]
    iteration: u32,
    /// The Python interpreter that has the package wandb.
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    python: String,
    /// Which server.
    #[command(flatten)]
    connection: Connection,
}

/// Who keeps results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Program {
    /// A run per iteration: metrics by look, parameters, the decision as tags.
    Mlflow,
    /// A run per iteration, by W&B's Python package; `WANDB_MODE=offline` works.
    Wandb,
    /// A trace per look, its verdicts as annotations.
    Phoenix,
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        return Ok(url);
    }
    Err("must be an http:// or https:// URL".to_owned())
}

/// Publishes one look and says where it is.
pub(super) async fn run(options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    let client = options.connection.open().await?;
    let request = GetResultsRequest {
        experiment_id: options.experiment.clone(),
        iteration: options.iteration,
        ..GetResultsRequest::default()
    };
    let results = results::fetch(&client, request).await?;
    let experiment = results::experiment(&client, &options.experiment).await?;
    let own = experiment.telemetry.as_ref().map(|telemetry| telemetry.project.as_str());
    let own = own.filter(|project| !project.is_empty()).unwrap_or("tiebreak");
    let project = options.project.as_deref().unwrap_or(own);
    let publication = Publication::new(&results, &experiment)?;
    let place = match options.to {
        Program::Mlflow => {
            let web = web(options, "MLflow", "http://127.0.0.1:5000")?;
            mlflow::publish(&web, project, &publication).await?
        }
        Program::Phoenix => {
            let web = web(options, "Phoenix", "http://127.0.0.1:6006")?;
            phoenix::publish(&web, project, &publication).await?
        }
        Program::Wandb => wandb::publish(&options.python, project, &publication).await?,
    };
    writeln!(out, "{}: {}; {place}", publication.name(), publication.decision)?;
    Ok(())
}

fn web(options: &Options, name: &'static str, otherwise: &str) -> Result<Web, Error> {
    let url = match &options.url {
        Some(url) => url.clone(),
        None => url(otherwise).map_err(Error::Input)?,
    };
    Web::new(name, url, options.key.clone(), options.connection.timeout)
}
