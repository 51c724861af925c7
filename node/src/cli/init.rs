//! `cordee init`: a new node's folder.

use super::{Failure, output};
use crate::config::FILE_NAME;
use crate::folder::Folder;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// Make a node folder: settings with every option and its comment, and a fresh key
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cordee init alps --network alps")]
pub(super) struct Init {
    /// The folder to make; it must not exist, or be empty
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// What the database is
    #[arg(long, default_value = "any-unordered-variable")]
    kind: String,

    /// The network's name; nodes sync only with nodes of the same one
    #[arg(long, default_value = "local")]
    network: String,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Made {
    ok: bool,
    dir: String,
    peer_id: String,
    kind: String,
    network: String,
}

impl Init {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let folder = Folder::create(&self.dir, &self.network, &self.kind)?;
        let made = Made {
            ok: true,
            dir: self.dir.display().to_string(),
            peer_id: folder.keypair()?.public().to_peer_id().to_string(),
            kind: self.kind,
            network: self.network,
        };
        let text = format!(
            "made {dir}: a node of network {network:?}, {peer}\n\
             settings are in {dir}/{FILE_NAME}; next: `cordee import -C {dir} FILE.csv` to publish, or \
             `cordee sync -C {dir} --target ROOT@START..END --peer MULTIADDR` to copy",
            dir = made.dir,
            network = made.network,
            peer = made.peer_id,
        );
        output::result(self.json, &made, &text)
    }
}
