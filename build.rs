//! Compiles the API contract in `proto/` to Rust with protox, so that no `protoc` is needed.
//!
//! Also writes the descriptor set: reflection serves it, and the CLI reads it to turn YAML into
//! messages and messages into JSON.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

const FILES: [&str; 4] = [
    "tiebreak/v1/experiment.proto",
    "tiebreak/v1/results.proto",
    "tiebreak/v1/experimentation_service.proto",
    "tiebreak/v1/admin_service.proto",
];

#[expect(clippy::disallowed_methods, reason = "Cargo speaks to a build script by its environment")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
