//! The one thread that changes the embedded store: group commit.
//!
//! It takes everything that waits, decides it on top of the state, has the journal write it with
//! one fsync, makes it visible and answers. While it waits for the disk the next group gathers,
//! so the price of an fsync is shared by as many callers as there are, and nobody waits for a
//! timer.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::oneshot;

use crate::domain::counter::{Event, ShardKey};
use crate::domain::experiment::{Experiment, Revision};
use crate::domain::id::ExperimentId;
use crate::store::embedded::clock::Windows;
use crate::store::embedded::journal::Journal;
use crate::store::embedded::state::{Change, State};
use crate::store::{Applied, StoreError};

/// Most requests in one group: bounds the memory of a group and the wait for its answer.
const GROUP_REQUESTS: usize = 1_024;

pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What callers ask for.
#[derive(Debug)]
pub(super) enum Request {
    Apply { shard: ShardKey, events: Vec<Event>, answer: Answer<Vec<Applied>> },
    Put { experiment: Box<Experiment>, expected: Option<Revision>, answer: Answer<()> },
    Remove { id: ExperimentId, expected: Revision, shards: Vec<ShardKey>, answer: Answer<()> },
}

/// An earlier write failed. What is on disk is no longer known, so that going on could promise
/// what a restart does not find: only a restart, which reads the disk, heals this.
#[derive(Debug, Clone, thiserror::Error)]
#[error("refusing writes until a restart, because an earlier write failed: {0}")]
struct Broken(String);

/// Owns the journal; the only one to write to the state.
#[derive(Debug)]
pub(super) struct Committer<J> {
    state: Arc<RwLock<State>>,
    journal: J,
    windows: Windows,
    broken: Option<Broken>,
}

/// Batches that will be committed together.
struct Group {
    change: Change,
    answers: Vec<(Answer<Vec<Applied>>, Vec<Applied>)>,
}

impl<J: Journal> Committer<J> {
    pub(super) fn new(state: Arc<RwLock<State>>, journal: J, windows: Windows) -> Self {
        Self { state, journal, windows, broken: None }
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &Receiver<Request>) {
        while let Ok(first) = queue.recv() {
            let waiting = queue.try_iter().take(GROUP_REQUESTS - 1);
            self.serve(std::iter::once(first).chain(waiting));
        }
    }

    /// Requests take effect in the order they came; a change of a record ends a group.
    fn serve(&mut self, requests: impl Iterator<Item = Request>) {
        let mut group = self.open_group();
        for request in requests {
            match request {
                Request::Apply { shard, events, answer } => {
                    self.admit(&mut group, &shard, &events, answer);
                }
                Request::Put { experiment, expected, answer } => {
                    let ended = std::mem::replace(&mut group, self.open_group());
                    self.commit(ended);
                    reply(answer, self.put(*experiment, expected));
                }
                Request::Remove { id, expected, shards, answer } => {
                    let ended = std::mem::replace(&mut group, self.open_group());
                    self.commit(ended);
                    reply(answer, self.remove(&id, expected, &shards));
                }
            }
        }
        self.commit(group);
    }

    fn open_group(&self) -> Group {
        Group { change: Change::new(self.windows.current()), answers: Vec::new() }
    }

    fn admit(
        &self,
        group: &mut Group,
        shard: &ShardKey,
        events: &[Event],
        answer: Answer<Vec<Applied>>,
    ) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match group.change.admit(&state, shard, events) {
            Ok(applied) => group.answers.push((answer, applied)),
            Err(refused) => reply(answer, Err(refused)),
        }
    }

    /// Answers go out after the write, also to those whose events were all duplicates: what they
    /// are duplicates of may be in this very group.
    fn commit(&mut self, group: Group) {
        let Group { change, answers } = group;
        let written = if change.is_empty() { Ok(()) } else { self.write(change) };
        for (answer, applied) in answers {
            reply(answer, written.clone().map(|()| applied).map_err(StoreError::unavailable));
        }
    }

    fn write(&mut self, change: Change) -> Result<(), Broken> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        self.journal.append(&change).map_err(|error| self.give_up(&error))?;
        self.state.write().unwrap_or_else(PoisonError::into_inner).absorb(change);
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let settled = self.journal.settle(&state);
        drop(state);
        // The change is on disk whatever became of the housekeeping: its callers hear of success.
        if let Err(error) = settled {
            self.give_up(&error);
        }
        Ok(())
    }

    fn put(
        &mut self,
        experiment: Experiment,
        expected: Option<Revision>,
    ) -> Result<(), StoreError> {
        let version = self.next_version(experiment.id(), expected)?;
        let written = self.journal.put(&experiment, version);
        written.map_err(|error| StoreError::unavailable(self.give_up(&error)))?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.version = version;
        state.records.insert(experiment.id().clone(), experiment);
        Ok(())
    }

    fn remove(
        &mut self,
        id: &ExperimentId,
        expected: Revision,
        shards: &[ShardKey],
    ) -> Result<(), StoreError> {
        let version = self.next_version(id, Some(expected))?;
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let written = self.journal.remove(&state, id, shards, version);
        drop(state);
        written.map_err(|error| StoreError::unavailable(self.give_up(&error)))?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.version = version;
        state.records.remove(id);
        for shard in shards {
            state.shards.remove(shard);
        }
        Ok(())
    }

    /// The catalog's version after a change of a record that is where the caller expects it.
    fn next_version(
        &self,
        id: &ExperimentId,
        expected: Option<Revision>,
    ) -> Result<u64, StoreError> {
        if let Some(broken) = &self.broken {
            return Err(StoreError::unavailable(broken.clone()));
        }
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let actual = state.records.get(id).map(|experiment| experiment.revision);
        if actual != expected {
            return Err(StoreError::Conflict { expected, actual });
        }
        Ok(state.version + 1)
    }

    fn give_up(&mut self, error: &StoreError) -> Broken {
        let broken = Broken(with_causes(error));
        tracing::error!(cause = %broken.0, "the store's journal failed; refusing writes");
        self.broken.insert(broken).clone()
    }
}

/// A caller that no longer waits has been cancelled; that is its own affair.
fn reply<T>(answer: Answer<T>, result: Result<T, StoreError>) {
    drop(answer.send(result));
}

fn with_causes(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use super::*;
    use crate::domain::bucket::Fingerprint;
    use crate::domain::counter::{Admission, Increment};
    use crate::domain::experiment::Timestamp;
    use crate::store::embedded::clock::Clock;

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
        fn put(&mut self, _: &Experiment, _: u64) -> Result<(), StoreError> {
            Self::outcome(&self.fails)
        }
        fn remove(
            &mut self,
            _: &State,
            _: &ExperimentId,
            _: &[ShardKey],
            _: u64,
        ) -> Result<(), StoreError> {
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
        let committer = Committer::new(Arc::clone(&state), journal, windows);
        Bench { committer, state, fails, settling_fails, appended }
    }

    fn shard() -> ShardKey {
        ShardKey { experiment: ExperimentId::parse("x").unwrap(), iteration: 1, shard: 0 }
    }

    type Answered = oneshot::Receiver<Result<Vec<Applied>, StoreError>>;

    fn apply(id: u8) -> (Request, Answered) {
        let (answer, answered) = oneshot::channel();
        let event = Event {
            dedup: Some(Fingerprint::from([id; 16])),
            unit: Fingerprint::from([1; 16]),
            admission: Admission::Anyone,
            increments: vec![Increment { row: "n/v/m".to_owned(), column: 0, amount: 1 }],
            if_unit_is_new: vec![],
        };
        (Request::Apply { shard: shard(), events: vec![event], answer }, answered)
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
}
