//! The audit log: one event for every change of a record, bounded, searchable, in the same piece.

use std::sync::Arc;
use std::time::Duration;

use tiebreak::domain::audit::{Action, Actor, AuditEvent, AuditFilter, Author, Cause, EventNumber};
use tiebreak::domain::experiment::{Experiment, Revision, Timestamp};
use tiebreak::store::{AuditPage, AuditQuery, Store, StoreError};
use tokio::task::JoinSet;

use crate::support::events::{any_cause, at_revision, experiment};
use crate::support::{Home, on_every_store, on_lasting_stores};

on_every_store!(
    a_log_starts_empty,
    every_change_is_one_event,
    a_refused_change_is_no_event,
    events_of_concurrent_writers_are_a_chain,
    filters_narrow,
    pages_follow_one_another,
    a_page_is_bounded_by_bytes,
    the_newest_stay_when_there_are_too_many,
    the_newest_stay_when_they_are_too_large,
    the_old_go_with_a_change_and_with_a_sweep,
    records_come_back_as_they_were,
);

on_lasting_stores!(events_are_there_after_a_restart);

/// A cause at the store's time.
fn cause(home: &Home, action: Action) -> Cause {
    Author { actor: Actor::anonymous(), time: home.now() }.noting(action, "because".to_owned())
}

/// A cause so long before the store's time.
fn ago(home: &Home, time: Duration) -> Cause {
    let time = Timestamp(home.now().0 - i64::try_from(time.as_nanos()).unwrap());
    Cause { time, ..cause(home, Action::Update) }
}

fn query() -> AuditQuery {
    AuditQuery { limit: 1_000, bytes: usize::MAX, ..AuditQuery::default() }
}

async fn events(store: &dyn Store) -> Vec<AuditEvent> {
    let AuditPage { events, more } = store.audit(&query()).await.unwrap();
    assert!(!more);
    events
}

fn revisions(events: &[AuditEvent]) -> Vec<u64> {
    events.iter().map(|event| event.after.as_ref().map_or(0, |after| after.revision.0)).collect()
}

/// Changes `x` from no record to revision 1, or from a revision to the next.
async fn change(store: &dyn Store, to: u64, cause: &Cause) -> Experiment {
    let record = at_revision(&experiment("x", 1), to);
    let expected = Some(Revision(to - 1)).filter(|revision| revision.0 > 0);
    store.put(&record, expected, cause).await.unwrap();
    record
}

async fn a_log_starts_empty(home: Home) {
    let store = home.open().await;
    assert_eq!(events(&*store).await, []);
    store.sweep().await.unwrap();
    assert_eq!(events(&*store).await, []);
}

async fn every_change_is_one_event(home: Home) {
    let store = home.open().await;
    let causes = [Action::Create, Action::Conclude, Action::Delete].map(|a| cause(&home, a));
    let mut expected: Vec<AuditEvent> = Vec::new();
    let mut record = None;
    for (step, cause) in causes.iter().enumerate() {
        let before = record.take();
        if step < 2 {
            record = Some(change(&*store, 1 + u64::try_from(step).unwrap(), cause).await);
        } else {
            let id = experiment("x", 1);
            store.remove(id.id(), Revision(2), &[], cause).await.unwrap();
        }
        let number = EventNumber(store.records().await.unwrap().version);
        let experiment = experiment("x", 1).id().clone();
        let (cause, after) = (cause.clone(), record.clone());
        expected.insert(0, AuditEvent { number, experiment, cause, before, after });
        assert_eq!(events(&*store).await, expected);
    }
}

async fn a_refused_change_is_no_event(home: Home) {
    let store = home.open().await;
    let created = change(&*store, 1, &cause(&home, Action::Create)).await;
    let before = events(&*store).await;
    let cause = cause(&home, Action::Update);
    for refused in [
        store.put(&created, None, &cause).await,
        store.put(&at_revision(&created, 9), Some(Revision(8)), &cause).await,
        store.remove(created.id(), Revision(2), &[], &cause).await,
        store.remove(experiment("y", 1).id(), Revision(1), &[], &cause).await,
    ] {
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    }
    assert_eq!(events(&*store).await, before);
}

