//! FORMAT F1.2 to F1.9 once more, word by word: recursive, slow, on plain numbers, and sharing nothing but
//! SHA-256 with the code that is compared to it. For tests, here and in crates above (feature `testing`).

use crate::digest::Digest;
use std::collections::BTreeMap;

/// Node digests by position.
pub type Store = BTreeMap<u64, Digest>;

/// F1.2.
pub fn pos(n: u64) -> u64 {
    2 * n - u64::from(n.count_ones())
}

/// A perfect tree over the locations `first..first + 2^height`.
#[derive(Clone, Copy)]
pub struct Tree {
    first: u64,
    height: u32,
}

impl Tree {
    fn end(self) -> u64 {
        self.first + (1 << self.height)
    }

    /// F1.4.
    pub fn position(self) -> u64 {
        pos(self.first) + (1 << (self.height + 1)) - 2
    }

    fn children(self) -> [Self; 2] {
        let height = self.height - 1;
        [self.first, self.first + (1 << height)].map(|first| Self { first, height })
    }

    fn is_outside(self, start: u64, end: u64) -> bool {
        self.end() <= start || self.first >= end
    }
}

/// F1.4: in peak order.
pub fn peaks(n: u64) -> Vec<Tree> {
    let mut peaks = Vec::new();
    let mut first = 0;
    for height in (0..63).rev().filter(|height| n >> height & 1 == 1) {
        peaks.push(Tree { first, height });
        first += 1 << height;
    }
    peaks
}

/// F1.3: a leaf.
fn leaf(position: u64, element: &[u8]) -> Digest {
    Digest::of(&[&[&position.to_be_bytes()[..], element].concat()])
}

/// F1.3: an inner node.
fn inner(position: u64, left: Digest, right: Digest) -> Digest {
    Digest::of(&[&[&position.to_be_bytes()[..], &left.0, &right.0].concat()])
}

/// F1.5: append one element to a structure of `n` leaves.
pub fn append(store: &mut Store, n: u64, element: &[u8]) {
    let mut position = pos(n);
    store.insert(position, leaf(position, element));
    for height in 1..=n.trailing_ones() {
        position += 1;
        let (left, right) = (store[&(position - (1 << height))], store[&(position - 1)]);
        store.insert(position, inner(position, left, right));
    }
}

/// F1.5: the left fold; `None` of nothing.
pub fn fold(peaks: &[Digest]) -> Option<Digest> {
    let (first, rest) = peaks.split_first()?;
    let mut acc = *first;
    for peak in rest {
        acc = Digest::of(&[&[acc.0, peak.0].concat()]);
    }
    Some(acc)
}

/// F1.5: the root of `n` leaves with these peaks.
pub fn root(n: u64, peaks: &[Digest]) -> Digest {
    let acc = fold(peaks).map_or(Vec::new(), |acc| acc.0.to_vec());
    Digest::of(&[&[&n.to_be_bytes()[..], &acc].concat()])
}

/// F1.6: the digests of the proof of `a..b` at `n` leaves, whose nodes are `at` a position.
pub fn prove(at: &impl Fn(u64) -> Digest, n: u64, a: u64, b: u64) -> Vec<Digest> {
    fn walk(tree: Tree, a: u64, b: u64, at: &impl Fn(u64) -> Digest, out: &mut Vec<Digest>) {
        if tree.is_outside(a, b) {
            out.push(at(tree.position()));
        } else if tree.height > 0 {
            for child in tree.children() {
                walk(child, a, b, at, out);
            }
        }
    }
    let digest = |peak: &Tree| at(peak.position());
    let before: Vec<_> = peaks(n)
        .iter()
        .filter(|peak| peak.end() <= a)
        .map(digest)
        .collect();
    let mut digests: Vec<_> = fold(&before).into_iter().collect();
    digests.extend(peaks(n).iter().filter(|peak| peak.first >= b).map(digest));
    for peak in peaks(n) {
        if !peak.is_outside(a, b) {
            walk(peak, a, b, at, &mut digests);
        }
    }
    digests
}

