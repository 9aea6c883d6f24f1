//! A recorded test broken down by a dimension: every segment shows what a replay of its rows alone
//! shows, and what a second implementation makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tiebreak::rpc::pb::{GetResultsRequest, GetResultsResponse, MetricResult, Segment};

use super::reference;
use crate::program::Server;

/// Groups of units in a segment.
const GROUPS: u32 = 64;

/// A recorded test with a dimension in its first file.
struct Test {
    experiment: &'static str,
    definition: String,
    files: Vec<File>,
    dimension: &'static str,
}

/// A file and its columns.
struct File {
    path: PathBuf,
    unit: &'static str,
    event: &'static str,
    /// By metric.
    metrics: &'static [(&'static str, &'static str)],
}

impl Test {
    /// Replays files of the test; only the first tells the dimension, and only when asked to.
    /// Returns what was said on the way.
    fn replay(&self, server: &Server, definition: &Path, files: &[PathBuf], told: bool) -> String {
        let mut said = String::new();
        for (number, (file, of)) in files.iter().zip(&self.files).enumerate() {
            let File { unit, event, .. } = of;
            let metrics: Vec<String> = of.metrics.iter().map(|(m, c)| format!("{m}={c}")).collect();
            let dimension = format!("{0}={0}", self.dimension);
            let (file, definition) = (file.to_str().unwrap(), definition.to_str().unwrap());
            let mut arguments = vec!["replay", file, "--experiment", definition, "--unit", unit];
            arguments.extend(["--variant", "variant", "--event-id", event]);
            arguments.extend(metrics.iter().flat_map(|metric| ["--metric", metric]));
            if told && number == 0 {
                arguments.extend(["--dimension", &dimension]);
            }
            let ran = server.run(arguments);
            said += &ran.err;
            ran.answer();
        }
        said
    }

    /// The units of every value, by the first row of each.
    fn units(&self) -> BTreeMap<String, BTreeSet<String>> {
        let File { path, unit, .. } = &self.files[0];
        let mut seen = BTreeSet::new();
        let mut units = BTreeMap::<String, BTreeSet<String>>::new();
        for row in rows(path) {
            if seen.insert(row[*unit].clone()) {
                let value = Some(&row[self.dimension]).filter(|value| !value.is_empty());
                let value = value.map_or("(none)", String::as_str);
                units.entry(value.to_owned()).or_default().insert(row[*unit].clone());
            }
        }
        units
    }

    /// The rows of some units, in files of their own.
    fn part(&self, units: &BTreeSet<String>, directory: &Path) -> Vec<PathBuf> {
        let keep = |(number, of): (usize, &File)| {
            let path = directory.join(format!("{number}.csv"));
            let mut reader = csv::Reader::from_path(&of.path).unwrap();
            let mut writer = csv::Writer::from_path(&path).unwrap();
            let headers = reader.headers().unwrap().clone();
            writer.write_record(&headers).unwrap();
            let unit = headers.iter().position(|header| header == of.unit).unwrap();
            for row in reader.records().map(Result::unwrap).filter(|row| units.contains(&row[unit]))
            {
                writer.write_record(&row).unwrap();
            }
            writer.flush().unwrap();
            path
        };
        self.files.iter().enumerate().map(keep).collect()
    }

    /// The same test under another name, whose units are grouped as those of a segment are.
    fn definition_of_part(&self, id: &str) -> String {
        let (experiment, salt) =
            (self.experiment, format!("bucketing:\n  salt: {}", self.experiment));
        let groups = format!("analysis:\n  groups: {GROUPS}");
        let definition = self
            .definition
            .replace(&format!("experiment_id: {experiment}"), &format!("experiment_id: {id}"));
        definition.replace("bucketing:", &salt).replace("analysis:", &groups)
    }

    async fn check(&self, server: &Server) -> String {
        let directory = tempfile::tempdir().unwrap();
        let definition = directory.path().join("whole.yaml");
        std::fs::write(&definition, &self.definition).unwrap();
        let files: Vec<PathBuf> = self.files.iter().map(|file| file.path.clone()).collect();
        let said = self.replay(server, &definition, &files, true);
        let answer = broken_down(server, self.experiment, self.dimension).await;
        let units = self.units();
        assert_eq!(answer.segments.len(), units.len());
        for (number, segment) in answer.segments.iter().enumerate() {
            let value = &segment.segment.as_ref().unwrap().value;
            let own = &units[value];
            self.check_by_hand(own, &segment.metrics);
            let id = format!("part-{number}");
            let definition = directory.path().join(format!("{id}.yaml"));
            std::fs::write(&definition, self.definition_of_part(&id)).unwrap();
            let part = tempfile::tempdir().unwrap();
            self.replay(server, &definition, &self.part(own, part.path()), false);
            let alone = server.results(&id).await;
            assert_eq!(segment.exposures, alone.exposures, "{value}");
            for (segment, alone) in segment.metrics.iter().zip(&alone.metrics) {
                assert_eq!(comparable(segment), comparable(alone), "{value} {}", alone.metric_id);
            }
        }
        said
    }

