//! Numbers with names, between those who count and the two ways out: Prometheus' text and OTLP.
//!
//! Whoever counts keeps plain numbers ([`crate::meter`]); at a scrape they become families. So the
//! path of a call knows no exporter, and both ways out show the same. Names, units and attributes
//! are OpenTelemetry's; the text has them as its rules for names want it.

mod calls;
mod text;

use crate::meter::Histogram;

pub(super) use calls::{Calls, OTHER, Place};
pub use text::{CONTENT_TYPE, text};

/// Everything that is counted under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// As OpenTelemetry writes it: `tiebreak.assignments`.
    pub name: &'static str,
    /// What is counted, for people: one sentence.
    pub help: &'static str,
    /// By UCUM: `s`, `{outcome}`.
    pub unit: &'static str,
    /// The numbers.
    pub samples: Samples,
}

/// The numbers of a family, all of a kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples {
    /// They only grow.
    Counters(Vec<Sample<u64>>),
    /// They are as they are now.
    Gauges(Vec<Sample<f64>>),
    /// Durations in seconds.
    Histograms(Vec<Sample<Histogram>>),
}

/// A number and what it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<T> {
    /// Names, as OpenTelemetry writes them, with values.
    pub attributes: Vec<(&'static str, String)>,
    /// The number.
    pub value: T,
}

impl<T> Sample<T> {
    /// A number of something.
    #[must_use]
    pub fn of<const N: usize>(attributes: [(&'static str, &str); N], value: T) -> Self {
        let attributes = attributes.map(|(name, value)| (name, value.to_owned())).into();
        Self { attributes, value }
    }
}
