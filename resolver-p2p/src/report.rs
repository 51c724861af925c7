//! What people and scripts are shown of peers and requests.

use crate::policy::{Misdeed, Totals, View};
use libp2p::PeerId;
use serde::Serialize;
use std::time::Duration;

/// One peer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerReport {
    /// Its id, in base 58.
    pub peer_id: String,
    /// `connected`, `ready`, `paused`, `limited`, `rejected`, `banned`, `paroled` or `gone`.
    pub state: &'static str,
    /// -100 to 10.
    pub trust: f64,
    /// Verified bytes per second, if measured.
    pub rate: Option<f64>,
    /// Requests that it may have open by what came of them (P31); it is given fewer if these fill its line.
    pub window: usize,
    /// Requests that it has open.
    pub in_flight: usize,
    /// Operations of it that verified.
    pub ops: u64,
    /// Bytes of its answers that verified.
    pub bytes: u64,
    /// Answers of it that were refused.
    pub refused: u64,
    /// Offences of any kind.
    pub offences: u64,
    /// The newest of them, oldest first.
    pub recent_offences: Vec<OffenceReport>,
    /// Whether it is a configured one, which is never banned.
    pub trusted: bool,
    /// The address prefix that it was last connected from, or `own` for loopback and private ranges.
    pub prefix: String,
    /// Whether it is banned.
    pub banned: bool,
    /// What for: `lie` or `operator`.
    pub ban_reason: Option<&'static str>,
    /// When the ban ends, in seconds since 1970.
    pub ban_until: Option<f64>,
    /// For how many seconds more.
    pub ban_left_s: Option<f64>,
    /// The size that it says to serve.
    pub size: Option<u64>,
}

impl PeerReport {
    pub(crate) fn new(now: Duration, view: View<PeerId>) -> Self {
        Self {
            peer_id: view.peer.to_string(),
            state: view.state.label(),
            trust: view.trust,
            rate: view.rate,
            window: view.window,
            in_flight: view.in_flight,
            ops: view.operations,
            bytes: view.bytes,
            refused: view.refused,
            offences: view.offences,
            recent_offences: view.log.iter().map(OffenceReport::new).collect(),
            trusted: view.trusted,
            prefix: view.prefix.to_string(),
            banned: view.ban.is_some(),
            ban_reason: view.ban.map(|ban| ban.reason.label()),
            ban_until: view.ban.map(|ban| ban.until.as_secs_f64()),
            ban_left_s: view.ban.map(|ban| ban.until.saturating_sub(now).as_secs_f64()),
            size: view.size,
        }
    }
}

/// One thing that a peer did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OffenceReport {
    /// `lie`, `unavailable`, `timeout`, `disconnect` or `operator`.
    pub reason: &'static str,
    /// The same in a few words.
    pub what: &'static str,
    /// When, in seconds since 1970.
    pub at: f64,
}

impl OffenceReport {
    fn new(misdeed: &Misdeed) -> Self {
        Self {
            reason: misdeed.offence.label(),
            what: misdeed.offence.sentence(),
            at: misdeed.at.as_secs_f64(),
        }
    }
}

/// A range that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestReport {
    /// Its first operation.
    pub start: u64,
    /// One past its last.
    pub end: u64,
    /// Who has it: nobody yet, one peer, or two.
    pub peers: Vec<String>,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TotalsReport {
    /// Bytes of answers, useful or not.
    pub bytes_received: u64,
    /// Answers of any kind.
    pub answers: u64,
    /// Requests with peers now.
    pub in_flight: u64,
    /// Answers that were refused.
    pub refused: u64,
    /// Requests that were asked again elsewhere.
    pub retried: u64,
    /// Second copies of a request.
    pub hedges: u64,
    /// Bytes of answers that nobody wanted any more when they came.
    pub unwanted_bytes: u64,
}

impl From<Totals> for TotalsReport {
    fn from(totals: Totals) -> Self {
        Self {
            bytes_received: totals.bytes_received,
            answers: totals.answers,
            in_flight: totals.in_flight,
            refused: totals.refused,
            retried: totals.retried,
            hedges: totals.hedges,
            unwanted_bytes: totals.unwanted_bytes,
        }
    }
}
