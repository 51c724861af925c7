//! At the target: compare the root, tell, and finish when it is time (ENGINE 9, 10, W2, W6, W21, W23).

use super::anchors::Tie;
use super::{Command, Finish, Plan, Stage};
use crate::digest::Digest;
use crate::mmr::Location;
use crate::sync::database::Held;
use crate::sync::error::Ended;
use crate::sync::target::Target;
use crate::wire::Kind;
use std::time::Duration;

impl Plan {
    /// All is here: is it what the target says? Earlier targets that no answer has tied to a later one yet are held
    /// against it as well.
    pub(super) fn check_root(&mut self, out: &mut Vec<Command>) {
        self.stage = Stage::Checking;
        out.push(Command::CheckRoot(self.open_ends()));
    }

    fn open_ends(&self) -> Vec<Location> {
        let inside = |end: &Location| self.target.range().contains(end);
        self.anchors.unlinked().filter(inside).collect()
    }

    /// The root of what is held, and those it had at the open ends.
    pub(super) fn on_root(&mut self, root: Digest, torn: bool, earlier: &[Digest], out: &mut Vec<Command>) {
        if self.stage != Stage::Checking {
            return;
        }
        if torn || root != *self.target.root() {
            return self.on_other_root(root, out);
        }
        for (end, root) in self.open_ends().into_iter().zip(earlier) {
            if let Tie::Forked(earlier) = self.anchors.on_root_at(end, root) {
                let ended = Ended::Fork {
                    earlier: earlier.into(),
                    later: self.target.clone().into(),
                    got: Some(*root),
                };
                return self.fail(ended, out);
            }
        }
        self.anchors.settle();
        let ties = self
            .requests
            .retain(|tracked| tracked.request.kind() == Kind::Operations);
        self.cancel(ties, out);
        self.stage = Stage::Reached;
        out.push(Command::Notify(self.target.clone()));
        match self.finish {
            Finish::Whenever => out.push(Command::Settle),
            Finish::Requested => self.complete(out),
            Finish::Awaited => {}
        }
    }

    fn on_other_root(&mut self, got: Digest, out: &mut Vec<Command>) {
        if self.reused() > 0 || self.anchors.prefix().is_some() {
            // W23.2: everything fetched was proven against the root, so what was here before is of another log.
            return out.push(Command::Restart);
        }
        if let Some(earlier) = self.anchors.last_unlinked() {
            // All that is held was proven in this run, under roots that were all to be trusted: they are of two logs.
            let ended = Ended::Fork {
                earlier: earlier.clone().into(),
                later: self.target.clone().into(),
                got: None,
            };
            return self.fail(ended, out);
        }
        // W23.3
        out.push(Command::Discard);
        let want = *self.target.root();
        self.fail(Ended::RootMismatch { want, got }, out);
    }

    /// Everything held has been given up. What is buffered and asked for stays.
    pub(super) fn on_restarted(&mut self, now: Duration, held: Held, out: &mut Vec<Command>) {
        self.stage = Stage::Fetching;
        // The target's last operation is looked at once.
        let guarded = held.guarded && self.held.guarded;
        self.held = Held { guarded, ..held };
        self.fetched_from = held.size;
        self.cover_again();
        self.anchors.settle_prefix();
        self.append(now, out);
        self.go_on(now, out);
    }

    /// These updates were queued when the target was reached (W6.1): retarget, or complete.
    pub(super) fn on_settled(&mut self, updates: Vec<Target>, out: &mut Vec<Command>) {
        self.on_updates(updates, out);
        if self.stage == Stage::Reached {
            self.complete(out);
        }
    }

    /// The caller says finish (E63): now if the target is reached, else when it is.
    pub(super) fn on_finish(&mut self, out: &mut Vec<Command>) {
        self.finish = Finish::Requested;
        if self.stage == Stage::Reached {
            self.complete(out);
        }
    }

    /// The caller can no longer say finish (E64).
    pub(super) fn on_finish_closed(&mut self, out: &mut Vec<Command>) {
        if self.finish == Finish::Awaited {
            self.fail(Ended::FinishChannelClosed, out);
        }
    }

    fn complete(&mut self, out: &mut Vec<Command>) {
        self.stage = Stage::Over;
        out.push(Command::Complete);
    }
}
