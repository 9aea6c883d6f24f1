//! Tail probabilities of a test, with their logarithm, against one of three alternatives.
//!
//! A p-value is never reported as zero: where the probability is smaller than an `f64` can hold, the
//! smallest positive normal number stands for it and the logarithm has the digits.

/// The hypothesis that speaks against "no difference".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alternative {
    /// Treatment differs from control.
    TwoSided,
    /// Treatment is greater than control.
    Greater,
    /// Treatment is less than control.
    Less,
}

/// A tail probability and its natural logarithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// The probability, in `(0, 1]`; `f64::MIN_POSITIVE` where it is smaller than that.
    pub p_value: f64,
    /// Its logarithm, `<= 0` and exact where the probability is too small for an `f64`.
    pub ln_p_value: f64,
}

impl Tail {
    /// The tail of a statistic with a symmetric null distribution given by its upper tail.
    pub(crate) fn of_symmetric(
        statistic: f64,
        alternative: Alternative,
        sf: impl Fn(f64) -> f64,
        ln_sf: impl Fn(f64) -> f64,
    ) -> Self {
        let (probability, logarithm) = match alternative {
            Alternative::TwoSided => {
                let distance = statistic.abs();
                (2.0 * sf(distance), std::f64::consts::LN_2 + ln_sf(distance))
            }
            Alternative::Greater => (sf(statistic), ln_sf(statistic)),
            Alternative::Less => (sf(-statistic), ln_sf(-statistic)),
        };
        Self { p_value: probability.clamp(f64::MIN_POSITIVE, 1.0), ln_p_value: logarithm.min(0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::distribution::{normal_ln_sf, normal_sf};

    fn of(z: f64, alternative: Alternative) -> Tail {
        Tail::of_symmetric(z, alternative, normal_sf, normal_ln_sf)
    }

    #[test]
    fn one_sided_tails_mirror_each_other() {
        assert_eq!(of(1.3, Alternative::Greater), of(-1.3, Alternative::Less));
        assert_eq!(of(1.3, Alternative::TwoSided), of(-1.3, Alternative::TwoSided));
        assert!(of(1.3, Alternative::Greater).p_value < 0.5);
    }

    #[test]
    fn nothing_is_impossible_and_nothing_more_than_certain() {
        let zero = of(0.0, Alternative::TwoSided);
        assert!((zero.p_value - 1.0).abs() < 1e-15 && zero.ln_p_value.abs() < 1e-15);
        let far = of(60.0, Alternative::Greater);
        assert!(far.p_value > 0.0 && far.ln_p_value < -1_800.0);
    }
}
