//! What changed since a version, and who hears of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tiebreak::domain::experiment::{Experiment, Revision};
use tiebreak::domain::id::ExperimentId;
use tiebreak::store::{Changes, Store, StoreError};
use tokio::task::JoinSet;

use crate::support::events::{any_cause, at_revision, experiment};
use crate::support::{Home, on_every_store, on_lasting_stores};

on_every_store!(
    changes_lead_from_any_version_to_the_last,
    only_what_changed_is_told,
    a_version_that_never_was_is_unknown,
    whoever_lags_behind_too_far_reads_everything,
    a_record_is_written_at_the_version_of_the_catalog_only,
    of_many_records_for_one_version_one_is_written,
    every_listener_hears_of_a_change,
);
on_lasting_stores!(a_reader_goes_on_after_a_restart);

type Catalog = BTreeMap<ExperimentId, Experiment>;

/// As a replica reads: everything at first, then what changed.
#[derive(Clone)]
struct Reader {
    version: u64,
    catalog: Catalog,
}

impl Reader {
    async fn new(store: &dyn Store) -> Self {
        let records = store.records().await.unwrap();
        let pairs = records.experiments.into_iter().map(|e| (e.id().clone(), e));
        Self { version: records.version, catalog: pairs.collect() }
    }

    /// How many records it was told, or `None` when it had to read everything.
    async fn catch_up(&mut self, store: &dyn Store) -> Option<usize> {
        let mut told = 0;
        loop {
            match store.changes(self.version).await.unwrap() {
                Changes::None => return Some(told),
                Changes::Unknown => {
                    *self = Self::new(store).await;
                    return None;
                }
                Changes::Some { version, records, more } => {
                    assert!(version > self.version && !records.is_empty());
                    self.version = version;
                    told += records.len();
                    for (id, record) in records {
                        match record {
                            Some(record) => self.catalog.insert(id, record),
                            None => self.catalog.remove(&id),
                        };
                    }
                    if !more {
                        return Some(told);
                    }
                }
            }
        }
    }
}

async fn version(store: &dyn Store) -> u64 {
    store.records().await.unwrap().version
}

async fn create(store: &dyn Store, id: &str) -> Experiment {
    let created = at_revision(&experiment(id, 1), 1);
    store.put(&created, None, &any_cause()).await.unwrap();
    created
}

async fn changes_lead_from_any_version_to_the_last(home: Home) {
    let store = home.open().await;
    let mut generator = ChaCha8Rng::seed_from_u64(5);
    let (mut model, mut readers) = (Catalog::new(), vec![Reader::new(&*store).await]);
    for step in 2..300 {
        let id = format!("x-{}", generator.random_range(0..6));
        let record = at_revision(&experiment(&id, 1), step);
        let before = model.get(record.id()).map(|record| record.revision);
        if let Some(revision) = before
            && generator.random_bool(0.4)
        {
            store.remove(record.id(), revision, &[], &any_cause()).await.unwrap();
            model.remove(record.id());
        } else {
            store.put(&record, before, &any_cause()).await.unwrap();
            model.insert(record.id().clone(), record);
        }
        if generator.random_bool(0.1) {
            readers.push(readers[0].clone());
        }
        let chosen = generator.random_range(0..readers.len());
        assert!(readers[chosen].catch_up(&*store).await.is_some());
        assert_eq!(readers[chosen].catalog, model);
        assert_eq!(readers[chosen].version, version(&*store).await);
    }
    for reader in &mut readers {
        assert!(reader.catch_up(&*store).await.is_some());
        assert_eq!(reader.catalog, model);
    }
}

async fn only_what_changed_is_told(home: Home) {
    let store = home.open().await;
    for number in 0..200 {
        create(&*store, &format!("x-{number}")).await;
    }
    let mut reader = Reader::new(&*store).await;
    assert_eq!(reader.catch_up(&*store).await, Some(0));
    let changed = experiment("x-7", 1);
    for revision in 2..5 {
        let next = at_revision(&changed, revision);
        store.put(&next, Some(Revision(revision - 1)), &any_cause()).await.unwrap();
    }
    assert_eq!(reader.catch_up(&*store).await, Some(1));
    assert_eq!(reader.catalog[changed.id()].revision, Revision(4));
    store.put(&changed, Some(Revision(3)), &any_cause()).await.unwrap_err();
    assert_eq!(store.changes(reader.version).await.unwrap(), Changes::None);
}

