//! Mutual exclusion: running experiments of one layer own disjoint buckets of it.

use crate::domain::experiment::{Experiment, State};
use crate::service::{Service, ServiceError};

impl Service {
    /// Sees to it that a record, if it is written, shares no bucket of its layer with a running
    /// experiment. The answer is the version of the catalog that this holds for: to be written
    /// under no other, so that two replicas cannot give away the same buckets at the same moment.
    /// `None` when the record needs no bucket.
    pub(super) async fn claim_layer(
        &self,
        wanted: &Experiment,
    ) -> Result<Option<u64>, ServiceError> {
        let Some(slot) = wanted.definition.layer.as_ref().filter(|_| is_running(wanted)) else {
            return Ok(None);
        };
        self.refresh().await?;
        let snapshot = self.catalog.snapshot()?;
        let rival = snapshot.iter().find(|other| {
            let theirs = other.definition.layer.as_ref();
            other.id() != wanted.id()
                && is_running(other)
                && theirs.is_some_and(|theirs| {
                    theirs.layer == slot.layer && theirs.buckets.overlaps(slot.buckets)
                })
        });
        match rival {
            None => Ok(Some(snapshot.version())),
            Some(other) => Err(ServiceError::LayerOverlap {
                layer: slot.layer.to_string(),
                other: other.id().to_string(),
            }),
        }
    }
}

fn is_running(experiment: &Experiment) -> bool {
    experiment.state == State::Running
}
