//! The requests that are still wanted (ENGINE E20 to E27, W1.1).

use crate::digest::Digest;
use crate::mmr::Location;
use crate::wire::{Kind, Request};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// A request's number. They rise by one and are never used again (E20).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Id(u64);

/// A request that has not been answered, with what its answer will be held against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tracked {
    /// Start, size, most operations and kind, as asked (W1.1).
    pub request: Request,
    /// The root over `request.size()` operations.
    pub root: Digest,
    /// When it was asked.
    pub asked_at: Duration,
    /// When it has taken too long (W13.1).
    pub deadline: Option<Duration>,
    /// The locations that it keeps from being asked for again (W3.1); none if others do already.
    pub covers: Range<Location>,
    /// Bytes of operations that its answer will have, about.
    pub expected_bytes: u64,
}

/// All tracked requests, by number and by start. Each call costs `O(log requests)` for each one it is about (W20.1).
#[derive(Clone, Debug, Default)]
pub struct Requests {
    next: u64,
    by_id: BTreeMap<Id, Tracked>,
    by_start: BTreeMap<(Kind, Location), Id>,
    /// By the first location covered, those that cover any.
    by_cover: BTreeMap<Location, Id>,
    expected_bytes: u64,
}

impl Requests {
    /// Track a request. One of its kind that was tracked at the same start is superseded: it is returned, and no longer
    /// tracked (E21, E24).
    pub fn add(&mut self, tracked: Tracked) -> (Id, Option<(Id, Tracked)>) {
        let id = Id(self.next);
        self.next += 1;
        let superseded = self.at(tracked.request.start(), tracked.request.kind());
        let superseded = superseded.and_then(|old| Some((old, self.remove(old)?)));
        self.by_start.insert(place(&tracked), id);
        if !tracked.covers.is_empty() {
            self.by_cover.insert(tracked.covers.start, id);
        }
        self.expected_bytes = self.expected_bytes.saturating_add(tracked.expected_bytes);
        self.by_id.insert(id, tracked);
        (id, superseded)
    }

    /// Stop tracking; `None`, and no change, if it was not tracked (E22, E23).
    pub fn remove(&mut self, id: Id) -> Option<Tracked> {
        let tracked = self.by_id.remove(&id)?;
        self.by_start.remove(&place(&tracked));
        if self.by_cover.get(&tracked.covers.start) == Some(&id) {
            self.by_cover.remove(&tracked.covers.start);
        }
        self.expected_bytes = self.expected_bytes.saturating_sub(tracked.expected_bytes);
        Some(tracked)
    }

    /// Stop tracking all whose request is no longer `wanted`, and return them (E25, E52).
    pub fn retain(&mut self, mut wanted: impl FnMut(&Tracked) -> bool) -> Vec<(Id, Tracked)> {
        let gone: Vec<_> = self
            .iter()
            .filter(|(_, tracked)| !wanted(tracked))
            .map(|(id, _)| id)
            .collect();
        gone.into_iter()
            .filter_map(|id| Some((id, self.remove(id)?)))
            .collect()
    }

    /// Stop tracking one that has taken too long. Older ones have earlier deadlines, as all get the same time.
    pub fn take_late(&mut self, now: Duration) -> Option<(Id, Tracked)> {
        let (&id, oldest) = self.by_id.first_key_value()?;
        let late = oldest.deadline.is_some_and(|deadline| deadline <= now);
        late.then(|| self.remove(id))?.map(|tracked| (id, tracked))
    }

    /// The next deadline.
    pub fn deadline(&self) -> Option<Duration> {
        self.by_id.first_key_value()?.1.deadline
    }

    /// How many are tracked.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether this one is tracked.
    pub fn contains(&self, id: Id) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The one of this kind that starts there.
    pub fn at(&self, start: Location, kind: Kind) -> Option<Id> {
        self.by_start.get(&(kind, start)).copied()
    }

    /// How many ask for pinned nodes.
    pub fn boundaries(&self) -> usize {
        self.by_start.range((Kind::Boundary, Location::ZERO)..).count()
    }

    /// The one that keeps `location` from being asked for again.
    pub fn covering(&self, location: Location) -> Option<&Tracked> {
        let (_, id) = self.by_cover.range(..=location).next_back()?;
        let tracked = self.by_id.get(id)?;
        tracked.covers.contains(&location).then_some(tracked)
    }

    /// One of those tracked.
    pub fn get(&self, id: Id) -> Option<&Tracked> {
        self.by_id.get(&id)
    }

