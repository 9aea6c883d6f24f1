//! LogOutcome and its batch: check against the experiment, one call of the store per shard.

use std::collections::BTreeMap;

use crate::domain::counter::{Event, ShardKey};
use crate::domain::id::VariantId;
use crate::domain::outcome::{self, Credit, OutcomeDraft};
use crate::service::{Service, ServiceError};
use crate::store::{Applied, StoreError};

/// What became of an accepted outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// It had been counted before; nothing changed.
    pub duplicate: bool,
    /// The variant credited; `None` when the unit is not in the experiment.
    pub variant: Option<VariantId>,
    /// Whether it counts.
    pub counted: bool,
}

impl Receipt {
    const IGNORED: Self = Self { duplicate: false, variant: None, counted: false };

    fn of(applied: Applied, variant: VariantId) -> Result<Self, StoreError> {
        let of_variant = |duplicate| Self { duplicate, variant: Some(variant), counted: true };
        match applied {
            Applied::Counted => Ok(of_variant(false)),
            Applied::Duplicate => Ok(of_variant(true)),
            Applied::NotExposed => Ok(Self::IGNORED),
            Applied::Labelled(label) => {
                Err(StoreError::Corrupt(format!("{label:?} for an event without a label")))
            }
        }
    }
}

/// Events of one shard with their place in the request and the variant they credit.
#[derive(Default)]
struct Parcel {
    events: Vec<Event>,
    origins: Vec<(usize, VariantId)>,
}

impl Service {
    /// Records one outcome; answers when the store has it.
    ///
    /// # Errors
    /// [`ServiceError::ExperimentNotFound`], [`ServiceError::Invalid`], [`ServiceError::Closed`],
    /// [`ServiceError::StoreUnavailable`], [`ServiceError::NotReady`].
    pub async fn log_outcome(&self, draft: &OutcomeDraft) -> Result<Receipt, ServiceError> {
        match self.credit(draft)? {
            Credit::Ignored => Ok(Receipt::IGNORED),
            Credit::Counts { variant, shard, event } => {
                let applied = self.store.apply(&shard, &[event]).await?;
                let applied = applied.first().copied().ok_or_else(short_answer)?;
                Ok(Receipt::of(applied, variant)?)
            }
        }
    }

    /// Records many outcomes, each for itself; the answers are in the order of the request.
    pub async fn log_outcomes(
        &self,
        drafts: &[OutcomeDraft],
    ) -> Vec<Result<Receipt, ServiceError>> {
        let mut answers: Vec<Option<Result<Receipt, ServiceError>>> = Vec::new();
        let mut parcels = BTreeMap::<ShardKey, Parcel>::new();
        for (index, draft) in drafts.iter().enumerate() {
            answers.push(match self.credit(draft) {
                Err(error) => Some(Err(error)),
                Ok(Credit::Ignored) => Some(Ok(Receipt::IGNORED)),
                Ok(Credit::Counts { variant, shard, event }) => {
                    let parcel = parcels.entry(shard).or_default();
                    parcel.events.push(event);
                    parcel.origins.push((index, variant));
                    None
                }
            });
        }
        for (shard, parcel) in parcels {
            let applied = self.store.apply(&shard, &parcel.events).await;
            for (index, receipt) in receipts(parcel.origins, applied) {
                answers[index] = Some(receipt);
            }
        }
        answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(|| Err(short_answer().into())))
            .collect()
    }

    fn credit(&self, draft: &OutcomeDraft) -> Result<Credit, ServiceError> {
        let experiment = self.catalog.find(&draft.experiment_id)?;
        outcome::credit(&experiment, draft)
            .map_err(|refused| ServiceError::outcome(experiment.id().as_str(), refused))
    }
}

fn receipts(
    origins: Vec<(usize, VariantId)>,
    applied: Result<Vec<Applied>, StoreError>,
) -> Vec<(usize, Result<Receipt, ServiceError>)> {
    match applied {
        Ok(applied) => origins
            .into_iter()
            .zip(applied)
            .map(|((index, variant), applied)| {
                (index, Receipt::of(applied, variant).map_err(ServiceError::from))
            })
            .collect(),
        Err(error) => {
            // One failure of the store is the answer to each of its outcomes.
            let shared = |index| (index, Err(error.repeated().into()));
            origins.iter().map(|(index, _)| shared(*index)).collect()
        }
    }
}

fn short_answer() -> StoreError {
    StoreError::Corrupt("fewer answers than events".to_owned())
}
