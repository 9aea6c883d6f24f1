//! Honest online A/B tests of LLMs: assignment, outcomes and inference in one gRPC service.
//!
//! Seven rooms, each sees only the rooms below it (`docs/architecture.md`):
//!
//! | room | what |
//! |---|---|
//! | [`stats`] | numbers only: exact sums, tests, intervals |
//! | [`domain`] | experiments, buckets, what an outcome adds to which counter, what the counters say |
//! | [`store`] | where records and counters are kept, and the contract of that |
//! | [`service`] | use cases: load, decide, store |
//! | [`rpc`], [`http`], [`cli`], [`sinks`] | the edges: gRPC, health, clients; scores for other programs |
//! | [`server`] | bind, build, serve, drain |
//!
//! [`config`] and [`telemetry`] are side rooms; so is [`meter`], with which all others count;
//! [`simulate`] measures what [`stats`] and [`domain`] promise.

pub mod cli;
pub mod config;
pub mod domain;
pub mod http;
pub mod meter;
pub mod rpc;
pub mod server;
pub mod service;
pub mod simulate;
pub mod sinks;
pub mod stats;
pub mod store;
pub mod telemetry;
