//! What to ask next, what to append, when it is done: decisions without I/O (ENGINE 4 to 10).
//!
//! Events go in by `on_*`, what must be carried out comes back as [`Command`]s, in order. Time is an argument.
//!
//! # Picture
//! ```text
//!   start ....... size ............................... end
//!   |  appended   | buffered |  asked  | gap | asked | ...      coverage = buffered + asked
//! ```
//!
//! # Always
//! 1. A location is asked for at most once at a time, and never again once its operation is buffered or appended.
//! 2. Bytes buffered and asked for stay below `max_buffered_bytes`, except that the request at `size` and the boundary
//!    request are always allowed (W14.1).
//! 3. `Notify` and `Complete` follow only a root that was compared with the target's (W2, W21.1).

mod command;
mod config;
mod schedule;

pub use command::Command;
pub use config::Config;

use super::database::Held;
use super::error::Ended;
use super::gaps::Coverage;
use super::requests::{Id, Requests, Tracked};
use super::target::Target;
use super::verify::Fault;
use crate::digest::Digest;
use crate::mmr::Location;
use crate::wire::Kind;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What an operation is taken to have before any was seen.
const FIRST_GUESS_BYTES: u64 = 256;

/// A verified batch that waits for the ones before it.
#[derive(Clone, Copy, Debug)]
struct Buffered {
    id: Id,
    end: Location,
    bytes: u64,
}

/// The state of a sync, without its data.
#[derive(Clone, Debug)]
pub struct Plan {
    config: Config,
    target: Target,
    /// Size and root of earlier targets, oldest first.
    retained: VecDeque<(Location, Digest)>,
    requests: Requests,
    coverage: Coverage,
    /// By start.
    buffered: BTreeMap<Location, Buffered>,
    buffered_bytes: u64,
    held: Held,
    /// Where this sync began to fetch: what lies below came from an earlier run.
    fetched_from: Location,
    /// The start whose pinned nodes do not come from an earlier run.
    pinned_at: Option<Location>,
    seen: Seen,
    stage: Stage,
    /// A caller decides when to finish (E65), has decided (E63), or leaves it to us (E66).
    finish: Finish,
    refused: u32,
    failed: u32,
    boundary_refused: bool,
    not_before: Duration,
    stale_updates: u64,
}

/// Sizes of what has verified.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    operations: u64,
    bytes: u64,
}

