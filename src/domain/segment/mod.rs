//! Results by the value of a dimension: which value a unit has and which rows count it.

mod label;

pub use self::label::{Code, DIMENSIONS, Label, VALUES};

/// What the names of rows start with that count the units of one value only.
pub const ROWS: &str = "g/";
