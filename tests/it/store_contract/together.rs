//! Callers of one shard share calls to Redis: who is refused, who goes away, who leads.
//!
//! Redis is told to hold writes back (`CLIENT PAUSE`), so that a test decides what waits when.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use redis::aio::MultiplexedConnection;
use redis::cmd;
use tiebreak::domain::counter::{Event, ShardKey};
use tiebreak::store::Applied::{Counted, Duplicate};
use tiebreak::store::redis::QueueLimits;
use tiebreak::store::{Applied, Store, StoreError};
use tokio::runtime;
use tokio::task::JoinSet;

use crate::support::events::{event, event_with_id, increment, shard};
use crate::support::{Home, Kind};

type Answer = Result<Vec<Applied>, StoreError>;
type Call<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// A Redis whose writes can be held back.
struct Gate {
    /// Dropping it ends Redis.
    _home: Home,
    store: Arc<dyn Store>,
    connection: MultiplexedConnection,
}

impl Gate {
    async fn new(queue: QueueLimits) -> Self {
        let mut home = Home::new(Kind::Redis).await;
        home.queue = queue;
        let store = home.open().await;
        // The script is known from here on: a batch is one call.
        store.apply(&shard("first", 1, 0), &[event(1)]).await.unwrap();
        let connection = home.server.as_ref().unwrap().connection().await;
        Self { _home: home, store, connection }
    }

    async fn close(&mut self) {
        let mut pause = cmd("CLIENT");
        pause.arg("PAUSE").arg(600_000).arg("WRITE");
        pause.exec_async(&mut self.connection).await.unwrap();
        cmd("CONFIG").arg("RESETSTAT").exec_async(&mut self.connection).await.unwrap();
    }

    async fn open(&mut self) {
        cmd("CLIENT").arg("UNPAUSE").exec_async(&mut self.connection).await.unwrap();
    }

    /// Waits until Redis has a batch and holds it back.
    async fn holds_a_batch(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mut info = cmd("INFO");
            info.arg("clients");
            let info: String = info.query_async(&mut self.connection).await.unwrap();
            if info.contains("blocked_clients:1") {
                return;
            }
            assert!(Instant::now() < deadline, "no batch arrives: {info}");
        }
    }

    /// How many batches Redis worked on since the gate was closed.
    async fn batches(&mut self) -> u64 {
        let mut info = cmd("INFO");
        info.arg("commandstats");
        let info: String = info.query_async(&mut self.connection).await.unwrap();
        let calls = info.lines().filter_map(|line| {
            let numbers = line.strip_prefix("cmdstat_fcall:calls=");
            numbers.or_else(|| line.strip_prefix("cmdstat_evalsha:calls="))?.split(',').next()
        });
        calls.map(|calls| calls.parse::<u64>().unwrap()).sum()
    }
}

/// Makes the calls in order, and polls each once: the first leads, the others wait.
async fn begin<'a>(
    store: &'a dyn Store,
    shard: &'a ShardKey,
    events: &'a [Event],
) -> Vec<Call<'a>> {
    let calls = events.iter().map(|event| store.apply(shard, std::slice::from_ref(event)));
    let mut calls: Vec<Call<'_>> = calls.collect();
    poll_fn(|context| {
        for call in &mut calls {
            assert!(call.as_mut().poll(context).is_pending());
        }
        Poll::Ready(())
    })
    .await;
    calls
}

