//! How the results of an iteration developed: which looks are written down, where, and which of
//! them are shown.
//!
//! Time since the iteration began is cut into ticks of a second. A history has [`SLOTS`] slots;
//! while they last every tick has one, and each time the iteration gets twice as old the ticks
//! that count are twice as far apart. The first look in a tick that counts is written down. A tick
//! takes the slot of one that no longer counts, so a history stays bounded without anybody
//! deleting anything, and slots follow from the tick alone, so replicas agree without talking.
//!
//! After any time 128 to 256 ticks have counted, evenly spaced, and the last one is at most 1/128
//! of the iteration's age ago: often enough also for a sequential test, which knows only the
//! evidence that somebody looked at.

mod point;

use crate::domain::experiment::{Experiment, Iteration, State, Timestamp};

pub use self::point::{Bounds, MetricPoint, Point, Reading};

/// Points of a history at most.
pub const SLOTS: u64 = 256;

const SECOND: i64 = 1_000_000_000;

/// Seconds since an iteration began, of those that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(u64);

impl Tick {
    /// The tick that a look at `now` belongs to; none while nothing is collected, and none for an
    /// iteration that another one has followed: its history is written.
    #[must_use]
    pub fn of_look(experiment: &Experiment, iteration: &Iteration, now: Timestamp) -> Option<Self> {
        let collecting = matches!(experiment.state, State::Running | State::Paused);
        let current = experiment.current().is_some_and(|last| last.number == iteration.number);
        let began = experiment.started?.max(iteration.opened);
        let age = now.0.checked_sub(began.0).filter(|_| collecting && current)?;
        u64::try_from(age.div_euclid(SECOND)).ok().map(Self::counting)
    }

    /// The last tick that counts.
    fn counting(seconds: u64) -> Self {
        Self(seconds & !(spacing(seconds) - 1))
    }

    /// Where it is kept.
    #[must_use]
    pub fn slot(self) -> u32 {
        let mut tick = self.0;
        while tick >= SLOTS {
            // The n-th tick since the spacing has doubled replaces the n-th of those that the
            // doubling left out.
            let half = spacing(tick) / 2;
            tick = (2 * (tick / (2 * half) - SLOTS / 2) + 1) * half;
        }
        u32::try_from(tick).unwrap_or_default()
    }

    /// A tick that was kept under this stamp.
    #[must_use]
    pub fn from_stamp(stamp: u64) -> Self {
        Self(stamp)
    }

    /// Larger for a later tick.
    #[must_use]
    pub fn stamp(self) -> u64 {
        self.0
    }
}

/// Seconds from one tick that counts to the next.
fn spacing(seconds: u64) -> u64 {
    (seconds / (SLOTS / 2)).checked_ilog2().map_or(1, |doublings| 1 << doublings)
}

/// What to show of everything kept: oldest first, without what the last doubling left out and
/// nobody has replaced yet.
#[must_use]
pub fn shown<T>(mut kept: Vec<(Tick, T)>) -> Vec<T> {
    kept.sort_by_key(|(tick, _)| *tick);
    let last = kept.last().map_or(0, |(tick, _)| tick.0);
    kept.retain(|(tick, _)| tick.0.is_multiple_of(spacing(last)));
    kept.into_iter().map(|(_, point)| point).collect()
}

/// At most `limit` of the points, evenly chosen, the first and the last among them; of one, the
/// last.
#[must_use]
pub fn thinned<T>(points: Vec<T>, limit: usize) -> Vec<T> {
    let (count, limit) = (points.len(), limit.max(1));
    if count <= limit {
        return points;
    }
    let mut wanted = (0..limit).map(|nth| match limit {
        1 => count - 1,
        _ => nth * (count - 1) / (limit - 1),
    });
    let mut next = wanted.next();
    let chosen = points.into_iter().enumerate().filter(|(index, _)| {
        let chosen = next == Some(*index);
        if chosen {
            next = wanted.next();
        }
        chosen
    });
    chosen.map(|(_, point)| point).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A history into which somebody looks every second until the end.
    fn watched(seconds: u64) -> BTreeMap<u32, Tick> {
        let mut slots = BTreeMap::new();
        for second in 0..=seconds {
            let tick = Tick::counting(second);
            slots.insert(tick.slot(), tick);
        }
        slots
    }

    fn ticks(slots: &BTreeMap<u32, Tick>) -> Vec<u64> {
        shown(slots.values().map(|tick| (*tick, tick.0)).collect())
    }

    #[test]
    fn at_any_age_there_are_128_to_256_points_evenly_spaced_up_to_now() {
        let mut slots = BTreeMap::new();
        for second in 0..200_000 {
            let tick = Tick::counting(second);
            let replaced = slots.insert(tick.slot(), tick);
            assert!(replaced.is_none_or(|replaced| replaced <= tick), "time runs forward");
            assert!(slots.len() <= 256);
            if second % 997 == 0 && second >= 128 {
                let ticks = ticks(&slots);
                assert!((128..=256).contains(&ticks.len()), "{} at {second}", ticks.len());
                assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] == spacing(second)));
                assert_eq!(ticks.first(), Some(&0));
                assert!(second - ticks.last().unwrap() <= second / 128);
            }
        }
    }

    #[test]
    fn every_slot_is_used_when_the_spacing_is_about_to_double() {
        for end in [255_u64, 511, 1_023, 65_535] {
            let expected: Vec<u64> = (0..256).map(|nth| nth * end.div_ceil(256)).collect();
            assert_eq!(ticks(&watched(end)), expected);
        }
    }

    #[test]
    fn a_gap_leaves_what_was_before_it_thinned() {
        let mut slots = watched(255);
        let late = Tick::counting(4_000);
        slots.insert(late.slot(), late);
        let ticks = ticks(&slots);
        assert_eq!(ticks.last(), Some(&4_000));
        assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] >= 16), "{ticks:?}");
    }

    #[test]
    fn thinning_keeps_both_ends() {
        let points: Vec<usize> = (0..200).collect();
        for limit in [2, 3, 7, 199] {
            let thinned = thinned(points.clone(), limit);
            assert_eq!(thinned.len(), limit);
            assert_eq!((thinned.first(), thinned.last()), (Some(&0), Some(&199)));
            let gaps = thinned.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(gaps.clone().max().unwrap() - gaps.min().unwrap() <= 1);
        }
        assert_eq!(thinned(points.clone(), 1), [199]);
        assert_eq!(thinned(points.clone(), 200), points);
        assert_eq!(thinned(Vec::<u8>::new(), 5), [0_u8; 0]);
    }
}
