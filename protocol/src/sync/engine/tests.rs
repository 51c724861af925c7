//! Whole syncs between journals in memory, with a resolver that misbehaves by script.

use super::super::database::{self, Local};
use super::super::error::{Ended, Error};
use super::super::plan::Config;
use super::super::serve::{self, Budget};
use super::*;
use crate::db::{Db, Family, Keys, Kind as DbKind};
use crate::log::{Journal, Mark, MemoryJournal, Operations};
use crate::mmr::{Nodes, Position};
use crate::testing::runtime::Virtual;
use crate::testing::source::{Act, MemoryDb, Scripted, database, grow, key, operations};
use crate::wire::{Kind, Request};
use futures::executor::block_on;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

type Client = Local<MemoryJournal, Keys>;
const KIND: DbKind = DbKind::variable(Family::AnyUnordered);

type Outcome = Result<MemoryDb, EngineError<Client, Scripted>>;

fn at(n: u64) -> Location {
    Location::new(n).unwrap()
}

fn config(outstanding: usize, batch: u64) -> Config {
    Config {
        max_outstanding_requests: NonZeroUsize::new(outstanding).unwrap(),
        fetch_batch_size: NonZeroU64::new(batch).unwrap(),
        ..Config::default()
    }
}

fn engine(
    config: Config,
    target: &Target,
    journal: MemoryJournal,
    resolver: &Scripted,
    channels: Channels,
) -> Engine<Client, Scripted> {
    let local = Client::open(journal, target.clone(), Keys::new(KIND)).unwrap();
    Engine::new(
        config,
        target.clone(),
        local,
        resolver.clone(),
        Arc::new(Virtual::default()),
        channels,
    )
}

fn sync(config: Config, target: &Target, journal: MemoryJournal, resolver: &Scripted) -> Outcome {
    let engine = engine(config, target, journal, resolver, Channels::default());
    block_on(engine.run()).map(|(log, keys)| Db::from_parts(log, keys))
}

/// The source, pruned to its floor: what a copy holds.
fn source(seed: u64, commits: u64) -> MemoryDb {
    let mut db = database(seed, commits, 12);
    db.prune(db.floor().unwrap()).unwrap();
    db
}

fn assert_same(copy: &mut MemoryDb, source: &mut MemoryDb, case: &str) {
    assert_eq!(
        (copy.root(), copy.floor()),
        (source.root(), source.floor()),
        "{case}"
    );
    assert_eq!(
        operations(copy.log().journal()),
        operations(source.log().journal()),
        "{case}"
    );
    for i in 0..48 {
        assert_eq!(
            copy.value(&key(i)).unwrap(),
            source.value(&key(i)).unwrap(),
            "{case}, key {i}"
        );
    }
    // The same writes go on to the same log (W18.1), and a reopened copy is the same.
    let mut reopened = Db::open(copy.log().journal().clone(), KIND).unwrap();
    for db in [&mut *copy, &mut *source, &mut reopened] {
        grow(db, 999, 3, 12);
    }
    assert_eq!(
        (copy.root(), reopened.root()),
        (source.root(), source.root()),
        "{case}"
    );
}

#[test]
fn a_copy_equals_its_source() {
    // test_sync, test_sync_database_persistence, test_sync_post_sync_usability: E34, E48, E71 to E73, W18.1.
    for (commits, batch, outstanding) in [
        (1, 1, 1),
        (1, 20, 10),
        (40, 1, 4),
        (40, 3, 1),
        (40, 100, 3),
        (40, 100_000, 10),
    ] {
        let case = format!("{commits} commits, batch {batch}, {outstanding} outstanding");
        let mut source = source(commits, commits);
        let resolver = Scripted::honest(source.log().journal().clone());
        let mut copy = sync(
            config(outstanding, batch),
            &source.target(),
            MemoryJournal::default(),
            &resolver,
        )
        .unwrap();
        assert!(
            resolver
                .verdicts()
                .iter()
                .all(|(_, verdict)| *verdict == Some(true)),
            "{case}: E16"
        );
        assert_same(&mut copy, &mut source, &case);
    }
}

