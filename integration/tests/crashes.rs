//! The crash table, small: `cargo run --release -p cordee-integration --bin crashes` is the large one.

use cordee_integration::crashes::log::Publisher;
use cordee_integration::crashes::repair::{Harm, Mending};
use cordee_integration::crashes::sync::{Before, Copy};
use cordee_integration::crashes::{Row, crash, fill, map};
use cordee_protocol::db::{KINDS, Kind};
use cordee_protocol::log::Keep;

fn check(row: &Row) {
    assert!(row.passed(), "{row}");
}

#[test]
fn a_publisher_loses_no_commit() {
    // E8
    check(&crash("log", &Publisher::new(12), 3, 4));
}

#[test]
fn a_sync_loses_nothing_durable_and_holds_nothing_unproven() {
    // E8, W9.1, W9.3, W10.1, W23.2, W25.1, W30.1
    for before in [Before::Nothing, Before::Older, Before::Other] {
        for keep in [Keep::State, Keep::All] {
            check(&crash("sync", &Copy::new(before, keep), 1, 4));
        }
    }
}

#[test]
fn a_repair_ends_well_whenever_it_was_cut_off() {
    for harm in [Harm::Missing, Harm::Short, Harm::Flipped, Harm::Garbage] {
        check(&crash("repair", &Mending::new(150, harm, 0, 1), 5, 4));
        check(&crash("repair", &Mending::new(150, harm, 2, 4), 3, 4));
    }
}

#[test]
fn a_full_disk_costs_nothing_durable() {
    check(&fill("log", &Publisher::new(12), 300));
    for before in [Before::Nothing, Before::Older, Before::Other] {
        check(&fill("sync", &Copy::new(before, Keep::State), 1500));
    }
    check(&fill("repair", &Mending::new(150, Harm::Missing, 0, 1), 900));
}

#[test]
fn a_database_that_is_killed_at_random_is_a_map() {
    for name in [KINDS[0], "any-ordered-variable"] {
        check(&map::kills(Kind::parse(name, None).unwrap(), 1, 150));
    }
}
