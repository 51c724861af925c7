//! What the end of one request does: an answer that verified, one that was refused, a failure, a deadline (ENGINE 6, 7).

use super::anchors::Tie;
use super::{Buffered, Command, Plan, Stage};
use crate::digest::Digest;
use crate::mmr::Location;
use crate::sync::error::Ended;
use crate::sync::gaps::Coverage;
use crate::sync::requests::{Id, Tracked};
use crate::wire::Kind;
use std::ops::Range;
use std::time::Duration;

impl Plan {
    /// An answer verified: its operations are kept, its peaks may tie the target to an earlier one (E45, E46, W3.4).
    pub(super) fn on_verified(
        &mut self,
        now: Duration,
        id: Id,
        (operations, bytes): (u64, u64),
        root_at_start: Option<Digest>,
        out: &mut Vec<Command>,
    ) {
        let Some(tracked) = self.untrack(id) else {
            out.push(Command::Forget(id));
            return;
        };
        self.setbacks = super::Setbacks::default();
        self.counts.batches += 1;
        self.counts.operations = self.counts.operations.saturating_add(operations);
        self.counts.bytes = self.counts.bytes.saturating_add(bytes);
        let (start, size) = (tracked.request.start(), tracked.request.size());
        let mut tie = Tie::Fine;
        if let Some(root) = root_at_start {
            self.anchors.refused = false;
            // E45: not from a proof against an earlier root.
            if start == self.target.start() && size == self.target.end() && !self.held.pinned {
                self.held.pinned = true;
                out.push(Command::Pin(id));
            }
            tie = self.anchors.on_root_at(start, &root);
            if let Tie::Forked(earlier) = tie {
                let later = self.anchors.target_of(size).unwrap_or(&self.target);
                let ended = Ended::Fork {
                    earlier: earlier.into(),
                    later: later.clone().into(),
                    got: Some(root),
                };
                return self.fail(ended, out);
            }
        }
        let end = start.saturating_add(operations);
        if self.held.guarded && end == self.target.end() {
            out.push(Command::CheckLast(id));
        }
        let batch = Buffered { id, end, bytes, size };
        self.buffer(start, batch, out);
        if tie == Tie::Foreign {
            // W23.2. What is buffered and asked for does not depend on what goes, and stays.
            return out.push(Command::Restart);
        }
        self.append(now, out);
        self.go_on(now, out);
    }

    /// Keep a batch until the ones before it are there; one that brings nothing new is forgotten. Of one that is shorter than was
    /// asked for, exactly the rest is missing still (W4.2).
    fn buffer(&mut self, start: Location, batch: Buffered, out: &mut Vec<Command>) {
        let there = self.buffered.get(&start);
        if batch.end <= there.map_or(self.held.size.max(start), |there| there.end) {
            out.push(Command::Forget(batch.id));
            return;
        }
        self.coverage.insert(start..batch.end);
        self.buffered_bytes = self.buffered_bytes.saturating_add(batch.bytes);
        if let Some(shorter) = self.buffered.insert(start, batch) {
            self.buffered_bytes = self.buffered_bytes.saturating_sub(shorter.bytes);
            out.push(Command::Forget(shorter.id));
        }
    }

    /// An answer was refused, and its peer told so: it is asked again (E43).
    pub(super) fn on_refused(
        &mut self,
        now: Duration,
        id: Id,
        reason: String,
        heard: bool,
        out: &mut Vec<Command>,
    ) {
        let Some(tracked) = self.untrack(id) else { return };
        self.counts.refused += 1;
        if !heard {
            return self.fail(Ended::InvalidResponse(reason), out);
        }
        self.anchors.refused |= tracked.request.kind() == Kind::Boundary;
        self.setbacks.refused += 1;
        let count = self.setbacks.refused;
        if count > self.config.max_refused {
            return self.fail(Ended::TooManyRefused { count, last: reason }, out);
        }
        self.setbacks.pause(now, count, self.config.max_pause);
        self.append(now, out);
        self.go_on(now, out);
    }

    /// A request failed in a way that asking again may mend (W12.2).
    pub(super) fn on_failed(&mut self, now: Duration, id: Id, out: &mut Vec<Command>) {
        if self.untrack(id).is_none() {
            return;
        }
        self.counts.failed += 1;
        self.setbacks.failed += 1;
        if self.setbacks.failed > self.config.max_failed {
            self.stage = Stage::Over;
            return out.push(Command::GiveUp);
        }
        self.setbacks
            .pause(now, self.setbacks.failed, self.config.max_pause);
        self.go_on(now, out);
    }

