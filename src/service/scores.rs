//! Outcomes on their way to the programs that show them as scores of a span: in the background,
//! bounded, never in the way. The store is the truth; a full queue drops and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::domain::id::VariantId;
use crate::domain::outcome::OutcomeDraft;
use crate::domain::subject::Subject;

/// An outcome that the store has, about a span that was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredOutcome {
    /// The span it judges.
    pub subject: Subject,
    /// The experiment.
    pub experiment: String,
    /// The variant credited.
    pub variant: String,
    /// The caller's name for the event; empty when it has none.
    pub event_id: String,
    /// The value of each metric, by its id.
    pub values: Vec<(String, f64)>,
}

/// Where [`Service`](super::Service) leaves them.
#[derive(Debug)]
pub struct ScoreQueue {
    sender: mpsc::Sender<ScoredOutcome>,
    dropped: Arc<AtomicU64>,
}

/// Where they are taken from. The queue ends when the service is gone.
#[derive(Debug)]
pub struct ScoreReceiver {
    receiver: mpsc::Receiver<ScoredOutcome>,
    dropped: Arc<AtomicU64>,
}

/// A queue of at most `capacity` outcomes.
#[must_use]
pub fn score_queue(capacity: usize) -> (ScoreQueue, ScoreReceiver) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let dropped = Arc::new(AtomicU64::new(0));
    (ScoreQueue { sender, dropped: Arc::clone(&dropped) }, ScoreReceiver { receiver, dropped })
}

impl ScoreQueue {
    /// Queues what can be shown or drops it; never waits.
    pub(super) fn offer(&self, draft: &OutcomeDraft, variant: &VariantId) {
        let Some(subject) = draft.subject.filter(|subject| subject.sampled) else { return };
        if draft.values.is_empty() {
            return;
        }
        let Ok(place) = self.sender.try_reserve() else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        place.send(ScoredOutcome {
            subject,
            experiment: draft.experiment_id.clone(),
            variant: variant.to_string(),
            event_id: draft.event_id.clone(),
            values: draft.values.iter().map(|(metric, value)| (metric.clone(), *value)).collect(),
        });
    }
}

impl ScoreReceiver {
    /// The next one; `None` when the service is gone and the queue is empty.
    pub async fn next(&mut self) -> Option<ScoredOutcome> {
        self.receiver.recv().await
    }

    /// How many found the queue full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
