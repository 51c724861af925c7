//! What PEERS must show, in virtual time and smaller than the tables of `simulate --peers-table`.

use cordee_integration::sim::peers::{Row, Study, many};
use cordee_integration::sim::run;
use std::time::Duration;

/// The first `seeds` of a study, of which every property must hold.
fn study(name: &str, seeds: u64) -> Row {
    let study = Study::named(name).unwrap_or_else(|| panic!("no study {name}"));
    let mut all = Row::default();
    for seed in 0..seeds {
        let (report, row) = study.run(seed, false);
        assert!(
            report.passed() && report.bans_wrong == 0,
            "{name}, seed {seed}: {} wrong bans, {:?}\ncargo run --release -p cordee-integration --bin simulate -- \
             --peers-table {name} --seed {seed} --log",
            report.bans_wrong,
            report.failures
        );
        all.add(row);
    }
    assert!(all.is_right(), "{name}: {all}");
    all
}

#[test]
fn p10_p17_p20_one_honest_peer_among_twenty_is_enough_and_only_liars_are_banned() {
    let row = study("mixed", 40);
    assert!(row.bans_right() > 100, "{row}");
    assert_eq!(row.excused(), 0, "whoever was heard lying is banned: {row}");
}

#[test]
fn p20_a_wrong_target_is_suspect_within_a_minute_and_bans_nobody() {
    let row = study("wrong-target", 40);
    assert_eq!(row.suspected().len(), 40, "{row}");
    assert!(
        row.suspected()
            .iter()
            .all(|after| *after <= Duration::from_secs(60)),
        "{row}"
    );
}

#[test]
fn p20_three_sybils_that_are_there_first_do_not_make_a_good_target_suspect() {
    let row = study("sybils", 40);
    assert!(row.suspected().is_empty(), "{row}");
    assert_eq!((row.bans_right(), row.excused()), (120, 0), "{row}");
}

#[test]
fn p19_p22_a_banned_peer_that_comes_back_is_not_asked_before_its_ban_ends() {
    // The hub sees to it that nobody is asked who is banned and not on parole.
    let row = study("reconnecting", 20);
    assert_eq!(row.bans_right(), 60, "{row}");
    let ended = Study::named("reconnecting").unwrap().run(0, false).0;
    assert!(ended.counts["bans that ended"] >= 3, "{ended}");
    assert!(ended.counts["penalty: lie"] >= 4, "banned again: {ended}");
}

#[test]
fn p14_p17_an_honest_peer_that_is_slow_is_never_banned() {
    study("slow", 40);
}

#[test]
fn p30_p32_many_peers_bring_most_of_what_the_chosen_ones_can_carry_and_hardly_anything_twice() {
    for seed in 0..2 {
        let scenario = many::sized(seed, 250, 8000);
        let report = run(&scenario, false);
        assert!(report.passed(), "seed {seed}: {:?}", report.failures);
        let goodput = many::goodput(&scenario, &report).expect("it brought something");
        // Fewer peers than in the table, and less time to find the good ones.
        assert!(goodput.ratio() >= 0.8, "seed {seed}: {goodput:?}");
        let (twice, all) = (report.traffic.duplicate_bytes(), report.traffic.received_bytes);
        assert!(
            20 * twice < all,
            "seed {seed}: {twice} of {all} bytes brought nothing new"
        );
    }
}
