//! What the use cases count about themselves, for whoever shows it: plain numbers, no exporter.
//!
//! The counts of an experiment hang on its entry in the catalog, so that Assign finds them without
//! another look-up, and go with it when it is deleted or archived. There may be 10,000
//! experiments and a scrape has to stay small: who comes when [`OWN_SERIES`] are given away is
//! counted together with all others who came too late. An experiment keeps what it was given, so
//! no number ever goes back.

mod experiment;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::experiment::{Experiment, State};
use crate::domain::id::ExperimentId;

use experiment::Names;

pub(super) use experiment::ExperimentMeter;

/// How many numbers experiments have of their own, all together.
const OWN_SERIES: usize = 4_096;

/// Hands out the meters of experiments.
#[derive(Debug)]
pub(super) struct Meters {
    own_series: usize,
    shared: Arc<ExperimentMeter>,
}

impl Default for Meters {
    fn default() -> Self {
        Self::with_series(OWN_SERIES)
    }
}

impl Meters {
    fn with_series(own_series: usize) -> Self {
        Self { own_series, shared: Arc::new(ExperimentMeter::shared()) }
    }

    /// The meter of those without numbers of their own, and of those that wait for some.
    pub(super) fn shared(&self) -> &Arc<ExperimentMeter> {
        &self.shared
    }

    /// Sees to it that each experiment has the meter that it should have, after the one that it had
    /// or the shared one: who has numbers of its own keeps them, who comes first gets some next.
    pub(super) fn settle(&self, experiments: &mut [(&Experiment, &mut Arc<ExperimentMeter>)]) {
        let has_own = |experiment: &Experiment, meter: &ExperimentMeter| {
            is_counted(experiment.state) && meter.names().is_some()
        };
        let own = experiments.iter().filter(|(experiment, meter)| has_own(experiment, meter));
        let taken: usize = own.map(|(experiment, _)| Names::series_of(experiment)).sum();
        let mut free = self.own_series.saturating_sub(taken);
        for (experiment, meter) in experiments {
            let series = Names::series_of(experiment);
            if has_own(experiment, meter) {
                if !meter.names().is_some_and(|names| names.are_of(experiment)) {
                    **meter = Arc::new(meter.renamed(Names::of(experiment)));
                }
            } else if is_counted(experiment.state) && series <= free {
                free -= series;
                **meter = Arc::new(ExperimentMeter::own(Names::of(experiment)));
            } else {
                **meter = Arc::clone(&self.shared);
            }
        }
    }

    /// What was counted, by experiment in the order of their names; then those that share.
    pub(super) fn read<'a>(
        &self,
        experiments: impl Iterator<Item = (&'a ExperimentId, &'a Arc<ExperimentMeter>)>,
    ) -> Vec<ExperimentReading> {
        let own = experiments.filter(|(_, meter)| meter.names().is_some());
        let sorted: BTreeMap<_, _> = own.collect();
        let own = sorted.into_iter().map(|(id, meter)| meter.read(Some(id.to_string())));
        own.chain(std::iter::once(self.shared.read(None))).collect()
    }
}

/// Drafts and archived experiments assign nobody and take no outcomes.
fn is_counted(state: State) -> bool {
    match state {
        State::Running | State::Paused | State::Concluded => true,
        State::Draft | State::Archived => false,
    }
}

/// What this process has counted since it started, and how things are now.
#[derive(Debug, Clone, PartialEq)]
pub struct Readings {
    /// By experiment; the last one is all those without numbers of their own.
    pub experiments: Vec<ExperimentReading>,
    /// How many experiments the catalog has.
    pub catalog_experiments: usize,
    /// How long ago the store last confirmed the catalog; `None` before it did so once.
    pub catalog_age: Option<Duration>,
    /// Exposures that wait for the store.
    pub exposures_waiting: usize,
    /// Exposures that found the queue full, or that the store refused.
    pub exposures_dropped: u64,
}

