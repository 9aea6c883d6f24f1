//! Start, pause, conclude, archive, and the pause that comes by itself.

use crate::domain::audit::{Action, Author, Cause};
use crate::domain::experiment::{Experiment, Timestamp};
use crate::domain::id::VariantId;
use crate::domain::lifecycle::InvalidTransition;
use crate::domain::violation::Violations;
use crate::service::admin::{EtagCheck, TRIES};
use crate::service::{InvalidInput, Service, ServiceError};

/// Why the server pauses an experiment, in its log and in the audit log.
const PLANNED_END: &str = "planned_end_time has come";

/// Longest note in characters.
const NOTE_LIMIT: usize = 4_096;

impl Service {
    /// Draft or paused to running.
    ///
    /// # Errors
    /// [`ServiceError::ExperimentNotFound`], [`ServiceError::EtagMismatch`],
    /// [`ServiceError::InvalidTransition`], [`ServiceError::LayerOverlap`],
    /// [`ServiceError::StoreUnavailable`].
    pub async fn start_experiment(
        &self,
        id: &str,
        etag: EtagCheck,
        author: &Author,
    ) -> Result<Experiment, ServiceError> {
        let now = author.time;
        let cause = author.by(Action::Start);
        self.transition(id, etag, &cause, |experiment| experiment.start(now)).await
    }

    /// Running to paused.
    ///
    /// # Errors
    /// As [`Self::start_experiment`], without the layer.
    pub async fn pause_experiment(
        &self,
        id: &str,
        etag: EtagCheck,
        author: &Author,
    ) -> Result<Experiment, ServiceError> {
        let cause = author.by(Action::Pause);
        self.transition(id, etag, &cause, |experiment| experiment.pause(cause.time)).await
    }

    /// Pauses every running experiment whose planned end has come, in the name of the server. Any
    /// replica may, and several may at once: of their changes one is written, and a pause of what
    /// is paused is none.
    ///
    /// # Errors
    /// [`ServiceError::NotReady`]; what went wrong first with an experiment, when all have been
    /// tried.
    pub async fn pause_overdue(&self, now: Timestamp) -> Result<(), ServiceError> {
        let snapshot = self.catalog.snapshot()?;
        let cause = Author::server(now).noting(Action::Pause, PLANNED_END.to_owned());
        let mut failed = None;
        for experiment in snapshot.iter().filter(|experiment| experiment.is_overdue(now)) {
            // Judged again on the stored record: the end may have been moved meanwhile.
            let pause = |stored: &Experiment| {
                if stored.is_overdue(now) { stored.pause(now) } else { Ok(stored.clone()) }
            };
            let id = experiment.id().as_str();
            match self.transition(id, EtagCheck::Any, &cause, pause).await {
                Ok(paused) => tracing::info!(experiment = id, state = ?paused.state, PLANNED_END),
                // Deleted meanwhile.
                Err(ServiceError::ExperimentNotFound(_)) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Running or paused to concluded, with the variant served to everyone from now on; an empty
    /// name means control. The note goes to the audit log.
    ///
    /// # Errors
    /// As [`Self::pause_experiment`]; [`ServiceError::Invalid`] for a winner that is no variant or
    /// too long a note.
    pub async fn conclude_experiment(
        &self,
        id: &str,
        winner: &str,
        note: String,
        etag: EtagCheck,
        author: &Author,
    ) -> Result<Experiment, ServiceError> {
        let length = note.chars().count();
        if length > NOTE_LIMIT {
            let problem = format!("has {length} characters, at most {NOTE_LIMIT} are allowed");
            return Err(ServiceError::bad_field("note", problem));
        }
        let winner = self.parse_winner(id, winner).await?;
        let cause = author.noting(Action::Conclude, note);
        let conclude = |stored: &Experiment| stored.conclude(winner.clone(), cause.time);
        self.transition(id, etag, &cause, conclude).await
    }

    async fn parse_winner(
        &self,
        id: &str,
        winner: &str,
    ) -> Result<Option<VariantId>, ServiceError> {
        let experiment = self.experiment(id).await?;
        if winner.is_empty() {
            return Ok(None);
        }
        let known = experiment.variant(winner).map(|variant| variant.id.clone());
        known.map(Some).ok_or_else(|| ServiceError::Invalid {
            input: InvalidInput::Variant,
            violations: Violations::of(
                "winner_variant_id",
                format!("is not a variant of this experiment; it has {}", variants(&experiment)),
            ),
        })
    }

    /// Draft or concluded to archived.
    ///
    /// # Errors
    /// As [`Self::pause_experiment`].
    pub async fn archive_experiment(
        &self,
        id: &str,
        etag: EtagCheck,
        author: &Author,
    ) -> Result<Experiment, ServiceError> {
        let cause = author.by(Action::Archive);
        self.transition(id, etag, &cause, |experiment| experiment.archive(cause.time)).await
    }

    async fn transition(
        &self,
        id: &str,
        etag: EtagCheck,
        cause: &Cause,
        step: impl Fn(&Experiment) -> Result<Experiment, InvalidTransition>,
    ) -> Result<Experiment, ServiceError> {
        for _ in 0..TRIES {
            let stored = self.experiment(id).await?;
            if !etag.admits(stored.revision) {
                return Err(ServiceError::EtagMismatch(id.to_owned()));
            }
            let next = step(&stored).map_err(|transition| ServiceError::InvalidTransition {
                experiment: id.to_owned(),
                transition,
            })?;
            if next.revision == stored.revision {
                return Ok(next);
            }
            let version = self.claim_layer(&next).await?;
            if self.replace(version, &next, stored.revision, cause).await? {
                return Ok(next);
            }
        }
        Err(ServiceError::EtagMismatch(id.to_owned()))
    }
}

fn variants(experiment: &Experiment) -> String {
    let ids = experiment.definition.variants.iter().map(|variant| variant.id.as_str());
    ids.collect::<Vec<_>>().join(", ")
}
