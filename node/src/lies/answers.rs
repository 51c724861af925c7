//! False answers: what a liar says in place of the truth.

use super::{Lie, flip_a_bit};
use bytes::Bytes;
use cordee_protocol::sync::serve::Source;
use cordee_protocol::wire::{Answer, Ask, Frame, Kind, Request, Response};
use cordee_protocol::{Location, Operations};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use std::sync::{Mutex, PoisonError};

/// One bit of an operation is flipped.
pub(super) struct FlippedOperation;

impl Lie for FlippedOperation {
    fn corrupt(
        &self,
        _: &Request,
        mut honest: Response,
        _: &dyn Source,
        chance: &mut ChaCha8Rng,
    ) -> Option<Frame> {
        let mut bytes = honest.operations.bytes().to_vec();
        flip_a_bit(&mut bytes, chance);
        honest.operations = Operations::new(bytes.into(), honest.operations.ends().to_vec())?;
        Some(Answer::Range(honest).to_frame())
    }
}

/// One digest of the proof is another one. A range that is the whole log has a proof without digests.
pub(super) struct WrongDigest;

impl Lie for WrongDigest {
    fn corrupt(
        &self,
        _: &Request,
        mut honest: Response,
        _: &dyn Source,
        chance: &mut ChaCha8Rng,
    ) -> Option<Frame> {
        let digests = &mut honest.proof.digests;
        let which = chance.random_range(0..digests.len().max(1));
        flip_a_bit(&mut digests.get_mut(which)?.0, chance);
        Some(Answer::Range(honest).to_frame())
    }
}

/// A true answer, but to the question at one operation less.
pub(super) struct AnotherSize;

impl Lie for AnotherSize {
    fn corrupt(
        &self,
        request: &Request,
        _: Response,
        source: &dyn Source,
        _: &mut ChaCha8Rng,
    ) -> Option<Frame> {
        let size = Location::new(request.size().get().checked_sub(1)?)?;
        let other = answer_to(source, &resized(request, size, request.max_ops())?)?;
        Some(Answer::Range(other).to_frame())
    }
}

/// Random bytes instead of an answer.
pub(super) struct Junk;

impl Lie for Junk {
    fn corrupt(&self, _: &Request, _: Response, _: &dyn Source, chance: &mut ChaCha8Rng) -> Option<Frame> {
        let mut bytes = vec![0; chance.random_range(1..4096)];
        chance.fill_bytes(&mut bytes);
        // No answer has such a tag, so that these bytes are never one by chance.
        bytes[0] |= 0x80;
        Some(Frame {
            head: bytes.into(),
            body: Bytes::new(),
        })
    }
}

/// One pinned node is another one. Only boundary requests have pinned nodes, and none at location 0: a joiner that asks
/// its boundary elsewhere gets nothing but honest answers from this liar.
pub(super) struct WrongPinned;

impl Lie for WrongPinned {
    fn corrupt(
        &self,
        _: &Request,
        mut honest: Response,
        _: &dyn Source,
        chance: &mut ChaCha8Rng,
    ) -> Option<Frame> {
        let pinned = honest.pinned_nodes.as_mut()?;
        let which = chance.random_range(0..pinned.len().max(1));
        flip_a_bit(&mut pinned.get_mut(which)?.0, chance);
        Some(Answer::Range(honest).to_frame())
    }
}

/// The answer of an older state, with the newer one's size written on it: a server that has not followed, and says it has.
pub(super) struct StaleTarget;

impl Lie for StaleTarget {
    fn corrupt(
        &self,
        request: &Request,
        _: Response,
        source: &dyn Source,
        _: &mut ChaCha8Rng,
    ) -> Option<Frame> {
        let (start, size) = (request.start().get(), request.size().get());
        let old = Location::new((start + 1).max(size / 2)).filter(|old| *old < request.size())?;
        let mut stale = answer_to(source, &resized(request, old, request.max_ops())?)?;
        stale.proof.leaves = request.size();
        Some(Answer::Range(stale).to_frame())
    }
}

/// The first answer that it ever gave, again and again. Whoever asks for the same gets the truth.
#[derive(Default)]
pub(super) struct Replayed {
    first: Mutex<Option<(Request, Frame)>>,
}

impl Lie for Replayed {
    fn corrupt(
        &self,
        request: &Request,
        honest: Response,
        _: &dyn Source,
        _: &mut ChaCha8Rng,
    ) -> Option<Frame> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, old) = first.get_or_insert_with(|| (*request, Answer::Range(honest).to_frame()));
        let place = |request: &Request| (request.size(), request.start(), request.kind());
        (place(asked) != place(request)).then(|| old.clone())
    }
}

/// What is asked, of another size, and for so many operations.
pub(super) fn resized(request: &Request, size: Location, max_ops: u64) -> Option<Request> {
    match request.kind() {
        Kind::Operations => Request::operations(size, request.start(), max_ops),
        Kind::Boundary => Request::boundary(size, request.start()),
    }
}

/// The honest answer of `source`; `None` if it has none.
pub(super) fn answer_to(source: &dyn Source, request: &Request) -> Option<Response> {
    let ask = Ask::Range(*request);
    match Answer::decode(&source.answer(&ask).join(), &ask) {
        Ok(Answer::Range(response)) => Some(response),
        // Unavailable would be honest.
        _ => None,
    }
}
