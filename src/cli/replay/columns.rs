//! Which column of a CSV file is what, and a row as an outcome. Pure.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::str::FromStr;

use csv::StringRecord;

use super::super::Error;
use super::cells;
use super::dimensions::Dimensions;
use crate::rpc::pb::{Experiment, Outcome};

/// Who says which variant a unit met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariantSource {
    /// The server, by its hash.
    Server,
    /// A column of the file.
    Column(String),
}

impl FromStr for VariantSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "assign" { Self::Server } else { Self::Column(text.to_owned()) })
    }
}

/// Reads `NAME=COL`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => {
            Ok((left.to_owned(), right.to_owned()))
        }
        _ => Err("must be two names with = between them".to_owned()),
    }
}

/// Columns as the person named them.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    pub(super) unit: &'a str,
    pub(super) variant: &'a VariantSource,
    pub(super) metrics: &'a [(String, String)],
    pub(super) map_variants: &'a [(String, String)],
    pub(super) event_id: Option<&'a str>,
    pub(super) time: Option<&'a str>,
    pub(super) attributes: &'a [(String, String)],
    pub(super) dimensions: &'a [(String, String)],
}

/// Columns as the file has them.
#[derive(Debug)]
pub(super) struct Columns {
    experiment: String,
    variants: BTreeSet<String>,
    renamed: HashMap<String, String>,
    unit: Column,
    variant: Option<Column>,
    event_id: Option<Column>,
    time: Option<Column>,
    metrics: Vec<(String, Column)>,
    attributes: Vec<(String, Column)>,
    dimensions: Dimensions,
}

/// A column by name, for people, and by place.
#[derive(Debug, Clone)]
pub(super) struct Column {
    name: String,
    index: usize,
}

impl Columns {
    /// Finds every column in the header, and every metric and renamed variant in the experiment.
    pub(super) fn find(
        headers: &StringRecord,
        selection: &Selection<'_>,
        experiment: &Experiment,
    ) -> Result<Self, Error> {
        let find = |name: &str| column(headers, name);
        let find_named = |pairs: &[(String, String)]| -> Result<Vec<_>, Error> {
            pairs.iter().map(|(name, column)| Ok((name.clone(), find(column)?))).collect()
        };
        let variants = experiment.variants.iter().map(|variant| variant.variant_id.clone());
        let metrics = experiment.metrics.iter().map(|metric| metric.metric_id.as_str());
        known("metric", selection.metrics.iter().map(|(name, _)| name.as_str()), metrics)?;
        let variants: BTreeSet<String> = variants.collect();
        known(
            "variant",
            selection.map_variants.iter().map(|(_, to)| to.as_str()),
            variants.iter().map(String::as_str),
        )?;
        Ok(Self {
            experiment: experiment.experiment_id.clone(),
            variants,
            renamed: selection.map_variants.iter().cloned().collect(),
            unit: find(selection.unit)?,
            variant: match selection.variant {
                VariantSource::Server => None,
                VariantSource::Column(name) => Some(find(name)?),
            },
            event_id: selection.event_id.map(find).transpose()?,
            time: selection.time.map(find).transpose()?,
            metrics: find_named(selection.metrics)?,
            attributes: find_named(selection.attributes)?,
            dimensions: Dimensions::new(find_named(selection.dimensions)?),
        })
    }

    /// A row as an outcome, and whether it tells other dimensions than the first row of its unit.
    /// Rows come in the order of the file. Empty cells are absent; a row without any value records
    /// the exposure.
    ///
    /// # Errors
    /// What is wrong with which column; the caller knows the line.
    pub(super) fn outcome(&mut self, row: &StringRecord) -> Result<(Outcome, bool), String> {
        let mut outcome = self.plain_outcome(row)?;
        let differs = self.dimensions.tell(row, &mut outcome);
        Ok((outcome, differs))
    }

