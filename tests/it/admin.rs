//! The control plane through a socket: what is stored, listed, changed, and gone.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tiebreak::rpc::pb;
use tiebreak::rpc::pb::experiment::State;
use tonic::Code;

use crate::support::server::{Failure, StoreKind, TestServer, failure};
use crate::support::wire::{self, exposure};
use crate::support::{Home, over_a_socket};

over_a_socket! {
    what_is_created_is_what_is_read,
    only_checking_stores_nothing,
    lists_are_paged_and_filtered_newest_first,
    a_mask_replaces_what_it_names,
    only_a_design_opens_an_iteration,
    a_plan_is_fixed_once_it_runs,
    the_same_again_is_no_change_in_any_state,
    the_planned_end_pauses,
    metrics_are_only_added,
    of_concurrent_updates_one_wins,
    deletion_leaves_nothing,
}

async fn what_is_created_is_what_is_read(server: TestServer) {
    let mut wanted = wire::experiment("stored");
    wanted.labels.insert("team".to_owned(), "support".to_owned());
    wanted.eligibility = "attributes.tags.exists(t, t == 'x')".into();
    wanted.metrics[2].quantiles = vec![0.9];
    let created = server.create(wanted.clone()).await.unwrap();
    assert_eq!(created.state(), State::Draft);
    assert_eq!((created.iteration, created.etag.is_empty()), (1, false));
    assert_eq!((&created.labels, &created.eligibility), (&wanted.labels, &wanted.eligibility));
    let buckets: Vec<_> = created.variants.iter().flat_map(|v| &v.buckets).collect();
    let range = |start, end| pb::BucketRange { start, end };
    assert_eq!(buckets, [&range(5_000, 10_000), &range(0, 5_000)]);
    assert!(created.create_time.is_some() && created.start_time.is_none());
    assert_eq!(server.get("stored").await.unwrap(), created);
    // A record sent back as it was read changes nothing.
    let again = server.replace(created.clone(), &[]).await.unwrap();
    assert_eq!(again.changed.unwrap().paths, Vec::<String>::new());
    assert_eq!((again.experiment, again.new_iteration), (Some(created), false));
    let started = server.start_experiment("stored").await.unwrap();
    assert!(started.start_time.is_some());
    assert_eq!(server.get("stored").await.unwrap(), started);
}

async fn only_checking_stores_nothing(server: TestServer) {
    let missing = Failure::new(Code::NotFound, "EXPERIMENT_NOT_FOUND");
    let experiment = Some(wire::experiment("dry"));
    let dry = pb::CreateExperimentRequest { experiment: experiment.clone(), validate_only: true };
    server.admin().create_experiment(dry).await.unwrap();
    assert_eq!(failure(server.get("dry").await), missing);
    let upsert = |allow_missing, validate_only| pb::UpdateExperimentRequest {
        experiment: experiment.clone(),
        allow_missing,
        validate_only,
        ..pb::UpdateExperimentRequest::default()
    };
    assert_eq!(failure(server.update(upsert(false, false)).await), missing);
    server.update(upsert(true, true)).await.unwrap();
    assert_eq!(failure(server.get("dry").await), missing);
    let made = server.update(upsert(true, false)).await.unwrap();
    assert!(!made.changed.unwrap().paths.is_empty());
    let stored = server.get("dry").await.unwrap();
    assert_eq!(made.experiment.as_ref(), Some(&stored));
    let mut checked = upsert(false, true);
    checked.experiment.as_mut().unwrap().owner = "me".into();
    let told = server.update(checked).await.unwrap();
    assert_eq!(told.changed.unwrap().paths, ["owner"]);
    assert_eq!(server.get("dry").await.unwrap(), stored);
}

