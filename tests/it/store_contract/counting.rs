//! Events count whole, in order, and once.

use std::sync::Arc;
use std::time::Duration;

use tiebreak::domain::counter::Event;
use tiebreak::store::Applied::{Counted, Duplicate};
use tiebreak::store::{BATCH_EVENTS, COUNTER_LIMIT, Rows, StoreError};
use tokio::task::JoinSet;

use crate::support::events::{event, event_with_id, increment, shard};
use crate::support::{Home, on_every_store};

on_every_store!(
    an_event_is_counted,
    an_event_id_is_counted_once,
    an_event_id_is_counted_once_within_a_batch,
    an_event_id_counts_again_after_its_window_and_not_before,
    an_event_without_id_counts_every_time,
    answers_are_in_the_order_of_the_events,
    amounts_are_signed_and_exact_in_64_bits,
    a_full_counter_refuses_the_whole_batch,
    a_counter_is_full_at_its_limit,
    a_sum_counts_not_the_way_to_it,
    a_touched_column_stays_though_its_sum_is_zero,
    an_empty_batch_changes_nothing,
    a_huge_batch_is_counted,
    an_unknown_shard_has_no_rows,
    shards_iterations_and_experiments_are_apart,
    concurrent_callers_count_each_id_once,
);

async fn an_event_is_counted(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let mut sparse = event(1);
    sparse.increments.push(increment("k/v/m", 3, 7));
    assert_eq!(store.apply(&shard, &[sparse]).await.unwrap(), [Counted]);
    let expected: Rows = [("e/v", vec![1]), ("k/v/m", vec![0, 0, 0, 7]), ("n/v/m", vec![1])]
        .map(|(name, row)| (name.to_owned(), row))
        .into();
    assert_eq!(store.rows(&shard).await.unwrap(), expected);
}

async fn an_event_id_is_counted_once(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    assert_eq!(store.apply(&shard, &[event_with_id(1, 9)]).await.unwrap(), [Counted]);
    let before = store.rows(&shard).await.unwrap();
    let other_content = Event { increments: vec![increment("o/v", 0, 5)], ..event_with_id(2, 9) };
    for again in [event_with_id(1, 9), other_content] {
        assert_eq!(store.apply(&shard, &[again]).await.unwrap(), [Duplicate]);
        assert_eq!(store.rows(&shard).await.unwrap(), before);
    }
    // Nothing was remembered of the second unit, either.
    store.apply(&shard, &[event(2)]).await.unwrap();
    assert_eq!(store.rows(&shard).await.unwrap()["e/v"], [2]);
}

async fn an_event_id_is_counted_once_within_a_batch(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let batch = [event_with_id(1, 9), event_with_id(1, 9), event_with_id(1, 10)];
    assert_eq!(store.apply(&shard, &batch).await.unwrap(), [Counted, Duplicate, Counted]);
    assert_eq!(store.rows(&shard).await.unwrap()["n/v/m"], [2]);
}

async fn an_event_id_counts_again_after_its_window_and_not_before(mut home: Home) {
    home.window = Duration::from_secs(1);
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let started = home.elapsed();
    assert_eq!(store.apply(&shard, &[event_with_id(1, 9)]).await.unwrap(), [Counted]);
    loop {
        let answer = store.apply(&shard, &[event_with_id(1, 9)]).await.unwrap();
        let elapsed = home.elapsed().saturating_sub(started);
        if answer == [Counted] {
            assert!(elapsed >= home.window, "counted again after {elapsed:?}");
            break;
        }
        // The machine may be slow, the test clock is not.
        let limit = if home.server.is_some() { 30 * home.window } else { 2 * home.window };
        assert!(elapsed <= limit, "still remembered after {elapsed:?}");
        home.pass_time(Duration::from_millis(10)).await;
    }
    let rows = store.rows(&shard).await.unwrap();
    assert_eq!((&rows["n/v/m"], &rows["e/v"]), (&vec![2], &vec![1]));
}

