//! The settings of `tiebreak serve`: flags, environment variables `TIEBREAK_...` and keys of a
//! configuration file, in this order of precedence.
//!
//! A key of the file is the name of the flag. The file (YAML) becomes the defaults of the flags
//! before the command line is parsed, so one parser checks all three and one help text shows
//! them. No room below `server` knows this one.

mod file;
mod scores;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

pub use self::file::{ConfigError, with_file};
use self::scores::{ScoreKey, with_keys};
use crate::domain::experiment::ShardCount;
use crate::service;
use crate::sinks::ScoreSink;
use crate::store::redis::{InvalidPrefix, Prefix};
use crate::store::{AuditLimits, Level};
use crate::telemetry::{self, LogFormat};

/// What `tiebreak serve` can be told.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Where gRPC is served.
    #[arg(
        long,
        env = "TIEBREAK_GRPC_LISTEN",
        default_value = "127.0.0.1:50051",
        value_name = "ADDR"
    )]
    grpc_listen: SocketAddr,
    /// How many threads serve gRPC: one for each core unless set.
    #[arg(long, env = "TIEBREAK_WORKERS", value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(
        long,
        env = "TIEBREAK_HTTP_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDR"
    )]
    http_listen: SocketAddr,
    /// Where experiments and counters are kept: embedded:DIR, memory or redis://HOST:PORT/DB.
    #[arg(
        long,
        env = "TIEBREAK_STORE",
        hide_env_values = true,
        default_value = "embedded:./tiebreak-data",
        value_name = "URL"
    )]
    store: StoreLocation,
    /// What all keys in Redis start with.
    #[arg(long, env = "TIEBREAK_REDIS_PREFIX", default_value = "tiebreak", value_name = "TEXT",
        value_parser = prefix)]
    redis_prefix: Prefix,
    /// For how long an event id is remembered at least, for instance 7d or 36h.
    #[arg(long, env = "TIEBREAK_DEDUP_WINDOW", default_value = "7d", value_name = "TIME",
        value_parser = window)]
    dedup_window: Duration,
    /// How many changes of experiments the audit log keeps at most.
    #[arg(long, env = "TIEBREAK_AUDIT_EVENTS", default_value = "10000", value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..))]
    audit_events: u64,
    /// For how long the audit log keeps them, for instance 400d.
    #[arg(long, env = "TIEBREAK_AUDIT_AGE", default_value = "400d", value_name = "TIME",
        value_parser = humantime::parse_duration)]
    audit_age: Duration,
    /// What an acknowledged outcome must survive: the server refuses to start on a store that
    /// promises less.
    #[arg(long, env = "TIEBREAK_REQUIRE_DURABILITY", default_value = "none", value_name = "LEVEL")]
    require_durability: RequiredLevel,
    /// Into how many shards the counters of a new experiment are spread: a power of two up to 64.
    #[arg(long, env = "TIEBREAK_SHARDS", default_value = "1", value_name = "N", value_parser = shards)]
    shards: ShardCount,
    /// Where traces go: an OTLP/gRPC collector, for instance `http://localhost:4317`.
    #[arg(long, env = "TIEBREAK_OTLP_ENDPOINT", value_name = "URL", value_parser = collector)]
    otlp_endpoint: Option<String>,
    /// The project that traces without a caller's trace are filed under.
    #[arg(
        long,
        env = "TIEBREAK_TELEMETRY_PROJECT",
        default_value = "tiebreak",
        value_name = "NAME"
    )]
    telemetry_project: String,
    /// Share of the traces that start here to record; a caller's own decision is honoured.
    #[arg(long, env = "TIEBREAK_TRACE_SAMPLE_RATIO", default_value = "0.01", value_name = "0..1",
        value_parser = share)]
    trace_sample_ratio: f64,
    /// Programs that show outcomes as scores of the spans they judge: phoenix=URL, mlflow=URL,
    /// langsmith=URL?project=ID, weave=URL?project=ENTITY/PROJECT; several with commas.
    #[arg(long, env = "TIEBREAK_SCORES", value_name = "KIND=URL,...", value_delimiter = ',')]
    scores: Vec<ScoreSink>,
    /// Their API keys: KIND=KEY, several with commas. Better given as a variable or in the file.
    #[arg(
        long,
        env = "TIEBREAK_SCORE_KEYS",
        value_name = "KIND=KEY,...",
        value_delimiter = ',',
        hide_env_values = true
    )]
    score_keys: Vec<ScoreKey>,
    /// How a log line looks.
    #[arg(long, env = "TIEBREAK_LOG_FORMAT", default_value = "human")]
    log_format: LogStyle,
    /// Which log lines are written, in the syntax of `RUST_LOG`.
    #[arg(long, env = "TIEBREAK_LOG_FILTER", default_value = "info", value_name = "FILTER")]
    log_filter: String,
    /// How long a shutdown waits for calls in flight.
    #[arg(long, env = "TIEBREAK_DRAIN_DEADLINE", default_value = "10s", value_name = "TIME",
        value_parser = humantime::parse_duration)]
    drain_deadline: Duration,
    /// A YAML file whose keys are the names of these flags.
    #[arg(long, env = CONFIG_VARIABLE, value_name = "FILE")]
    config: Option<PathBuf>,
}

