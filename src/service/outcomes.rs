//! LogOutcome and its batch: check against the experiment, one call of the store per shard.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::bucket::Fingerprint;
use crate::domain::counter::{Event, ShardKey};
use crate::domain::experiment::Experiment;
use crate::domain::id::VariantId;
use crate::domain::outcome::{self, Credited, OutcomeDraft};
use crate::domain::segment::{Label, Segments};
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

    /// What became of an event; its unit's label when it must be made anew for that.
    fn of(applied: Applied, variant: &VariantId) -> Result<Self, Label> {
        let of_variant =
            |duplicate| Self { duplicate, variant: Some(variant.clone()), counted: true };
        match applied {
            Applied::Counted => Ok(of_variant(false)),
            Applied::Duplicate => Ok(of_variant(true)),
            Applied::NotExposed => Ok(Self::IGNORED),
            Applied::Labelled(label) => Err(label),
        }
    }
}

/// What an outcome does.
enum Credit {
    /// Nothing: its unit is not in the experiment.
    Ignored,
    /// It counts for a variant, or will if the store knows the unit.
    Counts { variant: VariantId, shard: ShardKey, event: Event },
    /// It counts, also for segments, which may take a word with the store.
    Segmented(Arc<Experiment>),
}

/// Events of one shard and where they come from.
#[derive(Default)]
struct Parcel<'a> {
    events: Vec<Event>,
    origins: Vec<Origin<'a>>,
}

/// An outcome of a request.
struct Origin<'a> {
    /// Its place in the request.
    index: usize,
    /// The variant that it credits.
    variant: VariantId,
    /// What it takes to make its event for another label; `None` without dimensions.
    segmented: Option<(&'a Experiment, Credited<'a>)>,
}

