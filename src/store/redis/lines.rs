//! Group commit: callers of one shard wait in its line, and one of them leads it.
//!
//! A line exists while somebody leads it. Who finds none leads a new one: its events leave at
//! once. Who finds one waits. When the batch under way has landed, its leader sends off everybody
//! who came meanwhile as the next batch, before it gives out the answers, and hands the lead to a
//! caller aboard. So a batch leaves when the previous one returned: no timer, nothing added to
//! the latency of an idle store, and one script call for as many callers as there are.
//!
//! # Why the callers drive
//!
//! The alternative is a task of the store's own. It would cost two wake-ups for each lonely
//! outcome, somebody would have to run it, and its death would be everybody's. Here the future
//! that is polled is always one that somebody awaits; a store that nobody calls does nothing.
//!
//! # Why nobody is lost when a caller goes away
//!
//! A dropped future is how a deadline or a cancelled call looks from here.
//! - Who waits leaves the line ([`Place`] does it when dropped): its events are not sent.
//! - The call to Redis belongs to the [`Baton`], not to the leader's future. A leader that goes
//!   away drops its baton, and that hands it, with the call in the middle of its flight, to the
//!   next caller aboard: nothing is sent twice and no answer is missed. The baton travels inside
//!   the message to that caller; if it goes away before it reads the message, the message is
//!   dropped, hence the baton, hence handed on. A baton that finds nobody ends the line under the
//!   same lock under which callers join it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::domain::counter::{Event, ShardKey};
use crate::store::redis::baton::{Baton, Flight, Word};
use crate::store::redis::delivery::{Answer, Delivery};
use crate::store::{Activity, BATCH_EVENTS, StoreError};

/// How much may wait. More than that and Redis is behind for good: better to say so at once than
/// to let everybody wait for an answer that comes after their deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Events that may wait in all lines together.
    pub events: usize,
    /// Bytes that these events may take.
    pub bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { events: 65_536, bytes: 128 << 20 }
    }
}

/// Largest batch in bytes, unless one request alone is larger: Redis serves nobody else while it
/// works on a batch.
const BATCH_BYTES: usize = 2 << 20;

/// Events and the bytes they take.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    events: usize,
    bytes: usize,
}

impl Load {
    /// About what the events take in memory; Redis is sent less.
    fn of(events: &[Event]) -> Self {
        let increments = |event: &Event| {
            let all = event.increments.iter().chain(&event.if_unit_is_new);
            all.map(|increment| size_of_val(increment) + increment.row.len()).sum::<usize>()
        };
        let bytes = events.iter().map(|event| size_of_val(event) + increments(event)).sum();
        Self { events: events.len(), bytes }
    }

    fn plus(self, other: Self) -> Self {
        Self { events: self.events + other.events, bytes: self.bytes + other.bytes }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            events: self.events.saturating_sub(other.events),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    fn within(self, events: usize, bytes: usize) -> bool {
        self.events <= events && self.bytes <= bytes
    }
}

struct Waiting {
    events: Vec<Event>,
    load: Load,
    word: oneshot::Sender<Word>,
}

/// Who waits by ticket: in the order they came, and found at once when they go away.
type Line = BTreeMap<u64, Waiting>;

#[derive(Default)]
struct State {
    lines: HashMap<ShardKey, Line>,
    waiting: Load,
    next_ticket: u64,
}

/// The lines of all shards. One lock: it is held for a push or a pop, never while anything waits.
pub(super) struct Lines {
    delivery: Arc<Delivery>,
    limits: QueueLimits,
    state: Mutex<State>,
}

#[derive(Debug, thiserror::Error)]
#[error("nobody led the line to its end")]
struct Leaderless;

impl Lines {
    pub(super) fn new(delivery: Arc<Delivery>, limits: QueueLimits) -> Arc<Self> {
        Arc::new(Self { delivery, limits, state: Mutex::default() })
    }

    pub(super) fn activity(&self) -> Activity {
        let waiting = u64::try_from(self.state().waiting.events).unwrap_or(u64::MAX);
        Activity { waiting, ..self.delivery.activity() }
    }

