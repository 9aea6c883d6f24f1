//! A private Redis for one test: a process of its own on a socket in a directory of its own, so
//! that tests neither meet each other nor the developer's Redis, and no port is taken.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::Client;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

/// Whether a Redis keeps its data over a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// It starts empty.
    Nothing,
    /// Every write is on disk before it is answered.
    AppendOnly,
}

/// A running Redis; killed when dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    directory: TempDir,
    persistence: Persistence,
    /// Taken up when it starts.
    pub(crate) append_fsync: &'static str,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts a Redis and waits until it answers.
    pub(crate) async fn start(persistence: Persistence) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Self { directory, persistence, append_fsync: "always", process: None };
        server.start_again().await;
        server
    }

    /// Starts it in the same place after [`Self::kill`].
    pub(crate) async fn start_again(&mut self) {
        let append = if self.persistence == Persistence::AppendOnly { "yes" } else { "no" };
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", append])
            .args(["--appendfsync", self.append_fsync, "--daemonize", "no"])
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--dir")
            .arg(self.directory.path())
            .stdout(Stdio::null())
            .spawn();
        let process = process.unwrap_or_else(|error| {
            panic!(
                "cannot start redis-server ({error}); the tests need Redis 6.2 or later on PATH: \
                 `apt-get install redis-server` or `brew install redis`"
            )
        });
        self.process = Some(process);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.answers().await {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Where to connect.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// A plain connection.
    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        let client = Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// As an administrator does while it runs.
    pub(crate) async fn administrate(&self, command: &[&str]) {
        let mut connection = self.connection().await;
        let (name, arguments) = command.split_first().unwrap();
        redis::cmd(name).arg(arguments).exec_async(&mut connection).await.unwrap();
    }

    async fn answers(&self) -> bool {
        let client = Client::open(self.url()).unwrap();
        let Ok(mut connection) = client.get_multiplexed_async_connection().await else {
            return false;
        };
        redis::cmd("PING").exec_async(&mut connection).await.is_ok()
    }

    /// The socket that it listens on.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
