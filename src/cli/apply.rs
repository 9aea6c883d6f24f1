//! `apply`: makes the server's experiments what the files say, and tells what that changed.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use tonic::Code;

use super::client::{Client, Connection};
use super::difference::{Change, definition, difference};
use super::wire::{Names, to_json};
use super::{Error, definition as files};
use crate::rpc::pb::{
    Experiment, GetExperimentRequest, UpdateExperimentRequest, UpdateExperimentResponse,
};

/// What `apply` can be told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// A YAML file, or a directory of them; several documents per file are fine.
    #[arg(short, long, value_name = "FILE|DIR")]
    pub file: PathBuf,
    /// Check everything and print the difference, but change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Which server.
    #[command(flatten)]
    pub connection: Connection,
}

/// Applies every experiment of the files, once all files have been read without a fault.
pub(super) async fn run(options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    let experiments = files::load(&options.file)?;
    let client = options.connection.open().await?;
    for (file, experiment) in experiments {
        let id = experiment.experiment_id.clone();
        let before = current(&client, &id).await?;
        let request = UpdateExperimentRequest {
            experiment: Some(experiment),
            allow_missing: true,
            validate_only: options.dry_run,
            update_mask: None,
        };
        let attempt = format!("apply {}: experiment {id:?}", file.display());
        let response = client.admin.clone().update_experiment(request).await;
        let response = response.map_err(Error::call(attempt))?.into_inner();
        write!(out, "{}", account(&id, before.as_ref(), &response, options.dry_run)?)?;
    }
    if options.dry_run {
        writeln!(out, "Nothing was changed: this was a dry run.")?;
    }
    Ok(())
}

/// The experiment as the server has it, if it has one. An empty id is for the server to refuse.
async fn current(client: &Client, id: &str) -> Result<Option<Experiment>, Error> {
    if id.is_empty() {
        return Ok(None);
    }
    let request = GetExperimentRequest { experiment_id: id.to_owned() };
    match client.admin.clone().get_experiment(request).await {
        Ok(response) => Ok(response.into_inner().experiment),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(Error::call(format!("get experiment {id}"))(status)),
    }
}

/// What happened to one experiment. Pure.
fn account(
    id: &str,
    before: Option<&Experiment>,
    response: &UpdateExperimentResponse,
    dry_run: bool,
) -> Result<String, Error> {
    let after = response.experiment.as_ref().ok_or_else(|| Error::lacking("experiment"))?;
    let would = if dry_run { "would be " } else { "" };
    let mut text = match before {
        None => format!("{id}: {would}created\n"),
        Some(before) => {
            let json = |experiment| to_json("Experiment", experiment, Names::Proto);
            let changes = difference(&definition(&json(before)?), &definition(&json(after)?));
            if changes.is_empty() {
                format!("{id}: unchanged\n")
            } else {
                let lines: String = changes.iter().map(line).collect();
                format!("{id}: {would}changed\n{lines}")
            }
        }
    };
    if response.new_iteration {
        text.push_str(&format!(
            "  ! the split changes: iteration {} begins, and its outcomes are counted apart\n",
            after.iteration
        ));
    }
    for warning in &response.warnings {
        text.push_str(&format!("  ! {warning}\n"));
    }
    Ok(text)
}

fn line(change: &Change) -> String {
    let path = &change.path;
    match (&change.before, &change.after) {
        (None, Some(after)) => format!("  + {path}: {after}\n"),
        (Some(before), None) => format!("  - {path}: {before}\n"),
        (before, after) => {
            let [before, after] = [before, after].map(|side| side.as_deref().unwrap_or_default());
            format!("  ~ {path}: {before} → {after}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(owner: &str, new_iteration: bool) -> UpdateExperimentResponse {
        UpdateExperimentResponse {
            experiment: Some(Experiment {
                experiment_id: "x".into(),
                owner: owner.into(),
                iteration: 2,
                ..Experiment::default()
            }),
            new_iteration,
            warnings: vec![],
            changed: None,
        }
    }

    #[test]
    fn what_happened_is_told_in_a_line_per_field() {
        let ann = response("ann", false).experiment;
        let told = |before: Option<&Experiment>, response, dry| {
            account("x", before, &response, dry).unwrap()
        };
        assert_eq!(told(None, response("ann", false), false), "x: created\n");
        assert_eq!(told(ann.as_ref(), response("ann", false), false), "x: unchanged\n");
        assert_eq!(
            told(ann.as_ref(), response("bob", true), true),
            "x: would be changed\n  ~ owner: \"ann\" → \"bob\"\n  \
             ! the split changes: iteration 2 begins, and its outcomes are counted apart\n"
        );
    }
}
