//! How far apart numbers that ought to be equal are: every check has a bound, and remembers the
//! worst it has seen, so that a bound can be told from a margin.

use std::collections::BTreeMap;
use std::fmt;

/// By name of the check: the largest deviation and where it was.
#[derive(Debug, Default)]
pub(super) struct Deviations(BTreeMap<&'static str, (f64, String)>);

impl Deviations {
    /// Both are the same up to `bound`, relative to the one expected.
    pub(super) fn relative(
        &mut self,
        check: &'static str,
        place: &str,
        bound: f64,
        (found, expected): (f64, f64),
    ) {
        let deviation = if expected == 0.0 { found.abs() } else { (found / expected - 1.0).abs() };
        let text = format!("{check} of {place}: {found:e} where {expected:e} was expected");
        // A NaN is within no bound.
        assert!(deviation <= bound, "{text}: {deviation:e} is beyond {bound:e}");
        let worst = self.0.entry(check).or_default();
        if deviation >= worst.0 {
            *worst = (deviation, place.to_owned());
        }
    }
}

impl fmt::Display for Deviations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (check, (deviation, place)) in &self.0 {
            writeln!(f, "  {check:<50} {deviation:.1e}  {place}")?;
        }
        Ok(())
    }
}
