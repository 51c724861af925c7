//! Which peers may be one person: those that share an address prefix (P20, P23).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// What a peer's address has in common with its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prefix {
    /// The first 24 bits of a public IPv4 address.
    V4([u8; 3]),
    /// The first 64 bits of a public IPv6 address.
    V6([u16; 4]),
    /// Loopback, private, link-local, or no IP address: each peer is a prefix of its own.
    Own,
}

impl Prefix {
    /// The prefix of `address`.
    pub fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(v4)) if !(v4.is_loopback() || v4.is_private() || v4.is_link_local()) => {
                let [a, b, c, _] = v4.octets();
                Self::V4([a, b, c])
            }
            Some(IpAddr::V6(v6))
                if !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()) =>
            {
                let [a, b, c, d, ..] = v6.segments();
                Self::V6([a, b, c, d])
            }
            _ => Self::Own,
        }
    }
}

impl Prefix {
    /// Whether others may share it.
    pub(super) fn is_shared(self) -> bool {
        self != Self::Own
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4([a, b, c]) => write!(f, "{a}.{b}.{c}.0/24"),
            Self::V6([a, b, c, d]) => {
                write!(f, "{}/64", Ipv6Addr::new(*a, *b, *c, *d, 0, 0, 0, 0))
            }
            Self::Own => f.write_str("own"),
        }
    }
}

/// A text that is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address prefix like 203.0.113.0/24")]
pub struct NotAPrefix(String);

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let prefix = match text.split_once('/') {
            None if text == "own" => Some(Self::Own),
            Some((address, "24" | "64")) => address.parse().ok().map(|address| Self::of(Some(address))),
            _ => None,
        };
        prefix.ok_or_else(|| NotAPrefix(text.into()))
    }
}

/// How many prefixes there are in `prefixes`, each [`Prefix::Own`] counted by itself.
pub(super) fn distinct(prefixes: impl Iterator<Item = Prefix>) -> usize {
    let mut shared = std::collections::BTreeSet::new();
    let own = prefixes
        .filter(|prefix| *prefix == Prefix::Own || !shared.insert(*prefix))
        .filter(|prefix| *prefix == Prefix::Own)
        .count();
    own + shared.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_texts_and_back() {
        for text in ["203.0.113.0/24", "2001:db8:0:7::/64", "own"] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), text);
        }
        for text in ["", "203.0.113.0", "203.0.113.0/8", "x/24"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn public_neighbours_share_a_prefix_and_private_ones_do_not() {
        for (case, addresses, count) in [
            ("one /24", vec!["203.0.113.1", "203.0.113.200"], 1),
            ("two /24", vec!["203.0.113.1", "203.0.114.1"], 2),
            ("one /64", vec!["2001:db8::1", "2001:db8::2"], 1),
            ("loopback", vec!["127.0.0.1", "127.0.0.1", "::1"], 3),
            ("private", vec!["10.0.0.1", "192.168.0.1", "fd00::1"], 3),
            ("mapped IPv4", vec!["::ffff:203.0.113.1", "203.0.113.9"], 1),
            ("nobody", vec![], 0),
        ] {
            let prefixes = addresses
                .iter()
                .map(|address| Prefix::of(Some(address.parse().unwrap())));
            assert_eq!(distinct(prefixes), count, "{case}");
        }
        assert_eq!(distinct([Prefix::of(None), Prefix::of(None)].into_iter()), 2);
    }
}
