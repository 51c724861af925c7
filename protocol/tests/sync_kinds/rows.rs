//! The syncs that the reference tests (ENGINE 13.2), for every kind of database: ordered and unordered, fixed and variable,
//! immutable and keyless.

use super::*;
use cordee_protocol::sync::error::Ended;
use cordee_protocol::sync::{serve, verify};
use cordee_protocol::testing::source::{Act, key};
use cordee_protocol::wire;

pub(super) fn config(outstanding: usize, batch: u64) -> Config {
    Config {
        max_outstanding_requests: NonZeroUsize::new(outstanding).unwrap(),
        fetch_batch_size: NonZeroU64::new(batch).unwrap(),
        ..Config::default()
    }
}

pub(super) fn engine(
    kind: Kind,
    config: Config,
    target: &Target,
    held: MemoryJournal,
    resolver: &Scripted,
    channels: Channels,
) -> Engine<Client, Scripted> {
    let local = Client::open(held, target.clone(), Keys::new(kind)).unwrap();
    let runtime = Arc::new(Virtual::default());
    Engine::new(config, target.clone(), local, resolver.clone(), runtime, channels)
}

fn run(
    kind: Kind,
    config: Config,
    target: &Target,
    held: MemoryJournal,
    resolver: &Scripted,
) -> Result<MemoryDb, Failed> {
    let engine = engine(kind, config, target, held, resolver, Channels::default());
    block_on(engine.run()).map(|(log, keys)| Db::from_parts(log, keys).unwrap())
}

/// The whole of `db` from its floor on; from a third of it where there is none.
pub(super) fn target(db: &MemoryDb) -> Target {
    let start = db.floor().unwrap_or(location(db.log().size().get() / 3));
    Target::new(db.root(), start..db.log().size()).unwrap()
}

/// `db` as it is, in another hand.
pub(super) fn copy_of(db: &MemoryDb) -> MemoryDb {
    Db::open(db.log().journal().clone(), db.kind()).unwrap()
}

/// `copy` is `source` from `start` on.
pub(super) fn assert_copies(copy: MemoryDb, source: &MemoryDb, start: Location, case: &str) {
    let mut source = copy_of(source);
    source.prune(start).unwrap();
    assert_same(copy, &source, case);
}

fn fetched(resolver: &Scripted) -> u64 {
    resolver
        .asked()
        .iter()
        .map(|(request, _)| request.max_ops())
        .sum()
}

#[test]
fn a_resolver_that_always_fails_ends_the_sync() {
    // T13.2.2; E42, W12.3
    for name in KINDS {
        let to = Target::new(Default::default(), location(0)..location(5)).unwrap();
        let resolver = Scripted::new(MemoryJournal::default(), |_, _| Act::Die);
        let error = run(kind(name), config(3, 2), &to, MemoryJournal::default(), &resolver).unwrap_err();
        assert!(
            matches!(error, Error::Resolver(Failure(false))),
            "{name}: {error}"
        );
    }
}

#[test]
fn any_number_of_operations_in_any_batches() {
    // T13.2.3, T13.2.16, T13.2.17, T13.2.23 to T13.2.25; E34, E48, E71 to E73, W18.1, F4.1: from nothing; then the copy is
    // opened again, and copy, copy opened again and source go on to the same log.
    for name in KINDS {
        for (operations, batch) in [
            (10, 1),
            (10, 20),
            (1000, 1),
            (1000, 3),
            (1000, 999),
            (1000, 100),
            (1000, 1000),
            (1000, 1001),
        ] {
            let case = format!("{name}, {operations} operations in batches of {batch}");
            let source = database_of(kind(name), operations, 1, operations);
            let to = target(&source);
            let mut pruned = copy_of(&source);
            pruned.prune(to.start()).unwrap();
            let resolver = Scripted::honest(pruned.log().journal().clone());
            let copy = run(
                kind(name),
                config(4, batch),
                &to,
                MemoryJournal::default(),
                &resolver,
            )
            .unwrap();
            assert!(
                resolver
                    .asked()
                    .iter()
                    .all(|(request, _)| request.max_ops() <= batch),
                "{case}"
            );
            assert_eq!(
                fetched(&resolver),
                to.end().since(to.start()),
                "{case}: each once"
            );
            let mark = copy.log().journal().mark();
            assert!(
                matches!(mark, Some(Mark::Complete { root, .. }) if root == to.root()),
                "{case}"
            );
            assert_copies(copy, &source, to.start(), &case);
        }
    }
}

