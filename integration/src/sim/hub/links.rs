//! The connections of a node, and what goes over them.

use super::{Hub, Link, Purpose, State};
use crate::sim::net::{NodeId, Transit};
use crate::sim::peer::{self, Reply};
use crate::sim::resolver::Delivery;
use crate::sim::time::locked;
use bytes::Bytes;
use cordee_protocol::Location;
use cordee_protocol::codec::{Decode, Encode};
use cordee_protocol::wire::{Answer, Ask, Status};
use cordee_resolver_p2p::policy::Failure;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long a node waits before it dials again.
pub(super) const REDIAL: Duration = Duration::from_millis(2500);

impl Hub {
    /// Dial `peer`, and again whenever the connection is down.
    pub fn know(self: &Arc<Self>, peer: NodeId, address: Option<IpAddr>) {
        let (up, epoch) = (false, 0);
        locked(&self.state)
            .links
            .insert(peer, Link { address, up, epoch });
        self.dial_after(peer, Duration::ZERO);
    }

    pub(super) fn dial_after(self: &Arc<Self>, peer: NodeId, delay: Duration) {
        let hub = Arc::clone(self);
        self.world.time.after(delay, move || hub.dial(peer));
    }

    fn dial(self: &Arc<Self>, peer: NodeId) {
        let reached = self.world.is_online(peer) && locked(&self.world.net).reaches(self.id, peer);
        if !reached {
            let now = self.world.time.now();
            let mut state = locked(&self.state);
            state.policy.on_unreachable(now, peer);
            self.pump(&mut state);
        }
        if !reached || !Self::admits(&locked(&self.state), peer) {
            return self.dial_after(peer, REDIAL);
        }
        let hub = Arc::clone(self);
        match locked(&self.world.net).send(self.id, peer, 200) {
            Transit::Arrives(at) => drop(self.world.time.at(at, move || hub.on_established(peer))),
            Transit::Breaks(at) => drop(self.world.time.at(at, move || hub.dial(peer))),
        }
    }

    fn on_established(self: &Arc<Self>, peer: NodeId) {
        let mut state = locked(&self.state);
        if !Self::admits(&state, peer) || !self.world.is_online(peer) {
            drop(state);
            return self.dial_after(peer, REDIAL);
        }
        let Some(link) = state.links.get_mut(&peer).filter(|link| !link.up) else {
            return;
        };
        link.up = true;
        link.epoch += 1;
        let address = link.address;
        self.world.log(|| format!("{} connects to {peer}", self.id));
        state.policy.on_connected(self.world.time.now(), peer, address);
        self.pump(&mut state);
    }

    /// The connection to `peer` is down; `own`: this node closed it.
    pub fn on_closed(self: &Arc<Self>, peer: NodeId, own: bool) {
        let mut state = locked(&self.state);
        let Some(link) = state.links.get_mut(&peer).filter(|link| link.up) else {
            return;
        };
        link.up = false;
        link.epoch += 1;
        self.world.log(|| format!("{} loses {peer}", self.id));
        state.policy.on_disconnected(self.world.time.now(), peer, own);
        self.pump(&mut state);
        drop(state);
        self.dial_after(peer, REDIAL);
    }

    pub(super) fn epoch(&self, state: &State, peer: NodeId) -> Option<u64> {
        state
            .links
            .get(&peer)
            .filter(|link| link.up)
            .map(|link| link.epoch)
    }

    pub(super) fn send(self: &Arc<Self>, peer: NodeId, epoch: u64, purpose: Purpose, ask: &Ask) {
        let bytes = ask.to_vec();
        let hub = Arc::clone(self);
        let transit = locked(&self.world.net).send(self.id, peer, bytes.len());
        match transit {
            Transit::Arrives(at) => {
                self.world
                    .time
                    .at(at, move || hub.on_asked(peer, epoch, purpose, &bytes));
            }
            Transit::Breaks(at) => {
                self.world
                    .time
                    .at(at, move || hub.on_broken(peer, epoch, purpose));
            }
        }
    }

    /// The ask is with the peer.
    fn on_asked(self: &Arc<Self>, peer: NodeId, epoch: u64, purpose: Purpose, bytes: &[u8]) {
        let is_current = self.epoch(&locked(&self.state), peer) == Some(epoch);
        let Some(server) = self.world.peer(peer).filter(|_| is_current) else {
            return;
        };
        if let (Purpose::Status, Ok(ask)) = (purpose, Ask::from_slice(bytes)) {
            self.world.greet(self.id, peer, &ask);
        }
        match server.ask(bytes) {
            Reply::Nothing => {}
            Reply::Close => self.on_closed(peer, false),
            Reply::Answer(frame, thinks) => {
                let hub = Arc::clone(self);
                let answers = move || {
                    let bytes = frame.join();
                    let transit = locked(&hub.world.net).send(peer, hub.id, bytes.len());
                    let (time, hub) = (hub.world.time.clone(), Arc::clone(&hub));
                    match transit {
                        Transit::Arrives(at) => {
                            time.at(at, move || hub.on_answered(peer, epoch, purpose, bytes))
                        }
                        Transit::Breaks(at) => time.at(at, move || hub.on_broken(peer, epoch, purpose)),
                    };
                };
                self.world.time.after(thinks, answers);
            }
        }
    }

    fn on_broken(self: &Arc<Self>, peer: NodeId, epoch: u64, purpose: Purpose) {
        let mut state = locked(&self.state);
        if self.epoch(&state, peer) != Some(epoch) {
            return;
        }
        let now = self.world.time.now();
        match purpose {
            Purpose::Status => state.policy.on_status_failed(now, peer, false),
            Purpose::Range(attempt) => state.policy.on_failed(now, peer, attempt, Failure::Broken),
        }
        self.pump(&mut state);
    }

    /// The answer is here.
    fn on_answered(self: &Arc<Self>, peer: NodeId, epoch: u64, purpose: Purpose, bytes: Bytes) {
        let mut state = locked(&self.state);
        if self.epoch(&state, peer) != Some(epoch) {
            return;
        }
        let now = self.world.time.now();
        match purpose {
            Purpose::Status => match status_of(&bytes) {
                Some(status) => state.policy.on_status_answer(now, peer, status),
                None => state.policy.on_status_failed(now, peer, false),
            },
            Purpose::Range(attempt) => {
                state.traffic.received_bytes += bytes.len() as u64;
                if let Some(fetch) = state.policy.on_delivered(now, peer, attempt, bytes.len() as u64) {
                    state.judge.on_delivered(bytes.len());
                    let delivery =
                        state
                            .policy
                            .judged(fetch)
                            .map(|request| Delivery { peer, request, bytes });
                    let waiting = state.waiting.get(&fetch);
                    let sent = delivery
                        .zip(waiting)
                        .is_some_and(|(delivery, waiting)| waiting.try_send(delivery).is_ok());
                    if !sent {
                        state.policy.on_withdraw(now, fetch);
                    }
                }
            }
        }
        self.pump(&mut state);
    }
}

fn status_of(bytes: &Bytes) -> Option<Status> {
    let any = peer::status(String::new(), Location::ZERO, Location::ZERO);
    match Answer::decode(bytes, &Ask::Status(any)) {
        Ok(Answer::Status(status)) => Some(status),
        _ => None,
    }
}
