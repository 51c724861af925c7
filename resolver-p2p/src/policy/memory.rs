//! What outlives a connection and this process: who did what, and whose ban lasts how long (P22).

use super::peer::Peer;
use super::prefix::Prefix;
use super::score::Standing;
use super::{Action, Policy};
use std::time::Duration;

/// A peer as it is remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<P> {
    /// Who.
    pub peer: P,
    /// Its trust, offences and ban.
    pub standing: Standing,
    /// Where it was last connected from.
    pub prefix: Prefix,
}

impl<P: Copy + Ord> Policy<P> {
    /// What is worth keeping, in the order of their names: the banned, and others that lost or won some trust. Bounded
    /// by [`TrustConfig::remembered_banned`](super::config::TrustConfig::remembered_banned) and
    /// [`TrustConfig::remembered`](super::config::TrustConfig::remembered).
    pub fn records(&self, now: Duration) -> Vec<Record<P>> {
        let config = &self.config.trust;
        let known = |(_, peer): &(&P, &Peer)| {
            let standing = &peer.score;
            standing.ban().is_some() || standing.offences() > 0 || standing.points(now, config) != 0.0
        };
        let mut known: Vec<_> = self.peers.iter().filter(known).collect();
        // The banned first, those longest that are banned longest; then those of whom most is known.
        known.sort_by_key(|(_, peer)| {
            let ban = peer.score.ban().map(|ban| ban.until);
            std::cmp::Reverse((ban, peer.score.offences(), peer.verified_bytes))
        });
        let banned = known.partition_point(|(_, peer)| peer.score.ban().is_some());
        let others = known.split_off(banned);
        known.truncate(config.remembered_banned);
        known.extend(others.into_iter().take(config.remembered));
        known.sort_by_key(|(name, _)| **name);
        let record = |(name, peer): (&P, &Peer)| Record {
            peer: *name,
            standing: peer.score.standing(now, config),
            prefix: peer.prefix,
        };
        known.into_iter().map(record).collect()
    }

    /// Take back what was kept. Called before anybody is connected, after [`Self::trust`].
    pub fn restore(&mut self, now: Duration, records: impl IntoIterator<Item = Record<P>>) {
        let config = self.config.trust.clone();
        for record in records {
            let peer = self.peer(now, record.peer);
            peer.prefix = record.prefix;
            peer.score.restore(now, &record.standing, &config);
        }
        self.forget_some();
        self.count_bans();
    }

    /// Who is banned, by prefix: what `SybilConfig::banned_ids` is held against.
    pub(super) fn count_bans(&mut self) {
        self.banned.clear();
        for peer in self.peers.values() {
            if peer.score.ban().is_some() && peer.prefix.is_shared() {
                *self.banned.entry(peer.prefix).or_default() += 1;
            }
        }
    }

    /// Whether so many ids of `prefix` are banned that the rest of them are on probation (P23).
    pub(super) fn is_on_probation(&self, prefix: Prefix) -> bool {
        self.banned.get(&prefix).copied().unwrap_or(0) > self.config.sybil.banned_ids
    }

    /// Keep the number of peers that are not connected bounded: those nearest to nothing known go first.
    pub(super) fn forget_some(&mut self) {
        let config = &self.config.trust;
        let gone = |peer: &Peer| peer.link.is_none() && !peer.score.is_trusted();
        for (banned, keep) in [(true, config.remembered_banned), (false, config.remembered)] {
            let mut forgettable: Vec<_> = (self.peers.iter())
                .filter(|(_, peer)| gone(peer) && peer.score.ban().is_some() == banned)
                .map(|(name, peer)| {
                    let until = peer.score.ban().map(|ban| ban.until);
                    ((until, peer.score.offences(), peer.verified_bytes), *name)
                })
                .collect();
            let excess = forgettable.len().saturating_sub(keep);
            if excess > 0 {
                forgettable.sort_unstable();
                for (_, name) in forgettable.drain(..excess) {
                    self.peers.remove(&name);
                    if banned {
                        // Whoever refuses it on our behalf must not do so for ever.
                        self.actions.push_back(Action::Unban { peer: name });
                    }
                }
            }
        }
    }
}
