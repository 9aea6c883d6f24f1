//! Who changed what, through a socket: an event for every accepted change, and none for others.

use std::time::{Duration, Instant};

use prost::Message as _;
use prost_types::Timestamp;
use tiebreak::config::StoreLocation;
use tiebreak::rpc::pb;
use tiebreak::rpc::pb::experiment::State;
use tonic::{Code, Status};

use crate::support::Home;
use crate::support::over_a_socket;
use crate::support::server::{Failure, StoreKind, TestServer, failure};
use crate::support::wire;

over_a_socket! {
    the_life_of_an_experiment_is_told,
    what_changes_nothing_is_not_told,
    events_are_filtered_and_paged,
    the_planned_end_is_told_once,
    pages_fit_into_a_message,
}

/// The RPCs behind events, without the service.
fn methods(events: &[pb::AuditEvent]) -> Vec<&str> {
    let names = events.iter().map(|event| {
        event.method.strip_prefix("tiebreak.v1.AdminService/").expect("of the admin service")
    });
    names.collect()
}

fn paths(event: &pb::AuditEvent) -> Vec<&str> {
    event.changed.as_ref().unwrap().paths.iter().map(String::as_str).collect()
}

async fn the_life_of_an_experiment_is_told(server: TestServer) {
    let created = server.create(wire::experiment("told")).await.unwrap();
    let renamed = pb::Experiment { owner: "me".into(), ..wire::experiment("told") };
    let updated = server.replace(renamed, &["owner"]).await.unwrap().experiment.unwrap();
    let started = server.start_experiment("told").await.unwrap();
    let paused = server.pause("told").await.unwrap();
    let conclusion = pb::ConcludeExperimentRequest {
        experiment_id: "told".to_owned(),
        winner_variant_id: "treatment".to_owned(),
        note: "It is twice as good.".to_owned(),
        ..pb::ConcludeExperimentRequest::default()
    };
    let concluded = server.admin().conclude_experiment(conclusion).await.unwrap();
    let concluded = concluded.into_inner().experiment.unwrap();
    let archived = server.archive("told").await.unwrap();
    server.delete("told").await.unwrap();

    let events = server.events("told").await;
    let expected = ["Delete", "Archive", "Conclude", "Pause", "Start", "Update", "Create"];
    assert_eq!(methods(&events), expected.map(|method| format!("{method}Experiment")));
    let states = [created, updated, started, paused, concluded, archived];
    let states: Vec<_> = [None].into_iter().chain(states.map(Some)).chain([None]).collect();
    for (event, (before, after)) in events.iter().rev().zip(states.iter().zip(&states[1..])) {
        assert_eq!((&event.before, &event.after), (before, after), "{}", event.method);
        assert_eq!((event.actor.as_str(), event.experiment_id.as_str()), ("anonymous", "told"));
        let update_time = after.as_ref().and_then(|after| after.update_time);
        assert!(update_time.is_none() || event.event_time == update_time, "{}", event.method);
    }
    assert!(events.is_sorted_by(|newer, older| newer.event_id > older.event_id));
    let notes: Vec<&str> = events.iter().map(|event| event.note.as_str()).collect();
    assert_eq!(notes, ["", "", "It is twice as good.", "", "", "", ""]);
    assert_eq!(paths(&events[5]), ["owner"]);
    assert_eq!(paths(&events[4]), ["state", "start_time"]);
    assert_eq!(paths(&events[3]), ["state"]);
    assert_eq!(paths(&events[2]), ["state", "winner_variant_id", "conclude_time"]);
    for whole in [&events[6], &events[0]] {
        assert!(paths(whole).contains(&"variants") && !paths(whole).contains(&"labels"));
    }
}