/// How often an event is made: for the label that is expected, and for the one there is. A label
/// never changes.
const TRIES: usize = 2;

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
                Receipt::of(applied, &variant).map_err(strange_label)?
            }
            Credit::Segmented(experiment) => {
                let mut parcels = BTreeMap::new();
                self.pack(0, &experiment, draft, &mut parcels).await?;
                let (shard, parcel) = parcels.pop_first().ok_or_else(short_answer)?;
                let receipts = self.deliver(&shard, parcel).await;
                let (_, receipt) = receipts.into_iter().next().ok_or_else(short_answer)?;
                receipt?
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
        let mut parcels = BTreeMap::<ShardKey, Parcel<'_>>::new();
        let mut segmented = Vec::new();
        let mut meters = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.iter().enumerate() {
            let (answer, meter) = match self.credit(draft) {
                Err(error) => (Some(Err(error)), None),
                Ok((Credit::Ignored, meter)) => (Some(Ok(Receipt::IGNORED)), Some(meter)),
                Ok((Credit::Counts { variant, shard, event }, meter)) => {
                    let parcel = parcels.entry(shard).or_default();
                    parcel.events.push(event);
                    parcel.origins.push(Origin { index, variant, segmented: None });
                    (None, Some(meter))
                }
                Ok((Credit::Segmented(experiment), meter)) => {
                    segmented.push((index, experiment, draft));
                    (None, Some(meter))
                }
            };
            answers.push(answer);
            meters.push(meter);
        }
        for (index, experiment, draft) in &segmented {
            if let Err(error) = self.pack(*index, experiment, draft, &mut parcels).await {
                answers[*index] = Some(Err(error));
            }
        }
        for (shard, parcel) in parcels {
            for (index, receipt) in self.deliver(&shard, parcel).await {
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

    fn credit(&self, draft: &OutcomeDraft) -> Result<(Credit, Arc<ExperimentMeter>), ServiceError> {
        self.catalog.with(&draft.experiment_id, |known| {
            let experiment = &known.experiment;
            let credit = match outcome::credit(experiment, draft) {
                Ok(None) => Credit::Ignored,
                Ok(Some(credited)) if experiment.definition.dimensions.is_empty() => {
                    Credit::Counts {
                        variant: credited.variant().clone(),
                        shard: credited.shard(),
                        event: credited.event(&Segments::NONE),
                    }
                }
                Ok(Some(_)) => Credit::Segmented(Arc::clone(experiment)),
                Err(refused) => {
                    known.meter.refused();
                    return Err(ServiceError::outcome(experiment.id().as_str(), refused));
                }
            };
            Ok((credit, Arc::clone(&known.meter)))
        })
    }

    /// Makes the event of an outcome that counts for segments, too.
    async fn pack<'a>(
        &self,
        index: usize,
        experiment: &'a Experiment,
        draft: &'a OutcomeDraft,
        parcels: &mut BTreeMap<ShardKey, Parcel<'a>>,
    ) -> Result<(), ServiceError> {
        let credited = outcome::credit(experiment, draft)
            .map_err(|refused| ServiceError::outcome(experiment.id().as_str(), refused))?;
        let credited = credited.ok_or_else(short_answer)?;
        let (iteration, unit) = (credited.iteration(), credited.unit());
        let attributes = &draft.attributes;
        let segments = self.names.expected(experiment, iteration, unit, attributes).await?;
        let parcel = parcels.entry(credited.shard()).or_default();
        parcel.events.push(credited.event(&segments));
        let variant = credited.variant().clone();
        let segmented = Some((experiment, credited));
        parcel.origins.push(Origin { index, variant, segmented });
        Ok(())
    }

    /// Applies the events of one shard; those whose units turn out to have another label once
    /// more, made for that.
    async fn deliver(
        &self,
        shard: &ShardKey,
        mut parcel: Parcel<'_>,
    ) -> Vec<(usize, Result<Receipt, ServiceError>)> {
        let mut receipts = Vec::with_capacity(parcel.events.len());
        for _ in 0..TRIES {
            let Parcel { events, origins } = std::mem::take(&mut parcel);
            let applied = match self.store.apply(shard, &events).await {
                Ok(applied) => applied,
                Err(error) => {
                    // One failure of the store is the answer to each of its outcomes.
                    let failed = |of: &Origin<'_>| (of.index, Err(error.repeated().into()));
                    receipts.extend(origins.iter().map(failed));
                    return receipts;
                }
            };
            for ((origin, event), applied) in origins.into_iter().zip(events).zip(applied) {
                match Receipt::of(applied, &origin.variant) {
                    Ok(receipt) => {
                        if let (Applied::Counted, Some(label)) = (applied, event.label) {
                            self.names.remember(shard.clone(), event.unit, label);
                        }
                        receipts.push((origin.index, Ok(receipt)));
                    }
                    Err(label) => match self.remake(&origin, event.unit, label).await {
                        Ok(event) => {
                            parcel.events.push(event);
                            parcel.origins.push(origin);
                        }
                        Err(error) => receipts.push((origin.index, Err(error.into()))),
                    },
                }
            }
            if parcel.events.is_empty() {
                break;
            }
        }
        let changed = parcel.origins.into_iter().zip(parcel.events);
        receipts.extend(changed.map(|(origin, event)| {
            let label = event.label.unwrap_or(Label::NONE);
            (origin.index, Err(strange_label(label).into()))
        }));
        receipts
    }

    /// The event of an outcome for the label that its unit has.
    async fn remake(
        &self,
        origin: &Origin<'_>,
        unit: Fingerprint,
        label: Label,
    ) -> Result<Event, StoreError> {
        let segmented = origin.segmented.as_ref();
        let (experiment, credited) = segmented.ok_or_else(|| strange_label(label))?;
        let iteration = credited.iteration();
        let segments = self.names.labelled(experiment, iteration, unit, label).await?;
        Ok(credited.event(&segments))
    }
}

fn short_answer() -> StoreError {
    StoreError::Corrupt("fewer answers than events".to_owned())
}

/// A label that no event asked for, or that has changed.
fn strange_label(label: Label) -> StoreError {
    StoreError::Corrupt(format!("{label:?} where there was another"))
}
