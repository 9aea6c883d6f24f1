//! `tiebreak publish`: what MLflow, Phoenix and W&B are sent, by the program as people run it.

use std::process::Command;

use serde_json::{Value, json};
use tiebreak::rpc::pb;

use crate::program::{Ran, tiebreak};
use crate::support::Home;
use crate::support::capture::{Capture, Captured};
use crate::support::server::{StoreKind, TestServer};
use crate::support::wire::{self, outcome};

/// A server with some outcomes of the experiment `bot`, whose traces are of the project `team`.
async fn server() -> TestServer {
    let server = TestServer::start_in(Home::new(StoreKind::Memory).await).await;
    let telemetry = Some(pb::Telemetry { project: "team".to_owned() });
    server.run(pb::Experiment { telemetry, ..wire::experiment("bot") }).await;
    for number in 0..40_i32 {
        let solved = f64::from(number % 2);
        server.log(outcome("bot", &format!("u{number}"), &[("solved", solved)])).await.unwrap();
    }
    server
}

async fn publish(server: &TestServer, arguments: &[&str]) -> Ran {
    let endpoint = format!("http://{}", server.grpc);
    let all =
        ["publish", "bot", "--endpoint", &endpoint].into_iter().chain(arguments.iter().copied());
    let mut command = tiebreak(all);
    // The server lives on this thread's runtime: it has to run meanwhile.
    tokio::task::spawn_blocking(move || Ran::of(&mut command)).await.unwrap()
}

fn lines(requests: &[Captured]) -> Vec<&str> {
    requests.iter().map(|request| request.line.as_str()).collect()
}

const MLFLOW: &str = "POST /api/2.0/mlflow";

