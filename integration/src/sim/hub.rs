//! What a node knows of those it asks: the policy, its connections, and what is done when the policy says so.
//!
//! As `cordee_resolver_p2p`'s behaviour does around the same policy: a ban closes the connection and refuses it until the
//! ban ends, statuses are asked for and answered, a timer follows [`Policy::poll_timeout`]. [`Judge`] looks on.

mod links;

use super::check::{Judge, Root};
use super::net::NodeId;
use super::peer::NETWORK;
use super::resolver::Delivery;
use super::time::{Key, locked};
use super::traffic::Traffic;
use super::world::World;
use cordee_protocol::wire::{Ask, Status};
use cordee_protocol::{Digest, Request};
use cordee_resolver_p2p::policy::{Action, AttemptId, Config, Failure, FetchId, Policy, Receipt, Turn};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// What a node knows of those it asks: the policy, its connections, and who waits for what.
pub struct Hub {
    id: NodeId,
    world: Arc<World>,
    state: Mutex<State>,
    /// Told when the policy calls a root suspect.
    pub suspect: Notify,
    /// Turn every verdict round, to see that somebody notices.
    pub flips_verdicts: bool,
}

struct State {
    policy: Policy<NodeId>,
    waiting: BTreeMap<FetchId, mpsc::Sender<Delivery>>,
    links: BTreeMap<NodeId, Link>,
    timer: Option<(Duration, Key)>,
    judge: Judge,
    traffic: Traffic,
    /// Banned, and let in to show that they can tell the truth.
    paroled: BTreeSet<NodeId>,
    progress: Duration,
}

/// A connection, or its absence.
struct Link {
    address: Option<IpAddr>,
    up: bool,
    /// Rises whenever it comes up or goes down: what belongs to an earlier one is dropped.
    epoch: u64,
}

#[derive(Clone, Copy)]
enum Purpose {
    Status,
    Range(AttemptId),
}

impl Hub {
    /// A node that is connected to nobody.
    pub fn new(
        id: NodeId,
        world: &Arc<World>,
        kind: String,
        config: Config,
        judge: Judge,
        seed: u64,
    ) -> Self {
        Self {
            id,
            world: Arc::clone(world),
            state: Mutex::new(State {
                policy: Policy::new(NETWORK.into(), kind, config, seed),
                waiting: BTreeMap::new(),
                links: BTreeMap::new(),
                timer: None,
                judge,
                traffic: Traffic::default(),
                paroled: BTreeSet::new(),
                progress: Duration::ZERO,
            }),
            suspect: Notify::new(),
            flips_verdicts: false,
        }
    }

    /// The world that it is in.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Its name.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Whom it is connected to.
    pub fn connected(&self) -> Vec<NodeId> {
        let state = locked(&self.state);
        state
            .links
            .iter()
            .filter(|(_, link)| link.up)
            .map(|(peer, _)| *peer)
            .collect()
    }

    /// Why nothing moves.
    pub fn why(&self) -> Option<String> {
        locked(&self.state).policy.why(self.world.time.now())
    }

    /// When an answer last verified.
    pub fn progress(&self) -> Duration {
        locked(&self.state).progress
    }

    /// What was asked for and what came, so far.
    pub fn traffic(&self) -> Traffic {
        locked(&self.state).traffic.clone()
    }

    /// What the judge has seen.
    pub fn with_judge<T>(&self, look: impl FnOnce(&mut Judge) -> T) -> T {
        look(&mut locked(&self.state).judge)
    }

    /// Whether `peer` may be connected to now.
    fn admits(state: &State, peer: NodeId) -> bool {
        let address = state.links.get(&peer).and_then(|link| link.address);
        state.policy.admit(&peer, address).is_ok()
    }

    /// `peer`, asking for this node's status, told its own.
    pub fn on_greeted(self: &Arc<Self>, peer: NodeId, status: &Status) {
        let mut state = locked(&self.state);
        if state.links.get(&peer).is_some_and(|link| link.up) {
            state
                .policy
                .on_status(self.world.time.now(), peer, status.clone());
            self.pump(&mut state);
        }
    }

    /// Carry out what the policy decided, look at its invariant, and set its timer.
    fn pump(self: &Arc<Self>, state: &mut State) {
        let now = self.world.time.now();
        while let Some(action) = state.policy.poll_action() {
            self.carry_out(now, state, action);
        }
        let (slots, asked, sum) = state.policy.slots();
        if slots != asked || asked != sum {
            self.world.fail(format!(
                "P3: node {}: {slots} slots, {asked} requests, {sum} over peers",
                self.id
            ));
        }
        let due = state.policy.poll_timeout(now);
        if due == state.timer.map(|(at, _)| at) {
            return;
        }
        if let Some((_, key)) = state.timer.take() {
            self.world.time.cancel(key);
        }
        state.timer = due.map(|at| {
            let hub = Arc::clone(self);
            (at, self.world.time.at(at, move || hub.on_timer()))
        });
    }

    fn on_timer(self: &Arc<Self>) {
        let mut state = locked(&self.state);
        state.timer = None;
        state.policy.on_timeout(self.world.time.now());
        self.pump(&mut state);
    }