    /// Bytes of operations that all answers together will have, about.
    pub fn expected_bytes(&self) -> u64 {
        self.expected_bytes
    }

    /// The tracked requests, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &Tracked)> {
        self.by_id.iter().map(|(&id, tracked)| (id, tracked))
    }
}

fn place(tracked: &Tracked) -> (Kind, Location) {
    (tracked.request.kind(), tracked.request.start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Location {
        Location::new(n).unwrap()
    }

    fn tracked(start: u64) -> Tracked {
        let request = Request::operations(at(1000), at(start), 10).unwrap();
        Tracked {
            covers: request.range(),
            request,
            root: Digest::default(),
            asked_at: Duration::ZERO,
            deadline: Some(Duration::from_secs(start)),
            expected_bytes: start,
        }
    }

    fn before(requests: &mut Requests, location: u64) -> Vec<u64> {
        let gone = requests.retain(|tracked| tracked.request.start() >= at(location));
        gone.into_iter()
            .map(|(_, tracked)| tracked.request.start().get())
            .collect()
    }

    fn starts(requests: &Requests) -> Vec<u64> {
        requests
            .iter()
            .map(|(_, tracked)| tracked.request.start().get())
            .collect()
    }

    #[test]
    fn added_is_tracked_and_removed_is_forgotten() {
        // T13.1.1; E20 to E23, W1.1: what is removed has everything that was asked.
        let mut requests = Requests::default();
        let (first, none) = requests.add(tracked(10));
        let (second, _) = requests.add(tracked(20));
        assert_eq!(none, None);
        assert_eq!(second.0, first.0 + 1);
        assert_eq!(starts(&requests), [10, 20]);
        assert_eq!(requests.remove(first), Some(tracked(10)));
        assert_eq!(requests.remove(first), None);
        assert!(!requests.contains(first) && requests.contains(second));
        assert_eq!((requests.len(), starts(&requests)), (1, vec![20]));
    }

    #[test]
    fn bytes_deadlines_and_cover_are_those_of_what_is_tracked() {
        // W13.1, W14.1, W20.1
        let mut requests = Requests::default();
        let ids = [10, 20, 30].map(|start| requests.add(tracked(start)).0);
        assert_eq!(requests.expected_bytes(), 60);
        assert_eq!(
            requests.covering(at(25)).map(|found| found.request.start()),
            Some(at(20))
        );
        assert_eq!(
            (requests.covering(at(9)), requests.covering(at(40))),
            (None, None)
        );
        let second = Duration::from_secs;
        assert_eq!(requests.take_late(second(9)), None);
        assert_eq!(requests.take_late(second(25)).map(|(id, _)| id), Some(ids[0]));
        assert_eq!(requests.deadline(), Some(second(20)));
        requests.remove(ids[1]);
        assert_eq!(requests.covering(at(25)), None);
        assert_eq!(
            (requests.expected_bytes(), requests.deadline()),
            (30, Some(second(30)))
        );
        assert_eq!(requests.at(at(30), Kind::Operations), Some(ids[2]));
        assert_eq!(
            (requests.at(at(30), Kind::Boundary), requests.boundaries()),
            (None, 0)
        );
    }

    #[test]
    fn removing_before_a_location_keeps_the_one_at_it() {
        // T13.1.2 to T13.1.5; E25
        let mut requests = Requests::default();
        assert!(before(&mut requests, 50).is_empty());
        for start in [10, 20, 30] {
            requests.add(tracked(start));
        }
        assert!(before(&mut requests, 10).is_empty());
        assert_eq!(before(&mut requests, 20), [10]);
        assert_eq!(before(&mut requests, 99), [20, 30]);
        assert!(requests.is_empty());
    }

    #[test]
    fn a_second_request_at_a_start_supersedes_the_first() {
        // T13.1.6, T13.1.7; E20, E24, E25
        let mut requests = Requests::default();
        let (old, _) = requests.add(tracked(10));
        let (new, superseded) = requests.add(tracked(10));
        assert_eq!((superseded, requests.len()), (Some((old, tracked(10))), 1));
        assert_eq!(requests.remove(old), None);
        assert!(requests.contains(new));
        assert_eq!(before(&mut requests, 11), [10]);
        let (third, _) = requests.add(tracked(10));
        assert!(third > new && requests.remove(new).is_none() && requests.contains(third));
        // A boundary request is another kind: it does not replace one for operations.
        let request = Request::boundary(at(1000), at(10)).unwrap();
        let (_, none) = requests.add(Tracked {
            request,
            ..tracked(10)
        });
        assert_eq!((none, requests.len()), (None, 2));
    }
}
