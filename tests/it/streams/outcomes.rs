//! StreamOutcomes through a socket: acknowledged means stored or reported, whatever breaks when.

use std::time::Duration;

use tiebreak::rpc::pb;
use tiebreak::rpc::pb::experimentation_service_client::ExperimentationServiceClient;
use tiebreak::server::ServerError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use crate::support::server::{Failure, StoreKind, TestServer, failure};
use crate::support::wire::{self, exposure, outcome, unit};
use crate::support::{Home, over_a_socket};

over_a_socket! {
    everything_is_acknowledged_in_order,
    an_idle_stream_acknowledges_at_once,
    a_rejected_outcome_is_reported_and_passed,
    a_stream_without_order_ends,
    a_broken_stream_is_resumed_exactly_once,
    who_does_not_read_is_not_read,
    a_drain_acknowledges_and_ends,
}

/// An open stream: what is sent, and what comes back.
struct Open {
    outcomes: mpsc::Sender<pb::StreamOutcomesRequest>,
    answers: Streaming<pb::StreamOutcomesResponse>,
}

impl Open {
    async fn on(server: &TestServer) -> Self {
        Self::over(server.data()).await
    }

    async fn over(mut data: ExperimentationServiceClient<Channel>) -> Self {
        let (outcomes, sent) = mpsc::channel(1);
        let answers = data.stream_outcomes(ReceiverStream::new(sent)).await.unwrap().into_inner();
        Self { outcomes, answers }
    }

    async fn send(&self, sequence: u64, outcome: pb::Outcome) {
        let request = pb::StreamOutcomesRequest { sequence, outcome: Some(outcome) };
        self.outcomes.send(request).await.unwrap();
    }

    async fn answer(&mut self) -> Result<Option<pb::StreamOutcomesResponse>, Status> {
        self.answers.message().await
    }

    /// Reads on until `sequence` is acknowledged; nothing was rejected.
    async fn acknowledged(&mut self, sequence: u64) {
        loop {
            let answer = self.answer().await.unwrap().unwrap();
            assert_eq!(answer.errors, []);
            if answer.acknowledged_sequence == sequence {
                return;
            }
            assert!(answer.acknowledged_sequence < sequence);
        }
    }

    /// How it ends, after whatever is still acknowledged.
    async fn end(&mut self) -> Failure {
        loop {
            match self.answer().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended well"),
                Err(status) => return Failure::of(&status),
            }
        }
    }
}

/// An outcome of the treatment that counts once.
fn once(experiment: &str, number: u64) -> pb::Outcome {
    let unit = unit(experiment, true);
    pb::Outcome { event_id: format!("e{number}"), ..outcome(experiment, &unit, &[("cost", 1.0)]) }
}

async fn everything_is_acknowledged_in_order(server: TestServer) {
    server.run(wire::experiment("ordered")).await;
    let Open { outcomes, mut answers } = Open::on(&server).await;
    let send = async move {
        for number in 1..=3_000 {
            // Sequences may have gaps.
            let outcome = Some(once("ordered", number));
            let request = pb::StreamOutcomesRequest { sequence: 7 * number, outcome };
            outcomes.send(request).await.unwrap();
        }
        // Dropping the sender closes this half of the stream.
    };
    let read = async {
        let mut acknowledged = 0;
        while let Some(answer) = answers.message().await.unwrap() {
            assert_eq!(answer.errors, []);
            assert!(answer.acknowledged_sequence > acknowledged);
            acknowledged = answer.acknowledged_sequence;
        }
        acknowledged
    };
    let ((), acknowledged) = tokio::join!(send, read);
    assert_eq!(acknowledged, 21_000);
    assert_eq!(exposure(&server.results("ordered").await, "treatment"), (1, 3_000, 0));
}

async fn an_idle_stream_acknowledges_at_once(server: TestServer) {
    server.run(wire::experiment("idle")).await;
    let mut stream = Open::on(&server).await;
    for number in 1..=20_u8 {
        stream.send(number.into(), once("idle", number.into())).await;
        stream.acknowledged(number.into()).await;
        let results = server.results("idle").await;
        assert_eq!(exposure(&results, "treatment"), (1, number.into(), 0), "stored, then told");
    }
    drop(stream.outcomes);
    assert_eq!(stream.answers.message().await.unwrap(), None);
}

