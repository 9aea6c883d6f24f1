//! All rows of a shard are read at one point in time: what always grows together is never seen
//! apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tiebreak::domain::counter::Event;
use tokio::task::JoinSet;

use crate::support::events::{event, increment, shard};
use crate::support::{Home, on_every_store};

on_every_store!(rows_that_grow_together_are_read_together);

const ROWS: usize = 150;
const READS: usize = 60;

async fn rows_that_grow_together_are_read_together(home: Home) {
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let names: Vec<String> = (0..ROWS).map(|row| format!("n/v/m{row}")).collect();
    let read_enough = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for writer in 0..3_u64 {
        let (store, shard, names) = (Arc::clone(&store), shard.clone(), names.clone());
        let read_enough = Arc::clone(&read_enough);
        writers.spawn(async move {
            let mut number = 0;
            while !read_enough.load(Ordering::Relaxed) {
                let increments = names.iter().map(|name| increment(name, 0, 1)).collect();
                let event = Event { increments, ..event(writer << 32 | number) };
                store.apply(&shard, &[event]).await.unwrap();
                number += 1;
            }
        });
    }
    let mut growing = 0;
    let mut last = 0;
    while growing < READS {
        let rows = store.rows(&shard).await.unwrap();
        let counts: Vec<i64> = names.iter().filter_map(|n| rows.get(n)?.first().copied()).collect();
        let Some(first) = counts.first().copied() else { continue };
        assert_eq!(counts, vec![first; ROWS], "all rows or none of an event");
        growing += usize::from(first > last);
        last = first;
        tokio::task::yield_now().await;
    }
    read_enough.store(true, Ordering::Relaxed);
    writers.join_all().await;
}
