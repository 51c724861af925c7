//! Who is asked, what an answer does to who gave it, and what others may ask of us. No libp2p, no clock.
//!
//! # Picture
//! ```text
//!   caller:  on_ask, on_withdraw  --+               +--> Ask, AskStatus      to the swarm
//!   swarm:   on_connected, on_status|               +--> Ban, Unban          to the swarm and the user
//!            on_delivered, on_failed+--> Policy ----+--> Parole, Revoke      to the swarm and the user
//!   caller:  on_turned, on_accepted |               +--> Ready, Rejected     to the user
//!            on_verdict             |               +--> Suspect             to whoever chose the target
//!   user:    on_ban, on_pardon    --+               +--> Penalised, Stuck    to metrics and the log
//!   clock:   on_timeout  <-- poll_timeout            poll_action
//!   disk:    restore     <-- records                 admit                   before a connection is taken
//! ```
//! Per peer three numbers: trust (`score`: is it honest), rate and window (`rate`: how fast, how much at once). A
//! peer that fails under a root nobody satisfied yet is judged by `escrow`. `select` picks, `fetch` is the life of
//! one request, `hedge` its second copy, `parole` what happens when nobody is left, `memory` what is kept, `why` what is
//! told; [`quota`] is the other direction.
//!
//! # Always
//! 1. Slots in use == requests in flight == sum over peers, after every event (P3).
//! 2. A peer's failure never ends a request: it waits until somebody answers (P2).
//! 3. Only a provable lie, or the operator, bans; local trouble costs nothing (P17).
//! 4. The same events at the same times with the same seed give the same actions.
//!
//! `now` is the time since some fixed moment and never goes back; [`Policy::records`] are kept with it, so for whoever
//! keeps them it is the time since 1970. P numbers are those of the project's specification of peers.
//!
//! # What cannot be
//! Unsolicited and duplicate answers (P11): each answer comes on the substream of its ask, of which one frame is read. Who
//! sends more sends it to nobody. An answer on a substream that nobody waits for any more costs nothing: it was asked for.

mod admit;
mod asks;
pub mod config;
mod dispatch;
mod escrow;
mod fetch;
mod hedge;
mod judge;
mod memory;
mod parole;
mod peer;
mod prefix;
pub mod quota;
mod rate;
mod score;
mod select;
#[cfg(test)]
mod tests;
mod why;

pub use admit::Denied;
pub use config::Config;
pub use escrow::Root;
pub use fetch::{AttemptId, Failure, FetchId, Receipt, Turn};
pub use memory::Record;
pub use peer::{Offers, State, View};
pub use prefix::{NotAPrefix, Prefix};
pub use score::{Ban, Misdeed, Offence, Standing};