async fn what_changes_nothing_is_not_told(server: TestServer) {
    let experiment = || Some(wire::experiment("quiet"));
    let check = pb::CreateExperimentRequest { experiment: experiment(), validate_only: true };
    server.admin().create_experiment(check).await.unwrap();
    let upsert = |validate_only| pb::UpdateExperimentRequest {
        experiment: experiment(),
        allow_missing: true,
        validate_only,
        ..pb::UpdateExperimentRequest::default()
    };
    server.update(upsert(true)).await.unwrap();
    assert_eq!(server.events("").await, []);
    server.update(upsert(false)).await.unwrap();
    let told = server.events("").await;
    assert_eq!(methods(&told), ["UpdateExperiment"]);
    assert!(told[0].before.is_none() && told[0].after.is_some());

    server.update(upsert(false)).await.unwrap();
    server.create(wire::experiment("quiet")).await.unwrap_err();
    server.pause("quiet").await.unwrap_err();
    server.delete("nobody").await.unwrap_err();
    let stale = pb::Experiment { etag: "1".into(), owner: "me".into(), ..experiment().unwrap() };
    server.replace(stale, &["owner"]).await.unwrap_err();
    server.start_experiment("quiet").await.unwrap();
    server.start_experiment("quiet").await.unwrap();
    assert_eq!(methods(&server.events("quiet").await), ["StartExperiment", "UpdateExperiment"]);
}

async fn events_are_filtered_and_paged(server: TestServer) {
    for id in ["a", "b", "c"] {
        server.run(wire::experiment(id)).await;
    }
    server.pause("b").await.unwrap();
    let all = server.events("").await;
    let found = async |request: pb::ListAuditEventsRequest| {
        let events = server.audit(request).await.unwrap().events;
        events.iter().map(|event| event.experiment_id.as_str()).collect::<String>()
    };
    let any = pb::ListAuditEventsRequest::default;
    let of = |id: &str| pb::ListAuditEventsRequest { experiment_id: id.into(), ..any() };
    assert_eq!(found(any()).await, "bccbbaa");
    assert_eq!(found(of("b")).await, "bbb");
    assert_eq!(found(of("nobody")).await, "");
    let by = |actor: &str| pb::ListAuditEventsRequest { actor: actor.into(), ..any() };
    assert_eq!(found(by("server")).await, "");
    assert_eq!(found(by("anonymous")).await, "bccbbaa");
    let methods = vec!["PauseExperiment".into(), all[6].method.clone()];
    let did = |methods| pb::ListAuditEventsRequest { methods, ..any() };
    assert_eq!(found(did(methods)).await, "bcba");
    let since = pb::ListAuditEventsRequest { start_time: all[1].event_time, ..any() };
    assert_eq!(found(since).await, "bc");
    let until = pb::ListAuditEventsRequest { end_time: all[4].event_time, ..any() };
    assert_eq!(found(until).await, "aa");

    let mut request = pb::ListAuditEventsRequest { page_size: 2, ..of("b") };
    let first = server.audit(request.clone()).await.unwrap();
    // Newer events do not move a page.
    server.start_experiment("b").await.unwrap();
    request.page_token = first.next_page_token;
    let second = server.audit(request.clone()).await.unwrap();
    let ids = [&first.events[..], &second.events].concat();
    let of_b = all.iter().filter(|event| event.experiment_id == "b").cloned();
    assert_eq!(ids, of_b.collect::<Vec<_>>());
    assert_eq!(second.next_page_token, "");

    let invalid = |fields: &[&str]| Failure::invalid("INVALID_REQUEST", fields);
    for (request, expected) in [
        (pb::ListAuditEventsRequest { experiment_id: "c".into(), ..request.clone() }, "page_token"),
        (pb::ListAuditEventsRequest { page_token: "1.x.0".into(), ..any() }, "page_token"),
        (pb::ListAuditEventsRequest { page_size: -1, ..any() }, "page_size"),
        (of("No Id"), "experiment_id"),
        (did(vec!["StartExperiment".into(), "Assign".into()]), "methods[1]"),
        (
            pb::ListAuditEventsRequest {
                end_time: Some(Timestamp { seconds: i64::MAX, nanos: 0 }),
                ..any()
            },
            "end_time",
        ),
    ] {
        assert_eq!(failure(server.audit(request).await), invalid(&[expected]));
    }
    let long = pb::ConcludeExperimentRequest {
        experiment_id: "a".to_owned(),
        note: "x".repeat(4_097),
        ..pb::ConcludeExperimentRequest::default()
    };
    assert_eq!(failure(server.admin().conclude_experiment(long).await), invalid(&["note"]));
}

