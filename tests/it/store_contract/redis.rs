//! What only Redis has: a network in between, other clients, limits and keys of a grammar.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use redis::aio::MultiplexedConnection;
use redis::cmd;
use tiebreak::domain::counter::Event;
use tiebreak::domain::experiment::Revision;
use tiebreak::store::Applied::{Counted, Duplicate};
use tiebreak::store::portable::{MoveError, Portable as _, Set};
use tiebreak::store::redis::{Options, RedisStore};
use tiebreak::store::{Changes, Rows, Store, StoreError};

use crate::support::events::{
    any_cause, at_revision, event, event_with_id, experiment, rows, shard,
};
use crate::support::{Home, Kind};

async fn home() -> (Home, MultiplexedConnection) {
    let home = Home::new(Kind::Redis).await;
    let connection = home.server.as_ref().unwrap().connection().await;
    (home, connection)
}

fn unavailable<T: std::fmt::Debug>(result: &Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
}

fn corrupt<T: std::fmt::Debug>(result: &Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
}

#[tokio::test]
async fn any_prefix_without_braces_works_and_two_are_apart() {
    let (mut home, _) = home().await;
    let shard = shard("x", 1, 0);
    for prefix in ["", "a:b", "tëam *[x]? \n", "tiebreak"] {
        home.prefix = prefix.to_owned();
        let store = home.open().await;
        assert_eq!(store.apply(&shard, &[event_with_id(1, 1)]).await.unwrap(), [Counted]);
        assert_eq!(store.apply(&shard, &[event_with_id(1, 1)]).await.unwrap(), [Duplicate]);
        let created = at_revision(&experiment("x", 1), 1);
        store.put(&created, None, &any_cause()).await.unwrap();
        assert_eq!(store.rows(&shard).await.unwrap()["n/v/m"], [1]);
        assert_eq!(store.records().await.unwrap().experiments, [created]);
    }
}

#[tokio::test]
async fn another_format_is_refused_with_a_remedy() {
    let (home, mut connection) = home().await;
    let key = "{tiebreak:catalog}:format";
    let store = home.open().await;
    store.put(&at_revision(&experiment("x", 1), 1), None, &any_cause()).await.unwrap();
    store.records().await.unwrap();
    let written: u64 = cmd("INCRBY").arg(key).arg(16).query_async(&mut connection).await.unwrap();
    assert_eq!(written, 17);
    corrupt(&store.put(&experiment("y", 1), None, &any_cause()).await);
    let refused = store.records().await;
    let text = refused.as_ref().unwrap_err().to_string();
    corrupt(&refused);
    assert!(text.contains("format 17") && text.contains("a newer release wrote it"), "{text}");
}

#[tokio::test]
async fn every_key_is_in_the_directory_of_its_shard() {
    let (home, mut connection) = home().await;
    let store = home.open().await;
    store.apply(&shard("x", 1, 0), &[event_with_id(1, 1)]).await.unwrap();
    let directory = "{tiebreak:x:0:1:0}:directory";
    let mut listed: Vec<String> =
        cmd("SMEMBERS").arg(directory).query_async(&mut connection).await.unwrap();
    listed.push(directory.to_owned());
    listed.sort();
    let mut keys = home.redis_keys().await;
    keys.sort();
    assert_eq!(listed, keys);
    assert_eq!(keys.len(), 6, "directory, one window, units, a writer, two rows: {keys:?}");
    assert!(keys.iter().all(|key| key.starts_with("{tiebreak:x:0:1:0}:")), "{keys:?}");
    let events = keys.iter().find(|key| key.contains(":events:")).unwrap();
    let left: u64 = cmd("TTL").arg(events).query_async(&mut connection).await.unwrap();
    assert!((1_209_500..=1_209_600).contains(&left), "two weeks, not {left} s");
}

#[tokio::test]
async fn a_lost_function_is_loaded_again() {
    let (home, mut connection) = home().await;
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    for id in 0..3 {
        assert_eq!(store.apply(&shard, &[event_with_id(1, id)]).await.unwrap(), [Counted]);
        if cmd("FUNCTION").arg("FLUSH").exec_async(&mut connection).await.is_err() {
            return; // Before Redis 7.0 there are none.
        }
        let scripts: String = cmd("INFO").arg("memory").query_async(&mut connection).await.unwrap();
        assert!(scripts.contains("number_of_cached_scripts:0"), "functions were not used");
    }
}

