//! Dimensions of a recorded test: what the first row of a unit says is what all of its rows say.
//!
//! A unit counts under the value of its first outcome. Rows of a file are sent several at a time,
//! so which of them comes first is anybody's guess; that all say the same makes two replays of one
//! file come to the same.

use std::collections::HashMap;

use csv::StringRecord;
use prost_types::Value;

use super::columns::Column;
use crate::rpc::pb::Outcome;

/// The columns of the dimensions, and what the units met so far have in them.
#[derive(Debug, Default)]
pub(super) struct Dimensions {
    columns: Vec<(String, Column)>,
    first: HashMap<String, Vec<String>>,
}

impl Dimensions {
    pub(super) fn new(columns: Vec<(String, Column)>) -> Self {
        Self { columns, first: HashMap::new() }
    }

    /// Writes the unit's values into the attributes of an outcome; whether the row itself says
    /// something else. An empty cell is no value.
    pub(super) fn tell(&mut self, row: &StringRecord, outcome: &mut Outcome) -> bool {
        if self.columns.is_empty() {
            return false;
        }
        let cells: Vec<&str> = self.columns.iter().map(|(_, column)| column.cell(row)).collect();
        if !self.first.contains_key(&outcome.unit_id) {
            let own = cells.iter().map(ToString::to_string).collect();
            self.first.insert(outcome.unit_id.clone(), own);
        }
        let Some(first) = self.first.get(&outcome.unit_id) else { return false };
        let attributes = outcome.attributes.get_or_insert_default();
        for ((name, _), value) in self.columns.iter().zip(first) {
            if value.is_empty() {
                attributes.fields.remove(name);
            } else {
                attributes.fields.insert(name.clone(), Value::from(value.clone()));
            }
        }
        first.iter().zip(cells).any(|(first, cell)| first != cell)
    }
}