async fn lists_are_paged_and_filtered_newest_first(server: TestServer) {
    for number in 0..5 {
        let mut experiment = wire::experiment(&format!("e{number}"));
        let parity = if number % 2 == 0 { "even" } else { "odd" };
        experiment.labels.insert("parity".to_owned(), parity.to_owned());
        server.create(experiment).await.unwrap();
    }
    server.start_experiment("e1").await.unwrap();
    server.archive("e4").await.unwrap();
    let list = async |mut request: pb::ListExperimentsRequest| {
        let mut pages = Vec::new();
        loop {
            let answer =
                server.admin().list_experiments(request.clone()).await.unwrap().into_inner();
            let page = answer.experiments.into_iter().map(|e| e.experiment_id);
            pages.push(page.collect::<Vec<_>>().join(" "));
            if answer.next_page_token.is_empty() {
                return pages;
            }
            request.page_token = answer.next_page_token;
        }
    };
    let everything = pb::ListExperimentsRequest::default();
    assert_eq!(list(everything.clone()).await, ["e3 e2 e1 e0"]);
    let paged = pb::ListExperimentsRequest { page_size: 2, ..everything.clone() };
    assert_eq!(list(paged).await, ["e3 e2", "e1 e0"]);
    let labels = [("parity".to_owned(), "odd".to_owned())].into();
    let labelled = pb::ListExperimentsRequest { labels, page_size: 1, ..everything.clone() };
    assert_eq!(list(labelled).await, ["e3", "e1"]);
    let states = vec![State::Running.into(), State::Archived.into()];
    let of_states = pb::ListExperimentsRequest { states, ..everything };
    assert_eq!(list(of_states).await, ["e4 e1"]);
}

async fn a_mask_replaces_what_it_names(server: TestServer) {
    let mut first = wire::experiment("masked");
    first.owner = "first".into();
    first.description = "first".into();
    let before = server.create(first).await.unwrap();
    let mut second = wire::experiment("masked");
    second.owner = "second".into();
    second.description = "second".into();
    let told = server.replace(second.clone(), &["owner", "display_name"]).await.unwrap();
    assert_eq!(told.changed.unwrap().paths, ["owner"]);
    let after = told.experiment.unwrap();
    assert_eq!((after.owner.as_str(), after.description.as_str()), ("second", "first"));
    assert_ne!(after.etag, before.etag);
    let told = server.replace(second, &["*"]).await.unwrap();
    assert_eq!(told.changed.unwrap().paths, ["description"]);
    assert_eq!(server.get("masked").await.unwrap(), told.experiment.unwrap());
}

