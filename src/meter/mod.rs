//! Side room: counting without waiting. Threads add side by side, somebody reads now and then.
//!
//! A meter has no name and knows no exporter: whoever owns it counts, whoever shows it gives it a
//! name (`http::metrics`). Adding takes no lock and allocates nothing, so it has a place on the
//! path of every Assign.

mod durations;

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub use self::durations::{BOUNDS, Durations, Histogram};

/// More lanes than this would cost memory and save nothing.
const MOST_LANES: usize = 16;

/// Counters of a cache line: so far apart, two lanes never share one.
const LINE: usize = 8;

/// Some counters that only grow, by index.
///
/// Each thread adds in a lane of its own, as long as there are no more threads than processors;
/// reading adds the lanes up. What is added while somebody reads may or may not be seen.
#[derive(Debug)]
pub struct Counts {
    lanes: Box<[Box<[AtomicU64]>]>,
    len: usize,
}

impl Counts {
    /// `len` counters at 0.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // A power of two, so that a mask finds the lane.
        let lanes = processors.min(MOST_LANES).next_power_of_two();
        let lane = || (0..len + LINE).map(|_| AtomicU64::new(0)).collect();
        Self { lanes: (0..lanes).map(|_| lane()).collect(), len }
    }

    /// Adds to one counter; nothing happens beyond the last one.
    pub fn add(&self, index: usize, amount: u64) {
        let lane = self.lanes.get(lane() & (self.lanes.len() - 1));
        if let Some(counter) = lane.and_then(|lane| lane.get(index)) {
            counter.fetch_add(amount, Ordering::Relaxed);
        }
    }

    /// What a counter stands at; 0 beyond the last one.
    #[must_use]
    pub fn get(&self, index: usize) -> u64 {
        let lanes = self.lanes.iter().filter_map(|lane| lane.get(index));
        lanes.map(|counter| counter.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }

    /// All of them in order.
    #[must_use]
    pub fn all(&self) -> Vec<u64> {
        (0..self.len).map(|index| self.get(index)).collect()
    }
}

/// The number of this thread's lane, of any size.
fn lane() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static LANE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    LANE.with(|lane| {
        lane.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            lane.set(Some(number));
            number
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_threads_add_is_read_together() {
        let counts = Counts::new(3);
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        counts.add(0, 1);
                        counts.add(2, 5);
                    }
                });
            }
        });
        assert_eq!(counts.all(), [40_000, 0, 200_000]);
        counts.add(3, 1);
        assert_eq!(counts.all(), [40_000, 0, 200_000], "there is no fourth");
    }
}
