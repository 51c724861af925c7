//! The task that drives the swarm.

mod checkpoints;
mod found;
mod reasons;
mod relayed;

pub(super) use checkpoints::Checkpoints;
use reasons::{dial_reason, transport_reason};

use super::behaviour::{Behaviour, BehaviourEvent, incoming, topic};
use super::finding::Finding;
use super::gate::Rule;
use super::known::AddressFile;
use super::measured;
use super::places::Places;
use super::reach::Reach;
use super::relays::Relays;
use super::{Error, Suspect, View};
use crate::config;
use crate::dialing::Dialing;
use cordee_resolver_p2p::Event;
use futures::StreamExt;
use libp2p::core::transport::ListenerId;
use libp2p::gossipsub::{self, IdentTopic};
use libp2p::metrics::{Metrics, Recorder};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{Multiaddr, PeerId, Swarm};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

/// The listener has named all interfaces when it has said nothing for so long.
const QUIET: Duration = Duration::from_millis(50);

pub(super) struct Drive {
    swarm: Swarm<Behaviour>,
    /// What may be dialled.
    rule: Rule,
    dialing: Dialing,
    places: Places<PeerId>,
    finding: Finding<PeerId>,
    search: found::Search,
    remembering: found::Remembering,
    relays: Relays<ListenerId>,
    /// How near each connected peer is.
    links: BTreeMap<PeerId, Reach>,
    /// The network's name.
    network: String,
    /// Whether addresses behind a relay can be dialled.
    circuits: bool,
    /// Where the operator says that others reach this node.
    external: Vec<Multiaddr>,
    is_relay: bool,
    view: watch::Sender<View>,
    metrics: Metrics,
    checkpoints: Checkpoints,
    topic: IdentTopic,
    rounds: checkpoints::Rounds,
}

