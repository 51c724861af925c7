//! True answers that help nobody, and empty promises. None is provable: an honest server may be out of luck just so.

use super::Lie;
use super::answers::{answer_to, resized};
use cordee_protocol::Location;
use cordee_protocol::sync::serve::Source;
use cordee_protocol::wire::{Answer, Frame, Request, Response, Status};
use rand_chacha::ChaCha8Rng;

/// One operation at a time.
pub(super) struct OneOperation;

impl Lie for OneOperation {
    fn corrupt(
        &self,
        request: &Request,
        _: Response,
        source: &dyn Source,
        _: &mut ChaCha8Rng,
    ) -> Option<Frame> {
        beginning(request, 1, source)
    }
}

/// A thousandth of what is asked.
pub(super) struct TinyAnswers;

impl Lie for TinyAnswers {
    fn corrupt(
        &self,
        request: &Request,
        _: Response,
        source: &dyn Source,
        _: &mut ChaCha8Rng,
    ) -> Option<Frame> {
        beginning(request, request.max_ops().div_ceil(1000), source)
    }
}

/// The first `count` operations of what is asked, proven; `None` if that is all.
fn beginning(request: &Request, count: u64, source: &dyn Source) -> Option<Frame> {
    if count >= request.max_ops() {
        return None;
    }
    let few = answer_to(source, &resized(request, request.size(), count)?)?;
    Some(Answer::Range(few).to_frame())
}

/// It says that it holds everything from the first operation on, and then that it does not.
pub(super) struct FalseClaim;

impl Lie for FalseClaim {
    fn corrupt(&self, _: &Request, _: Response, _: &dyn Source, _: &mut ChaCha8Rng) -> Option<Frame> {
        Some(Answer::Unavailable.to_frame())
    }

    fn status(&self, honest: Status) -> Status {
        Status {
            oldest: Location::ZERO,
            provable_from: Location::new(1).unwrap_or_default(),
            ..honest
        }
    }
}
