//! What the commands say and with which code they end: the part of the program that scripts and
//! people rely on.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::program::{Ran, Server, tiebreak};

const COMMANDS: [&str; 13] = [
    "serve", "demo", "replay", "apply", "results", "plan", "list", "get", "start", "pause",
    "conclude", "archive", "delete",
];

/// A file that goes away with the test.
struct File {
    _directory: TempDir,
    path: PathBuf,
}

impl File {
    fn new(name: &str, text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        Self { _directory: directory, path }
    }

    fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

#[test]
fn every_command_explains_itself() {
    let overview = Ran::of(&mut tiebreak(["--help"])).answer();
    for command in COMMANDS {
        assert!(overview.contains(&format!("\n  {command} ")), "{command} is not in\n{overview}");
        let help = Ran::of(&mut tiebreak([command, "--help"])).answer();
        assert!(help.contains(&format!("Usage: tiebreak {command}")), "{help}");
    }
    let version = Ran::of(&mut tiebreak(["--version"])).answer();
    assert_eq!(version, format!("tiebreak {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn misuse_ends_with_2_and_failure_with_1() {
    for misuse in [
        &["results"][..],
        &["frobnicate"],
        &["plan", "--effect", "0.05"],
        &["results", "x", "--watch", "--iteration", "2"],
        &["serve", "--store", "postgres://x"],
        &["serve", "--shards", "3"],
        &["demo", "--users", "0"],
    ] {
        let complaint = Ran::of(&mut tiebreak(misuse.iter().copied())).complaint(2);
        assert!(complaint.starts_with("error: "), "{misuse:?}: {complaint}");
    }
    let nowhere = ["list", "--endpoint", "http://127.0.0.1:1"];
    let complaint = Ran::of(&mut tiebreak(nowhere)).complaint(1);
    assert!(complaint.contains("http://127.0.0.1:1"), "{complaint}");

    let server = Server::start("memory:");
    let complaint = server.run(["results", "nothing"]).complaint(1);
    assert!(complaint.contains("EXPERIMENT_NOT_FOUND"), "{complaint}");
}

#[test]
fn a_test_of_five_points_from_three_quarters_needs_1179_units_a_group() {
    let server = Server::start("memory:");
    let plan = server.run(["plan", "--baseline", "0.75", "--effect", "0.05"]).answer();
    assert!(plan.contains("1,179"), "{plan}");
}

#[test]
fn applying_twice_changes_nothing_and_a_dry_run_stores_nothing() {
    let server = Server::start("memory:");
    let file = "examples/support-bot.yaml";
    let dry = server.run(["apply", "--dry-run", "-f", file]).answer();
    assert!(dry.starts_with("support-bot: would be created\n"), "{dry}");
    assert!(dry.ends_with("Nothing was changed: this was a dry run.\n"), "{dry}");
    server.run(["get", "support-bot"]).complaint(1);

    assert_eq!(server.run(["apply", "-f", file]).answer(), "support-bot: created\n");
    let stored = server.run(["get", "support-bot"]).answer();
    assert_eq!(server.run(["apply", "-f", file]).answer(), "support-bot: unchanged\n");
    assert_eq!(server.run(["get", "support-bot"]).answer(), stored);

    let all = server.run(["apply", "-f", "examples/replay"]).answer();
    // Below it the server may give advice.
    let told: Vec<&str> = all.lines().filter(|line| !line.starts_with("  ! ")).collect();
    assert_eq!(told, ["recorded-support-bot: created", "coding-assistant: created"]);

    // What `get` prints is what `apply` reads.
    let own = File::new("own.yaml", &stored);
    let again = server.run(["apply", "-f", own.name()]).answer();
    assert_eq!(again, "support-bot: unchanged\n");
}

#[test]
fn a_changed_file_is_told_field_by_field() {
    let server = Server::start("memory:");
    let text = std::fs::read_to_string(example("support-bot.yaml")).unwrap();
    server.run(["apply", "-f", "examples/support-bot.yaml"]).answer();
    let changed = File::new("changed.yaml", &text.replace("owner: support-platform", "owner: me"));
    let told = server.run(["apply", "-f", changed.name()]).answer();
    assert_eq!(told, "support-bot: changed\n  ~ owner: \"support-platform\" → \"me\"\n");
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

#[test]
fn a_faulty_file_is_named_with_its_field() {
    let server = Server::start("memory:");
    let misspelt = File::new("misspelt.yaml", "experiment_id: a\nvariantz: []\n");
    let complaint = server.run(["apply", "-f", misspelt.name()]).complaint(1);
    assert!(complaint.contains("misspelt.yaml"), "{complaint}");
    assert!(complaint.contains("variantz: no such field"), "{complaint}");

    // Well-formed, but refused by the server.
    let text = std::fs::read_to_string(example("support-bot.yaml")).unwrap();
    let text = text.replace("weight_basis_points: 2000", "weight_basis_points: 1999");
    let unbalanced = File::new("unbalanced.yaml", &text);
    let complaint = server.run(["apply", "-f", unbalanced.name()]).complaint(1);
    for part in ["unbalanced.yaml", "support-bot", "experiment.variants", "9999"] {
        assert!(complaint.contains(part), "{part} is not in {complaint}");
    }
    let complaint = server.run(["apply", "-f", "no-such-file.yaml"]).complaint(1);
    assert!(complaint.contains("no-such-file.yaml"), "{complaint}");
}

/// The store is the setting that the server repeats, so it shows who won.
#[test]
fn a_flag_beats_a_variable_and_a_variable_beats_the_file() {
    let listen = "grpc-listen: 127.0.0.1:0\nhttp-listen: 127.0.0.1:0\n";
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| format!("embedded:{}", directory.path().join(name).display());
    let [by_file, by_variable, by_flag] = ["file", "variable", "flag"].map(place);
    let file = File::new("tiebreak.yaml", &format!("{listen}store: '{by_file}'\n"));
    let serve = ["serve", "--config", file.name()];
    let store = |server: Server| server.announced["store"].as_str().unwrap().to_owned();

    assert_eq!(store(Server::start_as(&mut tiebreak(serve))), by_file);
    let mut with_variable = tiebreak(serve);
    with_variable.env("TIEBREAK_STORE", &by_variable);
    assert_eq!(store(Server::start_as(&mut with_variable)), by_variable);
    let mut with_flag = tiebreak(serve);
    with_flag.env("TIEBREAK_STORE", &by_variable).args(["--store", &by_flag]);
    assert_eq!(store(Server::start_as(&mut with_flag)), by_flag);

    let mut by_environment = tiebreak(["serve"]);
    by_environment.env("TIEBREAK_CONFIG", file.name());
    assert_eq!(store(Server::start_as(&mut by_environment)), by_file);

    let faulty = File::new("faulty.yaml", "shard: 4\n");
    let complaint = Ran::of(&mut tiebreak(["serve", "--config", faulty.name()])).complaint(2);
    assert!(complaint.contains("'shard'"), "{complaint}");
}
