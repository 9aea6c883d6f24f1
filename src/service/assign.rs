//! Assign: a decision from the snapshot; the exposure follows in the background.

use std::sync::Arc;

use crate::domain::assignment::{self, NotAssignable, Placement};
use crate::domain::experiment::{Algorithm, Experiment, State};
use crate::domain::id::UnitId;
use crate::domain::outcome;
use crate::domain::segment::Segments;
use crate::domain::value::Attributes;
use crate::service::catalog::Known;
use crate::service::exposures::{Exposed, Exposure};
use crate::service::{Service, ServiceError};

/// A unit's place and the experiment that it is in.
#[derive(Debug, Clone)]
pub struct Assigned {
    /// The experiment as it was when it was decided.
    pub experiment: Arc<Experiment>,
    /// The unit's place.
    pub placement: Placement,
}

/// An experiment's name and the unit's place in it, or why there is none.
pub type NamedPlace = (String, Result<Assigned, ServiceError>);

impl Service {
    /// The variant of one experiment for one unit.
    ///
    /// # Errors
    /// [`ServiceError::ExperimentNotFound`], [`ServiceError::NotAssignable`],
    /// [`ServiceError::AssignedElsewhere`], [`ServiceError::NotReady`].
    pub fn assign(
        &self,
        experiment_id: &str,
        unit: UnitId<'_>,
        attributes: &Attributes,
        defer_exposure: bool,
    ) -> Result<Assigned, ServiceError> {
        self.catalog
            .with(experiment_id, |known| self.place(known, unit, attributes, defer_exposure))
    }

    /// The variants of several experiments for one unit, in the order asked; of every running
    /// experiment, by name, when none is asked for.
    ///
    /// # Errors
    /// [`ServiceError::NotReady`]; failures of single experiments stay with them.
    pub fn assign_batch(
        &self,
        experiment_ids: &[String],
        unit: UnitId<'_>,
        attributes: &Attributes,
        defer_exposure: bool,
    ) -> Result<Vec<NamedPlace>, ServiceError> {
        let place = |known: &Known| self.place(known, unit, attributes, defer_exposure);
        if !experiment_ids.is_empty() {
            let find = |id: &String| (id.clone(), self.catalog.with(id, place));
            return Ok(experiment_ids.iter().map(find).collect());
        }
        let snapshot = self.catalog.snapshot()?;
        let assigning = snapshot.known().filter(|known| is_assigning(&known.experiment));
        let mut running: Vec<_> = assigning.collect();
        running.sort_by_key(|known| known.experiment.id());
        let place = |known: &Known| (known.experiment.id().to_string(), place(known));
        Ok(running.into_iter().map(place).collect())
    }

    fn place(
        &self,
        known: &Known,
        unit: UnitId<'_>,
        attributes: &Attributes,
        defer_exposure: bool,
    ) -> Result<Assigned, ServiceError> {
        let experiment = &known.experiment;
        let placement = assignment::assign(experiment, unit, attributes).map_err(|refused| {
            let experiment = experiment.id().to_string();
            match refused {
                NotAssignable::State(state) => ServiceError::NotAssignable { experiment, state },
                NotAssignable::Elsewhere => ServiceError::AssignedElsewhere(experiment),
            }
        })?;
        if !defer_exposure
            && let Some(iteration) = placement.iteration.and_then(|n| experiment.iteration(n))
            && let Some(variant) = iteration.variants.get(placement.variant)
        {
            let exposure = if experiment.definition.dimensions.is_empty() {
                let none = Segments::NONE;
                let (shard, event) =
                    outcome::exposure(experiment, iteration, variant, unit, attributes, &none);
                Exposure::Ready(shard, event)
            } else {
                let exposed = Exposed::new(experiment, iteration, variant, unit, attributes);
                Exposure::Unnamed(Box::new(exposed))
            };
            self.exposures.offer(exposure);
        }
        known.meter.assigned(placement.variant);
        Ok(Assigned { experiment: Arc::clone(experiment), placement })
    }
}

fn is_assigning(experiment: &Experiment) -> bool {
    experiment.state == State::Running
        && experiment.definition.bucketing.algorithm != Algorithm::External
}