async fn a_rejected_outcome_is_reported_and_passed(server: TestServer) {
    server.run(wire::experiment("mixed")).await;
    let mut stream = Open::on(&server).await;
    let treated = unit("mixed", true);
    for (sequence, outcome) in [
        (1, once("mixed", 1)),
        (2, once("nobody", 2)),
        (3, outcome("mixed", &treated, &[("nonsense", 1.0)])),
        (4, once("mixed", 1)),
        (5, once("mixed", 5)),
    ] {
        stream.send(sequence, outcome).await;
    }
    drop(stream.outcomes);
    let (mut acknowledged, mut errors) = (0, Vec::new());
    while let Some(answer) = stream.answers.message().await.unwrap() {
        assert!(answer.errors.iter().all(|e| e.sequence <= answer.acknowledged_sequence));
        assert!(answer.errors.iter().all(|e| e.sequence > acknowledged));
        acknowledged = answer.acknowledged_sequence;
        errors.extend(answer.errors.into_iter().map(|e| (e.sequence, e.error.unwrap())));
    }
    let told: Vec<_> =
        errors.iter().map(|(n, e)| (*n, Code::from(e.code), e.reason.as_str())).collect();
    let expected = [
        (2, Code::NotFound, "EXPERIMENT_NOT_FOUND"),
        (3, Code::InvalidArgument, "INVALID_REQUEST"),
    ];
    assert_eq!((acknowledged, told.as_slice()), (5, &expected[..]));
    assert!(errors[1].1.message.contains("outcome.values"), "{errors:?}");
    assert_eq!(exposure(&server.results("mixed").await, "treatment"), (1, 2, 0));
}

async fn a_stream_without_order_ends(server: TestServer) {
    server.run(wire::experiment("unordered")).await;
    for (before, wrong) in [(None, 0), (Some(5), 5), (Some(u64::MAX), 1)] {
        let mut stream = Open::on(&server).await;
        if let Some(before) = before {
            stream.send(before, once("unordered", before)).await;
        }
        stream.send(wrong, once("unordered", 99)).await;
        if let Some(before) = before {
            // What came before is stored and told.
            stream.acknowledged(before).await;
        }
        assert_eq!(stream.end().await, Failure::invalid("INVALID_REQUEST", &["sequence"]));
    }
    let mut stream = Open::on(&server).await;
    let nothing = pb::StreamOutcomesRequest { sequence: 1, outcome: None };
    stream.outcomes.send(nothing).await.unwrap();
    assert_eq!(stream.end().await, Failure::invalid("INVALID_REQUEST", &["outcome"]));
    assert_eq!(exposure(&server.results("unordered").await, "treatment"), (1, 2, 0));
}

