//! Local logs opened for a target that they do not fit, that fail, or whose run was killed.

use super::*;
use crate::db::{Malformed, Replayed, State};
use crate::log::Damage;
use crate::log::journal::NotHeld;
use crate::testing::journal::History;
use std::ops::Range;
use std::sync::Mutex;

/// A state that takes any operations, and every end for a commit.
#[derive(Debug)]
struct Anything;

impl State for Anything {
    fn fresh(&self, _operations: u64) -> Self {
        Self
    }

    fn replay(&mut self, _from: Location, _operations: &Operations) -> Result<(), Malformed> {
        Ok(())
    }

    fn last(&mut self) -> Result<Option<Replayed>, Malformed> {
        Ok(Some(Replayed::Commit(None)))
    }
}

type Plain<J = MemoryJournal> = Local<J, Anything>;

fn target(log: &History, range: Range<u64>) -> Target {
    Target::new(log.root(range.end), at(range.start)..at(range.end)).unwrap()
}

/// `log` up to `range.end`, pruned to `range.start`; `pinned`: with the peaks there.
fn journal(log: &History, range: Range<u64>, pinned: bool) -> MemoryJournal {
    let mut journal = MemoryJournal::default();
    if pinned {
        log.append(&mut journal, range.end, 7).unwrap();
        journal.prune(at(range.start)).unwrap();
    } else {
        journal.restart(at(range.start)).unwrap();
        log.append(&mut journal, range.end, 7).unwrap();
    }
    journal
}

/// What a peer that holds all of `log` answers, proven.
fn proven(log: &History, request: Request) -> (Verified, Option<Pinned>) {
    let whole = journal(log, 0..request.size().get(), true);
    let response = serve::answer(&whole, &request, Budget::default()).unwrap();
    verify(&request, &log.root(request.size().get()), response).unwrap()
}

/// Fetch what is missing for the target of `local`, and complete.
fn fill(log: &History, mut local: Plain, case: &str) -> MemoryJournal {
    let (start, end) = (local.target().start(), local.target().end());
    if !local.held().pinned {
        let (_, pinned) = proven(log, Request::boundary(end, start).unwrap());
        local.pin(&pinned.unwrap()).unwrap();
    }
    while let Some(request) = Request::operations(end, local.held().size, 6) {
        local.append(&proven(log, request).0).unwrap();
    }
    let (done, Anything) = local.complete().unwrap_or_else(|error| panic!("{case}: {error}"));
    log.check(done.journal(), start.get()..end.get(), true, case);
    done.journal().clone()
}

#[test]
fn a_log_is_opened_at_what_of_it_the_target_can_use() {
    // E5, E9, W9.1 to W9.5, W7.2, W7.3, T13.5.13 to T13.5.16. W9.4: filled from there it holds exactly the target's range, and
    // all of it can be read.
    let log = History::new(5, 60);
    for (case, stored, range, size) in [
        // T13.5.14: W9.1 wins over E5; what lies beyond the end is no error.
        ("0..30 for 7..20", 0..30, 7..20, 20),
        // T13.5.15
        ("8..30 for 7..60", 8..30, 7..60, 7),
        // T13.5.16
        ("empty at 9 for 7..20", 9..9, 7..20, 7),
        ("empty at 30 for 7..20", 30..30, 7..20, 7),
        // T13.5.13: what covers 10..20, and what does not.
        ("10..20 for itself", 10..20, 10..20, 20),
        ("5..20 for 10..20", 5..20, 10..20, 20),
        ("11..20 for 10..20", 11..20, 10..20, 10),
        ("10..19 for 10..20", 10..19, 10..20, 19),
        // W9.1 wins here as well: cut to its end it covers the range, and its root is compared.
        ("10..21 for 10..20", 10..21, 10..20, 20),
        ("0..0 for 10..20", 0..0, 10..20, 10),
        // E5
        ("below the start", 2..9, 10..20, 10),
        ("up to the start", 2..10, 10..20, 10),
        ("into the range", 2..15, 10..20, 15),
        ("from 0", 0..15, 0..20, 15),
    ] {
        let stored = journal(&log, stored, true);
        let local = Plain::open(stored.clone(), target(&log, range.clone()), Anything).unwrap();
        assert_eq!(local.held().size, at(size), "{case}");
        let reused = size > range.start;
        assert!(local.held().pinned || !reused, "{case}");
        let root = reused.then(|| log.root(size));
        assert_eq!(
            local.held().root.filter(|_| reused),
            root,
            "{case}: what is held is tied by its root"
        );
        fill(&log, local, case);
    }
}

