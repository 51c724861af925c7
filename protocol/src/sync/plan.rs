//! What to ask next, what to append, when it is done: decisions without I/O (ENGINE 4 to 10).
//!
//! [`Event`]s go in by [`Plan::on_event`], what must be carried out comes back as [`Command`]s, in order. Time is an
//! argument, and nothing else goes in: the same events at the same times give the same commands.
//!
//! # Picture
//! ```text
//!   start ....... size ............................... end
//!   |  appended   | buffered |  asked  | gap | asked | ...      coverage = buffered + asked
//!
//!            nothing more is missing         root equal          told to finish, or nobody will say
//!   fetching ------------------------> checking -----> reached -----------------------------------> over
//!      ^  ^                               |               |
//!      |  +--- root differs, old data ----+               |
//!      +------------------- a later target ---------------+
//! ```
//! The rules are by subject: `schedule` (what to ask for: the last operation alone if a complete database is at stake, then
//! anchors, then gaps), `answers` (what one answer does, and until when proven batches wait: `waits_for_tie`), `targets`
//! (what of the work stays at an update), `anchors` (what ties a target to what came before it), `ending` (root, reached,
//! finish).
//!
//! # Always
//! 1. A location is asked for at most once at a time, and never again once its operation is buffered or appended (W22.4);
//!    but for the one operation that comes with the peaks at the start or at an anchor.
//! 2. Bytes buffered and asked for stay below `max_buffered_bytes`, except that the request at `size` and those for
//!    anchors are always allowed (W14.1).
//! 3. `Notify` and `Complete` follow only a root that was compared with the target's (W2, W21.1).
//! 4. No event panics, whatever numbers it has: a record of a run may be replayed from anywhere.

mod anchors;
mod answers;
mod command;
mod config;
mod ending;
mod event;
mod schedule;
mod targets;

pub use command::Command;
pub use config::Config;
pub use event::Event;

use super::database::Held;
use super::error::Ended;
use super::gaps::Coverage;
use super::progress::{Progress, Waiting};
use super::requests::{Id, Requests};
use super::target::Target;
use crate::mmr::Location;
use anchors::Anchors;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// What an operation is taken to have before any was seen.
const FIRST_GUESS_BYTES: u64 = 256;

/// A verified batch that waits for the ones before it.
#[derive(Clone, Copy, Debug)]
struct Buffered {
    id: Id,
    end: Location,
    bytes: u64,
    /// It is proven for a log of so many operations.
    size: Location,
}

/// The state of a sync, without its data.
#[derive(Clone, Debug)]
pub struct Plan {
    config: Config,
    target: Target,
    anchors: Anchors,
    requests: Requests,
    coverage: Coverage,
    /// By start.
    buffered: BTreeMap<Location, Buffered>,
    buffered_bytes: u64,
    held: Held,
    /// Whether the next append gives up a complete database.
    unmakes: bool,
    /// Where this sync began to fetch: what lies below came from an earlier run.
    fetched_from: Location,
    stage: Stage,
    finish: Finish,
    setbacks: Setbacks,
    counts: Counts,
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

/// Who decides when to finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    /// Nobody: at the first target that is reached with no later one in the queue (E66).
    Whenever,
    /// The caller, who has not (E65).
    Awaited,
    /// The caller, who has (E63).
    Requested,
}

/// What went wrong in a row, without progress in between (W11.2, W12.2).
#[derive(Clone, Copy, Debug, Default)]
struct Setbacks {
    refused: u32,
    failed: u32,
    /// Nothing is asked for before; zero: no pause.
    not_before: Duration,
}

impl Setbacks {
    /// Wait: not at all for the first 16 in a row, then longer and longer.
    fn pause(&mut self, now: Duration, in_a_row: u32, at_most: Duration) {
        let Some(doublings) = in_a_row.checked_sub(16) else {
            return;
        };
        let pause = Duration::from_millis(10).saturating_mul(1 << doublings.min(20));
        self.not_before = now.saturating_add(pause.min(at_most));
    }
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    operations: u64,
    bytes: u64,
    batches: u64,
    refused: u64,
    failed: u64,
    retargets: u64,
    stale_updates: u64,
}

impl Counts {
    /// Bytes of an operation, by what has verified.
    fn mean_bytes(self) -> u64 {
        let mean = self.bytes.checked_div(self.operations);
        mean.unwrap_or(FIRST_GUESS_BYTES).max(1)
    }
}

impl Plan {
    /// A sync to `target` with what is held for it.
    ///
    /// - `waits_for_finish`: whether a caller says when to finish (E65), or the sync completes at the target (E66).
    pub fn new(config: Config, target: Target, held: Held, waits_for_finish: bool) -> Self {
        Self {
            config,
            anchors: Anchors::new(left_over(&held)),
            requests: Requests::default(),
            coverage: Coverage::default(),
            buffered: BTreeMap::new(),
            buffered_bytes: 0,
            fetched_from: held.size,
            unmakes: held.guarded,
            held,
            stage: Stage::Fetching,
            finish: if waits_for_finish {
                Finish::Awaited
            } else {
                Finish::Whenever
            },
            setbacks: Setbacks::default(),
            counts: Counts::default(),
            target,
        }
    }

