//! LogOutcome and BatchLogOutcomes through a socket, on the stores that people run: what counts,
//! for whom, and once.

use tiebreak::rpc::pb;
use tonic::Code;

use crate::support::over_a_socket;
use crate::support::server::{Failure, TestServer, failure};
use crate::support::wire::{self, exposure, outcome, statistics, total, unit};

over_a_socket! {
    a_receipt_names_the_variant_credited,
    an_event_id_counts_once,
    batches_answer_in_order,
    sums_are_those_of_the_values_within_bounds,
    an_outcome_without_values_is_an_exposure,
    a_pause_counts_whom_it_found_exposed,
    eligibility_needs_an_iteration_attributes_or_an_exposure,
    forced_units_never_count,
    an_older_iteration_keeps_its_outcomes,
    mismatches_are_told_and_count_for_the_assigned,
    external_outcomes_name_their_variant,
    closed_experiments_take_nothing,
}

fn counted(variant: &str) -> pb::OutcomeReceipt {
    pb::OutcomeReceipt { duplicate: false, variant_id: variant.to_owned(), counted: true }
}

fn ignored() -> pb::OutcomeReceipt {
    pb::OutcomeReceipt { duplicate: false, variant_id: String::new(), counted: false }
}

async fn a_receipt_names_the_variant_credited(server: TestServer) {
    server.run(wire::experiment("receipt")).await;
    for (treatment, variant) in [(false, "control"), (true, "treatment")] {
        let sent = outcome("receipt", &unit("receipt", treatment), &[("solved", 1.0)]);
        assert_eq!(server.log(sent.clone()).await.unwrap(), counted(variant));
        // Without an event id a repeat is another outcome.
        assert_eq!(server.log(sent).await.unwrap(), counted(variant));
        let results = server.results("receipt").await;
        assert_eq!(exposure(&results, variant), (1, 2, 0));
        assert_eq!(total(&results, "solved", variant), (2, 2.0));
    }
}

async fn an_event_id_counts_once(server: TestServer) {
    server.run(wire::experiment("once")).await;
    let first = pb::Outcome {
        event_id: "trace-1".to_owned(),
        ..outcome("once", &unit("once", true), &[("cost", 2.5)])
    };
    assert_eq!(server.log(first.clone()).await.unwrap(), counted("treatment"));
    let repeated = pb::OutcomeReceipt { duplicate: true, ..counted("treatment") };
    // Also with other values: the first one stands.
    let changed = pb::Outcome { values: [("cost".to_owned(), 99.0)].into(), ..first.clone() };
    for again in [first.clone(), changed, first.clone()] {
        assert_eq!(server.log(again).await.unwrap(), repeated);
    }
    let twice = server.log_batch(vec![
        pb::Outcome { event_id: "trace-2".to_owned(), ..first.clone() },
        pb::Outcome { event_id: "trace-2".to_owned(), ..first },
    ]);
    let duplicates: Vec<_> =
        twice.await.unwrap().into_iter().map(|r| receipt(r).duplicate).collect();
    assert_eq!(duplicates, [false, true]);
    let results = server.results("once").await;
    assert_eq!(exposure(&results, "treatment"), (1, 2, 0));
    assert_eq!(total(&results, "cost", "treatment"), (2, 5.0));
}

fn receipt(result: pb::OutcomeResult) -> pb::OutcomeReceipt {
    match result.result.unwrap() {
        pb::outcome_result::Result::Receipt(receipt) => receipt,
        pb::outcome_result::Result::Error(error) => panic!("{error:?}"),
    }
}

async fn batches_answer_in_order(server: TestServer) {
    for id in ["first", "second"] {
        server.run(wire::experiment(id)).await;
    }
    server.create(wire::experiment("draft")).await.unwrap();
    let (of_control, of_treatment) = (unit("first", false), unit("second", true));
    let answers = server
        .log_batch(vec![
            outcome("first", &of_control, &[("solved", 1.0)]),
            outcome("first", &of_control, &[("solved", 2.0)]),
            outcome("second", &of_treatment, &[("csat", 4.0)]),
            outcome("nobody", "u", &[]),
            outcome("draft", "u", &[]),
            outcome("first", "", &[("nonsense", 1.0)]),
            outcome("first", &of_control, &[("solved", 0.0), ("csat", 5.0)]),
        ])
        .await
        .unwrap();
    let told: Vec<_> = answers
        .into_iter()
        .map(|answer| match answer.result.unwrap() {
            pb::outcome_result::Result::Receipt(receipt) => receipt.variant_id,
            pb::outcome_result::Result::Error(error) => {
                format!("{:?} {}", Code::from(error.code), error.reason)
            }
        })
        .collect();
    let invalid = "InvalidArgument INVALID_REQUEST";
    let expected = [
        "control",
        invalid,
        "treatment",
        "NotFound EXPERIMENT_NOT_FOUND",
        "FailedPrecondition EXPERIMENT_CLOSED",
        invalid,
        "control",
    ];
    assert_eq!(told, expected);
    let results = server.results("first").await;
    assert_eq!(exposure(&results, "control"), (1, 2, 0));
    assert_eq!(total(&results, "solved", "control"), (2, 1.0));
    assert_eq!(total(&server.results("second").await, "csat", "treatment"), (1, 4.0));
}

