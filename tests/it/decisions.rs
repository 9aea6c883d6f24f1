//! What results lead to, through a socket: outcomes go in, a recommendation and its reasons come
//! out, and looking often changes nothing that was decided.

use tiebreak::rpc::pb;
use tiebreak::rpc::pb::comparison::Verdict;
use tiebreak::rpc::pb::experiment_results::Recommendation;

use crate::support::over_a_socket;
use crate::support::server::{StoreKind, TestServer};
use crate::support::wire::{self, external, metric, outcome, variant};

over_a_socket! {
    a_clear_winner_is_shipped_and_stays_shipped,
    a_broken_split_vetoes_a_winner,
}

/// Outcomes of `units` units of an arm, one each, of which `good` are solved; latency in turn
/// from the list.
fn arm(id: &str, arm: &str, units: usize, good: usize, latency: &[f64]) -> Vec<pb::Outcome> {
    let outcome = |number: usize| {
        let solved = f64::from(u8::from((number * good) % units < good));
        let latency = latency[number % latency.len()];
        let values = [("solved", solved), ("latency", latency)];
        pb::Outcome {
            assigned_variant_id: arm.to_owned(),
            event_id: format!("{arm}-{number}"),
            ..outcome(id, &format!("{arm}-{number}"), &values)
        }
    };
    (0..units).map(outcome).collect()
}

const FAST: [f64; 5] = [0.8, 1.0, 1.1, 1.3, 2.0];
const A_BIT_SLOWER: [f64; 5] = [0.85, 1.05, 1.15, 1.35, 2.05];
const SLOW: [f64; 5] = [1.6, 2.0, 2.2, 2.6, 4.0];

/// Somebody else assigns; `latency` may grow by a tenth.
fn guarded(id: &str) -> pb::Experiment {
    use pb::metric::{Direction, Kind, Role};
    pb::Experiment {
        metrics: vec![
            metric("solved", Kind::Binary, Direction::Increase, Role::Primary),
            pb::Metric {
                non_inferiority_margin: Some(0.10),
                ..metric("latency", Kind::Duration, Direction::Decrease, Role::Guardrail)
            },
        ],
        analysis: Some(pb::AnalysisPlan {
            planned_units: Some(2_000),
            min_detectable_effect: Some(0.05),
            ..pb::AnalysisPlan::default()
        }),
        ..external(wire::experiment(id))
    }
}

async fn send(server: &TestServer, outcomes: Vec<pb::Outcome>) {
    for batch in outcomes.chunks(500) {
        for result in server.log_batch(batch.to_vec()).await.unwrap() {
            assert!(
                matches!(result.result, Some(pb::outcome_result::Result::Receipt(ref r)) if r.counted),
                "{result:?}"
            );
        }
    }
}

fn comparison<'a>(results: &'a pb::ExperimentResults, metric: &str) -> &'a pb::Comparison {
    let metric = results.metrics.iter().find(|m| m.metric_id == metric).unwrap();
    metric.comparisons.first().unwrap()
}

async fn a_clear_winner_is_shipped_and_stays_shipped(server: TestServer) {
    server.run(guarded("winner")).await;
    send(&server, arm("winner", "control", 1_000, 600, &FAST)).await;
    send(&server, arm("winner", "treatment", 1_000, 750, &A_BIT_SLOWER)).await;
    let results = server.results("winner").await;
    assert_eq!(results.recommendation(), Recommendation::Ship, "{:?}", results.explanations);
    assert_eq!(results.recommended_variant_id, "treatment");
    assert_eq!(comparison(&results, "solved").verdict(), Verdict::Better);
    assert_eq!(comparison(&results, "latency").verdict(), Verdict::NonInferior);
    assert!(results.explanations.iter().any(|text| text.contains("rose by 15 points")));
    assert!(results.explanations.iter().any(|text| text.contains("within the 10 % you allowed")));
    assert!((results.progress.unwrap() - 1.0).abs() < 1e-12);

    // Later outcomes eat up most of the effect: what was shown once stays shown.
    let before = comparison(&results, "solved").clone();
    let mut late = arm("winner", "treatment", 600, 280, &A_BIT_SLOWER);
    for (number, outcome) in late.iter_mut().enumerate() {
        outcome.unit_id = format!("late-{number}");
        outcome.event_id = format!("late-{number}");
    }
    send(&server, late).await;
    let home = server.stop().await;
    let server = TestServer::start_in(home).await;
    let results = server.results("winner").await;
    let after = comparison(&results, "solved");
    assert!(after.fixed_horizon.unwrap().p_value > before.fixed_horizon.unwrap().p_value);
    assert!(after.sequential.unwrap().p_value <= before.sequential.unwrap().p_value);
    assert!(after.significant);
    assert_eq!(after.verdict(), Verdict::Better);
}

