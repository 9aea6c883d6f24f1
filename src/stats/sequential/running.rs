//! What all looks so far say: the smallest p-value and the intersection of the intervals.
//!
//! Both are valid because the tests of this room promise their level for all looks at once. Order and repetition of the
//! looks do not matter while the intersection is not empty.
//!
//! **An empty intersection** has probability at most α if the effect is constant; it says that the effect has changed
//! since, or that the experiment is among those α. Then the last interval that was not empty stands, later looks no longer
//! change it, and [`Running::contradicted`] says so: the reader is owed a warning, not a silent repair. The p-value goes on
//! being the smallest one.

use super::{SequentialTest, tail_of_logarithm};
use crate::stats::Interval;
use crate::stats::mean_test::Tail;

/// The evidence of all looks: three numbers and a flag to be kept per comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Running {
    /// Logarithm of the smallest p-value, `<= 0`.
    pub ln_p_value: f64,
    /// The intersection of all intervals; the last one that was not empty.
    pub interval: Interval,
    /// Whether two intervals were disjoint.
    pub contradicted: bool,
}

impl Default for Running {
    /// Before the first look: a p-value of one and the whole line.
    fn default() -> Self {
        Self {
            ln_p_value: 0.0,
            interval: Interval { lower: f64::NEG_INFINITY, upper: f64::INFINITY },
            contradicted: false,
        }
    }
}

impl Running {
    /// The evidence with one more look.
    #[must_use]
    pub fn with(self, test: &SequentialTest) -> Self {
        let interval = Interval {
            lower: self.interval.lower.max(test.interval.lower),
            upper: self.interval.upper.min(test.interval.upper),
        };
        let contradicted = self.contradicted || interval.lower > interval.upper;
        Self {
            ln_p_value: self.ln_p_value.min(test.ln_p_value),
            interval: if contradicted { self.interval } else { interval },
            contradicted,
        }
    }

    /// The smallest p-value with its logarithm.
    #[must_use]
    pub fn tail(&self) -> Tail {
        tail_of_logarithm(self.ln_p_value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(ln_p_value: f64, lower: f64, upper: f64) -> SequentialTest {
        SequentialTest {
            p_value: ln_p_value.exp(),
            ln_p_value,
            interval: Interval { lower, upper },
        }
    }

    #[test]
    fn a_low_p_value_stays_and_the_interval_only_shrinks() {
        let running =
            Running::default().with(&test(-4.0, 0.5, f64::INFINITY)).with(&test(-1.0, -1.0, 2.0));
        assert_eq!(running.ln_p_value.to_bits(), (-4.0_f64).to_bits());
        assert_eq!(running.interval, Interval { lower: 0.5, upper: 2.0 });
        assert!(!running.contradicted && running.tail().p_value < 0.05);
    }

    #[test]
    fn disjoint_intervals_are_announced_and_the_last_valid_one_stands() {
        let before = Running::default().with(&test(-4.0, 0.5, 2.0));
        let after = before.with(&test(-9.0, -3.0, -1.0)).with(&test(-1.0, 1.0, 1.5));
        assert!(after.contradicted);
        assert_eq!(after.interval, before.interval);
        assert_eq!(after.ln_p_value.to_bits(), (-9.0_f64).to_bits());
    }
}
