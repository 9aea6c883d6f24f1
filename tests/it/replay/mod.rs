//! Recorded A/B tests of LLMs, replayed through the program onto both stores and compared with what
//! SciPy and statsmodels make of the same rows.
//!
//! The rows are not part of the repository: `TIEBREAK_DATA` says where they are.

mod deviations;
mod recorded;
mod reference;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tiebreak::rpc::pb::{Comparison, ExperimentResults, MetricResult, VariantStatistics};

use self::deviations::Deviations;
use self::recorded::{CODING_ASSISTANT, Recorded, SUPPORT_BOT, Table};
use self::reference::{Estimate, Observation};
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
    let directory = tempfile::tempdir().unwrap();
    let store = format!("embedded:{}", directory.path().display());
    check(&SUPPORT_BOT, &data, &Server::start(&store)).await;
}

#[tokio::test]
async fn the_support_bot_on_redis() {
    let Some(data) = data() else { return };
    let redis = RedisServer::start(Persistence::Nothing).await;
    check(&SUPPORT_BOT, &data, &Server::start(&redis.url())).await;
}

#[tokio::test]
async fn the_coding_assistant_on_the_embedded_store() {
    let Some(data) = data() else { return };
    let directory = tempfile::tempdir().unwrap();
    let store = format!("embedded:{}", directory.path().display());
    let page = check(&CODING_ASSISTANT, &data, &Server::start(&store)).await;
    // What the example is there to show.
    let line = "copied, codellama-34b: as if all 532 outcomes were independent, p = 0.037; \
                counting programmers, p = 0.25 (variance ×3.3)  ← significant only when that is ignored";
    assert!(page.contains(line), "{page}");
}

#[tokio::test]
async fn the_coding_assistant_on_redis() {
    let Some(data) = data() else { return };
    let redis = RedisServer::start(Persistence::Nothing).await;
    check(&CODING_ASSISTANT, &data, &Server::start(&redis.url())).await;
}

/// Replays a recorded test and compares everything that is known about it; returns the last page.
async fn check(recorded: &Recorded, data: &Path, server: &Server) -> String {
    let mut page = String::new();
    for table in recorded.files {
        page = replay(recorded, data, table, server);
        assert!(page.contains(" 0 known already, 0 not counted"), "{page}");
    }
    let results = server.results(recorded.experiment).await;
    let expected = recorded.expected(data);
    let mut deviations = Deviations::default();
    check_split(recorded, &results, &expected["srm"]["units"], &mut deviations);
    for table in recorded.files {
        check_table(recorded, data, table, &results, &expected, &mut deviations);
    }
    let store = server.announced["store"].as_str().unwrap().split(':').next().unwrap();
    tell(&format!("{} on {store}: largest deviations\n{deviations}", recorded.experiment));

    for table in recorded.files {
        let again = replay(recorded, data, table, server);
        assert!(again.contains(" 0 counted") && again.contains(" 0 not counted"), "{again}");
    }
    assert_eq!(server.results(recorded.experiment).await, results, "a repeat changes nothing");
    page
}

fn replay(recorded: &Recorded, data: &Path, table: &Table, server: &Server) -> String {
    let arguments = recorded.arguments(data, table);
    server.run(arguments.iter().map(String::as_str)).answer()
}

/// Units, not outcomes, are split: arms differ in how many calls they make.
fn check_split(
    recorded: &Recorded,
    results: &ExperimentResults,
    expected: &Value,
    deviations: &mut Deviations,
) {
    let observed = expected["observed"].as_object().unwrap();
    assert_eq!(results.exposures.len(), observed.len());
    for (name, units) in observed {
        let id = recorded.variant(name);
        let exposure = results.exposures.iter().find(|exposure| exposure.variant_id == id);
        assert_eq!(exposure.unwrap().units, units.as_i64().unwrap(), "units of {name}");
    }
    let check = results.sample_ratio.as_ref().unwrap();
    assert!(!check.mismatch);
    // The thirds of the support bot are 33.34 and twice 33.33 %: equal to four digits.
    let p = check.p_value.unwrap();
    deviations.relative("p-value of the split", "units", 1e-4, (p, number(&expected["p"])));
}

fn check_table(
    recorded: &Recorded,
    data: &Path,
    table: &Table,
    results: &ExperimentResults,
    expected: &Value,
    deviations: &mut Deviations,
) {
    for (metric, column) in table.metrics {
        let result = results.metrics.iter().find(|result| result.metric_id == *metric).unwrap();
        let known = table.expected(expected, column);
        let file = recorded.path(data, table);
        let group = |unit: &str| reference::group(recorded.experiment, unit, GROUPS);
        let observations = reference::column(&file, table.unit, column, group);
        let mut subject = Subject { recorded, result, observations: &observations, deviations };
        let variants = known["per_variant"].as_object().unwrap();
        assert_eq!(result.statistics.len(), variants.len());
        for (name, numbers) in variants {
            subject.check_moments(name, numbers);
            subject.check_estimate(name);
        }
        let against_control = known["comparisons"].as_array().unwrap().iter();
        let control = &expected["control"];
        let against_control = against_control.filter(|known| known["control"] == *control);
        assert_eq!(against_control.clone().count(), result.comparisons.len());
        for comparison in against_control {
            subject.check_comparison(comparison);
        }
    }
}

