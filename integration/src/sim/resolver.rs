//! Asking peers over simulated links: what `cordee_resolver_p2p` does over libp2p, around the same policy.
//!
//! ```text
//!   Engine --get_operations--> SimResolver --on_ask--> [ Policy ] --Ask--> Net --> Peer
//!      |                            ^                    ^    ^              |
//!      +--- success_tx --- verdict -|--------------------+    +---- bytes <--+
//! ```
//! As there, what is not an answer of the asked shape goes back to the policy, a dropped future withdraws its request, and
//! a ban closes the connection and refuses it until the ban ends. [`Judge`] looks on and knows who lies.

use super::check::{Attempt, Judge};
use super::net::{NodeId, Transit};
use super::peer::{NETWORK, Reply};
use super::time::{Key, locked};
use super::world::World;
use bytes::Bytes;
use cordee_protocol::codec::{Decode, Encode};
use cordee_protocol::wire::{Answer, Ask, Status};
use cordee_protocol::{Digest, FetchResult, Location, Request, Resolver};
use cordee_resolver_p2p::policy::{Action, AttemptId, Config, Failure, FetchId, Policy, Receipt, Turn};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// How long a node waits before it dials again.
const REDIAL: Duration = Duration::from_millis(2500);

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
    waiting: BTreeMap<FetchId, mpsc::Sender<(NodeId, Bytes)>>,
    links: BTreeMap<NodeId, Link>,
    timer: Option<(Duration, Key)>,
    judge: Judge,
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
                progress: Duration::ZERO,
            }),
            suspect: Notify::new(),
            flips_verdicts: false,
        }
    }

    /// Its name.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Dial `peer`, and again whenever the connection is down.
    pub fn know(self: &Arc<Self>, peer: NodeId, address: Option<IpAddr>) {
        let (up, epoch) = (false, 0);
        locked(&self.state)
            .links
            .insert(peer, Link { address, up, epoch });
        self.dial_after(peer, Duration::ZERO);
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

    /// What the judge has seen.
    pub fn with_judge<T>(&self, look: impl FnOnce(&mut Judge) -> T) -> T {
        look(&mut locked(&self.state).judge)
    }

    /// Whether `peer` is banned now.
    pub fn is_banned(&self, peer: NodeId) -> bool {
        locked(&self.state).policy.ban(&peer).is_some()
    }

    fn dial_after(self: &Arc<Self>, peer: NodeId, delay: Duration) {
        let hub = Arc::clone(self);
        self.world.time.after(delay, move || hub.dial(peer));
    }

    fn dial(self: &Arc<Self>, peer: NodeId) {
        let reached = self.world.is_online(peer) && locked(&self.world.net).reaches(self.id, peer);
        let banned = self.is_banned(peer);
        if !reached || banned {
            return self.dial_after(peer, REDIAL);
        }
        let hub = Arc::clone(self);
        match locked(&self.world.net).send(self.id, peer, 200) {
            Transit::Arrives(at) => drop(self.world.time.at(at, move || hub.on_established(peer))),
            Transit::Breaks(at) => drop(self.world.time.at(at, move || hub.dial(peer))),
        }
    }

    fn on_established(self: &Arc<Self>, peer: NodeId) {
        let mut state = locked(&self.state);
        if state.policy.ban(&peer).is_some() || !self.world.is_online(peer) {
            drop(state);
            return self.dial_after(peer, REDIAL);
        }
        let Some(link) = state.links.get_mut(&peer).filter(|link| !link.up) else {
            return;
        };
        link.up = true;
        link.epoch += 1;
        let address = link.address;
        self.world.log(|| format!("{} connects to {peer}", self.id));
        state.policy.on_connected(self.world.time.now(), peer, address);
        self.pump(&mut state);
    }

    /// The connection to `peer` is down; `own`: this node closed it.
    pub fn on_closed(self: &Arc<Self>, peer: NodeId, own: bool) {
        let mut state = locked(&self.state);
        let Some(link) = state.links.get_mut(&peer).filter(|link| link.up) else {
            return;
        };
        link.up = false;
        link.epoch += 1;
        self.world.log(|| format!("{} loses {peer}", self.id));
        state.policy.on_disconnected(self.world.time.now(), peer, own);
        self.pump(&mut state);
        drop(state);
        self.dial_after(peer, REDIAL);
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
                state.judge.on_ban(&self.world, peer);
                if let Some(link) = state.links.get_mut(&peer).filter(|link| link.up) {
                    link.up = false;
                    link.epoch += 1;
                    state.policy.on_disconnected(now, peer, true);
                    self.dial_after(peer, REDIAL);
                }
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

    fn epoch(&self, state: &State, peer: NodeId) -> Option<u64> {
        state
            .links
            .get(&peer)
            .filter(|link| link.up)
            .map(|link| link.epoch)
    }

    fn send(self: &Arc<Self>, peer: NodeId, epoch: u64, purpose: Purpose, ask: &Ask) {
        let bytes = ask.to_vec();
        let hub = Arc::clone(self);
        let transit = locked(&self.world.net).send(self.id, peer, bytes.len());
        match transit {
            Transit::Arrives(at) => {
                self.world
                    .time
                    .at(at, move || hub.on_asked(peer, epoch, purpose, &bytes));
            }
            Transit::Breaks(at) => {
                self.world
                    .time
                    .at(at, move || hub.on_broken(peer, epoch, purpose));
            }
        }
    }

    /// The ask is with the peer.
    fn on_asked(self: &Arc<Self>, peer: NodeId, epoch: u64, purpose: Purpose, bytes: &[u8]) {
        let is_current = self.epoch(&locked(&self.state), peer) == Some(epoch);
        let Some(server) = self.world.peer(peer).filter(|_| is_current) else {
            return;
        };
        if let (Purpose::Status, Ok(ask)) = (purpose, Ask::from_slice(bytes)) {
            self.world.greet(self.id, peer, &ask);
        }
        match server.ask(bytes) {
            Reply::Nothing => {}
            Reply::Close => self.on_closed(peer, false),
            Reply::Answer(frame, thinks) => {
                let hub = Arc::clone(self);
                let answers = move || {
                    let bytes = frame.join();
                    let transit = locked(&hub.world.net).send(peer, hub.id, bytes.len());
                    let (time, hub) = (hub.world.time.clone(), Arc::clone(&hub));
                    match transit {
                        Transit::Arrives(at) => {
                            time.at(at, move || hub.on_answered(peer, epoch, purpose, bytes))
                        }
                        Transit::Breaks(at) => time.at(at, move || hub.on_broken(peer, epoch, purpose)),
                    };
                };
                self.world.time.after(thinks, answers);
            }
        }
    }

    fn on_broken(self: &Arc<Self>, peer: NodeId, epoch: u64, purpose: Purpose) {
        let mut state = locked(&self.state);
        if self.epoch(&state, peer) != Some(epoch) {
            return;
        }
        let now = self.world.time.now();
        match purpose {
            Purpose::Status => state.policy.on_status_failed(now, peer, false),
            Purpose::Range(attempt) => state.policy.on_failed(now, peer, attempt, Failure::Broken),
        }
        self.pump(&mut state);
    }

    /// The answer is here.
    fn on_answered(self: &Arc<Self>, peer: NodeId, epoch: u64, purpose: Purpose, bytes: Bytes) {
        let mut state = locked(&self.state);
        if self.epoch(&state, peer) != Some(epoch) {
            return;
        }
        let now = self.world.time.now();
        match purpose {
            Purpose::Status => match status_of(&bytes) {
                Some(status) => state.policy.on_status(now, peer, status),
                None => state.policy.on_status_failed(now, peer, false),
            },
            Purpose::Range(attempt) => {
                if let Some(fetch) = state.policy.on_delivered(now, peer, attempt, bytes.len() as u64) {
                    state.judge.on_delivered(bytes.len());
                    let sent = (state.waiting.get(&fetch))
                        .is_some_and(|waiting| waiting.try_send((peer, bytes)).is_ok());
                    if !sent {
                        state.policy.on_withdraw(now, fetch);
                    }
                }
            }
        }
        self.pump(&mut state);
    }

    fn on_verdict(self: &Arc<Self>, heard: &Heard, verdict: Option<bool>) {
        let now = self.world.time.now();
        let (id, peer, root) = (self.id, heard.peer, heard.root);
        self.world
            .log(|| format!("{id} says {verdict:?} to {peer} for {}", show(&heard.request)));
        let mut state = locked(&self.state);
        if verdict == Some(true) {
            state.progress = now;
        }
        if let Some(receipt) = &heard.receipt {
            state.policy.on_verdict(now, receipt, verdict);
        }
        self.judge(&mut state, peer, root, verdict);
        self.pump(&mut state);
    }

    fn judge(&self, state: &mut State, peer: NodeId, root: (Digest, Location), verdict: Option<bool>) {
        let State { judge, policy, .. } = state;
        let banned = |peer| policy.ban(&peer).is_some();
        match verdict {
            Some(true) => judge.on_verified(&self.world, root, banned),
            Some(false) => judge.on_refused(&self.world, peer, root, banned),
            None => {}
        }
    }
}

fn status_of(bytes: &Bytes) -> Option<Status> {
    let any = super::peer::status(String::new(), Location::ZERO, Location::ZERO);
    match Answer::decode(bytes, &Ask::Status(any)) {
        Ok(Answer::Status(status)) => Some(status),
        _ => None,
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
struct Heard {
    peer: NodeId,
    request: Request,
    root: (Digest, Location),
    receipt: Option<Receipt<NodeId>>,
}

/// The handle that an engine holds, for one attempt at a sync.
#[derive(Clone)]
pub struct SimResolver {
    hub: Arc<Hub>,
    attempt: Arc<Attempt>,
}

/// The simulation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the simulation is over")]
pub struct Over;

impl SimResolver {
    /// A handle for the attempt that `attempt` writes down.
    pub fn new(hub: Arc<Hub>, attempt: Arc<Attempt>) -> Self {
        Self { hub, attempt }
    }
}

impl Resolver for SimResolver {
    type Error = Over;

    async fn get_operations(&self, request: Request, root: Digest) -> Result<FetchResult, Over> {
        self.attempt.on_asked(&self.hub.world, &request);
        let mut fetch = Fetch::open(&self.hub, &self.attempt, request, root);
        let ask = Ask::Range(request);
        loop {
            let (peer, bytes) = fetch.answers.recv().await.ok_or(Over)?;
            let turn = match Answer::decode(&bytes, &ask) {
                Ok(Answer::Range(response)) => {
                    let (success_tx, verdict) = oneshot::channel();
                    fetch.accept(peer, response.operations.ends().len() as u64, verdict);
                    return Ok(FetchResult::new(response, success_tx));
                }
                Ok(Answer::Unavailable) => Turn::Unavailable,
                Ok(Answer::Busy(after)) => Turn::Busy(after),
                Ok(Answer::Refused) => Turn::Refused,
                Ok(Answer::Status(_)) | Err(_) => Turn::Malformed,
            };
            fetch.turn(peer, turn);
        }
    }
}

/// One request of an engine. Dropping it withdraws the request.
struct Fetch<'a> {
    hub: &'a Arc<Hub>,
    attempt: &'a Arc<Attempt>,
    id: FetchId,
    request: Request,
    root: (Digest, Location),
    answers: mpsc::Receiver<(NodeId, Bytes)>,
    accepted: bool,
}

impl<'a> Fetch<'a> {
    fn open(hub: &'a Arc<Hub>, attempt: &'a Arc<Attempt>, request: Request, root: Digest) -> Self {
        let (sender, answers) = mpsc::channel(1);
        let mut state = locked(&hub.state);
        let id = state.policy.on_ask(hub.world.time.now(), request, root);
        state.waiting.insert(id, sender);
        hub.pump(&mut state);
        drop(state);
        Self {
            hub,
            attempt,
            id,
            request,
            root: (root, request.size()),
            answers,
            accepted: false,
        }
    }

    fn turn(&self, peer: NodeId, turn: Turn) {
        let hub = self.hub;
        hub.world
            .log(|| format!("{} got {turn:?} from {peer} for {}", hub.id, show(&self.request)));
        let mut state = locked(&hub.state);
        state.policy.on_turned(hub.world.time.now(), self.id, turn);
        if turn == Turn::Malformed {
            hub.judge(&mut state, peer, self.root, Some(false));
        }
        hub.pump(&mut state);
    }

    fn accept(&mut self, peer: NodeId, operations: u64, verdict: oneshot::Receiver<bool>) {
        self.accepted = true;
        let hub = Arc::clone(self.hub);
        let mut state = locked(&hub.state);
        state.waiting.remove(&self.id);
        let receipt = state
            .policy
            .on_accepted(hub.world.time.now(), self.id, operations);
        hub.pump(&mut state);
        drop(state);
        let heard = Heard {
            peer,
            request: self.request,
            root: self.root,
            receipt,
        };
        let (attempt, generation) = (Arc::clone(self.attempt), self.attempt.generation());
        attempt.on_closed(&self.request);
        self.hub.world.time.spawn_task(async move {
            let mut verdict = verdict.await.ok();
            if verdict == Some(true) {
                attempt.on_verified(&hub.world, generation, &heard.request, operations);
            }
            if hub.flips_verdicts {
                verdict = verdict.map(|verdict| !verdict);
            }
            hub.on_verdict(&heard, verdict);
        });
    }
}

impl Drop for Fetch<'_> {
    fn drop(&mut self) {
        if self.accepted {
            return;
        }
        self.attempt.on_closed(&self.request);
        let mut state = locked(&self.hub.state);
        state.waiting.remove(&self.id);
        state.policy.on_withdraw(self.hub.world.time.now(), self.id);
        self.hub.pump(&mut state);
    }
}
