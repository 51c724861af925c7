//! Whom a sync cannot ask, and why: said soon, and again rarely. Pure.

use crate::config::Config;
use crate::network::View;
use std::time::{Duration, Instant};

/// Without a peer for so long, it is said.
const FIRST: Duration = Duration::from_secs(3);

/// Something else is said no sooner than this after the last word.
const CHANGED: Duration = Duration::from_secs(15);

/// The same is said again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// How long only peers of other networks or kinds may have been reached before a sync ends, or for half of the time without peers:
/// nothing that is waited for changes that.
const STRANGERS_AFTER: Duration = Duration::from_secs(10);

/// Told what an operator should know while it is waited.
pub type Tell = Box<dyn Fn(&str) + Send + Sync>;

/// Since when nobody can be asked, and what was said of it.
#[derive(Debug, Default)]
pub(crate) struct Unreached {
    alone: Option<Instant>,
    strangers: Option<Instant>,
    said: Option<(Instant, String)>,
}

impl Unreached {
    /// So it looks now. What to say, if it is time to.
    pub(crate) fn on_look(&mut self, now: Instant, view: &View) -> Option<String> {
        if view.usable() > 0 {
            *self = Self::default();
            return None;
        }
        let alone = *self.alone.get_or_insert(now);
        if view.is_complete() && !view.connected.is_empty() {
            self.strangers.get_or_insert(now);
        } else {
            self.strangers = None;
        }
        let why = reasons(view);
        let is_due = match &self.said {
            None => now - alone >= FIRST,
            Some((at, said)) => now - *at >= if *said == why { AGAIN } else { CHANGED },
        };
        is_due.then(|| {
            self.said = Some((now, why.clone()));
            format!("nobody to ask for {} s{why}; trying on", (now - alone).as_secs())
        })
    }

    /// How long everybody who is listed, remembered or was found has been reached or given up, and nobody there is of this node's
    /// network and kind.
    pub(crate) fn strangers_for(&self, now: Instant) -> Duration {
        self.strangers.map_or(Duration::ZERO, |since| now - since)
    }
}

/// What is known of each address, and of each peer that will not be asked: in brackets, with a space before; nothing without any.
pub(crate) fn reasons(view: &View) -> String {
    let unreached = view
        .problems
        .iter()
        .map(|(address, problem)| format!("{address}: {problem}"));
    let rejected = view
        .connected
        .iter()
        .filter_map(|(peer, why)| Some(format!("{peer}: {}", why.as_ref()?)));
    let all: Vec<_> = unreached.chain(rejected).collect();
    if all.is_empty() {
        String::new()
    } else {
        format!(" ({})", all.join("; "))
    }
}

/// Whether only peers of other networks or kinds were reached for too long, and nobody else will turn up.
///
/// - `since`: for how long.
pub(crate) fn is_among_strangers(config: &Config, since: Duration) -> bool {
    // Kademlia finds nobody through peers of another network.
    !config.network.mdns && !since.is_zero() && since >= STRANGERS_AFTER.min(config.sync.no_peer_timeout / 2)
}

/// - `why`: each of them, in brackets.
pub(crate) fn strangers(why: &str) -> String {
    format!(
        "every peer that could be reached is of another network or kind of database{why}: see to `network.name` and `network.kind`, \
         or ask other peers"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::PeerId;

    fn view(peers: &[Option<&str>], problems: &[&str]) -> View {
        let peer = |why: &Option<&str>| (PeerId::random(), why.map(str::to_owned));
        let problem = |why: &&str| ("/ip4/10.0.0.1/tcp/7370".parse().unwrap(), (*why).to_owned());
        View {
            connected: peers.iter().map(peer).collect(),
            problems: problems.iter().map(problem).collect(),
            ..View::default()
        }
    }

    #[test]
    fn it_is_said_soon_again_rarely_and_anew_after_a_peer_was_there() {
        let (nobody, other, somebody) = (
            view(&[], &["refused"]),
            view(&[], &["timed out"]),
            view(&[None], &[]),
        );
        let start = Instant::now();
        let mut unreached = Unreached::default();
        for (at, view, said) in [
            (0, &nobody, None),
            (2, &nobody, None),
            (
                3,
                &nobody,
                Some("nobody to ask for 3 s (/ip4/10.0.0.1/tcp/7370: refused); trying on"),
            ),
            (4, &nobody, None),
            (10, &other, None),
            (
                18,
                &other,
                Some("nobody to ask for 18 s (/ip4/10.0.0.1/tcp/7370: timed out); trying on"),
            ),
            (77, &other, None),
            (
                78,
                &other,
                Some("nobody to ask for 78 s (/ip4/10.0.0.1/tcp/7370: timed out); trying on"),
            ),
            (79, &somebody, None),
            (80, &nobody, None),
            (
                83,
                &nobody,
                Some("nobody to ask for 3 s (/ip4/10.0.0.1/tcp/7370: refused); trying on"),
            ),
        ] {
            let got = unreached.on_look(start + Duration::from_secs(at), view);
            assert_eq!(got.as_deref(), said, "after {at} s");
        }
    }

    #[test]
    fn only_strangers_are_those_of_other_networks_while_nobody_is_missing() {
        let strange = Some("serves network \"b\", this node is on \"a\"");
        let coming = View {
            coming: 1,
            ..view(&[strange], &[])
        };
        for (case, view, expected) in [
            ("all are strangers", view(&[strange, strange], &[]), 5),
            ("one address may be a friend's", view(&[strange], &["refused"]), 0),
            ("one who is remembered may be", coming, 0),
            ("one is a friend", view(&[strange, None], &[]), 0),
            ("nobody", view(&[], &[]), 0),
        ] {
            let start = Instant::now();
            let mut unreached = Unreached::default();
            for at in 0..=5 {
                let _ = unreached.on_look(start + Duration::from_secs(at), &view);
            }
            let got = unreached.strangers_for(start + Duration::from_secs(5));
            assert_eq!(got.as_secs(), expected, "{case}");
        }
    }
}
