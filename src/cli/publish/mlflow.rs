//! Results as an MLflow run: one for each iteration, a step of its metrics for each look, the setup
//! as parameters and the decision as tags, so that a model registry sees the verdict.

use serde_json::{Value, json};

use super::publication::Publication;
use super::web::{Answer, Web};
use crate::cli::Error;

const API: &str = "api/2.0/mlflow";

/// MLflow's limits of one call.
const METRICS_A_CALL: usize = 1_000;
const PARAMETERS_A_CALL: usize = 100;
const TAG_LIMIT: usize = 5_000;

/// Finds a run among all others.
const RUN_TAG: &str = "tiebreak.run";
/// How many looks the run has: the next one's step.
const LOOKS_TAG: &str = "tiebreak.looks";

/// Adds a look to the run of the iteration, which the first look makes. Says where.
pub(super) async fn publish(
    web: &Web,
    project: &str,
    publication: &Publication,
) -> Result<String, Error> {
    let experiment = experiment(web, project).await?;
    let run = match find(web, &experiment, publication).await? {
        Some(run) => run,
        None => create(web, &experiment, publication).await?,
    };
    let (id, step) = (&run.id, run.looks);
    for numbers in publication.numbers.chunks(METRICS_A_CALL) {
        let metrics: Vec<Value> = numbers
            .iter()
            .map(|(key, value)| {
                json!({ "key": key, "value": value, "timestamp": publication.time_ms, "step": step })
            })
            .collect();
        web.must_post(
            &format!("{API}/runs/log-batch"),
            &json!({ "run_id": id, "metrics": metrics }),
        )
        .await?;
    }
    // The number of looks last: a look that broke off is written again under the same step.
    let tags = [tags(publication), vec![tag(LOOKS_TAG, &(step + 1).to_string())]].concat();
    web.must_post(&format!("{API}/runs/log-batch"), &json!({ "run_id": id, "tags": tags })).await?;
    let status = if publication.over { "FINISHED" } else { "RUNNING" };
    let mut update = json!({ "run_id": id, "status": status });
    if publication.over {
        update["end_time"] = publication.time_ms.into();
    }
    web.must_post(&format!("{API}/runs/update"), &update).await?;
    Ok(format!("run {id} of MLflow experiment {project}, step {step}"))
}

struct Run {
    id: String,
    looks: u64,
}

/// The id of the MLflow experiment, which is made where there is none.
async fn experiment(web: &Web, name: &str) -> Result<String, Error> {
    let path = format!("{API}/experiments/get-by-name");
    let mut url = web.at(&path);
    url.query_pairs_mut().append_pair("experiment_name", name);
    match web.get(url).await? {
        Answer::Done(found) => text(&found["experiment"]["experiment_id"], "experiment_id"),
        Answer::Refused(status, _) if status == reqwest::StatusCode::NOT_FOUND => {
            let body = json!({ "name": name });
            let made = web.must_post(&format!("{API}/experiments/create"), &body).await?;
            text(&made["experiment_id"], "experiment_id")
        }
        Answer::Refused(status, told) => Err(web.refused(&path, status, &told)),
    }
}

async fn find(
    web: &Web,
    experiment: &str,
    publication: &Publication,
) -> Result<Option<Run>, Error> {
    // Ids have no quotes.
    let filter = format!("tags.`{RUN_TAG}` = '{}'", publication.name());
    let body = json!({ "experiment_ids": [experiment], "filter": filter, "max_results": 1 });
    let found = web.must_post(&format!("{API}/runs/search"), &body).await?;
    let run = &found["runs"][0];
    if run.is_null() {
        return Ok(None);
    }
    let tags = run["data"]["tags"].as_array().cloned().unwrap_or_default();
    let looks = tags.iter().find(|tag| tag["key"] == LOOKS_TAG);
    let looks = looks.and_then(|tag| tag["value"].as_str()?.parse().ok()).unwrap_or(0);
    Ok(Some(Run { id: text(&run["info"]["run_id"], "run_id")?, looks }))
}

async fn create(web: &Web, experiment: &str, publication: &Publication) -> Result<Run, Error> {
    let body = json!({
        "experiment_id": experiment,
        "run_name": publication.name(),
        "start_time": publication.time_ms,
        "tags": [tag(RUN_TAG, &publication.name())],
    });
    let made = web.must_post(&format!("{API}/runs/create"), &body).await?;
    let id = text(&made["run"]["info"]["run_id"], "run_id")?;
    for some in publication.parameters.chunks(PARAMETERS_A_CALL) {
        let parameters: Vec<Value> =
            some.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let body = json!({ "run_id": id, "params": parameters });
        web.must_post(&format!("{API}/runs/log-batch"), &body).await?;
    }
    Ok(Run { id, looks: 0 })
}

fn tags(publication: &Publication) -> Vec<Value> {
    vec![
        tag("tiebreak.experiment", &publication.experiment),
        tag("tiebreak.iteration", &publication.iteration.to_string()),
        tag("tiebreak.decision", &publication.decision),
        tag("tiebreak.explanation", &publication.explanations.join("\n")),
    ]
}

fn tag(key: &str, value: &str) -> Value {
    let value: String = value.chars().take(TAG_LIMIT).collect();
    json!({ "key": key, "value": value })
}

fn text(value: &Value, what: &str) -> Result<String, Error> {
    let text = value.as_str().map(ToOwned::to_owned);
    text.ok_or_else(|| Error::Input(format!("MLflow's answer has no {what}: is it MLflow?")))
}
