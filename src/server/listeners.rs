//! The sockets of a server.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::config::Settings;
use crate::server::ServerError;

/// The sockets of a server.
#[derive(Debug)]
pub struct Listeners {
    pub(super) grpc: TcpListener,
    pub(super) http: TcpListener,
}

impl Listeners {
    /// Binds both addresses.
    ///
    /// # Errors
    /// [`ServerError::Bind`].
    pub async fn bind(settings: &Settings) -> Result<Self, ServerError> {
        Ok(Self {
            grpc: bind(settings.grpc_listen).await?,
            http: bind(settings.http_listen).await?,
        })
    }

    /// Where they are: gRPC, HTTP.
    ///
    /// # Errors
    /// [`ServerError::Http`] when the system does not tell.
    pub fn addresses(&self) -> Result<(SocketAddr, SocketAddr), ServerError> {
        let address = |listener: &TcpListener| listener.local_addr().map_err(ServerError::Http);
        Ok((address(&self.grpc)?, address(&self.http)?))
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|source| ServerError::Bind { address, source })
}
