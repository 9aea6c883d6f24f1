//! The other requests that are refused: Assign, GetResults, the list, updates, conclusions, plans.

use tiebreak::rpc::pb;
use tiebreak::rpc::pb::plan_sample_size_request::{Design, Effect, Mean, Proportion};
use tonic::Code;

use super::{invalid, server_with};
use crate::support::server::{Failure, StoreKind, TestServer, failure};
use crate::support::wire;

#[tokio::test]
async fn units_and_attributes_of_assign() {
    let server = server_with("asked").await;
    let deep = wire::attributes(&[("deep", wire::nested(18))]);
    let infinite = wire::attributes(&[("age", wire::number(f64::INFINITY))]);
    let cases = [
        ("", None, invalid(&["unit_id"])),
        (&*"x".repeat(257), None, invalid(&["unit_id"])),
        (&*"x".repeat(1 << 20), None, invalid(&["unit_id"])),
        ("u1", deep.clone(), invalid(&["attributes"])),
        ("u1", infinite, invalid(&["attributes"])),
        ("", deep, invalid(&["attributes", "unit_id"])),
    ];
    for (unit, attributes, expected) in cases {
        let one = pb::AssignRequest {
            experiment_id: "asked".to_owned(),
            unit_id: unit.to_owned(),
            attributes: attributes.clone(),
            ..pb::AssignRequest::default()
        };
        assert_eq!(failure(server.assign_with(one).await), expected);
        let unit_id = unit.to_owned();
        let many =
            pb::BatchAssignRequest { unit_id, attributes, ..pb::BatchAssignRequest::default() };
        assert_eq!(failure(server.data().batch_assign(many).await), expected);
    }
    server.assign("asked", &"é".repeat(128)).await.unwrap();
    let many = pb::BatchAssignRequest {
        unit_id: "u1".to_owned(),
        experiment_ids: vec!["asked".to_owned(); 101],
        ..pb::BatchAssignRequest::default()
    };
    assert_eq!(failure(server.data().batch_assign(many).await), invalid(&["experiment_ids"]));
}

#[tokio::test]
async fn results_that_there_are_not() {
    let server = server_with("known").await;
    let request = |id: &str, iteration, metrics: &[&str]| pb::GetResultsRequest {
        experiment_id: id.to_owned(),
        iteration,
        metric_ids: metrics.iter().map(ToString::to_string).collect(),
        segment: None,
    };
    let cases = [
        (request("nobody", 0, &[]), Failure::new(Code::NotFound, "EXPERIMENT_NOT_FOUND")),
        (request("known", 2, &[]), Failure::new(Code::NotFound, "ITERATION_NOT_FOUND")),
        (request("known", 0, &["x", "csat", "y"]), invalid(&["metric_ids[0]", "metric_ids[2]"])),
    ];
    for (request, expected) in cases {
        assert_eq!(failure(server.data().get_results(request).await), expected);
    }
}

#[tokio::test]
async fn lists_that_cannot_be_read_on() {
    let server = server_with("one").await;
    server.run(wire::experiment("two")).await;
    let list = async |request: pb::ListExperimentsRequest| {
        server.admin().list_experiments(request).await.map(tonic::Response::into_inner)
    };
    let of_token = |token: &str| pb::ListExperimentsRequest {
        page_token: token.to_owned(),
        ..pb::ListExperimentsRequest::default()
    };
    let page = pb::ListExperimentsRequest { page_size: 1, ..pb::ListExperimentsRequest::default() };
    let token = list(page).await.unwrap().next_page_token;
    for bad in ["garbage", "1.2.3.4", "1..one.", "\u{0}"] {
        assert_eq!(failure(list(of_token(bad)).await), invalid(&["page_token"]));
    }
    let mut of_another_query = of_token(&token);
    of_another_query.labels.insert("team".to_owned(), "search".to_owned());
    assert_eq!(failure(list(of_another_query).await), invalid(&["page_token"]));
    let negative = pb::ListExperimentsRequest { page_size: -1, ..of_token("") };
    assert_eq!(failure(list(negative).await), invalid(&["page_size"]));
    let states = pb::ListExperimentsRequest { states: vec![2, 0, 99], ..of_token("") };
    assert_eq!(failure(list(states).await), invalid(&["states[1]", "states[2]"]));
}

