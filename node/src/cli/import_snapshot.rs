//! `cordee import-snapshot`: a database from a file that nobody has to trust.

use super::progress::{self, Unit};
use super::{Exit, Failure, FolderArgs, interrupt, output, runtime};
use crate::folder::{self, Database, Folder};
use crate::snapshot::{self, FillError, Filled, Head, Reader};
use clap::Args;
use cordee_protocol::{Digest, Target};
use indicatif::ProgressBar;
use serde::Serialize;
use std::fs::File;
use std::io::{BufReader, Read};
use std::time::{Duration, Instant};

type Input = Reader<Box<dyn Read + Send>>;

/// Make the folder's database from a snapshot, each part proven under a trusted root before it is stored
///
/// The file is not trusted: --target or --root is, so take that from somebody you trust, and the file from anywhere. An
/// import that is interrupted goes on when the same command is run again, and a database that is an older state of the same
/// log is continued. Memory is that of one chunk, whatever the size of the file.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cordee import-snapshot -C copy alps.snapshot --target ROOT@START..END\n  \
                  curl -L https://mirror.example.org/alps.snapshot | cordee import-snapshot -C copy - --root ROOT\n\n\
                  Exit codes: 0 at the target, 1 failed, 2 wrong usage, another network or kind, 3 the file is not what the \
                  root says, or is cut off; 130 interrupted."
)]
pub(super) struct ImportSnapshot {
    #[command(flatten)]
    folder: FolderArgs,

    /// The snapshot; - is standard input
    #[arg(value_name = "FILE|-")]
    file: String,

    /// What the database is to be, as `cordee export` printed it
    #[arg(long, value_name = "ROOT@START..END", conflicts_with = "root")]
    target: Option<Target>,

    /// The root alone: it fixes the size and every operation, and the file says where it begins
    #[arg(long, value_name = "ROOT", value_parser = root)]
    root: Option<Digest>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    root: String,
    start: u64,
    end: u64,
    size: u64,
    seconds: f64,
    ops_imported: u64,
    ops_reused: u64,
    bytes_read: u64,
}

