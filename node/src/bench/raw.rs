//! The same bytes over the same transport with nothing else done to them: what a sync is measured against.
//!
//! TCP with Noise and Yamux, or QUIC, with one substream a request, as in a real node; answers of 1 MiB, four in flight from each
//! server; nothing is verified, stored or read. Servers and client are processes of their own.

use crate::dialing::named;
use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::core::upgrade::Version;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, Event, Message, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, tcp, yamux};
use std::io;
use std::time::{Duration, Instant};

/// Bytes in an answer.
const ANSWER: u64 = 1 << 20;

/// Requests in flight from each server.
pub(super) const IN_FLIGHT: usize = 4;

/// How long everything may take before it is given up.
pub(super) const LIMIT: Duration = Duration::from_secs(300);

const PROTOCOL: &str = "/cordee/bench/raw/1";

/// Why no bytes were moved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The transport could not be set up.
    #[error("setting up the transport: {0}")]
    Transport(String),
    /// An address without the server's name at its end.
    #[error("{0} does not end in /p2p/PEER_ID")]
    Address(Multiaddr),
    /// A server could not be reached, or failed.
    #[error("{peer}: {why}")]
    Server {
        /// Who.
        peer: PeerId,
        /// What happened.
        why: String,
    },
    /// The bytes did not come.
    #[error("not done after {} s", LIMIT.as_secs())]
    Slow,
}

/// Serve bytes at `listen`, one address, until dropped; `ready` is told where.
///
/// # Errors
/// [`Error::Transport`].
pub async fn serve(listen: Multiaddr, ready: impl FnOnce(Multiaddr)) -> Result<(), Error> {
    let mut swarm = swarm(behaviour)?;
    let local = *swarm.local_peer_id();
    swarm.listen_on(listen).map_err(transport)?;
    let mut ready = Some(ready);
    let answer = Bytes::from(vec![0x5a; ANSWER as usize]);
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => {
                if let Some(ready) = ready.take() {
                    ready(address.with(Protocol::P2p(local)));
                }
            }
            SwarmEvent::Behaviour(Event::Message {
                message: Message::Request { request, channel, .. },
                ..
            }) => {
                let bytes = answer.slice(..request.min(ANSWER) as usize);
                // Fails if the client has gone, who then needs no answer.
                let _ = swarm.behaviour_mut().send_response(channel, bytes);
            }
            _ => {}
        }
    }
}

/// Fetch `bytes` bytes from all of `servers`; returns how long that took, connecting included.
///
/// # Errors
/// [`Error`].
pub async fn fetch(servers: &[Multiaddr], bytes: u64) -> Result<Duration, Error> {
    tokio::time::timeout(LIMIT, transfer(servers, bytes))
        .await
        .map_err(|_| Error::Slow)?
}

async fn transfer(servers: &[Multiaddr], bytes: u64) -> Result<Duration, Error> {
    let start = Instant::now();
    let mut swarm = swarm(behaviour)?;
    for server in servers {
        dial(&mut swarm, server)?;
    }
    let (mut unasked, mut missing) = (bytes, bytes);
    let mut ask = |swarm: &mut Swarm<Behaviour>, peer: &PeerId| {
        let size = unasked.min(ANSWER);
        unasked -= size;
        if size > 0 {
            swarm.behaviour_mut().send_request(peer, size);
        }
    };
    while missing > 0 {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                (0..IN_FLIGHT).for_each(|_| ask(&mut swarm, &peer_id));
            }
            SwarmEvent::Behaviour(Event::Message {
                peer,
                message: Message::Response { response, .. },
                ..
            }) => {
                missing = missing.saturating_sub(response.len() as u64);
                ask(&mut swarm, &peer);
            }
            SwarmEvent::Behaviour(Event::OutboundFailure { peer, error, .. }) => {
                return Err(Error::Server {
                    peer,
                    why: error.to_string(),
                });
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => {
                return Err(Error::Server {
                    peer,
                    why: error.to_string(),
                });
            }
            _ => {}
        }
    }
    Ok(start.elapsed())
}

type Behaviour = request_response::Behaviour<Codec>;

fn behaviour() -> Behaviour {
    let config = request_response::Config::default().with_request_timeout(LIMIT);
    Behaviour::new([(PROTOCOL, ProtocolSupport::Full)], config)
}

/// Dial `server`; returns its name.
pub(super) fn dial<B: NetworkBehaviour>(swarm: &mut Swarm<B>, server: &Multiaddr) -> Result<PeerId, Error> {
    let Some(peer) = named(server) else {
        return Err(Error::Address(server.clone()));
    };
    swarm.dial(server.clone()).map_err(|error| Error::Server {
        peer,
        why: error.to_string(),
    })?;
    Ok(peer)
}

/// A swarm over the transport that real nodes use, with one behaviour.
pub(super) fn swarm<B: NetworkBehaviour>(behaviour: impl FnOnce() -> B) -> Result<Swarm<B>, Error> {
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .map_err(transport)?
        .with_quic()
        .with_behaviour(|_| behaviour())
        .map_err(transport)?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(LIMIT)
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
        })
        .build();
    Ok(swarm)
}

fn transport(error: impl ToString) -> Error {
    Error::Transport(error.to_string())
}

/// A request is a number of bytes, an answer so many bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Codec;

impl request_response::Codec for Codec {
    type Protocol = &'static str;
    type Request = u64;
    type Response = Bytes;

    async fn read_request<T>(&mut self, _: &Self::Protocol, io: &mut T) -> io::Result<u64>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut size = [0; 8];
        io.read_exact(&mut size).await?;
        Ok(u64::from_be_bytes(size))
    }

    async fn read_response<T>(&mut self, _: &Self::Protocol, io: &mut T) -> io::Result<Bytes>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut size = [0; 8];
        io.read_exact(&mut size).await?;
        let mut bytes = vec![0; u64::from_be_bytes(size).min(ANSWER) as usize];
        io.read_exact(&mut bytes).await?;
        Ok(bytes.into())
    }

    async fn write_request<T>(&mut self, _: &Self::Protocol, io: &mut T, size: u64) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&size.to_be_bytes()).await
    }

    async fn write_response<T>(&mut self, _: &Self::Protocol, io: &mut T, bytes: Bytes) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&(bytes.len() as u64).to_be_bytes()).await?;
        io.write_all(&bytes).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn all_bytes_arrive_from_two_servers() {
        let mut servers = Vec::new();
        for _ in 0..2 {
            let (tx, rx) = oneshot::channel();
            let any = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
            tokio::spawn(serve(any, |address| tx.send(address).unwrap()));
            servers.push(rx.await.unwrap());
        }
        fetch(&servers, 20 * ANSWER + 17).await.unwrap();
        let error = fetch(&["/ip4/127.0.0.1/tcp/1".parse().unwrap()], 1)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Address(_)), "{error}");
    }
}
