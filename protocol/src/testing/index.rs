//! The contract of [`Index`], as a suite that every implementation runs against a map that cannot be wrong.
//!
//! [`Played`] makes changes as a database does: batches whose keys are few, so that they are moved, deleted and made again
//! many times, with a floor that rises. The same seed plays the same game on every implementation.

use crate::db::index::{Covered, Index};
use crate::db::{Family, Key, Kind};
use crate::digest::Digest;
use crate::mmr::Location;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Draws numbers from a seed.
#[derive(Clone, Debug)]
struct Draw(Digest);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = Digest::of(&[&self.0.0]);
        let bytes = self.0.0.first_chunk().copied().unwrap_or_default();
        u64::from_le_bytes(bytes) % n
    }
}

/// An index, and what it must hold.
#[derive(Debug)]
pub struct Played<I> {
    /// The index.
    pub index: I,
    kind: Kind,
    /// The active keys.
    model: BTreeMap<Key, Location>,
    draw: Draw,
    keys: u64,
    size: u64,
    start: u64,
    /// As of the last cover: what a reopened index is held against.
    durable: Vec<(Covered, BTreeMap<Key, Location>)>,
}

impl<I: Index> Played<I> {
    /// Begin with an empty `index` for `kind`. `keys`: how many there are to draw from.
    pub fn new(index: I, kind: Kind, seed: u64, keys: u64) -> Self {
        Self {
            index,
            kind,
            model: BTreeMap::new(),
            draw: Draw(Digest::of(&[&seed.to_be_bytes()])),
            keys,
            size: 0,
            start: 0,
            durable: Vec::new(),
        }
    }

    /// Key `n`: neighbours share most of their bytes, as keys that are no hashes do.
    fn key(n: u64) -> Key {
        let mut key = [7; 32];
        key[if n.is_multiple_of(3) { 0 } else { 31 }] = (n >> 8) as u8;
        key[30] = n as u8;
        key
    }

    fn at(&self) -> Location {
        Location::new(self.size).unwrap_or_default()
    }

    fn change(&mut self) -> (Key, Option<Location>) {
        let key = Self::key(self.draw.below(self.keys));
        let at = self.at();
        self.size += 1;
        if self.kind.is_any() && self.draw.below(4) == 0 {
            self.model.remove(&key);
            (key, None)
        } else {
            self.model.insert(key, at);
            (key, Some(at))
        }
    }

    /// Apply a batch of `writes` changes.
    pub fn apply(&mut self, writes: u64) {
        // A batch moves each key once.
        let changes: BTreeMap<_, _> = (0..writes).map(|_| self.change()).collect();
        self.size += 1;
        self.index.apply(changes, self.model.len());
    }

    /// Replay `operations` changes, as behind the place up to where an index follows.
    ///
    /// # Errors
    /// The index's.
    pub fn replay(&mut self, operations: u64) -> Result<(), I::Error> {
        for _ in 0..operations {
            let (key, at) = self.change();
            self.index.defer(&key, at);
        }
        self.size += 1;
        self.index.settle(Location::ZERO)
    }

    /// Replay `operations` changes into a fresh index, which then is the index.
    ///
    /// # Errors
    /// The index's.
    pub fn rebuild(&mut self, operations: u64) -> Result<(), I::Error> {
        self.index = self.index.fresh(operations);
        self.model.clear();
        self.start = self.size;
        self.replay(operations)
    }

    /// Say that the log is durable.
    ///
    /// # Errors
    /// The index's.
    pub fn cover(&mut self, bytes: u64) -> Result<(), I::Error> {
        let covered = Covered {
            range: Location::new(self.start).unwrap_or_default()..self.at(),
            root: Digest::of(&[&self.size.to_be_bytes()]),
            floor: Location::ZERO,
        };
        self.durable.push((covered.clone(), self.model.clone()));
        self.index.cover(covered, bytes)
    }

