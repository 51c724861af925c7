//! When nobody else is left, the banned are let in again, one at a time and for one operation (P21).
//!
//! A ban can be wrong: a disk that went bad and was mended, a version that could not yet do what it claimed. As long as
//! others serve, that costs this node nothing. When it starves, asking one of the banned costs one round trip and is safe:
//! its answer is proven like any other.
//!
//! ```text
//!                 nobody eligible for 60 s                verified
//!   banned ------------------------------> on parole -----------------> limited (trust -20), its ban is over
//!      ^                                       |
//!      +---------------------------------------+
//!        30 s without an answer, gone, any fault: not again for 60 s; a lie makes the next ban, four times as long
//! ```
//! Who was banned by the operator is never let in.

use super::peer::{Claim, Peer};
use super::score::Offence;
use super::{Action, Policy};
use std::time::Duration;

impl<P: Copy + Ord> Policy<P> {
    /// Since when the request that waits longest has had nobody to go to, or may have.
    fn starving_since(&self) -> Option<Duration> {
        self.fetches
            .values()
            .filter_map(|fetch| fetch.waits_since())
            .min()
    }

    /// When a banned peer is to be let in, if anybody is there to be.
    pub(super) fn parole_due(&self) -> Option<Duration> {
        if self.paroled.is_some() || !self.attempts.is_empty() {
            return None;
        }
        let after = self.config.fetch.parole_after;
        let starved = self.starving_since()? + after;
        let last = self.peers.get(&self.next_parolee()?)?.paroled_at;
        // Whoever has failed is not asked over and over.
        Some(last.map_or(starved, |last| starved.max(last + after)))
    }

    /// The one that was let in longest ago, or never.
    fn next_parolee(&self) -> Option<P> {
        let fit = |peer: &Peer| {
            peer.score
                .ban()
                .is_some_and(|ban| ban.reason != Offence::Operator)
        };
        let candidates = self.peers.iter().filter(|(_, peer)| fit(peer));
        let first = candidates.min_by_key(|(_, peer)| (peer.paroled_at, peer.score.offences()));
        first.map(|(name, _)| *name)
    }

    /// Let somebody in if it is time.
    pub(super) fn parole(&mut self, now: Duration) {
        if let Some((name, until)) = self.paroled
            && until <= now
        {
            self.revoke(now, name);
        }
        if self.parole_due().is_none_or(|due| due > now) {
            return;
        }
        let until = now + self.config.fetch.parole_for;
        if let Some(name) = self.next_parolee()
            && let Some(peer) = self.peers.get_mut(&name)
        {
            peer.paroled_at = Some(now);
            peer.parole_until = Some(until);
            peer.claim = Claim::Unknown;
            (peer.status_due, peer.status_asked) = (now, None);
            self.paroled = Some((name, until));
            self.actions.push_back(Action::Parole { peer: name });
            self.ask_statuses(now);
        }
    }

    /// `peer` cannot be reached: if it is on parole, that is over.
    pub fn on_unreachable(&mut self, now: Duration, peer: P) {
        if self.paroled.is_some_and(|(name, _)| name == peer) {
            self.revoke(now, peer);
            self.parole(now);
        }
    }

    /// End the parole of `peer`; its ban goes on. Returns whether it was on parole.
    pub(super) fn revoke(&mut self, now: Duration, peer: P) -> bool {
        let on_parole = self.end_parole(peer);
        if on_parole {
            self.release_all(now, peer);
            if let Some(record) = self.peers.get_mut(&peer) {
                record.claim = Claim::Unknown;
            }
            self.actions.push_back(Action::Revoke { peer });
        }
        on_parole
    }

    /// Whether `peer` was on parole; it is no longer.
    pub(super) fn end_parole(&mut self, peer: P) -> bool {
        let on_parole = self.paroled.is_some_and(|(name, _)| name == peer);
        if on_parole {
            self.paroled = None;
            if let Some(record) = self.peers.get_mut(&peer) {
                record.parole_until = None;
            }
        }
        on_parole
    }
}