/// All at once, as their tasks would.
async fn finish(calls: Vec<Call<'_>>) -> Vec<Answer> {
    let mut answers: Vec<Option<Answer>> = calls.iter().map(|_| None).collect();
    let mut calls: Vec<_> = calls.into_iter().map(Some).collect();
    poll_fn(|context| {
        for (slot, answer) in calls.iter_mut().zip(&mut answers) {
            let Some(call) = slot else { continue };
            if let Poll::Ready(ready) = call.as_mut().poll(context) {
                (*slot, *answer) = (None, Some(ready));
            }
        }
        if answers.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().map(Option::unwrap).collect()
}

async fn counted(store: &dyn Store, shard: &ShardKey) -> i64 {
    store.rows(shard).await.unwrap().get("n/v/m").map_or(0, |row| row[0])
}

#[tokio::test]
async fn who_waits_shares_one_call() {
    let (mut gate, shard) = (Gate::new(QueueLimits::default()).await, shard("x", 1, 0));
    let store = Arc::clone(&gate.store);
    let events: Vec<Event> = (0..100).map(|n| event_with_id(n % 10, n % 50)).collect();
    gate.close().await;
    let calls = begin(&*store, &shard, &events).await;
    gate.open().await;
    let answers = finish(calls).await;
    for (number, answer) in answers.into_iter().enumerate() {
        let expected = if number < 50 { Counted } else { Duplicate };
        assert_eq!(answer.unwrap(), [expected], "{number}");
    }
    assert_eq!(gate.batches().await, 2, "the first by itself, all others together");
    assert_eq!(counted(&*store, &shard).await, 50);
}

#[tokio::test]
async fn shards_do_not_wait_for_each_other() {
    let mut gate = Gate::new(QueueLimits::default()).await;
    let store = Arc::clone(&gate.store);
    let (here, there, events) = (shard("x", 1, 0), shard("x", 1, 1), [event(1)]);
    gate.close().await;
    let mut calls = begin(&*store, &here, &events).await;
    calls.extend(begin(&*store, &there, &events).await);
    gate.open().await;
    assert!(finish(calls).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn what_is_too_much_is_refused_at_once_and_counts_nowhere() {
    let narrow = [
        QueueLimits { events: 10, ..QueueLimits::default() },
        QueueLimits { bytes: 10 * 400, ..QueueLimits::default() },
    ];
    for queue in narrow {
        let (mut gate, shard) = (Gate::new(queue).await, shard("x", 1, 0));
        let (store, leader) = (Arc::clone(&gate.store), [event(0)]);
        let mut waiting = Vec::new();
        gate.close().await;
        let mut calls = begin(&*store, &shard, &leader).await;
        let refused = loop {
            let mut call = store.apply(&shard, &leader);
            match poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
                Poll::Ready(answer) => break answer,
                Poll::Pending => waiting.push(call),
            }
        };
        assert!(matches!(refused, Err(StoreError::Overloaded)), "{refused:?}");
        assert!((5..=30).contains(&waiting.len()), "{}", waiting.len());
        // Room is made by who leaves as well.
        waiting.pop();
        waiting.extend(begin(&*store, &shard, &leader).await);
        gate.open().await;
        let accepted = i64::try_from(1 + waiting.len()).unwrap();
        calls.append(&mut waiting);
        assert!(finish(calls).await.iter().all(Result::is_ok));
        assert_eq!(counted(&*store, &shard).await, accepted);
        // Nothing is left of the crowd.
        store.apply(&shard, &leader).await.unwrap();
    }
}

#[tokio::test]
async fn who_goes_away_before_its_batch_leaves_is_not_counted() {
    let (mut gate, shard) = (Gate::new(QueueLimits::default()).await, shard("x", 1, 0));
    let store = Arc::clone(&gate.store);
    let events: Vec<Event> = (0..10).map(|n| event_with_id(n, n)).collect();
    gate.close().await;
    let mut calls = begin(&*store, &shard, &events).await;
    drop(calls.drain(3..7));
    gate.open().await;
    assert!(finish(calls).await.iter().all(Result::is_ok));
    assert_eq!(counted(&*store, &shard).await, 6);
    let again = store.apply(&shard, &events[3..7]).await.unwrap();
    assert_eq!(again, [Counted; 4], "nothing of them is remembered");
}

#[tokio::test]
async fn a_leader_that_goes_away_leaves_its_call_to_the_next() {
    let (mut gate, shard) = (Gate::new(QueueLimits::default()).await, shard("x", 1, 0));
    let store = Arc::clone(&gate.store);
    let events: Vec<Event> = (0..20).map(|n| event_with_id(n, n)).collect();
    gate.close().await;
    let mut calls = begin(&*store, &shard, &events).await;
    gate.holds_a_batch().await;
    // The first led and is under way; the second takes over, sends the rest and goes, too; the
    // third goes before it ever heard that it leads.
    drop(calls.remove(0));
    let again = poll_fn(|context| Poll::Ready(calls[0].as_mut().poll(context))).await;
    assert!(again.is_pending());
    drop(calls.remove(0));
    drop(calls.remove(0));
    gate.open().await;
    let answers = finish(calls).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|a| a == &[Counted])));
    assert_eq!(gate.batches().await, 2, "nothing was sent twice");
    assert_eq!(counted(&*store, &shard).await, 20);
}