async fn sums_are_those_of_the_values_within_bounds(server: TestServer) {
    let mut experiment = wire::experiment("bounded");
    experiment.metrics[1].min_value = Some(-1.5);
    experiment.metrics[1].max_value = Some(5.0);
    server.run(experiment).await;
    let unit = unit("bounded", true);
    // 0.1 ten times is 1 in decimal and 0.9999999999999999 in a float sum.
    let mut sent = vec![outcome("bounded", &unit, &[("cost", 0.1)]); 10];
    sent.extend([-7.0, -1.5, 2.25, 5.0, 1e17].map(|v| outcome("bounded", &unit, &[("csat", v)])));
    for result in server.log_batch(sent).await.unwrap() {
        assert_eq!(receipt(result), counted("treatment"));
    }
    let results = server.results("bounded").await;
    assert_eq!(total(&results, "cost", "treatment"), (10, 1.0));
    assert_eq!(total(&results, "csat", "treatment"), (5, 9.25));
    let squares = statistics(&results, "csat", "treatment").sum_of_squares;
    let expected = 2.0 * 1.5 * 1.5 + 2.25 * 2.25 + 2.0 * 25.0;
    assert!((squares - expected).abs() < 1e-12, "{squares}");
}

async fn an_outcome_without_values_is_an_exposure(server: TestServer) {
    server.run(wire::experiment("seen")).await;
    let unit = unit("seen", true);
    for _ in 0..2 {
        assert_eq!(server.log(outcome("seen", &unit, &[])).await.unwrap(), counted("treatment"));
    }
    assert_eq!(exposure(&server.results("seen").await, "treatment"), (1, 0, 0));
}

async fn a_pause_counts_whom_it_found_exposed(server: TestServer) {
    server.run(wire::experiment("resting")).await;
    let units = wire::units("resting", true, 3);
    let seen = outcome("resting", &units[0], &[("solved", 1.0)]);
    server.log(seen.clone()).await.unwrap();
    server.pause("resting").await.unwrap();
    assert_eq!(server.log(seen).await.unwrap(), counted("treatment"));
    let unseen = outcome("resting", &units[1], &[("solved", 1.0)]);
    assert_eq!(server.log(unseen).await.unwrap(), ignored());
    // Assigned before the pause, its exposure lost or deferred.
    let assigned =
        pb::Outcome { iteration: 1, ..outcome("resting", &units[2], &[("solved", 0.0)]) };
    assert_eq!(server.log(assigned).await.unwrap(), counted("treatment"));
    let results = server.results("resting").await;
    assert_eq!(exposure(&results, "treatment"), (2, 3, 0));
    assert_eq!(total(&results, "solved", "treatment"), (3, 2.0));
}

async fn eligibility_needs_an_iteration_attributes_or_an_exposure(server: TestServer) {
    let mut experiment = wire::experiment("pros");
    experiment.eligibility = "attributes.plan == 'pro'".into();
    server.run(experiment).await;
    let units = wire::units("pros", true, 3);
    let plan = |plan| wire::attributes(&[("plan", wire::text(plan))]);
    let send = |unit: &str| outcome("pros", unit, &[("solved", 1.0)]);

    let by_iteration = pb::Outcome { iteration: 1, ..send(&units[0]) };
    assert_eq!(server.log(by_iteration).await.unwrap(), counted("treatment"));

    let refused = pb::Outcome { attributes: plan("free"), ..send(&units[1]) };
    assert_eq!(server.log(refused).await.unwrap(), ignored());
    let admitted = pb::Outcome { attributes: plan("pro"), ..send(&units[1]) };
    assert_eq!(server.log(admitted).await.unwrap(), counted("treatment"));

    assert_eq!(server.log(send(&units[2])).await.unwrap(), ignored());
    let exposing = pb::AssignRequest {
        experiment_id: "pros".to_owned(),
        unit_id: units[2].clone(),
        attributes: plan("pro"),
        defer_exposure: false,
    };
    server.assign_with(exposing).await.unwrap();
    server.results_when("pros", |results| exposure(results, "treatment").0 == 3).await;
    assert_eq!(server.log(send(&units[2])).await.unwrap(), counted("treatment"));
    assert_eq!(exposure(&server.results("pros").await, "treatment"), (3, 3, 0));
}

