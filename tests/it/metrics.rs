//! `/metrics` of a whole server, as Prometheus reads it.

use std::collections::BTreeMap;

use tiebreak::rpc::pb;

use crate::http;
use crate::support::over_a_socket;
use crate::support::server::TestServer;
use crate::support::wire;

over_a_socket! {
    everything_is_counted_under_its_name,
    deleted_experiments_are_gone,
}

/// Every line of a scrape by its name and labels.
async fn scrape(server: &TestServer) -> BTreeMap<String, String> {
    let answer = http::get(server.http, "/metrics").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    let lines = body.lines().filter(|line| !line.starts_with('#'));
    let split = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.to_owned())
    };
    lines.map(split).collect()
}

/// Those of one family.
fn family(scrape: &BTreeMap<String, String>, name: &str) -> Vec<(String, String)> {
    let lines = scrape.iter().filter(|(line, _)| line.starts_with(&format!("{name}{{")));
    lines.map(|(line, value)| (line[name.len()..].to_owned(), value.clone())).collect()
}

async fn everything_is_counted_under_its_name(server: TestServer) {
    server.run(wire::experiment("bot")).await;
    let unit = wire::unit("bot", true);
    for _ in 0..3 {
        server.assign("bot", &unit).await.unwrap();
    }
    server.assign("nobody", &unit).await.unwrap_err();
    let values = [("solved", 1.0), ("csat", 4.0)];
    let twice =
        pb::Outcome { event_id: "event".to_owned(), ..wire::outcome("bot", &unit, &values) };
    server.log(twice.clone()).await.unwrap();
    let bad = wire::outcome("bot", &unit, &[("solved", 7.0)]);
    let batch = vec![twice, wire::outcome("bot", &unit, &values[..1]), bad];
    server.log_batch(batch).await.unwrap();

    let scrape = scrape(&server).await;
    let of = |name, labels: &str, count: &str| {
        let labels = format!("{{feature_flag_key=\"bot\",{name}=\"{labels}\"}}");
        (labels, count.to_owned())
    };
    let variant = |id, count| of("feature_flag_result_variant", id, count);
    assert_eq!(
        family(&scrape, "tiebreak_assignments_total")[1..],
        [variant("control", "0"), variant("treatment", "3")]
    );
    let metric = |id, count| of("tiebreak_metric", id, count);
    assert_eq!(
        family(&scrape, "tiebreak_outcomes_total")[1..],
        [metric("cost", "0"), metric("csat", "1"), metric("latency", "0"), metric("solved", "2")]
    );
    let result = |name, count| of("tiebreak_result", name, count);
    assert_eq!(
        family(&scrape, "tiebreak_receipts_total")[4..],
        [
            result("counted", "2"),
            result("duplicate", "1"),
            result("ignored", "0"),
            result("refused", "1")
        ]
    );
    let calls = |method: &str, code: &str| {
        let name = format!(
            "rpc_server_call_duration_seconds_count{{rpc_system_name=\"grpc\",\
             rpc_method=\"tiebreak.v1.ExperimentationService/{method}\",\
             rpc_response_status_code=\"{code}\"}}"
        );
        scrape[&name].as_str()
    };
    assert_eq!(calls("Assign", "OK"), "3");
    assert_eq!(calls("Assign", "NOT_FOUND"), "1");
    assert_eq!(calls("BatchLogOutcomes", "OK"), "1");
    assert_eq!(scrape["tiebreak_catalog_experiments"], "1.0");
    assert!(scrape.contains_key("tiebreak_catalog_age_seconds"));
    assert_eq!(scrape["tiebreak_exposures_dropped_total"], "0");
    // Of log and log_batch; the recorder may have come to the exposures, too.
    let number = |name: &str| scrape[name].parse::<u64>().unwrap();
    assert!(number("tiebreak_store_batches_total") >= 2);
    assert!(number("tiebreak_store_batched_events_total") >= 3);
    let put = r#"tiebreak_store_call_duration_seconds_count{tiebreak_store_operation="put"}"#;
    assert_eq!(scrape[put], "2", "created and started");
    assert!(scrape.keys().all(|line| !line.contains(&unit)), "no unit id is a label");
}

async fn deleted_experiments_are_gone(server: TestServer) {
    server.run(wire::experiment("gone")).await;
    server.assign("gone", "somebody").await.unwrap();
    let is_there = |scrape: &BTreeMap<String, String>| {
        scrape.keys().any(|line| line.contains(r#"feature_flag_key="gone""#))
    };
    assert!(is_there(&scrape(&server).await));
    server.conclude("gone", "").await.unwrap();
    server.archive("gone").await.unwrap();
    server.delete("gone").await.unwrap();
    let scrape = scrape(&server).await;
    assert!(!is_there(&scrape), "{scrape:#?}");
    let other = r#"tiebreak_receipts_total{feature_flag_key="(other)",tiebreak_result="counted"}"#;
    assert_eq!(scrape[other], "0");
}
