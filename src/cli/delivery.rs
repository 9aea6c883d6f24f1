//! Sends outcomes in batches, several at a time, and keeps count of what became of them.
//!
//! At most `in_flight` batches are held at once, however long the input. A batch is repeated only
//! when every outcome carries an event id: then a repeat after a lost answer changes nothing.

use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use tonic::Code;

use super::Error;
use super::client::Client;
use super::retry::{Backoff, is_transient};
use crate::rpc::pb::outcome_result::Result as Item;
use crate::rpc::pb::{BatchLogOutcomesRequest, ItemError, Outcome, OutcomeReceipt};

/// How many refused outcomes are told one by one.
const TOLD: usize = 10;

/// How outcomes are sent.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) client: Client,
    /// Outcomes per call.
    pub(super) batch: usize,
    /// Calls at a time.
    pub(super) in_flight: usize,
    /// Whether a call may be repeated.
    pub(super) repeatable: bool,
}

/// An outcome and where it comes from: the line of its file, or its number.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) line: u64,
    pub(super) outcome: Outcome,
}

/// What became of the outcomes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Answered by the server.
    pub(super) sent: u64,
    /// New, and part of the statistics.
    pub(super) counted: u64,
    /// Known already; nothing changed.
    pub(super) duplicates: u64,
    /// Accepted, but the unit is not in the experiment.
    pub(super) not_counted: u64,
    /// Refused.
    pub(super) refused: u64,
    /// The first of them: line and reason.
    pub(super) refusals: Vec<(u64, String)>,
}

impl Delivery {
    /// Sends everything; refused outcomes are counted, a call that fails for good ends it.
    pub(super) async fn send(
        &self,
        parcels: impl Iterator<Item = Result<Parcel, Error>>,
        progress: &ProgressBar,
    ) -> Result<Tally, Error> {
        let mut answers = stream::iter(Batches { parcels, size: self.batch })
            .map(|batch| async { self.send_batch(batch?).await })
            .buffer_unordered(self.in_flight);
        let mut tally = Tally::default();
        while let Some(answer) = answers.next().await {
            let answer = answer?;
            progress.inc(answer.sent);
            tally.add(answer);
        }
        Ok(tally)
    }

    async fn send_batch(&self, mut batch: Vec<Parcel>) -> Result<Tally, Error> {
        let mut tally = Tally::default();
        let mut backoff = Backoff::default();
        loop {
            let outcomes = batch.iter().map(|parcel| parcel.outcome.clone()).collect();
            let mut client = self.client.data.clone();
            let answer = client.batch_log_outcomes(BatchLogOutcomesRequest { outcomes }).await;
            let asked = match answer {
                Ok(response) => {
                    let results = response.into_inner().results;
                    if results.len() != batch.len() {
                        return Err(Error::lacking("result for every outcome"));
                    }
                    let items = results.into_iter().map(|result| result.result);
                    batch = self.settle(batch, items, &mut tally);
                    if batch.is_empty() {
                        return Ok(tally);
                    }
                    backoff.wait(None)
                }
                Err(status) => {
                    let wait = self.repeatable.then(|| backoff.wait_after(&status)).flatten();
                    if wait.is_none() {
                        return Err(Error::call("log outcomes")(status));
                    }
                    wait
                }
            };
            match asked {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Ok(give_up(batch, tally)),
            }
        }
    }

    /// Counts what is settled and returns what is worth another try.
    fn settle(
        &self,
        batch: Vec<Parcel>,
        items: impl Iterator<Item = Option<Item>>,
        tally: &mut Tally,
    ) -> Vec<Parcel> {
        let mut again = Vec::new();
        for (parcel, item) in batch.into_iter().zip(items) {
            match item {
                Some(Item::Receipt(receipt)) => tally.accept(&receipt),
                Some(Item::Error(error))
                    if self.repeatable && is_transient(Code::from(error.code)) =>
                {
                    again.push(parcel);
                }
                Some(Item::Error(error)) => tally.refuse(parcel.line, told(&error)),
                None => {
                    tally.refuse(parcel.line, "the server did not say what became of it".into())
                }
            }
        }
        again
    }
}

impl Tally {
    fn accept(&mut self, receipt: &OutcomeReceipt) {
        self.sent += 1;
        if receipt.duplicate {
            self.duplicates += 1;
        } else if receipt.counted {
            self.counted += 1;
        } else {
            self.not_counted += 1;
        }
    }

    fn refuse(&mut self, line: u64, reason: String) {
        self.sent += 1;
        self.refused += 1;
        if self.refusals.len() < TOLD {
            self.refusals.push((line, reason));
        }
    }

    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.counted += other.counted;
        self.duplicates += other.duplicates;
        self.not_counted += other.not_counted;
        self.refused += other.refused;
        self.refusals.extend(other.refusals);
        // Batches come back in any order; the person reads the file from the top.
        self.refusals.sort();
        self.refusals.truncate(TOLD);
    }
}

fn give_up(batch: Vec<Parcel>, mut tally: Tally) -> Tally {
    for parcel in batch {
        tally.refuse(parcel.line, "the server stayed overloaded or unavailable".into());
    }
    tally
}

fn told(error: &ItemError) -> String {
    format!("{} ({})", error.message.trim_end_matches('.'), error.reason)
}

/// Cuts a stream of parcels into batches; a failure ends it.
struct Batches<I> {
    parcels: I,
    size: usize,
}

impl<I: Iterator<Item = Result<Parcel, Error>>> Iterator for Batches<I> {
    type Item = Result<Vec<Parcel>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch: Result<Vec<Parcel>, Error> = self.parcels.by_ref().take(self.size).collect();
        match batch {
            Ok(batch) if batch.is_empty() => None,
            other => Some(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(line: u64) -> Parcel {
        Parcel { line, outcome: Outcome::default() }
    }

    #[test]
    fn batches_are_full_but_the_last() {
        let parcels = (0..250).map(|line| Ok(parcel(line)));
        let sizes: Vec<usize> =
            Batches { parcels, size: 100 }.map(|batch| batch.unwrap().len()).collect();
        assert_eq!(sizes, [100, 100, 50]);
    }

    #[test]
    fn every_outcome_is_counted_once() {
        let mut tally = Tally::default();
        tally.accept(&OutcomeReceipt { counted: true, ..Default::default() });
        tally.accept(&OutcomeReceipt { duplicate: true, counted: true, ..Default::default() });
        tally.accept(&OutcomeReceipt::default());
        tally.refuse(9, "bad".into());
        let mut total = Tally::default();
        total.refuse(12, "worse".into());
        total.add(tally);
        assert_eq!((total.sent, total.refused), (5, 2));
        assert_eq!((total.counted, total.duplicates, total.not_counted), (1, 1, 1));
        assert_eq!(total.refusals, [(9, "bad".to_owned()), (12, "worse".to_owned())]);
    }
}
