//! What lies on the disk already: used, cut, left alone, or found to be of another log.

use super::*;

#[test]
fn local_data_is_used_cut_or_left_alone() {
    // E5, E30, W7.1, W7.2, W9.1 to W9.3, W23.2, T13.6.9: what lies there already, and how much of it is fetched again.
    let mut older = database(11, 20, 12);
    let before = older.log().journal().clone();
    let size_before = older.log().size();
    let mut source = older.clone_with_more(20);
    source.prune(older.floor().unwrap()).unwrap();
    let target = Target::new(source.root(), older.floor().unwrap()..source.log().size()).unwrap();
    let whole = source.log().journal().clone();
    let other = database(12, 30, 12).log().journal().clone();
    let beyond = {
        let mut more = source.clone_with_more(3);
        more.prune(target.start()).unwrap();
        more.log().journal().clone()
    };
    let mut late = beyond.clone();
    late.prune(at(target.start().get() + 5)).unwrap();
    let empty_at = |n: u64| {
        let mut journal = MemoryJournal::default();
        journal.restart(at(n)).unwrap();
        journal
    };
    let all = target.end().since(target.start());
    let missing = target.end().since(size_before);
    for (case, journal, fetched) in [
        ("nothing", MemoryJournal::default(), all),
        ("an earlier state", before, missing),
        ("exactly the target", whole, 0),
        ("beyond the target", beyond, 0),
        ("held only from above the start", late, all),
        ("empty above the start", empty_at(target.start().get() + 2), all),
        ("empty beyond the end", empty_at(target.end().get() + 9), all),
        ("all below the start", empty_at(1), all),
        // W23.1: found to be of another log by the first answers, and nothing else is asked for twice.
        ("another history", other.clone(), all),
    ] {
        let resolver = Scripted::honest(whole_journal(&source));
        let mut copy =
            sync(config(4, 16), &target, journal, &resolver).unwrap_or_else(|e| panic!("{case}: {e}"));
        let operations: u64 = resolver
            .asked()
            .iter()
            .map(|(request, _)| request.max_ops())
            .sum();
        assert_eq!(operations, fetched, "{case}");
        let mut fresh = Db::open(whole_journal(&source), KIND).unwrap();
        assert_same(&mut copy, &mut fresh, case);
    }
    grow(&mut older, 1, 1, 1);
}

#[test]
fn a_target_nobody_can_prove_changes_nothing_on_disk() {
    // W10.1: a complete older database stays complete under a wrong root.
    let older = source(21, 20);
    let target = Target::new(
        Digest::of(&[b"wrong"]),
        older.floor().unwrap()..at(older.log().size().get() + 50),
    )
    .unwrap();
    let resolver = Scripted::honest(database(21, 40, 12).log().journal().clone());
    let mut local = Client::open(older.log().journal().clone(), target.clone(), Keys::new(KIND)).unwrap();
    assert_eq!(local.held().size, older.log().size());
    let error = sync(config(4, 16), &target, older.log().journal().clone(), &resolver).unwrap_err();
    assert!(
        matches!(error, Error::Ended(Ended::TooManyRefused { .. })),
        "{error}"
    );
    // Until something is proven the journal is left as it was, also when all of it is to be given up.
    assert!(matches!(local.root(), Ok(found) if found.root == older.root() && !found.torn));
    local.restart().unwrap();
    assert_eq!((local.held().size, local.unsaved()), (target.start(), 0));
    let kept = local.into_journal();
    assert_eq!(kept.mark(), older.log().journal().mark());
    assert_eq!(operations(&kept), operations(older.log().journal()));
}

#[test]
fn a_whole_database_that_is_given_up_is_not_taken_for_what_replaces_it() {
    // W9.2, W10.1: the same root and size, but held from above the new target's start only.
    let full = database(22, 20, 12);
    let mut late = full.log().journal().clone();
    late.prune(full.floor().unwrap()).unwrap();
    assert!(matches!(late.mark(), Some(Mark::Complete { root, .. }) if *root == full.root()));
    let target = Target::new(full.root(), Location::ZERO..full.log().size()).unwrap();
    let mut local = Client::open(late, target.clone(), Keys::new(KIND)).unwrap();

    let request = Request::operations(target.end(), Location::ZERO, 5).unwrap();
    let response = serve::answer(full.log().journal(), &request, Budget::default()).unwrap();
    let (batch, _) = verify(&request, target.root(), response).unwrap();
    local.append(&batch).unwrap();
    let journal = local.into_journal();
    assert_eq!(journal.bounds(), Location::ZERO..at(5));
    assert_eq!(journal.mark(), Some(&Mark::Syncing(target)));
}