/// As before Redis 7.0, or where an administrator keeps functions for himself.
#[tokio::test]
async fn without_functions_scripts_do_and_are_sent_again() {
    let (mut home, mut connection) = home().await;
    for right in ["-function", "-fcall"] {
        let mut user = cmd("ACL");
        user.arg("SETUSER").arg("default").arg("+@all").arg(right);
        user.exec_async(&mut connection).await.unwrap();
        home.prefix = right.to_owned();
        let (store, shard) = (home.open().await, shard("x", 1, 0));
        for id in 0..3 {
            assert_eq!(store.apply(&shard, &[event_with_id(1, id)]).await.unwrap(), [Counted]);
            assert_eq!(store.apply(&shard, &[event_with_id(1, id)]).await.unwrap(), [Duplicate]);
            cmd("SCRIPT").arg("FLUSH").exec_async(&mut connection).await.unwrap();
        }
        store.raise(&shard, &rows([("m/v", &[1])])).await.unwrap();
        store.put(&at_revision(&experiment("x", 1), 1), None, &any_cause()).await.unwrap();
    }
}

/// The tables of digests grow bucket by bucket: at every size everything is found again, and
/// nothing else.
#[tokio::test]
async fn digests_are_found_again_at_every_size_and_take_little_memory() {
    let (home, mut connection) = home().await;
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let bare = |n: u64| {
        // As a real fingerprint, uniform.
        let id = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Event { increments: vec![], if_unit_is_new: vec![], ..event_with_id(1, id) }
    };
    let mut used = async || {
        let info: String = cmd("INFO").arg("memory").query_async(&mut connection).await.unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"));
        line.unwrap().parse::<u64>().unwrap()
    };
    store.apply(&shard, &[event(0)]).await.unwrap();
    let empty = used().await;
    let mut known = 0;
    for step in [1, 15, 16, 17, 31, 100, 300, 1_000, 3_000, 20_000] {
        let new: Vec<Event> = (known..known + step).map(bare).collect();
        assert!(store.apply(&shard, &new).await.unwrap().iter().all(|a| *a == Counted));
        known += step;
        let all: Vec<Event> = (0..known).map(bare).collect();
        assert!(store.apply(&shard, &all).await.unwrap().iter().all(|a| *a == Duplicate));
    }
    let each = (used().await - empty) / known;
    assert!(each <= 20, "{each} bytes for each of {known} ids");
}

