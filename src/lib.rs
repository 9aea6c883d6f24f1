//! Honest online A/B tests of LLMs: assignment, outcomes and inference in one gRPC service.

pub mod cli;
pub mod domain;
pub mod http;
pub mod rpc;
pub mod service;
pub mod stats;
pub mod store;
pub mod telemetry;
