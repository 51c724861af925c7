//! `cordee init`: a new node's folder.

use super::{Failure, output};
use crate::config::FILE_NAME;
use crate::folder::{Error, Folder};
use clap::Args;
use cordee_protocol::db::Kind;
use serde::Serialize;
use std::path::PathBuf;

/// Make a node folder: settings with every option and its comment, and a fresh key
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cordee init alps --network alps\n  \
                        cordee init blocks --kind immutable-fixed --value-size 32")]
pub(super) struct Init {
    /// The folder to make; it must not exist, or be empty
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// What the database is: any-unordered, any-ordered, immutable or keyless, each followed by -variable (values of any
    /// length) or -fixed (values of --value-size bytes)
    #[arg(long, default_value = "any-unordered-variable")]
    kind: String,

    /// Bytes of every value, for kinds ending in -fixed; --kind any-unordered-fixed:32 says the same
    #[arg(long, value_name = "BYTES")]
    value_size: Option<usize>,

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
        let kind = Kind::parse(&self.kind, self.value_size).map_err(Error::Kind)?;
        let folder = Folder::create(&self.dir, &self.network, &kind.to_string())?;
        let made = Made {
            ok: true,
            dir: self.dir.display().to_string(),
            peer_id: folder.keypair()?.public().to_peer_id().to_string(),
            kind: kind.to_string(),
            network: self.network,
        };
        let text = format!(
            "made {dir}: a node of network {network:?} with a database of kind {kind}, {peer}\n\
             settings are in {dir}/{FILE_NAME}; next: `cordee import -C {dir} FILE.csv` to publish, or \
             `cordee sync -C {dir} --target ROOT@START..END --peer MULTIADDR` to copy",
            dir = made.dir,
            network = made.network,
            kind = made.kind,
            peer = made.peer_id,
        );
        output::result(self.json, &made, &text)
    }
}
