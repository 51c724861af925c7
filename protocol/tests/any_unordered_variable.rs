//! The unordered database with variable values against the reference implementation's answers, the worked example of
//! FORMAT F4.12, and a plain map.

use cordee_protocol::codec::{Decode, Encode};
use cordee_protocol::db::any::operation::{MAX_VALUE, Operation};
use cordee_protocol::db::any::unordered::{Batch, Error, Unordered};
use cordee_protocol::log::{MemoryJournal, authenticated};
use cordee_protocol::mmr::{Proof, proof};
use cordee_protocol::{Digest, Elements, Location, Target};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::collections::BTreeMap;

type Db = Unordered<MemoryJournal>;

fn location(n: u64) -> Location {
    Location::new(n).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn key(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn digest(value: &Value) -> Digest {
    Digest(key(value))
}

fn digests(list: &Value) -> Vec<Digest> {
    list.as_array().unwrap().iter().map(digest).collect()
}

fn empty() -> Db {
    Unordered::open(MemoryJournal::default()).unwrap()
}

#[test]
fn every_value_of_the_reference_is_reproduced() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/any_unordered_variable.json")).unwrap();
    let script = vectors["script"].as_array().unwrap();
    let mut compared = 0;

    // The log, commit by commit.
    let mut db = empty();
    let mut roots = BTreeMap::new();
    let mut next = 0;
    for commit in vectors["commits"].as_array().unwrap() {
        if let Some(last) = commit["script_index"].as_u64() {
            let mut batch = Batch::new();
            for step in &script[next..last as usize] {
                match step["op"].as_str().unwrap() {
                    "put" => batch.put(key(&step["key"]), bytes(&step["value"])),
                    "delete" => batch.delete(key(&step["key"])),
                    other => panic!("{other} inside a batch"),
                };
            }
            let metadata = Some(&script[last as usize]["metadata"])
                .filter(|m| !m.is_null())
                .map(bytes);
            db.apply(&batch, metadata.as_deref()).unwrap();
            next = last as usize + 1;
        }
        assert_eq!(db.log().size().get(), commit["op_count"].as_u64().unwrap());
        assert_eq!(db.root(), digest(&commit["root"]));
        assert_eq!(db.floor().get(), commit["inactivity_floor"].as_u64().unwrap());
        if let Some(target) = commit.get("sync_target_encoded") {
            assert_eq!(db.target().to_vec(), bytes(target));
            assert_eq!(Target::from_slice(&bytes(target)), Ok(db.target()));
        }
        roots.insert(db.log().size(), db.root());
        compared += 3;
    }
    assert_eq!(next, script.len());
    for operation in vectors["ops"].as_array().unwrap() {
        let at = location(operation["loc"].as_u64().unwrap());
        assert_eq!(db.log().operation(at).unwrap(), bytes(&operation["hex"]));
        compared += 1;
    }
    assert_eq!(db.root(), digest(&vectors["final"]["root"]));

    // Proofs at the final size and at earlier ones, with pinned nodes.
    for row in vectors["historical_proofs"].as_array().unwrap() {
        let number = |name: &str| row[name].as_u64().unwrap();
        let (size, start) = (location(number("op_count")), location(number("start")));
        let (proof, operations) = db.log().historical_proof(size, start, number("max_ops")).unwrap();
        let pinned = db.log().pinned_nodes_at(start).unwrap();
        assert_eq!(proof.digests, digests(&row["proof"]["digests"]));
        assert_eq!(proof.to_vec(), bytes(&row["proof"]["encoded"]));
        assert_eq!(
            Proof::from_slice(&bytes(&row["proof"]["encoded"])),
            Ok(proof.clone())
        );
        assert_eq!(
            operations.iter().map(hex::encode).collect::<Vec<_>>(),
            texts(&row["ops"])
        );
        assert_eq!(pinned, digests(&row["pinned_nodes"]["digests"]));
        let root = digest(&row["root"]);
        assert!(proof::verify(&proof, start, &operations, Some(&pinned), &root).is_ok());
        assert!(roots.get(&size).is_none_or(|known| *known == root));
        compared += 3 + operations.len() + pinned.len();
    }
    assert!(compared > 1000);
    report(compared);
}

#[expect(
    clippy::print_stdout,
    reason = "how much was compared is for whoever runs the test to see"
)]
fn report(compared: usize) {
    println!("{compared} values of any_unordered_variable.json are equal");
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

/// The key `k_i` and the value `val(v)` of F4.12.
fn k(i: u64) -> [u8; 32] {
    Digest::of(&[&i.to_be_bytes()]).0
}

fn val(v: u64) -> Vec<u8> {
    vec![(v % 251) as u8; (v % 17) as usize]
}

#[test]
fn the_worked_example_gives_its_roots() {
    // F4.12: writes (key, value or delete), metadata, floor, first bytes of the root.
    type Row = (&'static [(u64, Option<u64>)], Option<u64>, u64, &'static str);
    let rows: [Row; 9] = [
        (
            &[(1, Some(10)), (2, Some(20)), (3, Some(30))],
            None,
            2,
            "5ff51a09a377fa8d",
        ),
        (&[(2, Some(21))], Some(5), 4, "8e0013601b080c89"),
        (&[(1, None), (4, Some(40))], None, 9, "f5757dd563eb5946"),
        (&[], None, 12, "608bc4d609a4d42d"),
        (&[(9, None)], None, 13, "966f2a0d290d63af"),
        (
            &[(2, None), (3, None), (4, None)],
            Some(7),
            22,
            "3c52d203de7cb88e",
        ),
        (&[], None, 23, "b5f93760ec93eae1"),
        (&[(2, Some(1)), (3, Some(2))], None, 25, "c00997fce8f93d72"),
        (
            &[(2, None), (2, Some(5)), (3, Some(6)), (3, None)],
            None,
            30,
            "33d4b3a357c69ded",
        ),
    ];
    let mut db = empty();
    assert!(db.root().to_string().starts_with("e24bf56ac8c9cd13"));
    for (writes, metadata, floor, root) in rows {
        let mut batch = Batch::new();
        for &(i, value) in writes {
            match value {
                Some(v) => batch.put(k(i), val(v)),
                None => batch.delete(k(i)),
            };
        }
        db.apply(&batch, metadata.map(val).as_deref()).unwrap();
        assert_eq!(db.floor().get(), floor, "{writes:?}");
        assert!(db.root().to_string().starts_with(root), "{writes:?}");
    }
    let last = db.log().operation(location(31)).unwrap();
    assert_eq!(
        Operation::read(&last),
        Ok(Operation::Commit {
            metadata: None,
            floor: location(30)
        })
    );
}

#[test]
fn random_histories_agree_with_a_plain_map() {
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut db = empty();
        let mut model: BTreeMap<[u8; 32], Vec<u8>> = BTreeMap::new();
        let mut commits = Vec::new();
        for step in 0..60 {
            let mut batch = Batch::new();
            for _ in 0..random.random_range(0..12) {
                let key = k(random.random_range(0..40));
                if random.random_bool(0.3) {
                    batch.delete(key);
                    model.remove(&key);
                } else {
                    let value = val(random.random_range(0..1000));
                    batch.put(key, value.clone());
                    model.insert(key, value);
                }
            }
            db.apply(&batch, None).unwrap();
            db.commit().unwrap();
            commits.push((db.log().size(), db.root(), db.floor(), model.clone()));
            match random.random_range(0..10) {
                // Pruned anywhere up to the floor, reopened, taken back: the answers stay.
                0 => db
                    .prune(location(random.random_range(0..=db.floor().get())))
                    .unwrap(),
                1 => db = Unordered::open(db.log().journal().clone()).unwrap(),
                2 => {
                    let (size, root, floor, earlier) = commits[random.random_range(0..commits.len())].clone();
                    if floor >= db.log().bounds().start {
                        db.rewind(size).unwrap();
                        assert_eq!((db.root(), db.floor()), (root, floor), "seed {seed} step {step}");
                        model = earlier;
                        commits.retain(|commit| commit.0 <= size);
                    }
                }
                _ => {}
            }
            assert_eq!(db.active(), model.len(), "seed {seed} step {step}");
            for i in 0..40 {
                let value = db.value(&k(i)).unwrap();
                assert_eq!(
                    value.as_deref(),
                    model.get(&k(i)).map(Vec::as_slice),
                    "seed {seed} step {step} key {i}"
                );
            }
        }
    }
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let mut db = empty();
    let mut batch = Batch::new();
    db.apply(batch.put(k(1), val(1)), None).unwrap();
    db.commit().unwrap();
    let before = (db.root(), db.log().bounds());

    let mut large = Batch::new();
    large.put(k(2), vec![0; MAX_VALUE + 1]);
    assert!(matches!(db.apply(&large, None), Err(Error::TooLarge(size)) if size == MAX_VALUE + 1));
    assert!(matches!(
        db.apply(&Batch::new(), Some(&vec![0; MAX_VALUE + 1])),
        Err(Error::TooLarge(_))
    ));
    // F4.10, F4.11
    assert!(matches!(db.prune(location(3)), Err(Error::Refused(_))));
    for (case, size) in [("nothing", 0), ("behind an update", 2), ("beyond the end", 9)] {
        assert!(db.rewind(location(size)).is_err(), "{case}");
    }
    for (size, start, max) in [(9, 0, 1), (3, 3, 1), (3, 0, 0)] {
        let refused = db.log().historical_proof(location(size), location(start), max);
        assert!(
            matches!(refused, Err(authenticated::Error::NotHeld { .. })),
            "{size} {start} {max}"
        );
    }
    assert_eq!(before, (db.root(), db.log().bounds()));
    // The addition saturates.
    let (_, operations) = db
        .log()
        .historical_proof(location(3), location(1), u64::MAX)
        .unwrap();
    assert_eq!(operations.len(), 2);
}