async fn a_version_that_never_was_is_unknown(home: Home) {
    let store = home.open().await;
    assert_eq!(store.changes(0).await.unwrap(), Changes::None);
    for never in [1, 1 << 53] {
        assert_eq!(store.changes(never).await.unwrap(), Changes::Unknown);
    }
    create(&*store, "x").await;
    let here = version(&*store).await;
    assert!(
        matches!(store.changes(0).await.unwrap(), Changes::Some { version, .. } if version == here)
    );
    assert_eq!(store.changes(here + 1).await.unwrap(), Changes::Unknown);
}

async fn whoever_lags_behind_too_far_reads_everything(home: Home) {
    let store = home.open().await;
    let created = create(&*store, "x").await;
    let mut late = Reader::new(&*store).await;
    for revision in 2..1_100 {
        let next = at_revision(&created, revision);
        store.put(&next, Some(Revision(revision - 1)), &any_cause()).await.unwrap();
    }
    assert_eq!(late.catch_up(&*store).await, None);
    assert_eq!(late.catalog[created.id()].revision, Revision(1_099));
    assert_eq!(late.catch_up(&*store).await, Some(0));
}

fn moved(result: &Result<(), StoreError>, to: u64) {
    assert!(matches!(result, Err(StoreError::Moved { actual }) if *actual == to), "{result:?}");
}

async fn a_record_is_written_at_the_version_of_the_catalog_only(home: Home) {
    let store = home.open().await;
    let (other, here) = (experiment("y", 1), version(&*store).await);
    let created = create(&*store, "x").await;
    let next = version(&*store).await;
    moved(&store.put_at(Some(here), &other, None, &any_cause()).await, next);
    let second = at_revision(&created, 2);
    moved(&store.put_at(Some(here), &second, Some(Revision(1)), &any_cause()).await, next);
    // The record itself comes first: who has lost it needs no newer catalog.
    let conflict = store.put_at(Some(here), &second, Some(Revision(7)), &any_cause()).await;
    assert!(matches!(conflict, Err(StoreError::Conflict { .. })), "{conflict:?}");
    assert_eq!(store.records().await.unwrap().experiments, [created]);
    assert_eq!(version(&*store).await, next);
    store.put_at(Some(next), &second, Some(Revision(1)), &any_cause()).await.unwrap();
    assert_eq!(store.get(second.id()).await.unwrap(), Some(second));
}

async fn of_many_records_for_one_version_one_is_written(home: Home) {
    let store = home.open().await;
    let here = version(&*store).await;
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let (store, record) = (Arc::clone(&store), experiment(&format!("x-{writer}"), 1));
        writers.spawn(async move {
            store.put_at(Some(here), &record, None, &any_cause()).await.is_ok()
        });
    }
    let written = writers.join_all().await.into_iter().filter(|written| *written).count();
    assert_eq!((written, store.records().await.unwrap().experiments.len()), (1, 1));
}

async fn every_listener_hears_of_a_change(home: Home) {
    let store = home.open().await;
    create(&*store, "before").await;
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(store.announcements().await.unwrap());
    }
    let created = create(&*store, "x").await;
    let first = version(&*store).await;
    for listener in &mut listeners {
        assert_eq!(listener.next().await, Some(first));
    }
    store.remove(created.id(), Revision(1), &[], &any_cause()).await.unwrap();
    let second = version(&*store).await;
    for listener in &mut listeners {
        assert_eq!(listener.next().await, Some(second));
        let more = tokio::time::timeout(Duration::ZERO, listener.next()).await;
        assert!(more.is_err(), "told without a change: {more:?}");
    }
}

async fn a_reader_goes_on_after_a_restart(home: Home) {
    let mut home = home.lasting().await;
    let store = home.open().await;
    let created = create(&*store, "x").await;
    let (mut current, mut late) = (Reader::new(&*store).await, Reader::new(&*store).await);
    create(&*store, "y").await;
    current.catch_up(&*store).await;
    let store = home.restart(store).await;
    assert_eq!(current.catch_up(&*store).await, Some(0));
    store.put(&at_revision(&created, 2), Some(Revision(1)), &any_cause()).await.unwrap();
    for reader in [&mut current, &mut late] {
        reader.catch_up(&*store).await;
        assert_eq!(reader.catalog, Reader::new(&*store).await.catalog);
    }
}
