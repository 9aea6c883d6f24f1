//! What a store keeps with a unit, and rows of segments.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tiebreak::domain::counter::{Admission, Event};
use tiebreak::domain::experiment::Revision;
use tiebreak::domain::segment::{Code, Label};
use tiebreak::store::Applied::{Counted, Duplicate, Labelled, NotExposed};
use tiebreak::store::Rows;

use crate::support::events::{
    any_cause, at_revision, event, event_with_id, experiment, increment, rows, shard,
};
use crate::support::{Home, on_every_store, on_lasting_stores};

on_every_store!(
    a_unit_keeps_the_label_of_its_first_event,
    a_unit_without_a_label_has_none,
    an_event_without_a_label_takes_every_unit,
    a_refused_event_leaves_nothing_and_counts_when_it_is_made_anew,
    duplicates_and_unknown_units_are_told_first,
    labels_are_found_again_at_every_size,
    a_label_belongs_to_a_shard_and_goes_with_it,
    rows_of_segments_are_read_apart,
    rows_of_segments_go_with_their_shard,
);
on_lasting_stores!(labels_and_rows_of_segments_are_there_after_a_restart);

fn label(number: u8) -> Label {
    Label::NONE.with(0, Code::Value(number)).with(7, Code::Other)
}

fn labelled(label: Label, event: Event) -> Event {
    Event { label: Some(label), ..event }
}

async fn a_unit_keeps_the_label_of_its_first_event(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    // In one batch and in the next.
    for unit in [1, 2] {
        let batch = [1, 2, 1].map(|number| labelled(label(number), event(unit)));
        let answers = store.apply(&shard, &batch).await.unwrap();
        assert_eq!(answers, [Counted, Labelled(label(1)), Counted]);
        let again = [labelled(label(2), event(unit)), labelled(label(1), event(unit))];
        let answers = store.apply(&shard, &again).await.unwrap();
        assert_eq!(answers, [Labelled(label(1)), Counted]);
    }
    assert_eq!(store.rows(&shard).await.unwrap(), rows([("e/v", &[2]), ("n/v/m", &[6])]));
}

async fn a_unit_without_a_label_has_none(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let batch = [event(1), labelled(Label::NONE, event(2))];
    assert_eq!(store.apply(&shard, &batch).await.unwrap(), [Counted; 2]);
    for unit in [1, 2] {
        let batch = [label(1), Label::NONE].map(|label| labelled(label, event(unit)));
        let answers = store.apply(&shard, &batch).await.unwrap();
        assert_eq!(answers, [Labelled(Label::NONE), Counted]);
    }
}

async fn an_event_without_a_label_takes_every_unit(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let batch = [labelled(label(3), event(1)), event(1)];
    assert_eq!(store.apply(&shard, &batch).await.unwrap(), [Counted; 2]);
    assert_eq!(store.apply(&shard, &batch).await.unwrap(), [Counted; 2]);
    assert_eq!(store.rows(&shard).await.unwrap()["n/v/m"], [4]);
}

async fn a_refused_event_leaves_nothing_and_counts_when_it_is_made_anew(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    store.apply(&shard, &[labelled(label(1), event(1))]).await.unwrap();
    let before = store.rows(&shard).await.unwrap();
    let strange = Event {
        increments: vec![increment("n/v/m", 0, 1), increment("n/v/other", 3, 1)],
        ..labelled(label(2), event_with_id(1, 9))
    };
    for _ in 0..2 {
        let answers = store.apply(&shard, std::slice::from_ref(&strange)).await.unwrap();
        assert_eq!(answers, [Labelled(label(1))]);
        assert_eq!(store.rows(&shard).await.unwrap(), before);
    }
    let anew = labelled(label(1), strange);
    for expected in [Counted, Duplicate] {
        assert_eq!(store.apply(&shard, std::slice::from_ref(&anew)).await.unwrap(), [expected]);
    }
}

async fn duplicates_and_unknown_units_are_told_first(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    store.apply(&shard, &[labelled(label(1), event_with_id(1, 9))]).await.unwrap();
    let asks = |unit, id| Event {
        admission: Admission::ExposedOnly,
        ..labelled(label(2), event_with_id(unit, id))
    };
    let answers = store.apply(&shard, &[asks(1, 9), asks(2, 10), asks(1, 11)]).await.unwrap();
    assert_eq!(answers, [Duplicate, NotExposed, Labelled(label(1))]);
}

