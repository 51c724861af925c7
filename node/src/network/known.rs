//! Where peers are, in a file of the node's folder: a node that comes back finds the network though nobody is listed.
//!
//! `addresses.json` has at most [`REMEMBERED`] peers that were of use, of [`ADDRESSES`](super::finding::ADDRESSES) addresses. It is
//! no more than a hint: one that cannot be read is left out.

use super::finding::REMEMBERED;
use crate::folder::Folder;
use crate::small_file;
use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

const FILE: &str = "addresses.json";

/// The format that is written; another one is not read.
const VERSION: u32 = 1;

/// Several times what 64 peers with 8 addresses each need.
const MAX_BYTES: u64 = 256 << 10;

/// The file of one node.
#[derive(Clone, Debug)]
pub(super) struct AddressFile(PathBuf);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    peers: BTreeMap<String, Vec<Multiaddr>>,
}

impl AddressFile {
    /// That of `folder`, whether it is there or not.
    pub(super) fn of(folder: &Folder) -> Self {
        Self(folder.path().join(FILE))
    }

    /// What is remembered.
    pub(super) fn load(&self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.read().unwrap_or_else(|error| {
            tracing::warn!(path = %self.0.display(), %error, "cannot read where peers were");
            Vec::new()
        })
    }

    fn read(&self) -> io::Result<Vec<(PeerId, Vec<Multiaddr>)>> {
        let Some(bytes) = small_file::read(&self.0, MAX_BYTES)? else {
            return Ok(Vec::new());
        };
        let Content { version, peers } = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        if version != VERSION {
            let error = format!("version {version}, {VERSION} is known");
            return Err(io::Error::other(error));
        }
        let read = |(peer, addresses): (String, Vec<Multiaddr>)| Some((peer.parse().ok()?, addresses));
        Ok(peers.into_iter().filter_map(read).take(REMEMBERED).collect())
    }

    /// Remember this instead.
    ///
    /// # Errors
    /// Of the file system.
    pub(super) fn save(&self, peers: &[(PeerId, Vec<Multiaddr>)]) -> io::Result<()> {
        let named = |(peer, addresses): &(PeerId, Vec<Multiaddr>)| (peer.to_string(), addresses.clone());
        let content = Content {
            version: VERSION,
            peers: peers.iter().map(named).collect(),
        };
        let bytes = serde_json::to_vec_pretty(&content).map_err(io::Error::other)?;
        small_file::replace(&self.0, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_peers_are_is_read_again_and_damage_is_left_out() {
        let place = tempfile::tempdir().unwrap();
        let file = AddressFile(place.path().join(FILE));
        assert!(file.load().is_empty());
        let address: Multiaddr = "/ip4/203.0.113.5/tcp/1".parse().unwrap();
        let mut peers: Vec<_> = (0..REMEMBERED)
            .map(|_| (PeerId::random(), vec![address.clone(); 8]))
            .collect();
        peers.sort_by_key(|(peer, _)| peer.to_string());
        file.save(&peers).unwrap();
        assert_eq!(file.load(), peers);
        for damaged in [
            "",
            "{}",
            "{\"version\":2,\"peers\":{}}",
            "{\"version\":1,\"peers\":{\"x\":[\"/ip4/1.2.3.4/tcp/1\"]}}",
            "{\"version\":1,\"peers\":{\"x\":[\"nowhere\"]}}",
        ] {
            std::fs::write(&file.0, damaged).unwrap();
            assert!(file.load().is_empty(), "{damaged}");
        }
        std::fs::write(&file.0, vec![b' '; MAX_BYTES as usize + 1]).unwrap();
        assert!(file.load().is_empty());
    }
}
