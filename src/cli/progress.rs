//! Progress on stderr. indicatif draws nothing when stderr is not a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `total` steps.
pub(super) fn bar(total: u64, what: &'static str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{msg:<28} {bar:40.cyan/dim} {human_pos:>7} of {human_len}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸─");
    ProgressBar::new(total).with_style(style).with_message(what)
}
