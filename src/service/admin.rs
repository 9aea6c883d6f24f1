//! The life of experiments: read the record, change it in the domain, write it back if nobody was
//! faster.

use crate::domain::counter::ShardKey;
use crate::domain::draft::Draft;
use crate::domain::experiment::{Experiment, Revision, State, Timestamp};
use crate::domain::id::{ExperimentId, VariantId};
use crate::domain::lifecycle::{Change, InvalidTransition};
use crate::domain::violation::Violations;
use crate::service::catalog::not_found;
use crate::service::{InvalidInput, Service, ServiceError};
use crate::store::StoreError;

/// How often a change is made again on a newer record, when the caller set no etag.
const TRIES: usize = 8;

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
        now: Timestamp,
    ) -> Result<Experiment, ServiceError> {
        let definition = draft.parse().map_err(ServiceError::experiment)?;
        let experiment = Experiment::create(definition, self.options.shards, now);
        let exists = || ServiceError::ExperimentExists(experiment.id().to_string());
        if validate_only {
            let taken = self.store.get(experiment.id()).await?.is_some();
            return if taken { Err(exists()) } else { Ok(experiment) };
        }
        match self.store.put(&experiment, None).await {
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
        now: Timestamp,
    ) -> Result<Saved, ServiceError> {
        for _ in 0..TRIES {
            let stored = match self.experiment(&update.draft.experiment_id).await {
                Ok(stored) => stored,
                Err(ServiceError::ExperimentNotFound(_)) if update.allow_missing => {
                    match self.upsert(update.clone(), now).await {
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
            let change = self.changed(&update, &stored, now).await?;
            let Change { experiment, changed, new_iteration } = change;
            let saved = Saved { experiment, changed, new_iteration };
            if update.validate_only || saved.changed.is_empty() {
                return Ok(saved);
            }
            if self.replace(&saved.experiment, stored.revision).await? {
                return Ok(saved);
            }
        }
        Err(ServiceError::EtagMismatch(update.draft.experiment_id))
    }

    async fn changed(
        &self,
        update: &Update,
        stored: &Experiment,
        now: Timestamp,
    ) -> Result<Change, ServiceError> {
        let merged =
            update.draft.clone().masked(Draft::from(&stored.definition), &update.mask).map_err(
                |violations| ServiceError::Invalid { input: InvalidInput::Experiment, violations },
            )?;
        let definition = merged.parse().map_err(ServiceError::experiment)?;
        let change = stored
            .update(definition, now)
            .map_err(|refused| ServiceError::change(stored.id().as_str(), refused))?;
        if change.experiment.state == State::Running {
            self.check_layer(&change.experiment).await?;
        }
        Ok(change)
    }

    async fn upsert(&self, update: Update, now: Timestamp) -> Result<Saved, ServiceError> {
        if update.etag != EtagCheck::Any {
            return Err(ServiceError::EtagMismatch(update.draft.experiment_id));
        }
        let experiment = self.create_experiment(update.draft, update.validate_only, now).await?;
        Ok(Saved { experiment, changed: vec!["experiment_id"], new_iteration: false })
    }

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
        now: Timestamp,
    ) -> Result<Experiment, ServiceError> {
        let stored = self.experiment(id).await?;
        // What the transition itself refuses is said first.
        if stored.state != State::Running
            && etag.admits(stored.revision)
            && stored.start(now).is_ok()
        {
            self.check_layer(&stored).await?;
        }
        self.transition(id, etag, |experiment| experiment.start(now)).await
    }

    /// Running to paused.
    ///
    /// # Errors
    /// As [`Self::start_experiment`], without the layer.
    pub async fn pause_experiment(
        &self,
        id: &str,
        etag: EtagCheck,
        now: Timestamp,
    ) -> Result<Experiment, ServiceError> {
        self.transition(id, etag, |experiment| experiment.pause(now)).await
    }

    /// Pauses every running experiment whose planned end has come. Any replica may, and several
    /// may at once: a pause of a paused experiment changes nothing.
    ///
    /// # Errors
    /// As [`Self::pause_experiment`].
    pub async fn pause_overdue(&self, now: Timestamp) -> Result<(), ServiceError> {
        let snapshot = self.catalog.snapshot()?;
        let overdue = snapshot.iter().filter(|experiment| {
            let end = experiment.definition.planned_end;
            experiment.state == State::Running && end.is_some_and(|end| end <= now)
        });
        for experiment in overdue {
            tracing::info!(experiment = %experiment.id(), "the planned end has come: pausing");
            self.pause_experiment(experiment.id().as_str(), EtagCheck::Any, now).await?;
        }
        Ok(())
    }

    /// Running or paused to concluded, with the variant served to everyone from now on; an empty
    /// name means control.
    ///
    /// # Errors
    /// As [`Self::pause_experiment`]; [`ServiceError::Invalid`] for a winner that is no variant.
    pub async fn conclude_experiment(
        &self,
        id: &str,
        winner: &str,
        etag: EtagCheck,
        now: Timestamp,
    ) -> Result<Experiment, ServiceError> {
        let winner = self.parse_winner(id, winner).await?;
        self.transition(id, etag, |experiment| experiment.conclude(winner.clone(), now)).await
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
        now: Timestamp,
    ) -> Result<Experiment, ServiceError> {
        self.transition(id, etag, |experiment| experiment.archive(now)).await
    }

    /// Deletes a draft or archived experiment and all its data.
    ///
    /// # Errors
    /// [`ServiceError::ExperimentNotFound`] unless `allow_missing`,
    /// [`ServiceError::EtagMismatch`], [`ServiceError::NotDeletable`], [`ServiceError::StoreUnavailable`].
    pub async fn delete_experiment(
        &self,
        id: &str,
        etag: EtagCheck,
        allow_missing: bool,
    ) -> Result<(), ServiceError> {
        let stored = match self.experiment(id).await {
            Err(ServiceError::ExperimentNotFound(_)) if allow_missing => return Ok(()),
            other => other?,
        };
        if !etag.admits(stored.revision) {
            return Err(ServiceError::EtagMismatch(id.to_owned()));
        }
        if !stored.is_deletable() {
            let experiment = id.to_owned();
            return Err(ServiceError::NotDeletable { experiment, state: stored.state });
        }
        let data: Vec<_> =
            stored.iterations.iter().flat_map(|i| ShardKey::all(&stored, i)).collect();
        match self.store.remove(stored.id(), stored.revision, &data).await {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) => {
                return Err(ServiceError::EtagMismatch(id.to_owned()));
            }
            Err(error) => return Err(error.into()),
        }
        self.refresh_after_write().await;
        Ok(())
    }

    async fn transition(
        &self,
        id: &str,
        etag: EtagCheck,
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
            if next.revision == stored.revision || self.replace(&next, stored.revision).await? {
                return Ok(next);
            }
        }
        Err(ServiceError::EtagMismatch(id.to_owned()))
    }

    /// Writes a record over the revision it was made from; `false` when somebody was faster.
    async fn replace(&self, next: &Experiment, from: Revision) -> Result<bool, ServiceError> {
        match self.store.put(next, Some(from)).await {
            Ok(()) => {
                self.refresh_after_write().await;
                Ok(true)
            }
            Err(StoreError::Conflict { .. }) => Ok(false),
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

    async fn check_layer(&self, experiment: &Experiment) -> Result<(), ServiceError> {
        let Some(slot) = &experiment.definition.layer else { return Ok(()) };
        let records = self.store.records().await?;
        let rival = records.experiments.iter().find(|other| {
            let theirs = other.definition.layer.as_ref();
            other.id() != experiment.id()
                && other.state == State::Running
                && theirs.is_some_and(|theirs| {
                    theirs.layer == slot.layer && theirs.buckets.overlaps(slot.buckets)
                })
        });
        match rival {
            None => Ok(()),
            Some(other) => Err(ServiceError::LayerOverlap {
                layer: slot.layer.to_string(),
                other: other.id().to_string(),
            }),
        }
    }
}

fn variants(experiment: &Experiment) -> String {
    let ids = experiment.definition.variants.iter().map(|variant| variant.id.as_str());
    ids.collect::<Vec<_>>().join(", ")
}
