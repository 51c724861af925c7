//! Against the reference.

use super::*;

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
