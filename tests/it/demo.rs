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
    ] {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
    for never in ["NaN", "inf ", "\u{1b}"] {
        assert!(!page.contains(never), "{never:?} is in\n{page}");
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
