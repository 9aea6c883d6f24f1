//! What is wrong with the rows of a file.

use std::fmt;

use super::super::figures;

/// How many different faults are told.
const TOLD: usize = 10;

/// Rows that cannot be used; the same fault on many rows is told once.
#[derive(Debug, Default)]
pub(super) struct Faults {
    rows: u64,
    /// The first line of each, the fault, and on how many lines it is.
    told: Vec<(u64, String, u64)>,
}

impl Faults {
    /// Whether every row can be used.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Notes a fault.
    pub(super) fn add(&mut self, line: u64, fault: String) {
        self.rows += 1;
        if let Some((_, _, lines)) = self.told.iter_mut().find(|(_, told, _)| *told == fault) {
            *lines += 1;
        } else if self.told.len() < TOLD {
            self.told.push((line, fault, 1));
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = figures::counted(figures::signed_count(self.rows), "row");
        write!(f, "{rows} cannot be used; nothing was sent")?;
        for (line, fault, lines) in &self.told {
            match lines - 1 {
                0 => write!(f, "\n  line {line}: {fault}")?,
                more => {
                    let more = figures::count(figures::signed_count(more));
                    write!(f, "\n  line {line} and {more} more: {fault}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_on_many_rows_is_told_once() {
        let mut faults = Faults::default();
        for line in 2..=306 {
            faults.add(line, "column variant: is empty".into());
        }
        faults.add(400, "column copied: \"zero\" is no number".into());
        assert_eq!(
            faults.to_string(),
            "306 rows cannot be used; nothing was sent\n  \
             line 2 and 304 more: column variant: is empty\n  \
             line 400: column copied: \"zero\" is no number"
        );
    }
}
