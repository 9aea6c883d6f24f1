//! Everything a use case can answer instead of a result.

use crate::domain::experiment::State;
use crate::domain::lifecycle::{ChangeRefused, InvalidTransition};
use crate::domain::outcome::OutcomeRefused;
use crate::domain::violation::Violations;
use crate::store::StoreError;

/// What kind of input is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidInput {
    /// A request.
    Request,
    /// An experiment.
    Experiment,
    /// The design of a sample size.
    Design,
    /// The name of a variant.
    Variant,
}

/// Why a use case failed. The edge maps every variant to one code and one reason.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// There is no experiment of that name.
    #[error("there is no experiment '{0}'")]
    ExperimentNotFound(String),
    /// The experiment never had that iteration.
    #[error("experiment '{experiment}' never had an iteration {iteration}")]
    IterationNotFound {
        /// The experiment.
        experiment: String,
        /// The iteration asked for.
        iteration: u32,
    },
    /// The name is taken.
    #[error("experiment '{0}' exists")]
    ExperimentExists(String),
    /// Fields are wrong.
    #[error("{violations}")]
    Invalid {
        /// Of what.
        input: InvalidInput,
        /// All that is wrong.
        violations: Violations,
    },
    /// A draft or archived experiment assigns nobody.
    #[error("experiment '{experiment}' assigns nobody: it {}", idle(*state))]
    NotAssignable {
        /// The experiment.
        experiment: String,
        /// Where it is.
        state: State,
    },
    /// Somebody else assigns its units.
    #[error("experiment '{0}' has ALGORITHM_EXTERNAL: another system assigns its units")]
    AssignedElsewhere(String),
    /// It takes no outcomes or changes any more.
    #[error("experiment '{experiment}' {}", closed(*state))]
    Closed {
        /// The experiment.
        experiment: String,
        /// Where it is.
        state: State,
    },
    /// The state machine has no such arrow.
    #[error("experiment '{experiment}': {transition}")]
    InvalidTransition {
        /// The experiment.
        experiment: String,
        /// Which arrow.
        transition: InvalidTransition,
    },
    /// It may not be deleted where it is.
    #[error(
        "experiment '{experiment}' cannot be deleted: only drafts and archived ones are; conclude \
         and archive it first"
    )]
    NotDeletable {
        /// The experiment.
        experiment: String,
        /// Where it is.
        state: State,
    },
    /// Another running experiment has some of the layer's buckets.
    #[error("buckets of layer '{layer}' belong to the running experiment '{other}'")]
    LayerOverlap {
        /// The layer.
        layer: String,
        /// Who has them.
        other: String,
    },
    /// Somebody changed the experiment since the caller read it.
    #[error("experiment '{0}' was changed meanwhile: read it again and repeat the change")]
    EtagMismatch(String),
    /// The experiments have not been read from the store yet.
    #[error("the experiments have not been read from the store yet")]
    NotReady,
    /// This server goes away; another one, or this one in a while, goes on.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// A later release answers this.
    #[error("{0} is not implemented yet")]
    NotImplemented(&'static str),
    /// The store cannot be reached. Trying again may help.
    #[error("the store is unavailable")]
    StoreUnavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store has more to do than it can answer in time. Trying again in a while helps.
    #[error("the store has too much to do: nothing was applied")]
    Overloaded,
    /// A counter would leave 64 bits; nothing was applied.
    #[error("a counter of the experiment is full: nothing was applied")]
    CounterFull,
    /// The store holds or answers something that no code here writes.
    #[error("the store is broken: {0}")]
    StoreBroken(String),
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) => Self::StoreUnavailable(cause),
            StoreError::Overloaded => Self::Overloaded,
            StoreError::CounterFull => Self::CounterFull,
            StoreError::Corrupt(what) => Self::StoreBroken(what),
            // A use case that writes conditionally handles the conflict itself.
            StoreError::Conflict { .. } | StoreError::Moved { .. } => {
                Self::StoreBroken("an unexpected conflict".to_owned())
            }
        }
    }
}

impl ServiceError {
    /// A request that is wrong in one field.
    #[must_use]
    pub fn bad_field(field: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        Self::invalid_request(Violations::of(field, problem))
    }

    /// A request that is wrong.
    #[must_use]
    pub fn invalid_request(violations: Violations) -> Self {
        Self::Invalid { input: InvalidInput::Request, violations }
    }

    /// The same error with its fields below `prefix`.
    #[must_use]
    pub fn below(self, prefix: &str) -> Self {
        let Self::Invalid { input, violations } = self else { return self };
        let mut nested = Violations::new();
        nested.nest(prefix, violations);
        Self::Invalid { input, violations: nested }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::StoreUnavailable(_) | Self::NotReady | Self::ShuttingDown)
    }

    pub(super) fn outcome(experiment: &str, refused: OutcomeRefused) -> Self {
        match refused {
            OutcomeRefused::Invalid(violations) => Self::invalid_request(violations),
            OutcomeRefused::Closed(state) => {
                Self::Closed { experiment: experiment.to_owned(), state }
            }
        }
    }

    pub(super) fn change(experiment: &str, refused: ChangeRefused) -> Self {
        match refused {
            ChangeRefused::Invalid(violations) => Self::experiment(violations),
            ChangeRefused::Closed(state) => {
                Self::Closed { experiment: experiment.to_owned(), state }
            }
        }
    }

    pub(super) fn experiment(violations: Violations) -> Self {
        // Paths of a draft are relative to the experiment; requests hold it in that field.
        Self::Invalid { input: InvalidInput::Experiment, violations }.below("experiment")
    }
}

/// Why an experiment takes no outcomes or changes, and what would help.
fn closed(state: State) -> &'static str {
    match state {
        State::Draft => "is a draft and takes no outcomes: start it first",
        State::Running | State::Paused => "does not take this now",
        State::Concluded => "is concluded: its results are frozen",
        State::Archived => "is archived and read-only",
    }
}

fn idle(state: State) -> &'static str {
    match state {
        State::Draft => "is a draft; start it first",
        State::Running | State::Paused | State::Concluded => "does not assign now",
        State::Archived => "is archived",
    }
}
