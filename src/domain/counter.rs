//! Where every number of an experiment is kept: rows of integers that only ever grow by addition.
//!
//! All state of an iteration is a set of [`Row`]s, each a vector of 64-bit integers. An outcome
//! becomes a short list of [`Increment`]s; a store adds them up and knows no more. Sums of
//! integers commute and associate, so the state is the same under any order of events, any split
//! into batches and any number of shards.
//!
//! | row | columns | holds |
//! |---|---|---|
//! | `e/{variant}` | group | exposed units |
//! | `o/{variant}` | 0, 1 | outcomes accepted; of these, served by another variant |
//! | `n/{variant}/{metric}` | group | outcomes with the metric |
//! | `s/{variant}/{metric}/{limb}` | group | one base-1e9 limb of the sum of values |
//! | `k/{variant}/{metric}` | limb | base-1e9 limbs of the sum of squares |
//! | `q/{variant}/{metric}/{page}` | bin of the page x block | counts of the quantile sketch |
//! | `c/{variant}/{covariate}` | group | units that brought the covariate |
//! | `x/{variant}/{limb}/{covariate}` | group | one limb of the covariate's sum |
//! | `m/{variant}/{metric}/{quantile}` | see [`Evidence`] | maxima: what all looks so far showed |
//! | `m/~split` | 0 | maximum: evidence against the split |
//! | `g/{dimension}/{value}/...` | as the row behind it | the same of the units of one value; in 64 groups |
//! | `m/~g/{dimension}/{value}/...` | as `m/...` | maxima: the same of the units of one value |
//!
//! Count and sum of a variant are sums over its groups and stand nowhere else. A limb grows by
//! less than 1e9 per outcome, so no counter overflows before 9.2e9 outcomes. Rows of maxima are no
//! counters: they grow by comparison, and live in shard 0.
//!
//! [`Evidence`]: crate::domain::evidence::Evidence

use std::fmt;

use crate::domain::bucket::Fingerprint;
use crate::domain::experiment::{Experiment, Incarnation, Iteration, Layout, ShardCount};
use crate::domain::id::{ExperimentId, MetricId, VariantId};
use crate::domain::segment::{self, Label};
use crate::stats::sketch::Bin;

/// Blocks of groups for which a sketch is kept apart, so that quantiles get a design effect.
pub const BLOCKS: u32 = 64;

/// Bins on one page of a sketch: a page spans a factor of 1.9, a real metric touches few.
pub const PAGE_BINS: u16 = 32;

/// Name of a row of counters; see the table above.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the table above says what each is")]
pub enum Row<'a> {
    Exposures { variant: &'a VariantId },
    Outcomes { variant: &'a VariantId },
    Counts { variant: &'a VariantId, metric: &'a MetricId },
    Sums { variant: &'a VariantId, metric: &'a MetricId, limb: i32 },
    Squares { variant: &'a VariantId, metric: &'a MetricId },
    Bins { variant: &'a VariantId, metric: &'a MetricId, page: u16 },
    CovariateCounts { variant: &'a VariantId, covariate: &'a str },
    CovariateSums { variant: &'a VariantId, covariate: &'a str, limb: i32 },
    Evidence { variant: &'a VariantId, metric: &'a MetricId, quantile: Option<f64> },
    SplitEvidence,
}

impl Row<'_> {
    /// What the names of rows of maxima start with.
    pub const MAXIMA: &'static str = "m/";
}

impl fmt::Display for Row<'_> {
    /// The name under which a store keeps the row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exposures { variant } => write!(f, "e/{variant}"),
            Self::Outcomes { variant } => write!(f, "o/{variant}"),
            Self::Counts { variant, metric } => write!(f, "n/{variant}/{metric}"),
            Self::Sums { variant, metric, limb } => write!(f, "s/{variant}/{metric}/{limb}"),
            Self::Squares { variant, metric } => write!(f, "k/{variant}/{metric}"),
            Self::Bins { variant, metric, page } => write!(f, "q/{variant}/{metric}/{page}"),
            Self::CovariateCounts { variant, covariate } => write!(f, "c/{variant}/{covariate}"),
            Self::CovariateSums { variant, covariate, limb } => {
                write!(f, "x/{variant}/{limb}/{covariate}")
            }
            Self::Evidence { variant, metric, quantile: Some(order) } => {
                write!(f, "m/{variant}/{metric}/{order}")
            }
            Self::Evidence { variant, metric, quantile: None } => {
                write!(f, "m/{variant}/{metric}/-")
            }
            Self::SplitEvidence => f.write_str("m/~split"),
        }
    }
}

