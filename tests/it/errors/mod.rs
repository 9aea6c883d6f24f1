//! Every refusal of the contract, provoked through a socket: its code, its reason and exactly the
//! fields it names, as the request spells them.

mod experiments;
mod outage;
mod outcomes;
mod requests;
mod rpcs;
mod states;

use crate::support::server::{Failure, StoreKind, TestServer};
use crate::support::wire;

fn invalid(fields: &[&str]) -> Failure {
    Failure::invalid("INVALID_REQUEST", fields)
}

async fn server_with(id: &str) -> TestServer {
    let server = TestServer::start(StoreKind::Memory).await;
    server.run(wire::experiment(id)).await;
    server
}