#[test]
fn misbehaving_answers_cost_time_and_nothing_else() {
    // E45, W1.2, W2.3, W3.3, W4, W12.2, W13.1: every request is treated badly up to its sixth time.
    for act in [
        Act::Flip,
        Act::OtherSize,
        Act::Long,
        Act::Nothing,
        Act::FlipPinned,
        Act::NoPinned,
        Act::Fail,
        Act::Silence,
        Act::Short(1),
    ] {
        let mut source = source(7, 30);
        let held = source.log().bounds().end;
        let resolver = Scripted::new(source.log().journal().clone(), move |number, request| match act {
            // The source has nothing beyond its end to add.
            Act::Long if request.range().end >= held => Act::Honest,
            Act::FlipPinned | Act::NoPinned if request.kind() != Kind::Boundary => Act::Honest,
            Act::Short(_) => act,
            _ if number % 7 < 6 => act,
            _ => Act::Honest,
        });
        let config = Config {
            request_timeout: Some(Duration::from_secs(1)),
            ..config(3, 8)
        };
        let copy = sync(config, &source.target(), MemoryJournal::default(), &resolver);
        let mut copy = copy.unwrap_or_else(|error| panic!("{act:?}: {error}, {:?}", &resolver.asked()[..20]));
        for (act, verdict) in resolver.verdicts() {
            let expected = match act {
                Act::Honest | Act::Short(_) => Some(true),
                Act::Fail | Act::Silence => None,
                _ => Some(false),
            };
            assert!(verdict == expected || verdict.is_none(), "{act:?}: {verdict:?}");
        }
        assert_same(&mut copy, &mut source, &format!("{act:?}"));
    }
}

#[test]
fn a_boundary_that_always_fails_holds_back_only_completion() {
    // W2.1 to W2.3, W3.3, W11.2
    let source = source(3, 30);
    let resolver = Scripted::new(source.log().journal().clone(), |_, request| {
        match request.kind() {
            Kind::Boundary => Act::FlipPinned,
            Kind::Operations => Act::Honest,
        }
    });
    for outstanding in [1, 2, 9] {
        let (reached_tx, mut reached_rx) = mpsc::channel(1);
        let (progress_tx, progress) = watch::channel(Progress::default());
        let channels = Channels {
            reached_tx: Some(reached_tx),
            progress: Some(progress_tx),
            ..Channels::default()
        };
        let engine = engine(
            config(outstanding, 16),
            &source.target(),
            MemoryJournal::default(),
            &resolver,
            channels,
        );
        let error = block_on(engine.run()).unwrap_err();
        assert!(
            matches!(error, Error::Ended(Ended::TooManyRefused { .. })),
            "{error}"
        );
        assert!(reached_rx.try_recv().is_err());
        let progress = progress.borrow();
        assert_eq!((progress.size, progress.reached), (source.target().end(), false));
    }
}

#[test]
fn requests_are_bound_and_in_the_right_order() {
    // E31, W3.1, W3.2, W2.4, W16.2: what is asked first.
    let source = source(5, 40);
    let (start, end) = (source.target().start(), source.target().end());
    let resolver = Scripted::new(source.log().journal().clone(), |_, _| Act::Die);
    let _ = sync(
        config(2, 4),
        &source.target(),
        MemoryJournal::default(),
        &resolver,
    );
    let asked: Vec<_> = resolver.asked().into_iter().map(|(request, _)| request).collect();
    assert_eq!(asked[0], Request::boundary(end, start).unwrap());
    // Nothing is asked twice, and a start of 0 needs no boundary.
    let resolver = Scripted::honest(source.log().journal().clone());
    sync(
        config(5, 4),
        &source.target(),
        MemoryJournal::default(),
        &resolver,
    )
    .unwrap();
    let mut asked: Vec<_> = resolver
        .asked()
        .iter()
        .map(|(request, _)| request.range())
        .collect();
    asked.sort_by_key(|range| range.start);
    assert!(asked.windows(2).all(|pair| pair[0].end == pair[1].start));
    assert_eq!((asked[0].start, asked[asked.len() - 1].end), (start, end));

    let whole = database(5, 10, 12);
    let target = Target::new(whole.root(), Location::ZERO..whole.log().size()).unwrap();
    let resolver = Scripted::honest(whole.log().journal().clone());
    sync(config(5, 4), &target, MemoryJournal::default(), &resolver).unwrap();
    assert!(
        resolver
            .asked()
            .iter()
            .all(|(request, _)| request.kind() == Kind::Operations)
    );
}