const CONFIG_VARIABLE: &str = "TIEBREAK_CONFIG";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogStyle {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RequiredLevel {
    /// Nothing: any store will do.
    None,
    /// The death of the server; Redis under any settings will do.
    Process,
    /// The death of any process and a power cut: embedded:DIR, or Redis with `appendfsync always`.
    Fsync,
}

fn prefix(text: &str) -> Result<Prefix, InvalidPrefix> {
    Prefix::try_from(text.to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

fn window(text: &str) -> Result<Duration, String> {
    let window = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if window.is_zero() {
        return Err("must be longer than nothing: else a retry would count twice".to_owned());
    }
    Ok(window)
}

fn collector(text: &str) -> Result<String, String> {
    if text.starts_with("https:") {
        return Err("there is no TLS yet: use http:// and a collector nearby".to_owned());
    }
    Ok(text.to_owned())
}

fn shards(text: &str) -> Result<ShardCount, String> {
    let number: u32 = text.parse().map_err(|_| "must be a number".to_owned())?;
    ShardCount::try_from(number).map_err(|error| error.to_string())
}

/// Where the store is.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// In this process only: gone when it ends.
    Memory,
    /// In a directory of this machine.
    Embedded(PathBuf),
    /// In a Redis server. The URL may hold a password.
    Redis(String),
}

impl FromStr for StoreLocation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "embedded" if rest.is_empty() => Err("embedded: needs a directory".to_owned()),
            "embedded" => Ok(Self::Embedded(PathBuf::from(rest))),
            "redis" | "redis+unix" | "unix" => Ok(Self::Redis(text.to_owned())),
            "rediss" | "redis+cluster" => Err(format!("{scheme}:// is not supported yet")),
            _ => Err("must be embedded:DIR, memory or redis://HOST:PORT/DB".to_owned()),
        }
    }
}

impl fmt::Display for StoreLocation {
    /// Without the user and password of a URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Embedded(path) => write!(f, "embedded:{}", path.display()),
            Self::Redis(url) => match (url.split_once("://"), url.rsplit_once('@')) {
                (Some((scheme, _)), Some((_, host))) => write!(f, "{scheme}://***@{host}"),
                _ => f.write_str(url),
            },
        }
    }
}

impl fmt::Debug for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreLocation({self})")
    }
}

/// Everything a server needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where gRPC is served.
    pub grpc_listen: SocketAddr,
    /// Where HTTP is served.
    pub http_listen: SocketAddr,
    /// How many threads serve gRPC.
    pub workers: NonZeroUsize,
    /// Where the store is.
    pub store: StoreLocation,
    /// What all keys in Redis start with.
    pub redis_prefix: Prefix,
    /// For how long an event id is remembered at least.
    pub dedup_window: Duration,
    /// How much of the audit log is kept.
    pub audit: AuditLimits,
    /// What an acknowledged outcome must survive.
    pub require_durability: Level,
    /// Of the use cases.
    pub service: service::Options,
    /// Who gets outcomes as scores.
    pub scores: Vec<ScoreSink>,
    /// Of logs and traces.
    pub telemetry: telemetry::Options,
    /// How long a shutdown waits for calls in flight.
    pub drain_deadline: Duration,
}

impl Settings {
    /// A server of this machine's own on free ports: for `demo` and for tests. It looks at results
    /// only when asked, so that the same outcomes make the same page.
    #[must_use]
    pub fn local(store: StoreLocation) -> Self {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            grpc_listen: any_port,
            http_listen: any_port,
            workers: one_for_each_core(),
            store,
            redis_prefix: Prefix::default(),
            dedup_window: Duration::from_secs(7 * 24 * 3_600),
            audit: AuditLimits::default(),
            require_durability: Level::None,
            service: service::Options { look_interval: None, ..service::Options::default() },
            scores: Vec::new(),
            telemetry: telemetry::Options::default(),
            drain_deadline: Duration::from_secs(10),
        }
    }
}