async fn only_a_design_opens_an_iteration(server: TestServer) {
    type Change = (&'static str, bool, fn(&mut pb::Experiment));
    let changes: [Change; 9] = [
        ("owner", false, |e| e.owner = "me".into()),
        ("overrides", false, |e| {
            e.overrides.insert("qa".to_owned(), "control".to_owned());
        }),
        ("variants", false, |e| e.variants[1].description = "The new one".into()),
        ("variants", true, |e| e.variants[1].value = Some(wire::text("another model"))),
        ("variants", true, |e| {
            e.variants[0].weight_basis_points = 8_000;
            e.variants[1].weight_basis_points = 2_000;
        }),
        ("enrolment_basis_points", true, |e| e.enrolment_basis_points = Some(5_000)),
        ("eligibility", true, |e| e.eligibility = "unit_id != 'robot'".into()),
        ("layer", true, |e| {
            let buckets = Some(pb::BucketRange { start: 0, end: 10_000 });
            e.layer = Some(pb::LayerSlot { layer_id: "all".to_owned(), buckets });
        }),
        ("bucketing", true, |e| {
            e.bucketing =
                Some(pb::Bucketing { salt: "pepper".to_owned(), ..pb::Bucketing::default() });
        }),
    ];
    for started in [false, true] {
        let id = format!("design-{started}");
        let mut experiment = server.create(wire::experiment(&id)).await.unwrap();
        if started {
            experiment = server.start_experiment(&id).await.unwrap();
        }
        let mut iteration = 1;
        for (field, design, change) in changes {
            experiment.etag.clear();
            change(&mut experiment);
            let told = server.replace(experiment.clone(), &[field]).await.unwrap();
            iteration += u32::from(design && started);
            let case = format!("{field} of {id}");
            assert_eq!(told.changed.unwrap().paths, [field], "{case}");
            assert_eq!(told.new_iteration, design && started, "{case}");
            experiment = told.experiment.unwrap();
            assert_eq!(experiment.iteration, iteration, "{case}");
        }
    }
}

async fn a_plan_is_fixed_once_it_runs(server: TestServer) {
    let id = "planned";
    let mut experiment = wire::experiment(id);
    experiment.analysis = Some(pb::AnalysisPlan { alpha: Some(0.1), ..Default::default() });
    server.run(experiment.clone()).await;
    experiment.analysis = Some(pb::AnalysisPlan { alpha: Some(0.01), ..Default::default() });
    let refused = failure(server.replace(experiment, &["analysis"]).await);
    assert_eq!(refused, Failure::invalid("INVALID_EXPERIMENT", &["experiment.analysis"]));
}

async fn the_same_again_is_no_change_in_any_state(server: TestServer) {
    let mut experiment = wire::experiment("again");
    // Floats with long decimals come back as they went in.
    experiment.metrics[1].max_value = Some(0.1 + 0.2);
    experiment.metrics[2].max_value = Some(1e7 / 3.0);
    server.run(experiment.clone()).await;
    let home = server.stop().await;
    let server = TestServer::start_in(home).await;
    for step in 0..2 {
        let told = server.replace(experiment.clone(), &[]).await.unwrap();
        assert!(told.changed.unwrap().paths.is_empty(), "step {step}");
        server.conclude("again", "").await.unwrap();
    }
}

async fn the_planned_end_pauses(server: TestServer) {
    let mut experiment = wire::experiment("ending");
    experiment.planned_end_time = Some(prost_types::Timestamp { seconds: 1_000, nanos: 0 });
    server.run(experiment).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.get("ending").await.unwrap().state() != State::Paused {
        assert!(Instant::now() < deadline, "still running");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn metrics_are_only_added(server: TestServer) {
    use pb::metric::{Direction, Kind, Role};
    server.run(wire::experiment("growing")).await;
    let mut grown = wire::experiment("growing");
    let tokens = wire::metric("tokens", Kind::Amount, Direction::Decrease, Role::Secondary);
    grown.metrics.push(tokens);
    let told = server.replace(grown.clone(), &["metrics"]).await.unwrap();
    assert_eq!(
        (told.changed.unwrap().paths, told.new_iteration),
        (vec!["metrics".to_owned()], false)
    );
    let refused = Failure::invalid("INVALID_EXPERIMENT", &["experiment.metrics"]);
    let mut changed = grown.clone();
    changed.metrics[1].direction = Direction::Decrease.into();
    assert_eq!(failure(server.replace(changed, &["metrics"]).await), refused);
    grown.metrics.pop();
    assert_eq!(failure(server.replace(grown, &["metrics"]).await), refused);
    // The new one takes values at once.
    let sent = wire::outcome("growing", &wire::unit("growing", true), &[("tokens", 12.0)]);
    server.log(sent).await.unwrap();
    let results = server.results("growing").await;
    assert_eq!(wire::total(&results, "tokens", "treatment"), (1, 12.0));
}

async fn of_concurrent_updates_one_wins(server: TestServer) {
    let etag = server.create(wire::experiment("raced")).await.unwrap().etag;
    let race = |etag: &str| {
        let etag = etag.to_owned();
        join_all((0..8).map(|number| {
            let owner = format!("owner-{number}");
            let update = pb::Experiment { owner, etag: etag.clone(), ..wire::experiment("raced") };
            server.replace(update, &["owner"])
        }))
    };
    let answers = race(&etag).await;
    let winners = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(winners, 1);
    let mismatch = Failure::new(Code::Aborted, "ETAG_MISMATCH");
    for lost in answers.into_iter().filter(Result::is_err) {
        assert_eq!(failure(lost), mismatch);
    }
    // Unconditional ones all succeed, one after the other.
    let answers = race("").await;
    let etags = answers.into_iter().map(|told| told.unwrap().experiment.unwrap().etag);
    let last = server.get("raced").await.unwrap().etag;
    let etags: BTreeSet<_> = etags.collect();
    assert!(etags.contains(&last) && !etags.contains(&etag));
}

async fn deletion_leaves_nothing(server: TestServer) {
    let treated = wire::unit("phoenix", true);
    let sent = pb::Outcome {
        event_id: "event-1".to_owned(),
        ..wire::outcome("phoenix", &treated, &[("solved", 1.0), ("latency", 2.0)])
    };
    for _ in 0..2 {
        server.run(wire::experiment("phoenix")).await;
        let told = server.log(sent.clone()).await.unwrap();
        assert_eq!((told.counted, told.duplicate), (true, false));
        let results = server.results("phoenix").await;
        assert_eq!(exposure(&results, "treatment"), (1, 1, 0));
        assert_eq!(wire::total(&results, "latency", "treatment"), (1, 2.0));
        server.conclude("phoenix", "").await.unwrap();
        server.archive("phoenix").await.unwrap();
        server.delete("phoenix").await.unwrap();
        let missing = Failure::new(Code::NotFound, "EXPERIMENT_NOT_FOUND");
        assert_eq!(failure(server.get("phoenix").await), missing);
        assert_eq!(failure(server.log(sent.clone()).await), missing);
        assert_eq!(failure(server.delete("phoenix").await), missing);
    }
    let gone = pb::DeleteExperimentRequest {
        experiment_id: "phoenix".to_owned(),
        allow_missing: true,
        ..pb::DeleteExperimentRequest::default()
    };
    server.admin().delete_experiment(gone).await.unwrap();
}

/// Whatever an experiment had: shards, iterations, exposures, outcomes, looks, an old name.
#[tokio::test]
async fn deletion_leaves_no_key_in_redis() {
    let home = Home::new(StoreKind::Redis).await;
    let server = TestServer::start_with(home, |settings| {
        settings.service.shards = 4.try_into().unwrap();
        settings.service.look_interval = Some(Duration::from_millis(1));
    });
    let server = server.await;
    for round in 0..2 {
        let mut experiment = wire::experiment("gone");
        experiment.dimensions = vec!["plan".to_owned()];
        server.run(experiment.clone()).await;
        for iteration in 1..=3_u32 {
            for unit in wire::units("gone", true, 20) {
                server.assign("gone", &unit).await.unwrap();
                let event_id = format!("{round}-{iteration}-{unit}");
                let sent = wire::outcome("gone", &unit, &[("solved", 1.0), ("latency", 2.0)]);
                server.log(pb::Outcome { event_id, ..sent }).await.unwrap();
            }
            // Every exposure has arrived when all units are counted.
            server.results_when("gone", |r| exposure(r, "treatment").0 == 20).await;
            experiment.enrolment_basis_points = Some(10_000 - iteration);
            server.replace(experiment.clone(), &["enrolment_basis_points"]).await.unwrap();
        }
        assert!(server.home.redis_keys().await.len() > 50);
        server.conclude("gone", "treatment").await.unwrap();
        server.archive("gone").await.unwrap();
        server.delete("gone").await.unwrap();
        let mut left = server.home.redis_keys().await;
        left.sort();
        // What is the catalog's and the audit log's stays.
        let meant = ["audit", "audited", "format", "log", "version"];
        assert_eq!(left, meant.map(|name| format!("{{tiebreak:catalog}}:{name}")));
        assert_eq!(
            server.events("gone").await[0].method,
            "tiebreak.v1.AdminService/DeleteExperiment"
        );
    }
}
