//! The span that an outcome judges, in the trace of whoever called the model.

/// Names a span by the ids of W3C Trace Context (<https://www.w3.org/TR/trace-context/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Its trace. Never 0.
    pub trace_id: u128,
    /// The span. Never 0.
    pub span_id: u64,
    /// Whether the span was recorded. Of one that was not, no program has anything to score.
    pub sampled: bool,
}
