//! What is wrong with an input, field by field.
//!
//! A parser here never stops at the first fault: it collects every [`Violation`], so that the
//! caller mends a request once. Paths are those of the API contract, for instance
//! `experiment.variants[1].weight_basis_points`.

use std::fmt;

/// One fault of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field from the root of the message that was parsed.
    pub field: String,
    /// What is wrong with it and what is allowed: one plain sentence without a full stop.
    pub problem: String,
}

/// All faults of one input, in the order of its fields. Never empty inside an `Err`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// No fault so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A single fault.
    #[must_use]
    pub fn of(field: impl Into<String>, problem: impl fmt::Display) -> Self {
        let mut all = Self::new();
        all.add(field, problem);
        all
    }

    /// Notes a fault.
    pub fn add(&mut self, field: impl Into<String>, problem: impl fmt::Display) {
        self.0.push(Violation { field: field.into(), problem: problem.to_string() });
    }

    /// Keeps the value of a parse or notes its fault.
    pub fn check<T, E: fmt::Display>(
        &mut self,
        field: impl Into<String>,
        parsed: Result<T, E>,
    ) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(problem) => {
                self.add(field, problem);
                None
            }
        }
    }

    /// Takes over the faults of a part that lies below `prefix`.
    pub fn nest(&mut self, prefix: &str, inner: Self) {
        self.0.extend(inner.0.into_iter().map(|violation| Violation {
            field: format!("{prefix}.{}", violation.field),
            problem: violation.problem,
        }));
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults in order.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }

    /// `value` if nothing is wrong, all faults otherwise.
    ///
    /// # Errors
    /// The collected faults, when there are any.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}: {}", violation.field, violation.problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}
