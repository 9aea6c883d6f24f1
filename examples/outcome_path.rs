//! What an outcome costs Redis: the store as it is against one call of the procedure for each
//! outcome, in interleaved runs against a Redis of their own.
//!
//! ```sh
//! cargo run --release --example outcome_path -- --in-flight 1024 --rounds 5
//! cargo run --release --example outcome_path -- --memory
//! ```
//!
//! The other design is what one writes first: a script for each outcome, pipelined over one
//! connection, that claims the id with `SET NX`, enters the unit in a set and adds with `HINCRBY`.
//! It checks no limit, remembers no lost answer and takes 120 bytes for an id.
//! `docs/performance.md` has the figures.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement prints, and ends when something is wrong"
)]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tiebreak::domain::bucket::Fingerprint;
use tiebreak::domain::counter::{Admission, Event, Increment, ShardKey};
use tiebreak::domain::experiment::Incarnation;
use tiebreak::domain::id::ExperimentId;
use tiebreak::store::Store;
use tiebreak::store::redis::{Options, RedisStore};
use tokio::task::JoinSet;

/// The whole of the other design. KEYS: id, units, row...; ARGV: unit, columns and amounts of the
/// rows, the last of which is for new units.
const PLAIN: &str = r"
if not redis.call('SET', KEYS[1], '', 'NX', 'PX', 1209600000) then return 0 end
local rows = #KEYS - 2
if redis.call('SADD', KEYS[2], ARGV[1]) == 0 then rows = rows - 1 end
for row = 1, rows do
  redis.call('HINCRBY', KEYS[2 + row], ARGV[2 * row], ARGV[2 * row + 1])
end
return 1
";

/// Clock ticks a second in /proc/PID/stat; Linux never had another number there.
const TICKS: f64 = 100.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: u64| {
        let position = arguments.iter().position(|argument| argument == name);
        let text = position.and_then(|position| arguments.get(position + 1));
        text.map_or(default, |text| text.parse().expect("a number"))
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if arguments.iter().any(|argument| argument == "--memory") {
        runtime.block_on(memory());
    } else {
        let (in_flight, rounds) = (number("--in-flight", 1_024), number("--rounds", 5));
        runtime.block_on(speed(in_flight, rounds, number("--seconds", 3)));
    }
}

/// A Redis of its own; gone with everything when dropped.
struct Server {
    directory: TempDir,
    process: Child,
}

