//! `GET /v1/kv/{hexkey}` and `GET /v1/ops`: what the database holds, for programs on this machine.

use super::failure;
use crate::facts::Facts;
use crate::folder::Database;
use crate::proofs::ProofFile;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cordee_protocol::db::kind::Family;
use cordee_protocol::{Digest, Journal as _, Location};
use serde::Deserialize;
use serde_json::json;
use std::sync::{Arc, PoisonError};

/// Operations in one answer, and their bytes, at most.
const MAX_OPERATIONS: u64 = 1000;
const MAX_BYTES: usize = 1 << 20;

/// How a value is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// Whether the proof file of `cordee get --prove` comes with it.
    #[serde(default)]
    prove: bool,
}

/// Which operations are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    start: u64,
    max: Option<u64>,
}

/// `{"key","value","text","location","size","root","proof"}`, the value in hex, the proof if asked for. 404 if there is none, with the
/// proof of that if asked for and there is one.
pub(super) async fn value(
    State(facts): State<Arc<Facts>>,
    Path(key): Path<String>,
    wish: Result<Query<Wish>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Some(key) = Digest::from_hex(&key) else {
        return failure(StatusCode::BAD_REQUEST, "bad_key", "a key is 64 hex digits");
    };
    let Ok(Query(wish)) = wish else {
        return failure(
            StatusCode::BAD_REQUEST,
            "bad_query",
            "the one parameter is prove=true or prove=false",
        );
    };
    with_database(facts, move |database| value_of(database, key, wish.prove)).await
}

/// `{"start","size","root","ops"}`, the encoded operations in hex, from `start` on: `max`, or as many as fit 1 MiB.
pub(super) async fn operations(
    State(facts): State<Arc<Facts>>,
    range: Result<Query<Range>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(Query(Range { start, max })) = range else {
        return failure(
            StatusCode::BAD_REQUEST,
            "bad_query",
            "the parameters are start=LOCATION and max=COUNT",
        );
    };
    let max = max.unwrap_or(MAX_OPERATIONS);
    if !(1..=MAX_OPERATIONS).contains(&max) {
        return failure(StatusCode::BAD_REQUEST, "bad_query", "max is 1 to 1000");
    }
    with_database(facts, move |database| {
        let held = database.log().bounds();
        let inside = Location::new(start).filter(|start| held.contains(start));
        let Some(start) = inside else {
            let message = format!("the operations {}..{} are held", held.start, held.end);
            return Ok(failure(StatusCode::NOT_FOUND, "not_held", &message));
        };
        let end = start.saturating_add(max).min(held.end);
        let operations = database.log().journal().read(start..end, MAX_BYTES)?;
        let ops: Vec<_> = operations.iter().map(hex::encode).collect();
        let root = database.root().to_string();
        Ok(
            Json(json!({ "start": start.get(), "size": held.end.get(), "root": root, "ops": ops }))
                .into_response(),
        )
    })
    .await
}

type Answered = Result<Response, Box<dyn std::error::Error + Send + Sync>>;

fn value_of(database: &Database, key: Digest, prove: bool) -> Answered {
    if database.kind().family() == Family::Keyless {
        let message = "a database of this kind has no keys: see /v1/ops";
        return Ok(failure(StatusCode::BAD_REQUEST, "no_keys", message));
    }
    let proof = |at, excluded| ProofFile::of(database, at, excluded);
    let size = database.log().size().get();
    let Some(location) = database.location(&key.0)? else {
        let gap = if prove { database.gap(&key.0)? } else { None };
        let proof = gap.map(|gap| proof(gap, Some(key.0))).transpose()?;
        let error = json!({ "code": "no_value", "message": format!("the key has no value at size {size}") });
        return Ok((
            StatusCode::NOT_FOUND,
            Json(json!({ "error": error, "proof": proof })),
        )
            .into_response());
    };
    let Some(value) = database.value(&key.0)? else {
        return Ok(failure(StatusCode::NOT_FOUND, "no_value", "the key has no value"));
    };
    let proof = prove.then(|| proof(location, None)).transpose()?;
    let mut answer = json!({
        "key": key.to_string(), "value": hex::encode(&value), "text": std::str::from_utf8(&value).ok(),
        "location": location.get(), "size": size, "root": database.root().to_string(),
    });
    if let Some(proof) = proof {
        answer["proof"] = serde_json::to_value(proof)?;
    }
    Ok(Json(answer).into_response())
}

/// Let `read` look into the database, on a thread that may wait for the disk.
async fn with_database(
    facts: Arc<Facts>,
    read: impl FnOnce(&Database) -> Answered + Send + 'static,
) -> Response {
    let Some(shared) = facts.database() else {
        return failure(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_database",
            "this node has no complete database yet",
        );
    };
    let looked = tokio::task::spawn_blocking(move || {
        // A writer that panicked has left a log that is consistent up to its last commit; reading it is safe.
        read(&shared.read().unwrap_or_else(PoisonError::into_inner))
    });
    match looked.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => failure(StatusCode::INTERNAL_SERVER_ERROR, "internal", &error.to_string()),
        Err(_) => failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the reader has ended",
        ),
    }
}
