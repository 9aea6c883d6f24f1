//! A store that counts what is asked of it, how long it takes and how it fails.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use crate::domain::audit::Cause;
use crate::domain::counter::{Event, ShardKey};
use crate::domain::experiment::{Experiment, Revision};
use crate::domain::id::ExperimentId;
use crate::meter::{Counts, Durations, Histogram};
use crate::store::{
    Activity, Announcements, Applied, AuditPage, AuditQuery, Changes, Durability, Note, Notes,
    Records, Rows, Store, StoreError,
};

/// The methods of [`Store`] that ask it something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Apply,
    Raise,
    Rows,
    RowsWithSegments,
    Note,
    Notes,
    Records,
    Changes,
    Announcements,
    Get,
    Put,
    Remove,
    Audit,
    Sweep,
    Durability,
}

/// With their names.
const OPERATIONS: [(Operation, &str); 15] = [
    (Operation::Apply, "apply"),
    (Operation::Raise, "raise"),
    (Operation::Rows, "rows"),
    (Operation::RowsWithSegments, "rows_with_segments"),
    (Operation::Note, "note"),
    (Operation::Notes, "notes"),
    (Operation::Records, "records"),
    (Operation::Changes, "changes"),
    (Operation::Announcements, "announcements"),
    (Operation::Get, "get"),
    (Operation::Put, "put"),
    (Operation::Remove, "remove"),
    (Operation::Audit, "audit"),
    (Operation::Sweep, "sweep"),
    (Operation::Durability, "durability"),
];

/// The kinds of [`StoreError`].
const ERRORS: [&str; 6] =
    ["unavailable", "conflict", "counter_full", "overloaded", "corrupt", "moved"];

/// Where an error is counted.
fn kind(error: &StoreError) -> usize {
    match error {
        StoreError::Unavailable(_) => 0,
        StoreError::Conflict { .. } => 1,
        StoreError::CounterFull => 2,
        StoreError::Overloaded => 3,
        StoreError::Corrupt(_) => 4,
        StoreError::Moved { .. } => 5,
    }
}

/// What became of one operation.
#[derive(Debug)]
struct Meter {
    durations: Durations,
    errors: Counts,
}

/// One operation as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationReading {
    /// The name of the method.
    pub operation: &'static str,
    /// How long the calls took, failed ones included.
    pub durations: Histogram,
    /// How many failed, by the kind of error.
    pub errors: Vec<(&'static str, u64)>,
}

/// Any store, counted.
pub struct Metered {
    inner: Arc<dyn Store>,
    meters: Vec<Meter>,
}

impl fmt::Debug for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Metered {
    /// Counts from now on.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        let meter =
            |_| Meter { durations: Durations::default(), errors: Counts::new(ERRORS.len()) };
        Self { inner, meters: OPERATIONS.iter().map(meter).collect() }
    }

    /// What was counted, by operation.
    #[must_use]
    pub fn readings(&self) -> Vec<OperationReading> {
        let operations = OPERATIONS.iter().zip(&self.meters);
        let reading = |((_, operation), meter): (&(Operation, &'static str), &Meter)| {
            let errors = ERRORS.into_iter().zip(meter.errors.all()).collect();
            OperationReading { operation, durations: meter.durations.read(), errors }
        };
        operations.map(reading).collect()
    }

    /// A call that its caller gives up is not counted.
    async fn count<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begin = Instant::now();
        let answer = call.await;
        if let Some(meter) = self.meters.get(operation as usize) {
            meter.durations.record(begin.elapsed());
            if let Err(error) = &answer {
                meter.errors.add(kind(error), 1);
            }
        }
        answer
    }
}

#[async_trait]
impl Store for Metered {
    async fn apply(&self, shard: &ShardKey, events: &[Event]) -> Result<Vec<Applied>, StoreError> {
        self.count(Operation::Apply, self.inner.apply(shard, events)).await
    }

    async fn raise(&self, shard: &ShardKey, rows: &Rows) -> Result<(), StoreError> {
        self.count(Operation::Raise, self.inner.raise(shard, rows)).await
    }

    async fn rows(&self, shard: &ShardKey) -> Result<Rows, StoreError> {
        self.count(Operation::Rows, self.inner.rows(shard)).await
    }

    async fn rows_with_segments(&self, shard: &ShardKey, prefix: &str) -> Result<Rows, StoreError> {
        self.count(Operation::RowsWithSegments, self.inner.rows_with_segments(shard, prefix)).await
    }

    async fn note(&self, shard: &ShardKey, slot: u32, note: &Note) -> Result<bool, StoreError> {
        self.count(Operation::Note, self.inner.note(shard, slot, note)).await
    }

    async fn notes(&self, shard: &ShardKey) -> Result<Notes, StoreError> {
        self.count(Operation::Notes, self.inner.notes(shard)).await
    }

    async fn records(&self) -> Result<Records, StoreError> {
        self.count(Operation::Records, self.inner.records()).await
    }

    async fn changes(&self, since: u64) -> Result<Changes, StoreError> {
        self.count(Operation::Changes, self.inner.changes(since)).await
    }

    async fn announcements(&self) -> Result<Announcements, StoreError> {
        self.count(Operation::Announcements, self.inner.announcements()).await
    }

    async fn get(&self, id: &ExperimentId) -> Result<Option<Experiment>, StoreError> {
        self.count(Operation::Get, self.inner.get(id)).await
    }

    async fn put_at(
        &self,
        version: Option<u64>,
        experiment: &Experiment,
        expected: Option<Revision>,
        cause: &Cause,
    ) -> Result<(), StoreError> {
        let put = self.inner.put_at(version, experiment, expected, cause);
        self.count(Operation::Put, put).await
    }

    async fn remove(
        &self,
        id: &ExperimentId,
        expected: Revision,
        shards: &[ShardKey],
        cause: &Cause,
    ) -> Result<(), StoreError> {
        self.count(Operation::Remove, self.inner.remove(id, expected, shards, cause)).await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        self.count(Operation::Audit, self.inner.audit(query)).await
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        self.count(Operation::Sweep, self.inner.sweep()).await
    }

    async fn durability(&self) -> Result<Durability, StoreError> {
        self.count(Operation::Durability, self.inner.durability()).await
    }

    fn activity(&self) -> Activity {
        self.inner.activity()
    }
}
