//! Who signs in a testnet that follows, and the settings by which its nodes know.

use super::Error;
use super::cast::{Part, Role};
use super::node::Place;
use super::report::Trusted;
use crate::folder::Folder;
use crate::process::Program;
use libp2p::identity::Keypair;
use std::io;

/// Signers and how many of them have to agree.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    /// Peer ids.
    signers: Vec<String>,
    /// As many as the publisher has keys.
    threshold: usize,
    /// The publisher's key files.
    keys: String,
    /// Replicas from the first on that sign as well what they hold.
    cosigners: usize,
}

impl Policy {
    /// The publisher, whose folder is there, signs with `keys` keys, all of which have to agree; the first `cosigners` replicas
    /// are signers too. Makes the folders of `copies`.
    pub(super) fn make(
        place: &Place,
        publisher: &Folder,
        copies: &[Part],
        keys: usize,
        cosigners: usize,
    ) -> Result<Self, Error> {
        let id = |pair: &Keypair| pair.public().to_peer_id().to_string();
        let mut signers = vec![id(&publisher.keypair()?)];
        let mut files = vec!["node.key".to_owned()];
        for n in 2..=keys {
            let pair = Keypair::generate_ed25519();
            let bytes = pair.to_protobuf_encoding().map_err(io::Error::other)?;
            let file = format!("signer-{n}.key");
            std::fs::write(publisher.path().join(&file), bytes)?;
            files.push(file);
            signers.push(id(&pair));
        }
        for part in copies {
            let folder = place.make(part)?;
            if is_cosigner(part, cosigners) {
                signers.push(id(&folder.keypair()?));
            }
        }
        Ok(Self {
            signers,
            threshold: keys,
            keys: files.join(","),
            cosigners,
        })
    }

    /// `program` as `part` runs it.
    pub(super) fn of(&self, part: &Part, program: Program) -> Program {
        let program = program
            .with("trust.signers", self.signers.join(","))
            .with("trust.threshold", self.threshold);
        if part.role == Role::Publisher {
            return program
                .with("checkpoint.publish", true)
                .with("checkpoint.keys", &self.keys);
        }
        program.with("checkpoint.cosign", is_cosigner(part, self.cosigners))
    }

    /// What a node has to be told to follow.
    pub(super) fn trusted(&self) -> Trusted {
        Trusted {
            signers: self.signers.clone(),
            threshold: self.threshold,
        }
    }

    /// How many keys there are, and how many have to agree.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.signers.len(), self.threshold)
    }
}

fn is_cosigner(part: &Part, cosigners: usize) -> bool {
    part.role == Role::Replica && part.number <= cosigners
}
