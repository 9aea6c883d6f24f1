//! Which values have a name is one truth for all replicas, however they race.

use std::collections::BTreeSet;
use std::sync::Arc;

use tiebreak::domain::experiment::Timestamp;
use tiebreak::domain::outcome::OutcomeDraft;
use tiebreak::domain::value::Value;
use tiebreak::service::{Options, ResultsRequest, SegmentRequest, Service};
use tiebreak::store::Store;
use tokio::task::JoinSet;

use crate::support::events::{any_cause, experiment};
use crate::support::{Home, on_every_store};

on_every_store!(replicas_agree_on_32_names_and_on_every_unit, names_are_read_again_after_a_while);

const REPLICAS: usize = 4;
const PLANS: usize = 50;
const UNITS: usize = 400;

/// Replicas of the service over one store; those over Redis have a connection each.
async fn replicas(home: &Home, store: &Arc<dyn Store>, shards: u32) -> Vec<Arc<Service>> {
    let mut experiment = experiment("x", shards);
    experiment.definition.dimensions = vec!["plan".to_owned()];
    store.put(&experiment, None, &any_cause()).await.unwrap();
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        let own = if home.server.is_some() { home.open().await } else { Arc::clone(store) };
        let (service, _recorder) = Service::new(own, Options::default());
        service.refresh().await.unwrap();
        replicas.push(Arc::new(service));
    }
    replicas
}

fn solved(unit: usize, plan: &str, event: &str) -> OutcomeDraft {
    OutcomeDraft {
        experiment_id: "x".to_owned(),
        unit_id: format!("u{unit}"),
        values: [("solved".to_owned(), 1.0)].into(),
        event_id: event.to_owned(),
        attributes: [("plan".to_owned(), Value::Text(plan.to_owned()))].into(),
        ..OutcomeDraft::default()
    }
}

/// Values of `plan` with their units and outcomes.
async fn sizes(service: &Service) -> Vec<(String, i64, i64)> {
    let request = ResultsRequest {
        experiment_id: "x".to_owned(),
        segment: Some(SegmentRequest { dimension: "plan".to_owned(), value: String::new() }),
        ..ResultsRequest::default()
    };
    let answer = service.results(&request, Timestamp(5)).await.unwrap();
    let size = |results: tiebreak::domain::analysis::Results| {
        let exposures = results.exposures.iter();
        let size = exposures.fold((0, 0), |(u, o), e| (u + e.units, o + e.outcomes));
        (results.segment.unwrap().value, size.0, size.1)
    };
    answer.segments.into_iter().map(size).collect()
}

async fn replicas_agree_on_32_names_and_on_every_unit(home: Home) {
    let store = home.open().await;
    let replicas = replicas(&home, &store, 4).await;
    let mut senders = JoinSet::new();
    for (number, replica) in replicas.iter().cloned().enumerate() {
        senders.spawn(async move {
            // Every replica has every unit, in an order of its own, with the same plan, with
            // another one, and with none.
            for step in 0..UNITS {
                let unit = (step * 7 + number * 101) % UNITS;
                for round in 0..3 {
                    let plan = [format!("plan {}", unit % PLANS), "late".to_owned(), String::new()];
                    let event = format!("{unit}-{number}-{round}");
                    let receipt = replica.log_outcome(&solved(unit, &plan[round], &event)).await;
                    assert!(receipt.unwrap().counted);
                }
            }
        });
    }
    senders.join_all().await;
    let first = sizes(&replicas[0]).await;
    for replica in &replicas {
        assert_eq!(sizes(replica).await, first);
    }
    let names: BTreeSet<&str> = first.iter().map(|(value, ..)| value.as_str()).collect();
    // "late" was told often and is nobody's value; it may have taken a name all the same.
    assert!(first.len() == 32 || first.len() == 33, "{first:?}");
    assert!(names.contains("(other)") && !names.contains("late") && !names.contains("(none)"));
    let (units, outcomes) =
        first.iter().fold((0, 0), |(u, o), (_, units, outcomes)| (u + *units, o + *outcomes));
    assert_eq!(usize::try_from(units).unwrap(), UNITS);
    assert_eq!(usize::try_from(outcomes).unwrap(), UNITS * REPLICAS * 3);
    for (value, units, outcomes) in &first {
        // A unit is whole in one value, with all of its outcomes.
        assert_eq!(*outcomes, units * 3 * i64::try_from(REPLICAS).unwrap(), "{value}");
        if value != "(other)" {
            assert_eq!(usize::try_from(*units).unwrap(), UNITS / PLANS, "{value}");
        }
    }
}

/// A replica that named nothing itself reads what the others named.
async fn names_are_read_again_after_a_while(home: Home) {
    let store = home.open().await;
    let replicas = replicas(&home, &store, 1).await;
    for (number, replica) in replicas.iter().enumerate() {
        // Knows the names of now, before the others bring more.
        replica.log_outcome(&solved(number, "early", "")).await.unwrap();
    }
    for (number, replica) in replicas.iter().enumerate() {
        let unit = 100 + number;
        replica.log_outcome(&solved(unit, &format!("plan {number}"), "")).await.unwrap();
        for other in &replicas {
            // Tells nothing: the store knows the unit, under a name that `other` never heard of.
            other.log_outcome(&solved(unit, "", "")).await.unwrap();
            let batch = [solved(unit, "early", ""), solved(number, "", "")];
            for receipt in other.log_outcomes(&batch).await {
                assert!(receipt.unwrap().counted);
            }
        }
    }
    let sizes = sizes(&replicas[0]).await;
    let early = ("early".to_owned(), 4, 4 + 16);
    assert_eq!(sizes[0], early);
    for (number, size) in sizes[1..].iter().enumerate() {
        assert_eq!(*size, (format!("plan {number}"), 1, 1 + 4 + 4));
    }
    assert_eq!(sizes.len(), 5);
}