    fn plain_outcome(&self, row: &StringRecord) -> Result<Outcome, String> {
        let mut outcome = Outcome {
            experiment_id: self.experiment.clone(),
            unit_id: self.unit.read(row, required)?,
            ..Outcome::default()
        };
        if let Some(column) = &self.variant {
            outcome.assigned_variant_id = column.read(row, |cell| self.variant_id(cell))?;
        }
        if let Some(column) = &self.event_id {
            outcome.event_id = column.read(row, required)?;
        }
        if let Some(column) = &self.time {
            outcome.event_time = column.read(row, cells::time)?;
        }
        for (metric, column) in &self.metrics {
            if let Some(value) = column.read(row, cells::value)? {
                outcome.values.insert(metric.clone(), value);
            }
        }
        if !self.attributes.is_empty() {
            let fields = self.attributes.iter().filter_map(|(name, column)| {
                Some((name.clone(), cells::attribute(column.cell(row))?))
            });
            outcome.attributes = Some(prost_types::Struct { fields: fields.collect() });
        }
        Ok(outcome)
    }

    fn variant_id(&self, cell: &str) -> Result<String, String> {
        let id = self.renamed.get(cell).map_or(cell, String::as_str);
        if self.variants.contains(id) {
            return Ok(id.to_owned());
        }
        let known: Vec<&str> = self.variants.iter().map(String::as_str).collect();
        Err(format!(
            "{cell:?} is no variant of the experiment ({}); --map-variant \"{cell}=ID\" renames it",
            known.join(", ")
        ))
    }
}

impl Column {
    pub(super) fn cell<'r>(&self, row: &'r StringRecord) -> &'r str {
        row.get(self.index).unwrap_or_default().trim()
    }

    fn read<T>(
        &self,
        row: &StringRecord,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, String> {
        parse(self.cell(row)).map_err(|fault| format!("column {}: {fault}", self.name))
    }
}

fn required(cell: &str) -> Result<String, String> {
    if cell.is_empty() { Err("is empty".to_owned()) } else { Ok(cell.to_owned()) }
}

fn column(headers: &StringRecord, name: &str) -> Result<Column, Error> {
    let found = headers.iter().position(|header| header.trim() == name);
    let index = found.ok_or_else(|| {
        let names: Vec<&str> = headers.iter().collect();
        Error::Input(format!("the file has no column {name:?}; it has {}", names.join(", ")))
    })?;
    Ok(Column { name: name.to_owned(), index })
}