use cordee_protocol::Request;
use cordee_protocol::wire::Status;
use escrow::Escrow;
use fetch::{Attempt, Caller, Fetch};
use hedge::{Times, Traffic};
use peer::{Claim, Peer};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rate::Window;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// What the driver must carry out, or tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<P> {
    /// Send `request` to `peer`; answer with [`Policy::on_delivered`] or [`Policy::on_failed`].
    Ask {
        /// Whom.
        peer: P,
        /// This try.
        attempt: AttemptId,
        /// What.
        request: Request,
    },
    /// Ask `peer` for its status; answer with [`Policy::on_status`] or [`Policy::on_status_failed`].
    AskStatus {
        /// Whom.
        peer: P,
    },
    /// The peer's status came or changed: it may be asked.
    Ready {
        /// Who.
        peer: P,
        /// What it serves.
        status: Status,
    },
    /// The peer will not be asked.
    Rejected {
        /// Who.
        peer: P,
        /// A sentence.
        reason: String,
    },
    /// Disconnect `peer` and refuse it, in both directions, until the ban ends.
    Ban {
        /// Who.
        peer: P,
        /// What for, and until when.
        ban: Ban,
    },
    /// Refuse `peer` no longer.
    Unban {
        /// Who.
        peer: P,
    },
    /// Let `peer` in although it is banned, and connect to it if that is possible (P21). If not, tell
    /// [`Policy::on_unreachable`].
    Parole {
        /// Who.
        peer: P,
    },
    /// Disconnect `peer` and refuse it as before: its parole is over.
    Revoke {
        /// Who.
        peer: P,
    },
    /// Nothing has verified for long although something is wanted; windows have started anew (P35).
    Stuck {
        /// For how long.
        after: Duration,
        /// Each peer that is connected or banned, and what holds it back.
        peers: Vec<(P, String)>,
    },
    /// A peer lost trust.
    Penalised {
        /// Who.
        peer: P,
        /// What for.
        offence: Offence,
    },
    /// Everybody fails under this root: it is probably wrong (P20).
    Suspect {
        /// The root, and the size it should be over.
        root: Root,
        /// Who failed.
        peers: Vec<P>,
    },
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of answers, useful or not.
    pub bytes_received: u64,
    /// Answers of any kind.
    pub answers: u64,
    /// Requests with peers now.
    pub in_flight: u64,
    /// Answers that were refused: by their shape, or by a verdict.
    pub refused: u64,
    /// Those of them that were refused by their shape.
    pub malformed: u64,
    /// Requests that were asked again elsewhere.
    pub retried: u64,
    /// Second copies of a request (P34).
    pub hedges: u64,
    /// Bytes of answers that nobody wanted any more when they came.
    pub unwanted_bytes: u64,
}

/// The state machine. `P` names a peer.
#[derive(Debug)]
pub struct Policy<P> {
    config: Config,
    network: String,
    kind: String,
    rng: ChaCha8Rng,
    peers: BTreeMap<P, Peer>,
    fetches: BTreeMap<FetchId, Fetch<P>>,
    attempts: BTreeMap<AttemptId, Attempt<P>>,
    escrow: Escrow<P>,
    actions: VecDeque<Action<P>>,
    totals: Totals,
    next: u64,
    /// Bytes of an operation, averaged over verified answers.
    operation_bytes: f64,
    times: Times,
    traffic: Traffic,
    /// Answers that callers have and did not judge yet.
    judging: u64,
    /// Who is on parole, and until when.
    paroled: Option<(P, Duration)>,
    /// Banned peers by prefix.
    banned: BTreeMap<Prefix, usize>,
    /// When requests were last given to peers.
    dispatched_at: Duration,
    /// When something last verified, or was first wanted after nothing was.
    progress_at: Duration,
    /// When the watchdog last spoke.
    watched_at: Duration,
}

impl<P: Copy + Ord> Policy<P> {
    /// Nobody is known, nothing is asked.
    ///
    /// - `network`, `kind`: peers whose status names others are not asked.
    /// - `seed`: of choices and jitter.
    pub fn new(network: String, kind: String, config: Config, seed: u64) -> Self {
        Self {
            escrow: Escrow::new(config.escrow.clone()),
            config,
            network,
            kind,
            rng: ChaCha8Rng::seed_from_u64(seed),
            peers: BTreeMap::new(),
            fetches: BTreeMap::new(),
            attempts: BTreeMap::new(),
            actions: VecDeque::new(),
            totals: Totals::default(),
            next: 0,
            operation_bytes: 128.0,
            times: Times::default(),
            traffic: Traffic::default(),
            judging: 0,
            paroled: None,
            banned: BTreeMap::new(),
            dispatched_at: Duration::ZERO,
            progress_at: Duration::ZERO,
            watched_at: Duration::ZERO,
        }
    }

    /// What is to be done next. Call until `None` after every event.
    pub fn poll_action(&mut self) -> Option<Action<P>> {
        self.actions.pop_front()
    }

    /// Never ban `peer` (P19).
    pub fn trust(&mut self, now: Duration, peer: P) {
        self.peer(now, peer).score.trust();
    }