async fn the_planned_end_is_told_once(server: TestServer) {
    let mut experiment = wire::experiment("ending");
    experiment.planned_end_time = Some(Timestamp { seconds: 1_000, nanos: 0 });
    server.create(experiment).await.unwrap();
    // Of several replicas on one store all see the end coming.
    let mut replicas = Vec::new();
    if let Some(redis) = &server.home.server {
        for _ in 0..3 {
            let url = redis.url();
            let home = Home::new(StoreKind::Memory).await;
            let replica = TestServer::start_with(home, |settings| {
                settings.store = StoreLocation::Redis(url);
                settings.service.catalog_poll = Duration::from_millis(1);
            });
            replicas.push(replica.await);
        }
    }
    server.start_experiment("ending").await.unwrap();
    let paused = server.experiment_when("ending", |e| e.state() == State::Paused).await;
    // Everybody has looked again since.
    for replica in &replicas {
        replica.create(wire::experiment(&format!("after-{}", replica.grpc.port()))).await.unwrap();
    }
    let events = server.events("ending").await;
    assert_eq!(methods(&events), ["PauseExperiment", "StartExperiment", "CreateExperiment"]);
    assert_eq!((events[0].actor.as_str(), paths(&events[0])), ("server", vec!["state"]));
    assert_eq!(events[0].note, "planned_end_time has come");
    assert_eq!(events[0].after.as_ref(), Some(&paused));
}

/// Megabytes take their time on a busy machine, longer than the server waits for Redis: who hears
/// that it is away asks again.
async fn patiently<T>(call: impl AsyncFn() -> Result<T, Status>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match call().await {
            Err(status) if status.code() == Code::Unavailable => {
                assert!(Instant::now() < deadline, "{status:?}");
            }
            answer => return answer.unwrap(),
        }
    }
}

/// Clients take messages of up to 4 MiB unless told otherwise; these here do.
async fn pages_fit_into_a_message(server: TestServer) {
    let large = |number: u32| {
        let mut experiment = wire::experiment(&format!("large-{number}"));
        let payload = wire::text(&"x".repeat(40_000));
        let variants = (0..16).map(|index| pb::Variant {
            value: Some(payload.clone()),
            ..wire::variant(&format!("v{index}"), 625, index == 0)
        });
        experiment.variants = variants.collect();
        experiment
    };
    for number in 0..8 {
        patiently(async || match server.create(large(number)).await {
            // The answer to the first attempt was late.
            Err(status) if status.code() == Code::AlreadyExists => Ok(()),
            answer => answer.map(|_| ()),
        })
        .await;
    }
    let (mut token, mut sizes) = (String::new(), Vec::new());
    loop {
        let page_token = token.clone();
        let request = pb::ListExperimentsRequest { page_token, ..Default::default() };
        let list = async || server.admin().list_experiments(request.clone()).await;
        let page = patiently(list).await.into_inner();
        assert!(page.encoded_len() < 4 << 20);
        sizes.push(page.experiments.len());
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(sizes, [6, 2]);
    let mut ids = Vec::new();
    loop {
        let page_token = token.clone();
        let request = pb::ListAuditEventsRequest { page_token, ..Default::default() };
        let page = patiently(async || server.audit(request.clone()).await).await;
        assert!(page.encoded_len() < 4 << 20 && !page.events.is_empty());
        ids.extend(page.events.into_iter().map(|event| event.experiment_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, (0..8).rev().map(|n| format!("large-{n}")).collect::<Vec<_>>());
}
