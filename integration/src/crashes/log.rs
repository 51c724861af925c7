//! A publisher: commits, some of several batches, pruning, and going back.

use super::{Database, Life, Seen, database, serving};
use cordee_node::storage;
use cordee_node::storage::faulty::FaultyDisk;
use cordee_protocol::Digest;
use cordee_protocol::db::{Batch, Db, Error, Family, Index, Kind};
use cordee_protocol::log::{Keep, MemoryJournal};
use std::num::NonZeroU64;

/// One thing that it does.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Apply a batch drawn from this number.
    Apply(u64),
    Commit,
    /// Go back by so many commits.
    Back(usize),
}

/// A publisher of an unordered database.
#[derive(Debug)]
pub struct Publisher {
    acts: Vec<Act>,
    /// The same in memory, behind every commit; first with nothing.
    states: Vec<Db<MemoryJournal>>,
}

fn kind() -> Kind {
    Kind::variable(Family::AnyUnordered)
}

fn keep() -> Keep {
    NonZeroU64::new(90).map_or(Keep::State, Keep::Newest)
}

fn batch(seed: u64) -> Batch {
    let mut batch = Batch::new();
    for n in 0..3 + seed % 4 {
        let drawn = Digest::of(&[&seed.to_be_bytes(), &n.to_be_bytes()]).0;
        let key = Digest::of(&[&[drawn[0] % 24]]).0;
        if drawn[1] < 40 {
            batch.delete(key);
        } else {
            batch.put(key, drawn[..usize::from(drawn[2]) % 32].to_vec());
        }
    }
    batch
}

impl Publisher {
    /// One with so many rounds of about three batches.
    pub fn new(rounds: u64) -> Self {
        let mut acts = Vec::new();
        for round in 0..rounds {
            let applied = 1 + round % 3;
            acts.extend((0..applied).map(|n| Act::Apply(10 * round + n)));
            acts.push(Act::Commit);
            if round % 7 == 5 {
                acts.push(Act::Back(1 + (round % 2) as usize));
            }
        }
        let mut reference = Db::open(MemoryJournal::default(), kind()).expect("memory does not fail");
        reference.keep(keep());
        let mut states = vec![copy(&reference)];
        let mut at = vec![0];
        for act in &acts {
            let result = one(&mut reference, *act, &mut at, |index| states[index].log().size());
            result.expect("memory does not fail");
            if !matches!(act, Act::Apply(_)) {
                states.push(copy(&reference));
            }
        }
        Self { acts, states }
    }
}

/// The database as it is; what it will keep is not copied.
fn copy(db: &Db<MemoryJournal>) -> Db<MemoryJournal> {
    Db::open(db.log().journal().clone(), kind()).expect("it was committed")
}

/// Do `act`. `line` are the states that the present one stands on, by number.
fn one<J: cordee_protocol::Journal, I: Index>(
    db: &mut Db<J, I>,
    act: Act,
    line: &mut Vec<usize>,
    size: impl Fn(usize) -> cordee_protocol::Location,
) -> Result<(), Error<J::Error>> {
    let newest = line.iter().copied().max().unwrap_or_default();
    match act {
        Act::Apply(seed) => db.apply(&batch(seed), None),
        Act::Commit => {
            db.commit()?;
            line.push(newest + 1);
            Ok(())
        }
        Act::Back(commits) => {
            let to = line[line.len() - 1 - commits];
            db.rewind(size(to))?;
            line.truncate(line.len() - commits);
            // The same content, as a state of its own.
            line.push(newest + 1);
            Ok(())
        }
    }
}

/// What was durable last.
#[derive(Debug)]
pub struct Promise {
    /// The number of the state; `None` before there is a database.
    state: Option<usize>,
}

impl Life for Publisher {
    type Promise = Promise;

    fn disk(&self) -> FaultyDisk {
        FaultyDisk::default()
    }

    fn live(&self, disk: &FaultyDisk) -> Promise {
        let mut promise = Promise { state: None };
        let Ok(mut db) = begin(disk) else { return promise };
        promise.state = Some(0);
        db.keep(keep());
        let mut line = vec![0];
        for act in &self.acts {
            if one(&mut db, *act, &mut line, |index| self.states[index].log().size()).is_err() {
                break;
            }
            promise.state = line.last().copied();
        }
        promise
    }

    fn inspect(&self, disk: &FaultyDisk, promise: &Promise) -> Seen {
        let mut seen = Seen::default();
        let Ok(mut db) = begin(disk) else {
            return Seen {
                lost: promise.state.is_some(),
                stuck: true,
                ..seen
            };
        };
        // The last commit that returned, or the one that was under way.
        let last = promise.state.unwrap_or_default();
        let possible = [Some(last), Some(last + 1)].into_iter().flatten();
        let mut found = possible.filter_map(|state| self.states.get(state));
        let same = |state: &&Db<MemoryJournal>| {
            (state.root(), state.log().bounds(), state.floor()) == (db.root(), db.log().bounds(), db.floor())
        };
        let Some(state) = found.find(same) else {
            seen.lost = true;
            return seen;
        };
        for n in 0..24u8 {
            let key = Digest::of(&[&[n]]).0;
            seen.lost |= db.value(&key).ok() != state.value(&key).ok();
        }
        let roots = |size| state.log().root_at(size).unwrap_or_default();
        (seen.served, seen.unproven) = serving::ask(db.log(), roots);
        // And on.
        let mut on = copy(state);
        let (mine, its) = (
            db.apply(&batch(7777), None).and_then(|()| db.commit()),
            on.apply(&batch(7777), None),
        );
        seen.stuck = mine.is_err() || its.is_err() || db.root() != on.root();
        drop(db);
        let again = begin(&disk.after_power_loss(0));
        seen.stuck |= again.map_or(true, |db| db.root() != on.root());
        seen
    }
}

fn begin(disk: &FaultyDisk) -> Result<Database, Error<storage::Error>> {
    database(disk, kind())
}
