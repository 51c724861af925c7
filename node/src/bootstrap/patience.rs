//! How long a sync waits for peers, for progress, and for somebody who can prove its target. Pure; time is an argument.

use crate::network::{Suspect, View};
use cordee_protocol::Location;
use cordee_protocol::sync::progress::{Progress, Waiting};
use libp2p::PeerId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a suspicion waits for peers that cannot be reached yet, and for each that could be since to answer: liars must not win
/// by being the first. Long enough for a few dials that fail.
const SUSPECT_AFTER: Duration = Duration::from_secs(10);

/// Since when there is nothing.
#[derive(Debug)]
pub(super) struct Patience {
    now: Instant,
    peer_seen: Instant,
    moved: Instant,
    seen: (u64, Location),
    /// Connected peers that may be asked: since when, or since when they told what they serve, and whether they have. Bounded by
    /// the connection limit.
    met: BTreeMap<PeerId, (bool, Instant)>,
}

impl Patience {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            now,
            peer_seen: now,
            moved: now,
            seen: (0, Location::ZERO),
            met: BTreeMap::new(),
        }
    }

    /// So it looks now.
    pub(super) fn on_look(&mut self, now: Instant, view: &View, progress: &Progress) {
        self.now = now;
        if progress.waiting == Waiting::Finish {
            // At the target nothing is wanted of anybody.
            (self.peer_seen, self.moved) = (now, now);
        }
        let usable = (view.connected.iter()).filter(|(_, rejected)| rejected.is_none());
        let met = usable.map(|(peer, _)| {
            let is_ready = view.ready.contains(peer);
            let known = self.met.get(peer).filter(|(was_ready, _)| *was_ready == is_ready);
            (*peer, known.copied().unwrap_or((is_ready, now)))
        });
        self.met = met.collect();
        if !self.met.is_empty() {
            self.peer_seen = now;
        }
        let seen = (progress.fetched_ops, progress.size);
        if seen != self.seen {
            (self.moved, self.seen) = (now, seen);
        }
    }

    pub(super) fn without_peers(&self) -> Duration {
        self.now - self.peer_seen
    }

    pub(super) fn without_progress(&self) -> Duration {
        self.now - self.moved
    }

    /// Whether `suspect` is the end: never once an answer has verified, and not as long as an honest peer may be missing or had no
    /// time to answer. The policy tells anew who failed only after a minute, so whoever came since has its time, and no more.
    pub(super) fn is_suspect(&self, suspect: &Suspect, view: &View) -> bool {
        let is_short = |since: Instant| self.now - since < SUSPECT_AFTER;
        let (fetched, _) = self.seen;
        let mut others = (self.met.iter()).filter(|(peer, _)| !suspect.peers.contains(peer));
        let is_awaited =
            !view.is_complete() && is_short(self.moved) || others.any(|(_, (_, since))| is_short(*since));
        fetched == 0 && !is_awaited
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordee_protocol::Digest;

    /// `connected` peers, those of them that are `ready`, and so many addresses that are not reached.
    fn view(connected: &[PeerId], ready: &[PeerId], unreached: usize) -> View {
        let address = || ("/ip4/10.0.0.1/tcp/7370".parse().unwrap(), "refused".to_owned());
        View {
            connected: connected.iter().map(|peer| (*peer, None)).collect(),
            ready: ready.iter().copied().collect(),
            problems: (0..unreached).map(|_| address()).collect(),
            ..View::default()
        }
    }

    #[test]
    fn patience_ends_without_peers_or_without_progress() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        let mut progress = Progress::default();
        let peer = [PeerId::random()];
        let (nobody, somebody) = (view(&[], &[], 0), view(&peer, &peer, 0));
        // seconds, peers, operations fetched; seconds without peers, without progress
        for (at, view, fetched, alone, stuck) in [
            (1, &nobody, 0, 1, 1),
            (2, &somebody, 0, 0, 2),
            (3, &somebody, 5, 0, 0),
            (4, &nobody, 6, 1, 0),
            (9, &nobody, 6, 6, 5),
        ] {
            progress.fetched_ops = fetched;
            patience.on_look(start + Duration::from_secs(at), view, &progress);
            let got = (
                patience.without_peers().as_secs(),
                patience.without_progress().as_secs(),
            );
            assert_eq!(got, (alone, stuck), "after {at} s");
        }
    }

    #[test]
    fn a_suspicion_waits_for_peers_and_ends_with_the_first_proof() {
        let liars: Vec<_> = (0..3).map(|_| PeerId::random()).collect();
        let late = [&liars[..], &[PeerId::random()]].concat();
        let suspect = Suspect {
            root: Digest([1; 32]),
            size: Location::ZERO,
            peers: liars.clone(),
        };
        let (all, missing) = (view(&liars, &liars, 0), view(&liars, &liars, 1));
        let (unheard, heard) = (view(&late, &liars, 0), view(&late, &late, 0));
        let found = View {
            coming: 1,
            ..all.clone()
        };
        // second, what is seen, operations fetched; whether it is the end
        type Look<'a> = (u64, &'a View, u64, bool);
        let stories: [(&str, &[Look<'_>]); 7] = [
            ("everybody was asked", &[(5, &all, 0, true)]),
            (
                "an honest peer may be on its way, and had its time",
                &[(5, &missing, 0, false), (10, &missing, 0, true)],
            ),
            (
                "as may be one that nobody listed",
                &[(5, &found, 0, false), (10, &found, 0, true)],
            ),
            (
                "one comes, and proves a part",
                &[
                    (5, &missing, 0, false),
                    (7, &unheard, 0, false),
                    (8, &heard, 0, false),
                    (12, &heard, 0, false),
                    (13, &heard, 1, false),
                    (60, &heard, 1, false),
                ],
            ),
            (
                "one comes, and fails or says nothing",
                &[
                    (7, &unheard, 0, false),
                    (16, &heard, 0, false),
                    (25, &heard, 0, false),
                    (26, &heard, 0, true),
                ],
            ),
            (
                "one comes, and goes",
                &[
                    (5, &missing, 0, false),
                    (9, &unheard, 0, false),
                    (15, &unheard, 0, false),
                    (16, &all, 0, true),
                ],
            ),
            (
                "one was there all the time, and cannot be asked for this target",
                &[
                    (0, &heard, 0, false),
                    (9, &heard, 0, false),
                    (10, &heard, 0, true),
                ],
            ),
        ];
        for (case, looks) in stories {
            let start = Instant::now();
            let mut patience = Patience::new(start);
            for (at, view, fetched, expected) in looks {
                let progress = Progress {
                    fetched_ops: *fetched,
                    ..Progress::default()
                };
                patience.on_look(start + Duration::from_secs(*at), view, &progress);
                let got = patience.is_suspect(&suspect, view);
                assert_eq!(got, *expected, "{case}, after {at} s");
            }
        }
    }
}
