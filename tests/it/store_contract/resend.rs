//! An answer that is lost on the way makes nothing count twice, and nothing count never.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::cmd;
use tiebreak::domain::counter::Event;
use tiebreak::store::Applied::Counted;
use tiebreak::store::redis::{Options, RedisStore};
use tiebreak::store::{Store, StoreError};
use tokio::task::JoinSet;

use crate::support::events::{event, event_with_id, shard};
use crate::support::proxy::CuttingProxy;
use crate::support::{Home, Kind};

/// How often a connection is cut after Redis did its work and before its answer arrives.
const CUTS: u64 = 2_000;

/// Replicas of the service, each with a connection of its own and two callers.
const REPLICAS: u64 = 8;

/// Every caller sends batches of one event without an id and one with; both must be answered as
/// counted, because to their caller nothing of the cuts must show.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_lost_answers_leave_every_count_exact() {
    let home = Home::new(Kind::Redis).await;
    let proxy = Arc::new(CuttingProxy::before(home.server.as_ref().unwrap(), 0));
    let options = Options { timeout: Duration::from_secs(20), ..Options::default() };
    let sent = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    let mut stores = Vec::new();
    for _ in 0..REPLICAS {
        stores.push(Arc::new(RedisStore::new(&proxy.url(), options.clone()).unwrap()));
    }
    proxy.cut_every(2);
    for (caller, store) in (0_u64..).zip(stores.iter().chain(&stores)) {
        let (store, proxy, sent) = (Arc::clone(store), Arc::clone(&proxy), Arc::clone(&sent));
        callers.spawn(async move {
            let shard = shard("x", 1, u32::try_from(caller % 2).unwrap());
            while proxy.cuts() < CUTS {
                let number = sent.fetch_add(1, Ordering::Relaxed);
                let events: [Event; 2] = [event(number), event_with_id(number, number)];
                let answers = store.apply(&shard, &events).await;
                assert_eq!(answers.unwrap(), [Counted; 2]);
            }
        });
    }
    callers.join_all().await;
    let direct = home.open().await;
    let (mut events, mut units) = (0, 0);
    for number in 0..2 {
        let rows = direct.rows(&shard("x", 1, number)).await.unwrap();
        events += rows["n/v/m"][0];
        units += rows["e/v"][0];
    }
    let sent = i64::try_from(sent.load(Ordering::Relaxed)).unwrap();
    assert_eq!((events, units), (2 * sent, sent), "after {} cuts", proxy.cuts());
}

/// A batch without ids whose answer is lost because Redis itself dies counts once, too: what Redis
/// remembers of a batch is as durable as its counters.
#[tokio::test]
async fn a_restart_between_work_and_answer_counts_once() {
    let mut home = Home::new(Kind::Redis).await.lasting().await;
    let shard = shard("x", 1, 0);
    let proxy = CuttingProxy::before(home.server.as_ref().unwrap(), 0);
    let options = Options { timeout: Duration::from_secs(20), ..Options::default() };
    let store = RedisStore::new(&proxy.url(), options).unwrap();
    // From here on Redis knows the function, also after a restart.
    assert_eq!(store.apply(&shard, &[event(1)]).await.unwrap(), [Counted]);
    for round in 2..=6 {
        proxy.cut_every(1);
        let events = [event(1)];
        let mut call = store.apply(&shard, &events);
        let direct = home.open().await;
        let arrived = async {
            let deadline = Instant::now() + Duration::from_secs(20);
            while direct.rows(&shard).await.unwrap().get("n/v/m") != Some(&vec![round]) {
                assert!(Instant::now() < deadline, "it never arrives");
            }
        };
        tokio::select! {
            answer = &mut call => panic!("there was no way to answer {answer:?}"),
            () = arrived => {}
        }
        home.server.as_mut().unwrap().kill();
        let restarted = home.server.as_mut().unwrap().start_again();
        tokio::select! {
            answer = &mut call => panic!("there was nobody to answer {answer:?}"),
            () = restarted => {}
        }
        proxy.cut_every(0);
        assert_eq!(call.await.unwrap(), [Counted]);
        assert_eq!(home.open().await.rows(&shard).await.unwrap()["n/v/m"], [round]);
    }
}

/// A batch that was given up and arrives late, after its successor.
#[tokio::test]
async fn a_batch_that_arrives_after_its_successor_is_refused() {
    let home = Home::new(Kind::Redis).await;
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    store.apply(&shard, &[event(1)]).await.unwrap();
    let mut connection = home.server.as_ref().unwrap().connection().await;
    let keys = home.redis_keys().await;
    let writer = keys.iter().find(|key| key.contains(":writer:")).unwrap();
    let remembered: String = cmd("GET").arg(writer).query_async(&mut connection).await.unwrap();
    assert!(remembered.ends_with(" C"), "{remembered}");
    let left: u64 = cmd("TTL").arg(writer).query_async(&mut connection).await.unwrap();
    assert!((86_000..=86_400).contains(&left), "a day, not {left} s");
    cmd("SET").arg(writer).arg("1000 C").exec_async(&mut connection).await.unwrap();
    let refused = store.apply(&shard, &[event(1)]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(store.rows(&shard).await.unwrap()["n/v/m"], [1]);
}
