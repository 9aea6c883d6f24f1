//! `apply`: makes the server's experiments what the files say, and tells what that changed.
//!
//! All or nothing, as far as that can be known before: every file is read and every experiment is
//! checked by the server first, and all faults are told at once.

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
    /// A YAML file, a directory of them, or `-` for standard input; several documents per file are
    /// fine.
    #[arg(short, long, value_name = "FILE|DIR|-")]
    pub file: PathBuf,
    /// Check everything and print the difference, but change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Which server.
    #[command(flatten)]
    pub connection: Connection,
}

/// Applies every experiment of the files, once the server has found no fault in any.
pub(super) async fn run(options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    let files::Loaded { experiments, mut faults } = files::load(&options.file)?;
    let client = options.connection.open().await?;
    let mut accounts = Vec::new();
    for (file, experiment) in &experiments {
        match update(&client, file, experiment, true).await {
            Ok(account) => accounts.push(account),
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        return Err(refused(&faults, experiments.len()));
    }
    if options.dry_run {
        writeln!(out, "{}Nothing was changed: this was a dry run.", accounts.concat())?;
        return Ok(());
    }
    for (file, experiment) in &experiments {
        // Checked a moment ago; what fails now has changed since, and is no reason to leave out
        // the others.
        match update(&client, file, experiment, false).await {
            Ok(account) => write!(out, "{account}")?,
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Incomplete(lines(&faults))) }
}

/// One fault is told as it is; of several, or beside experiments without a fault, it must be said
/// that those were not applied either.
fn refused(faults: &[Error], checked: usize) -> Error {
    let mut text = lines(faults);
    if faults.len() > 1 || checked > 1 {
        text += "\nnothing was applied";
    }
    Error::Input(text)
}

fn lines(faults: &[Error]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Checks or applies one experiment and tells what that changes.
async fn update(
    client: &Client,
    file: &str,
    experiment: &Experiment,
    validate_only: bool,
) -> Result<String, Error> {
    let id = &experiment.experiment_id;
    let before = current(client, id).await?;
    let request = UpdateExperimentRequest {
        experiment: Some(experiment.clone()),
        allow_missing: true,
        validate_only,
        update_mask: None,
    };
    let response = client.admin.clone().update_experiment(request).await;
    let attempt = format!("apply {file}: experiment {id:?}");
    let response = response.map_err(Error::call(attempt))?.into_inner();
    account(id, before.as_ref(), &response, validate_only)
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
        None if dry_run => format!("{id}: would be created\n"),
        None => format!("{id}: created as a draft; `tiebreak start {id}` starts it\n"),
        Some(before) => {
            let json = |experiment| to_json("Experiment", experiment, Names::Proto);
            let changes = difference(&definition(&json(before)?), &definition(&json(after)?));
            if changes.is_empty() {
                // Its warnings were told when it was created.
                return Ok(format!("{id}: unchanged\n"));
            }
            let lines: String = changes.iter().map(line).collect();
            format!("{id}: {would}changed\n{lines}")
        }
    };
    if response.new_iteration {
        let iteration = after.iteration;
        text += "  ! the split changes: iteration ";
        text += &iteration.to_string();
        text += " begins, and its outcomes are counted apart\n";
    }
    for warning in &response.warnings {
        text.extend(["  ! ", warning, "\n"]);
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
        assert_eq!(
            told(None, response("ann", false), false),
            "x: created as a draft; `tiebreak start x` starts it\n"
        );
        assert_eq!(told(ann.as_ref(), response("ann", false), false), "x: unchanged\n");
        assert_eq!(
            told(ann.as_ref(), response("bob", true), true),
            "x: would be changed\n  ~ owner: \"ann\" → \"bob\"\n  \
             ! the split changes: iteration 2 begins, and its outcomes are counted apart\n"
        );
    }
}
