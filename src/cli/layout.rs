//! How an answer looks: colours and width are decided once, at the edge, and passed down, so that
//! everything that draws is a pure function of its arguments.

use std::env;
use std::io::{IsTerminal, stdout};

use comfy_table::{
    Attribute, Cell, Color, ContentArrangement, LineStyle, Table, TableStyle, presets,
};

/// Colours and width of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Whether escape codes may be used.
    pub colour: bool,
    /// Columns of the terminal; none where lines may be as long as they like.
    pub width: Option<u16>,
}

/// What a piece of text says about the treatment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it comes.
    Plain,
    /// Look here.
    Strong,
    /// Good news.
    Good,
    /// Bad news.
    Bad,
    /// Take care.
    Caution,
    /// Small print.
    Faint,
}

/// Rows of several lines need a rule between them.
const RULED: TableStyle = presets::UTF8_HORIZONTAL_ONLY;
const PLAIN: TableStyle = presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none());

impl Layout {
    /// Neither colours nor a width: for files, pipes and tests.
    #[must_use]
    pub const fn plain() -> Self {
        Self { colour: false, width: None }
    }

    /// As stdout is: colours on a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "a convention of all programs on a terminal, not a setting of this one"
    )]
    pub fn of_stdout() -> Self {
        let terminal = stdout().is_terminal();
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        // An untouched table asks the terminal for its size.
        let width = if terminal { Table::new().width() } else { None };
        Self { colour: terminal && !refused, width }
    }

    /// An empty table whose rows have several lines.
    pub(super) fn ruled_table(self) -> Table {
        self.table(RULED)
    }

    /// An empty table whose rows have one line.
    pub(super) fn plain_table(self) -> Table {
        self.table(PLAIN)
    }

    fn table(self, style: TableStyle) -> Table {
        let mut table = Table::new();
        table.load_style(style).force_no_tty();
        if self.colour {
            table.enforce_styling();
        }
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table
    }

    /// `text` in a tone, outside tables.
    pub(super) fn paint(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Good => "1;32",
            Tone::Bad => "1;31",
            Tone::Caution => "33",
            Tone::Faint => "2",
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// `text` in a tone, inside a table.
pub(super) fn cell(text: impl Into<String>, tone: Tone) -> Cell {
    let cell = Cell::new_owned(text.into());
    match tone {
        Tone::Plain => cell,
        Tone::Strong => cell.add_attribute(Attribute::Bold),
        Tone::Good => cell.fg(Color::Green).add_attribute(Attribute::Bold),
        Tone::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        Tone::Caution => cell.fg(Color::Yellow),
        Tone::Faint => cell.add_attribute(Attribute::Dim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_page_has_no_escape_codes() {
        let plain = Layout::plain();
        assert_eq!(plain.paint("better", Tone::Good), "better");
        let mut table = plain.ruled_table();
        table.add_row(vec![cell("worse", Tone::Bad)]);
        assert!(!table.to_string().contains('\u{1b}'));
    }

    #[test]
    fn a_coloured_page_has_them_whatever_stdout_is() {
        let layout = Layout { colour: true, width: Some(80) };
        let mut table = layout.plain_table();
        table.add_row(vec![cell("worse", Tone::Bad)]);
        assert!(table.to_string().contains('\u{1b}'));
        assert!(layout.paint("x", Tone::Strong).ends_with("\u{1b}[0m"));
    }
}
