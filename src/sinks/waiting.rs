//! Scores that were tried and have to wait: which are due, and how long the next wait is.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::score::Score;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often a score is tried: for some ten minutes, as long as a long trace takes to arrive.
const TRIES: u32 = 15;

/// A score and how often it was tried.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) score: Score,
    pub(super) tries: u32,
}

impl From<Score> for Attempt {
    fn from(score: Score) -> Self {
        Self { score, tries: 0 }
    }
}

impl Attempt {
    /// How long to wait after another failure; `None` when it is given up.
    fn pause(&self) -> Option<Duration> {
        let exponent = self.tries.checked_sub(1)?;
        if self.tries >= TRIES {
            return None;
        }
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(exponent)).min(LONGEST_PAUSE);
        // 50 to 100 % of it, by the id: replicas that failed together come back apart.
        let (.., low) = self.score.id().as_u64_pair();
        Some(pause.mul_f64(0.5 + f64::from(u8::try_from(low & 0xff).unwrap_or(0)) / 512.0))
    }
}

/// Those that wait, by the time they are due. The second number tells equal times apart.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_time: BTreeMap<(Instant, u64), Attempt>,
    last: u64,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.by_time.len()
    }

    /// When the first is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.by_time.keys().next().map(|(time, _)| *time)
    }

    /// Lets one wait, unless it was tried often enough: then it is gone, and the answer is no.
    pub(super) fn put(&mut self, mut attempt: Attempt, now: Instant) -> bool {
        attempt.tries += 1;
        let Some(pause) = attempt.pause() else { return false };
        self.last += 1;
        self.by_time.insert((now + pause, self.last), attempt);
        true
    }

    /// Moves those that are due into `batch`, which holds at most `most`.
    pub(super) fn take_due(&mut self, now: Instant, batch: &mut Vec<Attempt>, most: usize) {
        while batch.len() < most
            && let Some(entry) = self.by_time.first_entry()
            && entry.key().0 <= now
        {
            batch.push(entry.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::score::tests::score;
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let mut now = Instant::now();
        let begin = now;
        let mut waiting = Waiting::default();
        let mut attempt = Attempt::from(score());
        let mut pauses = Vec::new();
        while waiting.put(attempt, now) {
            let due = waiting.due().unwrap();
            let mut batch = Vec::new();
            waiting.take_due(due - Duration::from_nanos(1), &mut batch, 1);
            assert!(batch.is_empty());
            waiting.take_due(due, &mut batch, 1);
            pauses.push(due - now);
            (now, attempt) = (due, batch.pop().unwrap());
        }
        assert_eq!(u32::try_from(pauses.len()), Ok(TRIES - 1));
        assert!(pauses.is_sorted() && pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
        let together = now - begin;
        assert!((Duration::from_secs(300)..Duration::from_secs(700)).contains(&together));
    }
}
