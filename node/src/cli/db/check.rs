//! `cordee db check`: is everything on the disk what its digests say, and can it be mended.

use super::super::progress::{self, Unit};
use super::super::{Exit, Failure, FolderArgs, multiaddr, output, runtime};
use crate::folder::{self, Database, Folder};
use crate::mending::{self, Mended};
use crate::storage::check::Findings;
use crate::storage::{self, DiskJournal};
use clap::Args;
use cordee_protocol::Journal;
use cordee_protocol::log::Mark;
use libp2p::Multiaddr;
use serde::Serialize;
use std::time::Duration;

/// Damaged places that are printed; the others are counted.
const SHOWN: usize = 10;

/// Check everything that is stored, and mend it from peers
///
/// Every operation is held against its leaf's digest, every inner node against its children, the peaks against the recorded
/// root, the offset table against what it cuts, and key index and floor against the operations that they are made from.
/// With --repair, operations that are damaged, or whose nodes or offsets are, are fetched again, proven under the recorded
/// root, and written in place, and so is what a file held that is missing or too short; a record with one changed byte is
/// mended by its checksum, without a peer. A repair that is interrupted has damaged nothing: run it again. Without a record
/// nothing is known of the rest: remove `data` and sync again.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cordee db check -C alps\n  cordee db check -C alps --repair --peer \
                  /ip4/10.0.0.1/tcp/7370\n\n\
                  Exit codes: 0 everything is right, or is again; 1 it cannot be read, or not be mended; 2 wrong usage; \
                  3 something is damaged."
)]
pub(super) struct Check {
    #[command(flatten)]
    folder: FolderArgs,

    /// Fetch again what is damaged
    #[arg(long)]
    repair: bool,

    /// A node to ask, with or without /p2p/PEER_ID at the end; may be repeated, adds to network.peers
    #[arg(long = "peer", value_name = "MULTIADDR", value_parser = multiaddr, num_args = 1.., requires = "repair")]
    peers: Vec<Multiaddr>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    start: u64,
    size: u64,
    damaged: u64,
    mended_ops: u64,
    mended_record: bool,
    places: Vec<PlaceJson>,
}

#[derive(Serialize)]
struct PlaceJson {
    file: String,
    offset: u64,
    what: String,
}

impl Check {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let report = self.check();
        let report = match report {
            Err(failure) => return output::unless_failed(self.json, Err(failure)),
            Ok(report) => report,
        };
        let mut text = String::new();
        for place in report.places.iter().take(SHOWN) {
            text += &format!("{} at byte {}: {}\n", place.file, place.offset, place.what);
        }
        let places = output::counted(report.damaged, "place");
        text += &match (report.damaged, report.mended_ops, report.mended_record) {
            (0, ..) => format!("checked {}..{}: nothing is damaged", report.start, report.size),
            (_, 0, false) => format!("{places} damaged; mend with --repair --peer MULTIADDR"),
            (_, ops, record) => {
                let record = if record { "the record and " } else { "" };
                let ops = output::counted(ops, "operation");
                format!("{places} damaged; mended {record}{ops}, checked again")
            }
        };
        output::result(self.json, &report, &text)?;
        if report.ok {
            return Ok(());
        }
        Err(Failure::new(Exit::Refused, format!("{places} damaged")))
    }

    fn check(&self) -> Result<Report, Failure> {
        let folder = Folder::open(&self.folder.dir, Ok)?;
        let mut places = Vec::new();
        let mut mended_record = false;
        let journal = match folder.to_check() {
            Err(folder::Error::Storage(storage::Error::Corrupt { .. } | storage::Error::Version { .. }))
                if self.repair && storage::mend_record(&folder.data()).map_err(folder::Error::from)? =>
            {
                mended_record = true;
                let file = folder.data().join("record").display().to_string();
                let what = "one byte had changed".into();
                places.push(PlaceJson {
                    file,
                    offset: 0,
                    what,
                });
                folder.to_check()?
            }
            Err(folder::Error::Storage(storage::Error::Corrupt { path, offset, what })) => {
                let file = path.display().to_string();
                places.push(PlaceJson { file, offset, what });
                return Ok(Report {
                    ok: false,
                    start: 0,
                    size: 0,
                    damaged: 1,
                    mended_ops: 0,
                    mended_record,
                    places,
                });
            }
            opened => opened?,
        };
        if journal.mark().is_none() {
            return Err(folder::Error::Empty(folder.path().into()).into());
        }
        let held = journal.bounds();
        let bar = progress::bar(Some(held.end.since(held.start)), Unit::Operations);
        let found = journal.check_all(|at| bar.set_position(at.since(held.start)));
        bar.finish_and_clear();
        let mut found = found.map_err(folder::Error::from)?;
        places.extend(named(&found));
        let mut damaged = found.count + u64::from(mended_record);
        let (mut journal, mut mended_ops) = (journal, 0);
        if self.repair && found.count > 0 {
            let mended = self.mend(&folder, journal, found)?;
            for behind in &mended.behind {
                damaged += behind.count;
                places.extend(named(behind));
            }
            (journal, mended_ops, found) = (mended.journal, mended.operations, mended.left);
        }
        let ok = found.count == 0;
        if ok && matches!(journal.mark(), Some(Mark::Complete { .. })) {
            // Key index and floor are made from the operations; here it is seen that they are what is recorded. The index
            // that is there is not believed.
            storage::forget_index(&journal).map_err(folder::Error::from)?;
            let _: Database = folder.open_database(journal)?;
        }
        Ok(Report {
            ok,
            start: held.start.get(),
            size: held.end.get(),
            damaged,
            mended_ops,
            mended_record,
            places,
        })
    }

    fn mend(&self, folder: &Folder, journal: DiskJournal, found: Findings) -> Result<Mended, Failure> {
        if self.peers.is_empty() && folder.config().network.peers.is_empty() {
            return Err(Failure::usage(
                "nobody to ask: name a node with --peer MULTIADDR, or in `network.peers`",
            ));
        }
        let runtime = runtime()?;
        let mended = runtime.block_on(mending::mend(folder, journal, found, self.peers.clone()));
        runtime.shutdown_timeout(Duration::from_secs(5));
        mended.map_err(|error| Failure::of(Exit::Failed, &error))
    }
}

fn named(found: &Findings) -> impl Iterator<Item = PlaceJson> {
    found.places.iter().map(|place| PlaceJson {
        file: place.path.display().to_string(),
        offset: place.offset,
        what: place.what.clone(),
    })
}
