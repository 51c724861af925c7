//! Whole syncs between journals in memory, with a resolver that misbehaves by script.

mod answers;
mod channels;
mod local;
mod opening;
mod seams;
mod targets;

use super::super::database::{self, Local};
use super::super::error::{Ended, Error};
use super::super::plan::Config;
use super::super::serve::{self, Budget};
use super::*;
use crate::Digest;
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
    block_on(engine.run()).map(|(log, keys)| Db::from_parts(log, keys).unwrap())
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
    // E16, E48, E71 to E73, W18.1
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
    // E43, E45, W1.2, W2.3, W4.1 to W4.3, W12.2, W13.1: every request is treated badly up to its sixth time.
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
    // W2.1 to W2.3, W3.3, W11.2, T13.6.1
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
    // E31, W2.4, W3.1: what is asked first.
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
fn errors_that_are_ours_end_the_sync() {
    // E42, W11.1, W12.1 to W12.3, E90: an error of the resolver is the sync's, W12 says when.
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
    // With local data complete, nobody is asked (E30, W7.2).
    let copy = sync(config(3, 8), &source.target(), journal(), &fatal).unwrap();
    assert_eq!(copy.root(), source.root());
}

#[test]
fn no_setting_can_overflow() {
    // E2, W15.1, W16.1, W17.1, T13.6.8
    let mut source = source(51, 10);
    let resolver = Scripted::honest(source.log().journal().clone());
    // All there is to configure, at its largest; what applies a batch has no size of its own (E2), as batches are applied as
    // they were verified. Zero cannot be written, nor read from a record.
    let largest = Config {
        max_outstanding_requests: NonZeroUsize::MAX,
        fetch_batch_size: NonZeroU64::MAX,
        batch_bytes: NonZeroU64::MAX,
        max_buffered_bytes: u64::MAX,
        max_retained_roots: usize::MAX,
        max_refused: u32::MAX,
        max_failed: u32::MAX,
        max_pause: Duration::MAX,
        request_timeout: Some(Duration::MAX),
        tie_patience: Duration::MAX,
        strict_updates: false,
    };
    let json = serde_json::to_value(Config::default()).unwrap();
    for field in ["max_outstanding_requests", "fetch_batch_size", "batch_bytes"] {
        let mut zero = json.clone();
        zero[field] = 0.into();
        assert!(serde_json::from_value::<Config>(zero).is_err(), "{field}");
    }
    let config = largest;
    let mut copy = sync(config, &source.target(), MemoryJournal::default(), &resolver).unwrap();
    assert_same(&mut copy, &mut source, "everything at its largest");
    // A target that ends at 2^62: nobody holds that, and nothing panics.
    let target = Target::new(Digest::default(), at(5)..Location::MAX).unwrap();
    let dead = Scripted::new(MemoryJournal::default(), |_, _| Act::Die);
    assert!(sync(Config::default(), &target, MemoryJournal::default(), &dead).is_err());
}
