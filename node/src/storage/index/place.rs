//! The folder of an index, and what all that work in it share.

use super::Options;
use super::entry::Shape;
use super::mark::Mark;
use super::name::Naming;
use crate::storage::error::Error;
use crate::storage::file::{Files, OsFiles};
use cordee_protocol::db::Kind;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The file that says what is valid.
pub(super) const MARK: &str = "mark";
/// The mark to come.
pub(super) const MARK_NEXT: &str = "mark.next";

/// Where an index lives.
#[derive(Debug)]
pub(super) struct Place<F = OsFiles> {
    pub(super) files: F,
    pub(super) folder: PathBuf,
    pub(super) kind: Kind,
    pub(super) options: Options,
    pub(super) naming: Naming,
    /// What names are keyed with.
    pub(super) seed: [u64; 2],
    /// How long entries are.
    pub(super) shape: Shape,
    /// The number of the next file: none is used twice, so a file that is being made is never one that counts.
    next: AtomicU64,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Sorted and final.
    Table,
    /// The changes of a replay, for as long as it lasts.
    Runs,
}

impl<F: Files> Place<F> {
    /// The folder, made if it is not there, and its mark, or why there is none to use.
    pub(super) fn open(
        files: F,
        folder: PathBuf,
        kind: Kind,
        options: Options,
    ) -> Result<(Arc<Self>, Result<Mark, String>), Error> {
        files.make_folder(&folder).map_err(Error::io("make", &folder))?;
        let mark = Mark::read(&files, &folder, kind);
        let seed = match &mark {
            Ok(mark) => mark.seed,
            Err(_) => options.seed.unwrap_or_else(rand::random),
        };
        let naming = Naming::new(kind, seed);
        let place = Self {
            shape: Shape::of(&naming),
            naming,
            seed,
            files,
            folder,
            kind,
            options,
            next: AtomicU64::new(0),
        };
        // A number that the mark names is taken, whether its file is there or not.
        let marked = mark
            .iter()
            .flat_map(|mark| &mark.tables)
            .map(|&(number, _)| number);
        let numbers = place.list()?.into_iter().map(|(number, _)| number).chain(marked);
        let next = numbers.max().map_or(0, |number| number.saturating_add(1));
        place.next.store(next, Ordering::Relaxed);
        Ok((Arc::new(place), mark))
    }

    /// A number that no file has had.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The numbers given out so far are below this.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    pub(super) fn path(&self, number: u64, what: What) -> PathBuf {
        let name = match what {
            What::Table => format!("{number:016x}.table"),
            What::Runs => format!("{number:016x}.runs"),
        };
        self.folder.join(name)
    }

    /// All files with a number.
    pub(super) fn list(&self) -> Result<Vec<(u64, What)>, Error> {
        let entries = self.files.list(&self.folder);
        let entries = entries.map_err(Error::io("list", &self.folder))?;
        Ok(entries.iter().filter_map(|entry| parse(&entry.name)).collect())
    }

    pub(super) fn remove(&self, path: &Path) -> Result<(), Error> {
        match self.files.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
            _ => Ok(()),
        }
    }

    /// A table is damaged: see that the index is made anew by whoever opens it next.
    pub(super) fn condemn(&self) {
        if let Err(error) = self.remove(&self.folder.join(MARK)) {
            tracing::warn!(%error, "the mark of the damaged key index stays: remove its folder");
        }
    }
}

fn parse(name: &str) -> Option<(u64, What)> {
    let (digits, what) = name.split_once('.')?;
    let what = match what {
        "table" => What::Table,
        "runs" => What::Runs,
        _ => return None,
    };
    let number = u64::from_str_radix(digits, 16).ok()?;
    (digits == format!("{number:016x}")).then_some((number, what))
}
