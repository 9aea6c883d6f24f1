//! What only the embedded store has: a directory, a lock on it, checkpoints and a log.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use tiebreak::domain::experiment::{Revision, Timestamp};
use tiebreak::store::Applied::{Counted, Duplicate};
use tiebreak::store::embedded::{Clock, EmbeddedStore, Options};
use tiebreak::store::{Rows, Store, StoreError};

use crate::support::events::{any_cause, at_revision, event_with_id, experiment, rows, shard};
use crate::support::{Home, Kind};

fn cause(error: &StoreError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let home = Home::new(Kind::Embedded).await;
    let first = home.open_embedded();
    let refused = open_at(home.directory.path(), &home).unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert!(cause(&refused).contains("another process has the data directory"), "{refused:?}");
    drop(first);
    home.open_embedded();
}

#[tokio::test]
async fn another_format_is_refused_with_a_remedy() {
    let home = Home::new(Kind::Embedded).await;
    drop(home.open_embedded());
    for (format, remedy) in [(17_u64, "a newer release wrote it"), (1, "an older release wrote it")]
    {
        with_database(&home, |database| {
            keyspace(database, "meta").insert("format", format.to_be_bytes()).unwrap();
        });
        let refused = open_at(home.directory.path(), &home).unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt(_)), "{refused:?}");
        let text = refused.to_string();
        assert!(text.contains(&format!("format {format}")) && text.contains(remedy), "{text}");
    }
    with_database(&home, |database| keyspace(database, "meta").remove("format").unwrap());
    let refused = open_at(home.directory.path(), &home).unwrap_err();
    assert!(refused.to_string().contains("another program"), "{refused}");
}

/// Wherever a crash interrupts the first start, the next one makes a store of what is left.
#[tokio::test]
async fn a_store_that_was_half_made_is_made_anew() {
    let home = Home::new(Kind::Embedded).await;
    let made = tempfile::tempdir().unwrap();
    drop(open_at(made.path(), &home).unwrap());
    // The files of a store are moved in one by one, the one that makes it a store last.
    let all = ["lock", "keyspaces", "0.jnl", "version"];
    for moved in 0..=all.len() {
        let (half_made, aside) = (tempfile::tempdir().unwrap(), made.path());
        copy_directory(aside, &half_made.path().join("new"));
        for name in &all[..moved] {
            let target = half_made.path().join(name);
            std::fs::rename(half_made.path().join("new").join(name), target).unwrap();
        }
        let store = open_at(half_made.path(), &home).unwrap();
        store.apply(&shard("x", 1, 0), &[event_with_id(1, 1)]).await.unwrap();
        drop(store);
        let store = open_at(half_made.path(), &home).unwrap();
        assert_eq!(store.rows(&shard("x", 1, 0)).await.unwrap()["n/v/m"], [1]);
        assert!(!half_made.path().join("new").exists());
    }
}

#[tokio::test]
async fn what_is_no_store_is_left_alone() {
    let home = Home::new(Kind::Embedded).await;
    let occupied = tempfile::tempdir().unwrap();
    std::fs::write(occupied.path().join("thesis.tex"), "years of work").unwrap();
    let refused = open_at(occupied.path(), &home).unwrap_err();
    assert!(cause(&refused).contains("'thesis.tex'"), "{refused:?}");
    assert_eq!(std::fs::read_dir(occupied.path()).unwrap().count(), 1);
    let absent = occupied.path().join("absent");
    let options = Options { create: false, ..home.embedded_options() };
    let refused = EmbeddedStore::open(&absent, options).unwrap_err();
    assert!(cause(&refused).contains("there is no store in"), "{refused:?}");
    assert!(!absent.exists());
}

fn open_at(path: &Path, home: &Home) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(path, home.embedded_options())
}

/// The window that an event was counted in keeps its length when the store is told another one.
#[tokio::test]
async fn a_window_of_another_length_forgets_nothing_early() {
    for (before, after) in [(100_000, 7_000), (7_000, 100_000)] {
        let mut home = Home::new(Kind::Embedded).await;
        home.log_limit = 0;
        let (before, shard) = (Duration::from_millis(before), shard("x", 1, 0));
        home.window = before;
        let clock = home.embedded_options().clock;
        let options = |window| Options {
            dedup_window: window,
            clock: clock.clone(),
            ..home.embedded_options()
        };
        let open = |window| EmbeddedStore::open(home.directory.path(), options(window)).unwrap();
        open(before).apply(&shard, &[event_with_id(1, 1)]).await.unwrap();
        let store = open(Duration::from_millis(after));
        home.pass_time(before).await;
        // Another event, so that what is expired is cleared away.
        store.apply(&shard, &[event_with_id(1, 2)]).await.unwrap();
        assert_eq!(store.apply(&shard, &[event_with_id(1, 1)]).await.unwrap(), [Duplicate]);
        home.pass_time(before).await;
        assert_eq!(store.apply(&shard, &[event_with_id(1, 1)]).await.unwrap(), [Counted]);
    }
}

