//! What a node tells its operator over HTTP: a page, health, metrics, status, peers, what it holds; and what it does for him:
//! ban and pardon peers, take writes. Loopback by default; `operate` says who may change something. `openapi.json` describes
//! every route, and is served.
//!
//! Errors are JSON, `{"error":{"code","message"}}`. A request may take 10 s, and what it asks is bounded: one
//! route reads a body, of at most 8 MiB. Connections are few and none stays for nothing: see `guard`.

mod events;
mod guard;
mod operate;
mod page;
mod read;
mod write;

use crate::facts::Facts;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use events::Streams;
use operate::{Gate, Operated};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A listener that answers until it is stopped or dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    /// Streams end when it goes.
    streams: watch::Sender<()>,
    task: JoinHandle<()>,
}

/// How long a server that stops waits for whoever reads its answers. A node has five seconds to end.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

impl Server {
    /// Listen on `address` and answer from `facts`.
    ///
    /// - `token`: what requests that change something must bring; without, they are taken on loopback only.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn start(
        address: SocketAddr,
        facts: Arc<Facts>,
        token: Option<String>,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let gate = Gate::new(address, token);
        let (stop, stopped) = oneshot::channel::<()>();
        let (streams, open) = watch::channel(());
        let router = router(routes(&facts, gate, open));
        let task = tokio::spawn(async move {
            let served = axum::serve(guard::Guarded::new(listener), router);
            let served = served.with_graceful_shutdown(async {
                // It is never sent: it goes with the handle.
                let _ = stopped.await;
            });
            // Accepting never fails for good.
            let _ = served.await;
        });
        Ok(Self {
            address,
            stop,
            streams,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Take no more requests. Those under way are answered, but nobody is waited for who takes longer than a second.
    pub async fn stop(mut self) {
        drop((self.stop, self.streams));
        // A task that panicked takes none either.
        if tokio::time::timeout(ANSWERED_WITHIN, &mut self.task)
            .await
            .is_err()
        {
            self.task.abort();
        }
    }
}

/// A route: its method, its path, and what answers.
type Route = (&'static str, &'static str, MethodRouter);

fn routes(facts: &Arc<Facts>, gate: Gate, open: watch::Receiver<()>) -> Vec<Route> {
    let operated = Operated {
        facts: Arc::clone(facts),
        gate,
    };
    let streams = Streams::new(Arc::clone(facts), open);
    let events = move || async move { streams.listen() };
    let state = || Arc::clone(facts);
    vec![
        ("get", "/", get(page::index)),
        ("get", "/app.js", get(page::script)),
        ("get", "/app.css", get(page::sheet)),
        ("get", "/icon.svg", get(page::icon)),
        ("get", "/healthz", get(|| async { "ok\n" })),
        ("get", "/readyz", get(ready).with_state(state())),
        ("get", "/metrics", get(metrics).with_state(state())),
        ("get", "/v1/openapi.json", get(page::interface)),
        ("get", "/v1/status", get(status).with_state(state())),
        ("get", "/v1/peers", get(peers).with_state(state())),
        ("get", "/v1/checkpoint", get(checkpoint).with_state(state())),
        ("get", "/v1/events", get(events)),
        ("get", "/v1/kv/{hexkey}", get(read::value).with_state(state())),
        ("get", "/v1/ops", get(read::operations).with_state(state())),
        (
            "post",
            "/v1/peers/{peer_id}/ban",
            post(operate::ban).with_state(operated.clone()),
        ),
        (
            "post",
            "/v1/peers/{peer_id}/pardon",
            post(operate::pardon).with_state(operated.clone()),
        ),
        ("post", "/v1/batch", post(write::batch).with_state(operated)),
    ]
}

fn router(routes: Vec<Route>) -> Router {
    let all = routes
        .into_iter()
        .fold(Router::new(), |router, (_, path, answer)| {
            router.route(path, answer)
        });
    all.fallback(|| async { failure(StatusCode::NOT_FOUND, "not_found", "there is no such path") })
        .method_not_allowed_fallback(|| async {
            failure(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path takes another method: GET, or POST where something is changed",
            )
        })
        .layer(DefaultBodyLimit::max(write::MAX_BATCH))
        .layer(from_fn(in_time))
}

async fn status(State(facts): State<Arc<Facts>>) -> Response {
    Json(facts.status()).into_response()
}

async fn peers(State(facts): State<Arc<Facts>>) -> Response {
    Json(facts.peers()).into_response()
}

async fn ready(State(facts): State<Arc<Facts>>) -> Response {
    let status = facts.status();
    if status.state == "following" {
        "ready\n".into_response()
    } else {
        failure(StatusCode::SERVICE_UNAVAILABLE, "not_ready", &status.why)
    }
}

async fn checkpoint(State(facts): State<Arc<Facts>>) -> Response {
    match facts.checkpoints() {
        Some(standing) => Json(standing).into_response(),
        None => failure(
            StatusCode::NOT_FOUND,
            "no_policy",
            "this node has no trust policy: name the signers in `trust.signers`",
        ),
    }
}

async fn metrics(State(facts): State<Arc<Facts>>) -> Response {
    match facts.metrics() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
        }
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, "internal", &error.to_string()),
    }
}

/// An answer within its time, with what a browser may do with it.
async fn in_time(request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await;
    let mut answer = answered
        .unwrap_or_else(|_| failure(StatusCode::GATEWAY_TIMEOUT, "timeout", "the answer took too long"));
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, page::POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[derive(Serialize)]
struct Problem<'a> {
    code: &'a str,
    message: &'a str,
}

fn failure(status: StatusCode, code: &str, message: &str) -> Response {
    let error = Problem { code, message };
    (status, Json(serde_json::json!({ "error": error }))).into_response()
}

#[cfg(test)]
mod tests;
