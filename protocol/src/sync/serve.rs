//! Answer a request from a local log (ENGINE E18, FORMAT F4.10).

use crate::digest::Digest;
use crate::log::{Journal, Log, authenticated, check};
use crate::mmr::nodes::peaks_at;
use crate::mmr::proof::{self, prove};
use crate::mmr::{Elements, Location};
use crate::wire::limits::{MAX_OPERATION_BYTES, SOFT_OPERATION_BYTES};
use crate::wire::{Answer, Ask, Frame, Kind, Request, Response, Status};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Something that can be asked, from any thread; answering may block on a disk.
pub trait Source: Send + Sync + 'static {
    /// What it serves now.
    fn status(&self) -> Status;

    /// The answer to `ask`, encoded. A failure of our own is [`Answer::Unavailable`] to the asker.
    fn answer(&self, ask: &Ask) -> Frame;
}

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    /// The log does not hold that, or not yet.
    #[error("held are {held:?}, asked was {start} at size {size}")]
    NotHeld {
        /// What is held.
        held: Range<Location>,
        /// The location asked for.
        start: Location,
        /// The size it was asked at.
        size: Location,
    },
    /// Reading failed.
    #[error("reading the log")]
    Journal(#[source] E),
}

/// How many bytes of operations an answer may have (PEERS P41).
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// An answer is cut when it would pass this; at least one operation is sent. At most [`MAX_OPERATION_BYTES`].
    pub operation_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            operation_bytes: SOFT_OPERATION_BYTES,
        }
    }
}

/// Answer `request` from `journal`: one contiguous read, and the proof of what was read.
///
/// # Errors
/// [`Error::NotHeld`] if the log is too short or pruned beyond the start (W30.1); [`Error::Journal`].
pub fn answer<J: Journal + ?Sized>(
    journal: &J,
    request: &Request,
    budget: Budget,
) -> Result<Response, Error<J::Error>> {
    let held = journal.bounds();
    let not_held = || Error::NotHeld {
        held: held.clone(),
        start: request.start(),
        size: request.size(),
    };
    if request.size() > held.end || request.start() < held.start {
        return Err(not_held());
    }
    let bytes = budget.operation_bytes.min(MAX_OPERATION_BYTES);
    let operations = journal.read(request.range(), bytes).map_err(Error::Journal)?;
    let proven = request.start()..request.start().saturating_add(operations.len() as u64);
    let proof = prove(journal, request.size(), proven).map_err(|error| match error {
        proof::Error::Nodes(source) => Error::Journal(source),
        proof::Error::Pruned(_) | proof::Error::Range { .. } => not_held(),
    })?;
    let pinned_nodes = match request.kind() {
        Kind::Operations => None,
        Kind::Boundary => Some(
            peaks_at(journal, request.start())
                .map_err(Error::Journal)?
                .ok_or_else(not_held)?,
        ),
    };
    Ok(Response {
        proof,
        operations,
        pinned_nodes,
    })
}

/// As [`answer`], and what is answered leads to the root that `log` has, or had, at the size, which is seen before it leaves
/// ([`check::answer`]). So a bit that has flipped on the disk, in an operation or in a node, never becomes a false answer.
///
/// The root at the newest size is the one in memory; one at an earlier size is proven under it, and remembered in `roots`.
/// No hash for an operation that the journal knows ([`Journal::known`]), two for each of the others.
///
/// # Errors
/// Those of [`answer`]; [`Error::Journal`] with the journal's [`Journal::damaged`] if something is damaged.
pub fn proven_answer<J: Journal>(
    log: &Log<J>,
    roots: &KnownRoots,
    request: &Request,
    budget: Budget,
) -> Result<Response, Error<J::Error>> {
    let response = answer(log.journal(), request, budget)?;
    let root = roots.of(log, request)?;
    let pinned = response.pinned_nodes.as_deref();
    let Response {
        proof, operations, ..
    } = &response;
    check::answer(log.journal(), proof, request.start(), operations, pinned, &root)
        .map_err(Error::Journal)?;
    Ok(response)
}

/// The roots that one log had at the sizes it was last asked at. At most [`MAX_KNOWN`] of 40 bytes.
#[derive(Debug, Default)]
pub struct KnownRoots(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Of the log that the roots were proven under.
    newest: Digest,
    roots: BTreeMap<Location, Digest>,
}

/// Sizes that are asked for: those of the newest few checkpoints.
pub const MAX_KNOWN: usize = 64;

impl KnownRoots {
    /// The root at the size of `request`: the one in memory, or one that is proven under it.
    ///
    /// # Errors
    /// [`Error::NotHeld`] if there is none; [`Error::Journal`].
    pub fn of<J: Journal>(&self, log: &Log<J>, request: &Request) -> Result<Digest, Error<J::Error>> {
        self.at(log, request.size()).map_err(|error| match error {
            authenticated::Error::Journal(source) => Error::Journal(source),
            _ => Error::NotHeld {
                held: log.bounds(),
                start: request.start(),
                size: request.size(),
            },
        })
    }

    fn at<J: Journal>(&self, log: &Log<J>, size: Location) -> Result<Digest, authenticated::Error<J::Error>> {
        // A list of proven roots is whole at every moment.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = log.root();
        if known.newest != newest {
            *known = Known {
                newest,
                roots: BTreeMap::new(),
            };
        }
        if let Some(root) = known.roots.get(&size) {
            return Ok(*root);
        }
        let root = log.proven_root(size)?;
        if known.roots.len() == MAX_KNOWN {
            known.roots.pop_first();
        }
        known.roots.insert(size, root);
        Ok(root)
    }
}

/// The frame for `ask`, given the status and what [`answer`] made of a range.
pub fn frame<E: std::error::Error + 'static>(
    ask: &Ask,
    status: impl FnOnce() -> Status,
    range: impl FnOnce(&Request) -> Result<Response, Error<E>>,
) -> Frame {
    let answer = match ask {
        Ask::Status(_) => Answer::Status(status()),
        Ask::Range(request) => match range(request) {
            Ok(response) => Answer::Range(response),
            Err(Error::NotHeld { .. }) => Answer::Unavailable,
            Err(error @ Error::Journal(_)) => {
                tracing::error!(%error, source = ?std::error::Error::source(&error), "could not answer a peer");
                Answer::Unavailable
            }
        },
    };
    answer.to_frame()
}
