//! Whether units got what they were assigned: outcomes report which variant really served them.
//!
//! An outcome counts for the variant that was *assigned* (intention to treat; Montori and Guyatt
//! 2001): a fallback happens to some requests more than to others, so to move or drop its outcomes
//! would compare different people. The price is dilution. When a share `s` of the treatment's
//! outcomes and `c` of the control's were served by the other one, the difference that is measured
//! is `1 - s - c` times the one there is.

use crate::domain::analysis::VariantExposure;

/// Above this share of a variant's outcomes its delivery counts as broken. At 5 % in one variant an
/// experiment planned for a power of 80 % has 76 % left, or needs `1/0.95² = 1.11` times the units:
/// what a plan does not notice. Fallbacks and caches of a healthy service stay below.
pub const TOLERATED_SHARE: f64 = 0.05;

/// Fewer mismatches than this prove nothing. Where 1 % of outcomes, independently, are served by
/// another variant, the odds to see 20 of them make up more than 5 % (20 among at most 400) are
/// below 1 in 10 million.
pub const FEWEST: i64 = 20;

impl VariantExposure {
    /// Share of the outcomes that were served by another variant; `None` without outcomes.
    #[must_use]
    pub fn mismatched_share(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        let share = self.mismatched as f64 / self.outcomes as f64;
        (self.outcomes > 0).then_some(share)
    }

    /// Whether too many of its outcomes were served by another variant.
    #[must_use]
    pub fn is_delivery_broken(&self) -> bool {
        let too_many = self.mismatched_share().is_some_and(|share| share > TOLERATED_SHARE);
        too_many && self.mismatched >= FEWEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::VariantId;

    fn exposure(outcomes: i64, mismatched: i64) -> VariantExposure {
        VariantExposure { variant: VariantId::parse("b").unwrap(), units: 1, outcomes, mismatched }
    }

    #[test]
    fn it_takes_more_than_a_twentieth_and_more_than_a_handful() {
        for (outcomes, mismatched, broken) in [
            (0, 0, false),
            (19, 19, false),
            (20, 20, true),
            (399, 20, true),
            (400, 20, false),
            (1_000_000, 50_000, false),
            (1_000_000, 50_001, true),
        ] {
            let exposure = exposure(outcomes, mismatched);
            assert_eq!(exposure.is_delivery_broken(), broken, "{mismatched} of {outcomes}");
        }
        assert_eq!(exposure(0, 0).mismatched_share(), None);
    }
}
