//! When to dial whom: keeps a list of addresses connected, with backoff and jitter. Pure; time is an argument.

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause: what a node that comes up may wait for us at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The addresses to stay connected to.
#[derive(Debug)]
pub struct Dialing {
    routes: Vec<Route>,
    rng: ChaCha8Rng,
}

#[derive(Debug)]
struct Route {
    address: Multiaddr,
    failures: u32,
    problem: Option<String>,
    state: State,
}

#[derive(Debug, PartialEq)]
enum State {
    Waiting(Instant),
    Dialing(ConnectionId),
    Connected(PeerId),
}

impl Dialing {
    /// Dial `addresses`, all of them at once at first. `seed` is for the jitter.
    pub fn new(now: Instant, addresses: impl IntoIterator<Item = Multiaddr>, seed: u64) -> Self {
        let route = |address| Route {
            address,
            failures: 0,
            problem: None,
            state: State::Waiting(now),
        };
        Self {
            routes: addresses.into_iter().map(route).collect(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// When [`Self::due`] next has something, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.routes.iter().filter_map(|route| match route.state {
            State::Waiting(at) => Some(at),
            _ => None,
        });
        waiting.min()
    }

    /// Addresses to dial now, each with the route to give to [`Self::on_dialing`] or [`Self::on_failed`].
    pub fn due(&self, now: Instant) -> Vec<(usize, Multiaddr)> {
        let routes = self.routes.iter().enumerate();
        let due = routes.filter(|(_, route)| matches!(route.state, State::Waiting(at) if at <= now));
        due.map(|(i, route)| (i, route.address.clone())).collect()
    }

    /// A dial has begun.
    pub fn on_dialing(&mut self, route: usize, connection: ConnectionId) {
        self.routes[route].state = State::Dialing(connection);
    }

    /// A connection is up.
    pub fn on_connected(&mut self, connection: ConnectionId, peer: PeerId) {
        for route in &mut self.routes {
            if route.state == State::Dialing(connection) {
                (route.state, route.problem) = (State::Connected(peer), None);
            }
        }
    }

    /// A dial came to nothing.
    pub fn on_failed(&mut self, now: Instant, connection: ConnectionId, problem: &str) {
        let route = self
            .routes
            .iter()
            .position(|route| route.state == State::Dialing(connection));
        if let Some(route) = route {
            self.on_refused(now, route, problem);
        }
    }

    /// A dial could not even begin.
    pub fn on_refused(&mut self, now: Instant, route: usize, problem: &str) {
        self.routes[route].problem = Some(problem.into());
        self.pause(now, route);
    }

    /// The last connection to `peer` is gone.
    pub fn on_disconnected(&mut self, now: Instant, peer: PeerId) {
        for route in 0..self.routes.len() {
            if self.routes[route].state == State::Connected(peer) {
                self.pause(now, route);
            }
        }
    }

    /// A peer has proven good, so that its next loss is redialled soon.
    pub fn on_good(&mut self, peer: PeerId) {
        for route in &mut self.routes {
            if route.state == State::Connected(peer) {
                route.failures = 0;
            }
        }
    }

    /// The addresses that are not connected, and why.
    pub fn problems(&self) -> Vec<(Multiaddr, String)> {
        let apart = self
            .routes
            .iter()
            .filter(|route| !matches!(route.state, State::Connected(_)));
        let told = apart.map(|route| {
            let problem = route.problem.as_deref().unwrap_or("no answer yet");
            (route.address.clone(), problem.to_owned())
        });
        told.collect()
    }

    fn pause(&mut self, now: Instant, route: usize) {
        let jitter = self.rng.random_range(0.75..1.25);
        let route = &mut self.routes[route];
        let pause = FIRST_PAUSE
            .saturating_mul(1 << route.failures.min(16))
            .min(LONGEST_PAUSE);
        route.failures += 1;
        route.state = State::Waiting(now + pause.mul_f64(jitter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redials_with_growing_pauses_and_stops_when_connected() {
        let start = Instant::now();
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let mut dialing = Dialing::new(start, [address.clone()], 1);
        let (mut now, mut pauses) = (start, Vec::new());
        for i in 0..12 {
            assert_eq!(dialing.due(now), [(0, address.clone())]);
            let known = if i == 0 { "no answer yet" } else { "refused" };
            assert_eq!(dialing.problems(), [(address.clone(), known.into())]);
            dialing.on_dialing(0, ConnectionId::new_unchecked(i));
            assert_eq!((dialing.due(now), dialing.poll_timeout()), (vec![], None));
            dialing.on_failed(now, ConnectionId::new_unchecked(i), "refused");
            let next = dialing.poll_timeout().unwrap();
            pauses.push(next - now);
            now = next;
        }
        for (i, pause) in pauses.iter().enumerate() {
            let expected = FIRST_PAUSE.saturating_mul(1 << i).min(LONGEST_PAUSE);
            assert!(
                *pause >= expected.mul_f64(0.75) && *pause <= expected.mul_f64(1.25),
                "{i}: {pause:?}"
            );
        }
        assert_eq!(dialing.problems(), [(address.clone(), "refused".into())]);

        let (connection, peer) = (ConnectionId::new_unchecked(99), PeerId::random());
        dialing.on_dialing(0, connection);
        dialing.on_connected(connection, peer);
        assert_eq!((dialing.poll_timeout(), dialing.problems()), (None, vec![]));
        dialing.on_good(peer);
        dialing.on_disconnected(now, peer);
        assert!(
            dialing.poll_timeout().unwrap() - now < FIRST_PAUSE * 2,
            "a good peer is redialled soon"
        );
    }
}
