//! Later targets: which one to go on to, and what of the work so far stays (ENGINE 8, W5, W22, W27).

use super::{Command, Plan, Stage, left_over};
use crate::sync::database::Held;
use crate::sync::error::Ended;
use crate::sync::target::Target;
use crate::wire::Kind;
use std::time::Duration;

impl Plan {
    /// Updates have arrived: go straight to the newest that advances (E50 to E56, W5, W27).
    pub(super) fn on_updates(&mut self, updates: Vec<Target>, out: &mut Vec<Command>) {
        let mut newest = self.target.clone();
        for update in updates {
            if update.end() <= newest.end() || update.start() < newest.start() {
                if self.config.strict_updates {
                    let (old, new) = (Box::new(newest), Box::new(update));
                    return self.fail(Ended::SyncTargetMovedBackward { old, new }, out);
                }
                self.counts.stale_updates += 1;
            } else if update.root() == newest.root() {
                return self.fail(Ended::SyncTargetRootUnchanged(Box::new(update)), out);
            } else {
                newest = update;
            }
        }
        if newest != self.target {
            self.retarget(newest, out);
        }
    }

    fn retarget(&mut self, target: Target, out: &mut Vec<Command>) {
        let old = std::mem::replace(&mut self.target, target.clone());
        let retained = self.config.max_retained_roots;
        self.counts.retargets += 1;
        self.stage = Stage::Fetching;
        self.anchors.on_update(old, retained);
        // Kept: what is still in range and can still be judged (W22.4). The boundary is asked for again under the new root
        // (E52); an answer under a root that is retained no more could not be judged, so none is waited for; and an earlier
        // target's last operation shows nothing of this one.
        let (anchors, guarded) = (&self.anchors, self.held.guarded);
        let gone = self.requests.retain(|tracked| {
            let request = &tracked.request;
            let useful = match request.kind() {
                Kind::Operations => request.range().end > target.start(),
                Kind::Boundary => {
                    let start = request.start();
                    start != target.start() && anchors.wanted(target.range()).any(|at| at == start)
                }
            };
            !guarded && useful && anchors.retains(request.size(), retained)
        });
        self.cancel(gone, out);
        self.drop_below(target.start(), out);
        out.push(Command::Retarget(target));
    }

    /// The database has been fitted to the new target.
    pub(super) fn on_retargeted(&mut self, now: Duration, held: Held, out: &mut Vec<Command>) {
        if held.size != self.held.size {
            // More of what lies on the disk is in range now, or nothing of it is.
            self.fetched_from = held.size;
        }
        self.held = held;
        self.unmakes = held.guarded;
        self.cover_again();
        if let Some((size, root)) = left_over(&held) {
            self.anchors.set_prefix(now, size, root);
        } else if held.size == self.target.start() && !held.pinned {
            // Nothing is left of an earlier run.
            self.anchors.settle_prefix();
        }
        self.drop_below(held.size, out);
        self.append(now, out);
        self.go_on(now, out);
    }
}
