//! The test of the test: each kind of violation, planted in a source, is found where it stands.

use super::{Dependencies, Source, violations};

fn found_in(files: &[(&str, &str)]) -> Vec<String> {
    let dependencies = ["fjall", "redis", "serde", "thiserror", "tokio", "tonic", "tracing"];
    let dependencies: Dependencies = dependencies.map(str::to_owned).into();
    let sources =
        files.iter().map(|(path, text)| Source { path: path.into(), text: (*text).to_owned() });
    violations(&sources.collect::<Vec<_>>(), &dependencies)
}

/// Exactly one violation, at this line.
fn assert_found(path: &str, text: &str, line: usize, what: &str) {
    let found = found_in(&[(path, text)]);
    assert_eq!(found.len(), 1, "{text}\n{found:?}");
    assert!(found[0].starts_with(&format!("src/{path}:{line}: ")), "{}", found[0]);
    assert!(found[0].contains(what), "{}", found[0]);
}

fn assert_clean(path: &str, text: &str) {
    assert_eq!(found_in(&[(path, text)]), Vec::<String>::new(), "{text}");
}

#[test]
fn imports_of_higher_rooms_are_found_however_they_are_written() {
    let cases = [
        ("//! a\nuse crate::store::Store;", 2),
        (
            "//! a\nuse crate::{\n    stats::{Moments, Welch},\n    store::{\n        Store,\n    },\n};",
            5,
        ),
        ("//! a\npub use crate::store as backend;", 2),
        ("//! a\npub use crate::store::*;", 2),
        ("//! a\nuse super::super::store::Store;", 2),
        ("//! a\nfn f() -> crate::store::Rows { todo() }", 2),
        ("//! a\nfn f() {\n    let x = super::super::store::redis::open();\n}", 3),
        ("//! a\nfn f() { let x = Vec::<crate::store::Rows>::new(); }", 2),
        ("//! a\nfn f() {\n    tokio_select! { x = crate::store::wait() => {} }\n}", 3),
        ("//! a\nmod inner {\n    use super::super::super::store::Store;\n}", 3),
        ("//! a\n#[derive(crate::store::Derive)]\nstruct S;", 2),
        ("//! a\nimpl crate::store::Store for X {}", 2),
        ("//! a\n#[cfg(test)]\nmod tests { use crate::store::Store; }", 3),
    ];
    for (text, line) in cases {
        assert_found("domain/bucket.rs", text, line, "domain must not import crate::store");
    }
    assert_clean("domain/bucket.rs", "//! a\nuse super::split::Split;\nuse crate::stats::X;");
    assert_found("main.rs", "//! a\nuse tiebreak::cellar::X;", 2, "crate::cellar");
}

#[test]
fn service_sees_the_contract_of_the_store_and_no_store() {
    assert_clean("service/mod.rs", "//! a\nuse crate::store::{Applied, Store, StoreError};");
    let redis = "//! a\nuse crate::store::{Store, redis::RedisStore};";
    assert_found("service/mod.rs", redis, 2, "crate::store::redis");
    assert_found("service/mod.rs", "//! a\nuse crate::store::*;", 2, "crate::store::*");
    assert_found("service/mod.rs", "//! a\nuse crate::store;", 2, "crate::store");
    assert_found("cli/mod.rs", "//! a\nuse crate::rpc::status::of;", 2, "crate::rpc::status");
}

#[test]
fn foreign_crates_are_found_in_paths_attributes_and_macros() {
    let cases = [
        "//! a\nuse tokio::sync::watch;",
        "//! a\nuse ::tokio;",
        "//! a\nfn f() { tokio::task::yield_now(); }",
        "//! a\nfn f(x: tokio::time::Instant) {}",
        "//! a\n#[tokio::main]\nfn f() {}",
        "//! a\nfn f() { tokio::select! {} }",
        "//! a\nfn f() { assert!(tokio::time::now() > 1); }",
        "//! a\nextern crate tokio;",
    ];
    for text in cases {
        assert_found("domain/id.rs", text, 2, "the crate tokio");
    }
    assert_clean("domain/id.rs", "//! a\n#[derive(serde::Serialize)]\nstruct S;");
    assert_clean("domain/id.rs", "//! a\n#[cfg(test)]\nmod tests { use tokio::time; }");
    // A module of the house may share its name with a crate.
    assert_clean("store/mod.rs", "//! a\npub mod redis;\nfn f() { redis::open(); }");
}

#[test]
fn the_engines_stay_at_home() {
    assert_clean("store/redis/keys.rs", "//! a\nuse redis::Client;");
    assert_found("store/codec.rs", "//! a\nuse redis::Client;", 2, "outside store/redis");
    assert_found("server.rs", "//! a\nuse redis::Client;", 2, "outside store/redis");
    assert_found("store/redis/mod.rs", "//! a\nuse fjall::Keyspace;", 2, "outside store/embedded");
}

#[test]
fn circles_strangers_long_and_nameless_files_are_found() {
    let circle = [
        ("stats/a.rs", "//! a\nuse crate::domain::X;"),
        ("domain/b.rs", "//! a\nuse crate::stats::Y;"),
    ];
    let found = found_in(&circle);
    assert!(found.iter().any(|line| line.contains("in a circle")), "{found:?}");
    assert_found("utils/mod.rs", "//! a", 1, "no room");
    assert_found("stats/a.rs", "// a\n", 1, "//!");
    let long = format!("//! a\n{}", "const A: u8 = 1;\n".repeat(400));
    assert_found("stats/a.rs", &long, 401, "401 lines");
    let tested = format!("//! a\n#[cfg(test)]\nmod tests {{\n{}}}", "fn a() {}\n".repeat(400));
    assert_clean("stats/a.rs", &tested);
    assert_found("stats/a.rs", "//! a\nfn fn", 2, "expected");
}