#[tokio::test]
async fn a_place_that_is_no_directory_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let home = Home::new(Kind::Memory).await;
    let refused = EmbeddedStore::open(file.path(), home.embedded_options()).unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
}

/// Checkpoints as often as can be, never, and every now and then come to the same.
#[tokio::test]
async fn checkpoints_do_not_show() {
    let mut seen = Vec::new();
    for log_limit in [0, 2_000, u64::MAX] {
        let mut home = Home::new(Kind::Embedded).await;
        home.log_limit = log_limit;
        let (here, there) = (shard("x", 1, 0), shard("x", 1, 1));
        let mut store = home.open().await;
        for round in 0..60 {
            let events = [event_with_id(round % 7, round), event_with_id(round % 5, round + 1)];
            let shard = if round % 3 == 0 { &there } else { &here };
            store.apply(shard, &events).await.unwrap();
            let up = i64::try_from(round).unwrap();
            let maxima = rows([("m/v", &[up, 40 - up])]);
            store.raise(shard, &maxima).await.unwrap();
            if round % 20 == 19 {
                store = home.restart(store).await;
            }
        }
        seen.push((store.rows(&here).await.unwrap(), store.rows(&there).await.unwrap()));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[1], seen[2]);
}

#[tokio::test]
async fn a_log_from_before_a_removal_brings_nothing_back() {
    for log_limit in [0, u64::MAX] {
        let mut home = Home::new(Kind::Embedded).await;
        home.log_limit = log_limit;
        let (gone, kept) = (shard("x", 1, 0), shard("y", 1, 0));
        let store = home.open().await;
        store.put(&at_revision(&experiment("x", 1), 1), None, &any_cause()).await.unwrap();
        for shard in [&gone, &kept] {
            store.apply(shard, &[event_with_id(1, 1)]).await.unwrap();
            store.raise(shard, &rows([("m/v", &[5])])).await.unwrap();
        }
        let shards = std::slice::from_ref(&gone);
        store.remove(&gone.experiment, Revision(1), shards, &any_cause()).await.unwrap();
        store.apply(&kept, &[event_with_id(1, 2)]).await.unwrap();
        let store = home.restart(store).await;
        assert_eq!(store.rows(&gone).await.unwrap(), Rows::new());
        let left = store.rows(&kept).await.unwrap();
        assert_eq!((&left["n/v/m"], &left["m/v"]), (&vec![2], &vec![5]));
    }
}

fn with_database(home: &Home, change: impl FnOnce(&Database)) {
    let database = Database::builder(home.directory.path()).open().unwrap();
    change(&database);
    database.persist(PersistMode::SyncAll).unwrap();
}

fn keyspace(database: &Database, name: &str) -> fjall::Keyspace {
    database.keyspace(name, KeyspaceCreateOptions::default).unwrap()
}

#[tokio::test]
async fn an_interrupted_removal_is_finished_when_the_directory_is_opened() {
    let mut home = Home::new(Kind::Embedded).await;
    home.log_limit = 0;
    let (gone, kept) = (shard("x", 1, 0), shard("x", 1, 1));
    let store = home.open().await;
    for shard in [&gone, &kept] {
        store.apply(shard, &[event_with_id(1, 1)]).await.unwrap();
    }
    drop(store);
    // As the first step of a removal leaves it when the others never come.
    let (incarnation, iteration, shard) = (0_u64, 1_u32, 0_u32);
    let note = [
        b"x\0".as_slice(),
        &incarnation.to_be_bytes(),
        &iteration.to_be_bytes(),
        &shard.to_be_bytes(),
    ];
    let note = note.concat();
    with_database(&home, |database| keyspace(database, "erasing").insert(&note, []).unwrap());
    let store = home.open().await;
    assert_eq!(store.rows(&gone).await.unwrap(), Rows::new());
    assert_eq!(store.apply(&gone, &[event_with_id(1, 1)]).await.unwrap(), [Counted]);
    assert_eq!(store.rows(&gone).await.unwrap()["e/v"], [1]);
    assert_eq!(store.apply(&kept, &[event_with_id(1, 1)]).await.unwrap(), [Duplicate]);
    drop(store);
    with_database(&home, |database| {
        assert!(keyspace(database, "erasing").is_empty().unwrap());
    });
}

#[tokio::test]
async fn a_clock_that_steps_back_forgets_nothing() {
    let home = Home::new(Kind::Embedded).await;
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    home.pass_time(home.window).await;
    store.apply(&shard, &[event_with_id(1, 1)]).await.unwrap();
    home.turn_back(home.window);
    assert_eq!(store.apply(&shard, &[event_with_id(1, 1)]).await.unwrap(), [Duplicate]);
}

