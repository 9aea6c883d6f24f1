//! What everybody has counted, under the names that people see.

use std::fmt;
use std::sync::Arc;

use crate::service::{ExperimentReading, Service};
use crate::sinks::{SinkCounts, SinkReading};
use crate::store::{Activity, Metered, OperationReading, Store as _};
use crate::telemetry::{Family, Sample, Samples};

const EXPERIMENT: &str = "feature_flag.key";
const VARIANT: &str = "feature_flag.result.variant";
const METRIC: &str = "tiebreak.metric";
const SINK: &str = "tiebreak.sink";

/// What stands for all experiments that have no numbers of their own.
const OTHER: &str = "(other)";

/// Everything that this process counts. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    service: Arc<Service>,
    store: Arc<Metered>,
    scores: SinkCounts,
    telemetry: Arc<dyn Fn() -> Vec<Family> + Send + Sync>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Of these, asked again for each scrape.
    #[must_use]
    pub fn new(
        service: Arc<Service>,
        store: Arc<Metered>,
        scores: SinkCounts,
        telemetry: impl Fn() -> Vec<Family> + Send + Sync + 'static,
    ) -> Self {
        Self { service, store, scores, telemetry: Arc::new(telemetry) }
    }

    /// All numbers as they are now.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let readings = self.service.readings();
        let mut families = (self.telemetry)();
        families.extend(experiments(&readings.experiments));
        families.extend([
            gauge(
                "tiebreak.catalog.experiments",
                "Experiments that this server knows.",
                "{experiment}",
                readings.catalog_experiments,
            ),
            Family {
                name: "tiebreak.catalog.age",
                help: "How long ago the store last confirmed the catalog.",
                unit: "s",
                samples: Samples::Gauges(
                    readings.catalog_age.iter().map(|a| Sample::of([], a.as_secs_f64())).collect(),
                ),
            },
            gauge(
                "tiebreak.exposures.waiting",
                "Exposures of Assign that wait for the store.",
                "{exposure}",
                readings.exposures_waiting,
            ),
            counter(
                "tiebreak.exposures.dropped",
                "Exposures that found the queue full or that the store refused.",
                "{exposure}",
                vec![Sample::of([], readings.exposures_dropped)],
            ),
        ]);
        families.extend(store(&self.store.readings(), self.store.activity()));
        families.extend(scores(&self.scores.read()));
        families
    }
}

fn gauge(name: &'static str, help: &'static str, unit: &'static str, value: usize) -> Family {
    let value = u32::try_from(value).map_or(f64::INFINITY, f64::from);
    Family { name, help, unit, samples: Samples::Gauges(vec![Sample::of([], value)]) }
}

fn counter(
    name: &'static str,
    help: &'static str,
    unit: &'static str,
    samples: Vec<Sample<u64>>,
) -> Family {
    Family { name, help, unit, samples: Samples::Counters(samples) }
}

fn scores(readings: &[SinkReading]) -> [Family; 2] {
    let (mut settled, mut pending) = (Vec::new(), Vec::new());
    for reading in readings {
        for (result, count) in [
            ("delivered", reading.delivered),
            ("dropped", reading.dropped),
            ("refused", reading.refused),
        ] {
            settled.push(Sample::of([(SINK, reading.sink), ("tiebreak.result", result)], count));
        }
        let count = u32::try_from(reading.pending()).map_or(f64::INFINITY, f64::from);
        pending.push(Sample::of([(SINK, reading.sink)], count));
    }
    [
        counter(
            "tiebreak.scores",
            "Scores for other programs, by what became of them.",
            "{score}",
            settled,
        ),
        Family {
            name: "tiebreak.scores.pending",
            help: "Scores that are queued or wait for another try.",
            unit: "{score}",
            samples: Samples::Gauges(pending),
        },
    ]
}

fn experiments(readings: &[ExperimentReading]) -> [Family; 3] {
    let (mut assignments, mut outcomes, mut receipts) = (Vec::new(), Vec::new(), Vec::new());
    for reading in readings {
        let named = |name: &Option<String>| name.clone().unwrap_or_else(|| OTHER.to_owned());
        let experiment = named(&reading.experiment);
        for (variant, count) in &reading.assignments {
            let of = [(EXPERIMENT, experiment.as_str()), (VARIANT, &named(variant))];
            assignments.push(Sample::of(of, *count));
        }
        for (metric, count) in &reading.values {
            outcomes
                .push(Sample::of([(EXPERIMENT, &experiment), (METRIC, &named(metric))], *count));
        }
        for (result, count) in [
            ("counted", reading.counted),
            ("duplicate", reading.duplicates),
            ("ignored", reading.ignored),
            ("refused", reading.refused),
        ] {
            let of = [(EXPERIMENT, experiment.as_str()), ("tiebreak.result", result)];
            receipts.push(Sample::of(of, count));
        }
    }
    [
        counter(
            "tiebreak.assignments",
            "Assignments by experiment and variant.",
            "{assignment}",
            assignments,
        ),
        counter(
            "tiebreak.outcomes",
            "Values of outcomes that count, by experiment and metric.",
            "{value}",
            outcomes,
        ),
        counter(
            "tiebreak.receipts",
            "Outcomes by experiment and what became of them.",
            "{outcome}",
            receipts,
        ),
    ]
}

fn store(operations: &[OperationReading], activity: Activity) -> [Family; 5] {
    let (mut durations, mut errors) = (Vec::new(), Vec::new());
    for OperationReading { operation, durations: histogram, errors: counts } in operations {
        let of = ("tiebreak.store.operation", *operation);
        if histogram.count() > 0 {
            durations.push(Sample::of([of], histogram.clone()));
        }
        for (kind, count) in counts.iter().filter(|(_, count)| *count > 0) {
            errors.push(Sample::of([of, ("error.type", kind)], *count));
        }
    }
    let waiting = usize::try_from(activity.waiting).unwrap_or(usize::MAX);
    [
        Family {
            name: "tiebreak.store.call.duration",
            help: "How long calls of the store took, by operation.",
            unit: "s",
            samples: Samples::Histograms(durations),
        },
        counter(
            "tiebreak.store.errors",
            "Calls of the store that failed, by operation and kind.",
            "{error}",
            errors,
        ),
        counter(
            "tiebreak.store.batches",
            "Batches of events written.",
            "{batch}",
            vec![Sample::of([], activity.batches)],
        ),
        counter(
            "tiebreak.store.batched_events",
            "Events in those batches.",
            "{event}",
            vec![Sample::of([], activity.batched_events)],
        ),
        gauge(
            "tiebreak.store.waiting",
            "What waits for a batch: events on Redis, requests in the embedded store.",
            "{request}",
            waiting,
        ),
    ]
}