    fn carry_out(self: &Arc<Self>, now: Duration, state: &mut State, action: Action<NodeId>) {
        match action {
            Action::Ask {
                peer,
                attempt,
                request,
            } => match self.epoch(state, peer) {
                Some(epoch) => {
                    if state.policy.ban(&peer).is_some() && !state.paroled.contains(&peer) {
                        self.world
                            .fail(format!("P22: {peer} is banned, and {} asks it", self.id));
                    }
                    state.traffic.on_asked(now, peer);
                    self.world
                        .log(|| format!("{} asks {peer} for {}", self.id, show(&request)));
                    self.send(peer, epoch, Purpose::Range(attempt), &Ask::Range(request));
                }
                None => state.policy.on_failed(now, peer, attempt, Failure::Local),
            },
            Action::AskStatus { peer } => {
                let own = self.world.peer(self.id).map(|own| own.status());
                if let (Some(epoch), Some(own)) = (self.epoch(state, peer), own) {
                    self.send(peer, epoch, Purpose::Status, &Ask::Status(own));
                }
            }
            Action::Ban { peer, ban } => {
                self.world
                    .log(|| format!("{} bans {peer}: it {}", self.id, ban.reason.sentence()));
                state.paroled.remove(&peer);
                state.judge.on_ban(&self.world, peer);
                self.disconnect(now, state, peer);
            }
            Action::Unban { peer } => {
                state.paroled.remove(&peer);
                self.world.count("bans that ended", 1);
            }
            Action::Revoke { peer } => {
                state.paroled.remove(&peer);
                self.disconnect(now, state, peer);
            }
            Action::Parole { peer } => {
                state.paroled.insert(peer);
                self.world.log(|| format!("{} lets {peer} in again", self.id));
                self.world.count("paroles", 1);
            }
            Action::Stuck { after, peers } => {
                self.world
                    .log(|| format!("{} is stuck for {after:?}: {peers:?}", self.id));
            }
            Action::Suspect { root, peers } => {
                self.world.log(|| {
                    format!(
                        "{} suspects the root of size {}: {peers:?} failed",
                        self.id, root.1
                    )
                });
                state.judge.on_suspect(&self.world, root);
                self.suspect.notify_one();
            }
            Action::Penalised { peer, offence } => {
                self.world
                    .log(|| format!("{} penalises {peer}: it {}", self.id, offence.sentence()));
                self.world.count(&format!("penalty: {}", offence.label()), 1);
            }
            // What is only told to people.
            _ => {}
        }
    }

    fn disconnect(self: &Arc<Self>, now: Duration, state: &mut State, peer: NodeId) {
        if let Some(link) = state.links.get_mut(&peer).filter(|link| link.up) {
            link.up = false;
            link.epoch += 1;
            state.policy.on_disconnected(now, peer, true);
            self.dial_after(peer, links::REDIAL);
        }
    }

    /// An engine asks; answers go to `answers`.
    pub(super) fn ask(
        self: &Arc<Self>,
        request: Request,
        root: Digest,
        answers: mpsc::Sender<Delivery>,
    ) -> FetchId {
        let mut state = locked(&self.state);
        let id = state.policy.on_ask(self.world.time.now(), request, root);
        state.waiting.insert(id, answers);
        self.pump(&mut state);
        id
    }

    /// What came for `id` is not an answer of the asked shape.
    pub(super) fn turn(
        self: &Arc<Self>,
        id: FetchId,
        peer: NodeId,
        request: &Request,
        root: Root,
        turn: Turn,
        bytes: usize,
    ) {
        self.world
            .log(|| format!("{} got {turn:?} from {peer} for {}", self.id, show(request)));
        let mut state = locked(&self.state);
        if turn == Turn::Malformed {
            state.traffic.false_bytes += bytes as u64;
        }
        state.policy.on_turned(self.world.time.now(), id, turn);
        if turn == Turn::Malformed {
            self.judge(&mut state, peer, root, Some(false));
        }
        self.pump(&mut state);
    }

    /// What came for `id` goes to the engine.
    pub(super) fn accept(self: &Arc<Self>, id: FetchId, operations: u64) -> Option<Receipt<NodeId>> {
        let mut state = locked(&self.state);
        state.waiting.remove(&id);
        let receipt = state.policy.on_accepted(self.world.time.now(), id, operations);
        self.pump(&mut state);
        receipt
    }

    /// Nobody waits for `id` any more.
    pub(super) fn withdraw(self: &Arc<Self>, id: FetchId) {
        let mut state = locked(&self.state);
        state.waiting.remove(&id);
        state.policy.on_withdraw(self.world.time.now(), id);
        self.pump(&mut state);
    }

    /// The engine's verdict on what it was given.
    pub(super) fn on_verdict(self: &Arc<Self>, heard: &Heard, verdict: Option<bool>) {
        let now = self.world.time.now();
        let (id, peer, root) = (self.id, heard.peer, heard.root);
        self.world
            .log(|| format!("{id} says {verdict:?} to {peer} for {}", show(&heard.request)));
        let mut state = locked(&self.state);
        match verdict {
            Some(true) => {
                state.progress = now;
                state.traffic.on_verified(now, peer, heard.bytes as u64);
            }
            Some(false) => state.traffic.false_bytes += heard.bytes as u64,
            None => {}
        }
        if let Some(receipt) = &heard.receipt {
            state.policy.on_verdict(now, receipt, verdict);
        }
        self.judge(&mut state, peer, root, verdict);
        self.pump(&mut state);
    }

    fn judge(&self, state: &mut State, peer: NodeId, root: Root, verdict: Option<bool>) {
        let State { judge, policy, .. } = state;
        let banned = |peer| policy.ban(&peer).is_some();
        match verdict {
            Some(true) => judge.on_verified(&self.world, root, banned),
            Some(false) => judge.on_refused(&self.world, peer, root, banned),
            None => {}
        }
    }
}

fn show(request: &Request) -> String {
    let range = request.range();
    format!(
        "{:?} {}..{} of {}",
        request.kind(),
        range.start,
        range.end,
        request.size()
    )
}

/// An answer that was handed to the engine.
pub(super) struct Heard {
    pub(super) peer: NodeId,
    pub(super) request: Request,
    pub(super) root: Root,
    /// Of the answer.
    pub(super) bytes: usize,
    pub(super) receipt: Option<Receipt<NodeId>>,
}
