//! Recorded A/B tests of LLMs, replayed through the program onto both stores and compared with what
//! SciPy and statsmodels make of the same rows.
//!
//! The rows are not part of the repository: `TIEBREAK_DATA` says where they are.

mod deviations;
mod recorded;
mod reference;
mod segments;
mod subject;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tiebreak::rpc::pb::{AssignRequest, ExperimentResults};

use self::deviations::Deviations;
use self::recorded::{
    CODING_ASSISTANT, PERSUASION, PERSUASION_BY_MESSAGE, PERSUASION_EQUAL, PERSUASION_FOUR_TO_ONE,
    PERSUASION_MESSAGES, PERSUASION_MODELS, PROVIDERS, PROVIDERS_COMPARED, Prepared, ROUTER,
    ROUTER_BY_SUBJECT, Recorded, SUPPORT_BOT, Table,
};
use self::subject::Subject;
use crate::program::Server;
use crate::support::redis::{Persistence, RedisServer};

/// What an experiment has unless it says otherwise.
const GROUPS: u32 = 1_024;

/// Where the recorded tests are, or a word to the person that they are not looked at.
fn data() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a test has no arguments")]
    let data = std::env::var_os("TIEBREAK_DATA").map(PathBuf::from);
    if data.is_none() {
        tell("skipped: TIEBREAK_DATA is not set\n");
    }
    data
}

/// Past the harness, which would keep it to itself when the test passes.
fn tell(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn the_support_bot_on_the_embedded_store() {
    let Some(data) = data() else { return };
    on_embedded(&[&SUPPORT_BOT], &data).await;
}

#[tokio::test]
async fn the_support_bot_on_redis() {
    let Some(data) = data() else { return };
    on_redis(&[&SUPPORT_BOT], &data).await;
}

#[tokio::test]
async fn the_coding_assistant_on_the_embedded_store() {
    let Some(data) = data() else { return };
    let page = on_embedded(&[&CODING_ASSISTANT], &data).await;
    // What the example is there to show.
    let line = "copied, codellama-34b: as if all 532 outcomes were independent, p = 0.037; \
                counting programmers, p = 0.25 (variance ×3.3)  ← significant only when that is ignored";
    assert!(page.contains(line), "{page}");
}

#[tokio::test]
async fn the_coding_assistant_on_redis() {
    let Some(data) = data() else { return };
    on_redis(&[&CODING_ASSISTANT], &data).await;
}

#[tokio::test]
async fn persuasion_and_parts_of_it_on_the_embedded_store() {
    let Some(data) = data() else { return };
    let parts = [
        &PERSUASION,
        &PERSUASION_EQUAL,
        &PERSUASION_FOUR_TO_ONE,
        &PERSUASION_MODELS,
        &PERSUASION_MESSAGES,
        &PERSUASION_BY_MESSAGE,
    ];
    on_embedded(&parts, &data).await;
}

#[tokio::test]
async fn persuasion_on_redis() {
    let Some(data) = data() else { return };
    on_redis(&[&PERSUASION], &data).await;
}

#[tokio::test]
async fn the_router_on_the_embedded_store() {
    let Some(data) = data() else { return };
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&format!("embedded:{}", directory.path().display()));
    check(&ROUTER, &data, &server).await;
    let mut client = server.client().await;
    let expected = ROUTER.expected(&data);
    let buckets = expected["seed_router_replay"]["first_buckets"].as_object().unwrap();
    assert!(!buckets.is_empty());
    for (unit, bucket) in buckets {
        let request = AssignRequest {
            experiment_id: ROUTER.experiment.into(),
            unit_id: unit.clone(),
            ..AssignRequest::default()
        };
        let assignment = client.assign(request).await.unwrap().into_inner().assignment.unwrap();
        assert_eq!(assignment.bucket.map(u64::from), bucket.as_u64(), "{unit}");
    }
    let page = check(&ROUTER_BY_SUBJECT, &data, &server).await;
    // As if all questions were independent: p = 4e-50.
    assert!(page.contains("← significant only when that is ignored"), "{page}");
}

#[tokio::test]
async fn the_router_by_subject_on_redis() {
    let Some(data) = data() else { return };
    on_redis(&[&ROUTER_BY_SUBJECT], &data).await;
}

#[tokio::test]
async fn eight_providers_on_the_embedded_store() {
    let Some(data) = data() else { return };
    on_embedded(&[&PROVIDERS, &PROVIDERS_COMPARED], &data).await;
}

#[tokio::test]
async fn eight_providers_on_redis() {
    let Some(data) = data() else { return };
    on_redis(&[&PROVIDERS, &PROVIDERS_COMPARED], &data).await;
}

/// Checks every one; returns the last page.
async fn on_embedded(recorded: &[&Recorded], data: &Path) -> String {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&format!("embedded:{}", directory.path().display()));
    check_all(recorded, data, &server).await
}

/// The same on Redis.
async fn on_redis(recorded: &[&Recorded], data: &Path) -> String {
    let redis = RedisServer::start(Persistence::Nothing).await;
    check_all(recorded, data, &Server::start(&redis.url())).await
}

async fn check_all(recorded: &[&Recorded], data: &Path, server: &Server) -> String {
    let mut page = String::new();
    for recorded in recorded {
        page = check(recorded, data, server).await;
    }
    page
}

