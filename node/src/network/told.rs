//! Which dials may begin that others' telling leads to: pure; time is an argument.
//!
//! Kademlia dials on its own whom it is told of while it walks, AutoNAT and hole punching dial where a peer says that it is, and a
//! name leads wherever its owner likes. A stranger must not make this node knock at the services of its own machine, at its
//! neighbours', or at somebody's door a thousand times. So every dial passes here, with the IP address that it goes to, and
//!
//! - one that the operator listed passes always;
//! - one nearer than any peer is connected passes only if it was [vetted](Told::vet), as those that [`super::reach`] accepts are;
//! - all others share a rate: [`BURST`] and one each [`EACH`], of these [`HOST_BURST`] and one each [`HOST_EACH`] to one host of a
//!   near network, /24 or /64, and [`OPEN`] at once, so that some of the 64 dials that may be open are left for the listed ones.
//!
//! # Bounds
//! A host that was dialled `n` times is forgotten after `n` x [`HOST_EACH`], so those remembered are at most as many as dials pass
//! in 160 seconds: 64 + 160 x 3, 50 KiB.

use super::handshakes::neighbourhood;
use super::reach::Reach;
use cordee_resolver_p2p::ip_of;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Dials at once after a quiet time: a walk through a large network takes about so many.
const BURST: u32 = 64;

/// How often one more is allowed.
const EACH: Duration = Duration::from_millis(333);

/// Dials to one host at once after a quiet time.
const HOST_BURST: u32 = 16;

/// How often one more to the same host is allowed.
const HOST_EACH: Duration = Duration::from_secs(10);

/// Such dials that are open at once.
const OPEN: usize = 48;

/// Vetted addresses, at most.
const VETTED: usize = 256;

/// How long an address stays vetted: a dial has begun by then.
const VETTED_FOR: Duration = Duration::from_secs(30);

/// Why a dial may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("nothing can be dialled there")]
    Nowhere,
    #[error("an address of this machine or of its own network, told by somebody from outside")]
    Near,
    #[error("too many dials to there that others led to; later again")]
    Host,
    #[error("too many dials that others led to; later again")]
    Rate,
}

/// What a dial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dial {
    /// The operator's.
    Listed,
    /// Led to by others; [`Told::on_end`] is to be told of its end.
    Told,
}

/// The rule, and what has been dialled.
#[derive(Debug)]
pub(super) struct Told {
    listed: BTreeSet<Multiaddr>,
    /// What follows a name that is listed, as nobody knows where it leads.
    behind_names: BTreeSet<Multiaddr>,
    vetted: BTreeMap<Multiaddr, Instant>,
    nearest: Reach,
    all: Allowance,
    hosts: BTreeMap<(IpAddr, Option<u16>), Allowance>,
    open: usize,
}

impl Told {
    /// - `listed`: what the operator wants dialled.
    pub(super) fn new<'a>(now: Instant, listed: impl IntoIterator<Item = &'a Multiaddr>) -> Self {
        let listed: BTreeSet<_> = listed.into_iter().map(place).collect();
        let named = listed.iter().filter(|address| is_name(address));
        Self {
            behind_names: named.map(|address| address.iter().skip(1).collect()).collect(),
            listed,
            vetted: BTreeMap::new(),
            nearest: Reach::Anywhere,
            all: Allowance(now),
            hosts: BTreeMap::new(),
            open: 0,
        }
    }

    /// The nearest that any peer is.
    pub(super) fn set_nearest(&mut self, nearest: Reach) {
        self.nearest = nearest;
    }

    /// These are dialled next, and can be their peer's. Where a name leads is seen only then, so names are not vetted.
    pub(super) fn vet(&mut self, now: Instant, addresses: &[Multiaddr]) {
        self.vetted.retain(|_, until| *until > now);
        for address in addresses {
            if self.vetted.len() < VETTED {
                self.vetted.insert(place(address), now + VETTED_FOR);
            }
        }
    }

    /// Whether a name may be looked up. Where it leads is asked of [`Self::on_dial`].
    pub(super) fn on_name(&mut self, now: Instant, address: &Multiaddr) -> Result<(), Refused> {
        if self.listed.contains(&place(address)) {
            return Ok(());
        }
        match address.iter().next() {
            Some(Protocol::Ip4(_) | Protocol::Ip6(_)) => Ok(()),
            _ if is_name(address) => {
                let taken = self.all.take(now, BURST, EACH);
                if taken { Ok(()) } else { Err(Refused::Rate) }
            }
            // A dnsaddr leads to as many others as its owner likes.
            _ => Err(Refused::Nowhere),
        }
    }

    /// Whether `address`, in which no name is left, may be dialled.
    pub(super) fn on_dial(&mut self, now: Instant, address: &Multiaddr) -> Result<Dial, Refused> {
        let place = place(address);
        let behind: Multiaddr = place.iter().skip(1).collect();
        if self.listed.contains(&place) || self.behind_names.contains(&behind) {
            return Ok(Dial::Listed);
        }
        let (Some(reach), Some(ip)) = (Reach::of(&place), ip_of(&place)) else {
            return Err(Refused::Nowhere);
        };
        let is_vetted = self.vetted.get(&place).is_some_and(|until| *until > now);
        if reach < self.nearest && !is_vetted {
            return Err(Refused::Near);
        }
        if self.open >= OPEN {
            return Err(Refused::Rate);
        }
        self.hosts.retain(|_, host| !host.is_whole(now));
        let host = match reach {
            Reach::Anywhere => (neighbourhood(ip), None),
            // One machine runs many nodes.
            Reach::Machine | Reach::Local => (ip, port(&place)),
        };
        let mut of_host = self.hosts.get(&host).copied().unwrap_or(Allowance(now));
        if !of_host.take(now, HOST_BURST, HOST_EACH) {
            return Err(Refused::Host);
        }
        if !self.all.take(now, BURST, EACH) {
            return Err(Refused::Rate);
        }
        self.hosts.insert(host, of_host);
        self.open += 1;
        Ok(Dial::Told)
    }

    /// A dial that others led to is over, whichever way.
    pub(super) fn on_end(&mut self) {
        self.open -= 1;
    }
}

/// When an allowance is whole again.
#[derive(Clone, Copy, Debug)]
struct Allowance(Instant);

impl Allowance {
    /// Take one of `burst`, of which one more comes each `each`, if there is one.
    fn take(&mut self, now: Instant, burst: u32, each: Duration) -> bool {
        let whole = self.0.max(now) + each;
        let is_there = whole - now <= each * burst;
        if is_there {
            self.0 = whole;
        }
        is_there
    }

    /// Whether nothing is missing.
    fn is_whole(&self, now: Instant) -> bool {
        self.0 <= now
    }
}

/// Where `address` leads, whoever is there.
fn place(address: &Multiaddr) -> Multiaddr {
    address
        .iter()
        .take_while(|part| !matches!(part, Protocol::P2p(_)))
        .collect()
}

fn is_name(address: &Multiaddr) -> bool {
    matches!(
        address.iter().next(),
        Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_))
    )
}

fn port(address: &Multiaddr) -> Option<u16> {
    address.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    })
}

#[cfg(test)]
#[path = "told/tests.rs"]
mod tests;
