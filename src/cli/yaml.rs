//! JSON values as YAML that a person likes to read and `apply` reads back.

use prost_reflect::{FieldDescriptor, MessageDescriptor};
use serde_json::Value;

/// A value as a YAML document, with a final line feed. Fields stand in the order in which the
/// message, where there is one, declares them; all others by name.
pub(super) fn to_yaml(value: &Value, message: Option<&MessageDescriptor>) -> String {
    let mut text = String::new();
    write(value, message, 0, &mut text);
    text
}

fn write(value: &Value, message: Option<&MessageDescriptor>, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    if let Some(fields) = value.as_object().filter(|fields| !fields.is_empty()) {
        let declared = |name: &str| message.and_then(|message| message.get_field_by_name(name));
        let mut fields: Vec<_> =
            fields.iter().map(|(name, value)| (declared(name), name, value)).collect();
        fields.sort_by_key(|(field, ..)| field.as_ref().map(FieldDescriptor::number));
        for (field, name, value) in fields {
            let kind = field.filter(|field| !field.is_map()).map(|field| field.kind());
            let inner = kind.as_ref().and_then(|kind| kind.as_message());
            text.extend([&indent, &scalar(name), ":"]);
            write_after(value, inner, depth + 1, text);
        }
    } else if let Some(items) = value.as_array().filter(|items| !items.is_empty()) {
        for item in items {
            let mut block = String::new();
            write(item, message, depth + 1, &mut block);
            // The first line of the item moves up behind its dash.
            text.extend([&indent, "- ", block.trim_start()]);
        }
    } else {
        text.extend([&indent, &flow(value), "\n"]);
    }
}

fn write_after(
    value: &Value,
    message: Option<&MessageDescriptor>,
    depth: usize,
    text: &mut String,
) {
    let nested = value.as_object().is_some_and(|fields| !fields.is_empty())
        || value.as_array().is_some_and(|items| !items.is_empty());
    if nested {
        text.push('\n');
        write(value, message, depth, text);
    } else {
        text.extend([" ", &flow(value), "\n"]);
    }
}

fn flow(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), scalar)
}

/// Bare where that can only be read as a text; JSON's quoting, which YAML shares, otherwise.
fn scalar(text: &str) -> String {
    let first = text.chars().next().is_some_and(|first| first.is_ascii_alphabetic());
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./ ".contains(c));
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let word = words.contains(&text.to_ascii_lowercase().as_str());
    if first && plain && !word && !text.ends_with(' ') {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let value = json!({
            "id": "support-bot",
            "tricky": ["yes", "1.5", "", "a: b", "# no", "null", "ü", "line\nfeed", "tail "],
            "labels": {},
            "list": [],
            "variants": [{"id": "a", "weight": 8000, "value": {"x": [1, 2.5]}}, {"id": "b"}],
        });
        let text = to_yaml(&value, None);
        let back: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back, value, "{text}");
    }

    #[test]
    fn it_reads_well() {
        let text = to_yaml(&json!({"a": {"b": "some words"}, "c": [{"d": 1, "e": true}]}), None);
        assert_eq!(text, "a:\n  b: some words\nc:\n  - d: 1\n    e: true\n");
    }

    #[test]
    fn fields_stand_in_the_order_of_the_contract() {
        let value = json!({"variants": [{"control": true, "variant_id": "a"}],
            "experiment_id": "x"});
        let message = crate::cli::wire::descriptor("Experiment").unwrap();
        assert_eq!(
            to_yaml(&value, Some(&message)),
            "experiment_id: x\nvariants:\n  - variant_id: a\n    control: true\n"
        );
    }
}
