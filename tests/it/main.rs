//! The tests that drive Tiebreak from outside, in one binary: it links once.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking (clippy exempts #[test] functions, not their helpers), and \
              by panicking on what it does not expect"
)]

mod admin;
mod assign;
mod audit;
mod command_line;
mod crash;
mod decisions;
mod demo;
mod durability;
mod errors;
mod golden_bucket;
mod golden_stats;
mod health;
mod http;
mod metrics;
mod outcomes;
mod program;
mod publish;
mod replay;
mod results;
mod segments;
mod served;
mod shutdown;
mod sinks;
mod store_contract;
mod streams;
mod support;
mod telemetry;
mod tidy;
mod workers;
