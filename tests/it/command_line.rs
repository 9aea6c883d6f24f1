//! What the commands say and with which code they end: the part of the program that scripts and
//! people rely on.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::program::{Ran, Server, tiebreak};

const COMMANDS: [&str; 14] = [
    "serve", "demo", "replay", "apply", "results", "publish", "plan", "list", "get", "start",
    "pause", "conclude", "archive", "delete",
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
        &["serve", "--dedup-window", "0s"],
        &["list", "--endpoint", "https://127.0.0.1:1"],
        &["demo", "--users", "0"],
    ] {
        let complaint = Ran::of(&mut tiebreak(misuse.iter().copied())).complaint(2);
        assert!(complaint.starts_with("error: "), "{misuse:?}: {complaint}");
    }
    let nowhere = ["list", "--endpoint", "http://127.0.0.1:1"];
    let complaint = Ran::of(&mut tiebreak(nowhere)).complaint(1);
    assert!(complaint.contains("http://127.0.0.1:1"), "{complaint}");
    assert_eq!(complaint.matches("os error").count(), 1, "{complaint}");
    let store = ["serve", "--store", "embedded:/proc/nowhere", "--grpc-listen", "127.0.0.1:0"];
    let complaint = Ran::of(&mut tiebreak(store)).complaint(1);
    assert!(complaint.contains("/proc/nowhere") && !complaint.contains("Fjall"), "{complaint}");

    let server = Server::start("memory:");
    let complaint = server.run(["results", "nothing"]).complaint(1);
    assert!(complaint.contains("EXPERIMENT_NOT_FOUND"), "{complaint}");
}

#[test]
fn a_test_of_five_points_from_three_quarters_needs_1179_units_a_group() {
    let design = ["plan", "--baseline", "0.75", "--effect", "0.05"];
    let plan = Ran::of(&mut tiebreak(design)).answer();
    assert!(plan.contains("1,179"), "{plan}");
    let server = Server::start("memory:");
    assert_eq!(server.run(design).answer(), plan);
    let sequential = ["--method", "sequential"];
    let any_time = Ran::of(tiebreak(design).args(sequential)).answer();
    assert!(any_time.contains("look at any time") && any_time != plan, "{any_time}");
}

/// The comment in the example is the command that made its numbers.
#[test]
fn the_plan_of_the_example_is_what_plan_answers() {
    let text = std::fs::read_to_string(example("support-bot.yaml")).unwrap();
    let (_, command) = text.split_once("#   tiebreak plan ").unwrap();
    let (first, rest) = command.split_once(" \\\n#").unwrap();
    let command = format!("{first} {}", rest.lines().next().unwrap());
    let plan = Ran::of(&mut tiebreak(["plan"].into_iter().chain(command.split_whitespace())));
    let plan = plan.answer();
    assert!(plan.contains(" 4,840 in all"), "{plan}");
    for part in ["planned_units: 4840\n", "min_detectable_effect: 0.0411\n"] {
        assert!(text.contains(part), "{part} is not in the example");
    }
}

#[test]
fn a_plan_that_cannot_be_is_refused_in_its_own_words() {
    let refused = |arguments: &str| {
        Ran::of(&mut tiebreak(["plan"].into_iter().chain(arguments.split(' ')))).complaint(1)
    };
    let complaint = refused("--sd 2 --effect 0.1 --relative");
    assert!(complaint.contains("--mean: is needed"), "{complaint}");
    let complaint = refused("--baseline 1.2 --effect 0.1 --ratio -1");
    assert!(complaint.contains("--baseline: ") && complaint.contains("--ratio: "), "{complaint}");
    let complaint = refused("--baseline 0.5 --effect 0.1 --outcomes-per-unit 2");
    assert!(complaint.contains("--outcomes-per-unit needs --icc"), "{complaint}");
    let complaint = Ran::of(&mut tiebreak(["plan", "--effect", "0.05"])).complaint(2);
    assert!(complaint.contains("--baseline <RATE>|--sd <SD>"), "{complaint}");
}