/// Of those that this process may use: a container's share counts.
fn one_for_each_core() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

impl From<ServeArgs> for Settings {
    fn from(args: ServeArgs) -> Self {
        Self {
            grpc_listen: args.grpc_listen,
            http_listen: args.http_listen,
            workers: args.workers.unwrap_or_else(one_for_each_core),
            store: args.store,
            redis_prefix: args.redis_prefix,
            dedup_window: args.dedup_window,
            audit: AuditLimits {
                events: args.audit_events,
                age: args.audit_age,
                ..AuditLimits::default()
            },
            require_durability: match args.require_durability {
                RequiredLevel::None => Level::None,
                RequiredLevel::Process => Level::Process,
                RequiredLevel::Fsync => Level::Fsync,
            },
            service: service::Options { shards: args.shards, ..service::Options::default() },
            scores: with_keys(args.scores, &args.score_keys),
            telemetry: telemetry::Options {
                otlp_endpoint: args.otlp_endpoint,
                project: args.telemetry_project,
                log_format: match args.log_format {
                    LogStyle::Human => LogFormat::Human,
                    LogStyle::Json => LogFormat::Json,
                },
                log_filter: args.log_filter,
                sample_ratio: args.trace_sample_ratio,
            },
            drain_deadline: args.drain_deadline,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::{Command, FromArgMatches};

    use super::file::{parse, with_defaults};
    use super::*;

    fn settings(file: &str, arguments: &[&str]) -> Result<Settings, String> {
        let serve = ServeArgs::augment_args(Command::new("serve"));
        let command = Command::new("tiebreak").subcommand(serve);
        let parsed = parse(Path::new("test.yaml"), file).map_err(|error| error.to_string())?;
        let command = with_defaults(command, Path::new("test.yaml"), &parsed)
            .map_err(|error| error.to_string())?;
        let all = ["tiebreak", "serve"].iter().chain(arguments);
        let matches = command.try_get_matches_from(all).map_err(|error| error.to_string())?;
        let serve = matches.subcommand_matches("serve").ok_or("no serve")?;
        Ok(ServeArgs::from_arg_matches(serve).map_err(|error| error.to_string())?.into())
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        let file = "store: memory\nshards: 4\ntrace-sample-ratio: 0.5\ngrpc-listen: 127.0.0.1:1\n";
        let settings = settings(file, &["--shards", "8"]).unwrap();
        assert_eq!(settings.store, StoreLocation::Memory);
        assert_eq!(settings.service.shards.get(), 8);
        assert!((settings.telemetry.sample_ratio - 0.5).abs() < 1e-12);
        assert_eq!(settings.grpc_listen.port(), 1);
        assert_eq!(settings.http_listen.port(), 8080);
    }

    #[test]
    fn faults_of_the_file_are_named() {
        let faults = [
            ("shard: 4\n", "'shard'"),
            ("shards: 3\n", "shards: must be a power of two"),
            ("dedup-window: 0s\n", "dedup-window: must be longer"),
            ("log-format: loud\n", "log-format: must be one of human, json"),
            ("- a\n", "no map"),
            ("store: memory:\n", "quotes"),
            ("shards: 1\nshards: 2\n", "duplicate"),
        ];
        for (file, told) in faults {
            let error = settings(file, &[]).unwrap_err();
            assert!(error.contains("test.yaml") && error.contains(told), "{file}: {error}");
            assert!(!error.contains("Policy") && !error.contains('\n'), "{file}: {error}");
        }
        assert!(settings("config: other.yaml\n", &[]).is_err());
    }

    #[test]
    fn passwords_are_not_shown() {
        let location: StoreLocation = "redis://user:secret@host:6379/1".parse().unwrap();
        assert_eq!(location.to_string(), "redis://***@host:6379/1");
        assert!(!format!("{location:?}").contains("secret"));
        for bad in ["postgres://x", "memory:x", "embedded:"] {
            assert!(bad.parse::<StoreLocation>().is_err(), "{bad}");
        }
    }

    #[test]
    fn both_spellings_of_memory_are_read() {
        for text in ["memory", "memory:"] {
            assert_eq!(text.parse(), Ok(StoreLocation::Memory));
        }
    }

    #[test]
    fn a_collector_behind_tls_is_refused() {
        assert!(settings("", &["--otlp-endpoint", "http://localhost:4317"]).is_ok());
        let error = settings("", &["--otlp-endpoint", "https://localhost:4317"]).unwrap_err();
        assert!(error.contains("no TLS"), "{error}");
    }
}