/// Against a model, in batches that grow: a table of labels splits as one of digests does.
async fn labels_are_found_again_at_every_size(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let mut labels: Vec<Label> = Vec::new();
    for size in [1, 15, 16, 17, 100, 300, 1_500] {
        let first = labels.len();
        labels.extend((0..size).map(|_| Label::from(generator.random::<[u8; 6]>())));
        let all = |labels: &[Label], from: usize| -> Vec<Event> {
            let units = (from as u64..).map(|n| event(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            units.zip(labels).map(|(event, label)| labelled(*label, event)).collect()
        };
        let new = store.apply(&shard, &all(&labels[first..], first)).await.unwrap();
        assert!(new.iter().all(|answer| *answer == Counted));
        let known = store.apply(&shard, &all(&labels, 0)).await.unwrap();
        assert!(known.iter().all(|answer| *answer == Counted));
        let mut others = labels.clone();
        others.shuffle(&mut generator);
        let told = store.apply(&shard, &all(&others, 0)).await.unwrap();
        for (answer, (known, other)) in told.iter().zip(labels.iter().zip(&others)) {
            let expected = if known == other { Counted } else { Labelled(*known) };
            assert_eq!(*answer, expected);
        }
    }
}

async fn a_label_belongs_to_a_shard_and_goes_with_it(home: Home) {
    let (store, here, there) = (home.open().await, shard("x", 1, 0), shard("x", 1, 1));
    let created = at_revision(&experiment("x", 1), 1);
    store.put(&created, None, &any_cause()).await.unwrap();
    store.apply(&here, &[labelled(label(1), event(1))]).await.unwrap();
    let other = [labelled(label(2), event(1))];
    assert_eq!(store.apply(&there, &other).await.unwrap(), [Counted]);
    assert_eq!(store.apply(&here, &other).await.unwrap(), [Labelled(label(1))]);
    store
        .remove(created.id(), Revision(1), std::slice::from_ref(&here), &any_cause())
        .await
        .unwrap();
    assert_eq!(store.apply(&here, &other).await.unwrap(), [Counted]);
}

/// An event of the whole and of two segments.
fn segmented() -> Event {
    let names = ["n/v/m", "g/d/a/n/v/m", "g/d/b%2F/n/v/m", "g/dd/a/n/v/m"];
    let increments = names.map(|name| increment(name, 1, 2)).to_vec();
    Event { increments, ..event(1) }
}

async fn rows_of_segments_are_read_apart(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    store.apply(&shard, &[segmented(), segmented()]).await.unwrap();
    store.raise(&shard, &rows([("m/v", &[1])])).await.unwrap();
    let whole = rows([("e/v", &[1]), ("m/v", &[1]), ("n/v/m", &[0, 4])]);
    assert_eq!(store.rows(&shard).await.unwrap(), whole);
    let with = |segments: &[&str]| {
        let segments = segments.iter().map(|name| ((*name).to_owned(), vec![0, 4]));
        whole.clone().into_iter().chain(segments).collect::<Rows>()
    };
    let (a, b, other) = ("g/d/a/n/v/m", "g/d/b%2F/n/v/m", "g/dd/a/n/v/m");
    for (prefix, expected) in [
        ("g/", with(&[a, b, other])),
        ("g/d/", with(&[a, b])),
        ("g/d/b%2F/", with(&[b])),
        ("g/e/", with(&[])),
        ("n/", with(&[])),
        ("", with(&[])),
    ] {
        let read = store.rows_with_segments(&shard, prefix).await.unwrap();
        assert_eq!(read, expected, "{prefix:?}");
    }
}

async fn rows_of_segments_go_with_their_shard(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let created = at_revision(&experiment("x", 1), 1);
    store.put(&created, None, &any_cause()).await.unwrap();
    store.apply(&shard, &[labelled(label(1), segmented())]).await.unwrap();
    store
        .remove(created.id(), Revision(1), std::slice::from_ref(&shard), &any_cause())
        .await
        .unwrap();
    assert_eq!(store.rows_with_segments(&shard, "g/").await.unwrap(), Rows::new());
    let left = home.redis_keys().await;
    assert!(left.iter().all(|key| !key.contains(":x:")), "{left:?}");
}

async fn labels_and_rows_of_segments_are_there_after_a_restart(home: Home) {
    let (mut home, shard) = (home.lasting().await, shard("x", 1, 0));
    let mut store = home.open().await;
    for round in 1..=3 {
        let batch = [labelled(label(1), segmented()), labelled(label(2), segmented())];
        let answers = store.apply(&shard, &batch).await.unwrap();
        assert_eq!(answers, [Counted, Labelled(label(1))]);
        store = home.restart(store).await;
        let rows = store.rows_with_segments(&shard, "g/d/a/").await.unwrap();
        assert_eq!(rows["g/d/a/n/v/m"], [0, 2 * round]);
    }
}
