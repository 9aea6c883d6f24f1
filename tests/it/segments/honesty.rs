//! Who looks at many segments finds something: what is said about that, and what is done.

use tiebreak::rpc::pb;
use tiebreak::rpc::pb::comparison::Verdict;
use tiebreak::rpc::pb::experiment_results::Recommendation;

use super::{broken_down, by, only, send, told, values};
use crate::support::over_a_socket;
use crate::support::server::TestServer;
use crate::support::wire::metric;

over_a_socket! {
    p_values_are_corrected_across_all_values,
    what_a_segment_showed_stays_shown,
    a_segment_of_a_broken_experiment_is_not_to_be_trusted,
}

/// One outcome per unit; of each arm's `units`, `good` are solved.
fn arms(plan: &str, units: usize, good: [usize; 2]) -> Vec<pb::Outcome> {
    let mut outcomes = Vec::new();
    for (arm, good) in ["control", "treatment"].into_iter().zip(good) {
        for number in 0..units {
            let solved = f64::from(u8::from((number * good) % units < good));
            let unit = format!("{plan} {arm} {number}");
            outcomes.push(told("x", arm, &unit, plan, &[("solved", solved)]));
        }
    }
    outcomes
}

fn primary(results: &pb::ExperimentResults) -> &pb::Comparison {
    &results.metrics[0].comparisons[0]
}

async fn p_values_are_corrected_across_all_values(server: TestServer) {
    server.run(broken_down("x")).await;
    // One plan with an effect, one with a weak one, eighteen without.
    send(&server, &arms("strong", 400, [200, 280])).await;
    send(&server, &arms("weak", 400, [200, 252])).await;
    for plan in 0..18 {
        send(&server, &arms(&format!("plan {plan}"), 40, [20, 20])).await;
    }
    let answer = by(&server, "x", "plan").await;
    assert_eq!(answer.segments.len(), 20);
    // Holm by hand.
    let mut p_values: Vec<f64> =
        answer.segments.iter().map(|s| primary(s).p_value.unwrap()).collect();
    p_values.sort_by(f64::total_cmp);
    for segment in &answer.segments {
        let (p, adjusted) = (primary(segment).p_value.unwrap(), primary(segment).adjusted_p_value);
        let first = p_values.iter().position(|other| other.total_cmp(&p).is_eq()).unwrap();
        let steps = p_values[..=first].iter().zip((1..=20_u8).rev());
        let expected = steps.map(|(p, left)| p * f64::from(left)).fold(0.0, f64::max).min(1.0);
        assert!((adjusted.unwrap() - expected).abs() < 1e-12, "{p} {adjusted:?} {expected}");
    }
    let strong = only(&server, "x", "plan", "strong").await;
    assert_eq!(primary(&strong).verdict(), Verdict::Better);
    let weak = only(&server, "x", "plan", "weak").await;
    assert!(primary(&weak).p_value.unwrap() < 0.05, "significant alone");
    assert!(primary(&weak).adjusted_p_value.unwrap() > 0.05, "and not among twenty");
    assert_eq!(primary(&weak).verdict(), Verdict::Inconclusive);
    let [preface, ..] = strong.explanations.as_slice() else { panic!("nothing is explained") };
    for part in ["'plan' is 'strong'", "one of 20 values", "corrected for all", "hypothesis"] {
        assert!(preface.contains(part), "{part} is missing in {preface}");
    }
}

async fn what_a_segment_showed_stays_shown(server: TestServer) {
    server.run(broken_down("x")).await;
    send(&server, &arms("pro", 400, [200, 280])).await;
    let before = only(&server, "x", "plan", "pro").await;
    assert_eq!(primary(&before).verdict(), Verdict::Better);
    let late = arms("pro", 400, [280, 200])
        .into_iter()
        .map(|outcome| pb::Outcome { unit_id: format!("late {}", outcome.unit_id), ..outcome });
    send(&server, &late.collect::<Vec<_>>()).await;
    let server = TestServer::start_in(server.stop().await).await;
    let after = only(&server, "x", "plan", "pro").await;
    assert!(primary(&after).fixed_horizon.unwrap().p_value > 0.9, "nothing is left of it");
    assert_eq!(primary(&after).p_value, primary(&before).p_value);
    assert_eq!(primary(&after).verdict(), Verdict::Better);
    // The whole had no look of its own before; it shows what it is now.
    let whole = server.results("x").await;
    assert!(primary(&whole).sequential.is_some() && whole.segment.is_none());
}

async fn a_segment_of_a_broken_experiment_is_not_to_be_trusted(server: TestServer) {
    use pb::metric::{Direction, Kind, Role};
    let metrics = vec![metric("solved", Kind::Binary, Direction::Increase, Role::Primary)];
    server.run(pb::Experiment { metrics, ..broken_down("x") }).await;
    send(&server, &arms("pro", 400, [200, 280])).await;
    let mut lost = arms("free", 600, [300, 300]);
    lost.retain(|outcome| outcome.assigned_variant_id == "control");
    send(&server, &lost).await;
    let answer = by(&server, "x", "plan").await;
    assert_eq!(values(&answer), ["pro", "free"]);
    assert!(answer.results.unwrap().sample_ratio.unwrap().mismatch);
    let [pro, free] = answer.segments.as_slice() else { panic!("two plans") };
    assert!(!pro.sample_ratio.unwrap().mismatch && free.sample_ratio.unwrap().mismatch);
    for segment in [pro, free] {
        assert_eq!(segment.recommendation(), Recommendation::Investigate);
        assert!(segment.explanations[1].contains("as a whole is not to be trusted"));
    }
}
