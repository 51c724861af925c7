//! `cordee import`: a table into a publisher's database.

use super::apply::open;
use super::output;
use super::progress::{self, Unit};
use super::{Exit, Failure, FolderArgs, interrupt};
use crate::folder::{self, Database, Folder};
use crate::publishing::State;
use crate::rows::{Format, Row, rows};
use crate::writes::Write;
use clap::Args;
use cordee_protocol::db::{self, Batch, Family};
use serde::Serialize;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

/// How much work an interruption may cost: batches are made durable at least this often.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Import keys and values from CSV or JSON lines
///
/// The first column is a text key: the database key is the SHA-256 of its UTF-8 bytes. One other column is the value,
/// byte for byte; several become a JSON object by the header's names. JSON lines have the key in the member "key". Into a
/// keyless database the values are appended, and the keys left out; into one of a fixed kind go values of its size only;
/// into an immutable one, keys that are not set yet.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cordee import -C alps table.csv\n  \
                        dpkg-query -W -f='${Package},${Version}\\n' | cordee import -C alps --no-header -")]
pub(super) struct Import {
    #[command(flatten)]
    folder: FolderArgs,

    /// CSV or JSON lines; - is standard input
    #[arg(value_name = "FILE|-")]
    file: String,

    /// How FILE is written [default: jsonl if it ends in .jsonl, .ndjson or .json, else csv]
    #[arg(long)]
    format: Option<Format>,

    /// The first row of the CSV is data, not the columns' names
    #[arg(long)]
    no_header: bool,

    /// Rows in one commit
    #[arg(long, value_name = "ROWS", default_value = "1000")]
    batch: NonZeroUsize,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Imported {
    ok: bool,
    rows: u64,
    commits: u64,
    keys: usize,
    seconds: f64,
    #[serde(flatten)]
    state: State,
}

impl Import {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let folder = Folder::open(&self.folder.dir, Ok)?;
        let (input, name) = open(&self.file)?;
        let length = std::fs::metadata(&self.file)
            .ok()
            .filter(std::fs::Metadata::is_file);
        let bar = progress::bar(length.map(|file| file.len()), Unit::Bytes);
        let format = self.format.unwrap_or_else(|| format_of(&self.file));
        let rows = rows(bar.wrap_read(input), format, !self.no_header)
            .map_err(|error| Failure::from(error).at(&name))?;
        let mut writer = Writer::new(&folder, self.batch)?;
        interrupt::leave_with(match writer.database.kind().family() {
            Family::AnyUnordered | Family::AnyOrdered => {
                "interrupted; what was committed stays, and importing the same file again is harmless"
            }
            Family::Immutable | Family::Keyless => {
                "interrupted; what was committed stays: look with `cordee apply` or `cordee run` how far it came, and \
                 import only the rest"
            }
        });

        for row in rows {
            let taken = match row {
                Ok(row) => writer.take(row),
                Err(error) => Err(Failure::from(error)),
            };
            if let Err(failure) = taken {
                bar.finish_and_clear();
                // Committed batches stay, the one with the bad row does not begin. A disk that failed already fails here
                // again, and says less.
                let failure = match writer.save() {
                    Err(unsaved) if failure.exit() != Exit::Failed => unsaved,
                    _ => failure,
                };
                return Err(failure.at(&name).and(writer.kept()));
            }
            bar.set_message(format!("{} rows", writer.rows));
        }
        let finished = writer.finish();
        finished.map_err(|failure| failure.at(&name).and(writer.kept()))?;
        bar.finish_and_clear();

        let imported = Imported {
            ok: true,
            rows: writer.rows,
            commits: writer.commits,
            keys: writer.database.active(),
            seconds: writer.began.elapsed().as_secs_f64(),
            state: State::of(&writer.database),
        };
        let text = format!(
            "imported {} in {} in {:.1} s: {} keys, size {}, floor {}\ntarget {}",
            output::counted(imported.rows, "row"),
            output::counted(imported.commits, "commit"),
            imported.seconds,
            imported.keys,
            imported.state.size,
            imported.state.floor(),
            imported.state.target,
        );
        output::result(self.json, &imported, &text)
    }
}

/// Gathers rows into batches. Memory: one batch of rows, and what the journal buffers.
struct Writer<'f> {
    folder: &'f Folder,
    database: Database,
    batch: Batch,
    pending: u64,
    limit: NonZeroUsize,
    rows: u64,
    /// Rows that are durable.
    kept: u64,
    commits: u64,
    began: Instant,
    saved: Instant,
}

impl<'f> Writer<'f> {
    fn new(folder: &'f Folder, limit: NonZeroUsize) -> Result<Self, Failure> {
        let now = Instant::now();
        Ok(Self {
            folder,
            database: folder.publisher()?,
            batch: Batch::new(),
            pending: 0,
            limit,
            rows: 0,
            kept: 0,
            commits: 0,
            began: now,
            saved: now,
        })
    }

    fn take(&mut self, row: Row) -> Result<(), Failure> {
        let kind = self.database.kind();
        let write = match kind.family() {
            Family::Keyless => Write::Append(row.value.into()),
            _ => Write::Put(row.key, row.value.into()),
        };
        let unfit = |why| Failure::usage(format!("line {}: the value has {why}", row.line));
        write.fit(kind).map_err(unfit)?;
        write.add_to(&mut self.batch);
        self.pending += 1;
        if self.pending >= self.limit.get() as u64 {
            self.flush()?;
            if self.saved.elapsed() >= SAVE_EVERY {
                self.save()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let applied = self.database.apply(&self.batch, None);
        applied.map_err(|error| match error {
            db::Error::Unfit(_) => Failure::of(Exit::Usage, &error),
            error => folder::Error::from(error).into(),
        })?;
        if self.commits == 0 {
            self.folder.set_written()?;
        }
        self.rows += std::mem::take(&mut self.pending);
        self.commits += 1;
        self.batch = Batch::new();
        Ok(())
    }

    fn save(&mut self) -> Result<(), Failure> {
        self.saved = Instant::now();
        self.database.commit().map_err(folder::Error::from)?;
        self.kept = self.rows;
        Ok(())
    }

    /// What a failure leaves behind.
    fn kept(&self) -> String {
        format!("{} rows before it are imported, in whole batches", self.kept)
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if self.pending > 0 {
            self.flush()?;
        }
        self.save()
    }
}

fn format_of(file: &str) -> Format {
    let extension = Path::new(file)
        .extension()
        .and_then(|extension| extension.to_str());
    match extension {
        Some("jsonl" | "ndjson" | "json") => Format::Jsonl,
        _ => Format::Csv,
    }
}
