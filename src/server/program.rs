//! The commands of the program: a server that runs until a signal, and clients, some of which
//! bring a server of their own.

use std::error::Error;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::cli::{self, Layout};
use crate::config::{Settings, StoreLocation};
use crate::server::{Listeners, ServerError, serve};
use crate::telemetry::{self, Telemetry};

/// Whatever ends a command.
pub type Failure = Box<dyn Error + Send + Sync>;

/// How long the last spans may take.
const TELEMETRY_DEADLINE: Duration = Duration::from_secs(3);

/// `tiebreak serve`: until SIGTERM or SIGINT.
///
/// # Errors
/// [`ServerError`].
pub async fn program(settings: &Settings) -> Result<(), Failure> {
    let telemetry = telemetry::start(&settings.telemetry)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            // An error means that the signal cannot be heard; SIGTERM still can.
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    let listeners = Listeners::bind(settings).await?;
    let served = serve(settings, listeners, &telemetry, stop).await;
    let flushed =
        tokio::task::spawn_blocking(move || telemetry.shutdown(TELEMETRY_DEADLINE)).await?;
    if let Err(error) = flushed {
        tracing::warn!(%error, "the last spans are lost");
    }
    Ok(served?)
}

/// Runs a client command. A demo and a plan without an endpoint get a server of their own: the
/// demo on the embedded store in a temporary directory, the plan, which stores nothing, in memory.
///
/// # Errors
/// What the command says, or [`ServerError`] of its own server.
pub async fn client(mut command: cli::Command) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let layout = Layout::of_stdout();
    // Goes away at the end.
    let directory;
    let (endpoint, store) = if let cli::Command::Demo(options) = &mut command
        && options.endpoint.is_none()
    {
        directory = tempfile::tempdir()?;
        (&mut options.endpoint, StoreLocation::Embedded(directory.path().join("store")))
    } else if let cli::Command::Plan(options) = &mut command
        && options.endpoint.is_none()
    {
        (&mut options.endpoint, StoreLocation::Memory)
    } else {
        return Ok(cli::run(command, &mut out, layout).await?);
    };
    let own = OwnServer::start(store).await?;
    *endpoint = Some(own.endpoint.clone());
    let ran = cli::run(command, &mut out, layout).await;
    own.stop().await?;
    Ok(ran?)
}

/// A server in this process.
struct OwnServer {
    endpoint: String,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), ServerError>>,
}

impl OwnServer {
    async fn start(store: StoreLocation) -> Result<Self, ServerError> {
        let settings = Settings::local(store);
        let listeners = Listeners::bind(&settings).await?;
        let (grpc, _) = listeners.addresses()?;
        let (stop, stopping) = oneshot::channel::<()>();
        #[expect(
            clippy::disallowed_methods,
            reason = "awaited in stop; ends with the process otherwise"
        )]
        let task = tokio::spawn(async move {
            let stopped = async {
                // A dropped sender stops the server as well.
                let _ = stopping.await;
            };
            serve(&settings, listeners, &Telemetry::off(), stopped).await
        });
        Ok(Self { endpoint: format!("http://{grpc}"), stop, task })
    }

    async fn stop(self) -> Result<(), ServerError> {
        drop(self.stop);
        self.task.await.map_err(ServerError::Task)?
    }
}
