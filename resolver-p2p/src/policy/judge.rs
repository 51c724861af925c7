//! What an answer, or the lack of one, does to the peer and to the request.

use super::escrow::Root;
use super::fetch::{AttemptId, Delivered, Failure, FetchId, Receipt, Stage, Turn};
use super::peer::Peer;
use super::prefix::distinct;
use super::score::Offence;
use super::{Action, Policy};
use std::time::Duration;

impl<P: Copy + Ord> Policy<P> {
    /// The transfer for `attempt` ended with `bytes`: its slot is free. Returns who waits for the bytes, if anybody
    /// still does.
    pub fn on_delivered(&mut self, now: Duration, peer: P, id: AttemptId, bytes: u64) -> Option<FetchId> {
        self.totals.answers += 1;
        self.totals.bytes_received += bytes;
        let depth = self.peers.get(&peer).map_or(1, |record| record.in_flight);
        let Some(attempt) = self.release(id) else {
            self.on_stream_ended(now, peer, id);
            return None;
        };
        if let Some(record) = self.peers.get_mut(&peer) {
            record.window.on_answer(&self.config.rate);
        }
        let delivered = Delivered {
            bytes,
            seconds: now.saturating_sub(attempt.sent).as_secs_f64(),
            shared: (attempt.depth + depth) as f64 / 2.0,
        };
        if let Some(fetch) = self.fetches.get_mut(&attempt.fetch) {
            fetch.stage = Stage::Judging { peer, delivered };
        }
        self.dispatch(now);
        Some(attempt.fetch)
    }

    /// The transfer for `attempt` ended without an answer.
    pub fn on_failed(&mut self, now: Duration, peer: P, id: AttemptId, failure: Failure) {
        let Some(attempt) = self.release(id) else {
            return self.on_stream_ended(now, peer, id);
        };
        self.retry(now, attempt.fetch, peer, now + self.config.fetch.retry_pause);
        match failure {
            Failure::Timeout | Failure::Broken => {
                if let Some(record) = self.peers.get_mut(&peer) {
                    record.rate.on_timeout();
                    record.window.on_setback();
                }
                self.penalise(now, peer, Offence::Timeout);
            }
            Failure::Malformed => {
                let root = self.fetches.get(&attempt.fetch).map(|fetch| fetch.root);
                if let Some(root) = root {
                    self.on_refused(now, peer, root);
                }
            }
            Failure::Local => {}
        }
        self.dispatch(now);
    }

    /// The bytes for `id` are not an answer of the asked shape: it waits again.
    pub fn on_turned(&mut self, now: Duration, id: FetchId, turn: Turn) {
        let Some(fetch) = self.fetches.get(&id) else {
            return;
        };
        let Stage::Judging { peer, .. } = fetch.stage else {
            return;
        };
        let root = fetch.root;
        let config = self.config.clone();
        let again = match turn {
            Turn::Busy(after) => after.min(config.fetch.busy_at_most),
            Turn::Unavailable | Turn::Refused => config.trust.unavailable_pause,
            Turn::Malformed => config.fetch.retry_pause,
        };
        self.retry(now, id, peer, now + again);
        match turn {
            Turn::Busy(_) => {
                if let Some(record) = self.peers.get_mut(&peer) {
                    record.window.on_setback();
                    record.paused_until = record.paused_until.max(now + again);
                }
            }
            // Only peers whose status covers a request are asked for it, so it was advertised.
            Turn::Unavailable | Turn::Refused => self.on_unavailable(now, peer),
            Turn::Malformed => self.on_refused(now, peer, root),
        }
        self.dispatch(now);
    }

    /// The bytes for `id` have the right shape and go to the caller. The request ends; its verdict is still to come.
    pub fn on_accepted(&mut self, now: Duration, id: FetchId, operations: u64) -> Option<Receipt<P>> {
        let fetch = self.fetches.get(&id)?;
        let Stage::Judging { peer, delivered } = fetch.stage else {
            return None;
        };
        let receipt = Receipt {
            peer,
            root: fetch.root,
            delivered,
            operations,
            asked: fetch.request.max_ops(),
        };
        self.fetches.remove(&id);
        self.dispatch(now);
        Some(receipt)
    }

    /// The caller's verdict; `None` if it has no opinion (P17).
    pub fn on_verdict(&mut self, now: Duration, receipt: &Receipt<P>, verdict: Option<bool>) {
        match verdict {
            Some(true) => self.on_verified(now, receipt),
            Some(false) => self.on_refused(now, receipt.peer, receipt.root),
            None => return,
        }
        self.dispatch(now);
    }

    fn on_verified(&mut self, now: Duration, receipt: &Receipt<P>) {
        let Receipt {
            delivered,
            operations,
            ..
        } = receipt;
        let size = delivered.bytes as f64 / (*operations).max(1) as f64;
        self.operation_bytes += self.config.rate.alpha * (size - self.operation_bytes);
        if let Some(record) = self.peers.get_mut(&receipt.peer) {
            let quality = receipt.quality();
            record.score.on_verified(now, quality, &self.config.trust);
            let Delivered {
                bytes,
                seconds,
                shared,
            } = *delivered;
            record
                .rate
                .on_verified(bytes, seconds, shared, quality, &self.config.rate);
            record.verified_operations += operations;
            record.verified_bytes += bytes;
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
        } else if self.all_failed(&root)
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

    fn on_unavailable(&mut self, now: Duration, peer: P) {
        let pause = self.config.trust.unavailable_pause;
        let Some(record) = self.peers.get_mut(&peer) else {
            return;
        };
        // One stale status has many requests under way: they are one fault.
        let fault = record.forgiven_until <= now;
        record.status_due = now;
        if fault {
            record.forgiven_until = now + pause;
        }
        if fault {
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
        let ban = record.score.on_offence(now, offence, &self.config.trust);
        self.actions.push_back(Action::Penalised { peer, offence });
        if let Some(ban) = ban {
            self.release_all(now, peer);
            self.actions.push_back(Action::Ban { peer, ban });
        }
    }
}