/// One metric under examination.
struct Subject<'a> {
    recorded: &'a Recorded,
    result: &'a MetricResult,
    observations: &'a [Observation],
    deviations: &'a mut Deviations,
}

impl Subject<'_> {
    /// Count, sum, mean and variance of the outcomes of one variant.
    fn check_moments(&mut self, name: &str, expected: &Value) {
        let place = self.place(name);
        let statistics = self.statistics(name);
        assert_eq!(statistics.count, expected["n"].as_i64().unwrap(), "count of {place}");
        let found = [
            ("sum", statistics.sum, "sum", 1e-12),
            ("sum of squares", statistics.sum_of_squares, "sumsq", 1e-12),
            ("mean", statistics.estimate.unwrap(), "mean", 1e-9),
            ("variance", statistics.variance.unwrap(), "var", 1e-9),
        ];
        for (check, found, key, bound) in found {
            let pair = (found, number(&expected[key]));
            self.deviations.relative(check, &place, bound, pair);
        }
    }

    /// The standard error of one variant, against the second implementation: equal with the same
    /// groups, near with every unit for itself.
    fn check_estimate(&mut self, name: &str) {
        let place = self.place(name);
        let statistics = self.statistics(name);
        let (grouped, single) = (self.over_groups(name), self.over_units(name));
        let error = statistics.standard_error.unwrap();
        let groups = f64::from(u32::try_from(statistics.groups).unwrap());
        assert!((groups - grouped.clusters).abs() < 0.5, "groups of {place}");
        let check = "standard error over groups";
        self.deviations.relative(check, &place, 1e-9, (error, grouped.standard_error));
        let check = "estimate, second implementation";
        self.deviations.relative(check, &place, 1e-9, (statistics.estimate.unwrap(), grouped.mean));
        let check = "standard error, groups for units";
        self.deviations.relative(check, &place, 0.10, (error, single.standard_error));
    }

    /// A treatment against control.
    fn check_comparison(&mut self, expected: &Value) {
        let [treatment, control] =
            ["treatment", "control"].map(|key| expected[key].as_str().unwrap());
        let place = self.place(treatment);
        let comparison = self.comparison(treatment);
        // Where a unit has several outcomes, the tests that ignore it stand apart.
        let clustered = expected.get("clustered");
        let naive = if clustered.is_some() { &expected["event_level_naive"] } else { expected };
        let found = comparison.naive.as_ref().unwrap();
        for (check, p, key) in [
            ("naive Student p", found.student_p_value, "student"),
            ("naive Welch p", found.welch_p_value, "welch"),
        ] {
            self.deviations.relative(check, &place, 1e-9, (p, number(&naive[key]["p"])));
        }
        let difference = comparison.absolute_difference.unwrap();
        let expected_difference = number(&naive["welch"]["diff"]);
        self.deviations.relative("difference", &place, 1e-9, (difference, expected_difference));

        let errors = [treatment, control].map(|name| self.statistics(name).standard_error.unwrap());
        let error = errors[0].hypot(errors[1]);
        let by_unit = clustered.map_or(&naive["welch"]["se"], |known| &known["delta_ratio"]["se"]);
        let check = "standard error of the difference, groups for units";
        self.deviations.relative(check, &place, 0.10, (error, number(by_unit)));
        self.check_welch(treatment, control, &comparison);
    }

    /// Welch over groups, by hand from the second implementation.
    fn check_welch(&mut self, treatment: &str, control: &str, comparison: &Comparison) {
        let place = self.place(treatment);
        let [t, c] = [treatment, control].map(|name| self.over_groups(name));
        let [vt, vc] = [t, c].map(|estimate| estimate.standard_error.powi(2));
        let error = (vt + vc).sqrt();
        let freedom =
            (vt + vc).powi(2) / (vt.powi(2) / (t.clusters - 1.0) + vc.powi(2) / (c.clusters - 1.0));
        let test = comparison.fixed_horizon.as_ref().unwrap();
        let pair = (test.t_statistic, (t.mean - c.mean) / error);
        self.deviations.relative("t over groups", &place, 1e-9, pair);
        let pair = (test.degrees_of_freedom, freedom);
        self.deviations.relative("degrees of freedom over groups", &place, 1e-9, pair);
    }

    fn over_groups(&self, name: &str) -> Estimate {
        reference::clustered(self.observations, name, |observation| &observation.group)
    }

    fn over_units(&self, name: &str) -> Estimate {
        reference::clustered(self.observations, name, |observation| &observation.unit)
    }

    fn statistics(&self, name: &str) -> VariantStatistics {
        let id = self.recorded.variant(name);
        self.result.statistics.iter().find(|found| found.variant_id == id).unwrap().clone()
    }

    fn comparison(&self, name: &str) -> Comparison {
        let id = self.recorded.variant(name);
        self.result.comparisons.iter().find(|found| found.variant_id == id).unwrap().clone()
    }

    fn place(&self, name: &str) -> String {
        format!("{}, {name}", self.result.metric_id)
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}