/// Callers live on the threads that serve them, each a runtime of its own, and one may end before
/// the others.
#[tokio::test]
async fn a_call_outlives_the_runtime_of_the_leader() {
    let (mut gate, shard) = (Gate::new(QueueLimits::default()).await, shard("x", 1, 0));
    let store = Arc::clone(&gate.store);
    let events: Vec<Event> = (0..20).map(|n| event_with_id(n, n)).collect();
    gate.close().await;
    let mut calls = begin(&*store, &shard, &events).await;
    gate.holds_a_batch().await;
    drop(calls.remove(0));
    // The second leads all the others now. Its thread sends them off and is gone.
    let mortal = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let entered = mortal.enter();
    let second = calls.remove(0).poll_unpin(&mut Context::from_waker(Waker::noop()));
    assert!(second.is_pending());
    drop(entered);
    mortal.shutdown_background();
    gate.open().await;
    let answers = finish(calls).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|a| a == &[Counted])));
    assert_eq!(gate.batches().await, 2, "nothing was sent twice");
    assert_eq!(counted(&*store, &shard).await, 20);
}

#[tokio::test]
async fn a_line_that_everybody_left_starts_again() {
    let (mut gate, shard) = (Gate::new(QueueLimits::default()).await, shard("x", 1, 0));
    let store = Arc::clone(&gate.store);
    let events: Vec<Event> = (0..5).map(|n| event_with_id(n, n)).collect();
    gate.close().await;
    drop(begin(&*store, &shard, &events).await);
    gate.open().await;
    let answers = store.apply(&shard, &events).await.unwrap();
    assert_eq!(answers[1..], [Counted; 4]);
    assert_eq!(counted(&*store, &shard).await, 5);
}

#[tokio::test]
async fn only_the_request_at_fault_is_refused() {
    let (mut gate, shard) = (Gate::new(QueueLimits::default()).await, shard("x", 1, 0));
    let store = Arc::clone(&gate.store);
    let mut events: Vec<Event> = (0..6).map(event).collect();
    let beyond = increment("k/v/m", 0, i64::MAX);
    events[3] = Event { increments: vec![beyond], ..event(3) };
    gate.close().await;
    let calls = begin(&*store, &shard, &events).await;
    gate.open().await;
    for (number, answer) in finish(calls).await.into_iter().enumerate() {
        if number == 3 {
            assert!(matches!(answer, Err(StoreError::CounterFull)), "{answer:?}");
        } else {
            assert_eq!(answer.unwrap(), [Counted]);
        }
    }
    assert_eq!(counted(&*store, &shard).await, 5);
}

/// Callers with deadlines around the time that an answer takes: leaders, followers and callers
/// in between go away at any point.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_deadlines_nobody_hangs_and_each_event_counts_once() {
    let home = Home::new(Kind::Redis).await;
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let mut callers = JoinSet::new();
    for caller in 0..64_u64 {
        let (store, shard) = (Arc::clone(&store), shard.clone());
        callers.spawn(async move {
            let mut generator = ChaCha8Rng::seed_from_u64(caller);
            let mut given_up = 0_u64;
            for number in 0..50 {
                let event = [event_with_id(caller, 1_000 * caller + number)];
                loop {
                    let deadline = Duration::from_micros(generator.random_range(0..4_000));
                    match tokio::time::timeout(deadline, store.apply(&shard, &event)).await {
                        Ok(answer) => break drop(answer.unwrap()),
                        Err(_) => given_up += 1,
                    }
                }
            }
            given_up
        });
    }
    let finished = tokio::time::timeout(Duration::from_secs(60), callers.join_all()).await;
    let given_up: u64 = finished.expect("somebody hangs").iter().sum();
    assert!(given_up > 100, "only {given_up} calls were given up");
    let rows = store.rows(&shard).await.unwrap();
    assert_eq!((&rows["n/v/m"], &rows["e/v"]), (&vec![64 * 50], &vec![64]));
}