#[test]
fn a_source_that_has_gone_on_serves_the_earlier_target() {
    // T13.2.4, T13.2.27; E32, E72, F1.8: what the source has more is not in the copy.
    for name in KINDS {
        let earlier = database_of(kind(name), 5, 3, 40);
        let mut source = copy_of(&earlier);
        let value = vec![9; kind(name).value_size().unwrap_or(5)];
        let mut batch = Batch::new();
        match kind(name).family() {
            Family::Keyless => batch.append(value),
            _ => batch.put(key(1 << 40), value),
        };
        source.apply(&batch, None).unwrap();
        source.commit().unwrap();
        let to = target(&earlier);
        let resolver = Scripted::honest(source.log().journal().clone());
        let copy = run(
            kind(name),
            config(4, 16),
            &to,
            MemoryJournal::default(),
            &resolver,
        )
        .unwrap();
        if kind(name).family() != Family::Keyless {
            assert!(source.value(&key(1 << 40)).unwrap().is_some(), "{name}");
            assert_eq!(copy.value(&key(1 << 40)).unwrap(), None, "{name}");
        }
        assert!(
            resolver
                .asked()
                .iter()
                .all(|(request, _)| request.size() == to.end()),
            "{name}"
        );
        assert_copies(copy, &earlier, to.start(), name);
    }
}

#[test]
fn what_is_held_is_not_fetched_again() {
    // T13.2.5, T13.2.28 (1000 of 1000 and one more), T13.2.6, T13.2.29 (all of it, with nobody to ask); E5, E30, W7.1, W7.2
    for name in KINDS {
        let held = database_of(kind(name), 5, 1, 1000);
        let mut source = copy_of(&held);
        grow(&mut source, 6, 1, 1);
        let to = Target::new(source.root(), target(&held).start()..source.log().size()).unwrap();
        let resolver = Scripted::honest(source.log().journal().clone());
        let stored = held.log().journal().clone();
        let copy = run(kind(name), config(4, 16), &to, stored, &resolver).unwrap();
        let missing = to.end().since(held.log().size());
        assert!(missing < 20, "{name}: {missing}");
        // Where a complete database would be unmade, the target's last operation is looked at first, and kept.
        assert_eq!(fetched(&resolver), missing, "{name}");
        assert_copies(copy, &source, to.start(), name);

        let to = target(&source);
        let nobody = Scripted::new(MemoryJournal::default(), |_, _| Act::Die);
        let copy = run(
            kind(name),
            config(4, 16),
            &to,
            source.log().journal().clone(),
            &nobody,
        )
        .unwrap();
        assert!(nobody.asked().is_empty(), "{name}");
        assert_copies(copy, &source, to.start(), name);
    }
}

#[test]
fn bad_pinned_nodes_are_asked_for_again() {
    // T13.2.18; E45, F1.9: the first list is corrupted.
    for name in KINDS {
        let source = database_of(kind(name), 5, 6, 20);
        let to = target(&source);
        assert!(to.start() > Location::ZERO, "{name}");
        let resolver = Scripted::new(source.log().journal().clone(), |number, request| {
            let first = number == 0 && request.kind() == wire::Kind::Boundary;
            if first { Act::FlipPinned } else { Act::Honest }
        });
        let copy = run(
            kind(name),
            config(4, 16),
            &to,
            MemoryJournal::default(),
            &resolver,
        )
        .unwrap();
        let verdicts = resolver.verdicts();
        assert_eq!(verdicts[0], (Act::FlipPinned, Some(false)), "{name}");
        assert!(verdicts[1..].iter().all(|row| row.1 == Some(true)), "{name}");
        assert_copies(copy, &source, to.start(), name);
    }
}

