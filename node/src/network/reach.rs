//! Which of the addresses that a peer tells can be its own, as seen from here: pure.
//!
//! A peer tells all addresses that it listens on, those of its loopback and of its own network included, which lead elsewhere from
//! here; and one that lies tells others'. Who is connected over the internet is believed no private address.

use super::finding::ADDRESSES;
use crate::dialing::named;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use std::net::{Ipv4Addr, Ipv6Addr};

/// From where an address can be reached. Later ones from further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// This machine.
    Machine,
    /// The network that it is in.
    Local,
    /// Anywhere.
    Anywhere,
}

impl Reach {
    /// That of `address`; `None` if nothing can be dialled there.
    pub(super) fn of(address: &Multiaddr) -> Option<Self> {
        match address.iter().next()? {
            Protocol::Ip4(ip) => Self::of_v4(ip),
            Protocol::Ip6(ip) => Self::of_v6(ip),
            Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) => Some(Self::Anywhere),
            _ => None,
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Option<Self> {
        match ip.octets() {
            // This network, multicast, reserved, broadcast.
            [0 | 224..=255, ..] => None,
            [127, ..] => Some(Self::Machine),
            // Shared by the customers of one provider (RFC 6598).
            [100, 64..=127, ..] => Some(Self::Local),
            _ if ip.is_private() || ip.is_link_local() => Some(Self::Local),
            _ => Some(Self::Anywhere),
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Option<Self> {
        let embedded = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
        match ip.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Some(Self::Machine),
            // Mapped, translated (RFC 6052), 6to4 (RFC 3056): they lead to an IPv4 address.
            [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, ..] => Self::of_v4(embedded(high, low)),
            // Link-local and the site-local of old; unique local.
            [0xfe80..=0xfeff, ..] | [0xfc00..=0xfdff, ..] => Some(Self::Local),
            [0xff00..=0xffff, ..] => None,
            _ => Some(Self::Anywhere),
        }
    }
}

/// Those of `told` that can be `peer`'s, without its name at their end; at most [`ADDRESSES`].
///
/// - `from`: from how near `peer` is known to be reached.
/// - `circuits`: whether addresses behind a relay can be dialled.
pub(super) fn of_peer(peer: &PeerId, told: &[Multiaddr], from: Reach, circuits: bool) -> Vec<Multiaddr> {
    let mut found = Vec::new();
    for address in told {
        let is_circuit = address.iter().any(|part| part == Protocol::P2pCircuit);
        if Reach::of(address).is_none_or(|reach| reach < from) || (is_circuit && !circuits) {
            continue;
        }
        let mut address = address.clone();
        if let Some(named) = named(&address) {
            if named != *peer {
                continue;
            }
            address.pop();
        }
        if !found.contains(&address) && found.len() < ADDRESSES {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_believed_addresses_that_reach_as_far_as_it_does() {
        use Reach::{Anywhere, Local, Machine};
        let (peer, other) = (PeerId::random(), PeerId::random());
        for (told, reach) in [
            ("/ip4/127.0.0.1/tcp/1", Some(Machine)),
            ("/ip6/::1/tcp/1", Some(Machine)),
            ("/ip4/10.1.2.3/tcp/1", Some(Local)),
            ("/ip4/169.254.169.254/tcp/80", Some(Local)),
            ("/ip6/fd00::1/udp/1/quic-v1", Some(Local)),
            ("/ip4/203.0.113.5/tcp/1", Some(Anywhere)),
            ("/ip6/::ffff:10.0.0.1/tcp/1", Some(Local)),
            ("/ip6/2001:db8::1/tcp/1", Some(Anywhere)),
            ("/dns4/node.example/tcp/1", Some(Anywhere)),
            ("/ip4/0.0.0.0/tcp/1", None),
            ("/ip6/::/tcp/1", None),
            ("/ip4/100.127.0.1/tcp/1", Some(Local)),
            ("/ip4/100.128.0.1/tcp/1", Some(Anywhere)),
            ("/ip4/0.1.2.3/tcp/1", None),
            ("/ip4/240.0.0.1/tcp/1", None),
            ("/ip6/::127.0.0.1/tcp/1", Some(Machine)),
            ("/ip6/64:ff9b::10.0.0.1/tcp/1", Some(Local)),
            ("/ip6/2002:7f00:1::/tcp/1", Some(Machine)),
            ("/ip6/fe80::1/tcp/1", Some(Local)),
            ("/ip6/fec0::1/tcp/1", Some(Local)),
            ("/ip6/ff02::1/tcp/1", None),
            ("/dnsaddr/node.example", None),
            ("/ip4/224.0.0.251/udp/5353", None),
            ("/memory/7", None),
        ] {
            let told: Multiaddr = told.parse().unwrap();
            assert_eq!(Reach::of(&told), reach, "{told}");
            for from in [Machine, Local, Anywhere] {
                let found = of_peer(&peer, std::slice::from_ref(&told), from, false);
                assert_eq!(
                    found.len(),
                    usize::from(reach.is_some_and(|reach| reach >= from)),
                    "{told}"
                );
            }
            let named = told.clone().with(Protocol::P2p(peer));
            let found = of_peer(&peer, &[named.clone(), told.clone()], Machine, false);
            assert!(
                found.is_empty() || found == [told.clone()],
                "its name is known: {named}"
            );
            assert!(of_peer(&other, &[named], Machine, false).is_empty());
        }
        let circuit: Multiaddr = format!("/ip4/203.0.113.5/tcp/1/p2p/{other}/p2p-circuit")
            .parse()
            .unwrap();
        for circuits in [false, true] {
            let found = of_peer(&peer, std::slice::from_ref(&circuit), Machine, circuits);
            assert_eq!(found.len(), usize::from(circuits));
        }
        let many: Vec<Multiaddr> = (1..99)
            .map(|port| format!("/ip4/203.0.113.5/tcp/{port}").parse().unwrap())
            .collect();
        assert_eq!(of_peer(&peer, &many, Machine, false).len(), ADDRESSES);
        assert!(of_peer(&peer, &[Multiaddr::empty()], Machine, true).is_empty());
    }
}