#[test]
fn a_database_is_not_unmade_for_a_target_that_is_none() {
    // W18.2, W18.3, W10.1: a right root whose start is above the floor, or whose end lies inside a batch.
    let older = source(22, 20);
    let further = older.clone_with_more(10);
    let (size, floor) = (further.log().size(), further.floor().unwrap());
    let end = at(size.get() - 1);
    let peaks = crate::mmr::nodes::peaks_at(further.log().journal(), end)
        .unwrap()
        .unwrap();
    let inside = crate::mmr::hash::root(end, &peaks);
    for (case, target) in [
        (
            "a start above the floor",
            Target::new(further.root(), at(floor.get() + 1)..size),
        ),
        (
            "an end inside a batch",
            Target::new(inside, older.log().bounds().start..end),
        ),
    ] {
        let target = target.unwrap();
        let resolver = Scripted::honest(further.log().journal().clone());
        let local = Client::open(older.log().journal().clone(), target.clone(), Keys::new(KIND)).unwrap();
        let engine = Engine::new(
            config(4, 16),
            target,
            Kept { local: Some(local) },
            resolver.clone(),
            Arc::new(Virtual::default()),
            Channels::default(),
        );
        let error = block_on(engine.run()).unwrap_err();
        let Error::Database(Given(error, journal)) = error else {
            panic!("{case}: {error}")
        };
        assert!(error.is_unfit_target(), "{case}: {error}");
        assert_eq!(journal.mark(), older.log().journal().mark(), "{case}");
        assert_eq!(operations(&*journal), operations(older.log().journal()), "{case}");
        assert_eq!(resolver.asked().len(), 1, "{case}");
    }
}

#[test]
fn stored_operations_that_have_changed_are_fetched_again() {
    // W23.1, W23.2: one flipped bit in what an earlier run left, under nodes that are as they were.
    let mut source = source(23, 30);
    let resolver = Scripted::honest(source.log().journal().clone());
    let (start, end) = (source.target().start(), source.target().end());
    for flipped in [start, at((start.get() + end.get()) / 2), at(end.get() - 1)] {
        let mut damaged = MemoryJournal::default();
        let whole = source.log().journal();
        damaged.restart(start).unwrap();
        damaged.pin(&whole.pinned().unwrap()).unwrap();
        let mut list = operations(whole);
        *list[flipped.since(start) as usize].last_mut().unwrap() ^= 1;
        let nodes: Vec<_> = (start.position().get()..end.position().get())
            .map(|position| whole.node(Position::new(position).unwrap()).unwrap().unwrap())
            .collect();
        damaged
            .append(&Operations::collect(list).unwrap(), &nodes)
            .unwrap();
        damaged.commit(whole.mark().unwrap().clone()).unwrap();
        let mut copy = sync(config(4, 16), &source.target(), damaged, &resolver).unwrap();
        assert_same(&mut copy, &mut source, &format!("bit at {flipped}"));
        source = self::source(23, 30);
    }
}

#[test]
fn a_flipped_bit_in_any_stored_node_is_found_before_it_is_gone_on_from() {
    // An inner node changes no peak, and so no root; every proof that is made of it later would be false.
    let source = source(23, 30);
    let resolver = Scripted::honest(source.log().journal().clone());
    let whole = source.log().journal();
    let (start, end) = (source.target().start(), source.target().end());
    let (first, last) = (start.position().get(), end.position().get());
    let right: Vec<_> = (first..last)
        .map(|position| whole.node(Position::new(position).unwrap()).unwrap().unwrap())
        .collect();
    for flipped in (0..right.len()).step_by(7) {
        let mut damaged = MemoryJournal::default();
        damaged.restart(start).unwrap();
        damaged.pin(&whole.pinned().unwrap()).unwrap();
        let mut nodes = right.clone();
        nodes[flipped].0[flipped % 32] ^= 1;
        damaged
            .append(&Operations::collect(operations(whole)).unwrap(), &nodes)
            .unwrap();
        damaged.commit(whole.mark().unwrap().clone()).unwrap();
        let copy = sync(config(4, 16), &source.target(), damaged, &resolver).unwrap();
        let positions = start.position()..end.position();
        let stored = copy.log().journal().nodes(positions).unwrap();
        assert_eq!(stored.as_ref(), Some(&right), "node {flipped} behind {first}");
    }
}

