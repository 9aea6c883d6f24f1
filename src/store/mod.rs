//! Where experiments and counters are kept: one trait, its contract, and two stores that keep it.
//!
//! # The contract
//!
//! A store keeps records of experiments and, per [`ShardKey`], rows of 64-bit integers, the units
//! that were exposed and the events that were counted. It knows no statistics.
//!
//! **Apply.** [`Store::apply`] takes events of one shard in order.
//! - *Atomic*: an event is applied whole or not at all, also when the process or the store is
//!   killed. Everything is checked before the first write: a batch that would take any counter
//!   beyond [`COUNTER_LIMIT`] is refused as a whole with [`StoreError::CounterFull`]. What counts
//!   is where the batch as a whole would leave the counter, not the sums on the way. A batch of
//!   more than [`BATCH_EVENTS`] events may be applied in steps of that many, each refused or
//!   applied by itself: after a refusal the steps before it stand.
//! - *Idempotent*: an event whose `dedup` fingerprint was counted within the deduplication window
//!   (7 days unless configured) changes nothing and answers [`Applied::Duplicate`], also when the
//!   earlier one stands in the same batch. A fingerprint is remembered, per shard, for at least
//!   one [`Window`] and at most two, by the store's clock. A clock that steps back by no more than
//!   a window forgets nothing. Of fingerprints a store remembers the [`Digest`].
//! - *Exposure*: the first counted event of a unit adds its `if_unit_is_new` increments and
//!   remembers the unit for as long as the iteration exists. An event that admits
//!   [`ExposedOnly`](crate::domain::counter::Admission::ExposedOnly) and meets an unknown unit
//!   changes nothing, remembers nothing and answers [`Applied::NotExposed`]: sent again once the
//!   unit is known, it counts.
//! - *Labels*: an event may carry a label. The first counted event of a unit leaves its label with
//!   the unit, for as long as the unit is remembered and unchanged. An event whose label is not
//!   that of a unit that is known changes nothing, remembers nothing and answers
//!   [`Applied::Labelled`] with the unit's: made anew for that label, it counts. So what an event
//!   adds may depend on what its unit is, though only the store knows it. A unit that came without
//!   a label has [`Label::NONE`]; an event without one takes every unit as it is.
//! - *Durable*: when it returns, the events are in the store under its configured durability. For
//!   the embedded store that is fsync; for Redis its `appendfsync`. [`Store::durability`] tells.
//! - *Together*: calls for the same shard that wait at the same time share one write. They know
//!   nothing of each other: each is refused or applied by itself.
//! - *Bounded*: so much may wait; what comes on top is refused at once, whole, with
//!   [`StoreError::Overloaded`], and nothing of it is applied.
//! - *Cancelled*: a caller that drops the future of a call takes the call back if it is not yet
//!   under way, and nothing of it is applied; otherwise it may or may not be. Nobody else is
//!   affected.
//! - *Once*: a store that loses the answer to a write on the way finds out what became of it
//!   before it answers, so no event counts twice through the store's own doing, with a fingerprint
//!   or without. A store that cannot find out in time says so:
//! - After an error other than `CounterFull` and `Overloaded` the batch may or may not have been
//!   applied; sending it again is safe for events with a `dedup` fingerprint.
//!
//! **Raise.** [`Store::raise`] keeps maxima: every column given becomes the larger of itself and
//! the value given. A column that nobody touched is 0; a value that is not above 0 says nothing
//! and touches nothing.
//! - *Commutative and idempotent*: raises come to the same in any order, however they are split
//!   and however often they are sent. Two replicas that raise at the same time leave the maxima
//!   of both. So a raise needs no fingerprint, and after any error it is safe to send it again.
//! - *Atomic*: all rows of a call or none, however many; a value beyond [`COUNTER_LIMIT`] refuses
//!   the whole call with [`StoreError::CounterFull`].
//! - *Durable* as `apply` is.
//! - Rows of maxima stand among the rows of counters, are read and removed with them, and have
//!   names of their own, which start with `m/`. No increment ever touches them: a sum and a
//!   maximum of the same column would depend on the order.
//!
//! **Read.** [`Store::rows`] answers all rows of a shard as they were at one point in time: rows
//! are read against each other, and a sum over the count of a moment later is no mean. A row
//! reaches to the last column that was ever touched; a column that nobody touched reads 0. So the
//! rows of a shard are the same bytes under any order and any batches. Rows of segments, whose
//! names start with [`ROWS`](crate::domain::segment::ROWS), are kept apart: [`Store::rows`] leaves them out and does
//! not pay for them, [`Store::rows_with_segments`] reads some of them with the others.
//!
//! **Notes.** [`Store::note`] keeps one [`Note`] per shard and slot, replaced only by one with a
//! higher stamp: of notes with the same stamp the first one stays, and the answer says whether it
//! was this one. So replicas that note the same thing at the same time leave one note, and a raise
//! of the stamp reuses the slot: notes stay as many as there are slots. Durable as `apply` is;
//! removed with the shard. What the bytes mean is the caller's affair.
//!
//! **Records.** [`Store::put`] is compare-and-set on the revision, [`Store::put_at`] on the
//! catalog's version as well, for what depends on other records. Every change of any record raises
//! that version by at least 1; a store that lost its past does not come to a version again that
//! stood for other records.
//!
//! **Changes.** [`Store::changes`] tells what happened to the records since a version, at a cost of
//! what changed and not of all there is. Each record comes as it is now; asking on until there is
//! nothing more leads to the records of one version. A store remembers some last changes; whoever
//! lags behind further, or comes with a version that this store never had, reads all records again.
//! [`Store::announcements`] tells early that it is time to ask. It may lose any number of changes,
//! end at any time or fall silent: whoever needs to be right asks every now and then.
//!
//! **Removal.** [`Store::remove`] deletes the record first and then every row, note, unit and event
//! of the shards named, in steps that nobody else has to wait for; whoever reads the shards finds nothing
//! once it has returned. A crash, or a caller that goes away, leaves garbage that no record refers
//! to, never a record without its data. The store remembers such garbage and clears it: in the next
//! [`Store::sweep`], or when it is opened, and in any case before a record of that name is created
//! again.
//! What is applied, raised or noted while its experiment is being removed may stay behind; the caller
//! stops counting first.
//!
//! **Audit log.** Every change of a record by `put` or `remove` writes one
//! [`AuditEvent`](crate::domain::audit::AuditEvent) in the
//! same piece: after a crash there is neither a change without its event nor an event without its
//! change. The event's number is the version that the change led to, so numbers ascend and name
//! one event each. It says what the caller gave as [`Cause`], and as before and after the records
//! that the store itself replaced and wrote. A change that is refused leaves no event. The log
//! outlives the experiments. [`AuditLimits`] bound it by count, bytes and age: a change drops the
//! oldest events on top of that, a few at a time, and [`Store::sweep`] those that are too old; the
//! newest stays however large it is. Filters look at no record, so a search costs what the causes
//! take.
//!
//! **Moving.** [`Portable`](portable::Portable) reads a store whole and fills an empty one.
//! - *The same everywhere*: records, audit log, rows, notes and the members of each set, read in
//!   order, are the same values in every store that was filled with them. What a store needs for
//!   itself (its version, its log, what it knows of writers) is no part of it.
//! - *Consistent*: what is read of a shard is as it was at one point in time, or the reader hears
//!   that it changed.
//! - *Whole or not at all*: an import into an empty store shows when it is committed, all at once.
//!   Until then its shards are garbage that no record refers to, remembered as such; an import that
//!   is interrupted, at any point, leaves a store that is as empty as before.
//! - *Windows* keep what they promise: an event that the source would not count again is not
//!   counted again by the target, until its window is over or, in a target with shorter windows,
//!   one of those has passed.

