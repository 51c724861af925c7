//! Distance between a client and its servers, for a machine whose kernel cannot delay packets: what either side sends arrives
//! half a round trip later.
//!
//! ```text
//!   client --> read, stamp --> queue --(stamp + half)--> write --> server        and the same the other way
//! ```
//! What is seen so is the cost of waiting: for a handshake, for an answer before the next request, for a window of the
//! multiplexer. What is not: TCP's own slow start and losses, as both of its connections are of this machine.

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// Pieces on their way in one direction of one connection: at most 64 MiB, which a gigabyte a second fills in 64 ms.
const ON_THE_WAY: usize = 1024;

/// The way to a server. Its connections end when this is dropped.
#[derive(Debug)]
pub(super) struct Distance {
    /// Where the server is reached from afar.
    pub(super) address: String,
    _connections: JoinSet<()>,
}

impl Distance {
    /// Put `round_trip` between whoever dials and the server at `near`, an address of TCP on this machine.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::InvalidInput`] for another kind of address.
    pub(super) async fn from(near: &str, round_trip: Duration) -> io::Result<Self> {
        let near: Multiaddr = near.parse().map_err(io::Error::other)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let mut server = None;
        let far: Multiaddr = near
            .iter()
            .map(|part| match part {
                Protocol::Tcp(near) => {
                    server = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, near)));
                    Protocol::Tcp(port)
                }
                other => other,
            })
            .collect();
        let server = server.ok_or(io::ErrorKind::InvalidInput)?;
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // Who cannot be reached, or has gone: the other side sees its connection end.
                open.spawn(async move { drop(carry(client, server, round_trip / 2).await) });
                while open.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            address: far.to_string(),
            _connections: connections,
        })
    }
}

/// One connection, until both sides have ended it.
async fn carry(client: TcpStream, server: SocketAddr, half: Duration) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::try_join!(
        one_way(from_client, to_server, half),
        one_way(from_server, to_client, half)
    )?;
    Ok(())
}

async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, half: Duration) -> io::Result<()> {
    let (send, mut sent) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let take = async move {
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            if from.read_buf(&mut piece).await? == 0 || send.send((Instant::now(), piece)).await.is_err() {
                return Ok::<_, io::Error>(());
            }
        }
    };
    let give = async move {
        while let Some((stamp, piece)) = sent.recv().await {
            tokio::time::sleep_until(stamp + half).await;
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(take, give).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_sent_arrives_whole_and_not_before_its_time() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let near = format!("/ip4/127.0.0.1/tcp/{}", server.local_addr().unwrap().port());
        let round_trip = Duration::from_millis(40);
        let distance = Distance::from(&near, round_trip).await.unwrap();
        let echo = tokio::spawn(async move {
            let (stream, _) = server.accept().await.unwrap();
            let (mut read, mut write) = stream.into_split();
            tokio::io::copy(&mut read, &mut write).await.unwrap();
        });
        let far: Multiaddr = distance.address.parse().unwrap();
        let Some(Protocol::Tcp(port)) = far.iter().nth(1) else {
            panic!("{far}")
        };
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let sent: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        let began = Instant::now();
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        let mut came = Vec::new();
        client.read_to_end(&mut came).await.unwrap();
        assert!(came == sent, "{} bytes came", came.len());
        assert!(began.elapsed() >= round_trip, "the delay is never less");
        echo.await.unwrap();
    }

    #[tokio::test]
    async fn only_tcp_has_a_distance() {
        let quic = Distance::from("/ip4/127.0.0.1/udp/1/quic-v1", Duration::ZERO).await;
        assert_eq!(quic.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