/// Neither memory nor the directory keeps fingerprints for ever.
#[tokio::test]
async fn expired_events_are_deleted() {
    let mut home = Home::new(Kind::Embedded).await;
    home.log_limit = 0;
    let shard = shard("x", 1, 0);
    let store = home.open().await;
    for window in 0..5 {
        for id in 0..10 {
            store.apply(&shard, &[event_with_id(1, 100 * window + id)]).await.unwrap();
        }
        home.pass_time(home.window).await;
    }
    drop(store);
    with_database(&home, |database| {
        let left = keyspace(database, "events").len().unwrap();
        assert!((10..=30).contains(&left), "{left} fingerprints of at most three windows");
        assert_eq!(keyspace(database, "units").len().unwrap(), 1);
    });
}

/// A copy of the directory is what a crash at that moment leaves: everything acknowledged before
/// is in it, and nothing counts twice when the rest is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_taken_while_writing_has_everything_acknowledged() {
    let home = Home::new(Kind::Embedded).await;
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let acknowledged = Arc::new(AtomicI64::new(0));
    let writer = {
        let (store, shard, acknowledged) =
            (Arc::clone(&store), shard.clone(), Arc::clone(&acknowledged));
        let mut set = tokio::task::JoinSet::new();
        set.spawn(async move {
            for id in 0..2_000 {
                store.apply(&shard, &[event_with_id(id % 100, id)]).await.unwrap();
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        });
        set
    };
    for _ in 0..5 {
        let before = acknowledged.load(Ordering::SeqCst);
        let copy = tempfile::tempdir().unwrap();
        copy_directory(home.directory.path(), copy.path());
        let after = acknowledged.load(Ordering::SeqCst) + 1;
        let copied = EmbeddedStore::open(copy.path(), home.embedded_options()).unwrap();
        let rows = copied.rows(&shard).await.unwrap();
        let counted = rows.get("n/v/m").map_or(0, |row| row[0]);
        assert!((before..=after).contains(&counted), "{before} <= {counted} <= {after}");
        let all: Vec<_> = (0..2_000).map(|id| event_with_id(id % 100, id)).collect();
        let answers = copied.apply(&shard, &all).await.unwrap();
        let duplicates = answers.iter().filter(|answer| **answer == Duplicate).count();
        assert_eq!(i64::try_from(duplicates).unwrap(), counted);
        assert_eq!(copied.rows(&shard).await.unwrap()["n/v/m"], [2_000]);
        assert_eq!(copied.rows(&shard).await.unwrap()["e/v"], [100]);
    }
    writer.join_all().await;
}

pub(super) fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Dropping the store waits for what is in its queue.
#[tokio::test]
async fn what_was_given_up_is_counted_whole_or_not_at_all() {
    let home = Home::new(Kind::Embedded).await;
    let (store, shard) = (home.open_embedded(), shard("x", 1, 0));
    let events: Vec<_> = (0..50).map(|id| event_with_id(id, id)).collect();
    for event in &events {
        // Polled once, so handed over, and given up before the answer.
        let mut apply = std::pin::pin!(store.apply(&shard, std::slice::from_ref(event)));
        std::future::poll_fn(|context| {
            let _ = apply.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }
    drop(store);
    let store = home.open_embedded();
    let before = store.rows(&shard).await.unwrap().get("n/v/m").map_or(0, |row| row[0]);
    let answers = store.apply(&shard, &events).await.unwrap();
    let known = answers.iter().filter(|answer| **answer == Duplicate).count();
    assert_eq!(i64::try_from(known).unwrap(), before);
    assert_eq!(store.rows(&shard).await.unwrap()["n/v/m"], [50]);
}

/// The clock is read before a group is decided, so a clock that waits holds the committer.
#[tokio::test]
async fn a_full_queue_refuses_at_once_and_who_leaves_is_not_counted() {
    let home = Home::new(Kind::Memory).await;
    let (closed, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let clock = Clock::new(move || {
        let _opened = gate.lock().unwrap().recv();
        Timestamp(1_000_000_000_000)
    });
    let store = EmbeddedStore::in_memory(Options { clock, ..home.embedded_options() }).unwrap();
    let shard = shard("x", 1, 0);
    let event = [event_with_id(1, 1)];
    let mut waiting = Vec::new();
    let refused = loop {
        let mut call = store.apply(&shard, &event);
        match std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
            Poll::Ready(answer) => break answer,
            Poll::Pending => waiting.push(call),
        }
    };
    assert!(matches!(refused, Err(StoreError::Overloaded)), "{refused:?}");
    assert!(waiting.len() >= 1_000, "{}", waiting.len());
    drop(waiting);
    drop(closed);
    while matches!(store.raise(&shard, &rows([("m/v", &[1])])).await, Err(StoreError::Overloaded)) {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.rows(&shard).await.unwrap().keys().collect::<Vec<_>>(), ["m/v"]);
}
