//! The counters of a dimension, read back: the whole and each of its values.

use std::collections::BTreeMap;

use crate::domain::counter::Row;
use crate::domain::experiment::{Definition, Layout};
use crate::domain::metric::{Estimand, Metric};
use crate::domain::segment::value::{NONE, OTHER};
use crate::domain::segment::{ROWS, Segment, unescaped};
use crate::domain::tally::{CorruptTally, Tally};

/// All counters of an iteration, and apart from each other those of the values of a dimension.
#[derive(Debug, Clone)]
pub struct Breakdown {
    dimension: String,
    layout: Layout,
    whole: Tally,
    values: BTreeMap<String, Tally>,
}

impl Breakdown {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(dimension: String, layout: Layout) -> Self {
        Self { dimension, layout, whole: Tally::new(layout), values: BTreeMap::new() }
    }

    /// What the names of the rows to be read start with, beside those of the whole.
    #[must_use]
    pub fn rows(&self) -> String {
        Segment::rows_of_dimension(&self.dimension)
    }

    /// Adds the rows of one shard: those of the whole and those of the dimension, read at one point
    /// in time, so that no value has what the whole has not.
    ///
    /// # Errors
    /// [`CorruptTally`] when they cannot come from events of this layout.
    pub fn absorb(
        &mut self,
        shard: u32,
        mut rows: BTreeMap<String, Vec<i64>>,
    ) -> Result<(), CorruptTally> {
        let mut of_segments = rows.split_off(ROWS);
        rows.append(&mut of_segments.split_off(BEHIND_ROWS));
        let mut by_value = BTreeMap::<String, BTreeMap<String, Vec<i64>>>::new();
        let prefix = self.rows();
        for (name, row) in of_segments {
            let unknown = || CorruptTally::UnknownRow(name.clone());
            let rest = name.strip_prefix(&prefix).and_then(|rest| rest.split_once('/'));
            let (value, row_name) = rest.ok_or_else(unknown)?;
            let value = unescaped(value).ok_or_else(unknown)?;
            by_value.entry(value).or_default().insert(row_name.to_owned(), row);
        }
        for (value, rows) in by_value {
            let tally =
                self.values.entry(value).or_insert_with(|| Tally::new(self.layout.of_segments()));
            tally.absorb(shard, rows)?;
        }
        self.whole.absorb(shard, rows)
    }

    /// The whole, and its values with all evidence of earlier looks at them: those with a name in
    /// the order of their names, then "(other)" and "(none)".
    ///
    /// # Errors
    /// [`CorruptTally`] when the values hold more than the whole.
    pub fn finish(self, definition: &Definition) -> Result<(Tally, Vec<Part>), CorruptTally> {
        let Self { dimension, layout, whole, mut values } = self;
        let mut rest = whole.folded(layout.of_segments(), |metric| {
            definition.metric(metric).is_some_and(has_sketch)
        });
        for tally in values.values() {
            rest.subtract(tally)?;
        }
        let other = values.remove(OTHER).map(|tally| (OTHER.to_owned(), tally));
        let none = (!rest.counters().is_empty()).then(|| (NONE.to_owned(), rest));
        let all = values.into_iter().chain(other).chain(none);
        let part = |(value, tally): (String, Tally)| {
            let segment = Segment { dimension: dimension.clone(), value };
            let tally = tally.with_evidence(&whole, &segment.evidence());
            Part { segment, tally }
        };
        let parts = all.map(part).collect();
        Ok((whole, parts))
    }
}

/// One value's counters.
#[derive(Debug, Clone)]
pub struct Part {
    /// Which value of which dimension.
    pub segment: Segment,
    /// Its counters in the layout of segments.
    pub tally: Tally,
}

impl Segment {
    /// What the names of its rows of maxima start with, instead of with `m/`. They stand among
    /// those of the whole: few, small, and only of segments that somebody has looked at.
    #[must_use]
    pub fn evidence(&self) -> String {
        let rows = Self::rows(&self.dimension, &self.value);
        format!("{}~{rows}", Row::MAXIMA)
    }
}

/// Whether a segment keeps a sketch of a metric. It is by far the largest part of the counters, so
/// only where the quantiles are what is compared.
#[must_use]
pub(super) fn has_sketch(metric: &Metric) -> bool {
    metric.kind.has_sketch() && metric.estimand == Estimand::Quantile
}

/// Where names that start with [`ROWS`] end: `/` is followed by `0`.
const BEHIND_ROWS: &str = "g0";
