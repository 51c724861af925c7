//! A database that drops what is no longer to be kept ([`crate::log::keep`]).

use super::database::{Db, Error};
use super::index::Index;
use super::operation::Operation;
use crate::log::{Journal, Keep, Retention};
use crate::mmr::{Location, Nodes};

/// So many of the newest operations are looked at for recent commits when a database is opened: about 9 MB of usual ones.
const SCANNED: u64 = 1 << 16;

impl<J: Journal, I: Index> Db<J, I> {
    /// From the next commit on, keep what `keep` says. Without this, everything is kept.
    pub fn keep(&mut self, keep: Keep) {
        self.retention = Some(Retention::new(keep));
    }

    /// Drop what is no longer to be kept; durable, and gone from the disk, with the commit that follows. The first time, the
    /// newest 65,536 operations are looked at for recent commits, if there is anything that could go.
    pub(super) fn release(&mut self) -> Result<(), Error<<J as Nodes>::Error>> {
        let Some(mut retention) = self.retention.take() else {
            return Ok(());
        };
        let held = self.log().bounds();
        if let Some(floor) = self.floor().filter(|&floor| floor > held.start) {
            if retention.is_new() && retention.keep() != Keep::All {
                self.recent(&mut retention)?;
            }
            retention.on_target(floor);
        }
        let start = retention.prune_to(&held);
        self.retention = Some(retention);
        start.map_or(Ok(()), |start| self.prune(start))
    }

    /// Tell `retention` the floors of recent commits.
    fn recent(&self, retention: &mut Retention) -> Result<(), Error<<J as Nodes>::Error>> {
        let held = self.log().bounds();
        let first = Location::new(held.end.get().saturating_sub(SCANNED)).unwrap_or_default();
        self.log().scan(first.max(held.start)..held.end, |at, operation| {
            let read = Operation::read(self.kind(), operation);
            let read = read.map_err(|source| super::Malformed { at, source })?;
            if let Operation::Commit {
                floor: Some(floor), ..
            } = read
            {
                retention.on_target(floor);
            }
            Ok::<_, Error<J::Error>>(true)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Batch, KINDS, Kind};
    use crate::log::MemoryJournal;
    use std::num::NonZeroU64;

    /// 200 commits of 5 writes to 20 keys.
    fn grown(kind: Kind, keep: Keep) -> (Db<MemoryJournal>, Vec<Location>) {
        let mut db = Db::open(MemoryJournal::default(), kind).unwrap();
        db.keep(keep);
        let mut floors = Vec::new();
        for round in 0..200u32 {
            let mut batch = Batch::new();
            for n in 0..5 {
                let value = vec![7; kind.value_size().unwrap_or(3)];
                let mut key = [0; 32];
                let number = 5 * round + n;
                let number = if kind.is_any() { number % 20 } else { number };
                key[..4].copy_from_slice(&number.to_be_bytes());
                if kind.family() == crate::db::Family::Keyless {
                    batch.append(value);
                } else {
                    batch.put(key, value);
                }
            }
            db.apply(&batch, None).unwrap();
            db.commit().unwrap();
            floors.extend(db.floor());
        }
        (db, floors)
    }

    #[test]
    fn every_kind_keeps_what_it_is_told_to() {
        for name in KINDS {
            let kind = Kind::parse(name, name.ends_with("fixed").then_some(3)).unwrap();
            let (all, _) = grown(kind, Keep::All);
            assert_eq!(all.log().bounds().start, Location::ZERO, "{name}");
            let (state, floors) = grown(kind, Keep::State);
            let held = state.log().bounds();
            if kind.is_any() {
                let recent = floors[floors.len() - crate::log::keep::RECENT];
                assert!(
                    held.start <= recent,
                    "{name}: recent targets are served: {held:?}, {recent}"
                );
                assert!(held.start.get() > all.log().size().get() / 2, "{name}: {held:?}");
            } else {
                assert_eq!(held.start, Location::ZERO, "{name} has no floor");
            }
            let (some, _) = grown(kind, Keep::Newest(NonZeroU64::new(500).unwrap()));
            let held = some.log().bounds();
            let kept = held.end.since(held.start);
            assert!((500..600).contains(&kept), "{name}: {held:?}");
            for db in [&state, &some] {
                assert_eq!(db.root(), all.root(), "{name}");
            }
            if kind.is_any() {
                assert_eq!(state.active(), all.active(), "{name}");
            }
        }
    }

    #[test]
    fn a_database_that_is_opened_remembers_its_recent_commits() {
        let (mut all, floors) = grown(Kind::parse(KINDS[0], None).unwrap(), Keep::All);
        all.keep(Keep::State);
        all.commit().unwrap();
        let start = floors[floors.len() - crate::log::keep::RECENT];
        assert_eq!(all.log().bounds().start, start);
        // Once more changes nothing: it is the same commit.
        (0..20).for_each(|_| all.commit().unwrap());
        assert_eq!(all.log().bounds().start, start);
    }
}