/// What an event calls before is what the event below it calls after.
async fn events_of_concurrent_writers_are_a_chain(home: Home) {
    let store = home.open().await;
    let created = change(&*store, 1, &cause(&home, Action::Create)).await;
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (store, cause) = (Arc::clone(&store), cause(&home, Action::Update));
        let id = created.id().clone();
        writers.spawn(async move {
            for _ in 0..5 {
                loop {
                    let seen = store.get(&id).await.unwrap().unwrap();
                    let mut next = at_revision(&seen, seen.revision.0 + 1);
                    next.definition.owner = format!("writer {writer}");
                    if store.put(&next, Some(seen.revision), &cause).await.is_ok() {
                        break;
                    }
                }
            }
        });
    }
    writers.join_all().await;
    let events = events(&*store).await;
    assert_eq!(events.len(), 41);
    for pair in events.windows(2) {
        assert!(pair[0].number > pair[1].number);
        assert_eq!(pair[0].before, pair[1].after);
    }
    assert_eq!(events[0].after, store.get(created.id()).await.unwrap());
}

async fn filters_narrow(home: Home) {
    let store = home.open().await;
    let now = home.now();
    let at = |seconds: i64| Timestamp(now.0 - 1_000_000_000 * seconds);
    for (id, actor, action, seconds) in [
        ("x", Actor::anonymous(), Action::Create, 50),
        ("y", Actor::server(), Action::Create, 40),
        ("z", Actor::anonymous(), Action::Start, 30),
    ] {
        let cause = Cause { time: at(seconds), actor, action, note: String::new() };
        store.put(&at_revision(&experiment(id, 1), 1), None, &cause).await.unwrap();
    }
    let found = async |filter: AuditFilter| {
        let page = store.audit(&AuditQuery { filter, ..query() }).await.unwrap();
        page.events.iter().map(|event| event.experiment.to_string()).collect::<String>()
    };
    let all = AuditFilter::default;
    assert_eq!(found(all()).await, "zyx");
    let y = Some(experiment("y", 1).id().clone());
    assert_eq!(found(AuditFilter { experiment: y, ..all() }).await, "y");
    let nobody = Some(experiment("nobody", 1).id().clone());
    assert_eq!(found(AuditFilter { experiment: nobody, ..all() }).await, "");
    let anonymous = Some("anonymous".to_owned());
    assert_eq!(found(AuditFilter { actor: anonymous.clone(), ..all() }).await, "zx");
    let actions = vec![Action::Create, Action::Delete];
    assert_eq!(found(AuditFilter { actions: actions.clone(), ..all() }).await, "yx");
    assert_eq!(found(AuditFilter { actions, actor: anonymous, ..all() }).await, "x");
    let (from, until) = (Some(at(40)), Some(at(30)));
    assert_eq!(found(AuditFilter { from, ..all() }).await, "zy");
    assert_eq!(found(AuditFilter { until, ..all() }).await, "yx");
    assert_eq!(found(AuditFilter { from, until, ..all() }).await, "y");
}

async fn pages_follow_one_another(home: Home) {
    let store = home.open().await;
    // More than are read in one step.
    let count = 1_203;
    for number in 0..count {
        let id = if number % 400 == 1 { "rare" } else { "x" };
        let record = at_revision(&experiment(id, 1), number + 1);
        let cause = cause(&home, Action::Update);
        let before = store.get(record.id()).await.unwrap().map(|there| there.revision);
        store.put(&record, before, &cause).await.unwrap();
    }
    for (id, limit, expected) in [(None, 700, count), (Some("rare"), 2, 4), (Some("rare"), 4, 4)] {
        let experiment = id.map(|id| experiment(id, 1).id().clone());
        let filter = AuditFilter { experiment, ..AuditFilter::default() };
        let mut query = AuditQuery { filter, limit, ..query() };
        let mut seen = Vec::new();
        loop {
            let page = store.audit(&query).await.unwrap();
            assert!(page.events.len() == limit || !page.more);
            query.before = page.events.last().map(|event| event.number);
            seen.extend(page.events.iter().map(|event| event.number));
            if !page.more {
                break;
            }
        }
        assert_eq!(seen.len(), usize::try_from(expected).unwrap(), "{id:?}");
        assert!(seen.is_sorted_by(|newer, older| newer > older), "{id:?}");
    }
}

