//! Who may connect: nobody who is banned, and not too many of one address prefix (P22, P23).

use super::Policy;
use super::peer::Peer;
use super::prefix::Prefix;
use super::score::Ban;
use std::net::IpAddr;

/// Why a peer may not connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It is banned.
    #[error("it is banned: it {}", .0.reason.sentence())]
    Banned(Ban),
    /// So many ids of its address prefix are banned that one of the rest at a time must do.
    #[error("many ids of {0} are banned, and another one is connected from there")]
    Probation(Prefix),
    /// Its address prefix has its share of the connections.
    #[error("{0} has its share of the connections")]
    Crowded(Prefix),
}

impl<P: Copy + Ord> Policy<P> {
    /// Whether `peer` may connect from `address`, or be dialled there; `None` if that is not known.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit(&self, peer: &P, address: Option<IpAddr>) -> Result<(), Denied> {
        let known = self.peers.get(peer);
        if let Some(ban) = known.and_then(|known| known.score.ban().filter(|_| !known.is_let_in())) {
            return Err(Denied::Banned(ban));
        }
        let prefix = Prefix::of(address);
        let connected = known.is_some_and(|known| known.link.is_some());
        let exempt = connected || known.is_some_and(|known| known.score.is_trusted());
        if !prefix.is_shared() || exempt {
            return Ok(());
        }
        self.has_place(prefix)
    }

    /// Whether somebody may connect from `address`, before it has said who it is: a handshake costs more than to refuse one. As
    /// long as a configured peer is not connected, it may be that one.
    ///
    /// # Errors
    /// [`Denied::Probation`], [`Denied::Crowded`].
    pub fn admit_address(&self, address: Option<IpAddr>) -> Result<(), Denied> {
        let prefix = Prefix::of(address);
        let expected = |peer: &Peer| peer.link.is_none() && peer.score.is_trusted();
        if !prefix.is_shared() || self.peers.values().any(expected) {
            return Ok(());
        }
        self.has_place(prefix)
    }

    /// Whether a prefix whose addresses may be one person's has room for one more connection.
    fn has_place(&self, prefix: Prefix) -> Result<(), Denied> {
        let neighbours = (self.peers.values())
            .filter(|peer| peer.link == Some(prefix))
            .count();
        if self.is_on_probation(prefix) && neighbours > 0 {
            return Err(Denied::Probation(prefix));
        }
        let sybil = &self.config.sybil;
        let most = sybil.connections.map(|all| {
            let share = all.get() as f64 * sybil.share.clamp(0.0, 1.0);
            (share as usize).max(1)
        });
        match most {
            Some(most) if neighbours >= most => Err(Denied::Crowded(prefix)),
            _ => Ok(()),
        }
    }
}
