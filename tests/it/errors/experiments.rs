//! Experiments that are refused, each for one fault and one for all at once.

use tiebreak::rpc::pb;
use tiebreak::rpc::pb::metric::{Direction, Estimand, Kind, Role};

use crate::support::server::{Failure, StoreKind, TestServer, failure};
use crate::support::wire;

type Fault = (&'static [&'static str], fn(&mut pb::Experiment));

/// Fields below `experiment`, and how to spoil them. The metrics of the valid one are binary and
/// primary (0), continuous (1), a duration (2) and an amount (3).
const FAULTS: &[Fault] = &[
    (&["experiment_id"], |e| e.experiment_id = String::new()),
    (&["experiment_id"], |e| e.experiment_id = "Upper.Case/and:more".into()),
    (&["experiment_id"], |e| e.experiment_id = "x".repeat(64)),
    (&["display_name"], |e| e.display_name = "x".repeat(129)),
    (&["description"], |e| e.description = "x".repeat(4_097)),
    (&["labels"], |e| e.labels = (0..65).map(|n| (n.to_string(), String::new())).collect()),
    (&["labels[\"\"]"], |e| e.labels = [(String::new(), String::new())].into()),
    (&["dimensions"], |e| e.dimensions = (0..9).map(|n| n.to_string()).collect()),
    (&["dimensions[1]"], |e| e.dimensions = vec!["a".to_owned(); 2]),
    (&["variants"], |e| e.variants[0].weight_basis_points = 4_999),
    (&["variants"], |e| e.variants[1].control = true),
    (&["variants"], |e| e.variants[0].control = false),
    (&["variants"], |e| {
        e.variants.truncate(1);
        e.variants[0].weight_basis_points = 10_000;
    }),
    (&["variants"], |e| {
        e.variants.extend((2..33).map(|n| wire::variant(&format!("v{n}"), 0, false)));
    }),
    (&["variants", "variants[1].weight_basis_points"], |e| {
        e.variants[1].weight_basis_points = u32::MAX;
    }),
    (&["variants[1].variant_id"], |e| e.variants[1].variant_id = "control".into()),
    (&["variants[1].variant_id"], |e| e.variants[1].variant_id = "v/1".into()),
    (&["variants[1].value"], |e| e.variants[1].value = Some(wire::number(f64::NAN))),
    (&["variants[1].value"], |e| e.variants[1].value = Some(wire::nested(18))),
    (&["variants[1].value"], |e| e.variants[1].value = Some(wire::text(&"x".repeat(70_000)))),
    (&["variants[1].value"], |e| e.variants[1].value = Some(prost_types::Value { kind: None })),
    (&["bucketing.salt"], |e| bucketing(e).salt = "a/b".into()),
    (&["bucketing.algorithm"], |e| bucketing(e).algorithm = 77),
    (&["enrolment_basis_points"], |e| e.enrolment_basis_points = Some(10_001)),
    (&["layer.layer_id"], |e| e.layer = Some(slot("a/b", 0, 1))),
    (&["layer.buckets"], |e| e.layer = Some(slot("checkout", 5, 5))),
    (&["layer.buckets"], |e| e.layer = Some(slot("checkout", 0, 10_001))),
    (&["layer.buckets"], |e| e.layer = Some(slot("checkout", 0, u32::MAX))),
    (&["overrides[\"qa\"]"], |e| e.overrides = [("qa".to_owned(), "third".to_owned())].into()),
    (&["planned_end_time"], |e| e.planned_end_time = Some(time(i64::MAX, 0))),
    (&["planned_end_time"], |e| e.planned_end_time = Some(time(i64::MIN, -1))),
    (&["metrics"], |e| e.metrics[1].role = Role::Primary.into()),
    (&["metrics"], |e| e.metrics[0].role = Role::Secondary.into()),
    (&["metrics"], |e| e.metrics.clear()),
    (&["metrics"], |e| {
        let extra = |n| metric(&format!("m{n}"));
        e.metrics.extend((4..65).map(extra));
    }),
    (&["metrics[1].metric_id"], |e| e.metrics[1].metric_id = "a-b".into()),
    (&["metrics[1].metric_id"], |e| e.metrics[1].metric_id = "solved".into()),
    (&["metrics[1].kind"], |e| e.metrics[1].kind = 0),
    (&["metrics[1].kind"], |e| e.metrics[1].kind = 99),
    (&["metrics[1].direction"], |e| e.metrics[1].direction = -1),
    (&["metrics[1].role"], |e| e.metrics[1].role = 99),
    (&["metrics[1].estimand"], |e| e.metrics[1].estimand = 99),
    (&["metrics[1].non_inferiority_margin"], |e| e.metrics[1].role = Role::Guardrail.into()),
    (&["metrics[1].non_inferiority_margin"], |e| {
        e.metrics[1].non_inferiority_margin = Some(-0.1);
    }),
    (&["metrics[1].denominator_metric_id"], |e| e.metrics[1].estimand = Estimand::Ratio.into()),
    (&["metrics[1].denominator_metric_id"], |e| ratio(e, "nonsense")),
    (&["metrics[1].denominator_metric_id"], |e| ratio(e, "csat")),
    (&["metrics[1].denominator_metric_id"], |e| {
        e.metrics[1].denominator_metric_id = "solved".into();
    }),
    (&["metrics[0].estimand"], |e| e.metrics[0].estimand = Estimand::Quantile.into()),
    (&["metrics[0].quantiles"], |e| e.metrics[0].quantiles = vec![0.5]),
    (&["metrics[2].quantiles"], |e| e.metrics[2].quantiles = vec![0.5, 1.0]),
    (&["metrics[2].quantiles"], |e| e.metrics[2].quantiles = vec![f64::NAN]),
    (&["metrics[2].quantiles"], |e| e.metrics[2].quantiles = vec![0.5; 17]),
    (&["metrics[1].max_value"], |e| bounds(&mut e.metrics[1], 2.0, 1.0)),
    (&["metrics[1].max_value"], |e| e.metrics[1].max_value = Some(1e18)),
    (&["metrics[1].min_value"], |e| e.metrics[1].min_value = Some(f64::NEG_INFINITY)),
    (&["metrics[2].min_value"], |e| e.metrics[2].min_value = Some(-1.0)),
    (&["metrics[0].min_value"], |e| e.metrics[0].min_value = Some(0.0)),
    (&["analysis.alpha"], |e| plan(e).alpha = Some(0.0)),
    (&["analysis.alpha"], |e| plan(e).alpha = Some(1.0)),
    (&["analysis.alpha"], |e| plan(e).alpha = Some(f64::NAN)),
    (&["analysis.power"], |e| plan(e).power = Some(1.0)),
    (&["analysis.srm_alpha"], |e| plan(e).srm_alpha = Some(-0.5)),
    (&["analysis.min_detectable_effect"], |e| plan(e).min_detectable_effect = Some(0.0)),
    (&["analysis.planned_units"], |e| plan(e).planned_units = Some(-1)),
    (&["analysis.groups"], |e| plan(e).groups = Some(1_000)),
    (&["analysis.groups"], |e| plan(e).groups = Some(32)),
    (&["analysis.method"], |e| plan(e).method = 9),
    (&["analysis.correction"], |e| plan(e).correction = 9),
    (&["eligibility"], |e| e.eligibility = "plan == 'pro'".into()),
    (&["eligibility"], |e| e.eligibility = "attributes.plan ==".into()),
    (&["eligibility"], |e| e.eligibility = "x".repeat(4_097)),
    (&["eligibility"], |e| e.eligibility = "(".repeat(4_096)),
    (&["eligibility"], |e| e.eligibility = "!".repeat(4_096)),
    (&["eligibility"], |e| e.eligibility = "-".repeat(4_096)),
    (&["eligibility"], |e| e.eligibility = "[".repeat(4_096)),
    (&["eligibility"], |e| e.eligibility = "1".to_owned() + &"+1".repeat(2_000)),
];