async fn a_broken_split_vetoes_a_winner(server: TestServer) {
    server.run(guarded("skewed")).await;
    send(&server, arm("skewed", "control", 1_000, 600, &FAST)).await;
    send(&server, arm("skewed", "treatment", 1_300, 1_100, &FAST)).await;
    let results = server.results("skewed").await;
    assert!(results.sample_ratio.unwrap().mismatch);
    assert_eq!(comparison(&results, "solved").verdict(), Verdict::Better);
    assert_eq!(results.recommendation(), Recommendation::Investigate);
    assert!(results.recommended_variant_id.is_empty());
}

#[tokio::test]
async fn a_broken_guardrail_keeps_control() {
    let server = TestServer::start(StoreKind::Memory).await;
    server.run(guarded("slow")).await;
    send(&server, arm("slow", "control", 1_000, 600, &FAST)).await;
    send(&server, arm("slow", "treatment", 1_000, 750, &SLOW)).await;
    let results = server.results("slow").await;
    assert_eq!(comparison(&results, "latency").verdict(), Verdict::Violated);
    assert_eq!(results.recommendation(), Recommendation::KeepControl);
}

#[tokio::test]
async fn a_full_sample_without_an_effect_says_so() {
    let server = TestServer::start(StoreKind::Memory).await;
    let id = "nothing";
    let mut definition = guarded(id);
    definition.analysis.as_mut().unwrap().min_detectable_effect = Some(0.10);
    server.run(definition).await;
    send(&server, arm(id, "control", 1_000, 600, &FAST)).await;
    send(&server, arm(id, "treatment", 900, 540, &FAST)).await;
    let results = server.results(id).await;
    assert_eq!(results.recommendation(), Recommendation::Continue, "the sample is not in");
    assert!(results.expected_completion_time.is_some());
    let mut rest = arm(id, "treatment", 100, 60, &FAST);
    for (number, outcome) in rest.iter_mut().enumerate() {
        outcome.unit_id = format!("rest-{number}");
        outcome.event_id = format!("rest-{number}");
    }
    send(&server, rest).await;
    let results = server.results(id).await;
    assert_eq!(
        results.recommendation(),
        Recommendation::NoDifference,
        "{:?}",
        results.explanations
    );
}

#[tokio::test]
async fn a_fixed_horizon_waits_for_its_one_look() {
    let server = TestServer::start(StoreKind::Memory).await;
    let mut definition = guarded("one-look");
    definition.analysis.as_mut().unwrap().method = pb::analysis_plan::Method::FixedHorizon.into();
    server.run(definition).await;
    send(&server, arm("one-look", "control", 900, 540, &FAST)).await;
    send(&server, arm("one-look", "treatment", 900, 700, &FAST)).await;
    let results = server.results("one-look").await;
    let solved = comparison(&results, "solved");
    assert_eq!(solved.p_value, solved.fixed_horizon.map(|test| test.p_value));
    assert_eq!(results.recommendation(), Recommendation::Continue);
    assert!(results.explanations[0].contains("one look"), "{:?}", results.explanations);
}

#[tokio::test]
async fn primary_metrics_pay_nothing_for_secondary_ones() {
    use pb::metric::{Direction, Kind, Role};
    let server = TestServer::start(StoreKind::Memory).await;
    let mut definition = external(wire::experiment("family"));
    definition.variants = vec![
        variant("control", 4_000, true),
        variant("b", 3_000, false),
        variant("c", 3_000, false),
    ];
    definition.metrics = vec![
        metric("latency", Kind::Duration, Direction::Decrease, Role::Secondary),
        metric("solved", Kind::Binary, Direction::Increase, Role::Primary),
    ];
    server.run(definition).await;
    send(&server, arm("family", "control", 400, 240, &FAST)).await;
    send(&server, arm("family", "b", 300, 200, &A_BIT_SLOWER)).await;
    send(&server, arm("family", "c", 300, 220, &SLOW)).await;
    let results = server.results("family").await;
    assert_eq!(results.metrics[0].metric_id, "solved", "primary first");
    for result in &results.metrics {
        let p: Vec<f64> = result.comparisons.iter().map(|c| c.p_value.unwrap()).collect();
        let adjusted: Vec<f64> =
            result.comparisons.iter().map(|c| c.adjusted_p_value.unwrap()).collect();
        // Holm over the two treatments of this metric, whatever the other metric says.
        let (small, large) = if p[0] < p[1] { (0, 1) } else { (1, 0) };
        let first = (2.0 * p[small]).min(1.0);
        assert!((adjusted[small] - first).abs() < 1e-15);
        assert!((adjusted[large] - p[large].max(first)).abs() < 1e-15);
    }
}

