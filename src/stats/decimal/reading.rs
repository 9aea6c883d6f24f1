//! Reading accumulated limbs: exact carries first, one rounding to double-double last.

use super::{BASE, SQUARE_LIMBS, SUM_LIMBS};
use crate::stats::dd::Dd;

const BASE_I64: i64 = 1_000_000_000;

/// The value of accumulated limbs of values, whatever they hold.
///
/// Sums of values with at most nine decimals, below 9e9, are the rule and fit into one integer of
/// billionths; a look at a large experiment reads half a million of them.
#[must_use]
pub fn sum_to_dd(limbs: &[i64; SUM_LIMBS]) -> Dd {
    if let [0, 0, 0, billionths, whole, 0] = *limbs {
        if billionths == 0 {
            return Dd::from_i64(whole);
        }
        let total = whole.checked_mul(BASE_I64).and_then(|whole| whole.checked_add(billionths));
        if let Some(total) = total {
            return Dd::from_i64(total) / Dd::from_i64(BASE_I64);
        }
    }
    short_sum(limbs).unwrap_or_else(|| read(limbs) / Dd::from_i128(10_i128.pow(36)))
}

/// Of the four limbs that clocks and quotients in `f64` touch, while they fit into 128 bits: a tenth
/// of the cost of the carries, and exact up to the one rounding.
fn short_sum(limbs: &[i64; SUM_LIMBS]) -> Option<Dd> {
    let [0, lower @ .., 0] = limbs else { return None };
    let total = lower.iter().rev().try_fold(0_i128, |total, limb| {
        total.checked_mul(i128::from(BASE)).and_then(|total| total.checked_add(i128::from(*limb)))
    });
    Some(Dd::from_i128(total?) / Dd::from_i128(10_i128.pow(27)))
}

/// The value of accumulated limbs of squares, whatever they hold.
#[must_use]
pub fn square_sum_to_dd(limbs: &[i64; SQUARE_LIMBS]) -> Dd {
    // 1e72 has more than 106 bits; 1e36 = 5^36 · 2^36 has 84 significant ones and is exact.
    let scale = Dd::from_i128(10_i128.pow(36));
    read(limbs) / scale / scale
}

/// `Σ limb_i · 1e9^i` for carry-save limbs, the lowest first.
///
/// After the carries are out, all digits have the sign of the number, so nothing cancels: three
/// digits at a time are exact integers below 1e27, and each of the at most five steps rounds within
/// 8u².
fn read<const N: usize>(limbs: &[i64; N]) -> Dd {
    let (digits, carry) = propagate(limbs.map(i128::from));
    if carry >= 0 {
        return assemble(&digits, carry);
    }
    let (digits, carry) = propagate(limbs.map(|limb| -i128::from(limb)));
    -assemble(&digits, carry)
}

/// Digits in `[0, 1e9)` and the carry out of the highest, which has the sign of the number.
fn propagate<const N: usize>(limbs: [i128; N]) -> ([i128; N], i128) {
    let base = i128::from(BASE);
    let mut carry = 0;
    let digits = limbs.map(|limb| {
        let total = limb + carry;
        carry = total.div_euclid(base);
        total.rem_euclid(base)
    });
    (digits, carry)
}

fn assemble(digits: &[i128], carry: i128) -> Dd {
    let group = Dd::from_i128(10_i128.pow(27));
    digits.rchunks(3).fold(Dd::from_i128(carry), |total, chunk| {
        let base = i128::from(BASE);
        let value = chunk.iter().rev().fold(0, |value, digit| value * base + digit);
        total * group + Dd::from_i128(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64) {
        assert!((got / expected - 1.0).abs() < 1e-15, "{got:e} {expected:e}");
    }

    #[test]
    fn carry_save_limbs_of_any_content_are_read() {
        // 1e9 at limb 0 minus one at limb 1 is nothing; what is left lies 54 digits below.
        close(sum_to_dd(&[7, 0, 0, 0, 1_000_000_000, -1]).to_f64(), 7e-36);
        close(sum_to_dd(&[-7, 0, 0, 0, 1_000_000_000, -1]).to_f64(), -7e-36);
        close(sum_to_dd(&[0, 0, 0, 0, i64::MIN, 0]).to_f64(), -(2_f64.powi(63)));
        assert!(sum_to_dd(&[0, 0, 0, -1_000_000_000, 1, 0]).is_zero());
        for limbs in [[0, 3, -2, 7, 11, 0], [0, -1, 0, 0, 0, 0], [0, 999, 1, -5, -4_000_000, 0]] {
            let carried = read(&limbs) / Dd::from_i128(10_i128.pow(36));
            let short = short_sum(&limbs).unwrap();
            assert!((short - carried).abs() <= carried.abs() * Dd::from(1e-30), "{limbs:?}");
        }
        assert_eq!(short_sum(&[0, 0, 0, 0, i64::MAX, 0]), None);
        // Σ (2^63 - 1) · 1e9^i for i = -8..=3.
        let expected = 2_f64.powi(63) * 1e27 / (1.0 - 1e-9);
        close(square_sum_to_dd(&[i64::MAX; SQUARE_LIMBS]).to_f64(), expected);
        close(square_sum_to_dd(&[i64::MIN; SQUARE_LIMBS]).to_f64(), -expected);
    }
}