/// What happened with one experiment. `None` stands for everything else together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExperimentReading {
    /// Its id.
    pub experiment: Option<String>,
    /// How often each variant was assigned.
    pub assignments: Vec<(Option<String>, u64)>,
    /// How many values of each metric were counted.
    pub values: Vec<(Option<String>, u64)>,
    /// Outcomes that count.
    pub counted: u64,
    /// Outcomes whose event id had been counted before.
    pub duplicates: u64,
    /// Outcomes of units outside the experiment.
    pub ignored: u64,
    /// Outcomes that were not accepted.
    pub refused: u64,
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::domain::draft::{Draft, MetricDraft, VariantDraft};
    use crate::domain::experiment::{ShardCount, Timestamp};
    use crate::domain::metric::{Direction, Kind, Role};
    use crate::service::outcomes::Receipt;

    /// An experiment with two variants and a metric: seven numbers.
    fn experiment(id: &str, state: State, metric: &str) -> Experiment {
        let variant = |id: &str, control| VariantDraft {
            variant_id: id.to_owned(),
            weight_basis_points: 5_000,
            control,
            ..VariantDraft::default()
        };
        let metric = MetricDraft {
            metric_id: metric.to_owned(),
            kind: Some(Kind::Binary),
            direction: Some(Direction::Increase),
            role: Some(Role::Primary),
            ..MetricDraft::default()
        };
        let draft = Draft {
            experiment_id: id.to_owned(),
            variants: vec![variant("a", true), variant("b", false)],
            metrics: vec![metric],
            ..Draft::default()
        };
        let mut made = Experiment::create(draft.parse().unwrap(), ShardCount::ONE, Timestamp(0));
        made.state = state;
        made
    }

    /// What a catalog keeps of `experiments`, after what it kept before.
    fn next(
        meters: &Meters,
        experiments: &[Experiment],
        before: &HashMap<ExperimentId, Arc<ExperimentMeter>>,
    ) -> HashMap<ExperimentId, Arc<ExperimentMeter>> {
        let kept = |e: &Experiment| Arc::clone(before.get(e.id()).unwrap_or(meters.shared()));
        let mut known: Vec<_> = experiments.iter().map(kept).collect();
        let mut pairs: Vec<_> = experiments.iter().zip(&mut known).collect();
        meters.settle(&mut pairs);
        let ids = experiments.iter().map(|experiment| experiment.id().clone());
        ids.zip(known).collect()
    }

    #[test]
    fn an_experiment_is_counted_by_variant_metric_and_receipt() {
        let meters = Meters::default();
        let kept = next(&meters, &[experiment("one", State::Running, "done")], &HashMap::new());
        let meter = kept.values().next().unwrap();
        meter.assigned(1);
        meter.assigned(1);
        let values = ["done".to_owned(), "unknown".to_owned()];
        let receipt = |counted, duplicate| Receipt { counted, duplicate, variant: None };
        for (counted, duplicate) in [(true, false), (true, true), (false, false), (true, false)] {
            meter.accepted(&receipt(counted, duplicate), values.iter());
        }
        meter.refused();
        let named = |id: &str, count| (Some(id.to_owned()), count);
        let one = ExperimentReading {
            experiment: Some("one".to_owned()),
            assignments: vec![named("a", 0), named("b", 2)],
            values: vec![named("done", 2)],
            counted: 2,
            duplicates: 1,
            ignored: 1,
            refused: 1,
        };
        let readings = meters.read(kept.iter());
        assert_eq!(readings[0], one);
        assert_eq!(readings[1].assignments, [(None, 0)]);

        // An edit keeps what kept its name.
        let edited = next(&meters, &[experiment("one", State::Paused, "other")], &kept);
        let values = vec![named("other", 0)];
        assert_eq!(meters.read(edited.iter())[0], ExperimentReading { values, ..one });
    }

    #[test]
    fn who_comes_when_all_numbers_are_taken_shares_until_somebody_goes() {
        // Each experiment needs seven: two variants, a metric, four receipts.
        let meters = Meters::with_series(15);
        let of = |id, state| experiment(id, state, "done");
        let count = |kept: &HashMap<_, Arc<ExperimentMeter>>| {
            for meter in kept.values() {
                meter.assigned(1);
            }
            let readings = meters.read(kept.iter());
            let sums = readings.into_iter().map(|reading| {
                (reading.experiment, reading.assignments.iter().map(|(_, count)| count).sum())
            });
            sums.collect::<Vec<(Option<String>, u64)>>()
        };
        let named = |id: &str, count| (Some(id.to_owned()), count);
        let (draft, b) = (of("a", State::Draft), of("b", State::Running));
        let (c, d) = (of("c", State::Running), of("d", State::Concluded));
        let kept = next(&meters, &[draft, b.clone(), c, d.clone()], &HashMap::new());
        assert_eq!(count(&kept), [named("b", 1), named("c", 1), (None, 2)]);

        // One that is archived has no numbers any more; who waited gets them from now on.
        let kept = next(&meters, &[b, of("c", State::Archived), d], &kept);
        assert_eq!(count(&kept), [named("b", 2), named("d", 1), (None, 3)]);
        // A deleted one neither.
        let kept = next(&meters, &[of("b", State::Running)], &kept);
        assert_eq!(count(&kept), [named("b", 3), (None, 3)]);
    }
}