    /// Something has happened; what follows. Nothing follows an end (E74).
    pub fn on_event(&mut self, now: Duration, event: Event) -> Vec<Command> {
        if self.stage == Stage::Over {
            return Vec::new();
        }
        let mut out = Vec::new();
        match event {
            Event::Start => self.go_on(now, &mut out),
            Event::Verified {
                id,
                operations,
                bytes,
                root_at_start,
            } => self.on_verified(now, id, (operations, bytes), root_at_start, &mut out),
            Event::Refused { id, reason, heard } => self.on_refused(now, id, reason, heard, &mut out),
            Event::Failed { id } => self.on_failed(now, id, &mut out),
            Event::Tick => self.on_tick(now, &mut out),
            Event::Updates(updates) => self.on_updates(updates, &mut out),
            Event::Settled(updates) => self.on_settled(updates, &mut out),
            Event::Retargeted(held) => self.on_retargeted(now, held, &mut out),
            Event::LastChecked => self.on_last_checked(now, &mut out),
            Event::Root { root, torn, earlier } => self.on_root(root, torn, &earlier, &mut out),
            Event::Restarted(held) => self.on_restarted(now, held, &mut out),
            Event::Finish => self.on_finish(&mut out),
            Event::FinishClosed => self.on_finish_closed(&mut out),
        }
        out
    }

    /// When [`Event::Tick`] next has work, if ever.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let pause = (self.setbacks.not_before > Duration::ZERO).then_some(self.setbacks.not_before);
        let tie = self.waits_for_tie().filter(|_| !self.held.guarded);
        let deadlines = self.requests.deadline().into_iter();
        deadlines.chain(pause).chain(tie).min()
    }

    /// The current target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether the request is still wanted (E41).
    pub fn is_tracked(&self, id: Id) -> bool {
        self.requests.contains(id)
    }

    /// How far the sync is, and what it waits for (W28).
    pub fn progress(&self) -> Progress {
        Progress {
            start: self.target.start(),
            size: self.held.size,
            end: self.target.end(),
            reused: self.reused(),
            tied: self.anchors.is_tied(),
            fetched_ops: self.counts.operations,
            fetched_bytes: self.counts.bytes,
            batches: self.counts.batches,
            refused: self.counts.refused,
            failed: self.counts.failed,
            in_flight: self.requests.len(),
            buffered_bytes: self.buffered_bytes,
            buffered: self.buffered_ranges(),
            retargets: self.counts.retargets,
            stale_updates: self.counts.stale_updates,
            waiting: self.waiting(),
            reached: self.stage == Stage::Reached,
        }
    }

    fn buffered_ranges(&self) -> Vec<Range<Location>> {
        let mut ranges: Vec<Range<Location>> = Vec::new();
        for (&start, batch) in &self.buffered {
            match ranges.last_mut() {
                Some(last) if last.end >= start => last.end = last.end.max(batch.end),
                _ => ranges.push(start..batch.end),
            }
        }
        ranges
    }

    /// Operations of the target that an earlier run had left here.
    fn reused(&self) -> u64 {
        self.fetched_from.since(self.target.start())
    }

    fn waiting(&self) -> Waiting {
        let since = |id: Option<Id>| id.and_then(|id| Some(self.requests.get(id)?.asked_at));
        match self.stage {
            Stage::Over => Waiting::Nothing,
            Stage::Checking => Waiting::Root,
            Stage::Reached => Waiting::Finish,
            Stage::Fetching if self.setbacks.not_before > Duration::ZERO && self.requests.is_empty() => {
                Waiting::Pause {
                    until: self.setbacks.not_before,
                }
            }
            Stage::Fetching if self.held.guarded => Waiting::Last,
            Stage::Fetching if self.waits_for_tie().is_some() => Waiting::Tie,
            Stage::Fetching => {
                let (at, requests) = (self.held.size, self.requests.len());
                let head = self.requests.covering(at).map(|head| head.asked_at);
                let boundary = since(self.requests.at(self.target.start(), crate::wire::Kind::Boundary));
                match (head, boundary) {
                    (None, Some(since)) if at == self.target.end() => Waiting::Boundary { since },
                    (Some(since), _) if !self.buffered.is_empty() => Waiting::Head { at, since },
                    (head, _) if requests > 0 => Waiting::Answers {
                        requests,
                        since: head.unwrap_or_default(),
                    },
                    _ => Waiting::Nothing,
                }
            }
        }
    }

    /// See whether the target is reached, also by what was here already (E30); else ask for more (E60, E61, W2.1).
    fn go_on(&mut self, now: Duration, out: &mut Vec<Command>) {
        if self.stage != Stage::Fetching {
            return;
        }
        let (size, end) = (self.held.size, self.target.end());
        if size > end {
            self.fail(Ended::InvalidState { size, end }, out);
        } else if size == end && self.held.pinned {
            self.check_root(out);
        } else {
            self.schedule(now, out);
        }
    }

    fn fail(&mut self, ended: Ended, out: &mut Vec<Command>) {
        self.stage = Stage::Over;
        out.push(Command::Fail(ended));
    }
}

/// How much of `held` came from an earlier run, and its root (W23.1).
fn left_over(held: &Held) -> Option<(Location, crate::digest::Digest)> {
    held.root.map(|root| (held.size, root))
}

#[cfg(test)]
mod tests;
