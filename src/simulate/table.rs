//! Tables of rates.

use comfy_table::{CellAlignment, Table, presets};

/// A table under a title; all columns but the first are numbers.
pub(super) struct Report {
    title: String,
    table: Table,
}

impl Report {
    pub(super) fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY).set_header(columns);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        Self { title: title.into(), table }
    }

    pub(super) fn row(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        self.table.add_row(std::iter::once(name.to_owned()).chain(cells));
    }

    pub(super) fn print(&self) -> String {
        format!("{}\n{}", self.title, self.table)
    }
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A share with its Monte-Carlo standard error.
pub(super) fn with_error(share: f64, streams: usize) -> String {
    let error = (share * (1.0 - share) / real(streams)).sqrt();
    format!("{:.1} ± {:.1} %", 100.0 * share, 100.0 * error)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of streams and outcomes")]
pub(super) fn real(count: usize) -> f64 {
    count as f64
}