async fn an_event_without_id_counts_every_time(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    for _ in 0..3 {
        assert_eq!(store.apply(&shard, &[event(1), event(1)]).await.unwrap(), [Counted; 2]);
    }
    assert_eq!(store.rows(&shard).await.unwrap()["n/v/m"], [6]);
}

async fn answers_are_in_the_order_of_the_events(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let odd: Vec<Event> = (0..100).filter(|n| n % 2 == 1).map(|n| event_with_id(n, n)).collect();
    store.apply(&shard, &odd).await.unwrap();
    let all: Vec<Event> = (0..100).map(|n| event_with_id(n, n)).collect();
    let answers = store.apply(&shard, &all).await.unwrap();
    let expected: Vec<_> = (0..100).map(|n| if n % 2 == 1 { Duplicate } else { Counted }).collect();
    assert_eq!(answers, expected);
}

async fn amounts_are_signed_and_exact_in_64_bits(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let amounts = [i64::from(u32::MAX), -(1 << 53) - 1, 999_999_999, -5_000_000_000_000_000_003];
    for amount in amounts {
        let increments = vec![increment("k/v/m", 1, amount), increment("k/v/m", 2, -amount)];
        let twice = [Event { increments: increments.clone(), ..event(1) }, event(1)];
        store.apply(&shard, &twice).await.unwrap();
    }
    let sum = amounts.iter().sum::<i64>();
    assert_eq!(store.rows(&shard).await.unwrap()["k/v/m"], [0, sum, -sum]);
}

async fn a_full_counter_refuses_the_whole_batch(home: Home) {
    let store = home.open().await;
    for (shard, sign) in [(shard("x", 1, 0), 1), (shard("x", 1, 1), -1)] {
        let step = increment("k/v/m", 0, sign * (1 << 60));
        let large = |id| Event { increments: vec![step.clone()], ..event_with_id(id, id) };
        let events: Vec<Event> = (0..7).map(large).collect();
        store.apply(&shard, &events).await.unwrap();
        let before = store.rows(&shard).await.unwrap();
        assert_eq!(before["k/v/m"], [sign * 7 * (1 << 60)]);
        // The full counter comes last, so that a careless store would have written the others.
        let batch = [event_with_id(100, 100), event(101), large(102)];
        let refused = store.apply(&shard, &batch).await;
        assert!(matches!(refused, Err(StoreError::CounterFull)), "{refused:?}");
        assert_eq!(store.rows(&shard).await.unwrap(), before);
        // Neither ids nor units of the refused batch are remembered.
        assert_eq!(store.apply(&shard, &batch[..2]).await.unwrap(), [Counted; 2]);
        let after = store.rows(&shard).await.unwrap();
        assert_eq!((&after["e/v"], &after["n/v/m"]), (&vec![9], &vec![2]));
    }
}

async fn a_counter_is_full_at_its_limit(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let with = |amount| [Event { increments: vec![increment("k/v/m", 0, amount)], ..event(1) }];
    for amount in [i64::MAX, i64::MIN] {
        let refused = store.apply(&shard, &with(amount)).await;
        assert!(matches!(refused, Err(StoreError::CounterFull)), "{refused:?}");
    }
    assert_eq!(store.rows(&shard).await.unwrap(), Rows::new());
    store.apply(&shard, &with(COUNTER_LIMIT)).await.unwrap();
    store.apply(&shard, &with(1_000_000_000)).await.unwrap_err();
    store.apply(&shard, &with(-COUNTER_LIMIT)).await.unwrap();
    store.apply(&shard, &with(-COUNTER_LIMIT)).await.unwrap();
    store.apply(&shard, &with(-1_000_000_000)).await.unwrap_err();
    assert_eq!(store.rows(&shard).await.unwrap()["k/v/m"], [-COUNTER_LIMIT]);
}

