//! Proofs for scattered locations (FORMAT F1.10).
//!
//! A multi-proof holds each node once that the proofs of its single elements need, with the earlier peaks listed one by
//! one. Nodes that could be rebuilt from other proven elements are listed all the same.

use super::hash;
use super::nodes::Nodes;
use super::position::{Location, Position};
use super::proof::{Error, Invalid, Proof, put_digests, read_digests, verify};
use super::shape::{Siblings, Split};
use crate::codec::{self, Decode, Encode, Reader};
use crate::digest::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The most digests that one element adds: 61 siblings and 61 other peaks (F2.6).
pub const MAX_DIGESTS_EACH: usize = 122;

/// Shows that elements stand at scattered locations under a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultiProof {
    /// The leaf count that the proof was made for; not to be believed before the root matched.
    pub leaves: Location,
    /// The digests of the nodes it needs, by position.
    pub digests: Vec<Digest>,
}

impl Encode for MultiProof {
    fn encode(&self, out: &mut Vec<u8>) {
        self.leaves.encode(out);
        put_digests(out, &self.digests);
    }
}

impl MultiProof {
    /// Take a proof for at most `elements` elements from the front of the reader.
    ///
    /// # Errors
    /// [`codec::Error::Length`] for more digests than these can need, before anything is allocated; else as codec says.
    pub fn decode(reader: &mut Reader<'_>, elements: usize) -> Result<Self, codec::Error> {
        Ok(Self {
            leaves: Location::decode(reader)?,
            digests: read_digests(reader, elements.saturating_mul(MAX_DIGESTS_EACH))?,
        })
    }
}

/// Prove the elements at `locations` at `size` leaves; their order, and naming one twice, change nothing.
///
/// # Errors
/// [`Error::Range`] for a location not below `size`, and for none at all unless `size` is 0; [`Error::Pruned`],
/// [`Error::Nodes`].
pub fn prove_multi<N: Nodes + ?Sized>(
    nodes: &N,
    size: Location,
    locations: &[Location],
) -> Result<MultiProof, Error<N::Error>> {
    let outside = locations.iter().copied().find(|&at| at >= size);
    if outside.is_some() || (locations.is_empty() && size != Location::ZERO) {
        let start = outside.unwrap_or_default();
        let end = start.saturating_add(u64::from(outside.is_some()));
        return Err(Error::Range { start, end, size });
    }
    let read = |position| {
        nodes
            .node(position)
            .map_err(Error::Nodes)?
            .ok_or(Error::Pruned(position))
    };
    let digests = positions(size, locations.iter().copied()).into_iter().map(read);
    Ok(MultiProof {
        leaves: size,
        digests: digests.collect::<Result<_, _>>()?,
    })
}

/// Check that each of `elements` stands at its location under `root`.
///
/// Costs a hash and the hashes of its path and peaks for every element.
///
/// # Errors
/// [`Invalid`]; the number of digests is checked before the first hash.
pub fn verify_multi<T: AsRef<[u8]>>(
    proof: &MultiProof,
    elements: &[(Location, T)],
    root: &Digest,
) -> Result<(), Invalid> {
    let leaves = proof.leaves;
    let outside = elements.iter().any(|(at, _)| *at >= leaves);
    if outside || (elements.is_empty() && leaves != Location::ZERO) {
        return Err(Invalid::Range { leaves });
    }
    let positions = positions(leaves, elements.iter().map(|(at, _)| *at));
    let (got, want) = (proof.digests.len(), positions.len());
    if got != want {
        return Err(Invalid::Digests { got, want });
    }
    if elements.is_empty() {
        let got = hash::root(leaves, []);
        return if got == *root {
            Ok(())
        } else {
            Err(Invalid::Root { got })
        };
    }
    let digests: BTreeMap<Position, Digest> =
        positions.into_iter().zip(proof.digests.iter().copied()).collect();
    for (at, element) in elements {
        let Needs { before, others } = Needs::new(leaves, *at);
        let digest = |position: &Position| digests.get(position).copied().unwrap_or_default();
        let before: Vec<Digest> = before.iter().map(digest).collect();
        let single = Proof {
            leaves,
            digests: hash::fold(&before)
                .into_iter()
                .chain(others.iter().map(digest))
                .collect(),
        };
        verify(&single, *at, [element.as_ref()].as_slice(), None, root)?;
    }
    Ok(())
}

/// What the proof of a single element needs.
struct Needs {
    /// The peaks before it, in peak order.
    before: Vec<Position>,
    /// The rest, in the order of its proof.
    others: Vec<Position>,
}

impl Needs {
    /// `at` is below `size`.
    fn new(size: Location, at: Location) -> Self {
        let range: Range<Location> = at..at.saturating_add(1);
        let split = Split::new(size, &range);
        let mut others: Vec<_> = split.after.iter().map(|peak| peak.position()).collect();
        for &peak in &split.inside {
            let siblings = Siblings::new(peak, &range);
            others.extend(siblings.left.iter().chain(&siblings.right));
        }
        let before = split.before.iter().map(|peak| peak.position()).collect();
        Self { before, others }
    }
}

