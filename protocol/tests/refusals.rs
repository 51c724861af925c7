//! What a database cannot do is refused, names its reason, and changes nothing.

use cordee_protocol::db::batch::{Entry, Unfit};
use cordee_protocol::db::operation::MAX_VALUE;
use cordee_protocol::db::{Batch, Db, Error, Family, KINDS, Key, Kind};
use cordee_protocol::log::{Journal, Mark, MemoryJournal, authenticated};
use cordee_protocol::{Elements, Location};

const K1: Key = [1; 32];
const K2: Key = [2; 32];

fn location(n: u64) -> Location {
    Location::new(n).unwrap()
}

fn kind(name: &str) -> Kind {
    Kind::parse(name, name.ends_with("fixed").then_some(4)).unwrap()
}

fn empty(name: &str) -> Db<MemoryJournal> {
    Db::open(MemoryJournal::default(), kind(name)).unwrap()
}

/// One write that every kind of this name takes.
fn one(name: &str) -> Batch {
    let mut batch = Batch::new();
    match kind(name).family() {
        Family::Keyless => batch.append(vec![7; 4]),
        _ => batch.put(K1, vec![7; 4]),
    };
    batch
}

#[test]
fn writes_that_a_kind_does_not_have() {
    let put = |value: usize| Batch::new().put(K1, vec![0; value]).clone();
    let append = |value: usize| {
        Batch::new()
            .append(b"good".to_vec())
            .append(vec![0; value])
            .clone()
    };
    let delete = Batch::new().delete(K2).clone();
    let key = |key| Entry::Key(key);
    let no = |name, entry, write| Unfit::NoSuchWrite {
        entry,
        write,
        kind: kind(name),
    };
    let length = |entry, got| Unfit::Length { entry, got, want: 4 };
    for (name, batch, metadata, unfit) in [
        (
            "any-unordered-variable",
            append(4),
            None,
            no("any-unordered-variable", Entry::Append(0), "append"),
        ),
        (
            "any-ordered-fixed",
            append(4),
            None,
            no("any-ordered-fixed", Entry::Append(0), "append"),
        ),
        (
            "immutable-variable",
            delete.clone(),
            None,
            no("immutable-variable", key(K2), "delete"),
        ),
        (
            "immutable-fixed",
            append(4),
            None,
            no("immutable-fixed", Entry::Append(0), "append"),
        ),
        (
            "keyless-variable",
            put(4),
            None,
            no("keyless-variable", key(K1), "put"),
        ),
        (
            "keyless-fixed",
            delete,
            None,
            no("keyless-fixed", key(K2), "delete"),
        ),
        ("any-unordered-fixed", put(3), None, length(key(K1), 3)),
        ("any-ordered-fixed", put(5), None, length(key(K1), 5)),
        ("immutable-fixed", put(0), None, length(key(K1), 0)),
        ("keyless-fixed", append(5), None, length(Entry::Append(1), 5)),
        ("keyless-fixed", append(4), Some(3), length(Entry::Metadata, 3)),
        (
            "any-unordered-variable",
            put(MAX_VALUE + 1),
            None,
            Unfit::TooLarge {
                entry: key(K1),
                got: MAX_VALUE + 1,
            },
        ),
        (
            "any-ordered-variable",
            put(1),
            Some(MAX_VALUE + 1),
            Unfit::TooLarge {
                entry: Entry::Metadata,
                got: MAX_VALUE + 1,
            },
        ),
    ] {
        let mut db = empty(name);
        let before = (db.root(), db.log().bounds());
        let metadata = metadata.map(|length: usize| vec![0; length]);
        let refused = db.apply(&batch, metadata.as_deref());
        assert!(
            matches!(refused, Err(Error::Unfit(found)) if found == unfit),
            "{name}: {refused:?}"
        );
        assert_eq!((db.root(), db.log().bounds()), before, "{name}");
    }
    let unfit = empty("keyless-fixed").apply(&append(5), None).unwrap_err();
    assert_eq!(
        unfit.to_string(),
        "append number 1: 5 bytes where all values have 4"
    );
    // The largest fits.
    let mut db = empty("any-ordered-variable");
    db.apply(&put(MAX_VALUE), Some(&vec![0; MAX_VALUE])).unwrap();
    assert_eq!(db.value(&K1).unwrap().unwrap().len(), MAX_VALUE);
}

#[test]
fn a_key_is_set_once() {
    for name in ["immutable-variable", "immutable-fixed"] {
        let mut db = empty(name);
        let mut twice = Batch::new();
        twice.put(K1, &b"old1"[..]).put(K1, &b"new1"[..]);
        db.apply(&twice, None).unwrap();
        assert_eq!(
            db.value(&K1).unwrap().unwrap(),
            b"new1"[..],
            "last wins in one batch"
        );
        assert_eq!(db.log().size(), location(3));
        db.commit().unwrap();

        let root = db.root();
        let mut again = Batch::new();
        again.put(K2, &b"good"[..]).put(K1, &b"new1"[..]);
        assert!(matches!(db.apply(&again, None), Err(Error::AlreadySet(K1))));
        let mut db = Db::open(db.log().journal().clone(), kind(name)).unwrap();
        assert!(matches!(db.apply(&again, None), Err(Error::AlreadySet(K1))));
        assert_eq!((db.root(), db.value(&K2).unwrap()), (root, None));
        // Set by a parent that is not applied.
        let mut second = Batch::new();
        second.put(K2, &b"good"[..]);
        let parent = db.draft(&second, None, None).unwrap();
        assert!(matches!(
            db.draft(&second, None, Some(&parent)),
            Err(Error::AlreadySet(K2))
        ));
        assert_eq!(db.root(), root);
    }
}