fn bucketing(experiment: &mut pb::Experiment) -> &mut pb::Bucketing {
    experiment.bucketing.get_or_insert_default()
}

fn plan(experiment: &mut pb::Experiment) -> &mut pb::AnalysisPlan {
    experiment.analysis.get_or_insert_default()
}

fn slot(layer: &str, start: u32, end: u32) -> pb::LayerSlot {
    let buckets = Some(pb::BucketRange { start, end });
    pb::LayerSlot { layer_id: layer.to_owned(), buckets }
}

fn time(seconds: i64, nanos: i32) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos }
}

fn metric(id: &str) -> pb::Metric {
    wire::metric(id, Kind::Continuous, Direction::Increase, Role::Secondary)
}

fn ratio(experiment: &mut pb::Experiment, denominator: &str) {
    let metric = &mut experiment.metrics[1];
    metric.estimand = Estimand::Ratio.into();
    metric.denominator_metric_id = denominator.into();
}

fn bounds(metric: &mut pb::Metric, low: f64, high: f64) {
    metric.min_value = Some(low);
    metric.max_value = Some(high);
}

fn below_experiment(fields: &[&str]) -> Failure {
    let fields: Vec<_> = fields.iter().map(|field| format!("experiment.{field}")).collect();
    let fields: Vec<_> = fields.iter().map(String::as_str).collect();
    Failure::invalid("INVALID_EXPERIMENT", &fields)
}

