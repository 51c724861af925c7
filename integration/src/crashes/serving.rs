//! What a log that was found answers, and whether it is proven.

use cordee_protocol::log::Log;
use cordee_protocol::sync::serve::{Budget, KnownRoots, proven_answer};
use cordee_protocol::sync::verify::verify;
use cordee_protocol::wire::Request;
use cordee_protocol::{Digest, Journal, Location};

/// Ask `log` for parts of itself at several sizes. Answers given, and those among them that do not lead to the root that
/// `root_at` says the true log had. Whatever is refused is no answer.
pub(super) fn ask<J: Journal>(log: &Log<J>, root_at: impl Fn(Location) -> Digest) -> (u64, u64) {
    let held = log.bounds();
    let (first, end) = (held.start.get(), held.end.get());
    let roots = KnownRoots::default();
    let (mut served, mut unproven) = (0, 0);
    for size in [end, end - (end - first) / 3, first + 1] {
        for part in 0..4 {
            let start = first + (end - first) * part / 4;
            let at = |n| Location::new(n).unwrap_or_default();
            for request in [
                Request::operations(at(size), at(start), 23),
                Request::boundary(at(size), at(start)),
            ]
            .into_iter()
            .flatten()
            {
                if let Ok(response) = proven_answer(log, &roots, &request, Budget::default()) {
                    served += 1;
                    unproven += u64::from(verify(&request, &root_at(request.size()), response).is_err());
                }
            }
        }
    }
    (served, unproven)
}