/// All that a verifier is handed. The numbers may be any.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The proof's leaf count.
    pub leaves: u64,
    /// The proof's digests.
    pub digests: Vec<Digest>,
    /// The location of the first element.
    pub start: u64,
    /// The elements.
    pub elements: Vec<Vec<u8>>,
    /// The pinned nodes at `start`, if they are claimed.
    pub pinned: Option<Vec<Digest>>,
    /// The root to lead to.
    pub root: Digest,
}

impl Claim {
    /// F1.7 and F1.9: the nodes seen on the way if all holds.
    pub fn verify(&self) -> Option<Store> {
        let (root, seen) = self.rebuild()?;
        let pinned = self.pinned.as_deref();
        (root == self.root && pinned.is_none_or(|pinned| self.holds(pinned, &seen))).then_some(seen)
    }

    /// F1.7: the root that the claim leads to, and the nodes seen inside overlapping peaks.
    pub fn rebuild(&self) -> Option<(Digest, Store)> {
        let (n, a) = (self.leaves, self.start);
        if self.elements.is_empty() {
            let empty = n == 0 && a == 0 && self.digests.is_empty();
            return empty.then(|| (root(0, &[]), Store::new()));
        }
        let b = a.checked_add(self.elements.len() as u64)?;
        if n > 1 << 62 || a >= 1 << 62 || b > n {
            return None;
        }
        let has_prefix = peaks(n).iter().any(|peak| peak.end() <= a);
        let later = peaks(n).iter().filter(|peak| peak.first >= b).count();
        let (prefix, rest) = self.digests.split_at_checked(usize::from(has_prefix))?;
        let (later, siblings) = rest.split_at_checked(later)?;
        let mut walk = Walk {
            range: (a, b),
            siblings,
            elements: &self.elements,
            seen: Store::new(),
        };
        let mut list = prefix.to_vec();
        for peak in peaks(n) {
            if !peak.is_outside(a, b) {
                list.push(walk.rebuild(peak)?);
            }
        }
        list.extend(later);
        let used_up = walk.siblings.is_empty() && walk.elements.is_empty();
        used_up.then(|| (root(n, &list), walk.seen))
    }

    /// F1.9, after the root was found right.
    fn holds(&self, pinned: &[Digest], seen: &Store) -> bool {
        if self.elements.is_empty() {
            return pinned.is_empty();
        }
        let peaks_of_start = peaks(self.start);
        if pinned.len() != peaks_of_start.len() {
            return false;
        }
        let folded = peaks(self.leaves)
            .iter()
            .filter(|peak| peak.end() <= self.start)
            .count();
        let prefix_holds = folded == 0 || fold(&pinned[..folded]).as_ref() == self.digests.first();
        let mut single = pinned.iter().zip(peaks_of_start).skip(folded);
        prefix_holds && single.all(|(digest, peak)| seen.get(&peak.position()) == Some(digest))
    }
}

/// F1.7 step 4.
struct Walk<'a> {
    range: (u64, u64),
    siblings: &'a [Digest],
    elements: &'a [Vec<u8>],
    seen: Store,
}

impl Walk<'_> {
    fn rebuild(&mut self, tree: Tree) -> Option<Digest> {
        let position = tree.position();
        let digest = if tree.is_outside(self.range.0, self.range.1) {
            let (first, rest) = self.siblings.split_first()?;
            self.siblings = rest;
            *first
        } else if tree.height == 0 {
            let (first, rest) = self.elements.split_first()?;
            self.elements = rest;
            leaf(position, first)
        } else {
            let [left, right] = tree.children();
            let left = self.rebuild(left)?;
            inner(position, left, self.rebuild(right)?)
        };
        self.seen.insert(position, digest);
        Some(digest)
    }
}
