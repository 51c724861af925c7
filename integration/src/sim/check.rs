//! What must hold, during a run and after it.
//!
//! [`Judge`] watches verdicts and bans and knows who lies. [`Attempt`] watches what one attempt at a sync asks for.
//! [`database`] compares what came out with the source. Each finding goes to [`World::fail`] with the number of the
//! requirement.

use super::net::NodeId;
use super::source::SourceLog;
use super::time::locked;
use super::world::World;
use cordee_protocol::db::{Db, Family};
use cordee_protocol::log::Journal;
use cordee_protocol::mmr::Nodes;
use cordee_protocol::wire::Kind;
use cordee_protocol::{Digest, Elements, Location, Position, Request, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A root and the size it is over.
pub type Root = (Digest, Location);

/// Sees that verdicts and bans are just: P10, P17, P20.
pub struct Judge {
    source: Arc<SourceLog>,
    liars: BTreeSet<NodeId>,
    /// Roots under which an answer has verified.
    proven: BTreeSet<Root>,
    /// Roots that were called suspect: what was held under them is cancelled.
    suspect: BTreeSet<Root>,
    /// Who was refused under a root that is neither.
    held: BTreeMap<Root, BTreeSet<NodeId>>,
    refused: BTreeMap<NodeId, u64>,
    banned: BTreeSet<NodeId>,
    /// When an answer under a root was first refused.
    since: BTreeMap<Root, Duration>,
    /// How long after that roots were called suspect, at most.
    suspected_after: Option<Duration>,
    largest: usize,
}

impl Judge {
    /// A judge who knows that `liars` lie and everybody else serves `source`.
    pub fn new(source: Arc<SourceLog>, liars: BTreeSet<NodeId>) -> Self {
        Self {
            source,
            liars,
            proven: BTreeSet::new(),
            suspect: BTreeSet::new(),
            held: BTreeMap::new(),
            refused: BTreeMap::new(),
            banned: BTreeSet::new(),
            since: BTreeMap::new(),
            suspected_after: None,
            largest: 0,
        }
    }

    /// An answer of so many bytes came.
    pub fn on_delivered(&mut self, bytes: usize) {
        self.largest = self.largest.max(bytes);
    }

    /// The policy was told that `peer` gave a false answer; `banned` says whom it bans now.
    pub fn on_refused(&mut self, world: &World, peer: NodeId, root: Root, banned: impl Fn(NodeId) -> bool) {
        *self.refused.entry(peer).or_default() += 1;
        self.since.entry(root).or_insert_with(|| world.time.now());
        if !self.liars.contains(&peer) && self.source.has_root(&root.0, root.1) {
            world.fail(format!(
                "P10: honest peer {peer} was told false at size {}",
                root.1
            ));
        }
        if self.proven.contains(&root) {
            if !banned(peer) {
                world.fail(format!("P10: {peer} lied under a proven root and is not banned"));
            }
        } else if !self.suspect.contains(&root) {
            self.held.entry(root).or_default().insert(peer);
        }
    }

    /// The policy was told that an answer under `root` is true.
    pub fn on_verified(&mut self, world: &World, root: Root, banned: impl Fn(NodeId) -> bool) {
        if !self.proven.insert(root) {
            return;
        }
        for peer in self.held.remove(&root).unwrap_or_default() {
            if !banned(peer) {
                world.fail(format!(
                    "P20: {peer} lied, the root is proven now, and it is not banned"
                ));
            }
        }
    }

    /// The policy bans `peer`.
    pub fn on_ban(&mut self, world: &World, peer: NodeId) {
        self.banned.insert(peer);
        if !self.liars.contains(&peer) {
            world.fail(format!("P17: honest peer {peer} is banned"));
        }
    }

    /// The policy calls `root` suspect.
    pub fn on_suspect(&mut self, world: &World, root: Root) {
        world.count("roots called suspect", 1);
        if self.proven.contains(&root) {
            world.fail(format!(
                "P20: the proven root of size {} is called suspect",
                root.1
            ));
        }
        if let Some(since) = self.since.get(&root) {
            let after = world.time.now().saturating_sub(*since);
            self.suspected_after = self.suspected_after.max(Some(after));
        }
        self.suspect.insert(root);
        self.held.remove(&root);
    }

    /// Whether a root of this target was called suspect.
    pub fn suspects(&self, target: &Target) -> bool {
        self.suspect.contains(&(*target.root(), target.end()))
    }

    /// Who was ever banned.
    pub fn banned(&self) -> &BTreeSet<NodeId> {
        &self.banned
    }

    /// How often each peer was told false.
    pub fn refused(&self) -> &BTreeMap<NodeId, u64> {
        &self.refused
    }

    /// Who was ever banned and never lied.
    pub fn wronged(&self) -> usize {
        self.banned.difference(&self.liars).count()
    }

    /// The longest time from the first refused answer under a root until that root was called suspect, if one was.
    pub fn suspected_after(&self) -> Option<Duration> {
        self.suspected_after
    }

    /// The largest answer so far, in bytes.
    pub fn largest(&self) -> usize {
        self.largest
    }
}

/// What one attempt at a sync has asked for and holds: W3, W16, W22.
pub struct Attempt {
    /// Requests that may be open, the boundary included.
    most: usize,
    state: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    held: BTreeSet<Location>,
    generation: u64,
    open: usize,
    counts: Counts,
}

/// How much an attempt fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations that verified, without those of boundary requests.
    pub fetched: u64,
    /// Of these, operations that were held already.
    pub again: u64,
    /// Requests.
    pub requests: u64,
}