#[test]
fn applying_twice_changes_nothing_and_a_dry_run_stores_nothing() {
    let server = Server::start("memory:");
    let file = "examples/support-bot.yaml";
    let dry = server.run(["apply", "--dry-run", "-f", file]).answer();
    assert!(dry.starts_with("support-bot: would be created\n"), "{dry}");
    assert!(dry.ends_with("Nothing was changed: this was a dry run.\n"), "{dry}");
    server.run(["get", "support-bot"]).complaint(1);

    assert_eq!(
        server.run(["apply", "-f", file]).answer(),
        "support-bot: created as a draft; `tiebreak start support-bot` starts it\n"
    );
    let stored = server.run(["get", "support-bot"]).answer();
    assert_eq!(server.run(["apply", "-f", file]).answer(), "support-bot: unchanged\n");
    assert_eq!(server.run(["get", "support-bot"]).answer(), stored);

    let all = server.run(["apply", "-f", "examples/replay"]).answer();
    // Below it the server may give advice.
    let told: Vec<&str> = all.lines().filter(|line| !line.starts_with("  ! ")).collect();
    let ids: Vec<String> = told
        .iter()
        .filter_map(|line| {
            Some(line.strip_suffix(" starts it")?.split_once(": created as a draft")?.0)
        })
        .map(str::to_owned)
        .collect();
    let files = std::fs::read_dir(example("replay")).unwrap().count();
    assert_eq!((ids.len(), told.len()), (files, files), "{all}");
    // Advice is given once.
    let again = server.run(["apply", "-f", "examples/replay"]).answer();
    let unchanged: String = ids.iter().map(|id| id.clone() + ": unchanged\n").collect();
    assert_eq!(again, unchanged);

    // What `get` prints is what `apply` reads.
    let own = File::new("own.yaml", &stored);
    let again = server.run(["apply", "-f", own.name()]).answer();
    assert_eq!(again, "support-bot: unchanged\n");
    let mut by_pipe = tiebreak(["apply", "-f", "-"]);
    by_pipe.env("TIEBREAK_ENDPOINT", server.endpoint());
    let again = Ran::of(by_pipe.stdin(std::fs::File::open(&own.path).unwrap())).answer();
    assert_eq!(again, "support-bot: unchanged\n");
}

#[test]
fn of_a_directory_all_is_applied_or_nothing() {
    let server = Server::start("memory:");
    let directory = tempfile::tempdir().unwrap();
    let good = std::fs::read_to_string(example("support-bot.yaml")).unwrap();
    let unbalanced = good
        .replace("experiment_id: support-bot", "experiment_id: other")
        .replace("weight_basis_points: 2000", "weight_basis_points: 1999");
    let files =
        [("a.yaml", good.as_str()), ("b.yaml", unbalanced.as_str()), ("c.yaml", "variantz: 1\n")];
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let path = directory.path().to_str().unwrap();
    let complaint = server.run(["apply", "-f", path]).complaint(1);
    for part in ["b.yaml", "9999", "c.yaml: not an experiment", "variantz", "nothing was applied"] {
        assert!(complaint.contains(part), "{part} is not in {complaint}");
    }
    server.run(["get", "support-bot"]).complaint(1);
}

/// In YAML 1.1 `no` is a boolean and `010` a number; nobody wants Norway served as `false`.
#[test]
fn a_payload_is_stored_as_it_is_written() {
    let server = Server::start("memory:");
    let text = std::fs::read_to_string(example("support-bot.yaml")).unwrap();
    let value = "value: {country: no, model: y, zip: 010, real: true}";
    let text = text.replace("value: {model: support-bot-v1, prompt: p6, temperature: 0.2}", value);
    assert!(text.contains(value));
    let file = File::new("norway.yaml", &text);
    server.run(["apply", "-f", file.name()]).answer();
    let stored = server.run(["get", "support-bot"]).answer();
    for part in ["country: \"no\"", "model: \"y\"", "zip: \"010\"", "real: true"] {
        assert!(stored.contains(part), "{part} is not in {stored}");
    }
}

#[test]
fn every_state_says_what_comes_next() {
    let server = Server::start("memory:");
    let file = "examples/support-bot.yaml";
    server.run(["apply", "-f", file]).answer();
    let page = server.run(["results", "support-bot"]).answer();
    assert!(page.ends_with("Not started: `tiebreak start support-bot` starts it\n"), "{page}");
    server.run(["start", "support-bot"]).answer();
    let complaint = server.run(["delete", "support-bot"]).complaint(1);
    assert!(complaint.contains("tiebreak archive support-bot"), "{complaint}");
    server.run(["pause", "support-bot"]).answer();
    let page = server.run(["results", "support-bot"]).answer();
    assert!(page.contains("\nPAUSED: everyone receives control"), "{page}");
    let page = server.run(["conclude", "support-bot", "--winner", "treatment"]).answer();
    assert!(page.contains("Concluded: everyone receives treatment"), "{page}");
    assert!(!page.contains("Keep collecting"), "{page}");
}

#[test]
fn a_replay_of_nothing_says_so() {
    let replay = |name: &str, text: &str| {
        let file = File::new(name, text);
        let experiment = "examples/replay/02_coding_assistant.yaml";
        let columns = ["--unit", "unit", "--variant", "variant", "--metric", "copied=copied"];
        let arguments = ["replay", file.name(), "--experiment", experiment];
        Ran::of(&mut tiebreak(arguments.into_iter().chain(columns))).complaint(1)
    };
    assert!(replay("empty.csv", "").contains("empty.csv: the file is empty"));
    let header = replay("header.csv", "unit,variant,copied\n");
    assert!(header.contains("header.csv: there is no row below the header"), "{header}");
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
    assert!(complaint.contains("faulty.yaml has 'shard'"), "{complaint}");

    // A bad value says where it comes from.
    let mut bad_variable = tiebreak(["serve"]);
    let complaint = Ran::of(bad_variable.env("TIEBREAK_SHARDS", "3")).complaint(2);
    assert!(complaint.contains("TIEBREAK_SHARDS: must be a power of two"), "{complaint}");
}