#[tokio::test]
async fn a_lift_over_a_control_that_may_be_zero_has_no_bounds() {
    let server = TestServer::start(StoreKind::Memory).await;
    server.run(external(wire::experiment("rare"))).await;
    send(&server, arm("rare", "control", 200, 1, &FAST)).await;
    send(&server, arm("rare", "treatment", 200, 40, &FAST)).await;
    let results = server.results("rare").await;
    let solved = comparison(&results, "solved");
    assert!(solved.relative_lift.is_some() && solved.difference_interval.is_some());
    assert!(solved.lift_interval.is_none() && solved.lift_unbounded);
    assert!(!comparison(&results, "latency").lift_unbounded);
}

#[tokio::test]
async fn a_covariate_narrows_the_interval() {
    let server = TestServer::start(StoreKind::Memory).await;
    let id = "covariate";
    let mut definition = wire::experiment(id);
    definition.metrics[1].covariate = "csat_before".to_owned();
    server.run(definition).await;
    let mut outcomes = Vec::new();
    for number in 0..600_u32 {
        let before = f64::from(number * 37 % 101) / 25.0;
        let noise = f64::from(number * 53 % 89) / 300.0;
        outcomes.push(pb::Outcome {
            attributes: wire::attributes(&[("csat_before", wire::number(before))]),
            ..outcome(id, &format!("u{number}"), &[("csat", before + noise)])
        });
    }
    send(&server, outcomes).await;
    let results = server.results(id).await;
    let csat = comparison(&results, "csat");
    assert!(csat.variance_reduction.unwrap() > 0.98, "{:?}", csat.variance_reduction);
    assert!(csat.absolute_difference.unwrap().abs() < 0.1);
}

#[tokio::test]
async fn totals_ratios_and_quantiles_have_estimates_of_their_own() {
    use pb::metric::{Direction, Estimand, Kind, Role};
    let server = TestServer::start(StoreKind::Memory).await;
    let id = "estimands";
    let mut definition = external(wire::experiment(id));
    let lower = Direction::Decrease;
    let of = |name, estimand: Estimand| pb::Metric {
        estimand: estimand.into(),
        ..metric(name, Kind::Amount, lower, Role::Secondary)
    };
    definition.metrics.push(of("cost_per_unit", Estimand::TotalPerUnit));
    definition.metrics.push(pb::Metric {
        denominator_metric_id: "solved".to_owned(),
        ..of("cost_per_solved", Estimand::Ratio)
    });
    definition
        .metrics
        .push(pb::Metric { quantiles: vec![0.5, 0.9], ..of("cost_quantiles", Estimand::Quantile) });
    server.run(definition).await;
    let mut outcomes = Vec::new();
    for (arm, number) in ["control", "treatment"].iter().flat_map(|a| (0..300).map(move |n| (a, n)))
    {
        for turn in 0..2_u32 {
            let cost = f64::from(number % 10 + 1);
            let solved = f64::from(u8::from(turn == 0));
            let values = [
                ("solved", solved),
                ("cost_per_unit", cost),
                ("cost_per_solved", cost),
                ("cost_quantiles", cost),
            ];
            outcomes.push(pb::Outcome {
                assigned_variant_id: (*arm).to_owned(),
                ..outcome(id, &format!("{arm}{number}"), &values)
            });
        }
    }
    send(&server, outcomes).await;
    let results = server.results(id).await;
    let estimate = |metric| wire::statistics(&results, metric, "control").estimate;
    assert_eq!(estimate("cost_per_unit"), Some(11.0), "two turns of 5.5 each");
    assert_eq!(estimate("cost_per_solved"), Some(11.0), "both turns over the one that is solved");
    assert_eq!(estimate("cost_quantiles"), None, "quantiles are compared one by one");
    let quantiles = &results.metrics.iter().find(|m| m.metric_id == "cost_quantiles").unwrap();
    let orders: Vec<_> = quantiles.comparisons.iter().map(|c| c.quantile).collect();
    assert_eq!(orders, [Some(0.5), Some(0.9)]);
    let sketch = &wire::statistics(&results, "cost_quantiles", "control").quantiles;
    for (quantile, exact) in sketch.iter().zip([5.0, 9.0]) {
        assert!((quantile.value / exact - 1.0).abs() <= quantile.relative_error * 1.01);
    }
}
