//! The engine brings a copy of every kind up to a target, with pinned nodes and a start above 0, and what is not a log of
//! the kind is refused.

mod rows;
mod updates;

use cordee_protocol::db::{Batch, Db, Family, KINDS, Keys, Kind, Malformed, Operation};
use cordee_protocol::log::{Journal, Mark, MemoryJournal};
use cordee_protocol::mmr::Frontier;
use cordee_protocol::sync::database::{self, Local};
use cordee_protocol::sync::engine::Channels;
use cordee_protocol::sync::error::Error;
use cordee_protocol::sync::plan::Config;
use cordee_protocol::testing::runtime::Virtual;
use cordee_protocol::testing::source::{Failure, MemoryDb, Scripted, database_of, grow, operations};
use cordee_protocol::{Database, Engine, Location, Operations, Target};
use futures::executor::block_on;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;

type Client = Local<MemoryJournal, Keys>;
type Failed = Error<<Client as Database>::Error, Failure>;

fn location(n: u64) -> Location {
    Location::new(n).unwrap()
}

fn kind(name: &str) -> Kind {
    Kind::parse(name, name.ends_with("fixed").then_some(40)).unwrap()
}

fn sync(
    kind: Kind,
    target: &Target,
    held: MemoryJournal,
    source: &MemoryJournal,
) -> Result<MemoryDb, Failed> {
    let config = Config {
        max_outstanding_requests: const { NonZeroUsize::new(5).unwrap() },
        fetch_batch_size: const { NonZeroU64::new(7).unwrap() },
        ..Config::default()
    };
    let resolver = Scripted::honest(source.clone());
    let local = Client::open(held, target.clone(), Keys::new(kind)).unwrap();
    let engine = Engine::new(
        config,
        target.clone(),
        local,
        resolver.clone(),
        Arc::new(Virtual::default()),
        Channels::default(),
    );
    let done = block_on(engine.run());
    assert!(
        resolver
            .verdicts()
            .iter()
            .all(|(_, verdict)| *verdict != Some(false))
    );
    done.map(|(log, keys)| Db::from_parts(log, keys).unwrap())
}

/// Copy and source hold and answer the same, and go on to the same log.
fn assert_same(copy: MemoryDb, source: &MemoryDb, case: &str) {
    let reopened = |db: &MemoryDb| Db::open(db.log().journal().clone(), source.kind()).unwrap();
    let mut source = reopened(source);
    let mut again = reopened(&copy);
    let mut copy = copy;
    assert_eq!(
        (copy.root(), copy.floor()),
        (source.root(), source.floor()),
        "{case}"
    );
    assert_eq!(copy.target(), source.target(), "{case}");
    assert_eq!(
        (copy.active(), again.active()),
        (source.active(), source.active()),
        "{case}"
    );
    let held = operations(source.log().journal());
    assert_eq!(operations(copy.log().journal()), held, "{case}");
    for operation in &held {
        if let Ok(Operation::Update { key, .. }) = Operation::read(source.kind(), operation) {
            assert_eq!(copy.value(&key).unwrap(), source.value(&key).unwrap(), "{case}");
        }
    }
    let start = source.log().bounds().start;
    assert_eq!(
        copy.log().pinned_nodes_at(start).unwrap(),
        source.log().pinned_nodes_at(start).unwrap()
    );
    for db in [&mut copy, &mut source, &mut again] {
        grow(db, 999, 3, 12);
    }
    assert_eq!(
        (copy.root(), again.root()),
        (source.root(), source.root()),
        "{case}"
    );
}

#[test]
fn every_kind_syncs() {
    // E11, E13: the same journal takes every kind, so a database's settings say nothing of it.
    for name in KINDS {
        let kind = kind(name);
        let mut source = database_of(kind, 3, 25, 12);
        // From the floor, or from somewhere above 0 where there is none.
        let start = source.floor().unwrap_or(location(source.log().size().get() / 3));
        let earlier = source.log().journal().clone();
        source.prune(start).unwrap();
        let target = source.target();
        assert!(target.start() > Location::ZERO && target.start() == start);
        let copy = sync(kind, &target, MemoryJournal::default(), source.log().journal()).unwrap();
        assert_same(copy, &source, &format!("{name}, from nothing"));

        // On from an earlier state, and from 0.
        let mut later = Db::open(earlier.clone(), kind).unwrap();
        grow(&mut later, 4, 6, 12);
        let whole = Target::new(later.root(), Location::ZERO..later.log().size()).unwrap();
        let copy = sync(kind, &whole, earlier, later.log().journal()).unwrap();
        assert_same(copy, &later, &format!("{name}, from an earlier state"));
        later.prune(later.target().start().max(start)).unwrap();
        let copy = sync(
            kind,
            &later.target(),
            source.log().journal().clone(),
            later.log().journal(),
        )
        .unwrap();
        assert_same(copy, &later, &format!("{name}, from a pruned earlier state"));
    }
}