async fn a_page_is_bounded_by_bytes(home: Home) {
    let store = home.open().await;
    for revision in 1..=6 {
        change(&*store, revision, &cause(&home, Action::Update)).await;
    }
    let whole = AuditQuery { bytes: usize::MAX, ..query() };
    assert_eq!(store.audit(&whole).await.unwrap().events.len(), 6);
    for (bytes, expected) in [(0, 1), (1, 1), (5_000, 2)] {
        let page = store.audit(&AuditQuery { bytes, ..query() }).await.unwrap();
        // An event is some 3,500 bytes.
        assert_eq!((page.events.len(), page.more), (expected, true), "{bytes}");
    }
    let first = store.audit(&AuditQuery { bytes: 1, ..query() }).await.unwrap().events;
    let before = first.last().map(|event| event.number);
    let rest = store.audit(&AuditQuery { before, ..query() }).await.unwrap();
    assert_eq!(revisions(&rest.events), [5, 4, 3, 2, 1]);
}

async fn the_newest_stay_when_there_are_too_many(mut home: Home) {
    home.audit.events = 5;
    let store = home.open().await;
    for revision in 1..=12 {
        change(&*store, revision, &cause(&home, Action::Update)).await;
    }
    assert_eq!(revisions(&events(&*store).await), [12, 11, 10, 9, 8]);
}

async fn the_newest_stay_when_they_are_too_large(mut home: Home) {
    home.audit.bytes = 0;
    let store = home.open().await;
    for revision in 1..=4 {
        change(&*store, revision, &cause(&home, Action::Update)).await;
        assert_eq!(revisions(&events(&*store).await), [revision]);
    }
    // A sweep drops the old, not the large.
    store.sweep().await.unwrap();
    assert_eq!(revisions(&events(&*store).await), [4]);
}

async fn the_old_go_with_a_change_and_with_a_sweep(mut home: Home) {
    let hour = Duration::from_secs(3_600);
    home.audit.age = 10 * hour;
    let store = home.open().await;
    for (revision, hours) in [(1, 20), (2, 9), (3, 1)] {
        change(&*store, revision, &ago(&home, hours * hour)).await;
    }
    assert_eq!(revisions(&events(&*store).await), [3, 2]);
    for revision in 4..=50 {
        change(&*store, revision, &ago(&home, 11 * hour)).await;
    }
    // Behind younger ones they wait for their turn.
    assert_eq!(events(&*store).await.len(), 49);
    home.audit.age = Duration::ZERO;
    let store = {
        drop(store);
        home.open().await
    };
    store.sweep().await.unwrap();
    assert_eq!(events(&*store).await, []);
    let another = at_revision(&experiment("y", 1), 1);
    store.put(&another, None, &cause(&home, Action::Create)).await.unwrap();
}

async fn records_come_back_as_they_were(home: Home) {
    let store = home.open().await;
    let mut large = at_revision(&experiment("x", 8), 1);
    large.definition.description = "päth \u{0} \n \"quoted\" 😀".repeat(20_000);
    let noted = Cause { note: "nöte \u{0} 😀".to_owned(), ..any_cause() };
    let noted = Cause { time: home.now(), ..noted };
    store.put(&large, None, &noted).await.unwrap();
    let changed = Experiment { revision: Revision(2), ..large.clone() };
    store.put(&changed, Some(Revision(1)), &noted).await.unwrap();
    let events = events(&*store).await;
    assert_eq!(events[0].cause, noted);
    assert_eq!(
        (events[0].before.as_ref(), events[0].after.as_ref()),
        (Some(&large), Some(&changed))
    );
    assert_eq!((events[1].before.as_ref(), events[1].after.as_ref()), (None, Some(&large)));
}

async fn events_are_there_after_a_restart(home: Home) {
    let mut home = home.lasting().await;
    home.audit.events = 4;
    let mut store = home.open().await;
    for revision in 1..=6 {
        change(&*store, revision, &cause(&home, Action::Update)).await;
        let before = events(&*store).await;
        store = home.restart(store).await;
        assert_eq!(events(&*store).await, before);
    }
    assert_eq!(revisions(&events(&*store).await), [6, 5, 4, 3]);
}