async fn forced_units_never_count(server: TestServer) {
    let mut experiment = wire::experiment("forced");
    experiment.overrides.insert("qa".to_owned(), "treatment".to_owned());
    server.run(experiment).await;
    assert!(!server.assign("forced", "qa").await.unwrap().in_experiment);
    for iteration in [0, 1] {
        let sent = pb::Outcome { iteration, ..outcome("forced", "qa", &[("solved", 1.0)]) };
        assert_eq!(server.log(sent).await.unwrap(), ignored());
    }
    let results = server.results("forced").await;
    assert!(results.exposures.iter().all(|arm| arm.units == 0 && arm.outcomes == 0));
}

async fn an_older_iteration_keeps_its_outcomes(server: TestServer) {
    let mut experiment = wire::experiment("reweighed");
    server.run(experiment.clone()).await;
    let units = wire::units("reweighed", true, 2);
    let early = outcome("reweighed", &units[0], &[("solved", 1.0)]);
    server.log(early).await.unwrap();
    experiment.variants =
        vec![wire::variant("control", 0, true), wire::variant("treatment", 10_000, false)];
    let updated = server.replace(experiment, &["variants"]).await.unwrap();
    assert!(updated.new_iteration);
    let late = pb::Outcome { iteration: 1, ..outcome("reweighed", &units[1], &[("solved", 1.0)]) };
    assert_eq!(server.log(late).await.unwrap(), counted("treatment"));
    let control = unit("reweighed", false);
    let moved = outcome("reweighed", &control, &[("solved", 0.0)]);
    assert_eq!(server.log(moved).await.unwrap(), counted("treatment"));
    let first = server.results_of("reweighed", 1).await.unwrap();
    assert_eq!((first.iteration, exposure(&first, "treatment")), (1, (2, 2, 0)));
    let second = server.results("reweighed").await;
    assert_eq!((second.iteration, exposure(&second, "treatment")), (2, (1, 1, 0)));
}

async fn mismatches_are_told_and_count_for_the_assigned(server: TestServer) {
    server.run(wire::experiment("fallback")).await;
    let treated = unit("fallback", true);
    for served in ["control", "treatment", ""] {
        let sent = pb::Outcome {
            served_variant_id: served.to_owned(),
            ..outcome("fallback", &treated, &[("solved", 1.0)])
        };
        assert_eq!(server.log(sent).await.unwrap(), counted("treatment"));
    }
    let results = server.results("fallback").await;
    assert_eq!(exposure(&results, "treatment"), (1, 3, 1));
    assert_eq!(exposure(&results, "control"), (0, 0, 0));
}

async fn external_outcomes_name_their_variant(server: TestServer) {
    server.run(wire::external(wire::experiment("replayed"))).await;
    // Against the hash, which has no say.
    for (treatment, variant) in [(true, "control"), (false, "treatment")] {
        let sent = pb::Outcome {
            assigned_variant_id: variant.to_owned(),
            ..outcome("replayed", &unit("replayed", treatment), &[("solved", 1.0)])
        };
        assert_eq!(server.log(sent).await.unwrap(), counted(variant));
        assert_eq!(exposure(&server.results("replayed").await, variant), (1, 1, 0));
    }
}

async fn closed_experiments_take_nothing(server: TestServer) {
    let closed = Failure::new(Code::FailedPrecondition, "EXPERIMENT_CLOSED");
    server.create(wire::experiment("closed")).await.unwrap();
    let sent = outcome("closed", &unit("closed", true), &[("solved", 1.0)]);
    assert_eq!(failure(server.log(sent.clone()).await), closed);
    server.start_experiment("closed").await.unwrap();
    server.log(sent.clone()).await.unwrap();
    let frozen = server.conclude("closed", "treatment").await.unwrap().results.unwrap();
    assert_eq!(failure(server.log(sent.clone()).await), closed);
    server.archive("closed").await.unwrap();
    assert_eq!(failure(server.log(sent).await), closed);
    let kept = server.results("closed").await;
    assert_eq!((kept.exposures, kept.metrics), (frozen.exposures, frozen.metrics));
}
