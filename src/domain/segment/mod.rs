//! Results by the value of a dimension.
//!
//! A dimension is an attribute by which results can be broken down. A unit has one value of each,
//! for good: the one that came with its first counted event ([`Label`]). The first 32 values of a
//! dimension have a name, the others are "(other)" ([`Registry`]), and units without a value are
//! "(none)". Every counter of an outcome is added once more for each of its unit's values, under a
//! name that starts with the segment's ([`Segments`]); "(none)" is what the whole has on top of
//! its segments ([`Breakdown`]). So segments are sums of integers as everything else, atomic with
//! their event, and the values of a dimension are a partition of the whole to the last digit.
//!
//! A segment has 64 groups of units, not 1,024, and sketches only where quantiles are compared:
//! 33 values of 8 dimensions would otherwise take 264 times the memory of the whole. 64 groups
//! keep the level and nearly all of the power (`docs/statistics.md`, section 1).

mod breakdown;
mod label;
mod registry;
mod spread;
mod value;

use std::fmt::Write as _;

use crate::domain::bucket::GroupCount;
use crate::domain::experiment::Layout;

pub use self::breakdown::{Breakdown, Part};
pub use self::label::{Code, DIMENSIONS, Label, VALUES};
pub use self::registry::{Claim, CorruptRegistry, OutOfDate, Registry, SLOTS};
pub use self::value::{NAME_LIMIT, NONE, OTHER, Told, is_name};

/// What the names of rows start with that count the units of one value only.
pub const ROWS: &str = "g/";

/// One value of one dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// As declared.
    pub dimension: String,
    /// A value, "(other)" or "(none)".
    pub value: String,
}

impl Segment {
    /// What the names of a segment's rows start with: `g/{dimension}/{value}/`, where `/` is
    /// written `%2F` and `%` is written `%25`.
    #[must_use]
    pub fn rows(dimension: &str, value: &str) -> String {
        let mut rows = Self::rows_of_dimension(dimension);
        write_escaped(&mut rows, value);
        rows.push('/');
        rows
    }

    /// What the names of the rows of all values of a dimension start with.
    #[must_use]
    pub fn rows_of_dimension(dimension: &str) -> String {
        let mut rows = ROWS.to_owned();
        write_escaped(&mut rows, dimension);
        rows.push('/');
        rows
    }
}

/// Which rows count a unit beside those of the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segments {
    /// What the unit is to be remembered with; `None` where there are no dimensions.
    pub label: Option<Label>,
    /// What the names of the rows start with, one for each of its values.
    pub rows: Vec<String>,
}

impl Segments {
    /// Of an experiment without dimensions.
    pub const NONE: Self = Self { label: None, rows: Vec::new() };
}

impl Layout {
    /// How the counters of segments are spread: a group of a segment is a group of the whole modulo
    /// 64, and lies in the same shard.
    #[must_use]
    pub fn of_segments(self) -> Self {
        Self { groups: GroupCount::LEAST, ..self }
    }
}

fn write_escaped(into: &mut String, name: &str) {
    for c in name.chars() {
        match c {
            '/' | '%' => {
                // To a string: nothing can fail.
                let _ = write!(into, "%{:02X}", u32::from(c));
            }
            _ => into.push(c),
        }
    }
}

/// A name out of a row's name; `None` for what nobody escaped.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        name.push(match code {
            "2F" => '/',
            "25" => '%',
            _ => return None,
        });
        name.push_str(rest);
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_comes_back_from_a_row(name in "[%/a2F5é()]{0,8}") {
            let rows = Segment::rows("d", &name);
            let value = rows.strip_prefix("g/d/").and_then(|rest| rest.strip_suffix('/')).unwrap();
            prop_assert!(!value.contains('/'));
            prop_assert_eq!(unescaped(value), Some(name));
        }
    }

    #[test]
    fn what_nobody_escaped_is_no_name() {
        for bad in ["%", "%2", "%2f", "%é", "a%00"] {
            assert_eq!(unescaped(bad), None, "{bad}");
        }
    }
}