#[test]
fn a_start_that_moves_prunes_the_log_or_empties_it() {
    // E6, E51, W9.5: a sync of 10..30 that holds up to 22 goes on to another start, with and without work of its own.
    let log = History::new(6, 60);
    for worked in [false, true] {
        for (case, start, size, pinned) in [
            ("the same", 10, 22, true),
            ("inside", 15, 22, true),
            ("at the size", 22, 22, true),
            ("beyond the size: empty there (E6)", 23, 23, false),
            ("far beyond", 45, 45, false),
            ("below the first held: empty there (W9.5)", 7, 7, false),
        ] {
            let case = format!("{case}, worked {worked}");
            let upto = if worked { 16 } else { 22 };
            let mut held = journal(&log, 10..upto, true);
            held.commit(Mark::Syncing(target(&log, 10..30))).unwrap();
            let mut local = Plain::open(held, target(&log, 10..30), Anything).unwrap();
            if worked {
                let request = Request::operations(at(30), at(16), 6).unwrap();
                local.append(&proven(&log, request).0).unwrap();
            }
            assert_eq!(local.held().size, at(22), "{case}");
            let held = local.retarget(target(&log, start..60)).unwrap();
            assert_eq!((held.size, held.pinned), (at(size), pinned), "{case}");
            fill(&log, local, &case);
        }
    }
}

#[test]
fn nodes_that_are_missing_are_asked_for() {
    // W7.3, W30.1, T13.5.12: the operations of the whole target are there, but the pinned nodes are not, as after a reset that
    // was interrupted. Opening is no error, and peers are asked.
    let log = History::new(7, 60);
    let resolver = Scripted::honest(journal(&log, 0..60, true));
    for upto in [20, 40, 60] {
        let to = target(&log, 7..60);
        let local = Plain::open(journal(&log, 7..upto, false), to.clone(), Anything).unwrap();
        assert!(!local.held().pinned);
        let runtime = Arc::new(Virtual::default());
        let engine = Engine::new(
            config(3, 16),
            to,
            local,
            resolver.clone(),
            runtime,
            Channels::default(),
        );
        let (done, Anything) = block_on(engine.run()).unwrap();
        log.check(done.journal(), 7..60, true, "filled");
    }
    assert!(
        resolver
            .asked()
            .iter()
            .any(|(request, _)| request.kind() == Kind::Boundary)
    );
}

#[test]
fn local_pinned_nodes_complete_a_target_that_is_held_and_nobody_is_asked() {
    // W7.2, E30, T13.5.2: the root over what is stored is computed once, and is the target's.
    let log = History::new(8, 60);
    let resolver = Scripted::new(MemoryJournal::default(), |_, _| Act::Die);
    let to = target(&log, 7..60);
    let roots = Arc::new(Mutex::new(0));
    let seen = roots.clone();
    let channels = Channels {
        recorder: Some(Box::new(move |line| {
            if let Line::Step(step) = line {
                *seen.lock().unwrap() += usize::from(matches!(step.event, Event::Root { .. }));
            }
        })),
        ..Channels::default()
    };
    let local = Plain::open(journal(&log, 7..60, true), to.clone(), Anything).unwrap();
    let runtime = Arc::new(Virtual::default());
    let engine = Engine::new(config(3, 16), to, local, resolver.clone(), runtime, channels);
    let (done, Anything) = block_on(engine.run()).unwrap();
    log.check(done.journal(), 7..60, true, "as it was");
    assert_eq!((resolver.asked().len(), *roots.lock().unwrap()), (0, 1));
}

/// A journal that remembers what was done, and fails at one thing.
#[derive(Default)]
struct Watched {
    journal: MemoryJournal,
    calls: Arc<Mutex<Vec<&'static str>>>,
    fails: &'static str,
}

