//! What a node tells its operator over HTTP: health, metrics, status, peers; and what it does for him: ban and pardon
//! peers. Loopback by default; `operate` says who may change something.
//!
//! Errors are JSON, `{"error":{"code","message"}}`. A request may take 10 s, and what it asks is bounded: one
//! route reads a body, of at most 8 MiB. Connections are few and none stays for nothing: see `guard`.

mod guard;
mod operate;
mod write;

use crate::facts::Facts;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use operate::{Gate, Operated};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A listener that answers until it is stopped or dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

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
        let task = tokio::spawn(async move {
            let served = axum::serve(guard::Guarded::new(listener), router(facts, gate));
            tokio::select! {
                // Accepting never fails for good; connections end with the process.
                _ = served => {}
                _ = stopped => {}
            }
        });
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Take no more requests.
    pub async fn stop(self) {
        drop(self.stop);
        // A task that panicked takes none either.
        let _ = self.task.await;
    }
}

fn router(facts: Arc<Facts>, gate: Gate) -> Router {
    let operated = Operated {
        facts: Arc::clone(&facts),
        gate,
    };
    let operate = Router::new()
        .route("/v1/peers/{peer_id}/ban", post(operate::ban))
        .route("/v1/peers/{peer_id}/pardon", post(operate::pardon))
        .route("/v1/batch", post(write::batch))
        .layer(DefaultBodyLimit::max(write::MAX_BATCH))
        .with_state(operated);
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route(
            "/v1/status",
            get(|State(facts): State<Arc<Facts>>| async move { Json(facts.status()) }),
        )
        .route(
            "/v1/peers",
            get(|State(facts): State<Arc<Facts>>| async move { Json(facts.peers()) }),
        )
        .route("/v1/checkpoint", get(checkpoint))
        .fallback(|| async { failure(StatusCode::NOT_FOUND, "not_found", "there is no such path") })
        .method_not_allowed_fallback(|| async {
            failure(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path takes another method: GET, or POST where something is changed",
            )
        })
        .with_state(facts)
        .merge(operate)
        .layer(from_fn(in_time))
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

async fn in_time(request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await;
    answered.unwrap_or_else(|_| failure(StatusCode::GATEWAY_TIMEOUT, "timeout", "the answer took too long"))
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