impl Seen {
    fn mean_bytes(self) -> u64 {
        self.bytes
            .checked_div(self.operations)
            .unwrap_or(FIRST_GUESS_BYTES)
            .max(1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fetching,
    /// At the target, the root is being compared.
    Checking,
    /// At the target, and told so.
    Reached,
    /// Completed or failed.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    Whenever,
    Awaited,
    Requested,
}

impl Plan {
    /// Begin a sync to `target` with what is held for it.
    ///
    /// - `waits_for_finish`: whether a caller says when to finish (E65), or the sync completes at the target (E66).
    pub fn new(config: Config, target: Target, held: Held, waits_for_finish: bool) -> Self {
        Self {
            config,
            retained: VecDeque::new(),
            requests: Requests::default(),
            coverage: Coverage::default(),
            buffered: BTreeMap::new(),
            buffered_bytes: 0,
            held,
            fetched_from: held.size,
            pinned_at: None,
            seen: Seen::default(),
            stage: Stage::Fetching,
            finish: if waits_for_finish {
                Finish::Awaited
            } else {
                Finish::Whenever
            },
            refused: 0,
            failed: 0,
            boundary_refused: false,
            not_before: Duration::ZERO,
            stale_updates: 0,
            target,
        }
    }

    /// The current target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The next location to append.
    pub fn size(&self) -> Location {
        self.held.size
    }

    /// Operations of the target that an earlier run had left here.
    pub fn reused(&self) -> u64 {
        self.fetched_from.since(self.target.start())
    }

    /// Requests open.
    pub fn in_flight(&self) -> usize {
        self.requests.len()
    }

    /// Bytes of operations that wait for the ones before them.
    pub fn buffered_bytes(&self) -> u64 {
        self.buffered_bytes
    }

    /// Updates discarded because they did not advance (W5.1).
    pub fn stale_updates(&self) -> u64 {
        self.stale_updates
    }

    /// Whether the request is still wanted (E41).
    pub fn is_tracked(&self, id: Id) -> bool {
        self.requests.contains(id)
    }

    /// First commands.
    pub fn on_start(&mut self, now: Duration) -> Vec<Command> {
        let mut out = Vec::new();
        self.go_on(now, &mut out);
        out
    }

    /// An answer verified.
    ///
    /// - `operations`, `bytes`: how many, and their encoded size.
    pub fn on_verified(&mut self, now: Duration, id: Id, operations: u64, bytes: u64) -> Vec<Command> {
        let mut out = Vec::new();
        let Some(tracked) = self.untrack(id) else {
            return vec![Command::Forget(id)];
        };
        self.refused = 0;
        self.failed = 0;
        self.not_before = Duration::ZERO;
        self.seen.operations += operations;
        self.seen.bytes += bytes;
        let start = tracked.request.start();
        if tracked.request.kind() == Kind::Boundary {
            self.boundary_refused = false;
            if start == self.target.start() && !self.held.pinned {
                self.held.pinned = true;
                self.pinned_at = Some(start);
                out.push(Command::Pin(id));
            }
        }
        let end = start.saturating_add(operations);
        if self.held.guarded && end == self.target.end() {
            out.push(Command::CheckLast(id));
        }
        let present = self
            .buffered
            .get(&start)
            .map_or(self.held.size, |batch| batch.end);
        if end > present {
            if let Some(shorter) = self.buffered.insert(start, Buffered { id, end, bytes }) {
                self.buffered_bytes -= shorter.bytes;
                out.push(Command::Forget(shorter.id));
            }
            self.coverage.insert(start..end);
            self.buffered_bytes += bytes;
        } else {
            // W3.4: a boundary answer whose operation is here already.
            out.push(Command::Forget(id));
        }
        self.append(&mut out);
        self.go_on(now, &mut out);
        out
    }

    /// An answer was refused, and its peer told so. `heard` is false if nobody took the verdict (W11.1).
    pub fn on_refused(&mut self, now: Duration, id: Id, fault: Fault, heard: bool) -> Vec<Command> {
        let Some(tracked) = self.untrack(id) else {
            return Vec::new();
        };
        if !heard {
            return self.fail(Ended::InvalidResponse(fault));
        }
        self.boundary_refused |= tracked.request.kind() == Kind::Boundary;
        self.refused += 1;
        if self.refused > self.config.max_refused {
            return self.fail(Ended::TooManyRefused {
                count: self.refused,
                last: fault,
            });
        }
        self.pause(now, self.refused);
        let mut out = Vec::new();
        self.go_on(now, &mut out);
        out
    }

    /// A request failed in a way that asking again may mend. `None` if that was once too often (W12.2).
    pub fn on_failed(&mut self, now: Duration, id: Id) -> Option<Vec<Command>> {
        if self.untrack(id).is_none() {
            return Some(Vec::new());
        }
        self.failed += 1;
        if self.failed > self.config.max_failed {
            return None;
        }
        self.pause(now, self.failed);
        let mut out = Vec::new();
        self.go_on(now, &mut out);
        Some(out)
    }

    /// Time has passed: ask again for what took too long (W13.1), and after a pause.
    pub fn on_timeout(&mut self, now: Duration) -> Vec<Command> {
        if now >= self.not_before {
            self.not_before = Duration::ZERO;
        }
        let late = self
            .requests
            .retain(|tracked| tracked.deadline.is_none_or(|deadline| deadline > now));
        let mut out = self.cancel(late);
        self.go_on(now, &mut out);
        out
    }

    /// When [`Self::on_timeout`] next has work, if ever.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let deadlines = self.requests.iter().filter_map(|(_, tracked)| tracked.deadline);
        let pause = (self.not_before > Duration::ZERO).then_some(self.not_before);
        deadlines.chain(pause).min()
    }

    /// Updates have arrived: go straight to the newest that advances (E50 to E56, W5, W27).
    pub fn on_updates(&mut self, updates: impl IntoIterator<Item = Target>) -> Vec<Command> {
        if self.stage == Stage::Over {
            return Vec::new();
        }
        let mut newest = self.target.clone();
        for update in updates {
            if update.end() <= newest.end() || update.start() < newest.start() {
                if self.config.strict_updates {
                    let (old, new) = (Box::new(newest), Box::new(update));
                    return self.fail(Ended::SyncTargetMovedBackward { old, new });
                }
                self.stale_updates += 1;
            } else if update.root() == newest.root() {
                return self.fail(Ended::SyncTargetRootUnchanged(Box::new(update)));
            } else {
                newest = update;
            }
        }
        if newest == self.target {
            Vec::new()
        } else {
            self.retarget(newest)
        }
    }

    /// The database has been fitted to the new target.
    pub fn on_retargeted(&mut self, now: Duration, held: Held) -> Vec<Command> {
        if held.size > self.held.size {
            // More of what an earlier run had left is of use for this target.
            self.fetched_from = held.size;
        }
        self.held = held;
        let mut out = Vec::new();
        self.drop_below(held.size, &mut out);
        self.append(&mut out);
        self.go_on(now, &mut out);
        out
    }

    /// The target's last operation ends a database: what is held may be cut for it.
    pub fn on_last_checked(&mut self, now: Duration) -> Vec<Command> {
        self.held.guarded = false;
        let mut out = Vec::new();
        self.append(&mut out);
        self.go_on(now, &mut out);
        out
    }

    /// The root of what is held, asked for by [`Command::CheckRoot`].
    pub fn on_root(&mut self, root: Digest) -> Vec<Command> {
        if self.stage != Stage::Checking {
            return Vec::new();
        }
        if root == *self.target.root() {
            self.stage = Stage::Reached;
            let mut out = vec![Command::Notify(self.target.clone())];
            out.extend(match self.finish {
                Finish::Whenever => Some(Command::Settle),
                Finish::Requested => Some(self.over(Command::Complete)),
                Finish::Awaited => None,
            });
            return out;
        }
        let start = self.target.start();
        let found_pinned = start > Location::ZERO && self.pinned_at != Some(start);
        if self.reused() > 0 || (self.held.pinned && found_pinned) {
            // W23.2: everything fetched was proven against the root, so what was here before is of another log.
            return vec![Command::Restart];
        }
        let ended = Ended::RootMismatch {
            want: *self.target.root(),
            got: root,
        };
        vec![Command::Discard, self.over(Command::Fail(ended))]
    }

    /// Everything held has been given up.
    pub fn on_restarted(&mut self, now: Duration, held: Held) -> Vec<Command> {
        self.stage = Stage::Fetching;
        self.held = held;
        self.fetched_from = held.size;
        self.pinned_at = Some(self.target.start());
        self.coverage = Coverage::default();
        let gone = self.requests.retain(|_| false);
        let mut out = self.cancel(gone);
        self.go_on(now, &mut out);
        out
    }

    /// These updates were queued when the target was reached (W6.1): retarget, or complete.
    pub fn on_settled(&mut self, updates: impl IntoIterator<Item = Target>) -> Vec<Command> {
        let out = self.on_updates(updates);
        if out.is_empty() && self.stage == Stage::Reached {
            vec![self.over(Command::Complete)]
        } else {
            out
        }
    }

    /// The caller says finish (E63): now if the target is reached, else when it is.
    pub fn on_finish(&mut self) -> Vec<Command> {
        self.finish = Finish::Requested;
        if self.stage == Stage::Reached {
            vec![self.over(Command::Complete)]
        } else {
            Vec::new()
        }
    }

    /// The caller can no longer say finish (E64).
    pub fn on_finish_closed(&mut self) -> Vec<Command> {
        match self.finish {
            Finish::Awaited => self.fail(Ended::FinishChannelClosed),
            Finish::Requested | Finish::Whenever => Vec::new(),
        }
    }

    /// Take the batches that continue what is held (E47, E48).
    fn append(&mut self, out: &mut Vec<Command>) {
        if self.held.guarded {
            return;
        }
        while let Some(entry) = self
            .buffered
            .first_entry()
            .filter(|entry| *entry.key() <= self.held.size)
        {
            let (start, batch) = entry.remove_entry();
            self.buffered_bytes -= batch.bytes;
            self.coverage.remove(start..batch.end);
            if batch.end > self.held.size {
                out.push(Command::Append(batch.id, self.held.size));
                self.held.size = batch.end;
            } else {
                out.push(Command::Forget(batch.id));
            }
        }
    }

    /// Forget buffered batches that lie wholly below `location`.
    fn drop_below(&mut self, location: Location, out: &mut Vec<Command>) {
        let gone: Vec<_> = self
            .buffered
            .range(..location)
            .filter(|(_, batch)| batch.end <= location)
            .collect();
        let gone: Vec<_> = gone.into_iter().map(|(&start, &batch)| (start, batch)).collect();
        for (start, batch) in gone {
            self.buffered.remove(&start);
            self.buffered_bytes -= batch.bytes;
            self.coverage.remove(start..batch.end);
            out.push(Command::Forget(batch.id));
        }
    }

    /// See whether the target is reached; else ask for more (E60, E61, W2.1).
    fn go_on(&mut self, now: Duration, out: &mut Vec<Command>) {
        if self.stage != Stage::Fetching {
            return;
        }
        let (size, end) = (self.held.size, self.target.end());
        if size > end {
            out.extend(self.fail(Ended::InvalidState { size, end }));
        } else if size == end && self.held.pinned {
            self.stage = Stage::Checking;
            out.push(Command::CheckRoot);
        } else {
            self.schedule(now, out);
        }
    }

    fn untrack(&mut self, id: Id) -> Option<Tracked> {
        let tracked = self.requests.remove(id)?;
        self.coverage.remove(tracked.covers.clone());
        Some(tracked)
    }

    fn cancel(&mut self, gone: Vec<(Id, Tracked)>) -> Vec<Command> {
        for (_, tracked) in &gone {
            self.coverage.remove(tracked.covers.clone());
        }
        gone.into_iter().map(|(id, _)| Command::Cancel(id)).collect()
    }

    /// Wait after failures: not at all for the first, then longer and longer (W11.2, W12.2).
    fn pause(&mut self, now: Duration, in_a_row: u32) {
        let Some(doublings) = in_a_row.checked_sub(16) else {
            return;
        };
        let pause = Duration::from_millis(10).saturating_mul(1 << doublings.min(20));
        self.not_before = now + pause.min(self.config.max_pause);
    }

    fn retarget(&mut self, target: Target) -> Vec<Command> {
        let old = std::mem::replace(&mut self.target, target.clone());
        self.stage = Stage::Fetching;
        self.retained.push_back((old.end(), *old.root()));
        while self.retained.len() > self.config.max_retained_roots {
            self.retained.pop_front();
        }
        // Kept: what is still in range and can still be verified (W22.4). The boundary is asked again for the new size
        // (E52); a forgotten root's answers could not be judged, so they are not waited for; an earlier target's last
        // operation shows nothing of this one.
        let retained = &self.retained;
        let guarded = self.held.guarded;
        let gone = self.requests.retain(|tracked| {
            !guarded
                && tracked.request.kind() == Kind::Operations
                && tracked.request.range().end > target.start()
                && retained.iter().any(|(size, _)| *size == tracked.request.size())
        });
        let mut out = self.cancel(gone);
        self.drop_below(target.start(), &mut out);
        out.push(Command::Retarget(target));
        out
    }

    fn fail(&mut self, ended: Ended) -> Vec<Command> {
        vec![self.over(Command::Fail(ended))]
    }

    fn over(&mut self, last: Command) -> Command {
        self.stage = Stage::Over;
        last
    }
}

#[cfg(test)]
mod tests;
