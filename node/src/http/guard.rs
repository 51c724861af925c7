//! Connections that cannot be held for nothing: so many at once, and none that moves nothing for long.
//!
//! An HTTP library waits for the rest of a request for as long as the other side likes. Each such connection is an open
//! file that the peers and the log then do not get.

use axum::serve::Listener;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 64;

/// Time between two answers on a connection, the question included. Scrapers come more often, or connect again.
const QUIET: Duration = Duration::from_secs(60);

/// A listener with room for so many connections.
#[derive(Debug)]
pub(super) struct Guarded {
    listener: TcpListener,
    room: Arc<Semaphore>,
    quiet: Duration,
}

impl Guarded {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self::with(listener, CONNECTIONS, QUIET)
    }

    fn with(listener: TcpListener, connections: usize, quiet: Duration) -> Self {
        let room = Arc::new(Semaphore::new(connections));
        Self {
            listener,
            room,
            quiet,
        }
    }
}

impl Listener for Guarded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed.
        let place = Arc::clone(&self.room).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let connection = Connection {
            stream,
            quiet: self.quiet,
            end: Box::pin(tokio::time::sleep(self.quiet)),
            _place: place,
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when nothing was sent on it for a while. What is received does not count: that may come
/// drop by drop.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    quiet: Duration,
    end: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    fn sent(&mut self) {
        self.end.as_mut().reset(Instant::now() + self.quiet);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, out)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.sent();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    #[tokio::test]
    async fn half_a_request_is_cut_off_and_makes_room() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here" }));
        let guarded = Guarded::with(listener, 2, Duration::from_millis(300));
        tokio::spawn(async move { axum::serve(guarded, router).await });

        let mut held = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX:")
                .await
                .unwrap();
            held.push(stream);
        }
        let mut third = TcpStream::connect(address).await.unwrap();
        third
            .write_all(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        let read = timeout(Duration::from_secs(20), third.read_to_string(&mut answer)).await;
        read.expect("the others were cut off").unwrap();
        assert!(answer.ends_with("here"), "{answer}");
        for mut stream in held {
            let mut rest = Vec::new();
            let ended = timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
            assert!(ended.is_ok(), "still open");
        }
    }
}
