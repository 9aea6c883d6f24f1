//! Rows that are raised keep maxima: in any order, sent any number of times, by anybody.

use std::sync::Arc;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tiebreak::store::{COUNTER_LIMIT, Rows, StoreError};
use tokio::task::JoinSet;

use crate::support::events::{event, rows, shard};
use crate::support::{Home, on_every_store};

on_every_store!(
    what_was_raised_is_read_back,
    each_column_keeps_its_maximum,
    a_raise_sent_again_changes_nothing,
    a_value_not_above_zero_says_nothing,
    a_value_beyond_the_limit_refuses_the_whole_raise,
    order_repetition_and_splits_do_not_matter,
    maxima_and_counters_stand_side_by_side,
    concurrent_raisers_leave_the_maxima_of_all,
);

async fn what_was_raised_is_read_back(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let raised = rows([("m/treatment/csat/-", &[0, 3, 0, COUNTER_LIMIT]), ("m/~split", &[1])]);
    store.raise(&shard, &raised).await.unwrap();
    assert_eq!(store.rows(&shard).await.unwrap(), raised);
}

async fn each_column_keeps_its_maximum(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    for (raised, expected) in [
        ([5, 5, 5].as_slice(), [5, 5, 5].as_slice()),
        (&[4, 6, 5], &[5, 6, 5]),
        (&[7], &[7, 6, 5]),
        (&[0, 0, 0, 0, 1], &[7, 6, 5, 0, 1]),
        (&[1, 1, 1, 1, 1], &[7, 6, 5, 1, 1]),
    ] {
        store.raise(&shard, &rows([("m/v", raised)])).await.unwrap();
        assert_eq!(store.rows(&shard).await.unwrap(), rows([("m/v", expected)]));
    }
}

async fn a_raise_sent_again_changes_nothing(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let raised = rows([("m/a", &[1, 2, 3]), ("m/b", &[COUNTER_LIMIT])]);
    for _ in 0..3 {
        store.raise(&shard, &raised).await.unwrap();
        assert_eq!(store.rows(&shard).await.unwrap(), raised);
    }
}

async fn a_value_not_above_zero_says_nothing(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let nothing = rows([("m/a", &[0, -1, i64::MIN]), ("m/b", &[]), ("m/c", &[-COUNTER_LIMIT])]);
    for raised in [&Rows::new(), &nothing] {
        store.raise(&shard, raised).await.unwrap();
        assert_eq!(store.rows(&shard).await.unwrap(), Rows::new());
        assert_eq!(home.redis_keys().await, Vec::<String>::new());
    }
    store.raise(&shard, &rows([("m/a", &[-5, 2, -5, 0])])).await.unwrap();
    store.raise(&shard, &nothing).await.unwrap();
    assert_eq!(store.rows(&shard).await.unwrap(), rows([("m/a", &[0, 2])]));
}

async fn a_value_beyond_the_limit_refuses_the_whole_raise(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let before = rows([("m/a", &[3]), ("m/b", &[COUNTER_LIMIT])]);
    store.raise(&shard, &before).await.unwrap();
    for beyond in [COUNTER_LIMIT + 1, i64::MAX] {
        let refused = store.raise(&shard, &rows([("m/a", &[4]), ("m/b", &[0, beyond])])).await;
        assert!(matches!(refused, Err(StoreError::CounterFull)), "{refused:?}");
        assert_eq!(store.rows(&shard).await.unwrap(), before);
    }
}

async fn order_repetition_and_splits_do_not_matter(home: Home) {
    let store = home.open().await;
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    for case in 0..10 {
        let mut raises: Vec<Rows> = (0..40).map(|_| random_raise(&mut generator)).collect();
        let expected = model(&raises);
        for (round, split) in [false, true, true].into_iter().enumerate() {
            let shard = shard("x", case, u32::try_from(round).unwrap());
            raises.shuffle(&mut generator);
            for raise in raises.iter().chain(&raises[..10]) {
                if split {
                    for (name, row) in raise {
                        store.raise(&shard, &rows([(name.as_str(), row)])).await.unwrap();
                    }
                } else {
                    store.raise(&shard, raise).await.unwrap();
                }
            }
            assert_eq!(store.rows(&shard).await.unwrap(), expected, "case {case}");
        }
    }
}

/// Rows of different lengths, of values that differ where a careless comparison does not look:
/// in the lowest bits of large ones, and in bytes above 127.
fn random_raise(generator: &mut impl Rng) -> Rows {
    let mut raise = Rows::new();
    for name in ["m/a/x/-", "m/b/x/+", "m/~split"] {
        let row = (0..generator.random_range(0..6)).map(|_| match generator.random_range(0..5) {
            0 => generator.random_range(-2..=2),
            1 => 9_100_000_000_000_000_000 + generator.random_range(0..4),
            2 => (1 << 53) + generator.random_range(-2..=2),
            3 => generator.random_range(126..=129) << (8 * generator.random_range(0..7)),
            _ => generator.random_range(0..=COUNTER_LIMIT),
        });
        raise.insert(name.to_owned(), row.collect());
    }
    raise
}

/// What the contract says, as plainly as it can be said.
fn model(raises: &[Rows]) -> Rows {
    let mut maxima = Rows::new();
    for (name, columns) in raises.iter().flatten() {
        for (column, value) in columns.iter().enumerate().filter(|(_, value)| **value > 0) {
            let row = maxima.entry(name.clone()).or_default();
            row.resize(row.len().max(column + 1), 0);
            row[column] = row[column].max(*value);
        }
    }
    maxima
}

async fn maxima_and_counters_stand_side_by_side(home: Home) {
    let (store, here, there) = (home.open().await, shard("x", 1, 0), shard("x", 1, 1));
    for round in 1..=3 {
        store.apply(&here, &[event(1)]).await.unwrap();
        store.raise(&here, &rows([("m/v", &[10 * round])])).await.unwrap();
        let expected = rows([("e/v", &[1]), ("m/v", &[10 * round]), ("n/v/m", &[round])]);
        assert_eq!(store.rows(&here).await.unwrap(), expected);
        assert_eq!(store.rows(&there).await.unwrap(), Rows::new());
    }
}

async fn concurrent_raisers_leave_the_maxima_of_all(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let mut raisers = JoinSet::new();
    for raiser in 0..32 {
        let (store, shard) = (Arc::clone(&store), shard.clone());
        raisers.spawn(async move {
            for round in 0..10 {
                // Up in one column, down in the other.
                let value = 10 * raiser + round;
                let raised = [COUNTER_LIMIT - 319 + value, COUNTER_LIMIT - value];
                store.raise(&shard, &rows([("m/v", &raised)])).await.unwrap();
                let row = &store.rows(&shard).await.unwrap()["m/v"];
                assert!(row[0] >= raised[0] && row[1] >= raised[1], "{row:?} after {raised:?}");
            }
        });
    }
    raisers.join_all().await;
    assert_eq!(store.rows(&shard).await.unwrap(), rows([("m/v", &[COUNTER_LIMIT; 2])]));
}
