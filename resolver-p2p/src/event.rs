//! What a behaviour tells.

use crate::policy::Offence;
use cordee_protocol::wire::Status;
use cordee_protocol::{Digest, Location};
use libp2p::PeerId;
use std::time::Duration;

/// What a [`Behaviour`](crate::Behaviour) tells its user.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A peer of our network told what it serves, for the first time or anew.
    Ready {
        /// Who.
        peer: PeerId,
        /// What it serves. A claim, not a proof.
        status: Status,
    },
    /// A peer will not be asked.
    Rejected {
        /// Who.
        peer: PeerId,
        /// A sentence, like: serves network "a", this node is on "b".
        reason: String,
    },
    /// A peer was disconnected, and is refused for a while.
    Banned {
        /// Who.
        peer: PeerId,
        /// What for.
        reason: Offence,
        /// For how long.
        left: Duration,
    },
    /// A banned peer is let in to be asked for one operation, as nobody else is left. Connect to it if you know where it
    /// is; it was dialled already where it was dialled before.
    Paroled {
        /// Who.
        peer: PeerId,
    },
    /// A peer is refused no longer.
    Unbanned {
        /// Who.
        peer: PeerId,
    },
    /// Answers of every peer fail under this root: it is probably wrong. Nobody was banned for it.
    TargetSuspect {
        /// The root.
        root: Digest,
        /// The operations that it should be over.
        size: Location,
        /// Who failed.
        peers: Vec<PeerId>,
    },
}
