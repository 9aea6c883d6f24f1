//! Standard errors over groups of units, written a second time from the definition: from the rows
//! of the file, in plain floating point, without a line of the library.

use std::collections::BTreeMap;
use std::path::Path;

use md5::{Digest as _, Md5};

/// One value of one unit under one variant.
#[derive(Debug)]
pub(super) struct Observation {
    pub(super) variant: String,
    pub(super) unit: String,
    pub(super) group: String,
    value: f64,
}

/// A column of a file; empty cells are no observations.
pub(super) fn column(
    file: &Path,
    unit: &str,
    column: &str,
    group: impl Fn(&str) -> String,
) -> Vec<Observation> {
    let mut reader = csv::Reader::from_path(file).unwrap();
    let headers = reader.headers().unwrap().clone();
    let place = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let (variant, unit, column) = (place("variant"), place(unit), place(column));
    let rows = reader.records().map(Result::unwrap).filter(|row| !row[column].is_empty());
    rows.map(|row| Observation {
        variant: row[variant].to_owned(),
        unit: row[unit].to_owned(),
        group: group(&row[unit]),
        value: row[column].parse().unwrap(),
    })
    .collect()
}

/// `int(md5("{salt}/group:{unit}")) % groups`.
pub(super) fn group(salt: &str, unit: &str, groups: u32) -> String {
    let digest = Md5::digest(format!("{salt}/group:{unit}"));
    (u128::from_be_bytes(digest.into()) % u128::from(groups)).to_string()
}

/// `int(md5("{salt}:{unit}")) % 10000`.
pub(super) fn bucket(salt: &str, unit: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(format!("{salt}:{unit}")).into()) % 10_000
}

/// Pearson's statistic of units against weights.
pub(super) fn pearson(units: &[(f64, f64)]) -> f64 {
    let total = sum(units.iter().map(|(units, _)| *units));
    let weights = sum(units.iter().map(|(_, weight)| *weight));
    sum(units.iter().map(|(units, weight)| {
        let expected = total * weight / weights;
        (units - expected).powi(2) / expected
    }))
}

/// The mean of one variant and its standard error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    pub(super) mean: f64,
    pub(super) standard_error: f64,
    pub(super) clusters: f64,
}

/// The ratio of sums by the delta method over clusters of observations:
/// `R = ΣS / ΣN`, `var R = k/(k-1) · Σ(S - R·N)² / (ΣN)²`.
pub(super) fn clustered(
    observations: &[Observation],
    variant: &str,
    cluster: fn(&Observation) -> &String,
) -> Estimate {
    let mut clusters: BTreeMap<&String, Vec<f64>> = BTreeMap::new();
    for observation in observations.iter().filter(|observation| observation.variant == variant) {
        clusters.entry(cluster(observation)).or_default().push(observation.value);
    }
    let rows: Vec<(f64, f64)> =
        clusters.values().map(|values| (length(values), sum(values.iter().copied()))).collect();
    let n = sum(rows.iter().map(|(n, _)| *n));
    let mean = sum(rows.iter().map(|(_, s)| *s)) / n;
    let k = length(&rows);
    let squares = sum(rows.iter().map(|(n, s)| (s - mean * n).powi(2)));
    Estimate { mean, standard_error: (k / (k - 1.0) * squares).sqrt() / n, clusters: k }
}

fn length<T>(items: &[T]) -> f64 {
    f64::from(u32::try_from(items.len()).unwrap())
}

/// Neumaier's compensated sum.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (total, lost) = values.fold((0.0_f64, 0.0), |(total, lost), value| {
        let next = total + value;
        let rest = if total.abs() >= value.abs() {
            (total - next) + value
        } else {
            (value - next) + total
        };
        (next, lost + rest)
    });
    total + lost
}
