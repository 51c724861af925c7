//! `cordee export`: the database as one file that any mirror can carry.

use super::progress::{self, Unit};
use super::{Exit, Failure, FolderArgs, interrupt, output};
use crate::folder::{Database, Folder};
use crate::snapshot::{self, WriteError, Written};
use crate::storage;
use clap::Args;
use cordee_protocol::sync::serve;
use cordee_protocol::wire::limits::MAX_OPERATIONS;
use serde::Serialize;
use std::io::{BufWriter, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Write the database at its newest commit to a file, with a proof for every part of it
///
/// `cordee import-snapshot` makes a database of it again, and proves each part under a root that its operator trusts while it
/// reads: so the file may come from anywhere. Everything is proven before it is written, too; a damaged disk is named and
/// nothing false leaves. The file appears under its name when it is whole and on the disk.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cordee export -C alps alps.snapshot\n  cordee export -C alps - | zstd > alps.snapshot.zst\n\n\
                  It prints the target that `cordee import-snapshot --target` takes: tell it to others over a channel that \
                  they trust."
)]
pub(super) struct Export {
    #[command(flatten)]
    folder: FolderArgs,

    /// The file to make; - is standard output, and what else is to say goes to standard error
    #[arg(value_name = "FILE|-")]
    file: String,

    /// Operations in one chunk, at most; a chunk is cut at 1 MiB of operations in any case
    #[arg(long, value_name = "N", default_value = "16384", value_parser = max_ops)]
    max_ops: NonZeroU64,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    file: String,
    target: String,
    root: String,
    start: u64,
    size: u64,
    ops: u64,
    chunks: u64,
    bytes: u64,
    seconds: f64,
}

impl Export {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let json = self.json;
        let streamed = self.file == "-";
        if streamed && json {
            return Err(Failure::usage(
                "--json and - both want standard output: write to a file, or leave --json out",
            ));
        }
        let (report, text) = output::unless_failed(json, self.export())?;
        if streamed {
            output::note(&text);
            return Ok(());
        }
        output::result(json, &report, &text)
    }

    fn export(&self) -> Result<(Report, String), Failure> {
        let began = Instant::now();
        let folder = Folder::open(&self.folder.dir, Ok)?;
        let database = folder.existing()?;
        interrupt::leave_with("interrupted; no file was made");
        let network = &folder.config().network.name;
        let written = if self.file == "-" {
            self.write(&database, network, std::io::stdout().lock())
        } else {
            self.make(&database, network, Path::new(&self.file))
        }?;
        let target = database.target();
        let report = Report {
            ok: true,
            file: self.file.clone(),
            target: target.to_string(),
            root: target.root().to_string(),
            start: target.start().get(),
            size: target.end().get(),
            ops: written.operations,
            chunks: written.chunks,
            bytes: written.bytes,
            seconds: began.elapsed().as_secs_f64(),
        };
        let text = format!(
            "exported {} in {}, {} bytes, in {:.1} s\ntarget {}",
            output::counted(report.ops, "operation"),
            output::counted(report.chunks, "chunk"),
            report.bytes,
            report.seconds,
            report.target
        );
        Ok((report, text))
    }

    /// The file at `path`, whole or not at all.
    fn make(&self, database: &Database, network: &str, path: &Path) -> Result<Written, Failure> {
        let exists = || {
            Failure::usage(format!(
                "{} exists: name another file, or remove this one",
                path.display()
            ))
        };
        if path.exists() {
            return Err(exists());
        }
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let above = above.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        let refused = |error: std::io::Error| failed(path, &error);
        let mut file = tempfile::Builder::new()
            .prefix(".cordee-export-")
            .tempfile_in(&above)
            .map_err(refused)?;
        let written = self.write(
            database,
            network,
            BufWriter::with_capacity(1 << 20, file.as_file_mut()),
        )?;
        set_mode(file.as_file()).map_err(refused)?;
        file.as_file().sync_all().map_err(refused)?;
        file.persist_noclobber(path)
            .map_err(|error| match error.error.kind() {
                std::io::ErrorKind::AlreadyExists => exists(),
                _ => refused(error.error),
            })?;
        std::fs::File::open(&above)
            .and_then(|folder| folder.sync_all())
            .map_err(refused)?;
        Ok(written)
    }

    fn write(&self, database: &Database, network: &str, mut out: impl Write) -> Result<Written, Failure> {
        let target = database.target();
        let bar = progress::bar(Some(target.end().since(target.start())), Unit::Operations);
        let written = snapshot::write(database, network, self.max_ops, &mut out, |at| {
            bar.set_position(at.since(target.start()));
        });
        bar.finish_and_clear();
        written.map_err(|error| match error {
            WriteError::Write(error) => failed(Path::new(&self.file), &error),
            WriteError::Log(serve::Error::Journal(error @ storage::Error::Corrupt { .. })) => {
                Failure::of(Exit::Refused, &error)
            }
            error => Failure::of(Exit::Failed, &error),
        })
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    let what = if storage::is_full(error) {
        "free some space there, or name a file elsewhere"
    } else {
        "see to the place and its permissions"
    };
    let place = if path.as_os_str() == "-" {
        "standard output".into()
    } else {
        path.display().to_string()
    };
    Failure::failed(format!("cannot write {place}: {error}; {what}. No file was made"))
}

/// A temporary file is its owner's alone; a snapshot holds nothing secret, and is to be given away.
fn set_mode(file: &std::fs::File) -> std::io::Result<()> {
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    Ok(())
}

fn max_ops(text: &str) -> Result<NonZeroU64, String> {
    let number = text.parse::<NonZeroU64>().ok();
    number
        .filter(|number| number.get() <= MAX_OPERATIONS)
        .ok_or_else(|| format!("a number from 1 to {MAX_OPERATIONS}"))
}
