//! Callers come and go, slots are given back (P3).

use super::Policy;
use super::fetch::{Attempt, AttemptId, Caller, Fetch, FetchId};
use cordee_protocol::{Digest, Request};
use std::collections::BTreeMap;
use std::time::Duration;

impl<P: Copy + Ord> Policy<P> {
    /// A caller wants `request` under `root`.
    ///
    /// Whoever refused an answer to the same, and has a second copy of it in flight, gets its number back with that copy
    /// (P34).
    pub fn on_ask(&mut self, now: Duration, request: Request, root: Digest) -> FetchId {
        if self.fetches.is_empty() {
            // What was not wanted could not be had.
            self.progress_at = now;
        }
        let root = (root, request.size());
        let refused = self.fetches.iter_mut().find(|(_, fetch)| {
            matches!(fetch.caller, Caller::Refused { .. }) && fetch.request == request && fetch.root == root
        });
        if let Some((id, fetch)) = refused {
            fetch.caller = Caller::Waits;
            return *id;
        }
        self.next += 1;
        let id = FetchId(self.next);
        let fetch = Fetch {
            request,
            root,
            caller: Caller::Waits,
            copies: Vec::new(),
            since: now,
            hedge_after: now,
            tried: BTreeMap::new(),
        };
        self.fetches.insert(id, fetch);
        self.dispatch(now);
        id
    }

    /// The caller no longer wants it (P17).
    pub fn on_withdraw(&mut self, now: Duration, id: FetchId) {
        self.drop_fetch(now, id);
        self.dispatch(now);
    }

    /// Take back what is in flight for `id`, at no cost to anybody, and forget it.
    pub(super) fn drop_fetch(&mut self, now: Duration, id: FetchId) {
        let copies = self.fetches.remove(&id).map(|fetch| fetch.copies);
        for copy in copies.unwrap_or_default() {
            if let Some(attempt) = self.release(copy) {
                let new = self.new_rate();
                if let Some(peer) = self.peers.get_mut(&attempt.peer) {
                    let seconds = now.saturating_sub(attempt.sent + peer.trip).as_secs_f64();
                    peer.rate.at_most(attempt.ahead as f64 / seconds.max(1e-9), new);
                }
                self.linger(now, attempt.peer, copy);
            }
        }
    }

    /// Forget second copies for which the caller did not ask again in time.
    pub(super) fn drop_refused(&mut self, now: Duration) {
        let due = |fetch: &Fetch<P>| matches!(fetch.caller, Caller::Refused { until } if until <= now);
        let due: Vec<_> = (self.fetches.iter())
            .filter(|(_, fetch)| due(fetch))
            .map(|(id, _)| *id)
            .collect();
        due.into_iter().for_each(|id| self.drop_fetch(now, id));
    }

    /// Take the slot of `attempt` back.
    pub(super) fn release(&mut self, id: AttemptId) -> Option<Attempt<P>> {
        let attempt = self.attempts.remove(&id)?;
        if let Some(peer) = self.peers.get_mut(&attempt.peer) {
            peer.in_flight = peer.in_flight.saturating_sub(1);
            peer.bytes_in_flight = peer.bytes_in_flight.saturating_sub(attempt.bytes);
        }
        if let Some(fetch) = self.fetches.get_mut(&attempt.fetch) {
            fetch.copies.retain(|copy| *copy != id);
        }
        Some(attempt)
    }

    /// Take back all slots of `peer`; returns whether there were any. Their requests wait again.
    pub(super) fn release_all(&mut self, now: Duration, peer: P) -> bool {
        let of_peer = self.attempts.iter().filter(|(_, attempt)| attempt.peer == peer);
        let ids: Vec<_> = of_peer.map(|(id, _)| *id).collect();
        for id in &ids {
            if let Some(attempt) = self.release(*id) {
                self.retry(now, attempt.fetch, peer, now + self.config.fetch.retry_pause);
            }
        }
        !ids.is_empty()
    }

    /// `peer` has failed `id`, which goes elsewhere.
    pub(super) fn retry(&mut self, now: Duration, id: FetchId, peer: P, again: Duration) {
        if let Some(fetch) = self.fetches.get_mut(&id) {
            fetch.retry(now, peer, again);
            self.totals.retried += u64::from(fetch.waits_since().is_some());
        }
        self.forget_if_over(id);
    }

    pub(super) fn forget_if_over(&mut self, id: FetchId) {
        if self.fetches.get(&id).is_some_and(Fetch::is_over) {
            self.fetches.remove(&id);
        }
    }

    /// The substream of `attempt` runs on although nobody waits for it.
    pub(super) fn linger(&mut self, now: Duration, peer: P, attempt: AttemptId) {
        let gone = now + self.config.fetch.stream_lifetime;
        if let Some(record) = self.peers.get_mut(&peer)
            && record.link.is_some()
        {
            record.lingering.insert(attempt, gone);
        }
    }
}