/// Replays a recorded test and compares everything that is known about it; returns the last page.
async fn check(recorded: &Recorded, data: &Path, server: &Server) -> String {
    let prepared = Prepared::new(recorded, data);
    let files = || recorded.files.iter().zip(&prepared.files);
    let replay = |table: &Table, file: &Path| {
        let arguments = prepared.arguments(recorded, table, file);
        server.run(arguments.iter().map(String::as_str)).answer()
    };
    let store = server.announced["store"].as_str().unwrap().split(':').next().unwrap();
    let mut page = String::new();
    for (table, file) in files() {
        page = replay(table, file);
        // Redis may answer too late on a busy machine; then a batch is sent again.
        let first =
            if store == "embedded" { " 0 known already, 0 not counted" } else { " 0 not counted" };
        assert!(page.contains(first), "{page}");
    }
    let results = server.results(recorded.experiment).await;
    assert_finite(&results);
    let expected = recorded.expected(data);
    let mut deviations = Deviations::default();
    check_split(recorded, &prepared, &results, &expected, &mut deviations);
    for (table, file) in files() {
        check_table(recorded, table, file, &results, &expected, &mut deviations);
    }
    tell(&format!("{} on {store}: largest deviations\n{deviations}", recorded.experiment));

    // Once for every file is enough.
    for (table, file) in files().filter(|_| !recorded.is_part()) {
        let again = replay(table, file);
        assert!(again.contains(" 0 counted") && again.contains(" 0 not counted"), "{again}");
    }
    assert_eq!(server.results(recorded.experiment).await, results, "a repeat changes nothing");
    page
}

/// What is undefined is absent.
fn assert_finite(results: &ExperimentResults) {
    let text = format!("{results:?}");
    let bad = ["NaN", "(inf", "(-inf", ": inf,", ": -inf,", ": inf }", ": -inf }"];
    let found = bad.iter().find(|bad| text.contains(**bad));
    assert_eq!(found, None, "{text}");
}

/// Units, not outcomes, are split: arms differ in how many calls they make.
fn check_split(
    recorded: &Recorded,
    prepared: &Prepared,
    results: &ExperimentResults,
    expected: &Value,
    deviations: &mut Deviations,
) {
    let check = results.sample_ratio.as_ref().unwrap();
    let found = check.chi_squared.unwrap();
    let exposures = &results.exposures;
    let units = exposures.iter().map(|exposure| {
        let units = f64::from(u32::try_from(exposure.units).unwrap());
        (units, prepared.weights[&exposure.variant_id])
    });
    let units: Vec<_> = units.collect();
    assert_eq!(units.len(), prepared.weights.len());
    let place = recorded.experiment;
    let by_hand = reference::pearson(&units);
    let name = "chi-squared of the split, second implementation";
    deviations.relative(name, place, 1e-9, (found, by_hand));

    let Some(split) = &recorded.split else { return };
    // The other way round is no promise: a look of the server's own in the middle of a file that
    // is not in random order may find the split broken, and that is never forgotten.
    assert!(check.mismatch || !split.mismatch, "{check:?}");
    let expected = expected.pointer(split.answers).unwrap();
    let observed = expected["observed"].as_object().unwrap();
    assert_eq!(exposures.len(), observed.len());
    for (name, units) in observed {
        let id = recorded.variant(name);
        let exposure = exposures.iter().find(|exposure| exposure.variant_id == id);
        assert_eq!(exposure.unwrap().units, units.as_i64().unwrap(), "units of {name}");
    }
    let pair = (found, number(&expected["chi2"]));
    deviations.relative("chi-squared of the split", place, split.bound, pair);
    let pair = (check.p_value.unwrap(), number(&expected["p"]));
    deviations.relative("p-value of the split", place, split.bound, pair);
}

fn check_table(
    recorded: &Recorded,
    table: &Table,
    file: &Path,
    results: &ExperimentResults,
    expected: &Value,
    deviations: &mut Deviations,
) {
    for (metric, column) in table.metrics {
        let result = results.metrics.iter().find(|result| result.metric_id == *metric).unwrap();
        let group = |unit: &str| reference::group(recorded.experiment, unit, GROUPS);
        let observations = reference::column(file, table.unit, column, group);
        let mut subject = Subject { recorded, result, observations: &observations, deviations };
        for (name, numbers) in recorded.moments(expected, table, column) {
            subject.check_moments(name, numbers);
        }
        for statistics in &result.statistics {
            subject.check_estimate(statistics);
        }
        let known = recorded.column(expected, table, column)["comparisons"].as_array().unwrap();
        let against_control = known.iter().filter(|known| {
            let treatment = known["treatment"].as_str().unwrap();
            known["control"] == recorded.control && recorded.includes(treatment)
        });
        let known: Vec<_> = against_control.collect();
        let mut checked = 0;
        for comparison in &result.comparisons {
            let name = recorded.name(&comparison.variant_id);
            subject.check_test(name, comparison);
            if let Some(known) = known.iter().find(|known| known["treatment"] == name) {
                subject.check_comparison(name, comparison, known, expected);
                checked += 1;
            }
        }
        assert_eq!(checked, known.len(), "comparisons of {metric}");
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}
