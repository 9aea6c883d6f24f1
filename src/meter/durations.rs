//! How long things take, counted in buckets.

use std::time::Duration;

use super::Counts;

/// Upper bounds of the buckets in seconds, inclusive, ascending; longer ones count in one of their
/// own. Steps of 100 µs up to 1 ms, because an Assign takes a few hundred; from 5 ms on what
/// OpenTelemetry advises for `rpc.server.call.duration`.
pub const BOUNDS: [f64; 27] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_3, 0.000_4, 0.000_5, 0.000_6, 0.000_7, 0.000_8, 0.000_9,
    0.001, 0.001_5, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

/// Of the sum in nanoseconds, behind the buckets and the one without a bound.
const SUM: usize = BOUNDS.len() + 1;

/// A histogram of durations.
#[derive(Debug)]
pub struct Durations(Counts);

/// What a histogram stands at.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// How many durations fell into each bucket of [`BOUNDS`], and beyond the last bound. Not
    /// cumulative.
    pub buckets: Vec<u64>,
    /// Their sum in seconds.
    pub sum: f64,
}

impl Default for Durations {
    fn default() -> Self {
        Self(Counts::new(SUM + 1))
    }
}

impl Durations {
    /// Counts one.
    pub fn record(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.0.add(BOUNDS.partition_point(|bound| *bound < seconds), 1);
        self.0.add(SUM, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What was counted.
    #[must_use]
    pub fn read(&self) -> Histogram {
        let mut buckets = self.0.all();
        let nanoseconds = buckets.pop().unwrap_or_default();
        Histogram { buckets, sum: Duration::from_nanos(nanoseconds).as_secs_f64() }
    }
}

impl Histogram {
    /// How many durations there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let durations = Durations::default();
        for micros in [0, 50, 51, 100, 101, 199, 10_000_000, 10_000_001] {
            durations.record(Duration::from_micros(micros));
        }
        let read = durations.read();
        assert_eq!(read.buckets.len(), BOUNDS.len() + 1);
        assert_eq!(read.buckets[..4], [2, 2, 2, 0]);
        assert_eq!(read.buckets[26..], [1, 1]);
        assert_eq!(read.count(), 8);
        assert!((read.sum - 20.000_502).abs() < 1e-9, "{}", read.sum);
    }

    #[test]
    fn bounds_ascend() {
        assert!(BOUNDS.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
