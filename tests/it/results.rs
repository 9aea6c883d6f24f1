//! GetResults through a socket: exact sums of what LogOutcome took, the clustered standard error by
//! hand, and nothing where nothing is defined.

use std::fs;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use tiebreak::domain::bucket::{GroupCount, Salt};
use tiebreak::domain::id::UnitId;
use tiebreak::rpc::pb;
use tiebreak::rpc::pb::comparison::Verdict;

use crate::support::over_a_socket;
use crate::support::server::{StoreKind, TestServer};
use crate::support::wire::{self, statistics};

over_a_socket! {
    nist_means_and_deviations_to_fourteen_digits,
    the_standard_error_is_that_of_the_groups,
    what_is_undefined_is_absent,
}

/// A data set of NIST: its values as written, and the certified mean and standard deviation.
struct DataSet {
    name: &'static str,
    values: Vec<f64>,
    mean: f64,
    deviation: f64,
}

const DATA_SETS: [(&str, usize); 9] = [
    ("Lew", 200),
    ("Lottery", 218),
    ("Mavro", 50),
    ("Michelso", 100),
    ("NumAcc1", 3),
    ("NumAcc2", 1_001),
    ("NumAcc3", 1_001),
    ("NumAcc4", 1_001),
    ("PiDigits", 5_000),
];

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nist").join(name)
}

impl DataSet {
    fn read(name: &'static str, count: usize) -> Self {
        let text = fs::read_to_string(golden(&format!("{name}.txt"))).unwrap();
        let certified = |keys: [&str; 2]| {
            let line = text.lines().find(|line| keys.iter().any(|key| line.starts_with(key)));
            line.and_then(|line| line.split_whitespace().last()).unwrap().parse().unwrap()
        };
        // The header has lines of words only, from the end backwards the values stand alone.
        let values = text.lines().rev().map_while(|line| line.trim().parse().ok());
        let mut values: Vec<f64> = values.collect();
        values.reverse();
        assert_eq!(values.len(), count, "{name}");
        Self {
            name,
            values,
            mean: certified(["Sample Mean", "mean "]),
            deviation: certified(["Sample Standard Deviation", "standardDeviation"]),
        }
    }
}

/// Number of correct digits: the log relative error of `McCullough` (1998), doi:10.2307/2685442.
fn digits(got: f64, certified: f64) -> f64 {
    let error = ((got - certified) / certified).abs();
    if error == 0.0 { f64::INFINITY } else { -error.log10() }
}

