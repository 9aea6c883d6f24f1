//! What changed between two experiments, field by field. Pure.
//!
//! Items of lists are matched by their id and not by their place, so a metric added in front does
//! not show as a change of all that follow.

use serde_json::Value;

/// Set by the server: they change with every write and tell nothing about the definition.
const OUTPUT_ONLY: [&str; 9] = [
    "state",
    "iteration",
    "winner_variant_id",
    "create_time",
    "update_time",
    "start_time",
    "conclude_time",
    "etag",
    "buckets",
];

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// `metrics[csat].direction`.
    pub(super) path: String,
    /// Absent where it was not there.
    pub(super) before: Option<String>,
    /// Absent where it is gone.
    pub(super) after: Option<String>,
}

/// The fields that differ, in the order of the later document.
pub(super) fn difference(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", Some(before), Some(after), &mut changes);
    changes
}

/// A definition without what the server sets.
pub(super) fn definition(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !OUTPUT_ONLY.contains(&name.as_str()))
            .map(|(name, value)| {
                // A variant's value and the labels are the person's own: nothing in them is ours.
                let own = matches!(name.as_str(), "value" | "labels" | "overrides");
                (name.clone(), if own { value.clone() } else { definition(value) })
            })
            .collect(),
        Value::Array(items) => items.iter().map(definition).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let gone = before.keys().filter(|name| !after.contains_key(*name));
            for name in after.keys().chain(gone) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(&path, before.get(name), after.get(name), changes);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after)))
            if before.iter().chain(after).all(|item| id(item).is_some()) =>
        {
            let find = |items: &[Value], wanted: Option<&str>| {
                items.iter().position(|item| id(item) == wanted)
            };
            let gone = before.iter().filter(|item| find(after, id(item)).is_none());
            for item in after.iter().chain(gone) {
                let path = format!("{path}[{}]", id(item).unwrap_or_default());
                let at = |items: &'_ [Value]| find(items, id(item));
                let old = at(before).and_then(|index| before.get(index));
                let new = at(after).and_then(|index| after.get(index));
                compare(&path, old, new, changes);
            }
        }
        (before, after) => changes.push(Change {
            path: path.to_owned(),
            before: before.map(Value::to_string),
            after: after.map(Value::to_string),
        }),
    }
}

fn id(item: &Value) -> Option<&str> {
    ["variant_id", "metric_id"].iter().find_map(|name| item.get(name)).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn items_are_matched_by_id() {
        let before = json!({"owner": "ann", "metrics": [
            {"metric_id": "csat", "kind": "KIND_CONTINUOUS"}, {"metric_id": "gone"}]});
        let after = json!({"metrics": [
            {"metric_id": "new", "kind": "KIND_BINARY"},
            {"metric_id": "csat", "kind": "KIND_AMOUNT"}]});
        let changes = difference(&before, &after);
        let told: Vec<(&str, Option<&str>, Option<&str>)> = changes
            .iter()
            .map(|c| (c.path.as_str(), c.before.as_deref(), c.after.as_deref()))
            .collect();
        assert_eq!(
            told,
            vec![
                ("metrics[new]", None, Some(r#"{"kind":"KIND_BINARY","metric_id":"new"}"#)),
                ("metrics[csat].kind", Some("\"KIND_CONTINUOUS\""), Some("\"KIND_AMOUNT\"")),
                ("metrics[gone]", Some(r#"{"metric_id":"gone"}"#), None),
                ("owner", Some("\"ann\""), None),
            ]
        );
    }

    #[test]
    fn equal_definitions_have_no_difference() {
        let one = json!({"etag": "1", "variants": [{"variant_id": "a", "buckets": [{"end": 5}]}]});
        let two = json!({"etag": "2", "variants": [{"variant_id": "a", "buckets": []}]});
        assert_eq!(difference(&definition(&one), &definition(&two)), vec![]);
    }

    #[test]
    fn a_variants_value_may_use_any_name() {
        let variant = json!({"variants": [{"variant_id": "a", "value": {"state": "on"}}]});
        assert_eq!(definition(&variant), variant);
    }
}
