//! Counters and gauges, in the caller's registry.
//!
//! Every label has one of a few words that stand in this crate, and each of them is there from the start: a scraper sees zeros
//! before the first ban, and a thousand peers make no series more than one does.

use crate::policy::{Offence, State, Totals};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Label = [(&'static str, &'static str); 1];

/// What becomes of an ask.
const SERVED: [&str; 8] = [
    "range",
    "status",
    "unavailable",
    "other",
    "busy",
    "refused",
    "ignored",
    "gone",
];

/// Why answers are refused: an answer that is none, one of another shape than was asked, and one whose proof fails.
const REFUSED: [&str; 3] = ["malformed", "shape", "proof"];

/// What the behaviour counts. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    peers: Family<Label, Gauge>,
    bans: Family<Label, Counter>,
    penalties: Family<Label, Counter>,
    in_flight: Gauge,
    hedges: Counter,
    refused: Family<Label, Counter>,
    served: Family<Label, Counter>,
    served_bytes: Counter,
}

impl Metrics {
    /// Metrics in `registry`, which gives the prefix. [`Metrics::default`] counts for nobody.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "peers",
            "Peers by state; those whose ban is in force are banned, whichever process has banned them",
            metrics.peers.clone(),
        );
        registry.register(
            "peer_bans",
            "Bans by reason, since this process began",
            metrics.bans.clone(),
        );
        registry.register(
            "peer_penalties",
            "Penalties by reason, since this process began",
            metrics.penalties.clone(),
        );
        registry.register(
            "resolver_inflight",
            "Requests with peers",
            metrics.in_flight.clone(),
        );
        registry.register(
            "resolver_hedges",
            "Second copies of a request",
            metrics.hedges.clone(),
        );
        registry.register(
            "sync_refused_batches",
            "Answers that were refused, by reason",
            metrics.refused.clone(),
        );
        registry.register(
            "serve_requests",
            "Asks of peers by result",
            metrics.served.clone(),
        );
        registry.register(
            "serve_bytes",
            "Bytes of answers sent to peers",
            metrics.served_bytes.clone(),
        );
        metrics.begin();
        metrics
    }

    /// Have every series there from the start.
    fn begin(&self) {
        for offence in Offence::ALL {
            drop(self.penalties.get_or_create(&[("reason", offence.label())]));
            if offence.is_provable() {
                drop(self.bans.get_or_create(&[("reason", offence.label())]));
            }
        }
        for reason in REFUSED {
            drop(self.refused.get_or_create(&[("reason", reason)]));
        }
        for result in SERVED {
            drop(self.served.get_or_create(&[("result", result)]));
        }
        self.set_peers(std::iter::empty());
    }

    /// An answer was refused by whoever proves them.
    ///
    /// - `reason`: one of a few words, for the label.
    pub fn on_refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    pub(crate) fn set_peers(&self, states: impl Iterator<Item = State>) {
        let mut counts = [0; State::ALL.len()];
        for state in states {
            counts[state as usize] += 1;
        }
        for (state, count) in State::ALL.iter().zip(counts) {
            self.peers.get_or_create(&[("state", state.label())]).set(count);
        }
    }

    /// - `totals`: of one policy, as they grow.
    pub(crate) fn set_totals(&self, totals: &Totals) {
        self.in_flight
            .set(i64::try_from(totals.in_flight).unwrap_or(i64::MAX));
        self.hedges
            .inc_by(totals.hedges.saturating_sub(self.hedges.get()));
        let malformed = self.refused.get_or_create(&[("reason", "malformed")]);
        malformed.inc_by(totals.malformed.saturating_sub(malformed.get()));
    }

    pub(crate) fn on_ban(&self, reason: &'static str) {
        self.bans.get_or_create(&[("reason", reason)]).inc();
    }

    pub(crate) fn on_penalty(&self, reason: &'static str) {
        self.penalties.get_or_create(&[("reason", reason)]).inc();
    }

    pub(crate) fn on_served(&self, result: &'static str, bytes: u64) {
        self.served.get_or_create(&[("result", result)]).inc();
        self.served_bytes.inc_by(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_interface() {
        let mut registry = Registry::with_prefix("cordee");
        let metrics = Metrics::new(&mut registry);
        metrics.set_peers([State::Ready, State::Ready, State::Gone].into_iter());
        let totals = |in_flight, hedges| Totals {
            in_flight,
            hedges,
            malformed: hedges,
            ..Totals::default()
        };
        metrics.set_totals(&totals(5, 1));
        metrics.set_totals(&totals(3, 2));
        metrics.on_refused("proof");
        metrics.on_ban("lie");
        metrics.on_penalty("timeout");
        metrics.on_served("range", 7);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "cordee_peers{state=\"ready\"} 2",
            "cordee_peers{state=\"gone\"} 1",
            "cordee_peers{state=\"banned\"} 0",
            "cordee_sync_refused_batches_total{reason=\"malformed\"} 2",
            "cordee_sync_refused_batches_total{reason=\"proof\"} 1",
            "cordee_sync_refused_batches_total{reason=\"shape\"} 0",
            "cordee_peer_bans_total{reason=\"lie\"} 1",
            "cordee_peer_bans_total{reason=\"operator\"} 0",
            "cordee_serve_requests_total{result=\"busy\"} 0",
            "cordee_peer_penalties_total{reason=\"timeout\"} 1",
            "cordee_resolver_inflight 3",
            "cordee_resolver_hedges_total 2",
            "cordee_serve_requests_total{result=\"range\"} 1",
            "cordee_serve_bytes_total 7",
        ] {
            assert!(text.lines().any(|is| is == line), "{line} in\n{text}");
        }
        // A thousand peers that are banned, penalised and served make no series more.
        let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        let before = series(&text);
        for n in 0..1000 {
            metrics.set_peers(std::iter::repeat_n(State::Banned, n));
            metrics.on_ban("lie");
            metrics.on_penalty("timeout");
            metrics.on_served("range", 7);
        }
        text.clear();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert_eq!(series(&text), before);
    }
}
