//! Identifiers. Parsed once at the edge, valid ever after.
//!
//! Experiment, variant and layer ids are slugs without `/`, `.` or `:`, because they appear in
//! hash inputs, store keys and OpenFeature flag keys, where those characters separate parts.
//! Unit and event ids belong to the caller and may hold any UTF-8.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier. The text itself is not repeated: it may be huge or personal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// Longer than allowed.
    #[error("has {actual} bytes, at most {limit} are allowed")]
    TooLong {
        /// Bytes given.
        actual: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A character outside the alphabet.
    #[error("must match {pattern}")]
    Malformed {
        /// The regular expression to match.
        pattern: &'static str,
    },
}

const SLUG: &str = "[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?";
const SNAKE: &str = "[a-z0-9]([a-z0-9_]{0,61}[a-z0-9])?";
const SLUG_LIMIT: usize = 63;

fn parse_name(text: &str, hyphen: bool, pattern: &'static str) -> Result<Arc<str>, InvalidId> {
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let inner = |byte: u8| edge(byte) || byte == b'_' || (hyphen && byte == b'-');
    match text.as_bytes() {
        [] => Err(InvalidId::Empty),
        bytes if bytes.len() > SLUG_LIMIT => {
            Err(InvalidId::TooLong { actual: bytes.len(), limit: SLUG_LIMIT })
        }
        [only] if edge(*only) => Ok(text.into()),
        [first, middle @ .., last]
            if edge(*first) && edge(*last) && middle.iter().all(|byte| inner(*byte)) =>
        {
            Ok(text.into())
        }
        _ => Err(InvalidId::Malformed { pattern }),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $hyphen:literal, $pattern:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses the text of an identifier.
            ///
            /// # Errors
            /// [`InvalidId`] when it is empty, longer than 63 bytes or outside the alphabet.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                parse_name(text, $hyphen, $pattern).map(Self)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Names an experiment; also the OpenFeature flag key.
    ExperimentId, true, SLUG
);
name!(
    /// Names a variant within its experiment.
    VariantId, true, SLUG
);
name!(
    /// Names a layer of mutually exclusive experiments.
    LayerId, true, SLUG
);
name!(
    /// Names a metric within its experiment.
    MetricId, false, SNAKE
);

/// The unit of randomisation as the caller names it: 1 to 256 bytes of UTF-8.
///
/// Borrowed, because it lives no longer than the request: nothing stores it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnitId<'a>(&'a str);

impl<'a> UnitId<'a> {
    /// Most bytes allowed.
    pub const LIMIT: usize = 256;

    /// Parses a unit id.
    ///
    /// # Errors
    /// [`InvalidId`] when it is empty or too long.
    pub fn parse(text: &'a str) -> Result<Self, InvalidId> {
        bounded(text, Self::LIMIT).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for UnitId<'_> {
    /// Redacted: a unit id may be an e-mail address and must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnitId(..)")
    }
}

/// The caller's deduplication key of one outcome: 1 to 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId<'a>(&'a str);

impl<'a> EventId<'a> {
    /// Most bytes allowed.
    pub const LIMIT: usize = 64;

    /// Parses an event id.
    ///
    /// # Errors
    /// [`InvalidId`] when it is empty or too long.
    pub fn parse(text: &'a str) -> Result<Self, InvalidId> {
        bounded(text, Self::LIMIT).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

fn bounded(text: &str, limit: usize) -> Result<&str, InvalidId> {
    match text.len() {
        0 => Err(InvalidId::Empty),
        actual if actual > limit => Err(InvalidId::TooLong { actual, limit }),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_follow_the_pattern_of_the_contract() {
        for good in ["a", "0", "a-b", "a_b", "support-bot-v2", &"x".repeat(63)] {
            assert_eq!(ExperimentId::parse(good).map(String::from), Ok(good.to_owned()));
        }
        let malformed = Err(InvalidId::Malformed { pattern: SLUG });
        for bad in ["-a", "a-", "_", "A", "a.b", "a/b", "a:b", "ä", "a b"] {
            assert_eq!(ExperimentId::parse(bad), malformed, "{bad}");
        }
        assert_eq!(ExperimentId::parse(""), Err(InvalidId::Empty));
        assert!(matches!(
            ExperimentId::parse(&"x".repeat(64)),
            Err(InvalidId::TooLong { actual: 64, limit: 63 })
        ));
    }

    #[test]
    fn metric_ids_take_no_hyphen() {
        assert!(MetricId::parse("task_completed").is_ok());
        assert_eq!(MetricId::parse("a-b"), Err(InvalidId::Malformed { pattern: SNAKE }));
    }

    #[test]
    fn unit_ids_are_bounded_and_never_printed() {
        let longest = "é".repeat(128);
        let unit = UnitId::parse(&longest).unwrap();
        assert_eq!(format!("{unit:?}"), "UnitId(..)");
        let huge = "x".repeat(10 << 20);
        assert!(matches!(UnitId::parse(&huge), Err(InvalidId::TooLong { limit: 256, .. })));
        assert_eq!(UnitId::parse(""), Err(InvalidId::Empty));
    }
}
