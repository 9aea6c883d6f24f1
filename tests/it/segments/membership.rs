//! Which value a unit has: that of its first counted event, for good.

use tiebreak::rpc::pb;

use super::{ask, broken_down, by, only, send, size, told, values};
use crate::support::over_a_socket;
use crate::support::server::{Failure, TestServer, failure};
use crate::support::wire::{self, attributes, list, number, outcome, text};

over_a_socket! {
    an_outcome_counts_where_its_unit_was_exposed,
    another_value_does_not_move_a_unit,
    values_are_a_partition_of_the_whole,
    a_repeated_event_counts_once_in_its_segment,
    a_dimension_may_be_added_while_it_runs_and_not_removed,
}

async fn an_outcome_counts_where_its_unit_was_exposed(server: TestServer) {
    let dimensions = vec!["plan".to_owned()];
    server.run(pb::Experiment { dimensions, ..wire::experiment("x") }).await;
    let plans = ["free", "pro", "pro"];
    for number in 0..60 {
        let request = pb::AssignRequest {
            experiment_id: "x".to_owned(),
            unit_id: format!("u{number}"),
            attributes: attributes(&[("plan", text(plans[number % 3])), ("age", text("7"))]),
            ..pb::AssignRequest::default()
        };
        assert!(server.assign_with(request).await.unwrap().in_experiment);
    }
    server.results_when("x", |results| size(results).0 == 60).await;
    // Nobody tells the plan again, neither one by one nor in a batch.
    for number in 0..30 {
        let solved = outcome("x", &format!("u{number}"), &[("solved", 1.0)]);
        assert!(server.log(solved).await.unwrap().counted);
    }
    let home = server.stop().await;
    // A server that has never met these units.
    let server = TestServer::start_in(home).await;
    let rest = (30..60).map(|n| outcome("x", &format!("u{n}"), &[("solved", 0.0), ("csat", 3.0)]));
    send(&server, &rest.collect::<Vec<_>>()).await;
    let answer = by(&server, "x", "plan").await;
    assert_eq!(values(&answer), ["pro", "free"]);
    assert_eq!(size(&answer.segments[0]), (40, 40));
    assert_eq!(size(&answer.segments[1]), (20, 20));
    assert_eq!(size(answer.results.as_ref().unwrap()), (60, 60));
}

async fn another_value_does_not_move_a_unit(server: TestServer) {
    server.run(broken_down("x")).await;
    let solved = |unit: &str, plan: &str| told("x", "control", unit, plan, &[("solved", 1.0)]);
    // One by one, and all in one batch.
    server.log(solved("a", "free")).await.unwrap();
    server.log(solved("a", "pro")).await.unwrap();
    server.log(solved("a", "")).await.unwrap();
    send(&server, &[solved("b", "pro"), solved("b", "free"), solved("a", "pro")]).await;
    // A unit that came without a value has none, also when it tells one later.
    send(&server, &[solved("c", ""), solved("c", "pro")]).await;
    let answer = by(&server, "x", "plan").await;
    assert_eq!(values(&answer), ["free", "pro", "(none)"]);
    let sizes: Vec<_> = answer.segments.iter().map(size).collect();
    assert_eq!(sizes, [(1, 4), (1, 2), (1, 2)]);
}

/// Of 40 plans, in every third unit with a country: 32 have a name, the order of the answer is by
/// units.
async fn values_are_a_partition_of_the_whole(server: TestServer) {
    server.run(broken_down("x")).await;
    let mut outcomes = Vec::new();
    for unit in 0..400_u32 {
        let arm = ["control", "treatment"][usize::from(unit % 7 < 3)];
        let plan = if unit % 10 == 9 { String::new() } else { format!("plan {}", unit % 41) };
        for round in 0..=unit % 3 {
            let latency = f64::from(unit % 13) + f64::from(round) * 0.125;
            let values =
                [("solved", f64::from(unit % 2)), ("latency", latency), ("cost", 0.001 * latency)];
            let mut outcome = told("x", arm, &format!("u{unit}"), &plan, &values);
            let fields = &mut outcome.attributes.as_mut().unwrap().fields;
            if unit % 3 == 0 {
                fields.insert("country".to_owned(), text(["DE", "A/B %"][unit as usize % 2]));
            }
            outcomes.push(outcome);
        }
    }
    send(&server, &outcomes).await;
    for (dimension, names) in [("plan", 34), ("country", 3)] {
        let answer = by(&server, "x", dimension).await;
        assert_eq!(answer.segments.len(), names);
        let whole = answer.results.as_ref().unwrap();
        let all = |part: &dyn Fn(&pb::ExperimentResults) -> i64| {
            assert_eq!(answer.segments.iter().map(part).sum::<i64>(), part(whole));
        };
        for arm in 0..2 {
            all(&|results| results.exposures[arm].units);
            all(&|results| results.exposures[arm].outcomes);
            for metric in 0..3 {
                all(&|results| results.metrics[metric].statistics[arm].count);
                // Eighths and thousandths of them: sums that a f64 holds.
                #[expect(clippy::cast_possible_truncation, reason = "a whole number of 1e-6")]
                all(&|results| (results.metrics[metric].statistics[arm].sum * 1e6).round() as i64);
            }
        }
        let units: Vec<_> = answer.segments.iter().map(|results| size(results).0).collect();
        let named = if dimension == "plan" { 32 } else { 2 };
        assert!(units[..named].is_sorted_by(|a, b| a >= b), "{units:?}");
        for (value, of_all) in values(&answer).iter().zip(&answer.segments) {
            let alone = only(&server, "x", dimension, value).await;
            assert_eq!(size(&alone), size(of_all));
            assert_eq!(alone.segment, of_all.segment);
            assert_eq!(alone.metrics, of_all.metrics);
        }
    }
    let answer = by(&server, "x", "plan").await;
    assert_eq!(values(&answer)[32..], ["(other)", "(none)"]);
    assert_eq!(values(&by(&server, "x", "country").await), ["A/B %", "DE", "(none)"]);
}