    /// Forget some of the oldest operations.
    ///
    /// # Errors
    /// The index's.
    pub fn forget(&mut self) -> Result<(), I::Error> {
        let left = self.size - self.start;
        self.start += self.draw.below(left / 2 + 1);
        let start = Location::new(self.start).unwrap_or_default();
        self.model.retain(|_, at| *at >= start);
        self.index.forget_below(start)
    }

    /// `index` was opened again: go on from what it says it follows, which is one of the covered states; or, if it follows
    /// none, from an empty one. Returns whether it followed one.
    ///
    /// # Panics
    /// If it claims another state.
    pub fn reopen(&mut self, index: I) -> bool {
        let covered = index.covered();
        self.index = match &covered {
            Ok(_) => index,
            Err(_) => index.fresh(0),
        };
        let Ok(covered) = covered else {
            self.model.clear();
            self.start = self.size;
            return false;
        };
        let state = self.durable.iter().rev().find(|(state, _)| *state == covered);
        let (_, model) = state.expect("a state that was covered");
        self.model = model.clone();
        (self.start, self.size) = (covered.range.start.get(), covered.range.end.get());
        true
    }

    /// Hold everything that can be asked against the model.
    ///
    /// # Errors
    /// The index's.
    ///
    /// # Panics
    /// If it answers wrongly.
    pub fn check(&self, case: &str) -> Result<(), I::Error> {
        let (index, model) = (&self.index, &self.model);
        assert_eq!(index.len(), model.len(), "{case}: count");
        let sorted = self.kind.family() == Family::AnyOrdered;
        for n in 0..self.keys {
            let key = Self::key(n);
            assert_eq!(
                index.get(&key)?,
                model.get(&key).copied(),
                "{case}: {}",
                Digest(key)
            );
            for bound in [Bound::Included(&key), Bound::Excluded(&key)] {
                if !n.is_multiple_of(5) {
                    continue;
                }
                let after = model.range::<Key, _>((bound, Bound::Unbounded)).next();
                let before = model.range::<Key, _>((Bound::Unbounded, bound)).next_back();
                let want = |found: Option<(&Key, _)>| found.map(|(key, _)| *key).filter(|_| sorted);
                assert_eq!(index.first(bound)?, want(after), "{case}: first {}", Digest(key));
                assert_eq!(index.last(bound)?, want(before), "{case}: last {}", Digest(key));
            }
        }
        let ends = (index.first(Bound::Unbounded)?, index.last(Bound::Unbounded)?);
        let key = |found: Option<(&Key, _)>| found.map(|(key, _)| *key).filter(|_| sorted);
        let want = (key(model.first_key_value()), key(model.last_key_value()));
        assert_eq!(ends, want, "{case}: ends");
        assert_eq!(index.get(&[0xff; 32])?, None, "{case}: a key that never was");
        Ok(())
    }
}

/// Hold an index that `make` makes, empty, for a kind to all its claims while it is open.
///
/// # Panics
/// If it does not keep one.
pub fn run<I: Index>(make: impl Fn(Kind) -> I) {
    for family in [Family::AnyUnordered, Family::AnyOrdered, Family::Immutable] {
        let kind = Kind::variable(family);
        for seed in 0..8 {
            let mut played = Played::new(make(kind), kind, seed, 30 + 30 * seed);
            let play = |played: &mut Played<I>| -> Result<(), I::Error> {
                for step in 0..40 {
                    let case = format!("{}, seed {seed}, step {step}", kind.name());
                    match played.draw.below(12) {
                        0 => played.rebuild(seed * 20)?,
                        1 => played.replay(50)?,
                        2 if family == Family::Immutable => played.forget()?,
                        _ => played.apply(seed),
                    }
                    if step % 3 == 0 {
                        played.cover(1 << (2 * seed))?;
                    }
                    if step % 7 == 0 {
                        played.check(&case)?;
                    }
                }
                played.check("at the end")
            };
            if let Err(error) = play(&mut played) {
                panic!("seed {seed}: {error}");
            }
        }
    }
    let kind = Kind::variable(Family::Keyless);
    let index = make(kind).fresh(10);
    assert!(index.is_empty());
    assert!(matches!(index.get(&[1; 32]), Ok(None)));
}