#[tokio::test]
async fn every_fault_is_named_by_its_field() {
    let server = TestServer::start(StoreKind::Memory).await;
    for (index, (fields, spoil)) in FAULTS.iter().enumerate() {
        let mut experiment = wire::experiment("spoiled");
        spoil(&mut experiment);
        let answer = server.create(experiment).await;
        assert_eq!(failure(answer), below_experiment(fields), "fault {index}");
    }
    // What spoils one field spoils nothing else: the rest of each experiment was valid.
    server.create(wire::experiment("spoiled")).await.unwrap();
}

#[tokio::test]
async fn all_faults_are_told_at_once() {
    let server = TestServer::start(StoreKind::Memory).await;
    let mut experiment = wire::experiment("Spoiled");
    experiment.variants[1].value = Some(wire::number(f64::INFINITY));
    experiment.variants[0].weight_basis_points = 4_999;
    experiment.metrics[1].role = 99;
    experiment.metrics[2].quantiles = vec![2.0];
    experiment.eligibility = "nobody".to_owned();
    experiment.planned_end_time = Some(time(i64::MAX, 0));
    plan(&mut experiment).groups = Some(7);
    plan(&mut experiment).method = 7;
    let expected = below_experiment(&[
        "analysis.groups",
        "analysis.method",
        "eligibility",
        "experiment_id",
        "metrics[1].role",
        "metrics[2].quantiles",
        "planned_end_time",
        "variants",
        "variants[1].value",
    ]);
    assert_eq!(failure(server.create(experiment.clone()).await), expected);
    let upsert = pb::UpdateExperimentRequest {
        experiment: Some(experiment),
        allow_missing: true,
        ..pb::UpdateExperimentRequest::default()
    };
    assert_eq!(failure(server.update(upsert).await).code, tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn a_rule_that_is_not_cel_says_where() {
    use tonic_types::StatusExt as _;
    let server = TestServer::start(StoreKind::Memory).await;
    let mut experiment = wire::experiment("rule");
    experiment.eligibility = "attributes.plan == 'pro' &&\n  attributes.turns > > 3".to_owned();
    let status = server.create(experiment).await.unwrap_err();
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let [violation] = violations.as_slice() else { panic!("{violations:?}") };
    assert!(violation.description.contains("line 2, column 22"), "{}", violation.description);
}

#[tokio::test]
async fn a_request_without_an_experiment() {
    let server = TestServer::start(StoreKind::Memory).await;
    let expected = Failure::invalid("INVALID_EXPERIMENT", &["experiment"]);
    let empty = pb::CreateExperimentRequest::default();
    assert_eq!(failure(server.admin().create_experiment(empty).await), expected);
    assert_eq!(failure(server.update(pb::UpdateExperimentRequest::default()).await), expected);
}