    /// Estimates, standard errors and tests from the rows, in plain floating point.
    fn check_by_hand(&self, units: &BTreeSet<String>, metrics: &[MetricResult]) {
        let mut checked = 0;
        for File { path, unit, metrics: columns, .. } in &self.files {
            for (metric, column) in *columns {
                let group = |unit: &str| reference::group(self.experiment, unit, GROUPS);
                let mut seen = reference::column(path, unit, column, group);
                seen.retain(|observation| units.contains(&observation.unit));
                let result = metrics.iter().find(|result| result.metric_id == *metric).unwrap();
                let by_hand = |variant: &str| reference::clustered(&seen, variant, |o| &o.group);
                for arm in &result.statistics {
                    let expected = by_hand(&arm.variant_id);
                    near(arm.estimate.unwrap(), expected.mean);
                    near(arm.standard_error.unwrap(), expected.standard_error);
                }
                for comparison in &result.comparisons {
                    let control = by_hand(&comparison.baseline_variant_id);
                    let treatment = by_hand(&comparison.variant_id);
                    let test = comparison.fixed_horizon.as_ref().unwrap();
                    let [one, other] = [control, treatment].map(|arm| arm.standard_error.powi(2));
                    near(test.t_statistic, (treatment.mean - control.mean) / (one + other).sqrt());
                    let spread = one.powi(2) / (control.clusters - 1.0)
                        + other.powi(2) / (treatment.clusters - 1.0);
                    near(test.degrees_of_freedom, (one + other).powi(2) / spread);
                    checked += 1;
                }
            }
        }
        assert!(checked > 0);
    }
}

fn near(found: f64, expected: f64) {
    let bound = 1e-8 * expected.abs().max(1e-6);
    assert!((found - expected).abs() <= bound, "{found} is not {expected}");
}