#[test]
fn files_are_the_published_ones() {
    let sums = fs::read_to_string(golden("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 1 + DATA_SETS.len());
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let digest = Sha256::digest(fs::read(golden(name)).unwrap());
        let published = (0..64).step_by(2).map(|at| u8::from_str_radix(&sum[at..at + 2], 16));
        let published: Vec<u8> = published.collect::<Result<_, _>>().unwrap();
        assert_eq!(digest.as_slice(), published, "{name} is not the file that was published");
    }
}

async fn nist_means_and_deviations_to_fourteen_digits(server: TestServer) {
    for (name, count) in DATA_SETS {
        let set = DataSet::read(name, count);
        let id = name.to_lowercase();
        server.run(wire::external(wire::experiment(&id))).await;
        let outcomes: Vec<_> =
            (0..).zip(&set.values).map(|(n, v)| of_control(&id, n, *v)).collect();
        // The first by LogOutcome, the rest in batches.
        server.log(outcomes[0].clone()).await.unwrap();
        for batch in outcomes[1..].chunks(1_000) {
            let answers = server.log_batch(batch.to_vec()).await.unwrap();
            assert!(answers.iter().all(is_counted));
        }
        let results = server.results(&id).await;
        let arm = statistics(&results, "csat", "control");
        assert_eq!(arm.count, i64::try_from(count).unwrap());
        let count = f64::from(u32::try_from(count).unwrap());
        for mean in [arm.sum / count, arm.estimate.unwrap()] {
            assert!(digits(mean, set.mean) >= 14.0, "{}: mean {mean}", set.name);
        }
        let deviation = arm.variance.unwrap().sqrt();
        assert!(digits(deviation, set.deviation) >= 14.0, "{}: sd {deviation}", set.name);
    }
}

fn is_counted(answer: &pb::OutcomeResult) -> bool {
    matches!(&answer.result, Some(pb::outcome_result::Result::Receipt(receipt)) if receipt.counted)
}

fn of_control(id: &str, unit: u32, value: f64) -> pb::Outcome {
    pb::Outcome {
        assigned_variant_id: "control".to_owned(),
        ..wire::outcome(id, &format!("unit-{unit}"), &[("csat", value)])
    }
}

/// Four units of control, each in a group of its own, bring (1, 1), (2), (3, 3, 3) and (6): mean
/// 19/7; residuals of the group sums 2 - 2r, 2 - r, 9 - 3r, 6 - r with r = 19/7. The error is
/// sqrt(4/3 * sum of squares) / 7 (Cochran 1977, section 6.5: a ratio of two sums).
async fn the_standard_error_is_that_of_the_groups(server: TestServer) {
    let mut experiment = wire::experiment("by-hand");
    experiment.analysis = Some(pb::AnalysisPlan {
        method: pb::analysis_plan::Method::FixedHorizon.into(),
        ..pb::AnalysisPlan::default()
    });
    server.run(experiment).await;
    let values: [&[f64]; 4] = [&[1.0, 1.0], &[2.0], &[3.0, 3.0, 3.0], &[6.0]];
    for (unit, values) in units_of_separate_groups("by-hand", 4).iter().zip(values) {
        for value in values {
            server.log(wire::outcome("by-hand", unit, &[("csat", *value)])).await.unwrap();
        }
    }
    let results = server.results("by-hand").await;
    let arm = statistics(&results, "csat", "control");
    assert_eq!((arm.count, arm.groups), (7, 4));
    let ratio: f64 = 19.0 / 7.0;
    let residuals = [2.0 - 2.0 * ratio, 2.0 - ratio, 9.0 - 3.0 * ratio, 6.0 - ratio];
    let squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
    let expected = (4.0 / 3.0 * squares).sqrt() / 7.0;
    assert!(digits(arm.estimate.unwrap(), ratio) >= 14.0);
    assert!(digits(arm.standard_error.unwrap(), expected) >= 14.0, "{arm:?}");
    // Student's t with 3 degrees of freedom at 97.5 %, from any table.
    let interval = arm.interval.unwrap();
    let radius = (interval.upper - interval.lower) / 2.0;
    assert!(digits(radius / expected, 3.182_446_305_283_71) >= 12.0, "{radius}");
}

/// Units of control of which no two share one of the 1,024 groups.
fn units_of_separate_groups(id: &str, count: usize) -> Vec<String> {
    let salt = Salt::try_from(id.to_owned()).unwrap();
    let group = |unit: &str| salt.group(UnitId::parse(unit).unwrap(), GroupCount::DEFAULT);
    let mut units: Vec<String> = Vec::new();
    for unit in wire::units(id, false, 4 * count) {
        if units.len() < count && units.iter().all(|other| group(other) != group(&unit)) {
            units.push(unit);
        }
    }
    assert_eq!(units.len(), count);
    units
}

async fn what_is_undefined_is_absent(server: TestServer) {
    server.run(wire::experiment("sparse")).await;
    let empty = server.results("sparse").await;
    for metric in &empty.metrics {
        for arm in &metric.statistics {
            assert_eq!((arm.count, arm.groups), (0, 0));
            assert_eq!((arm.estimate, arm.standard_error, arm.variance), (None, None, None));
            assert_eq!(arm.interval, None);
        }
        check_nothing_to_compare(&metric.comparisons[0]);
    }
    let ratio = empty.sample_ratio.unwrap();
    assert_eq!((ratio.chi_squared, ratio.p_value, ratio.mismatch), (None, None, false));

    // One outcome: a sum, but no spread.
    let unit = wire::unit("sparse", true);
    server.log(wire::outcome("sparse", &unit, &[("csat", 3.0)])).await.unwrap();
    let results = server.results("sparse").await;
    let arm = statistics(&results, "csat", "treatment");
    assert_eq!((arm.count, arm.standard_error, arm.variance), (1, None, None));
    assert_eq!(arm.interval, None);
    check_nothing_to_compare(&metric(&results, "csat").comparisons[0]);

    // No variance in either arm: a difference, but no test of it, and no lift over zero.
    log_both(&server, "cost", |_| 0.0).await;
    let results = server.results("sparse").await;
    assert_eq!(statistics(&results, "cost", "control").variance, Some(0.0));
    let comparison = &metric(&results, "cost").comparisons[0];
    assert_eq!((comparison.absolute_difference, comparison.relative_lift), (Some(0.0), None));
    assert_eq!((comparison.p_value, &comparison.naive), (None, &None));
    assert_eq!((&comparison.fixed_horizon, &comparison.lift_interval), (&None, &None));
    assert_eq!((comparison.effect_size, comparison.design_effect), (None, None));
    assert_eq!(comparison.verdict(), Verdict::InsufficientData);

    // A baseline of zero takes the lift away, not the test.
    log_both(&server, "latency", |unit| if unit < 5 { 0.0 } else { f64::from(unit) }).await;
    let results = server.results("sparse").await;
    let comparison = &metric(&results, "latency").comparisons[0];
    assert_eq!((comparison.absolute_difference, comparison.relative_lift), (Some(7.0), None));
    assert!(comparison.fixed_horizon.is_some() && comparison.naive.is_some());
    assert_eq!(comparison.lift_interval, None);
}

/// Values of five units of control, numbered 0 to 4, and five of treatment, 5 to 9.
async fn log_both(server: &TestServer, metric: &str, value: fn(u8) -> f64) {
    let units = [wire::units("sparse", false, 5), wire::units("sparse", true, 5)].concat();
    for (number, unit) in (0..).zip(units) {
        server.log(wire::outcome("sparse", &unit, &[(metric, value(number))])).await.unwrap();
    }
}

fn metric<'a>(results: &'a pb::ExperimentResults, id: &str) -> &'a pb::MetricResult {
    results.metrics.iter().find(|metric| metric.metric_id == id).unwrap()
}

