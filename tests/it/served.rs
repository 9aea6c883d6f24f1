//! Served versus assigned: an outcome counts for the variant assigned, whoever served it; too many
//! that another variant served, and nothing is recommended any more.

use tiebreak::rpc::pb;
use tiebreak::rpc::pb::experiment_results::Recommendation;

use crate::support::over_a_socket;
use crate::support::server::TestServer;
use crate::support::wire::{self, external, outcome};

over_a_socket! {
    mismatches_are_counted_once_and_for_the_variant_assigned,
    a_variant_that_is_not_served_is_investigated,
}

/// Outcomes of an arm, one per unit, all solved; the first `strays` were served by `other`.
fn arm(id: &str, arm: &str, outcomes: usize, strays: usize, other: &str) -> Vec<pb::Outcome> {
    let outcome = |number: usize| pb::Outcome {
        assigned_variant_id: arm.to_owned(),
        served_variant_id: if number < strays { other } else { arm }.to_owned(),
        event_id: format!("{arm}-{number}"),
        ..outcome(id, &format!("{arm}-{number}"), &[("solved", 1.0)])
    };
    (0..outcomes).map(outcome).collect()
}

async fn send(server: &TestServer, outcomes: &[pb::Outcome]) {
    for batch in outcomes.chunks(500) {
        for result in server.log_batch(batch.to_vec()).await.unwrap() {
            let Some(pb::outcome_result::Result::Receipt(receipt)) = result.result else {
                panic!("{result:?}")
            };
            assert!(receipt.counted, "{receipt:?}");
        }
    }
}

fn mismatched(results: &pb::ExperimentResults) -> Vec<(i64, i64)> {
    let exposures = results.exposures.iter();
    exposures.map(|exposure| (exposure.outcomes, exposure.mismatched_outcomes)).collect()
}

async fn mismatches_are_counted_once_and_for_the_variant_assigned(server: TestServer) {
    server.run(external(wire::experiment("x"))).await;
    let control = arm("x", "control", 40, 3, "treatment");
    let treatment = arm("x", "treatment", 50, 7, "control");
    // Everything twice: a mismatch is part of its event and counts once with it.
    for _ in 0..2 {
        send(&server, &control).await;
        send(&server, &treatment).await;
    }
    // Nothing is served without a value, and a unit that takes no part counts nowhere.
    let bare = pb::Outcome {
        assigned_variant_id: "treatment".to_owned(),
        served_variant_id: "control".to_owned(),
        ..outcome("x", "treatment-0", &[])
    };
    send(&server, &[bare]).await;
    let results = server.results("x").await;
    assert_eq!(mismatched(&results), [(40, 3), (50, 7)]);
    let counts = results.metrics[0].statistics.iter().map(|s| s.count);
    assert_eq!(counts.collect::<Vec<_>>(), [40, 50], "credit goes to the variant assigned");
}

async fn a_variant_that_is_not_served_is_investigated(server: TestServer) {
    server.run(external(wire::experiment("x"))).await;
    send(&server, &arm("x", "control", 500, 0, "")).await;
    send(&server, &arm("x", "treatment", 500, 25, "control")).await;
    let fine = server.results("x").await;
    assert_eq!(mismatched(&fine), [(500, 0), (500, 25)]);
    assert_ne!(fine.recommendation(), Recommendation::Investigate);
    let told = fine.explanations.iter().find(|text| text.contains("served")).unwrap();
    assert!(told.starts_with("5 % of the outcomes of 'treatment' (25 of 500)"), "{told}");

    let straw = pb::Outcome {
        assigned_variant_id: "treatment".to_owned(),
        served_variant_id: "control".to_owned(),
        event_id: "straw".to_owned(),
        ..outcome("x", "treatment-0", &[("solved", 0.0)])
    };
    send(&server, &[straw]).await;
    let broken = server.results("x").await;
    assert_eq!(mismatched(&broken), [(500, 0), (501, 26)]);
    assert_eq!(broken.recommendation(), Recommendation::Investigate);
    assert!(!broken.sample_ratio.unwrap().mismatch, "the split is fine");
    let [why] = broken.explanations.as_slice() else { panic!("{:?}", broken.explanations) };
    for part in ["(26 of 501)", "'treatment'", "more than the 5 %", "a fallback, a cache, a bug"] {
        assert!(why.contains(part), "{part} is missing in {why}");
    }
}
