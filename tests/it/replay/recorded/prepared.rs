//! A recorded test as it is replayed: the file and the example themselves, or what is made of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::reference;
use super::{Recorded, Rows, Table};

/// Files ready to be replayed, in the order of [`Recorded::files`].
#[derive(Debug)]
pub(in super::super) struct Prepared {
    definition: PathBuf,
    pub(in super::super) files: Vec<PathBuf>,
    /// By id: the share that was planned.
    pub(in super::super) weights: BTreeMap<String, f64>,
    /// Who assigns: a column or the server.
    variant: &'static str,
    /// Removed with it.
    _directory: TempDir,
}

impl Prepared {
    /// Makes them.
    pub(in super::super) fn new(recorded: &Recorded, data: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = recorded.files.iter().map(|table| {
            let original = data.join(recorded.folder).join(table.file);
            let made = directory.path().join(table.file);
            match &recorded.rows {
                Rows::All => return original,
                Rows::Arms(_) => keep_arms(recorded, &original, &made),
                Rows::Router { control, treatment } => {
                    route(recorded, table, [*control, *treatment], &original, &made);
                }
            }
            made
        });
        let files = files.collect();
        let (definition, experiment) = define(recorded, directory.path());
        let weights = experiment["variants"].as_array().unwrap().iter().map(|variant| {
            let id = variant["variant_id"].as_str().unwrap().to_owned();
            (id, variant["weight_basis_points"].as_f64().unwrap())
        });
        let weights = weights.collect();
        let routed = matches!(recorded.rows, Rows::Router { .. });
        let variant = if routed { "assign" } else { "variant" };
        Self { definition, files, weights, variant, _directory: directory }
    }

    /// The arguments of the command that replays one of the files.
    pub(in super::super) fn arguments(
        &self,
        recorded: &Recorded,
        table: &Table,
        file: &Path,
    ) -> Vec<String> {
        let definition = self.definition.display().to_string();
        let mut arguments = vec!["replay".to_owned(), file.display().to_string()];
        let options = [
            ("--experiment", definition.as_str()),
            ("--unit", table.unit),
            ("--variant", self.variant),
            ("--event-id", table.event_id),
        ];
        arguments.extend(
            options.iter().flat_map(|(flag, value)| [flag, value].map(ToString::to_string)),
        );
        let mut pairs = |flag: &str, pairs: &[(&str, &str)]| {
            arguments.extend(pairs.iter().flat_map(|(a, b)| [flag.to_owned(), format!("{a}={b}")]));
        };
        pairs("--map-variant", recorded.renamed);
        pairs("--metric", table.metrics);
        arguments
    }
}

/// The example, or a copy that differs in its id and, where only some take part, in its variants.
fn define(recorded: &Recorded, directory: &Path) -> (PathBuf, Value) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join(recorded.definition);
    let text = std::fs::read_to_string(&example).unwrap();
    let mut experiment: Value = serde_saphyr::from_str(&text).unwrap();
    if experiment["experiment_id"] == recorded.experiment {
        return (example, experiment);
    }
    experiment["experiment_id"] = recorded.experiment.into();
    if let Rows::Arms(arms) = recorded.rows {
        let variants = arms.iter().enumerate().map(|(index, (name, weight))| {
            json!({
                "variant_id": recorded.variant(name),
                "weight_basis_points": weight,
                "control": index == 0,
            })
        });
        experiment["variants"] = variants.collect();
    }
    let made = directory.join("experiment.yaml");
    // JSON is YAML.
    std::fs::write(&made, experiment.to_string()).unwrap();
    (made, experiment)
}

/// Copies the rows of the variants that take part.
fn keep_arms(recorded: &Recorded, original: &Path, made: &Path) {
    let mut reader = csv::Reader::from_path(original).unwrap();
    let mut writer = csv::Writer::from_path(made).unwrap();
    let headers = reader.headers().unwrap().clone();
    let variant = headers.iter().position(|header| header == "variant").unwrap();
    writer.write_record(&headers).unwrap();
    for row in reader.records().map(Result::unwrap) {
        if recorded.includes(&row[variant]) {
            writer.write_record(&row).unwrap();
        }
    }
    writer.flush().unwrap();
}

/// Writes what every unit brings under the variant that it is expected to get, as column `y`.
fn route(
    recorded: &Recorded,
    table: &Table,
    [control, treatment]: [(&str, &str); 2],
    original: &Path,
    made: &Path,
) {
    let mut reader = csv::Reader::from_path(original).unwrap();
    let mut writer = csv::Writer::from_path(made).unwrap();
    let headers = reader.headers().unwrap().clone();
    let place = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let (unit, event) = (place(table.unit), place(table.event_id));
    let arms = [control, treatment].map(|(name, column)| (name, place(column)));
    // Where every row is a unit, one column is both.
    let ids = [(unit, table.unit), (event, table.event_id)];
    let ids = &ids[usize::from(unit == event)..];
    let names = ids.iter().map(|(_, name)| *name);
    writer.write_record(names.chain(["variant", "y"])).unwrap();
    for row in reader.records().map(Result::unwrap) {
        let bucket = reference::bucket(recorded.experiment, &row[unit]);
        let (name, column) = arms[usize::from(bucket < 5_000)];
        let ids = ids.iter().map(|(place, _)| &row[*place]);
        writer.write_record(ids.chain([name, &row[column]])).unwrap();
    }
    writer.flush().unwrap();
}
