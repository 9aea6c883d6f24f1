//! The hashes that everything else rests on. Frozen: a change moves every user of every
//! experiment, so `tests/golden/bucket` pins them against Python's hashlib.
//!
//! `bucket(salt, unit) = int(md5("{salt}:{unit}")) % 10000`, the digest read as one big-endian
//! 128-bit integer. Enrolment, layer and group draw from inputs of their own: with one shared
//! hash, a 10 % enrolment gate would put every enrolled unit into one arm. The inputs of one
//! experiment differ in the characters right after the salt, so they never coincide.

use std::fmt;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::domain::id::{EventId, ExperimentId, LayerId, UnitId, VariantId};

/// How many buckets there are; also the resolution of a share (basis points).
pub const BUCKETS: u16 = 10_000;

/// One of the 10,000 buckets, 0 to 9,999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u16);

impl Bucket {
    /// The bucket's number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }

    fn of_digest(digest: u128) -> Self {
        let number = u16::try_from(digest % u128::from(BUCKETS));
        Self(number.unwrap_or_default()) // A remainder of 10,000 always fits.
    }
}

/// What stands before the `:` in the hashed text: by default the experiment id, never with `/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Salt(String);

/// Why a text is not a salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to 128 bytes and no '/'")]
pub struct InvalidSalt;

impl TryFrom<String> for Salt {
    type Error = InvalidSalt;

    fn try_from(text: String) -> Result<Self, InvalidSalt> {
        let valid = (1..=128).contains(&text.len()) && !text.contains('/');
        if valid { Ok(Self(text)) } else { Err(InvalidSalt) }
    }
}

impl From<Salt> for String {
    fn from(salt: Salt) -> Self {
        salt.0
    }
}

impl From<&ExperimentId> for Salt {
    fn from(id: &ExperimentId) -> Self {
        Self(id.as_str().to_owned())
    }
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Salt {
    /// The bucket that decides the variant: `md5("{salt}:{unit}") % 10000`.
    #[must_use]
    pub fn bucket(&self, unit: UnitId<'_>) -> Bucket {
        Bucket::of_digest(md5_u128([&self.0, ":", unit.as_str()]))
    }

    /// The bucket that decides enrolment: `md5("{salt}/enrolment:{unit}") % 10000`.
    #[must_use]
    pub fn enrolment_bucket(&self, unit: UnitId<'_>) -> Bucket {
        Bucket::of_digest(md5_u128([&self.0, "/enrolment:", unit.as_str()]))
    }

    /// The group of units behind the standard errors: `md5("{salt}/group:{unit}") % groups`.
    #[must_use]
    pub fn group(&self, unit: UnitId<'_>, groups: GroupCount) -> u32 {
        let digest = md5_u128([&self.0, "/group:", unit.as_str()]);
        // The count is a power of two of at most 16,384: the low bits are the remainder.
        let low = u32::try_from(digest & u128::from(u32::MAX)).unwrap_or_default();
        low & (groups.get() - 1)
    }
}

impl LayerId {
    /// The bucket that decides the slot in a layer: `md5("{layer}/layer:{unit}") % 10000`.
    #[must_use]
    pub fn bucket(&self, unit: UnitId<'_>) -> Bucket {
        Bucket::of_digest(md5_u128([self.as_str(), "/layer:", unit.as_str()]))
    }
}

/// Number of groups of units: a power of two from 64 to 16,384.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct GroupCount(u32);

/// Why a number is not a group count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a power of two from 64 to 16,384")]
pub struct InvalidGroupCount;

impl GroupCount {
    /// 1,024: the level of the tests is right from 64 on, and 1,023 degrees of freedom cost no
    /// measurable power (Wolter 2007, chapter 2; measured in `docs/statistics.md`).
    pub const DEFAULT: Self = Self(1_024);

    /// 64: what a segment has.
    pub const LEAST: Self = Self(64);

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for GroupCount {
    type Error = InvalidGroupCount;

    fn try_from(count: u32) -> Result<Self, InvalidGroupCount> {
        let valid = count.is_power_of_two() && (64..=16_384).contains(&count);
        if valid { Ok(Self(count)) } else { Err(InvalidGroupCount) }
    }
}

impl From<GroupCount> for u32 {
    fn from(count: GroupCount) -> Self {
        count.0
    }
}

/// What a set remembers instead of an id: 128 bits, so that two ids never meet in practice
/// (odds of 1.5e-21 among 1e9 ids).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Of a unit under a variant. The variant is part of it because with external assignment a
    /// faulty caller may show one unit two variants; each exposure then counts where it happened.
    #[must_use]
    pub fn of_unit(experiment: &ExperimentId, variant: &VariantId, unit: UnitId<'_>) -> Self {
        let parts = [experiment.as_str(), "/unit/", variant.as_str(), ":", unit.as_str()];
        Self(md5_u128(parts).to_be_bytes())
    }

    /// Of a unit's event. The unit is part of it, because units live in different shards, which
    /// know nothing of each other: so an event id means the same under any number of shards. The
    /// length keeps the two apart.
    #[must_use]
    pub fn of_event(experiment: &ExperimentId, unit: UnitId<'_>, event: EventId<'_>) -> Self {
        let length = event.as_str().len().to_string();
        let parts = [experiment.as_str(), "/event:", &length, ":", event.as_str(), unit.as_str()];
        Self(md5_u128(parts).to_be_bytes())
    }

    /// The 16 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for Fingerprint {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

fn md5_u128<const N: usize>(parts: [&str; N]) -> u128 {
    let mut hasher = Md5::new();
    for part in parts {
        hasher.update(part.as_bytes());
    }
    u128::from_be_bytes(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_equal_hashlib() {
        // int(hashlib.md5(b"fine-tuned-v2-test:user_1").hexdigest(), 16) % 10000
        let salt = Salt::try_from("fine-tuned-v2-test".to_owned()).unwrap();
        assert_eq!(salt.bucket(UnitId::parse("user_1").unwrap()).get(), 149);
    }

    #[test]
    fn enrolment_and_split_are_independent() {
        let salt = Salt::try_from("independent".to_owned()).unwrap();
        let ids: Vec<String> = (0..20_000).map(|i| format!("user-{i}")).collect();
        let enrolled: Vec<_> = ids
            .iter()
            .map(|id| UnitId::parse(id).unwrap())
            .filter(|unit| salt.enrolment_bucket(*unit).get() < 1_000)
            .collect();
        let treated = enrolled.iter().filter(|unit| salt.bucket(**unit).get() < 5_000).count();
        // 2,000 enrolled at 50 %: sd 22. With a shared hash all of them would be treated.
        assert!(treated.abs_diff(enrolled.len() / 2) < 5 * 22, "{treated} of {}", enrolled.len());
    }

    #[test]
    fn group_counts_are_powers_of_two() {
        assert_eq!(GroupCount::try_from(1_024), Ok(GroupCount::DEFAULT));
        for bad in [0, 1, 32, 65, 1_000, 32_768] {
            assert_eq!(GroupCount::try_from(bad), Err(InvalidGroupCount));
        }
    }

    #[test]
    fn salts_take_no_slash() {
        assert!(Salt::try_from("a/b".to_owned()).is_err());
        assert!(Salt::try_from(String::new()).is_err());
        assert!(Salt::try_from("a:b.c".to_owned()).is_ok());
    }
}
