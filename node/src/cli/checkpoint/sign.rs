//! `cordee checkpoint sign`: put this node's name under a root that it holds.

use super::{FolderArgs, Shown, damaged, read};
use crate::believing::now;
use crate::checkpoints::{CheckpointFile, Kept};
use crate::cli::{Failure, output};
use crate::folder::{self, Database, Folder};
use crate::signing::{key_of, sign};
use crate::small_file;
use clap::Args;
use cordee_protocol::codec::Encode;
use cordee_protocol::wire::checkpoint::{Checkpoint, Signers};
use libp2p::PeerId;
use std::path::PathBuf;

/// Sign the root of this database, and write a checkpoint file
///
/// With --onto, sign what somebody else has signed, if this database holds that root: k signatures are then of k holders. A node
/// signs only above what it signed before, so that it never contradicts itself.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cordee checkpoint sign -C alps alps.checkpoint\n  \
                  cordee checkpoint sign -C mirror --onto alps.checkpoint both.checkpoint\n  \
                  cordee checkpoint sign -C alps --next-signer 12D3KooW.. --next-threshold 1 change.checkpoint\n\n\
                  Exit codes: 0 signed, 1 failed, 2 wrong usage, or it is not this node's to sign."
)]
pub(super) struct Sign {
    #[command(flatten)]
    folder: FolderArgs,

    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// A key to sign with; may be repeated [default: checkpoint.keys, which is node.key]
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,

    /// Add signatures to this checkpoint instead of making one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["height", "next_signers"])]
    onto: Option<PathBuf>,

    /// The height of the new checkpoint [default: one above the highest that is known here]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    height: Option<u64>,

    /// Who signs the checkpoints above this one; may be repeated, replaces all who sign now
    #[arg(long = "next-signer", value_name = "PEER_ID", requires = "next_threshold")]
    next_signers: Vec<PeerId>,

    /// How many of them have to sign
    #[arg(long, value_name = "K", requires = "next_signers")]
    next_threshold: Option<usize>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Sign {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let ended = self.run();
        let shown = output::unless_failed(self.json, ended)?;
        let text = format!("{}\nwritten to {}", shown.text(), self.file.display());
        output::result(self.json, &shown, &text)
    }

    fn run(&self) -> Result<Shown, Failure> {
        let folder = Folder::open(&self.folder.dir, Ok)?;
        let keys = folder.signing_keys(&self.keys)?;
        let database = folder.existing()?;
        let store = CheckpointFile::of(&folder);
        let mut kept = store.load().map_err(|error| damaged(&store, &error))?;
        let base = self.onto.as_deref().map(read).transpose()?;
        let checkpoint = match &base {
            Some(base) => {
                held(&folder, &database, base.checkpoint())?;
                base.checkpoint().clone()
            }
            None => self.new_checkpoint(&folder, &database, &kept)?,
        };
        if !kept.may_sign(&checkpoint) {
            let last = kept.signed.as_ref().map_or(0, |last| last.checkpoint().height);
            return Err(Failure::usage(format!(
                "height {} with size {} is not above height {last}, the last one that was signed here: this node does not \
                 contradict itself",
                checkpoint.height,
                checkpoint.target.end()
            )));
        }
        let signed = sign(checkpoint, &keys)
            .ok_or_else(|| Failure::usage("no key to sign with: name one with --key"))?;
        let mut whole = signed.clone();
        if let Some(base) = &base {
            whole.merge(base);
        }
        kept.signed = Some(signed);
        let stored = store.save(&kept);
        stored
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", store.path().display())))?;
        let written = small_file::replace(&self.file, &whole.to_vec());
        written.map_err(|error| Failure::failed(format!("cannot write {}: {error}", self.file.display())))?;
        Ok(Shown::of(&whole))
    }

    fn new_checkpoint(
        &self,
        folder: &Folder,
        database: &Database,
        kept: &Kept,
    ) -> Result<Checkpoint, Failure> {
        let network = &folder.config().network;
        Ok(Checkpoint {
            network: network.name.clone(),
            kind: network.kind.clone(),
            height: self.height.unwrap_or_else(|| kept.height().saturating_add(1)),
            target: database.target(),
            time: now(),
            next: self.next()?,
        })
    }

    fn next(&self) -> Result<Option<Signers>, Failure> {
        let Some(threshold) = self.next_threshold else {
            return Ok(None);
        };
        let key = |peer: &PeerId| {
            key_of(peer).ok_or_else(|| {
                Failure::usage(format!("--next-signer {peer} is not the id of an Ed25519 key"))
            })
        };
        let keys = self.next_signers.iter().map(key).collect::<Result<_, _>>()?;
        let set = Signers::new(threshold, keys);
        set.map(Some).ok_or_else(|| {
            Failure::usage(format!(
                "--next-threshold {threshold}: it is from 1 to the number of signers, and they are at most 16"
            ))
        })
    }
}

/// See that `database` had the checkpoint's root.
fn held(folder: &Folder, database: &Database, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let network = &folder.config().network;
    if (&checkpoint.network, &checkpoint.kind) != (&network.name, &network.kind) {
        return Err(Failure::usage(format!(
            "it is of network {:?} and kind {}, this node of {:?} and {}",
            checkpoint.network, checkpoint.kind, network.name, network.kind
        )));
    }
    let target = &checkpoint.target;
    let root = database.log().proven_root(target.end()).map_err(|error| {
        let error = folder::Error::Database(error.into());
        Failure::from(error).and(format!(
            "only a root that is held here can be signed; sync to {target} first"
        ))
    })?;
    if root != *target.root() {
        return Err(Failure::usage(format!(
            "this database had root {root} at size {}, the checkpoint says {}: it is of another log, and not signed",
            target.end(),
            target.root()
        )));
    }
    Ok(())
}
