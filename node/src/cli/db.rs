//! `cordee db`: logs and proofs as JSON, for comparing implementations; records of syncs; checks of what is stored.

mod check;
mod replay;

use super::apply::read;
use super::{Exit, Failure, FolderArgs, output};
use crate::claims::{self, ClaimJson};
use crate::folder::{self, Folder};
use crate::script::{self, Script};
use clap::{Args, Subcommand};
use cordee_protocol::Location;
use cordee_protocol::db::Claim;
use cordee_protocol::db::claim::Refusal;
use serde::Serialize;

/// Logs and proofs as JSON: replay a script, prove a part of a log, verify a proof; replay the record of a sync; check and mend what is stored
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cordee db script writes.json\n  cordee db prove -C alps --size 100 --start 90 --max-ops 10 \
                        | cordee db verify -"
)]
pub(super) struct DbArgs {
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Debug, Subcommand)]
enum DbCommand {
    Script(ScriptArgs),
    Prove(ProveArgs),
    Verify(VerifyArgs),
    Replay(replay::Replay),
    Check(check::Check),
}

impl DbArgs {
    pub(super) fn execute(self) -> Result<(), Failure> {
        match self.command {
            DbCommand::Script(script) => script.execute(),
            DbCommand::Prove(prove) => prove.execute(),
            DbCommand::Verify(verify) => verify.execute(),
            DbCommand::Replay(replay) => replay.execute(),
            DbCommand::Check(check) => check.execute(),
        }
    }
}

/// Replay a script of batches on a fresh database, and print what each commit adds to the log
///
/// One JSON line a commit, {"size","floor","root","ops":[hex,...]}, the first for the initial commit; then one for each
/// proof that the script asks for, {"kind","root","size","start","leaves","digests","ops","pinned"}, which `cordee db
/// verify` reads. Nothing is printed unless everything can be. Errors name batch and entry like batches[0].writes[2],
/// counted from 0. The database is real, in a temporary folder that is removed.
///
/// The script is {"kind":K,"value_size":N,"batches":[{"writes":[["put",hexkey,hexvalue] | ["delete",hexkey] |
/// ["append",hexvalue],...],"metadata":hex or null},...],"prove":[{"size":N,"start":A,"max_ops":M,"pinned":true},...]};
/// value_size is for kinds ending in -fixed.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  echo '{\"kind\":\"keyless-variable\",\"batches\":[{\"writes\":[[\"append\",\"00ff\"]]}],\
                        \"prove\":[{\"size\":3,\"start\":1,\"max_ops\":1}]}' | cordee db script -\n\n\
                        Exit codes: 0 replayed, 1 a key of an immutable database is set again, or the disk would not, \
                        2 the script is wrong."
)]
struct ScriptArgs {
    /// The script; - is standard input
    #[arg(value_name = "FILE|-")]
    file: String,

    /// Changes nothing: the output is JSON lines in any case
    #[arg(long)]
    json: bool,
}

/// Print a proof of operations START..min(SIZE, START + MAX_OPS), as the log was with SIZE operations
///
/// The output is one JSON object, {"kind","root","size","start","leaves","digests","ops","pinned"}: what `cordee db verify`
/// reads. SIZE need not be the end of a commit.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cordee db prove -C alps --size 100 --start 90 --max-ops 10 --pinned")]
struct ProveArgs {
    #[command(flatten)]
    folder: FolderArgs,

    /// How many operations the log had
    #[arg(long)]
    size: u64,

    /// The first location to prove
    #[arg(long)]
    start: u64,

    /// How many operations to prove, at most
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    max_ops: u64,

    /// Add the pinned nodes at START, with which a log can be continued from there
    #[arg(long)]
    pinned: bool,

    /// Changes nothing: the output is JSON in any case
    #[arg(long)]
    json: bool,
}

