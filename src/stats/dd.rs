//! Double-double arithmetic: an unevaluated sum of two `f64`, 106 bits of significand.
//!
//! It promises a relative error of a few `u²` (`u = 2^-53`, so about 1e-31) per operation for
//! finite operands whose results stay clear of overflow and underflow, and exactness for integers
//! below 2^106. It refuses nothing: overflow yields a non-finite value, which the callers turn into
//! [`Undefined`](super::Undefined).
//!
//! Algorithms and bounds: T. J. Dekker (1971); D. E. Knuth, TAOCP 2 §4.2.2 (`TwoSum`); M. Joldes,
//! J.-M. Muller, V. Popescu, "Tight and rigorous error bounds for basic building blocks of
//! double-word arithmetic", ACM TOMS 44 (2017), algorithms 6 (addition, 3u²) and 12 (product, 5u²);
//! Y. Hida, X. S. Li, D. H. Bailey, "Algorithms for quad-double precision floating point arithmetic"
//! (2001), for the long division.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A number `high + low` with `|low| <= ulp(high)/2`.
///
/// The order is that of the numbers, because a normalised pair orders lexicographically.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Dd {
    high: f64,
    low: f64,
}

impl Dd {
    /// Zero.
    pub const ZERO: Self = Self { high: 0.0, low: 0.0 };
    /// One.
    pub const ONE: Self = Self { high: 1.0, low: 0.0 };

    /// The exact value of a signed integer (64 bits fit into 106).
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the first cast rounds and the remainder carries what it lost; below 2^62 the \
                  rounded number is an i64 again"
    )]
    pub fn from_i64(value: i64) -> Self {
        if value.unsigned_abs() >= 1 << 62 {
            return Self::from_i128(i128::from(value));
        }
        let high = value as f64;
        let low = (value - high as i64) as f64;
        Self { high, low }
    }

    /// The exact value of an unsigned integer.
    #[must_use]
    pub fn from_u64(value: u64) -> Self {
        Self::from_i128(i128::from(value))
    }

    /// An integer, exact below 2^106 and rounded to within 2^-106 relative above.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the first cast rounds and the remainder carries what it lost; `high` is an \
                  integer of at most 2^127, which saturates to 2^127 - 1: 2^-127 relative"
    )]
    pub fn from_i128(value: i128) -> Self {
        let high = value as f64;
        let low = (value - high as i128) as f64;
        quick_two_sum(high, low)
    }

    /// The exact product of two `f64`.
    #[must_use]
    pub fn product(a: f64, b: f64) -> Self {
        let (high, low) = two_product(a, b);
        Self { high, low }
    }

    /// The nearest `f64`.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        // A normalised pair is rounded already: `high = RN(high + low)`.
        self.high
    }

    /// The absolute value.
    #[must_use]
    pub fn abs(self) -> Self {
        if self.high < 0.0 { -self } else { self }
    }

    /// Whether the number is neither infinite nor NaN.
    #[must_use]
    pub fn is_finite(self) -> bool {
        self.high.is_finite() && self.low.is_finite()
    }

    /// Whether the number is zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

/// `a + b` exactly, for any finite `a` and `b` (Knuth).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_virtual = sum - a;
    (sum, (a - (sum - b_virtual)) + (b - b_virtual))
}

/// `a + b` exactly, for `|a| >= |b|` or `a = 0` (Dekker).
fn quick_two_sum(a: f64, b: f64) -> Dd {
    let high = a + b;
    Dd { high, low: b - (high - a) }
}

/// `a·b` exactly: the fused multiply-add returns the rounding error of the product.
fn two_product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    (product, a.mul_add(b, -product))
}

impl From<f64> for Dd {
    fn from(value: f64) -> Self {
        Self { high: value, low: 0.0 }
    }
}

impl Neg for Dd {
    type Output = Self;

    fn neg(self) -> Self {
        Self { high: -self.high, low: -self.low }
    }
}

impl Add for Dd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (high, high_error) = two_sum(self.high, other.high);
        let (low, low_error) = two_sum(self.low, other.low);
        let partial = quick_two_sum(high, high_error + low);
        quick_two_sum(partial.high, partial.low + low_error)
    }
}

impl AddAssign for Dd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Dd {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Dd {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let (high, error) = two_product(self.high, other.high);
        let low_product = self.low * other.low;
        let cross = self.low.mul_add(other.high, self.high.mul_add(other.low, low_product));
        quick_two_sum(high, error + cross)
    }
}

impl Div for Dd {
    type Output = Self;

    /// Long division with two correction digits; dividing by zero gives a non-finite value.
    fn div(self, other: Self) -> Self {
        let first = self.high / other.high;
        let remainder = self - other * Self::from(first);
        let second = remainder.high / other.high;
        let remainder = remainder - other * Self::from(second);
        let third = remainder.high / other.high;
        quick_two_sum(first, second) + Self::from(third)
    }
}

impl Sum for Dd {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::ZERO, |total, term| total + term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact() {
        for value in [0, 1, -1, i64::MAX, i64::MIN, (1 << 53) + 1, -(1 << 62) - 1] {
            let read = Dd::from_i64(value);
            let back = format!("{:.0} {:.0}", read.high, read.low);
            let parts: Vec<i128> = back.split(' ').map(|part| part.parse().unwrap()).collect();
            assert_eq!(parts.iter().sum::<i128>(), i128::from(value));
        }
        assert_eq!(Dd::from_u64(u64::MAX) + Dd::ONE, Dd::from(2_f64.powi(64)));
    }

    #[test]
    fn a_sum_keeps_what_f64_drops() {
        let tiny = Dd::from(1e-20);
        assert_eq!((Dd::from(1e8) + tiny) - Dd::from(1e8), tiny);
        assert_eq!([1e30, 1.0, -1e30].map(Dd::from).into_iter().sum::<Dd>(), Dd::ONE);
    }

    #[test]
    fn products_and_quotients_undo_each_other() {
        let third = Dd::ONE / Dd::from_i64(3);
        assert!((third * Dd::from_i64(3) - Dd::ONE).abs() < Dd::from(1e-31));
        let a = Dd::from_i128(123_456_789_012_345_678_901_234_567);
        let b = Dd::from_i64(987_654_321_987_654_321);
        assert!(((a * b) / b - a).abs() < a * Dd::from(1e-30));
    }

    #[test]
    fn order_is_that_of_the_numbers() {
        assert!(Dd::from(1.0) + Dd::from(1e-25) > Dd::ONE);
        assert!(-Dd::ONE < Dd::ZERO);
        assert!(Dd::ONE / Dd::ZERO != Dd::ONE && !(Dd::ONE / Dd::ZERO).is_finite());
    }
}
