//! Scores on their way out: what each program is sent, that once is enough, and that nobody waits.

use std::time::Duration;

use serde_json::{Value, json};
use tiebreak::rpc::pb;
use tokio_stream::StreamExt as _;

use crate::support::Home;
use crate::support::capture::{Capture, Captured};
use crate::support::server::{Failure, StoreKind, TestServer, failure};
use crate::support::wire::{self, outcome, unit};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// A server that tells these sinks, with the experiment `bot` running.
async fn server(sinks: &[String], keyed: bool) -> TestServer {
    let home = Home::new(StoreKind::Memory).await;
    let server = TestServer::start_with(home, |settings| {
        let sinks = sinks.iter().map(|sink| sink.parse::<tiebreak::sinks::ScoreSink>().unwrap());
        let key = || "planted-key".to_owned().into();
        settings.scores =
            sinks.map(|sink| if keyed { sink.with_key(key()) } else { sink }).collect();
    })
    .await;
    server.run(wire::experiment("bot")).await;
    server
}

fn judged(event: &str, flags: &str, values: &[(&str, f64)]) -> pb::Outcome {
    pb::Outcome {
        event_id: event.to_owned(),
        subject_traceparent: format!("00-{TRACE}-{SPAN}-{flags}"),
        ..outcome("bot", &unit("bot", true), values)
    }
}

/// What a sink is sent for one outcome with one value.
async fn only_request(sink: impl Fn(&str) -> String) -> Captured {
    let program = Capture::start(&[]).await;
    let server = server(&[sink(&program.url)], true).await;
    server.log(judged("e-1", "03", &[("csat", 4.5)])).await.unwrap();
    server.stop().await;
    let mut requests = program.after(1).await;
    assert_eq!(requests.len(), 1, "{requests:#?}");
    requests.remove(0)
}

fn facts() -> Value {
    json!({ "experiment": "bot", "variant": "treatment" })
}

#[tokio::test]
async fn phoenix_gets_an_annotation_of_the_span() {
    let request = only_request(|url| format!("phoenix={url}")).await;
    assert_eq!(request.line, "POST /v1/span_annotations");
    assert_eq!(request.header("authorization"), "Bearer planted-key");
    let annotation = json!({
        "span_id": SPAN,
        "name": "csat",
        "annotator_kind": "CODE",
        "identifier": "tiebreak:bot:e-1",
        "result": { "score": 4.5 },
        "metadata": facts(),
    });
    assert_eq!(request.body, json!({ "data": [annotation] }));
}

#[tokio::test]
async fn mlflow_gets_an_assessment_of_the_trace() {
    let request = only_request(|url| format!("mlflow={url}/base/")).await;
    assert_eq!(request.line, format!("POST /base/api/3.0/mlflow/traces/tr-{TRACE}/assessments"));
    assert_eq!(request.header("authorization"), "Bearer planted-key");
    let mut body = request.body;
    let id = body["assessment"].as_object_mut().unwrap().remove("assessment_id").unwrap();
    assert!(id.as_str().unwrap().starts_with("a-"), "{id}");
    let assessment = json!({
        "assessment_name": "csat",
        "span_id": SPAN,
        "source": { "source_type": "CODE", "source_id": "tiebreak" },
        "feedback": { "value": 4.5 },
        "metadata": facts(),
    });
    assert_eq!(body, json!({ "assessment": assessment }));
}

#[tokio::test]
async fn langsmith_gets_feedback_to_the_run_of_the_span() {
    const PROJECT: &str = "7b1d2f3a-0000-4000-8000-000000000001";
    let request = only_request(|url| format!("langsmith={url}/api/v1?project={PROJECT}")).await;
    assert_eq!(request.line, "POST /api/v1/feedback");
    assert_eq!(request.header("x-api-key"), "planted-key");
    let mut body = request.body;
    body.as_object_mut().unwrap().remove("id").unwrap();
    let feedback = json!({
        "run_id": "00000000-0000-0000-00f0-67aa0ba902b7",
        "key": "csat",
        "score": 4.5,
        "feedback_source": { "type": "api", "metadata": facts() },
        "session_id": PROJECT,
    });
    assert_eq!(body, feedback);
}

#[tokio::test]
async fn weave_gets_feedback_to_the_call_of_the_span() {
    let request = only_request(|url| format!("weave={url}?project=team/bots")).await;
    assert_eq!(request.line, "POST /feedback/create");
    // Basic api:planted-key
    assert_eq!(request.header("authorization"), "Basic YXBpOnBsYW50ZWQta2V5");
    let mut body = request.body;
    body.as_object_mut().unwrap().remove("id").unwrap();
    let payload =
        json!({ "experiment": "bot", "variant": "treatment", "metric": "csat", "value": 4.5 });
    let feedback = json!({
        "project_id": "team/bots",
        "weave_ref": format!("weave:///team/bots/call/{SPAN}"),
        "feedback_type": "tiebreak.outcome",
        "payload": payload,
    });
    assert_eq!(body, feedback);
}

