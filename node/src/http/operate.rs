//! Requests that change something: who may make them, and what they do.
//!
//! # Who may
//! With `http.token_file` set, whoever brings the token as `Authorization: Bearer TOKEN`. Without, whoever reaches the
//! listener while that is on loopback: who has an account on the machine. Never a page in a browser on that machine, which
//! can send requests there but not without an `Origin`.

use super::failure;
use crate::facts::Facts;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use libp2p::PeerId;
use std::net::SocketAddr;
use std::sync::Arc;

/// What decides who may change something.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// Whether the listener is on loopback.
    loopback: bool,
    token: Option<String>,
}

/// What requests work on.
#[derive(Clone)]
pub(super) struct Operated {
    pub(super) facts: Arc<Facts>,
    pub(super) gate: Gate,
}

impl Gate {
    pub(super) fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self {
            loopback: address.ip().is_loopback(),
            token,
        }
    }

    /// Why `headers` are not let through.
    pub(super) fn refuses(&self, headers: &HeaderMap) -> Option<(StatusCode, &'static str, &'static str)> {
        if headers.contains_key(header::ORIGIN) {
            return Some((
                StatusCode::FORBIDDEN,
                "forbidden",
                "pages in browsers change nothing here",
            ));
        }
        let brought = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let brought = brought.and_then(|value| value.strip_prefix(b"Bearer "));
        match &self.token {
            Some(token) if brought.is_some_and(|brought| same(brought, token.as_bytes())) => None,
            Some(_) => Some((
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "bring the token of http.token_file as `Authorization: Bearer TOKEN`",
            )),
            None if self.loopback => None,
            None => Some((
                StatusCode::FORBIDDEN,
                "forbidden",
                "this listener is not on loopback: set http.token_file to change something through it",
            )),
        }
    }
}

/// Whether two tokens are equal, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// `POST /v1/peers/{peer_id}/ban`: refuse it for as long as a first lie would cost it, and four times that if it was
/// banned before.
pub(super) async fn ban(state: State<Operated>, peer: Path<String>, headers: HeaderMap) -> Response {
    change(&state, &peer, &headers, "banned", |facts, peer| {
        facts.ban(peer);
        true
    })
}

/// `POST /v1/peers/{peer_id}/pardon`: forget everything that it did.
pub(super) async fn pardon(state: State<Operated>, peer: Path<String>, headers: HeaderMap) -> Response {
    change(&state, &peer, &headers, "pardoned", |facts, peer| {
        facts.pardon(peer)
    })
}

/// Let `act` do it if the caller may and knows whom; answer with the peer as it stands then.
fn change(
    state: &Operated,
    peer: &str,
    headers: &HeaderMap,
    done: &str,
    act: impl FnOnce(&Facts, PeerId) -> bool,
) -> Response {
    if let Some((status, code, message)) = state.gate.refuses(headers) {
        return failure(status, code, message);
    }
    let Ok(id) = peer.parse::<PeerId>() else {
        let message = "that is not a peer id; they look like 12D3KooW.., see /v1/peers";
        return failure(StatusCode::BAD_REQUEST, "bad_peer_id", message);
    };
    if !act(&state.facts, id) {
        return failure(
            StatusCode::NOT_FOUND,
            "unknown_peer",
            "nothing is known of that peer",
        );
    }
    tracing::info!(peer = %id, "{done} by the operator");
    let name = id.to_string();
    let report = state.facts.peers().into_iter().find(|peer| peer.peer_id == name);
    Json(report).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_operator_changes_something() {
        let token = "0123456789abcdef";
        let bearer = |token: &str| vec![(header::AUTHORIZATION, format!("Bearer {token}"))];
        let origin = || vec![(header::ORIGIN, "http://evil.example".to_owned())];
        let both = || [bearer(token), origin()].concat();
        for (case, address, configured, headers, refused) in [
            ("loopback", "127.0.0.1:1", None, vec![], None),
            ("loopback, IPv6", "[::1]:1", None, vec![], None),
            ("a browser", "127.0.0.1:1", None, origin(), Some(403)),
            ("another machine", "0.0.0.0:1", None, vec![], Some(403)),
            ("no token", "127.0.0.1:1", Some(token), vec![], Some(401)),
            (
                "a wrong token",
                "0.0.0.0:1",
                Some(token),
                bearer("0123456789abcdeg"),
                Some(401),
            ),
            (
                "half a token",
                "0.0.0.0:1",
                Some(token),
                bearer("01234567"),
                Some(401),
            ),
            ("the token", "0.0.0.0:1", Some(token), bearer(token), None),
            ("a browser with it", "127.0.0.1:1", Some(token), both(), Some(403)),
        ] {
            let gate = Gate::new(address.parse().unwrap(), configured.map(str::to_owned));
            let headers: HeaderMap = (headers.into_iter())
                .map(|(name, value)| (name, value.parse().unwrap()))
                .collect();
            let status = gate.refuses(&headers).map(|(status, ..)| status.as_u16());
            assert_eq!(status, refused, "{case}");
        }
    }
}
