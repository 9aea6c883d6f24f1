//! Every state against every transition, conditional changes, and layers.

use tiebreak::rpc::pb;
use tiebreak::rpc::pb::experiment::State;
use tonic::{Code, Status};

use crate::support::server::{Failure, StoreKind, TestServer, failure};
use crate::support::wire;

const STATES: [State; 5] =
    [State::Draft, State::Running, State::Paused, State::Concluded, State::Archived];

/// A draft named `id` brought into `state`.
async fn bring(server: &TestServer, id: &str, state: State) {
    server.create(wire::experiment(id)).await.unwrap();
    if !matches!(state, State::Draft | State::Archived) {
        server.start_experiment(id).await.unwrap();
    }
    match state {
        State::Paused => drop(server.pause(id).await.unwrap()),
        State::Concluded => drop(server.conclude(id, "treatment").await.unwrap()),
        State::Archived => drop(server.archive(id).await.unwrap()),
        State::Unspecified | State::Draft | State::Running => {}
    }
}

/// The state that a step leads to, `None` when the experiment is gone; `Err` when it is refused.
type Fate = Result<Option<State>, ()>;

#[derive(Debug, Clone, Copy)]
enum Step {
    Start,
    Pause,
    ConcludeAsBefore,
    ConcludeOtherwise,
    Archive,
    Delete,
    Change,
}

use Step::{Archive, Change, ConcludeAsBefore, ConcludeOtherwise, Delete, Pause, Start};

/// The state after the step; `None` when the experiment is gone.
async fn take(server: &TestServer, id: &str, step: Step) -> Result<Option<State>, Status> {
    let experiment = match step {
        Start => server.start_experiment(id).await?,
        Pause => server.pause(id).await?,
        ConcludeAsBefore => server.conclude(id, "treatment").await?.experiment.unwrap(),
        ConcludeOtherwise => server.conclude(id, "").await?.experiment.unwrap(),
        Archive => server.archive(id).await?,
        Change => {
            let owned = pb::Experiment { owner: "me".to_owned(), ..wire::experiment(id) };
            server.replace(owned, &["owner"]).await?.experiment.unwrap()
        }
        Delete => return server.delete(id).await.map(|()| None),
    };
    Ok(Some(experiment.state()))
}

/// What becomes of an experiment; `Err` where the transition, or the change, is refused. A
/// transition into the state that it is in changes nothing and succeeds.
#[tokio::test]
async fn every_state_against_every_step() {
    use State::{Archived, Concluded, Draft, Paused, Running};
    let on = |state| Ok(Some(state));
    let no = Err(());
    let table: [(Step, [Fate; 5]); 7] = [
        (Start, [on(Running), on(Running), on(Running), no, no]),
        (Pause, [no, on(Paused), on(Paused), no, no]),
        (ConcludeAsBefore, [no, on(Concluded), on(Concluded), on(Concluded), no]),
        (ConcludeOtherwise, [no, on(Concluded), on(Concluded), no, no]),
        (Archive, [on(Archived), no, no, on(Archived), on(Archived)]),
        (Delete, [Ok(None), no, no, no, Ok(None)]),
        (Change, [on(Draft), on(Running), on(Paused), no, no]),
    ];
    let server = TestServer::start(StoreKind::Memory).await;
    for (row, (step, expected)) in table.into_iter().enumerate() {
        for (column, (from, expected)) in STATES.into_iter().zip(expected).enumerate() {
            let id = format!("e-{row}-{column}");
            bring(&server, &id, from).await;
            let before = server.get(&id).await.unwrap();
            let got = take(&server, &id, step).await;
            let Err(()) = expected else {
                assert_eq!(got.unwrap(), expected.unwrap(), "{step:?} of {from:?}");
                continue;
            };
            let reason = match step {
                Change => "EXPERIMENT_CLOSED",
                _ => "INVALID_STATE_TRANSITION",
            };
            let refused = Failure::new(Code::FailedPrecondition, reason);
            assert_eq!(failure(got), refused, "{step:?} of {from:?}");
            assert_eq!(server.get(&id).await.unwrap(), before, "{step:?} of {from:?}");
        }
    }
    let missing = Failure::new(Code::NotFound, "EXPERIMENT_NOT_FOUND");
    for step in [Start, Pause, ConcludeAsBefore, ConcludeOtherwise, Archive, Delete, Change] {
        assert_eq!(failure(take(&server, "nobody", step).await), missing, "{step:?}");
    }
}

