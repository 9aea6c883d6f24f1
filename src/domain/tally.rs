//! The counters of an iteration, read back: shards added up and turned into what `stats` takes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Bound;
use std::str::FromStr;

use crate::domain::counter::{BLOCKS, PAGE_BINS, Row, Spread};
use crate::domain::evidence::Evidence;
use crate::domain::experiment::{Layout, ShardCount};
use crate::domain::id::{MetricId, VariantId};
use crate::stats::decimal::{
    LOWEST_SUM_LIMB, SQUARE_LIMBS, SUM_LIMBS, square_sum_to_dd, sum_to_dd,
};
use crate::stats::moments::Moments;
use crate::stats::rows::Sums;

/// Why stored counters make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorruptTally {
    /// A name that no row has.
    #[error("unknown counter row {0:?}")]
    UnknownRow(String),
    /// The shards of a counter do not add up in 64 bits.
    #[error("counter row {0:?} overflows")]
    Overflow(String),
    /// More columns than the layout has.
    #[error("counter row {0:?} has too many columns")]
    TooLong(String),
}

/// All counters of one iteration, shards added up, and the evidence of earlier looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    layout: Layout,
    rows: BTreeMap<String, Vec<i64>>,
    maxima: BTreeMap<String, Vec<i64>>,
}

