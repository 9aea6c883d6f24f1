//! Which variant a unit gets, and why: a pure function of experiment, unit and attributes.

use crate::domain::bucket::{BUCKETS, Bucket};
use crate::domain::experiment::{Algorithm, Experiment, Iteration, LayerSlot, State};
use crate::domain::id::UnitId;
use crate::domain::value::Attributes;

/// Why this variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// By hash.
    Split,
    /// Forced for QA.
    Override,
    /// Control: the rule did not match.
    NotEligible,
    /// Control: outside the enrolled share.
    NotEnrolled,
    /// Control: another slot or the holdout of the layer.
    ExcludedByLayer,
    /// Control: paused.
    Paused,
    /// The winner of a concluded experiment.
    Concluded,
}

/// A unit's place in an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Index among the definition's variants of what to serve.
    pub variant: usize,
    /// Why.
    pub reason: Reason,
    /// The bucket behind a split by hash.
    pub bucket: Option<Bucket>,
    /// Number of the iteration that counts the unit's outcomes; `None` outside the experiment.
    pub iteration: Option<u32>,
}

/// Why there is nothing to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAssignable {
    /// A draft or history.
    #[error("the experiment is {0:?} and assigns nobody")]
    State(State),
    /// With [`Algorithm::External`] the caller knows the variant.
    #[error("the experiment has ALGORITHM_EXTERNAL: another system assigns its units")]
    Elsewhere,
}

/// Decides.
///
/// # Errors
/// [`NotAssignable`] for drafts, archived experiments and those that somebody else assigns.
pub fn assign(
    experiment: &Experiment,
    unit: UnitId<'_>,
    attributes: &Attributes,
) -> Result<Placement, NotAssignable> {
    let state = experiment.state;
    let iteration = experiment.current().ok_or(NotAssignable::State(state))?;
    let definition = &experiment.definition;
    let control = definition.control();
    let outside =
        |variant, reason| Ok(Placement { variant, reason, bucket: None, iteration: None });
    match state {
        State::Draft | State::Archived => return Err(NotAssignable::State(state)),
        State::Concluded => {
            let winner = experiment.winner.as_ref().and_then(|id| definition.variant_index(id));
            return outside(winner.unwrap_or(control), Reason::Concluded);
        }
        State::Running | State::Paused => {}
    }
    if iteration.bucketing.algorithm == Algorithm::External {
        return Err(NotAssignable::Elsewhere);
    }
    if state == State::Paused {
        return outside(control, Reason::Paused);
    }
    let forced = definition.overrides.get(unit.as_str());
    if let Some(variant) = forced.and_then(|id| definition.variant_index(id)) {
        return outside(variant, Reason::Override);
    }
    if iteration.eligibility.as_ref().is_some_and(|rule| !rule.admits(unit, attributes)) {
        return outside(control, Reason::NotEligible);
    }
    match membership(iteration, unit) {
        Membership::ExcludedByLayer => outside(control, Reason::ExcludedByLayer),
        Membership::NotEnrolled => outside(control, Reason::NotEnrolled),
        Membership::In { variant, bucket } => Ok(Placement {
            variant,
            reason: Reason::Split,
            bucket: Some(bucket),
            iteration: Some(iteration.number),
        }),
    }
}

/// What the hashes alone say about a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// Another slot or the holdout of the layer.
    ExcludedByLayer,
    /// Outside the enrolled share.
    NotEnrolled,
    /// In the experiment.
    In {
        /// Index of its variant.
        variant: usize,
        /// Its bucket.
        bucket: Bucket,
    },
}

/// Layer, enrolment and split of an iteration. The eligibility rule is the caller's question,
/// because an outcome may come without the attributes that it needs.
#[must_use]
pub fn membership(iteration: &Iteration, unit: UnitId<'_>) -> Membership {
    let excluded = |slot: &LayerSlot| !slot.buckets.contains(slot.layer.bucket(unit));
    if iteration.layer.as_ref().is_some_and(excluded) {
        return Membership::ExcludedByLayer;
    }
    let salt = &iteration.bucketing.salt;
    // A full share needs no hash: 10,000 of 10,000 buckets are enrolled.
    if iteration.enrolment < BUCKETS && salt.enrolment_bucket(unit).get() >= iteration.enrolment {
        return Membership::NotEnrolled;
    }
    let bucket = salt.bucket(unit);
    Membership::In { variant: iteration.split.variant_of(bucket), bucket }
}
