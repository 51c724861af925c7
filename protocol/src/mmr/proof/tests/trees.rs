//! Whole trees known beforehand, against the leaves themselves.

use super::*;
use crate::mmr::position::node_position;

#[test]
fn known_trees_lead_where_their_leaves_do() {
    // F1.7, F1.9
    let elements: Vec<_> = (0..40u8).map(|n| vec![n; 3]).collect();
    let mut frontier = Frontier::default();
    let nodes = MemoryNodes(frontier.append(elements.as_slice()).unwrap());
    let node = |position: Position| nodes.0.get(position.get() as usize).copied();
    for (size, end) in (1..=40).flat_map(|size| (1..=size).map(move |end| (size, end))) {
        let Ok(peaks) = peaks_at(&nodes, at(size));
        let root = hash::root(at(size), &peaks.unwrap());
        for start in 0..end {
            let (case, range) = (format!("{start}..{end} at {size}"), at(start)..at(end));
            let proof = prove(&nodes, at(size), range.clone()).unwrap();
            let Ok(pinned) = peaks_at(&nodes, at(start));
            let pinned = pinned.unwrap();
            let tree = |first: Location, height: u32| {
                let last = first.saturating_add(1u64 << height);
                assert!(range.start <= first && last <= range.end, "{case}: outside");
                node(node_position(first, height))
            };
            assert!(proof.leads(&range, None, &root, tree), "{case}");
            assert!(proof.leads(&range, Some(&pinned), &root, tree), "{case}");
            let other = Digest([7; 32]);
            assert!(!proof.leads(&range, None, &other, tree), "{case}: another root");
            let wrong = |first, height: u32| tree(first, height).map(|_| other);
            assert!(!proof.leads(&range, None, &root, wrong), "{case}: another tree");
            assert!(!proof.leads(&range, None, &root, |_, _| None), "{case}: no tree");
            for i in 0..proof.digests.len() {
                let mut proof = proof.clone();
                proof.digests[i].0[i % 32] ^= 1;
                assert!(!proof.leads(&range, None, &root, tree), "{case}: digest {i}");
                proof.digests.remove(i);
                assert!(!proof.leads(&range, None, &root, tree), "{case}: no digest {i}");
            }
            for i in 0..pinned.len() {
                let mut pinned = pinned.clone();
                pinned[i].0[i % 32] ^= 1;
                assert!(
                    !proof.leads(&range, Some(&pinned), &root, tree),
                    "{case}: peak {i}"
                );
                pinned.remove(i);
                assert!(
                    !proof.leads(&range, Some(&pinned), &root, tree),
                    "{case}: no peak {i}"
                );
            }
        }
    }
}
