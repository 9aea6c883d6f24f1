//! Notes: one per slot, the highest stamp stays, and of equal ones the first.

use std::sync::Arc;

use tiebreak::domain::experiment::Revision;
use tiebreak::store::{Note, Notes, Rows};
use tokio::task::JoinSet;

use crate::support::events::{any_cause, at_revision, event, experiment, shard};
use crate::support::{Home, on_every_store, on_lasting_stores};

on_every_store!(
    what_was_noted_is_read_back,
    the_higher_stamp_stays_and_of_equal_ones_the_first,
    of_concurrent_writers_one_wins,
    notes_and_rows_do_not_meet,
    notes_go_with_their_experiment,
);

on_lasting_stores!(notes_are_there_after_a_restart);

fn note(stamp: u64, text: &str) -> Note {
    Note { stamp, bytes: text.as_bytes().to_vec() }
}

async fn what_was_noted_is_read_back(home: Home) {
    let (store, here, there) = (home.open().await, shard("x", 1, 0), shard("x", 1, 1));
    let every_byte = Note { stamp: u64::MAX, bytes: (0..=255).collect() };
    let expected: Notes = [(0, note(1, "")), (7, every_byte), (u32::MAX, note(0, "late"))].into();
    assert_eq!(store.notes(&here).await.unwrap(), Notes::new());
    for (slot, note) in &expected {
        assert!(store.note(&here, *slot, note).await.unwrap());
    }
    assert_eq!(store.notes(&here).await.unwrap(), expected);
    assert_eq!(store.notes(&there).await.unwrap(), Notes::new());
}

async fn the_higher_stamp_stays_and_of_equal_ones_the_first(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    // Stamps that text, signed numbers and doubles put in another order.
    let stamps = [9, 10, 127, 128, 255, 256, 1 << 53, (1 << 53) + 1, 1 << 63, u64::MAX];
    for stamp in stamps {
        assert!(store.note(&shard, 3, &note(stamp, "first")).await.unwrap(), "{stamp}");
        for lower in [stamp, stamp - 1, 0] {
            assert!(!store.note(&shard, 3, &note(lower, "second")).await.unwrap(), "{stamp}");
        }
        assert_eq!(store.notes(&shard).await.unwrap(), [(3, note(stamp, "first"))].into());
    }
}

async fn of_concurrent_writers_one_wins(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let (store, shard) = (Arc::clone(&store), shard.clone());
        writers.spawn(async move {
            let note = note(5, &writer.to_string());
            store.note(&shard, 0, &note).await.unwrap().then_some(note)
        });
    }
    let kept: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(store.notes(&shard).await.unwrap()[&0], kept[0]);
}

async fn notes_and_rows_do_not_meet(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    store.note(&shard, 0, &note(1, "e/v")).await.unwrap();
    assert_eq!(store.rows(&shard).await.unwrap(), Rows::new());
    store.apply(&shard, &[event(1)]).await.unwrap();
    assert_eq!(store.rows(&shard).await.unwrap().len(), 2);
    assert_eq!(store.notes(&shard).await.unwrap(), [(0, note(1, "e/v"))].into());
}

async fn notes_go_with_their_experiment(home: Home) {
    let store = home.open().await;
    let (gone, kept) = (shard("x", 1, 0), shard("x-y", 1, 0));
    store.put(&at_revision(&experiment("x", 1), 1), None, &any_cause()).await.unwrap();
    for shard in [&gone, &kept] {
        store.note(shard, 0, &note(9, "old")).await.unwrap();
    }
    store
        .remove(&gone.experiment, Revision(1), std::slice::from_ref(&gone), &any_cause())
        .await
        .unwrap();
    assert_eq!(store.notes(&gone).await.unwrap(), Notes::new());
    assert_eq!(store.notes(&kept).await.unwrap().len(), 1);
    assert!(store.note(&gone, 0, &note(1, "new")).await.unwrap());
}

async fn notes_are_there_after_a_restart(home: Home) {
    let (mut home, shard) = (home.lasting().await, shard("x", 1, 0));
    let mut store = home.open().await;
    for stamp in 1..=3 {
        store.note(&shard, 0, &note(stamp, "kept")).await.unwrap();
        store.apply(&shard, &[event(1)]).await.unwrap();
        store = home.restart(store).await;
        assert_eq!(store.notes(&shard).await.unwrap(), [(0, note(stamp, "kept"))].into());
        assert!(!store.note(&shard, 0, &note(stamp, "again")).await.unwrap());
    }
}