#[tokio::test]
async fn a_store_that_is_away_says_so_in_time_and_comes_back() {
    let (mut home, _) = home().await;
    let url = home.server.as_ref().unwrap().url();
    let timeout = Duration::from_millis(500);
    let options = Options { timeout, ..Options::default() };
    let store = RedisStore::new(&url, options.clone()).unwrap();
    let shard = shard("x", 1, 0);
    store.apply(&shard, &[event(1)]).await.unwrap();
    home.server.as_mut().unwrap().kill();
    for _ in 0..3 {
        let asked = Instant::now();
        unavailable(&store.apply(&shard, &[event(1)]).await);
        unavailable(&store.changes(0).await);
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    }
    let store = RedisStore::new(&url, options).unwrap();
    unavailable(&store.records().await);
    home.server.as_mut().unwrap().start_again().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.apply(&shard, &[event_with_id(1, 1)]).await.is_err() {
        assert!(Instant::now() < deadline, "it does not come back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.rows(&shard).await.unwrap()["n/v/m"], [1]);
}

#[tokio::test]
async fn a_full_redis_refuses_the_whole_batch() {
    let (home, mut connection) = home().await;
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    store.apply(&shard, &[event(1)]).await.unwrap();
    let before = (store.rows(&shard).await.unwrap(), home.redis_keys().await.len());
    let mut limit = async |bytes: &str| {
        let mut command = cmd("CONFIG");
        command.arg("SET").arg("maxmemory").arg(bytes);
        command.exec_async(&mut connection).await.unwrap();
    };
    limit("1").await;
    unavailable(&store.apply(&shard, &[event_with_id(2, 2), event(1)]).await);
    unavailable(&store.raise(&shard, &rows([("m/v", &[1])])).await);
    assert_eq!((store.rows(&shard).await.unwrap(), home.redis_keys().await.len()), before);
    limit("0").await;
    assert_eq!(store.apply(&shard, &[event_with_id(2, 2)]).await.unwrap(), [Counted]);
}

#[tokio::test]
async fn a_key_of_another_type_is_corrupt_and_nothing_is_half_applied() {
    let (home, mut connection) = home().await;
    for (number, key) in ["directory", "units", "row:n/v/m"].into_iter().enumerate() {
        let (store, shard) = (home.open().await, shard("x", 1, u32::try_from(number).unwrap()));
        let key = format!("{{tiebreak:x:0:1:{number}}}:{key}");
        cmd("RPUSH").arg(&key).arg("strange").exec_async(&mut connection).await.unwrap();
        corrupt(&store.apply(&shard, &[event_with_id(1, 1)]).await);
        let tag = format!("{{tiebreak:x:0:1:{number}}}");
        let keys = home.redis_keys().await;
        let ours: Vec<_> = keys.iter().filter(|key| key.starts_with(&tag)).collect();
        assert_eq!(ours, [&key]);
        cmd("DEL").arg(&key).exec_async(&mut connection).await.unwrap();
        assert_eq!(store.apply(&shard, &[event_with_id(1, 1)]).await.unwrap(), [Counted]);
    }
}

#[tokio::test]
async fn a_raise_that_meets_what_is_not_ours_is_refused_whole() {
    let (home, mut connection) = home().await;
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let (directory, ragged) = ("{tiebreak:x:0:1:0}:directory", "{tiebreak:x:0:1:0}:row:m/b");
    let raised = rows([("m/a", &[3]), ("m/b", &[4])]);
    for (strange, command) in [(directory, "RPUSH"), (ragged, "RPUSH"), (ragged, "APPEND")] {
        cmd(command).arg(strange).arg("abc").exec_async(&mut connection).await.unwrap();
        corrupt(&store.raise(&shard, &raised).await);
        assert_eq!(home.redis_keys().await, [strange]);
        cmd("DEL").arg(strange).exec_async(&mut connection).await.unwrap();
    }
}

/// A row that came while its shard was being removed is in no directory.
#[tokio::test]
async fn a_raise_enters_a_row_into_the_directory_though_it_does_not_grow() {
    let (home, mut connection) = home().await;
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let left = 9_i64.to_be_bytes();
    let key = "{tiebreak:x:0:1:0}:row:m/b";
    cmd("SET").arg(key).arg(left.as_slice()).exec_async(&mut connection).await.unwrap();
    store.raise(&shard, &rows([("m/a", &[3]), ("m/b", &[4])])).await.unwrap();
    let expected = rows([("m/a", &[3]), ("m/b", &[9])]);
    assert_eq!(store.rows(&shard).await.unwrap(), expected);
}

#[tokio::test]
async fn a_raise_that_changes_nothing_writes_nothing() {
    let (home, mut connection) = home().await;
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    let raised = rows([("m/a", &[3, 1 << 62])]);
    store.raise(&shard, &raised).await.unwrap();
    let mut writes = async || {
        let info: String = cmd("INFO").arg("all").query_async(&mut connection).await.unwrap();
        let line = info.lines().find(|line| line.starts_with("rdb_changes_since_last_save:"));
        line.unwrap().to_owned()
    };
    let before = writes().await;
    store.raise(&shard, &raised).await.unwrap();
    store.raise(&shard, &rows([("m/a", &[2, (1 << 62) - 1, 0])])).await.unwrap();
    assert_eq!(writes().await, before);
}

#[tokio::test]
async fn bytes_that_are_not_ours_are_corrupt() {
    let (home, mut connection) = home().await;
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    store.apply(&shard, &[event(1)]).await.unwrap();
    let row = "{tiebreak:x:0:1:0}:row:n/v/m";
    cmd("APPEND").arg(row).arg("abc").exec_async(&mut connection).await.unwrap();
    corrupt(&store.rows(&shard).await);
    let catalog = "{tiebreak:catalog}:experiments";
    cmd("HSET").arg(catalog).arg("x").arg("{}").exec_async(&mut connection).await.unwrap();
    corrupt(&store.records().await);
    corrupt(&store.get(&shard.experiment).await);
    corrupt(&store.put(&experiment("x", 1), None, &any_cause()).await);
}

#[tokio::test]
async fn an_interrupted_removal_is_finished_before_the_name_is_used_again() {
    let (home, mut connection) = home().await;
    let (store, shard) = (home.open().await, shard("x", 1, 0));
    store.apply(&shard, &[event_with_id(1, 1)]).await.unwrap();
    // As remove.lua leaves it when nobody comes to delete the data.
    let removals = "{tiebreak:catalog}:removals";
    cmd("HSET").arg(removals).arg("x").arg("0/1/0").exec_async(&mut connection).await.unwrap();
    store.put(&experiment("x", 1), None, &any_cause()).await.unwrap();
    assert_eq!(store.rows(&shard).await.unwrap(), Rows::new());
    assert_eq!(store.apply(&shard, &[event_with_id(1, 1)]).await.unwrap(), [Counted]);
    let pending: u64 = cmd("EXISTS").arg(removals).query_async(&mut connection).await.unwrap();
    assert_eq!(pending, 0);
}

/// A Redis that was restored from a backup has another past than its readers.
#[tokio::test]
async fn another_past_is_not_taken_for_the_own() {
    let (home, mut connection) = home().await;
    let store = home.open().await;
    let created = at_revision(&experiment("x", 1), 1);
    store.put(&created, None, &any_cause()).await.unwrap();
    let mut dumped: Vec<(String, Vec<u8>)> = Vec::new();
    for key in home.redis_keys().await {
        let dump = cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap();
        dumped.push((key, dump));
    }
    let backup = store.records().await.unwrap().version;
    store.put(&at_revision(&created, 2), Some(Revision(1)), &any_cause()).await.unwrap();
    let reader = store.records().await.unwrap().version;
    for (key, dump) in &dumped {
        cmd("RESTORE")
            .arg(key)
            .arg(0)
            .arg(dump)
            .arg("REPLACE")
            .exec_async(&mut connection)
            .await
            .unwrap();
    }
    assert_eq!(store.changes(reader).await.unwrap(), Changes::Unknown);
    store.put(&at_revision(&created, 2), Some(Revision(1)), &any_cause()).await.unwrap();
    assert_eq!(store.changes(reader).await.unwrap(), Changes::Unknown);
    assert!(matches!(store.changes(backup).await.unwrap(), Changes::Some { more: false, .. }));
    // The log alone is lost, or from another past.
    let log = "{tiebreak:catalog}:log";
    cmd("DEL").arg(log).exec_async(&mut connection).await.unwrap();
    assert_eq!(store.changes(backup).await.unwrap(), Changes::Unknown);
    let mut add = cmd("XADD");
    add.arg(log).arg(format!("{}-0", u64::MAX)).arg("before").arg(1).arg("experiment").arg("y");
    add.exec_async(&mut connection).await.unwrap();
    let here = store.records().await.unwrap().version;
    store.put(&at_revision(&created, 3), Some(Revision(2)), &any_cause()).await.unwrap();
    assert!(matches!(store.changes(here).await.unwrap(), Changes::Some { more: false, .. }));
}

#[tokio::test]
async fn a_password_is_not_shown() {
    let url = "redis://user:s3cret@127.0.0.1:1/0";
    let refused = RedisStore::new(url, Options::default());
    assert!(!format!("{refused:?}").contains("s3cret"));
    let (home, _) = home().await;
    let shown = format!("{:?}", home.open_redis().await);
    assert!(shown.contains("redis+unix://"), "{shown}");
}

#[tokio::test]
async fn a_table_that_grows_while_it_is_read_is_told_of() {
    let (home, _) = home().await;
    let (store, shard) = (home.open_redis().await, shard("x", 1, 0));
    for step in (0..5_000).map(event).collect::<Vec<_>>().chunks(512) {
        store.apply(&shard, step).await.unwrap();
    }
    let mut members = store.members(&shard, Set::Units);
    assert!(members.try_next().await.unwrap().is_some());
    store.apply(&shard, &[event(5_000)]).await.unwrap();
    let changed = members.try_next().await;
    assert!(matches!(&changed, Err(MoveError::Changed(of)) if *of == shard), "{changed:?}");
}

#[tokio::test]
async fn a_digest_in_the_wrong_bucket_and_a_wrong_count_are_found() {
    let (home, mut connection) = home().await;
    let (store, shard) = (home.open_redis().await, shard("x", 1, 0));
    for step in (0..100).map(event).collect::<Vec<_>>().chunks(512) {
        store.apply(&shard, step).await.unwrap();
    }
    let key = "{tiebreak:x:0:1:0}:units";
    let mut swapped = cmd("HSET");
    swapped.arg(key).arg("1").arg(&[0_u8; 8]).arg("0").arg("");
    swapped.exec_async(&mut connection).await.unwrap();
    let read: Result<Vec<_>, MoveError> = store.members(&shard, Set::Units).try_collect().await;
    assert!(read.unwrap_err().to_string().contains("bucket 1 that belongs to another"));
    cmd("HDEL").arg(key).arg("1").exec_async(&mut connection).await.unwrap();
    let read: Result<Vec<_>, MoveError> = store.members(&shard, Set::Units).try_collect().await;
    assert!(read.unwrap_err().to_string().contains("and says it has 100"));
}

#[tokio::test]
async fn two_imports_at_once_do_not_mix() {
    let (home, _) = home().await;
    let (one, other) = (home.open_redis().await, home.open_redis().await);
    let records = [at_revision(&experiment("x", 1), 1)];
    let import = one.import(&records).await.unwrap();
    let refused = other.import(&records).await.map(drop);
    assert!(matches!(refused, Err(MoveError::Importing)), "{refused:?}");
    // One that is thought dead and goes on does not get through, either.
    home.let_a_lease_expire().await;
    let second = other.import(&records).await.unwrap();
    let late = import.commit().await;
    assert!(matches!(late, Err(MoveError::Interfered)), "{late:?}");
    second.commit().await.unwrap();
    assert_eq!(one.records().await.unwrap().experiments, records);
}