impl ImportSnapshot {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let json = self.json;
        let ended = self.import();
        let (report, text) = output::unless_failed(json, ended)?;
        output::result(json, &report, &text)
    }

    fn import(&self) -> Result<(Report, String), Failure> {
        if self.target.is_none() && self.root.is_none() {
            return Err(Failure::usage(
                "a snapshot proves nothing by itself: say what to believe with --target ROOT@START..END or --root ROOT, and \
                 take that from somebody you trust, not from where the file is from",
            ));
        }
        let began = Instant::now();
        let folder = Folder::open(&self.folder.dir, Ok)?;
        folder.check_replaceable()?;
        let name = if self.file == "-" {
            "standard input"
        } else {
            &self.file
        };
        let length = std::fs::metadata(&self.file)
            .ok()
            .filter(std::fs::Metadata::is_file);
        let bar = progress::bar(length.map(|file| file.len()), Unit::Bytes);
        let imported = self.fill(&folder, &bar);
        bar.finish_and_clear();
        let Filled {
            database,
            imported,
            reused,
            bytes,
        } = imported.map_err(|failure| failure.at(name))?;
        let target = database.target();
        let held = database.log().bounds();
        let report = Report {
            ok: true,
            root: target.root().to_string(),
            start: target.start().get(),
            end: held.end.get(),
            size: held.end.get(),
            seconds: began.elapsed().as_secs_f64(),
            ops_imported: imported,
            ops_reused: reused,
            bytes_read: bytes,
        };
        let text = format!(
            "at root {}, size {}\nimported {} in {:.1} s; {} were already here",
            report.root,
            report.size,
            output::counted(imported, "operation"),
            report.seconds,
            reused
        );
        Ok((report, text))
    }

    fn fill(&self, folder: &Folder, bar: &ProgressBar) -> Result<Filled<Database>, Failure> {
        let mut first = Some(self.open()?);
        let head = first.as_ref().map(|reader| reader.head().clone());
        let target = head.map_or_else(
            || Err(Failure::failed("no head")),
            |head| self.trusted(folder, &head),
        )?;
        let runtime = runtime()?;
        let filled = runtime.block_on(async {
            let local = folder.sync_into(&target)?;
            let again = || match first.take() {
                Some(reader) => Ok(Some(reader)),
                None if self.file == "-" => Ok(None),
                None => read(&self.file).map(Some),
            };
            let progress = |at, bytes| {
                bar.set_position(bytes);
                bar.set_message(format!("{at} of {} ops", target.end()));
            };
            tokio::select! {
                filled = snapshot::fill(local, again, progress) => Ok(filled?),
                ended = interrupt::signal() => {
                    ended?;
                    Err(Failure::new(
                        Exit::Interrupted,
                        "interrupted; what is proven is kept, and running the same command again continues",
                    ))
                }
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(5));
        filled
    }

    fn open(&self) -> Result<Input, Failure> {
        Ok(read(&self.file)?)
    }

    /// The target that the operator trusts, if the file is one of it and for this node.
    fn trusted(&self, folder: &Folder, head: &Head) -> Result<Target, Failure> {
        let network = &folder.config().network;
        for (what, found, wanted) in [
            ("network", &head.network, &network.name),
            ("kind", &head.kind, &network.kind),
        ] {
            if found != wanted {
                return Err(Failure::usage(format!(
                    "the snapshot is of {what} {found:?}, this node of {wanted:?}: take the snapshot of this node's network, or \
                     another node"
                )));
            }
        }
        let wanted = self.target.as_ref().map(Target::root).or(self.root.as_ref());
        let same_root = wanted == Some(head.target.root());
        let same_end = self
            .target
            .as_ref()
            .is_none_or(|target| target.end() == head.target.end());
        if !same_root || !same_end {
            return Err(Failure::new(
                Exit::Refused,
                format!(
                    "the snapshot is of another target, {}: nothing was stored. Take one of the target that you trust",
                    head.target
                ),
            ));
        }
        match &self.target {
            Some(target) if *target != head.target => Err(Failure::usage(format!(
                "the snapshot begins at {}, the target at {}: use --root {}",
                head.target.start(),
                target.start(),
                target.root()
            ))),
            _ => Ok(head.target.clone()),
        }
    }
}

fn read(file: &str) -> Result<Input, snapshot::Error> {
    let input: Box<dyn Read + Send> = if file == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(file).map_err(snapshot::Error::Io)?)
    };
    Reader::open(Box::new(BufReader::with_capacity(1 << 20, input)) as Box<dyn Read + Send>)
}

fn root(text: &str) -> Result<Digest, String> {
    Digest::from_hex(text.trim()).ok_or_else(|| "a root is 64 hex digits".into())
}

impl From<snapshot::Error> for Failure {
    fn from(error: snapshot::Error) -> Self {
        let exit = match &error {
            snapshot::Error::Io(error) if error.kind() == std::io::ErrorKind::NotFound => Exit::Usage,
            snapshot::Error::Io(_) => Exit::Failed,
            snapshot::Error::Foreign(_) => Exit::Usage,
            _ => Exit::Refused,
        };
        let proven = matches!(
            error,
            snapshot::Error::Malformed { .. } | snapshot::Error::Refused { .. }
        );
        let failure = Self::of(exit, &error);
        if proven {
            failure.and("what was proven before it is kept; get the file anew, from another mirror, and run the same command again")
        } else {
            failure
        }
    }
}

impl From<FillError<crate::storage::writer::Error>> for Failure {
    fn from(error: FillError<crate::storage::writer::Error>) -> Self {
        match error {
            FillError::Snapshot(error) => error.into(),
            FillError::Database(error) if error.is_unfit_target() => Self::of(Exit::Refused, &error),
            FillError::Database(error) => folder::Error::from(error).into(),
            FillError::Once => Self::of(Exit::Failed, &error),
        }
    }
}
