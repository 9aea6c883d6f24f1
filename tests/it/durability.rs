//! What an acknowledgement is worth: told by every store, required at the start, watched after.

use tiebreak::store::{Durability, Level};

use crate::program::{Ran, Server, tiebreak};
use crate::support::redis::{Persistence, RedisServer};
use crate::support::{Home, Kind};

async fn told(home: &Home) -> Durability {
    home.open().await.durability().await.unwrap()
}

#[tokio::test]
async fn every_store_tells_what_it_promises() {
    for (kind, level) in
        [(Kind::Memory, Level::None), (Kind::Embedded, Level::Fsync), (Kind::Redis, Level::Process)]
    {
        let told = told(&Home::new(kind).await).await;
        assert_eq!(told.level, level, "{told:?}");
        assert!(told.meaning.starts_with("an acknowledged outcome is "), "{told:?}");
        assert_eq!(told.remedy.is_empty(), level == Level::Fsync, "{told:?}");
    }
}

#[tokio::test]
async fn a_redis_is_asked_for_its_settings() {
    let home = Home::new(Kind::Redis).await.lasting().await;
    let redis = home.server.as_ref().unwrap();
    let cases = [
        (&["CONFIG", "SET", "appendfsync", "always"][..], Level::Fsync, "a power cut"),
        (&["CONFIG", "SET", "no-appendfsync-on-rewrite", "yes"], Level::Process, "rewrites"),
        (&["CONFIG", "SET", "no-appendfsync-on-rewrite", "no"], Level::Fsync, "a power cut"),
        (&["CONFIG", "SET", "min-replicas-to-write", "0"], Level::Fsync, "a power cut"),
        (&["CONFIG", "SET", "appendfsync", "everysec"], Level::Process, "everysec"),
        (&["CONFIG", "SET", "appendfsync", "no"], Level::Process, "appendfsync no"),
        (&["CONFIG", "SET", "appendonly", "no"], Level::Process, "(appendonly no, no save)"),
        (&["CONFIG", "SET", "save", "3600 1"], Level::Process, "save 3600 1"),
        (&["REPLICAOF", "127.0.0.1", "1"], Level::Process, "takes no outcomes"),
    ];
    for (command, level, words) in cases {
        redis.administrate(command).await;
        let told = told(&home).await;
        assert_eq!(told.level, level, "{command:?}: {told:?}");
        assert!(told.meaning.contains(words), "{command:?}: {told:?}");
    }
}

/// As with most rented ones.
#[tokio::test]
async fn a_redis_that_keeps_its_settings_to_itself_promises_little() {
    let home = Home::new(Kind::Redis).await.lasting().await;
    let redis = home.server.as_ref().unwrap();
    redis.administrate(&["ACL", "SETUSER", "default", "-config"]).await;
    let unknown = told(&home).await;
    assert_eq!(unknown.level, Level::Process, "{unknown:?}");
    assert!(unknown.meaning.contains("unknown"), "{unknown:?}");
    // INFO alone tells that there is no file at all.
    let home = Home::new(Kind::Redis).await;
    let redis = home.server.as_ref().unwrap();
    redis.administrate(&["ACL", "SETUSER", "default", "-config"]).await;
    let nothing = told(&home).await;
    assert!(nothing.meaning.contains("at least everything since"), "{nothing:?}");
    redis.administrate(&["ACL", "SETUSER", "default", "-info"]).await;
    assert!(told(&home).await.meaning.contains("unknown"));
}

fn serve<'a>(store: &'a str, level: &'a str) -> [&'a str; 9] {
    let (grpc, http) = ("127.0.0.1:0", "127.0.0.1:0");
    let addresses = ["--grpc-listen", grpc, "--http-listen", http];
    let [a, b, c, d] = addresses;
    ["serve", "--store", store, "--require-durability", level, a, b, c, d]
}

#[tokio::test]
async fn a_server_does_not_start_on_less_than_is_required() {
    let redis = RedisServer::start(Persistence::Nothing).await;
    for (store, level, words) in [
        ("memory:", "process", "it is gone with the server; keep the store on disk"),
        ("memory:", "fsync", "--require-durability fsync"),
        (&redis.url(), "fsync", "set `appendonly yes`, `appendfsync always`"),
    ] {
        let complaint = Ran::of(&mut tiebreak(serve(store, level))).complaint(1);
        assert!(
            complaint.contains("promises less than") && complaint.contains(words),
            "{complaint}"
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let embedded = format!("embedded:{}", directory.path().display());
    for (store, level) in [("memory:", "none"), (&redis.url(), "process"), (&embedded, "fsync")] {
        Server::start_as(&mut tiebreak(serve(store, level)));
    }
}

#[tokio::test]
async fn a_redis_that_comes_back_with_less_is_noticed() {
    let mut redis = RedisServer::start(Persistence::AppendOnly).await;
    let server = Server::start_as(&mut tiebreak(serve(&redis.url(), "fsync")));
    redis.kill();
    redis.append_fsync = "everysec";
    redis.start_again().await;
    let said = server.says(|event| event["durability"] == "process");
    assert_eq!((&said["level"], &said["required"]), (&"ERROR".into(), &"fsync".into()), "{said}");
    assert!(said["message"].as_str().unwrap().contains("everysec"), "{said}");
    redis.administrate(&["CONFIG", "SET", "appendfsync", "always"]).await;
    server.says(|event| event["durability"] == "fsync" && event["level"] == "INFO");
}