    /// The first connection to `peer` is up.
    pub fn on_connected(&mut self, now: Duration, peer: P, address: Option<IpAddr>) {
        let record = self.peer(now, peer);
        record.prefix = Prefix::of(address);
        record.link = Some(record.prefix);
        record.claim = Claim::Unknown;
        record.status_due = now;
        record.status_asked = None;
        if self
            .peers
            .get(&peer)
            .is_some_and(|record| record.score.ban().is_some())
        {
            self.count_bans();
        }
        self.ask_statuses(now);
        self.forget_some();
    }

    /// The last connection to `peer` is down.
    ///
    /// - `own`: we closed it, or nobody used it: costs nothing (P17).
    pub fn on_disconnected(&mut self, now: Duration, peer: P, own: bool) {
        let open = self.release_all(now, peer);
        let config = self.config.trust.clone();
        let Some(record) = self.peers.get_mut(&peer) else {
            return;
        };
        record.link = None;
        record.claim = Claim::Unknown;
        record.lingering.clear();
        // Whoever is on parole has had its chance.
        let revoked = record.parole_until.is_some();
        if open && !own {
            let times = record.on_disconnect(now, config.disconnect_memory);
            let pause = config
                .disconnect_pause
                .saturating_mul(u32::try_from(times).unwrap_or(u32::MAX));
            record.paused_until = now + pause.min(config.disconnect_memory);
            if times >= 3 {
                self.penalise(now, peer, Offence::Disconnect);
            }
        }
        if revoked {
            self.revoke(now, peer);
        }
        self.forget_some();
        self.dispatch(now);
    }

    /// `peer` says what it serves.
    pub fn on_status(&mut self, now: Duration, peer: P, status: Status) {
        let ours = status.network == self.network && status.kind == self.kind;
        if !ours {
            let reason = if status.network == self.network {
                format!(
                    "serves databases of kind {:?}, this node's is {:?}",
                    status.kind, self.kind
                )
            } else {
                format!(
                    "serves network {:?}, this node is on {:?}",
                    status.network, self.network
                )
            };
            return self.reject(now, peer, reason);
        }
        let record = self.peer(now, peer);
        record.status_asked = None;
        let known = matches!(&record.claim, Claim::Serves(known) if *known == status);
        record.claim = Claim::Serves(status.clone());
        if !known {
            record.status_same = 0;
            self.actions.push_back(Action::Ready { peer, status });
        }
        self.dispatch(now);
    }

    /// The answer to the ask for a status.
    pub fn on_status_answer(&mut self, now: Duration, peer: P, status: Status) {
        self.peer(now, peer).on_round_trip(now);
        self.on_status(now, peer, status);
    }

    /// The ask for a status failed.
    ///
    /// - `unsupported`: the peer does not speak the protocol.
    pub fn on_status_failed(&mut self, now: Duration, peer: P, unsupported: bool) {
        if unsupported {
            return self.reject(now, peer, "does not speak this protocol".into());
        }
        self.peer(now, peer).status_asked = None;
    }

    /// The operator bans `peer`.
    pub fn on_ban(&mut self, now: Duration, peer: P) {
        // For the full time, whatever ban was under way.
        let config = self.config.trust.clone();
        self.peer(now, peer).score.release(now, &config);
        self.penalise(now, peer, Offence::Operator);
        self.dispatch(now);
    }

    /// `peer` has passed on a forgery by another protocol, whose rules make sure that no honest peer does.
    pub fn on_forgery(&mut self, now: Duration, peer: P) {
        self.peer(now, peer);
        self.penalise(now, peer, Offence::Forgery);
        self.dispatch(now);
    }

    /// The operator forgives `peer` everything; returns whether anything was known of it.
    pub fn on_pardon(&mut self, now: Duration, peer: P) -> bool {
        let known = self.peers.contains_key(&peer);
        if let Some(record) = self.peers.get_mut(&peer) {
            record.paused_until = Duration::ZERO;
            record.disconnects.clear();
            record.timeouts = 0;
            if record.score.pardon(now) {
                record.claim = Claim::Unknown;
                record.status_due = now;
                record.status_asked = None;
                self.actions.push_back(Action::Unban { peer });
            }
        }
        self.end_parole(peer);
        self.count_bans();
        self.ask_statuses(now);
        self.dispatch(now);
        known
    }

