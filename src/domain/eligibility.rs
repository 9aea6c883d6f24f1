//! Who may take part: a CEL expression over `unit_id` and `attributes`.
//!
//! Compiled once, when the experiment is created or read from the store. An expression that
//! fails on a unit (an absent attribute, a wrong type) means "not eligible": an experiment never
//! includes a unit by accident.

use std::fmt;
use std::sync::Arc;

use cel::{Context, Program};
use serde::{Deserialize, Serialize};

use crate::domain::id::UnitId;
use crate::domain::value::{Attributes, Value};

/// A compiled rule. Equal when the source is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Eligibility {
    source: String,
    program: Arc<Program>,
}

/// Why a text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// Longer than [`Eligibility::LIMIT`].
    #[error("has {0} bytes, at most {limit} are allowed", limit = Eligibility::LIMIT)]
    TooLong(usize),
    /// Not CEL.
    #[error("is not a CEL expression: line {line}, column {column}: {message}")]
    Syntax {
        /// From 1.
        line: isize,
        /// From 1.
        column: isize,
        /// What the parser says.
        message: String,
    },
    /// Names a variable that does not exist.
    #[error("knows only the variables 'unit_id' and 'attributes', not '{0}'")]
    UnknownVariable(String),
}

impl Eligibility {
    /// Longest source in bytes.
    pub const LIMIT: usize = 4_096;

    /// The source.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the unit may take part. Anything but `true` means no.
    #[must_use]
    pub fn admits(&self, unit: UnitId<'_>, attributes: &Attributes) -> bool {
        let mut context = Context::default();
        context.add_variable_from_value("unit_id", unit.as_str().to_owned());
        context.add_variable_from_value("attributes", cel_record(attributes));
        matches!(self.program.execute(&context), Ok(cel::Value::Bool(true)))
    }
}

impl TryFrom<String> for Eligibility {
    type Error = InvalidRule;

    fn try_from(source: String) -> Result<Self, InvalidRule> {
        if source.len() > Self::LIMIT {
            return Err(InvalidRule::TooLong(source.len()));
        }
        let program = Program::compile(&source).map_err(|errors| {
            let first = errors.errors.into_iter().next();
            first.map_or_else(
                || InvalidRule::Syntax { line: 1, column: 1, message: "unreadable".to_owned() },
                |error| InvalidRule::Syntax {
                    line: error.pos.0,
                    column: error.pos.1,
                    message: error.msg,
                },
            )
        })?;
        let known = |name: &&str| !matches!(*name, "unit_id" | "attributes");
        if let Some(unknown) = program.references().variables().into_iter().find(known) {
            return Err(InvalidRule::UnknownVariable(unknown.to_owned()));
        }
        Ok(Self { source, program: Arc::new(program) })
    }
}

impl From<Eligibility> for String {
    fn from(rule: Eligibility) -> Self {
        rule.source
    }
}

impl PartialEq for Eligibility {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Eligibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Eligibility").field(&self.source).finish()
    }
}

fn cel_record(record: &Attributes) -> cel::Value {
    let entries = record.iter().map(|(key, value)| (key.clone(), cel_value(value)));
    cel::Value::from(entries.collect::<std::collections::HashMap<_, _>>())
}

fn cel_value(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(truth) => cel::Value::Bool(*truth),
        Value::Number(number) => cel::Value::Float(*number),
        Value::Text(text) => cel::Value::from(text.clone()),
        Value::List(items) => cel::Value::from(items.iter().map(cel_value).collect::<Vec<_>>()),
        Value::Record(record) => cel_record(record),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(source: &str) -> Result<Eligibility, InvalidRule> {
        Eligibility::try_from(source.to_owned())
    }

    #[test]
    fn rules_see_the_unit_and_its_attributes() {
        let unit = UnitId::parse("user-7").unwrap();
        let attributes = Attributes::from([
            ("plan".to_owned(), Value::Text("pro".to_owned())),
            ("turns".to_owned(), Value::Number(3.0)),
        ]);
        let admits = |source: &str| rule(source).unwrap().admits(unit, &attributes);
        assert!(admits("attributes.plan == 'pro' && attributes.turns >= 3.0"));
        assert!(admits("attributes.turns > 2"));
        assert!(admits("unit_id.startsWith('user-')"));
        assert!(!admits("attributes.plan == 'free'"));
        assert!(!admits("attributes.absent == 'x'"), "an absent attribute is not eligible");
        assert!(!admits("attributes.plan"), "only true admits");
    }

    #[test]
    fn bad_rules_say_where() {
        assert!(matches!(rule("attributes.plan =="), Err(InvalidRule::Syntax { line: 1, .. })));
        assert_eq!(rule("user.plan == 1"), Err(InvalidRule::UnknownVariable("user".to_owned())));
        assert_eq!(rule(&"1".repeat(5_000)), Err(InvalidRule::TooLong(5_000)));
    }
}
