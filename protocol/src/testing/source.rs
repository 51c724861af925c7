//! Seeded databases, and a resolver over one that can be told to misbehave.

use crate::db::{self, Batch, Db, Family};
use crate::digest::Digest;
use crate::log::{Journal, MemoryJournal, Operations};
use crate::mmr::Location;
use crate::sync::serve::{self, Budget};
use crate::sync::{FetchResult, Resolver};
use crate::wire::{Kind, Request, Response};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// A database in memory.
pub type MemoryDb = Db<MemoryJournal>;

/// The key number `i`.
pub fn key(i: u64) -> [u8; 32] {
    Digest::of(&[b"key", &i.to_be_bytes()]).0
}

/// Apply `commits` batches of what the kind of `db` can do: about `writes` in each, puts, updates and deletes among
/// 4 * `writes` keys, or sets of new keys, or appends. The same `seed` always makes the same batches.
pub fn grow(db: &mut MemoryDb, seed: u64, commits: u64, writes: u64) {
    for commit in 0..commits {
        let mut batch = Batch::new();
        for write in 0..writes {
            let random = Digest::of(&[&seed.to_be_bytes(), &commit.to_be_bytes(), &write.to_be_bytes()]).0;
            let number = u64::from_be_bytes(*random.first_chunk().unwrap_or(&[0; 8]));
            let mut value = random.repeat(db.kind().value_size().unwrap_or(32).div_ceil(32));
            value.truncate(db.kind().value_size().unwrap_or(usize::from(random[9] % 32)));
            match db.kind().family() {
                Family::Keyless => batch.append(value),
                Family::Immutable => batch.put(random, value),
                _ if random[8] < 50 => batch.delete(key(number % (4 * writes))),
                _ => batch.put(key(number % (4 * writes)), value),
            };
        }
        if db.apply(&batch, None).and_then(|()| db.commit()).is_err() {
            unreachable!("a journal in memory takes everything, and no seed is grown twice");
        }
    }
}

/// An unordered database with values of any length, grown from nothing.
pub fn database(seed: u64, commits: u64, writes: u64) -> MemoryDb {
    database_of(db::Kind::variable(Family::AnyUnordered), seed, commits, writes)
}

/// A database of `kind`, grown from nothing.
pub fn database_of(kind: db::Kind, seed: u64, commits: u64, writes: u64) -> MemoryDb {
    let Ok(mut db) = Db::open(MemoryJournal::default(), kind) else {
        unreachable!("an empty journal opens")
    };
    grow(&mut db, seed, commits, writes);
    db
}

/// What a scripted resolver does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Answer truly.
    Honest,
    /// Answer truly, with at most so many operations (W4.2).
    Short(u64),
    /// One byte of an operation is flipped.
    Flip,
    /// The proof and root of another size, smaller by one (W1).
    OtherSize,
    /// The true answer of the log as it was at this size (W1).
    AtSize(Location),
    /// One more operation than asked for (W4.1).
    Long,
    /// No operation (W4.1).
    Nothing,
    /// A pinned node is flipped, where there is one.
    FlipPinned,
    /// Without the pinned nodes that were asked for (W4.3).
    NoPinned,
    /// Never answer.
    Silence,
    /// Fail in a way that asking again may mend.
    Fail,
    /// Fail for good.
    Die,
}

type Script = dyn Fn(usize, &Request) -> Act + Send + Sync;
type Asked = Vec<(Request, Act, Option<oneshot::Receiver<bool>>)>;

/// A resolver over a journal: `script` says how it treats each request, and the log remembers what was asked.
#[derive(Clone)]
pub struct Scripted {
    journal: Arc<MemoryJournal>,
    /// Above this size, another log answers.
    fork: Option<(Location, Arc<MemoryJournal>)>,
    script: Arc<Script>,
    /// Whether somebody listens to the verdicts.
    pub takes_verdicts: bool,
    log: Arc<Mutex<Asked>>,
    /// How many silent calls are under way.
    silent: Arc<AtomicUsize>,
}

/// Why a [`Scripted`] resolver failed.
#[derive(Debug, thiserror::Error)]
#[error("scripted failure, retryable: {0}")]
pub struct Failure(pub bool);

/// Counts a silent call for as long as it is not withdrawn.
struct Silent(Arc<AtomicUsize>);

