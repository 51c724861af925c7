//! The local side of a sync behind a database that goes on answering ([`Ahead`]): it changes when the target is reached, at once.

use crate::folder::Database;
use crate::storage;
use cordee_protocol::db;
use cordee_protocol::log::Operations;
use cordee_protocol::sync::database::{Ahead, Behind, Held, Rooted};
use cordee_protocol::sync::verify::{Pinned, Verified};
use cordee_protocol::{Digest, Location, Target};
use std::sync::{Arc, PoisonError, RwLock};

/// Bytes of operations that may wait for their target. At 1,000 operations of 150 bytes a second, that is seven minutes behind.
pub const MAX_BYTES: usize = 64 << 20;

/// A complete database on its way to a later target.
#[derive(Debug)]
pub struct Following {
    database: Arc<RwLock<Database>>,
    ahead: Ahead,
}

/// Why it did not get there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another way has to be taken to that target, or none is to be.
    #[error(transparent)]
    Behind(#[from] Behind),
    /// The database or its disk.
    #[error(transparent)]
    Database(#[from] db::Error<storage::Error>),
    /// The process is ending.
    #[error("the thread that writes has ended")]
    Ended,
}

impl Following {
    /// Go on from `database` to `target`.
    ///
    /// # Errors
    /// [`Error::Behind`] if it cannot be gone on from, [`Error::Database`].
    pub fn open(database: &Arc<RwLock<Database>>, target: &Target) -> Result<Self, Error> {
        // A writer that panicked has left a log that is consistent up to its last commit; reading it is safe.
        let held = database.read().unwrap_or_else(PoisonError::into_inner);
        let ahead = Ahead::new(held.log(), target.clone(), MAX_BYTES).map_err(db::Error::Log)?;
        Ok(Self {
            database: Arc::clone(database),
            ahead: ahead?,
        })
    }

    /// What to aim at ([`Ahead::target`]).
    pub fn target(&self) -> &Target {
        self.ahead.target()
    }
}

impl cordee_protocol::Database for Following {
    type Output = ();
    type Error = Error;

    fn held(&self) -> Held {
        self.ahead.held()
    }

    async fn check_last(&mut self, _: Operations) -> Result<(), Error> {
        // Nothing is unmade before the end, where everything is looked at.
        Ok(())
    }

    async fn append(&mut self, batch: Verified) -> Result<(), Error> {
        Ok(self.ahead.append(batch)?)
    }

    async fn pin(&mut self, _: Pinned) -> Result<(), Error> {
        // A database knows its own.
        Ok(())
    }

    async fn retarget(&mut self, target: Target) -> Result<Held, Error> {
        Ok(self.ahead.retarget(target)?)
    }

    async fn restart(&mut self) -> Result<(), Error> {
        // Peers have proven that the target's log did not begin with this database.
        Err(self.ahead.fork().into())
    }

    async fn root(&mut self) -> Result<Rooted, Error> {
        Ok(self.ahead.root())
    }

    async fn root_at(&mut self, size: Location) -> Result<Digest, Error> {
        let known = self.ahead.root_at(size);
        let held = self.ahead.held().size;
        Ok(known.ok_or(db::Error::Log(
            cordee_protocol::log::authenticated::Error::NotHeld {
                asked: size..size,
                held: size..held,
            },
        ))?)
    }

    async fn complete(self) -> Result<(), Error> {
        let written = tokio::task::spawn_blocking(move || {
            let (target, batches) = self.ahead.into_batches();
            let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
            database.extend(&target, &batches)?;
            database.commit()?;
            Ok(())
        });
        written.await.map_err(|_| Error::Ended)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;
    use crate::follow::cause;
    use crate::runtime::TokioRuntime;
    use cordee_protocol::Journal;
    use cordee_protocol::db::Batch;
    use cordee_protocol::log::Mark;
    use cordee_protocol::mmr::shape::peaks;
    use cordee_protocol::sync::engine::{Channels, Engine};
    use cordee_protocol::sync::plan::Config;
    use cordee_protocol::testing::source::{MemoryDb, Scripted, database, grow};

    /// A publisher in memory, and a copy on disk of its state at that time.
    fn pair(folder: &Folder) -> (MemoryDb, Arc<RwLock<Database>>) {
        let source = database(7, 20, 12);
        let mut copy = folder.publisher().unwrap();
        let mut twin = database(7, 0, 12);
        assert_eq!(copy.root(), twin.root());
        grow(&mut twin, 7, 20, 12);
        replay(&twin, &mut copy);
        assert_eq!(copy.root(), source.root());
        (source, Arc::new(RwLock::new(copy)))
    }

    /// Bring `copy` to where `source` is, by its proven operations.
    fn replay(source: &MemoryDb, copy: &mut Database) {
        use cordee_protocol::sync::verify::verify;
        use cordee_protocol::wire::{Request, Response};
        let (size, end) = (copy.log().size(), source.log().size());
        let request = Request::operations(end, size, end.since(size)).unwrap();
        let (proof, operations) = source.log().historical_proof(end, size, u64::MAX).unwrap();
        let response = Response {
            proof,
            operations,
            pinned_nodes: None,
        };
        let (batch, _) = verify(&request, &source.root(), response).unwrap();
        copy.extend(&source.target(), &[batch]).unwrap();
        copy.commit().unwrap();
    }

    fn folder(place: &tempfile::TempDir) -> Folder {
        Folder::create(&place.path().join("copy"), "n", "any-unordered-variable").unwrap()
    }

    async fn follow(
        copy: &Arc<RwLock<Database>>,
        target: &Target,
        resolver: &Scripted,
    ) -> Result<(), String> {
        let local = Following::open(copy, target).map_err(|error| error.to_string())?;
        run(local, resolver).await
    }

    async fn run(local: Following, resolver: &Scripted) -> Result<(), String> {
        let target = local.target();
        let runtime = Arc::new(TokioRuntime::current());
        let engine = Engine::new(
            Config::default(),
            target.clone(),
            local,
            resolver.clone(),
            runtime,
            Channels::default(),
        );
        engine.run().await.map_err(|error| cause(&error))
    }

    #[tokio::test]
    async fn a_copy_follows_and_answers_with_the_old_state_until_it_has_the_new_one() {
        let place = tempfile::tempdir().unwrap();
        let (mut source, copy) = pair(&folder(&place));
        for round in 0..3 {
            let before = copy.read().unwrap().root();
            grow(&mut source, 100 + round, 3, 12);
            let resolver = Scripted::honest(source.log().journal().clone());
            let target = source.target();
            let local = Following::open(&copy, &target).unwrap();
            assert_eq!(copy.read().unwrap().root(), before);
            drop(local);
            follow(&copy, &target, &resolver).await.unwrap();
            let copy = copy.read().unwrap();
            assert_eq!((copy.root(), copy.floor()), (source.root(), source.floor()));
            for i in 0..48 {
                let key = cordee_protocol::testing::source::key(i);
                assert_eq!(copy.value(&key).unwrap(), source.value(&key).unwrap());
            }
            let marked = copy.log().journal().mark().cloned();
            assert!(matches!(marked, Some(Mark::Complete { root, .. }) if root == source.root()));
        }
    }

    #[tokio::test]
    async fn a_target_of_another_history_is_a_fork_and_changes_nothing() {
        let place = tempfile::tempdir().unwrap();
        let (_, copy) = pair(&folder(&place));
        let before = copy.read().unwrap().root();
        let other = database(8, 40, 12);
        let resolver = Scripted::honest(other.log().journal().clone());
        let error = follow(&copy, &other.target(), &resolver).await.unwrap_err();
        assert!(
            error.contains("which no log with the target's root had"),
            "{error}"
        );
        let mut copy = copy.write().unwrap();
        assert_eq!(copy.root(), before);
        copy.apply(&Batch::new(), None).unwrap();
    }

    #[tokio::test]
    async fn a_damaged_peak_of_what_is_held_is_named_and_is_no_fork() {
        let place = tempfile::tempdir().unwrap();
        let folder = folder(&place);
        let (mut source, copy) = pair(&folder);
        // What lies in the tail is in memory as well: in the files it all is when it was closed.
        drop(copy);
        let copy = Arc::new(RwLock::new(folder.publisher().unwrap()));
        let size = source.log().size();
        grow(&mut source, 100, 3, 12);
        let resolver = Scripted::honest(source.log().journal().clone());
        let before = copy.read().unwrap().root();
        let nodes = std::fs::read_dir(folder.data().join("nodes")).unwrap();
        let files: Vec<_> = nodes.map(|entry| entry.unwrap().path()).collect();
        let [file] = &files[..] else { panic!("{files:?}") };
        for peak in peaks(size) {
            let at = 32 * peak.position().get();
            let flip = || {
                let mut bytes = std::fs::read(file).unwrap();
                bytes[at as usize + 5] ^= 4;
                std::fs::write(file, bytes).unwrap();
            };
            let is_named = |said: &str| {
                let place = format!("{} is damaged at byte {at}", file.display());
                assert!(said.contains(&place), "{said}");
            };
            // While its batches come, and before it is opened for a target.
            let local = Following::open(&copy, &source.target()).unwrap();
            flip();
            is_named(&run(local, &resolver).await.unwrap_err());
            let error = Following::open(&copy, &source.target()).unwrap_err();
            assert!(!matches!(error, Error::Behind(_)), "{error}");
            is_named(&cause(&error));
            flip();
        }
        assert_eq!(copy.read().unwrap().root(), before);
        follow(&copy, &source.target(), &resolver).await.unwrap();
        assert_eq!(copy.read().unwrap().root(), source.root());
    }

    #[tokio::test]
    async fn a_target_that_cannot_be_gone_on_to_says_what_to_do() {
        let place = tempfile::tempdir().unwrap();
        let (source, copy) = pair(&folder(&place));
        let at = |n| Location::new(n).unwrap();
        let size = source.log().size().get();
        let root = source.root();
        for (range, expected) in [
            (0..size, "the target ends at"),
            (0..size - 1, "the target ends at"),
        ] {
            let target = Target::new(root, at(range.start)..at(range.end)).unwrap();
            let error = Following::open(&copy, &target).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
