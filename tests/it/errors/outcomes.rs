//! Outcomes that are refused: values, ids, sizes.

use tiebreak::rpc::pb;
use tonic::Code;

use super::{invalid, server_with};
use crate::support::server::{StoreKind, TestServer, failure};
use crate::support::wire::{self, outcome};

#[tokio::test]
async fn values_outside_their_metric() {
    let server = server_with("values").await;
    let refused = [
        ("solved", f64::NAN),
        ("solved", 2.0),
        ("solved", 0.5),
        ("solved", -1.0),
        ("csat", f64::NAN),
        ("csat", f64::INFINITY),
        ("csat", f64::NEG_INFINITY),
        ("csat", 1e18),
        ("csat", -1e18),
        ("latency", -0.001),
        ("cost", -1.0),
        ("cost", f64::INFINITY),
        ("nonsense", 1.0),
        ("", 1.0),
    ];
    for (metric, value) in refused {
        // The good value beside it is not applied either.
        let mut sent = outcome("values", "u1", &[("csat", 1.0)]);
        sent.values.insert(metric.to_owned(), value);
        let field = format!("outcome.values[{metric:?}]");
        assert_eq!(failure(server.log(sent).await), invalid(&[&field]), "{metric} {value}");
    }
    let results = server.results("values").await;
    assert!(results.exposures.iter().all(|arm| arm.outcomes == 0 && arm.units == 0));
}

type Fault = (&'static [&'static str], fn(&mut pb::Outcome));

const FAULTS: &[Fault] = &[
    (&["unit_id"], |o| o.unit_id = String::new()),
    (&["unit_id"], |o| o.unit_id = "x".repeat(257)),
    (&["unit_id"], |o| o.unit_id = "x".repeat(1 << 20)),
    (&["event_id"], |o| o.event_id = "x".repeat(65)),
    (&["iteration"], |o| o.iteration = 2),
    (&["served_variant_id"], |o| o.served_variant_id = "third".into()),
    (&["assigned_variant_id"], |o| o.assigned_variant_id = "control".into()),
    (&["values"], |o| o.values = (0..65).map(|n| (format!("m{n}"), 1.0)).collect()),
    (&["attributes"], |o| o.attributes = wire::attributes(&[("deep", wire::nested(18))])),
    (&["attributes"], |o| o.attributes = wire::attributes(&[("age", wire::number(f64::NAN))])),
    (&["event_time"], |o| {
        o.event_time = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    }),
    (&["unit_id", "attributes", "values[\"solved\"]", "values[\"x\"]", "event_id"], |o| {
        o.unit_id = String::new();
        o.event_id = "x".repeat(65);
        o.attributes = wire::attributes(&[("deep", wire::nested(18))]);
        o.values = [("solved".to_owned(), 3.0), ("x".to_owned(), 1.0)].into();
    }),
];

#[tokio::test]
async fn every_fault_is_named_by_its_field() {
    let server = server_with("spoiled").await;
    for (index, (fields, spoil)) in FAULTS.iter().enumerate() {
        let mut sent = outcome("spoiled", "u1", &[("solved", 1.0)]);
        spoil(&mut sent);
        let fields: Vec<_> = fields.iter().map(|field| format!("outcome.{field}")).collect();
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        assert_eq!(failure(server.log(sent).await), invalid(&fields), "fault {index}");
    }
    let empty = pb::LogOutcomeRequest { outcome: None };
    assert_eq!(failure(server.data().log_outcome(empty).await), invalid(&["outcome"]));
    assert!(server.log(outcome("spoiled", "u1", &[("solved", 1.0)])).await.unwrap().counted);
}

#[tokio::test]
async fn external_experiments_need_the_variant() {
    let server = TestServer::start(StoreKind::Memory).await;
    server.run(wire::external(wire::experiment("replayed"))).await;
    for named in ["", "third"] {
        let sent =
            pb::Outcome { assigned_variant_id: named.to_owned(), ..outcome("replayed", "u1", &[]) };
        assert_eq!(failure(server.log(sent).await), invalid(&["outcome.assigned_variant_id"]));
    }
}

#[tokio::test]
async fn batches_are_neither_empty_nor_endless() {
    let server = server_with("batches").await;
    for count in [0, 1_001] {
        let sent = vec![outcome("batches", "u1", &[]); count];
        assert_eq!(failure(server.log_batch(sent).await), invalid(&["outcomes"]));
    }
    let sent = vec![outcome("batches", "u1", &[("solved", 1.0)]); 1_000];
    assert_eq!(server.log_batch(sent).await.unwrap().len(), 1_000);
}

/// Over the message limit the transport answers, which knows no details. What matters: a clean
/// status, and a connection that goes on.
#[tokio::test]
async fn a_unit_id_of_ten_megabytes() {
    let server = server_with("huge").await;
    let huge = "x".repeat(10 << 20);
    for _ in 0..2 {
        let refused = server.log(outcome("huge", &huge, &[("solved", 1.0)])).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
        let refused = server.assign("huge", &huge).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
        assert!(server.log(outcome("huge", "u1", &[("solved", 1.0)])).await.unwrap().counted);
    }
}
