//! The statistics against vectors computed elsewhere (`tests/golden/stats`, and every file of the folder that
//! `TIEBREAK_GOLDEN` names): each case of each kind that the service computes, through the functions it ships.

mod compare;
mod designs;
mod input;
mod means;
mod quantiles;
mod rates;
mod sequential;
mod sums;
mod units;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use self::input::Fields;

/// How a case of a kind is computed; `None` where its method is left out.
type Compute = fn(&Value) -> Option<Fields>;

const KINDS: [(&str, Compute); 33] = [
    ("accumulate", |inputs| Some(sums::accumulate(inputs))),
    ("accumulate_welch", |inputs| Some(sums::accumulate_welch(inputs))),
    ("assign_md5", units::assign),
    ("bayes_normal", |inputs| Some(rates::bayes_normal(inputs))),
    ("beta_binomial", |inputs| Some(rates::beta_binomial(inputs))),
    ("capped_mean_test", |inputs| Some(means::capped(inputs))),
    ("cluster_stream", |inputs| Some(units::cluster_stream(inputs))),
    ("cuped", |inputs| Some(units::cuped(inputs))),
    ("decimal_accumulate", |inputs| Some(sums::listed(inputs))),
    ("e2e", |inputs| Some(units::end_to_end(inputs))),
    ("kernel", |inputs| Some(sums::kernel(inputs))),
    ("lift", |inputs| Some(means::lift(inputs))),
    ("mde_normal", |inputs| Some(designs::detectable(inputs))),
    ("mean_test", |inputs| Some(means::mean_test(inputs))),
    ("merge", |inputs| Some(sums::merge(inputs))),
    ("multiplicity", designs::multiplicity),
    ("n_means_normal", |inputs| Some(designs::of_means(inputs))),
    ("n_props", |inputs| Some(designs::of_rates(inputs))),
    ("nist", |inputs| Some(sums::listed(inputs))),
    ("non_inferiority", |inputs| Some(means::non_inferiority(inputs))),
    ("prop_test", |inputs| Some(rates::prop_test(inputs))),
    ("quantile_test", |inputs| Some(quantiles::fixed(inputs))),
    ("ratio", |inputs| Some(units::ratio(inputs))),
    ("seed_ab_test", |inputs| Some(means::classic(inputs))),
    ("seed_sample_size", |inputs| Some(designs::classic(inputs))),
    ("seq_guarded_t", |inputs| Some(sequential::guarded(inputs))),
    ("seq_mixture_two_sided", |inputs| Some(sequential::mixture(inputs))),
    ("seq_obf_continuous", |inputs| Some(sequential::obrien_fleming(inputs))),
    ("seq_quantile_ab", |inputs| Some(quantiles::always_valid(inputs))),
    ("seq_stream", |inputs| Some(sequential::stream(inputs))),
    ("srm", |inputs| Some(sequential::srm(inputs))),
    ("srm_sequential", |inputs| Some(sequential::srm_sequential(inputs))),
    ("t_power", |inputs| Some(designs::power(inputs))),
];

/// What happened to the cases.
#[derive(Default)]
struct Tally {
    passed: BTreeMap<&'static str, usize>,
    left_out: BTreeMap<String, usize>,
    failures: Vec<String>,
}

impl Tally {
    fn run(&mut self, case: &Value) {
        let kind = case["kind"].as_str().unwrap();
        let Some((name, compute)) = KINDS.iter().find(|(name, _)| *name == kind) else {
            *self.left_out.entry(kind.to_owned()).or_default() += 1;
            return;
        };
        // A case that panics is a case that fails, not the end of the run.
        let wrong = match catch_unwind(AssertUnwindSafe(|| compute(&case["inputs"]))) {
            Ok(Some(got)) => compare::differences(&got, &case["expected"], &case["tolerance"]),
            Ok(None) => {
                let method = case["inputs"]["method"].as_str().unwrap_or("refused by contract");
                *self.left_out.entry(format!("{kind}: {method}")).or_default() += 1;
                return;
            }
            Err(_) => vec!["panicked".to_owned()],
        };
        if wrong.is_empty() {
            *self.passed.entry(name).or_default() += 1;
        } else {
            self.failures.push(format!("{}: {}", case["id"], wrong.join("; ")));
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stats")
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The vectors of this repository and, if there are, those of `TIEBREAK_GOLDEN`.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no arguments; it is told by the environment"
)]
fn files() -> Vec<PathBuf> {
    let mut files = vec![folder().join("golden_shared.json")];
    if let Some(further) = std::env::var_os("TIEBREAK_GOLDEN") {
        let entries = fs::read_dir(further).unwrap().map(|entry| entry.unwrap().path());
        files.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "json")));
        files.sort();
    }
    files
}

#[test]
fn every_case_is_within_its_tolerance() {
    let mut tally = Tally::default();
    for file in files() {
        let document = read(&file);
        // A file of another shape (a folder may hold other JSON, too) has no cases.
        document["cases"].as_array().into_iter().flatten().for_each(|case| tally.run(case));
    }
    for (kind, count) in &tally.passed {
        println!("passed    {kind:24} {count:4}");
    }
    for (kind, count) in &tally.left_out {
        println!("left out  {kind:24} {count:4}");
    }
    println!("passed {}, failed {}", tally.passed.values().sum::<usize>(), tally.failures.len());
    assert!(tally.failures.is_empty(), "{}", tally.failures.join("\n"));
    let without: Vec<_> = KINDS
        .iter()
        .map(|(kind, _)| kind)
        .filter(|kind| !tally.passed.contains_key(**kind))
        .collect();
    assert!(without.is_empty(), "claimed, but without a case: {without:?}");
}

#[test]
fn files_are_the_published_ones() {
    let sums = fs::read_to_string(folder().join("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 2);
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let digest = Sha256::digest(fs::read(folder().join(name)).unwrap());
        let published = (0..64).step_by(2).map(|at| u8::from_str_radix(&sum[at..at + 2], 16));
        let published: Vec<u8> = published.collect::<Result<_, _>>().unwrap();
        assert_eq!(digest.as_slice(), published, "{name} is not the file that was published");
    }
}