/// A local side that hands its journal out with the error that ended it.
struct Kept {
    local: Option<Client>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Given(database::Error<crate::log::journal::NotHeld>, Box<MemoryJournal>);

impl Kept {
    fn call<T>(
        &mut self,
        work: impl FnOnce(&mut Client) -> Result<T, database::Error<crate::log::journal::NotHeld>>,
    ) -> Result<T, Given> {
        let local = self.local.as_mut().unwrap();
        match work(local) {
            Ok(done) => Ok(done),
            Err(error) => Err(Given(error, Box::new(self.local.take().unwrap().into_journal()))),
        }
    }
}

impl Database for Kept {
    type Output = ();
    type Error = Given;

    fn held(&self) -> database::Held {
        self.local.as_ref().unwrap().held()
    }

    async fn check_last(&mut self, last: Operations) -> Result<(), Given> {
        self.call(|local| Client::check_last(local, &last))
    }

    async fn append(&mut self, batch: Verified) -> Result<(), Given> {
        self.call(|local| Client::append(local, &batch))
    }

    async fn pin(&mut self, pinned: Pinned) -> Result<(), Given> {
        self.call(|local| Client::pin(local, &pinned))
    }

    async fn retarget(&mut self, target: Target) -> Result<database::Held, Given> {
        self.call(|local| Client::retarget(local, target))
    }

    async fn restart(&mut self) -> Result<(), Given> {
        self.call(Client::restart)
    }

    async fn root(&mut self) -> Result<database::Rooted, Given> {
        self.call(|local| Client::root(local))
    }

    async fn root_at(&mut self, size: Location) -> Result<Digest, Given> {
        self.call(|local| Client::root_at(local, size))
    }

