//! Syncing files ahead of the commit that will need it, on a thread of its own: the disk works while operations arrive.

use super::Error;
use super::file::File;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

type Files<T> = Vec<(PathBuf, Arc<T>)>;

/// A thread that syncs what it is given, one set of files at a time.
#[derive(Debug)]
pub(super) struct Presync<T> {
    work: Option<SyncSender<Files<T>>>,
    /// Only ever used by one at a time; locked so that others may hold on to whoever has this.
    done: Mutex<Receiver<Result<(), Error>>>,
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl<T: File + Send + Sync + 'static> Presync<T> {
    /// A thread without work. If there is none to be had, nothing is synced ahead.
    pub(super) fn new() -> Self {
        let (work, received) = sync_channel::<Files<T>>(1);
        let (tell, done) = sync_channel(1);
        let run = move || {
            for files in received {
                let synced = files.into_iter().try_for_each(|(path, file)| {
                    file.sync().map_err(|error| Error::io("sync", &path)(error))
                });
                if tell.send(synced).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("log-sync".into())
            .spawn(run)
            .ok();
        Self {
            work: thread.is_some().then_some(work),
            done: Mutex::new(done),
            busy: false,
            thread,
        }
    }

    /// Sync `files` soon, unless it is busy: then the next call will do.
    ///
    /// # Errors
    /// What an earlier sync failed with. Nothing may be committed after that.
    pub(super) fn start(&mut self, files: impl FnOnce() -> Files<T>) -> Result<(), Error> {
        if self.busy {
            match self.done().try_recv() {
                Ok(synced) => {
                    self.busy = false;
                    synced?;
                }
                Err(_) => return Ok(()),
            }
        }
        if let Some(work) = &self.work {
            self.busy = work.send(files()).is_ok();
        }
        Ok(())
    }

    fn done(&mut self) -> &mut Receiver<Result<(), Error>> {
        self.done.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wait until it is idle: before every commit.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(super) fn wait(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.busy) {
            self.done().recv().unwrap_or(Ok(()))
        } else {
            Ok(())
        }
    }
}

impl<T> Drop for Presync<T> {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // It ends with its work; what it says of that nobody waits for.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug)]
    struct Disk(bool);

    impl File for Disk {
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            Ok(())
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            if self.0 {
                Ok(())
            } else {
                Err(io::Error::other("bad sector"))
            }
        }

        fn len(&self) -> io::Result<u64> {
            Ok(0)
        }

        fn truncate(&self, _: u64) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_failed_sync_is_told_before_a_commit() {
        let mut presync = Presync::new();
        presync
            .start(|| vec![("good".into(), Arc::new(Disk(true)))])
            .unwrap();
        presync.wait().unwrap();
        presync.wait().unwrap();
        let files = || {
            vec![
                ("good".into(), Arc::new(Disk(true))),
                ("bad".into(), Arc::new(Disk(false))),
            ]
        };
        presync.start(files).unwrap();
        let error = presync.wait().unwrap_err().to_string();
        assert!(error.contains("cannot sync bad"), "{error}");
    }
}
