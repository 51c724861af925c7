//! What is kept of one peer: its standing, its speed, and what it has to do.

use super::config::{Config, RateConfig};
use super::fetch::AttemptId;
use super::prefix::Prefix;
use super::rate::{Rate, Window};
use super::score::{Ban, Misdeed, Score};
use cordee_protocol::wire::Status;
use cordee_protocol::{Location, Request};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What a peer says of itself.
#[derive(Clone, Debug)]
pub(super) enum Claim {
    /// Nothing yet.
    Unknown,
    /// It is of another network or kind, or does not speak the protocol.
    Rejected(String),
    /// It is one of ours.
    Serves(Status),
}

#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Where it is connected from; `None` if it is not connected.
    pub(super) link: Option<Prefix>,
    /// Where it was last connected from.
    pub(super) prefix: Prefix,
    pub(super) claim: Claim,
    pub(super) score: Score,
    pub(super) rate: Rate,
    pub(super) window: Window,
    /// How long an answer takes that has hardly any bytes; zero until a status has told.
    pub(super) trip: Duration,
    /// What its quickest answer took, lately.
    pub(super) quickest: Option<Duration>,
    /// When the last transfer from it ended.
    pub(super) delivered_at: Duration,
    /// Requests with it, and the bytes expected for them.
    pub(super) in_flight: usize,
    pub(super) bytes_in_flight: u64,
    /// Substreams that nobody waits for, and when they are taken to be gone.
    pub(super) lingering: BTreeMap<AttemptId, Duration>,
    /// Not asked before (P15, P16).
    pub(super) paused_until: Duration,
    /// When it went away with a request open (P15).
    pub(super) disconnects: VecDeque<Duration>,
    /// Timeouts since the last verified answer (P30).
    pub(super) timeouts: u32,
    /// When its window was last halved: what was sent before is the same trouble (P16, P31).
    pub(super) setback_at: Duration,
    /// Banned, but let in until then to show that it can tell the truth (P21).
    pub(super) parole_until: Option<Duration>,
    /// When it was last let in so.
    pub(super) paroled_at: Option<Duration>,
    /// When "not available" may cost again (P12).
    pub(super) forgiven_until: Duration,
    /// When its status is to be asked for, when it last was, and when the ask under way is given up.
    pub(super) status_due: Duration,
    pub(super) status_last: Duration,
    /// Times that it was asked since it last told something new.
    pub(super) status_same: u32,
    pub(super) status_asked: Option<Duration>,
    /// When the ask was sent whose answer will tell the round trip.
    pub(super) status_sent: Option<Duration>,
    pub(super) asked: u64,
    pub(super) verified_operations: u64,
    pub(super) verified_bytes: u64,
    pub(super) refused: u64,
}

impl Peer {
    pub(super) fn new(now: Duration, config: &Config) -> Self {
        Self {
            link: None,
            prefix: Prefix::Own,
            claim: Claim::Unknown,
            score: Score::new(now),
            rate: Rate::default(),
            window: Window::new(&config.rate),
            trip: Duration::ZERO,
            quickest: None,
            delivered_at: Duration::ZERO,
            in_flight: 0,
            bytes_in_flight: 0,
            lingering: BTreeMap::new(),
            paused_until: Duration::ZERO,
            disconnects: VecDeque::new(),
            timeouts: 0,
            setback_at: Duration::ZERO,
            parole_until: None,
            paroled_at: None,
            forgiven_until: Duration::ZERO,
            status_due: now,
            status_last: now,
            status_same: 0,
            status_asked: None,
            status_sent: None,
            asked: 0,
            verified_operations: 0,
            verified_bytes: 0,
            refused: 0,
        }
    }

    /// Not banned, or on parole.
    pub(super) fn is_let_in(&self) -> bool {
        self.score.ban().is_none() || self.parole_until.is_some()
    }

    /// Connected, of our network, and let in.
    pub(super) fn is_reachable(&self) -> bool {
        self.link.is_some() && matches!(self.claim, Claim::Serves(_)) && self.is_let_in()
    }

    /// Connected and let in, but its status has not come yet.
    pub(super) fn is_unheard(&self) -> bool {
        self.link.is_some() && matches!(self.claim, Claim::Unknown) && self.is_let_in()
    }

    /// A timeout or "busy" for what was sent then: the window is halved, once in a round trip (P16, P31).
    pub(super) fn on_setback(&mut self, now: Duration, sent: Duration) {
        if sent >= self.setback_at {
            self.window.on_setback();
            self.setback_at = now;
        }
    }

    /// A status came for the ask that was sent last: that took a round trip, and the wait behind answers that the peer was
    /// sending: so the shortest is what counts.
    pub(super) fn on_round_trip(&mut self, now: Duration) {
        let Some(sent) = self.status_sent.take() else {
            return;
        };
        let took = now.saturating_sub(sent);
        let known = (self.trip > Duration::ZERO).then_some(self.trip);
        self.trip = shortest(known, took);
    }

    /// A transfer that was asked for at `sent` has ended. Seconds that its bytes took alone: the peer began with them when the
    /// ask had come, or when it was done with what it was sending before.
    pub(super) fn on_delivered(&mut self, now: Duration, sent: Duration) -> f64 {
        let began = (sent + self.trip).max(self.delivered_at);
        self.delivered_at = now;
        self.quickest = Some(shortest(self.quickest, now.saturating_sub(sent)));
        // Whoever delays statuses does not look fast by that.
        let least = now.saturating_sub(sent) / 16;
        now.saturating_sub(began).max(least).as_secs_f64()
    }