async fn a_sum_counts_not_the_way_to_it(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let with = |amount| Event { increments: vec![increment("k/v/m", 0, amount)], ..event(1) };
    store.apply(&shard, &[with(7 << 60)]).await.unwrap();
    let batch = [with(1 << 61), with(-(1 << 61))];
    assert_eq!(store.apply(&shard, &batch).await.unwrap(), [Counted; 2]);
    assert_eq!(store.rows(&shard).await.unwrap()["k/v/m"], [7 << 60]);
}

async fn a_touched_column_stays_though_its_sum_is_zero(home: Home) {
    let store = home.open().await;
    let with = |amount| Event { increments: vec![increment("s/v/m/0", 2, amount)], ..event(1) };
    let (together, apart) = (shard("x", 1, 0), shard("x", 1, 1));
    store.apply(&together, &[with(5), with(-5)]).await.unwrap();
    store.apply(&apart, &[with(5)]).await.unwrap();
    store.apply(&apart, &[with(-5)]).await.unwrap();
    assert_eq!(store.rows(&together).await.unwrap()["s/v/m/0"], [0; 3]);
    assert_eq!(store.rows(&together).await.unwrap(), store.rows(&apart).await.unwrap());
}

async fn an_empty_batch_changes_nothing(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    assert_eq!(store.apply(&shard, &[]).await.unwrap(), []);
    assert_eq!(store.rows(&shard).await.unwrap(), Rows::new());
    assert_eq!(home.redis_keys().await, Vec::<String>::new());
}

async fn a_huge_batch_is_counted(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let wide = |n: u64| Event {
        increments: (0..10)
            .map(|row| increment(&format!("n/v/m{row}"), u32::try_from(n).unwrap(), 2))
            .collect(),
        ..event_with_id(n, n)
    };
    let batch: Vec<Event> = (0..3_000).map(wide).collect();
    assert!(batch.len() > BATCH_EVENTS);
    assert_eq!(store.apply(&shard, &batch).await.unwrap(), vec![Counted; 3_000]);
    assert_eq!(store.apply(&shard, &batch).await.unwrap(), vec![Duplicate; 3_000]);
    let rows = store.rows(&shard).await.unwrap();
    assert_eq!(rows["e/v"], [3_000]);
    for row in 0..10 {
        assert_eq!(rows[&format!("n/v/m{row}")], vec![2; 3_000]);
    }
}

async fn an_unknown_shard_has_no_rows(home: Home) {
    let store = home.open().await;
    store.apply(&shard("x", 1, 0), &[event(1)]).await.unwrap();
    for unknown in [shard("y", 1, 0), shard("x", 2, 0), shard("x", 1, 1)] {
        assert_eq!(store.rows(&unknown).await.unwrap(), Rows::new());
    }
}

async fn shards_iterations_and_experiments_are_apart(home: Home) {
    let store = home.open().await;
    let shards = [shard("x", 1, 0), shard("x", 1, 1), shard("x", 11, 0), shard("x-1", 1, 0)];
    for shard in &shards {
        assert_eq!(store.apply(shard, &[event_with_id(1, 1)]).await.unwrap(), [Counted]);
    }
    for shard in &shards {
        assert_eq!(store.rows(shard).await.unwrap()["n/v/m"], [1]);
        assert_eq!(store.rows(shard).await.unwrap()["e/v"], [1]);
    }
}

async fn concurrent_callers_count_each_id_once(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let mut callers = JoinSet::new();
    for caller in 0..64 {
        let (store, shard) = (Arc::clone(&store), shard.clone());
        callers.spawn(async move {
            let mut counted = 0;
            for batch in 0..5 {
                let ids = (0..20).map(|n| (caller * 7 + batch * 31 + n * 3) % 200);
                let events: Vec<Event> = ids.map(|id| event_with_id(id % 50, id)).collect();
                let answers = store.apply(&shard, &events).await.unwrap();
                counted += answers.iter().filter(|answer| **answer == Counted).count();
            }
            counted
        });
    }
    assert_eq!(callers.join_all().await.iter().sum::<usize>(), 200);
    let rows = store.rows(&shard).await.unwrap();
    assert_eq!((&rows["n/v/m"], &rows["e/v"]), (&vec![200], &vec![50]));
}
