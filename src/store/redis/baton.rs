//! The lead of a line: the call under way, who waits for it, and the duty to hand both on.
//!
//! [`crate::store::redis::lines`] says why.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use crate::domain::counter::ShardKey;
use crate::store::StoreError;
use crate::store::redis::delivery::Answer;
use crate::store::redis::lines::Lines;

/// What a caller who waits hears, once.
pub(super) enum Word {
    Answer(Answer),
    /// Its events are under way, and it is to see to them.
    Lead(Baton),
}

type Call = Pin<Box<dyn Future<Output = Vec<Answer>> + Send>>;

/// A batch on its way. One seat for each request, in order; `None` is the leader's seat, or that
/// of somebody who is gone.
pub(super) struct Flight {
    call: Call,
    answers: Option<Vec<Answer>>,
    seats: Vec<Option<oneshot::Sender<Word>>>,
    leader: usize,
}

impl Flight {
    pub(super) fn new(
        call: impl Future<Output = Vec<Answer>> + Send + 'static,
        seats: Vec<Option<oneshot::Sender<Word>>>,
    ) -> Self {
        Self { call: Box::pin(call), answers: None, seats, leader: 0 }
    }

    /// Of a caller who leads from the beginning.
    pub(super) fn of_one(call: impl Future<Output = Vec<Answer>> + Send + 'static) -> Self {
        Self::new(call, vec![None])
    }

    /// Ready again and again once the answers are there.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.answers.is_none() {
            self.answers = Some(ready!(self.call.as_mut().poll(context)));
        }
        Poll::Ready(())
    }

    /// The error of a flight on which nobody was served because the store is away.
    fn away(&self) -> Option<&StoreError> {
        match self.answers.as_deref()?.first()? {
            Err(error @ StoreError::Unavailable(_)) => Some(error),
            _ => None,
        }
    }

    /// Gives out the answers; returns the leader's own.
    fn land(self) -> Option<Answer> {
        let mut own = None;
        let answers = self.answers.unwrap_or_default();
        for (number, (seat, answer)) in self.seats.into_iter().zip(answers).enumerate() {
            match seat {
                // Who does not listen any more needs no answer.
                Some(word) => drop(word.send(Word::Answer(answer))),
                None if number == self.leader => own = Some(answer),
                None => {}
            }
        }
        own
    }
}

/// The lead of a line. Whoever holds it must lead; dropping it hands it on.
pub(super) struct Baton {
    lines: Arc<Lines>,
    shard: ShardKey,
    /// `None` when the line has ended.
    flight: Option<Flight>,
}

impl Baton {
    pub(super) fn new(lines: Arc<Lines>, shard: ShardKey, flight: Flight) -> Self {
        Self { lines, shard, flight: Some(flight) }
    }

    /// Waits for the flight, sends off the next, gives out the answers and hands the lead on.
    pub(super) async fn lead(mut self) -> Option<Answer> {
        poll_fn(|context| self.flight.as_mut().map_or(Poll::Ready(()), |f| f.poll(context))).await;
        // From here on nothing waits, so the leader cannot go away halfway.
        let landed = self.flight.take()?;
        if let Some(error) = landed.away() {
            self.lines.turn_away(&self.shard, error);
        }
        self.flight = self.lines.depart(&self.shard);
        // On its way before hundreds of callers wake up and take the processors: Redis works on
        // it while they write their answers. Its next leader polls it again and is woken by it.
        poll_fn(|context| Poll::Ready(self.flight.as_mut().map(|f| f.poll(context)))).await;
        landed.land()
    }

    /// To somebody aboard. Gives the flight back when nobody is.
    fn hand_over(&mut self, mut flight: Flight) -> Option<Flight> {
        for seat in 0..flight.seats.len() {
            let Some(word) = flight.seats.get_mut(seat).and_then(Option::take) else { continue };
            flight.leader = seat;
            let baton = Self::new(Arc::clone(&self.lines), self.shard.clone(), flight);
            match word.send(Word::Lead(baton)) {
                Err(Word::Lead(mut returned)) => flight = returned.flight.take()?,
                Ok(()) | Err(Word::Answer(_)) => return None,
            }
        }
        Some(flight)
    }
}

impl Drop for Baton {
    fn drop(&mut self) {
        let mut next = self.flight.take();
        while let Some(flight) = next {
            // A call that nobody waits for any more is given up; Redis may still answer it.
            next = match self.hand_over(flight) {
                Some(_nobody_aboard) => self.lines.depart(&self.shard),
                None => return,
            };
        }
    }
}