fn check_nothing_to_compare(comparison: &pb::Comparison) {
    let nothing = pb::Comparison {
        variant_id: "treatment".to_owned(),
        baseline_variant_id: "control".to_owned(),
        verdict: Verdict::InsufficientData.into(),
        ..pb::Comparison::default()
    };
    assert_eq!(*comparison, nothing);
}

#[tokio::test]
async fn metrics_come_primary_first_and_as_asked() {
    let server = TestServer::start(StoreKind::Memory).await;
    let mut experiment = wire::experiment("ordered");
    experiment.metrics.rotate_left(1);
    experiment.variants.reverse();
    server.run(experiment).await;
    let names = |results: &pb::ExperimentResults| -> Vec<_> {
        results.metrics.iter().map(|metric| metric.metric_id.clone()).collect()
    };
    let all = server.results("ordered").await;
    assert_eq!(names(&all), ["solved", "csat", "latency", "cost"]);
    assert_eq!(all.exposures[0].variant_id, "control");
    assert!(all.metrics.iter().all(|metric| metric.statistics[0].variant_id == "control"));
    let request = pb::GetResultsRequest {
        experiment_id: "ordered".to_owned(),
        metric_ids: vec!["cost".to_owned(), "solved".to_owned()],
        ..pb::GetResultsRequest::default()
    };
    let some = server.data().get_results(request).await.unwrap().into_inner().results.unwrap();
    assert_eq!(names(&some), ["solved", "cost"]);
}