    /// Whether its status covers `request`.
    pub(super) fn covers(&self, request: &Request) -> bool {
        match &self.claim {
            Claim::Serves(status) => status.oldest <= request.start() && status.proves(request.size()),
            _ => false,
        }
    }

    /// Whether it says that it holds the operation at `at`.
    pub(super) fn holds(&self, at: Location) -> bool {
        matches!(&self.claim, Claim::Serves(status) if status.oldest <= at && at < status.size)
    }

    /// Whether it says that it can prove `size`.
    pub(super) fn serves(&self, size: Location) -> bool {
        matches!(&self.claim, Claim::Serves(status) if status.proves(size))
    }

    /// Whether it has room for one more request.
    pub(super) fn has_room(&self, config: &Config) -> bool {
        self.in_flight < self.room(config) && self.in_flight + self.lingering.len() < config.rate.streams_max
    }

    /// Requests that it may have open: one while it is on parole or probed, else its window, or fewer if these fill its line.
    fn room(&self, config: &Config) -> usize {
        if self.parole_until.is_some() || self.is_probed(config) {
            1
        } else {
            self.window.size().min(self.fill(&config.rate))
        }
    }

    /// Requests that fill its line. More would wait at the peer, and what comes of them all at once would be in nobody's cache
    /// when it is complete.
    fn fill(&self, config: &RateConfig) -> usize {
        let Some(rate) = self.rate.bytes_per_second().filter(|_| !self.trip.is_zero()) else {
            return usize::MAX;
        };
        let request = self.bytes_in_flight as f64 / self.in_flight.max(1) as f64;
        let under_way = rate * self.trip.as_secs_f64() * config.answer_trips;
        (config.ready as usize)
            .saturating_add((under_way / request.max(1.0)) as usize)
            .max(1)
    }

    /// Whether it is given small requests, having let others pass their deadline (P30).
    pub(super) fn is_probed(&self, config: &Config) -> bool {
        self.timeouts >= config.fetch.probe_after
    }

    /// Drop disconnects that are too old to count and note one; returns how many count.
    pub(super) fn on_disconnect(&mut self, now: Duration, memory: Duration) -> usize {
        self.disconnects.retain(|at| now.saturating_sub(*at) < memory);
        self.disconnects.push_back(now);
        // More say no more than that it goes on.
        if self.disconnects.len() > 10 {
            self.disconnects.pop_front();
        }
        self.disconnects.len()
    }

    pub(super) fn state(&self, now: Duration, config: &Config) -> State {
        if self.score.ban().is_some() {
            return if self.parole_until.is_some() {
                State::Paroled
            } else {
                State::Banned
            };
        }
        match (&self.link, &self.claim) {
            (None, _) => State::Gone,
            (_, Claim::Unknown) => State::Connected,
            (_, Claim::Rejected(_)) => State::Rejected,
            _ if self.paused_until > now => State::Paused,
            _ if self.score.is_limited(now, &config.trust) => State::Limited,
            _ => State::Ready,
        }
    }
}

/// The shortest time, lately: a shorter one counts whole, a longer one a little.
fn shortest(known: Option<Duration>, took: Duration) -> Duration {
    match known {
        Some(known) if took > known => known + (took - known) / 16,
        _ => took,
    }
}

/// Where a peer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Connected; its status has not come yet.
    Connected,
    /// May be asked.
    Ready,
    /// Left alone for a while: it was busy, or went away with a request open.
    Paused,
    /// Asked only when nobody else is eligible (P19).
    Limited,
    /// Of another network or kind.
    Rejected,
    /// Banned.
    Banned,
    /// Banned, but let in to be asked for one operation, as nobody else is left (P21).
    Paroled,
    /// Not connected.
    Gone,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Connected,
        Self::Ready,
        Self::Paused,
        Self::Limited,
        Self::Rejected,
        Self::Banned,
        Self::Paroled,
        Self::Gone,
    ];

    /// One word, for labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Ready => "ready",
            Self::Paused => "paused",
            Self::Limited => "limited",
            Self::Rejected => "rejected",
            Self::Banned => "banned",
            Self::Paroled => "paroled",
            Self::Gone => "gone",
        }
    }
}

/// What is known of one peer, for people and scripts.
#[derive(Clone, Debug)]
pub struct View<P> {
    /// Its name.
    pub peer: P,
    /// Where it stands.
    pub state: State,
    /// -100 to 10.
    pub trust: f64,
    /// Verified bytes per second, if measured.
    pub rate: Option<f64>,
    /// Requests that it may have open by what came of them (P31); it is given fewer if these fill its line.
    pub window: usize,
    /// Requests that it has open.
    pub in_flight: usize,
    /// Operations of it that verified.
    pub operations: u64,
    /// Bytes of its answers that verified.
    pub bytes: u64,
    /// Answers of it that were refused.
    pub refused: u64,
    /// Offences of any kind.
    pub offences: u64,
    /// The newest of them, oldest first.
    pub log: Vec<Misdeed>,
    /// Where it was last connected from.
    pub prefix: Prefix,
    /// Whether it is a configured one.
    pub trusted: bool,
    /// The ban under way.
    pub ban: Option<Ban>,
    /// Its size, if it told one.
    pub size: Option<u64>,
}

/// Who may be asked, and what they say of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// Peers that are connected, let in and of this network, and have told what they serve.
    pub peers: usize,
    /// Those of them that say to hold it.
    pub holding: usize,
}
