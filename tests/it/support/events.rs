//! Experiments and events to fill a store with.

use tiebreak::domain::audit::{Action, Author, Cause};
use tiebreak::domain::bucket::Fingerprint;
use tiebreak::domain::counter::{Admission, Event, Increment, ShardKey};
use tiebreak::domain::draft::{BucketingDraft, Draft, MetricDraft, VariantDraft};
use tiebreak::domain::experiment::{Experiment, Incarnation, Revision, ShardCount, Timestamp};
use tiebreak::domain::id::ExperimentId;
use tiebreak::domain::metric::{Direction, Kind, Role};
use tiebreak::store::Rows;

/// A fingerprint that no other number has.
pub(crate) fn fingerprint(number: u64) -> Fingerprint {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Fingerprint::from(bytes)
}

pub(crate) fn increment(row: &str, column: u32, amount: i64) -> Increment {
    Increment { row: row.to_owned(), column, amount }
}

/// An event of a unit without an id: adds 1 to `n/v/m` and, for a new unit, 1 to `e/v`.
pub(crate) fn event(unit: u64) -> Event {
    Event {
        dedup: None,
        unit: fingerprint(unit),
        admission: Admission::Anyone,
        label: None,
        increments: vec![increment("n/v/m", 0, 1)],
        if_unit_is_new: vec![increment("e/v", 0, 1)],
    }
}

/// The same with an id.
pub(crate) fn event_with_id(unit: u64, id: u64) -> Event {
    Event { dedup: Some(fingerprint(id)), ..event(unit) }
}

/// Why a record changes, where it does not matter.
pub(crate) fn any_cause() -> Cause {
    Author::server(Timestamp(0)).by(Action::Update)
}

/// Of the [`experiment`] of that name.
pub(crate) fn shard(experiment: &str, iteration: u32, shard: u32) -> ShardKey {
    let experiment = ExperimentId::parse(experiment).unwrap();
    ShardKey { experiment, incarnation: Incarnation(0), iteration, shard }
}

/// Rows by name.
pub(crate) fn rows<const N: usize>(rows: [(&str, &[i64]); N]) -> Rows {
    rows.map(|(name, columns)| (name.to_owned(), columns.to_vec())).into()
}

/// Three variants, a metric of every kind with a sketch and without, a covariate.
pub(crate) fn experiment(id: &str, shards: u32) -> Experiment {
    let variant = |id: &str, weight, control| VariantDraft {
        variant_id: id.to_owned(),
        weight_basis_points: weight,
        control,
        ..VariantDraft::default()
    };
    let metric = |id: &str, kind, role, covariate: &str| MetricDraft {
        metric_id: id.to_owned(),
        kind: Some(kind),
        direction: Some(Direction::Increase),
        role: Some(role),
        covariate: covariate.to_owned(),
        ..MetricDraft::default()
    };
    let draft = Draft {
        experiment_id: id.to_owned(),
        variants: vec![
            variant("a", 3_000, true),
            variant("b", 3_000, false),
            variant("c", 4_000, false),
        ],
        // Of its own, so that experiments of any name treat a unit alike.
        bucketing: BucketingDraft { salt: "salt".to_owned(), ..BucketingDraft::default() },
        metrics: vec![
            metric("solved", Kind::Binary, Role::Primary, ""),
            metric("latency", Kind::Duration, Role::Secondary, "past_latency"),
            metric("cost", Kind::Amount, Role::Secondary, ""),
        ],
        ..Draft::default()
    };
    let shards = ShardCount::try_from(shards).unwrap();
    Experiment::create(draft.parse().unwrap(), shards, Timestamp(0)).start(Timestamp(1)).unwrap()
}

/// The record at another revision.
pub(crate) fn at_revision(experiment: &Experiment, revision: u64) -> Experiment {
    Experiment { revision: Revision(revision), ..experiment.clone() }
}