#[test]
fn a_late_tip_does_not_fill_the_memory() {
    // W14.1, W14.2: the first operations request is never answered; the rest stops at the bound.
    let source = database(9, 60, 12);
    let target = Target::new(source.root(), at(3)..source.log().size()).unwrap();
    let (progress_tx, progress) = watch::channel(Progress::default());
    let peak = Arc::new(std::sync::Mutex::new(0));
    let seen = peak.clone();
    let resolver = Scripted::new(source.log().journal().clone(), move |number, request| {
        let buffered = progress.borrow().buffered_bytes;
        let mut peak = seen.lock().unwrap();
        *peak = buffered.max(*peak);
        if request.start() == at(4) && number < 500 {
            Act::Silence
        } else {
            Act::Honest
        }
    });
    let config = Config {
        max_buffered_bytes: 3000,
        batch_bytes: NonZeroU64::new(256).unwrap(),
        request_timeout: Some(Duration::from_secs(1)),
        ..config(4, 4)
    };
    let channels = Channels {
        progress: Some(progress_tx),
        ..Channels::default()
    };
    // Virtual time: each wait lets one deadline pass, and the tip is asked again.
    let run = engine(config, &target, MemoryJournal::default(), &resolver, channels).run();
    let (log, _) = block_on(run).unwrap();
    assert_eq!(log.root(), source.root());
    let bytes: usize = operations(source.log().journal()).iter().map(Vec::len).sum();
    let peak = *peak.lock().unwrap();
    assert!(
        (2000..=3000).contains(&peak) && bytes > 20_000,
        "{peak} buffered of {bytes}"
    );
    assert!(
        resolver
            .asked()
            .iter()
            .filter(|(_, act)| *act == Act::Silence)
            .count()
            > 100
    );
}

#[test]
fn local_data_is_used_cut_or_left_alone() {
    // E5, E30, W7.1, W7.2, W9.1 to W9.4, W23.2: what lies there already, and how much of it is fetched again.
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
        // Fetched from its own size on, found to be of another log, and then fetched whole.
        (
            "another history",
            other.clone(),
            target.end().since(other.bounds().end) + all,
        ),
    ] {
        let resolver = Scripted::honest(whole_journal(&source));
        let mut copy =
            sync(config(4, 16), &target, journal, &resolver).unwrap_or_else(|e| panic!("{case}: {e}"));
        let operations: u64 = resolver
            .asked()
            .iter()
            .filter(|(request, _)| request.kind() == Kind::Operations || fetched == all)
            .map(|(request, _)| request.max_ops())
            .sum();
        if case == "another history" {
            assert!(operations >= all, "{case}: {operations}");
        } else {
            assert_eq!(operations, fetched, "{case}");
        }
        let mut fresh = Db::open(whole_journal(&source), KIND).unwrap();
        assert_same(&mut copy, &mut fresh, case);
    }
    grow(&mut older, 1, 1, 1);
}

