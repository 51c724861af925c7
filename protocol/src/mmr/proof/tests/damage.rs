//! Random damage.

use super::*;

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
