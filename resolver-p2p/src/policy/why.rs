//! What is known of peers, and why nothing moves, for people (P35).

use super::fetch::Fetch;
use super::peer::{Claim, Offers, Peer, View};
use super::{Action, Policy, Window};
use cordee_protocol::{Location, Request};
use std::fmt::Display;
use std::time::Duration;

impl<P: Copy + Ord> Policy<P> {
    /// Every peer that is known, in the order of their names.
    pub fn views(&self, now: Duration) -> impl Iterator<Item = View<P>> {
        self.peers.iter().map(move |(peer, record)| View {
            peer: *peer,
            state: record.state(now, &self.config),
            trust: record.score.points(now, &self.config.trust),
            rate: record.rate.bytes_per_second(),
            window: record.window.size(),
            in_flight: record.in_flight,
            operations: record.verified_operations,
            bytes: record.verified_bytes,
            refused: record.refused,
            offences: record.score.offences(),
            log: record.score.log().collect(),
            prefix: record.prefix,
            trusted: record.score.is_trusted(),
            ban: record.score.ban(),
            size: match &record.claim {
                Claim::Serves(status) => Some(status.size.get()),
                _ => None,
            },
        })
    }

    /// Who may be asked, and who of these says to hold the operation at `at`.
    pub fn offers(&self, at: Location) -> Offers {
        let mut offers = Offers::default();
        for peer in self.peers.values().filter(|peer| peer.is_reachable()) {
            offers.peers += 1;
            offers.holding += usize::from(peer.holds(at));
        }
        offers
    }

    /// Every open request, oldest first, and who is asked for it.
    pub fn asked(&self) -> impl Iterator<Item = (&Request, Vec<P>)> {
        self.fetches.values().map(|fetch| {
            let attempts = fetch.copies.iter().filter_map(|copy| self.attempts.get(copy));
            (&fetch.request, attempts.map(|attempt| attempt.peer).collect())
        })
    }

    /// When the watchdog looks next, if anything is wanted.
    pub(super) fn watchdog_due(&self) -> Option<Duration> {
        let since = self.progress_at.max(self.watched_at);
        (!self.fetches.is_empty()).then(|| since.saturating_add(self.config.fetch.watchdog))
    }

    /// Without a verified byte for long: windows start anew, and what holds each peer back is told.
    pub(super) fn watch(&mut self, now: Duration) {
        if self.watchdog_due().is_none_or(|due| due > now) {
            return;
        }
        self.watched_at = now;
        let oldest = self.fetches.values().next();
        let peers = (self.peers.iter())
            .filter(|(_, peer)| peer.link.is_some() || peer.score.ban().is_some())
            .map(|(name, peer)| (*name, self.hold(now, *name, peer, oldest)))
            .collect();
        let after = now.saturating_sub(self.progress_at);
        self.actions.push_back(Action::Stuck { after, peers });
        for peer in self.peers.values_mut() {
            peer.window = Window::new(&self.config.rate);
        }
        self.dispatch(now);
    }

    /// The rule that keeps `peer` from being asked for `fetch`, in words.
    fn hold(&self, now: Duration, name: P, peer: &Peer, fetch: Option<&Fetch<P>>) -> String {
        let seconds = |until: Duration| until.saturating_sub(now).as_secs_f64().ceil();
        if let Some(ban) = peer.score.ban().filter(|_| peer.parole_until.is_none()) {
            return format!(
                "banned for {:.0} s more: {}",
                seconds(ban.until),
                ban.reason.sentence()
            );
        }
        match &peer.claim {
            _ if peer.link.is_none() => return "not connected".into(),
            Claim::Unknown => return "has not told what it serves".into(),
            Claim::Rejected(reason) => return reason.clone(),
            Claim::Serves(_) => {}
        }
        if let Some(fetch) = fetch {
            let size = fetch.request.size().get();
            if !peer.covers(&fetch.request) {
                return format!(
                    "does not serve size {size} from {} on",
                    fetch.request.start().get()
                );
            }
            if self.escrow.is_aside(&fetch.root, name) {
                return format!("gave an answer that fails under the root of size {size}");
            }
            if let Some(again) = fetch.tried.get(&name).filter(|again| **again > now) {
                return format!("failed this request, asked again in {:.0} s", seconds(*again));
            }
        }
        if peer.paused_until > now {
            let left = seconds(peer.paused_until);
            return format!(
                "left alone for {left:.0} s more: it was busy, let deadlines pass, or went away with requests open"
            );
        }
        let asked = peer.in_flight;
        if asked > 0 {
            return format!("asked for {asked} answers, of a window of {}", peer.window.size());
        }
        if !peer.has_room(&self.config) {
            return format!("has {} substreams that do not end", peer.lingering.len());
        }
        if peer.prefix.is_shared() && !self.prefix_has_room(peer, &self.prefix_loads()) {
            return format!("too many requests with its address prefix {}", peer.prefix);
        }
        if peer.score.is_limited(now, &self.config.trust) {
            return "asked only when nobody else is left, after its faults".into();
        }
        "nothing: it is asked next".into()
    }
}