#[derive(Debug, thiserror::Error)]
#[error("broken: {0}")]
struct Broken(&'static str);

impl Watched {
    fn call(&self, name: &'static str) -> Result<(), Broken> {
        self.calls.lock().unwrap().push(name);
        if name == self.fails {
            Err(Broken(name))
        } else {
            Ok(())
        }
    }
}

fn broken(_: NotHeld) -> Broken {
    Broken("not held")
}

impl Nodes for Watched {
    type Error = Broken;

    fn node(&self, position: Position) -> Result<Option<Digest>, Broken> {
        self.call("node")?;
        self.journal.node(position).map_err(broken)
    }
}

impl Journal for Watched {
    fn bounds(&self) -> Range<Location> {
        self.journal.bounds()
    }

    fn append(&mut self, operations: &Operations, nodes: &[Digest]) -> Result<(), Broken> {
        self.call("append")?;
        self.journal.append(operations, nodes).map_err(broken)
    }

    fn read(&self, range: Range<Location>, max_bytes: usize) -> Result<Operations, Broken> {
        self.call("read")?;
        self.journal.read(range, max_bytes).map_err(broken)
    }

    fn pinned(&self) -> Option<Vec<Digest>> {
        self.journal.pinned()
    }

    fn pin(&mut self, pinned: &[Digest]) -> Result<(), Broken> {
        self.call("pin")?;
        self.journal.pin(pinned).map_err(broken)
    }

    fn rewind(&mut self, size: Location) -> Result<(), Broken> {
        self.call("rewind")?;
        self.journal.rewind(size).map_err(broken)
    }

    fn prune(&mut self, start: Location) -> Result<(), Broken> {
        self.call("prune")?;
        self.journal.prune(start).map_err(broken)
    }

    fn restart(&mut self, start: Location) -> Result<(), Broken> {
        self.call("restart")?;
        self.journal.restart(start).map_err(broken)
    }

    fn commit(&mut self, mark: Mark) -> Result<(), Broken> {
        self.call("commit")?;
        self.journal.commit(mark).map_err(broken)
    }

    fn mark(&self) -> Option<&Mark> {
        self.journal.mark()
    }

    fn damaged(&self, damage: Damage) -> Broken {
        broken(self.journal.damaged(damage))
    }
}

/// Sync `log` into an empty journal; what it was told, and the end.
fn watched(
    log: &History,
    fails: &'static str,
) -> (
    Vec<&'static str>,
    Progress,
    Result<MemoryJournal, database::Error<Broken>>,
) {
    let to = target(log, 7..60);
    let calls = Arc::default();
    let stored = Watched {
        calls: Arc::clone(&calls),
        fails,
        ..Watched::default()
    };
    let (progress_tx, progress) = watch::channel(Progress::default());
    let channels = Channels {
        progress: Some(progress_tx),
        ..Channels::default()
    };
    let resolver = Scripted::honest(journal(log, 0..60, true));
    let done = match Plain::open(stored, to.clone(), Anything) {
        Err(error) => Err(error),
        Ok(local) => {
            let runtime = Arc::new(Virtual::default());
            let engine = Engine::new(config(3, 16), to, local, resolver, runtime, channels);
            match block_on(engine.run()) {
                Ok((done, Anything)) => Ok(done.journal().journal.clone()),
                Err(Error::Database(error)) => Err(error),
                Err(error) => panic!("{error}"),
            }
        }
    };
    let (calls, progress) = (calls.lock().unwrap().clone(), progress.borrow().clone());
    (calls, progress, done)
}

#[test]
fn appending_takes_a_batch_at_once_and_makes_nothing_durable() {
    // E7, E8, E49, E71, W26.1: one append for each answer, and a commit before the first change and at the end.
    let log = History::new(9, 60);
    let (calls, progress, done) = watched(&log, "");
    let done = done.unwrap();
    log.check(&done, 7..60, true, "synced");
    assert!(matches!(done.mark(), Some(Mark::Complete { .. })));
    let changes: Vec<_> = calls
        .into_iter()
        .filter(|call| !["node", "read"].contains(call))
        .collect();
    let appends = changes.iter().filter(|call| **call == "append").count();
    assert!(
        progress.batches < 53 / 4,
        "53 operations, {} answers",
        progress.batches
    );
    assert_eq!(appends as u64, progress.batches);
    let commits: Vec<_> = (0..changes.len()).filter(|&i| changes[i] == "commit").collect();
    assert_eq!(commits, [0, changes.len() - 1], "{changes:?}");
}

#[test]
fn an_error_of_the_journal_is_the_databases_and_ends_the_sync() {
    // E10, E29, E90, W30.1: missing nodes are no error, those that cannot be read are.
    let log = History::new(9, 60);
    for fails in ["append", "pin", "commit", "restart", "node"] {
        let (calls, _, done) = watched(&log, fails);
        let Err(database::Error::Journal(Broken(name))) = done else {
            panic!("{fails}: {done:?}")
        };
        assert_eq!(
            (name, calls.last()),
            (fails, Some(&fails)),
            "nothing is done after an error"
        );
    }
}

/// Makes durable at intervals, as the node's writer does; what would survive a kill is kept beside it.
struct Saving {
    local: Plain,
    durable: Arc<Mutex<MemoryJournal>>,
}

/// How many bytes of operations a kill may cost, beside those of the batch that passes it.
const SAVE_BYTES: usize = 300;

type PlainError = database::Error<NotHeld>;

impl Database for Saving {
    type Output = MemoryJournal;
    type Error = PlainError;

    fn held(&self) -> database::Held {
        self.local.held()
    }

    async fn check_last(&mut self, last: Operations) -> Result<(), PlainError> {
        self.local.check_last(&last)
    }

    async fn append(&mut self, batch: Verified) -> Result<(), PlainError> {
        self.local.append(&batch)?;
        if self.local.unsaved() >= SAVE_BYTES {
            self.local.checkpoint()?;
            *self.durable.lock().unwrap() = self.local.journal().clone();
        }
        Ok(())
    }

    async fn pin(&mut self, pinned: Pinned) -> Result<(), PlainError> {
        self.local.pin(&pinned)
    }

    async fn retarget(&mut self, target: Target) -> Result<database::Held, PlainError> {
        self.local.retarget(target)
    }

    async fn restart(&mut self) -> Result<(), PlainError> {
        self.local.restart()
    }

    async fn root(&mut self) -> Result<database::Rooted, PlainError> {
        self.local.root()
    }

    async fn root_at(&mut self, size: Location) -> Result<Digest, PlainError> {
        self.local.root_at(size)
    }

    async fn complete(self) -> Result<MemoryJournal, PlainError> {
        let (log, Anything) = self.local.complete()?;
        Ok(log.journal().clone())
    }
}

#[test]
fn a_sync_that_is_killed_again_and_again_loses_one_interval_each_time() {
    // W7.1, W25.1, T13.6.14: killed after so many answers, drawn from a seed; what is fetched twice is bounded by the interval.
    let log = History::new(10, 600);
    let to = target(&log, 7..600);
    let whole = journal(&log, 0..600, true);
    for seed in 0..20u64 {
        let durable = Arc::new(Mutex::new(MemoryJournal::default()));
        let (mut fetched, mut kills, mut done) = (0, 0, None);
        while done.is_none() {
            let drawn = Digest::of(&[&seed.to_be_bytes(), &u64::to_be_bytes(kills)]).0[0];
            let answers = 12 + usize::from(drawn % 20);
            let resolver = Scripted::new(whole.clone(), move |number, _| {
                if number < answers {
                    Act::Honest
                } else {
                    Act::Silence
                }
            });
            let (progress_tx, progress) = watch::channel(Progress::default());
            let channels = Channels {
                progress: Some(progress_tx),
                ..Channels::default()
            };
            let stored = durable.lock().unwrap().clone();
            let found = stored.bounds().end;
            let local = Plain::open(stored, to.clone(), Anything).unwrap();
            assert_eq!(local.held().size, found.max(to.start()), "seed {seed}: W7.1");
            let saving = Saving {
                local,
                durable: durable.clone(),
            };
            let runtime = Arc::new(Virtual::default());
            let engine = Engine::new(config(3, 8), to.clone(), saving, resolver, runtime, channels);
            let mut run = engine.run().boxed();
            match block_on(async { futures::poll!(&mut run) }) {
                Poll::Ready(ended) => done = Some(ended.unwrap()),
                Poll::Pending => kills += 1,
            }
            fetched += progress.borrow().fetched_ops;
            assert!(kills < 100, "seed {seed}: it gets nowhere");
        }
        log.check(&done.unwrap(), 7..600, true, &format!("seed {seed}"));
        // Operations have 30 bytes on average: an interval are 10 or 20, then the batch that passes it, and what was buffered.
        let twice = fetched - (600 - 7);
        assert!(
            kills >= 2 && twice <= kills * 56,
            "seed {seed}: {twice} twice, {kills} kills"
        );
    }
}
