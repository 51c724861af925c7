//! `GET /v1/events`: what the node is doing, told as it goes on, for the dashboard: server-sent events.
//!
//! Each event `now` is the whole: `{"status","ranges","peers","peers_known","checkpoints"}`. Twice a second while it syncs, every two
//! seconds otherwise. At most [`CLIENTS`] listen at once, each told of at most [`PEERS`] peers, so this costs at most 16 times 50 kB
//! twice a second. A client that does not read holds one event in memory, and its connection ends when nothing could be sent for a
//! minute (`guard`).

use super::failure;
use crate::facts::{Facts, Status};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Streams at once.
const CLIENTS: usize = 16;

/// Peers in one event; the banned and the busy come first.
const PEERS: usize = 64;

/// What streams need.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    facts: Arc<Facts>,
    room: Arc<Semaphore>,
    /// Closes when the server stops.
    open: watch::Receiver<()>,
}

impl Streams {
    pub(super) fn new(facts: Arc<Facts>, open: watch::Receiver<()>) -> Self {
        let room = Arc::new(Semaphore::new(CLIENTS));
        Self { facts, room, open }
    }

    /// One more listener, or 503.
    pub(super) fn listen(self) -> Response {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            let message = "as many listen as may at once; close one, or ask /v1/status";
            return failure(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", message);
        };
        let stream = stream::unfold(
            Listener {
                streams: self,
                _place: place,
                pause: Duration::ZERO,
            },
            Listener::next,
        );
        Sse::new(stream).into_response()
    }
}

struct Listener {
    streams: Streams,
    /// Given back when the stream ends.
    _place: OwnedSemaphorePermit,
    /// Until the next event; the first one comes at once.
    pause: Duration,
}

impl Listener {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if !self.pause.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(self.pause) => {}
                // Nothing is ever sent: it closes.
                _ = self.streams.open.changed() => return None,
            }
        }
        let status = self.streams.facts.status();
        self.pause = Duration::from_millis(if status.state == "syncing" { 500 } else { 2000 });
        let event = Event::default()
            .event("now")
            .data(now(&self.streams.facts, &status));
        Some((Ok(event), self))
    }
}

/// Everything that the page shows.
fn now(facts: &Facts, status: &Status) -> String {
    let mut peers = facts.peers();
    let known = peers.len();
    peers.sort_by_key(|peer| {
        (
            !peer.banned,
            peer.in_flight == 0,
            peer.ops == 0,
            peer.state == "gone",
        )
    });
    peers.truncate(PEERS);
    json!({
        "status": status,
        "ranges": facts.ranges(),
        "peers": peers,
        "peers_known": known,
        "checkpoints": facts.checkpoints(),
    })
    .to_string()
}
