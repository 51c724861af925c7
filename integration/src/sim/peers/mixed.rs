//! One honest peer among 20; of the others each lies in a way that its seed draws, or behaves badly.

use crate::sim::lies::LIES;
use crate::sim::named::{named, peer};
use crate::sim::net::{Access, NodeId};
use crate::sim::peer::Conduct;
use crate::sim::scenario::PeerSpec;
use crate::sim::{Scenario, source::SourceId};
use cordee_protocol::Location;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Peers in all.
const PEERS: NodeId = 20;

/// What is bad about a peer that does not lie.
#[derive(Clone, Copy, Debug)]
enum Manner {
    OneOperation,
    TinyAnswers,
    Silence,
    SometimesSilent,
    HangsUp,
    Busy,
    Boasts,
    Drips,
    Stale,
    Slow,
    Goes,
}

const MANNERS: [Manner; 11] = [
    Manner::OneOperation,
    Manner::TinyAnswers,
    Manner::Silence,
    Manner::SometimesSilent,
    Manner::HangsUp,
    Manner::Busy,
    Manner::Boasts,
    Manner::Drips,
    Manner::Stale,
    Manner::Slow,
    Manner::Goes,
];

/// What `seed` draws: from 19 liars to 19 who only misbehave, with the honest one anywhere among them, there from the
/// beginning or later.
pub fn scenario(seed: u64) -> Scenario {
    let mut scenario = named("plain", seed).unwrap_or_else(|| unreachable!("it is one of the names"));
    scenario.name = "mixed".into();
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x6d69_7865);
    let honest = rng.random_range(0..PEERS);
    let liars = rng.random_range(0.2..1.0);
    let source = scenario.source;
    scenario.peers = (0..PEERS)
        .map(|id| {
            let mut spec = if id == honest {
                peer(id, source, Conduct::Honest)
            } else if rng.random_bool(liars) {
                peer(id, source, lie(&mut rng))
            } else {
                misbehaving(id, source, &mut rng)
            };
            spec.access.latency = millis(rng.random_range(1..80));
            if rng.random_bool(0.3) {
                spec.online[0].0 = millis(rng.random_range(0..8000));
            }
            spec
        })
        .collect();
    scenario.calm = Duration::from_secs(30);
    scenario
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Half of the liars lie always, the others now and then.
fn lie(rng: &mut ChaCha8Rng) -> Conduct {
    // The nodes of a testnet tell this one too.
    let lies = LIES.iter().copied().chain(["stale-target"]).collect::<Vec<_>>();
    let lie = lies.choose(rng).copied().unwrap_or("junk");
    let share = if rng.random_bool(0.5) {
        1.0
    } else {
        rng.random_range(0.05..1.0)
    };
    Conduct::Lies(lie, share)
}

fn misbehaving(id: NodeId, source: SourceId, rng: &mut ChaCha8Rng) -> PeerSpec {
    let mut spec = peer(id, source, Conduct::Honest);
    match MANNERS.choose(rng).copied().unwrap_or(Manner::Silence) {
        Manner::OneOperation => spec.conduct = Conduct::Short(1),
        Manner::TinyAnswers => spec.conduct = Conduct::Short(rng.random_range(2..8)),
        Manner::Silence => spec.conduct = Conduct::Silent(1.0),
        Manner::SometimesSilent => spec.conduct = Conduct::Silent(rng.random_range(0.1..0.9)),
        Manner::HangsUp => spec.conduct = Conduct::Disconnects(rng.random_range(0.1..1.0)),
        Manner::Busy => spec.conduct = Conduct::Busy(rng.random_range(0.3..1.0)),
        Manner::Boasts => spec.conduct = Conduct::Boasts(rng.random_range(1..2000)),
        Manner::Drips => spec.access.uplink = rng.random_range(10..1000),
        Manner::Stale => {
            let size = source.log().size().get();
            let stale = Location::new(rng.random_range(1..size)).unwrap_or_default();
            spec.holds.sizes = vec![(Duration::ZERO, stale)];
        }
        Manner::Slow => {
            spec.access = Access {
                uplink: rng.random_range(2000..20_000),
                loss: 0.1,
                breaks: 0.2,
                ..spec.access
            };
        }
        Manner::Goes => {
            let mut at = 0;
            for number in 0..10 {
                spec.online.push((millis(at), number % 2 == 0));
                at += rng.random_range(50..4000);
            }
        }
    }
    spec
}
