//! The stretches of time by which events are remembered, the same for every store.
//!
//! Time is cut into windows of one length. An event is remembered with all others of its window,
//! until a whole length has passed since the window ended: hence for at least one length and at
//! most two. The length is part of a window's name, so that a window keeps its meaning when the
//! store is told to use another length.

use std::time::Duration;

/// A window, by its length and its number since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    number: u64,
    length: u64,
}

impl Window {
    /// The window of that number; a length of nothing counts as a millisecond.
    #[must_use]
    pub fn new(length_milliseconds: u64, number: u64) -> Self {
        Self { number, length: length_milliseconds.max(1) }
    }

    /// The window that holds a moment, in milliseconds since 1970.
    #[must_use]
    pub fn at(moment: u64, length_milliseconds: u64) -> Self {
        let length = length_milliseconds.max(1);
        Self { number: moment / length, length }
    }

    /// Its length in milliseconds.
    #[must_use]
    pub fn length(self) -> u64 {
        self.length
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.number
    }

    /// Whether events that were counted in it are still known at a moment, in milliseconds since
    /// 1970. Those of a later window are, because a clock may be set back.
    #[must_use]
    pub fn is_remembered(self, moment: u64) -> bool {
        self.number.saturating_add(2).saturating_mul(self.length) > moment
    }

    /// The window of another length in which all its events are remembered for at least that
    /// length, and no longer than if they were counted now or at its end.
    #[must_use]
    pub fn in_length(self, length_milliseconds: u64, now: u64) -> Self {
        if self.length == length_milliseconds.max(1) {
            return self;
        }
        let last = self.number.saturating_add(1).saturating_mul(self.length) - 1;
        Self::at(last.min(now), length_milliseconds)
    }
}

/// The length of a window in whole milliseconds, at least one.
pub(super) fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_remembered_for_one_to_two_lengths() {
        let window = Window::at(12_345, 1_000);
        assert_eq!(window, Window::new(1_000, 12));
        for (moment, remembered) in [(0, true), (12_345, true), (13_999, true), (14_000, false)] {
            assert_eq!(window.is_remembered(moment), remembered, "{moment}");
        }
        assert!(Window::new(u64::MAX, u64::MAX).is_remembered(u64::MAX - 1));
    }

    #[test]
    fn in_another_length_nothing_is_forgotten_early() {
        let (now, week) = (1_000_000_500, 7_000);
        for old in [now - 2 * week + 1, now - week, now - 1, now] {
            let window = Window::at(old, week);
            assert_eq!(window.in_length(week, now), window);
            for length in [1, 999, 1_000, 8_000, 1_000_000] {
                let moved = window.in_length(length, now);
                let last = ((window.number() + 1) * week - 1).min(now);
                assert!(moved.is_remembered(last + length), "{window:?} as {moved:?}");
                assert!(!moved.is_remembered(last + 2 * length), "{window:?} as {moved:?}");
            }
        }
    }
}
