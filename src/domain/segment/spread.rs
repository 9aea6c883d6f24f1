//! What an event adds to the counters of its unit's segments: what it adds to the whole, once more
//! for each of them.

use crate::domain::counter::{Increment, Spread};
use crate::domain::experiment::{Definition, Layout};
use crate::domain::segment::Segments;
use crate::domain::segment::breakdown::has_sketch;

impl Segments {
    /// The increments of the whole and behind them those of the segments, for a unit of that group
    /// of the whole.
    #[must_use]
    pub fn spread(
        &self,
        mut increments: Vec<Increment>,
        definition: &Definition,
        layout: Layout,
        group: u32,
    ) -> Vec<Increment> {
        if self.rows.is_empty() {
            return increments;
        }
        let of_segments = layout.of_segments();
        let column = of_segments.column(group % of_segments.groups.get());
        let kept = |increment: &Increment| match Spread::of_name(&increment.row)? {
            Spread::Groups => Some(column),
            Spread::Totals => Some(increment.column),
            Spread::Blocks => {
                // A block is the same in both layouts.
                let metric = increment.row.split('/').nth(2)?;
                definition.metric(metric).is_some_and(has_sketch).then_some(increment.column)
            }
            Spread::Maxima => None,
        };
        let columns: Vec<Option<u32>> = increments.iter().map(kept).collect();
        increments.reserve(self.rows.len() * columns.len());
        for prefix in &self.rows {
            for (place, column) in columns.iter().enumerate() {
                let (Some(column), Some(whole)) = (*column, increments.get(place)) else {
                    continue;
                };
                let (row, amount) = (format!("{prefix}{}", whole.row), whole.amount);
                increments.push(Increment { row, column, amount });
            }
        }
        increments
    }
}
