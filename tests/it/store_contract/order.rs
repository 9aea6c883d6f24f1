//! The counters do not depend on the order of the events, nor on how they are split into batches
//! and shards: real outcomes, shuffled and split at random, against a model of ten lines.

use std::collections::{BTreeMap, HashSet};

use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tiebreak::domain::counter::{Event, ShardKey};
use tiebreak::domain::experiment::Experiment;
use tiebreak::domain::outcome::{OutcomeDraft, credit};
use tiebreak::domain::segment::{Breakdown, Registry, Told};
use tiebreak::domain::tally::Tally;
use tiebreak::domain::value::Value;
use tiebreak::store::{Rows, Store};

use crate::support::events::experiment;
use crate::support::{Home, on_every_store};

on_every_store!(order_batches_and_shards_do_not_matter);

async fn order_batches_and_shards_do_not_matter(home: Home) {
    let store = home.open().await;
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let mut outcomes = outcomes(&mut generator);
    let mut tallies: Vec<String> = Vec::new();
    for shards in [1, 2, 8, 64] {
        // Twice the same, in another order.
        for round in 0..2 {
            let mut experiment = experiment(&format!("x-{shards}-{round}"), shards);
            experiment.definition.dimensions = vec!["tier".to_owned(), "plan".to_owned()];
            outcomes.shuffle(&mut generator);
            let (keys, events) = credited(&experiment, &outcomes);
            apply_in_random_batches(&*store, &keys, &events, &mut generator).await;
            let layout = experiment.current().unwrap().layout;
            let mut breakdown = Breakdown::new("plan".to_owned(), layout);
            let mut whole = Tally::new(layout);
            for (shard, expected) in model(&keys, &events) {
                let rows = store.rows_with_segments(&shard, "g/").await.unwrap();
                assert_eq!(rows, expected, "{shard:?}");
                whole.absorb(shard.shard, store.rows(&shard).await.unwrap()).unwrap();
                let rows = store.rows_with_segments(&shard, &breakdown.rows()).await.unwrap();
                breakdown.absorb(shard.shard, rows).unwrap();
            }
            let (same, parts) = breakdown.finish(&experiment.definition).unwrap();
            assert_eq!(same, whole);
            let names = parts.iter().map(|part| part.segment.value.as_str());
            assert_eq!(names.collect::<Vec<_>>(), ["free", "pro", "(none)"]);
            // Everything but the layout, which names the number of shards.
            let parts = parts.iter().map(|part| part.tally.counters());
            tallies.push(format!("{:?} {:?}", whole.counters(), parts.collect::<Vec<_>>()));
        }
    }
    for tally in &tallies {
        assert_eq!(*tally, tallies[0]);
    }
    assert!(tallies[0].contains("q/c/latency/"), "the outcomes reach the sketch");
}

/// Of 60 units; every fourth has an id that another one may have, too, with the same content.
fn outcomes(generator: &mut impl Rng) -> Vec<OutcomeDraft> {
    let mut outcomes: Vec<OutcomeDraft> = Vec::new();
    for number in 0..400 {
        if number % 4 == 0 && number > 0 {
            let again = outcomes[generator.random_range(0..outcomes.len())].clone();
            if !again.event_id.is_empty() {
                outcomes.push(again);
                continue;
            }
        }
        let unit = generator.random_range(0..60_u32);
        let solved = f64::from(generator.random_range(0..2_u8));
        let latency = f64::from(generator.random_range(1..5_000_000_u32)) / 1_000.0;
        let cost = f64::from(generator.random_range(0..1_000_000_u32)) * 1e-7;
        let values = [("solved", solved), ("latency", latency), ("cost", cost)];
        let kept = generator.random_range(1..=values.len());
        outcomes.push(OutcomeDraft {
            unit_id: format!("unit-{unit}"),
            values: values[..kept].iter().map(|(id, value)| ((*id).to_owned(), *value)).collect(),
            event_id: if number % 5 == 0 { String::new() } else { format!("event-{number}") },
            // Of the unit, so that it does not matter which outcome exposes it.
            attributes: [
                ("past_latency".to_owned(), Value::Number(f64::from(unit) * 0.37)),
                ("plan".to_owned(), Value::Text(["free", "pro", ""][unit as usize % 3].to_owned())),
                ("tier".to_owned(), Value::Number(f64::from(unit % 5))),
            ]
            .into(),
            ..OutcomeDraft::default()
        });
    }
    outcomes
}

fn credited(experiment: &Experiment, outcomes: &[OutcomeDraft]) -> (Vec<ShardKey>, Vec<Event>) {
    let dimensions = &experiment.definition.dimensions;
    let mut registry = Registry::default();
    let credits = outcomes.iter().map(|outcome| {
        let draft = OutcomeDraft { experiment_id: experiment.id().to_string(), ..outcome.clone() };
        let told = Told::all(dimensions, &draft.attributes);
        let label = loop {
            match registry.label(&told) {
                Ok(label) => break label,
                Err(claim) => registry.enter(claim).unwrap(),
            }
        };
        let credited = credit(experiment, &draft).unwrap().expect("everybody takes part");
        let segments = registry.segments(dimensions, label).unwrap();
        (credited.shard(), credited.event(&segments))
    });
    credits.unzip()
}

async fn apply_in_random_batches(
    store: &dyn Store,
    keys: &[ShardKey],
    events: &[Event],
    generator: &mut impl Rng,
) {
    let mut batches: BTreeMap<&ShardKey, Vec<Event>> = BTreeMap::new();
    for (key, event) in keys.iter().zip(events) {
        let batch = batches.entry(key).or_default();
        batch.push(event.clone());
        if generator.random_bool(0.1) {
            store.apply(key, batch).await.unwrap();
            batch.clear();
        }
    }
    for (key, batch) in batches {
        store.apply(key, &batch).await.unwrap();
    }
}

/// What the contract says, as plainly as it can be said.
fn model(keys: &[ShardKey], events: &[Event]) -> BTreeMap<ShardKey, Rows> {
    let (mut ids, mut units) = (HashSet::new(), HashSet::new());
    let mut shards: BTreeMap<ShardKey, Rows> = BTreeMap::new();
    for (key, event) in keys.iter().zip(events) {
        if event.dedup.is_some_and(|id| !ids.insert((key, id))) {
            continue;
        }
        let mut increments = event.increments.clone();
        if units.insert((key, event.unit)) {
            increments.extend(event.if_unit_is_new.clone());
        }
        let rows = shards.entry(key.clone()).or_default();
        for increment in increments {
            let column = usize::try_from(increment.column).unwrap();
            let row = rows.entry(increment.row).or_default();
            row.resize(row.len().max(column + 1), 0);
            row[column] += increment.amount;
        }
    }
    shards
}
