//! The nouns of an experiment and the decisions about them. No I/O, no clock, no async: time,
//! randomness and identity come in as arguments.
//!
//! - [`id`], [`value`], [`violation`]: identifiers, JSON-like values, what is wrong with an input;
//! - [`draft`] parses what a request says into an [`experiment`], [`lifecycle`] changes one,
//!   [`audit`] says who changed it;
//! - [`bucket`], [`split`], [`eligibility`], [`assignment`]: who gets which variant;
//! - [`metric`], [`outcome`], [`counter`]: one outcome becomes a short list of integer additions;
//! - [`segment`]: which value of a dimension a unit has, and the rows that count it apart;
//! - [`tally`] reads the counters back, [`analysis`] turns them into results,
//!   [`history`] says which of them are written down.

pub mod analysis;
pub mod assignment;
pub mod audit;
pub mod bucket;
pub mod counter;
pub mod draft;
pub mod edit;
pub mod eligibility;
pub mod evidence;
pub mod experiment;
pub mod history;
pub mod id;
pub mod lifecycle;
pub mod metric;
pub mod outcome;
pub mod sample_size;
pub mod segment;
pub mod split;
pub mod subject;
pub mod tally;
pub mod value;
pub mod violation;
