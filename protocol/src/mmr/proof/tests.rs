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

// ---- The vectors of the reference implementation, and F5 ----

/// Counts what is compared, so that a vector file which lost its content does not pass.
#[derive(Default)]
struct Compared {
    numbers: usize,
    hexes: usize,
}

impl Compared {
    fn number(&mut self, ours: u64, theirs: &Value) {
        assert_eq!(Some(ours), theirs.as_u64());
        self.numbers += 1;
    }

    fn hex(&mut self, ours: impl AsRef<[u8]>, theirs: &Value) {
        assert_eq!(hex::encode(ours), theirs.as_str().unwrap());
        self.hexes += 1;
    }

    fn digests(&mut self, ours: &[Digest], theirs: &Value) {
        let theirs = list(theirs);
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            self.hex(ours, theirs);
        }
    }

    fn positions(&mut self, size: u64, theirs: &Value) {
        let theirs = list(theirs);
        assert_eq!(peak_count(at(size)), theirs.len());
        for (peak, theirs) in peaks(at(size)).zip(theirs) {
            self.number(peak.position().get(), theirs);
        }
    }

    /// Everything of one entry that holds a proof. `pinned`: the digests at its start.
    fn proof(&mut self, nodes: &MemoryNodes, elements: &[Vec<u8>], entry: &Value, pinned: &Value) {
        let [n, a, b] = ["leaves", "start", "end"].map(|key| number(entry, key));
        let proof = prove(nodes, at(n), at(a)..at(b)).unwrap();
        self.digests(&proof.digests, &entry["digests"]);
        self.hex(proof.to_vec(), &entry["encoded"]);
        self.hex(root_at(nodes, n), &entry["root"]);
        let encoded = hex::decode(entry["encoded"].as_str().unwrap()).unwrap();
        assert_eq!(Proof::from_slice(&encoded), Ok(proof.clone()));
        let Ok(Some(peaks)) = peaks_at(nodes, at(a)) else {
            panic!("every node is held");
        };
        self.digests(&peaks, pinned);
        let root = digest(entry["root"].as_str().unwrap());
        let elements = &elements[a as usize..b as usize];
        assert_eq!(
            verify(&proof, at(a), elements, Some(&peaks), &root).as_deref(),
            Ok(&nodes.0[at(a).position().get() as usize..at(b).position().get() as usize])
        );
    }
}

fn number(entry: &Value, key: &str) -> u64 {
    entry[key].as_u64().unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    let list = value.as_array();
    list.unwrap_or_else(|| panic!("no list: {value}"))
}

/// How many texts there are at any depth.
fn texts(value: &Value) -> usize {
    match value {
        Value::String(_) => 1,
        Value::Array(list) => list.iter().map(texts).sum(),
        Value::Object(map) => map.values().map(texts).sum(),
        _ => 0,
    }
}

#[test]
fn every_value_of_the_vectors_is_ours() {
    // F1.3 to F1.6, F1.8, F1.9, F2.6: roots, peaks, proofs and encodings of the reference.
    let file: Value = serde_json::from_str(include_str!("../../../tests/vectors/mmr.json")).unwrap();
    let sections = ["roots", "nodes_of_11", "proofs", "pinned", "historical"];
    assert!(sections.iter().all(|section| !list(&file[*section]).is_empty()));
    let elements: Vec<_> = (0..1000u64)
        .map(|i| Digest::of(&[&i.to_be_bytes()]).0.to_vec())
        .collect();
    let (_, nodes) = grow(&elements);
    let mut compared = Compared::default();

    for entry in list(&file["roots"]) {
        let n = number(entry, "leaves");
        let (frontier, nodes) = grow(&elements[..n as usize]);
        compared.number(nodes.0.len() as u64, &entry["nodes"]);
        compared.hex(frontier.root(), &entry["root"]);
        assert_eq!(list(&entry["peaks"]).len(), frontier.peaks().len());
        for ((peak, digest), entry) in peaks(at(n)).zip(frontier.peaks()).zip(list(&entry["peaks"])) {
            compared.number(peak.position().get(), &entry["position"]);
            compared.number(peak.height.into(), &entry["height"]);
            compared.hex(digest, &entry["digest"]);
        }
    }
    compared.digests(&grow(&elements[..11]).1.0, &file["nodes_of_11"]);
    for entry in list(&file["pinned"]) {
        let boundary = number(entry, "boundary");
        let Ok(peaks) = peaks_at(&nodes, at(boundary));
        compared.digests(&peaks.unwrap(), &entry["digests"]);
        compared.positions(boundary, &entry["positions"]);
    }
    for entry in list(&file["proofs"]) {
        let (_, nodes) = grow(&elements[..number(entry, "leaves") as usize]);
        let pinned = &entry["pinned_at_start"];
        compared.proof(&nodes, &elements, entry, &pinned["digests"]);
        compared.positions(number(entry, "start"), &pinned["positions"]);
    }
    for entry in list(&file["historical"]) {
        let (_, nodes) = grow(&elements[..number(entry, "leaves_now") as usize]);
        compared.proof(&nodes, &elements, entry, &entry["pinned_at_start"]);
    }

    let there = sections
        .iter()
        .map(|section| texts(&file[*section]))
        .sum::<usize>();
    assert_eq!(compared.hexes, there, "a value was passed over");
    // To the stream itself, so that it is seen where the test runner keeps what tests print to itself.
    let _ = writeln!(
        std::io::stderr(),
        "mmr.json: compared {} digests, roots and encodings and {} numbers; verified {} proofs",
        compared.hexes,
        compared.numbers,
        list(&file["proofs"]).len() + list(&file["historical"]).len()
    );
}

