//! Random histories of every kind against a slow model: FORMAT F4.4 to F4.9 word by word over a plain map and a plain
//! list of operations. Drafts in chains, pruning, reopening and rewinding must not change a bit of what follows.

mod model;

use cordee_protocol::db::any::ordered;
use cordee_protocol::db::{Db, Draft, Error, Family, KINDS, Key, Kind, Operation};
use cordee_protocol::log::MemoryJournal;
use cordee_protocol::{Digest, Location};
use model::{Active, Model, Writes};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::Bound::{Excluded, Unbounded};

const KEYS: u64 = 24;
const SEEDS: u64 = 12;

/// Key number `i`; the first byte of all keys is one of two.
fn key(i: u64) -> Key {
    let mut key = Digest::of(&[&i.to_be_bytes()]).0;
    key[0] &= 1;
    key
}

fn location(n: u64) -> Location {
    Location::new(n).unwrap()
}

fn random_writes(random: &mut ChaCha8Rng, model: &Model, fresh: &mut u64) -> Writes {
    let kind = model.kind;
    let value = |random: &mut ChaCha8Rng| {
        let length = kind.value_size().unwrap_or(random.random_range(0..40));
        (0..length).map(|_| random.random()).collect::<Vec<u8>>()
    };
    let mut writes = Writes {
        metadata: random.random_bool(0.2).then(|| value(random)),
        ..Writes::default()
    };
    let most = [1, 4, 12, 40][random.random_range(0..4)];
    let deletes = [0.0, 0.3, 0.9][random.random_range(0..3)];
    for _ in 0..random.random_range(0..most) {
        let value = value(random);
        match kind.family() {
            Family::Keyless => writes.list.push(value),
            Family::Immutable => {
                *fresh += 1;
                writes.keyed.insert(key(*fresh), Some(value));
            }
            _ => {
                let key = key(random.random_range(0..KEYS));
                let value = (!random.random_bool(deletes)).then_some(value);
                writes.keyed.insert(key, value);
            }
        }
    }
    writes
}

/// Apply some batches to `db` in one of the ways there are, all of which must lead to the same log.
fn apply(random: &mut ChaCha8Rng, db: &mut Db<MemoryJournal>, batches: &[Writes]) {
    let draft = |db: &Db<MemoryJournal>, writes: &Writes, parent: Option<&Draft>| {
        db.draft(&writes.batch(), writes.metadata.as_deref(), parent)
            .unwrap()
    };
    let mut chain: Vec<Draft> = Vec::new();
    match random.random_range(0..3) {
        0 => {
            for writes in batches {
                db.apply(&writes.batch(), writes.metadata.as_deref()).unwrap();
            }
        }
        // The last of a chain, with a sibling that is never applied beside each link.
        1 => {
            for writes in batches {
                let next = draft(db, writes, chain.last());
                draft(
                    db,
                    &batches[0],
                    chain.last().filter(|_| db.kind().family() != Family::Immutable),
                );
                chain.push(next);
            }
            db.apply_draft(chain.last().unwrap()).unwrap();
            assert_eq!(
                (db.root(), db.log().size()),
                (chain.last().unwrap().root(), chain.last().unwrap().size())
            );
            // All of them are stale now.
            for draft in &chain {
                assert!(matches!(db.apply_draft(draft), Err(Error::Stale(_))));
            }
        }
        // Some ancestors are applied while the chain still grows, some skipped.
        _ => {
            for writes in batches {
                let next = draft(db, writes, chain.last());
                chain.push(next);
                if random.random_bool(0.4) {
                    db.apply_draft(chain.last().unwrap()).unwrap();
                }
            }
            let last = chain.last().unwrap();
            if db.root() != last.root() {
                db.apply_draft(last).unwrap();
            }
        }
    }
}

fn check(db: &Db<MemoryJournal>, model: &Model, case: &str) {
    let bounds = db.log().bounds();
    assert_eq!(bounds.end.get() as usize, model.log.len(), "{case}");
    for at in bounds.start.get()..bounds.end.get() {
        let stored = db.log().operation(location(at)).unwrap();
        assert_eq!(
            hex::encode(stored),
            hex::encode(&model.log[at as usize]),
            "{case}, location {at}"
        );
    }
    assert_eq!(db.root(), model.frontier.root(), "{case}");
    let floor = db.kind().is_any().then_some(model.floor);
    assert_eq!(db.floor().map(|floor| floor.get() as usize), floor, "{case}");
    let target = db.target();
    let start = floor.unwrap_or(bounds.start.get() as usize);
    assert_eq!(
        (target.start().get() as usize, target.end()),
        (start, bounds.end),
        "{case}"
    );

    // What was pruned of an immutable database is forgotten.
    let held = |active: &&Active| active.at as u64 >= bounds.start.get();
    assert_eq!(db.active(), model.active.values().filter(held).count(), "{case}");
    let known: Vec<Key> = (0..KEYS).map(key).chain(model.active.keys().copied()).collect();
    for key in known {
        let active = model.active.get(&key).filter(held);
        let value = db.value(&key).unwrap();
        assert_eq!(value.as_deref(), active.map(|active| &active.value[..]), "{case}");
        if db.kind().family() == Family::AnyOrdered {
            check_ring(db, model, &key, case);
        } else {
            assert_eq!(db.gap(&key).unwrap(), None);
        }
    }
}

