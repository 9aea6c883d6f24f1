//! The architecture as a test: rooms import only the rooms below them, external crates stay in
//! the rooms that need them, every file says what it is and stays readable in one sitting.
//!
//! It reads whole syntax trees, not lines, because rustfmt breaks `use crate::{...}` over lines.

mod names;
mod planted;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use names::{Name, names_in};
use table::{CONFINED, Crates, Import, Items, ROOMS, Room};

/// Lines of a file, its tests left out: they end the file by custom of the house.
const LONGEST: usize = 400;

/// A source file: where it stands and what it says.
struct Source {
    /// Relative to `src/`.
    path: PathBuf,
    text: String,
}

/// The crates in `[dependencies]`: only they can be meant by the first part of a path.
type Dependencies = BTreeSet<String>;

#[test]
fn the_house_is_tidy() {
    let violations = violations(&sources(), &dependencies());
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn the_table_has_no_cycle_and_names_dependencies_only() {
    let edges = ROOMS.iter().flat_map(|room| {
        room.rooms.iter().map(|import| (room.name.to_owned(), import.room.to_owned()))
    });
    // server and main are above all others, so `server -> server` is the only loop to leave out.
    let edges: BTreeSet<_> = edges.filter(|(from, to)| from != to).collect();
    assert_eq!(cycle(&edges), None);
    let dependencies = dependencies();
    for room in ROOMS {
        if let Crates::Only(crates) = room.crates {
            for name in crates {
                assert!(dependencies.contains(*name), "{}: {name} is no dependency", room.name);
            }
        }
    }
}

fn violations(sources: &[Source], dependencies: &Dependencies) -> Vec<String> {
    let mut found = Vec::new();
    let mut edges = BTreeSet::new();
    for source in sources {
        let module = module_of(&source.path);
        let place = |line: usize| format!("src/{}:{line}", source.path.display());
        if !source.text.starts_with("//!") {
            found.push(format!("{}: does not open with //!", place(1)));
        }
        let lines = source.text.split("#[cfg(test)]\nmod tests").next().map_or(0, count_lines);
        if lines > LONGEST {
            found.push(format!("{}: {lines} lines, at most {LONGEST}", place(lines)));
        }
        let room_name = module.first().map_or("lib", String::as_str);
        let Some(room) = ROOMS.iter().find(|room| room.name == room_name) else {
            found.push(format!("{}: {room_name} is no room of the house", place(1)));
            continue;
        };
        let names = match names_in(&source.text, &module) {
            Ok(names) => names,
            Err(error) => {
                found.push(format!("{}: {error}", place(error.span().start().line)));
                continue;
            }
        };
        for name in &names {
            if let Err(reason) = judge(room, &module, name, dependencies) {
                found.push(format!("{}: {reason}", place(name.line)));
            }
            if let [root, target, ..] = name.segments.as_slice()
                && root == "crate"
                && target != room.name
            {
                edges.insert((room.name.to_owned(), target.clone()));
            }
        }
    }
    found.extend(cycle(&edges).map(|rooms| format!("rooms in a circle: {}", rooms.join(" -> "))));
    found.dedup();
    found
}

fn judge(
    room: &Room,
    module: &[String],
    name: &Name,
    dependencies: &Dependencies,
) -> Result<(), String> {
    let path = name.segments.join("::");
    match name.segments.as_slice() {
        [origin, target, rest @ ..] if origin == "crate" => {
            if target == room.name || room.name == "lib" {
                return Ok(());
            }
            let Some(import) = room.rooms.iter().find(|import| import.room == target) else {
                return Err(format!("{} must not import {path}", room.name));
            };
            items_allowed(import, rest).map_err(|()| format!("{} must not name {path}", room.name))
        }
        [first, ..] if dependencies.contains(first) && !name.test => {
            let confined = CONFINED.iter().find(|confined| confined.name == first);
            if let Some(confined) = confined
                && !module.iter().map(String::as_str).take(2).eq(confined.home.iter().copied())
            {
                return Err(format!("{path} is used outside {}", confined.home.join("/")));
            }
            match room.crates {
                Crates::Only(crates) if !crates.contains(&first.as_str()) => {
                    Err(format!("{} must not name the crate {first} ({path})", room.name))
                }
                Crates::All | Crates::Only(_) => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn items_allowed(import: &Import, rest: &[String]) -> Result<(), ()> {
    match (&import.items, rest.first()) {
        (Items::All, _) => Ok(()),
        (Items::Only(items), Some(item)) if items.contains(&item.as_str()) => Ok(()),
        (Items::Only(_), _) => Err(()),
    }
}

/// Some circle among the edges, as the rooms along it.
fn cycle(edges: &BTreeSet<(String, String)>) -> Option<Vec<String>> {
    let mut below: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in edges {
        below.entry(from).or_default().push(to);
    }
    let mut trails: Vec<Vec<&str>> = below.keys().map(|room| vec![*room]).collect();
    while let Some(trail) = trails.pop() {
        let last = trail.last().copied().unwrap_or_default();
        for next in below.get(last).into_iter().flatten() {
            if let Some(start) = trail.iter().position(|room| room == next) {
                let circle = trail[start..].iter().chain([next]);
                return Some(circle.map(|room| (*room).to_owned()).collect());
            }
            trails.push([trail.as_slice(), &[*next]].concat());
        }
    }
    None
}

fn count_lines(text: &str) -> usize {
    text.lines().count()
}

/// `store/redis/keys.rs` is `store::redis::keys`, `store/mod.rs` is `store`.
fn module_of(path: &Path) -> Vec<String> {
    let path = path.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    let mut parts: Vec<_> = parts.collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(&root).unwrap().to_owned(), text });
            }
        }
    }
    assert!(found.len() > 30, "src/ was not found");
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Read by hand: a TOML parser for one list of keys would be the larger risk.
fn dependencies() -> Dependencies {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let section = manifest.split("\n[dependencies]\n").nth(1).expect("[dependencies]");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
    let names = names.filter(|name| !name.starts_with('#'));
    // The library of the package md-5 is called md5.
    let names = names.map(|name| name.replace("md-5", "md5").replace('-', "_"));
    names.collect()
}
