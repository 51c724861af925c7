//! What to ask for next, and how much of it (ENGINE 4, W3, W14, W16).

use super::{Command, Plan, Stage};
use crate::mmr::Location;
use crate::sync::error::Ended;
use crate::sync::requests::Tracked;
use crate::wire::limits::SOFT_OPERATION_BYTES;
use crate::wire::{Kind, Request};
use std::time::Duration;

impl Plan {
    /// Ask for the boundary and for gaps, as far as the bounds allow (E31 to E37).
    pub(super) fn schedule(&mut self, now: Duration, out: &mut Vec<Command>) {
        if now < self.not_before {
            return;
        }
        self.not_before = Duration::ZERO;
        let (size, end) = (self.held.size, self.target.end());
        let start = self.target.start();
        if self.held.guarded {
            self.ask_last(now, out);
            return;
        }
        if !self.held.pinned && !self.boundary_is_asked() {
            let request = Request::boundary(end, start);
            request
                .into_iter()
                .for_each(|request| self.ask(now, request, out));
        }
        while let Some(gap) = self.coverage.first_gap(size..end) {
            // A boundary that was refused must not take the place of other requests (W3.3).
            let aside = usize::from(self.boundary_refused && self.boundary_is_asked());
            if self.requests.len() - aside >= self.config.max_outstanding_requests.get() {
                break;
            }
            let length = self.batch(gap.start).min(gap.end.since(gap.start));
            let full = self.buffered_bytes + self.asked_bytes() + self.expected_bytes(length)
                > self.config.max_buffered_bytes;
            if full && gap.start != size {
                break;
            }
            let Some(request) = Request::operations(end, gap.start, length) else {
                break;
            };
            self.ask(now, request, out);
        }
        if self.requests.is_empty() && self.stage == Stage::Fetching {
            out.extend(self.fail(Ended::SyncStalled));
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

    fn ask(&mut self, now: Duration, request: Request, out: &mut Vec<Command>) {
        let deadline = self.config.request_timeout.map(|timeout| now + timeout);
        // The boundary's operation may be held or asked for already; the rest of a request never is. Once a boundary
        // answer was refused its operation is asked for like any other, so that the rest is not held up (W3.3).
        let mut range = request.range();
        if request.kind() == Kind::Boundary && self.boundary_refused {
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
            deadline,
            covers,
        };
        let (id, superseded) = self.requests.add(tracked.clone());
        out.extend(self.cancel(superseded.into_iter().collect()));
        out.push(Command::Fetch(id, tracked));
    }

    fn boundary_is_asked(&self) -> bool {
        self.requests
            .iter()
            .any(|(_, tracked)| tracked.request.kind() == Kind::Boundary)
    }

    /// How many operations to ask for from `start`: up to the next multiple of the batch size.
    fn batch(&self, start: Location) -> u64 {
        let fitting = self.config.batch_bytes.get() / self.seen.mean_bytes();
        let size = fitting.clamp(1, self.config.fetch_batch_size.get());
        let size = 1 << size.ilog2();
        size - start.get() % size
    }

    fn expected_bytes(&self, operations: u64) -> u64 {
        operations
            .saturating_mul(self.seen.mean_bytes())
            .min(SOFT_OPERATION_BYTES as u64)
    }

    fn asked_bytes(&self) -> u64 {
        self.requests
            .iter()
            .map(|(_, tracked)| self.expected_bytes(tracked.request.max_ops()))
            .sum()
    }
}