impl<P: Copy + Ord + Display> Policy<P> {
    /// Why nothing moves, as a sentence; `None` if something does, or nothing is wanted.
    pub fn why(&self, now: Duration) -> Option<String> {
        if !self.attempts.is_empty() || self.judging > 0 {
            return self.why_slow(now);
        }
        let mut waiting = self
            .fetches
            .values()
            .filter(|fetch| fetch.waits_since().is_some());
        let fetch = waiting.next()?;
        let connected = self.peers.values().filter(|peer| peer.link.is_some()).count();
        let reachable = || self.peers.iter().filter(|(_, peer)| peer.is_reachable());
        let able: Vec<_> = reachable()
            .filter(|(_, peer)| peer.covers(&fetch.request))
            .collect();
        let aside = able
            .iter()
            .filter(|(name, _)| self.escrow.is_aside(&fetch.root, **name))
            .count();
        let size = fetch.request.size().get();
        let banned = self
            .peers
            .values()
            .filter(|peer| peer.score.ban().is_some())
            .count();
        let unknown = (self.peers.values())
            .filter(|peer| peer.link.is_some() && matches!(peer.claim, Claim::Unknown))
            .count();
        Some(if let Some((name, _)) = self.paroled {
            format!("no peers: {banned} banned, of which {name} is let in for one operation")
        } else if connected == 0 && banned > 0 {
            format!("no peers: {banned} banned")
        } else if connected == 0 {
            "no peers".into()
        } else if reachable().next().is_none() && unknown > 0 {
            format!("waiting for the status of {}", peers(unknown))
        } else if reachable().next().is_none() {
            format!("none of {} is of this network and kind", peers(connected))
        } else if able.is_empty() {
            format!(
                "none of {} serves size {size} from {} on",
                peers(connected),
                fetch.request.start().get()
            )
        } else if aside == able.len() {
            format!(
                "{} size {size}: all gave answers that fail under its root",
                serving(aside)
            )
        } else if able.iter().all(|(_, peer)| peer.paused_until > now) {
            format!(
                "{} size {size}: busy, as peers limit their rate, or left alone for a while",
                serving(able.len())
            )
        } else {
            format!(
                "{} size {size}: all failed this request; asking again soon",
                serving(able.len())
            )
        })
    }

    /// Something is in flight; if nothing has verified for a while, whom everything waits for.
    fn why_slow(&self, now: Duration) -> Option<String> {
        let quiet = now.saturating_sub(self.progress_at);
        if self.fetches.is_empty() || quiet < self.config.fetch.quiet {
            return None;
        }
        let head = (self.fetches.values())
            .filter(|fetch| !fetch.copies.is_empty())
            .min_by_key(|fetch| (fetch.request.start(), fetch.request.kind()));
        let attempts = head.into_iter().flat_map(|fetch| &fetch.copies);
        let names: Vec<_> = attempts
            .filter_map(|copy| self.attempts.get(copy))
            .map(|attempt| attempt.peer.to_string())
            .collect();
        Some(if names.is_empty() {
            "verifying".into()
        } else {
            format!(
                "waiting {:.0} s for the head batch from {}",
                quiet.as_secs_f64(),
                names.join(" and ")
            )
        })
    }
}

fn peers(count: usize) -> String {
    format!("{count} {}", if count == 1 { "peer" } else { "peers" })
}

fn serving(count: usize) -> String {
    match count {
        1 => "1 peer that serves".into(),
        n => format!("{n} peers that serve"),
    }
}
