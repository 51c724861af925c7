//! Locations and positions: the two ways to number a Merkle Mountain Range (FORMAT F1.1, F1.2).

use crate::codec::{self, Decode, Encode, Reader, put_varint};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// The index of a leaf in insertion order, from 0; also a count of leaves. At most 2^62.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Location(u64);

/// The index of a node, leaf or inner, in the order in which nodes come into being, from 0; also a
/// count of nodes. At most 2^63 - 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(u64);

impl Location {
    /// The first location.
    pub const ZERO: Self = Self(0);
    /// The most leaves a range can have (F1.1).
    pub const MAX: Self = Self(1 << 62);

    /// A location, if `n` is at most 2^62.
    pub const fn new(n: u64) -> Option<Self> {
        if n <= Self::MAX.0 { Some(Self(n)) } else { None }
    }

    /// The plain number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// `self + n`, unless that passes 2^62.
    pub const fn checked_add(self, n: u64) -> Option<Self> {
        match self.0.checked_add(n) {
            Some(sum) => Self::new(sum),
            None => None,
        }
    }

    /// `self + n`, or 2^62 where that is less.
    pub const fn saturating_add(self, n: u64) -> Self {
        match self.checked_add(n) {
            Some(sum) => sum,
            None => Self::MAX,
        }
    }

    /// How far `self` lies beyond `earlier`; 0 if it does not.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The position of the leaf at this location; equally the node count of this many leaves (F1.2).
    pub const fn position(self) -> Position {
        // At most 2 * 2^62 - 1.
        Position(2 * self.0 - self.0.count_ones() as u64)
    }
}

impl From<Location> for u64 {
    fn from(location: Location) -> Self {
        location.0
    }
}

impl TryFrom<u64> for Location {
    type Error = &'static str;

    fn try_from(n: u64) -> Result<Self, Self::Error> {
        Self::new(n).ok_or("a location is at most 2^62")
    }
}

impl Position {
    /// A position, if `n` is at most 2^63 - 1.
    pub const fn new(n: u64) -> Option<Self> {
        if n < 1 << 63 { Some(Self(n)) } else { None }
    }

    /// The plain number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The location of the leaf at this position, equally the leaf count of this many nodes. `None`
    /// if this is neither a leaf nor a whole count (F1.2).
    pub fn location(self) -> Option<Location> {
        let nearest = self.nearest();
        (nearest.position() == self).then_some(nearest)
    }

    /// The most leaves whose nodes all lie below this position (F1.2).
    pub fn nearest(self) -> Location {
        // pos(n) <= 2n, so n >= p/2; pos(n) >= 2n - 63, so n <= p/2 + 32.
        let mut n = self.0 / 2;
        while n < Location::MAX.0 && Location(n + 1).position().0 <= self.0 {
            n += 1;
        }
        Location(n)
    }

    /// The height of the node at this position: 0 for a leaf (F1.2).
    pub fn height(self) -> u32 {
        let mut rest = self.0;
        let mut tree = if rest == 0 {
            0
        } else {
            u64::MAX >> rest.leading_zeros()
        };
        while tree > 0 {
            if rest >= tree {
                rest -= tree;
            }
            tree >>= 1;
        }
        rest as u32
    }
}

/// The position of the node of `height` whose leaves begin at `first`, a multiple of `2^height` (F1.2, F1.4).
pub fn node_position(first: Location, height: u32) -> Position {
    Position(first.position().0 + (2 << height) - 2)
}

/// The positions of the nodes of `height` beside each other, from the one whose leaves begin at `first` on (F1.2, F1.4).
pub(super) fn positions(first: Location, height: u32) -> impl Iterator<Item = u64> {
    // Leaf n + 2^height is 2 * 2^height positions behind leaf n, but for the ones that its number has more than that one's.
    let places = (first.get() >> height) + 1..;
    // Where there is none, as at height 63, nobody takes it.
    let mut next = first
        .position()
        .0
        .saturating_add((2u64 << height).wrapping_sub(2));
    places.map(move |place| {
        let this = next;
        next = next.saturating_add((2 << height) - 1 + u64::from(place.trailing_zeros()));
        this
    })
}

/// How many nodes come into being with the leaves of `range` (`range.start <= range.end`).
pub fn nodes_between(range: &Range<Location>) -> u64 {
    range.end.position().0.saturating_sub(range.start.position().0)
}

macro_rules! number {
    ($name:ident, $what:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                put_varint(out, self.0);
            }
        }

        impl Decode for $name {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
                Self::new(reader.varint()?).ok_or(codec::Error::Invalid($what))
            }
        }
    };
}
number!(Location, "a location is above 2^62");
number!(Position, "a position is above 2^63 - 1");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_and_positions_convert_both_ways() {
        // F1.2
        let positions: Vec<_> = (0..=8).map(|n| Location(n).position().0).collect();
        assert_eq!(positions, [0, 1, 3, 4, 7, 8, 10, 11, 15]);
        assert_eq!(Location(11).position(), Position(19));
        assert_eq!(Location::MAX.position(), Position((1 << 63) - 1));
        for n in (0..5000)
            .chain((1 << 40) - 70..(1 << 40) + 70)
            .chain((1 << 62) - 70..=1 << 62)
        {
            let location = Location(n);
            assert_eq!(location.position().location(), Some(location));
            assert_eq!(location.position().nearest(), location);
        }
        for inner in [2, 5, 6, 9, 12, 13, 14, 17] {
            assert_eq!(Position(inner).location(), None, "{inner}");
        }
        assert_eq!(Position(6).nearest(), Location(3));
    }

    #[test]
    fn heights_follow_the_order_of_creation() {
        let mut position = 0;
        for leaf in 0u64..2000 {
            for height in 0..=leaf.trailing_ones() {
                assert_eq!(Position(position).height(), height, "position {position}");
                let first = Location(leaf + 1 - (1 << height));
                assert_eq!(node_position(first, height), Position(position));
                position += 1;
            }
        }
        assert_eq!(node_position(Location::ZERO, 61).0, (1 << 62) - 2);
        assert_eq!(Position((1 << 62) - 2).height(), 61);
    }

    #[test]
    fn neighbours_are_where_each_is() {
        for height in [0, 1, 2, 5, 40, 60] {
            for from in [0, 1, 6, 1023] {
                let at = |n: u64| node_position(Location(n << height), height).0;
                let last = (from + 300).min(1 << (62 - height));
                let first = Location(from << height);
                if from < last {
                    let found: Vec<_> = positions(first, height).take((last - from) as usize).collect();
                    assert_eq!(
                        found,
                        (from..last).map(at).collect::<Vec<_>>(),
                        "{height}, {from}"
                    );
                }
            }
        }
    }

    #[test]
    fn decoding_keeps_to_the_limits() {
        // F1.1, F2.4, F5
        let location = |hex: &str| Location::from_slice(&hex::decode(hex).unwrap());
        assert_eq!(location("808080808080808040"), Ok(Location::MAX));
        for bad in ["818080808080808040", "ffffffffffffffffff01"] {
            assert_eq!(
                location(bad),
                Err(codec::Error::Invalid("a location is above 2^62"))
            );
        }
        assert_eq!(location("80"), Err(codec::Error::Short));
        assert_eq!(location("0000"), Err(codec::Error::Trailing(1)));
        assert!(Position::from_slice(&hex::decode("ffffffffffffffffff01").unwrap()).is_err());
        assert_eq!(Location(5).checked_add(u64::MAX), None);
        assert_eq!(Location(5).saturating_add(u64::MAX), Location::MAX);
    }
}
