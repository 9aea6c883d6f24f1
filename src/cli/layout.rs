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
    /// Columns of the page; none where lines may be as long as they like.
    pub width: Option<u16>,
    /// Whether a page can be drawn over the one before.
    pub terminal: bool,
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
        Self { colour: false, width: None, terminal: false }
    }

    /// As stdout is: colours on a terminal, unless `NO_COLOR` is set (<https://no-color.org>); its
    /// width, or that of `COLUMNS` where there is no terminal.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "a convention of all programs on a terminal, not a setting of this one"
    )]
    pub fn of_stdout() -> Self {
        let terminal = stdout().is_terminal();
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        // An untouched table asks the terminal for its size.
        let columns = || env::var("COLUMNS").ok()?.parse().ok().filter(|&width| width > 0);
        let width = if terminal { Table::new().width() } else { columns() };
        Self { colour: terminal && !refused, width, terminal }
    }

    /// An empty table whose rows have several lines, as wide as its content: whoever fills it
    /// sees to it that it fits.
    pub(super) fn ruled_table(self) -> Table {
        self.table(RULED)
    }

    /// An empty table whose rows have one line, and more where they do not fit.
    pub(super) fn plain_table(self) -> Table {
        let mut table = self.table(PLAIN);
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table
    }

    fn table(self, style: TableStyle) -> Table {
        let mut table = Table::new();
        table.load_style(style).force_no_tty();
        if self.colour {
            table.enforce_styling();
        }
        table
    }

    /// `text` in lines that fit, broken between words; lines after the first start with `indent`.
    pub(super) fn wrap(self, text: &str, indent: &str) -> String {
        let Some(width) = self.width.map(usize::from) else { return text.to_owned() };
        let mut wrapped = String::new();
        let mut column = 0;
        let body = text.trim_start_matches(' ');
        wrapped.push_str(&text[..text.len() - body.len()]);
        column += wrapped.len();
        for (index, word) in body.split(' ').enumerate() {
            let length = word.chars().count();
            if index > 0 && column + 1 + length > width {
                wrapped.extend(["\n", indent]);
                column = indent.len();
            } else if index > 0 {
                wrapped.push(' ');
                column += 1;
            }
            wrapped.push_str(word);
            column += length;
        }
        wrapped
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
    fn prose_breaks_between_words() {
        let narrow = Layout { width: Some(20), ..Layout::plain() };
        assert_eq!(
            narrow.wrap("  - one two three four five", "    "),
            "  - one two three\n    four five"
        );
        assert_eq!(
            narrow.wrap("antidisestablishmentarianism it is", ""),
            "antidisestablishmentarianism\nit is"
        );
        assert_eq!(Layout::plain().wrap("as long as it likes", ""), "as long as it likes");
    }

    #[test]
    fn a_coloured_page_has_them_whatever_stdout_is() {
        let layout = Layout { colour: true, width: Some(80), terminal: true };
        let mut table = layout.plain_table();
        table.add_row(vec![cell("worse", Tone::Bad)]);
        assert!(table.to_string().contains('\u{1b}'));
        assert!(layout.paint("x", Tone::Strong).ends_with("\u{1b}[0m"));
    }
}
