//! A database with its index on disk, beside one that cannot be wrong: with the index in memory, made from the same log.

use super::*;
use crate::storage::{self, DiskJournal};
use cordee_protocol::db::{Batch, Db, KINDS, MemoryIndex, database};
use cordee_protocol::{Digest, Journal};

type Disk = Db<DiskJournal<FaultyDisk>, DiskIndex<FaultyDisk>>;
type Failed = database::Error<Error>;

fn kind(name: &str) -> Kind {
    Kind::parse(name, name.ends_with("fixed").then_some(4)).unwrap()
}

fn journal(disk: &FaultyDisk) -> Result<DiskJournal<FaultyDisk>, Error> {
    let options = storage::Options {
        segment_bits: 10,
        buffer_bytes: 512,
        tail_bytes: 32 << 10,
        background: false,
    };
    DiskJournal::open_on(disk.clone(), "data", options)
}

fn database(disk: &FaultyDisk, kind: Kind) -> Result<Disk, Failed> {
    let journal = journal(disk).map_err(|error| Failed::Log(error.into()))?;
    let index = open(disk, kind, TINY).map_err(|error| Failed::Index(Box::new(error)))?;
    Db::with_index(journal, kind, index)
}

/// Key `n` of few.
fn key(n: u64) -> Key {
    Digest::of(&[&(n % 70).to_be_bytes()]).0
}

/// A key that was never used, as immutable kinds want them.
fn new_key(n: u64) -> Key {
    Digest::of(&[b"new", &n.to_be_bytes()]).0
}

fn batch(kind: Kind, step: u64) -> Batch {
    let mut batch = Batch::new();
    for n in 0..step % 8 {
        let value = vec![n as u8; 4];
        match kind.family() {
            Family::Keyless => batch.append(value),
            Family::Immutable => batch.put(new_key(step * 10 + n), value),
            _ if (step + n).is_multiple_of(5) => batch.delete(key(step * 3 + n)),
            _ => batch.put(key(step * 31 + n * n), value),
        };
    }
    batch
}

/// What a database says.
#[derive(Debug, PartialEq, Eq)]
struct Answers {
    root: Digest,
    active: usize,
    /// Where each key is that has a value, and where it is shown of others that they have none.
    keys: Vec<(Key, Option<Location>, Option<Location>)>,
}

fn answers<I: Index>(db: &Db<DiskJournal<FaultyDisk>, I>) -> Answers {
    let keys = (0..70).map(key).chain((0..450).map(new_key));
    let answer = |key| (key, db.location(&key).unwrap(), db.gap(&key).unwrap());
    let known = |(_, at, gap): &(Key, Option<Location>, Option<Location>)| at.or(*gap).is_some();
    Answers {
        root: db.root(),
        active: db.active(),
        keys: keys.map(answer).filter(known).collect(),
    }
}

/// What a database over the log of `disk` answers whose index is in memory; `None` if there is no database.
fn expected(disk: &FaultyDisk, kind: Kind) -> Option<Answers> {
    let journal = journal(disk).unwrap();
    journal.mark()?;
    let db: Db<_, MemoryIndex> = Db::open(journal, kind).unwrap();
    Some(answers(&db))
}

/// Batches, prunings and rewinds.
fn publish(disk: &FaultyDisk, kind: Kind, steps: u64) -> Result<(), Failed> {
    let mut db = database(disk, kind)?;
    let mut sizes = vec![db.log().size()];
    for step in 0..steps {
        db.apply(&batch(kind, step), None)?;
        if step % 3 > 0 {
            db.commit()?;
        }
        sizes.push(db.log().size());
        match step % 23 {
            11 => {
                let start = match db.floor() {
                    Some(floor) => floor,
                    None => sizes[sizes.len() - 5],
                };
                db.prune(start)?;
            }
            17 => {
                db.commit()?;
                let back = sizes.len() - 3;
                // Its floor may be pruned.
                match db.rewind(sizes[back]) {
                    Err(database::Error::Refused(_)) => {}
                    rewound => {
                        rewound?;
                        sizes.truncate(back + 1);
                    }
                }
            }
            20 => {
                db.commit()?;
                drop(db);
                db = database(disk, kind)?;
            }
            _ => {}
        }
    }
    db.commit()
}

#[test]
fn with_the_index_on_disk_a_database_answers_the_same() {
    for name in KINDS {
        let kind = kind(name);
        for steps in [0, 1, 18, 60] {
            let disk = FaultyDisk::default();
            publish(&disk, kind, steps).unwrap();
            let want = expected(&disk, kind).unwrap();
            let db = database(&disk, kind).unwrap();
            assert_eq!(answers(&db), want, "{name}, {steps} steps");
        }
    }
}

#[test]
fn an_index_that_is_lost_foreign_behind_or_ahead_is_made_anew() {
    for name in KINDS.iter().filter(|name| name.ends_with("variable")) {
        let kind = kind(name);
        let disk = FaultyDisk::default();
        publish(&disk, kind, 60).unwrap();
        let want = expected(&disk, kind).unwrap();
        let other = FaultyDisk::default();
        publish(&other, kind, 63).unwrap();
        let shorter = FaultyDisk::default();
        publish(&shorter, kind, 30).unwrap();
        let copy = |from: &FaultyDisk, to: &FaultyDisk| {
            for path in to.paths(&folder()) {
                to.remove(&path).unwrap();
            }
            for path in from.paths(&folder()) {
                let mut content = Vec::new();
                from.edit(&path, |bytes| content = bytes.clone());
                drop(to.open(&path, true).unwrap());
                to.edit(&path, |bytes| *bytes = content);
            }
        };
        for case in ["deleted", "ahead", "behind", "no mark", "another version"] {
            let found = disk.after_power_loss(1);
            match case {
                "deleted" => found
                    .paths(&folder())
                    .iter()
                    .for_each(|path| found.remove(path).unwrap()),
                "ahead" => copy(&other, &found),
                "behind" => copy(&shorter, &found),
                "no mark" => found.remove(&folder().join("mark")).unwrap(),
                _ => found.edit(&folder().join("mark"), |bytes| bytes[9] = 1),
            }
            let db = database(&found, kind).unwrap();
            assert_eq!(answers(&db), want, "{name}, {case}");
            drop(db);
            // And then there is one.
            let index = open(&found, kind, TINY).unwrap();
            assert!(index.covered().is_ok(), "{name}, {case}: {:?}", index.covered());
        }
    }
}

#[test]
fn wherever_the_power_goes_a_database_answers_as_its_log_says() {
    for name in KINDS.iter().filter(|name| name.ends_with("variable")) {
        let kind = kind(name);
        let mut n = 3;
        loop {
            let disk = FaultyDisk::default();
            disk.lose_power_at(n);
            let ended = publish(&disk, kind, 25).is_ok();
            for seed in [0, 1, n + 2] {
                let found = disk.after_power_loss(seed);
                let Some(want) = expected(&found, kind) else {
                    continue;
                };
                let db = database(&found, kind).unwrap();
                assert_eq!(answers(&db), want, "{name}, step {n}, seed {seed}");
            }
            if ended {
                break;
            }
            n += 41;
        }
        assert!(n > 100, "{name}: {n} steps");
    }
}
