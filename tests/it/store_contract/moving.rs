//! A store is read whole, and an empty one filled with it, whole or not at all.

use std::time::Duration;

use tiebreak::domain::audit::{Action, Author, Cause};
use tiebreak::domain::counter::{Event, ShardKey};
use tiebreak::domain::experiment::{Experiment, Revision};
use tiebreak::domain::segment::{Code, Label};
use tiebreak::store::Applied::{Counted, Duplicate, Labelled};
use tiebreak::store::portable::{MoveError, Portable, Set};
use tiebreak::store::{Changes, Note, Rows};

use crate::support::events::{at_revision, event_with_id, experiment, increment, rows, shard};
use crate::support::whole::{Whole, fill, load, whole};
use crate::support::{Home, Kind, on_every_store, on_lasting_stores};

on_every_store!(
    what_is_read_is_what_was_written,
    a_store_comes_back_from_every_kind,
    an_empty_store_comes_back_too,
    an_import_shows_at_its_end_and_at_once,
    an_import_that_is_given_up_leaves_nothing,
    a_store_that_is_not_empty_is_refused,
    a_store_that_was_filled_goes_on_where_the_other_was,
    an_import_does_not_survive_a_creation_meanwhile,
    windows_of_another_length_forget_nothing_early,
);

on_lasting_stores!(
    an_import_is_there_after_a_restart,
    an_import_that_was_interrupted_is_not_there_after_a_restart,
);

const UNITS: u64 = 5_000;

fn label(number: u64) -> Label {
    Label::NONE.with(0, Code::Value(u8::try_from(number % 32).unwrap())).with(7, Code::Other)
}

fn cause(home: &Home) -> Cause {
    Author::server(home.now()).noting(Action::Update, "because".to_owned())
}

/// Every second one has a label.
fn events(numbers: impl Iterator<Item = u64>) -> Vec<Event> {
    let event = |number: u64| Event {
        label: number.is_multiple_of(2).then(|| label(number)),
        increments: vec![
            increment("n/v/m", u32::try_from(number % 7).unwrap(), 1),
            increment("g/0/v/n/v/m", 3, -1),
        ],
        ..event_with_id(number, number)
    };
    numbers.map(event).collect()
}

/// Experiments of which one has more than fits into a piece, one is a draft and one is gone.
async fn furnish(store: &dyn Portable, home: &Home) {
    let (large, small, gone) = (experiment("x", 2), experiment("x-y", 1), experiment("gone", 1));
    for record in [&large, &small, &gone] {
        store.put(&at_revision(record, 7), None, &cause(home)).await.unwrap();
    }
    store.put(&at_revision(&large, 8), Some(Revision(7)), &cause(home)).await.unwrap();
    for (key, count) in [(shard("x", 1, 0), UNITS), (shard("x", 1, 1), 17), (shard("x-y", 1, 0), 1)]
    {
        for step in events(0..count).chunks(512) {
            store.apply(&key, step).await.unwrap();
        }
        store.raise(&key, &rows([("m/~split", &[1 << 62]), ("m/a/m/-", &[0, 3])])).await.unwrap();
        for slot in [0, 7] {
            let note = Note { stamp: u64::MAX - u64::from(slot), bytes: vec![0, 255, 10] };
            store.note(&key, slot, &note).await.unwrap();
        }
    }
    store.remove(gone.id(), Revision(7), &[shard("gone", 1, 0)], &cause(home)).await.unwrap();
}

async fn furnished(home: &Home) -> Whole {
    let store = home.open_portable().await;
    furnish(&*store, home).await;
    whole(&*store).await
}

async fn what_is_read_is_what_was_written(home: Home) {
    let read = furnished(&home).await;
    let ids: Vec<&str> = read.experiments.iter().map(|record| record.id().as_str()).collect();
    assert_eq!(ids, ["x", "x-y"]);
    assert_eq!(read.audit.len(), 5);
    let contents = &read.shards[&shard("x", 1, 0)];
    assert_eq!(contents.rows["n/v/m"].iter().sum::<i64>(), i64::try_from(UNITS).unwrap());
    assert_eq!(contents.rows["g/0/v/n/v/m"], [0, 0, 0, -i64::try_from(UNITS).unwrap()]);
    assert_eq!(contents.rows["m/~split"], [1 << 62]);
    assert_eq!(contents.notes.keys().collect::<Vec<_>>(), [&0, &7]);
    let sizes: Vec<usize> = contents.sets.values().map(Vec::len).collect();
    assert_eq!(sizes, [5_000, 2_500, 5_000], "units, labels, events of one window");
    let labels = &contents.sets[&Set::Labels];
    assert!(labels.iter().all(|member| {
        let number = u64::from_be_bytes(member.digest.to_bytes());
        member.label == label(number)
    }));
    let window = contents.sets.keys().next_back().unwrap();
    let Set::Events(window) = window else { panic!("{window:?}") };
    assert_eq!(Duration::from_millis(window.length()), home.window);
}

