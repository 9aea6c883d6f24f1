//! When a computed field agrees with the expected one.

use serde_json::Value;

use super::input::{Fields, number};

/// Expected fields that are no result of ours, and why.
const IGNORED: [(&str, &str); 6] = [
    ("condition_number", "describes how hard the case is"),
    ("lre_cap_if_inputs_rounded_to_f64", "describes the case"),
    ("lre_decimal_exact", "describes the case"),
    ("sd_decimal_exact", "sd with more digits than a double has"),
    ("sd_f64_exact", "what is reached by rounding the inputs to doubles, which is not done here"),
    ("prob_normal_approx", "what a plain normal approximation gives, to compare"),
];

/// Below this a p-value is compared by its logarithm.
const TINY: f64 = 1e-290;

pub(super) fn differences(got: &Fields, expected: &Value, tolerance: &Value) -> Vec<String> {
    let expected = expected.as_object().unwrap();
    let fields = expected.iter().filter(|(field, _)| IGNORED.iter().all(|(name, _)| name != field));
    fields
        .filter_map(|(field, expected)| {
            let Some(got) = got.get(field) else {
                return Some(format!("{field} not computed, expected {expected}"));
            };
            let close = agrees(field, got, expected, tolerance);
            (!close).then(|| format!("{field} is {got}, expected {expected}"))
        })
        .collect()
}

fn agrees(field: &str, got: &Value, expected: &Value, tolerance: &Value) -> bool {
    if let (Value::Array(got), Value::Array(expected)) = (got, expected) {
        let mut pairs = got.iter().zip(expected);
        return got.len() == expected.len() && pairs.all(|(g, e)| agrees(field, g, e, tolerance));
    }
    match (number(got), number(expected)) {
        (Some(got), Some(expected)) if expected.is_finite() => {
            let relative = tolerance["rel"].as_f64().unwrap_or(0.0);
            let named = [format!("abs_{field}"), "abs".to_owned()];
            let absolute = named.iter().find_map(|name| tolerance[name].as_f64()).unwrap_or(0.0);
            let tiny = field.starts_with("p_value") && got < TINY && expected < TINY;
            tiny || (got - expected).abs() <= relative * expected.abs() + absolute
        }
        (Some(got), Some(expected)) => got.to_bits() == expected.to_bits(),
        (_, _) => got == expected,
    }
}