fn positions(size: Location, locations: impl Iterator<Item = Location>) -> BTreeSet<Position> {
    locations
        .flat_map(|at| {
            let Needs { before, others } = Needs::new(size, at);
            before.into_iter().chain(others)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmr::{Frontier, MemoryNodes};

    fn at(n: u64) -> Location {
        Location::new(n).unwrap()
    }

    fn structure(size: u64) -> (Vec<Vec<u8>>, MemoryNodes, Digest) {
        let elements: Vec<Vec<u8>> = (0..size).map(|i| i.to_be_bytes().to_vec()).collect();
        let mut frontier = Frontier::default();
        let nodes = frontier.append(elements.as_slice()).unwrap();
        (elements, MemoryNodes(nodes), frontier.root())
    }

    /// Some sets of locations of `size`: single ones, pairs, all, every third.
    fn sets(size: u64) -> Vec<Vec<u64>> {
        let mut sets: Vec<Vec<u64>> = (0..size).map(|i| vec![i]).collect();
        sets.extend((0..size).map(|i| vec![(i * 7 + 3) % size, i]));
        sets.push((0..size).collect());
        sets.push((0..size).step_by(3).collect());
        sets
    }

    #[test]
    fn the_set_of_nodes_is_that_of_the_format() {
        // F1.10. 11 leaves: peaks 14, 17, 18. Location 9 needs its sibling 15 and the peaks 14 and 18; location 2 (leaf 3)
        // needs 4, 2, 13 and the peaks 17 and 18.
        let (_, nodes, _) = structure(11);
        for (locations, positions) in [
            (vec![9], vec![14, 15, 18]),
            (vec![2], vec![2, 4, 13, 17, 18]),
            (vec![2, 9], vec![2, 4, 13, 14, 15, 17, 18]),
            // Neighbours list each other's leaf.
            (vec![2, 3], vec![2, 3, 4, 13, 17, 18]),
        ] {
            let locations: Vec<_> = locations.into_iter().map(at).collect();
            let proof = prove_multi(&nodes, at(11), &locations).unwrap();
            let want: Vec<_> = positions.iter().map(|&p: &usize| nodes.0[p]).collect();
            assert_eq!(proof.digests, want, "{locations:?}");
        }
    }

    #[test]
    fn true_proofs_hold_and_altered_ones_do_not() {
        let mut altered = 0;
        for size in [1, 2, 3, 7, 8, 11, 19, 31, 64, 70] {
            let (elements, nodes, root) = structure(size);
            for set in sets(size) {
                let locations: Vec<_> = set.iter().copied().map(at).collect();
                let proof = prove_multi(&nodes, at(size), &locations).unwrap();
                let chosen: Vec<_> = set.iter().map(|&i| (at(i), &elements[i as usize][..])).collect();
                assert_eq!(verify_multi(&proof, &chosen, &root), Ok(()), "{size}: {set:?}");
                let bytes = proof.to_vec();
                let mut reader = Reader::new(&bytes);
                assert_eq!(MultiProof::decode(&mut reader, set.len()), Ok(proof.clone()));
                assert_eq!(reader.finish(), Ok(()));

                let refused = |proof: &MultiProof, chosen: &[(Location, &[u8])]| {
                    assert!(verify_multi(proof, chosen, &root).is_err(), "{size}: {set:?}");
                };
                for i in 0..proof.digests.len() {
                    let mut bad = proof.clone();
                    bad.digests[i].0[31] ^= 1;
                    refused(&bad, &chosen);
                    bad.digests.remove(i);
                    refused(&bad, &chosen);
                    altered += 2;
                }
                for leaves in [0, size - 1, size + 1, 1 << 62] {
                    let leaves = at(leaves);
                    refused(
                        &MultiProof {
                            leaves,
                            ..proof.clone()
                        },
                        &chosen,
                    );
                }
                for i in 0..chosen.len().min(5) {
                    let mut bad = chosen.clone();
                    bad[i].1 = b"other";
                    refused(&proof, &bad);
                    bad[i] = (at((set[i] + 1) % (size + 1)), chosen[i].1);
                    refused(&proof, &bad);
                }
            }
        }
        assert!(altered > 5000, "{altered}");
    }

    #[test]
    fn nothing_is_proven_by_an_empty_structure_only() {
        let (_, nodes, root) = structure(3);
        let none: [(Location, &[u8]); 0] = [];
        let empty = prove_multi(&MemoryNodes::default(), at(0), &[]).unwrap();
        assert_eq!(verify_multi(&empty, &none, &hash::root(at(0), [])), Ok(()));
        assert!(verify_multi(&empty, &none, &root).is_err());
        assert!(prove_multi(&nodes, at(3), &[]).is_err());
        assert!(prove_multi(&nodes, at(3), &[at(3)]).is_err());
        assert!(
            prove_multi(&nodes, at(70), &[at(60)]).is_err(),
            "nodes that are not held"
        );
        let digests = vec![root];
        assert!(
            verify_multi(
                &MultiProof {
                    leaves: at(0),
                    digests
                },
                &none,
                &hash::root(at(0), [])
            )
            .is_err()
        );
        // A count from outside is held against the elements asked for, before anything is allocated.
        let mut reader = Reader::new(&[3, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert!(matches!(
            MultiProof::decode(&mut reader, 2),
            Err(codec::Error::Length { max: 244, .. })
        ));
    }
}
