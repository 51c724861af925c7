//! What to ask for next, and how much of it (ENGINE 4, W3, W14, W16).

use super::{Command, Plan};
use crate::mmr::Location;
use crate::sync::error::Ended;
use crate::sync::requests::Tracked;
use crate::wire::limits::SOFT_OPERATION_BYTES;
use crate::wire::{Kind, Request};
use std::time::Duration;

impl Plan {
    /// Ask for anchors and for gaps, as far as the bounds allow (E31 to E37).
    pub(super) fn schedule(&mut self, now: Duration, out: &mut Vec<Command>) {
        if now < self.setbacks.not_before {
            return;
        }
        self.setbacks.not_before = Duration::ZERO;
        if self.held.guarded {
            return self.ask_last(now, out);
        }
        self.ask_anchors(now, out);
        self.ask_gaps(now, out);
        if self.requests.is_empty() {
            // E39, W19.1
            self.fail(Ended::SyncStalled, out);
        }
    }

    /// Nothing else is asked for before the last operation was looked at: one round trip, only where a complete database
    /// would be unmade by what comes then.
    fn ask_last(&mut self, now: Duration, out: &mut Vec<Command>) {
        let end = self.target.end();
        let last = Location::new(end.get().saturating_sub(1)).unwrap_or_default();
        if self.coverage.first_gap(last..end).is_some()
            && let Some(request) = Request::operations(end, last, 1)
        {
            self.ask(now, request, out);
        }
    }

    /// The pinned nodes at the start (E31), and what ties the target to earlier ones (W23).
    fn ask_anchors(&mut self, now: Duration, out: &mut Vec<Command>) {
        let (end, range) = (self.target.end(), self.target.range());
        let start = (!self.held.pinned).then_some(self.target.start());
        let wanted: Vec<_> = start.into_iter().chain(self.anchors.wanted(range)).collect();
        for at in wanted {
            self.anchors.on_asked(now, at);
            if self.requests.at(at, Kind::Boundary).is_none()
                && let Some(request) = Request::boundary(end, at)
            {
                self.ask(now, request, out);
            }
        }
    }

    fn ask_gaps(&mut self, now: Duration, out: &mut Vec<Command>) {
        let (size, end) = (self.held.size, self.target.end());
        while let Some(gap) = self.coverage.first_gap(size..end) {
            if self.requests.len() - self.aside() >= self.config.max_outstanding_requests.get() {
                break;
            }
            let length = self.batch(gap.start).min(gap.end.since(gap.start));
            let planned = self.buffered_bytes.saturating_add(self.requests.expected_bytes());
            let full = planned.saturating_add(self.expected_bytes(length)) > self.config.max_buffered_bytes;
            if full && gap.start != size {
                break;
            }
            let Some(request) = Request::operations(end, gap.start, length) else {
                break;
            };
            if self.requests.at(gap.start, Kind::Operations).is_some() {
                // Only by events that no engine sends: one request more would replace the other for ever.
                break;
            }
            self.ask(now, request, out);
        }
    }

    /// Requests that do not count: those for anchors beside the start, so that a target that moves fast cannot crowd out
    /// the operations; and that for the start once an answer to it was refused (W3.3, W16.2).
    fn aside(&self) -> usize {
        let first = self.requests.at(self.target.start(), Kind::Boundary);
        let counts = first.is_some() && !self.anchors.refused;
        self.requests.boundaries() - usize::from(counts)
    }

    fn ask(&mut self, now: Duration, request: Request, out: &mut Vec<Command>) {
        let timeout = self.config.request_timeout;
        // An anchor's operation may be held or asked for already; the rest of a request never is. Once an answer for an
        // anchor was refused its operation is asked for like any other, so that the rest is not held up (W3.3).
        let mut range = request.range();
        if request.kind() == Kind::Boundary && self.anchors.refused {
            range.start = range.end;
        }
        let missing = self
            .coverage
            .first_gap(range.start.max(self.held.size)..range.end);
        let covers = missing.unwrap_or(range.end..range.end);
        self.coverage.insert(covers.clone());
        let tracked = Tracked {
            request,
            root: *self.target.root(),
            asked_at: now,
            deadline: timeout.map(|timeout| now.saturating_add(timeout)),
            covers,
            expected_bytes: self.expected_bytes(request.max_ops()),
        };
        let (id, superseded) = self.requests.add(tracked.clone());
        self.cancel(superseded, out);
        out.push(Command::Fetch(id, tracked));
    }

    /// How many operations to ask for from `start`: up to the next multiple of the batch size.
    fn batch(&self, start: Location) -> u64 {
        let fitting = self.config.batch_bytes.get() / self.counts.mean_bytes();
        let size = fitting.clamp(1, self.config.fetch_batch_size.get());
        let size = 1 << size.ilog2();
        size - start.get() % size
    }

    fn expected_bytes(&self, operations: u64) -> u64 {
        operations
            .saturating_mul(self.counts.mean_bytes())
            .min(SOFT_OPERATION_BYTES as u64)
    }
}