impl Server {
    async fn start(fsync: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", fsync])
            .arg("--unixsocket")
            .arg(directory.path().join("redis.sock"))
            .arg("--dir")
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server on PATH");
        let server = Self { directory, process };
        let store = RedisStore::new(&server.url(), Options::default()).unwrap();
        while store.records().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    fn store(&self) -> Arc<RedisStore> {
        let options = Options { timeout: Duration::from_secs(10), ..Options::default() };
        Arc::new(RedisStore::new(&self.url(), options).unwrap())
    }

    fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.process.id().to_string())
    }

    fn used_memory(&self) -> u64 {
        let client = redis::Client::open(self.url()).unwrap();
        let info: redis::InfoDict =
            redis::cmd("INFO").arg("memory").query(&mut client.get_connection().unwrap()).unwrap();
        info.get("used_memory").unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn cpu_seconds(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let times = after_name.split(' ').skip(11).take(2);
    times.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS
}

/// As an outcome with three metrics makes it: one binary, two continuous of which one has a
/// sketch. Every unit brings five outcomes; every event has an id.
fn outcome(number: u64) -> Event {
    let unit = scramble(number / 5);
    let group = u32::try_from(unit % 1_024).unwrap();
    let amount = i64::try_from(scramble(number + 7) % 1_000_000_000).unwrap();
    let increment = |row: &str, column, amount| Increment { row: row.to_owned(), column, amount };
    let bin = u32::try_from(amount % 32).unwrap() * 64 + group % 64;
    Event {
        dedup: Some(fingerprint(scramble(number))),
        unit: fingerprint(unit),
        admission: Admission::Anyone,
        label: None,
        increments: vec![
            increment("o/treatment", 0, 1),
            increment("n/treatment/solved", group, 1),
            increment("s/treatment/solved/0", group, 1),
            increment("k/treatment/solved", 0, 1),
            increment("n/treatment/latency", group, 1),
            increment("s/treatment/latency/0", group, amount % 4_000 + 1),
            increment("s/treatment/latency/-1", group, amount + 1),
            increment("k/treatment/latency", 0, amount + 1),
            increment("k/treatment/latency", 1, amount % 7 + 1),
            increment("q/treatment/latency/9", bin, 1),
            increment("n/treatment/cost", group, 1),
            increment("s/treatment/cost/-1", group, amount + 1),
            increment("k/treatment/cost", 1, amount + 1),
        ],
        if_unit_is_new: vec![increment("e/treatment", group, 1)],
    }
}

/// `SplitMix64`: no two numbers come to the same.
fn scramble(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn fingerprint(number: u64) -> Fingerprint {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Fingerprint::from(bytes)
}

fn shard(experiment: &str) -> ShardKey {
    let experiment = ExperimentId::parse(experiment).unwrap();
    ShardKey { experiment, incarnation: Incarnation(1), iteration: 1, shard: 0 }
}

/// Outcomes a second; microseconds of redis-server and of this process for each.
#[derive(Debug, Clone, Copy)]
struct Cost {
    rate: f64,
    redis: f64,
    own: f64,
}

/// The load and its generator share the machine, as server and clients would.
async fn run(server: &Server, in_flight: u64, together: bool, seconds: u64) -> Cost {
    let store = server.store();
    let client = redis::Client::open(server.url()).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    let script = Arc::new(redis::Script::new(PLAIN));
    let (counter, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let end = Instant::now() + Duration::from_secs(seconds);
    let (before, own_before, began) = (server.cpu_seconds(), cpu_seconds("self"), Instant::now());
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let (store, counter, done) = (Arc::clone(&store), Arc::clone(&counter), Arc::clone(&done));
        let (mut connection, script) = (connection.clone(), Arc::clone(&script));
        callers.spawn(async move {
            let shard = shard("x");
            while Instant::now() < end {
                let event = outcome(counter.fetch_add(1, Ordering::Relaxed));
                if together {
                    store.apply(&shard, &[event]).await.unwrap();
                } else {
                    apply_plainly(&mut connection, &script, &event).await;
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    callers.join_all().await;
    let outcomes = f64::from(u32::try_from(done.load(Ordering::Relaxed)).unwrap());
    Cost {
        rate: outcomes / began.elapsed().as_secs_f64(),
        redis: (server.cpu_seconds() - before) * 1e6 / outcomes,
        own: (cpu_seconds("self") - own_before) * 1e6 / outcomes,
    }
}

async fn apply_plainly(
    connection: &mut redis::aio::MultiplexedConnection,
    script: &redis::Script,
    event: &Event,
) {
    let mut call = script.prepare_invoke();
    call.key([b"{x:1:0}:id:", event.dedup.as_ref().unwrap().as_bytes().as_slice()].concat());
    call.key("{x:1:0}:units").arg(event.unit.as_bytes().as_slice());
    for increment in event.increments.iter().chain(&event.if_unit_is_new) {
        call.key(format!("{{x:1:0}}:row:{}", increment.row));
        call.arg(increment.column).arg(increment.amount);
    }
    let _: u8 = call.invoke_async(connection).await.unwrap();
}

async fn speed(in_flight: u64, rounds: u64, seconds: u64) {
    println!("{in_flight} in flight, medians of {rounds} interleaved runs of {seconds} s");
    println!("{:32} {:>12} {:>16} {:>16}", "", "outcomes/s", "redis us/outcome", "own us/outcome");
    let designs = [("everysec", true), ("everysec", false), ("always", true), ("always", false)];
    let mut costs = vec![Vec::new(); designs.len()];
    for _ in 0..rounds {
        for ((fsync, together), costs) in designs.iter().zip(&mut costs) {
            let server = Server::start(fsync).await;
            costs.push(run(&server, in_flight, *together, seconds).await);
        }
    }
    for ((fsync, together), costs) in designs.iter().zip(&costs) {
        let median = |of: fn(&Cost) -> f64| {
            let mut values: Vec<f64> = costs.iter().map(of).collect();
            values.sort_unstable_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let name = if *together { "group commit" } else { "a call for each" };
        let (rate, redis, own) = (median(|c| c.rate), median(|c| c.redis), median(|c| c.own));
        println!("{name:20} {fsync:11} {rate:12.0} {redis:16.2} {own:16.2}");
    }
}

/// Bytes for each of a million event ids and of a million exposed units.
async fn memory() {
    const MILLION: u64 = 1_000_000;
    let server = Server::start("no").await;
    let store = server.store();
    let bare = |number: u64, id: bool| Event {
        dedup: id.then(|| fingerprint(scramble(number))),
        unit: fingerprint(if id { 0 } else { scramble(number) }),
        admission: Admission::Anyone,
        label: None,
        increments: vec![],
        if_unit_is_new: vec![],
    };
    store.apply(&shard("x"), &[bare(MILLION, true), bare(MILLION, false)]).await.unwrap();
    for (what, id) in [("event ids", true), ("exposed units", false)] {
        let mut before = server.used_memory();
        let mut kept = 0;
        for until in [1_000, 10_000, 100_000, MILLION] {
            let numbers: Vec<u64> = (kept..until).collect();
            for step in numbers.chunks(512) {
                let events: Vec<Event> = step.iter().map(|number| bare(*number, id)).collect();
                store.apply(&shard("x"), &events).await.unwrap();
            }
            kept = until;
            let used = server.used_memory();
            println!("{kept:8} {what}: {} bytes each", (used - before) / until);
            before = before.min(used);
        }
    }
}