/// Every active key's update names the next active key, and what is not active is excluded by one of them.
fn check_ring(db: &Db<MemoryJournal>, model: &Model, key: &Key, case: &str) {
    let after = model.active.range((Excluded(*key), Unbounded)).next();
    let next = after.or(model.active.first_key_value()).map(|(key, _)| *key);
    let stored = |at| db.log().operation(at).unwrap();
    match (db.location(key).unwrap(), db.gap(key).unwrap()) {
        (Some(at), None) => {
            let stored = stored(at);
            let Ok(Operation::Update { next: named, .. }) = Operation::read(db.kind(), &stored) else {
                panic!("{case}: not an update")
            };
            assert_eq!(named, next, "{case}");
        }
        (None, Some(at)) => {
            let stored = stored(at);
            assert!(
                ordered::excludes(&Operation::read(db.kind(), &stored).unwrap(), key),
                "{case}"
            );
        }
        (None, None) => assert!(model.active.is_empty(), "{case}"),
        (Some(_), Some(_)) => panic!("{case}: both active and not"),
    }
}

fn history(kind: Kind, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut model = Model::new(kind);
    let mut db = Db::open(MemoryJournal::default(), kind).unwrap();
    let mut commits = vec![model.clone()];
    let mut fresh = 1000;
    for step in 0..30 {
        let case = format!("{kind} seed {seed} step {step}");
        let mut batches = Vec::new();
        for _ in 0..[1, 1, 2, 4][random.random_range(0..4)] {
            let writes = random_writes(&mut random, &model, &mut fresh);
            model.apply(&writes);
            commits.push(model.clone());
            batches.push(writes);
        }
        apply(&mut random, &mut db, &batches);
        db.commit().unwrap();
        check(&db, &model, &case);
        match random.random_range(0..8) {
            0 => {
                let most = db.floor().map_or(db.log().size().get() - 1, Location::get);
                db.prune(location(random.random_range(0..=most))).unwrap();
                db.commit().unwrap();
            }
            1 => db = Db::open(db.log().journal().clone(), kind).unwrap(),
            2 => {
                let earlier = commits[random.random_range(0..commits.len())].clone();
                let size = earlier.log.len() as u64;
                let start = db.log().bounds().start.get();
                if size > start && (!kind.is_any() || earlier.floor as u64 >= start) {
                    db.rewind(location(size)).unwrap();
                    commits.retain(|commit| commit.log.len() <= earlier.log.len());
                    model = earlier;
                }
            }
            _ => continue,
        }
        check(&db, &model, &format!("{case}, after"));
    }
}

#[test]
fn every_kind_follows_the_format_to_the_bit() {
    // F4.1 to F4.9, F4.11: the active keys, each with one operation, and the floor are the model's (F4.3).
    for name in KINDS {
        for size in if name.ends_with("fixed") {
            &[Some(1), Some(8), Some(33)][..]
        } else {
            &[None]
        } {
            for seed in 0..SEEDS {
                history(Kind::parse(name, *size).unwrap(), seed);
            }
        }
    }
}

#[test]
fn a_parent_that_is_not_applied_changes_nothing() {
    // F4.7: keys 1, 2, 3; the parent deletes 1; the child writes 2 and either deletes 1 or writes 1.
    for family in [Family::AnyUnordered, Family::AnyOrdered] {
        for child_value in [None, Some(b"again".to_vec())] {
            let put = |key: u64, value: Option<Vec<u8>>| (self::key(key), value);
            let writes = |list: Vec<(Key, Option<Vec<u8>>)>| Writes {
                keyed: list.into_iter().collect(),
                ..Writes::default()
            };
            let first = writes((1..4).map(|i| put(i, Some(vec![i as u8]))).collect());
            let parent = writes(vec![put(1, None)]);
            let child = writes(vec![put(2, Some(b"new".to_vec())), put(1, child_value)]);
            let kind = Kind::variable(family);
            let mut model = Model::new(kind);
            let mut db = Db::open(MemoryJournal::default(), kind).unwrap();
            db.apply(&first.batch(), None).unwrap();
            let parent_draft = db.draft(&parent.batch(), None, None).unwrap();
            let child_draft = db.draft(&child.batch(), None, Some(&parent_draft)).unwrap();
            db.apply_draft(&child_draft).unwrap();
            [first, parent, child]
                .iter()
                .for_each(|writes| model.apply(writes));
            check(&db, &model, &kind.to_string());
        }
    }
}

#[test]
fn many_neighbours_come_and_go_at_once() {
    // The survivors beside long runs of deleted keys, and none at all.
    let kind = Kind::variable(Family::AnyOrdered);
    let mut model = Model::new(kind);
    let mut db = Db::open(MemoryJournal::default(), kind).unwrap();
    let mut sorted: Vec<Key> = (0..400).map(key).collect();
    sorted.sort();
    let value = Some(vec![7]);
    let steps: [Vec<(Key, Option<Vec<u8>>)>; 5] = [
        sorted.iter().map(|key| (*key, value.clone())).collect(),
        sorted
            .iter()
            .enumerate()
            .filter(|(i, _)| i % 50 != 9)
            .map(|(_, key)| (*key, None))
            .collect(),
        sorted
            .iter()
            .step_by(3)
            .map(|key| (*key, value.clone()))
            .collect(),
        sorted
            .iter()
            .enumerate()
            .map(|(i, key)| (*key, value.clone().filter(|_| i > 390)))
            .collect(),
        sorted.iter().map(|key| (*key, None)).collect(),
    ];
    for (step, list) in steps.into_iter().enumerate() {
        let writes = Writes {
            keyed: list.into_iter().collect(),
            ..Writes::default()
        };
        model.apply(&writes);
        db.apply(&writes.batch(), None).unwrap();
        check(&db, &model, &format!("step {step}"));
    }
    assert_eq!(db.active(), 0);
}
