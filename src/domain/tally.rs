//! The counters of an iteration, read back: shards added up and turned into what `stats` takes.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::domain::counter::{BLOCKS, PAGE_BINS, Row, Spread};
use crate::domain::evidence::Evidence;
use crate::domain::experiment::Layout;
use crate::domain::id::{MetricId, VariantId};
use crate::stats::dd::Dd;
use crate::stats::decimal::{
    LOWEST_SUM_LIMB, SQUARE_LIMBS, SUM_LIMBS, square_sum_to_dd, sum_to_dd,
};
use crate::stats::moments::Moments;

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

    /// Adds the rows of one shard.
    ///
    /// # Errors
    /// [`CorruptTally`] when they cannot come from events of this layout.
    pub fn absorb<'a>(
        &mut self,
        shard: u32,
        rows: impl IntoIterator<Item = (&'a String, &'a Vec<i64>)>,
    ) -> Result<(), CorruptTally> {
        for (name, columns) in rows {
            let spread =
                Spread::of_name(name).ok_or_else(|| CorruptTally::UnknownRow(name.clone()))?;
            if spread == Spread::Maxima {
                self.raise(name, columns);
                continue;
            }
            let width = self.width(spread);
            let row = self.rows.entry(name.clone()).or_insert_with(|| vec![0; width]);
            for (column, amount) in (0_u32..).zip(columns).filter(|(_, amount)| **amount != 0) {
                let place = self.layout.place(spread, shard, column);
                let counter =
                    row.get_mut(place).ok_or_else(|| CorruptTally::TooLong(name.clone()))?;
                *counter = counter
                    .checked_add(*amount)
                    .ok_or_else(|| CorruptTally::Overflow(name.clone()))?;
            }
        }
        Ok(())
    }

    fn width(&self, spread: Spread) -> usize {
        match spread {
            Spread::Groups => index(self.layout.groups.get()),
            Spread::Blocks => usize::from(PAGE_BINS) * index(BLOCKS),
            Spread::Totals | Spread::Maxima => SQUARE_LIMBS,
        }
    }

    fn raise(&mut self, name: &str, columns: &[i64]) {
        let row = self.maxima.entry(name.to_owned()).or_default();
        row.resize(row.len().max(columns.len()), 0);
        for (largest, value) in row.iter_mut().zip(columns) {
            *largest = (*largest).max(*value);
        }
    }

    /// The counters alone: equal exactly when the same events went in, whatever their order, their
    /// batches and the number of shards.
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

    /// Count and sum of a metric by group, all groups in order.
    #[must_use]
    pub fn groups(&self, variant: &VariantId, metric: &MetricId) -> Vec<GroupRow> {
        let counts = self.row(Row::Counts { variant, metric });
        let sums = self.limbs(|limb| Row::Sums { variant, metric, limb });
        self.group_rows(counts, &sums)
    }

    /// Number of units with a covariate and its sum by group, all groups in order.
    #[must_use]
    pub fn covariates(&self, variant: &VariantId, covariate: &str) -> Vec<GroupRow> {
        let counts = self.row(Row::CovariateCounts { variant, covariate });
        let sums = self.limbs(|limb| Row::CovariateSums { variant, covariate, limb });
        self.group_rows(counts, &sums)
    }

    fn limbs<'a>(&self, row: impl Fn(i32) -> Row<'a>) -> Vec<&[i64]> {
        (LOWEST_SUM_LIMB..).take(SUM_LIMBS).map(|limb| self.row(row(limb))).collect()
    }

    fn group_rows(&self, counts: &[i64], sums: &[&[i64]]) -> Vec<GroupRow> {
        let groups = 0..index(self.layout.groups.get());
        // Values of everyday size touch two of the limbs.
        let present: Vec<(usize, &[i64])> =
            sums.iter().copied().enumerate().filter(|(_, row)| !row.is_empty()).collect();
        groups
            .map(|group| {
                let mut limbs = [0; SUM_LIMBS];
                for (limb, row) in &present {
                    limbs[*limb] = column(row, group);
                }
                GroupRow { count: column(counts, group), sum: sum_to_dd(&limbs) }
            })
            .collect()
    }

    /// Count, sum and sum of squares over all outcomes of a variant with the metric.
    #[must_use]
    pub fn moments(&self, variant: &VariantId, metric: &MetricId) -> Moments {
        let count = self.row(Row::Counts { variant, metric }).iter().sum::<i64>();
        let mut sum = [0; SUM_LIMBS];
        for (limb, row) in
            sum.iter_mut().zip(self.limbs(|limb| Row::Sums { variant, metric, limb }))
        {
            *limb = row.iter().sum();
        }
        let mut squares = [0; SQUARE_LIMBS];
        for (limb, stored) in squares.iter_mut().zip(self.row(Row::Squares { variant, metric })) {
            *limb = *stored;
        }
        Moments {
            count: u64::try_from(count).unwrap_or_default(),
            sum: sum_to_dd(&sum),
            sum_of_squares: square_sum_to_dd(&squares),
        }
    }

    /// Counts of the sketch of a metric: by bin that was touched, ascending, a count per block.
    #[must_use]
    pub fn bins(&self, variant: &VariantId, metric: &MetricId) -> Vec<(u16, [i64; 64])> {
        // A real metric touches few of the pages, so those that are there are looked for.
        let first = Row::Bins { variant, metric, page: 0 }.to_string();
        let Some(prefix) = first.strip_suffix('0') else { return Vec::new() };
        let named = self.rows.range(prefix.to_owned()..);
        let named = named.take_while(|(name, _)| name.starts_with(prefix));
        let mut pages: Vec<(u16, &[i64])> = named
            .filter_map(|(name, row)| Some((name.strip_prefix(prefix)?.parse().ok()?, &row[..])))
            .collect();
        pages.sort_unstable_by_key(|(page, _)| *page);
        // Half a kilobyte each: one allocation.
        let mut bins = Vec::with_capacity(pages.len() * usize::from(PAGE_BINS));
        for (page, row) in pages {
            for (slot, blocks) in (0_u16..).zip(row.chunks_exact(index(BLOCKS))) {
                if let Ok(blocks) = <[i64; 64]>::try_from(blocks)
                    && blocks.iter().any(|count| *count != 0)
                {
                    bins.push((page * PAGE_BINS + slot, blocks));
                }
            }
        }
        bins
    }
}

impl Layout {
    fn place(self, spread: Spread, shard: u32, column: u32) -> usize {
        match spread {
            Spread::Groups => index(self.group(shard, column)),
            Spread::Blocks => {
                let (slot, block) = self.bin_of(shard, column);
                index(slot * BLOCKS + block)
            }
            Spread::Totals | Spread::Maxima => index(column),
        }
    }
}

/// One group of units: how many outcomes (or units) and the sum of their values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupRow {
    /// How many.
    pub count: i64,
    /// Sum of their values, exact to 106 bits.
    pub sum: Dd,
}

fn column(row: &[i64], at: usize) -> i64 {
    row.get(at).copied().unwrap_or_default()
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