fn rows(file: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(file).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

async fn broken_down(server: &Server, experiment: &str, dimension: &str) -> GetResultsResponse {
    let segment = Segment { dimension: dimension.to_owned(), ..Segment::default() };
    let request = GetResultsRequest {
        experiment_id: experiment.to_owned(),
        segment: Some(segment),
        ..GetResultsRequest::default()
    };
    server.client().await.get_results(request).await.unwrap().into_inner()
}

/// Without what knows of the other segments, and what depends on the looks on the way.
fn comparable(result: &MetricResult) -> MetricResult {
    let mut result = result.clone();
    for comparison in &mut result.comparisons {
        comparison.adjusted_p_value = None;
        comparison.significant = false;
        comparison.verdict = 0;
        comparison.sequential = None;
    }
    result.statistics.iter_mut().for_each(|arm| arm.quantiles.clear());
    result
}

fn support_bot(data: &Path, dimension: &'static str) -> Test {
    let definition = "examples/replay/01_support_bot.yaml";
    let folder = data.join("01_support_bot_models");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = |folder: &Path, name, event, metrics| File {
        path: folder.join(name),
        unit: "session_id",
        event,
        metrics,
    };
    let [sessions, events] = super::SUPPORT_BOT.files else { panic!("two files") };
    Test {
        experiment: "recorded-support-bot",
        definition: std::fs::read_to_string(root.join(definition)).unwrap(),
        files: vec![
            file(&folder, "sessions.csv", "session_id", sessions.metrics),
            file(&folder, "events.csv", "event_id", events.metrics),
        ],
        dimension,
    }
}

/// Sessions by whether their ticket had been resolved before. The calls of a session do not tell:
/// they count where their session does.
#[tokio::test]
async fn the_support_bot_by_how_tickets_went_before() {
    let Some(data) = super::data() else { return };
    let server = Server::start("memory:");
    let said = support_bot(&data, "pre_resolved").check(&server).await;
    assert!(!said.contains("note:"), "{said}");
    // What people see of it.
    let page =
        ["results", "recorded-support-bot", "--segment", "pre_resolved", "--metric", "resolved"];
    let page = server.run(page).answer();
    for part in
        ["by pre_resolved", "resolved (primary)", "342 sessions", "198 sessions", "144 sessions"]
    {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
}

/// 114 tickets: 32 have a name.
#[tokio::test]
async fn the_support_bot_by_ticket() {
    let Some(data) = super::data() else { return };
    let server = Server::start("memory:");
    let test = support_bot(&data, "ticket_id");
    let directory = tempfile::tempdir().unwrap();
    let definition = directory.path().join("whole.yaml");
    std::fs::write(&definition, &test.definition).unwrap();
    let files: Vec<PathBuf> = test.files.iter().map(|file| file.path.clone()).collect();
    test.replay(&server, &definition, &files, true);
    let answer = broken_down(&server, test.experiment, "ticket_id").await;
    assert_eq!(answer.segments.len(), 33);
    let other = answer.segments.last().unwrap();
    assert_eq!(other.segment.as_ref().unwrap().value, "(other)");
    let units = |of: &tiebreak::rpc::pb::ExperimentResults| {
        of.exposures.iter().map(|exposure| exposure.units).sum::<i64>()
    };
    assert_eq!(answer.segments.iter().map(units).sum::<i64>(), 342);
    assert_eq!(units(other), 342 - 32 * 3, "three sessions to a ticket");
}

/// 240 users with one to four rows; some change their plan on the way, some have none.
fn generated(directory: &TempDir) -> Test {
    let mut text = "id,user,variant,plan,solved,seconds\n".to_owned();
    for round in 0..4_u32 {
        for user in (0..240_u32).filter(|user| user % 4 >= round) {
            let arm = ["old", "new"][usize::from(user * 7 % 5 < 2)];
            let plan = ["free", "pro", "pro, \"big\"", ""][user as usize / 4 % 4];
            let plan = if round == 2 && user % 3 == 0 { "free" } else { plan };
            let noise = (user * 7_919 + round * 104_729) % 1_009;
            let seconds = f64::from(noise) / 100.0 + if arm == "new" { 1.5 } else { 0.25 };
            let plan = plan.replace('"', "\"\"");
            let solved = u32::from(noise % 3 == 0);
            writeln!(text, "e{user}-{round},u{user},{arm},\"{plan}\",{solved},{seconds}").unwrap();
        }
    }
    let path = directory.path().join("rows.csv");
    std::fs::write(&path, text).unwrap();
    let definition = "experiment_id: made-up
variants:
  - {variant_id: old, weight_basis_points: 6000, control: true}
  - {variant_id: new, weight_basis_points: 4000}
bucketing:
  algorithm: ALGORITHM_EXTERNAL
  unit_kind: user
metrics:
  - {metric_id: solved, kind: KIND_BINARY, direction: DIRECTION_INCREASE, role: ROLE_PRIMARY}
  - {metric_id: seconds, kind: KIND_DURATION, direction: DIRECTION_DECREASE}
analysis:
  method: METHOD_FIXED_HORIZON
";
    Test {
        experiment: "made-up",
        definition: definition.to_owned(),
        files: vec![File {
            path,
            unit: "user",
            event: "id",
            metrics: &[("solved", "solved"), ("seconds", "seconds")],
        }],
        dimension: "plan",
    }
}

#[tokio::test]
async fn generated_rows_by_plan() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start("memory:");
    let test = generated(&directory);
    let said = test.check(&server).await;
    assert!(said.contains("tell another value of a dimension than the first row"), "{said}");

    let results = |arguments: &[&str]| {
        server.run(["results", "made-up"].into_iter().chain(arguments.iter().copied()))
    };
    let page = results(&["--segment", "plan"]).answer();
    for part in
        ["made-up · running · iteration 1 · by plan", "pro, \"big\"", "(none)", "hypothesis"]
    {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
    let page = results(&["--segment", "plan=pro"]).answer();
    assert!(page.contains("made-up · running · iteration 1 · only plan = pro"), "{page}");
    assert!(page.contains("\nplan = pro: "), "whom the advice is about: {page}");
    let json = |segment| -> serde_json::Value {
        let answer = results(&["--segment", segment, "--output", "json"]).answer();
        serde_json::from_str(&answer).unwrap()
    };
    assert_eq!(json("plan")["segments"].as_array().unwrap().len(), 4);
    assert_eq!(json("plan=free")["segment"]["value"], "free");
    let complaint = results(&["--segment", "size"]).complaint(1);
    assert!(complaint.contains("which has plan"), "{complaint}");
    let complaint = results(&["--segment", "plan", "--watch"]).complaint(2);
    assert!(complaint.contains("cannot be used with"), "{complaint}");

    // Another file of the same test need not tell the dimensions again, and takes none away.
    let definition = directory.path().join("again.yaml");
    std::fs::write(&definition, &test.definition).unwrap();
    let said = test.replay(&server, &definition, &[test.files[0].path.clone()], false);
    assert_eq!(said, "");
    assert_eq!(broken_down(&server, "made-up", "plan").await.segments.len(), 4);
}
