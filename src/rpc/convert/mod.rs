//! Messages to domain values and back, one file per noun. A conversion reports every bad field
//! at once; it decides nothing.

pub(super) mod assignment;
pub(super) mod audit;
mod enums;
pub(super) mod experiment;
pub(super) mod history;
pub(super) mod listing;
pub(super) mod outcome;
pub(super) mod results;
pub(super) mod sample_size;
mod value;
