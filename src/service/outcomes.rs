//! LogOutcome and its batch: check against the experiment, one call of the store per shard.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::counter::{Event, ShardKey};
use crate::domain::id::VariantId;
use crate::domain::outcome::{self, Credit, OutcomeDraft};
use crate::service::meters::ExperimentMeter;
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

/// What an outcome does, and where it is counted that it came.
type Credited = (Credit, Arc<ExperimentMeter>);

impl Service {
    /// Records one outcome; answers when the store has it.
    ///
    /// # Errors
    /// [`ServiceError::ExperimentNotFound`], [`ServiceError::Invalid`], [`ServiceError::Closed`],
    /// [`ServiceError::StoreUnavailable`], [`ServiceError::NotReady`].
    pub async fn log_outcome(&self, draft: &OutcomeDraft) -> Result<Receipt, ServiceError> {
        let receipt = self.count(draft).await;
        self.offer_score(draft, &receipt);
        receipt
    }

    async fn count(&self, draft: &OutcomeDraft) -> Result<Receipt, ServiceError> {
        let (credit, meter) = self.credit(draft)?;
        let receipt = match credit {
            Credit::Ignored => Receipt::IGNORED,
            Credit::Counts { variant, shard, event } => {
                let applied = self.store.apply(&shard, &[event]).await?;
                let applied = applied.first().copied().ok_or_else(short_answer)?;
                Receipt::of(applied, variant)?
            }
        };
        meter.accepted(&receipt, draft.values.keys());
        Ok(receipt)
    }

    /// Records many outcomes, each for itself; the answers are in the order of the request.
    pub async fn log_outcomes(
        &self,
        drafts: &[OutcomeDraft],
    ) -> Vec<Result<Receipt, ServiceError>> {
        let mut answers: Vec<Option<Result<Receipt, ServiceError>>> = Vec::new();
        let mut parcels = BTreeMap::<ShardKey, Parcel>::new();
        let mut meters = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.iter().enumerate() {
            let (answer, meter) = match self.credit(draft) {
                Err(error) => (Some(Err(error)), None),
                Ok((Credit::Ignored, meter)) => (Some(Ok(Receipt::IGNORED)), Some(meter)),
                Ok((Credit::Counts { variant, shard, event }, meter)) => {
                    let parcel = parcels.entry(shard).or_default();
                    parcel.events.push(event);
                    parcel.origins.push((index, variant));
                    (None, Some(meter))
                }
            };
            answers.push(answer);
            meters.push(meter);
        }
        for (shard, parcel) in parcels {
            let applied = self.store.apply(&shard, &parcel.events).await;
            for (index, receipt) in receipts(parcel.origins, applied) {
                answers[index] = Some(receipt);
            }
        }
        for ((draft, meter), answer) in drafts.iter().zip(&meters).zip(&answers) {
            if let (Some(meter), Some(Ok(receipt))) = (meter, answer) {
                meter.accepted(receipt, draft.values.keys());
            }
        }
        let receipts: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(|| Err(short_answer().into())))
            .collect();
        for (draft, receipt) in drafts.iter().zip(&receipts) {
            self.offer_score(draft, receipt);
        }
        receipts
    }

    /// What has just been counted may be shown; see [`super::scores`]. A duplicate is not: the first
    /// values stand, whatever the second ones are.
    fn offer_score(&self, draft: &OutcomeDraft, receipt: &Result<Receipt, ServiceError>) {
        if let Some(scores) = &self.scores
            && let Ok(Receipt { variant: Some(variant), duplicate: false, .. }) = receipt
        {
            scores.offer(draft, variant);
        }
    }

    fn credit(&self, draft: &OutcomeDraft) -> Result<Credited, ServiceError> {
        self.catalog.with(&draft.experiment_id, |known| {
            match outcome::credit(&known.experiment, draft) {
                Ok(credit) => Ok((credit, Arc::clone(&known.meter))),
                Err(refused) => {
                    known.meter.refused();
                    Err(ServiceError::outcome(known.experiment.id().as_str(), refused))
                }
            }
        })
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