#[tokio::test]
async fn an_etag_makes_every_change_conditional() {
    let server = TestServer::start(StoreKind::Memory).await;
    let mismatch = Failure::new(Code::Aborted, "ETAG_MISMATCH");
    let id = || "tagged".to_owned();
    let old = server.create(wire::experiment("tagged")).await.unwrap().etag;
    server
        .replace(
            pb::Experiment { owner: "me".to_owned(), ..wire::experiment("tagged") },
            &["owner"],
        )
        .await
        .unwrap();
    for etag in [old.as_str(), "garbage", "-1", "99999999999999999999999"] {
        let etag = || etag.to_owned();
        let mut admin = server.admin();
        let start = pb::StartExperimentRequest { experiment_id: id(), etag: etag() };
        assert_eq!(failure(admin.start_experiment(start).await), mismatch);
        let pause = pb::PauseExperimentRequest { experiment_id: id(), etag: etag() };
        assert_eq!(failure(admin.pause_experiment(pause).await), mismatch);
        let archive = pb::ArchiveExperimentRequest { experiment_id: id(), etag: etag() };
        assert_eq!(failure(admin.archive_experiment(archive).await), mismatch);
        let conclude = pb::ConcludeExperimentRequest {
            experiment_id: id(),
            etag: etag(),
            ..pb::ConcludeExperimentRequest::default()
        };
        assert_eq!(failure(admin.conclude_experiment(conclude).await), mismatch);
        let delete =
            pb::DeleteExperimentRequest { experiment_id: id(), etag: etag(), allow_missing: true };
        assert_eq!(failure(admin.delete_experiment(delete).await), mismatch);
        let changed = pb::Experiment { etag: etag(), ..wire::experiment("tagged") };
        assert_eq!(failure(server.replace(changed, &[]).await), mismatch);
        // Nothing to match: a conditional upsert creates nothing.
        let upsert = pb::UpdateExperimentRequest {
            experiment: Some(pb::Experiment { etag: etag(), ..wire::experiment("absent") }),
            allow_missing: true,
            ..pb::UpdateExperimentRequest::default()
        };
        assert_eq!(failure(server.update(upsert).await), mismatch);
    }
    let etag = server.get("tagged").await.unwrap().etag;
    let start = pb::StartExperimentRequest { experiment_id: id(), etag };
    server.admin().start_experiment(start).await.unwrap();
}

#[tokio::test]
async fn running_experiments_of_a_layer_share_no_bucket() {
    let server = TestServer::start(StoreKind::Memory).await;
    let overlap = Failure::new(Code::FailedPrecondition, "LAYER_OVERLAP");
    let in_layer = |id: &str, layer: &str, start, end| {
        let buckets = Some(pb::BucketRange { start, end });
        let layer = Some(pb::LayerSlot { layer_id: layer.to_owned(), buckets });
        pb::Experiment { layer, ..wire::experiment(id) }
    };
    server.run(in_layer("first", "checkout", 0, 5_000)).await;
    server.run(in_layer("beside", "checkout", 5_000, 6_000)).await;
    server.run(in_layer("elsewhere", "search", 0, 10_000)).await;
    server.create(in_layer("rival", "checkout", 4_999, 5_000)).await.unwrap();
    assert_eq!(failure(server.start_experiment("rival").await), overlap);
    let wider = server.replace(in_layer("beside", "checkout", 4_999, 6_000), &["layer"]).await;
    assert_eq!(failure(wider), overlap);
    server.pause("first").await.unwrap();
    server.start_experiment("rival").await.unwrap();
    assert_eq!(failure(server.start_experiment("first").await), overlap);
    // What has ended can never start: the layer is not the reason.
    server.conclude("first", "").await.unwrap();
    let ended = Failure::new(Code::FailedPrecondition, "INVALID_STATE_TRANSITION");
    assert_eq!(failure(server.start_experiment("first").await), ended);
}
