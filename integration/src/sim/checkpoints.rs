//! Checkpoints among many nodes in virtual time: what each believes and passes on, over links that lose, delay and repeat
//! messages, and a network that falls into two parts and comes together again.
//!
//! Real are `node::gossip`, `node::trust`, what a signer keeps ([`Kept`]), and the signatures. Simulated are time, links, and of
//! gossipsub: that a message goes to all neighbours but its sender, and that one with the same bytes is looked at once. Not here is
//! what gossipsub does about losses, so it is harder here: what is lost comes by asking only.
//!
//! # Properties
//! 1. So long as enough signers reach each other, whoever reaches them goes on; nobody else does.
//! 2. When the parts are one again and nothing more is signed, all honest nodes have the newest checkpoint within
//!    [`SETTLES_WITHIN`].
//! 3. Nobody sees a fork, and nobody is blamed but who forges. What a node believes never goes back, restarts included.

mod graph;
mod scenario;

use self::graph::Graph;
pub use self::scenario::{Outcome, Scenario};
use cordee_node::checkpoints::Kept;
use cordee_node::gossip::{ASK_EVERY, Gossip, Passing, read_answer};
use cordee_node::signing::{key_of, sign};
use cordee_node::trust::{Policy, Trust, Verdict};
use cordee_protocol::codec::Encode;
use cordee_protocol::wire::checkpoint::{Checkpoint, Signed, Signers};
use cordee_protocol::{Digest, Location, Target};
use libp2p::identity::Keypair;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long all have to get to the newest checkpoint: six times the pause after which a node asks somebody.
pub const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// When the simulation begins, in seconds since 1970.
const EPOCH: u64 = 1_800_000_000;

/// Time between two checkpoints.
const SIGN_EVERY: Duration = Duration::from_secs(1);

/// The publisher, and the other one who has to agree.
const SIGNERS: [usize; 2] = [0, 1];

#[derive(Clone, Debug)]
enum Event {
    Announced { from: usize, to: usize, bytes: Vec<u8> },
    Asked { from: usize, to: usize },
    Answered { from: usize, to: usize, bytes: Vec<u8> },
    Sign,
    Cosign,
    AskSomebody(usize),
    Restart(usize),
    Healed,
    Met(usize, usize),
}

struct Node {
    gossip: Gossip<usize>,
    seen: BTreeSet<Digest>,
    signed: Option<Signed>,
    height: u64,
}

struct Town<'a> {
    scenario: &'a Scenario,
    chance: ChaCha8Rng,
    now: Duration,
    queue: BTreeMap<(Duration, u64), Event>,
    count: u64,
    graph: Graph,
    nodes: Vec<Node>,
    pairs: Vec<Keypair>,
    outcome: Outcome,
}

/// Run `scenario`.
pub fn run(scenario: &Scenario) -> Outcome {
    let mut chance = ChaCha8Rng::seed_from_u64(scenario.seed);
    let pairs: Vec<_> = (1..=3)
        .filter_map(|n| Keypair::ed25519_from_bytes([n; 32]).ok())
        .collect();
    let graph = Graph::new(scenario.nodes, scenario.liars, &mut chance);
    let node = |_| Node {
        gossip: Gossip::new(Trust::new(policy(&pairs))),
        seen: BTreeSet::new(),
        signed: None,
        height: 0,
    };
    let mut town = Town {
        scenario,
        chance,
        now: Duration::ZERO,
        queue: BTreeMap::new(),
        count: 0,
        graph,
        nodes: (0..scenario.nodes + scenario.liars).map(node).collect(),
        pairs: pairs.clone(),
        outcome: Outcome {
            settled: None,
            height: 0,
            parts: [0; 2],
            parted_at: 0,
            messages: 0,
            blamed_honest: BTreeSet::new(),
            blamed_liars: BTreeSet::new(),
            astray: BTreeSet::new(),
        },
    };
    town.run();
    town.outcome
}

/// Two of three have to agree; the third signs nothing.
fn policy(pairs: &[Keypair]) -> Policy {
    let keys = pairs
        .iter()
        .filter_map(|pair| key_of(&pair.public().to_peer_id()));
    let signers = Signers::new(2, keys.collect());
    Policy {
        network: "town".into(),
        kind: "any-unordered-variable".into(),
        signers: signers.unwrap_or_else(|| unreachable!("two of three keys are a set")),
        max_age: Duration::from_secs(3600),
    }
}

