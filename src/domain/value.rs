//! JSON-like values: what a variant carries and what a unit is described by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A value without NaN and infinities, nested at most [`Value::DEPTH_LIMIT`] levels (the edge
/// checks both when it converts).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A finite number.
    Number(f64),
    /// A text.
    Text(String),
    /// A sequence.
    List(Vec<Value>),
    /// A record.
    Record(BTreeMap<String, Value>),
}

impl Value {
    /// Deepest nesting taken from a request; recursion over a value is bounded by it.
    pub const DEPTH_LIMIT: usize = 16;

    /// Most values in the attributes of one request.
    pub const COUNT_LIMIT: usize = 1_024;

    /// How many values this is, those within it included.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => 1,
            Self::List(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Self::Record(record) => 1 + record.values().map(Self::count).sum::<usize>(),
        }
    }
}

/// What a caller tells about a unit: input of the eligibility rule and of covariates.
pub type Attributes = BTreeMap<String, Value>;
