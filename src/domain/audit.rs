//! The audit log: one event for every accepted change of an experiment, saying who asked for it,
//! when, by which call and why, and the record before and after.

use serde::{Deserialize, Serialize};

use crate::domain::experiment::{Definition, Experiment, State, Timestamp};
use crate::domain::id::ExperimentId;

/// Who asked for a change: a name that the edge vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor(String);

impl Actor {
    /// Somebody who did not say who they are, where nobody has to.
    #[must_use]
    pub fn anonymous() -> Self {
        Self("anonymous".to_owned())
    }

    /// This service itself, whichever replica. No principal may bear this name.
    #[must_use]
    pub fn server() -> Self {
        Self("server".to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who asks, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub actor: Actor,
    /// When, by the clock of the edge.
    pub time: Timestamp,
}

impl Author {
    /// The service itself at that time.
    #[must_use]
    pub fn server(time: Timestamp) -> Self {
        Self { actor: Actor::server(), time }
    }

    /// The cause of a change that this author makes by a call that takes no note.
    #[must_use]
    pub fn by(&self, action: Action) -> Cause {
        self.noting(action, String::new())
    }

    /// The cause of a change, with the reason given.
    #[must_use]
    pub fn noting(&self, action: Action, note: String) -> Cause {
        Cause { time: self.time, actor: self.actor.clone(), action, note }
    }
}

/// The call behind a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the RPCs of the contract that change an experiment")]
pub enum Action {
    Create,
    Update,
    Start,
    Pause,
    Conclude,
    Archive,
    Delete,
}

impl Action {
    /// Every action, in the order of an experiment's life.
    pub const ALL: [Self; 7] = [
        Self::Create,
        Self::Update,
        Self::Start,
        Self::Pause,
        Self::Conclude,
        Self::Archive,
        Self::Delete,
    ];
}

/// Why a record changes: everything that an event says beside the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// When.
    pub time: Timestamp,
    /// Who.
    pub actor: Actor,
    /// By which call.
    pub action: Action,
    /// Why, in the words of the request.
    pub note: String,
}

/// Number of an event: the version of the catalog that the change led to, hence unique and
/// ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventNumber(pub u64);

/// One accepted change.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvent {
    /// Its place in the log.
    pub number: EventNumber,
    /// Of which experiment.
    pub experiment: ExperimentId,
    /// Why.
    pub cause: Cause,
    /// `None` for a creation.
    pub before: Option<Experiment>,
    /// `None` for a deletion.
    pub after: Option<Experiment>,
}

impl AuditEvent {
    /// Top-level fields of the contract that differ between before and after. Of a creation and
    /// a deletion these are the fields that are set. `update_time` and `etag` are left out: they
    /// change with everything.
    #[must_use]
    pub fn changed(&self) -> Vec<&'static str> {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => before.differences(after),
            (Some(only), None) | (None, Some(only)) => only.definition.stated(),
            (None, None) => Vec::new(),
        }
    }
}

impl Experiment {
    fn differences(&self, after: &Self) -> Vec<&'static str> {
        let number = |experiment: &Self| experiment.current().map(|current| current.number);
        let pairs = [
            ("state", self.state != after.state),
            ("iteration", number(self) != number(after)),
            ("winner_variant_id", self.winner != after.winner),
            ("start_time", self.started != after.started),
            ("conclude_time", self.concluded != after.concluded),
        ];
        let own = pairs.into_iter().filter_map(|(field, differs)| differs.then_some(field));
        self.definition.differences(&after.definition).into_iter().chain(own).collect()
    }

    /// Whether it runs past its planned end.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.state == State::Running && self.definition.planned_end.is_some_and(|end| end <= now)
    }
}

impl Definition {
    /// Top-level fields of the contract that say something.
    #[must_use]
    pub fn stated(&self) -> Vec<&'static str> {
        let fields = [
            ("experiment_id", true),
            ("display_name", !self.display_name.is_empty()),
            ("description", !self.description.is_empty()),
            ("owner", !self.owner.is_empty()),
            ("labels", !self.labels.is_empty()),
            ("variants", true),
            ("bucketing", true),
            ("enrolment_basis_points", true),
            ("eligibility", self.eligibility.is_some()),
            ("layer", self.layer.is_some()),
            ("overrides", !self.overrides.is_empty()),
            ("metrics", true),
            ("analysis", true),
            ("dimensions", !self.dimensions.is_empty()),
            ("telemetry", !self.telemetry_project.is_empty()),
            ("planned_end_time", self.planned_end.is_some()),
        ];
        fields.into_iter().filter_map(|(field, is_stated)| is_stated.then_some(field)).collect()
    }
}

/// Which events. What is `None` or empty does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this experiment.
    pub experiment: Option<ExperimentId>,
    /// By this actor.
    pub actor: Option<String>,
    /// By one of these calls.
    pub actions: Vec<Action>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

impl AuditFilter {
    /// Whether an event of this experiment and cause is wanted.
    #[must_use]
    pub fn admits(&self, experiment: &ExperimentId, cause: &Cause) -> bool {
        self.experiment.as_ref().is_none_or(|wanted| wanted == experiment)
            && self.actor.as_ref().is_none_or(|wanted| *wanted == cause.actor.0)
            && (self.actions.is_empty() || self.actions.contains(&cause.action))
            && self.from.is_none_or(|from| from <= cause.time)
            && self.until.is_none_or(|until| cause.time < until)
    }
}
