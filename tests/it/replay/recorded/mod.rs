//! The recorded tests: which file, which columns, and where what is known about them is written.

mod prepared;
mod sets;

use std::path::Path;

use serde_json::Value;

pub(super) use self::prepared::Prepared;
pub(super) use self::sets::{
    CODING_ASSISTANT, PERSUASION, PERSUASION_BY_MESSAGE, PERSUASION_EQUAL, PERSUASION_FOUR_TO_ONE,
    PERSUASION_MESSAGES, PERSUASION_MODELS, PROVIDERS, PROVIDERS_COMPARED, ROUTER,
    ROUTER_BY_SUBJECT, SUPPORT_BOT,
};

/// A recorded test, or a part of one.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) experiment: &'static str,
    folder: &'static str,
    definition: &'static str,
    pub(super) files: &'static [Table],
    /// Names of variants that are no valid ids, and what they become.
    pub(super) renamed: &'static [(&'static str, &'static str)],
    /// As the file calls it.
    pub(super) control: &'static str,
    rows: Rows,
    /// Where the expected answers start.
    answers: &'static str,
    /// Where moments of further variants are, by variant and column.
    further: Option<&'static str>,
    /// Where standard errors by unit are, if units have several rows and the answers about a
    /// column do not say so themselves.
    pub(super) clustered: Option<&'static str>,
    /// What is known about the split, where that is the one of the definition.
    pub(super) split: Option<Split>,
}

/// Which rows are replayed.
#[derive(Debug)]
enum Rows {
    /// All, with the variants and weights of the definition.
    All,
    /// Those of some variants, control first, with these weights.
    Arms(&'static [(&'static str, u32)]),
    /// Every unit with the column of the variant that the server is expected to choose: the
    /// treatment below bucket 5,000.
    Router { control: (&'static str, &'static str), treatment: (&'static str, &'static str) },
}

/// The check of the split.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) answers: &'static str,
    pub(super) mismatch: bool,
    /// How near the weights are to those of the expected answer.
    pub(super) bound: f64,
}

/// A file of it.
#[derive(Debug)]
pub(super) struct Table {
    file: &'static str,
    /// Its part of the expected answers.
    section: &'static str,
    pub(super) unit: &'static str,
    event_id: &'static str,
    /// Metrics and their columns.
    pub(super) metrics: &'static [(&'static str, &'static str)],
}

impl Recorded {
    /// The right answers, computed with SciPy and statsmodels.
    pub(super) fn expected(&self, data: &Path) -> Value {
        let text = std::fs::read_to_string(data.join(self.folder).join("expected.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// What is known about a column of one of its files.
    pub(super) fn column<'a>(&self, expected: &'a Value, table: &Table, column: &str) -> &'a Value {
        &expected.pointer(self.answers).unwrap()[table.section][column]
    }

    /// The moments of every variant of a column, as far as they are known.
    pub(super) fn moments<'a>(
        &self,
        expected: &'a Value,
        table: &Table,
        column: &str,
    ) -> Vec<(&'a String, &'a Value)> {
        let known = self.column(expected, table, column)["per_variant"].as_object().unwrap();
        let further = self.further.map(|place| expected.pointer(place).unwrap());
        let further = further.into_iter().flat_map(|arms| arms.as_object().unwrap());
        let further = further.filter_map(|(name, columns)| Some((name, columns.get(column)?)));
        let further = further.filter(|(name, _)| !known.contains_key(*name));
        let all = known.iter().chain(further);
        all.filter(|(name, _)| self.includes(name)).collect()
    }

    /// Whether a variant, by its name in the file, takes part.
    pub(super) fn includes(&self, name: &str) -> bool {
        match self.rows {
            Rows::Arms(arms) => arms.iter().any(|(arm, _)| *arm == name),
            Rows::All | Rows::Router { .. } => true,
        }
    }

    /// Whether only some variants take part.
    pub(super) fn is_part(&self) -> bool {
        matches!(self.rows, Rows::Arms(_))
    }

    /// A variant's id, by its name in the file.
    pub(super) fn variant<'a>(&self, name: &'a str) -> &'a str {
        let renamed = self.renamed.iter().find(|(from, _)| *from == name);
        renamed.map_or(name, |(_, to)| to)
    }

    /// The reverse.
    pub(super) fn name<'a>(&self, variant: &'a str) -> &'a str {
        let renamed = self.renamed.iter().find(|(_, to)| *to == variant);
        renamed.map_or(variant, |(from, _)| from)
    }
}
