//! One who floods: as many requests, junk frames, oversized frames or connections as it can make.
//!
//! A node of libp2p with the protocol's name and none of its manners: what it writes on a substream is any bytes.

use clap::ValueEnum;
use cordee_protocol::Location;
use cordee_protocol::codec::{Encode, put_varint};
use cordee_protocol::wire::{Ask, PROTOCOL, Request};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, Event, Message, ProtocolSupport};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, tcp, yamux};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Substreams that a flooder has open at once.
const OPEN: usize = 200;

/// How soon a connection that was closed is opened again.
const REDIAL: Duration = Duration::from_millis(200);

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Range requests that make sense, as fast as they can be written.
    Requests,
    /// Random bytes instead of a request.
    Junk,
    /// The length of a frame above the limit, then bytes.
    Oversized,
    /// Connections, each from an id of its own, opened again when they are closed.
    Connections,
    /// TCP connections on which nothing is sent; opened again when they are closed.
    Silent,
}

impl Kind {
    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Junk => "junk",
            Self::Oversized => "oversized",
            Self::Connections => "connections",
            Self::Silent => "silent",
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Requests or frames.
    pub sent: u64,
    /// Of these, answered with more than 64 bytes: operations.
    pub served: u64,
    /// Answered with less: busy, refused.
    pub put_off: u64,
    /// Not answered: the substream or the connection was closed.
    pub failed: u64,
    /// Bytes of answers.
    pub bytes: u64,
    /// Connections that came up.
    pub connected: u64,
    /// Connections that were up at the end.
    pub at_once: u64,
    /// Connections that were refused, or closed by the other side.
    pub refused: u64,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sent {}, served {} ({:.1} MB), put off {}, failed {}; connections made {}, up at the end {}, refused or closed {}",
            self.sent,
            self.served,
            self.bytes as f64 / 1e6,
            self.put_off,
            self.failed,
            self.connected,
            self.at_once,
            self.refused
        )
    }
}

impl Sent {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.served += other.served;
        self.put_off += other.put_off;
        self.failed += other.failed;
        self.bytes += other.bytes;
        self.connected += other.connected;
        self.at_once += other.at_once;
        self.refused += other.refused;
    }
}

/// Flood `address` until `ended`.
///
/// - `size`: of its log, for requests that make sense.
/// - `connections`: for [`Kind::Connections`] and [`Kind::Silent`].
/// - `rate`: requests or frames a second; 0 for no limit.
///
/// # Errors
/// If no node can be made.
pub async fn flood(
    kind: Kind,
    address: Multiaddr,
    size: u64,
    connections: usize,
    rate: u32,
    ended: impl Future<Output = io::Result<()>>,
) -> io::Result<Sent> {
    let (stop, stopped) = watch::channel(false);
    let many = matches!(kind, Kind::Connections | Kind::Silent);
    let ids = if many { connections } else { 1 };
    let mut all = JoinSet::new();
    for number in 0..ids {
        // They come one after the other, within two seconds.
        let delay = Duration::from_secs(2).mul_f64(number as f64 / ids as f64);
        if kind == Kind::Silent {
            all.spawn(silent(socket(&address)?, delay, stopped.clone()));
        } else {
            let one = Flooder::new(kind, address.clone(), size, rate)?;
            all.spawn(one.run(delay, stopped.clone()));
        }
    }
    ended.await?;
    // Nobody listens if all of them have failed.
    let _ = stop.send(true);
    let mut sum = Sent::default();
    while let Some(one) = all.join_next().await {
        sum.add(one.map_err(io::Error::other)?);
    }
    Ok(sum)
}

