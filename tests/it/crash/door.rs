//! An address that stays while the server behind it goes and another one comes.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes every connection on to the server of the moment; closed when dropped.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) endpoint: String,
    server: watch::Sender<SocketAddr>,
    _open: JoinSet<()>,
}

impl Door {
    pub(super) async fn to(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (server, current) = watch::channel(address_of(endpoint));
        let mut open = JoinSet::new();
        open.spawn(pass_on(listener, current));
        Self { endpoint: format!("http://{address}"), server, _open: open }
    }

    /// From now on connections go there.
    pub(super) fn lead_to(&self, endpoint: &str) {
        self.server.send_replace(address_of(endpoint));
    }
}

fn address_of(endpoint: &str) -> SocketAddr {
    endpoint.strip_prefix("http://").unwrap().parse().unwrap()
}

async fn pass_on(listener: TcpListener, current: watch::Receiver<SocketAddr>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let server = *current.borrow();
        connections.spawn(async move {
            // A server that is gone closes the connection, and so does this.
            if let Ok(mut server) = TcpStream::connect(server).await {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}
