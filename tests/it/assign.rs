//! Assign and BatchAssign through a socket: who gets which variant, and why.

use std::fs;

use serde::Deserialize;
use tiebreak::rpc::pb;
use tiebreak::rpc::pb::assignment::Reason;
use tonic::Code;

use crate::support::server::{Failure, StoreKind, TestServer, failure};
use crate::support::wire;

async fn memory() -> TestServer {
    TestServer::start(StoreKind::Memory).await
}

#[tokio::test]
async fn two_arms_are_the_classic_rule() {
    #[derive(Deserialize)]
    struct File {
        vectors: Vec<Vector>,
    }
    #[derive(Deserialize)]
    struct Vector {
        id: String,
        salt: String,
        unit: String,
        treatment_weight: u32,
        remainder: u32,
        variant: String,
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/bucket/two_arm.json");
    let File { vectors } = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let server = memory().await;
    // Every fifth meets every share and every odd unit id.
    for (index, vector) in vectors.iter().enumerate().step_by(5) {
        let mut experiment = wire::experiment(&format!("golden-{index}"));
        experiment.variants = vec![
            wire::variant("control", 10_000 - vector.treatment_weight, true),
            wire::variant("treatment", vector.treatment_weight, false),
        ];
        experiment.bucketing =
            Some(pb::Bucketing { salt: vector.salt.clone(), ..pb::Bucketing::default() });
        let id = server.run(experiment).await.experiment_id;
        let got = server.assign(&id, &vector.unit).await.unwrap();
        assert_eq!(got.variant_id, vector.variant, "{}", vector.id);
        assert_eq!(got.bucket, Some(vector.remainder), "{}", vector.id);
        assert_eq!(got, server.assign(&id, &vector.unit).await.unwrap(), "{}", vector.id);
    }
}

#[tokio::test]
async fn a_unit_in_the_experiment_learns_what_to_serve_and_to_report() {
    let server = memory().await;
    let mut experiment = wire::experiment("models");
    experiment.variants[1].value = wire::attributes(&[("model", wire::text("v2"))]).map(|record| {
        prost_types::Value { kind: Some(prost_types::value::Kind::StructValue(record)) }
    });
    let treatment = experiment.variants[1].value.clone();
    server.run(experiment).await;
    let got = server.assign("models", &wire::unit("models", true)).await.unwrap();
    assert_eq!((got.reason(), got.in_experiment, got.control), (Reason::Split, true, false));
    assert_eq!((got.iteration, got.value), (1, treatment));
    let attribute = |key: &str| got.trace_attributes.get(key).map(String::as_str);
    assert_eq!(attribute("feature_flag.key"), Some("models"));
    assert_eq!(attribute("feature_flag.result.variant"), Some("treatment"));
    let got = server.assign("models", &wire::unit("models", false)).await.unwrap();
    assert_eq!((got.control, got.value), (true, Some(wire::text("control"))));
}

/// Whoever is outside gets something to serve, the reason, and neither iteration nor bucket.
async fn check_outside(server: &TestServer, id: &str, unit: &str, variant: &str, reason: Reason) {
    let got = server.assign(id, unit).await.unwrap();
    assert_eq!((got.reason(), got.variant_id.as_str()), (reason, variant), "{id}");
    assert_eq!((got.in_experiment, got.iteration, got.bucket), (false, 0, None), "{id}");
    assert_eq!(got.value, Some(wire::text(variant)), "{id}");
    assert_eq!(got.control, variant == "control", "{id}");
    assert_eq!(server.results(id).await.exposures.iter().map(|arm| arm.units).sum::<i64>(), 0);
}

#[tokio::test]
async fn every_reason_to_be_outside() {
    let server = memory().await;
    let mut forced = wire::experiment("forced");
    forced.overrides.insert("qa".to_owned(), "treatment".to_owned());
    // Somebody forced is never asked for eligibility.
    forced.eligibility = "attributes.plan == 'pro'".to_owned();
    server.run(forced).await;
    check_outside(&server, "forced", "qa", "treatment", Reason::Override).await;
    check_outside(&server, "forced", "someone", "control", Reason::NotEligible).await;

    let mut closed = wire::experiment("closed-door");
    closed.enrolment_basis_points = Some(0);
    server.run(closed).await;
    check_outside(&server, "closed-door", "anyone", "control", Reason::NotEnrolled).await;

    let mut layered = wire::experiment("layered");
    let buckets = Some(pb::BucketRange { start: 0, end: 1 });
    layered.layer = Some(pb::LayerSlot { layer_id: "checkout".to_owned(), buckets });
    server.run(layered).await;
    check_outside(&server, "layered", "anyone", "control", Reason::ExcludedByLayer).await;

    for (id, winner, served) in [("won", "treatment", "treatment"), ("lost", "", "control")] {
        server.run(wire::experiment(id)).await;
        let treated = wire::unit(id, true);
        server.pause(id).await.unwrap();
        check_outside(&server, id, &treated, "control", Reason::Paused).await;
        let concluded = server.conclude(id, winner).await.unwrap();
        assert_eq!(concluded.experiment.unwrap().winner_variant_id, winner);
        check_outside(&server, id, &treated, served, Reason::Concluded).await;
        check_outside(&server, id, &wire::unit(id, false), served, Reason::Concluded).await;
    }
}

#[tokio::test]
async fn experiments_that_assign_nobody() {
    let server = memory().await;
    let refused = |reason: &str| Failure::new(Code::FailedPrecondition, reason);
    server.create(wire::experiment("draft")).await.unwrap();
    assert_eq!(failure(server.assign("draft", "u").await), refused("EXPERIMENT_NOT_ASSIGNABLE"));
    server.archive("draft").await.unwrap();
    assert_eq!(failure(server.assign("draft", "u").await), refused("EXPERIMENT_NOT_ASSIGNABLE"));
    server.run(wire::external(wire::experiment("replayed"))).await;
    assert_eq!(failure(server.assign("replayed", "u").await), refused("ASSIGNED_ELSEWHERE"));
    let unknown = Failure::new(Code::NotFound, "EXPERIMENT_NOT_FOUND");
    for id in ["nobody", "Not/An:Id", &"x".repeat(100_000)] {
        assert_eq!(failure(server.assign(id, "u").await), unknown);
    }
    let nothing = Failure::invalid("INVALID_REQUEST", &["experiment_id", "unit_id"]);
    assert_eq!(failure(server.assign("", "").await), nothing);
}

#[tokio::test]
async fn exposures_reach_the_results_unless_deferred() {
    let server = memory().await;
    server.run(wire::experiment("exposed")).await;
    let treated = wire::units("exposed", true, 2);
    let deferred = pb::AssignRequest {
        experiment_id: "exposed".to_owned(),
        unit_id: treated[1].clone(),
        defer_exposure: true,
        ..pb::AssignRequest::default()
    };
    let got = server.assign_with(deferred).await.unwrap();
    assert!(got.in_experiment);
    for _ in 0..3 {
        server.assign("exposed", &treated[0]).await.unwrap();
    }
    // The queue is in order: with control's exposure all earlier ones would be there.
    server.assign("exposed", &wire::unit("exposed", false)).await.unwrap();
    let results =
        server.results_when("exposed", |results| wire::exposure(results, "control").0 == 1).await;
    assert_eq!(wire::exposure(&results, "treatment"), (1, 0, 0));
    // The first outcome of the deferred unit brings its exposure.
    let outcome = wire::outcome("exposed", &treated[1], &[("solved", 1.0)]);
    assert!(server.log(outcome).await.unwrap().counted);
    assert_eq!(wire::exposure(&server.results("exposed").await, "treatment"), (2, 1, 0));
}

#[tokio::test]
async fn batches_keep_order_and_hide_no_neighbour() {
    let server = memory().await;
    for id in ["bravo", "alpha"] {
        server.run(wire::experiment(id)).await;
    }
    server.create(wire::experiment("draft")).await.unwrap();
    server.run(wire::external(wire::experiment("replayed"))).await;
    server.run(wire::experiment("resting")).await;
    server.pause("resting").await.unwrap();
    let asked = ["bravo", "nobody", "draft", "replayed", "alpha", "bravo", "resting"];
    let answered = |result: &pb::AssignmentResult| match result.result.as_ref().unwrap() {
        pb::assignment_result::Result::Assignment(assignment) => {
            format!("{:?}", assignment.reason())
        }
        pb::assignment_result::Result::Error(error) => {
            format!("{:?} {}", Code::from(error.code), error.reason)
        }
    };
    let batch = async |ids: &[&str]| {
        let request = pb::BatchAssignRequest {
            unit_id: "u1".to_owned(),
            experiment_ids: ids.iter().map(ToString::to_string).collect(),
            ..pb::BatchAssignRequest::default()
        };
        let results = server.data().batch_assign(request).await.unwrap().into_inner().results;
        results.iter().map(|r| (r.experiment_id.clone(), answered(r))).collect::<Vec<_>>()
    };
    let expected = [
        "Split",
        "NotFound EXPERIMENT_NOT_FOUND",
        "FailedPrecondition EXPERIMENT_NOT_ASSIGNABLE",
        "FailedPrecondition ASSIGNED_ELSEWHERE",
        "Split",
        "Split",
        "Paused",
    ];
    let named = |pairs: &[(&str, &str)]| -> Vec<_> {
        pairs.iter().map(|(id, answer)| ((*id).to_owned(), (*answer).to_owned())).collect()
    };
    let pairs: Vec<_> = asked.into_iter().zip(expected).collect();
    assert_eq!(batch(&asked).await, named(&pairs));
    assert_eq!(batch(&[]).await, named(&[("alpha", "Split"), ("bravo", "Split")]));
}

#[tokio::test]
async fn rules_decide_on_attributes_of_every_shape() {
    let tags = wire::list(vec![wire::text("x"), wire::text("y")]);
    let attributes = wire::attributes(&[
        ("tags", tags),
        ("turns", wire::number(3.0)),
        ("plan", wire::text("pro")),
    ]);
    let rules = [
        ("attributes.tags.exists(t, t == 'x')", true),
        ("attributes.tags.exists(t, t == 'z')", false),
        ("attributes.tags.all(t, t in ['x', 'y']) && attributes.turns >= 3.0", true),
        ("size(attributes.tags.filter(t, t != 'x')) == 1", true),
        ("has(attributes.plan) && attributes.plan in ['pro', 'team']", true),
        ("has(attributes.age) && attributes.age > 17.0", false),
        ("attributes.age > 17.0", false),
        ("unit_id.startsWith('rule')", true),
        ("attributes.plan", false),
    ];
    let server = memory().await;
    for (index, (rule, eligible)) in rules.into_iter().enumerate() {
        let mut experiment = wire::experiment(&format!("rule-{index}"));
        experiment.eligibility = rule.to_owned();
        let id = server.run(experiment).await.experiment_id;
        let request = pb::AssignRequest {
            experiment_id: id,
            unit_id: "rule-reader".to_owned(),
            attributes: attributes.clone(),
            ..pb::AssignRequest::default()
        };
        let got = server.assign_with(request).await.unwrap();
        let reason = if eligible { Reason::Split } else { Reason::NotEligible };
        assert_eq!(got.reason(), reason, "{rule}");
    }
}
