//! From a scenario to what came of it.

use super::check::Judge;
use super::copy::Copy;
use super::hub::Hub;
use super::joiner::{Joiner, PATIENCE};
use super::net::NodeId;
use super::peer::{Conduct, Peer, Served};
use super::report::Report;
use super::scenario::{Flaw, PeerSpec, Scenario};
use super::time::{Bounds, Ran};
use super::world::World;
use cordee_protocol::Target;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked at whether everybody gets on.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How much longer than its disturbances a simulation may take.
const AFTERWARDS: Duration = Duration::from_secs(900);

/// Events and polls after which something goes in circles: a usual run has some ten thousand.
const MOST_STEPS: u64 = 3_000_000;

/// Run `scenario` to its end.
///
/// - `logs`: whether events are written down.
pub fn run(scenario: &Scenario, logs: bool) -> Report {
    let world = World::new(scenario.seed, scenario.partitions.clone(), logs);
    for peer in &scenario.peers {
        add_peer(&world, scenario, peer);
    }
    let joiners: Vec<_> = scenario
        .joiners
        .iter()
        .map(|spec| add_joiner(&world, scenario, spec))
        .collect();
    for joiner in &joiners {
        for peer in &scenario.peers {
            joiner.hub().know(peer.id, peer.address);
        }
        for other in joiners.iter().filter(|other| other.id() != joiner.id()) {
            if other.spec().serves {
                joiner.hub().know(other.id(), None);
            }
        }
        joiner.start();
    }
    for partition in &scenario.partitions {
        // What hears nothing for so long is closed.
        let closes = partition.during.start + Duration::from_secs(10);
        if closes < partition.during.end {
            let (world_then, side) = (Arc::clone(&world), partition.side.clone());
            world.time.at(closes, move || {
                world_then.cut(|a, b| side.contains(&a) != side.contains(&b));
            });
        }
    }
    world.count("fault: partition", scenario.partitions.len() as u64);
    look_after(&world, scenario.peers.clone(), joiners.clone(), scenario.clone());
    let bounds = Bounds {
        until: scenario.calm + AFTERWARDS,
        steps: MOST_STEPS,
    };
    let ran = world.time.run(bounds, || {
        world.has_failed() || joiners.iter().all(|joiner| joiner.is_done())
    });
    if !world.has_failed() && ran != Ran::Done {
        for joiner in joiners.iter().filter(|joiner| !joiner.is_done()) {
            let why = joiner.hub().why();
            world.fail(format!("node {}: {ran:?}, waiting because {why:?}", joiner.id()));
        }
    }
    world.time.clear();
    report(scenario, &world, &joiners)
}

fn add_peer(world: &Arc<World>, scenario: &Scenario, spec: &PeerSpec) {
    let boast = match spec.conduct {
        Conduct::Boasts(by) => by,
        _ => 0,
    };
    let served = Served::new(world.time.clone(), spec.holds.clone(), boast);
    let seed = scenario.seed.wrapping_mul(1 << 20) ^ u64::from(spec.id);
    let other = scenario.other.log();
    super::time::locked(&world.net).add(spec.id, spec.access);
    world.add_peer(Peer::new(
        spec.id,
        spec.conduct.clone(),
        spec.thinks,
        Arc::new(served),
        &other,
        seed,
    ));
    for (number, (at, online)) in spec.online.iter().copied().enumerate() {
        let (id, then) = (spec.id, Arc::clone(world));
        world.time.at(at, move || then.set_online(id, online));
        if number > 0 && !online {
            world.count("fault: peer goes away", 1);
        }
    }
}

fn add_joiner(world: &Arc<World>, scenario: &Scenario, spec: &super::scenario::JoinerSpec) -> Arc<Joiner> {
    let liars = scenario.peers.iter().filter(|peer| peer.conduct.lies());
    let liars = match scenario.flaw {
        Some(Flaw::HonestLiars) => Default::default(),
        _ => liars.map(|peer| peer.id).collect(),
    };
    let source = scenario.source.log();
    let judge = Judge::new(Arc::clone(&source), liars);
    let seed = scenario.seed ^ u64::from(spec.id) << 32;
    let kind = source.kind.to_string();
    let mut hub = Hub::new(spec.id, world, kind.clone(), spec.policy.clone(), judge, seed);
    hub.flips_verdicts = scenario.flaw == Some(Flaw::FlippedVerdicts);
    let hub = Arc::new(hub);
    world.add_hub(&hub);
    super::time::locked(&world.net).add(spec.id, spec.access);
    let served = Arc::new(Copy::new(kind));
    let honest = Arc::clone(&served);
    let other = scenario.other.log();
    world.add_peer(Peer::new(
        spec.id,
        Conduct::Honest,
        Duration::from_micros(300),
        honest,
        &other,
        seed,
    ));
    world.set_online(spec.id, true);
    Joiner::new(spec.clone(), scenario, world, hub, served)
}

