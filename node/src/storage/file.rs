//! The fault seam: what the log asks of a file system, and the operating system's answer.

mod direct;

use std::fmt::Debug;
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Instant;

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// A file system. Every call blocks.
pub trait Files: Send + Sync {
    /// An open file.
    type File: File + 'static;
    /// Holds a lock for as long as it lives.
    type Lock: Send + Sync + Debug;

    /// Open for reading and writing. `create`: make it if it is not there; otherwise that is an error.
    ///
    /// # Errors
    /// The file system's own.
    fn open(&self, path: &Path, create: bool) -> io::Result<Self::File>;

    /// The files in `folder`, in no order.
    ///
    /// # Errors
    /// The file system's own.
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>>;

    /// Make `folder` and those above it, unless they are there.
    ///
    /// # Errors
    /// The file system's own.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;

    /// Unlink a file. What is open stays readable.
    ///
    /// # Errors
    /// The file system's own.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Put `from` in the place of `to`: whoever looks sees the one or the other.
    ///
    /// # Errors
    /// The file system's own.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Make names made, renamed and removed in `folder` durable.
    ///
    /// # Errors
    /// The file system's own.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Lock the file at `path`, made if need be. `None` if somebody else holds it.
    ///
    /// # Errors
    /// The file system's own.
    fn lock(&self, path: &Path) -> io::Result<Option<Self::Lock>>;
}

/// An open file: positions are arguments, so any number of threads may read.
pub trait File: Send + Sync + Debug {
    /// Fill `out` from the bytes at `offset`.
    ///
    /// # Errors
    /// The file system's own; [`io::ErrorKind::UnexpectedEof`] if the file is shorter.
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()>;

    /// Write all of `bytes` at `offset`, growing the file if need be; a gap reads as zeros.
    ///
    /// # Errors
    /// The file system's own; a part may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// As [`Self::write_at`], for a lot at once that nobody will read soon.
    ///
    /// # Errors
    /// The same.
    fn write_much_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(bytes, offset)
    }

    /// Make content and length durable.
    ///
    /// # Errors
    /// The file system's own; what was written since the last success may then be lost for good.
    fn sync(&self) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// The file system's own.
    fn len(&self) -> io::Result<u64>;

    /// Whether the length is 0.
    ///
    /// # Errors
    /// The file system's own.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cut to `len` bytes.
    ///
    /// # Errors
    /// The file system's own.
    fn truncate(&self, len: u64) -> io::Result<()>;
}

/// A file in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without the folder.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// The bytes it takes on the disk; less than `len` if it has holes.
    pub allocated: u64,
}

/// How long the disk takes to make a file of a log durable, in this process: 0.1 ms to 13 s. A process is one node, so this is a
/// property of the process like its memory.
static FSYNC_SECONDS: LazyLock<Histogram> =
    LazyLock::new(|| Histogram::new(exponential_buckets(0.0001, 2.0, 18)));

/// The syncs of this process.
pub(crate) fn fsync_seconds() -> Histogram {
    FSYNC_SECONDS.clone()
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFiles;

impl Files for OsFiles {
    type File = fs::File;
    type Lock = fs::File;

    fn open(&self, path: &Path, create: bool) -> io::Result<fs::File> {
        let mut options = fs::File::options();
        options.read(true).write(true).create(create).open(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                // Removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            // A name that is not UTF-8 is none of ours.
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                entries.push(Entry {
                    name,
                    len: metadata.len(),
                    allocated: metadata.blocks().saturating_mul(512),
                });
            }
        }
        Ok(entries)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        // The folder of a bare name is the current one.
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        fs::File::open(folder)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<fs::File>> {
        let file = self.open(path, true)?;
        match fs4::FileExt::try_lock(&file) {
            Ok(()) => Ok(Some(file)),
            Err(fs4::TryLockError::WouldBlock) => Ok(None),
            Err(fs4::TryLockError::Error(error)) => Err(error),
        }
    }
}

impl File for fs::File {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn write_much_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        direct::write(self, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        let began = Instant::now();
        let synced = self.sync_data();
        FSYNC_SECONDS.observe(began.elapsed().as_secs_f64());
        synced
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}