impl Tally {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self { layout, rows: BTreeMap::new(), maxima: BTreeMap::new() }
    }

    /// Adds the rows of one shard. Takes them, because a large experiment has tens of megabytes of
    /// them: where there is one shard, they are kept as they come.
    ///
    /// # Errors
    /// [`CorruptTally`] when they cannot come from events of this layout.
    pub fn absorb(
        &mut self,
        shard: u32,
        mut rows: BTreeMap<String, Vec<i64>>,
    ) -> Result<(), CorruptTally> {
        // Rows of maxima stand between the others.
        let mut maxima = rows.split_off(MAXIMA);
        let mut behind = maxima.split_off(BEHIND_MAXIMA);
        for (name, columns) in maxima {
            self.raise(name, &columns);
        }
        rows.append(&mut behind);
        if self.layout.shards == ShardCount::ONE && self.rows.is_empty() {
            for (name, row) in &mut rows {
                let width = self.width(name)?;
                trim(row);
                if row.len() > width {
                    return Err(CorruptTally::TooLong(name.clone()));
                }
            }
            self.rows = rows;
            return Ok(());
        }
        rows.into_iter().try_for_each(|(name, columns)| self.add(shard, name, columns))
    }

    fn add(&mut self, shard: u32, name: String, mut columns: Vec<i64>) -> Result<(), CorruptTally> {
        let width = self.width(&name)?;
        trim(&mut columns);
        // Column `c` of shard `s` out of `n` stands for number `c n + s`, group or bin and block.
        let (first, step) = match Spread::of_name(&name) {
            Some(Spread::Groups | Spread::Blocks) => {
                (index(shard), index(self.layout.shards.get()))
            }
            Some(Spread::Totals | Spread::Maxima) | None => (0, 1),
        };
        if columns.len().checked_sub(1).is_some_and(|last| last * step + first >= width) {
            return Err(CorruptTally::TooLong(name));
        }
        let row = self.rows.entry(name.clone()).or_insert_with(|| Vec::with_capacity(width));
        row.resize(width, 0);
        for (counter, amount) in row.iter_mut().skip(first).step_by(step).zip(columns) {
            let sum = counter.checked_add(amount);
            *counter = sum.ok_or_else(|| CorruptTally::Overflow(name.clone()))?;
        }
        trim(row);
        Ok(())
    }

    fn width(&self, name: &str) -> Result<usize, CorruptTally> {
        match Spread::of_name(name) {
            Some(Spread::Groups) => Ok(index(self.layout.groups.get())),
            Some(Spread::Blocks) => Ok(usize::from(PAGE_BINS) * index(BLOCKS)),
            Some(Spread::Totals | Spread::Maxima) => Ok(SQUARE_LIMBS),
            None => Err(CorruptTally::UnknownRow(name.to_owned())),
        }
    }

    fn raise(&mut self, name: String, columns: &[i64]) {
        let row = self.maxima.entry(name).or_default();
        row.resize(row.len().max(columns.len()), 0);
        for (largest, value) in row.iter_mut().zip(columns) {
            *largest = (*largest).max(*value);
        }
    }

    /// The same counters in fewer groups, sketches only of the metrics that keep theirs; without
    /// evidence, which is of the whole.
    pub(in crate::domain) fn folded(
        &self,
        layout: Layout,
        sketched: impl Fn(&str) -> bool,
    ) -> Self {
        let groups = index(layout.groups.get());
        let fold = |row: &Vec<i64>| {
            let mut folded = vec![0_i64; groups.min(row.len())];
            for part in row.chunks(groups) {
                // A sum of the whole fits 64 bits, and so does every part of it.
                for (sum, count) in folded.iter_mut().zip(part) {
                    *sum = sum.saturating_add(*count);
                }
            }
            folded
        };
        let rows = self.rows.iter().filter_map(|(name, row)| match Spread::of_name(name)? {
            Spread::Groups => Some((name.clone(), fold(row))),
            Spread::Totals => Some((name.clone(), row.clone())),
            Spread::Blocks => {
                let metric = name.split('/').nth(2)?;
                sketched(metric).then(|| (name.clone(), row.clone()))
            }
            Spread::Maxima => None,
        });
        Self { layout, rows: rows.collect(), maxima: BTreeMap::new() }
    }

    /// Takes a part away; rows of which nothing is left are gone.
    ///
    /// # Errors
    /// [`CorruptTally`] when the part has what this has not.
    pub(in crate::domain) fn subtract(&mut self, part: &Self) -> Result<(), CorruptTally> {
        for (name, columns) in &part.rows {
            let overflow = || CorruptTally::Overflow(name.clone());
            let row = self.rows.get_mut(name).ok_or_else(overflow)?;
            row.resize(row.len().max(columns.len()), 0);
            for (counter, amount) in row.iter_mut().zip(columns) {
                *counter = counter.checked_sub(*amount).ok_or_else(overflow)?;
            }
            trim(row);
        }
        self.rows.retain(|_, row| !row.is_empty());
        Ok(())
    }

    /// The same with the evidence that stands under another beginning in `whole`.
    pub(in crate::domain) fn with_evidence(mut self, whole: &Self, beginning: &str) -> Self {
        let known = whole.maxima.range::<str, _>((Bound::Included(beginning), Bound::Unbounded));
        let known = known.map_while(|(name, row)| Some((name.strip_prefix(beginning)?, row)));
        self.maxima = known.map(|(rest, row)| (format!("{MAXIMA}{rest}"), row.clone())).collect();
        self
    }

    /// The counters alone, without zeros at their ends: equal exactly when the same events went in,
    /// whatever their order, their batches and the number of shards.
    #[must_use]
    pub fn counters(&self) -> &BTreeMap<String, Vec<i64>> {
        &self.rows
    }

    /// Tells this tally from another one of the same layout, but for a chance of 2^-64. Only for
    /// comparisons within a process.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.rows, &self.maxima).hash(&mut hasher);
        hasher.finish()
    }

    /// A row of maxima.
    #[must_use]
    pub fn maxima(&self, row: &Row<'_>) -> &[i64] {
        self.maxima.get(&row.to_string()).map_or(&[], Vec::as_slice)
    }

    /// What earlier looks at a comparison showed.
    #[must_use]
    pub fn evidence(&self, row: &Row<'_>) -> Evidence {
        Evidence::from_columns(self.maxima(row))
    }

    fn row(&self, row: Row<'_>) -> &[i64] {
        self.rows.get(&row.to_string()).map_or(&[], Vec::as_slice)
    }

    /// Distinct units exposed to a variant.
    #[must_use]
    pub fn units(&self, variant: &VariantId) -> i64 {
        self.exposures(variant).iter().sum()
    }

    /// Distinct units exposed to a variant, by group; empty when there are none.
    #[must_use]
    pub fn exposures(&self, variant: &VariantId) -> &[i64] {
        self.row(Row::Exposures { variant })
    }

    /// Outcomes accepted for a variant, and those of them that another variant served.
    #[must_use]
    pub fn outcomes(&self, variant: &VariantId) -> (i64, i64) {
        let row = self.row(Row::Outcomes { variant });
        (column(row, 0), column(row, 1))
    }

    /// Counts and sums of a metric by group, all groups in order.
    #[must_use]
    pub fn groups(&self, variant: &VariantId, metric: &MetricId) -> Groups<'_> {
        let mut limbs = [&[][..]; SUM_LIMBS];
        // Values of everyday size touch two of the limbs: those that are there are looked for.
        let any = Row::Sums { variant, metric, limb: 0 };
        for (limb, row) in self.numbered::<i32>(&any.to_string()) {
            let place = usize::try_from(limb - LOWEST_SUM_LIMB).ok();
            if let Some(place) = place.and_then(|place| limbs.get_mut(place)) {
                *place = row;
            }
        }
        self.of_groups(Row::Counts { variant, metric }, limbs)
    }

    /// Number of units with a covariate and its sum by group, all groups in order.
    #[must_use]
    pub fn covariates(&self, variant: &VariantId, covariate: &str) -> Groups<'_> {
        let mut limbs = [&[][..]; SUM_LIMBS];
        for (place, limb) in limbs.iter_mut().zip(LOWEST_SUM_LIMB..) {
            *place = self.row(Row::CovariateSums { variant, covariate, limb });
        }
        self.of_groups(Row::CovariateCounts { variant, covariate }, limbs)
    }

    fn of_groups<'a>(&'a self, counts: Row<'_>, limbs: [&'a [i64]; SUM_LIMBS]) -> Groups<'a> {
        Groups { number: index(self.layout.groups.get()), counts: self.row(counts), limbs }
    }

    /// The rows whose names differ from this one in the number at their end.
    fn numbered<'a, N: FromStr>(&'a self, one: &str) -> impl Iterator<Item = (N, &'a [i64])> {
        let prefix = one.trim_end_matches(|last| last != '/').to_owned();
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let rows = self.rows.range::<str, _>(from);
        rows.map_while(move |(name, row)| Some((name.strip_prefix(&prefix)?.parse().ok(), row)))
            .filter_map(|(number, row)| Some((number?, row.as_slice())))
    }

    /// Count, sum and sum of squares over all outcomes of a variant with the metric, whose groups
    /// are given.
    #[must_use]
    pub fn moments(&self, variant: &VariantId, metric: &MetricId, groups: &Groups<'_>) -> Moments {
        let mut squares = [0; SQUARE_LIMBS];
        for (limb, stored) in squares.iter_mut().zip(self.row(Row::Squares { variant, metric })) {
            *limb = *stored;
        }
        Moments {
            count: u64::try_from(groups.counts.iter().sum::<i64>()).unwrap_or_default(),
            sum: sum_to_dd(&groups.limbs.map(|row| row.iter().sum())),
            sum_of_squares: square_sum_to_dd(&squares),
        }
    }

    /// Counts of the sketch of a metric: by bin, ascending, a count per block; blocks at the end of
    /// a page that nobody touched are not there.
    #[must_use]
    pub fn bins(&self, variant: &VariantId, metric: &MetricId) -> Vec<(u16, &[i64])> {
        // A real metric touches few of the pages, so those that are there are looked for.
        let first = Row::Bins { variant, metric, page: 0 }.to_string();
        let mut pages: Vec<(u16, &[i64])> = self.numbered(&first).collect();
        pages.sort_unstable_by_key(|(page, _)| *page);
        let mut bins = Vec::with_capacity(pages.len() * usize::from(PAGE_BINS));
        for (page, row) in pages {
            let slots = (page.saturating_mul(PAGE_BINS)..).zip(row.chunks(index(BLOCKS)));
            bins.extend(slots);
        }
        bins
    }
}

