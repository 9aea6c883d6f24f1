//! The shortest decimal of an `f64`, taken apart.
//!
//! The standard library's `{:e}` is the shortest decimal that reads back as the same number. It is
//! written to a buffer on the stack and read from there; parsing refuses nothing, because the text
//! comes from nowhere else.

use std::fmt::{self, Write as _};

/// The text `d.ddde-x` of a number, on the stack: ingestion allocates nothing.
pub(super) struct Scientific {
    /// 17 digits, a point, `e`, a sign and three digits of exponent.
    text: [u8; 24],
    length: usize,
}

impl Scientific {
    pub(super) fn of(magnitude: f64) -> Self {
        let mut text = Self { text: [0; 24], length: 0 };
        // Cannot fail: the text has at most 23 bytes. Were that wrong, the digits that did fit
        // would be read.
        let _ = write!(text, "{magnitude:e}");
        text
    }

    /// Significand and exponent with `value = significand · 10^exponent`.
    pub(super) fn parts(&self) -> (u64, i32) {
        let (mut significand, mut exponent, mut places) = (0, 0, 0);
        let (mut after_point, mut in_exponent, mut negative_exponent) = (false, false, false);
        for &byte in &self.text[..self.length] {
            match byte {
                b'.' => after_point = true,
                b'e' => in_exponent = true,
                b'-' => negative_exponent = true,
                digit if in_exponent => exponent = exponent * 10 + i32::from(digit - b'0'),
                digit => {
                    significand = significand * 10 + u64::from(digit - b'0');
                    places += i32::from(after_point);
                }
            }
        }
        let exponent = if negative_exponent { -exponent } else { exponent };
        (significand, exponent - places)
    }
}

impl fmt::Write for Scientific {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let end = self.length + piece.len();
        let target = self.text.get_mut(self.length..end).ok_or(fmt::Error)?;
        target.copy_from_slice(piece.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn significand_and_exponent_of_the_shortest_text() {
        assert_eq!(Scientific::of(0.0).parts(), (0, 0));
        assert_eq!(Scientific::of(12.5).parts(), (125, -1));
        assert_eq!(Scientific::of(1e17).parts(), (1, 17));
        assert_eq!(Scientific::of(0.1 + 0.2).parts(), (30_000_000_000_000_004, -17));
        assert_eq!(Scientific::of(f64::MIN_POSITIVE).parts(), (22_250_738_585_072_014, -324));
    }

    #[test]
    fn the_longest_text_fits() {
        let text = Scientific::of(2.225_073_858_507_201_4e-308);
        assert_eq!(text.length, "2.2250738585072014e-308".len());
    }
}