async fn a_repeated_event_counts_once_in_its_segment(server: TestServer) {
    server.run(broken_down("x")).await;
    let solved = pb::Outcome {
        event_id: "once".to_owned(),
        served_variant_id: "treatment".to_owned(),
        ..told("x", "control", "u", "pro", &[("solved", 1.0)])
    };
    for plan in ["pro", "free"] {
        let again =
            pb::Outcome { attributes: attributes(&[("plan", text(plan))]), ..solved.clone() };
        let duplicate = server.log(again).await.unwrap().duplicate;
        assert_eq!(duplicate, plan == "free");
    }
    let answer = by(&server, "x", "plan").await;
    assert_eq!(values(&answer), ["pro"]);
    assert_eq!(wire::exposure(&answer.segments[0], "control"), (1, 1, 1));
}

async fn a_dimension_may_be_added_while_it_runs_and_not_removed(server: TestServer) {
    let with = |dimensions: &[&str]| pb::Experiment {
        dimensions: dimensions.iter().map(ToString::to_string).collect(),
        ..broken_down("x")
    };
    server.run(with(&["country"])).await;
    let solved = |unit: &str| told("x", "control", unit, "pro", &[("solved", 1.0)]);
    send(&server, &[solved("old")]).await;
    let changed = server.replace(with(&["country", "plan"]), &["dimensions"]).await.unwrap();
    assert!(!changed.new_iteration);
    send(&server, &[solved("old"), solved("new")]).await;
    let answer = by(&server, "x", "plan").await;
    assert_eq!(values(&answer), ["pro", "(none)"]);
    assert_eq!(answer.segments.iter().map(size).collect::<Vec<_>>(), [(1, 1), (1, 2)]);
    for fewer in [&["plan"][..], &["plan", "country"], &[]] {
        let refused = failure(server.replace(with(fewer), &["dimensions"]).await);
        assert_eq!(refused, Failure::invalid("INVALID_EXPERIMENT", &["experiment.dimensions"]));
    }
}

#[tokio::test]
async fn what_cannot_name_a_segment_costs_nothing_but_its_name() {
    use crate::support::server::StoreKind;
    let server = TestServer::start(StoreKind::Memory).await;
    server.run(broken_down("x")).await;
    let long = "x".repeat(65);
    let odd = [
        text(&long),
        text("\u{1b}[2J"),
        text("line\nfeed"),
        list(vec![text("a")]),
        text("(other)"),
    ];
    let even = [number(5.0), text("5"), prost_types::Value::from(true), text("true")];
    for (unit, plan) in odd.iter().chain(&even).enumerate() {
        let told = pb::Outcome {
            assigned_variant_id: "control".to_owned(),
            attributes: attributes(&[("plan", plan.clone())]),
            ..outcome("x", &format!("u{unit}"), &[("solved", 1.0)])
        };
        assert!(server.log(told).await.unwrap().counted);
    }
    let answer = by(&server, "x", "plan").await;
    assert_eq!(values(&answer), ["5", "true", "(other)"]);
    assert_eq!(answer.segments.iter().map(|s| size(s).0).collect::<Vec<_>>(), [2, 2, 5]);
}

#[tokio::test]
async fn segments_that_there_are_not() {
    use crate::support::server::StoreKind;
    let server = TestServer::start(StoreKind::Memory).await;
    server.run(broken_down("x")).await;
    server.run(wire::experiment("plain")).await;
    send(&server, &[told("x", "control", "u", "pro", &[("solved", 1.0)])]).await;
    let invalid = |field: &str| Failure::invalid("INVALID_REQUEST", &[field]);
    for (id, dimension, value, field) in [
        ("x", "", "", "segment.dimension"),
        ("x", "size", "pro", "segment.dimension"),
        ("plain", "plan", "", "segment.dimension"),
        ("x", "plan", "free", "segment.value"),
        ("x", "plan", "\n", "segment.value"),
    ] {
        assert_eq!(failure(ask(&server, id, dimension, value).await), invalid(field), "{field}");
    }
    let untold = by(&server, "x", "country").await;
    assert_eq!(values(&untold), ["(none)"]);
}
