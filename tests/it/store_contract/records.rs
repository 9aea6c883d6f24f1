//! Records are compared and set, and removed with everything that was counted for them.

use std::sync::Arc;

use tiebreak::domain::counter::{Admission, Event, ShardKey};
use tiebreak::domain::experiment::{Experiment, Incarnation, Revision};
use tiebreak::store::Applied::{Counted, NotExposed};
use tiebreak::store::{Rows, Store, StoreError};
use tokio::task::JoinSet;

use crate::support::events::{
    any_cause, at_revision, event, event_with_id, experiment, rows, shard,
};
use crate::support::{Home, on_every_store};

on_every_store!(
    a_store_starts_empty,
    a_record_is_created_once,
    a_record_is_replaced_at_its_revision_only,
    one_of_many_writers_wins,
    the_version_grows_with_every_change_and_no_other,
    all_records_are_listed,
    a_record_comes_back_as_it_was,
    a_removed_experiment_leaves_nothing,
    a_removal_at_another_revision_changes_nothing,
    an_experiment_created_again_starts_from_nothing,
    incarnations_of_a_name_share_nothing,
);

fn assert_conflict<T: std::fmt::Debug>(result: Result<T, StoreError>, want: [Option<u64>; 2]) {
    let [want_expected, want_actual] = want.map(|revision| revision.map(Revision));
    match result {
        Err(StoreError::Conflict { expected, actual }) => {
            assert_eq!((expected, actual), (want_expected, want_actual));
        }
        other => panic!("a conflict was expected, not {other:?}"),
    }
}

async fn create(store: &dyn Store, id: &str) -> Experiment {
    let created = at_revision(&experiment(id, 1), 1);
    store.put(&created, None, &any_cause()).await.unwrap();
    created
}

async fn a_store_starts_empty(home: Home) {
    let store = home.open().await;
    let records = store.records().await.unwrap();
    assert_eq!((records.version, records.experiments), (0, vec![]));
    assert_eq!(store.get(experiment("x", 1).id()).await.unwrap(), None);
}

async fn a_record_is_created_once(home: Home) {
    let store = home.open().await;
    let created = create(&*store, "x").await;
    assert_conflict(
        store.put(&at_revision(&created, 5), None, &any_cause()).await,
        [None, Some(1)],
    );
    assert_eq!(store.get(created.id()).await.unwrap(), Some(created));
}

async fn a_record_is_replaced_at_its_revision_only(home: Home) {
    let store = home.open().await;
    let absent = experiment("y", 1);
    assert_conflict(store.put(&absent, Some(Revision(3)), &any_cause()).await, [Some(3), None]);
    let created = create(&*store, "x").await;
    let second = at_revision(&created, 2);
    store.put(&second, Some(Revision(1)), &any_cause()).await.unwrap();
    let late = store.put(&at_revision(&created, 2), Some(Revision(1)), &any_cause()).await;
    assert_conflict(late, [Some(1), Some(2)]);
    assert_eq!(store.get(created.id()).await.unwrap(), Some(second));
}

async fn one_of_many_writers_wins(home: Home) {
    let store = home.open().await;
    let created = create(&*store, "x").await;
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let (store, mut wanted) = (Arc::clone(&store), at_revision(&created, 2));
        writers.spawn(async move {
            wanted.definition.owner = format!("writer {writer}");
            store.put(&wanted, Some(Revision(1)), &any_cause()).await.is_ok().then_some(wanted)
        });
    }
    let winners: Vec<Experiment> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(store.get(created.id()).await.unwrap().as_ref(), winners.first());
}

async fn the_version_grows_with_every_change_and_no_other(home: Home) {
    let store = home.open().await;
    let version = async || store.records().await.unwrap().version;
    let mut last = version().await;
    let mut grown = async || {
        let before = std::mem::replace(&mut last, version().await);
        last > before
    };
    let created = create(&*store, "x").await;
    assert!(grown().await);
    store.put(&at_revision(&created, 2), Some(Revision(1)), &any_cause()).await.unwrap();
    assert!(grown().await);
    store.put(&created, None, &any_cause()).await.unwrap_err();
    store.remove(created.id(), Revision(1), &[], &any_cause()).await.unwrap_err();
    store.apply(&shard("x", 1, 0), &[event(1)]).await.unwrap();
    assert!(!grown().await);
    store.remove(created.id(), Revision(2), &[shard("x", 1, 0)], &any_cause()).await.unwrap();
    assert!(grown().await);
    create(&*store, "x").await;
    assert!(grown().await);
}

async fn all_records_are_listed(home: Home) {
    let store = home.open().await;
    let mut created = Vec::new();
    for number in 0..20 {
        created.push(create(&*store, &format!("x-{number:02}")).await);
    }
    let mut listed = store.records().await.unwrap().experiments;
    listed.sort_by_key(|experiment| experiment.id().clone());
    assert_eq!(listed, created);
}

