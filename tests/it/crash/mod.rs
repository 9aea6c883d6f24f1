//! `kill -9` of the server in the middle of a replay: after a restart and a replay from the start
//! the results are those of one clean run, on every store that lasts.

mod door;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use tiebreak::rpc::pb::experimentation_service_client::ExperimentationServiceClient;
use tiebreak::rpc::pb::{ExperimentResults, GetResultsRequest};
use tonic::Code;
use tonic::transport::Channel;

use self::door::Door;
use crate::program::{Server, tiebreak};
use crate::support::redis::{Persistence, RedisServer};

const EXPERIMENT: &str = "crash";
const DEFINITION: &str = "
experiment_id: crash
variants:
  - {variant_id: control, weight_basis_points: 5000, control: true}
  - {variant_id: treatment, weight_basis_points: 5000}
metrics:
  - {metric_id: solved, kind: KIND_BINARY, direction: DIRECTION_INCREASE, role: ROLE_PRIMARY}
  - {metric_id: latency, kind: KIND_DURATION, direction: DIRECTION_DECREASE}
  - {metric_id: cost, kind: KIND_AMOUNT, direction: DIRECTION_DECREASE}
analysis: {method: METHOD_FIXED_HORIZON}
";
const ROWS: i64 = 3_000;
const KILLS: usize = 4;

#[tokio::test]
async fn a_killed_server_on_the_embedded_store_loses_and_doubles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    survive(&format!("embedded:{}", directory.path().display())).await;
}

#[tokio::test]
async fn a_killed_server_on_redis_loses_and_doubles_nothing() {
    let redis = RedisServer::start(Persistence::Nothing).await;
    survive(&redis.url()).await;
}

/// The person at the terminal does not even have to start it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_replay_waits_for_its_server_to_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("embedded:{}", directory.path().display());
    let seed = any_seed();
    let recording = Recording::simulated(seed);
    let expected = recording.clean_run().await;
    let mut server = Server::start(&store);
    let door = Door::to(&server.endpoint()).await;
    let mut replay = recording.replay(&door.endpoint);
    for kill_at in kill_points(seed) {
        reach(kill_at, &server, &mut replay).await;
        server.kill();
        server = Server::start(&store);
        door.lead_to(&server.endpoint());
    }
    assert!(replay.wait().unwrap().success(), "seed {seed}");
    assert_eq!(whenever_looked_at(server.results(EXPERIMENT).await), expected, "seed {seed}");
}

/// Results without what depends on when somebody looked: the evidence of earlier looks is kept, and
/// these tests look in order to know when to kill.
fn whenever_looked_at(mut results: ExperimentResults) -> ExperimentResults {
    if let Some(check) = &mut results.sample_ratio {
        check.sequential_p_value = None;
    }
    for comparison in results.metrics.iter_mut().flat_map(|metric| &mut metric.comparisons) {
        comparison.sequential = None;
    }
    results
}

/// Another one every time; a failure names it.
fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

async fn survive(store: &str) {
    let seed = any_seed();
    let recording = Recording::simulated(seed);
    let expected = recording.clean_run().await;
    let (mut acknowledged, mut interrupted) = (0, 0);
    for kill_at in kill_points(seed) {
        let server = Server::start(store);
        let found = outcomes(&mut server.client().await).await;
        assert!(found >= acknowledged, "seed {seed}: {found} left of {acknowledged} outcomes");
        let mut replay = recording.replay(&server.endpoint());
        acknowledged = reach(kill_at, &server, &mut replay).await;
        server.kill();
        interrupted += usize::from(replay.try_wait().unwrap().is_none());
        // It would look for its server for half a minute.
        replay.kill().unwrap();
        replay.wait().unwrap();
    }
    assert!(interrupted > 0, "seed {seed}: every replay was over before the kill");
    let server = Server::start(store);
    assert!(recording.replay(&server.endpoint()).wait().unwrap().success(), "seed {seed}");
    assert_eq!(whenever_looked_at(server.results(EXPERIMENT).await), expected, "seed {seed}");
}

/// After how many outcomes the server is killed: somewhere in the first four fifths, ascending,
/// because a repeated replay begins with what is known already.
fn kill_points(seed: u64) -> BTreeSet<i64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..KILLS).map(|_| rng.random_range(1..ROWS * 4 / 5)).collect()
}

/// Waits until so many outcomes are counted, or all there are, and returns how many.
async fn reach(wanted: i64, server: &Server, replay: &mut Child) -> i64 {
    let mut client = server.client().await;
    loop {
        let ended = replay.try_wait().unwrap().is_some();
        let counted = outcomes(&mut client).await;
        if ended || counted >= wanted {
            return counted;
        }
    }
}

/// How many outcomes are counted; none before the experiment exists.
async fn outcomes(client: &mut ExperimentationServiceClient<Channel>) -> i64 {
    let request = GetResultsRequest { experiment_id: EXPERIMENT.into(), ..Default::default() };
    match client.get_results(request).await {
        Ok(answer) => {
            let exposures = answer.into_inner().results.unwrap().exposures;
            exposures.iter().map(|exposure| exposure.outcomes).sum()
        }
        Err(status) if status.code() == Code::NotFound => 0,
        Err(status) => panic!("{status}"),
    }
}

/// A recorded test of some thousand rows, and its experiment.
struct Recording {
    /// Holds both files.
    directory: TempDir,
}

impl Recording {
    /// Units bring several outcomes each; some lack a value.
    fn simulated(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut rows = String::from("id,user,solved,latency,cost\n");
        for id in 0..ROWS {
            let user = rng.random_range(0..ROWS / 3);
            let solved = u8::from(rng.random::<f64>() < 0.7);
            let latency = rng.random_range(200..9_000);
            let cost = if rng.random::<f64>() < 0.9 {
                rng.random::<f64>().to_string()
            } else {
                String::new()
            };
            writeln!(rows, "e{id},u{user},{solved},{latency}e-3,{cost}").unwrap();
        }
        let recording = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::write(recording.path("rows.csv"), rows).unwrap();
        std::fs::write(recording.path("experiment.yaml"), DEFINITION).unwrap();
        recording
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What comes out when nothing goes wrong.
    async fn clean_run(&self) -> ExperimentResults {
        let server = Server::start("memory:");
        assert!(self.replay(&server.endpoint()).wait().unwrap().success());
        let results = server.results(EXPERIMENT).await;
        let outcomes: i64 = results.exposures.iter().map(|exposure| exposure.outcomes).sum();
        assert_eq!(outcomes, ROWS);
        whenever_looked_at(results)
    }

    /// Starts the program on it, in calls so small that a kill finds some under way.
    fn replay(&self, endpoint: &str) -> Child {
        let (rows, experiment) = (self.path("rows.csv"), self.path("experiment.yaml"));
        let [rows, experiment] = [&rows, &experiment].map(|path| path.to_str().unwrap());
        let files = ["replay", rows, "--experiment", experiment];
        let columns = ["--unit", "user", "--variant", "assign", "--event-id", "id"];
        let metrics = ["solved", "latency", "cost"].map(|name| format!("--metric={name}={name}"));
        tiebreak(files)
            .args(columns)
            .args(metrics)
            .args(["--batch", "5", "--endpoint", endpoint])
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }
}
