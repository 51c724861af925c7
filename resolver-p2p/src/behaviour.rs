//! The behaviour: swarm events to policy events, policy actions to swarm commands. Decides nothing.

mod actions;
mod outcomes;

use crate::codec::Codec;
use crate::config::Config;
use crate::event::Event;
#[cfg(feature = "lies")]
use crate::manner::HungUp;
use crate::metrics::Metrics;
use crate::policy::{AttemptId, Denied, Policy};
use crate::reputation::{Keeper, Reputation};
use crate::resolver::Resolver;
use crate::serve::{Incoming, Reply, Sent, Serving};
use crate::shared::{Shared, Verdict, since_1970};
use bytes::Bytes;
use cordee_protocol::codec::{Decode, Encode};
use cordee_protocol::sync::serve::Source;
use cordee_protocol::wire::{Ask, Frame, PROTOCOL, Status};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use libp2p::PeerId;
use libp2p::core::{ConnectedPoint, Endpoint, Multiaddr, transport::PortUse};
#[cfg(feature = "lies")]
use libp2p::request_response::InboundFailure;
use libp2p::request_response::{self, Message, OutboundFailure, OutboundRequestId, ProtocolSupport};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, DialFailure};
use libp2p::swarm::{
    ConnectionDenied, ConnectionError, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub use outcomes::ip_of;
use outcomes::{failure, is_unsupported, status_of};

type Inner = request_response::Behaviour<Codec>;

/// Asks and serves the peers of a swarm.
pub struct Behaviour {
    inner: Inner,
    shared: Arc<Shared>,
    serving: Serving,
    /// What the asks under way are for.
    asked: HashMap<OutboundRequestId, (PeerId, Purpose)>,
    verdicts: FuturesUnordered<Verdict>,
    timer: Option<(Duration, Pin<Box<tokio::time::Sleep>>)>,
    /// Peers to be asked for their status, once our own is known.
    greet: Vec<PeerId>,
    own_status: Option<BoxFuture<'static, Status>>,
    out: VecDeque<ToSwarm<Event, THandlerInEvent<Inner>>>,
    keeper: Option<Keeper>,
    /// Where peers were dialled that are connected or banned: for when they are let in again.
    homes: HashMap<PeerId, Multiaddr>,
    /// Whether the number of peers in some state may have changed.
    states_changed: bool,
    metrics: Metrics,
}

#[derive(Clone, Copy)]
enum Purpose {
    Status,
    Range(AttemptId),
}

/// Why a connection is refused.
#[derive(Debug, thiserror::Error)]
#[error("peer {peer} is refused: {denied}")]
struct Refused {
    peer: PeerId,
    denied: Denied,
}

impl Behaviour {
    /// A behaviour that serves `source`, or nothing.
    pub fn new(config: Config, source: Option<Arc<dyn Source>>, metrics: Metrics) -> Self {
        let settings = request_response::Config::default()
            .with_request_timeout(config.request_timeout)
            .with_max_concurrent_streams(config.max_concurrent_streams);
        let protocols = [(PROTOCOL, ProtocolSupport::Full)];
        let empty = Status {
            network: config.network.clone(),
            kind: config.kind.clone(),
            ..Status::default()
        };
        let open = config.policy.fetch.open.get();
        let seed = config.seed.unwrap_or_else(rand::random);
        let mut policy = Policy::new(config.network, config.kind, config.policy, seed);
        let now = since_1970();
        for peer in &config.trusted {
            policy.trust(now, *peer);
        }
        #[cfg(not(feature = "lies"))]
        let codec = Codec::default();
        #[cfg(feature = "lies")]
        let codec = Codec::of(config.manner);
        Self {
            inner: Inner::with_codec(codec, protocols, settings),
            shared: Arc::new(Shared::new(policy, open, now)),
            serving: Serving::new(source, empty, config.quota, &config.trusted, metrics.clone()),
            asked: HashMap::new(),
            verdicts: FuturesUnordered::new(),
            timer: None,
            greet: Vec::new(),
            own_status: None,
            out: VecDeque::new(),
            keeper: None,
            homes: HashMap::new(),
            states_changed: true,
            metrics,
        }
    }

    /// Remember peers as `store` does, and keep what they do in it (PEERS P22). Reads `store` at once.
    #[must_use]
    pub fn with_reputation(mut self, store: Arc<dyn Reputation>) -> Self {
        let now = self.shared.now();
        self.shared.lock().policy.restore(now, store.load());
        self.keeper = Some(Keeper::new(now, store));
        self
    }

    /// A handle to fetch with and to read reports from.
    pub fn resolver(&self) -> Resolver {
        Resolver::new(Arc::clone(&self.shared))
    }

    /// Bans, and what one address prefix may have, act in both directions.
    fn admit(&self, peer: &PeerId, address: Option<&Multiaddr>) -> Result<(), ConnectionDenied> {
        let admitted = self.shared.lock().policy.admit(peer, address.and_then(ip_of));
        admitted.map_err(|denied| ConnectionDenied::new(Refused { peer: *peer, denied }))
    }

    fn on_inner_event(&mut self, now: Duration, event: request_response::Event<Bytes, Frame>) {
        use request_response::Event as E;
        match event {
            E::Message { peer, message, .. } => match message {
                Message::Request {
                    request_id,
                    request,
                    channel,
                } => match Ask::from_slice(&request) {
                    Ok(ask) => {
                        if let Ask::Status(status) = &ask {
                            self.shared.lock().policy.on_status(now, peer, status.clone());
                        }
                        let incoming = Incoming {
                            id: request_id,
                            ask,
                            channel,
                        };
                        if let Some(reply) = self.serving.on_ask(now, peer, incoming) {
                            // Nobody waits for it any more if this fails.
                            let _ = self.inner.send_response(reply.channel, reply.frame);
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%peer, %error, "an ask that makes no sense");
                        if let Some(frame) = self.serving.on_nonsense(now, peer) {
                            let _ = self.inner.send_response(channel, frame);
                        }
                    }
                },
                Message::Response { request_id, response } => self.on_response(now, request_id, &response),
            },
            E::OutboundFailure {
                request_id, error, ..
            } => self.on_failure(now, request_id, &error),
            #[cfg(feature = "lies")]
            E::InboundFailure {
                peer,
                request_id,
                error: InboundFailure::Io(error),
                ..
            } if error.get_ref().is_some_and(|inner| inner.is::<HungUp>()) => {
                self.serving.on_sent(now, request_id);
                self.disconnect(peer);
            }
            E::InboundFailure { request_id, .. } | E::ResponseSent { request_id, .. } => {
                self.serving.on_sent(now, request_id);
            }
        }
    }

    fn on_response(&mut self, now: Duration, id: OutboundRequestId, frame: &Frame) {
        let Some((peer, purpose)) = self.asked.remove(&id) else {
            return;
        };
        let bytes = frame.join();
        let mut state = self.shared.lock();
        match purpose {
            Purpose::Range(attempt) => state.deliver(now, peer, attempt, bytes),
            Purpose::Status => match status_of(&bytes) {
                Some(status) => state.policy.on_status_answer(now, peer, status),
                None => state.policy.on_status_failed(now, peer, false),
            },
        }
    }

    fn on_failure(&mut self, now: Duration, id: OutboundRequestId, error: &OutboundFailure) {
        let Some((peer, purpose)) = self.asked.remove(&id) else {
            return;
        };
        tracing::debug!(%peer, %error, "a request failed");
        let policy = &mut self.shared.lock().policy;
        let unsupported = is_unsupported(error);
        if unsupported || matches!(purpose, Purpose::Status) {
            policy.on_status_failed(now, peer, unsupported);
        }
        if let Purpose::Range(attempt) = purpose {
            policy.on_failed(now, peer, attempt, failure(error));
        }
    }

    fn on_established(&mut self, peer: PeerId, endpoint: &ConnectedPoint) {
        let address = ip_of(endpoint.get_remote_address());
        let now = self.shared.now();
        self.shared.lock().policy.on_connected(now, peer, address);
        if let ConnectedPoint::Dialer { address, .. } = endpoint {
            self.homes.insert(peer, address.clone());
        }
        self.states_changed = true;
    }

    fn on_closed(&mut self, peer: PeerId, cause: Option<&ConnectionError>) {
        let now = self.shared.now();
        let own = matches!(cause, None | Some(ConnectionError::KeepAliveTimeout));
        let mut state = self.shared.lock();
        state.policy.on_disconnected(now, peer, own);
        if state.policy.ban(&peer).is_none() {
            self.homes.remove(&peer);
        }
        drop(state);
        self.states_changed = true;
        self.asked.retain(|_, (of, _)| *of != peer);
        self.serving.on_gone(now, peer);
    }

    fn poll_keeper(&mut self, now: Duration, cx: &mut Context<'_>) {
        if let Some(keeper) = &mut self.keeper {
            let records = || self.shared.lock().policy.records(now);
            keeper.poll(now, records, cx);
        }
    }

    /// Returns whether there were any.
    fn poll_verdicts(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Poll::Ready(Some(judged)) = self.verdicts.poll_next_unpin(cx) {
            if let Some(receipt) = &judged.receipt {
                self.shared.lock().policy.on_verdict(now, receipt, judged.verdict);
            }
            any = true;
        }
        any
    }

    fn poll_serving(&mut self, now: Duration, cx: &mut Context<'_>) {
        while let Poll::Ready(reply) = self.serving.poll(now, cx) {
            let Reply {
                peer,
                id,
                channel,
                frame,
                job,
            } = reply;
            let sent = Sent::of(&frame);
            let taken = self.inner.send_response(channel, frame).is_ok();
            self.serving
                .on_sending(now, peer, id, job, taken.then_some(&sent));
        }
    }

    /// Ask for statuses, telling our own. Returns whether any was asked for.
    fn poll_greeting(&mut self, cx: &mut Context<'_>) -> bool {
        if self.greet.is_empty() {
            return false;
        }
        let own_status = self.own_status.get_or_insert_with(|| self.serving.status());
        let Poll::Ready(status) = own_status.poll_unpin(cx) else {
            return false;
        };
        self.own_status = None;
        let ask = Bytes::from(Ask::Status(status).to_vec());
        for peer in std::mem::take(&mut self.greet) {
            if self.inner.is_connected(&peer) {
                let id = self.inner.send_request(&peer, ask.clone());
                self.asked.insert(id, (peer, Purpose::Status));
            }
        }
        true
    }

    /// Returns whether something was due.
    fn poll_timer(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        let of_keeper = self.keeper.as_ref().and_then(Keeper::poll_timeout);
        let mut state = self.shared.lock();
        let of_policy = state.policy.poll_timeout(now);
        let timers = [of_policy, self.serving.poll_timeout(), of_keeper];
        let Some(at) = timers.into_iter().flatten().min() else {
            self.timer = None;
            return false;
        };
        if at <= now {
            state.policy.on_timeout(now);
            drop(state);
            for peer in self.serving.on_timeout(now) {
                tracing::debug!(%peer, "reads its answers too slowly, and others wait");
                self.disconnect(peer);
            }
            return true;
        }
        drop(state);
        let Some(deadline) = self.shared.instant(at) else {
            // Beyond what the clock can show: it never comes.
            self.timer = None;
            return false;
        };
        let (set, sleep) =
            (self.timer).get_or_insert_with(|| (at, Box::pin(tokio::time::sleep_until(deadline))));
        if *set != at {
            *set = at;
            sleep.as_mut().reset(deadline);
        }
        sleep.poll_unpin(cx).is_ready()
    }
}

impl Drop for Behaviour {
    fn drop(&mut self) {
        let now = self.shared.now();
        if let Some(keeper) = &self.keeper {
            let records = self.shared.lock().policy.records(now);
            keeper.close(&records);
        }
        self.shared.close();
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<Inner>;
    type ToSwarm = Event;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let admitted = self.shared.lock().policy.admit_address(ip_of(remote));
        admitted.map_err(ConnectionDenied::new)?;
        self.inner.handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer, Some(remote))?;
        self.inner
            .handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if let Some(peer) = &peer {
            self.admit(peer, None)?;
        }
        self.inner
            .handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer, Some(address))?;
        self.inner
            .handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                endpoint,
                other_established: 0,
                ..
            }) => self.on_established(peer_id, endpoint),
            FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                cause,
                remaining_established: 0,
                ..
            }) => self.on_closed(peer_id, cause),
            FromSwarm::DialFailure(DialFailure {
                peer_id: Some(peer), ..
            }) => {
                let now = self.shared.now();
                self.shared.lock().policy.on_unreachable(now, peer);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, id, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        self.shared.register(cx);
        loop {
            if let Some(out) = self.out.pop_front() {
                return Poll::Ready(out);
            }
            let now = self.shared.now();
            match self.inner.poll(cx) {
                Poll::Ready(ToSwarm::GenerateEvent(event)) => {
                    self.on_inner_event(now, event);
                    continue;
                }
                Poll::Ready(command) => {
                    // The only variant that carries an event was taken above.
                    return Poll::Ready(command.map_out(|_| unreachable!("an event of the inner behaviour")));
                }
                Poll::Pending => {}
            }
            self.poll_serving(now, cx);
            self.poll_keeper(now, cx);
            // Carrying out takes new verdicts in, which have to be polled once to be heard of.
            let done = self.carry_out(now) | self.poll_verdicts(now, cx) | self.poll_timer(now, cx);
            if !done && self.out.is_empty() && !self.poll_greeting(cx) {
                return Poll::Pending;
            }
        }
    }
}