/// How the columns of a row spread over the shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// A column per group: shard `s` keeps the groups that are `s` modulo the shards.
    Groups,
    /// A column per bin and block: shard `s` keeps the blocks that are `s` modulo the shards.
    Blocks,
    /// Every shard keeps a part of each column.
    Totals,
    /// Not a counter: the larger of two values, wherever they are kept.
    Maxima,
}

impl Spread {
    /// Of the row of that name; `None` for a name that no [`Row`] has.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let of_segment = name.strip_prefix(segment::ROWS);
        let name = of_segment.map_or(Some(name), |rest| rest.splitn(3, '/').nth(2))?;
        match name.as_bytes() {
            [b'e' | b'n' | b's' | b'c' | b'x', b'/', ..] => Some(Self::Groups),
            [b'q', b'/', ..] => Some(Self::Blocks),
            [b'o' | b'k', b'/', ..] => Some(Self::Totals),
            [b'm', b'/', ..] => Some(Self::Maxima),
            _ => None,
        }
    }
}

/// An addition to one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Increment {
    /// Name of the row.
    pub row: String,
    /// Column within the shard.
    pub column: u32,
    /// What is added; never 0, below 1e9 in magnitude.
    pub amount: i64,
}

/// What a store must know of a unit before it applies an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Nothing: the unit is in the experiment.
    Anyone,
    /// It applies only to a unit that was exposed before; otherwise nothing changes.
    ExposedOnly,
}

/// What one outcome or exposure does to the counters of its shard. Applied whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Makes the event count once within the deduplication window.
    pub dedup: Option<Fingerprint>,
    /// Whose event it is.
    pub unit: Fingerprint,
    /// What must be known of the unit.
    pub admission: Admission,
    /// What the unit is remembered with when it is new, and what it must have been remembered
    /// with otherwise. `None` where units have no labels.
    pub label: Option<Label>,
    /// Added in any case.
    pub increments: Vec<Increment>,
    /// Added when the unit was not exposed before.
    pub if_unit_is_new: Vec<Increment>,
}

/// Names one shard of one iteration's counters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardKey {
    /// The experiment.
    pub experiment: ExperimentId,
    /// Which one of that name: who still counts for a deleted one does not reach its successor.
    pub incarnation: Incarnation,
    /// Its iteration.
    pub iteration: u32,
    /// From 0.
    pub shard: u32,
}

impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { experiment, iteration, shard, .. } = self;
        write!(f, "experiment '{experiment}', iteration {iteration}, shard {shard}")
    }
}

impl ShardKey {
    /// One shard of an iteration.
    #[must_use]
    pub fn of(experiment: &Experiment, iteration: &Iteration, shard: u32) -> Self {
        Self {
            experiment: experiment.id().clone(),
            incarnation: experiment.incarnation(),
            iteration: iteration.number,
            shard,
        }
    }

    /// All shards of all iterations.
    pub fn all_of(experiment: &Experiment) -> impl Iterator<Item = Self> {
        experiment.iterations.iter().flat_map(|iteration| Self::all(experiment, iteration))
    }

    /// All shards of an iteration.
    pub fn all(experiment: &Experiment, iteration: &Iteration) -> impl Iterator<Item = Self> {
        (0..iteration.layout.shards.get()).map(|shard| Self::of(experiment, iteration, shard))
    }
}

impl Layout {
    /// The shard of a group.
    #[must_use]
    pub fn shard(self, group: u32) -> u32 {
        group & (self.shards.get() - 1)
    }

