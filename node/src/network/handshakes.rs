//! A bound on handshakes of those who dial in: when there are too many, the oldest gives way to the newest.
//!
//! libp2p refuses who comes when so many connections are being established. Then whoever opens connections and says nothing
//! keeps all others out, for as long as each may take. Here nobody is refused: a handshake takes a few round trips, so of
//! many that are under way the oldest is the least likely to be honest. With [`AT_ONCE`] of them and a thousand more each
//! second, everybody still has a quarter of a second.
//!
//! Neighbours, or a host of a private range, that have most of them begun give way first.

use cordee_resolver_p2p::ip_of;
use futures::FutureExt;
use futures::future::{AbortHandle, Abortable};
use libp2p::core::Transport;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::{Multiaddr, PeerId};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// Handshakes of those who dial in at once. Each holds a socket and about 10 KiB: 2.5 MiB, and a quarter of the 1024 files
/// that a process may have open by default.
pub(super) const AT_ONCE: usize = 256;

/// The handshakes under way: pure.
#[derive(Debug)]
struct Waiting<T> {
    next: u64,
    begun: BTreeMap<u64, (Option<IpAddr>, T)>,
    crowds: BTreeMap<Option<IpAddr>, usize>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            next: 0,
            begun: BTreeMap::new(),
            crowds: BTreeMap::new(),
        }
    }
}

impl<T> Waiting<T> {
    /// One more has begun. Returns its number, and what is to be ended for it.
    fn on_begin(&mut self, from: Option<IpAddr>, handshake: T) -> (u64, Option<T>) {
        let crowd = from.map(neighbourhood);
        let ended = if self.begun.len() >= AT_ONCE {
            let crowd_of = |crowd: &Option<IpAddr>| self.crowds.get(crowd).copied().unwrap_or_default();
            let victim =
                (self.begun.iter()).min_by_key(|(number, (crowd, _))| (Reverse(crowd_of(crowd)), **number));
            let victim = victim.map(|(number, _)| *number);
            victim.and_then(|victim| self.on_end(victim))
        } else {
            None
        };
        self.next += 1;
        self.begun.insert(self.next, (crowd, handshake));
        *self.crowds.entry(crowd).or_default() += 1;
        (self.next, ended)
    }

    /// One is over, whichever way.
    fn on_end(&mut self, number: u64) -> Option<T> {
        let (crowd, handshake) = self.begun.remove(&number)?;
        if let Some(count) = self.crowds.get_mut(&crowd) {
            *count -= 1;
            if *count == 0 {
                self.crowds.remove(&crowd);
            }
        }
        Some(handshake)
    }
}

/// The first address of the /24 or /64 of `address`.
pub(super) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            // Hosts of one private network are many people's.
            let own = v4.is_loopback() || v4.is_private() || v4.is_link_local();
            [a, b, c, if own { d } else { 0 }].into()
        }
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

type Output = (PeerId, StreamMuxerBox);

/// A transport whose handshakes of others are bounded.
pub(super) struct Bounded {
    inner: Boxed<Output>,
    waiting: Arc<Mutex<Waiting<AbortHandle>>>,
}

impl Bounded {
    pub(super) fn new(inner: Boxed<Output>) -> Self {
        let waiting = Arc::default();
        Self { inner, waiting }
    }

    fn bound(&self, from: &Multiaddr, upgrade: Upgrade) -> Upgrade {
        let (abort, registration) = AbortHandle::new_pair();
        let (number, ended) = lock(&self.waiting).on_begin(ip_of(from), abort);
        if let Some(ended) = ended {
            ended.abort();
        }
        let waiting = Arc::clone(&self.waiting);
        let place = Place { waiting, number };
        let upgrade = Abortable::new(upgrade, registration);
        let bounded = async move {
            let done = upgrade.await;
            drop(place);
            done.unwrap_or_else(|_| {
                Err(io::Error::other(
                    "too many handshakes are under way, and this is the oldest",
                ))
            })
        };
        bounded.boxed()
    }
}

/// Given back when the handshake is over, or dropped.
struct Place {
    waiting: Arc<Mutex<Waiting<AbortHandle>>>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.waiting).on_end(self.number);
    }
}

/// Every change is done in one call, so a panic elsewhere leaves it whole.
fn lock(waiting: &Mutex<Waiting<AbortHandle>>) -> std::sync::MutexGuard<'_, Waiting<AbortHandle>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

type Upgrade = <Boxed<Output> as Transport>::ListenerUpgrade;

impl Transport for Bounded {
    type Output = Output;
    type Error = io::Error;
    type ListenerUpgrade = Upgrade;
    type Dial = <Boxed<Output> as Transport>::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let event = std::task::ready!(Pin::new(&mut self.inner).poll(cx));
        Poll::Ready(match event {
            TransportEvent::Incoming {
                listener_id,
                upgrade,
                local_addr,
                send_back_addr,
            } => TransportEvent::Incoming {
                listener_id,
                upgrade: self.bound(&send_back_addr, upgrade),
                local_addr,
                send_back_addr,
            },
            event => event,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p23_the_oldest_handshake_of_the_largest_crowd_gives_way() {
        let from = |text: &str| Some(text.parse().unwrap());
        for (case, first, others, newcomer, expected) in [
            (
                "all of one host",
                from("127.0.0.1"),
                from("127.0.0.1"),
                from("127.0.0.1"),
                Some(0),
            ),
            (
                "another host is spared",
                from("10.0.0.1"),
                from("10.0.0.2"),
                from("10.0.0.1"),
                Some(1),
            ),
            (
                "public neighbours are one",
                from("203.0.113.1"),
                from("203.0.113.9"),
                None,
                Some(0),
            ),
            (
                "so are those of a /64",
                from("2001:db8::1"),
                from("2001:db8::2"),
                None,
                Some(0),
            ),
            ("nobody knows where from", None, None, None, Some(0)),
        ] {
            let mut waiting = Waiting::default();
            assert_eq!(waiting.on_begin(first, 0).1, None);
            for other in 1..AT_ONCE {
                assert_eq!(waiting.on_begin(others, other).1, None, "{case}");
            }
            let (number, ended) = waiting.on_begin(newcomer, AT_ONCE);
            assert_eq!(ended, expected, "{case}");
            // Whoever is through makes room.
            assert_eq!(waiting.on_end(number), Some(AT_ONCE));
            assert_eq!(waiting.on_begin(newcomer, AT_ONCE).1, None, "{case}");
            assert_eq!(waiting.crowds.values().sum::<usize>(), waiting.begun.len());
        }
    }
}
