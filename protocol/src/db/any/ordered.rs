//! A batch on an ordered database (FORMAT F4.6), and what its next keys prove.
//!
//! # The ring
//! Every update names the next active key in key order; the last names the first, and a single one itself. So the
//! active updates form one ring, and a batch rewrites the update in front of every key that it adds or removes.
//!
//! # What a next key proves
//! An update of key `k` with next key `n`, proven at location `L` under root `R`, says of every key strictly between the
//! two (round the ring) that it was **not active behind the first commit at or above `L`**. [`excludes`] is that
//! statement.
//!
//! It does not say that the key is not active at `R`: the update may have been superseded since, and nothing in this
//! format shows of a single operation whether it is still active. Whoever needs that asks for the proof of everything
//! from `L` to the size of `R`, one contiguous range, and looks: if none of these operations updates the key, it is not
//! active at `R`. And the statement is the publisher's: a proof shows what the log says, not that whoever wrote it
//! followed F4.6.

use crate::db::draft::Writer;
use crate::db::view::{View, value_of};
use crate::db::{Batch, Error, Index, Key, Operation};
use crate::log::Journal;
use crate::mmr::{Location, Nodes};
use hashbrown::HashMap;
use std::collections::BTreeSet;
use std::ops::Bound;

/// Whether `operation` says that `key` was not active when its batch was committed. See the module docs for what that is
/// worth.
pub fn excludes(operation: &Operation<'_>, key: &Key) -> bool {
    let Operation::Update {
        key: from,
        next: Some(next),
        ..
    } = operation
    else {
        return false;
    };
    let (behind, before) = (key > from, key < next);
    if from < next {
        behind && before
    } else {
        // Round the end; a single key points to itself and excludes all others.
        behind || before
    }
}

type Outcome<T, J> = Result<T, Error<<J as Nodes>::Error>>;

/// Write parts 1 to 4 of F4.6; returns the steps of F4.5.
pub(crate) fn write<J: Journal, I: Index>(writer: &mut Writer<'_, J, I>, batch: &Batch) -> Outcome<u64, J> {
    let view = writer.view;
    let (mut deleted, mut updated, mut new) = (Vec::new(), Vec::new(), Vec::new());
    for (key, value) in batch.writes() {
        match (view.get(key)?, value) {
            (Some(_), None) => deleted.push(*key),
            (Some(_), Some(value)) => updated.push((*key, value)),
            (None, Some(value)) => new.push((*key, value)),
            (None, None) => {}
        }
    }
    let created: BTreeSet<Key> = new.iter().map(|(key, _)| *key).collect();
    let ring = Ring::new(view, &deleted, &created)?;

    for key in &deleted {
        writer.delete(*key);
    }
    let mut steps = deleted.len() as u64 + updated.len() as u64 + 1;
    for (key, value) in updated {
        writer.update(key, value, Some(ring.next(&key)?));
    }
    for (key, value) in new {
        writer.create(key, value, Some(ring.next(&key)?));
    }
    for key in created.iter().chain(&deleted) {
        let Some((before, at)) = ring.survivor_before(key)? else {
            continue;
        };
        if writer.has_written(&before) {
            continue;
        }
        let operation = view.operation(at)?;
        let value = value_of(view.keys, &before, at, &operation)?;
        writer.update(before, value, Some(ring.next(&before)?));
        steps += 1;
    }
    Ok(steps)
}

/// The neighbours of keys before and after a batch.
///
/// A survivor is a key that was active before the batch and is not deleted by it.
struct Ring<'a, J, I> {
    view: View<'a, J, I>,
    created: &'a BTreeSet<Key>,
    /// For each deleted key the survivors beside it, not round the end: so that many deleted neighbours cost one step
    /// each, and not a walk over all of them from each.
    above: HashMap<Key, Option<Key>>,
    below: HashMap<Key, Option<Key>>,
}

impl<'a, J: Journal, I: Index> Ring<'a, J, I> {
    /// `deleted` is in key order.
    fn new(view: View<'a, J, I>, deleted: &[Key], created: &'a BTreeSet<Key>) -> Outcome<Self, J> {
        let mut ring = Self {
            view,
            created,
            above: HashMap::with_capacity(deleted.len()),
            below: HashMap::with_capacity(deleted.len()),
        };
        let all: BTreeSet<&Key> = deleted.iter().collect();
        for key in deleted.iter().rev() {
            let above = view.first(Bound::Excluded(key))?;
            let survivor = match above {
                Some(next) if all.contains(&next) => ring.above.get(&next).copied().flatten(),
                next => next,
            };
            ring.above.insert(*key, survivor);
        }
        for key in deleted {
            let below = view.last(Bound::Excluded(key))?;
            let survivor = match below {
                Some(before) if all.contains(&before) => ring.below.get(&before).copied().flatten(),
                before => before,
            };
            ring.below.insert(*key, survivor);
        }
        Ok(ring)
    }

    /// The active key that follows `key` after the batch; `key` is active then.
    fn next(&self, key: &Key) -> Outcome<Key, J> {
        let next = match self.first(Bound::Excluded(key))? {
            None => self.first(Bound::Unbounded)?,
            next => next,
        };
        Ok(next.unwrap_or(*key))
    }

    fn first(&self, from: Bound<&Key>) -> Outcome<Option<Key>, J> {
        let survivor = self.view.first(from)?.and_then(|key| match self.above.get(&key) {
            Some(above) => *above,
            None => Some(key),
        });
        let created = self
            .created
            .range::<Key, _>((from, Bound::Unbounded))
            .next()
            .copied();
        Ok(survivor.into_iter().chain(created).min())
    }

    /// The survivor in front of `key`, and where its update is; `None` if nothing survives.
    fn survivor_before(&self, key: &Key) -> Outcome<Option<(Key, Location)>, J> {
        let last = |to| -> Outcome<Option<Key>, J> {
            let key = self.view.last(to)?;
            Ok(key.and_then(|key| match self.below.get(&key) {
                Some(below) => *below,
                None => Some(key),
            }))
        };
        let survivor = match last(Bound::Excluded(key))? {
            None => last(Bound::Unbounded)?,
            survivor => survivor,
        };
        let Some(survivor) = survivor else {
            return Ok(None);
        };
        Ok(self.view.get(&survivor)?.map(|at| (survivor, at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_key_excludes_what_lies_between() {
        let key = |n| [n; 32];
        // From, to, the keys of 0 to 9 in between.
        for (from, next, between) in [
            (2, 5, vec![3, 4]),
            (2, 3, vec![]),
            (7, 2, vec![0, 1, 8, 9]),
            (4, 4, vec![0, 1, 2, 3, 5, 6, 7, 8, 9]),
        ] {
            let update = Operation::Update {
                key: key(from),
                value: &[],
                next: Some(key(next)),
            };
            let excluded: Vec<_> = (0..10).filter(|&n| excludes(&update, &key(n))).collect();
            assert_eq!(excluded, between, "{from} to {next}");
        }
        let unordered = Operation::Update {
            key: key(4),
            value: &[],
            next: None,
        };
        assert!(!excludes(&unordered, &key(5)) && !excludes(&Operation::Delete(key(4)), &key(5)));
    }
}
