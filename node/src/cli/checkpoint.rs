//! `cordee checkpoint`: sign the root of a database, and look at what others have signed.

mod sign;

use super::{Exit, Failure, FolderArgs, output};
use crate::believing::now;
use crate::checkpoints::{CheckpointFile, read_file};
use crate::folder::Folder;
use crate::signing::name_of;
use crate::trust::{Trust, Verdict};
use clap::{Args, Subcommand};
use cordee_protocol::wire::checkpoint::Signed;
use serde::Serialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Sign the root of this database, or check what others signed
///
/// A checkpoint names a network, a kind, a height and a root with its range, and is signed by some of those whom the network
/// trusts (`[trust]` in the settings). Nodes that have the policy aim at nothing else.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cordee checkpoint sign -C alps alps.checkpoint\n  \
                        cordee checkpoint sign -C mirror --onto alps.checkpoint both.checkpoint\n  \
                        cordee checkpoint verify -C joiner both.checkpoint && cordee sync -C joiner --checkpoint \
                        both.checkpoint --peer /ip4/10.0.0.1/tcp/7370"
)]
pub(super) struct CheckpointArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Sign(sign::Sign),
    Verify(Verify),
    Show(Show),
}

/// Check a checkpoint file against the trust policy of a node
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cordee checkpoint verify -C joiner alps.checkpoint\n\n\
                  Exit codes: 0 the policy accepts it, 1 failed, 2 wrong usage, or there is no policy, 3 it is not accepted."
)]
struct Verify {
    #[command(flatten)]
    folder: FolderArgs,

    /// The checkpoint, as `cordee checkpoint sign` writes it, or in hex
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Print what a checkpoint file says, without checking it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cordee checkpoint show alps.checkpoint --json")]
struct Show {
    /// The checkpoint, as `cordee checkpoint sign` writes it, or in hex
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A checkpoint, for people and scripts.
#[derive(Debug, Serialize)]
struct Shown {
    network: String,
    kind: String,
    height: u64,
    target: String,
    root: String,
    size: u64,
    /// Seconds since 1970-01-01 UTC.
    time: u64,
    signers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<NextShown>,
    /// What the policy makes of it, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    /// So many signatures the policy wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<usize>,
}

#[derive(Debug, Serialize)]
struct NextShown {
    threshold: usize,
    signers: Vec<String>,
}

impl CheckpointArgs {
    pub(super) fn execute(self) -> Result<(), Failure> {
        match self.command {
            Command::Sign(sign) => sign.execute(),
            Command::Verify(verify) => {
                let ended = verify.run();
                let (shown, text) = output::unless_failed(verify.json, ended)?;
                output::result(verify.json, &shown, &text)
            }
            Command::Show(show) => {
                let shown = Shown::of(&read(&show.file)?);
                let text = shown.text();
                output::result(show.json, &shown, &text)
            }
        }
    }
}

impl Verify {
    fn run(&self) -> Result<(Shown, String), Failure> {
        let signed = read(&self.file)?;
        let folder = Folder::open(&self.folder.dir, Ok)?;
        let (shown, _) = accepted(&folder, &signed).map_err(|failure| failure.at(self.file.display()))?;
        let text = format!("accepted\n{}", shown.text());
        Ok((shown, text))
    }
}

impl Shown {
    fn of(signed: &Signed) -> Self {
        let checkpoint = signed.checkpoint();
        Self {
            network: checkpoint.network.clone(),
            kind: checkpoint.kind.clone(),
            height: checkpoint.height,
            target: checkpoint.target.to_string(),
            root: checkpoint.target.root().to_string(),
            size: checkpoint.target.end().get(),
            time: checkpoint.time,
            signers: signed.signatures().keys().map(name_of).collect(),
            next: checkpoint.next.as_ref().map(|next| NextShown {
                threshold: next.threshold(),
                signers: next.keys().iter().map(name_of).collect(),
            }),
            verdict: None,
            threshold: None,
        }
    }

    fn text(&self) -> String {
        let made = UNIX_EPOCH.checked_add(std::time::Duration::from_secs(self.time));
        let made = made.map_or("never".into(), |time| {
            humantime::format_rfc3339_seconds(time).to_string()
        });
        let mut text = format!(
            "height {} of network {:?}, kind {}, made {made}\ntarget {}\nsigned by {}",
            self.height,
            self.network,
            self.kind,
            self.target,
            self.signers.join(", ")
        );
        if let Some(next) = &self.next {
            let (threshold, signers) = (next.threshold, next.signers.join(", "));
            text += &format!("\nabove it sign {threshold} of {signers}");
        }
        text
    }
}

/// The checkpoint as the policy of `folder` accepts it, and what it says.
///
/// # Errors
/// Exit code 2 without a policy, 3 if it is not accepted.
pub(super) fn accept(folder: &Folder, file: &Path) -> Result<Signed, Failure> {
    let signed = read(file)?;
    let (_, trust) = accepted(folder, &signed).map_err(|failure| failure.at(file.display()))?;
    // What was believed before may have more signatures on it.
    Ok(trust.newest().cloned().unwrap_or(signed))
}

fn accepted(folder: &Folder, signed: &Signed) -> Result<(Shown, Trust), Failure> {
    let policy = folder.policy()?.ok_or_else(|| {
        Failure::usage(
            "this node has no trust policy: name the signers in `trust.signers`, and how many have to sign",
        )
    })?;
    let file = CheckpointFile::of(folder);
    let kept = file.load().map_err(|error| damaged(&file, &error))?;
    let mut trust = Trust::new(policy);
    trust.resume(kept.believed);
    let refused = |what: String| Failure::new(Exit::Refused, format!("not accepted: {what}"));
    let verdict = trust.on_signed(now(), signed);
    let mut shown = Shown::of(signed);
    (shown.verdict, shown.threshold) = (Some(verdict.name()), Some(trust.signers().threshold()));
    match verdict {
        Verdict::Accepted => Ok((shown, trust)),
        Verdict::Known { .. }
            if trust
                .newest()
                .is_some_and(|newest| newest.checkpoint() == signed.checkpoint()) =>
        {
            Ok((shown, trust))
        }
        Verdict::Known { .. } => Err(refused("a newer one is accepted here already".into())),
        Verdict::Gathering { have, need } => Err(refused(format!(
            "{have} of {need} signatures; have it signed by more with `cordee checkpoint sign --onto`"
        ))),
        Verdict::Rotated => Err(refused(
            "it is too old to aim at; only its change of signers counts".into(),
        )),
        Verdict::Refused(refusal) => Err(refused(refusal.to_string())),
        Verdict::Fork => {
            let fork = trust.fork().map(ToString::to_string).unwrap_or_default();
            Err(refused(format!(
                "a fork: {fork}. Keep both files, and ask the signers"
            )))
        }
    }
}

fn damaged(file: &CheckpointFile, error: &std::io::Error) -> Failure {
    Failure::failed(format!(
        "cannot read {}: {error}; restore it, or move it away if this node never signs",
        file.path().display()
    ))
}

fn read(path: &Path) -> Result<Signed, Failure> {
    read_file(path).map_err(|error| {
        let text = format!("{}: {error}", path.display());
        match error.kind() {
            ErrorKind::InvalidData => Failure::new(Exit::Refused, text),
            ErrorKind::NotFound => Failure::usage(format!("{text}; `cordee checkpoint sign` writes one")),
            _ => Failure::failed(text),
        }
    })
}
