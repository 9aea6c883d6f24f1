//! The published bucketing vectors of `tests/golden/bucket` against the code that assigns.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tiebreak::domain::bucket::{BUCKETS, GroupCount, Salt};
use tiebreak::domain::id::{LayerId, UnitId};
use tiebreak::domain::split::Split;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bucket").join(name)
}

fn vectors<T: DeserializeOwned>(name: &str, at_least: usize) -> Vec<T> {
    #[derive(Deserialize)]
    struct File<T> {
        vectors: Vec<T>,
    }
    let text = fs::read_to_string(path(name)).expect(name);
    let File { vectors } = serde_json::from_str(&text).expect(name);
    assert!(vectors.len() >= at_least, "{name} holds {} vectors", vectors.len());
    vectors
}

fn salt(text: &str) -> Salt {
    Salt::try_from(text.to_owned()).expect(text)
}

fn unit(text: &str) -> UnitId<'_> {
    UnitId::parse(text).expect(text)
}

/// The split of two arms with the treatment second, as the classic rule has it.
fn two_arms(treatment: u16) -> Split {
    Split::initial(&[BUCKETS - treatment, treatment], 0)
}

#[test]
fn files_are_the_published_ones() {
    let sums = fs::read_to_string(path("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 6);
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").expect(line);
        let digest = Sha256::digest(fs::read(path(name)).expect(name));
        let published = (0..64).step_by(2).map(|at| u8::from_str_radix(&sum[at..at + 2], 16));
        let published: Vec<u8> = published.collect::<Result<_, _>>().expect(line);
        assert_eq!(digest.as_slice(), published, "{name} is not the file that was published");
    }
}

#[test]
fn every_hash_has_its_own_input() {
    #[derive(Deserialize)]
    struct Vector {
        id: String,
        kind: String,
        salt: String,
        unit: String,
        modulus: u32,
        hash_dec: String,
        md5_hex: String,
        remainder: u32,
    }
    for vector in vectors::<Vector>("hashes.json", 250) {
        let id = &vector.id;
        let number = u128::from_str_radix(&vector.md5_hex, 16).unwrap();
        assert_eq!(number, vector.hash_dec.parse().unwrap(), "{id}");
        assert_eq!(number % u128::from(vector.modulus), u128::from(vector.remainder), "{id}");
        let unit = unit(&vector.unit);
        let got = match vector.kind.as_str() {
            "split" => u32::from(salt(&vector.salt).bucket(unit).get()),
            "enrolment" => u32::from(salt(&vector.salt).enrolment_bucket(unit).get()),
            "layer" => u32::from(LayerId::parse(&vector.salt).unwrap().bucket(unit).get()),
            "group" => {
                salt(&vector.salt).group(unit, GroupCount::try_from(vector.modulus).unwrap())
            }
            other => panic!("{id}: unknown kind {other}"),
        };
        assert_eq!(got, vector.remainder, "{id}");
    }
}

#[test]
fn two_arms_are_the_classic_rule() {
    #[derive(Deserialize)]
    struct Vector {
        id: String,
        salt: String,
        unit: String,
        share: f64,
        treatment_weight: u16,
        remainder: u16,
        variant: String,
    }
    for vector in vectors::<Vector>("two_arm.json", 250) {
        let bucket = salt(&vector.salt).bucket(unit(&vector.unit));
        assert_eq!(bucket.get(), vector.remainder, "{}", vector.id);
        let treated = two_arms(vector.treatment_weight).variant_of(bucket) == 1;
        assert_eq!(treated, vector.variant == "treatment", "{}", vector.id);
        let normalized = f64::from(bucket.get()) / f64::from(BUCKETS);
        assert_eq!(treated, normalized < vector.share, "{}: the classic rule", vector.id);
    }
}

#[test]
fn two_to_eight_arms() {
    #[derive(Deserialize)]
    struct Vector {
        id: String,
        salt: String,
        weights: Vec<u16>,
        control: usize,
        ranges: Vec<(u16, u16)>,
        units: Vec<Assigned>,
    }
    #[derive(Deserialize)]
    struct Assigned {
        unit: String,
        remainder: u16,
        variant: usize,
    }
    for vector in vectors::<Vector>("arms.json", 18) {
        let split = Split::initial(&vector.weights, vector.control);
        for (variant, (start, end)) in vector.ranges.iter().enumerate() {
            let ranges = split.ranges(variant);
            match ranges {
                [] => assert_eq!(start, end, "{}: variant {variant}", vector.id),
                [only] => assert_eq!((only.start, only.end), (*start, *end), "{}", vector.id),
                more => panic!("{}: {more:?}", vector.id),
            }
        }
        for Assigned { unit: text, remainder, variant } in &vector.units {
            let bucket = salt(&vector.salt).bucket(unit(text));
            assert_eq!(bucket.get(), *remainder, "{}: {text}", vector.id);
            assert_eq!(split.variant_of(bucket), *variant, "{}: {text}", vector.id);
        }
    }
}

#[test]
fn the_classic_router_agrees_wherever_its_ids_are_ids() {
    #[derive(Deserialize)]
    struct Vector {
        id: String,
        experiment: String,
        user_id: String,
        split: f64,
        bucket: u16,
        variant: String,
        refused: Option<String>,
    }
    for vector in vectors::<Vector>("classic.json", 34) {
        let (salt, unit) = (Salt::try_from(vector.experiment), UnitId::parse(&vector.user_id));
        match vector.refused.as_deref() {
            Some("experiment") => assert!(salt.is_err(), "{}", vector.id),
            Some("user_id") => assert!(unit.is_err(), "{}", vector.id),
            Some(other) => panic!("{}: unknown field {other}", vector.id),
            None => {
                let bucket = salt.expect(&vector.id).bucket(unit.expect(&vector.id));
                assert_eq!(bucket.get(), vector.bucket, "{}", vector.id);
                let weight = (0..=BUCKETS)
                    .find(|weight| f64::from(*weight) / f64::from(BUCKETS) >= vector.split)
                    .unwrap();
                let treated = two_arms(weight).variant_of(bucket) == 1;
                assert_eq!(treated, vector.variant == "treatment", "{}", vector.id);
            }
        }
    }
}
