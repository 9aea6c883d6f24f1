//! Exact ingestion: an `f64` becomes the decimal its sender wrote, as integers that can be added in
//! any order.
//!
//! `10000000.1` is not an `f64`; its nearest `f64` loses the ninth digit of the standard deviation
//! of NIST `NumAcc4`. The *shortest decimal that reads back as the same `f64`* is what a person or
//! a JSON encoder wrote, so that decimal is what is counted. It is split into base-1e9 limbs,
//! `value = Σ limb_i · 1e9^i`, and limbs are added independently as `i64`, without carrying
//! ("carry-save"); addition of integers commutes, so no sum depends on order, shards or merges.
//!
//! # Promises
//!
//! - **Resolution** 1e-36: smaller digits are rounded half to even. **Exact for every
//!   `|x| >= 1e-20`:** a shortest decimal has at most 17 significant digits, so the last digit of a
//!   number of at least 10^e stands for 10^(e-16) or more, and e = -20 gives 1e-36.
//! - **Every `|limb| < 1e9`**, since limbs are digits in base 1e9 with the sign of the number. Each
//!   outcome therefore moves a counter by less than 1e9, and `i64::MAX / 1e9 > 9.22e9` outcomes fit
//!   before a counter can overflow.
//! - Reading ([`sum_to_dd`], [`square_sum_to_dd`]) is correct to 1e-30 relative for *any* content
//!   of the limbs, of mixed sign or cancelling: carries are propagated exactly before anything is
//!   rounded.
//!
//! It refuses NaN, infinities and magnitudes of 1e18 and more.

mod reading;
mod scientific;

use self::scientific::Scientific;

pub use self::reading::{square_sum_to_dd, sum_to_dd};

/// Base of the limbs.
const BASE: u64 = 1_000_000_000;
/// Number of limbs of a value.
pub const SUM_LIMBS: usize = 6;
/// Number of limbs of a square.
pub const SQUARE_LIMBS: usize = 12;
/// Exponent (of 1e9) of the first limb of a value; the last one is 1.
pub const LOWEST_SUM_LIMB: i32 = -4;
/// Exponent (of 1e9) of the first limb of a square; the last one is 3.
pub const LOWEST_SQUARE_LIMB: i32 = -8;
/// Decimal places kept: nine per limb below the point.
const DECIMAL_PLACES: i32 = 36;
/// Values of this magnitude and above are refused.
const LIMIT: f64 = 1e18;

/// An `f64` that cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum NotCountable {
    /// NaN or infinite.
    #[error("value is not finite")]
    NotFinite,
    /// At least 1e18 in magnitude.
    #[error("magnitude of {value:e} is not below 1e18")]
    TooLarge {
        /// The value refused.
        value: f64,
    },
}

/// A decimal number below 1e18 in magnitude with 36 decimal places.
///
/// The square of a value with `p` places has `2p`, hence twice the limbs below the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    /// Digits of the magnitude in base 1e9, the lowest first.
    digits: [u64; SUM_LIMBS],
}

impl Decimal {
    /// The signed limbs, from 1e9^[`LOWEST_SUM_LIMB`] up.
    #[must_use]
    pub fn limbs(&self) -> [i64; SUM_LIMBS] {
        let sign = if self.negative { -1 } else { 1 };
        self.digits.map(|digit| sign * digit_as_limb(digit))
    }

    /// The limbs of the exact square, from 1e9^[`LOWEST_SQUARE_LIMB`] up; none is negative.
    ///
    /// A column of the schoolbook product adds at most six products below 1e18 and a carry below
    /// 7e9, which is less than 2^64; the square is below 1e36, so the carry out of the last column
    /// is zero.
    #[must_use]
    pub fn square_limbs(&self) -> [i64; SQUARE_LIMBS] {
        let mut limbs = [0; SQUARE_LIMBS];
        let mut carry = 0;
        for (column, limb) in limbs.iter_mut().enumerate() {
            let first = column.saturating_sub(SUM_LIMBS - 1);
            let last = column.min(SUM_LIMBS - 1);
            let products = (first..=last).map(|i| self.digits[i] * self.digits[column - i]);
            let total = carry + products.sum::<u64>();
            *limb = digit_as_limb(total % BASE);
            carry = total / BASE;
        }
        limbs
    }

    /// `significand · 10^exponent` rounded to [`DECIMAL_PLACES`], for a magnitude below 1e18.
    fn from_scientific(negative: bool, significand: u64, exponent: i32) -> Self {
        let mut digits = [0; SUM_LIMBS];
        // Position of the significand's last digit, counted in decimal digits from the last place
        // kept.
        let position = exponent + DECIMAL_PLACES;
        let (mut rest, mut index) = match u32::try_from(position) {
            Ok(position) => {
                // At most 17 digits moved by at most 8: below 1e25.
                let shifted = u128::from(significand) * 10_u128.pow(position % 9);
                (shifted, (position / 9) as usize)
            }
            Err(_) => (u128::from(shift_right(significand, position.unsigned_abs())), 0),
        };
        // The magnitude is below 1e18, so the digits end before the array does.
        while rest > 0 && index < SUM_LIMBS {
            digits[index] = low_digit(rest);
            rest /= u128::from(BASE);
            index += 1;
        }
        Self { negative, digits }
    }
}