    /// Applies events of one shard, at most [`BATCH_EVENTS`] of them, together with whatever else
    /// waits for that shard.
    pub(super) async fn apply(self: &Arc<Self>, shard: &ShardKey, events: Vec<Event>) -> Answer {
        let baton = match self.join(shard, events)? {
            Joined::Leads(baton) => baton,
            Joined::Waits(place) => match place.word().await {
                Some(Word::Answer(answer)) => return answer,
                Some(Word::Lead(baton)) => baton,
                None => return Err(StoreError::unavailable(Leaderless)),
            },
        };
        let answer = baton.lead().await;
        answer.unwrap_or_else(|| Err(StoreError::unavailable(Leaderless)))
    }

    fn join(self: &Arc<Self>, shard: &ShardKey, events: Vec<Event>) -> Result<Joined, StoreError> {
        let mut guard = self.state();
        let state = &mut *guard;
        match state.lines.entry(shard.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Line::new());
                drop(guard);
                let call = Arc::clone(&self.delivery).carry(shard.clone(), vec![events]);
                let flight = Flight::of_one(call);
                Ok(Joined::Leads(Baton::new(Arc::clone(self), shard.clone(), flight)))
            }
            Entry::Occupied(line) => {
                let load = Load::of(&events);
                let waiting = state.waiting.plus(load);
                if !waiting.within(self.limits.events, self.limits.bytes) {
                    return Err(StoreError::Overloaded);
                }
                let (word, heard) = oneshot::channel();
                let ticket = state.next_ticket;
                state.next_ticket += 1;
                state.waiting = waiting;
                line.into_mut().insert(ticket, Waiting { events, load, word });
                drop(guard);
                let (lines, shard) = (Arc::clone(self), shard.clone());
                Ok(Joined::Waits(Place { lines, shard, ticket, word: heard, heard: false }))
            }
        }
    }

    /// The next batch: who waited longest, as many as fit. `None` ends the line.
    pub(super) fn depart(&self, shard: &ShardKey) -> Option<Flight> {
        let mut guard = self.state();
        let state = &mut *guard;
        let line = state.lines.get_mut(shard)?;
        let mut aboard = Load::default();
        let (mut requests, mut words) = (Vec::new(), Vec::new());
        while let Some(first) = line.first_entry() {
            let load = aboard.plus(first.get().load);
            if !requests.is_empty() && !load.within(BATCH_EVENTS, BATCH_BYTES) {
                break;
            }
            aboard = load;
            let Waiting { events, word, .. } = first.remove();
            requests.push(events);
            words.push(Some(word));
        }
        state.waiting = state.waiting.minus(aboard);
        if requests.is_empty() {
            state.lines.remove(shard);
            return None;
        }
        drop(guard);
        let call = Arc::clone(&self.delivery).carry(shard.clone(), requests);
        Some(Flight::new(call, words))
    }

    /// Tells everybody who waits for a shard that the store is away: who comes now may try anew,
    /// who waited through all attempts of the batch before has waited long enough.
    pub(super) fn turn_away(&self, shard: &ShardKey, error: &StoreError) {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(line) = state.lines.get_mut(shard) else { return };
        let line = std::mem::take(line);
        for waiting in line.values() {
            state.waiting = state.waiting.minus(waiting.load);
        }
        drop(guard);
        for waiting in line.into_values() {
            // Who does not listen any more needs no answer.
            let _ = waiting.word.send(Word::Answer(Err(error.repeated())));
        }
    }

    fn leave(&self, shard: &ShardKey, ticket: u64) {
        let mut state = self.state();
        let line = state.lines.get_mut(shard);
        if let Some(left) = line.and_then(|line| line.remove(&ticket)) {
            state.waiting = state.waiting.minus(left.load);
        }
    }

    /// Nothing in here panics between two changes that belong together.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Joined {
    Leads(Baton),
    Waits(Place),
}

/// A place in a line; dropping it leaves the line.
struct Place {
    lines: Arc<Lines>,
    shard: ShardKey,
    ticket: u64,
    word: oneshot::Receiver<Word>,
    heard: bool,
}

impl Place {
    async fn word(mut self) -> Option<Word> {
        let word = (&mut self.word).await;
        self.heard = true;
        word.ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.heard {
            self.lines.leave(&self.shard, self.ticket);
        }
    }
}