fn names(requests: &[Captured]) -> Vec<&str> {
    let scores = requests.iter().flat_map(|request| request.body["data"].as_array().unwrap());
    scores.map(|score| score["identifier"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn only_recorded_spans_are_scored_and_duplicates_are_not() {
    let program = Capture::start(&[]).await;
    let server = server(&[format!("phoenix={}", program.url)], false).await;
    let zeros = pb::Outcome {
        subject_traceparent: format!("00-{}-{}-00", "0".repeat(32), "0".repeat(16)),
        ..judged("zeros", "01", &[("csat", 1.0)])
    };
    server.log(judged("unsampled", "02", &[("csat", 1.0)])).await.unwrap();
    server.log(zeros).await.unwrap();
    server.log(judged("exposure", "01", &[])).await.unwrap();
    server.log(judged("scored", "01", &[("csat", 1.0)])).await.unwrap();
    server.log(judged("scored", "01", &[("csat", 2.0)])).await.unwrap();
    server.stop().await;
    assert_eq!(names(&program.after(1).await), ["tiebreak:bot:scored"]);
}

#[tokio::test]
async fn a_malformed_subject_is_named_and_nothing_is_counted() {
    let server = server(&[], false).await;
    for text in ["garbage", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "00-1-2-01"]
    {
        let sent = pb::Outcome {
            subject_traceparent: text.to_owned(),
            ..judged("e-1", "01", &[("csat", 1.0)])
        };
        let told = Failure::invalid("INVALID_REQUEST", &["outcome.subject_traceparent"]);
        assert_eq!(failure(server.log(sent).await), told, "{text}");
    }
    let sent = judged("e-1", "01", &[("csat", 1.0)]);
    assert!(!server.log(sent).await.unwrap().duplicate);
}

#[tokio::test]
async fn batches_and_streams_are_scored_as_well() {
    let program = Capture::start(&[]).await;
    let server = server(&[format!("phoenix={}", program.url)], false).await;
    let batch = ["b-1", "b-2"].map(|event| judged(event, "01", &[("csat", 1.0)]));
    server.log_batch(batch.to_vec()).await.unwrap();
    let outcome = Some(judged("s-1", "01", &[("csat", 1.0)]));
    let sent = tokio_stream::once(pb::StreamOutcomesRequest { sequence: 1, outcome });
    let mut answers = server.data().stream_outcomes(sent).await.unwrap().into_inner();
    while answers.next().await.is_some() {}
    server.stop().await;
    let mut all = Vec::new();
    let requests = program.after(1).await;
    all.extend(names(&requests));
    all.sort_unstable();
    assert_eq!(all, ["tiebreak:bot:b-1", "tiebreak:bot:b-2", "tiebreak:bot:s-1"]);
}

#[tokio::test]
async fn a_trace_that_is_late_gets_its_score() {
    let program = Capture::start(&[(404, "no such trace"), (503, "busy")]).await;
    let server = server(&[format!("mlflow={}", program.url)], false).await;
    server.log(judged("e-1", "01", &[("csat", 4.5)])).await.unwrap();
    let requests = program.after(3).await;
    let ids: Vec<_> =
        requests.iter().map(|request| &request.body["assessment"]["assessment_id"]).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    server.stop().await;
}

#[tokio::test]
async fn an_assessment_that_is_there_is_brought_up_to_date() {
    let program = Capture::start(&[(500, "UNIQUE constraint failed: assessments")]).await;
    let server = server(&[format!("mlflow={}", program.url)], false).await;
    server.log(judged("e-1", "01", &[("csat", 4.5)])).await.unwrap();
    let requests = program.after(2).await;
    let id = requests[0].body["assessment"]["assessment_id"].as_str().unwrap();
    let path = format!("PATCH /api/3.0/mlflow/traces/tr-{TRACE}/assessments/{id}");
    assert_eq!(requests[1].line, path);
    assert_eq!(requests[1].body["update_mask"], "feedback");
    assert_eq!(requests[1].body["assessment"], requests[0].body["assessment"]);
    server.stop().await;
}

/// One program is gone, one takes connections and never answers: outcomes count, the third program
/// has its scores, and the end of the server is not held up beyond its deadline.
#[tokio::test]
async fn programs_that_fail_hold_up_nobody() {
    let well = Capture::start(&[]).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let silent_address = silent.local_addr().unwrap();
    let sinks = [
        format!("mlflow=http://{gone}"),
        format!("langsmith=http://{silent_address}"),
        format!("phoenix={}", well.url),
    ];
    let server = server(&sinks, false).await;
    for number in 0..200 {
        let event = format!("e-{number}");
        server.log(judged(&event, "01", &[("csat", 1.0), ("cost", 2.0)])).await.unwrap();
    }
    let results = server.results("bot").await;
    assert_eq!(wire::total(&results, "csat", "treatment"), (200, 200.0));
    server.stop().await;
    assert_eq!(names(&well.after(1).await).len(), 400);
}

#[tokio::test]
async fn a_refused_key_is_not_tried_again() {
    let program = Capture::start(&[(401, "no")]).await;
    let server = server(&[format!("phoenix={}", program.url)], false).await;
    server.log(judged("first", "01", &[("csat", 1.0)])).await.unwrap();
    program.after(1).await;
    // The request was seen; its answer is counted a moment later.
    let refused = r#"tiebreak_scores_total{tiebreak_sink="phoenix",tiebreak_result="refused"} 1"#;
    let counted =
        async { while !crate::http::get(server.http, "/metrics").await.contains(refused) {} };
    tokio::time::timeout(Duration::from_secs(30), counted).await.expect("the refusal is counted");
    server.log(judged("second", "01", &[("csat", 1.0)])).await.unwrap();
    server.stop().await;
    let requests = program.after(2).await;
    assert_eq!(names(&requests), ["tiebreak:bot:first", "tiebreak:bot:second"]);
}