fn known<'a>(
    noun: &str,
    mut named: impl Iterator<Item = &'a str>,
    known: impl Iterator<Item = &'a str>,
) -> Result<(), Error> {
    let known: Vec<&str> = known.collect();
    match named.find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(Error::Input(format!(
            "the experiment has no {noun} {name:?}; it has {}",
            known.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use prost_types::value::Kind;

    use super::*;
    use crate::cli::definition;

    const YAML: &str = "
experiment_id: recorded
bucketing: {algorithm: ALGORITHM_EXTERNAL}
variants: [{variant_id: gpt-35}, {variant_id: gpt-4o}]
metrics: [{metric_id: latency}, {metric_id: copied}]
";

    fn columns(headers: &[&str], variant: &VariantSource) -> Result<Columns, Error> {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect()
        };
        Columns::find(
            &StringRecord::from(headers.to_vec()),
            &Selection {
                unit: "who",
                variant,
                metrics: &pairs(&[("latency", "latency_s"), ("copied", "copied")]),
                map_variants: &pairs(&[("gpt-3.5", "gpt-35")]),
                event_id: Some("id"),
                time: Some("at"),
                attributes: &pairs(&[("task", "task")]),
                dimensions: &pairs(&[("level", "copied")]),
            },
            &definition::parse("x.yaml", YAML).unwrap()[0],
        )
    }

    const HEADERS: [&str; 7] = ["id", "who", "arm", "at", "latency_s", "copied", "task"];

    fn outcome(row: [&str; 7]) -> Result<Outcome, String> {
        let mut columns = columns(&HEADERS, &VariantSource::Column("arm".into())).unwrap();
        columns.outcome(&StringRecord::from(row.to_vec())).map(|(outcome, _)| outcome)
    }

    /// Level is read from the column `copied`: text, also where it reads as a number.
    #[test]
    fn the_first_row_of_a_unit_tells_its_dimensions() {
        let mut columns = columns(&HEADERS, &VariantSource::Column("arm".into())).unwrap();
        let mut told = |unit: &str, level: &str| {
            let row = StringRecord::from(vec!["e", unit, "gpt-4o", "", "", level, "x"]);
            let (outcome, differs) = columns.outcome(&row).unwrap();
            let level = outcome.attributes.unwrap().fields.get("level").cloned();
            (level.and_then(|value| value.kind), differs)
        };
        let text = |text: &str| Some(Kind::StringValue(text.to_owned()));
        assert_eq!(told("a", "1"), (text("1"), false));
        assert_eq!(told("b", ""), (None, false));
        assert_eq!(told("a", "0"), (text("1"), true));
        assert_eq!(told("a", ""), (text("1"), true));
        assert_eq!(told("b", "1"), (None, true));
        assert_eq!(told("c", "0"), (text("0"), false));
    }

    #[test]
    fn a_row_becomes_an_outcome() {
        let outcome = outcome(["e1", "p063", "gpt-3.5", "12.5", "2.25", "true", "sum"]).unwrap();
        assert_eq!((outcome.unit_id.as_str(), outcome.event_id.as_str()), ("p063", "e1"));
        assert_eq!(outcome.assigned_variant_id, "gpt-35");
        assert_eq!(outcome.event_time.unwrap().nanos, 500_000_000);
        assert_eq!(
            outcome.values,
            HashMap::from([("latency".to_owned(), 2.25), ("copied".to_owned(), 1.0),])
        );
        let task = outcome.attributes.unwrap().fields["task"].kind.clone();
        assert_eq!(task, Some(Kind::StringValue("sum".into())));
    }

    #[test]
    fn empty_cells_are_absent_and_an_empty_row_is_an_exposure() {
        let some = outcome(["e1", "p", "gpt-4o", "", "", "0", ""]).unwrap();
        assert_eq!(some.values, HashMap::from([("copied".to_owned(), 0.0)]));
        let none = outcome(["e1", "p", "gpt-4o", "", " ", "", ""]).unwrap();
        assert!(none.values.is_empty() && none.event_time.is_none());
    }

    #[test]
    fn faults_name_the_column() {
        let fault = |row| outcome(row).unwrap_err();
        assert_eq!(
            fault(["e1", "p", "gpt-4o", "", "2,5", "", ""]),
            "column latency_s: \"2,5\" is no number"
        );
        assert_eq!(fault(["e1", "", "gpt-4o", "", "", "", ""]), "column who: is empty");
        let variant = fault(["e1", "p", "claude 3", "", "", "", ""]);
        assert!(variant.contains("--map-variant \"claude 3=ID\""), "{variant}");
        assert!(variant.contains("(gpt-35, gpt-4o)"), "{variant}");
    }

    #[test]
    fn the_server_assigns_when_it_is_told_to() {
        let mut columns = columns(&HEADERS, &VariantSource::Server).unwrap();
        let row = StringRecord::from(vec!["e", "p", "whatever", "", "1", "", ""]);
        assert_eq!(columns.outcome(&row).unwrap().0.assigned_variant_id, "");
        assert_eq!("assign".parse(), Ok(VariantSource::Server));
    }

    #[test]
    fn a_missing_column_lists_those_that_are_there() {
        let error = columns(&["id", "user"], &VariantSource::Server).unwrap_err();
        assert_eq!(error.to_string(), "the file has no column \"who\"; it has id, user");
    }

    #[test]
    fn pairs_need_two_sides() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("a").is_err() && pair("=b").is_err() && pair("a=").is_err());
    }
}