#[test]
fn a_log_of_another_kind_is_malformed() {
    for name in KINDS {
        let source = database_of(kind(name), 3, 10, 12);
        let target = Target::new(source.root(), Location::ZERO..source.log().size()).unwrap();
        for other in KINDS.into_iter().filter(|other| *other != name) {
            let error = sync(
                kind(other),
                &target,
                MemoryJournal::default(),
                source.log().journal(),
            )
            .unwrap_err();
            let Error::Database(error) = error else {
                panic!("{name} as {other}: {error}")
            };
            assert!(error.is_unfit_target(), "{name} as {other}: {error}");
        }
    }
}

#[test]
fn a_log_that_breaks_its_own_rules_is_malformed() {
    for family in [Family::AnyUnordered, Family::AnyOrdered] {
        let kind = Kind::variable(family);
        let commit = |floor| {
            let floor = Some(location(floor));
            Operation::Commit {
                metadata: None,
                floor,
            }
            .to_vec(kind)
        };
        let update = Operation::Update {
            key: [7; 32],
            value: b"value",
            next: (family == Family::AnyOrdered).then_some([7; 32]),
        };
        let update = update.to_vec(kind);
        for (case, log, at) in [
            (
                "a floor above its own commit",
                vec![commit(0), commit(2)],
                Some(1),
            ),
            (
                "a floor far above",
                vec![commit(0), update.clone(), commit(1 << 62)],
                Some(2),
            ),
            (
                "a floor that falls",
                vec![commit(0), commit(1), update.clone(), commit(0)],
                Some(3),
            ),
            (
                "bytes of no operation",
                vec![commit(0), vec![0xff], commit(0)],
                Some(1),
            ),
            (
                "a delete of nothing is one of the format",
                vec![commit(0), [&[0xd1], &[9; 32][..]].concat(), commit(0)],
                None,
            ),
        ] {
            let (source, target) = journal(log);
            let got = match sync(kind, &target, MemoryJournal::default(), &source) {
                Ok(_) => None,
                Err(Error::Database(database::Error::Malformed(Malformed { at, .. }))) => Some(at.get()),
                Err(error) => panic!("{case}: {error}"),
            };
            assert_eq!(got, at, "{family:?}: {case}");
        }
    }
}

#[test]
fn a_floor_that_lies_makes_one_database_however_it_is_opened() {
    // The key below the last floor is lost to a copy that starts there, so it is lost to all.
    let kind = Kind::variable(Family::AnyUnordered);
    let commit = |floor| {
        let floor = Some(location(floor));
        Operation::Commit {
            metadata: None,
            floor,
        }
        .to_vec(kind)
    };
    let update = |key| {
        Operation::Update {
            key: [key; 32],
            value: b"value",
            next: None,
        }
        .to_vec(kind)
    };
    let (source, target) = journal(vec![commit(0), update(7), update(8), commit(2)]);
    let copy = sync(kind, &target, MemoryJournal::default(), &source).unwrap();
    let again = Db::open(copy.log().journal().clone(), kind).unwrap();
    for mut db in [copy, again] {
        assert_eq!((db.active(), db.location(&[7; 32]).unwrap()), (1, None));
        db.apply(&Batch::new(), None).unwrap();
        let moved = db.log().operation(location(4)).unwrap();
        assert_eq!(moved, update(8));
    }
}

/// A journal of these operations, and the target that it is.
fn journal(log: Vec<Vec<u8>>) -> (MemoryJournal, Target) {
    let mut frontier = Frontier::default();
    let log = Operations::collect(log).unwrap();
    let nodes = frontier.append(&log).unwrap();
    let mut journal = MemoryJournal::default();
    journal.append(&log, &nodes).unwrap();
    let root = frontier.root();
    journal.commit(Mark::Complete { root, floor: None }).unwrap();
    (
        journal,
        Target::new(root, Location::ZERO..frontier.size()).unwrap(),
    )
}
