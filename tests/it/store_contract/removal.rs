//! Removing what is large: in steps, resumed by whoever comes next, in nobody's way.

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ::redis::cmd;
use fjall::{Database, KeyspaceCreateOptions};
use tiebreak::domain::counter::{Event, ShardKey};
use tiebreak::domain::experiment::Revision;
use tiebreak::store::Applied::Counted;
use tiebreak::store::{Rows, Store};

use super::embedded::copy_directory;
use crate::support::events::{any_cause, at_revision, event_with_id, experiment, shard};
use crate::support::{Home, Kind, on_every_store, on_lasting_stores};

on_every_store!(what_is_large_is_gone_at_once, others_count_while_it_is_erased);

on_lasting_stores!(a_successor_keeps_what_it_counts);

/// Units, events and rows enough for several steps of any store.
const UNITS: u64 = 2_500;

fn events() -> Vec<Event> {
    let events = (0..UNITS).map(|number| Event {
        increments: vec![],
        if_unit_is_new: vec![],
        ..event_with_id(number, number)
    });
    events.collect()
}

fn many_rows() -> Rows {
    (0..UNITS).map(|number| (format!("m/{number}"), vec![1])).collect()
}

/// Creates `x` and fills two of its shards.
async fn large(store: &dyn Store) -> [ShardKey; 2] {
    let shards = [shard("x", 1, 0), shard("x", 1, 1)];
    store.put(&at_revision(&experiment("x", 2), 1), None, &any_cause()).await.unwrap();
    for shard in &shards {
        store.apply(shard, &events()).await.unwrap();
        store.raise(shard, &many_rows()).await.unwrap();
    }
    shards
}

async fn what_is_large_is_gone_at_once(home: Home) {
    let store = home.open().await;
    let shards = large(&*store).await;
    let id = &shards[0].experiment;
    store.remove(id, Revision(1), &shards, &any_cause()).await.unwrap();
    assert_eq!(store.get(id).await.unwrap(), None);
    for shard in &shards {
        assert_eq!(store.rows(shard).await.unwrap(), Rows::new());
    }
    let left = home.redis_keys().await;
    let meant = ["version", "format", "log", "audit", "audited"];
    let is_meant = |key: &String| meant.iter().any(|name| key.ends_with(&format!("}}:{name}")));
    assert!(left.iter().all(is_meant), "{left:?}");
}

async fn others_count_while_it_is_erased(home: Home) {
    let store = home.open().await;
    let shards = large(&*store).await;
    let (id, other) = (shards[0].experiment.clone(), shard("y", 1, 0));
    let cause = any_cause();
    let remove = store.remove(&id, Revision(1), &shards, &cause);
    let count = async {
        for number in 0..50 {
            store.apply(&other, &[event_with_id(number, number)]).await.unwrap();
        }
    };
    let (removed, ()) = tokio::join!(remove, count);
    removed.unwrap();
    assert_eq!(store.rows(&other).await.unwrap()["n/v/m"], [50]);
    assert_eq!(store.rows(&shards[0]).await.unwrap(), Rows::new());
}

/// Created again before the data of its predecessor is erased, even by a clock that stands still.
async fn a_successor_keeps_what_it_counts(home: Home) {
    let mut home = home.lasting().await;
    let store = home.open().await;
    let shards = large(&*store).await;
    store.remove(&shards[0].experiment, Revision(1), &shards, &any_cause()).await.unwrap();
    store.put(&at_revision(&experiment("x", 2), 1), None, &any_cause()).await.unwrap();
    let counted = [event_with_id(1, 1), event_with_id(2, 2)];
    assert_eq!(store.apply(&shards[0], &counted).await.unwrap(), [Counted, Counted]);
    let store = home.restart(store).await;
    let rows = store.rows(&shards[0]).await.unwrap();
    assert_eq!((rows.len(), &rows["n/v/m"], &rows["e/v"]), (2, &vec![2], &vec![2]));
    assert_eq!(store.rows(&shards[1]).await.unwrap(), Rows::new());
}