    /// Where a group's counter stands within its shard.
    #[must_use]
    pub fn column(self, group: u32) -> u32 {
        group / self.shards.get()
    }

    /// The group that a shard keeps in a column; inverse of [`Self::shard`] and [`Self::column`].
    #[must_use]
    pub fn group(self, shard: u32, column: u32) -> u32 {
        column * self.shards.get() + shard
    }

    /// Page and column of a bin for a group within the group's shard. The block of a group is its
    /// number modulo [`BLOCKS`], a multiple of the shards, so a block lies in one shard.
    #[must_use]
    pub fn bin_place(self, bin: Bin, group: u32) -> (u16, u32) {
        let block = (group % BLOCKS) / self.shards.get();
        let slot = u32::from(bin.index() % PAGE_BINS);
        (bin.index() / PAGE_BINS, slot * blocks_per_shard(self.shards) + block)
    }

    /// Bin slot on the page and block that a shard keeps in a column of a sketch's page.
    #[must_use]
    pub fn bin_of(self, shard: u32, column: u32) -> (u32, u32) {
        let per_shard = blocks_per_shard(self.shards);
        (column / per_shard, (column % per_shard) * self.shards.get() + shard)
    }
}

fn blocks_per_shard(shards: ShardCount) -> u32 {
    BLOCKS / shards.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bucket::GroupCount;
    use crate::domain::segment::Segment;

    #[test]
    fn a_group_and_a_bin_are_found_again_under_every_layout() {
        for shards in [1, 2, 8, 64] {
            let layout = Layout {
                groups: GroupCount::DEFAULT,
                shards: ShardCount::try_from(shards).unwrap(),
            };
            for group in 0..layout.groups.get() {
                let shard = layout.shard(group);
                assert_eq!(layout.group(shard, layout.column(group)), group);
                assert!(layout.column(group) < layout.groups.get() / shards, "rows stay dense");
                let bin = Bin::of(f64::from(group) + 0.5);
                let (page, column) = layout.bin_place(bin, group);
                let (slot, block) = layout.bin_of(shard, column);
                assert_eq!(u32::from(page) * u32::from(PAGE_BINS) + slot, u32::from(bin.index()));
                assert_eq!(block, group % BLOCKS);
            }
        }
    }

    #[test]
    fn every_row_name_tells_how_it_spreads() {
        let variant = VariantId::parse("v").unwrap();
        let metric = MetricId::parse("m").unwrap();
        let (variant, metric, covariate) = (&variant, &metric, "a/b");
        let rows = [
            (Row::Exposures { variant }, "e/v", Spread::Groups),
            (Row::Outcomes { variant }, "o/v", Spread::Totals),
            (Row::Counts { variant, metric }, "n/v/m", Spread::Groups),
            (Row::Sums { variant, metric, limb: -1 }, "s/v/m/-1", Spread::Groups),
            (Row::Squares { variant, metric }, "k/v/m", Spread::Totals),
            (Row::Bins { variant, metric, page: 3 }, "q/v/m/3", Spread::Blocks),
            (Row::CovariateCounts { variant, covariate }, "c/v/a/b", Spread::Groups),
            (Row::CovariateSums { variant, covariate, limb: 0 }, "x/v/0/a/b", Spread::Groups),
            (Row::Evidence { variant, metric, quantile: None }, "m/v/m/-", Spread::Maxima),
            (Row::Evidence { variant, metric, quantile: Some(0.95) }, "m/v/m/0.95", Spread::Maxima),
            (Row::SplitEvidence, "m/~split", Spread::Maxima),
        ];
        let of_segment = Segment::rows("a/b", "%");
        for (row, name, spread) in rows {
            assert_eq!(row.to_string(), name);
            assert_eq!(Spread::of_name(name), Some(spread));
            assert_eq!(Spread::of_name(&format!("{of_segment}{row}")), Some(spread));
        }
        for unknown in ["z/v", "g/d", "g/d/v", "g/d/v/z/v"] {
            assert_eq!(Spread::of_name(unknown), None);
        }
    }
}