/// The counters of the groups of units of an arm, as they are kept.
#[derive(Debug, Clone, Copy)]
pub struct Groups<'a> {
    number: usize,
    counts: &'a [i64],
    limbs: [&'a [i64]; SUM_LIMBS],
}

impl<'a> Groups<'a> {
    /// How many of each group, in order; those left out at the end are zero.
    #[must_use]
    pub fn counts(&self) -> &'a [i64] {
        self.counts
    }

    /// Sum of the values of each group.
    #[must_use]
    pub fn sums(&self) -> Sums<'a> {
        match self.limbs {
            [[], [], [], [], whole, []] => {
                Sums::Whole { values: Cow::Borrowed(whole), per_unit: 1 }
            }
            [[], [], [], billionths, whole, []] => {
                let value = |group| {
                    let whole = column(whole, group).checked_mul(PER_UNIT);
                    whole.and_then(|whole| whole.checked_add(column(billionths, group)))
                };
                let groups = 0..whole.len().max(billionths.len());
                let values: Option<Vec<i64>> = groups.map(value).collect();
                values.map_or_else(
                    || self.wide(),
                    |values| Sums::Whole { values: Cow::Owned(values), per_unit: PER_UNIT },
                )
            }
            _ => self.wide(),
        }
    }

    fn wide(&self) -> Sums<'a> {
        let sum = |group| sum_to_dd(&self.limbs.map(|row| column(row, group)));
        Sums::Wide((0..self.number).map(sum).collect())
    }
}

/// Of the second limb in the first.
const PER_UNIT: i64 = 1_000_000_000;

/// Where the names of rows of maxima begin, and where they end: `/` is followed by `0`.
const MAXIMA: &str = Row::MAXIMA;
const BEHIND_MAXIMA: &str = "m0";

/// Zeros at the end of a row say nothing, and how many there are depends on the shards.
fn trim(row: &mut Vec<i64>) {
    row.truncate(row.iter().rposition(|count| *count != 0).map_or(0, |last| last + 1));
}

fn column(row: &[i64], at: usize) -> i64 {
    row.get(at).copied().unwrap_or_default()
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
