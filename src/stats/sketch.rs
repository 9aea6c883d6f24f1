//! Logarithmic bins: which bin a non-negative value falls into, and what a bin stands for.
//!
//! The mapping of DDSketch (Masson, Rim and Lee 2019, section 2.1): bin `k` holds
//! `gamma^(k-1) < x <= gamma^k` with `gamma = (1 + a) / (1 - a)`, so the value
//! `2 gamma^k / (gamma + 1)` is within the relative error `a` of everything in it. Counts of bins
//! are integers and add up exactly, in any order.
//!
//! Values below [`SMALLEST`] share the bin of zero; the decimals that a metric accepts end at
//! 1e18, so there are [`BINS`] bins in all.

/// Largest relative error of a value read from its bin.
pub const RELATIVE_ERROR: f64 = 0.01;

/// Largest relative error of a value interpolated within its bin: the bin's width,
/// `gamma - 1 = 2a / (1 - a)`. Interpolation is closer than that on average and lets estimates move
/// smoothly, but promises no more.
pub const INTERPOLATION_ERROR: f64 = 2.0 * RELATIVE_ERROR / (1.0 - RELATIVE_ERROR);

/// Smallest value with a bin of its own: a nanosecond, a billionth of a dollar.
pub const SMALLEST: f64 = 1e-9;

/// Number of bins, the one of zero included.
pub const BINS: u16 = 3_111;

/// `k` of the first logarithmic bin, the one that holds [`SMALLEST`].
const FIRST: i32 = -1_036;

/// Index of a bin: 0 for zero, ascending with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bin(u16);

fn gamma() -> f64 {
    (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR)
}

/// `ln gamma = ln(1.01 / 0.99) = 2 artanh 0.01`.
fn ln_gamma() -> f64 {
    libm::log1p(RELATIVE_ERROR) - libm::log1p(-RELATIVE_ERROR)
}

impl Bin {
    /// The bin of a value in `0..1e18`; values outside go to the nearest bin, NaN to zero's.
    ///
    /// Computed with `libm`, not the platform's logarithm, so that every replica agrees on
    /// values at a boundary.
    #[must_use]
    pub fn of(value: f64) -> Self {
        if value.is_nan() || value < SMALLEST {
            return Self(0);
        }
        let k = libm::ceil(libm::log(value) / ln_gamma());
        #[expect(
            clippy::cast_possible_truncation,
            reason = "|k| < 4,000 for every f64 >= 1e-9 and infinity saturates"
        )]
        let index = (k as i32).saturating_sub(FIRST - 1);
        Self(u16::try_from(index.clamp(1, i32::from(BINS) - 1)).unwrap_or_default())
    }

    /// The bin of that index, if there is one.
    #[must_use]
    pub fn from_index(index: u16) -> Option<Self> {
        (index < BINS).then_some(Self(index))
    }

    /// The index, 0 to [`BINS`] - 1.
    #[must_use]
    pub fn index(self) -> u16 {
        self.0
    }

    fn exponent(self) -> f64 {
        f64::from(i32::from(self.0) + FIRST - 1)
    }

    /// Largest value in the bin.
    #[must_use]
    pub fn upper(self) -> f64 {
        if self.0 == 0 { SMALLEST } else { libm::exp(self.exponent() * ln_gamma()) }
    }

    /// The bin's lower end, itself not in the bin.
    #[must_use]
    pub fn lower(self) -> f64 {
        if self.0 == 0 { 0.0 } else { libm::exp((self.exponent() - 1.0) * ln_gamma()) }
    }

    /// The value within [`RELATIVE_ERROR`] of everything in the bin.
    #[must_use]
    pub fn middle(self) -> f64 {
        if self.0 == 0 { 0.0 } else { 2.0 * self.upper() / (gamma() + 1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_is_within_the_stated_error_of_its_values() {
        let mut value = SMALLEST;
        while value < 1e18 {
            let bin = Bin::of(value);
            assert!((bin.middle() / value - 1.0).abs() <= RELATIVE_ERROR * 1.000_001, "{value}");
            assert!(bin.index() > 0 && bin.index() < BINS);
            value *= 1.003_7;
        }
        assert_eq!(Bin::of(SMALLEST).index(), 1);
    }

    #[test]
    fn bins_ascend_and_odd_values_have_a_place() {
        let values = [0.0, 1e-10, 1e-9, 0.5, 1.0, 1.021, 70.9, 1e17];
        assert!(values.windows(2).all(|pair| Bin::of(pair[0]) <= Bin::of(pair[1])));
        assert_eq!(Bin::of(f64::NAN).index(), 0);
        assert_eq!(Bin::of(-1.0).index(), 0);
        assert_eq!(Bin::of(f64::INFINITY).index(), BINS - 1);
        assert_eq!(Bin::of(1e18).index(), BINS - 1);
    }
}
