//! Simulated syncs: the ones written by hand, some from seeds, and some that must fail.

use cordee_integration::sim::named::{NAMES, named};
use cordee_integration::sim::scenario::Flaw;
use cordee_integration::sim::{Report, Scenario, run};
use std::time::Duration;

fn assert_passed(report: &Report) {
    let (name, seed) = (&report.name, report.seed);
    let which = if name == "random" {
        String::new()
    } else {
        format!(" --scenario {name}")
    };
    assert!(
        report.passed(),
        "{name}, seed {seed}: {:?}\ncargo run --release -p cordee-integration --bin simulate -- --seed {seed}{which} --log",
        report.failures
    );
}

fn scenario(name: &str, seed: u64) -> Scenario {
    named(name, seed).unwrap_or_else(|| panic!("no scenario {name}"))
}

#[test]
fn every_scenario_written_by_hand_passes() {
    // E8, E71 to E73, W14, W22, W23, W25, P3, P10, P17, P20: the module docs say what is checked in each.
    for (name, seed) in NAMES
        .into_iter()
        .flat_map(|name| (0..3).map(move |seed| (name, seed)))
    {
        assert_passed(&run(&scenario(name, seed), false));
    }
    assert!(named("no such thing", 0).is_none());
}

#[test]
fn random_syncs_pass() {
    for seed in 0..150 {
        assert_passed(&run(&Scenario::random(seed), false));
    }
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let mut different = 0;
    for seed in 0..20 {
        let scenario = Scenario::random(seed);
        let (one, two) = (run(&scenario, true), run(&scenario, true));
        assert!(!one.events.is_empty());
        assert_eq!(one.events, two.events, "seed {seed}");
        assert_eq!(one, two, "seed {seed}");
        let unlogged = run(&scenario, false);
        assert_eq!(
            (one.steps, one.bytes),
            (unlogged.steps, unlogged.bytes),
            "seed {seed}"
        );
        different += usize::from(one.events != run(&Scenario::random(seed + 1), true).events);
    }
    assert_eq!(different, 20);
}

#[test]
fn scenarios_show_what_they_are_about() {
    let count = |report: &Report, what: &str| report.counts.get(what).copied().unwrap_or_default();
    let twenty = run(&scenario("one-honest-of-twenty", 0), false);
    let banned: u64 = twenty.liars.values().map(|liars| liars.banned).sum();
    assert!(banned >= 8, "P10: {twenty}");

    let wrong = run(&scenario("wrong-target", 0), false);
    assert_eq!(
        count(&wrong, "outcome: wrong target is suspect"),
        1,
        "P20: {wrong}"
    );
    assert_eq!(count(&wrong, "penalty: lie"), 0, "P20: {wrong}");

    let lost = run(&scenario("power-losses", 0), false);
    assert!(count(&lost, "fault: power loss") >= 5, "{lost}");
    let full = run(&scenario("full-disk", 0), false);
    assert!(count(&full, "outcome: disk error") >= 1, "{full}");

    let history = run(&scenario("another-history", 0), false);
    assert_eq!(count(&history, "given up local data"), 1, "W23.2: {history}");

    let moving = run(&scenario("moving-target", 0), false);
    assert!(
        count(&moving, "updates") >= 29 && moving.again == 0,
        "W22: {moving}"
    );
    let parted = run(&scenario("parted", 0), false);
    assert!(parted.virtual_time > Duration::from_secs(25), "{parted}");
    let relay = run(&scenario("relay", 0), false);
    assert_eq!(count(&relay, "outcome: complete"), 2, "{relay}");
    assert!(relay.virtual_time > Duration::from_secs(8), "{relay}");
}

#[test]
fn what_is_broken_on_purpose_is_noticed() {
    for (flaw, name, noticed) in [
        (Flaw::FlippedVerdicts, "plain", "told false"),
        (Flaw::HonestLiars, "one-honest-of-twenty", "honest peer"),
        (Flaw::ForgetfulDisk, "power-losses", "were durable"),
        (Flaw::OtherSource, "plain", "wrong result"),
    ] {
        let broken = Scenario {
            flaw: Some(flaw),
            ..scenario(name, 0)
        };
        let report = run(&broken, false);
        let said = format!("{:?}", report.failures);
        assert!(said.contains(noticed), "{flaw:?}: {said}");
    }
    // Property 5. Nobody is there; and somebody is, who would answer truly if he did not think for so long.
    for (case, noticed) in [("nobody", "no peers"), ("a thinker", "is stuck")] {
        let mut stuck = scenario("plain", 0);
        for peer in &mut stuck.peers {
            match case {
                "nobody" => peer.online.clear(),
                _ => peer.thinks = Duration::from_secs(1000),
            }
        }
        let report = run(&stuck, false);
        let said = format!("{:?}", report.failures);
        assert!(said.contains(noticed), "{case}: {said}");
    }
}

#[test]
fn a_forked_target_is_refused_before_its_operations_are_fetched() {
    // W23.1, W22.4
    for seed in 0..6 {
        let report = run(&scenario("forked-target", seed), true);
        assert_passed(&report);
        assert_eq!(
            report.counts.get("outcome: fork found"),
            Some(&1),
            "seed {seed}: {:?}",
            report.counts
        );
        assert_eq!(report.counts.get("outcome: complete"), Some(&1), "seed {seed}");
    }
}