async fn a_store_comes_back_from_every_kind(home: Home) {
    for kind in [Kind::Embedded, Kind::Redis] {
        let read = furnished(&Home::of_today(kind).await).await;
        let target = Home::of_today(home.kind).await;
        let store = target.open_portable().await;
        fill(&*store, &read).await.unwrap();
        assert_eq!(whole(&*store).await, read, "{kind:?}");
    }
}

async fn an_empty_store_comes_back_too(home: Home) {
    let store = home.open_portable().await;
    let read = whole(&*store).await;
    assert_eq!(read, Whole::default());
    fill(&*store, &read).await.unwrap();
    assert_eq!(whole(&*store).await, read);
}

async fn an_import_shows_at_its_end_and_at_once(home: Home) {
    let read = furnished(&Home::new(home.kind).await).await;
    let store = home.open_portable().await;
    let before = store.records().await.unwrap().version;
    let mut import = store.import(&read.experiments).await.unwrap();
    load(&mut *import, &read).await.unwrap();
    assert_eq!(whole(&*store).await, Whole::default());
    assert!(matches!(store.changes(before).await.unwrap(), Changes::None));
    import.commit().await.unwrap();
    assert_eq!(whole(&*store).await, read);
    // Who follows the catalog has to read all of it.
    let changes = store.changes(before).await.unwrap();
    assert!(matches!(changes, Changes::Unknown), "{changes:?}");
    assert!(store.records().await.unwrap().version > read.audit[0].number.0.max(before));
}

async fn an_import_that_is_given_up_leaves_nothing(home: Home) {
    let read = furnished(&Home::new(home.kind).await).await;
    let store = home.open_portable().await;
    for orderly in [false, true] {
        let mut import = store.import(&read.experiments).await.unwrap();
        load(&mut *import, &read).await.unwrap();
        if orderly {
            import.give_up().await.unwrap();
        } else {
            drop(import);
            home.let_a_lease_expire().await;
        }
    }
    assert_eq!(whole(&*store).await, Whole::default());
    // The next import finds nothing of the earlier ones, also where it brings less.
    let mut less = read.clone();
    for contents in less.shards.values_mut() {
        contents.sets.remove(&Set::Labels);
        contents.rows.retain(|name, _| name.starts_with("n/"));
        contents.notes.clear();
    }
    fill(&*store, &less).await.unwrap();
    assert_eq!(whole(&*store).await, less);
}

async fn a_store_that_is_not_empty_is_refused(home: Home) {
    let store = home.open_portable().await;
    let refused = |answer: Result<(), MoveError>| match answer {
        Err(MoveError::NotEmpty(what)) => what,
        other => panic!("{other:?}"),
    };
    let record = at_revision(&experiment("x", 1), 1);
    store.put(&record, None, &cause(&home)).await.unwrap();
    assert_eq!(refused(fill(&*store, &Whole::default()).await), "1 experiments");
    store.remove(record.id(), Revision(1), &[], &cause(&home)).await.unwrap();
    assert_eq!(refused(fill(&*store, &Whole::default()).await), "an audit log");
    // And a refusal is no import that would stand in anybody's way.
    store.put(&record, None, &cause(&home)).await.unwrap();
    assert_eq!(refused(fill(&*store, &Whole::default()).await), "1 experiments");
}

