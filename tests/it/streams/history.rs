//! How results developed: bounded, evenly spaced, the same on every replica, and complete also when
//! nobody watches. Time is an argument of the use cases, so weeks pass in a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tiebreak::domain::bucket::GroupCount;
use tiebreak::domain::experiment::Timestamp;
use tiebreak::domain::history::Point;
use tiebreak::domain::outcome::OutcomeDraft;
use tiebreak::service::{HistoryRequest, Options, ResultsRequest, Service};
use tiebreak::store::{Note, Store};

use crate::support::events::{any_cause, at_revision, experiment, shard};
use crate::support::{Home, on_every_store};

on_every_store!(
    a_history_grows_stays_bounded_and_even,
    replicas_write_one_history,
    nobody_has_to_watch,
    a_restart_goes_on,
    points_of_another_release_are_passed,
);

const SECOND: i64 = 1_000_000_000;

/// A use case's view of a store in which experiment `x` runs since second 0.
async fn service(store: &Arc<dyn Store>) -> Service {
    let mut running = at_revision(&experiment("x", 2), 1);
    // As few as there may be: thousands of looks are to be quick.
    running.iterations[0].layout.groups = GroupCount::try_from(64).unwrap();
    // Another replica may have been here first.
    let _there = store.put(&running, None, &any_cause()).await;
    let options = Options { look_interval: Some(Duration::from_millis(1)), ..Options::default() };
    let (service, _) = Service::new(Arc::clone(store), options);
    service.refresh().await.unwrap();
    service
}

/// One more outcome in every arm.
async fn log(service: &Service, second: i64) {
    let drafts: Vec<_> = (0..12)
        .map(|unit| OutcomeDraft {
            experiment_id: "x".to_owned(),
            unit_id: format!("u{unit}-{second}"),
            values: [("solved".to_owned(), 1.0), ("cost".to_owned(), f64::from(unit % 3))].into(),
            ..OutcomeDraft::default()
        })
        .collect();
    for receipt in service.log_outcomes(&drafts).await {
        assert!(receipt.unwrap().counted);
    }
}

async fn look(service: &Service, second: i64) {
    let request = ResultsRequest { experiment_id: "x".to_owned(), ..ResultsRequest::default() };
    service.results(&request, Timestamp(second * SECOND + 1)).await.unwrap();
}

async fn history(service: &Service, max_points: u32, second: i64) -> Vec<Point> {
    let request = HistoryRequest {
        experiment_id: "x".to_owned(),
        metric_id: "cost".to_owned(),
        iteration: 0,
        max_points,
    };
    service.history(&request, Timestamp(second * SECOND + 1)).await.unwrap()
}

fn units(point: &Point) -> i64 {
    point.exposures.iter().map(|arm| arm.units).sum()
}

fn seconds(points: &[Point]) -> Vec<i64> {
    points.iter().map(|point| point.time.0 / SECOND).collect()
}

async fn a_history_grows_stays_bounded_and_even(home: Home) {
    let store = home.open().await;
    let service = service(&store).await;
    assert_eq!(history(&service, 0, 0).await, [], "nothing has happened");
    let mut logged = 0;
    // Three hours, looked at as often as a point is due.
    let (mut second, end) = (0, 3 * 3_600);
    for number in 0.. {
        if number % 10 == 0 {
            log(&service, second).await;
            logged += 12;
        }
        look(&service, second).await;
        if second == 100 {
            let points = history(&service, 1_000, second).await;
            assert_eq!(seconds(&points), (0..=100).collect::<Vec<_>>(), "all while there is room");
        }
        if second >= end {
            break;
        }
        second = (second + (second / 256).max(1)).min(end);
    }
    let points = history(&service, 1_000, end).await;
    assert!((128..=257).contains(&points.len()), "{}", points.len());
    assert!(points.windows(2).all(|pair| pair[0].time < pair[1].time));
    assert!(points.windows(2).all(|pair| units(&pair[0]) <= units(&pair[1])), "cumulative");
    assert_eq!(units(points.last().unwrap()), logged);
    let gaps: Vec<_> = seconds(&points).windows(2).map(|pair| pair[1] - pair[0]).collect();
    // 64 seconds, and how long it took until somebody looked.
    assert!(gaps.iter().rev().skip(1).all(|gap| (32..=96).contains(gap)), "{gaps:?}");
    let comparison = &points.last().unwrap().comparisons("cost")[0];
    assert!(comparison.difference.is_some() && comparison.sequential.is_some());
    assert!(store.notes(&shard("x", 1, 0)).await.unwrap().len() <= 256);

    for limit in [1, 2, 50] {
        let thinned = history(&service, limit, end).await;
        assert_eq!(thinned.len(), usize::try_from(limit).unwrap());
        assert_eq!(thinned.last(), points.last());
        assert!(limit == 1 || thinned.first() == points.first());
    }
    assert!(history(&service, 0, end).await.len() <= 200);
}

async fn replicas_write_one_history(home: Home) {
    let store = home.open().await;
    let (one, other) = (service(&store).await, service(&store).await);
    for second in (0..400).step_by(4) {
        if second % 40 == 0 {
            log(&one, second).await;
        }
        let (now, later) = (look(&one, second), look(&other, second));
        tokio::join!(now, later);
    }
    let points = history(&one, 1_000, 400).await;
    assert_eq!(points, history(&other, 1_000, 400).await);
    let expected: Vec<i64> = (0..=400).step_by(4).collect();
    assert_eq!(seconds(&points), expected, "each once");
}

async fn nobody_has_to_watch(home: Home) {
    let store = home.open().await;
    let service = service(&store).await;
    log(&service, 0).await;
    // A second passes whenever the clock is read.
    let clock = AtomicI64::new(0);
    let mut looks = 0;
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let observe = service.observe(
        || Timestamp(clock.fetch_add(SECOND, Ordering::SeqCst)),
        |observed| told.send(observed).unwrap(),
    );
    let wait = async {
        while looks < 40 {
            hears.recv().await.unwrap().unwrap();
            looks += 1;
            log(&service, looks).await;
        }
    };
    tokio::select! {
        () = observe => unreachable!(),
        () = wait => {}
    }
    let points = history(&service, 1_000, 60).await;
    assert!(points.len() >= 38, "{:?}", seconds(&points));
    assert!(points.windows(2).all(|pair| units(&pair[0]) <= units(&pair[1])));
}

async fn a_restart_goes_on(home: Home) {
    let store = home.open().await;
    let before = service(&store).await;
    log(&before, 0).await;
    for second in 0..10 {
        look(&before, second).await;
    }
    let after = service(&store).await;
    for second in 8..20 {
        look(&after, second).await;
    }
    assert_eq!(seconds(&history(&after, 0, 20).await), (0..=20).collect::<Vec<_>>());
}

async fn points_of_another_release_are_passed(home: Home) {
    let store = home.open().await;
    let service = service(&store).await;
    log(&service, 0).await;
    let newer = Note { stamp: 3, bytes: vec![255, 1, 2, 3] };
    store.note(&shard("x", 1, 0), 3, &newer).await.unwrap();
    for second in 0..6 {
        look(&service, second).await;
    }
    assert_eq!(seconds(&history(&service, 0, 6).await), [0, 1, 2, 4, 5, 6]);
}
