//! What platforms and tools ask a server: grpc.health.v1, reflection, /livez and /readyz.

use prost_reflect::DescriptorPool;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::http::get;
use crate::support::server::{StoreKind, TestServer};

const SERVICES: [&str; 2] = ["tiebreak.v1.AdminService", "tiebreak.v1.ExperimentationService"];

#[tokio::test]
async fn the_server_and_both_services_are_healthy() {
    let server = TestServer::start(StoreKind::Memory).await;
    let mut health = HealthClient::new(server.channel());
    // Served as soon as the port answers; ready a moment later.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    for service in ["", SERVICES[0], SERVICES[1]] {
        loop {
            let request = HealthCheckRequest { service: service.to_owned() };
            let answer = health.check(request).await;
            if answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving) {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{service} is not healthy");
            tokio::task::yield_now().await;
        }
    }
    let unknown = HealthCheckRequest { service: "tiebreak.v1.Nothing".to_owned() };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);
    for path in ["/livez", "/readyz"] {
        let answer = get(server.http, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
}

/// Both generations of the protocol have the same messages under different names.
macro_rules! reflection {
    ($version:ident, $server:expr) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        let mut client = ServerReflectionClient::new($server.channel());
        let mut ask = async |message: MessageRequest| {
            let request = ServerReflectionRequest {
                message_request: Some(message),
                ..ServerReflectionRequest::default()
            };
            let answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
            let answer = answers.into_inner().message().await.unwrap().unwrap();
            answer.message_response.unwrap()
        };
        let MessageResponse::ListServicesResponse(listed) =
            ask(MessageRequest::ListServices(String::new())).await
        else {
            panic!("no list of services")
        };
        let names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
        let mut files = Vec::new();
        for service in SERVICES {
            let symbol = MessageRequest::FileContainingSymbol(service.to_owned());
            let MessageResponse::FileDescriptorResponse(found) = ask(symbol).await else {
                panic!("no descriptor of {service}")
            };
            files.extend(found.file_descriptor_proto);
        }
        (names, files)
    }};
}

#[tokio::test]
async fn reflection_of_both_generations_tells_the_contract() {
    let server = TestServer::start(StoreKind::Memory).await;
    let contract = DescriptorPool::decode(tiebreak::rpc::DESCRIPTORS).unwrap();
    for (names, files) in [reflection!(v1, server), reflection!(v1alpha, server)] {
        for (service, file) in SERVICES.iter().zip(&files) {
            assert!(names.iter().any(|name| name == service), "{names:?}");
            let file: FileDescriptorProto = prost::Message::decode(file.as_slice()).unwrap();
            let known = contract.get_service_by_name(service).unwrap();
            assert_eq!(file.name(), known.parent_file().name());
            let told = file.service.iter().find(|told| service.ends_with(told.name())).unwrap();
            assert_eq!(told.method.len(), known.methods().len());
        }
    }
}

/// Without imports that nobody asked for, tools could not read the descriptors.
#[test]
fn the_descriptors_are_complete() {
    let set: FileDescriptorSet = prost::Message::decode(tiebreak::rpc::DESCRIPTORS).unwrap();
    let names: Vec<_> = set.file.iter().map(FileDescriptorProto::name).collect();
    for file in &set.file {
        assert!(file.dependency.iter().all(|import| names.contains(&import.as_str())));
    }
}
