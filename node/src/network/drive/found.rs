//! What the task does to find peers, and with those that are found.

use super::super::discovery::protocol;
use super::super::known::AddressFile;
use super::super::reach::{Reach, of_peer};
use super::Drive;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, identify, kad, mdns};
use std::time::{Duration, Instant};

/// How often a walk goes out while more peers are wanted; a listed peer that is lost is looked for as often.
const WALK_EVERY: Duration = Duration::from_secs(5);

/// How many fruitless walks there are before they become rare.
const WALKS: u32 = 6;

/// How often otherwise.
const WALK_SELDOM: Duration = Duration::from_secs(120);

/// When to look for peers.
pub(super) struct Search {
    at: Instant,
    fruitless: u32,
}

impl Search {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            at: now + WALK_EVERY,
            fruitless: 0,
        }
    }

    /// When to look next.
    pub(super) fn at(&self) -> Instant {
        self.at
    }
}

/// How soon after a change it is written where peers are.
const REMEMBER_AFTER: Duration = Duration::from_secs(1);

/// How often that is written at most.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);

/// When to write where peers are.
pub(super) struct Remembering {
    file: AddressFile,
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Remembering {
    pub(super) fn new(file: AddressFile) -> Self {
        Self {
            file,
            last: None,
            due: None,
        }
    }

    /// A peer was of use.
    pub(super) fn on_change(&mut self, now: Instant) {
        let soon = now + REMEMBER_AFTER;
        let seldom = self.last.map_or(soon, |last| last + REMEMBER_EVERY);
        self.due.get_or_insert(soon.max(seldom));
    }

    /// When to write next, if ever.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }
}

impl Drive {
    /// Dial those that were found, as many as are wanted; close what is too many.
    pub(super) fn dial_found(&mut self) {
        let now = Instant::now();
        for (peer, addresses) in self.finding.due(now) {
            self.rule.lock().vet(now, &addresses);
            let options = DialOpts::peer_id(peer)
                .addresses(addresses)
                .condition(PeerCondition::DisconnectedAndNotDialing);
            if let Err(error) = self.swarm.dial(options.build()) {
                tracing::debug!(%peer, %error, "a found peer is not dialled");
                self.finding.on_failed(now, peer);
            }
        }
        for peer in self.finding.surplus(now, |peer| self.dialing.is_listed(peer)) {
            tracing::debug!(%peer, "disconnected, as more peers than wanted are connected");
            // It may have gone by itself.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    /// Walk through the network, to somewhere at random; and ask it for listed peers that are not where they were.
    pub(super) fn look_for_peers(&mut self) {
        let now = Instant::now();
        if self.search.at > now {
            return;
        }
        let lost = self.dialing.lost().next().is_some();
        let is_short = self.finding.is_short();
        let often = lost || (is_short && self.search.fruitless < WALKS);
        self.search.at = now + if often { WALK_EVERY } else { WALK_SELDOM };
        self.search.fruitless += 1;
        let Some(kad) = self.swarm.behaviour_mut().kad.as_mut() else {
            return;
        };
        if kad.iter_queries().next().is_some() {
            // One at a time.
            return;
        }
        if is_short {
            kad.get_closest_peers(PeerId::random());
        }
        for peer in self.dialing.lost() {
            kad.get_closest_peers(peer);
        }
    }

    /// Write where peers are, so that a node which comes back finds the others though nobody is listed.
    pub(super) fn remember(&mut self) {
        let now = Instant::now();
        if self.remembering.due.is_none_or(|due| due > now) {
            return;
        }
        (self.remembering.due, self.remembering.last) = (None, Some(now));
        let (file, good) = (self.remembering.file.clone(), self.finding.good());
        // One at a time, as they are a minute apart; each is whole.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = file.save(&good) {
                tracing::debug!(%error, "it could not be written where peers are");
            }
        });
    }

    /// A peer told where it listens.
    pub(super) fn on_identify(&mut self, event: identify::Event) {
        let identify::Event::Received { peer_id, info, .. } = event else {
            return;
        };
        let Some(from) = self.links.get(&peer_id).copied() else {
            return;
        };
        let addresses = of_peer(&peer_id, &info.listen_addrs, from, self.circuits);
        if let Some(kad) = self.swarm.behaviour_mut().kad.as_mut() {
            // What it told before no longer counts: the table stays as small as it is meant to be.
            kad.remove_peer(&peer_id);
            if info.protocols.contains(&protocol(&self.network)) {
                for address in &addresses {
                    kad.add_address(&peer_id, address.clone());
                }
            }
        }
        self.found(peer_id, addresses);
        self.remembering.on_change(Instant::now());
    }

    pub(super) fn on_kad(&mut self, event: kad::Event) {
        let kad::Event::OutboundQueryProgressed {
            result: kad::QueryResult::GetClosestPeers(result),
            ..
        } = event
        else {
            return;
        };
        let peers = match result {
            Ok(found) => found.peers,
            Err(kad::GetClosestPeersError::Timeout { peers, .. }) => peers,
        };
        let own = *self.swarm.local_peer_id();
        for peer in peers.into_iter().filter(|peer| peer.peer_id != own) {
            let addresses = of_peer(&peer.peer_id, &peer.addrs, self.nearest(), self.circuits);
            // A connected peer has told where it is by itself.
            if !self.swarm.is_connected(&peer.peer_id) {
                self.found(peer.peer_id, addresses);
            }
        }
    }

    pub(super) fn on_mdns(&mut self, event: mdns::Event) {
        let mdns::Event::Discovered(all) = event else {
            // Where it no longer is will be seen when it is dialled.
            return;
        };
        let mut all: Vec<_> = all;
        all.sort();
        for told in all.chunk_by(|(a, _), (b, _)| a == b) {
            let peer = told[0].0;
            let addresses: Vec<_> = told.iter().map(|(_, address)| address.clone()).collect();
            // Anybody of the local network can say anything: no address of this machine.
            let addresses = of_peer(&peer, &addresses, Reach::Local, false);
            if !self.swarm.is_connected(&peer) {
                self.found(peer, addresses);
            }
        }
    }

    /// A peer is of another network: one that was found has no place here.
    pub(super) fn on_useless(&mut self, peer: PeerId) {
        self.finding.on_useless(Instant::now(), peer);
        if self.finding.is_dialled(&peer) && !self.dialing.is_listed(&peer) {
            // It may have gone by itself.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    /// Note from how far a peer is connected.
    pub(super) fn on_link(&mut self, peer: PeerId, remote: &Multiaddr) {
        let reach = Reach::of(remote).unwrap_or(Reach::Anywhere);
        self.links.insert(peer, reach);
        self.rule.lock().set_nearest(self.nearest());
        self.search.fruitless = 0;
    }

    /// It no longer is.
    pub(super) fn on_unlink(&mut self, peer: &PeerId) {
        self.links.remove(peer);
        self.rule.lock().set_nearest(self.nearest());
    }

    fn found(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        self.dialing.on_found(peer, &addresses);
        self.finding.on_found(Instant::now(), peer, addresses);
    }

    /// The nearest that anybody is: what third parties tell is not dialled nearer.
    fn nearest(&self) -> Reach {
        self.links.values().copied().min().unwrap_or(Reach::Anywhere)
    }
}