#[tokio::test]
async fn the_first_look_makes_a_run_of_mlflow() {
    let mlflow = Capture::start(&[
        (404, r#"{"error_code":"RESOURCE_DOES_NOT_EXIST"}"#),
        (200, r#"{"experiment_id":"7"}"#),
        (200, "{}"),
        (200, r#"{"run":{"info":{"run_id":"r1"}}}"#),
    ])
    .await;
    let server = server().await;
    let ran = publish(&server, &["--to", "mlflow", "--url", &mlflow.url, "--key", "k"]).await;
    assert_eq!(ran.answer(), "bot/1: continue; run r1 of MLflow experiment team, step 0\n");
    let requests = mlflow.after(8).await;
    assert_eq!(
        lines(&requests),
        [
            "GET /api/2.0/mlflow/experiments/get-by-name?experiment_name=team",
            &format!("{MLFLOW}/experiments/create"),
            &format!("{MLFLOW}/runs/search"),
            &format!("{MLFLOW}/runs/create"),
            &format!("{MLFLOW}/runs/log-batch"),
            &format!("{MLFLOW}/runs/log-batch"),
            &format!("{MLFLOW}/runs/log-batch"),
            &format!("{MLFLOW}/runs/update"),
        ]
    );
    assert!(requests.iter().all(|request| request.header("authorization") == "Bearer k"));
    assert_eq!(requests[2].body["filter"], "tags.`tiebreak.run` = 'bot/1'");
    let parameters = requests[4].body["params"].as_array().unwrap();
    assert!(parameters.contains(&json!({ "key": "control", "value": "control" })));
    let metrics = requests[5].body["metrics"].as_array().unwrap();
    let estimate = number(metrics, "solved.treatment.estimate").unwrap();
    let results = server.results("bot").await;
    let statistics = wire::statistics(&results, "solved", "treatment");
    assert_eq!(estimate, &json!(statistics.estimate.unwrap()));
    assert!(metrics.iter().all(|metric| metric["step"] == 0 && metric["timestamp"].is_i64()));
    let tags = requests[6].body["tags"].as_array().unwrap();
    assert!(tags.contains(&json!({ "key": "tiebreak.decision", "value": "continue" })));
    assert!(tags.contains(&json!({ "key": "tiebreak.looks", "value": "1" })));
    assert_eq!(requests[7].body, json!({ "run_id": "r1", "status": "RUNNING" }));
}

fn number<'a>(metrics: &'a [Value], key: &str) -> Option<&'a Value> {
    metrics.iter().find(|metric| metric["key"] == key).map(|metric| &metric["value"])
}

#[tokio::test]
async fn a_later_look_adds_a_step() {
    let run = r#"{"runs":[{"info":{"run_id":"r1"},
        "data":{"tags":[{"key":"tiebreak.looks","value":"4"}]}}]}"#;
    let mlflow =
        Capture::start(&[(200, r#"{"experiment":{"experiment_id":"7"}}"#), (200, run)]).await;
    let server = server().await;
    server.conclude("bot", "treatment").await.unwrap();
    let ran = publish(&server, &["--to", "mlflow", "--url", &mlflow.url, "--project", "x y"]).await;
    assert!(ran.answer().ends_with("run r1 of MLflow experiment x y, step 4\n"));
    let requests = mlflow.after(5).await;
    assert!(requests[0].line.ends_with("?experiment_name=x+y"), "{}", requests[0].line);
    let metrics = requests[2].body["metrics"].as_array().unwrap();
    assert!(metrics.iter().all(|metric| metric["step"] == 4));
    assert!(!requests.iter().any(|request| request.body.get("params").is_some()));
    assert_eq!(requests[4].body["status"], "FINISHED");
}

#[tokio::test]
async fn phoenix_gets_a_span_and_verdicts() {
    let phoenix = Capture::start(&[]).await;
    let server = server().await;
    let ran = publish(&server, &["--to", "phoenix", "--url", &phoenix.url]).await;
    assert!(ran.answer().contains("of Phoenix project team"));
    let requests = phoenix.after(2).await;
    let expected = ["POST /v1/projects/team/spans", "POST /v1/span_annotations"];
    assert_eq!(lines(&requests), expected);
    let span = &requests[0].body["data"][0];
    assert_eq!(span["attributes"]["metadata"]["decision"], "continue");
    let annotations = requests[1].body["data"].as_array().unwrap();
    assert_eq!(annotations[0]["result"]["label"], "continue");
    let of_span = |annotation: &Value| annotation["span_id"] == span["context"]["span_id"];
    assert!(annotations.iter().all(of_span));
    assert!(annotations.iter().any(|annotation| annotation["name"] == "solved.treatment"));
}

#[tokio::test]
async fn what_fails_is_told_by_name() {
    let server = server().await;
    let refusing = Capture::start(&[(401, r#"{"message":"no such user"}"#)]).await;
    let told = publish(&server, &["--to", "mlflow", "--url", &refusing.url]).await.complaint(1);
    assert!(told.contains("MLflow refuses") && told.contains("no such user"), "{told}");
    let other = Capture::start(&[]).await;
    let told = publish(&server, &["--to", "mlflow", "--url", &other.url]).await.complaint(1);
    assert!(told.contains("is it MLflow?"), "{told}");
    let told = publish(&server, &["--to", "phoenix", "--url", "ftp://host"]).await.complaint(2);
    assert!(told.contains("http://"), "{told}");
    let told =
        publish(&server, &["--to", "wandb", "--python", "no-such-python"]).await.complaint(1);
    assert!(told.contains("cannot run no-such-python"), "{told}");
}

/// With W&B's own package, offline; skipped aloud where there is none.
#[tokio::test]
async fn wandb_writes_an_offline_run() {
    #[expect(clippy::disallowed_methods, reason = "says which interpreter has the package")]
    let python = std::env::var("TIEBREAK_WANDB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_it = Command::new(&python).args(["-c", "import wandb"]).output();
    if !has_it.is_ok_and(|ran| ran.status.success()) {
        println!(
            "SKIPPED: {python} has no package wandb; TIEBREAK_WANDB_PYTHON names one that has"
        );
        return;
    }
    let server = server().await;
    let directory = tempfile::tempdir().unwrap();
    let endpoint = format!("http://{}", server.grpc);
    let arguments =
        ["publish", "bot", "--endpoint", &endpoint, "--to", "wandb", "--python", &python];
    let mut command = tiebreak(arguments);
    command.env("WANDB_MODE", "offline").env("WANDB_DIR", directory.path());
    let ran = tokio::task::spawn_blocking(move || Ran::of(&mut command)).await.unwrap();
    assert!(ran.answer().contains("step 40"));
    let run = std::fs::read_dir(directory.path().join("wandb")).unwrap();
    let names: Vec<_> =
        run.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.contains("bot-1")), "{names:?}");
}
