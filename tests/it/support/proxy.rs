//! A network that fails at the worst moment: between Redis and its client, it lets every command
//! through and cuts the connection instead of delivering the answer, as often as it is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::redis::RedisServer;

/// A proxy before a Redis; gone when dropped.
#[derive(Debug)]
pub(crate) struct CuttingProxy {
    directory: TempDir,
    every: Arc<AtomicU32>,
    cuts: Arc<AtomicU64>,
    _listening: JoinSet<()>,
}

impl CuttingProxy {
    /// Cuts about every `every`th answer; never the first of a connection, which belongs to its
    /// set-up.
    pub(crate) fn before(server: &RedisServer, every: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("proxy.sock")).unwrap();
        let cuts = Arc::new(AtomicU64::new(0));
        let every = Arc::new(AtomicU32::new(every));
        let odds = Arc::clone(&every);
        let (counter, target) = (Arc::clone(&cuts), server.socket());
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            let mut connections = JoinSet::new();
            for seed in 0.. {
                let (client, _) = listener.accept().await.unwrap();
                let (counter, odds) = (Arc::clone(&counter), Arc::clone(&odds));
                let target = target.clone();
                connections.spawn(async move {
                    pump(client, &target, ChaCha8Rng::seed_from_u64(seed), &odds, &counter).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { directory, every, cuts, _listening: listening }
    }

    /// Where to connect.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.directory.path().join("proxy.sock").display())
    }

    /// Cuts that often from now on; 0 for never.
    pub(crate) fn cut_every(&self, every: u32) {
        self.every.store(every, Ordering::Relaxed);
    }

    /// How many connections were cut so far.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// Until either side closes or the generator says so.
async fn pump(
    client: UnixStream,
    target: &Path,
    mut generator: ChaCha8Rng,
    every: &AtomicU32,
    cuts: &AtomicU64,
) {
    let Ok(server) = UnixStream::connect(PathBuf::from(target)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let commands = async { drop(tokio::io::copy(&mut from_client, &mut to_server).await) };
    let answers = async {
        let mut buffer = vec![0; 64 << 10];
        let mut first = true;
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            let every = every.load(Ordering::Relaxed);
            if !first && every > 0 && generator.random_range(0..every) == 0 {
                cuts.fetch_add(1, Ordering::Relaxed);
                return;
            }
            first = false;
            if to_client.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = commands => {}
        () = answers => {}
    }
}
