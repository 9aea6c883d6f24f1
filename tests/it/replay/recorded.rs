//! The recorded tests: which file, which columns, and what is known about them.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A recorded test.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) experiment: &'static str,
    folder: &'static str,
    definition: &'static str,
    pub(super) files: &'static [Table],
    /// Names of variants that are no valid ids, and what they become.
    pub(super) renamed: &'static [(&'static str, &'static str)],
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

/// Three models, 342 sessions and their 4,001 calls.
pub(super) const SUPPORT_BOT: Recorded = Recorded {
    experiment: "recorded-support-bot",
    folder: "01_support_bot_models",
    definition: "examples/replay/01_support_bot.yaml",
    files: &[
        Table {
            file: "sessions.csv",
            section: "sessions",
            unit: "session_id",
            event_id: "session_id",
            metrics: &[
                ("resolved", "resolved"),
                ("llm_calls", "llm_calls"),
                ("user_turns", "user_turns"),
                ("session_duration", "duration_s"),
                ("session_cost", "cost_usd"),
                ("session_tokens", "total_tokens"),
            ],
        },
        Table {
            file: "events.csv",
            section: "events",
            unit: "session_id",
            event_id: "event_id",
            metrics: &[
                ("latency", "latency_s"),
                ("call_cost", "cost_usd"),
                ("prompt_tokens", "prompt_tokens"),
                ("completion_tokens", "completion_tokens"),
                ("reasoning_tokens", "reasoning_tokens"),
            ],
        },
    ],
    renamed: &[],
};

/// Four models, 107 programmers and their 1,055 messages.
pub(super) const CODING_ASSISTANT: Recorded = Recorded {
    experiment: "coding-assistant",
    folder: "02_coding_assistant_rct",
    definition: "examples/replay/02_coding_assistant.yaml",
    files: &[Table {
        file: "events.csv",
        section: "events",
        unit: "unit_id",
        event_id: "event_id",
        metrics: &[
            ("copied", "copied"),
            ("copy_events", "copy_events"),
            ("response_chars", "response_chars"),
            ("response_words", "response_words"),
            ("request_chars", "request_chars"),
            ("gap", "gap_s"),
        ],
    }],
    renamed: &[("gpt-3.5-turbo", "gpt-3-5-turbo")],
};

impl Recorded {
    /// The right answers, computed with SciPy and statsmodels.
    pub(super) fn expected(&self, data: &Path) -> Value {
        let text = std::fs::read_to_string(data.join(self.folder).join("expected.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Where a file of it is.
    pub(super) fn path(&self, data: &Path, table: &Table) -> PathBuf {
        data.join(self.folder).join(table.file)
    }

    /// The arguments of the command that replays one of its files.
    pub(super) fn arguments(&self, data: &Path, table: &Table) -> Vec<String> {
        let file = self.path(data, table).display().to_string();
        let mut arguments = vec!["replay".to_owned(), file];
        let options = [
            ("--experiment", self.definition),
            ("--unit", table.unit),
            ("--variant", "variant"),
            ("--event-id", table.event_id),
        ];
        arguments.extend(
            options.iter().flat_map(|(flag, value)| [flag, value].map(ToString::to_string)),
        );
        let mut pairs = |flag: &str, pairs: &[(&str, &str)]| {
            arguments.extend(pairs.iter().flat_map(|(a, b)| [flag.to_owned(), format!("{a}={b}")]));
        };
        pairs("--map-variant", self.renamed);
        pairs("--metric", table.metrics);
        arguments
    }

    /// A variant's id, by its name in the file.
    pub(super) fn variant<'a>(&self, name: &'a str) -> &'a str {
        let renamed = self.renamed.iter().find(|(from, _)| *from == name);
        renamed.map_or(name, |(_, to)| to)
    }
}

impl Table {
    /// What is known about a column.
    pub(super) fn expected<'a>(&self, all: &'a Value, column: &str) -> &'a Value {
        &all[self.section][column]
    }
}
