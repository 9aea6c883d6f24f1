//! All tests that need more than one module, in one binary: linking once is faster than often.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

mod store_contract;
mod support;
