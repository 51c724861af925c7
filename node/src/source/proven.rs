//! Answers that were found to lead to the root, by what they were: so that nothing is hashed for the second who asks.
//!
//! Copies of one target ask for the same ranges. Each answer is read from the disk every time, and the sum over all its bytes
//! is held against the one of the answer that was proven: bytes that have changed since, in operations, lengths or proof, have
//! another sum (within eight neighbouring bytes for certain, else but for one in 2^64) and are hashed again, which names what
//! is damaged. The sum takes a thirtieth of the time of hashing. It tells damage, not a forger: who changes the files of a running
//! node on purpose can keep a sum, whatever the secret. Askers find that, and so does `cordee db check`.
//!
//! # Bounds
//! [`MAX_KNOWN`] answers of about 120 bytes: 1 MiB of memory for up to 8 GiB of operations in answers of 1 MiB.

use crate::storage::checksum::checksum;
use cordee_protocol::wire::{Frame, Request};
use cordee_protocol::{Digest, Location};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Answers that are remembered; the oldest goes first.
const MAX_KNOWN: usize = 8192;

/// What was asked: the answer depends on nothing else, but for the log.
type Asked = (Location, Location, u64, bool);

/// The sums of proven answers, all of one log or of earlier sizes of it.
#[derive(Debug)]
pub(super) struct Proven {
    /// What the sums follow from.
    secret: u64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    sums: BTreeMap<Asked, Sums>,
    order: VecDeque<Asked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sums {
    /// The one that was led to.
    root: Digest,
    head: u64,
    body: u64,
}

impl Default for Proven {
    fn default() -> Self {
        Self {
            secret: rand::random(),
            known: Mutex::default(),
        }
    }
}

impl Proven {
    /// Whether these very bytes were found to lead to `root` for `request`.
    pub(super) fn has(&self, root: Digest, request: &Request, frame: &Frame) -> bool {
        let sums = self.known().sums.get(&asked(request)).copied();
        sums.is_some_and(|known| known.root == root && known == self.sums(root, frame))
    }

    /// These bytes lead to `root`.
    pub(super) fn remember(&self, root: Digest, request: &Request, frame: &Frame) {
        let (asked, sums) = (asked(request), self.sums(root, frame));
        let mut known = self.known();
        if known.sums.insert(asked, sums).is_none() {
            known.order.push_back(asked);
        }
        if known.order.len() > MAX_KNOWN
            && let Some(oldest) = known.order.pop_front()
        {
            known.sums.remove(&oldest);
        }
    }

    fn sums(&self, root: Digest, frame: &Frame) -> Sums {
        Sums {
            root,
            head: checksum(self.secret, &frame.head),
            body: checksum(!self.secret, &frame.body),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // What is remembered is right at every moment.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn asked(request: &Request) -> Asked {
    let pinned = request.kind() == cordee_protocol::wire::Kind::Boundary;
    (request.size(), request.start(), request.max_ops(), pinned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(start: u64) -> Request {
        let at = |n| Location::new(n).unwrap();
        Request::operations(at(1 << 20), at(start), 5).unwrap()
    }

    #[test]
    fn only_the_very_bytes_that_were_proven_are_known() {
        let proven = Proven::default();
        let root = Digest([7; 32]);
        let frame = |head: Vec<u8>, body: Vec<u8>| Frame {
            head: head.into(),
            body: body.into(),
        };
        let (head, body) = (vec![1; 40], vec![2; 500]);
        let whole = frame(head.clone(), body.clone());
        assert!(!proven.has(root, &request(3), &whole));
        proven.remember(root, &request(3), &whole);
        assert!(proven.has(root, &request(3), &whole));
        assert!(!proven.has(root, &request(4), &whole), "another start");
        assert!(!proven.has(Digest([8; 32]), &request(3), &whole), "another log");
        for bit in 0..8 * 540 {
            let (mut head, mut body) = (head.clone(), body.clone());
            match bit / 8 {
                at @ ..40 => head[at] ^= 1 << (bit % 8),
                at => body[at - 40] ^= 1 << (bit % 8),
            }
            assert!(!proven.has(root, &request(3), &frame(head, body)), "bit {bit}");
        }
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let proven = Proven::default();
        let frame = Frame {
            head: vec![1].into(),
            body: vec![2].into(),
        };
        for start in 0..2 * MAX_KNOWN as u64 {
            proven.remember(Digest([7; 32]), &request(start), &frame);
        }
        let known = proven.known();
        assert_eq!((known.sums.len(), known.order.len()), (MAX_KNOWN, MAX_KNOWN));
    }
}
