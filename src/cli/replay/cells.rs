//! What the cells of a CSV file mean. Pure.

use prost_types::value::Kind;
use prost_types::{Timestamp, Value};

/// A metric's value; an empty cell is none.
///
/// # Errors
/// When the cell is no finite number.
pub(super) fn value(cell: &str) -> Result<Option<f64>, String> {
    match cell {
        "" => return Ok(None),
        "true" | "True" | "TRUE" => return Ok(Some(1.0)),
        "false" | "False" | "FALSE" => return Ok(Some(0.0)),
        _ => {}
    }
    match cell.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(number)),
        Ok(_) => Err(format!("{cell:?} is not finite")),
        Err(_) => Err(format!("{cell:?} is no number")),
    }
}

/// When the outcome happened; an empty cell is now.
///
/// # Errors
/// When the cell is neither RFC 3339 nor seconds since 1970.
pub(super) fn time(cell: &str) -> Result<Option<Timestamp>, String> {
    if cell.is_empty() {
        return Ok(None);
    }
    let refused = || format!("{cell:?} is neither RFC 3339 nor seconds since 1970");
    if let Ok(time) = cell.parse::<Timestamp>() {
        return Ok(Some(time));
    }
    let seconds: f64 = cell.parse().map_err(|_| refused())?;
    // The last second of the year 9999, where the wire format ends.
    if !(0.0..253_402_300_800.0).contains(&seconds) {
        return Err(refused());
    }
    let since = std::time::Duration::try_from_secs_f64(seconds).map_err(|_| refused())?;
    Ok(Some(Timestamp {
        seconds: i64::try_from(since.as_secs()).map_err(|_| refused())?,
        nanos: i32::try_from(since.subsec_nanos()).map_err(|_| refused())?,
    }))
}

/// An attribute: a number where it reads as one; an empty cell is none.
pub(super) fn attribute(cell: &str) -> Option<Value> {
    if cell.is_empty() {
        return None;
    }
    let kind = match cell.parse::<f64>() {
        Ok(number) if number.is_finite() => Kind::NumberValue(number),
        _ => Kind::StringValue(cell.to_owned()),
    };
    Some(Value { kind: Some(kind) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_finite_numbers_or_absent() {
        assert_eq!(value(""), Ok(None));
        assert_eq!(value("-2.5e3"), Ok(Some(-2500.0)));
        assert_eq!(value("False"), Ok(Some(0.0)));
        for bad in ["NaN", "inf", "-infinity", "1e999", "n/a", "2,5"] {
            assert!(value(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let at = |text| time(text).unwrap().map(|time| (time.seconds, time.nanos));
        assert_eq!(at(""), None);
        assert_eq!(at("1970-01-01T00:01:00Z"), Some((60, 0)));
        assert_eq!(at("2026-02-26T09:25:42.530916").unwrap().1, 530_916_000);
        assert_eq!(at("60.25"), Some((60, 250_000_000)));
        for bad in ["yesterday", "-1", "NaN", "1e300"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn attributes_are_numbers_where_they_read_as_such() {
        assert_eq!(attribute(""), None);
        assert_eq!(attribute("3.5").unwrap().kind, Some(Kind::NumberValue(3.5)));
        assert_eq!(attribute("NaN").unwrap().kind, Some(Kind::StringValue("NaN".into())));
    }
}