#[test]
fn roots_nodes_and_proofs_are_those_of_the_format() {
    // F1.3, F1.5, F2.6, F5
    let elements: Vec<_> = (0..1000u64).map(|i| i.to_be_bytes().to_vec()).collect();
    for (leaves, count, root) in ROOTS {
        let (frontier, nodes) = grow(&elements[..leaves]);
        assert_eq!(frontier.root(), digest(root), "{leaves} leaves");
        assert_eq!(nodes.0.len(), count, "{leaves} leaves");
    }
    let (frontier, nodes) = grow(&elements[..11]);
    assert_eq!(nodes.0, NODES_OF_11.map(digest));
    for (a, b, encoded) in PROOFS_AT_11 {
        let proof = prove(&nodes, at(11), at(a)..at(b)).unwrap();
        assert_eq!(hex::encode(proof.to_vec()), encoded, "{a}..{b}");
        let decoded = Proof::from_slice(&hex::decode(encoded).unwrap()).unwrap();
        let elements = &elements[a as usize..b as usize];
        assert!(verify(&decoded, at(a), elements, None, &frontier.root()).is_ok());
    }
}

// ---- Against the reference ----

/// Prove and verify one range both ways; `store` holds at least `n` leaves.
fn agree(store: &Store, nodes: &MemoryNodes, elements: &[Vec<u8>], n: u64, a: u64, b: u64) {
    let mut claim = honest(store, elements, n, a, b);
    let proof = prove(nodes, at(n), at(a)..at(b)).unwrap();
    assert_eq!(proof.digests, claim.digests, "{a}..{b} at {n}");
    assert_eq!(
        Proof::from_slice(&proof.to_vec()),
        Ok(proof),
        "{a}..{b} at {n} read back"
    );
    let seen = claim.verify().unwrap();
    let between = reference::pos(a)..reference::pos(b);
    let completed: Vec<_> = seen.range(between.clone()).map(|(_, digest)| *digest).collect();
    let stored: Vec<_> = store.range(between).map(|(_, digest)| *digest).collect();
    assert_eq!(completed, stored, "{a}..{b} at {n}: a node was not rebuilt");
    assert_eq!(check(&claim), Ok(stored.clone()), "{a}..{b} at {n}");
    claim.pinned = None;
    assert_eq!(check(&claim), Ok(stored), "{a}..{b} at {n} without pinned nodes");
}

#[test]
fn every_range_of_every_small_size_is_proven_and_leaves_exactly_its_nodes() {
    // F1.6, F1.7, F1.9, W21.3: verifying leaves the digests that storing needs.
    let elements = mixed_elements(40);
    let (store, (_, nodes)) = (grow_slowly(&elements), grow(&elements));
    assert!(store.values().eq(&nodes.0));
    for n in 0..=40 {
        let peaks: Vec<_> = reference::peaks(n)
            .iter()
            .map(|peak| store[&peak.position()])
            .collect();
        assert_eq!(root_at(&nodes, n), reference::root(n, &peaks), "{n} leaves");
        for b in 1..=n {
            for a in 0..b {
                agree(&store, &nodes, &elements, n, a, b);
            }
        }
    }
}

#[test]
fn random_ranges_of_larger_sizes_are_proven_and_leave_exactly_their_nodes() {
    let elements = mixed_elements(5000);
    let (store, (_, nodes)) = (grow_slowly(&elements), grow(&elements));
    assert!(store.values().eq(&nodes.0));
    // A failure names its range, which is all there is to know.
    let mut rng = ChaCha8Rng::seed_from_u64(0x5eed_0001);
    for _ in 0..400 {
        let n = rng.random_range(41..=5000);
        let a = rng.random_range(0..n);
        let b = rng.random_range(a + 1..=n.min(a + 600));
        agree(&store, &nodes, &elements, n, a, b);
    }
    agree(&store, &nodes, &elements, 5000, 0, 5000);
}