async fn a_record_comes_back_as_it_was(home: Home) {
    let store = home.open().await;
    let mut full = experiment("x", 8);
    full.definition.description = "päth \u{0} \n \"quoted\" 😀".repeat(100);
    full.definition.analysis.alpha = 0.1 + 0.2;
    full.revision = Revision(u64::from(u32::MAX) * 5);
    store.put(&full, None, &any_cause()).await.unwrap();
    assert_eq!(store.get(full.id()).await.unwrap(), Some(full.clone()));
    let next = Revision(full.revision.0 + 1);
    let replaced = Experiment { revision: next, ..full.clone() };
    store.put(&replaced, Some(full.revision), &any_cause()).await.unwrap();
    assert_eq!(store.get(full.id()).await.unwrap(), Some(replaced));
}

async fn a_removed_experiment_leaves_nothing(home: Home) {
    let store = home.open().await;
    let (removed, kept) = (create(&*store, "x").await, create(&*store, "x-y").await);
    let shards = [shard("x", 1, 0), shard("x", 1, 1), shard("x", 2, 0)];
    let other = shard("x-y", 1, 0);
    let events: Vec<_> = (0..300).map(|n| event_with_id(n, n)).collect();
    for shard in shards.iter().chain([&other]) {
        store.apply(shard, &events).await.unwrap();
        store.raise(shard, &rows([("m/v", &[5])])).await.unwrap();
    }
    store.remove(removed.id(), Revision(1), &shards, &any_cause()).await.unwrap();
    assert_eq!(store.get(removed.id()).await.unwrap(), None);
    assert_eq!(store.records().await.unwrap().experiments, std::slice::from_ref(&kept));
    for shard in &shards {
        assert_eq!(store.rows(shard).await.unwrap(), Rows::new());
    }
    let others = store.rows(&other).await.unwrap();
    assert_eq!((&others["n/v/m"], &others["m/v"]), (&vec![300], &vec![5]));
    store.remove(kept.id(), Revision(1), &[other], &any_cause()).await.unwrap();
    let left = home.redis_keys().await;
    let kept = ["audit", "audited", "format", "log", "version"];
    let kept = kept.map(|name| format!("{{tiebreak:catalog}}:{name}"));
    assert!(left.iter().all(|key| kept.contains(key)), "{left:?}");
}

async fn a_removal_at_another_revision_changes_nothing(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let created = create(&*store, "x").await;
    store.apply(&shard, &[event(1)]).await.unwrap();
    let shards = std::slice::from_ref(&shard);
    assert_conflict(
        store.remove(created.id(), Revision(2), shards, &any_cause()).await,
        [Some(2), Some(1)],
    );
    assert_eq!(store.rows(&shard).await.unwrap()["e/v"], [1]);
    store.remove(created.id(), Revision(1), shards, &any_cause()).await.unwrap();
    assert_conflict(
        store.remove(created.id(), Revision(1), shards, &any_cause()).await,
        [Some(1), None],
    );
}

async fn an_experiment_created_again_starts_from_nothing(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    for maximum in [7, 3] {
        let created = create(&*store, "x").await;
        let asks = Event { admission: Admission::ExposedOnly, ..event(1) };
        let batch = [asks, event_with_id(1, 1)];
        assert_eq!(store.apply(&shard, &batch).await.unwrap(), [NotExposed, Counted]);
        assert_eq!(store.rows(&shard).await.unwrap()["e/v"], [1]);
        store.raise(&shard, &rows([("m/v", &[maximum])])).await.unwrap();
        assert_eq!(store.rows(&shard).await.unwrap()["m/v"], [maximum]);
        let shards = std::slice::from_ref(&shard);
        store.remove(created.id(), Revision(1), shards, &any_cause()).await.unwrap();
    }
}

/// A replica that has not heard yet that an experiment was deleted and created again counts for the
/// one that it knows.
async fn incarnations_of_a_name_share_nothing(home: Home) {
    let store = home.open().await;
    let (old, new) =
        (shard("x", 1, 0), ShardKey { incarnation: Incarnation(1), ..shard("x", 1, 0) });
    store.apply(&new, &[event(1), event(2)]).await.unwrap();
    store.raise(&new, &rows([("m/v", &[5])])).await.unwrap();
    let asks = Event { admission: Admission::ExposedOnly, ..event(1) };
    assert_eq!(
        store.apply(&old, &[asks, event_with_id(1, 1)]).await.unwrap(),
        [NotExposed, Counted]
    );
    assert_eq!(store.rows(&old).await.unwrap()["n/v/m"], [1]);
    let created = create(&*store, "x").await;
    store
        .remove(created.id(), Revision(1), std::slice::from_ref(&old), &any_cause())
        .await
        .unwrap();
    assert_eq!(store.rows(&old).await.unwrap(), Rows::new());
    let kept = store.rows(&new).await.unwrap();
    assert_eq!((&kept["n/v/m"], &kept["m/v"]), (&vec![2], &vec![5]));
}
