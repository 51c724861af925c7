//! What people and scripts are shown of peers and requests.

use crate::policy::{Totals, View};
use libp2p::PeerId;
use serde::Serialize;
use std::time::Duration;

/// One peer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerReport {
    /// Its id, in base 58.
    pub peer_id: String,
    /// `connected`, `ready`, `paused`, `limited`, `rejected`, `banned` or `gone`.
    pub state: &'static str,
    /// -100 to 10.
    pub trust: f64,
    /// Verified bytes per second, if measured.
    pub rate: Option<f64>,
    /// Requests that it may have open.
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
    /// Whether it is banned.
    pub banned: bool,
    /// What for: `lie` or `operator`.
    pub ban_reason: Option<&'static str>,
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
            banned: view.ban.is_some(),
            ban_reason: view.ban.map(|ban| ban.reason.label()),
            ban_left_s: view.ban.map(|ban| ban.until.saturating_sub(now).as_secs_f64()),
            size: view.size,
        }
    }
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
        }
    }
}
