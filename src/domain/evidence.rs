//! What all looks at a comparison have shown so far: numbers that only ever tighten.
//!
//! A sequential test promises its level for all looks at once, so the smallest p-value and the
//! intersection of the intervals so far are valid, and a decision never flips back. Both are
//! maxima of suitable numbers, and maxima, like sums, do not care about order or repetition: two
//! replicas that look at the same time leave the same evidence. A store keeps them as rows of
//! 64-bit integers that only grow; the integers order as the numbers do.

use crate::stats::Interval;

/// The evidence of one comparison. Logarithms of p-values, `<= 0`; interval ends, possibly
/// infinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Two-sided, of no difference.
    pub ln_p_value: f64,
    /// Around the difference.
    pub difference: Interval,
    /// Around the relative lift.
    pub lift: Interval,
    /// One-sided, of "worse than the margin".
    pub ln_p_non_inferior: f64,
    /// One-sided, of "within the margin".
    pub ln_p_violated: f64,
}

const WHOLE_LINE: Interval = Interval { lower: f64::NEG_INFINITY, upper: f64::INFINITY };

impl Evidence {
    /// Before the first look.
    pub const NONE: Self = Self {
        ln_p_value: 0.0,
        difference: WHOLE_LINE,
        lift: WHOLE_LINE,
        ln_p_non_inferior: 0.0,
        ln_p_violated: 0.0,
    };

    /// The evidence of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            ln_p_value: self.ln_p_value.min(other.ln_p_value),
            difference: intersection(self.difference, other.difference),
            lift: intersection(self.lift, other.lift),
            ln_p_non_inferior: self.ln_p_non_inferior.min(other.ln_p_non_inferior),
            ln_p_violated: self.ln_p_violated.min(other.ln_p_violated),
        }
    }

    /// The same as a store keeps it, so that what is told today is what will be told tomorrow, to
    /// the last digit.
    #[must_use]
    pub fn as_kept(self) -> Self {
        Self::from_columns(&self.columns())
    }

    /// The columns of its row; each grows as the evidence does.
    #[must_use]
    pub fn columns(&self) -> Vec<i64> {
        let numbers = [
            -self.ln_p_value,
            self.difference.lower,
            -self.difference.upper,
            self.lift.lower,
            -self.lift.upper,
            -self.ln_p_non_inferior,
            -self.ln_p_violated,
        ];
        numbers.into_iter().map(ordered).collect()
    }

    /// Reads the columns back; absent ones say nothing.
    #[must_use]
    pub fn from_columns(columns: &[i64]) -> Self {
        let column = |at: usize| columns.get(at).copied().unwrap_or_default();
        let logarithm = |at| -number(column(at)).max(0.0);
        let interval = |at| Interval { lower: number(column(at)), upper: -number(column(at + 1)) };
        Self {
            ln_p_value: logarithm(0),
            difference: interval(1),
            lift: interval(3),
            ln_p_non_inferior: logarithm(5),
            ln_p_violated: logarithm(6),
        }
    }
}

fn intersection(a: Interval, b: Interval) -> Interval {
    Interval { lower: a.lower.max(b.lower), upper: a.upper.min(b.upper) }
}

/// Bits that the integer has no room for. Rounding is downwards, which for every column means
/// less evidence, by two units in the last place.
const DROPPED_BITS: u32 = 2;

const SIGN: u64 = 1 << 63;

/// A non-negative integer that orders as the numbers do: the bits of a float order like its
/// magnitude, so the sign bit is set for positive numbers and all bits are flipped for negative
/// ones. Minus infinity and NaN say nothing and are 0, the value of a column that nobody touched.
#[must_use]
pub fn ordered(number: f64) -> i64 {
    if number.is_nan() || number == f64::NEG_INFINITY {
        return 0;
    }
    // Adding zero makes minus zero plain zero: equal numbers have equal integers.
    let bits = (number + 0.0).to_bits();
    let ascending = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    i64::try_from(ascending >> DROPPED_BITS).unwrap_or(i64::MAX)
}

/// The number behind [`ordered`], rounded down; minus infinity for 0.
#[must_use]
pub fn number(ordered: i64) -> f64 {
    let Ok(ascending) = u64::try_from(ordered) else { return f64::NEG_INFINITY };
    if ascending == 0 {
        return f64::NEG_INFINITY;
    }
    let ascending = ascending << DROPPED_BITS;
    f64::from_bits(if ascending & SIGN == 0 { !ascending } else { ascending & !SIGN })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(Evidence::from_columns(&[]), Evidence::NONE);
        assert_eq!(Evidence::from_columns(&Evidence::NONE.columns()), Evidence::NONE);
    }

    proptest! {
        #[test]
        fn integers_order_as_numbers_and_lose_a_breath(a in any::<f64>(), b in any::<f64>()) {
            prop_assume!(a.is_finite() && b.is_finite());
            prop_assert!(a > b || ordered(a) <= ordered(b));
            let back = number(ordered(a));
            prop_assert!(back <= a, "evidence is never invented");
            prop_assert!(a - back <= a.abs() * 1e-15 + 1e-320);
        }

        #[test]
        fn taking_maxima_of_columns_is_taking_all_evidence(
            a in (-800.0..0.0_f64, -9.0..9.0_f64, 0.0..9.0_f64),
            b in (-800.0..0.0_f64, -9.0..9.0_f64, 0.0..9.0_f64),
        ) {
            let evidence = |(ln_p, middle, radius): (f64, f64, f64)| Evidence {
                ln_p_value: ln_p,
                difference: Interval::around(middle, radius),
                ..Evidence::NONE
            };
            let (a, b) = (evidence(a), evidence(b));
            let maxima: Vec<i64> =
                a.columns().into_iter().zip(b.columns()).map(|(x, y)| x.max(y)).collect();
            let (stored, both) = (Evidence::from_columns(&maxima), a.and(b));
            prop_assert!((stored.ln_p_value - both.ln_p_value).abs() < 1e-9);
            prop_assert!((stored.difference.lower - both.difference.lower).abs() < 1e-9);
            prop_assert!((stored.difference.upper - both.difference.upper).abs() < 1e-9);
        }
    }
}