    /// Time has passed: ask again for what took too long (W13.1), and after a pause.
    pub(super) fn on_tick(&mut self, now: Duration, out: &mut Vec<Command>) {
        if now >= self.setbacks.not_before {
            self.setbacks.not_before = Duration::ZERO;
        }
        while let Some(late) = self.requests.take_late(now) {
            self.cancel([late], out);
        }
        self.append(now, out);
        self.go_on(now, out);
    }

    /// The target's last operation ends a database: what is held may be cut for it.
    pub(super) fn on_last_checked(&mut self, now: Duration, out: &mut Vec<Command>) {
        self.held.guarded = false;
        self.append(now, out);
        self.go_on(now, out);
    }

    /// Until when batches wait for the answers that tie the target to what came before it, so that a fork changes nothing
    /// and nothing is put behind what belongs to another log. They do not once such an answer was refused (W3.3) or half the
    /// buffer is full: then they are appended on trust, and what is wrong is found out later.
    pub(super) fn waits_for_tie(&self) -> Option<Duration> {
        let (start, head) = self.buffered.first_key_value()?;
        let patient = *start <= self.held.size
            && !self.anchors.refused
            && self.buffered_bytes < self.config.max_buffered_bytes / 2;
        // Nobody has to serve what lies below the start, so a tie there is waited for only where a complete database is given
        // up for the new target: a fork must not cost it.
        let needed = if self.unmakes {
            Location::ZERO..head.size
        } else {
            self.target.start()..head.size
        };
        let since = self.anchors.missing_since(needed).filter(|_| patient)?;
        Some(since.saturating_add(self.config.tie_patience))
    }

    /// Take the batches that continue what is held (E47, E48).
    pub(super) fn append(&mut self, now: Duration, out: &mut Vec<Command>) {
        if self.held.guarded || self.waits_for_tie().is_some_and(|until| now < until) {
            return;
        }
        while let Some(entry) = self
            .buffered
            .first_entry()
            .filter(|entry| *entry.key() <= self.held.size)
        {
            let (start, batch) = entry.remove_entry();
            self.buffered_bytes = self.buffered_bytes.saturating_sub(batch.bytes);
            self.coverage.remove(start..batch.end);
            if batch.end > self.held.size {
                out.push(Command::Append(batch.id, self.held.size));
                self.unmakes = false;
                self.held.size = batch.end;
            } else {
                out.push(Command::Forget(batch.id));
            }
        }
    }

    /// Forget buffered batches that lie wholly below `location`.
    pub(super) fn drop_below(&mut self, location: Location, out: &mut Vec<Command>) {
        while let Some(entry) = self.buffered.first_entry()
            && entry.get().end <= location
        {
            let (start, batch) = entry.remove_entry();
            self.buffered_bytes = self.buffered_bytes.saturating_sub(batch.bytes);
            self.coverage.remove(start..batch.end);
            out.push(Command::Forget(batch.id));
        }
    }

    fn untrack(&mut self, id: Id) -> Option<Tracked> {
        let tracked = self.requests.remove(id)?;
        self.uncover(&tracked.covers);
        Some(tracked)
    }

    /// A request keeps `range` no longer; what is buffered of it still does.
    fn uncover(&mut self, range: &Range<Location>) {
        self.coverage.remove(range.clone());
        let before = self.buffered.range(..range.start).next_back();
        let inside = self.buffered.range(range.clone());
        for (&start, batch) in before.into_iter().chain(inside) {
            self.coverage.insert(start..batch.end);
        }
    }

    /// What is held has gone back: what is buffered and asked for keeps its locations, wherever they are.
    pub(super) fn cover_again(&mut self) {
        self.coverage = Coverage::default();
        for (&start, batch) in &self.buffered {
            self.coverage.insert(start..batch.end);
        }
        for (_, tracked) in self.requests.iter() {
            self.coverage.insert(tracked.covers.clone());
        }
    }

    /// These are tracked no more: their locations may be asked for again.
    pub(super) fn cancel(&mut self, gone: impl IntoIterator<Item = (Id, Tracked)>, out: &mut Vec<Command>) {
        for (id, tracked) in gone {
            self.uncover(&tracked.covers);
            out.push(Command::Cancel(id));
        }
    }
}
