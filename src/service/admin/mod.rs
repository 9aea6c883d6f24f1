//! The life of experiments: read the record, change it in the domain, write it back if nobody was
//! faster.

mod deletion;
mod transitions;

use crate::domain::audit::{Action, Author, Cause};
use crate::domain::draft::Draft;
use crate::domain::experiment::{Experiment, Revision, Timestamp};
use crate::domain::id::ExperimentId;
use crate::domain::lifecycle::Change;
use crate::service::catalog::not_found;
use crate::service::{InvalidInput, Service, ServiceError};
use crate::store::StoreError;

/// How often a change is made again on newer records. Each time somebody else's change went
/// through.
const TRIES: usize = 32;

/// Whether a change depends on the revision that the caller read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtagCheck {
    /// Change whatever is there.
    Any,
    /// Change only this revision.
    Only(Revision),
    /// The caller's etag is none that this service ever gave out: nothing matches it.
    Never,
}

impl EtagCheck {
    fn admits(self, revision: Revision) -> bool {
        match self {
            Self::Any => true,
            Self::Only(wanted) => wanted == revision,
            Self::Never => false,
        }
    }
}

/// A change of a definition.
#[derive(Debug, Clone)]
pub struct Update {
    /// What the request says.
    pub draft: Draft,
    /// Top-level fields to replace; empty means all.
    pub mask: Vec<String>,
    /// Whether it is conditional.
    pub etag: EtagCheck,
    /// Create the experiment if there is none.
    pub allow_missing: bool,
    /// Check everything, store nothing.
    pub validate_only: bool,
}

/// A record as it is stored or would be.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// The record.
    pub experiment: Experiment,
    /// Top-level fields that changed.
    pub changed: Vec<&'static str>,
    /// Whether a new iteration was opened.
    pub new_iteration: bool,
}

impl Service {
    /// A new draft.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::ExperimentExists`], [`ServiceError::StoreUnavailable`].
    pub async fn create_experiment(
        &self,
        draft: Draft,
        validate_only: bool,
        author: &Author,
    ) -> Result<Experiment, ServiceError> {
        self.create(draft, validate_only, &author.by(Action::Create)).await
    }

    async fn create(
        &self,
        draft: Draft,
        validate_only: bool,
        cause: &Cause,
    ) -> Result<Experiment, ServiceError> {
        let definition = draft.parse().map_err(ServiceError::experiment)?;
        let experiment = Experiment::create(definition, self.options.shards, cause.time);
        let exists = || ServiceError::ExperimentExists(experiment.id().to_string());
        if validate_only {
            let taken = self.store.get(experiment.id()).await?.is_some();
            return if taken { Err(exists()) } else { Ok(experiment) };
        }
        match self.store.put(&experiment, None, cause).await {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) => return Err(exists()),
            Err(error) => return Err(error.into()),
        }
        self.refresh_after_write().await;
        Ok(experiment)
    }

    /// One record as it is in the store now.
    ///
    /// # Errors
    /// [`ServiceError::ExperimentNotFound`], [`ServiceError::StoreUnavailable`].
    pub async fn experiment(&self, id: &str) -> Result<Experiment, ServiceError> {
        if id.is_empty() {
            return Err(ServiceError::bad_field("experiment_id", "must be set"));
        }
        let Ok(id) = ExperimentId::parse(id) else { return Err(not_found(id)) };
        self.store.get(&id).await?.ok_or_else(|| not_found(id.as_str()))
    }

    /// Replaces fields of a definition, or creates it.
    ///
    /// # Errors
    /// [`ServiceError::ExperimentNotFound`], [`ServiceError::Invalid`],
    /// [`ServiceError::EtagMismatch`], [`ServiceError::Closed`], [`ServiceError::LayerOverlap`],
    /// [`ServiceError::StoreUnavailable`].
    pub async fn update_experiment(
        &self,
        update: Update,
        author: &Author,
    ) -> Result<Saved, ServiceError> {
        let cause = author.by(Action::Update);
        for _ in 0..TRIES {
            let stored = match self.experiment(&update.draft.experiment_id).await {
                Ok(stored) => stored,
                Err(ServiceError::ExperimentNotFound(_)) if update.allow_missing => {
                    match self.upsert(update.clone(), &cause).await {
                        // Somebody created it meanwhile: then it is an update.
                        Err(ServiceError::ExperimentExists(_)) => continue,
                        other => return other,
                    }
                }
                Err(error) => return Err(error),
            };
            let id = stored.id().to_string();
            if !update.etag.admits(stored.revision) {
                return Err(ServiceError::EtagMismatch(id));
            }
            let change = changed(&update, &stored, cause.time)?;
            let Change { experiment, changed, new_iteration } = change;
            let saved = Saved { experiment, changed, new_iteration };
            if saved.changed.is_empty() {
                return Ok(saved);
            }
            let version = self.claim_layer(&saved.experiment).await?;
            if update.validate_only
                || self.replace(version, &saved.experiment, stored.revision, &cause).await?
            {
                return Ok(saved);
            }
        }
        Err(ServiceError::EtagMismatch(update.draft.experiment_id))
    }

    async fn upsert(&self, update: Update, cause: &Cause) -> Result<Saved, ServiceError> {
        if update.etag != EtagCheck::Any {
            return Err(ServiceError::EtagMismatch(update.draft.experiment_id));
        }
        let experiment = self.create(update.draft, update.validate_only, cause).await?;
        let changed = experiment.definition.stated();
        Ok(Saved { experiment, changed, new_iteration: false })
    }

    /// Writes a record over the revision it was made from, at the version of the catalog that it
    /// depends on; `false` when somebody was faster.
    async fn replace(
        &self,
        version: Option<u64>,
        next: &Experiment,
        from: Revision,
        cause: &Cause,
    ) -> Result<bool, ServiceError> {
        match self.store.put_at(version, next, Some(from), cause).await {
            Ok(()) => {
                self.refresh_after_write().await;
                Ok(true)
            }
            Err(StoreError::Conflict { .. } | StoreError::Moved { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes an own change visible at once. The change is stored already, so a failure here only
    /// means that the next poll finds it.
    async fn refresh_after_write(&self) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "the catalog will be refreshed by the next poll");
        }
    }
}

/// What an update makes of a record.
fn changed(update: &Update, stored: &Experiment, now: Timestamp) -> Result<Change, ServiceError> {
    let merged = update.draft.clone().masked(Draft::from(&stored.definition), &update.mask);
    let merged = merged.map_err(|violations| ServiceError::Invalid {
        input: InvalidInput::Experiment,
        violations,
    })?;
    let definition = merged.parse().map_err(ServiceError::experiment)?;
    let change = stored.update(definition, now);
    change.map_err(|refused| ServiceError::change(stored.id().as_str(), refused))
}
