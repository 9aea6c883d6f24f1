//! The stored form of an experiment: JSON in an envelope with a format number, so that a later
//! release knows what it reads and an older one refuses what it does not know.

use serde::{Deserialize, Serialize};

use crate::domain::experiment::Experiment;
use crate::store::StoreError;

/// Raised when a record of this release can no longer be read by the previous one.
const FORMAT: u32 = 2;

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    experiment: &'a Experiment,
}

#[derive(Deserialize)]
struct Envelope {
    format: u32,
}

#[derive(Deserialize)]
struct Stored {
    experiment: Experiment,
}

/// What to say of data in a format that this release does not read.
pub(crate) fn of_another_release(found: u64, known: u64) -> String {
    let remedy = if found > known {
        "a newer release wrote it: use that one"
    } else {
        "an older release wrote it: export it with that one and import it with this one"
    };
    format!("it is in format {found}, this release reads format {known}; {remedy}")
}

/// Writes a record.
pub(crate) fn encode(experiment: &Experiment) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(&Written { format: FORMAT, experiment })
        .map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// Reads a record.
pub(crate) fn decode(bytes: &[u8]) -> Result<Experiment, StoreError> {
    let corrupt = |error: serde_json::Error| StoreError::Corrupt(error.to_string());
    let Envelope { format } = serde_json::from_slice(bytes).map_err(corrupt)?;
    if format != FORMAT {
        let other = of_another_release(format.into(), FORMAT.into());
        return Err(StoreError::Corrupt(format!("an experiment: {other}")));
    }
    let Stored { experiment } = serde_json::from_slice(bytes).map_err(corrupt)?;
    Ok(experiment)
}