#[test]
fn ranges_of_sizes_up_to_the_limit_are_proven_and_verified() {
    let seed = 0x5eed_0002;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let ends = [(MAX, 0, 3), (MAX, MAX - 3, 3), (MAX - 1, MAX - 2, 1), (1, 0, 1)];
    let claims = ends.map(|(n, a, k)| MadeUp::claim(n, a, k)).into_iter();
    for claim in claims.chain((0..500).map(|_| MadeUp::random(&mut rng))) {
        let (n, a) = (claim.leaves, claim.start);
        let b = a + claim.elements.len() as u64;
        let case = format!("seed {seed:#x}: {a}..{b} at {n}");
        let proof = prove(&MadeUp, at(n), at(a)..at(b)).unwrap();
        assert_eq!(proof.digests, claim.digests, "{case}");
        assert!(proof.digests.len() <= MAX_DIGESTS, "{case}");
        let seen = claim.verify().unwrap();
        let nodes: Vec<_> = seen.range(reference::pos(a)..reference::pos(b)).collect();
        assert_eq!(nodes.len() as u64, nodes_between(&(at(a)..at(b))), "{case}");
        assert_eq!(
            check(&claim),
            Ok(nodes.into_iter().map(|(_, digest)| *digest).collect()),
            "{case}"
        );
    }
}

#[test]
fn appending_in_any_chunks_gives_the_same_nodes_peaks_and_roots() {
    let elements = mixed_elements(700);
    let store = grow_slowly(&elements);
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut frontier = Frontier::default();
        let mut nodes = Vec::new();
        let mut rest = &elements[..];
        while !rest.is_empty() {
            let most = if rng.random_ratio(1, 4) { 200 } else { 9 };
            let (chunk, later) = rest.split_at(rng.random_range(0..=rest.len().min(most)));
            nodes.extend(frontier.append(chunk).unwrap());
            rest = later;
            let n = (elements.len() - rest.len()) as u64;
            let peaks: Vec<_> = reference::peaks(n)
                .iter()
                .map(|peak| store[&peak.position()])
                .collect();
            assert_eq!(frontier.size(), at(n), "seed {seed}");
            assert_eq!(frontier.peaks(), peaks, "seed {seed}, {n} leaves");
            assert_eq!(
                frontier.root(),
                reference::root(n, &peaks),
                "seed {seed}, {n} leaves"
            );
            // F1.9: the peaks are all that is needed to go on.
            frontier = Frontier::new(at(n), peaks).unwrap();
        }
        assert!(nodes.iter().eq(store.values()), "seed {seed}");
    }
}

#[test]
fn a_frontier_grows_up_to_the_limit_and_not_beyond() {
    for (size, count) in [
        (MAX - 1, 1),
        (MAX - 3, 3),
        (MAX - 6, 5),
        (MAX, 0),
        ((1 << 40) - 2, 5),
    ] {
        let mut store: Store = reference::peaks(size)
            .iter()
            .map(|peak| (peak.position(), MadeUp::digest(peak.position())))
            .collect();
        let peaks: Vec<_> = store.values().copied().collect();
        let mut frontier = Frontier::new(at(size), peaks).unwrap();
        let elements = mixed_elements(count);
        for (n, element) in (size..).zip(&elements) {
            reference::append(&mut store, n, element);
        }
        let nodes = frontier.append(&elements[..]).unwrap();
        let end = size + count;
        let new = reference::pos(size)..reference::pos(end);
        assert!(
            nodes.iter().eq(store.range(new).map(|(_, digest)| digest)),
            "{size} + {count}"
        );
        let peaks: Vec<_> = reference::peaks(end)
            .iter()
            .map(|peak| store[&peak.position()])
            .collect();
        assert_eq!(frontier.peaks(), peaks, "{size} + {count}");
        assert_eq!(frontier.root(), reference::root(end, &peaks), "{size} + {count}");

        if MAX - end < 8 {
            let before = frontier.clone();
            assert_eq!(frontier.append(&mixed_elements(MAX - end + 1)[..]), None);
            assert_eq!(frontier, before, "a refused append changed something");
        }
    }
    for (size, count) in [(0, 1), (1, 0), (11, 2), (11, 4)] {
        assert_eq!(
            Frontier::new(at(size), vec![Digest::default(); count]),
            None,
            "{size}"
        );
    }
}

