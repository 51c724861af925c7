//! The process of the benchmark of reads: one thread that opens a database and reads it.

use super::parts::Error;
use super::usage::resident_mib;
use crate::folder::{self, Database, Folder};
use crate::proofs::ProofFile;
use cordee_protocol::db::{self, Operation};
use cordee_protocol::{Digest, Location};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::time::Instant;

/// What it took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Seconds to open the database and to read a key.
    pub open_s: f64,
    /// Memory then.
    pub open_rss_mib: f64,
    /// Values a second, from the disk.
    pub cold_reads_per_s: f64,
    /// Values a second, from its cache.
    pub hot_reads_per_s: f64,
    /// Proofs a second, from the disk.
    pub cold_proofs_per_s: f64,
    /// Proofs a second, from its cache.
    pub hot_proofs_per_s: f64,
    /// Memory at the end.
    pub reads_rss_mib: f64,
}

/// Open the database of `folder` with its files forgotten, and read so many values of random keys; of cold ones a tenth, as
/// of proofs.
///
/// # Errors
/// [`Error`].
pub fn read(folder: &Folder, reads: usize) -> Result<Reading, Error> {
    forget(&folder.data())?;
    let begin = Instant::now();
    let database = folder.existing()?;
    let first = some_keys(&database, 1)?;
    rate(&first, |key| value(&database, key))?;
    let open_s = begin.elapsed().as_secs_f64();
    let open_rss_mib = memory();
    let keys = some_keys(&database, reads)?;
    let few = &keys[..keys.len().div_ceil(10)];
    forget(&folder.data())?;
    let cold_reads_per_s = rate(few, |key| value(&database, key))?;
    forget(&folder.data())?;
    let cold_proofs_per_s = rate(few, |key| proof(&database, key))?;
    rate(&keys, |key| value(&database, key))?;
    Ok(Reading {
        open_s,
        open_rss_mib,
        cold_reads_per_s,
        hot_reads_per_s: rate(&keys, |key| value(&database, key))?,
        cold_proofs_per_s,
        hot_proofs_per_s: rate(few, |key| proof(&database, key))?,
        reads_rss_mib: memory(),
    })
}

/// So many keys that have a value, of operations at random places; some may be there twice.
///
/// # Errors
/// [`Error`].
pub fn some_keys(database: &Database, count: usize) -> Result<Vec<Digest>, Error> {
    let range = database.target().range();
    let held = range.end.since(range.start);
    let mut keys = Vec::with_capacity(count);
    for n in 0..100 * count as u64 {
        // The first bytes of a hash, as a share of what is held.
        let drawn = Digest::of(&[&n.to_be_bytes()]).0;
        let drawn = u64::from_be_bytes(*drawn.first_chunk().unwrap_or(&[0; 8]));
        let at = (u128::from(drawn) * u128::from(held)) >> 64;
        if let Some(key) = key_at(database, range.start.saturating_add(at as u64))? {
            keys.push(key);
        }
        if keys.len() == count {
            return Ok(keys);
        }
    }
    Err(Error::Unreadable)
}

/// The key whose value the operation at `at` gave, if it has one still.
fn key_at(database: &Database, at: Location) -> Result<Option<Digest>, Error> {
    let operation = database.log().operation(at).map_err(db::Error::from);
    let operation = operation.map_err(folder::Error::from)?;
    match Operation::read(database.kind(), &operation) {
        Ok(Operation::Update { key, .. }) => {
            let location = database.location(&key).map_err(folder::Error::from)?;
            Ok(location.map(|_| Digest(key)))
        }
        _ => Ok(None),
    }
}

fn value(database: &Database, key: &Digest) -> Result<(), Error> {
    match database.value(&key.0).map_err(folder::Error::from)? {
        Some(_) => Ok(()),
        None => Err(Error::Unreadable),
    }
}

fn proof(database: &Database, key: &Digest) -> Result<(), Error> {
    let location = database.location(&key.0).map_err(folder::Error::from)?;
    let location = location.ok_or(Error::Unreadable)?;
    ProofFile::of(database, location, None).map_err(folder::Error::from)?;
    Ok(())
}

/// How many keys a second `read` does.
fn rate(keys: &[Digest], read: impl Fn(&Digest) -> Result<(), Error>) -> Result<f64, Error> {
    let begin = Instant::now();
    keys.iter().try_for_each(read)?;
    Ok(keys.len() as f64 / begin.elapsed().as_secs_f64().max(1e-9))
}

fn memory() -> f64 {
    resident_mib(std::process::id()).unwrap_or_default()
}

/// Let the system forget the files below `folder`, so that they are read from the disk again; on Linux only.
///
/// # Errors
/// Of the file system.
pub fn forget(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget(&entry.path())?;
        } else {
            forget_file(&std::fs::File::open(entry.path())?)?;
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn forget_file(file: &std::fs::File) -> io::Result<()> {
    // What is not written yet cannot be forgotten.
    file.sync_all()?;
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

#[cfg(not(target_os = "linux"))]
fn forget_file(_file: &std::fs::File) -> io::Result<()> {
    Ok(())
}
