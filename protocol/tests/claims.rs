//! Proofs that stand alone: every true one holds, every forged one is refused with a reason, whatever the numbers.

use cordee_protocol::codec;
use cordee_protocol::db::claim::Refusal;
use cordee_protocol::db::kind::KindError;
use cordee_protocol::db::{Claim, Db, KINDS, Kind};
use cordee_protocol::log::MemoryJournal;
use cordee_protocol::mmr::Invalid;
use cordee_protocol::testing::source::database_of;
use cordee_protocol::{Digest, Location};

fn location(n: u64) -> Location {
    Location::new(n).unwrap()
}

fn database(name: &str) -> Db<MemoryJournal> {
    let kind = Kind::parse(name, name.ends_with("fixed").then_some(20)).unwrap();
    database_of(kind, 5, 12, 4)
}

/// Claims of all shapes about one database.
fn claims(db: &Db<MemoryJournal>) -> Vec<Claim> {
    let end = db.log().size().get();
    let mut claims = Vec::new();
    for size in [1, 2, end / 2, end - 1, end] {
        for start in [0, 1, 2, size / 2, size - 1] {
            for max_ops in [1, 3, u64::MAX] {
                if start < size {
                    for pinned in [false, true] {
                        let claim = Claim::of(db, location(size), location(start), max_ops, pinned);
                        claims.push(claim.unwrap());
                    }
                }
            }
        }
    }
    claims
}

#[test]
fn true_claims_hold_and_every_altered_one_is_refused() {
    let mut refused = 0;
    for name in KINDS {
        let db = database(name);
        for claim in claims(&db) {
            assert_eq!(claim.check(), Ok(db.kind()), "{name}");
            // With the value size in the name as well.
            let named = Claim {
                kind: db.kind().to_string(),
                ..claim.clone()
            };
            assert_eq!(named.check(), Ok(db.kind()), "{name}");

            let mut altered = Vec::new();
            let mut alter = |change: &dyn Fn(&mut Claim)| {
                let mut other = claim.clone();
                change(&mut other);
                if other != claim {
                    altered.push(other);
                }
            };
            alter(&|c| c.root.0[0] ^= 1);
            for n in [
                0,
                claim.size + 1,
                claim.size - 1,
                1 << 62,
                (1 << 62) + 1,
                u64::MAX,
            ] {
                alter(&|c| c.size = n);
                alter(&|c| c.leaves = n);
                alter(&|c| (c.size, c.leaves) = (n, n));
                alter(&|c| c.start = n);
                alter(&|c| (c.size, c.leaves, c.start) = (n, n, n));
            }
            alter(&|c| c.start += 1);
            alter(&|c| c.digests.push(Digest::default()));
            alter(&|c| c.digests.truncate(claim.digests.len().saturating_sub(1)));
            for i in 0..claim.digests.len() {
                alter(&|c| c.digests[i].0[7] ^= 0x80);
            }
            for i in 0..claim.operations.len() {
                for byte in [0, claim.operations[i].len() - 1] {
                    alter(&|c| c.operations[i][byte] ^= 1);
                }
                alter(&|c| c.operations[i].push(0));
                alter(&|c| c.operations[i].truncate(claim.operations[i].len() - 1));
                alter(&|c| drop(c.operations.remove(i)));
            }
            alter(&|c| c.operations.push(c.operations[0].clone()));
            alter(&|c| c.operations.clear());
            alter(&|c| c.operations.reverse());
            if let Some(pinned) = &claim.pinned {
                for i in 0..pinned.len() {
                    alter(&|c| c.pinned.as_mut().unwrap()[i].0[3] ^= 1);
                }
                alter(&|c| c.pinned.as_mut().unwrap().push(Digest::default()));
                // An empty list is checked too; it is true only at 0.
                alter(&|c| c.pinned = Some(Vec::new()));
            }
            for other in altered {
                assert!(other.check().is_err(), "{name}: {claim:?} altered to {other:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 20_000, "{refused}");
}

#[test]
fn a_claim_of_another_kind_is_refused() {
    for name in KINDS {
        let db = database(name);
        let claim = Claim::of(&db, db.log().size(), location(0), u64::MAX, false).unwrap();
        for other in KINDS {
            let other = Claim {
                kind: other.into(),
                ..claim.clone()
            };
            assert_eq!(
                other.check().is_ok(),
                other.kind == name,
                "{name} as {}",
                other.kind
            );
        }
        if let Some(size) = db.kind().value_size() {
            let other = Claim {
                kind: format!("{name}:{}", size + 1),
                ..claim.clone()
            };
            assert!(
                matches!(other.check(), Err(Refusal::Operation { index: 0, .. })),
                "{name}"
            );
        }
    }
}

#[test]
fn refusals_name_their_reason() {
    let db = database("any-unordered-variable");
    let claim = Claim::of(&db, location(20), location(5), 4, true).unwrap();
    let with = |change: &dyn Fn(&mut Claim)| {
        let mut other = claim.clone();
        change(&mut other);
        other.check().unwrap_err()
    };
    let big = (1 << 62) + 1;
    let unknown = KindError::Unknown("any".into());
    assert_eq!(with(&|c| c.kind = "any".into()), Refusal::Kind(unknown));
    assert_eq!(with(&|c| c.leaves = 21), Refusal::Size { size: 20, leaves: 21 });
    assert_eq!(
        with(&|c| (c.size, c.leaves) = (big, big)),
        Refusal::TooLarge("size", big)
    );
    assert_eq!(
        with(&|c| c.start = u64::MAX),
        Refusal::TooLarge("start", u64::MAX)
    );
    assert_eq!(
        with(&|c| c.operations[2] = Vec::new()),
        Refusal::Operation {
            index: 2,
            kind: db.kind(),
            source: codec::Error::Short
        }
    );
    let want = claim.digests.len();
    assert_eq!(
        with(&|c| c.digests.clear()),
        Refusal::Proof(Invalid::Digests { got: 0, want })
    );
    let pinned = Refusal::Proof(Invalid::Pinned { at: location(5) });
    assert_eq!(with(&|c| c.pinned = Some(Vec::new())), pinned);
    assert!(matches!(
        with(&|c| c.root = Digest::default()),
        Refusal::Proof(Invalid::Root { .. })
    ));
    // What is not held is not claimed.
    for (size, start, max) in [(20, 20, 1), (20, 0, 0), (1 << 62, 0, 1)] {
        assert!(Claim::of(&db, location(size), location(start), max, false).is_err());
    }
}

#[test]
fn only_the_empty_log_proves_no_operations() {
    // FORMAT F1.7, part 1.
    let empty = Claim {
        kind: "keyless-fixed".into(),
        root: Digest::of(&[&0u64.to_be_bytes()]),
        size: 0,
        start: 0,
        leaves: 0,
        digests: Vec::new(),
        operations: Vec::new(),
        pinned: Some(Vec::new()),
    };
    assert!(empty.check().is_ok());
    let root = Digest::of(&[&3u64.to_be_bytes()]);
    assert!(
        Claim {
            size: 3,
            leaves: 3,
            root,
            ..empty.clone()
        }
        .check()
        .is_err()
    );
    assert!(
        Claim {
            start: 1,
            ..empty.clone()
        }
        .check()
        .is_err()
    );
    assert!(
        Claim {
            digests: vec![root],
            ..empty.clone()
        }
        .check()
        .is_err()
    );
    assert!(
        Claim {
            pinned: Some(vec![root]),
            ..empty
        }
        .check()
        .is_err()
    );
}
