//! The worked examples of FORMAT F4.12 and F4.13: every operation, every floor, the first bytes of every root.

use cordee_protocol::db::{Batch, Db, Family, Key, Kind, Operation};
use cordee_protocol::log::MemoryJournal;
use cordee_protocol::{Digest, Location};

/// The key `k_i` of the examples.
fn k(i: u64) -> Key {
    Digest::of(&[&i.to_be_bytes()]).0
}

/// The value `val(v)` of the examples.
fn val(v: u64) -> Vec<u8> {
    vec![(v % 251) as u8; (v % 17) as usize]
}

/// Writes (key, value or delete), and metadata: both examples have the same.
type Writes = (&'static [(u64, Option<u64>)], Option<u64>);

const WRITES: [Writes; 9] = [
    (&[(1, Some(10)), (2, Some(20)), (3, Some(30))], None),
    (&[(2, Some(21))], Some(5)),
    (&[(1, None), (4, Some(40))], None),
    (&[], None),
    (&[(9, None)], None),
    (&[(2, None), (3, None), (4, None)], Some(7)),
    (&[], None),
    (&[(2, Some(1)), (3, Some(2))], None),
    (&[(2, None), (2, Some(5)), (3, Some(6)), (3, None)], None),
];

/// What one batch appends, in the words of the format, and the first bytes of the root behind it.
type Row = (&'static str, &'static str);

#[test]
fn unordered() {
    // F4.12
    check(
        Family::AnyUnordered,
        [
            (
                "1: k2=val(20), 2: k1=val(10), 3: k3=val(30), 4: k2=val(20), 5: commit floor 2",
                "5ff51a09a377fa8d",
            ),
            (
                "6: k2=val(21), 7: k1=val(10), 8: k3=val(30), 9: commit floor 4",
                "8e0013601b080c89",
            ),
            (
                "10: delete k1, 11: k4=val(40), 12: k2=val(21), 13: k3=val(30), 14: commit floor 9",
                "f5757dd563eb5946",
            ),
            ("15: k4=val(40), 16: commit floor 12", "608bc4d609a4d42d"),
            ("17: k2=val(21), 18: commit floor 13", "966f2a0d290d63af"),
            (
                "19: delete k3, 20: delete k4, 21: delete k2, 22: commit floor 22",
                "3c52d203de7cb88e",
            ),
            ("23: commit floor 23", "b5f93760ec93eae1"),
            (
                "24: k2=val(1), 25: k3=val(2), 26: k2=val(1), 27: commit floor 25",
                "c00997fce8f93d72",
            ),
            (
                "28: delete k3, 29: k2=val(5), 30: k2=val(5), 31: commit floor 30",
                "33d4b3a357c69ded",
            ),
        ],
    );
}

#[test]
fn ordered() {
    // F4.13
    check(
        Family::AnyOrdered,
        [
            (
                "1: k2=val(20)>k1, 2: k1=val(10)>k3, 3: k3=val(30)>k2, 4: k2=val(20)>k1, 5: commit floor 2",
                "bbf235a6f14dd176",
            ),
            (
                "6: k2=val(21)>k1, 7: k1=val(10)>k3, 8: k3=val(30)>k2, 9: commit floor 4",
                "fecf29001b670e6a",
            ),
            (
                "10: delete k1, 11: k4=val(40)>k2, 12: k3=val(30)>k4, 13: k2=val(21)>k3, 14: k4=val(40)>k2, \
                 15: k3=val(30)>k4, 16: k2=val(21)>k3, 17: commit floor 14",
                "1aae3850ad1d10fa",
            ),
            ("18: k4=val(40)>k2, 19: commit floor 15", "e7de41053c26fadf"),
            ("20: k3=val(30)>k4, 21: commit floor 16", "9f4195b9efff8f57"),
            (
                "22: delete k4, 23: delete k2, 24: delete k3, 25: commit floor 25",
                "1212a9d3e4ab2c49",
            ),
            ("26: commit floor 26", "2441eee4b6d2d1c9"),
            (
                "27: k2=val(1)>k3, 28: k3=val(2)>k2, 29: k2=val(1)>k3, 30: commit floor 28",
                "70d22abf31aaaf6c",
            ),
            (
                "31: delete k3, 32: k2=val(5)>k2, 33: k2=val(5)>k2, 34: commit floor 33",
                "22908c6d5342d22d",
            ),
        ],
    );
}

fn check(family: Family, rows: [Row; 9]) {
    let mut db = Db::open(MemoryJournal::default(), Kind::variable(family)).unwrap();
    assert!(db.root().to_string().starts_with("e24bf56ac8c9cd13"));
    assert_eq!(words(&db, 0), "0: commit floor 0");
    for ((writes, metadata), (operations, root)) in WRITES.into_iter().zip(rows) {
        let before = db.log().size().get();
        let mut batch = Batch::new();
        for &(i, value) in writes {
            match value {
                Some(v) => batch.put(k(i), val(v)),
                None => batch.delete(k(i)),
            };
        }
        db.apply(&batch, metadata.map(val).as_deref()).unwrap();
        assert_eq!(words(&db, before), operations, "{writes:?}");
        assert!(db.root().to_string().starts_with(root), "{writes:?}");
    }
}

/// The operations from `start` on, as the format writes them.
fn words(db: &Db<MemoryJournal>, start: u64) -> String {
    let name = |key: Key| (1..10).find(|&i| k(i) == key).map(|i| format!("k{i}")).unwrap();
    let value = |value: &[u8]| {
        (0..100)
            .find(|&v| val(v) == value)
            .map(|v| format!("val({v})"))
            .unwrap()
    };
    let word = |at: u64| {
        let operation = db.log().operation(Location::new(at).unwrap()).unwrap();
        let word = match Operation::read(db.kind(), &operation).unwrap() {
            Operation::Delete(key) => format!("delete {}", name(key)),
            Operation::Update { key, value: v, next } => {
                let next = next.map(|next| format!(">{}", name(next))).unwrap_or_default();
                format!("{}={}{next}", name(key), value(v))
            }
            Operation::Append(_) => unreachable!("no list"),
            Operation::Commit { floor, .. } => format!("commit floor {}", floor.unwrap()),
        };
        format!("{at}: {word}")
    };
    let words: Vec<_> = (start..db.log().size().get()).map(word).collect();
    words.join(", ")
}