impl Town<'_> {
    fn run(&mut self) {
        self.after(SIGN_EVERY, Event::Sign);
        for node in 0..self.scenario.nodes {
            let first = ASK_EVERY.mul_f64(self.chance.random());
            self.after(first, Event::AskSomebody(node));
        }
        for _ in 0..self.scenario.restarts {
            let (node, at) = (
                self.chance.random_range(0..self.scenario.nodes),
                self.chance.random(),
            );
            self.after(self.scenario.until.mul_f64(at), Event::Restart(node));
        }
        self.after(self.scenario.parted.end, Event::Healed);
        let last = self.scenario.until.max(self.scenario.parted.end);
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > last + SETTLES_WITHIN {
                return;
            }
            self.now = at;
            self.on_event(event);
            let settled = || {
                self.nodes[..self.scenario.nodes]
                    .iter()
                    .all(|node| node.height == self.outcome.height)
            };
            if at > last && settled() {
                self.outcome.settled = Some(at - last);
                return;
            }
        }
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.count += 1;
        self.queue.insert((self.now + delay, self.count), event);
    }

    /// Over a link that may lose it, or bring it twice.
    fn send(&mut self, from: usize, to: usize, event: Event) {
        let copies = 1 + usize::from(self.chance.random_bool(self.scenario.twice));
        for _ in 0..copies {
            let delay = self.chance.random_range(self.scenario.delay.clone());
            if !self.chance.random_bool(self.scenario.loss) && !self.is_parted(from, to) {
                self.after(delay, event.clone());
            }
        }
    }

    fn is_parted(&self, a: usize, b: usize) -> bool {
        self.scenario.parted.contains(&self.now) && self.part(a) != self.part(b)
    }

    /// Which part a node is in while there are two: the publisher is in part 0.
    fn part(&self, node: usize) -> usize {
        match node {
            0 => 0,
            1 => usize::from(self.scenario.signers_apart),
            node => node % 2,
        }
    }

    fn is_liar(&self, node: usize) -> bool {
        node >= self.scenario.nodes
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Announced { from, to, bytes } => {
                if !self.is_parted(from, to) && self.graph.are_linked(from, to) {
                    self.outcome.messages += 1;
                    self.on_announced(from, to, &bytes);
                }
            }
            Event::Asked { from, to } => {
                if !self.is_parted(from, to) && self.graph.are_linked(from, to) {
                    let bytes = self.nodes[to].gossip.answer();
                    let (from, to) = (to, from);
                    self.send(from, to, Event::Answered { from, to, bytes });
                }
            }
            Event::Answered { from, to, bytes } => {
                for shown in read_answer(&bytes).unwrap_or_default() {
                    self.on_shown(from, to, shown);
                }
            }
            Event::Sign => self.publish(),
            Event::Cosign => self.cosign(),
            Event::AskSomebody(node) => {
                let peer = self.graph.any_neighbour(node, &mut self.chance);
                if let Some(peer) = peer {
                    self.ask(node, peer);
                }
                self.after(ASK_EVERY, Event::AskSomebody(node));
            }
            Event::Restart(node) => self.restart(node),
            Event::Healed => self.heal(),
            Event::Met(a, b) => {
                self.ask(a, b);
                self.ask(b, a);
            }
        }
    }

    fn ask(&mut self, from: usize, to: usize) {
        if !self.is_liar(from) {
            self.send(from, to, Event::Asked { from, to });
        }
    }

    fn on_announced(&mut self, from: usize, to: usize, bytes: &[u8]) {
        if !self.nodes[to].seen.insert(Digest::of(&[bytes])) {
            return;
        }
        if self.is_liar(to) {
            let mut forged = bytes.to_vec();
            if let Some(last) = forged.last_mut() {
                *last ^= 1;
            }
            return self.tell(to, Some(from), &forged);
        }
        if self.on_shown(from, to, bytes) == Passing::On {
            self.tell(to, Some(from), bytes);
        }
    }

    /// `to` looks at a checkpoint that `from` shows.
    fn on_shown(&mut self, from: usize, to: usize, bytes: &[u8]) -> Passing {
        let now = EPOCH + self.now.as_secs();
        let heard = self.nodes[to].gossip.on_message(self.now, now, from, bytes);
        if heard.passing == Passing::Blamed {
            // As a ban does.
            self.graph.cut(from, to);
            self.nodes[to].gossip.on_disconnected(&from);
            let liar = self.is_liar(from);
            let blamed = if liar {
                &mut self.outcome.blamed_liars
            } else {
                &mut self.outcome.blamed_honest
            };
            blamed.insert(from);
        }
        self.on_verdict(to, heard.verdict.as_ref());
        heard.passing
    }

    fn on_verdict(&mut self, node: usize, verdict: Option<&Verdict>) {
        let height = newest(&self.nodes[node].gossip);
        if height < self.nodes[node].height || verdict == Some(&Verdict::Fork) {
            self.outcome.astray.insert(node);
        }
        self.nodes[node].height = height;
        if node == SIGNERS[1] && verdict.is_some_and(Verdict::is_news) {
            // Once it has fetched what it signs.
            let delay = self.chance.random_range(self.scenario.delay.clone());
            self.after(delay, Event::Cosign);
        }
    }

    fn tell(&mut self, node: usize, but: Option<usize>, bytes: &[u8]) {
        self.nodes[node].seen.insert(Digest::of(&[bytes]));
        let neighbours: Vec<_> = self
            .graph
            .neighbours(node)
            .filter(|to| Some(*to) != but)
            .collect();
        for to in neighbours {
            let bytes = bytes.to_vec();
            self.send(
                node,
                to,
                Event::Announced {
                    from: node,
                    to,
                    bytes,
                },
            );
        }
    }

    fn publish(&mut self) {
        if self.now < self.scenario.until {
            self.after(SIGN_EVERY, Event::Sign);
        }
        let size = self.now.as_millis() as u64;
        let kept = self.kept(SIGNERS[0]);
        let checkpoint = Checkpoint {
            network: "town".into(),
            kind: "any-unordered-variable".into(),
            height: kept.height() + 1,
            target: target(size),
            time: EPOCH + self.now.as_secs(),
            next: None,
        };
        self.outcome.height = checkpoint.height;
        if self.now < self.scenario.parted.start {
            self.outcome.parted_at = checkpoint.height;
        }
        self.sign(0, checkpoint);
    }

    /// The second signer signs what it hears of, the lowest first.
    fn cosign(&mut self) {
        let node = SIGNERS[1];
        let own = key_of(&self.pairs[1].public().to_peer_id());
        let gathering = self.nodes[node].gossip.trust().gathering();
        let unsigned = |signed: &&&Signed| own.is_some_and(|own| !signed.signatures().contains_key(&own));
        let waiting = gathering.iter().filter(unsigned);
        let mut waiting: Vec<_> = waiting.map(|signed| signed.checkpoint().clone()).collect();
        waiting.sort_by_key(|checkpoint| checkpoint.height);
        for checkpoint in waiting {
            self.sign(1, checkpoint);
        }
    }

    fn sign(&mut self, signer: usize, checkpoint: Checkpoint) {
        let node = SIGNERS[signer];
        let kept = self.kept(node);
        let signed = sign(checkpoint, [&self.pairs[signer]]);
        let Some(signed) = signed.filter(|signed| kept.may_sign(signed.checkpoint())) else {
            return;
        };
        self.nodes[node].signed = Some(signed.clone());
        let verdict = self.nodes[node]
            .gossip
            .on_own(EPOCH + self.now.as_secs(), &signed);
        self.on_verdict(node, Some(&verdict));
        self.tell(node, None, &signed.to_vec());
    }

    fn kept(&self, node: usize) -> Kept {
        let node = &self.nodes[node];
        Kept::of(node.gossip.trust(), node.signed.clone())
    }

    /// All that a node knows is what it has kept.
    fn restart(&mut self, node: usize) {
        let kept = self.kept(node);
        let mut trust = Trust::new(policy(&self.pairs));
        trust.resume(kept.believed);
        self.nodes[node].gossip = Gossip::new(trust);
        self.nodes[node].seen.clear();
        self.on_verdict(node, None);
        let neighbours: Vec<_> = self.graph.neighbours(node).collect();
        for peer in neighbours {
            self.ask(node, peer);
            self.ask(peer, node);
        }
    }

    /// Whoever was apart connects again, within seconds.
    fn heal(&mut self) {
        for node in 0..self.scenario.nodes {
            let part = self.part(node);
            self.outcome.parts[part] = self.outcome.parts[part].max(self.nodes[node].height);
        }
        for (a, b) in self.graph.links() {
            if self.part(a) != self.part(b) {
                let delay = Duration::from_secs(5).mul_f64(self.chance.random());
                self.after(delay, Event::Met(a, b));
            }
        }
    }
}

fn newest(gossip: &Gossip<usize>) -> u64 {
    gossip
        .trust()
        .newest()
        .map_or(0, |signed| signed.checkpoint().height)
}

/// Of one log, whose root at a size is the size's digest.
fn target(size: u64) -> Target {
    let end = Location::new(size.max(1)).unwrap_or_default();
    let target = Target::new(Digest::of(&[&size.to_be_bytes()]), Location::ZERO..end);
    target.unwrap_or_else(|| unreachable!("a log of one operation or more has a target"))
}
