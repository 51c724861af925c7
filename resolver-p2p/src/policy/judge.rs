//! What an answer, or the lack of one, does to the peer and to the request.

use super::escrow::Root;
use super::fetch::{AttemptId, Caller, Delivered, Failure, FetchId, Receipt, Turn};
use super::peer::Peer;
use super::prefix::distinct;
use super::score::Offence;
use super::{Action, Policy};
use cordee_protocol::Request;
use std::time::Duration;

impl<P: Copy + Ord> Policy<P> {
    /// The transfer for `attempt` ended with `bytes`: its slot is free. Returns who waits for the bytes, if anybody
    /// still does; what was asked is then [`Self::judged`].
    ///
    /// A second answer to one ask cannot be told apart from an answer to a withdrawn one, and does nothing (P11).
    pub fn on_delivered(&mut self, now: Duration, peer: P, id: AttemptId, bytes: u64) -> Option<FetchId> {
        self.totals.answers += 1;
        self.totals.bytes_received += bytes;
        let Some(attempt) = self.release(id) else {
            self.totals.unwanted_bytes += bytes;
            self.on_stream_ended(now, peer, id);
            return None;
        };
        let record = self.peers.get_mut(&peer);
        let seconds = record.map_or(0.0, |record| record.on_delivered(now, attempt.sent));
        let wanted = match self.fetches.get_mut(&attempt.fetch) {
            Some(fetch) if fetch.is_wanted() => {
                fetch.caller = Caller::Judges {
                    peer,
                    request: attempt.request,
                    delivered: Delivered {
                        bytes,
                        sent: attempt.sent,
                        took: now.saturating_sub(attempt.sent),
                        seconds,
                    },
                };
                Some(attempt.fetch)
            }
            _ => None,
        };
        if wanted.is_none() {
            self.totals.unwanted_bytes += bytes;
            self.forget_if_over(attempt.fetch);
        }
        self.dispatch(now);
        wanted
    }

    /// What the peer was asked whose bytes the caller of `id` looks at: those are an answer to this, not to all that the
    /// caller wants.
    pub fn judged(&self, id: FetchId) -> Option<Request> {
        match self.fetches.get(&id)?.caller {
            Caller::Judges { request, .. } => Some(request),
            _ => None,
        }
    }

    /// The transfer for `attempt` ended without an answer.
    pub fn on_failed(&mut self, now: Duration, peer: P, id: AttemptId, failure: Failure) {
        let Some(attempt) = self.release(id) else {
            return self.on_stream_ended(now, peer, id);
        };
        let root = self.fetches.get(&attempt.fetch).map(|fetch| fetch.root);
        self.retry(now, attempt.fetch, peer, now + self.config.fetch.retry_pause);
        match failure {
            Failure::Timeout | Failure::Broken => {
                let new = self.new_rate();
                let config = &self.config.fetch;
                if let Some(record) = self.peers.get_mut(&peer) {
                    record.rate.on_timeout(new);
                    record.timeouts = record.timeouts.saturating_add(1);
                    record.on_setback(now, attempt.sent);
                    if let Some(more) = record.timeouts.checked_sub(config.probe_after) {
                        let pause = config.timeout_min.saturating_mul(2u32.saturating_pow(more));
                        record.paused_until = record.paused_until.max(now + pause.min(config.probe_pause));
                    }
                }
                self.penalise(now, peer, Offence::Timeout);
            }
            Failure::Malformed => {
                if let Some(root) = root {
                    self.totals.malformed += 1;
                    self.on_refused(now, peer, root);
                }
            }
            Failure::Local => {}
        }
        self.dispatch(now);
    }

    /// The bytes for `id` are not an answer of the asked shape: it waits again.
    pub fn on_turned(&mut self, now: Duration, id: FetchId, turn: Turn) {
        let Some(fetch) = self.fetches.get_mut(&id) else {
            return;
        };
        let Caller::Judges {
            peer,
            request,
            delivered,
        } = fetch.caller
        else {
            return;
        };
        fetch.caller = Caller::Waits;
        let root = fetch.root;
        let config = &self.config;
        let again = match turn {
            Turn::Busy(after) => after
                .min(config.fetch.busy_at_most)
                .max(config.fetch.busy_at_least),
            Turn::Unavailable | Turn::Refused => config.trust.unavailable_pause,
            Turn::Malformed => config.fetch.retry_pause,
        };
        self.retry(now, id, peer, now + again);
        match turn {
            Turn::Busy(_) => {
                if let Some(record) = self.peers.get_mut(&peer) {
                    record.on_setback(now, delivered.sent);
                    record.paused_until = record.paused_until.max(now + again);
                }
            }
            Turn::Unavailable | Turn::Refused => self.on_unavailable(now, peer, &request),
            Turn::Malformed => {
                self.totals.malformed += 1;
                self.on_refused(now, peer, root);
            }
        }
        self.dispatch(now);
    }

    /// The bytes for `id` have the right shape and go to the caller. Its verdict is still to come; until then a second
    /// copy stays in flight (P34).
    pub fn on_accepted(&mut self, now: Duration, id: FetchId, operations: u64) -> Option<Receipt<P>> {
        let fetch = self.fetches.get_mut(&id)?;
        let Caller::Judges {
            peer,
            request,
            delivered,
        } = fetch.caller
        else {
            return None;
        };
        fetch.caller = Caller::Has;
        self.times.on_answer(delivered.took);
        let receipt = Receipt {
            peer,
            root: fetch.root,
            delivered,
            operations,
            asked: request.max_ops(),
            fetch: id,
        };
        self.judging += 1;
        self.forget_if_over(id);
        self.dispatch(now);
        Some(receipt)
    }

