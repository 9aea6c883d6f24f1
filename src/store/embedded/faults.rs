//! Tests of the committer against a journal that fails: what is not on disk was never there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::domain::bucket::Fingerprint;
use crate::domain::counter::{Admission, Event, Increment, ShardKey};
use crate::domain::experiment::{Experiment, Incarnation, Timestamp};
use crate::domain::id::ExperimentId;
use crate::store::embedded::clock::{Clock, Windows};
use crate::store::embedded::committer::{Committer, Request, with_causes};
use crate::store::embedded::import::{Adoption, Part};
use crate::store::embedded::journal::{Journal, Logged};
use crate::store::embedded::state::{Change, State};
use crate::store::{Applied, AuditLimits, Note, StoreError};

/// Fails while it is told to, and counts what it wrote.
struct Faulty {
    fails: Arc<AtomicBool>,
    settling_fails: Arc<AtomicBool>,
    appended: Arc<RwLock<usize>>,
}

impl Faulty {
    fn outcome(fails: &AtomicBool) -> Result<(), StoreError> {
        let fails = fails.load(Ordering::SeqCst);
        if fails { Err(StoreError::unavailable("no space left on device")) } else { Ok(()) }
    }
}

impl Journal for Faulty {
    fn append(&mut self, _: &Change) -> Result<(), StoreError> {
        *self.appended.write().unwrap() += 1;
        Self::outcome(&self.fails)
    }
    fn settle(&mut self, _: &State) -> Result<(), StoreError> {
        Self::outcome(&self.settling_fails)
    }
    fn note(&mut self, _: &ShardKey, _: u32, _: &Note) -> Result<(), StoreError> {
        Self::outcome(&self.fails)
    }
    fn claim(&mut self, _: &[ShardKey]) -> Result<(), StoreError> {
        Self::outcome(&self.fails)
    }
    fn load(&mut self, _: &ShardKey, _: &Part) -> Result<(), StoreError> {
        Self::outcome(&self.fails)
    }
    fn adopt(&mut self, _: &Adoption, _: u64) -> Result<(), StoreError> {
        Self::outcome(&self.fails)
    }
    fn put(&mut self, _: &Experiment, _: &Logged) -> Result<(), StoreError> {
        Self::outcome(&self.fails)
    }
    fn remove(
        &mut self,
        _: &State,
        _: &ExperimentId,
        _: &[ShardKey],
        _: &Logged,
    ) -> Result<(), StoreError> {
        Self::outcome(&self.fails)
    }
    fn erase_some(&mut self) -> Result<bool, StoreError> {
        Self::outcome(&self.fails).map(|()| false)
    }
    fn erase_all(&mut self, _: &ExperimentId) -> Result<(), StoreError> {
        Self::outcome(&self.fails)
    }
    fn forget(&mut self, _: &[u64]) -> Result<(), StoreError> {
        Self::outcome(&self.fails)
    }
}

struct Bench {
    committer: Committer<Faulty>,
    state: Arc<RwLock<State>>,
    fails: Arc<AtomicBool>,
    settling_fails: Arc<AtomicBool>,
    appended: Arc<RwLock<usize>>,
}

fn bench() -> Bench {
    let (state, appended) = (Arc::default(), Arc::default());
    let (fails, settling_fails) = (Arc::default(), Arc::default());
    let journal = Faulty {
        fails: Arc::clone(&fails),
        settling_fails: Arc::clone(&settling_fails),
        appended: Arc::clone(&appended),
    };
    let windows = Windows::new(Clock::new(|| Timestamp(0)), Duration::from_secs(1));
    let (versions, _) = watch::channel(0);
    let audit = AuditLimits::default();
    let committer = Committer::new(Arc::clone(&state), journal, windows, audit, versions);
    Bench { committer, state, fails, settling_fails, appended }
}

fn shard() -> ShardKey {
    let experiment = ExperimentId::parse("x").unwrap();
    ShardKey { experiment, incarnation: Incarnation(0), iteration: 1, shard: 0 }
}

type Answered = oneshot::Receiver<Result<Vec<Applied>, StoreError>>;