#[test]
fn local_data_of_another_log_is_found_out_wherever_it_ends() {
    // W23.2, E73: the nodes of a proven batch are right whatever lies before it, so the stored peaks alone do not tell.
    let source = database(11, 12, 6);
    let target = Target::new(source.root(), at(3)..source.log().size()).unwrap();
    for size in 4..target.end().get() {
        let mut other = database(12, 20, 6).log().journal().clone();
        other.rewind(at(size)).unwrap();
        let resolver = Scripted::honest(whole_journal(&source));
        let run = engine(config(2, 16), &target, other, &resolver, Channels::default()).run();
        let (log, _) = block_on(run).unwrap_or_else(|error| panic!("held up to {size}: {error}"));
        let (ours, theirs) = (operations(log.journal()), operations(&whole_journal(&source)));
        assert!(ours == theirs[3..], "held up to {size}");
    }
}

#[test]
fn half_a_sync_onto_another_log_is_begun_again() {
    // W23.2, W25: as after a crash; the floors of the two logs may contradict each other.
    let source = database(11, 12, 6);
    let target = Target::new(source.root(), at(3)..source.log().size()).unwrap();
    for size in 4..target.end().get() - 20 {
        let mut other = database(12, 20, 6).log().journal().clone();
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
        assert!(
            operations(copy.log().journal()) == operations(&whole_journal(&source))[3..],
            "held up to {size}"
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
    let (update_tx, update_rx) = mpsc::channel(1);
    let (finish_tx, finish_rx) = mpsc::channel(1);
    let (reached_tx, mut reached_rx) = mpsc::channel(1);
    let channels = Channels {
        update_rx: Some(update_rx),
        finish_rx: Some(finish_rx),
        reached_tx: Some(reached_tx),
        ..Channels::default()
    };
    let run = engine(config(2, 16), &first, whole_journal(&other), &resolver, channels).run();
    let tell = async {
        assert_eq!(reached_rx.recv().await.as_ref(), Some(&first));
        update_tx.send(later.clone()).await.unwrap();
        assert_eq!(reached_rx.recv().await.as_ref(), Some(&later));
        finish_tx.send(()).await.unwrap();
    };
    let (outcome, ()) = block_on(futures::future::join(run, tell));
    let (log, _) = outcome.unwrap();
    assert_eq!(log.root(), *later.root());
}

fn whole_journal(db: &MemoryDb) -> MemoryJournal {
    db.log().journal().clone()
}

trait Further {
    fn clone_with_more(&self, commits: u64) -> MemoryDb;
}

impl Further for MemoryDb {
    fn clone_with_more(&self, commits: u64) -> MemoryDb {
        let mut db = Db::open(self.log().journal().clone(), KIND).unwrap();
        grow(&mut db, 77, commits, 12);
        db
    }
}

#[test]
fn a_target_nobody_can_prove_changes_nothing_on_disk() {
    // W10.1, W23: a complete older database stays complete under a wrong root.
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
    assert!(matches!(local.root(), Ok(root) if root == older.root()));
    local.restart().unwrap();
    assert_eq!((local.held().size, local.unsaved()), (target.start(), 0));
    let kept = local.into_journal();
    assert_eq!(kept.mark(), older.log().journal().mark());
    assert_eq!(operations(&kept), operations(older.log().journal()));
}

#[test]
fn an_update_guards_nothing_once_the_older_database_is_gone() {
    // W22.4: else the newest last operation would be waited for at each update, before anything is appended.
    let older = database(21, 10, 12);
    let newer = database(21, 20, 12);
    let target = newer.target();
    let target = Target::new(*target.root(), Location::ZERO..target.end()).unwrap();
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
    // W23.2: nothing but pinned nodes is held, and they are of another log.
    let source = database(11, 12, 6);
    let target = Target::new(source.root(), at(37)..source.log().size()).unwrap();
    let mut other = whole_journal(&database(12, 12, 6));
    other.prune(at(37)).unwrap();
    other.rewind(at(37)).unwrap();
    let resolver = Scripted::honest(whole_journal(&source));
    let copy = sync(config(2, 16), &target, other, &resolver).unwrap();
    assert_eq!(copy.root(), *target.root());
    assert_eq!(
        copy.log().pinned_nodes_at(at(37)).unwrap(),
        source.log().pinned_nodes_at(at(37)).unwrap()
    );
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

    async fn root(&mut self) -> Result<Digest, Given> {
        self.call(|local| Client::root(local))
    }

    async fn complete(self) -> Result<(), Given> {
        Ok(())
    }
}

#[test]
fn targets_that_are_no_database_are_refused() {
    // W18.2, W18.3: start above the floor, and an end inside a batch.
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

    // Below the floor it is fine, and the floor is the commit's (W18.1).
    let below = Target::new(
        source.root(),
        at(source.floor().unwrap().get() - 1)..source.log().size(),
    )
    .unwrap();
    let copy = sync(config(4, 16), &below, MemoryJournal::default(), &resolver).unwrap();
    assert_eq!(copy.floor(), source.floor());
}

#[test]
fn errors_that_are_ours_end_the_sync() {
    // E42, W11.1, W12.2, W12.3
    let source = source(41, 10);
    let journal = || source.log().journal().clone();
    let fatal = Scripted::new(journal(), |_, _| Act::Die);
    let run = |resolver: &Scripted| {
        sync(config(3, 8), &source.target(), MemoryJournal::default(), resolver).unwrap_err()
    };
    assert!(matches!(run(&fatal), Error::Resolver(_)));
    let failing = Scripted::new(journal(), |_, _| Act::Fail);
    assert!(matches!(run(&failing), Error::Resolver(_)));
    assert!(failing.asked().len() > 100);
    let mut deaf = Scripted::new(journal(), |_, _| Act::Flip);
    deaf.takes_verdicts = false;
    assert!(matches!(run(&deaf), Error::Ended(Ended::InvalidResponse(_))));
    // With local data complete, nobody is asked (test_sync_use_existing_db_exact_match: E30, W7.2).
    let copy = sync(config(3, 8), &source.target(), journal(), &fatal).unwrap();
    assert_eq!(copy.root(), source.root());
}

#[test]
fn no_setting_can_overflow() {
    // W15, W16.1 (zero cannot be written), W17.1
    let mut source = source(51, 10);
    let resolver = Scripted::honest(source.log().journal().clone());
    let config = Config {
        max_buffered_bytes: u64::MAX,
        ..config(usize::MAX, u64::MAX)
    };
    let mut copy = sync(config, &source.target(), MemoryJournal::default(), &resolver).unwrap();
    assert_same(&mut copy, &mut source, "everything at its largest");
    // A target that ends at 2^62: nobody holds that, and nothing panics.
    let target = Target::new(Digest::default(), at(5)..Location::MAX).unwrap();
    let dead = Scripted::new(MemoryJournal::default(), |_, _| Act::Die);
    assert!(sync(Config::default(), &target, MemoryJournal::default(), &dead).is_err());
}

#[test]
fn targets_move_and_nothing_proven_is_lost() {
    // E50 to E56, W5.1, W5.2, W5.3, W6.1, W22.1, W22.2, W22.4, W27.1: updates queued before the first step.
    let first = database(61, 20, 12);
    let middle = first.clone_with_more(5);
    let mut last = first.clone_with_more(15);
    let from = |db: &MemoryDb| Target::new(db.root(), first.floor().unwrap()..db.log().size()).unwrap();
    let resolver = Scripted::honest(last.log().journal().clone());
    let run = |updates: Vec<Target>, strict: bool| {
        let (update_tx, update_rx) = mpsc::channel(16);
        for update in updates {
            update_tx.try_send(update).unwrap();
        }
        let channels = Channels {
            update_rx: Some(update_rx),
            ..Channels::default()
        };
        let config = Config {
            strict_updates: strict,
            ..config(4, 16)
        };
        let engine = engine(
            config,
            &from(&first),
            MemoryJournal::default(),
            &resolver,
            channels,
        );
        block_on(engine.run()).map(|(log, keys)| Db::from_parts(log, keys))
    };
    let mut copy = run(
        vec![from(&middle), from(&first), from(&last), from(&middle)],
        false,
    )
    .unwrap();
    last.prune(first.floor().unwrap()).unwrap();
    assert_same(&mut copy, &mut last, "straight to the newest");
    assert!(
        resolver
            .asked()
            .iter()
            .all(|(request, _)| request.size() != middle.log().size())
    );

    let copy = run(vec![from(&first)], false).unwrap();
    assert_eq!(copy.root(), first.root());
    let error = run(vec![from(&first)], true).unwrap_err();
    assert!(matches!(
        error,
        Error::Ended(Ended::SyncTargetMovedBackward { .. })
    ));
    let same_root = Target::new(
        first.root(),
        first.floor().unwrap()..at(first.log().size().get() + 1),
    )
    .unwrap();
    for strict in [false, true] {
        let error = run(vec![same_root.clone()], strict).unwrap_err();
        assert!(matches!(error, Error::Ended(Ended::SyncTargetRootUnchanged(_))));
    }
}

#[test]
fn finish_and_reached_mean_what_they_say() {
    // test_sync_waits_for_explicit_finish, _handles_early_finish_signal, _fails_when_finish_sender_dropped,
    // _allows_dropped_reached_target_receiver, test_target_update_on_done_client: E62 to E70, E74, W6.2.
    let first = source(71, 10);
    let second = first.clone_with_more(5);
    let later = Target::new(second.root(), first.floor().unwrap()..second.log().size()).unwrap();
    let resolver = Scripted::honest(second.log().journal().clone());
    let start = |channels| {
        engine(
            config(4, 16),
            &first.target(),
            MemoryJournal::default(),
            &resolver,
            channels,
        )
    };

    // Reached, waits; updated, reached again, waits; finish.
    let (finish_tx, finish_rx) = mpsc::channel(1);
    let (reached_tx, mut reached_rx) = mpsc::channel(1);
    let (update_tx, update_rx) = mpsc::channel(1);
    let channels = Channels {
        finish_rx: Some(finish_rx),
        reached_tx: Some(reached_tx),
        update_rx: Some(update_rx),
        progress: None,
    };
    let mut run = start(channels).run().boxed();
    let mut poll = || block_on(async { futures::poll!(&mut run) });
    assert!(poll().is_pending());
    assert_eq!(reached_rx.try_recv().unwrap(), first.target());
    assert!(poll().is_pending() && reached_rx.try_recv().is_err());
    update_tx.try_send(later.clone()).unwrap();
    assert!(poll().is_pending());
    assert_eq!(reached_rx.try_recv().unwrap(), later);
    finish_tx.try_send(()).unwrap();
    let Poll::Ready(Ok((log, _))) = poll() else {
        panic!("finish completes at the target")
    };
    assert_eq!(log.root(), second.root());
    assert!(update_tx.try_send(later.clone()).is_err());

    // Finish before the start, an update in the queue: completes at the current target.
    let (finish_tx, finish_rx) = mpsc::channel(1);
    let (reached_tx, reached_rx) = mpsc::channel(1);
    drop(reached_rx);
    finish_tx.try_send(()).unwrap();
    let channels = Channels {
        finish_rx: Some(finish_rx),
        reached_tx: Some(reached_tx),
        ..Channels::default()
    };
    let (log, _) = block_on(start(channels).run()).unwrap();
    assert_eq!(log.root(), first.root());

    // Nobody left to say finish.
    let (finish_tx, finish_rx) = mpsc::channel(1);
    drop(finish_tx);
    let error = block_on(
        start(Channels {
            finish_rx: Some(finish_rx),
            ..Channels::default()
        })
        .run(),
    )
    .unwrap_err();
    assert!(matches!(error, Error::Ended(Ended::FinishChannelClosed)));
}
