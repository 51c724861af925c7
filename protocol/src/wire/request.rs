//! What is asked for: a run of operations of one size.

use super::limits::MAX_OPERATIONS;
use crate::codec::{self, Decode, Encode, Reader, put_varint};
use crate::mmr::Location;
use serde::Serialize;
use std::ops::Range;

/// What a request wants besides the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    /// Nothing.
    Operations,
    /// The pinned nodes at `start` (F1.9). Always for exactly one operation (ENGINE E31).
    Boundary,
}

/// Operations `start..start + max_ops` of the log with `size` operations, fewer allowed.
///
/// Whoever holds one knows: `start < size`, `1 <= max_ops <= MAX_OPERATIONS`, `start + max_ops <= size` (ENGINE W29.1).
/// Requests that differ in any field are different (W29.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Request {
    size: Location,
    start: Location,
    max_ops: u64,
    kind: Kind,
}

impl Request {
    /// Ask for at most `max_ops` operations from `start` on, cut to `size` and to [`MAX_OPERATIONS`].
    /// `None` if `start >= size` or `max_ops` is 0.
    pub fn operations(size: Location, start: Location, max_ops: u64) -> Option<Self> {
        let max_ops = max_ops.min(size.since(start)).min(MAX_OPERATIONS);
        (max_ops > 0).then_some(Self {
            size,
            start,
            max_ops,
            kind: Kind::Operations,
        })
    }

    /// Ask for the operation at `start` and the pinned nodes there. `None` if `start >= size`.
    pub fn boundary(size: Location, start: Location) -> Option<Self> {
        (start < size).then_some(Self {
            size,
            start,
            max_ops: 1,
            kind: Kind::Boundary,
        })
    }

    /// The size whose root the answer must lead to.
    pub fn size(&self) -> Location {
        self.size
    }

    /// The first operation wanted.
    pub fn start(&self) -> Location {
        self.start
    }

    /// The most operations wanted, at least 1.
    pub fn max_ops(&self) -> u64 {
        self.max_ops
    }

    /// Whether pinned nodes are wanted.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The locations wanted.
    pub fn range(&self) -> Range<Location> {
        self.start..self.start.saturating_add(self.max_ops)
    }
}

impl Encode for Request {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self.kind {
            Kind::Operations => 0,
            Kind::Boundary => 1,
        });
        self.size.encode(out);
        self.start.encode(out);
        if self.kind == Kind::Operations {
            put_varint(out, self.max_ops);
        }
    }
}

impl Decode for Request {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
        let kind = reader.byte()?;
        let (size, start) = (Location::decode(reader)?, Location::decode(reader)?);
        let request = match kind {
            0 => {
                let max_ops = reader.varint()?;
                Self::operations(size, start, max_ops).filter(|request| request.max_ops == max_ops)
            }
            1 => Self::boundary(size, start),
            _ => return Err(codec::Error::Invalid("an unknown kind of request")),
        };
        request.ok_or(codec::Error::Invalid("a request for nothing, or beyond its size"))
    }
}
