//! The tests that drive Tiebreak from outside, in one binary: it links once.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking; clippy exempts #[test] functions only, not their helpers"
)]

mod golden_bucket;
mod http;
mod telemetry;
mod tidy;
