//! google.protobuf.Value, Struct and Timestamp to domain values and back.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct};

use crate::domain::experiment::Timestamp;
use crate::domain::value::{Attributes, Value};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Why a protobuf value is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidValue {
    #[error("is nested more than {} levels deep", Value::DEPTH_LIMIT)]
    TooDeep,
    #[error("holds more than {} values", Value::COUNT_LIMIT)]
    TooMany,
    #[error("holds a number that is not finite")]
    NotFinite,
    #[error("holds a value without a kind")]
    Empty,
    #[error("must lie in the years 1678 to 2261")]
    TimeOutOfRange,
}

pub(super) fn value(from: prost_types::Value, depth: usize) -> Result<Value, InvalidValue> {
    if depth > Value::DEPTH_LIMIT {
        return Err(InvalidValue::TooDeep);
    }
    match from.kind.ok_or(InvalidValue::Empty)? {
        Kind::NullValue(_) => Ok(Value::Null),
        Kind::BoolValue(truth) => Ok(Value::Bool(truth)),
        Kind::NumberValue(number) if number.is_finite() => Ok(Value::Number(number)),
        Kind::NumberValue(_) => Err(InvalidValue::NotFinite),
        Kind::StringValue(text) => Ok(Value::Text(text)),
        Kind::ListValue(list) => {
            let items = list.values.into_iter().map(|item| value(item, depth + 1));
            items.collect::<Result<_, _>>().map(Value::List)
        }
        Kind::StructValue(record) => fields(record, depth).map(Value::Record),
    }
}

fn fields(record: Struct, depth: usize) -> Result<BTreeMap<String, Value>, InvalidValue> {
    let entries = record.fields.into_iter();
    entries.map(|(name, item)| Ok((name, value(item, depth + 1)?))).collect()
}

/// Bounded also in number: an eligibility rule may loop over them.
pub(super) fn attributes(from: Option<Struct>) -> Result<Attributes, InvalidValue> {
    let Some(record) = from else { return Ok(Attributes::new()) };
    let attributes = fields(record, 0)?;
    let count: usize = attributes.values().map(Value::count).sum();
    if count > Value::COUNT_LIMIT { Err(InvalidValue::TooMany) } else { Ok(attributes) }
}

pub(super) fn to_pb(from: &Value) -> prost_types::Value {
    let kind = match from {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(*truth),
        Value::Number(number) => Kind::NumberValue(*number),
        Value::Text(text) => Kind::StringValue(text.clone()),
        Value::List(items) => {
            Kind::ListValue(ListValue { values: items.iter().map(to_pb).collect() })
        }
        Value::Record(record) => {
            let entries = record.iter().map(|(name, item)| (name.clone(), to_pb(item)));
            Kind::StructValue(Struct { fields: entries.collect() })
        }
    };
    prost_types::Value { kind: Some(kind) }
}

pub(super) fn timestamp(from: prost_types::Timestamp) -> Result<Timestamp, InvalidValue> {
    let seconds = from.seconds.checked_mul(NANOS_PER_SECOND);
    let nanos = seconds.and_then(|seconds| seconds.checked_add(from.nanos.into()));
    nanos.map(Timestamp).ok_or(InvalidValue::TimeOutOfRange)
}

pub(super) fn timestamp_to_pb(from: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: from.0.div_euclid(NANOS_PER_SECOND),
        // The remainder lies in 0..1e9.
        nanos: i32::try_from(from.0.rem_euclid(NANOS_PER_SECOND)).unwrap_or_default(),
    }
}