#[test]
fn drafts_for_another_state() {
    for name in KINDS {
        let mut db = empty(name);
        let more = Batch::new();
        let left = db.draft(&one(name), None, None).unwrap();
        let right = db.draft(&more, None, None).unwrap();
        let leftmost = db.draft(&more, None, Some(&left)).unwrap();
        db.apply_draft(&right).unwrap();
        let before = (db.root(), db.log().bounds());
        for stale in [&left, &leftmost, &right] {
            assert!(matches!(db.apply_draft(stale), Err(Error::Stale(_))), "{name}");
        }
        assert!(
            matches!(db.draft(&more, None, Some(&leftmost)), Err(Error::Stale(_))),
            "{name}"
        );
        assert_eq!((db.root(), db.log().bounds()), before, "{name}");
        // Back where the chain began, it fits again.
        db.commit().unwrap();
        db.rewind(location(1)).unwrap();
        db.apply_draft(&leftmost).unwrap();
        assert_eq!(db.root(), leftmost.root(), "{name}");
    }
    // New databases of two kinds can have one root; their drafts differ all the same.
    let (unordered, mut ordered) = (empty("any-unordered-variable"), empty("any-ordered-variable"));
    let draft = unordered
        .draft(&one("any-unordered-variable"), None, None)
        .unwrap();
    assert_eq!(unordered.root(), ordered.root());
    assert!(matches!(ordered.apply_draft(&draft), Err(Error::Stale(_))));
}

#[test]
fn pruning_rewinding_and_proving_where_nothing_is() {
    // F4.10, F4.11
    for name in KINDS {
        let mut db = empty(name);
        db.apply(&one(name), None).unwrap();
        db.commit().unwrap();
        let size = db.log().size().get();
        let before = (db.root(), db.log().bounds());
        let most = db.floor().map_or(size - 1, Location::get);
        for start in [most + 1, size, size + 1, 1 << 62] {
            assert!(
                matches!(db.prune(location(start)), Err(Error::Refused(_))),
                "{name} {start}"
            );
        }
        for (case, to) in [
            ("nothing", 0),
            ("behind a write", 2),
            ("beyond the end", size + 1),
        ] {
            assert!(db.rewind(location(to)).is_err(), "{name}: {case}");
        }
        for (at, start, max) in [(size + 1, 0, 1), (2, 2, 1), (2, 0, 0)] {
            let refused = db.log().historical_proof(location(at), location(start), max);
            assert!(
                matches!(refused, Err(authenticated::Error::NotHeld { .. })),
                "{name}: {at} {start} {max}"
            );
        }
        assert_eq!(before, (db.root(), db.log().bounds()), "{name}");
        // The addition saturates.
        let (_, rest) = db
            .log()
            .historical_proof(location(size), location(1), u64::MAX)
            .unwrap();
        assert_eq!(rest.len() as u64, size - 1, "{name}");
        db.prune(location(most)).unwrap();
        assert!(db.rewind(location(1)).is_err(), "{name}: pruned");
        assert_eq!(db.root(), before.0, "{name}");
    }
}

#[test]
fn a_journal_of_another_kind_or_root() {
    for name in KINDS {
        let mut db = empty(name);
        db.apply(&one(name), None).unwrap();
        db.commit().unwrap();
        let journal = db.log().journal().clone();
        for other in KINDS {
            let opened = Db::open(journal.clone(), kind(other));
            assert_eq!(opened.is_ok(), other == name, "{name} as {other}");
        }
        let mut damaged = journal.clone();
        damaged
            .commit(Mark::Complete {
                root: Default::default(),
                floor: db.floor(),
            })
            .unwrap();
        assert!(
            matches!(Db::open(damaged, kind(name)), Err(Error::Corrupt { .. })),
            "{name}"
        );
        // A floor that the last commit does not have, and an end that is no commit.
        let mut damaged = journal.clone();
        damaged
            .commit(Mark::Complete {
                root: db.root(),
                floor: Some(location(0)),
            })
            .unwrap();
        assert!(
            matches!(Db::open(damaged, kind(name)), Err(Error::Malformed(_))),
            "{name}"
        );
        let mut damaged = journal.clone();
        damaged.rewind(location(2)).unwrap();
        let root = db.log().root_at(location(2)).unwrap();
        damaged.commit(Mark::Complete { root, floor: None }).unwrap();
        assert!(
            matches!(Db::open(damaged, kind(name)), Err(Error::Malformed(_))),
            "{name}"
        );
        // What was never committed was never there.
        let mut unmarked = MemoryJournal::default();
        let (_, rest) = db
            .log()
            .historical_proof(db.log().size(), location(0), 9)
            .unwrap();
        let mut frontier = cordee_protocol::mmr::Frontier::default();
        let nodes = frontier.append(&rest).unwrap();
        unmarked.append(&rest, &nodes).unwrap();
        assert_eq!(
            Db::open(unmarked, kind(name)).unwrap().log().size(),
            location(1),
            "{name}"
        );
    }
}