mod audit;
pub(crate) mod codec;
mod digest;
mod durability;
pub mod embedded;
mod maxima;
mod metered;
mod notes;
pub mod portable;
pub mod redis;
mod window;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::domain::audit::Cause;
use crate::domain::counter::{Event, ShardKey};
use crate::domain::experiment::{Experiment, Revision};
use crate::domain::id::ExperimentId;
use crate::domain::segment::Label;

pub use self::audit::{AuditLimits, AuditPage, AuditQuery};
pub use self::digest::Digest;
pub use self::durability::{Durability, Level};
pub use self::metered::{Metered, OperationReading};
pub use self::notes::{Note, Notes};
pub use self::window::Window;

/// Largest magnitude of a counter and of a maximum: a little less than 64 bits hold, so that a
/// store may check it in floating point (Lua has nothing else) and still never overflow.
pub const COUNTER_LIMIT: i64 = 9_200_000_000_000_000_000;

/// Most events that are refused or applied together; see the contract.
pub const BATCH_EVENTS: usize = 512;

/// The rows of one shard by name; see [`crate::domain::counter`].
pub type Rows = BTreeMap<String, Vec<i64>>;

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was counted now.
    Counted,
    /// It had been counted before; nothing changed.
    Duplicate,
    /// It asks for an exposed unit and the unit is unknown; nothing changed.
    NotExposed,
    /// The unit is remembered with another label; nothing changed.
    Labelled(Label),
}

/// All experiments.
#[derive(Debug, Clone, PartialEq)]
pub struct Records {
    /// The catalog's version before they were read: what changed while they were is told by
    /// [`Store::changes`] since then.
    pub version: u64,
    /// In no particular order.
    pub experiments: Vec<Experiment>,
}

/// The answer to [`Store::changes`].
#[derive(Debug, Clone, PartialEq)]
pub enum Changes {
    /// Nothing.
    None,
    /// These records changed.
    Some {
        /// On the way to this version.
        version: u64,
        /// Each once and as it is now; `None` when it is gone.
        records: Vec<(ExperimentId, Option<Experiment>)>,
        /// Whether more happened since that version.
        more: bool,
    },
    /// The store does not remember: all records have to be read.
    Unknown,
}

/// Versions that the catalog comes to, from now on.
pub type Announcements = BoxStream<'static, u64>;