    /// The caller's verdict; `None` if it has no opinion (P17).
    pub fn on_verdict(&mut self, now: Duration, receipt: &Receipt<P>, verdict: Option<bool>) {
        self.judging = self.judging.saturating_sub(1);
        let keep = self.config.hedge.keep;
        if let Some(fetch) = self.fetches.get_mut(&receipt.fetch)
            && matches!(fetch.caller, Caller::Has)
        {
            if verdict == Some(false) {
                fetch.caller = Caller::Refused { until: now + keep };
            } else {
                self.drop_fetch(now, receipt.fetch);
            }
        }
        match verdict {
            Some(true) => self.on_verified(now, receipt),
            Some(false) => self.on_refused(now, receipt.peer, receipt.root),
            None => {}
        }
        self.dispatch(now);
    }

    fn on_verified(&mut self, now: Duration, receipt: &Receipt<P>) {
        let Receipt {
            delivered,
            operations,
            peer,
            ..
        } = receipt;
        self.progress_at = now;
        let size = delivered.bytes as f64 / (*operations).max(1) as f64;
        self.operation_bytes += self.config.rate.alpha * (size - self.operation_bytes);
        if let Some(record) = self.peers.get_mut(peer) {
            let quality = receipt.quality();
            record.score.on_verified(now, quality, &self.config.trust);
            let Delivered { bytes, seconds, .. } = *delivered;
            record
                .rate
                .on_verified(bytes, seconds, quality, &self.config.rate);
            record.window.on_answer(&self.config.rate);
            record.timeouts = 0;
            record.verified_operations += operations;
            record.verified_bytes += bytes;
        }
        if self.end_parole(*peer)
            && let Some(record) = self.peers.get_mut(peer)
            && record.score.release(now, &self.config.trust)
        {
            self.count_bans();
            self.escrow.on_redeemed(&receipt.root, *peer);
            self.actions.push_back(Action::Unban { peer: *peer });
        }
        for liar in self.escrow.on_verified(now, receipt.root) {
            self.penalise(now, liar, Offence::Lie);
        }
    }

    /// `peer` gave something under `root` that no honest peer gives, if the root is right (P10, P20).
    fn on_refused(&mut self, now: Duration, peer: P, root: Root) {
        self.totals.refused += 1;
        if let Some(record) = self.peers.get_mut(&peer) {
            record.refused += 1;
        }
        if self.escrow.on_refused(now, root, peer) {
            self.penalise(now, peer, Offence::Lie);
        } else if self.escrow.is_settled(&root) {
            self.suspect_if_all_failed(now, root);
        }
        // What it gave under a root that nobody satisfied yet is no proof that it can tell the truth.
        self.revoke(now, peer);
    }

    pub(super) fn suspect_if_all_failed(&mut self, now: Duration, root: Root) {
        if self.all_failed(&root)
            && let Some(peers) = self.escrow.on_all_failed(now, root)
        {
            self.actions.push_back(Action::Suspect { root, peers });
        }
    }

    /// Whether every peer that could be asked under `root` has failed, and they are enough to tell (P20).
    fn all_failed(&self, root: &Root) -> bool {
        let config = &self.config.escrow;
        let reachable = |peer: &&Peer| peer.is_reachable() && peer.serves(root.1);
        // Who has not told its status yet may be the one that can prove it: liars must not win by being quick.
        let able = (self.peers.values())
            .filter(|peer| reachable(peer) || peer.is_unheard())
            .count();
        let failed: Vec<_> = (self.escrow.aside(root))
            .filter_map(|peer| self.peers.get(&peer))
            .filter(reachable)
            .collect();
        failed.len() == able
            && able >= config.min_peers
            && distinct(failed.iter().filter_map(|peer| peer.link)) >= config.min_prefixes
    }

    /// "Not available" to `request` (P12, P13).
    fn on_unavailable(&mut self, now: Duration, peer: P, request: &Request) {
        let pause = self.config.trust.unavailable_pause;
        let Some(record) = self.peers.get_mut(&peer) else {
            return;
        };
        // One stale status has many requests under way: they are one fault. None if a newer status has it no more.
        let fault = record.forgiven_until <= now && record.covers(request);
        record.status_due = now;
        if fault {
            record.forgiven_until = now + pause;
            self.penalise(now, peer, Offence::Unavailable);
        }
        self.ask_statuses(now);
    }

    /// The substream of a request that nobody waits for came to its end.
    fn on_stream_ended(&mut self, now: Duration, peer: P, id: AttemptId) {
        let lingered = self
            .peers
            .get_mut(&peer)
            .and_then(|record| record.lingering.remove(&id));
        if lingered.is_some() {
            self.dispatch(now);
        }
    }

    pub(super) fn penalise(&mut self, now: Duration, peer: P, offence: Offence) {
        let Some(record) = self.peers.get_mut(&peer) else {
            return;
        };
        // On parole a lie begins the next ban; any other fault lets the old one go on.
        let on_parole = record.parole_until.is_some();
        if on_parole && offence.is_provable() {
            record.score.release(now, &self.config.trust);
        }
        let ban = record.score.on_offence(now, offence, &self.config.trust);
        self.actions.push_back(Action::Penalised { peer, offence });
        if let Some(ban) = ban {
            self.end_parole(peer);
            self.release_all(now, peer);
            self.count_bans();
            self.actions.push_back(Action::Ban { peer, ban });
        } else if on_parole {
            self.revoke(now, peer);
        }
    }
}
