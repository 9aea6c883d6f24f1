//! Experiments in YAML: the contract's `Experiment` message, field by field, in files of one or
//! several documents.
//!
//! A file is read against the contract itself, so a misspelt field is refused and not ignored.
//! All faults of a document are told at once, each by its path.

use std::fs;
use std::path::{Path, PathBuf};

use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::{Error, wire, yaml};
use crate::rpc::pb::Experiment;

/// What files hold: every experiment with the name of its file, and every fault.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) experiments: Vec<(String, Experiment)>,
    pub(super) faults: Vec<Error>,
}

/// Reads every experiment of a file, of all `.yaml`, `.yml` and `.json` files of a directory in
/// the order of their names, or of standard input, which is called `-`.
pub(super) fn load(path: &Path) -> Result<Loaded, Error> {
    let mut loaded = Loaded::default();
    for file in files(path)? {
        let name = file.display().to_string();
        let name = if is_stdin(&file) { "standard input".to_owned() } else { name };
        match read_text(&file).and_then(|text| parse(&name, &text)) {
            Ok(parsed) => {
                let named = parsed.into_iter().map(|experiment| (name.clone(), experiment));
                loaded.experiments.extend(named);
            }
            Err(fault) => loaded.faults.push(fault),
        }
    }
    if loaded.experiments.is_empty() && loaded.faults.is_empty() {
        return Err(Error::Input(format!("{}: no experiment in it", path.display())));
    }
    Ok(loaded)
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn read_text(file: &Path) -> Result<String, Error> {
    let text = if is_stdin(file) {
        std::io::read_to_string(std::io::stdin())
    } else {
        fs::read_to_string(file)
    };
    text.map_err(|cause| unreadable(file, &cause))
}

/// Reads the one experiment of a file.
pub(super) fn load_one(path: &Path) -> Result<Experiment, Error> {
    let Loaded { mut experiments, faults } = load(path)?;
    if let Some(fault) = faults.into_iter().next() {
        return Err(fault);
    }
    match (experiments.pop(), experiments.is_empty()) {
        (Some((_, experiment)), true) => Ok(experiment),
        _ => Err(Error::Input(format!("{}: holds more than one experiment", path.display()))),
    }
}

/// Reads every experiment of a YAML text; `file` is its name in messages.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Experiment>, Error> {
    let documents = yaml::from_yaml(text)
        .map_err(|cause| Error::Input(format!("{file}: not valid YAML: {cause}")))?;
    let descriptor = wire::descriptor("Experiment")?;
    documents.into_iter().map(|document| experiment(file, &descriptor, document)).collect()
}

fn experiment(
    file: &str,
    descriptor: &MessageDescriptor,
    document: Value,
) -> Result<Experiment, Error> {
    let mut faults = Vec::new();
    find_faults(descriptor, &document, "", &mut faults);
    if !faults.is_empty() {
        return Err(Error::Input(format!("{file}: not an experiment\n  {}", faults.join("\n  "))));
    }
    read(descriptor, document)
        .and_then(|message| message.transcode_to().map_err(|cause| cause.to_string()))
        .map_err(|cause| Error::Input(format!("{file}: {cause}")))
}

fn read(descriptor: &MessageDescriptor, value: Value) -> Result<DynamicMessage, String> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(descriptor.clone(), value, &options)
        .map_err(|cause| cause.to_string())
}

/// The deserialiser stops at the first fault and does not say in which field it is. So every field
/// is tried alone, and messages are entered.
fn find_faults(
    descriptor: &MessageDescriptor,
    value: &Value,
    path: &str,
    faults: &mut Vec<String>,
) {
    let Value::Object(fields) = value else {
        let place = if path.is_empty() { "the document" } else { path };
        faults.push(format!("{place}: must be a mapping of fields"));
        return;
    };
    for (name, value) in fields {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let field =
            descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name));
        match field {
            None => faults.push(format!("{path}: no such field")),
            Some(field) => find_field_faults(descriptor, &field, value, &path, faults),
        }
    }
}

