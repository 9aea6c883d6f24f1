//! What was answered is still there after the store's process has died.

use tiebreak::domain::experiment::Revision;
use tiebreak::store::Applied::Duplicate;
use tiebreak::store::{COUNTER_LIMIT, Rows};

use crate::support::events::{any_cause, at_revision, event_with_id, experiment, rows, shard};
use crate::support::{Home, on_lasting_stores};

on_lasting_stores!(
    what_was_counted_is_there_after_a_restart,
    maxima_are_there_after_a_restart,
    records_are_there_after_a_restart,
    what_was_removed_is_gone_after_a_restart,
);

async fn what_was_counted_is_there_after_a_restart(home: Home) {
    let (mut home, shard) = (home.lasting().await, shard("x", 1, 0));
    let mut store = home.open().await;
    let mut expected = Rows::new();
    for round in 1..=3_u64 {
        let events: Vec<_> = (0..50).map(|n| event_with_id(n, round * 100 + n)).collect();
        store.apply(&shard, &events).await.unwrap();
        store = home.restart(store).await;
        assert_eq!(store.apply(&shard, &events).await.unwrap(), [Duplicate; 50]);
        let count = 50 * i64::try_from(round).unwrap();
        expected.insert("e/v".to_owned(), vec![50]);
        expected.insert("n/v/m".to_owned(), vec![count]);
        assert_eq!(store.rows(&shard).await.unwrap(), expected);
    }
}

async fn maxima_are_there_after_a_restart(home: Home) {
    let (mut home, shard) = (home.lasting().await, shard("x", 1, 0));
    let mut store = home.open().await;
    for round in 1..=3 {
        store.apply(&shard, &[event_with_id(1, 1)]).await.unwrap();
        let large = COUNTER_LIMIT - 10 + round;
        store.raise(&shard, &rows([("m/v", &[large, 0, round])])).await.unwrap();
        store = home.restart(store).await;
        let expected = rows([("e/v", &[1]), ("m/v", &[large, 0, round]), ("n/v/m", &[1])]);
        assert_eq!(store.rows(&shard).await.unwrap(), expected);
        // What was there before the restart still holds against less.
        store.raise(&shard, &rows([("m/v", &[large - 1, 0, 0, 0])])).await.unwrap();
        assert_eq!(store.rows(&shard).await.unwrap(), expected);
    }
}

async fn records_are_there_after_a_restart(home: Home) {
    let mut home = home.lasting().await;
    let store = home.open().await;
    let created = at_revision(&experiment("x", 1), 1);
    store.put(&created, None, &any_cause()).await.unwrap();
    store.put(&at_revision(&created, 2), Some(Revision(1)), &any_cause()).await.unwrap();
    let before = store.records().await.unwrap();
    let store = home.restart(store).await;
    assert_eq!(store.records().await.unwrap(), before);
    assert_eq!(before.experiments, [at_revision(&created, 2)]);
}

async fn what_was_removed_is_gone_after_a_restart(home: Home) {
    let mut home = home.lasting().await;
    let store = home.open().await;
    let (gone, kept) = (shard("x", 1, 0), shard("y", 1, 0));
    let events: Vec<_> = (0..50).map(|n| event_with_id(n, n)).collect();
    store.put(&at_revision(&experiment("x", 1), 1), None, &any_cause()).await.unwrap();
    for shard in [&gone, &kept] {
        store.apply(shard, &events).await.unwrap();
    }
    let id = gone.experiment.clone();
    store.remove(&id, Revision(1), std::slice::from_ref(&gone), &any_cause()).await.unwrap();
    let version = store.records().await.unwrap().version;
    let store = home.restart(store).await;
    assert_eq!(store.get(&id).await.unwrap(), None);
    assert_eq!(store.records().await.unwrap().version, version);
    assert_eq!(store.rows(&gone).await.unwrap(), Rows::new());
    assert_eq!(store.rows(&kept).await.unwrap()["n/v/m"], [50]);
    assert_eq!(store.apply(&kept, &events).await.unwrap(), [Duplicate; 50]);
    // The units are gone, too: counted anew, they are new.
    store.apply(&gone, &events).await.unwrap();
    assert_eq!(store.rows(&gone).await.unwrap()["e/v"], [50]);
}
