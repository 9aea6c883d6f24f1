//! An experiment: what was written down, where it is in its life, and who gets what.
//!
//! A [`Definition`] is what people write; [`crate::domain::draft`] is the only way to one, so it
//! is valid. An [`Experiment`] adds what the service decides: state, iterations, revision. An
//! [`Iteration`] is a design that stays fixed while outcomes accumulate: a change of the split
//! opens the next one, so that a changed split can never bias a comparison.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::bucket::{GroupCount, Salt};
use crate::domain::eligibility::Eligibility;
use crate::domain::id::{ExperimentId, LayerId, MetricId, VariantId};
use crate::domain::metric::{Metric, Role};
use crate::domain::split::{BucketRange, Split};
use crate::domain::value::Value;

/// Nanoseconds since the Unix epoch. A value, never read from a clock here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

/// Number of the record's version; the etag of the contract. It starts at the time of creation in
/// nanoseconds and grows by 1, so that an experiment that is deleted and created again never comes
/// to a revision that its predecessor had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Revision(pub u64);

/// Tells experiments of one name apart: one that is deleted and created again is another one.
///
/// It is the time of creation in nanoseconds, so it stands in the record already, comes back from
/// an export, and is the same in every store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(pub u64);

/// Where an experiment is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Being edited.
    Draft,
    /// Assigning and collecting.
    Running,
    /// Everyone receives control; outcomes of units exposed before still count.
    Paused,
    /// Results frozen; the winner, if any, is served to everyone.
    Concluded,
    /// Read-only history.
    Archived,
}

/// One arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// Its name.
    pub id: VariantId,
    /// Share of enrolled units in basis points.
    pub weight: u16,
    /// Whether it is the baseline.
    pub control: bool,
    /// What the application should use; the id as a text when there is none.
    pub value: Option<Value>,
    /// For people.
    pub description: String,
}

/// Who decides the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// `md5("{salt}:{unit}") % 10000` against the split.
    Md5Mod10000,
    /// Somebody else: every outcome names its variant.
    External,
}

/// How units map to buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucketing {
    /// Who decides.
    pub algorithm: Algorithm,
    /// What stands before the unit in the hashed text.
    pub salt: Salt,
    /// What a unit is, for people.
    pub unit_kind: String,
}

/// A share of a layer of mutually exclusive experiments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerSlot {
    /// Which layer.
    pub layer: LayerId,
    /// Its buckets that belong to this experiment.
    pub buckets: BucketRange,
}

/// The test behind `significant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// Welch's t-test, valid for one look.
    FixedHorizon,
    /// Valid at any time of looking.
    Sequential,
}

/// How several comparisons are accounted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Correction {
    /// Not at all.
    None,
    /// Bonferroni.
    Bonferroni,
    /// Holm (1979).
    Holm,
    /// Benjamini and Hochberg (1995).
    BenjaminiHochberg,
}

/// How the data will be judged, fixed before the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisPlan {
    /// The test behind `significant`.
    pub method: Method,
    /// Two-sided significance level, in (0, 0.5].
    pub alpha: f64,
    /// Planned power, in [0.5, 1).
    pub power: f64,
    /// Smallest absolute effect on the primary metric worth detecting.
    pub min_detectable_effect: Option<f64>,
    /// Units that the plan asks for in all.
    pub planned_units: Option<u64>,
    /// How many outcomes a unit is planned to bring, at least 1.
    pub planned_outcomes_per_unit: f64,
    /// For several comparisons.
    pub correction: Correction,
    /// p-value below which the split is declared broken.
    pub srm_alpha: f64,
    /// Number of groups of units behind all standard errors.
    pub groups: GroupCount,
}

/// What people write down about an experiment. Valid by construction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name.
    pub id: ExperimentId,
    /// For people.
    pub display_name: String,
    /// Hypothesis and context.
    pub description: String,
    /// Accountable person or team.
    pub owner: String,
    /// Usable as filters.
    pub labels: BTreeMap<String, String>,
    /// 2 to 32, exactly one control, weights sum to 10,000.
    pub variants: Vec<Variant>,
    /// How units map to buckets.
    pub bucketing: Bucketing,
    /// Share of eligible units enrolled at all, in basis points.
    pub enrolment: u16,
    /// Who may take part; everybody without a rule.
    pub eligibility: Option<Eligibility>,
    /// Mutual exclusion.
    pub layer: Option<LayerSlot>,
    /// Forced variants by unit id, never part of the statistics.
    pub overrides: BTreeMap<String, VariantId>,
    /// 1 to 64, exactly one primary.
    pub metrics: Vec<Metric>,
    /// How the data will be judged.
    pub analysis: AnalysisPlan,
    /// Attributes by which results can be broken down.
    pub dimensions: Vec<String>,
    /// Where its traces go; the server's default when empty.
    pub telemetry_project: String,
    /// A running experiment pauses at this time.
    pub planned_end: Option<Timestamp>,
}