/// Nodes from `pos(start)` on, and the peaks of `start`.
struct Pruned<'a> {
    nodes: &'a MemoryNodes,
    start: u64,
}

impl Nodes for Pruned<'_> {
    type Error = Infallible;

    fn node(&self, position: Position) -> Result<Option<Digest>, Infallible> {
        let held = position >= at(self.start).position()
            || peaks(at(self.start)).any(|peak| peak.position() == position);
        if held { self.nodes.node(position) } else { Ok(None) }
    }
}

#[test]
fn pinned_nodes_and_later_ones_prove_whatever_starts_later() {
    // F1.9, F1.12
    let elements = mixed_elements(26);
    let (_, nodes) = grow(&elements);
    let mut refused = 0;
    for start in 0..26 {
        let pruned = Pruned { nodes: &nodes, start };
        for n in start + 1..=26 {
            for (a, b) in (0..n).flat_map(|a| (a + 1..=n).map(move |b| (a, b))) {
                let whole = prove(&nodes, at(n), at(a)..at(b)).unwrap();
                match prove(&pruned, at(n), at(a)..at(b)) {
                    Ok(proof) => assert_eq!(proof, whole, "{a}..{b} at {n}, pruned to {start}"),
                    Err(Error::Pruned(position)) => {
                        assert!(a < start && position < at(start).position());
                        refused += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn only_ranges_inside_the_size_are_proven() {
    let (_, nodes) = grow(&mixed_elements(11));
    for (n, a, b) in [
        (11, 3, 3),
        (11, 4, 3),
        (11, 11, 11),
        (11, 10, 12),
        (0, 0, 0),
        (0, 0, 1),
        (5, 4, 6),
        (11, 0, MAX),
    ] {
        let error = prove(&nodes, at(n), at(a)..at(b));
        assert!(matches!(error, Err(Error::Range { .. })), "{a}..{b} at {n}");
    }
    // A size that the nodes do not reach is a missing node, not a proof.
    for n in [12, 16, MAX - 1, MAX] {
        let error = prove(&nodes, at(n), at(0)..at(1));
        assert!(matches!(error, Err(Error::Pruned(_))), "size {n}");
    }
}

// ---- F1.11: what must be refused ----

fn verdict(result: &Result<Vec<Digest>, Invalid>) -> &'static str {
    match result {
        Ok(_) => "accepted",
        Err(Invalid::Range { .. }) => "range",
        Err(Invalid::Digests { .. }) => "digests",
        Err(Invalid::Root { .. }) => "root",
        Err(Invalid::Pinned { .. }) => "pinned",
    }
}

fn flip(digest: &mut Digest) {
    digest.0[31] ^= 1;
}

fn pinned(claim: &mut Claim) -> &mut Vec<Digest> {
    claim.pinned.as_mut().unwrap()
}

#[test]
fn whatever_is_altered_is_refused_and_says_why() {
    // At 59 = 111011b leaves, 53..55 has two peaks before it (folded), siblings 48..52 and 52 to its left and
    // 55 to its right, and two peaks after it. 53 = 110101b: two folded and two single pinned nodes.
    let elements = mixed_elements(59);
    let base = honest(&grow_slowly(&elements), &elements, 59, 53, 55);
    assert_eq!((base.digests.len(), base.pinned.as_ref().unwrap().len()), (6, 4));
    assert_eq!(verdict(&check(&base)), "accepted");
    type Row = (&'static str, &'static str, fn(&mut Claim));
    let rows: &[Row] = &[
        ("one digest too few", "digests", |c| c.digests.truncate(5)),
        ("no digests", "digests", |c| c.digests.clear()),
        ("one digest too many", "digests", |c| {
            c.digests.push(Digest::default())
        }),
        ("the first digest twice", "digests", |c| {
            c.digests.insert(0, c.digests[0])
        }),
        ("as many digests as a list may have", "digests", |c| {
            c.digests.resize(MAX_DIGESTS, Digest::default())
        }),
        ("the prefix altered", "root", |c| flip(&mut c.digests[0])),
        ("a later peak altered", "root", |c| flip(&mut c.digests[2])),
        ("a left sibling altered", "root", |c| flip(&mut c.digests[3])),
        ("a right sibling altered", "root", |c| flip(&mut c.digests[5])),
        ("digests reordered", "root", |c| c.digests.swap(3, 4)),
        ("leaves altered, fewer digests needed", "digests", |c| {
            c.leaves = 60
        }),
        ("leaves altered, as many digests needed", "root", |c| {
            c.leaves = 64
        }),
        ("leaves below the end", "range", |c| c.leaves = 54),
        ("no leaves", "range", |c| c.leaves = 0),
        ("leaves at the limit", "digests", |c| c.leaves = MAX),
        ("leaves just below the limit", "digests", |c| c.leaves = MAX - 1),
        ("start one lower", "digests", |c| c.start -= 1),
        ("start one higher", "digests", |c| c.start += 1),
        ("start elsewhere, as many digests needed", "root", |c| {
            (c.leaves, c.start, c.pinned) = (59 + 64, 53 + 64, None)
        }),
        ("elements reordered", "root", |c| c.elements.swap(0, 1)),
        ("an element altered", "root", |c| c.elements[1].push(0)),
        ("an element missing in front", "root", |c| {
            c.elements.remove(0);
        }),
        ("an element missing at the end", "root", |c| {
            c.elements.pop();
        }),
        ("an element added", "digests", |c| c.elements.push(vec![7])),
        ("end beyond the leaves", "range", |c| {
            c.elements.resize(7, Vec::new())
        }),
        ("end past 2^62", "range", |c| (c.leaves, c.start) = (MAX, MAX - 1)),
        ("start at 2^62", "range", |c| (c.leaves, c.start) = (MAX, MAX)),
        ("no elements", "range", |c| c.elements.clear()),
        ("no elements and nothing else", "range", |c| {
            c.elements.clear();
            c.digests.clear();
            c.pinned = None;
        }),
        ("no elements at the end", "range", |c| {
            c.elements.clear();
            c.digests.clear();
            c.start = c.leaves;
        }),
        (
            "no elements at start 0 of leaves, under the root of no peaks",
            "range",
            |c| {
                c.elements.clear();
                c.digests.clear();
                c.start = 0;
                c.pinned = None;
                c.root = reference::root(c.leaves, &[]);
            },
        ),
        ("another root", "root", |c| flip(&mut c.root)),
        ("no pinned nodes", "pinned", |c| pinned(c).clear()),
        ("a pinned node too few", "pinned", |c| pinned(c).truncate(3)),
        ("a pinned node too many", "pinned", |c| {
            pinned(c).push(Digest::default())
        }),
        ("the first folded pinned node altered", "pinned", |c| {
            flip(&mut pinned(c)[0])
        }),
        ("the last folded pinned node altered", "pinned", |c| {
            flip(&mut pinned(c)[1])
        }),
        ("the folded pinned nodes swapped", "pinned", |c| {
            pinned(c).swap(0, 1)
        }),
        ("the first single pinned node altered", "pinned", |c| {
            flip(&mut pinned(c)[2])
        }),
        ("the last single pinned node altered", "pinned", |c| {
            flip(&mut pinned(c)[3])
        }),
        ("the fold in place of what is folded", "pinned", |c| {
            let fold = c.digests[0];
            pinned(c).splice(..2, [fold]);
        }),
    ];
    for (case, expected, alter) in rows {
        let mut claim = base.clone();
        alter(&mut claim);
        assert_eq!(verdict(&check(&claim)), *expected, "{case}");
        assert!(claim.verify().is_none(), "{case}: the reference accepts it");
    }
}

#[test]
fn only_nothing_is_proven_by_nothing() {
    let empty = Claim {
        leaves: 0,
        digests: Vec::new(),
        start: 0,
        elements: Vec::new(),
        pinned: None,
        root: reference::root(0, &[]),
    };
    type Row = (&'static str, &'static str, fn(&mut Claim));
    let rows: &[Row] = &[
        ("as it is", "accepted", |_| ()),
        ("with no pinned nodes", "accepted", |c| {
            c.pinned = Some(Vec::new())
        }),
        ("pinned nodes at 0", "pinned", |c| {
            c.pinned = Some(vec![Digest::default()])
        }),
        ("digests", "digests", |c| c.digests.push(Digest::default())),
        ("another root", "root", |c| c.root = Digest::default()),
        ("a start", "range", |c| c.start = 1),
        ("leaves", "range", |c| c.leaves = 1),
        ("leaves under their own empty root", "range", |c| {
            (c.leaves, c.root) = (5, reference::root(5, &[]))
        }),
        ("the limit", "range", |c| (c.leaves, c.start) = (MAX, MAX)),
        ("an element", "range", |c| c.elements.push(Vec::new())),
    ];
    for (case, expected, alter) in rows {
        let mut claim = empty.clone();
        alter(&mut claim);
        assert_eq!(verdict(&check(&claim)), *expected, "{case}");
        assert_eq!(claim.verify().is_some(), *expected == "accepted", "{case}");
    }
    // Pinned nodes at 0 are refused when there are elements, too.
    let elements = mixed_elements(3);
    let mut claim = honest(&grow_slowly(&elements), &elements, 3, 0, 2);
    pinned(&mut claim).push(Digest::default());
    assert_eq!(check(&claim), Err(Invalid::Pinned { at: Location::ZERO }));
}

#[test]
fn every_single_digest_counts() {
    let elements = mixed_elements(24);
    let store = grow_slowly(&elements);
    let real = (1..=24u64).flat_map(|n| (0..n).flat_map(move |a| (a + 1..=n).map(move |b| (n, a, b))));
    let real = real.map(|(n, a, b)| honest(&store, &elements, n, a, b));
    let seed = 0x5eed_0003;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut altered = 0;
    for claim in real.chain((0..60).map(|_| MadeUp::random(&mut rng))) {
        let case = format!("seed {seed:#x}: {} at {}", claim.start, claim.leaves);
        for i in 0..claim.digests.len() {
            let mut claim = claim.clone();
            flip(&mut claim.digests[i]);
            assert_eq!(verdict(&check(&claim)), "root", "{case}, digest {i}");
            altered += 1;
        }
        for i in 0..claim.pinned.as_ref().map_or(0, Vec::len) {
            let mut claim = claim.clone();
            flip(&mut pinned(&mut claim)[i]);
            assert_eq!(verdict(&check(&claim)), "pinned", "{case}, pinned node {i}");
            altered += 1;
        }
        for i in 0..claim.elements.len() {
            let mut claim = claim.clone();
            claim.elements[i].push(0);
            assert_eq!(verdict(&check(&claim)), "root", "{case}, element {i}");
            altered += 1;
        }
    }
    assert!(altered > 10_000, "{altered}");
}

/// Claims a number of elements and must not be looked at.
struct Untouchable(usize);

impl Elements for Untouchable {
    fn len(&self) -> usize {
        self.0
    }

    fn get(&self, _: usize) -> &[u8] {
        panic!("an element of a proof with a wrong shape was hashed")
    }
}

#[test]
fn a_wrong_shape_is_found_before_anything_is_hashed_or_allocated() {
    // W24.3, F1.11: the elements panic when they are looked at.
    let root = Digest::default();
    // leaves, start, elements, digests, pinned nodes, verdict
    for (leaves, start, count, digests, pinned, expected) in [
        (11, 4, 2, 3, None, "digests"),
        (11, 4, 2, 5, None, "digests"),
        (11, 4, 2, 4, Some(2), "pinned"),
        (11, 4, 2, 4, Some(0), "pinned"),
        (11, 4, 8, 4, None, "range"),
        (MAX, 0, 1, 61, None, "digests"),
        (MAX, 0, 1 << 61, 0, None, "digests"),
        (MAX - 1, 1, usize::MAX >> 3, 7, None, "digests"),
        (MAX, 0, usize::MAX, 0, None, "range"),
        (MAX, MAX, usize::MAX, 0, None, "range"),
        (MAX, MAX - 1, 2, 0, None, "range"),
        (MAX - 1, MAX - 2, 1, 1, Some(63), "pinned"),
    ] {
        let proof = Proof {
            leaves: at(leaves),
            digests: vec![root; digests],
        };
        let pinned = pinned.map(|count| vec![root; count]);
        let result = verify(&proof, at(start), &Untouchable(count), pinned.as_deref(), &root);
        assert_eq!(verdict(&result), expected, "{count} at {start} of {leaves}");
    }
}

#[test]
fn encoded_proofs_are_bounded() {
    // F2.6
    let encoded = |count| {
        let digests = vec![Digest::default(); count];
        let leaves = Location::MAX;
        Proof { leaves, digests }.to_vec()
    };
    let largest = encoded(MAX_DIGESTS);
    assert!(Proof::from_slice(&largest).is_ok());
    for cut in 0..largest.len() {
        assert_eq!(
            Proof::from_slice(&largest[..cut]),
            Err(codec::Error::Short),
            "cut at {cut}"
        );
    }
    for (case, bytes, error) in [
        (
            "too many digests",
            encoded(MAX_DIGESTS + 1),
            codec::Error::Length { got: 185, max: 184 },
        ),
        (
            "a huge count and nothing behind it",
            vec![0x0b, 0xff, 0xff, 0xff, 0xff, 0x0f],
            codec::Error::Length {
                got: u32::MAX.into(),
                max: 184,
            },
        ),
        (
            "a fair count and little behind it",
            vec![0x0b, 2, 1, 1],
            codec::Error::Short,
        ),
        ("bytes left over", vec![0x0b, 0, 0], codec::Error::Trailing(1)),
    ] {
        assert_eq!(Proof::from_slice(&bytes), Err(error), "{case}");
    }
}

// ---- Random damage ----

/// Change one thing. Not every change does harm.
fn damage(claim: &mut Claim, rng: &mut ChaCha8Rng) {
    fn number(n: u64, rng: &mut ChaCha8Rng) -> u64 {
        match rng.random_range(0..8) {
            0 => n.wrapping_add(1),
            1 => n.wrapping_sub(1),
            2 => n ^ 1 << rng.random_range(0..64),
            3 => MAX - rng.random_range(0..3),
            4 => u64::MAX - rng.random_range(0..3),
            5 => rng.random_range(0..10),
            6 => n >> rng.random_range(0..10),
            _ => rng.random_range(0..=MAX),
        }
    }
    fn items<T: Clone>(list: &mut Vec<T>, new: T, rng: &mut ChaCha8Rng) {
        let i = rng.random_range(0..=list.len());
        let j = rng.random_range(0..=list.len());
        match rng.random_range(0..4) {
            0 => list.insert(i, new),
            1 if i < list.len() => drop(list.remove(i)),
            2 if i.max(j) < list.len() => list.swap(i, j),
            _ if i < list.len() => list[i] = new,
            _ => list.truncate(i),
        }
    }
    let other = Digest(rng.random());
    // Sometimes a digest that belongs there, or elsewhere.
    let known = claim.digests.iter().chain(claim.pinned.iter().flatten());
    let known: Vec<_> = known.copied().chain([other, claim.root]).collect();
    let digest = known[rng.random_range(0..known.len())];
    match rng.random_range(0..6) {
        0 => claim.leaves = number(claim.leaves, rng),
        1 => claim.start = number(claim.start, rng),
        2 => items(&mut claim.digests, digest, rng),
        3 => items(&mut claim.elements, other.0[..5].to_vec(), rng),
        4 if rng.random_ratio(1, 4) => claim.pinned = claim.pinned.is_none().then(Vec::new),
        4 => items(claim.pinned.get_or_insert_default(), digest, rng),
        _ => claim.root = digest,
    }
}

#[test]
fn damaged_claims_get_the_same_verdict_as_from_the_reference() {
    let elements = mixed_elements(70);
    let store = grow_slowly(&elements);
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    for seed in 0..30_000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut claim = if rng.random() {
            MadeUp::random(&mut rng)
        } else {
            let n = rng.random_range(1..=70);
            let a = rng.random_range(0..n);
            honest(&store, &elements, n, a, rng.random_range(a + 1..=n))
        };
        if rng.random_ratio(1, 4) {
            claim.pinned = None;
        }
        for _ in 0..rng.random_range(0..4) {
            damage(&mut claim, &mut rng);
        }
        // Whoever lies well also picks the root: only then do the pinned nodes decide.
        if rng.random()
            && let Some((root, _)) = claim.rebuild()
        {
            claim.root = root;
        }
        let theirs = claim.verify();
        let ours = if claim.leaves > MAX || claim.start > MAX {
            // There is no such `Location`.
            Err(Invalid::Range {
                leaves: Location::MAX,
            })
        } else {
            check(&claim)
        };
        *seen.entry(verdict(&ours)).or_default() += 1;
        assert_eq!(
            ours.is_ok(),
            theirs.is_some(),
            "seed {seed}: we say {ours:?} to {claim:?}"
        );
        if let (Ok(ours), Some(theirs)) = (ours, theirs) {
            let end = claim.start + claim.elements.len() as u64;
            let nodes = theirs.range(reference::pos(claim.start)..reference::pos(end));
            assert!(ours.iter().eq(nodes.map(|(_, digest)| digest)), "seed {seed}");
        }
    }
    for (verdict, count) in &seen {
        assert!(
            *count > 500,
            "only {count} of {verdict}: the damage is too uniform"
        );
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
}

// ---- FORMAT F5: element `i` is the 8 bytes of `i`, big-endian ----

const ROOTS: [(usize, usize, &str); 13] = [
    (
        0,
        0,
        "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc",
    ),
    (
        1,
        1,
        "e51d0594515d6c385dd616b8249ebeb4b1222d1c0456e37d3b8239fe6f9efe48",
    ),
    (
        2,
        3,
        "84d6db028f31c76e93ea181f29d10e44ba69b4d8e507fe11d4d713c2896a6301",
    ),
    (
        3,
        4,
        "2c8a85f39adfc6968430a24208a5a8ec0aaf69abeba875370fbeef0e430b3baf",
    ),
    (
        4,
        7,
        "1338c56890e922e67ba4697b197d55b1b0e3e410ecd73ceb58fb33ad82ea148e",
    ),
    (
        7,
        11,
        "eafd4f80b497adface3eba694f396fe09e46595abed681959dae04f0fc406e28",
    ),
    (
        8,
        15,
        "31f048b02ee792bfa7ff4e5ebc83ea4a909e835b1c705f45168b2b528e85debb",
    ),
    (
        11,
        19,
        "a9ed7665fb7efa70fa15abbb7a19b7c8f1992875b55c24179d6a6858752a9801",
    ),
    (
        16,
        31,
        "f8502f8545b5e5885a5c3379d466a470bfbce81b603d391caf2687fd8edb8254",
    ),
    (
        19,
        35,
        "0406db5a971760f79edf9c40f611d28e0dda54ba47f1295070e03b5546c86097",
    ),
    (
        31,
        57,
        "e6368a012520f7ce21818581a08a4edadc4669c177bd514d38142174570b8050",
    ),
    (
        100,
        197,
        "19c363840cc1bbb226581a30e80ba13d51d2f59288eb77805e8a3ae061c28a79",
    ),
    (
        1000,
        1994,
        "1a684bbc550ffd46add610bbdb3d089b7e16a3dcdcd702e5f20a6d482e440056",
    ),
];

const NODES_OF_11: [&str; 19] = [
    "374708fff7719dd5979ec875d56cd2286f6d3cf7ec317a3b25632aab28ec37bb",
    "532deabf88729cb43995ab5a9cd49bf9b90a079904dc0645ecda9e47ce7345a9",
    "5d7e8e2cca269ec271671f55efdbaab04dc9ab4d7394b0fa2bb4e7703b8b1f2f",
    "0b2d48717d29b579226a7c52e19a15a5032cfdf3ab2d96464667c28a241e6f09",
    "409c2895c6fa6bcc215e71683ddd785857ffd6a011d9d4f49ff54731ea4a60df",
    "a6661a0223138c211adec56a9e1e30fd084ffc06455754dec07eda72cfdd376f",
    "af671e95438a19bbc0230c1c7994845f703d759a5846e1330d0e310fc49b1c9c",
    "811df171d767cf80c5520c19761f908241b20d240ef02ef3a45c5749c7fb9302",
    "b8d0f2e0ba971732c6e732177d78d17e4404a32222aaf0a403886f733f2cf8ba",
    "545490de4a40680a220dbbcd9a1b001607b5dc929bc2960f0947b9ef63cfeecc",
    "4e2d255b54e484cfba15fd965cc8fe555190e19174363d27aa7eb8384c80312f",
    "1b6ba94ff1c5ee1e39bd1db36d80cb74404561cbe946a371271a4b53fc402bf3",
    "9db4fae12ec3a59fd75fae34055db3d2c2a6a69cbf2f3d083f47ae34e2cda5e0",
    "309ef9a1a5f2afcdff11cbd5ef8c3a584087de192f624ebd97b16c861fd74bf1",
    "79b61b14cbfdefcc4f09068e53ecd13c5ba6f11748757891c5434d4de451f7a4",
    "29ac84e2cd421d24de879617870d5a989e0a594f1ad957a02a89fd77619ddb55",
    "3ea018d63d33a992152120166ffc3ac8910455033f5da228ba898014782ae170",
    "7772e9731da65c86a98080a7bcc485db4a93414eb0f53837f578f6906c1c82bb",
    "fc1875992c640f1f23692aedff8106fd31b7e0431a096cd0ad3c8d600eb0e486",
];

const PROOFS_AT_11: [(u64, u64, &str); 4] = [
    (0, 11, "0b00"),
    (
        9,
        10,
        "0b03\
         79b61b14cbfdefcc4f09068e53ecd13c5ba6f11748757891c5434d4de451f7a4\
         fc1875992c640f1f23692aedff8106fd31b7e0431a096cd0ad3c8d600eb0e486\
         29ac84e2cd421d24de879617870d5a989e0a594f1ad957a02a89fd77619ddb55",
    ),
    (
        10,
        11,
        "0b01\
         e66060354b9387755ceaf135d67de9a746374eab89ba00707492bf2ba01c0fae",
    ),
    (
        4,
        6,
        "0b04\
         7772e9731da65c86a98080a7bcc485db4a93414eb0f53837f578f6906c1c82bb\
         fc1875992c640f1f23692aedff8106fd31b7e0431a096cd0ad3c8d600eb0e486\
         af671e95438a19bbc0230c1c7994845f703d759a5846e1330d0e310fc49b1c9c\
         9db4fae12ec3a59fd75fae34055db3d2c2a6a69cbf2f3d083f47ae34e2cda5e0",
    ),
];
