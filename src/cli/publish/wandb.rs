//! Results as a W&B run, by W&B's own Python package: its service has no documented API for runs,
//! and offline mode is a file format of the package.

use std::process::Stdio;

use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::publication::Publication;
use crate::cli::Error;

const SCRIPT: &str = include_str!("wandb.py");

/// Adds the look to the run of the iteration. Says where.
pub(super) async fn publish(
    python: &str,
    project: &str,
    publication: &Publication,
) -> Result<String, Error> {
    let failed = |cause: std::io::Error| Error::Input(format!("cannot run {python}: {cause}"));
    let mut script = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = script.stdin.take() {
        // A script that ends without reading says why on stderr.
        let _ = stdin.write_all(look(project, publication).to_string().as_bytes()).await;
    }
    let done = script.wait_with_output().await.map_err(failed)?;
    if !done.status.success() {
        let told = String::from_utf8_lossy(&done.stderr);
        return Err(Error::Input(format!("W&B did not take the results: {}", told.trim())));
    }
    let place = String::from_utf8_lossy(&done.stdout);
    let step = publication.outcomes;
    Ok(format!("W&B run {}, step {step}", place.lines().last().unwrap_or_default().trim()))
}

/// What the script reads. Ids of runs have no slash.
fn look(project: &str, publication: &Publication) -> Value {
    let (entity, project) = match project.split_once('/') {
        Some((entity, project)) => (Some(entity), project),
        None => (None, project),
    };
    let numbers: Map<_, _> =
        publication.numbers.iter().map(|(name, number)| (name.clone(), json!(number))).collect();
    let parameters = publication.parameters.iter();
    let parameters: Map<_, _> =
        parameters.map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "entity": entity,
        "project": project,
        "id": publication.name().replace('/', "-"),
        "name": publication.name(),
        "step": publication.outcomes,
        "numbers": numbers,
        "parameters": parameters,
        "summary": publication.summary(),
    })
}