/// The client breaks the connection again and again, with outcomes and acknowledgements on their
/// way.
async fn a_broken_stream_is_resumed_exactly_once(server: TestServer) {
    const OUTCOMES: u64 = 2_000;
    server.run(wire::experiment("broken")).await;
    let mut acknowledged = 0;
    while acknowledged < OUTCOMES {
        let Open { outcomes, mut answers } = Open::over(connection(&server, 1 << 16).await).await;
        let send = async {
            for number in acknowledged + 1..=OUTCOMES {
                let outcome = Some(once("broken", number));
                let request = pb::StreamOutcomesRequest { sequence: number, outcome };
                outcomes.send(request).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        let until = OUTCOMES.min(acknowledged + 100);
        let read = async {
            loop {
                let told = answers.message().await.unwrap().unwrap().acknowledged_sequence;
                if told >= until {
                    break told;
                }
            }
        };
        acknowledged = tokio::select! {
            () = send => unreachable!("it waits for the connection to break"),
            told = read => told,
        };
    }
    let results = server.results("broken").await;
    assert_eq!(exposure(&results, "treatment"), (1, i64::try_from(OUTCOMES).unwrap(), 0));
}

/// A connection of its own, with room for so many bytes of answers on a stream.
async fn connection(server: &TestServer, room: u32) -> ExperimentationServiceClient<Channel> {
    let endpoint = Endpoint::try_from(format!("http://{}", server.grpc)).unwrap();
    let channel = endpoint.initial_stream_window_size(room).connect().await.unwrap();
    ExperimentationServiceClient::new(channel)
}

/// A client with room for few acknowledgements that reads none of them.
async fn deaf(server: &TestServer) -> Open {
    Open::over(connection(server, 64).await).await
}

/// An outcome of about 64 KiB.
fn fat(experiment: &str, number: u64) -> pb::Outcome {
    let note = wire::text(&"x".repeat(64 << 10));
    pb::Outcome { attributes: wire::attributes(&[("note", note)]), ..once(experiment, number) }
}

/// Sends until nothing goes through any more; how many did.
async fn fill(stream: &Open, experiment: &str) -> u64 {
    for sequence in 1..2_000 {
        let sent = stream.send(sequence, fat(experiment, sequence));
        if tokio::time::timeout(Duration::from_secs(2), sent).await.is_err() {
            return sequence - 1;
        }
    }
    panic!("the server takes whatever it is sent");
}

async fn who_does_not_read_is_not_read(server: TestServer) {
    server.run(wire::experiment("deaf")).await;
    let mut stream = deaf(&server).await;
    let sent = fill(&stream, "deaf").await;
    // Once it listens, everything is there.
    drop(std::mem::replace(&mut stream.outcomes, mpsc::channel(1).0));
    stream.acknowledged(sent).await;
    assert_eq!(stream.answer().await.unwrap(), None);
    let results = server.results("deaf").await;
    assert_eq!(exposure(&results, "treatment"), (1, i64::try_from(sent).unwrap(), 0));
}

async fn a_drain_acknowledges_and_ends(server: TestServer) {
    server.run(wire::experiment("drained")).await;
    let mut streams = Vec::new();
    for number in 0..3 {
        let mut stream = Open::on(&server).await;
        stream.send(1, once("drained", number)).await;
        stream.acknowledged(1).await;
        streams.push(stream);
    }
    let going = Failure::new(Code::Unavailable, "SHUTTING_DOWN");
    let read = async {
        for stream in &mut streams {
            assert_eq!(stream.end().await, going);
        }
    };
    let ((ended, home), ()) = tokio::join!(server.end(), read);
    ended.unwrap();
    let successor = TestServer::start_in(home).await;
    assert_eq!(exposure(&successor.results("drained").await, "treatment"), (1, 3, 0));
}

#[tokio::test]
async fn who_does_not_read_holds_the_drain_up_to_its_deadline() {
    let home = Home::new(StoreKind::Memory).await;
    let patience = Duration::from_millis(200);
    let server = TestServer::start_with(home, |settings| settings.drain_deadline = patience).await;
    server.run(wire::experiment("stuck")).await;
    let stream = deaf(&server).await;
    fill(&stream, "stuck").await;
    let (ended, _) = server.end().await;
    assert!(matches!(ended, Err(ServerError::DrainDeadline(after)) if after == patience));
}

#[tokio::test]
async fn a_store_that_goes_away_ends_the_stream_where_it_can_be_resumed() {
    let home = Home::new(StoreKind::Redis).await.lasting().await;
    let mut server = TestServer::start_in(home).await;
    server.run(wire::experiment("outage")).await;
    let mut stream = Open::on(&server).await;
    stream.send(1, once("outage", 1)).await;
    stream.acknowledged(1).await;
    server.home.server.as_mut().unwrap().kill();
    stream.send(2, once("outage", 2)).await;
    assert_eq!(
        failure(stream.answer().await),
        Failure::new(Code::Unavailable, "STORE_UNAVAILABLE")
    );
    server.home.server.as_mut().unwrap().start_again().await;
    loop {
        let mut stream = Open::on(&server).await;
        stream.send(2, once("outage", 2)).await;
        match stream.answer().await {
            Ok(answer) => {
                assert_eq!(answer.unwrap().acknowledged_sequence, 2);
                break;
            }
            // The connection to Redis is not back yet.
            Err(status) => assert_eq!(status.code(), Code::Unavailable),
        }
    }
    let results = server.results_when("outage", |_| true).await;
    assert_eq!(exposure(&results, "treatment"), (1, 2, 0));
}
