//! Everything in a log held against everything else; and proven content written over what is damaged.
//!
//! ```text
//!   record --checksum;  offsets --rise, and cut what the leaves' digests are of;  operations --> leaves --> .. --> peaks --> root
//! ```
//! # Mending
//! What is written over is damaged, and what is written is proven, at the place where it belongs: so a kill at any moment,
//! or a power loss that keeps any part of the writes, leaves each byte damaged as it was, torn inside the damaged place, or
//! right. No record is replaced. Mending again does the rest.
//!
//! # Files that are missing or too short
//! They are named first, and nothing else is looked at: what they should hold is known by their place, so it is fetched and
//! written in rising order. A missing file is made with the first write, and is too short until the last: so a kill leaves a
//! file that is named again, and what is behind its end is fetched again. (A power loss may leave a file that has its length,
//! and zeros in it: those are found as any other damage.) When all files have their lengths, the log is opened again, and
//! checked.

use super::error::Error;
use super::file::Files;
use super::journal::DiskJournal;
use cordee_protocol::log::{Damage, Journal, Mark, check};
use cordee_protocol::mmr::hash;
use cordee_protocol::mmr::nodes::peaks_at;
use cordee_protocol::sync::Verified;
use cordee_protocol::{Elements, Location};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

/// Operations that are looked at between two reports of progress.
const CHUNK: u64 = 4096;

/// Most places that are kept by name; the others are only counted.
const MAX_NAMED: usize = 1000;

/// Entries of the offset table that are tried with other bytes: each takes up to 2,040 reads and hashes.
const MAX_TRIED: u32 = 64;

/// A damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The byte in it.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The first places, by location.
    pub places: Vec<Place>,
    /// How many there are.
    pub count: u64,
    /// What to fetch again, in rising order, none of them empty.
    pub wanted: Vec<Range<Location>>,
    /// The locations of `wanted`. At most as many as are damaged.
    locations: BTreeSet<Location>,
    /// How often an entry of the offset table was tried with other bytes.
    tried: u32,
}

impl Findings {
    fn add(&mut self, at: Option<Location>, error: Error) -> Result<(), Error> {
        let Error::Corrupt { path, offset, what } = error else {
            return Err(error);
        };
        self.count += 1;
        self.locations.extend(at);
        if self.places.len() < MAX_NAMED {
            self.places.push(Place { path, offset, what });
        }
        Ok(())
    }

    /// Neighbours in one run.
    fn gather(&mut self) {
        for at in std::mem::take(&mut self.locations) {
            let end = at.saturating_add(1);
            match self.wanted.last_mut() {
                Some(last) if last.end == at => last.end = end,
                _ => self.wanted.push(at..end),
            }
        }
    }
}

impl<F: Files> DiskJournal<F> {
    /// Hold everything against everything else. `progress` is told how far it is.
    ///
    /// # Errors
    /// [`Error::Io`]; what is damaged is no error.
    pub fn check_all(&self, mut progress: impl FnMut(Location)) -> Result<Findings, Error> {
        let mut found = Findings::default();
        for (error, range) in self.lost()? {
            found.add(None, error)?;
            found.wanted.push(self.sound_before(range.start)?..range.end);
        }
        if found.count > 0 {
            found.wanted = union(found.wanted);
            return Ok(found);
        }
        let held = self.bounds();
        let mut from = held.start;
        while from < held.end {
            let chunk = from..from.saturating_add(CHUNK).min(held.end);
            self.check_chunk(&chunk, &mut found)?;
            from = chunk.end;
            progress(from);
        }
        if let Err(error) = self.check_end()
            && found.count == 0
        {
            found.add(Location::new(held.end.get() - 1), error)?;
        }
        if let Some(Mark::Complete { root, .. }) = self.mark()
            && found.count == 0
        {
            let peaks = peaks_at(self, held.end)?.unwrap_or_default();
            if hash::root(held.end, &peaks) != *root {
                let last = Location::new(held.end.get().saturating_sub(1)).unwrap_or_default();
                let error = self.damaged(Damage::Node(last.position()));
                found.add(Some(last), error)?;
            }
        }
        found.gather();
        Ok(found)
    }