#[tokio::test]
async fn updates_and_conclusions() {
    let server = server_with("running").await;
    let masked = server.replace(wire::experiment("running"), &["owner", "variants.weight"]).await;
    assert_eq!(failure(masked), Failure::invalid("INVALID_EXPERIMENT", &["update_mask"]));
    let missing = Failure::new(Code::NotFound, "EXPERIMENT_NOT_FOUND");
    assert_eq!(failure(server.replace(wire::experiment("nobody"), &[]).await), missing);
    let exists = Failure::new(Code::AlreadyExists, "EXPERIMENT_EXISTS");
    assert_eq!(failure(server.create(wire::experiment("running")).await), exists);
    let request = pb::CreateExperimentRequest {
        experiment: Some(wire::experiment("running")),
        validate_only: true,
    };
    assert_eq!(failure(server.admin().create_experiment(request).await), exists);

    let unknown = Failure::invalid("UNKNOWN_VARIANT", &["winner_variant_id"]);
    assert_eq!(failure(server.conclude("running", "third").await), unknown);
    let mut fewer = wire::experiment("running");
    fewer.metrics.remove(3);
    fewer.metrics[1].max_value = Some(9.0);
    let changed = failure(server.replace(fewer, &["metrics"]).await);
    assert_eq!(changed, Failure::invalid("INVALID_EXPERIMENT", &["experiment.metrics"]));
    let mut regrouped = wire::experiment("running");
    regrouped.analysis = Some(pb::AnalysisPlan { groups: Some(64), ..pb::AnalysisPlan::default() });
    let changed = failure(server.replace(regrouped, &["analysis"]).await);
    assert_eq!(changed, Failure::invalid("INVALID_EXPERIMENT", &["experiment.analysis"]));
}

type Spoil = fn(&mut pb::PlanSampleSizeRequest);

#[tokio::test]
async fn designs_that_have_no_size() {
    let server = TestServer::start(StoreKind::Memory).await;
    let good = pb::PlanSampleSizeRequest {
        design: Some(Design::Proportion(Proportion { baseline_rate: 0.75 })),
        effect: Some(Effect::AbsoluteEffect(0.05)),
        ..pb::PlanSampleSizeRequest::default()
    };
    let plan = async |request| server.admin().plan_sample_size(request).await;
    let size = plan(good).await.unwrap().into_inner();
    assert_eq!((size.control_units, size.treatment_units), (1_179, 1_179));
    let mean = Mean { standard_deviation: 0.0, baseline_mean: None };
    let cases: [(&[&str], Spoil); 8] = [
        (&["alpha"], |r| r.alpha = Some(f64::NAN)),
        (&["power"], |r| r.power = Some(1.0)),
        (&["allocation_ratio"], |r| r.allocation_ratio = Some(0.0)),
        (&["treatment_count"], |r| r.treatment_count = 32),
        (&["outcomes_per_unit"], |r| r.outcomes_per_unit = Some(0.5)),
        (&["intraclass_correlation"], |r| r.intraclass_correlation = Some(2.0)),
        (&["daily_units"], |r| r.daily_units = Some(f64::INFINITY)),
        (&["alpha", "daily_units"], |r| {
            r.alpha = Some(1.0);
            r.daily_units = Some(-1.0);
        }),
    ];
    for (fields, spoil) in cases {
        let mut request = good;
        spoil(&mut request);
        assert_eq!(failure(plan(request).await), Failure::invalid("INVALID_DESIGN", fields));
    }
    let flat = pb::PlanSampleSizeRequest { design: Some(Design::Mean(mean)), ..good };
    let fields = failure(plan(flat).await).fields;
    assert_eq!(fields, ["mean.standard_deviation"]);
    let fields = failure(plan(pb::PlanSampleSizeRequest::default()).await).fields;
    assert_eq!(fields, ["design", "effect"]);
}
