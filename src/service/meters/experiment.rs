//! The numbers of one experiment, or of all those that share theirs.

use crate::domain::experiment::Experiment;
use crate::domain::id::{MetricId, VariantId};
use crate::meter::Counts;
use crate::service::meters::ExperimentReading;
use crate::service::outcomes::Receipt;

/// What became of an outcome.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Counted,
    Duplicate,
    Ignored,
    Refused,
}

impl Fate {
    const ALL: [Self; 4] = [Self::Counted, Self::Duplicate, Self::Ignored, Self::Refused];

    fn of(receipt: &Receipt) -> Self {
        match receipt {
            Receipt { counted: false, .. } => Self::Ignored,
            Receipt { duplicate: true, .. } => Self::Duplicate,
            Receipt { .. } => Self::Counted,
        }
    }
}

/// What happened with one experiment, or with all those that share their numbers.
#[derive(Debug)]
pub(in crate::service) struct ExperimentMeter {
    /// `None` for the shared one.
    names: Option<Names>,
    /// Assignments by variant, values by metric, outcomes by what became of them.
    counts: Counts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    variants: Vec<VariantId>,
    metrics: Vec<MetricId>,
}

impl Names {
    pub(super) fn of(experiment: &Experiment) -> Self {
        let definition = &experiment.definition;
        Self {
            variants: definition.variants.iter().map(|variant| variant.id.clone()).collect(),
            metrics: definition.metrics.iter().map(|metric| metric.id.clone()).collect(),
        }
    }

    /// Whether [`Self::of`] would be the same.
    pub(super) fn are_of(&self, experiment: &Experiment) -> bool {
        let definition = &experiment.definition;
        self.variants.iter().eq(definition.variants.iter().map(|variant| &variant.id))
            && self.metrics.iter().eq(definition.metrics.iter().map(|metric| &metric.id))
    }

    pub(super) fn series_of(experiment: &Experiment) -> usize {
        let definition = &experiment.definition;
        definition.variants.len() + definition.metrics.len() + Fate::ALL.len()
    }

    fn series(&self) -> usize {
        self.variants.len() + self.metrics.len() + Fate::ALL.len()
    }
}

impl ExperimentMeter {
    pub(super) fn own(names: Names) -> Self {
        Self { counts: Counts::new(names.series()), names: Some(names) }
    }

    pub(super) fn shared() -> Self {
        Self { names: None, counts: Counts::new(2 + Fate::ALL.len()) }
    }

    /// What the numbers are of; `None` for the shared ones.
    pub(super) fn names(&self) -> Option<&Names> {
        self.names.as_ref()
    }

    /// How many counts of variants stand first.
    fn variants(&self) -> usize {
        self.names.as_ref().map_or(1, |names| names.variants.len())
    }

    /// How many counts of metrics follow.
    fn metrics(&self) -> usize {
        self.names.as_ref().map_or(1, |names| names.metrics.len())
    }

    /// Counts an assignment to a variant of the definition.
    pub(in crate::service) fn assigned(&self, variant: usize) {
        self.counts.add(if self.names.is_some() { variant } else { 0 }, 1);
    }

    /// Counts an accepted outcome, and its values if they count now.
    pub(in crate::service) fn accepted<'a>(
        &self,
        receipt: &Receipt,
        values: impl Iterator<Item = &'a String>,
    ) {
        let fate = Fate::of(receipt);
        self.counts.add(self.fate(fate), 1);
        if matches!(fate, Fate::Counted) {
            let places = values.filter_map(|metric| self.metric(metric));
            places.for_each(|place| self.counts.add(place, 1));
        }
    }

    /// Counts an outcome that was refused.
    pub(in crate::service) fn refused(&self) {
        self.counts.add(self.fate(Fate::Refused), 1);
    }

    fn fate(&self, fate: Fate) -> usize {
        self.variants() + self.metrics() + fate as usize
    }

    fn metric(&self, id: &str) -> Option<usize> {
        let place = match &self.names {
            Some(names) => names.metrics.iter().position(|metric| metric.as_str() == id)?,
            None => 0,
        };
        Some(self.variants() + place)
    }

    fn variant(&self, id: &VariantId) -> Option<usize> {
        self.names.as_ref()?.variants.iter().position(|variant| variant == id)
    }

    /// The same numbers under other names: what an edit of the experiment kept goes on from where
    /// it was. What is counted at this very moment under the old names may be lost.
    pub(super) fn renamed(&self, names: Names) -> Self {
        let variants = names.variants.clone();
        let metrics = names.metrics.clone();
        let next = Self::own(names);
        let carry = |from: Option<usize>, to: Option<usize>| {
            if let (Some(from), Some(to)) = (from, to) {
                next.counts.add(to, self.counts.get(from));
            }
        };
        for id in &variants {
            carry(self.variant(id), next.variant(id));
        }
        for id in metrics.iter().map(MetricId::as_str) {
            carry(self.metric(id), next.metric(id));
        }
        for fate in Fate::ALL {
            carry(Some(self.fate(fate)), Some(next.fate(fate)));
        }
        next
    }

    pub(super) fn read(&self, experiment: Option<String>) -> ExperimentReading {
        let (variants, metrics) = match &self.names {
            Some(names) => (texts(&names.variants), texts(&names.metrics)),
            None => (vec![None], vec![None]),
        };
        let counts = self.counts.all();
        let (assignments, rest) = counts.split_at(self.variants());
        ExperimentReading {
            experiment,
            assignments: variants.into_iter().zip(assignments.iter().copied()).collect(),
            values: metrics.into_iter().zip(rest.iter().copied()).collect(),
            counted: self.counts.get(self.fate(Fate::Counted)),
            duplicates: self.counts.get(self.fate(Fate::Duplicate)),
            ignored: self.counts.get(self.fate(Fate::Ignored)),
            refused: self.counts.get(self.fate(Fate::Refused)),
        }
    }
}

fn texts<T: ToString>(ids: &[T]) -> Vec<Option<String>> {
    ids.iter().map(|id| Some(id.to_string())).collect()
}
