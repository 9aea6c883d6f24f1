//! Every refusal of the contract, provoked through a socket: its code, its reason and exactly the
//! fields it names, as the request spells them.

mod experiments;
mod outage;
mod outcomes;
mod requests;
mod rpcs;
mod states;