    /// The ban of `peer` under way.
    pub fn ban(&self, peer: &P) -> Option<Ban> {
        self.peers.get(peer)?.score.ban()
    }

    /// Counts since the start.
    pub fn totals(&self) -> Totals {
        Totals {
            in_flight: self.attempts.len() as u64,
            ..self.totals
        }
    }

    /// When [`Self::on_timeout`] next has work; not before `now`.
    pub fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        let attempts = self.attempts.values().map(|attempt| attempt.deadline);
        let bans = self
            .peers
            .values()
            .filter_map(|peer| Some(peer.score.ban()?.until));
        let statuses = (self.peers.values())
            .filter(|peer| peer.link.is_some() && peer.is_let_in())
            .map(|peer| peer.status_due.max(peer.status_asked.unwrap_or_default()));
        let refused = self.fetches.values().filter_map(|fetch| match fetch.caller {
            Caller::Refused { until } => Some(until),
            _ => None,
        });
        let parole = self.paroled.map(|(_, until)| until).or_else(|| self.parole_due());
        let hard = attempts
            .chain(bans)
            .chain(statuses)
            .chain(refused)
            .chain(self.escrow.poll_timeout())
            .chain(self.hedge_due())
            .chain(parole)
            .chain(self.watchdog_due());
        hard.chain(self.wakes()).min().map(|at| at.max(now))
    }

    /// Do what is due at `now`.
    pub fn on_timeout(&mut self, now: Duration) {
        let late = self
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.deadline <= now);
        let late: Vec<_> = late.map(|(id, attempt)| (*id, attempt.peer)).collect();
        for (id, peer) in late {
            self.on_failed(now, peer, id, Failure::Timeout);
            self.linger(now, peer, id);
        }
        let mut over = Vec::new();
        for (peer, record) in &mut self.peers {
            record.lingering.retain(|_, gone| *gone > now);
            if record.score.on_timeout(now, &self.config.trust) {
                record.claim = Claim::Unknown;
                record.status_due = now;
                over.push(*peer);
            }
        }
        for peer in over {
            self.end_parole(peer);
            self.count_bans();
            self.actions.push_back(Action::Unban { peer });
        }
        self.drop_refused(now);
        for root in self.escrow.settle(now) {
            self.suspect_if_all_failed(now, root);
        }
        for (root, peers) in self.escrow.on_timeout(now) {
            self.actions.push_back(Action::Suspect { root, peers });
        }
        self.ask_statuses(now);
        self.dispatch(now);
        self.hedge(now);
        self.parole(now);
        self.watch(now);
    }

    /// `(slots in use, requests in flight, sum over peers)`; equal after every event (P3).
    pub fn slots(&self) -> (usize, usize, usize) {
        (
            self.attempts.len(),
            self.fetches.values().map(|fetch| fetch.copies.len()).sum(),
            self.peers.values().map(|peer| peer.in_flight).sum(),
        )
    }

    fn peer(&mut self, now: Duration, peer: P) -> &mut Peer {
        let config = &self.config;
        self.peers.entry(peer).or_insert_with(|| Peer::new(now, config))
    }

    fn reject(&mut self, now: Duration, peer: P, reason: String) {
        let record = self.peer(now, peer);
        record.status_asked = None;
        if !matches!(&record.claim, Claim::Rejected(known) if *known == reason) {
            record.claim = Claim::Rejected(reason.clone());
            self.actions.push_back(Action::Rejected { peer, reason });
        }
    }

    fn ask_statuses(&mut self, now: Duration) {
        let config = &self.config.fetch;
        for (peer, record) in &mut self.peers {
            let waits = record.status_asked.is_some_and(|until| until > now);
            if record.link.is_some() && record.is_let_in() && !waits && record.status_due <= now {
                record.status_due = now + config.status_every;
                record.status_last = now;
                record.status_same = record.status_same.saturating_add(1);
                record.status_sent = Some(now);
                record.status_asked = Some(now + config.stream_lifetime);
                self.actions.push_back(Action::AskStatus { peer: *peer });
            }
        }
    }
}