    async fn complete(self) -> Result<(), Given> {
        Ok(())
    }
}

#[test]
fn targets_that_are_no_database_are_refused() {
    // W18.2, W18.3, T13.6.10, T13.6.11: start above the floor, and an end inside a batch.
    let source = database(31, 20, 12);
    let resolver = Scripted::honest(source.log().journal().clone());
    let above = Target::new(
        source.root(),
        at(source.floor().unwrap().get() + 1)..source.log().size(),
    )
    .unwrap();
    let error = sync(config(4, 16), &above, MemoryJournal::default(), &resolver).unwrap_err();
    assert!(
        matches!(error, Error::Database(database::Error::FloorBelowStart { .. })),
        "{error}"
    );

    let end = at(source.log().size().get() - 1);
    let peaks = crate::mmr::nodes::peaks_at(source.log().journal(), end)
        .unwrap()
        .unwrap();
    let inside = Target::new(crate::mmr::hash::root(end, &peaks), Location::ZERO..end).unwrap();
    let error = sync(config(4, 16), &inside, MemoryJournal::default(), &resolver).unwrap_err();
    assert!(
        matches!(error, Error::Database(database::Error::NotACommit(last)) if last.get() + 1 == end.get())
    );

    // At the floor and below it is fine, the floor is the commit's, and the same writes lead to the same roots (W18.1).
    let floor = source.floor().unwrap().get();
    for start in [floor, floor - 1, floor / 2, 0] {
        let target = Target::new(source.root(), at(start)..source.log().size()).unwrap();
        let mut copy = sync(config(4, 16), &target, MemoryJournal::default(), &resolver).unwrap();
        let mut same = Db::open(whole_journal(&source), KIND).unwrap();
        same.prune(at(start)).unwrap();
        assert_same(
            &mut copy,
            &mut same,
            &format!("from {start}, the floor is {floor}"),
        );
    }
}

#[test]
fn local_data_of_another_log_never_ends_in_a_database_wherever_it_ends() {
    // W23.1, W23.2, E73: the nodes of a proven batch are right whatever lies before it, so the stored peaks alone do not
    // tell. Nobody answers for the tie here, so it is the root that has to tell.
    let source = database(11, 12, 6);
    let target = Target::new(source.root(), at(3)..source.log().size()).unwrap();
    for size in 4..target.end().get() {
        let mut other = database(12, 20, 6).log().journal().clone();
        other.rewind(at(size)).unwrap();
        for ties in [true, false] {
            let honest = move |_, request: &Request| match request.kind() {
                Kind::Boundary if !ties && request.start() != at(3) => Act::FlipPinned,
                _ => Act::Honest,
            };
            let resolver = Scripted::new(whole_journal(&source), honest);
            match sync(config(2, 16), &target, other.clone(), &resolver) {
                Ok(copy) => {
                    let (ours, theirs) = (
                        operations(copy.log().journal()),
                        operations(&whole_journal(&source)),
                    );
                    assert!(ours == theirs[3..], "held up to {size}");
                }
                Err(error) => panic!("held up to {size}, ties {ties}: {error}"),
            }
        }
    }
}

#[test]
fn an_update_guards_nothing_once_the_older_database_is_gone() {
    // W22.4: else the newest last operation would be waited for at each update, before anything is appended.
    let older = database(21, 10, 12);
    let newer = database(21, 20, 12);
    let target = Target::new(newer.root(), Location::ZERO..newer.log().size()).unwrap();
    let mut local = Client::open(whole_journal(&older), target.clone(), Keys::new(KIND)).unwrap();
    assert!(local.held().guarded);
    let request = Request::operations(target.end(), local.held().size, 5).unwrap();
    let response = serve::answer(newer.log().journal(), &request, Budget::default()).unwrap();
    let (batch, _) = verify(&request, target.root(), response).unwrap();
    local.append(&batch).unwrap();
    assert!(!local.held().guarded);
    assert!(!local.retarget(target).unwrap().guarded);
}

#[test]
fn pinned_nodes_of_another_log_are_asked_for_again() {
    // W23.1, W23.2: nothing but pinned nodes is held, and they are of another log.
    let source = database(11, 12, 6);
    let target = Target::new(source.root(), at(37)..source.log().size()).unwrap();
    let mut other = whole_journal(&database(12, 12, 6));
    other.prune(at(37)).unwrap();
    other.rewind(at(37)).unwrap();
    for ties in [true, false] {
        // The first boundary answer is refused, so that operations are appended before it is known.
        let resolver = Scripted::new(whole_journal(&source), move |number, request| {
            match request.kind() {
                Kind::Boundary if !ties && number < 20 => Act::FlipPinned,
                _ => Act::Honest,
            }
        });
        let copy = sync(config(2, 16), &target, other.clone(), &resolver).unwrap();
        assert_eq!(copy.root(), *target.root());
        assert_eq!(
            copy.log().pinned_nodes_at(at(37)).unwrap(),
            source.log().pinned_nodes_at(at(37)).unwrap()
        );
    }
}

#[test]
fn local_data_of_another_log_that_an_update_brings_into_use_is_given_up() {
    // W23.2: what is held serves the first target and is of another log where the second one is.
    let mut source = database(11, 12, 6);
    let shared = source.log().size();
    let mut other = Db::open(whole_journal(&source), KIND).unwrap();
    let first = Target::new(source.root(), at(3)..shared).unwrap();
    grow(&mut source, 77, 8, 6);
    grow(&mut other, 78, 30, 6);
    let later = Target::new(source.root(), shared..source.log().size()).unwrap();
    assert!(later.end() < other.log().size(), "held up to both ends");
    let resolver = Scripted::honest(whole_journal(&source));
    let targets = [first, later.clone()];
    let (outcome, reached, ..) = super::targets::follow(KIND, &targets, &resolver, whole_journal(&other));
    assert_eq!(
        (outcome.unwrap().root(), &reached[..]),
        (*later.root(), &targets[..])
    );
}

#[test]
fn half_a_sync_onto_another_log_is_begun_again() {
    // W23.2, W23.3, W25.1: as after a crash; the floors of the two logs may contradict each other.
    let source = database(11, 12, 6);
    let target = Target::new(source.root(), at(3)..source.log().size()).unwrap();
    for size in 4..target.end().get() - 20 {
        let mut other = whole_journal(&database(12, 20, 6));
        other.rewind(at(size)).unwrap();
        let mut local = Client::open(other, target.clone(), Keys::new(KIND)).unwrap();
        let request = Request::operations(target.end(), at(size), 20).unwrap();
        let response = serve::answer(source.log().journal(), &request, Budget::default()).unwrap();
        let (batch, _) = verify(&request, target.root(), response).unwrap();
        local.append(&batch).unwrap();
        local.checkpoint().unwrap();
        let resolver = Scripted::honest(whole_journal(&source));
        let copy = sync(config(2, 16), &target, local.into_journal(), &resolver);
        let copy = copy.unwrap_or_else(|error| panic!("held up to {size}: {error}"));
        let theirs = operations(&whole_journal(&source));
        assert!(
            operations(copy.log().journal()) == theirs[3..],
            "held up to {size}"
        );
    }
}
