//! JSON values as YAML that a person likes to read and `apply` reads back.
//!
//! What is read is YAML 1.2: `no`, `y` and `on` are texts, and so is `010`. A payload is served as
//! it was written.

use prost_reflect::{FieldDescriptor, MessageDescriptor};
use serde_json::Value;
use serde_saphyr::{RenderOptions, SnippetMode, UserMessageFormatter};

/// All documents of a text, or where and why it is no YAML.
pub(super) fn from_yaml(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let mut plain = RenderOptions::new(&UserMessageFormatter);
        plain.snippets = SnippetMode::Off;
        error.render_with_options(plain)
    })
}

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
        assert_eq!(from_yaml(&text).unwrap(), [value], "{text}");
    }

    /// In YAML 1.1 Norway is a boolean and a postcode a number.
    #[test]
    fn a_payload_is_read_as_it_is_written() {
        let text = "{country: no, model: y, onoff: on, zip: 010, on: Yes, real: true, n: 8}";
        assert_eq!(
            from_yaml(text).unwrap(),
            [json!({"country": "no", "model": "y", "onoff": "on", "zip": "010", "on": "Yes",
                "real": true, "n": 8})]
        );
    }

    #[test]
    fn faults_are_told_without_the_words_of_the_parser() {
        let told = from_yaml("a: 1\na: 2\n").unwrap_err();
        assert!(told.contains("line 2") && told.contains("duplicate"), "{told}");
        assert!(!told.contains("Policy") && !told.contains('\n'), "{told}");
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