impl Drive {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        rule: Rule,
        config: &config::Network,
        metrics: Metrics,
        checkpoints: Checkpoints,
        known: AddressFile,
    ) -> Self {
        let now = Instant::now();
        let dialing = Dialing::new(now, config.peers.iter().cloned(), rand::random());
        let (target, most) = (config.target_peers.get(), config.max_connections.get());
        let mut finding = Finding::new(target as usize, most as usize, rand::random());
        if config.discovery {
            for (peer, addresses) in known.load() {
                finding.on_found(now, peer, addresses);
            }
        }
        Self {
            swarm,
            rule,
            dialing,
            places: Places::new(incoming(config.max_connections.get()) as usize),
            finding,
            remembering: found::Remembering::new(known),
            search: found::Search::new(Instant::now()),
            links: BTreeMap::new(),
            network: config.name.clone(),
            relays: Relays::new(Instant::now(), config.relays.iter().cloned(), rand::random()),
            circuits: config.uses_relays(),
            external: config.external.clone(),
            is_relay: config.relay_server,
            view: watch::Sender::new(View::default()),
            metrics,
            checkpoints,
            topic: topic(&config.name),
            rounds: checkpoints::Rounds::new(Instant::now()),
        }
    }

    pub(super) fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Listen on `addresses`; returns when each is bound.
    pub(super) async fn listen(&mut self, addresses: &[Multiaddr]) -> Result<(), Error> {
        let mut waiting: HashMap<ListenerId, &Multiaddr> = HashMap::new();
        for address in addresses {
            let failed = |error| Error::Listen {
                address: address.clone(),
                reason: transport_reason(&error),
            };
            waiting.insert(self.swarm.listen_on(address.clone()).map_err(failed)?, address);
        }
        while !waiting.is_empty() {
            let event = self.swarm.select_next_some().await;
            match &event {
                SwarmEvent::NewListenAddr { listener_id, .. } => {
                    waiting.remove(listener_id);
                }
                SwarmEvent::ListenerClosed {
                    listener_id, reason, ..
                } => {
                    if let Some(address) = waiting.remove(listener_id) {
                        let reason = reason.as_ref().err().map_or("closed".into(), ToString::to_string);
                        return Err(Error::Listen {
                            address: address.clone(),
                            reason,
                        });
                    }
                }
                _ => {}
            }
            self.on_event(event);
        }
        // An unspecified address becomes one address for each interface, one by one.
        if addresses.iter().any(is_unspecified) {
            while let Ok(event) = timeout(QUIET, self.swarm.select_next_some()).await {
                self.on_event(event);
            }
        }
        self.tell_external();
        Ok(())
    }

    /// Run until told to stop, or until whoever could tell is gone.
    pub(super) async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            self.dial();
            self.dial_found();
            if self.finding.coming(Instant::now()) != self.view.borrow().coming {
                self.tell_missing();
            }
            self.look_for_peers();
            self.remember();
            self.ask_relays();
            self.make_room();
            self.ask_somebody();
            let wakes = [
                self.dialing.poll_timeout(),
                self.places.poll_timeout(),
                self.finding.poll_timeout(),
                Some(self.search.at()),
                self.remembering.poll_timeout(),
                self.relays.poll_timeout(),
                Some(self.rounds.at()),
            ];
            let wake = wakes.into_iter().flatten().min();
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = &mut stopped => return,
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(signed) = self.checkpoints.announced.recv() => self.announce(signed),
                () = sleep => {}
            }
        }
    }

    /// Disconnect who takes a place for nothing.
    fn make_room(&mut self) {
        for peer in self.places.to_close(Instant::now()) {
            tracing::debug!(%peer, "disconnected, as it told no status and places are few");
            // It may have gone by itself.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn dial(&mut self) {
        let now = Instant::now();
        let due = self.dialing.due(now);
        if due.is_empty() {
            return;
        }
        for (route, address) in due {
            if let Some(peer) = self
                .dialing
                .peer(route)
                .filter(|peer| self.swarm.is_connected(peer))
            {
                self.dialing.on_already(route, peer);
                continue;
            }
            self.rule.lock().vet(now, std::slice::from_ref(&address));
            let options = DialOpts::from(address);
            let connection = options.connection_id();
            match self.swarm.dial(options) {
                Ok(()) => self.dialing.on_dialing(route, connection),
                Err(error) => self.dialing.on_refused(now, route, &dial_reason(&error)),
            }
        }
        self.tell_missing();
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        if measured::is_bounded(&event) {
            self.metrics.record(&event);
        }
        let now = Instant::now();
        match event {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                tracing::info!(%address, "listening");
                self.relays.on_open(listener_id);
                self.view.send_modify(|view| view.listen.push(address));
            }
            SwarmEvent::ListenerClosed {
                listener_id, reason, ..
            } => self.on_listener_closed(now, listener_id, reason),
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.view
                    .send_modify(|view| view.listen.retain(|other| *other != address));
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                num_established,
                ..
            } => {
                tracing::info!(peer = %peer_id, address = %endpoint.get_remote_address(), "connected");
                self.dialing.on_connected(connection_id, peer_id);
                if endpoint.is_listener() {
                    self.places.on_made(now, peer_id);
                } else {
                    self.places.on_useful(peer_id);
                }
                self.view.send_modify(|view| {
                    view.connected.entry(peer_id).or_default();
                });
                self.tell_missing();
                if num_established.get() == 1 {
                    self.on_link(peer_id, endpoint.get_remote_address());
                    self.finding.on_connected(now, peer_id, endpoint.is_dialer());
                    self.ask(peer_id);
                }
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established,
                endpoint,
                cause,
                ..
            } => {
                if endpoint.is_listener() {
                    self.places.on_gone(peer_id);
                }
                if num_established > 0 {
                    return;
                }
                tracing::info!(peer = %peer_id, cause = cause.map(tracing::field::display), "disconnected");
                self.dialing.on_disconnected(now, peer_id);
                self.finding.on_disconnected(now, peer_id);
                self.on_unlink(&peer_id);
                if let Some(believing) = &self.checkpoints.believing {
                    believing.on_disconnected(&peer_id);
                }
                // First, as somebody who is neither connected nor missing would not be waited for.
                self.tell_missing();
                self.view.send_modify(|view| {
                    view.connected.remove(&peer_id);
                    view.ready.remove(&peer_id);
                });
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id,
                error,
            } => {
                let reason = dial_reason(&error);
                tracing::debug!(
                    peer = peer_id.map(tracing::field::display),
                    reason,
                    "could not connect"
                );
                self.dialing.on_failed(now, connection_id, &reason);
                if let Some(peer) = peer_id {
                    self.finding.on_failed(now, peer);
                }
                self.tell_missing();
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => {
                self.metrics
                    .record(measured::bounded(&event).as_ref().unwrap_or(&event));
                self.on_identify(event);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Kad(event)) => {
                self.metrics.record(&event);
                self.on_kad(event);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(event)) => self.on_mdns(event),
            SwarmEvent::Behaviour(BehaviourEvent::Relay(event)) => self.metrics.record(&event),
            SwarmEvent::Behaviour(BehaviourEvent::Dcutr(event)) => {
                self.metrics.record(&event);
                tracing::debug!(?event, "tried to go on without a relay");
            }
            SwarmEvent::ExternalAddrConfirmed { address } => self.on_external(address),
            SwarmEvent::ExternalAddrExpired { address } => {
                self.view
                    .send_modify(|view| view.external.retain(|other| *other != address));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => self.metrics.record(&event),
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => {
                self.metrics.record(&event);
                if let gossipsub::Event::Message {
                    propagation_source,
                    message_id,
                    message,
                } = event
                {
                    self.on_gossip(propagation_source, &message_id, &message.data);
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Asking(event)) => self.on_asking(event),
            SwarmEvent::Behaviour(BehaviourEvent::Sync(event)) => self.on_sync(event),
            _ => {}
        }
    }

    fn on_sync(&mut self, event: Event) {
        match event {
            Event::Ready { peer, status } => {
                tracing::debug!(%peer, size = %status.size, "a peer told what it serves");
                self.dialing.on_good(peer);
                self.finding.on_good(peer);
                self.remembering.on_change(Instant::now());
                self.places.on_useful(peer);
                self.judge(peer, None);
            }
            Event::Rejected { peer, reason } => {
                tracing::warn!(%peer, reason, "a peer will not be asked");
                self.places.on_useless(Instant::now(), peer);
                self.on_useless(peer);
                self.judge(peer, Some(reason));
            }
            // The behaviour logs what it does to peers.
            Event::TargetSuspect { root, size, peers } => {
                self.view
                    .send_modify(|view| view.suspect = Some(Suspect { root, size, peers }));
            }
            _ => {}
        }
    }

    /// Note whether a connected peer will be asked.
    fn judge(&self, peer: PeerId, rejected: Option<String>) {
        self.view.send_if_modified(|view| {
            let Some(known) = view.connected.get_mut(&peer) else {
                return false;
            };
            let is_other = *known != rejected;
            *known = rejected;
            let is_new = match known {
                None => view.ready.insert(peer),
                Some(_) => view.ready.remove(&peer),
            };
            is_other || is_new
        });
    }

    /// Note who is not connected and may still be.
    fn tell_missing(&self) {
        let (problems, coming) = (self.dialing.problems(), self.finding.coming(Instant::now()));
        self.view
            .send_modify(|view| (view.problems, view.coming) = (problems, coming));
    }
}

fn is_unspecified(address: &Multiaddr) -> bool {
    address.iter().any(|part| match part {
        Protocol::Ip4(ip) => ip.is_unspecified(),
        Protocol::Ip6(ip) => ip.is_unspecified(),
        _ => false,
    })
}
