//! A run of encoded operations: one buffer, and where each of them ends.

use crate::mmr::Elements;
use bytes::Bytes;
use std::ops::Range;

/// Encoded operations, oldest first, in one buffer. Cloning and cutting copy no operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    bytes: Bytes,
    /// Where each operation ends in `bytes`; strictly rising, the last is its length.
    ends: Vec<u32>,
}

impl Operations {
    /// Cut `bytes` at `ends`. `None` unless the ends rise strictly (no operation is empty) up to exactly the length.
    pub fn new(bytes: Bytes, ends: Vec<u32>) -> Option<Self> {
        let rising = ends.is_sorted_by(|a, b| a < b) && ends.first() != Some(&0);
        let whole = ends.last().copied().unwrap_or(0) as usize == bytes.len();
        (rising && whole).then_some(Self { bytes, ends })
    }

    /// Copy single operations into one buffer. `None` if one is empty or all together pass 4 GiB.
    pub fn collect<T: AsRef<[u8]>>(operations: impl IntoIterator<Item = T>) -> Option<Self> {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for operation in operations {
            bytes.extend_from_slice(operation.as_ref());
            ends.push(u32::try_from(bytes.len()).ok()?);
        }
        Self::new(bytes.into(), ends)
    }

    /// All operations back to back.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where each operation ends in [`Self::bytes`].
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The operations, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|i| self.get(i))
    }

    /// Those of a range of indices, which lies inside.
    pub(crate) fn part(&self, range: Range<usize>) -> Part<'_> {
        Part { of: self, range }
    }

    /// The operations from the `n`th on; empty if there are no more than `n`.
    pub fn skip(&self, n: usize) -> Self {
        let Some(cut) = n.checked_sub(1) else {
            return self.clone();
        };
        let Some(&from) = self.ends.get(cut) else {
            return Self::default();
        };
        Self {
            bytes: self.bytes.slice(from as usize..),
            ends: self.ends[n..].iter().map(|end| end - from).collect(),
        }
    }
}

impl Elements for Operations {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, i: usize) -> &[u8] {
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..self.ends[i] as usize]
    }
}

/// Some operations of a run.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    of: &'a Operations,
    range: Range<usize>,
}

impl Elements for Part<'_> {
    fn len(&self) -> usize {
        self.range.len()
    }

    fn get(&self, i: usize) -> &[u8] {
        self.of.get(self.range.start + i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_checked_and_skipping_keeps_the_rest() {
        for (case, ends, fine) in [
            ("whole", vec![1, 3, 6], true),
            ("short of the end", vec![1, 3], false),
            ("beyond the end", vec![1, 7], false),
            ("an empty operation", vec![1, 1, 6], false),
            ("an empty first operation", vec![0, 6], false),
            ("falling", vec![3, 1, 6], false),
            ("no cut for bytes", vec![], false),
        ] {
            assert_eq!(
                Operations::new(Bytes::from_static(b"abcdef"), ends).is_some(),
                fine,
                "{case}"
            );
        }
        let operations = Operations::collect(["a", "bc", "def"]).unwrap();
        for n in 0..5 {
            let kept: Vec<_> = operations.iter().skip(n).map(<[u8]>::to_vec).collect();
            assert_eq!(
                operations.skip(n).iter().map(<[u8]>::to_vec).collect::<Vec<_>>(),
                kept,
                "{n}"
            );
            assert!(Operations::new(operations.skip(n).bytes, operations.skip(n).ends).is_some());
        }
    }
}
