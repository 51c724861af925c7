//! Who loses a connection that it made to this node when places become few: pure.
//!
//! Connections that others make have a limit, and one person can make them all. Who speaks the protocol tells its status within
//! moments. Who does not is of no use here, and goes as soon as more than half of the places are taken: so there is always one for
//! who comes next. Peers that this node dialled, and those that told a status, are never closed here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a peer may take to tell its status, where places are few.
const STATUS_WITHIN: Duration = Duration::from_secs(10);

/// Connections that others made. `P` names a peer.
#[derive(Debug)]
pub(super) struct Places<P> {
    /// More than so many are few.
    half: usize,
    /// Those that told no status, by the time they came; `true`: they will never be asked.
    useless: BTreeMap<P, (Instant, bool)>,
    /// How many connections each peer made.
    made: BTreeMap<P, usize>,
}

impl<P: Copy + Ord> Places<P> {
    /// Of so many places.
    pub(super) fn new(places: usize) -> Self {
        Self {
            half: places / 2,
            useless: BTreeMap::new(),
            made: BTreeMap::new(),
        }
    }

    /// `peer` has connected to this node.
    pub(super) fn on_made(&mut self, now: Instant, peer: P) {
        let made = self.made.entry(peer).or_default();
        *made += 1;
        if *made == 1 {
            self.useless.insert(peer, (now, false));
        }
    }

    /// One of the connections that `peer` made is gone.
    pub(super) fn on_gone(&mut self, peer: P) {
        if let Some(made) = self.made.get_mut(&peer) {
            *made -= 1;
            if *made == 0 {
                self.made.remove(&peer);
                self.useless.remove(&peer);
            }
        }
    }

    /// This node has dialled `peer`, or it has told what it serves.
    pub(super) fn on_useful(&mut self, peer: P) {
        self.useless.remove(&peer);
    }

    /// `peer` does not speak the protocol, or is of another network.
    pub(super) fn on_useless(&mut self, now: Instant, peer: P) {
        if self.made.contains_key(&peer) {
            self.useless.insert(peer, (now, true));
        }
    }

    /// Whom to disconnect now.
    pub(super) fn to_close(&self, now: Instant) -> Vec<P> {
        let few = self.made.len().saturating_sub(self.half);
        let due = |(_, (since, never)): &(&P, &(Instant, bool))| {
            *never || now.duration_since(*since) >= STATUS_WITHIN
        };
        self.useless
            .iter()
            .filter(due)
            .take(few)
            .map(|(peer, _)| *peer)
            .collect()
    }

    /// When [`Self::to_close`] may name somebody next, if ever.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.made.len() <= self.half {
            return None;
        }
        let waiting = self.useless.values().filter(|(_, never)| !never);
        waiting.map(|(since, _)| *since + STATUS_WITHIN).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p23_who_is_of_no_use_makes_room_when_places_are_few_and_nobody_else_does() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut places = Places::new(8);
        for peer in 0..4 {
            places.on_made(at(0), peer);
            places.on_useless(at(0), peer);
        }
        assert!(places.to_close(at(100)).is_empty(), "there is room");
        assert_eq!(places.poll_timeout(), None);
        // Honest ones come: as many of the others go as are too many.
        for peer in 10..12 {
            places.on_made(at(1), peer);
            places.on_useful(peer);
        }
        assert_eq!(places.to_close(at(1)), [0, 1]);
        for peer in [0, 1, 2, 3] {
            places.on_gone(peer);
        }
        // Who says nothing has its time.
        for peer in 20..24 {
            places.on_made(at(2), peer);
        }
        assert!(places.to_close(at(11)).is_empty());
        assert_eq!(places.poll_timeout(), Some(at(12)));
        assert_eq!(places.to_close(at(12)), [20, 21]);
        places.on_useful(20);
        assert_eq!(places.to_close(at(12)), [21, 22]);
        // A second connection of a peer is not another peer.
        places.on_made(at(12), 21);
        places.on_gone(21);
        assert!(places.to_close(at(12)).contains(&21));
        // Full of honest ones: nobody is closed.
        let mut places = Places::new(8);
        for peer in 0..8 {
            places.on_made(at(0), peer);
            places.on_useful(peer);
        }
        assert!(places.to_close(at(1000)).is_empty());
        places.on_useless(at(0), 99);
        assert!(places.to_close(at(1000)).is_empty(), "one that this node dialled");
    }
}
