//! The threads that serve gRPC: each has a runtime of its own and sees its connections from the
//! first byte to the last.
//!
//! On a runtime of several threads a connection and its calls wander between them, and every
//! answer is a system call of its own; a thread to itself gathers the answers of all calls that
//! came together and writes them at once. That halves the cost of a call
//! (`docs/performance.md`). What may take long must therefore run elsewhere: the store and its
//! timers on the runtime that opened it, analyses on threads of their own.

mod acceptor;
mod connection;

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::thread;

use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use self::acceptor::{Accepted, Door};
use self::connection::Calls;
use crate::rpc::Services;
use crate::server::ServerError;
use crate::telemetry::RpcSpans;

pub(super) use self::acceptor::Acceptor;

/// A thread that serves connections. Dropping this cuts them off.
#[derive(Debug)]
pub(super) struct Worker {
    /// Heard when the thread is done, and only then: what it held is given back.
    done: oneshot::Receiver<()>,
    /// Nothing is ever sent; dropping it is the message.
    _cut: oneshot::Sender<Infallible>,
}

/// Starts the workers, and an acceptor that feeds them.
///
/// # Errors
/// [`ServerError::Worker`].
pub(super) fn start(
    count: NonZeroUsize,
    services: &Services,
    spans: &RpcSpans,
) -> Result<(Acceptor, Vec<Worker>), ServerError> {
    let mut doors = Vec::with_capacity(count.get());
    let mut workers = Vec::with_capacity(count.get());
    for number in 0..count.get() {
        let calls = Calls { services: services.apart(), spans: spans.clone() };
        let (door, arriving) = Door::new();
        let worker = Worker::start(number, arriving, calls).map_err(ServerError::Worker)?;
        doors.push(door);
        workers.push(worker);
    }
    Ok((Acceptor::new(doors), workers))
}

impl Worker {
    fn start(
        number: usize,
        arriving: mpsc::UnboundedReceiver<Accepted>,
        calls: Calls,
    ) -> std::io::Result<Self> {
        let (cut, cut_off) = oneshot::channel();
        let (ended, done) = oneshot::channel();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name(format!("tiebreak-rpc-{number}")).spawn(move || {
            work(runtime, arriving, calls, cut_off);
            // Who does not listen any more has cut this worker off.
            let _ = ended.send(());
        })?;
        Ok(Self { done, _cut: cut })
    }

    /// Waits until all connections are closed and none can come any more.
    ///
    /// # Errors
    /// [`ServerError::WorkerDied`].
    pub(super) async fn ended(self) -> Result<(), ServerError> {
        self.done.await.map_err(|_| ServerError::WorkerDied)
    }
}

fn work(
    runtime: Runtime,
    arriving: mpsc::UnboundedReceiver<Accepted>,
    calls: Calls,
    cut_off: oneshot::Receiver<Infallible>,
) {
    runtime.block_on(async {
        tokio::select! {
            () = attend(arriving, calls) => {}
            _ = cut_off => {}
        }
    });
    // An analysis that nobody waits for any more may end by itself.
    runtime.shutdown_background();
}

/// Serves what arrives, and when nothing can arrive any more, what is still open to its end.
async fn attend(mut arriving: mpsc::UnboundedReceiver<Accepted>, calls: Calls) {
    // Not the server's own: connections look at it with every call, and threads that look at one
    // thing wait for each other.
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = arriving.recv() => match accepted {
                Some(accepted) => {
                    connections.spawn(serve(accepted, calls.clone(), stopping.clone()));
                }
                None => break,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
    stop.send_replace(true);
    drop((calls, stopping));
    while connections.join_next().await.is_some() {}
}

async fn serve(accepted: Accepted, calls: Calls, stopping: watch::Receiver<bool>) {
    let Accepted { stream, peer, place: _place } = accepted;
    let calls = Calls { spans: calls.spans.with_peer(peer), ..calls };
    match TcpStream::from_std(stream) {
        Ok(stream) => connection::serve(stream, calls, stopping).await,
        Err(error) => tracing::warn!(%error, "a connection cannot be served"),
    }
}