impl Silent {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Scripted {
    /// Answer from `journal` as `script` says; it is given the request's number and the request.
    pub fn new(
        journal: MemoryJournal,
        script: impl Fn(usize, &Request) -> Act + Send + Sync + 'static,
    ) -> Self {
        let log = Arc::default();
        Self {
            journal: Arc::new(journal),
            fork: None,
            script: Arc::new(script),
            takes_verdicts: true,
            log,
            silent: Arc::default(),
        }
    }

    /// Always answer truly.
    pub fn honest(journal: MemoryJournal) -> Self {
        Self::new(journal, |_, _| Act::Honest)
    }

    /// Answer for sizes above `size` from `journal`, whose log may be another.
    pub fn then(mut self, size: Location, journal: MemoryJournal) -> Self {
        self.fork = Some((size, Arc::new(journal)));
        self
    }

    /// How many requests are neither answered nor withdrawn.
    pub fn open(&self) -> usize {
        self.silent.load(Ordering::Relaxed)
    }

    /// The requests so far, in order, with what was done.
    pub fn asked(&self) -> Vec<(Request, Act)> {
        self.with_log(|log| log.iter().map(|(request, act, _)| (*request, *act)).collect())
    }

    /// The verdicts that have come, by request; `None` where there is none yet or it was dropped.
    pub fn verdicts(&self) -> Vec<(Act, Option<bool>)> {
        self.with_log(|log| {
            let heard = |rx: &mut Option<oneshot::Receiver<bool>>| rx.as_mut()?.try_recv().ok();
            log.iter_mut().map(|(_, act, rx)| (*act, heard(rx))).collect()
        })
    }

    fn with_log<T>(&self, look: impl FnOnce(&mut Asked) -> T) -> T {
        look(&mut self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn respond(&self, request: &Request, act: Act) -> Option<Response> {
        let asked = match act {
            Act::Short(most) if request.kind() == Kind::Operations => {
                Request::operations(request.size(), request.start(), request.max_ops().min(most))?
            }
            Act::Long => Request::operations(request.size(), request.start(), request.max_ops() + 1)?,
            Act::OtherSize | Act::AtSize(_) => {
                let size = match act {
                    Act::AtSize(size) => size,
                    _ => Location::new(request.size().get().checked_sub(1)?)?,
                };
                match request.kind() {
                    Kind::Operations => Request::operations(size, request.start(), request.max_ops())?,
                    Kind::Boundary => Request::boundary(size, request.start())?,
                }
            }
            _ => *request,
        };
        let journal = match &self.fork {
            Some((size, other)) if asked.size() > *size => other,
            _ => &self.journal,
        };
        let mut response = serve::answer(&**journal, &asked, Budget::default()).ok()?;
        match act {
            Act::Flip => {
                let mut operations: Vec<_> = response.operations.iter().map(<[u8]>::to_vec).collect();
                *operations.first_mut()?.last_mut()? ^= 1;
                response.operations = Operations::collect(operations)?;
            }
            Act::Nothing => response.operations = Operations::default(),
            Act::FlipPinned => response.pinned_nodes.as_mut()?.first_mut()?.0[0] ^= 1,
            Act::NoPinned => response.pinned_nodes = None,
            _ => {}
        }
        Some(response)
    }
}

impl Resolver for Scripted {
    type Error = Failure;

    async fn get_operations(&self, request: Request, _root: Digest) -> Result<FetchResult, Failure> {
        let (success_tx, success_rx) = oneshot::channel();
        let act = self.with_log(|log| {
            let act = (self.script)(log.len(), &request);
            log.push((request, act, self.takes_verdicts.then_some(success_rx)));
            act
        });
        match act {
            Act::Silence => {
                let _silent = Silent::new(&self.silent);
                std::future::pending().await
            }
            Act::Fail => Err(Failure(true)),
            Act::Die => Err(Failure(false)),
            // A journal that does not hold the range has nothing to say.
            act => match self.respond(&request, act) {
                Some(response) => Ok(FetchResult::new(response, success_tx)),
                None => Err(Failure(false)),
            },
        }
    }

    fn is_retryable(error: &Failure) -> bool {
        error.0
    }
}

/// What is held by a database, as operations of its log.
pub fn operations<J: Journal>(journal: &J) -> Vec<Vec<u8>> {
    let range = journal.bounds();
    let read = journal.read(range, usize::MAX);
    read.map(|operations| operations.iter().map(<[u8]>::to_vec).collect())
        .unwrap_or_default()
}
