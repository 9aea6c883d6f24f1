//! Which values of a dimension have a name: the first 32 that an iteration sees, for good.
//!
//! The registry only grows, one slot after the other, and a slot is never written twice. So "it is
//! value 5" and "it is none of the 32" stay true whoever says them and when; only "it has no name
//! *yet*" asks for another look. Who brings a new value claims the lowest slot that it sees
//! empty: of two claims to a slot the first stays (a store's notes promise that), and the other
//! looks again. A value never has two slots: who claims slot `n` for it has seen all slots below
//! filled with other values, and so has whoever claims a later one.
//!
//! Counters carry the value in their names, not the slot, so they are the same bytes whatever
//! the order in which values were first seen. Beyond 32 values it is that order which decides who
//! is "(other)", as the contract says.

use std::ops::Range;

use crate::domain::segment::label::{Code, DIMENSIONS, Label, VALUES};
use crate::domain::segment::value::{OTHER, Told, is_name};
use crate::domain::segment::{Segment, Segments};

/// The slots that an iteration's registry has among its notes, behind those of the history.
pub const SLOTS: Range<u32> = FIRST..FIRST + 256;

const FIRST: u32 = 4_096;

/// The values of an iteration's dimensions, as far as they are known here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    /// By place of the dimension, in the order of the slots.
    values: [Vec<String>; DIMENSIONS],
}

/// A slot of the registry that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("slot {0} of the values of dimensions")]
pub struct CorruptRegistry(u32);

/// A value that has no name yet, and the slot that is to be claimed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which slot.
    pub slot: u32,
    /// For what.
    pub value: String,
}

/// A label that names values which are not known here: the registry is out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfDate;

impl Registry {
    /// Reads the slots of [`SLOTS`] that are there, in their order.
    ///
    /// # Errors
    /// [`CorruptRegistry`] for a slot that no code here wrote.
    pub fn read<'a>(slots: impl Iterator<Item = (u32, &'a [u8])>) -> Result<Self, CorruptRegistry> {
        let mut registry = Self::default();
        for (slot, bytes) in slots {
            let corrupt = CorruptRegistry(slot);
            let value = std::str::from_utf8(bytes).ok().filter(|text| is_name(text));
            let value = value.ok_or_else(|| corrupt.clone())?;
            registry.enter(Claim { slot, value: value.to_owned() }).ok_or(corrupt)?;
        }
        Ok(registry)
    }

    /// Enters a value in the next slot of its dimension; `None` for any other slot.
    pub fn enter(&mut self, claim: Claim) -> Option<()> {
        let number = claim.slot.checked_sub(FIRST)?;
        let place = usize::try_from(number / u32::from(VALUES)).ok()?;
        let values = self.values.get_mut(place)?;
        let next = u32::try_from(values.len()).ok()?;
        (number % u32::from(VALUES) == next).then(|| values.push(claim.value))
    }

    /// The label of a unit by what it tells about each dimension.
    ///
    /// # Errors
    /// The first value that has no name and could get one.
    pub fn label(&self, told: &[Told]) -> Result<Label, Claim> {
        let mut label = Label::NONE;
        for (place, (told, values)) in told.iter().zip(&self.values).enumerate() {
            let code = match told {
                Told::Absent => Code::Absent,
                Told::Unnameable => Code::Other,
                Told::Value(value) => match values.iter().position(|known| known == value) {
                    Some(number) => u8::try_from(number).map_or(Code::Other, Code::Value),
                    None if values.len() >= usize::from(VALUES) => Code::Other,
                    None => return Err(Self::claim(place, values.len(), value)),
                },
            };
            label = label.with(place, code);
        }
        Ok(label)
    }

    fn claim(place: usize, number: usize, value: &str) -> Claim {
        let within = place * usize::from(VALUES) + number;
        let slot = u32::try_from(within).map_or(SLOTS.end, |within| FIRST + within);
        Claim { slot, value: value.to_owned() }
    }

    /// The segments of a unit with that label.
    ///
    /// # Errors
    /// [`OutOfDate`] when the label names a value that is not known here.
    pub fn segments(&self, dimensions: &[String], label: Label) -> Result<Segments, OutOfDate> {
        let mut rows = Vec::new();
        for (place, (dimension, values)) in dimensions.iter().zip(&self.values).enumerate() {
            let value = match label.code(place) {
                Code::Absent => continue,
                Code::Other => OTHER,
                Code::Value(number) => values.get(usize::from(number)).ok_or(OutOfDate)?,
            };
            rows.push(Segment::rows(dimension, value));
        }
        Ok(Segments { label: Some(label), rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Told {
        Told::Value(text.to_owned())
    }

    /// As a server does that nobody disturbs.
    fn label(registry: &mut Registry, told: &[Told]) -> Label {
        loop {
            match registry.label(told) {
                Ok(label) => return label,
                Err(claim) => registry.enter(claim).unwrap(),
            }
        }
    }

    #[test]
    fn the_first_32_values_have_names_and_keep_them() {
        let mut registry = Registry::default();
        let names: Vec<String> = (0..40).map(|number| format!("v{number}")).collect();
        for round in 0..2 {
            for (number, name) in (0..).zip(&names) {
                let label = label(&mut registry, &[Told::Absent, value(name)]);
                let expected = if number < VALUES { Code::Value(number) } else { Code::Other };
                assert_eq!((label.code(0), label.code(1)), (Code::Absent, expected), "{round}");
            }
        }
        let label = label(&mut registry, &[Told::Unnameable, value("v3")]);
        let segments = registry.segments(&["a/b".to_owned(), "d".to_owned()], label).unwrap();
        assert_eq!(segments.rows, ["g/a%2Fb/(other)/", "g/d/v3/"]);
    }

    #[test]
    fn what_is_stored_comes_back_and_what_is_not_ours_is_refused() {
        let mut registry = Registry::default();
        let mut claims = Vec::new();
        for told in [[value("a"), value("x")], [value("b"), value("a")]] {
            while let Err(claim) = registry.label(&told) {
                claims.push((claim.slot, claim.value.clone().into_bytes()));
                registry.enter(claim).unwrap();
            }
        }
        claims.sort();
        let slots = claims.iter().map(|(slot, bytes)| (*slot, bytes.as_slice()));
        assert_eq!(Registry::read(slots).unwrap(), registry);
        assert!(claims.iter().all(|(slot, _)| SLOTS.contains(slot)));
        for (slot, bytes) in [
            (FIRST + 1, &b"a"[..]),
            (FIRST, b""),
            (FIRST, b"\n"),
            (FIRST, b"\xff"),
            (SLOTS.end, b"a"),
            (FIRST - 1, b"a"),
        ] {
            assert_eq!(Registry::read([(slot, bytes)].into_iter()), Err(CorruptRegistry(slot)));
        }
    }

    #[test]
    fn a_label_of_values_that_others_named_asks_for_another_look() {
        let mut newer = Registry::default();
        let label = label(&mut newer, &[value("a")]);
        let dimensions = ["d".to_owned()];
        assert_eq!(Registry::default().segments(&dimensions, label), Err(OutOfDate));
        assert!(newer.segments(&dimensions, label).is_ok());
    }
}
