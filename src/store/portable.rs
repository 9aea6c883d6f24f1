//! Moving a store: everything it keeps, in an order that is the same in every store, and an empty
//! store filled with it, whole or not at all. The contract stands at the top of [`crate::store`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::domain::audit::AuditEvent;
use crate::domain::counter::ShardKey;
use crate::domain::experiment::Experiment;
use crate::domain::segment::Label;
use crate::store::{Digest, Note, Rows, Store, StoreError, Window};

/// A set of digests that a shard remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// Exposed units.
    Units,
    /// Those units that have a label.
    Labels,
    /// Events that were counted in a window.
    Events(Window),
}

/// A digest and, in [`Set::Labels`], the label of that unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Of the unit or event.
    pub digest: Digest,
    /// [`Label::NONE`] in every other set.
    pub label: Label,
}

impl From<Digest> for Member {
    fn from(digest: Digest) -> Self {
        Self { digest, label: Label::NONE }
    }
}

/// How many members each set has that has any. Windows that nobody remembers any more are left out.
pub type Inventory = BTreeMap<Set, u64>;

/// The members of a set in the order of their digests, some thousand at a time, never none.
pub type Members<'a> = BoxStream<'a, Result<Vec<Member>, MoveError>>;

/// Why a store was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// An import needs an empty store.
    #[error("the store is not empty: it has {0}; an import fills an empty one and never merges")]
    NotEmpty(String),
    /// Somebody counts.
    #[error(
        "{0} changed while it was read: stop the servers or pause the experiment, and try again"
    )]
    Changed(ShardKey),
    /// Two imports at once would mix.
    #[error(
        "an import into this store is under way, or was interrupted less than half a minute ago: \
         try again then"
    )]
    Importing,
    /// Somebody created an experiment meanwhile.
    #[error("somebody else wrote to the store during the import; nothing was imported")]
    Interfered,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A store that can be moved.
#[async_trait]
pub trait Portable: Store {
    /// The sets of a shard.
    ///
    /// # Errors
    /// [`MoveError::Store`].
    async fn inventory(&self, shard: &ShardKey) -> Result<Inventory, MoveError>;

    /// The members of a set of a shard.
    ///
    /// The stream ends with [`MoveError::Changed`] when the set grew meanwhile, or with
    /// [`MoveError::Store`].
    fn members(&self, shard: &ShardKey, set: Set) -> Members<'_>;

    /// Bytes that it takes where it is kept; `None` when that cannot be told.
    ///
    /// # Errors
    /// [`MoveError::Store`].
    async fn size(&self) -> Result<Option<u64>, MoveError>;

    /// Begins to fill an empty store with these experiments. Nothing shows before the commit.
    ///
    /// # Errors
    /// [`MoveError::NotEmpty`], [`MoveError::Importing`], [`MoveError::Store`].
    async fn import<'a>(
        &'a self,
        experiments: &[Experiment],
    ) -> Result<Box<dyn Import + 'a>, MoveError>;
}

/// An import under way. Dropping it gives it up: nothing of it ever shows, and what it leaves is
/// cleared away by the next import, by the next experiment of that name, or when a directory is
/// opened.
#[async_trait]
pub trait Import: Send {
    /// Rows of a shard, also those of segments.
    ///
    /// # Errors
    /// [`MoveError::Store`].
    async fn rows(&mut self, shard: &ShardKey, rows: &Rows) -> Result<(), MoveError>;

    /// A note of a shard.
    ///
    /// # Errors
    /// [`MoveError::Store`].
    async fn note(&mut self, shard: &ShardKey, slot: u32, note: &Note) -> Result<(), MoveError>;

    /// The next members of a set that has `total` in all. Sets come one after the other, each in
    /// the order of its digests, units before labels.
    ///
    /// # Errors
    /// [`MoveError::Store`].
    async fn members(
        &mut self,
        shard: &ShardKey,
        set: Set,
        total: u64,
        members: &[Member],
    ) -> Result<(), MoveError>;

    /// An event of the audit log; they come newest first.
    ///
    /// # Errors
    /// [`MoveError::Store`].
    async fn audit(&mut self, event: &AuditEvent) -> Result<(), MoveError>;

    /// Makes everything show at once.
    ///
    /// # Errors
    /// [`MoveError::Interfered`], [`MoveError::Store`]. After any error nothing shows, unless the
    /// answer was lost on the way.
    async fn commit(self: Box<Self>) -> Result<(), MoveError>;

    /// Clears away what was written, so that the next import can begin at once.
    ///
    /// # Errors
    /// [`MoveError::Interfered`], [`MoveError::Store`].
    async fn give_up(self: Box<Self>) -> Result<(), MoveError>;
}