/// Check a proof, its operations and its pinned nodes against the root in it
///
/// What is proven: these operations stand at these locations of the log with this root; whether that is the root you trust
/// is for you to compare, and so is the kind, which a root does not bind. Pinned nodes are checked if there is a list of them, also an empty one.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cordee db prove -C alps --size 100 --start 90 --max-ops 10 | cordee db verify -\n\n\
                        Exit codes: 0 proven, 2 FILE is not JSON of the shape that `cordee db prove` prints, 3 not proven."
)]
struct VerifyArgs {
    /// One JSON object; - is standard input
    #[arg(value_name = "FILE|-")]
    file: String,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verified {
    ok: bool,
    kind: String,
    root: String,
    size: u64,
    start: u64,
    ops: usize,
    pinned: Option<usize>,
}

impl ScriptArgs {
    fn execute(self) -> Result<(), Failure> {
        let (text, name) = read(&self.file)?;
        let script = Script::parse(&text).map_err(|error| Failure::from(error).at(&name))?;
        for note in &script.notes {
            output::note(&format!("{name}: {note}"));
        }
        let folder = tempfile::Builder::new().prefix("cordee-script-").tempdir();
        let folder = folder.map_err(|error| {
            Failure::failed(format!(
                "cannot make a temporary folder: {error}; set TMPDIR to one that can be written"
            ))
        })?;
        let ended = script.run(folder.path(), |line| output::result(true, line, ""));
        ended.map_err(|failure| failure.at(&name))
    }
}

impl ProveArgs {
    fn execute(self) -> Result<(), Failure> {
        let database = Folder::open(&self.folder.dir, Ok)?.existing()?;
        let held = database.log().bounds();
        let (size, start) = (self.size, self.start);
        if start >= size {
            return Err(Failure::usage(format!(
                "--start {start} is not below --size {size}"
            )));
        }
        let asked = Location::new(size)
            .filter(|&size| size <= held.end)
            .zip(Location::new(start));
        let (size, start) = asked.ok_or_else(|| {
            Failure::usage(format!(
                "--size {size} is above the log's {} operations",
                held.end
            ))
        })?;
        if start < held.start {
            return Err(Failure::failed(format!(
                "location {start} is not held here: this log begins at {}; ask a node that holds more",
                held.start
            )));
        }
        let claim =
            Claim::of(&database, size, start, self.max_ops, self.pinned).map_err(folder::Error::from)?;
        output::result(true, &ClaimJson::from(claim), "")
    }
}

impl VerifyArgs {
    fn execute(self) -> Result<(), Failure> {
        output::unless_failed(self.json, self.check()).and_then(|verified| {
            let Verified { kind, root, size, start, ops, .. } = &verified;
            let end = start + *ops as u64;
            let pinned = match verified.pinned {
                Some(0) => "; no pinned nodes are needed".into(),
                Some(_) => format!("; the pinned nodes are the peaks at {start}"),
                None => String::new(),
            };
            let text = format!(
                "proven: {ops} operations, read as kind {kind}, stand at {start}..{end} of the log with {size} operations \
                 and root {root}{pinned}"
            );
            output::result(self.json, &verified, &text)
        })
    }

    fn check(&self) -> Result<Verified, Failure> {
        let (text, name) = read(&self.file)?;
        let claim = ClaimJson::parse(&text).map_err(|error| Failure::from(error).at(&name))?;
        let kind = claim
            .check()
            .map_err(|refusal| Failure::from(refusal).at(&name))?;
        Ok(Verified {
            ok: true,
            kind: kind.to_string(),
            root: claim.root.to_string(),
            size: claim.size,
            start: claim.start,
            ops: claim.operations.len(),
            pinned: claim.pinned.as_ref().map(Vec::len),
        })
    }
}

impl From<script::Error> for Failure {
    fn from(error: script::Error) -> Self {
        let exit = if error.is_usage() {
            Exit::Usage
        } else {
            Exit::Failed
        };
        Self::of(exit, &error)
    }
}

impl From<claims::Error> for Failure {
    fn from(error: claims::Error) -> Self {
        Self::of(Exit::Usage, &error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::of(Exit::Refused, &refusal).at("not proven")
    }
}
