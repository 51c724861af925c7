//! When to dial whom: keeps a list of addresses connected, with backoff and jitter. Pure; time is an argument.

use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause: what a node that comes up may wait for us at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A peer that could not be reached so often is looked for elsewhere.
const LOST_AFTER: u32 = 2;

/// Further addresses of one peer, at most.
const FOUND: usize = 8;

/// The addresses to stay connected to.
#[derive(Debug)]
pub struct Dialing {
    routes: Vec<Route>,
    rng: ChaCha8Rng,
}

#[derive(Debug)]
struct Route {
    address: Multiaddr,
    /// Who is there: named by the address, or who answered last.
    peer: Option<PeerId>,
    /// Where others saw it.
    found: Vec<Multiaddr>,
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
        let route = |address: Multiaddr| Route {
            peer: named(&address),
            address,
            found: Vec::new(),
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
        due.map(|(i, route)| (i, route.next())).collect()
    }

    /// Who is expected at `route`, if that is known.
    pub fn peer(&self, route: usize) -> Option<PeerId> {
        self.routes[route].peer
    }

    /// `peer` is connected without a dial of `route`.
    pub fn on_already(&mut self, route: usize, peer: PeerId) {
        let route = &mut self.routes[route];
        (route.state, route.problem) = (State::Connected(peer), None);
    }

    /// Others see `peer` at `addresses`, as it may have moved. Those are dialled in turn with the one that it is listed at.
    pub fn on_found(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        for route in self.routes.iter_mut().filter(|route| route.peer == Some(peer)) {
            let other = |address: &&Multiaddr| !route.address.to_string().starts_with(&address.to_string());
            let named = |address: &Multiaddr| address.clone().with(Protocol::P2p(peer));
            route.found = addresses.iter().filter(other).take(FOUND).map(named).collect();
        }
    }

    /// Whether `peer` is one of those to stay connected to.
    pub fn is_listed(&self, peer: &PeerId) -> bool {
        self.routes.iter().any(|route| route.peer.as_ref() == Some(peer))
    }

    /// Known peers that cannot be reached where they are listed.
    pub fn lost(&self) -> impl Iterator<Item = PeerId> {
        let apart =
            |route: &&Route| !matches!(route.state, State::Connected(_)) && route.failures >= LOST_AFTER;
        self.routes.iter().filter(apart).filter_map(|route| route.peer)
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
                route.peer = Some(peer);
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
        let route = &mut self.routes[route];
        let pause = pause(FIRST_PAUSE, LONGEST_PAUSE, route.failures, &mut self.rng);
        route.failures += 1;
        route.state = State::Waiting(now + pause);
    }
}

/// How long to wait after so many failures before: `first`, twice that, and so on up to `longest`, each +-25 %.
pub(crate) fn pause(first: Duration, longest: Duration, failures: u32, rng: &mut ChaCha8Rng) -> Duration {
    let pause = first.saturating_mul(1 << failures.min(16)).min(longest);
    pause.mul_f64(rng.random_range(0.75..1.25))
}

impl Route {
    /// Where to dial next: the listed address, and those where it was seen, in turn.
    fn next(&self) -> Multiaddr {
        let turn = self.failures as usize % (1 + self.found.len());
        let found = turn.checked_sub(1).and_then(|i| self.found.get(i));
        found.unwrap_or(&self.address).clone()
    }
}

/// The peer that an address names at its end.
pub(crate) fn named(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
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

    #[test]
    fn a_peer_that_moved_is_dialled_where_it_was_seen_and_where_it_is_listed() {
        let now = Instant::now();
        let peer = PeerId::random();
        let at = |port: u16| format!("/ip4/127.0.0.1/tcp/{port}").parse::<Multiaddr>().unwrap();
        let named = |port| at(port).with(Protocol::P2p(peer));
        let mut dialing = Dialing::new(now, [at(1)], 1);
        dialing.on_found(peer, &[at(2)]);
        dialing.on_dialing(0, ConnectionId::new_unchecked(0));
        dialing.on_connected(ConnectionId::new_unchecked(0), peer);
        assert!(dialing.is_listed(&peer), "who answered is whom the list means");
        dialing.on_disconnected(now, peer);
        let mut dialled = Vec::new();
        for i in 1..7 {
            let soon = dialing.poll_timeout().unwrap();
            dialled.push(dialing.due(soon)[0].1.clone());
            dialing.on_dialing(0, ConnectionId::new_unchecked(i));
            dialing.on_failed(soon, ConnectionId::new_unchecked(i), "refused");
            if i == 2 {
                assert_eq!(dialing.lost().collect::<Vec<_>>(), [peer]);
                dialing.on_found(PeerId::random(), &[at(9)]);
                dialing.on_found(peer, &[at(1), at(2), at(3)]);
            }
        }
        assert_eq!(dialled, [at(1), at(1), at(1), named(2), named(3), at(1)]);
        dialing.on_already(0, peer);
        assert_eq!((dialing.lost().count(), dialing.poll_timeout()), (0, None));
        let listed = Dialing::new(now, [named(1)], 1);
        assert_eq!(listed.peer(0), Some(peer));
    }
}
