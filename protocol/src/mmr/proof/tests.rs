//! Proofs against the vectors, against the format's tables, and against [`reference`](crate::mmr::reference).
//!
//! A leaf count above 2^62 is no row in any table here: [`Location`] cannot hold one. Where the reference is
//! handed such a number, "there is no such `Location`" is our refusal.

use super::*;
use crate::mmr::nodes::peaks_at;
use crate::mmr::reference::{self, Claim, Store};
use crate::mmr::shape::peaks;
use crate::mmr::{Frontier, MemoryNodes};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::convert::Infallible;
use std::io::Write;

mod damage;
mod format;
mod ours;
mod refused;
mod trees;
mod vectors;

const MAX: u64 = 1 << 62;

fn at(n: u64) -> Location {
    Location::new(n).unwrap()
}

fn digest(hex: &str) -> Digest {
    Digest::from_hex(hex).unwrap()
}

/// What we say to a claim.
fn check(claim: &Claim) -> Result<Vec<Digest>, Invalid> {
    let proof = Proof {
        leaves: at(claim.leaves),
        digests: claim.digests.clone(),
    };
    verify(
        &proof,
        at(claim.start),
        &claim.elements[..],
        claim.pinned.as_deref(),
        &claim.root,
    )
}

/// The structure over `elements`, by the code under test.
fn grow(elements: &[Vec<u8>]) -> (Frontier, MemoryNodes) {
    let mut frontier = Frontier::default();
    let nodes = frontier.append(elements).unwrap();
    (frontier, MemoryNodes(nodes))
}

fn root_at(nodes: &MemoryNodes, size: u64) -> Digest {
    let Ok(peaks) = peaks_at(nodes, at(size));
    Frontier::new(at(size), peaks.unwrap()).unwrap().root()
}

/// Elements of 0 to 70 bytes.
fn mixed_elements(n: u64) -> Vec<Vec<u8>> {
    (0..n)
        .map(|i| Digest::of(&[&i.to_be_bytes()]).0.repeat(3)[..(i * 29 % 71) as usize].to_vec())
        .collect()
}

/// The structure over `elements`, by the reference.
fn grow_slowly(elements: &[Vec<u8>]) -> Store {
    let mut store = Store::new();
    for (n, element) in (0..).zip(elements) {
        reference::append(&mut store, n, element);
    }
    store
}

/// The honest claim for `a..b` at size `n` of a structure with these nodes and elements.
fn honest(store: &Store, elements: &[Vec<u8>], n: u64, a: u64, b: u64) -> Claim {
    let node = |position| store[&position];
    let peaks_at = |n| -> Vec<_> {
        let peaks = reference::peaks(n);
        peaks.iter().map(|peak| node(peak.position())).collect()
    };
    Claim {
        leaves: n,
        digests: reference::prove(&node, n, a, b),
        start: a,
        elements: elements[a as usize..b as usize].to_vec(),
        pinned: Some(peaks_at(a)),
        root: reference::root(n, &peaks_at(n)),
    }
}

/// A structure of any size whose old nodes are made up, so that sizes near 2^62 can be proven and verified.
struct MadeUp;

impl Nodes for MadeUp {
    type Error = Infallible;

    fn node(&self, position: Position) -> Result<Option<Digest>, Infallible> {
        Ok(Some(Self::digest(position.get())))
    }
}

impl MadeUp {
    fn digest(position: u64) -> Digest {
        Digest::of(&[b"made up", &position.to_be_bytes()])
    }

    /// The claim that holds for the `k` elements at `a` under the root which their proof leads to.
    fn claim(n: u64, a: u64, k: u64) -> Claim {
        let pinned = reference::peaks(a);
        let mut claim = Claim {
            leaves: n,
            digests: reference::prove(&Self::digest, n, a, a + k),
            start: a,
            elements: mixed_elements(k),
            pinned: Some(pinned.iter().map(|peak| Self::digest(peak.position())).collect()),
            root: Digest::default(),
        };
        claim.root = claim.rebuild().unwrap().0;
        claim
    }

    /// A size of any magnitude and a few elements in it.
    fn random(rng: &mut ChaCha8Rng) -> Claim {
        let n = if rng.random_ratio(1, 8) {
            MAX - rng.random_range(0..5)
        } else {
            rng.random_range(1..=MAX) >> rng.random_range(0..62)
        };
        let n = n.max(1);
        let k = rng.random_range(1..=n.min(8));
        // At the ends more often than chance would have it.
        let a = match rng.random_range(0..4) {
            0 => n - k,
            1 => rng.random_range(0..=(n - k).min(3)),
            _ => rng.random_range(0..=n - k),
        };
        Self::claim(n, a, k)
    }
}

fn verdict(result: &Result<Vec<Digest>, Invalid>) -> &'static str {
    match result {
        Ok(_) => "accepted",
        Err(Invalid::Range { .. }) => "range",
        Err(Invalid::Digests { .. }) => "digests",
        Err(Invalid::Root { .. }) => "root",
        Err(Invalid::Pinned { .. }) => "pinned",
    }
}
