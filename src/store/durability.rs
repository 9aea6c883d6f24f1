//! What an acknowledgement is worth: what an acknowledged outcome survives.

use std::fmt;

/// What an acknowledged outcome survives for sure, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing: it is gone with the server.
    None,
    /// The death of the server; not that of the process or the machine that holds the store.
    Process,
    /// The death of any process and a power cut: it is on disk.
    Fsync,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Process => "process",
            Self::Fsync => "fsync",
        })
    }
}

/// What a store promises, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durability {
    /// What is sure. What cannot be found out is not.
    pub level: Level,
    /// The same in plain words, with the reason.
    pub meaning: String,
    /// What to do for [`Level::Fsync`]; empty when there is nothing to do.
    pub remedy: String,
}

impl Durability {
    /// Of a store that is on disk before it answers.
    pub(super) fn on_disk() -> Self {
        Self {
            level: Level::Fsync,
            meaning: "an acknowledged outcome is on disk: it survives the death of the server and \
                      a power cut"
                .to_owned(),
            remedy: String::new(),
        }
    }

    /// Of a store that lives in the server.
    pub(super) fn in_memory() -> Self {
        Self {
            level: Level::None,
            meaning: "an acknowledged outcome is in memory: it is gone with the server".to_owned(),
            remedy: "keep the store on disk with --store embedded:DIR".to_owned(),
        }
    }

    /// The weaker of two: what holds when an outcome may end up in either place.
    #[must_use]
    pub fn weaker(self, other: Self) -> Self {
        if other.level < self.level { other } else { self }
    }
}