impl TryFrom<f64> for Decimal {
    type Error = NotCountable;

    fn try_from(value: f64) -> Result<Self, NotCountable> {
        if !value.is_finite() {
            return Err(NotCountable::NotFinite);
        }
        if value.abs() >= LIMIT {
            return Err(NotCountable::TooLarge { value });
        }
        let (significand, exponent) = Scientific::of(value.abs()).parts();
        Ok(Self::from_scientific(value < 0.0, significand, exponent))
    }
}

/// `value / 10^places`, rounded half to even.
fn shift_right(value: u64, places: u32) -> u64 {
    // Beyond 19 places the quotient of 17 digits is below one half.
    let Some(divisor) = 10_u64.checked_pow(places) else {
        return 0;
    };
    let (quotient, remainder) = (value / divisor, value % divisor);
    let round_up = match remainder.cmp(&(divisor / 2)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    quotient + u64::from(round_up)
}

#[expect(clippy::cast_possible_truncation, reason = "the remainder is below 1e9")]
fn low_digit(value: u128) -> u64 {
    (value % u128::from(BASE)) as u64
}

#[expect(clippy::cast_possible_wrap, reason = "a digit is below 1e9")]
fn digit_as_limb(digit: u64) -> i64 {
    digit as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::dd::Dd;

    fn limbs(value: f64) -> [i64; SUM_LIMBS] {
        Decimal::try_from(value).unwrap().limbs()
    }

    #[test]
    fn the_shortest_decimal_is_what_is_stored() {
        assert_eq!(limbs(0.0), [0; 6]);
        assert_eq!(limbs(-0.0), [0; 6]);
        assert_eq!(limbs(10_000_000.1), [0, 0, 0, 100_000_000, 10_000_000, 0]);
        assert_eq!(limbs(-1.5e-7), [0, 0, 0, -150, 0, 0]);
        assert_eq!(limbs(-1e-19), [0, -100_000_000, 0, 0, 0, 0]);
        assert_eq!(limbs(123_456_789_012.345), [0, 0, 0, 345_000_000, 456_789_012, 123]);
        assert_eq!(limbs(999_999_999_999_999_900.0), [0, 0, 0, 0, 999_999_900, 999_999_999]);
    }

    #[test]
    fn the_resolution_rounds_half_to_even() {
        assert_eq!(limbs(1e-36), [1, 0, 0, 0, 0, 0]);
        assert_eq!(limbs(5e-37), [0; 6]);
        assert_eq!(limbs(1.5e-36), [2, 0, 0, 0, 0, 0]);
        assert_eq!(limbs(2.5e-36), [2, 0, 0, 0, 0, 0]);
        assert_eq!(limbs(-5.1e-37), [-1, 0, 0, 0, 0, 0]);
        assert_eq!(limbs(f64::MIN_POSITIVE), [0; 6]);
        assert_eq!(limbs(1.234_567_890_123_456_7e-20)[..2], [901_234_567, 12_345_678]);
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Decimal::try_from(value), Err(NotCountable::NotFinite));
        }
        for value in [1e18, -1e18, f64::MAX] {
            assert_eq!(Decimal::try_from(value), Err(NotCountable::TooLarge { value }));
        }
    }

    #[test]
    fn squares_are_exact() {
        let square = Decimal::try_from(-999_999_999.999_999).unwrap().square_limbs();
        // (1e9 - 1e-6)^2 = 1e18 - 2e3 + 1e-12
        let expected = [0, 0, 0, 0, 0, 0, 1_000_000, 0, 999_998_000, 999_999_999, 0, 0];
        assert_eq!(square, expected);
        let tiny = Decimal::try_from(1e-36).unwrap().square_limbs();
        assert_eq!(tiny[0], 1);
    }

    #[test]
    fn every_limb_is_below_the_base_and_reads_back() {
        let mut state = 88_172_645_463_325_252_u64;
        for _ in 0..20_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let value = f64::from_bits(state);
            let Ok(decimal) = Decimal::try_from(value) else {
                continue;
            };
            assert!(decimal.limbs().iter().all(|limb| limb.abs() < 1_000_000_000));
            assert!(decimal.square_limbs().iter().all(|limb| (0..1_000_000_000).contains(limb)));
            let read = sum_to_dd(&decimal.limbs());
            if value.abs() >= 1e-20 {
                assert_eq!(read.to_f64().to_bits(), value.to_bits(), "{value:e}");
            }
            let square = square_sum_to_dd(&decimal.square_limbs());
            assert!((square - read * read).abs() <= square * Dd::from(1e-29));
        }
    }
}
