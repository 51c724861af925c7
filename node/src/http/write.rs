//! `POST /v1/batch`: one batch of writes into a publisher's database, as a line of `cordee apply`.

use super::failure;
use super::operate::Operated;
use crate::publishing::Error;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::StringRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

/// Bytes of a batch over HTTP, at most; larger ones are for `cordee apply`.
pub(super) const MAX_BATCH: usize = 8 << 20;

/// The answer is `{"root","size","floor","target"}` once the batch is on the disk. 400: not such a batch; 403: no publisher; 409: a
/// key of an immutable database that is set; 413: more than 8 MiB.
pub(super) async fn batch(
    State(operated): State<Operated>,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Response {
    if let Some((status, code, message)) = operated.gate.refuses(&headers) {
        return failure(status, code, message);
    }
    let body = match body {
        Ok(body) => body,
        Err(refused) => {
            let (status, code) = match refused.status() {
                StatusCode::PAYLOAD_TOO_LARGE => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
                _ => (StatusCode::BAD_REQUEST, "bad_batch"),
            };
            return failure(
                status,
                code,
                "a batch is UTF-8 text of at most 8 MiB; larger ones are for `cordee apply`",
            );
        }
    };
    let Some(publisher) = operated.facts.publisher().cloned() else {
        return failure(
            StatusCode::FORBIDDEN,
            "no_publisher",
            "this process only copies a database",
        );
    };
    let applied = tokio::task::spawn_blocking(move || publisher.apply(&body)).await;
    match applied {
        Ok(Ok(state)) => Json(state).into_response(),
        Ok(Err(error)) => {
            let (status, code) = match &error {
                Error::Copy => (StatusCode::FORBIDDEN, "no_publisher"),
                Error::Empty => (StatusCode::SERVICE_UNAVAILABLE, "no_database"),
                Error::Database(cordee_protocol::db::Error::AlreadySet(_)) => {
                    (StatusCode::CONFLICT, "already_set")
                }
                error if error.is_usage() => (StatusCode::BAD_REQUEST, "bad_batch"),
                _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            };
            failure(status, code, &error.message())
        }
        Err(_) => failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the writer has ended",
        ),
    }
}
