//! What is hashed (FORMAT F1.3, F1.5). Runs of neighbours are hashed in one call.

use super::position::{Location, positions};
use super::proof::Elements;
use crate::digest::Digest;
use crate::digest::many::{Message, digests, pairs};

/// The digests of the leaves that begin at location `first`.
pub fn leaves<E: Elements + ?Sized>(first: Location, elements: &E) -> Vec<Digest> {
    digests(elements.len(), |i| Message {
        number: first.saturating_add(i as u64).position().get(),
        bytes: elements.get(i),
    })
}

/// Hash a run of siblings into their parents.
///
/// - `children`: an even number of neighbours, the first of them a left child.
/// - `first`: the location of the first leaf below them.
/// - `height`: of the parents, at least 1.
pub fn parents(first: Location, height: u32, children: &[Digest]) -> Vec<Digest> {
    pairs(children, positions(first, height))
}

/// Fold peaks in peak order into one accumulator; `None` if there are none.
pub fn fold<'a>(peaks: impl IntoIterator<Item = &'a Digest>) -> Option<Digest> {
    peaks
        .into_iter()
        .copied()
        .reduce(|acc, peak| Digest::of(&[&acc.0, &peak.0]))
}

/// The root over `size` leaves with these peaks, in peak order. The first may stand for several, folded.
pub fn root<'a>(size: Location, peaks: impl IntoIterator<Item = &'a Digest>) -> Digest {
    let size = size.get().to_be_bytes();
    match fold(peaks) {
        Some(acc) => Digest::of(&[&size, &acc.0]),
        None => Digest::of(&[&size]),
    }
}
