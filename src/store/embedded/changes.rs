//! The last changes of the catalog, in memory: who reads the records starts with this process, too.

use std::collections::{BTreeSet, VecDeque};

use crate::domain::id::ExperimentId;

/// How many changes are remembered: whoever lags behind further reads all records.
const LENGTH: usize = 1_024;

/// Versions in ascending order, without a gap, and the experiment that changed with each.
#[derive(Debug, Default)]
pub(super) struct ChangeLog(VecDeque<(u64, ExperimentId)>);

impl ChangeLog {
    pub(super) fn add(&mut self, version: u64, id: ExperimentId) {
        if self.0.len() == LENGTH {
            self.0.pop_front();
        }
        self.0.push_back((version, id));
    }

    /// Which experiments changed after a version; `None` when the log does not reach that far back.
    pub(super) fn since(&self, version: u64) -> Option<BTreeSet<&ExperimentId>> {
        let (oldest, _) = self.0.front()?;
        let later = self.0.iter().filter(|(changed, _)| *changed > version);
        (*oldest <= version + 1).then(|| later.map(|(_, id)| id).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_knows_how_far_back_it_reaches() {
        let mut log = ChangeLog::default();
        assert_eq!(log.since(0), None);
        let id = |number: u64| ExperimentId::parse(&format!("x-{}", number % 3)).unwrap();
        for version in 8..=9 {
            log.add(version, id(version));
        }
        assert_eq!(log.since(6), None);
        assert_eq!(log.since(7), Some(BTreeSet::from([&id(8), &id(9)])));
        assert_eq!(log.since(8), Some(BTreeSet::from([&id(9)])));
        for version in 10..2_000 {
            log.add(version, id(version));
        }
        assert_eq!(log.since(974), None);
        assert_eq!(log.since(975).map(|changed| changed.len()), Some(3));
    }
}
