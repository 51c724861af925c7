//! Who must not be banned, who must stay banned, and what must not become suspect.

use super::mixed;
use crate::sim::named::{named, peer};
use crate::sim::peer::Conduct;
use crate::sim::{Scenario, lies::LIES};
use cordee_protocol::{Digest, Target};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn plain(name: &str, seed: u64) -> (Scenario, ChaCha8Rng) {
    let mut scenario = named("plain", seed).unwrap_or_else(|| unreachable!("it is one of the names"));
    scenario.name = name.into();
    (scenario, ChaCha8Rng::seed_from_u64(seed ^ 0x6a75_6467))
}

/// P20: 1 to 20 honest peers, or 20 of any conduct at every fourth seed, and a target that is wrong at first.
pub fn wrong_target(seed: u64) -> Scenario {
    let (mut scenario, mut rng) = plain("wrong-target", seed);
    let source = scenario.source;
    if seed % 4 == 3 {
        scenario.peers = mixed::scenario(seed).peers;
    } else {
        let count = 1 + (seed % 20) as u32;
        scenario.peers = (0..count)
            .map(|id| {
                let mut spec = peer(id, source, Conduct::Honest);
                spec.access.latency = millis(rng.random_range(1..200));
                spec.access.uplink = 1 << rng.random_range(15..23);
                spec
            })
            .collect();
    }
    let joiner = &mut scenario.joiners[0];
    joiner.wrong = Target::new(Digest::of(&[b"wrong"]), joiner.target.range());
    scenario.calm = Duration::from_secs(90);
    scenario
}

/// P20: three Sybils answer falsely before the honest peer can. At even seeds they share an address prefix, and the honest
/// one comes up to 50 s later; at odd seeds they are from anywhere, and it is only slower: connected, with its answer on the
/// way.
pub fn sybils(seed: u64) -> Scenario {
    let (mut scenario, mut rng) = plain("sybils", seed);
    let source = scenario.source;
    let share_prefix = seed.is_multiple_of(2);
    scenario.peers = (0..3)
        .map(|id| {
            let lie = LIES
                .iter()
                .filter(|lie| !lie.ends_with("pinned") && **lie != "another-history");
            let lies: Vec<_> = lie.copied().collect();
            let lie = lies.choose(&mut rng).copied().unwrap_or("junk");
            let mut spec = peer(id, source, Conduct::Lies(lie, 1.0));
            spec.access.latency = millis(1);
            spec.address = share_prefix.then(|| [198, 51, 100, 1 + id as u8].into());
            spec
        })
        .collect();
    let mut honest = peer(3, source, Conduct::Honest);
    honest.address = Some([203, 0, 113, 1].into());
    if share_prefix {
        honest.online = vec![(millis(rng.random_range(0..50_000)), true)];
    } else {
        honest.access.latency = millis(rng.random_range(50..1000));
        honest.thinks = millis(rng.random_range(0..2000));
    }
    scenario.peers.push(honest);
    scenario.calm = Duration::from_secs(60);
    scenario
}

/// P19, P22: three liars come and go every few seconds while a slow honest peer serves; bans last a minute, as in a
/// testnet, so that some end on the way.
pub fn reconnecting(seed: u64) -> Scenario {
    let (mut scenario, mut rng) = plain("reconnecting", seed);
    let source = scenario.source;
    let mut honest = peer(0, source, Conduct::Honest);
    honest.access.uplink = 1500;
    scenario.peers = vec![honest];
    for id in 1..4 {
        let mut liar = peer(id, source, Conduct::Lies("flipped-operation", 1.0));
        let mut at = 0;
        liar.online = (0..120)
            .map(|number| {
                at += rng.random_range(500..4000);
                (millis(at), number % 2 == 0)
            })
            .collect();
        scenario.peers.push(liar);
    }
    scenario.joiners[0].policy.trust.ban_for = Duration::from_secs(60);
    scenario.calm = Duration::from_secs(300);
    scenario
}

/// P14, P17: an honest peer with 5 KB/s and 2 s of latency: alone at every fourth seed, else with up to three others, of
/// which some lie.
pub fn slow(seed: u64) -> Scenario {
    let (mut scenario, mut rng) = plain("slow", seed);
    let source = scenario.source;
    let mut slow = peer(0, source, Conduct::Honest);
    slow.access.latency = Duration::from_secs(2);
    slow.access.uplink = 5000;
    scenario.peers = vec![slow];
    for id in 1..=(seed % 4) as u32 {
        let conduct = match rng.random_range(0..3) {
            0 => Conduct::Lies("flipped-operation", 0.3),
            1 => Conduct::Silent(0.3),
            _ => Conduct::Honest,
        };
        let mut other = peer(id, source, conduct);
        other.access.uplink = 1 << rng.random_range(13..23);
        scenario.peers.push(other);
    }
    scenario.calm = Duration::from_secs(600);
    scenario
}