/// Put what a local side needs for its target into it, and complete it.
fn fill(mut local: Client, source: &MemoryDb, case: &str) -> MemoryDb {
    let to = local.target().clone();
    let answer = |request: wire::Request| {
        let response = serve::answer(source.log().journal(), &request, serve::Budget::default()).unwrap();
        verify::verify(&request, to.root(), response).unwrap()
    };
    if !local.held().pinned {
        // E12: without the nodes it is no database.
        let request = wire::Request::boundary(to.end(), to.start()).unwrap();
        local.pin(&answer(request).1.unwrap()).unwrap();
    }
    while let Some(request) = wire::Request::operations(to.end(), local.held().size, 9) {
        local.append(&answer(request).0).unwrap();
    }
    let (log, keys) = local.complete().unwrap_or_else(|error| panic!("{case}: {error}"));
    Db::from_parts(log, keys).unwrap()
}

#[test]
fn a_database_is_made_of_a_journal_pinned_nodes_and_a_range() {
    // E12, E72, T13.2.19 to T13.2.22: of nothing and of what is held; assert_copies writes to it afterwards.
    for name in KINDS {
        let kind = kind(name);
        // T13.2.19: one commit, range 0..1, no pinned nodes.
        let new = Db::open(MemoryJournal::default(), kind).unwrap();
        let to = Target::new(new.root(), location(0)..location(1)).unwrap();
        let local = Client::open(MemoryJournal::default(), to, Keys::new(kind)).unwrap();
        assert!(local.held().pinned);
        assert_copies(fill(local, &new, name), &new, location(0), name);

        let earlier = database_of(kind, 5, 6, 20);
        let mut source = copy_of(&earlier);
        grow(&mut source, 6, 6, 20);
        let to = Target::new(source.root(), target(&earlier).start()..source.log().size()).unwrap();
        for (case, held, size) in [
            // T13.2.20
            ("nothing", MemoryJournal::default(), to.start()),
            // T13.2.21
            (
                "less than the range",
                earlier.log().journal().clone(),
                earlier.log().size(),
            ),
            // T13.2.22
            ("exactly the range", source.log().journal().clone(), to.end()),
        ] {
            let case = format!("{name}, {case}");
            let local = Client::open(held, to.clone(), Keys::new(kind)).unwrap();
            assert_eq!(
                (local.held().size, local.held().pinned),
                (size, size > to.start()),
                "{case}"
            );
            assert_copies(fill(local, &source, &case), &source, to.start(), &case);
        }
        // Without pinned nodes for its start it is refused, not made up.
        let mut local = Client::open(MemoryJournal::default(), to.clone(), Keys::new(kind)).unwrap();
        let request = wire::Request::operations(to.end(), to.start(), 1 << 16).unwrap();
        let response = serve::answer(source.log().journal(), &request, serve::Budget::default()).unwrap();
        local
            .append(&verify::verify(&request, to.root(), response).unwrap().0)
            .unwrap();
        assert_eq!(local.held().size, to.end());
        let error = local.complete().unwrap_err();
        assert!(
            matches!(error, database::Error::MissingNodes(_)),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_root_that_is_not_the_targets_is_no_database() {
    // E73: the resolver answers truly for another root than the one that the local log leads to. Every answer is
    // refused, and a database that is held whole is not taken for it.
    for name in KINDS {
        let source = database_of(kind(name), 5, 3, 20);
        let held = source.log().journal().clone();
        let wrong = Target::new(Default::default(), target(&source).range()).unwrap();
        let local = Client::open(held.clone(), wrong.clone(), Keys::new(kind(name))).unwrap();
        let error = local.complete().unwrap_err();
        assert!(
            matches!(error, database::Error::Root { want, got } if want == *wrong.root() && got == source.root()),
            "{name}: {error}"
        );
        let resolver = Scripted::honest(held.clone());
        let error = run(kind(name), config(2, 16), &wrong, held, &resolver).unwrap_err();
        assert!(
            matches!(error, Error::Ended(Ended::TooManyRefused { .. })),
            "{name}: {error}"
        );
    }
}
