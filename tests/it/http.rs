//! Liveness and readiness over a socket.

use std::sync::Arc;
use std::time::Duration;

use tiebreak::http::{Metrics, Readiness, Ready, router};
use tiebreak::service::{self, Service};
use tiebreak::sinks::SinkCounts;
use tiebreak::store::Metered;
use tiebreak::store::embedded::{self, EmbeddedStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Of a server that has served nobody.
fn no_metrics() -> Metrics {
    let store = EmbeddedStore::in_memory(embedded::Options::default()).unwrap();
    let store = Arc::new(Metered::new(Arc::new(store)));
    let counted = Arc::clone(&store);
    let (service, _) = Service::new(counted, service::Options::default());
    Metrics::new(Arc::new(service), store, SinkCounts::default(), Vec::new)
}

#[tokio::test]
async fn readiness_tells_the_truth_and_liveness_does_not_care() {
    let readiness = Readiness::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::task::JoinSet::from_iter([axum::serve(
        listener,
        router(readiness.clone(), no_metrics()),
    )
    .into_future()]);

    let answer = get(address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("not ready: starting\n"), "{answer}");

    readiness.set(Ready::Yes);
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200 "));

    readiness.set(Ready::No("the store is unavailable".to_owned()));
    let answer = get(address, "/readyz").await;
    assert!(answer.ends_with("not ready: the store is unavailable\n"), "{answer}");
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));
    assert!(get(address, "/metric").await.starts_with("HTTP/1.1 404 "));
    drop(serving);
}

#[tokio::test]
async fn followers_hear_of_changes_only() {
    let readiness = Readiness::new();
    let mut changes = readiness.follow();
    readiness.set(Ready::No("starting".to_owned()));
    assert!(!changes.has_changed().unwrap());
    readiness.set(Ready::Yes);
    tokio::time::timeout(Duration::from_secs(5), changes.changed()).await.unwrap().unwrap();
    assert_eq!(*changes.borrow(), Ready::Yes);
}
