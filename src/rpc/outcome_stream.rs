//! StreamOutcomes: outcomes in, cumulative acknowledgements out.
//!
//! While one batch is being stored the next one gathers, and it leaves as soon as the first has
//! returned: alone on an idle stream, up to [`BATCH`] on a busy one, without a timer. There is no
//! task and no channel; everything happens while the answers are polled. So a client that does not
//! read its acknowledgements stops the storing, then the gathering, then by HTTP/2 flow control
//! itself, and the stream never holds more than two batches.
//!
//! A failure that is the outcome's own is reported and passed. One that is not (the store is away)
//! ends the stream *unacknowledged*: to go on would leave holes behind an acknowledgement that
//! says everything up to here is done.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use prost::Message as _;
use tonic::{Status, Streaming};

use crate::domain::outcome::OutcomeDraft;
use crate::domain::violation::Violations;
use crate::rpc::convert::outcome;
use crate::rpc::stop::Stop;
use crate::rpc::{pb, status};
use crate::service::{Receipt, Service, ServiceError};

/// Most outcomes stored together.
const BATCH: usize = 1_024;

/// Bytes of outcomes after which a batch takes no more: attributes may be large.
const BATCH_BYTES: usize = 1 << 20;

/// The acknowledgements of a stream of outcomes.
pub(super) type Acknowledgements = BoxStream<'static, Result<pb::StreamOutcomesResponse, Status>>;

pub(super) fn acknowledgements(
    service: Arc<Service>,
    incoming: Streaming<pb::StreamOutcomesRequest>,
    stop: Stop,
) -> Acknowledgements {
    let stream = OutcomeStream {
        service,
        incoming,
        stop,
        last: 0,
        acknowledged: 0,
        gathered: Batch::default(),
        storing: None,
        end: None,
    };
    unfold(Some(stream), |stream| async move {
        let mut stream = stream?;
        match stream.next().await {
            Ok(Some(response)) => Some((Ok(response), Some(stream))),
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    })
    .boxed()
}

/// Outcomes that wait to be stored.
#[derive(Default)]
struct Batch {
    sequences: Vec<u64>,
    drafts: Vec<OutcomeDraft>,
    bytes: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.drafts.len() >= BATCH || self.bytes >= BATCH_BYTES
    }
}

/// What became of a batch, by sequence.
type Stored = Vec<(u64, Result<Receipt, ServiceError>)>;

struct OutcomeStream {
    service: Arc<Service>,
    incoming: Streaming<pb::StreamOutcomesRequest>,
    stop: Stop,
    /// The last sequence received.
    last: u64,
    acknowledged: u64,
    gathered: Batch,
    storing: Option<BoxFuture<'static, Stored>>,
    /// How the stream ends once everything received is stored; `None` while it goes on.
    end: Option<Result<(), Status>>,
}

impl OutcomeStream {
    /// The next acknowledgement; `None` at the end.
    async fn next(&mut self) -> Result<Option<pb::StreamOutcomesResponse>, Status> {
        loop {
            let (going_on, idle) = (self.end.is_none(), self.storing.is_none());
            let waiting = !self.gathered.drafts.is_empty();
            if idle && !waiting && !going_on {
                return self.end.take().unwrap_or(Ok(())).map(|()| None);
            }
            tokio::select! {
                biased;
                () = self.stop.requested(), if going_on => {
                    self.end = Some(Err(status::status(&ServiceError::ShuttingDown)));
                }
                message = self.incoming.message(), if going_on && !self.gathered.is_full() => {
                    self.receive(message);
                }
                stored = finished(&mut self.storing), if !idle => {
                    if let Some(acknowledgement) = self.acknowledge(stored) {
                        return Ok(Some(acknowledgement));
                    }
                }
                // Reached when nothing more is there to be received.
                () = std::future::ready(()), if idle && waiting => self.store(),
            }
        }
    }

    fn receive(&mut self, message: Result<Option<pb::StreamOutcomesRequest>, Status>) {
        match message {
            Ok(Some(message)) => {
                if let Err(violations) = self.gather(message) {
                    self.end = Some(Err(status::invalid(violations)));
                }
            }
            Ok(None) => self.end = Some(Ok(())),
            Err(status) => self.end = Some(Err(status)),
        }
    }

    fn gather(&mut self, message: pb::StreamOutcomesRequest) -> Result<(), Violations> {
        let bytes = message.encoded_len();
        let pb::StreamOutcomesRequest { sequence, outcome } = message;
        let mut bad = Violations::new();
        if sequence <= self.last {
            bad.add("sequence", format!("must be above {}, the one before", self.last));
        }
        let Some(outcome) = outcome else {
            bad.add("outcome", "must be set");
            return bad.into_result(());
        };
        bad.into_result(())?;
        self.last = sequence;
        self.gathered.sequences.push(sequence);
        self.gathered.drafts.push(outcome::draft(outcome));
        self.gathered.bytes += bytes;
        Ok(())
    }

    fn store(&mut self) {
        let Batch { sequences, drafts, bytes: _ } = std::mem::take(&mut self.gathered);
        let service = Arc::clone(&self.service);
        self.storing = Some(Box::pin(async move {
            let receipts = service.log_outcomes(&drafts).await;
            sequences.into_iter().zip(receipts).collect()
        }));
    }

    /// Acknowledges what is done, up to the first outcome that another try may store; `None` when
    /// that is nothing.
    fn acknowledge(&mut self, stored: Stored) -> Option<pb::StreamOutcomesResponse> {
        self.storing = None;
        let before = self.acknowledged;
        let mut errors = Vec::new();
        for (sequence, receipt) in stored {
            match receipt {
                Ok(_) => {}
                Err(error) if error.is_transient() => {
                    self.end = Some(Err(status::status(&error)));
                    // What follows would be acknowledged past a hole.
                    self.gathered = Batch::default();
                    break;
                }
                Err(error) => errors.push(pb::StreamOutcomeError {
                    sequence,
                    error: Some(status::item_error(&error.below("outcome"))),
                }),
            }
            self.acknowledged = sequence;
        }
        (self.acknowledged > before).then_some(pb::StreamOutcomesResponse {
            acknowledged_sequence: self.acknowledged,
            errors,
        })
    }
}

async fn finished(storing: &mut Option<BoxFuture<'static, Stored>>) -> Stored {
    match storing {
        Some(storing) => storing.await,
        None => std::future::pending().await,
    }
}
