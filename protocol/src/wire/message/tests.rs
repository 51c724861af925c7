//! What the wire lets through, and that what an honest server answers proves itself to the asker.

use super::*;
use crate::codec::Error;
use crate::digest::Digest;
use crate::log::{Journal, MemoryJournal, Operations};
use crate::mmr::{Elements, Frontier, Location, Proof};
use crate::sync::serve::{self, Budget};
use crate::sync::verify::{Fault, verify};
use crate::wire::limits::{
    MAX_ANSWER, MAX_CHECKPOINT, MAX_NAME, MAX_OPERATION, MAX_OPERATION_BYTES, MAX_OPERATIONS, MAX_OVERHEAD,
};
use crate::wire::{Kind, PROTOCOL};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

mod answers;
mod asks;
mod damage;
mod refused;

const MAX: u64 = 1 << 62;

fn at(n: u64) -> Location {
    Location::new(n).unwrap()
}

fn operations(size: u64, start: u64, max_ops: u64) -> Request {
    Request::operations(at(size), at(start), max_ops).unwrap()
}

fn boundary(size: u64, start: u64) -> Request {
    Request::boundary(at(size), at(start)).unwrap()
}

fn status() -> Status {
    Status {
        network: "test".into(),
        kind: "any-unordered-variable".into(),
        oldest: at(3),
        size: at(300),
        provable_from: at(4),
        root: Some(Digest::of(&[b"root"])),
        checkpoint: Some(Bytes::from_static(b"signed")),
    }
}

/// Operations of 1 to 90 bytes, and the root at every size.
fn journal(count: u64) -> (MemoryJournal, Vec<Digest>) {
    let mut journal = MemoryJournal::default();
    let mut frontier = Frontier::default();
    let mut roots = vec![frontier.root()];
    for i in 0..count {
        let operation = Digest::of(&[&i.to_be_bytes()]).0.repeat(3)[..=(i * 37 % 90) as usize].to_vec();
        let operations = Operations::collect([operation]).unwrap();
        let nodes = frontier.append(&operations).unwrap();
        journal.append(&operations, &nodes).unwrap();
        roots.push(frontier.root());
    }
    (journal, roots)
}

fn serve(journal: &MemoryJournal, request: &Request) -> Response {
    serve::answer(journal, request, Budget::default()).unwrap()
}

fn bytes_of(response: Response) -> Bytes {
    Answer::Range(response).to_frame().join()
}