/// Property 5: whoever could be helped gets on.
fn look_after(world: &Arc<World>, peers: Vec<PeerSpec>, joiners: Vec<Arc<Joiner>>, scenario: Scenario) {
    let then = Arc::clone(world);
    world.time.after(LOOK_EVERY, move || {
        let now = then.time.now();
        for joiner in joiners.iter().filter(|joiner| !joiner.is_done()) {
            let waited = now.saturating_sub(joiner.since());
            let able =
                (peers.iter()).find(|peer| could_help(peer, joiner.id(), &joiner.target(), &scenario, now));
            if let Some(able) = able.filter(|_| waited > PATIENCE && joiner.spec().starts + PATIENCE < now) {
                let why = joiner
                    .hub()
                    .why()
                    .unwrap_or_else(|| "something is under way".into());
                let (id, able) = (joiner.id(), able.id);
                then.fail(format!(
                    "node {id} is stuck for {waited:?}, though {able} could help: {why}"
                ));
            }
        }
        look_after(&then, peers, joiners, scenario);
    });
}

/// Whether `peer` could have answered anything about `target` for as long as [`PATIENCE`].
fn could_help(peer: &PeerSpec, joiner: NodeId, target: &Target, scenario: &Scenario, now: Duration) -> bool {
    let since = now.saturating_sub(PATIENCE);
    let answers = matches!(peer.conduct, Conduct::Honest | Conduct::Short(_));
    let good_link = peer.access.uplink >= 16 << 10 && peer.access.loss < 0.2;
    let before = peer.online.iter().take_while(|(at, _)| *at <= since).last();
    let there = before.is_some_and(|(_, online)| *online)
        && !peer
            .online
            .iter()
            .any(|(at, online)| !online && (since..now).contains(at));
    let size = peer.holds.sizes.iter().take_while(|(at, _)| *at <= since).last();
    let holds = peer.holds.oldest <= target.start() && size.is_some_and(|(_, size)| *size >= target.end());
    let parted = scenario.partitions.iter().any(|partition| {
        let separates = partition.side.contains(&peer.id) != partition.side.contains(&joiner);
        separates && partition.during.start < now && since < partition.during.end
    });
    answers && good_link && there && holds && !parted && peer.holds.source == scenario.source
}

fn report(scenario: &Scenario, world: &World, joiners: &[Arc<Joiner>]) -> Report {
    let mut report = Report {
        name: scenario.name.clone(),
        seed: scenario.seed,
        runs: 1,
        virtual_time: world.time.now(),
        longest: (world.time.now(), scenario.seed),
        steps: world.time.steps(),
        ..Report::default()
    };
    if let [only] = joiners {
        report.traffic = only.hub().traffic();
        report.traffic.forget_sums();
    }
    for joiner in joiners {
        let totals = joiner.totals();
        report.fetched += totals.fetched;
        report.again += totals.again;
        report.requests += totals.requests;
        report.traffic.add(&joiner.hub().traffic());
        joiner.hub().with_judge(|judge| {
            let wrong = judge.wronged() as u64;
            report.bans_wrong += wrong;
            report.bans_right += judge.banned().len() as u64 - wrong;
            report.suspected_after = report.suspected_after.max(judge.suspected_after());
        });
        report.synced += u64::from(joiner.is_done())
            * joiner
                .target()
                .range()
                .end
                .get()
                .saturating_sub(joiner.target().start().get());
    }
    for peer in world.peers() {
        report.bytes += super::time::locked(&world.net).sent(peer.id).bytes;
        let sent = super::time::locked(&world.net).sent(peer.id);
        world.count("fault: lost message", sent.stalled);
        world.count("fault: broken stream", sent.broken);
        world.count(
            &format!(
                "peers: {}",
                if peer.conduct.lies() {
                    "liar"
                } else {
                    peer.conduct.name()
                }
            ),
            1,
        );
        if !peer.conduct.lies() {
            continue;
        }
        let row = report.liars.entry(peer.conduct.name()).or_default();
        row.peers += 1;
        row.told += peer.told();
        for joiner in joiners {
            joiner.hub().with_judge(|judge| {
                row.heard += u64::from(judge.refused().contains_key(&peer.id));
                row.banned += u64::from(judge.banned().contains(&peer.id));
            });
        }
    }
    report.counts = world.take_counts();
    report.events = world.take_events();
    let failures = world.take_failures();
    if !failures.is_empty() {
        report
            .failures
            .push((scenario.seed, scenario.name.clone(), failures));
    }
    report
}