impl Attempt {
    /// An attempt that holds `held` from before.
    pub fn new(most: usize, held: Range<Location>) -> Self {
        let attempt = Self {
            most,
            state: Mutex::default(),
        };
        attempt.on_held(held);
        attempt
    }

    /// These locations are held, whoever brought them.
    pub fn on_held(&self, range: Range<Location>) {
        locked(&self.state).held.extend(each(range));
    }

    /// Everything from `from` on was given up.
    pub fn on_given_up(&self, from: Location) {
        let mut state = locked(&self.state);
        state.generation += 1;
        state.held.split_off(&from);
    }

    /// Which of the times between being given up this is.
    pub fn generation(&self) -> u64 {
        locked(&self.state).generation
    }

    /// How much was fetched.
    pub fn counts(&self) -> Counts {
        locked(&self.state).counts
    }

    /// The engine asks.
    pub fn on_asked(&self, world: &World, request: &Request) {
        let mut state = locked(&self.state);
        state.counts.requests += 1;
        state.open += 1;
        if state.open > self.most {
            world.fail(format!(
                "W14: {} requests open, {} allowed",
                state.open, self.most
            ));
        }
        if request.kind() == Kind::Operations {
            let held = state.held.range(request.range()).count();
            if held > 0 {
                let range = request.range();
                world.fail(format!(
                    "W22.4: {}..{} asked for, {held} of them held",
                    range.start, range.end
                ));
            }
        }
    }

    /// A request ended: answered or withdrawn.
    pub fn on_closed(&self, _: &Request) {
        locked(&self.state).open -= 1;
    }

    /// An answer verified; it was accepted in `generation`.
    pub fn on_verified(&self, world: &World, generation: u64, request: &Request, operations: u64) {
        let mut state = locked(&self.state);
        // The boundary's operation comes with its pinned nodes, held or not.
        if request.kind() == Kind::Boundary || state.generation != generation {
            return;
        }
        state.counts.fetched += operations;
        let start = request.start();
        let mut again = 0;
        for at in each(start..start.saturating_add(operations)) {
            again += u64::from(!state.held.insert(at));
        }
        state.counts.again += again;
        if again > 0 {
            world.fail(format!(
                "W22: {again} operations from {start} on fetched a second time"
            ));
        }
    }
}

fn each(range: Range<Location>) -> impl Iterator<Item = Location> {
    (range.start.get()..range.end.get()).filter_map(Location::new)
}

/// Compare a database with its source at `target`: root, range, floor, operations, nodes, keys (E71 to E73, W18).
///
/// - `nodes`: whether to look at every node. A bit of a stored inner node that the disk has changed is not looked for when
///   a log is opened.
///
/// # Errors
/// What differs, as text.
pub fn database<J: Journal>(
    source: &SourceLog,
    target: &Target,
    db: &Db<J>,
    nodes: bool,
) -> Result<(), String> {
    let (log, range) = (db.log(), target.range());
    if log.root() != *target.root() || log.size() != target.end() {
        return Err(format!(
            "root {} at size {}, not the target's",
            log.root(),
            log.size()
        ));
    }
    if !source.has_root(target.root(), target.end()) {
        return Err("a database at a root that the source never had".into());
    }
    if log.bounds().start > range.start {
        return Err(format!(
            "begins at {}, not at {}",
            log.bounds().start,
            range.start
        ));
    }
    let floor = source.commit_before(target.end()).floor;
    if db.floor() != floor {
        return Err(format!("floor {:?}, the source's is {floor:?}", db.floor()));
    }
    let mut at = range.start;
    while at < range.end {
        let (ours, theirs) = (
            log.journal().read(at..range.end, 1 << 20),
            source.journal.read(at..range.end, 1 << 20),
        );
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) if ours == theirs => at = at.saturating_add(ours.len() as u64),
            (Err(error), _) => return Err(format!("operations at {at}: {error}")),
            _ => return Err(format!("other operations than the source's from {at} on")),
        }
    }
    let positions = range.start.position().get()..range.end.position().get();
    for position in positions.filter_map(Position::new).filter(|_| nodes) {
        let ours = log
            .journal()
            .node(position)
            .map_err(|error| format!("node {position}: {error}"))?;
        if source.journal.node(position).ok().flatten() != ours {
            return Err(format!("another node than the source's at position {position}"));
        }
    }
    keys(source, target, db)
}

fn keys<J: Journal>(source: &SourceLog, target: &Target, db: &Db<J>) -> Result<(), String> {
    let want = source.keys(target.range());
    for (key, at) in &want {
        let got = db.location(key).map_err(|error| error.to_string())?;
        if got != *at {
            return Err(format!(
                "key {} at {got:?}, the source has it at {at:?}",
                Digest(*key)
            ));
        }
    }
    let active = want.values().flatten().count();
    let got = db.active();
    if source.kind.family() != Family::Keyless && got != active {
        return Err(format!("{got} active keys, the source has {active}"));
    }
    for (key, at) in want.iter().take(5) {
        match (db.value(key), at) {
            (Ok(Some(_)), Some(_)) | (Ok(None), None) => {}
            (got, at) => {
                return Err(format!(
                    "the value of {} at {at:?} reads as {got:?}",
                    Digest(*key)
                ));
            }
        }
    }
    Ok(())
}
