//! Messages as JSON by the contract's own descriptors, so that what the CLI reads and prints is
//! protobuf's JSON mapping and never a second, hand-kept schema.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;

use super::Error;
use crate::rpc::DESCRIPTORS;

/// How fields are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// `metricId`: protobuf's canonical JSON, for programs.
    Json,
    /// `metric_id`: as in the contract and in YAML files, for people.
    Proto,
}

/// The type of `tiebreak.v1.{name}`.
pub(super) fn descriptor(name: &str) -> Result<MessageDescriptor, Error> {
    DescriptorPool::decode(DESCRIPTORS)
        .map_err(|cause| Error::Input(format!("this program's own contract is damaged: {cause}")))?
        .get_message_by_name(&format!("tiebreak.v1.{name}"))
        .ok_or_else(|| Error::Input(format!("the contract has no message {name}")))
}

/// A message as a JSON value; fields at their default are left out.
pub(super) fn to_json(name: &str, message: &impl Message, names: Names) -> Result<Value, Error> {
    let damaged =
        |cause: &dyn std::fmt::Display| Error::Input(format!("cannot show the {name}: {cause}"));
    let mut dynamic = DynamicMessage::new(descriptor(name)?);
    dynamic.transcode_from(message).map_err(|cause| damaged(&cause))?;
    let people = names == Names::Proto;
    // Programs read 64-bit integers as strings, because JavaScript's numbers end at 2^53.
    let options =
        SerializeOptions::new().use_proto_field_name(people).stringify_64_bit_integers(!people);
    dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|cause| damaged(&cause))
}

/// A message as indented canonical JSON, with a final line feed.
pub(super) fn to_json_text(name: &str, message: &impl Message) -> Result<String, Error> {
    let value = to_json(name, message, Names::Json)?;
    Ok(format!("{value:#}\n"))
}

/// A message as canonical JSON in one line.
pub(super) fn to_json_line(name: &str, message: &impl Message) -> Result<String, Error> {
    Ok(format!("{}\n", to_json(name, message, Names::Json)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::pb;

    #[test]
    fn canonical_json_uses_camel_case_and_enum_names() {
        let results = pb::ExperimentResults {
            experiment_id: "x".into(),
            state: pb::experiment::State::Running.into(),
            progress: Some(0.5),
            ..Default::default()
        };
        assert_eq!(
            to_json("ExperimentResults", &results, Names::Json).unwrap(),
            serde_json::json!({"experimentId": "x", "state": "STATE_RUNNING", "progress": 0.5})
        );
    }
}
