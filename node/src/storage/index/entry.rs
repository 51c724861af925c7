//! A name and where its key is, and blocks of them: the unit that is read and checked.
//!
//! ```text
//!   block, 4096 bytes   entries by rising name | zeros up to 4086 | how many, 2 | checksum, 8
//!   entry, 24 or 40     name, 16 or 32 (see `name`) | location, 8, or 2^64 - 1 for "no longer active"
//! ```
//! Numbers are little endian. A block has one entry at least, and most are full.

use super::name::{HASHED, Name, Naming};
use crate::storage::aligned::Aligned;
use crate::storage::checksum::CHECKSUM;
use cordee_protocol::Location;

/// Bytes of a block: a page of the disk's cache.
pub(super) const BLOCK: usize = 4096;
/// Bytes of an entry whose name is a hash.
pub(super) const SHORT: usize = HASHED + 8;
/// And of one whose name is the key.
pub(super) const LONG: usize = 32 + 8;

/// Bytes behind the entries of a block.
const END: usize = 2 + CHECKSUM;

/// In place of a location. No log gets there.
const GONE: u64 = u64::MAX;

/// A name with the newest location of its key, or the news that it has none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name.
    pub name: Name,
    at: u64,
}

impl Entry {
    #[inline]
    pub(super) fn new(name: Name, at: Option<Location>) -> Self {
        let at = at.map_or(GONE, Location::get);
        Self { name, at }
    }

    /// As it was written: [`Location`], or more than any for a key that is no longer active.
    #[inline]
    pub(super) fn number(&self) -> u64 {
        self.at
    }

    /// Where the key is, if it is active.
    #[inline]
    pub(super) fn at(&self) -> Option<Location> {
        Location::new(self.at)
    }

    /// `N`: [`SHORT`] or [`LONG`].
    #[inline]
    pub(super) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        bytes[..N - 8].copy_from_slice(&self.name.0[..N - 8]);
        bytes[N - 8..].copy_from_slice(&self.at.to_le_bytes());
        bytes
    }

    /// The entry whose bytes these are.
    #[inline]
    pub(super) fn read<const N: usize>(bytes: &[u8; N]) -> Self {
        let mut at = [0; 8];
        at.copy_from_slice(&bytes[N - 8..]);
        let (name, at) = (name(bytes), u64::from_le_bytes(at));
        Self { name, at }
    }
}

/// The name in the entry whose bytes these are.
#[inline]
pub(super) fn name<const N: usize>(entry: &[u8; N]) -> Name {
    let mut name = [0; 32];
    name[..N - 8].copy_from_slice(&entry[..N - 8]);
    Name(name)
}

/// How entries lie in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Bytes of an entry.
    pub entry: usize,
    /// Bytes of the filter of a block, about ten bits for each of its entries.
    pub filter: usize,
}

impl Shape {
    pub(super) fn of(naming: &Naming) -> Self {
        match naming {
            Naming::Itself => Self {
                entry: LONG,
                filter: 128,
            },
            Naming::Hashed(..) => Self {
                entry: SHORT,
                filter: 216,
            },
        }
    }

    /// Entries of a full block: 170, or 102 where names are keys.
    pub(super) fn per_block(self) -> usize {
        (BLOCK - END) / self.entry
    }

    /// Fill the block up that ends with so many entries: all but its checksum.
    pub(super) fn end(self, entries: usize, block: &mut Aligned) {
        let zeros = BLOCK - END - entries * self.entry;
        block.extend_from_slice(&[0; BLOCK][..zeros]);
        block.extend_from_slice(&(entries as u16).to_le_bytes());
        block.extend_from_slice(&[0; CHECKSUM]);
    }

    /// The bytes of a block that are entries.
    pub(super) fn entries(self, block: &[u8]) -> &[u8] {
        &block[..held(block).min(self.per_block()) * self.entry]
    }

    /// Whether a block can have as many entries as it says.
    pub(super) fn counts(self, block: &[u8]) -> bool {
        (1..=self.per_block()).contains(&held(block))
    }

    /// Put the entry behind `out`.
    #[inline]
    pub(super) fn put(self, entry: &Entry, out: &mut Aligned) {
        match self.entry {
            SHORT => out.extend_from_slice(&entry.bytes::<SHORT>()),
            _ => out.extend_from_slice(&entry.bytes::<LONG>()),
        }
    }

    /// Put the entries in `bytes`, which hold nothing else, behind `out`.
    pub(super) fn read(self, bytes: &[u8], out: &mut Vec<Entry>) {
        match self.entry {
            SHORT => out.extend(bytes.as_chunks::<SHORT>().0.iter().map(Entry::read)),
            _ => out.extend(bytes.as_chunks::<LONG>().0.iter().map(Entry::read)),
        }
    }

    /// The entry of `name` among `bytes`, which hold entries by rising name.
    pub(super) fn find(self, name: &Name, bytes: &[u8]) -> Option<Entry> {
        match self.entry {
            SHORT => find(name, bytes.as_chunks::<SHORT>().0),
            _ => find(name, bytes.as_chunks::<LONG>().0),
        }
    }
}

/// How many entries a block says it has.
fn held(block: &[u8]) -> usize {
    let end = block.last_chunk::<END>();
    end.map_or(0, |end| u16::from_le_bytes([end[0], end[1]]).into())
}

fn find<const N: usize>(wanted: &Name, entries: &[[u8; N]]) -> Option<Entry> {
    let wanted = wanted.words();
    let found = entries.binary_search_by(|entry| name(entry).words().cmp(&wanted));
    found.ok().map(|i| Entry::read(&entries[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordee_protocol::db::{Family, Kind};

    #[test]
    fn entries_are_what_was_put() {
        for (family, per_block) in [(Family::AnyOrdered, 102), (Family::AnyUnordered, 170)] {
            let naming = Naming::new(Kind::variable(family), [1, 2]);
            let shape = Shape::of(&naming);
            assert_eq!(shape.per_block(), per_block);
            let entry = |n: u8| Entry::new(naming.name(&[n; 32]), Location::new(n.into()).filter(|_| n != 2));
            let mut all = [entry(1), entry(2), entry(3)];
            all.sort_by_key(|entry| entry.name);
            let (mut bytes, mut read) = (Aligned::default(), Vec::new());
            all.iter().for_each(|entry| shape.put(entry, &mut bytes));
            let bytes = bytes.as_slice();
            shape.read(bytes, &mut read);
            assert_eq!((bytes.len(), &read[..]), (3 * shape.entry, &all[..]));
            for entry in all {
                assert_eq!(shape.find(&entry.name, bytes), Some(entry));
            }
            assert_eq!(shape.find(&entry(4).name, bytes), None);
            assert_eq!(entry(2).at(), None);
        }
    }
}
