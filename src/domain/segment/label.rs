//! Which values a unit has, in 48 bits that a store keeps beside it.
//!
//! A unit has one value of every dimension, for good: that of its first counted event. Outcomes
//! that come later need not tell it, and one that tells another does not move the unit. So the
//! units of the values of a dimension are a partition of all units, and a treatment that changes an
//! attribute cannot move anybody from one comparison to another.

/// Most dimensions of an iteration.
pub const DIMENSIONS: usize = 8;

/// Most values of a dimension that have a name; the others are one value, "(other)".
pub const VALUES: u8 = 32;

/// Bits for each dimension: 34 codes.
const BITS: usize = 6;
const MASK: u64 = (1 << BITS) - 1;
const OTHER: u64 = 33;

/// A unit's value of one dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// It came without one.
    Absent,
    /// One of those that have a name, by its number from 0 to 31.
    Value(u8),
    /// One of the others.
    Other,
}

/// A unit's values of up to [`DIMENSIONS`] dimensions, by their place in the iteration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(u64);

impl Label {
    /// Of a unit without any value.
    pub const NONE: Self = Self(0);

    /// How many bytes a store keeps.
    pub const BYTES: usize = DIMENSIONS * BITS / 8;

    /// The same with a value of one more dimension. There is no place from [`DIMENSIONS`] on and no
    /// value from [`VALUES`] on: what is beyond is left out.
    #[must_use]
    pub fn with(self, place: usize, code: Code) -> Self {
        if place >= DIMENSIONS {
            return self;
        }
        let bits = match code {
            Code::Value(number) if number < VALUES => u64::from(number) + 1,
            Code::Absent | Code::Value(_) => 0,
            Code::Other => OTHER,
        };
        Self(self.0 & !(MASK << (BITS * place)) | bits << (BITS * place))
    }

    /// The value of the dimension in a place.
    #[must_use]
    pub fn code(self, place: usize) -> Code {
        if place >= DIMENSIONS {
            return Code::Absent;
        }
        match self.0 >> (BITS * place) & MASK {
            OTHER => Code::Other,
            bits => match u8::try_from(bits) {
                Ok(number @ 1..=VALUES) => Code::Value(number - 1),
                // No code here writes the others.
                Ok(_) | Err(_) => Code::Absent,
            },
        }
    }

    /// As a store keeps it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes.copy_from_slice(&self.0.to_be_bytes()[8 - Self::BYTES..]);
        bytes
    }
}

impl From<[u8; Label::BYTES]> for Label {
    fn from(bytes: [u8; Self::BYTES]) -> Self {
        let mut wide = [0; 8];
        wide[8 - Self::BYTES..].copy_from_slice(&bytes);
        Self(u64::from_be_bytes(wide))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_from_every_place_and_disturbs_no_other() {
        let codes = (0..VALUES).map(Code::Value).chain([Code::Other, Code::Absent]);
        for (place, code) in codes.enumerate().flat_map(|(n, code)| {
            (0..DIMENSIONS).map(move |place| ((place + n) % DIMENSIONS, code))
        }) {
            let others = (0..DIMENSIONS).fold(Label::NONE, |label, place| {
                label.with(place, Code::Value(u8::try_from(place * 4).unwrap()))
            });
            let label = others.with(place, code);
            assert_eq!(Label::from(label.to_bytes()), label);
            for other in (0..DIMENSIONS).filter(|other| *other != place) {
                assert_eq!(label.code(other), others.code(other));
            }
            assert_eq!(label.code(place), code);
        }
    }

    #[test]
    fn what_is_beyond_is_left_out() {
        assert_eq!(Label::NONE.with(DIMENSIONS, Code::Other), Label::NONE);
        assert_eq!(Label::NONE.with(0, Code::Value(VALUES)), Label::NONE);
        assert_eq!(Label::from([255; 6]).code(DIMENSIONS), Code::Absent);
        assert_eq!(Label::from([255; 6]).code(0), Code::Absent);
    }
}