fn apply(id: u8) -> (Request, Answered) {
    let (answer, answered) = oneshot::channel();
    let event = Event {
        dedup: Some(Fingerprint::from([id; 16])),
        unit: Fingerprint::from([1; 16]),
        admission: Admission::Anyone,
        label: None,
        increments: vec![Increment { row: "n/v/m".to_owned(), column: 0, amount: 1 }],
        if_unit_is_new: vec![],
    };
    (Request::Apply { shard: shard(), events: vec![event], answer }, answered)
}

fn raise(value: i64) -> (Request, oneshot::Receiver<Result<(), StoreError>>) {
    let (answer, answered) = oneshot::channel();
    let rows = [("m/v".to_owned(), vec![value])].into();
    (Request::Raise { shard: shard(), rows, answer }, answered)
}

fn counted(bench: &Bench) -> i64 {
    let state = bench.state.read().unwrap();
    state.shards.get(&shard()).map_or(0, |shard| shard.rows["n/v/m"][0])
}

#[test]
fn what_waits_is_one_write() {
    let bench = bench();
    let (queue, requests) = sync_channel(16);
    let mut answers = Vec::new();
    for id in [1, 2, 1] {
        let (request, answered) = apply(id);
        queue.send(request).unwrap();
        answers.push(answered);
    }
    drop(queue);
    bench.committer.run(&requests);
    let applied = answers.into_iter().map(|answer| answer.blocking_recv().unwrap().unwrap());
    let expected = [Applied::Counted, Applied::Counted, Applied::Duplicate];
    assert_eq!(applied.flatten().collect::<Vec<_>>(), expected);
    assert_eq!(*bench.appended.read().unwrap(), 1);
}

#[test]
fn what_raises_nothing_is_no_write() {
    let mut bench = bench();
    for (values, maximum, appended) in [([5, 7], 7, 1), ([7, 1], 7, 1), ([8, 8], 8, 2)] {
        let (requests, answers): (Vec<_>, Vec<_>) = values.map(raise).into_iter().unzip();
        bench.committer.serve(requests.into_iter());
        for answer in answers {
            answer.blocking_recv().unwrap().unwrap();
        }
        let state = bench.state.read().unwrap();
        assert_eq!(state.shards[&shard()].rows["m/v"], [maximum]);
        assert_eq!(*bench.appended.read().unwrap(), appended);
    }
}

#[test]
fn a_raise_is_not_acknowledged_by_one_that_was_never_written() {
    let mut bench = bench();
    bench.fails.store(true, Ordering::SeqCst);
    let (requests, answers): (Vec<_>, Vec<_>) = [5, 3].map(raise).into_iter().unzip();
    bench.committer.serve(requests.into_iter());
    for answer in answers {
        let refused = answer.blocking_recv().unwrap();
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    assert!(bench.state.read().unwrap().shards.is_empty());
}

#[test]
fn after_a_failed_write_nothing_is_visible_and_nothing_is_written() {
    let mut bench = bench();
    bench.fails.store(true, Ordering::SeqCst);
    let (first, first_answer) = apply(1);
    let (second, second_answer) = apply(1);
    bench.committer.serve([first, second].into_iter());
    // The second is a duplicate of what was never written: it is not told that it counts.
    for answer in [first_answer, second_answer] {
        let refused = answer.blocking_recv().unwrap();
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    assert_eq!(counted(&bench), 0);
    // The disk works again, but what it holds is unknown until it is read.
    bench.fails.store(false, Ordering::SeqCst);
    let (third, third_answer) = apply(2);
    bench.committer.serve(std::iter::once(third));
    let refused = third_answer.blocking_recv().unwrap().unwrap_err();
    let cause = with_causes(&refused);
    assert!(cause.contains("until a restart") && cause.contains("no space"), "{cause}");
    assert_eq!((counted(&bench), *bench.appended.read().unwrap()), (0, 1));
}

#[test]
fn a_failed_checkpoint_takes_back_no_answer_and_stops_further_writes() {
    let mut bench = bench();
    bench.settling_fails.store(true, Ordering::SeqCst);
    for (id, is_counted) in [(1, true), (2, false)] {
        let (request, answer) = apply(id);
        bench.committer.serve(std::iter::once(request));
        assert_eq!(answer.blocking_recv().unwrap().is_ok(), is_counted);
        assert_eq!(counted(&bench), 1);
    }
}
