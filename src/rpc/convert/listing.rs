//! ListExperiments: queries in, pages out.

use prost::Message;

use crate::domain::experiment::Experiment;
use crate::domain::violation::Violations;
use crate::rpc::convert::{enums, experiment};
use crate::rpc::pb;
use crate::service::{Page, PageRequest};

pub(in crate::rpc) fn request(from: pb::ListExperimentsRequest) -> Result<PageRequest, Violations> {
    let mut bad = Violations::new();
    let mut states = Vec::with_capacity(from.states.len());
    for (index, number) in from.states.into_iter().enumerate() {
        match enums::state(number) {
            Some(state) => states.push(state),
            None => bad.add(format!("states[{index}]"), format!("has the unknown value {number}")),
        }
    }
    bad.into_result(PageRequest {
        size: from.page_size,
        token: from.page_token,
        states,
        labels: from.labels.into_iter().collect(),
    })
}

/// What an experiment takes in a page.
pub(in crate::rpc) fn size(from: &Experiment) -> usize {
    entry_size(experiment::experiment_to_pb(from).encoded_len())
}

/// A message of so many bytes as an entry of a list: behind its tag and length.
pub(super) fn entry_size(bytes: usize) -> usize {
    1 + prost::length_delimiter_len(bytes) + bytes
}

pub(in crate::rpc) fn page_to_pb(from: &Page) -> pb::ListExperimentsResponse {
    pb::ListExperimentsResponse {
        experiments: from.experiments.iter().map(|e| experiment::experiment_to_pb(e)).collect(),
        next_page_token: from.next_token.clone(),
    }
}
