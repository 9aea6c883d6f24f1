//! `tiebreak demo`, the first command of a newcomer: a whole A/B test in one process.

use crate::program::{Ran, tiebreak};

#[test]
fn the_demo_prints_every_metric_and_the_same_page_twice() {
    let page = Ran::of(&mut tiebreak(["demo"])).answer();
    assert_eq!(Ran::of(&mut tiebreak(["demo"])).answer(), page);

    assert!(page.starts_with("4,840 users had "), "{page}");
    for part in [
        "Support bot: v2 against v1",
        "support-bot · running · iteration 1",
        "✓ split as configured",
        "task_completed",
        "csat",
        "turns",
        "latency",
        "escalated",
        "latency_p95",
        "Why users are counted, not outcomes",
        "\nShip treatment  (100.0 % of the planned sample is in)\n",
    ] {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
    for never in ["NaN", "inf ", "\u{1b}"] {
        assert!(!page.contains(never), "{never:?} is in\n{page}");
    }
    let readme = include_str!("../../README.md");
    let excerpt = readme.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    for line in excerpt.lines().filter(|line| !line.is_empty() && line.trim() != "...") {
        assert!(page.lines().any(|shown| shown == line), "README shows {line:?}, not in\n{page}");
    }
}

/// What a terminal of 80 columns shows.
#[test]
fn a_narrow_page_fits_and_cuts_no_interval() {
    let page = Ran::of(tiebreak(["demo"]).env("COLUMNS", "80")).answer();
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    for part in ["✓ within margin", "p-value", "relative over absolute"] {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
    let brackets = page.lines().filter(|line| line.contains('['));
    for line in brackets {
        assert_eq!(line.matches('[').count(), line.matches(']').count(), "{page}");
    }
}

#[test]
fn another_seed_brings_other_people_and_the_number_of_users_is_obeyed() {
    let page = |seed| Ran::of(&mut tiebreak(["demo", "--users", "200", "--seed", seed])).answer();
    let [one, other] = ["1", "2"].map(page);
    assert!(one.starts_with("200 users had "), "{one}");
    assert_ne!(one, other);
}

#[test]
fn one_person_is_no_evidence_but_no_failure() {
    let page = Ran::of(&mut tiebreak(["demo", "--users", "1"])).answer();
    assert!(page.contains("too little data"), "{page}");
    assert!(!page.contains("NaN"), "{page}");
}
