//! Takes connections and gives each to the worker that has the fewest.
//!
//! One acceptor for all workers instead of `SO_REUSEPORT`: that spreads connections by a hash of
//! their addresses, so that of a handful, which is what gRPC clients keep, one worker easily gets
//! most.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// How long to wait when the system has no more descriptors or no memory: others may close some.
const PAUSE: Duration = Duration::from_millis(100);

/// The way to a worker, and how many connections it has.
#[derive(Debug)]
pub(super) struct Door {
    inbox: mpsc::UnboundedSender<Accepted>,
    open: Arc<AtomicUsize>,
}

/// A connection on its way to its worker.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) place: Place,
}

/// Counts its connection while it lasts.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Door {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Accepted>) {
        // Not bounded here: every entry is an open descriptor, and those are.
        let (inbox, arriving) = mpsc::unbounded_channel();
        (Self { inbox, open: Arc::default() }, arriving)
    }

    fn load(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn place(&self) -> Place {
        self.open.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(&self.open))
    }
}

/// Accepts for all workers. Dropping it tells them that nobody comes any more.
#[derive(Debug)]
pub(in crate::server) struct Acceptor {
    doors: Vec<Door>,
}

impl Acceptor {
    pub(super) fn new(doors: Vec<Door>) -> Self {
        Self { doors }
    }

    /// Accepts until the server stops; then nobody listens any more.
    pub(in crate::server) async fn run(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) {
        tokio::select! {
            () = self.accept(listener) => {}
            () = stop => {}
        }
    }

    async fn accept(&self, listener: TcpListener) {
        let mut healthy = true;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    healthy = true;
                    if let Err(error) = self.admit(stream, peer) {
                        tracing::debug!(%error, "a connection was lost before it was served");
                    }
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    if healthy {
                        tracing::warn!(%error, "cannot accept connections for now");
                    }
                    healthy = false;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Off the runtime of the acceptor and onto that of the worker.
    fn admit(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let Some(door) = self.doors.iter().min_by_key(|door| door.load()) else { return Ok(()) };
        // A worker that is gone ends the server, and with it its connections.
        let _ = door.inbox.send(Accepted { stream, peer, place: door.place() });
        Ok(())
    }
}

/// The client gave up while it was in the queue of the system.
fn is_of_the_connection(error: &io::Error) -> bool {
    let kinds =
        [ErrorKind::ConnectionAborted, ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
    kinds.contains(&error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection as the acceptor of a worker gets it, and the client's end.
    async fn connect(acceptor: &Acceptor, listener: &TcpListener) -> TcpStream {
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        acceptor.admit(stream, peer).unwrap();
        client
    }

    #[tokio::test]
    async fn connections_go_where_fewest_are() {
        let (doors, mut inboxes): (Vec<_>, Vec<_>) = (0..3).map(|_| Door::new()).unzip();
        let acceptor = Acceptor::new(doors);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut clients = Vec::new();
        for _ in 0..9 {
            clients.push(connect(&acceptor, &listener).await);
        }
        let loads = || acceptor.doors.iter().map(Door::load).collect::<Vec<_>>();
        assert_eq!(loads(), [3, 3, 3]);
        // Two connections of the second worker end.
        for _ in 0..2 {
            drop(inboxes[1].recv().await);
        }
        assert_eq!(loads(), [3, 1, 3]);
        for _ in 0..3 {
            clients.push(connect(&acceptor, &listener).await);
        }
        assert_eq!(loads(), [4, 3, 3]);
    }
}