/// As a server leaves it that dies while it deletes: another one goes on.
#[tokio::test]
async fn a_removal_that_nobody_finished_is_finished_by_a_sweep() {
    let home = Home::new(Kind::Redis).await;
    let mut connection = home.server.as_ref().unwrap().connection().await;
    let (dying, other) = (home.open().await, home.open().await);
    let shards = large(&*dying).await;
    let (cause, id) = (any_cause(), shards[0].experiment.clone());
    let mut size = async || cmd("DBSIZE").query_async::<u64>(&mut connection).await.unwrap();
    let whole = size().await;
    let mut removal = Box::pin(dying.remove(&id, Revision(1), &shards, &cause));
    loop {
        let poll = poll_fn(|context| Poll::Ready(removal.as_mut().poll(context))).await;
        assert!(poll.is_pending(), "the removal was not interrupted");
        if size().await < whole - 500 {
            break;
        }
    }
    drop(removal);
    drop(dying);
    assert!(size().await > 1_000);
    assert_eq!(other.get(&id).await.unwrap(), None);
    other.sweep().await.unwrap();
    let left = home.redis_keys().await;
    assert!(left.iter().all(|key| key.starts_with("{tiebreak:catalog}:")), "{left:?}");
    assert!(!left.iter().any(|key| key.ends_with(":removals")), "{left:?}");
}

/// A note of a later removal is not taken for the one that has just been done.
#[tokio::test]
async fn a_late_eraser_leaves_the_note_of_a_later_removal() {
    let home = Home::new(Kind::Redis).await;
    let mut connection = home.server.as_ref().unwrap().connection().await;
    let store = home.open().await;
    let removals = "{tiebreak:catalog}:removals";
    let shards = large(&*store).await;
    let (cause, id) = (any_cause(), shards[0].experiment.clone());
    let mut removal = Box::pin(store.remove(&id, Revision(1), &shards, &cause));
    loop {
        let poll = poll_fn(|context| Poll::Ready(removal.as_mut().poll(context))).await;
        assert!(poll.is_pending(), "the removal was not interrupted");
        let noted: u64 = cmd("HLEN").arg(removals).query_async(&mut connection).await.unwrap();
        if noted == 1 {
            break;
        }
    }
    cmd("HSET").arg(removals).arg("x").arg("7/1/0").exec_async(&mut connection).await.unwrap();
    removal.await.unwrap();
    let note: String =
        cmd("HGET").arg(removals).arg("x").query_async(&mut connection).await.unwrap();
    assert_eq!(note, "7/1/0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_store_erases_by_itself_and_a_closed_one_when_it_is_opened() {
    for closes in [false, true] {
        let mut home = Home::new(Kind::Embedded).await;
        home.log_limit = 0;
        let store = home.open_embedded();
        let shards = large(&store).await;
        store.remove(&shards[0].experiment, Revision(1), &shards, &any_cause()).await.unwrap();
        if closes {
            drop(store);
            drop(home.open_embedded());
            assert_eq!(keys_left(home.directory.path()), 0);
            continue;
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        // A copy, because the store has the directory.
        while {
            let copy = tempfile::tempdir().unwrap();
            copy_directory(home.directory.path(), copy.path());
            keys_left(copy.path()) > 0
        } {
            assert!(Instant::now() < deadline, "the store does not erase");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(store);
    }
}

/// How many keys a directory holds of any shard.
fn keys_left(directory: &Path) -> usize {
    let database = Database::builder(directory).open().unwrap();
    let spaces = ["rows", "notes", "units", "events", "erasing"].map(|name| {
        database.keyspace(name, KeyspaceCreateOptions::default).unwrap().len().unwrap()
    });
    spaces.iter().sum()
}

/// A busy committer erases, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_store_erases_between_its_groups() {
    let home = Home::new(Kind::Embedded).await;
    let store: Arc<dyn Store> = Arc::new(home.open_embedded());
    let shards = large(&*store).await;
    store.remove(&shards[0].experiment, Revision(1), &shards, &any_cause()).await.unwrap();
    let other = shard("y", 1, 0);
    for number in 0..100 {
        store.apply(&other, &[event_with_id(number, number)]).await.unwrap();
    }
    drop(store);
    let units = 100;
    // The rows of the others are in the log still.
    assert!(keys_left(home.directory.path()) <= 2 * units);
}
