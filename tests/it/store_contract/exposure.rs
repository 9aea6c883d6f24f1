//! A unit is exposed once per shard, and some events ask for exposed units.

use tiebreak::domain::counter::{Admission, Event};
use tiebreak::store::Applied::{Counted, Duplicate, NotExposed};
use tiebreak::store::Rows;

use crate::support::events::{event, event_with_id, increment, shard};
use crate::support::{Home, on_every_store};

on_every_store!(
    a_unit_is_exposed_once_per_shard,
    an_exposure_without_increments_is_remembered,
    an_unknown_unit_is_refused_where_exposure_is_asked_for,
    a_refused_event_counts_when_it_is_sent_again_after_the_exposure,
    an_exposure_earlier_in_the_batch_admits,
    a_duplicate_exposes_nobody,
);

fn exposed_only(event: Event) -> Event {
    Event { admission: Admission::ExposedOnly, ..event }
}

async fn a_unit_is_exposed_once_per_shard(home: Home) {
    let (store, here, there) = (home.open().await, shard("x", 1, 0), shard("x", 1, 1));
    store.apply(&here, &[event(1), event(1), event(2)]).await.unwrap();
    store.apply(&here, &[event(2), event(3)]).await.unwrap();
    store.apply(&there, &[event(1)]).await.unwrap();
    assert_eq!(store.rows(&here).await.unwrap()["e/v"], [3]);
    assert_eq!(store.rows(&there).await.unwrap()["e/v"], [1]);
}

async fn an_exposure_without_increments_is_remembered(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let bare = Event { increments: vec![], if_unit_is_new: vec![], ..event(1) };
    assert_eq!(store.apply(&shard, &[bare]).await.unwrap(), [Counted]);
    assert_eq!(store.rows(&shard).await.unwrap(), Rows::new());
    assert_eq!(store.apply(&shard, &[exposed_only(event(1))]).await.unwrap(), [Counted]);
    assert_eq!(store.rows(&shard).await.unwrap().keys().collect::<Vec<_>>(), ["n/v/m"]);
}

async fn an_unknown_unit_is_refused_where_exposure_is_asked_for(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let batch = [exposed_only(event(1)), event(2), exposed_only(event_with_id(3, 3))];
    let answers = store.apply(&shard, &batch).await.unwrap();
    assert_eq!(answers, [NotExposed, Counted, NotExposed]);
    let rows = store.rows(&shard).await.unwrap();
    assert_eq!((&rows["n/v/m"], &rows["e/v"]), (&vec![1], &vec![1]));
}

async fn a_refused_event_counts_when_it_is_sent_again_after_the_exposure(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let outcome = exposed_only(event_with_id(1, 9));
    let apply = async |event: &Event| store.apply(&shard, std::slice::from_ref(event)).await;
    assert_eq!(apply(&outcome).await.unwrap(), [NotExposed]);
    assert_eq!(apply(&outcome).await.unwrap(), [NotExposed]);
    let exposure = Event { increments: vec![increment("o/v", 0, 1)], ..event(1) };
    assert_eq!(apply(&exposure).await.unwrap(), [Counted]);
    assert_eq!(apply(&outcome).await.unwrap(), [Counted]);
    assert_eq!(apply(&outcome).await.unwrap(), [Duplicate]);
    assert_eq!(store.rows(&shard).await.unwrap()["n/v/m"], [1]);
}

async fn an_exposure_earlier_in_the_batch_admits(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let outcome = exposed_only(event_with_id(1, 9));
    let batch = [outcome.clone(), event(1), outcome.clone(), outcome];
    let answers = store.apply(&shard, &batch).await.unwrap();
    assert_eq!(answers, [NotExposed, Counted, Counted, Duplicate]);
}

async fn a_duplicate_exposes_nobody(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    store.apply(&shard, &[event_with_id(1, 9)]).await.unwrap();
    let batch = [event_with_id(2, 9), exposed_only(event(2))];
    assert_eq!(store.apply(&shard, &batch).await.unwrap(), [Duplicate, NotExposed]);
}