fn find_field_faults(
    owner: &MessageDescriptor,
    field: &FieldDescriptor,
    value: &Value,
    path: &str,
    faults: &mut Vec<String>,
) {
    let kind = field.kind();
    let message = kind.as_message().filter(|_| !field.is_map());
    let own_message = message.filter(|message| message.package_name() == "tiebreak.v1");
    if let (Some(inner), true, Some(items)) = (own_message, field.is_list(), value.as_array()) {
        for (index, item) in items.iter().enumerate() {
            find_faults(inner, item, &format!("{path}[{index}]"), faults);
        }
        return;
    }
    if let (Some(inner), false, true) = (own_message, field.is_list(), value.is_object()) {
        return find_faults(inner, value, path, faults);
    }
    let alone = Map::from_iter([(field.name().to_owned(), value.clone())]);
    if let Err(cause) = read(owner, Value::Object(alone)) {
        faults.push(format!("{path}: {}", explain(field, &cause)));
    }
}

/// Adds what would be right where the contract knows it.
fn explain(field: &FieldDescriptor, cause: &str) -> String {
    let Kind::Enum(choices) = field.kind() else {
        return cause.to_owned();
    };
    let names: Vec<String> = choices
        .values()
        .filter(|choice| choice.number() != 0)
        .map(|choice| choice.name().to_owned())
        .collect();
    format!("must be one of {}", names.join(", "))
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(|cause| unreadable(path, &cause))? {
        let file = entry.map_err(|cause| unreadable(path, &cause))?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if file.is_file() && matches!(extension, Some("yaml" | "yml" | "json")) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn unreadable(path: &Path, cause: &std::io::Error) -> Error {
    Error::Input(format!("cannot read {}: {cause}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::pb::metric::{Kind, Role};

    const TWO: &str = "
experiment_id: a
variants:
  - {variant_id: control, weight_basis_points: 5000, control: true}
  - {variantId: treatment, weightBasisPoints: 5000, value: {model: v2, temperature: 0.2}}
metrics:
  - {metric_id: done, kind: KIND_BINARY, direction: DIRECTION_INCREASE, role: ROLE_PRIMARY}
analysis: {alpha: 0.1, planned_units: 4000}
---
experiment_id: b
";

    #[test]
    fn both_spellings_and_several_documents_are_read() {
        let experiments = parse("x.yaml", TWO).unwrap();
        assert_eq!(experiments.len(), 2);
        let first = &experiments[0];
        assert_eq!(first.variants[1].weight_basis_points, 5000);
        assert_eq!(first.metrics[0].kind(), Kind::Binary);
        assert_eq!(first.metrics[0].role(), Role::Primary);
        assert_eq!(first.analysis.as_ref().unwrap().planned_units, Some(4000));
        assert_eq!(experiments[1].experiment_id, "b");
    }

    #[test]
    fn every_fault_is_named_by_its_path() {
        let text = "
experiment_id: a
variantz: []
variants: [{variant_id: c, weight_basis_points: many}]
metrics: [{metric_id: m, kind: KIND_COLOUR}]
analysis: {alfa: 0.05}
";
        let message = parse("bad.yaml", text).unwrap_err().to_string();
        assert!(message.starts_with("bad.yaml: not an experiment\n"), "{message}");
        for part in [
            "variantz: no such field",
            "variants[0].weight_basis_points: ",
            "metrics[0].kind: must be one of KIND_BINARY, KIND_CONTINUOUS",
            "analysis.alfa: no such field",
        ] {
            assert!(message.contains(part), "{part} is not in {message}");
        }
    }

    #[test]
    fn text_that_is_no_mapping_is_refused() {
        assert!(parse("x.yaml", "- a\n- b").unwrap_err().to_string().contains("mapping"));
        assert!(parse("x.yaml", "a: [").unwrap_err().to_string().contains("not valid YAML"));
    }
}
