//! The program as people run it: a process with arguments, an exit code and two streams.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tiebreak::rpc::pb::experimentation_service_client::ExperimentationServiceClient;
use tiebreak::rpc::pb::{ExperimentResults, GetResultsRequest};
use tonic::transport::{Channel, Endpoint};

/// Nothing here takes a second; a machine that builds something else beside it may need many.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program with arguments, in the root of the repository, where the examples are.
pub(crate) fn tiebreak<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tiebreak"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).stdin(Stdio::null());
    // The variables of the person who runs the tests must not decide them.
    let ours = std::env::vars_os().filter(|(name, _)| {
        name.to_str().is_some_and(|name| {
            name.starts_with("TIEBREAK_") || ["NO_COLOR", "COLUMNS"].contains(&name)
        })
    });
    for (name, _) in ours {
        command.env_remove(name);
    }
    command
}

/// What a command left behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), out: text(stdout), err: text(stderr) }
    }

    /// Its answer; fails unless it succeeded.
    pub(crate) fn answer(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self.out
    }

    /// Its complaint; fails unless it failed with this code and without an answer.
    pub(crate) fn complaint(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{}", self.err);
        self.err
    }
}

/// `tiebreak serve` on free ports; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    /// What it said when it was ready: the addresses and the store.
    pub(crate) announced: serde_json::Value,
    said: Mutex<Receiver<serde_json::Value>>,
    /// Ends with the process.
    log: Option<JoinHandle<String>>,
}

impl Server {
    /// Starts it on a store and waits until it serves.
    pub(crate) fn start(store: &str) -> Self {
        let addresses = ["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"];
        let arguments = ["serve", "--store", store].into_iter().chain(addresses);
        Self::start_as(&mut tiebreak(arguments))
    }

    /// Starts a command that serves. Its log is made readable for programs.
    pub(crate) fn start_as(command: &mut Command) -> Self {
        command.args(["--log-format", "json"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (said, log) = follow(&mut process);
        let Some(announced) = hear(&said, |event| event["message"] == "serving") else {
            process.kill().unwrap();
            panic!("the server does not serve:\n{}", log.join().unwrap())
        };
        Self { process, announced, said: Mutex::new(said), log: Some(log) }
    }

    /// The next line of its log, after those looked at before, that is as wanted.
    pub(crate) fn says(&self, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let said = self.said.lock().unwrap();
        hear(&said, wanted).expect("the server says nothing like it")
    }

    /// Where its gRPC is, as clients are told.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.announced["grpc"].as_str().unwrap())
    }

    /// Runs a client command against it.
    pub(crate) fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
        Ran::of(tiebreak(arguments).env("TIEBREAK_ENDPOINT", self.endpoint()))
    }

    /// A connection for the test itself.
    pub(crate) async fn client(&self) -> ExperimentationServiceClient<Channel> {
        let channel = Endpoint::from_shared(self.endpoint()).unwrap().connect().await.unwrap();
        ExperimentationServiceClient::new(channel)
    }

    /// All results of an experiment, without the time at which they were computed.
    pub(crate) async fn results(&self, experiment: &str) -> ExperimentResults {
        let request = GetResultsRequest { experiment_id: experiment.into(), ..Default::default() };
        let answer = self.client().await.get_results(request).await.unwrap();
        let results = answer.into_inner().results.unwrap();
        ExperimentResults { compute_time: None, ..results }
    }

    /// As `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.log.take().map(JoinHandle::join);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// The next line that is as wanted; `None` when the log ends or nothing comes any more.
fn hear(
    said: &Receiver<serde_json::Value>,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> Option<serde_json::Value> {
    loop {
        match said.recv_timeout(PATIENCE) {
            Ok(event) if wanted(&event) => return Some(event),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

/// Reads the log to its end, so that the process never waits for a reader, and sends every line.
fn follow(process: &mut Child) -> (Receiver<serde_json::Value>, JoinHandle<String>) {
    let (sender, said) = channel();
    let lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let log = std::thread::spawn(move || {
        let mut log = String::new();
        for line in lines.map_while(Result::ok) {
            // Nobody waits for it when the test has failed meanwhile.
            let _ = sender.send(serde_json::from_str(&line).unwrap_or_default());
            log.push_str(&line);
            log.push('\n');
        }
        log
    });
    (said, log)
}
