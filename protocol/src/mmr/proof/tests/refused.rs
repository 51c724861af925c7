//! F1.11: what must be refused.

use super::*;

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
