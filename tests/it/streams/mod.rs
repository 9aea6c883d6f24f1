//! The RPCs that go on: outcomes in a stream, results that are watched, and how results developed.

mod history;
mod history_calls;
mod outcomes;
mod watch;