    fn check_chunk(&self, chunk: &Range<Location>, found: &mut Findings) -> Result<(), Error> {
        let mut damaged = Vec::new();
        match check::check(self, chunk.clone(), |damage| damaged.push(damage)) {
            Ok(()) => {}
            // Not even cut into operations: each by itself.
            Err(Error::Corrupt { .. }) => return self.check_each(chunk, found),
            Err(error) => return Err(error),
        }
        damaged.sort_by_key(|damage| damage.location());
        let mut behind_offset = None;
        for damage in damaged {
            let at = damage.location();
            if behind_offset == Some(at) && matches!(damage, Damage::Operation(_)) {
                // Cut at the wrong byte at its start, and named already.
                found.locations.insert(at);
                continue;
            }
            let error = match damage {
                Damage::Operation(at) if self.is_cut_wrong(at, found)? => {
                    behind_offset = Some(at.saturating_add(1));
                    self.bad_end(at)?
                }
                damage => self.damaged(damage),
            };
            found.add(Some(at), error)?;
        }
        Ok(())
    }

    fn check_each(&self, chunk: &Range<Location>, found: &mut Findings) -> Result<(), Error> {
        let mut named: Option<(PathBuf, u64)> = None;
        for n in chunk.start.get()..chunk.end.get() {
            let at = Location::new(n).unwrap_or_default();
            let error = match self.read(at..at.saturating_add(1), 0) {
                Ok(one) => match check::leaves(self, at, &one) {
                    Ok(()) => continue,
                    Err(Error::Corrupt { .. }) if self.is_cut_wrong(at, found)? => self.bad_end(at)?,
                    Err(error) => error,
                },
                Err(_) if self.is_cut_wrong(at, found)? => self.bad_end(at)?,
                Err(error) => error,
            };
            // An entry that is wrong spoils the operation before it and the one behind.
            let place = match &error {
                Error::Corrupt { path, offset, .. } => Some((path.clone(), *offset)),
                _ => None,
            };
            found.locations.insert(at);
            let behind_named = named.is_some() && found.locations.contains(&before(at));
            if !behind_named {
                found.add(Some(at), error)?;
                named = place;
            }
        }
        Ok(())
    }

    /// The last location up to `at` where what is written in rising order can begin: the operation before it is right, and so
    /// is where it ends. A power loss in the middle of a repair may have left something there that is not.
    fn sound_before(&self, at: Location) -> Result<Location, Error> {
        let first = self.bounds().start;
        let mut at = at;
        while at > first {
            let one = before(at);
            let checked = self
                .read(one..at, 0)
                .and_then(|operation| check::leaves(self, one, &operation));
            match checked {
                Ok(()) => break,
                Err(Error::Corrupt { .. }) => at = one,
                Err(error) => return Err(error),
            }
        }
        Ok(at)
    }

    /// Whether the operation at `at` is right if its end is read with one byte of the entry changed. Only for naming the right
    /// file, so it is not tried for ever.
    fn is_cut_wrong(&self, at: Location, found: &mut Findings) -> Result<bool, Error> {
        if found.tried == MAX_TRIED {
            return Ok(false);
        }
        found.tried += 1;
        let (first, end) = (self.end_before(at)?, self.end_of(at)?);
        let Some(leaf) = cordee_protocol::mmr::Nodes::node(self, at.position())? else {
            return Ok(false);
        };
        for byte in 0..8 {
            for value in 1..=255u64 {
                let candidate = end ^ (value << (8 * byte));
                let Some(bytes) = self.bytes_between(first, candidate)? else {
                    continue;
                };
                if hash::leaves(at, [bytes].as_slice()).first() == Some(&leaf) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Write proven operations with their nodes over what is stored in their place, durably. Everything below them is
    /// right: so damage is mended from the lowest location on.
    ///
    /// # Errors
    /// [`Error::NotHeld`], [`Error::Full`], [`Error::Io`]; [`Error::Corrupt`] if they do not fit into their place.
    pub fn mend(&self, batch: &Verified) -> Result<(), Error> {
        let range = batch.range();
        self.check_held(range.clone())?;
        let first = self.end_before(range.start)?;
        let operations = batch.operations();
        let table: Vec<u8> = operations
            .ends()
            .iter()
            .flat_map(|&end| (first.saturating_add(end.into())).to_le_bytes())
            .collect();
        let nodes: Vec<u8> = batch.nodes().iter().flat_map(|digest| digest.0).collect();
        debug_assert_eq!(table.len(), operations.len() * 8);
        self.overwrite(&range, first, operations.bytes(), &table, &nodes)
    }
}

/// The ranges without overlaps, in rising order.
fn union(mut ranges: Vec<Range<Location>>) -> Vec<Range<Location>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<Location>> = Vec::new();
    for range in ranges.into_iter().filter(|range| range.start < range.end) {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

fn before(at: Location) -> Location {
    Location::new(at.get().saturating_sub(1)).unwrap_or_default()
}