/// Connect and say nothing, again and again.
async fn silent(address: SocketAddr, delay: Duration, mut stopped: watch::Receiver<bool>) -> Sent {
    let mut sent = Sent::default();
    let flood = async {
        sleep(delay).await;
        loop {
            if let Ok(mut stream) = TcpStream::connect(address).await {
                (sent.connected, sent.at_once) = (sent.connected + 1, 1);
                // The other side says first what it speaks. What comes then is the end.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
            (sent.refused, sent.at_once) = (sent.refused + 1, 0);
            sleep(REDIAL).await;
        }
    };
    tokio::select! {
        _ = stopped.changed() => {}
        () = flood => {}
    }
    sent
}

fn socket(address: &Multiaddr) -> io::Result<SocketAddr> {
    let (mut ip, mut port) = (None, None);
    for part in address {
        match part {
            Protocol::Ip4(v4) => ip = Some(v4),
            Protocol::Tcp(number) => port = Some(number),
            _ => {}
        }
    }
    let both = ip.zip(port).map(SocketAddr::from);
    both.ok_or_else(|| io::Error::other(format!("{address} is no address of TCP over IPv4")))
}

struct Flooder {
    kind: Kind,
    swarm: Swarm<request_response::Behaviour<Any>>,
    address: Multiaddr,
    size: u64,
    rate: u32,
    server: Option<PeerId>,
    open: usize,
    sent: Sent,
}

impl Flooder {
    fn new(kind: Kind, address: Multiaddr, size: u64, rate: u32) -> io::Result<Self> {
        let config = request_response::Config::default().with_request_timeout(Duration::from_secs(20));
        let protocols = [(PROTOCOL, ProtocolSupport::Outbound)];
        let behaviour =
            request_response::Behaviour::with_codec(Any, protocols, config.with_max_concurrent_streams(OPEN));
        let swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(
                tcp::Config::default().nodelay(true),
                noise::Config::new,
                yamux::Config::default,
            )
            .map_err(io::Error::other)?
            .with_behaviour(|_| behaviour)
            .map_err(io::Error::other)?
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3600)))
            .build();
        let (server, open, sent) = (None, 0, Sent::default());
        Ok(Self {
            kind,
            swarm,
            address,
            size,
            rate,
            server,
            open,
            sent,
        })
    }

    async fn run(mut self, delay: Duration, mut stopped: watch::Receiver<bool>) -> Sent {
        sleep(delay).await;
        let begin = Instant::now();
        self.dial();
        loop {
            let most = if self.kind == Kind::Connections { 1 } else { OPEN };
            let due = match self.rate {
                0 => Instant::now(),
                rate => begin + Duration::from_secs_f64(self.sent.sent as f64 / f64::from(rate)),
            };
            let may_send = self.server.is_some() && self.open < most;
            tokio::select! {
                biased;
                _ = stopped.changed() => {
                    self.sent.at_once = u64::from(self.server.is_some());
                    return self.sent;
                }
                () = sleep_until(due), if may_send => self.send(),
                event = self.swarm.select_next_some() => self.on_event(event).await,
            }
        }
    }

    fn dial(&mut self) {
        if self.swarm.dial(self.address.clone()).is_err() {
            self.sent.refused += 1;
        }
    }

    fn send(&mut self) {
        let Some(server) = self.server else { return };
        let frame = self.frame();
        self.swarm.behaviour_mut().send_request(&server, frame);
        self.sent.sent += 1;
        self.open += 1;
    }

    /// A frame, its length before it.
    fn frame(&self) -> Vec<u8> {
        let number = self.sent.sent;
        let (length, content) = match self.kind {
            // Who is silent sends none.
            Kind::Requests | Kind::Connections | Kind::Silent => {
                let at = |n: u64| Location::new(n).unwrap_or_default();
                // Never the same twice in a row: that would be put off for being the same.
                let start = (number * 7919) % self.size.saturating_sub(1).max(1);
                let content = Request::operations(at(self.size), at(start), 1 << 13);
                let content = content
                    .map(|request| Ask::Range(request).to_vec())
                    .unwrap_or_default();
                (content.len() as u64, content)
            }
            Kind::Junk => {
                let content: Vec<_> = (0..200u64).map(|i| (number * 31 + i * 17) as u8 | 0x80).collect();
                (content.len() as u64, content)
            }
            Kind::Oversized => (200 << 20, vec![7; 64 << 10]),
        };
        let mut frame = Vec::new();
        put_varint(&mut frame, length);
        frame.extend(content);
        frame
    }

    async fn on_event(&mut self, event: SwarmEvent<Event<Vec<u8>, u64>>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                self.server = Some(peer_id);
                self.sent.connected += 1;
            }
            SwarmEvent::OutgoingConnectionError { .. } => {
                self.sent.refused += 1;
                sleep(REDIAL).await;
                self.dial();
            }
            SwarmEvent::ConnectionClosed { .. } => {
                self.server = None;
                self.sent.refused += 1;
                sleep(REDIAL).await;
                self.dial();
            }
            SwarmEvent::Behaviour(Event::Message {
                message: Message::Response { response, .. },
                ..
            }) => {
                self.open = self.open.saturating_sub(1);
                self.sent.bytes += response;
                if response > 64 {
                    self.sent.served += 1;
                } else {
                    self.sent.put_off += 1;
                }
            }
            SwarmEvent::Behaviour(Event::OutboundFailure { .. }) => {
                self.open = self.open.saturating_sub(1);
                self.sent.failed += 1;
            }
            _ => {}
        }
    }
}

/// Any bytes on a substream; of what comes back the bytes are counted.
#[derive(Clone, Copy, Debug)]
struct Any;

impl request_response::Codec for Any {
    type Protocol = &'static str;
    type Request = Vec<u8>;
    type Response = u64;

    async fn read_request<T>(&mut self, _: &Self::Protocol, _: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        Ok(Vec::new())
    }

    async fn read_response<T>(&mut self, _: &Self::Protocol, io: &mut T) -> io::Result<u64>
    where
        T: AsyncRead + Unpin + Send,
    {
        let (mut all, mut buffer) = (0, vec![0; 64 << 10]);
        loop {
            match io.read(&mut buffer).await? {
                0 if all == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                0 => return Ok(all),
                n => all += n as u64,
            }
        }
    }

    async fn write_request<T>(&mut self, _: &Self::Protocol, io: &mut T, frame: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&frame).await
    }

    async fn write_response<T>(&mut self, _: &Self::Protocol, _: &mut T, _: u64) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Ok(())
    }
}
