//! A segment shows what an experiment of its units alone would show: the same engine on the same
//! numbers. Only what knows of the other values may differ: corrections, hence verdicts.

use tiebreak::rpc::pb;

use super::{broken_down, only, send, told};
use crate::support::over_a_socket;
use crate::support::server::TestServer;
use crate::support::wire::{metric, number};

over_a_socket! {
    a_segment_is_the_experiment_of_its_units,
}

/// Every estimand, a covariate, and no plan: nobody plans the sample of a segment.
fn experiment(id: &str, groups: u32) -> pb::Experiment {
    use pb::metric::{Direction, Estimand, Kind, Role};
    let mut experiment = broken_down(id);
    let salt = &mut experiment.bucketing.as_mut().unwrap().salt;
    "the same".clone_into(salt);
    let with = |id: &str, role, estimand: Estimand| pb::Metric {
        estimand: estimand.into(),
        ..metric(id, Kind::Amount, Direction::Decrease, role)
    };
    experiment.metrics.extend([
        with("p95", Role::Unspecified, Estimand::Quantile),
        with("total", Role::Unspecified, Estimand::TotalPerUnit),
        pb::Metric {
            denominator_metric_id: "solved".to_owned(),
            ..with("ratio", Role::Unspecified, Estimand::Ratio)
        },
        pb::Metric {
            covariate: "before".to_owned(),
            ..with("adjusted", Role::Unspecified, Estimand::MeanPerOutcome)
        },
        pb::Metric {
            non_inferiority_margin: Some(0.1),
            ..with("guard", Role::Guardrail, Estimand::MeanPerOutcome)
        },
    ]);
    experiment.analysis = Some(pb::AnalysisPlan { groups: Some(groups), ..Default::default() });
    experiment
}

/// Outcomes of 500 units, one to four each, and the plan of each.
fn outcomes(id: &str) -> Vec<(&'static str, pb::Outcome)> {
    let mut outcomes = Vec::new();
    for unit in 0..500_u32 {
        let arm = ["control", "treatment"][usize::from(unit * 7 % 5 < 2)];
        let plan = ["free", "pro", "pro", ""][unit as usize % 4];
        for round in 0..=unit % 4 {
            // Looks irregular, and is the same every time.
            let noise = f64::from((unit * 7_919 + round * 104_729) % 1_009) / 1_009.0;
            let effect = if arm == "treatment" && plan == "pro" { 0.25 } else { 0.0 };
            let amount = 1.0 + noise + effect;
            let solved = f64::from(u8::from(noise + effect > 0.4));
            let mut values = vec![("solved", solved), ("csat", 5.0 - noise), ("latency", amount)];
            values.extend(
                ["cost", "p95", "total", "ratio", "adjusted", "guard"].map(|m| (m, amount)),
            );
            let mut outcome = told(id, arm, &format!("u{unit}"), plan, &values);
            let fields = &mut outcome.attributes.as_mut().unwrap().fields;
            fields.insert("before".to_owned(), number(f64::from(unit % 11)));
            outcomes.push((plan, outcome));
        }
    }
    outcomes
}

async fn a_segment_is_the_experiment_of_its_units(server: TestServer) {
    server.run(experiment("all", 1_024)).await;
    let everybody: Vec<_> = outcomes("all").into_iter().map(|(_, outcome)| outcome).collect();
    send(&server, &everybody).await;
    for (plan, value) in [("free", "free"), ("pro", "pro"), ("", "(none)")] {
        let id = format!("only-{}", if plan.is_empty() { "none" } else { plan });
        server.run(experiment(&id, 64)).await;
        let alone = outcomes(&id).into_iter().filter(|(of, _)| *of == plan);
        send(&server, &alone.map(|(_, outcome)| outcome).collect::<Vec<_>>()).await;
        let alone = server.results(&id).await;
        let segment = only(&server, "all", "plan", value).await;
        assert_eq!(segment.exposures, alone.exposures);
        assert_eq!(segment.sample_ratio, alone.sample_ratio);
        assert_eq!(segment.metrics.len(), 9);
        for (segment, alone) in segment.metrics.iter().zip(&alone.metrics) {
            assert_eq!(comparable(segment), comparable(alone), "{value} {}", alone.metric_id);
            assert!(segment.comparisons[0].sequential.is_some(), "{value} {}", alone.metric_id);
        }
    }
}

fn comparable(result: &pb::MetricResult) -> pb::MetricResult {
    let mut result = result.clone();
    for comparison in &mut result.comparisons {
        comparison.adjusted_p_value = None;
        comparison.significant = false;
        comparison.verdict = 0;
    }
    if result.estimand() != pb::metric::Estimand::Quantile {
        // Segments keep a sketch only where quantiles are compared.
        result.statistics.iter_mut().for_each(|arm| arm.quantiles.clear());
    }
    result
}