impl Definition {
    /// Index of the control among the variants.
    #[must_use]
    pub fn control(&self) -> usize {
        self.variants.iter().position(|variant| variant.control).unwrap_or_default()
    }

    /// The weights in the order of the variants.
    #[must_use]
    pub fn weights(&self) -> Vec<u16> {
        self.variants.iter().map(|variant| variant.weight).collect()
    }

    /// Index of the variant of that name.
    #[must_use]
    pub fn variant_index(&self, id: &VariantId) -> Option<usize> {
        self.variants.iter().position(|variant| variant.id == *id)
    }

    /// The metric of that name.
    #[must_use]
    pub fn metric(&self, id: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.id.as_str() == id)
    }

    /// The metrics, primary first, then in the order declared.
    pub fn metrics_primary_first(&self) -> impl Iterator<Item = &Metric> {
        let is_primary = |metric: &&Metric| metric.role == Role::Primary;
        let primary = self.metrics.iter().filter(is_primary);
        primary.chain(self.metrics.iter().filter(move |metric| !is_primary(metric)))
    }

    /// The ids of the metrics, for an error that lists them.
    #[must_use]
    pub fn metric_ids(&self) -> Vec<&MetricId> {
        self.metrics.iter().map(|metric| &metric.id).collect()
    }
}

/// A design that is fixed while outcomes accumulate under its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Iteration {
    /// From 1.
    pub number: u32,
    /// The arms in the order of the definition.
    pub variants: Vec<VariantId>,
    /// Their buckets.
    pub split: Split,
    /// How units map to buckets.
    pub bucketing: Bucketing,
    /// Share of eligible units enrolled, in basis points.
    pub enrolment: u16,
    /// Who may take part.
    pub eligibility: Option<Eligibility>,
    /// Mutual exclusion.
    pub layer: Option<LayerSlot>,
    /// How the counters are laid out.
    pub layout: Layout,
    /// When it was opened.
    pub opened: Timestamp,
}

impl Iteration {
    /// Index of the variant of that name.
    #[must_use]
    pub fn variant_index(&self, id: &str) -> Option<usize> {
        self.variants.iter().position(|variant| variant.as_str() == id)
    }

    /// Name of the control.
    #[must_use]
    pub fn control(&self) -> Option<&VariantId> {
        self.variants.get(self.split.control())
    }
}

/// How the counters of an iteration are spread: fixed when it opens, because a counter's place
/// follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Groups of units.
    pub groups: GroupCount,
    /// Shards.
    pub shards: ShardCount,
}

/// Into how many independent parts the counters of an iteration are spread: a power of two up
/// to 64 (the number of sketch blocks, so that a block never spans shards).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ShardCount(u32);

/// Why a number is not a shard count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a power of two from 1 to 64")]
pub struct InvalidShardCount;

impl ShardCount {
    /// Everything in one place.
    pub const ONE: Self = Self(1);

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for ShardCount {
    type Error = InvalidShardCount;

    fn try_from(count: u32) -> Result<Self, InvalidShardCount> {
        let valid = count.is_power_of_two() && count <= 64;
        if valid { Ok(Self(count)) } else { Err(InvalidShardCount) }
    }
}

impl From<ShardCount> for u32 {
    fn from(count: ShardCount) -> Self {
        count.0
    }
}

/// An experiment as the service keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// What people wrote down.
    pub definition: Definition,
    /// Where it is in its life.
    pub state: State,
    /// Oldest first; the last one is current. Never empty.
    pub iterations: Vec<Iteration>,
    /// Served to everyone once concluded.
    pub winner: Option<VariantId>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// When it was first started.
    pub started: Option<Timestamp>,
    /// When it was concluded.
    pub concluded: Option<Timestamp>,
    /// Version of this record.
    pub revision: Revision,
}

impl Experiment {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &ExperimentId {
        &self.definition.id
    }

    /// Which one of its name.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        Incarnation(self.created.0.cast_unsigned())
    }

    /// The current iteration; `None` only for a record that no code here writes.
    #[must_use]
    pub fn current(&self) -> Option<&Iteration> {
        self.iterations.last()
    }

    /// The iteration of that number; 0 means the current one.
    #[must_use]
    pub fn iteration(&self, number: u32) -> Option<&Iteration> {
        if number == 0 {
            return self.current();
        }
        self.iterations.iter().find(|iteration| iteration.number == number)
    }

    /// The variant of that name.
    #[must_use]
    pub fn variant(&self, id: &str) -> Option<&Variant> {
        self.definition.variants.iter().find(|variant| variant.id.as_str() == id)
    }
}