async fn a_store_that_was_filled_goes_on_where_the_other_was(home: Home) {
    let read = furnished(&Home::of_today(Kind::Embedded).await).await;
    let home = home.today();
    let (store, shard) = (home.open_portable().await, shard("x", 1, 0));
    fill(&*store, &read).await.unwrap();
    let known: Vec<Event> = events(0..UNITS);
    for step in known.chunks(512) {
        assert!(store.apply(&shard, step).await.unwrap().iter().all(|one| *one == Duplicate));
    }
    let anew = |unit: u64, label| Event { label, ..event_with_id(unit, UNITS + unit) };
    let answers = store.apply(&shard, &[anew(2, Some(label(3))), anew(4, Some(label(4)))]).await;
    assert_eq!(answers.unwrap(), [Labelled(label(2)), Counted]);
    // New ones make the tables grow from where they were.
    for step in events(2 * UNITS..3 * UNITS).chunks(512) {
        assert!(store.apply(&shard, step).await.unwrap().iter().all(|one| *one == Counted));
    }
    let after = store.rows(&shard).await.unwrap();
    assert_eq!(after["e/v"], [2 * i64::try_from(UNITS).unwrap()]);
    store.raise(&shard, &rows([("m/~split", &[5])])).await.unwrap();
    assert_eq!(store.rows(&shard).await.unwrap(), after);
    let note = Note { stamp: u64::MAX, bytes: vec![] };
    assert!(!store.note(&shard, 0, &note).await.unwrap());
    let next = at_revision(&read.experiments[0], 9);
    store.put(&next, Some(Revision(8)), &cause(&home)).await.unwrap();
    let grown = whole(&*store).await;
    assert_eq!(grown.audit[1..], read.audit);
    assert!(grown.audit[0].number > read.audit[0].number);
}

async fn an_import_does_not_survive_a_creation_meanwhile(home: Home) {
    let read = furnished(&Home::new(home.kind).await).await;
    for name in ["x", "other"] {
        let home = Home::new(home.kind).await;
        let store = home.open_portable().await;
        let mut import = store.import(&read.experiments).await.unwrap();
        let _ = load(&mut *import, &read).await;
        let created: Experiment = at_revision(&experiment(name, 1), 1);
        store.put(&created, None, &cause(&home)).await.unwrap();
        let refused = import.commit().await;
        assert!(matches!(refused, Err(MoveError::Interfered)), "{refused:?}");
        assert_eq!(whole(&*store).await.experiments, [created]);
    }
}

/// Whatever the source's windows were, in the target an event is known for a window of the
/// target's at least.
async fn windows_of_another_length_forget_nothing_early(home: Home) {
    let (minute, week) = (Duration::from_secs(60), Duration::from_secs(7 * 24 * 3_600));
    let key = shard("x", 1, 0);
    for (from, to) in [(week, minute), (minute, week)] {
        let mut source = Home::of_today(Kind::Embedded).await;
        source.window = from;
        // Two windows, both remembered.
        let store = source.open_portable().await;
        let record = at_revision(&experiment("x", 1), 1);
        store.put(&record, None, &cause(&source)).await.unwrap();
        store.apply(&key, &events(0..100)).await.unwrap();
        source.pass_time(from.min(minute)).await;
        store.apply(&key, &events(50..200)).await.unwrap();
        let read = whole(&*store).await;

        let mut target = Home::of_today(home.kind).await;
        target.window = to;
        let store = target.open_portable().await;
        fill(&*store, &read).await.unwrap();
        let answers = store.apply(&key, &events(0..200)).await.unwrap();
        assert_eq!(answers, [Duplicate; 200], "{from:?} to {to:?}");
    }
}

async fn an_import_is_there_after_a_restart(home: Home) {
    let mut home = home.today().lasting().await;
    let read = furnished(&Home::of_today(Kind::Embedded).await).await;
    let store = home.open_portable().await;
    fill(&*store, &read).await.unwrap();
    drop(store);
    home.restart_process().await;
    assert_eq!(whole(&*home.open_portable().await).await, read);
}

async fn an_import_that_was_interrupted_is_not_there_after_a_restart(home: Home) {
    let mut home = home.today().lasting().await;
    let read = furnished(&Home::of_today(Kind::Embedded).await).await;
    let store = home.open_portable().await;
    let mut import = store.import(&read.experiments).await.unwrap();
    load(&mut *import, &read).await.unwrap();
    std::mem::forget(import);
    drop(store);
    home.restart_process().await;
    let store = home.open_portable().await;
    assert_eq!(whole(&*store).await, Whole::default());
    let record = at_revision(&experiment("x", 1), 1);
    store.put(&record, None, &cause(&home)).await.unwrap();
    let first = ShardKey::all_of(&record).next().unwrap();
    assert_eq!(store.rows(&first).await.unwrap(), Rows::new());
    store.apply(&first, &events(0..3)).await.unwrap();
    assert_eq!(store.rows(&first).await.unwrap()["e/v"], [3]);
}
