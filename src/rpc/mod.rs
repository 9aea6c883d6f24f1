//! The gRPC edge: messages in, domain values through, messages out.
//!
//! A handler converts, calls one use case and converts back. Wire types end here; the only place
//! that makes a `tonic::Status` is `status`.

mod admin;
mod caller;
mod clock;
mod convert;
mod experimentation;
mod outcome_stream;
mod results_stream;
mod routes;
mod status;
mod stop;
mod trace;

pub use self::admin::Admin;
pub use self::clock::now;
pub use self::experimentation::Experimentation;
pub use self::routes::{Answer, Services, Serving, routes};

/// Messages, clients and servers generated from `proto/tiebreak/v1`.
#[expect(
    unused_qualifications,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::clone_on_ref_ptr,
    clippy::large_enum_variant,
    reason = "generated; the contract documents it"
)]
pub mod pb {
    tonic::include_proto!("tiebreak.v1");
}

/// The methods of both services, as `tiebreak.v1.Service/Method`.
#[must_use]
pub fn methods() -> Vec<String> {
    use prost::Message as _;
    // The descriptors are compiled in; a test reads all their methods back.
    let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
    let mut methods = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let of = |method: &prost_types::MethodDescriptorProto| {
                format!("{}.{}/{}", file.package(), service.name(), method.name())
            };
            methods.extend(service.method.iter().map(of));
        }
    }
    methods
}

/// The contract as a serialised `google.protobuf.FileDescriptorSet`: for reflection, and for
/// clients that turn YAML or JSON into messages.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));
