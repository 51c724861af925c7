//! The requests that are still wanted (ENGINE E20 to E27, W1.1).

use crate::digest::Digest;
use crate::mmr::Location;
use crate::wire::{Kind, Request};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// A request's number. They rise by one and are never used again (E20).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u64);

/// A request that has not been answered, with what its answer will be held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// Start, size, most operations and kind, as asked (W1.1).
    pub request: Request,
    /// The root over `request.size()` operations.
    pub root: Digest,
    /// When it has taken too long (W13.1).
    pub deadline: Option<Duration>,
    /// The locations that it keeps from being asked for again (W3.1); none if others do already.
    pub covers: Range<Location>,
}

/// All tracked requests, by number and by start.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    next: u64,
    by_id: BTreeMap<Id, Tracked>,
    by_start: BTreeMap<(Location, Kind), Id>,
}

impl Requests {
    /// Track a request. One of its kind that was tracked at the same start is superseded: it is returned, and no longer
    /// tracked (E21, E24).
    pub fn add(&mut self, tracked: Tracked) -> (Id, Option<(Id, Tracked)>) {
        let id = Id(self.next);
        self.next += 1;
        let old = self.by_start.insert(place(&tracked), id);
        let superseded = old.and_then(|old| Some((old, self.by_id.remove(&old)?)));
        self.by_id.insert(id, tracked);
        (id, superseded)
    }

    /// Stop tracking; `None`, and no change, if it was not tracked (E22, E23).
    pub fn remove(&mut self, id: Id) -> Option<Tracked> {
        let tracked = self.by_id.remove(&id)?;
        self.by_start.remove(&place(&tracked));
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

    /// The tracked requests, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &Tracked)> {
        self.by_id.iter().map(|(&id, tracked)| (id, tracked))
    }
}

fn place(tracked: &Tracked) -> (Location, Kind) {
    (tracked.request.start(), tracked.request.kind())
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
            deadline: None,
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
        // test_add_and_remove: E20 to E23
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
    fn removing_before_a_location_keeps_the_one_at_it() {
        // test_remove_before, _all, _empty, _none: E25
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
        // test_superseded_request, test_stale_id_after_remove_before: E20, E24, E25
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
