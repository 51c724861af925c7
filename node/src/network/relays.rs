//! When to ask which relay for a place: pure; time is an argument.

use crate::dialing::pause;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause. A relay takes 30 requests in two minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The relays of the settings. `L` names a listener.
#[derive(Debug)]
pub(super) struct Relays<L> {
    relays: Vec<Relay<L>>,
    rng: ChaCha8Rng,
}

#[derive(Debug)]
struct Relay<L> {
    address: Multiaddr,
    failures: u32,
    state: State<L>,
}

#[derive(Debug, PartialEq)]
enum State<L> {
    Waiting(Instant),
    Asked(L),
}

impl<L: Copy + PartialEq> Relays<L> {
    /// `seed` is for the jitter.
    pub(super) fn new(now: Instant, addresses: impl IntoIterator<Item = Multiaddr>, seed: u64) -> Self {
        let relay = |address: Multiaddr| Relay {
            address: address.with(Protocol::P2pCircuit),
            failures: 0,
            state: State::Waiting(now),
        };
        Self {
            relays: addresses.into_iter().map(relay).collect(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Where to listen now, each to be answered by [`Self::on_asked`] or [`Self::on_failed`].
    pub(super) fn due(&self, now: Instant) -> Vec<(usize, Multiaddr)> {
        let relays = self.relays.iter().enumerate();
        let due = relays.filter(|(_, relay)| matches!(relay.state, State::Waiting(at) if at <= now));
        due.map(|(i, relay)| (i, relay.address.clone())).collect()
    }

    /// When [`Self::due`] next has something, if ever.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.relays.iter().filter_map(|relay| match relay.state {
            State::Waiting(at) => Some(at),
            State::Asked(_) => None,
        });
        waiting.min()
    }

    /// A relay is being asked.
    pub(super) fn on_asked(&mut self, relay: usize, listener: L) {
        self.relays[relay].state = State::Asked(listener);
    }

    /// It has given a place.
    pub(super) fn on_open(&mut self, listener: L) {
        for relay in &mut self.relays {
            if relay.state == State::Asked(listener) {
                relay.failures = 0;
            }
        }
    }

    /// It gives none, or no longer. Which it was, if it was one.
    pub(super) fn on_closed(&mut self, now: Instant, listener: L) -> Option<Multiaddr> {
        let relay = (self.relays.iter()).position(|relay| relay.state == State::Asked(listener))?;
        self.on_failed(now, relay);
        Some(self.relays[relay].address.clone())
    }

    /// It could not even be asked.
    pub(super) fn on_failed(&mut self, now: Instant, relay: usize) {
        let relay = &mut self.relays[relay];
        let pause = pause(FIRST_PAUSE, LONGEST_PAUSE, relay.failures, &mut self.rng);
        relay.failures += 1;
        relay.state = State::Waiting(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_asked_again_with_growing_pauses_and_soon_once_it_gave_a_place() {
        let mut now = Instant::now();
        let address: Multiaddr = "/ip4/203.0.113.1/tcp/1".parse().unwrap();
        let circuit = address.clone().with(Protocol::P2pCircuit);
        let mut relays = Relays::new(now, [address], 1);
        let mut pauses = Vec::new();
        for listener in 0..9 {
            assert_eq!(relays.due(now), [(0, circuit.clone())]);
            relays.on_asked(0, listener);
            assert_eq!((relays.due(now), relays.poll_timeout()), (vec![], None));
            assert_eq!(relays.on_closed(now, 99), None);
            assert_eq!(relays.on_closed(now, listener), Some(circuit.clone()));
            let next = relays.poll_timeout().unwrap();
            pauses.push(next - now);
            now = next;
        }
        assert!(pauses[1] > pauses[0] && pauses[8] <= LONGEST_PAUSE.mul_f64(1.25));
        relays.on_asked(0, 10);
        relays.on_open(10);
        relays.on_closed(now, 10);
        assert!(relays.poll_timeout().unwrap() - now <= FIRST_PAUSE.mul_f64(1.25));
    }
}
