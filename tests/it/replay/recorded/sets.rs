//! The recorded tests, one by one.

use super::{Recorded, Rows, Split, Table};

/// Three models, 342 sessions and their 4,001 calls.
pub(in super::super) const SUPPORT_BOT: Recorded = Recorded {
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
    control: "gpt-5-mini",
    rows: Rows::All,
    answers: "",
    further: None,
    clustered: None,
    // Its thirds are 33.34 and twice 33.33 %: equal to four digits.
    split: Some(Split { answers: "/srm/units", mismatch: false, bound: 1e-4 }),
};

/// Four models, 107 programmers and their 1,055 messages.
pub(in super::super) const CODING_ASSISTANT: Recorded = Recorded {
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
    control: "gpt-3.5-turbo",
    rows: Rows::All,
    answers: "",
    further: None,
    clustered: None,
    split: Some(Split { answers: "/srm/units", mismatch: false, bound: 1e-9 }),
};

/// Three kinds of message and none, 11,336 people with one row each. The shares that were planned
/// are not known for all four.
pub(in super::super) const PERSUASION: Recorded = Recorded {
    experiment: "persuasion",
    folder: "03_persuasion_frontier",
    definition: "examples/replay/03_persuasion.yaml",
    files: &[PARTICIPANTS],
    renamed: &[],
    control: "no-message",
    rows: Rows::All,
    answers: "",
    further: None,
    clustered: None,
    split: None,
};

const PARTICIPANTS: Table = Table {
    file: "participants.csv",
    section: "participants",
    unit: "unit_id",
    event_id: "unit_id",
    metrics: &[
        ("attitude", "attitude"),
        ("persuaded", "persuaded"),
        ("message_words", "message_words"),
        ("thinks_ai", "thinks_ai"),
    ],
};

/// Four arms that somebody wrongly believes to be equal.
pub(in super::super) const PERSUASION_EQUAL: Recorded = Recorded {
    experiment: "persuasion-equal",
    rows: Rows::Arms(&[
        ("no-message", 2_500),
        ("human-written", 2_500),
        ("gpt-4-turbo", 2_500),
        ("claude-3-opus", 2_500),
    ]),
    split: Some(Split { answers: "/srm/units_equal_split", mismatch: true, bound: 1e-9 }),
    ..PERSUASION
};

/// The two arms whose shares are known to differ.
pub(in super::super) const PERSUASION_FOUR_TO_ONE: Recorded = Recorded {
    experiment: "persuasion-four-to-one",
    rows: Rows::Arms(&[("no-message", 8_000), ("human-written", 2_000)]),
    split: Some(Split { answers: "/srm/control_to_human_4_to_1", mismatch: false, bound: 1e-9 }),
    ..PERSUASION
};

/// The two arms whose shares are known to be equal.
pub(in super::super) const PERSUASION_MODELS: Recorded = Recorded {
    experiment: "persuasion-models",
    control: "claude-3-opus",
    rows: Rows::Arms(&[("claude-3-opus", 5_000), ("gpt-4-turbo", 5_000)]),
    split: Some(Split {
        answers: "/srm/equal_share_pair/claude-3-opus : gpt-4-turbo",
        mismatch: false,
        bound: 1e-9,
    }),
    ..PERSUASION
};

/// Messages against each other.
pub(in super::super) const PERSUASION_MESSAGES: Recorded = Recorded {
    experiment: "persuasion-messages",
    control: "gpt-4-turbo",
    rows: Rows::Arms(&[("gpt-4-turbo", 4_000), ("human-written", 2_000), ("claude-3-opus", 4_000)]),
    ..PERSUASION
};

/// The same as if messages had been split, not their readers: 70 of them, each read by many.
pub(in super::super) const PERSUASION_BY_MESSAGE: Recorded = Recorded {
    experiment: "persuasion-by-message",
    files: &[Table { unit: "message_id", metrics: &[("attitude", "attitude")], ..PARTICIPANTS }],
    control: "claude-3-opus",
    rows: Rows::Arms(&[("claude-3-opus", 4_000), ("human-written", 2_000), ("gpt-4-turbo", 4_000)]),
    clustered: Some("/message_clustered_attitude"),
    ..PERSUASION
};

/// 14,042 questions that both models answered; the server assigns.
pub(in super::super) const ROUTER: Recorded = Recorded {
    experiment: "mmlu-router",
    folder: "04_mmlu_router",
    definition: "examples/replay/04_mmlu_router.yaml",
    files: &[Table {
        file: "units.csv",
        section: "metrics",
        unit: "unit_id",
        event_id: "unit_id",
        metrics: &[("correct", "y")],
    }],
    renamed: &[],
    control: "mixtral-8x7b-instruct",
    rows: Rows::Router {
        control: ("mixtral-8x7b-instruct", "correct_mixtral_8x7b"),
        treatment: ("gpt-4-1106-preview", "correct_gpt4_1106"),
    },
    answers: "/seed_router_replay",
    further: None,
    clustered: None,
    split: Some(Split { answers: "/seed_router_replay/srm", mismatch: false, bound: 1e-9 }),
};

/// The same with 57 subjects assigned, and all questions of a subject with it.
pub(in super::super) const ROUTER_BY_SUBJECT: Recorded = Recorded {
    experiment: "mmlu-router-subject",
    files: &[Table {
        file: "units.csv",
        section: "metrics",
        unit: "subject",
        event_id: "unit_id",
        metrics: &[("correct", "y")],
    }],
    answers: "/cluster_randomised",
    split: None,
    ..ROUTER
};

/// Eight providers of one model, 1,195 requests.
pub(in super::super) const PROVIDERS: Recorded = Recorded {
    experiment: "api-latency",
    folder: "05_api_latency_70b",
    definition: "examples/replay/05_api_latency.yaml",
    files: &[Table {
        file: "requests.csv",
        section: "metrics",
        unit: "request_id",
        event_id: "request_id",
        metrics: &[
            ("error", "error"),
            ("ttft", "ttft_s"),
            ("latency", "e2e_latency_s"),
            ("inter_token", "inter_token_s"),
            ("output_tokens", "output_tokens"),
        ],
    }],
    renamed: &[],
    control: "fireworks",
    rows: Rows::All,
    answers: "/experiments/llama-2-70b",
    further: Some("/experiments/llama-2-70b/all_providers"),
    clustered: None,
    split: None,
};

/// Those five that are compared with each other.
pub(in super::super) const PROVIDERS_COMPARED: Recorded = Recorded {
    experiment: "api-latency-compared",
    rows: Rows::Arms(&[
        ("fireworks", 2_000),
        ("anyscale", 2_000),
        ("bedrock", 2_000),
        ("replicate", 2_000),
        ("together", 2_000),
    ]),
    split: Some(Split {
        answers: "/experiments/llama-2-70b/srm/units",
        mismatch: false,
        bound: 1e-9,
    }),
    ..PROVIDERS
};