/// How busy a store is in this process: for people who watch it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// Batches of events written so far.
    pub batches: u64,
    /// Events in them.
    pub batched_events: u64,
    /// What waits for a batch now: events, or requests where the store counts those.
    pub waiting: u64,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or did not answer in time. Trying again may help.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The record is not at the revision that the change was made from.
    #[error("the record is at revision {actual:?}, not at {expected:?}")]
    Conflict {
        /// What the caller had seen; `None` for a creation.
        expected: Option<Revision>,
        /// What is there; `None` when there is no record.
        actual: Option<Revision>,
    },
    /// The catalog is not at the version that the change was made from.
    #[error("the catalog is at version {actual}")]
    Moved {
        /// Where it is.
        actual: u64,
    },
    /// A counter or a maximum would go beyond [`COUNTER_LIMIT`]. Nothing of the batch was applied.
    #[error("a counter is full")]
    CounterFull,
    /// So much waits already that the answer would come too late. Nothing was applied; trying
    /// again in a while may help.
    #[error("the store has too much to do")]
    Overloaded,
    /// What it holds is not what this program writes.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// The same failure for another event of the same batch; the cause goes as text.
    #[must_use]
    pub fn repeated(&self) -> Self {
        match self {
            Self::Unavailable(cause) => Self::Unavailable(cause.to_string().into()),
            Self::Conflict { expected, actual } => {
                Self::Conflict { expected: *expected, actual: *actual }
            }
            Self::Moved { actual } => Self::Moved { actual: *actual },
            Self::CounterFull => Self::CounterFull,
            Self::Overloaded => Self::Overloaded,
            Self::Corrupt(what) => Self::Corrupt(what.clone()),
        }
    }

    /// Wraps the cause of an unavailability.
    pub(crate) fn unavailable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(cause.into())
    }
}

/// A place for experiments and counters. See the contract at the top of this module;
/// `tests/it/store_contract.rs` runs it against every implementation.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Applies events of one shard in order; the answers are in the order of the events.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Overloaded`], [`StoreError::CounterFull`],
    /// [`StoreError::Corrupt`].
    async fn apply(&self, shard: &ShardKey, events: &[Event]) -> Result<Vec<Applied>, StoreError>;

    /// Raises rows of one shard to the values given, where those are larger.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Overloaded`], [`StoreError::CounterFull`],
    /// [`StoreError::Corrupt`].
    async fn raise(&self, shard: &ShardKey, rows: &Rows) -> Result<(), StoreError>;

    /// All rows of one shard but those of segments; empty for a shard that nobody wrote to.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn rows(&self, shard: &ShardKey) -> Result<Rows, StoreError>;

    /// The same together with the rows of segments whose names start with `prefix`, which starts
    /// with [`ROWS`](crate::domain::segment::ROWS); without them for any other prefix.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn rows_with_segments(&self, shard: &ShardKey, prefix: &str) -> Result<Rows, StoreError>;

    /// Keeps a note unless its slot has one with this stamp or a higher one; whether it did.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn note(&self, shard: &ShardKey, slot: u32, note: &Note) -> Result<bool, StoreError>;

    /// All notes of one shard by slot.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn notes(&self, shard: &ShardKey) -> Result<Notes, StoreError>;

    /// All records, each as it was at some time during the call.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn records(&self) -> Result<Records, StoreError>;

    /// What happened to the records since the catalog was at a version. Cheap enough to poll.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn changes(&self, since: u64) -> Result<Changes, StoreError>;

    /// Listens for changes, until the stream ends.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn announcements(&self) -> Result<Announcements, StoreError>;

    /// One record as it is now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn get(&self, id: &ExperimentId) -> Result<Option<Experiment>, StoreError>;

    /// Writes a record if the one there is at the expected revision, and the event that says so;
    /// `None` expects no record.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn put(
        &self,
        experiment: &Experiment,
        expected: Option<Revision>,
        cause: &Cause,
    ) -> Result<(), StoreError> {
        self.put_at(None, experiment, expected, cause).await
    }

    /// The same while the catalog is at a version; `None` is for any.
    ///
    /// # Errors
    /// As [`Self::put`]; [`StoreError::Moved`].
    async fn put_at(
        &self,
        version: Option<u64>,
        experiment: &Experiment,
        expected: Option<Revision>,
        cause: &Cause,
    ) -> Result<(), StoreError>;

    /// Deletes a record at the expected revision and all data of the shards named, and writes the
    /// event that says so.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn remove(
        &self,
        id: &ExperimentId,
        expected: Revision,
        shards: &[ShardKey],
        cause: &Cause,
    ) -> Result<(), StoreError>;

    /// Events of the audit log, newest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError>;

    /// Does what is due and nobody waits for: finishes removals that were interrupted, and drops
    /// events of the audit log that are too old. Any replica may, at any time, several at once.
    /// Cheap when there is nothing to do; to be called every now and then.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn sweep(&self) -> Result<(), StoreError>;

    /// What an acknowledgement is worth now. Asks the store: it may have changed since the last
    /// time, by a failover or a changed setting.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn durability(&self) -> Result<Durability, StoreError>;

    /// How busy it is. Answers at once.
    fn activity(&self) -> Activity;
}
