//! Outcomes as scores: what was logged about a span appears beside it in Phoenix, MLflow,
//! LangSmith or Weave.
//!
//! Best effort, at arm's length: a bounded queue for each program, tries with growing pauses, ids
//! that make a second delivery change nothing. The store has every outcome before anything is sent
//! from here, and nobody waits for it.

mod fate;
mod lane;
mod options;
mod program;
mod score;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use self::lane::SinkReading;
pub use self::options::{ScoreSink, Secret};

use self::lane::{Counts, Entrance, Lane, lane};
use self::program::Program;
use self::score::Score;
use crate::service::ScoreReceiver;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the last scores may take once the service is gone.
const FAREWELL: Duration = Duration::from_secs(3);

/// The programs cannot be reached at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a client for scores")]
pub struct SinksError(#[from] reqwest::Error);

/// What became of the scores; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct SinkCounts(Arc<[(&'static str, Arc<Counts>)]>);

impl SinkCounts {
    /// One for each program, in the order they were given.
    #[must_use]
    pub fn read(&self) -> Vec<SinkReading> {
        self.0.iter().map(|(sink, counts)| counts.read(sink)).collect()
    }
}

/// Carries scores to programs: [`Self::run`] it beside the service.
#[derive(Debug)]
pub struct ScoreCarrier {
    receiver: ScoreReceiver,
    entrances: Vec<Entrance>,
    lanes: Vec<Lane>,
    counts: SinkCounts,
}

impl ScoreCarrier {
    /// From the service's queue to these programs.
    ///
    /// # Errors
    /// [`SinksError`] when the system has no usable certificates.
    pub fn new(receiver: ScoreReceiver, sinks: &[ScoreSink]) -> Result<Self, SinksError> {
        // A provider that somebody else chose first is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let agent = concat!("tiebreak/", env!("CARGO_PKG_VERSION"));
        let client = Client::builder().timeout(REQUEST_TIMEOUT).user_agent(agent);
        let client = client.redirect(Policy::none()).build()?;
        let (mut entrances, mut lanes, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for sink in sinks {
            let program = Program::new(client.clone(), sink.clone());
            let own = Arc::new(Counts::default());
            counts.push((program.name(), Arc::clone(&own)));
            let (entrance, lane) = lane(program, &own);
            entrances.push(entrance);
            lanes.push(lane);
        }
        Ok(Self { receiver, entrances, lanes, counts: SinkCounts(counts.into()) })
    }

    /// What has become of the scores so far.
    #[must_use]
    pub fn counts(&self) -> SinkCounts {
        self.counts.clone()
    }

    /// Carries until the service is gone; then what is queued is tried once more, for a few
    /// seconds at most.
    pub async fn run(mut self) {
        let mut lanes: JoinSet<()> = self.lanes.into_iter().map(Lane::run).collect();
        while let Some(outcome) = self.receiver.next().await {
            for score in Score::all_of(outcome) {
                for entrance in &self.entrances {
                    entrance.offer(score.clone());
                }
            }
        }
        drop(self.entrances);
        let all = async { while lanes.join_next().await.is_some() {} };
        // Whoever is not done by then is cut off, and counted below.
        let _ = timeout(FAREWELL, all).await;
        drop(lanes);
        let (queue_full, told) = (self.receiver.dropped(), self.counts.read());
        let lost = |reading: &SinkReading| reading.pending() + reading.dropped + reading.refused;
        if queue_full > 0 || told.iter().any(|reading| lost(reading) > 0) {
            tracing::warn!(queue_full, ?told, "scores were lost while this server ran");
        }
    }
}
