//! Reading inputs and writing fields.

use serde_json::{Map, Value, json};
use tiebreak::stats::dd::Dd;
use tiebreak::stats::mean_test::{Alternative, TTest};
use tiebreak::stats::moments::Moments;
use tiebreak::stats::{Interval, Undefined};

pub(super) type Fields = Map<String, Value>;

/// A number, or the text that stands for an infinite one.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("inf") => Some(f64::INFINITY),
        Some("-inf") => Some(f64::NEG_INFINITY),
        _ => value.as_f64(),
    }
}

pub(super) fn real(inputs: &Value, field: &str) -> f64 {
    number(&inputs[field]).unwrap_or_else(|| panic!("{field} is {}", inputs[field]))
}

/// A number with all its digits: an integer may have more than a double holds.
pub(super) fn exact(inputs: &Value, field: &str) -> Dd {
    let value = &inputs[field];
    let whole = value.as_i64().map(Dd::from_i64).or_else(|| value.as_u64().map(Dd::from_u64));
    whole.unwrap_or_else(|| Dd::from(real(inputs, field)))
}

/// A count, which may be written as a floating number.
pub(super) fn count(inputs: &Value, field: &str) -> u64 {
    whole(&inputs[field])
}

pub(super) fn counts(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(whole).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be a whole number in range"
)]
fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| {
        let number = value.as_f64().unwrap();
        assert!(number.fract() == 0.0 && (0.0..1e19).contains(&number), "{number} is no count");
        number as u64
    })
}

pub(super) fn reals(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|value| number(value).unwrap()).collect()
}

pub(super) fn moments(arm: &Value) -> Moments {
    Moments::new(count(arm, "n"), exact(arm, "sum"), exact(arm, "sum_sq"))
}

/// Sums of doubles, each taken for exactly what it is.
pub(super) fn moments_of(values: &[f64]) -> Moments {
    let sum = values.iter().map(|&value| Dd::from(value)).sum();
    let squares = values.iter().map(|&value| Dd::product(value, value)).sum();
    Moments::new(u64::try_from(values.len()).unwrap(), sum, squares)
}

pub(super) fn alternative(inputs: &Value) -> Alternative {
    match inputs["alternative"].as_str().unwrap_or("two-sided") {
        "two-sided" => Alternative::TwoSided,
        "greater" | "larger" => Alternative::Greater,
        "less" | "smaller" => Alternative::Less,
        other => panic!("alternative {other}"),
    }
}

pub(super) fn confidence(inputs: &Value) -> f64 {
    number(&inputs["confidence"]).unwrap_or(0.95)
}

/// The fields of a JSON object.
pub(super) fn fields(object: Value) -> Fields {
    match object {
        Value::Object(fields) => fields,
        other => panic!("{other} is no object"),
    }
}

/// JSON has no infinity; the vectors write it as text. NaN is a failure wherever it comes from.
pub(super) fn bound(value: f64) -> Value {
    assert!(!value.is_nan(), "NaN");
    match value {
        f64::INFINITY => json!("inf"),
        f64::NEG_INFINITY => json!("-inf"),
        finite => json!(finite),
    }
}

pub(super) fn status(reason: Undefined) -> Value {
    json!(match reason {
        Undefined::NotEnoughData => "INSUFFICIENT_DATA",
        Undefined::ZeroVariance => "ZERO_VARIANCE",
        Undefined::ZeroBaseline => "BASELINE_ZERO",
        Undefined::ZeroDenominator => "ZERO_DENOMINATOR",
        Undefined::InvalidSums => "INVALID_SUFFICIENT_STATISTICS",
        Undefined::OutsideDomain => "OUTSIDE_DOMAIN",
        Undefined::OutOfRange => "OUT_OF_RANGE",
    })
}

pub(super) fn refused(reason: Undefined) -> Fields {
    fields(json!({"status": status(reason)}))
}

/// The fields of a t-test, or its status.
pub(super) fn t_test(test: Result<TTest, Undefined>, inputs: &Value) -> Fields {
    let test = match test {
        Ok(test) => test,
        Err(reason) => return refused(reason),
    };
    let tail = test.tail(alternative(inputs));
    let Interval { lower, upper } = test.interval_against(alternative(inputs), confidence(inputs));
    fields(json!({
        "diff": test.difference, "se": test.standard_error, "df": test.degrees_of_freedom, "t": test.t,
        "p_value": tail.p_value, "ln_p": tail.ln_p_value,
        "ci_low": bound(lower), "ci_high": bound(upper), "status": "OK",
    }))
}
