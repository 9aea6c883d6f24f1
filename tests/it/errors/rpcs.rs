//! Every RPC of the contract answers; those of later releases say that they are.

use prost::bytes::{Buf as _, BufMut as _, Bytes};
use prost_reflect::DescriptorPool;
use tiebreak::rpc::DESCRIPTORS;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};

use crate::support::server::{Failure, StoreKind, TestServer};

/// What a later release answers. Anything else that is unimplemented is a mistake.
const LATER: [&str; 1] = ["AdminService/WatchExperiments"];

/// Messages as bytes: all RPCs can then be called alike, with an empty request.
#[derive(Debug, Default, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

async fn call(server: &TestServer, path: &str) -> Result<(), Status> {
    let path = PathAndQuery::try_from(path).unwrap();
    let mut client = tonic::client::Grpc::new(server.channel());
    client.ready().await.unwrap();
    let one_empty_message = tokio_stream::once(Bytes::new());
    client.streaming(Request::new(one_empty_message), path, Raw).await.map(|_| ())
}

#[tokio::test]
async fn exactly_the_rpcs_of_later_releases_are_unimplemented() {
    let server = TestServer::start(StoreKind::Memory).await;
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let mut later = Vec::new();
    let mut count = 0;
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        count += 1;
        let (service, name) = (method.parent_service().full_name(), method.name());
        let Err(status) = call(&server, &format!("/{service}/{name}")).await else { continue };
        let failure = Failure::of(&status);
        if failure.code == Code::Unimplemented {
            assert_eq!(failure.reason, "NOT_IMPLEMENTED", "{name}");
            later.push(format!("{}/{name}", method.parent_service().name()));
        }
    }
    assert_eq!(count, 20);
    later.sort_unstable();
    let mut expected = LATER.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(later, expected);
}
