//! Why a node is where it is, in one sentence: the same in `cordee status`, the progress bar, the dashboard and the log.
//!
//! What the engine waits for and what the resolver knows of its peers come together here. Pure.

use crate::believing::Standing;
use crate::network::View;
use cordee_protocol::sync::progress::{Progress, Waiting};
use std::time::{Duration, Instant};

/// A sync says in the log why it is where it is, so often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Below so many bytes free, a disk is nearly full: more than is written at once.
const LITTLE_ROOM: u64 = 16 << 20;

/// What to do before anything else, if a disk with `free` bytes left is full or nearly so.
pub fn room(free: u64) -> Option<String> {
    let mib = free as f64 / f64::from(1 << 20);
    (free < LITTLE_ROOM).then(|| format!("its disk has {mib:.1} MiB left: free some space"))
}

/// Why a sync is where it is.
///
/// - `peers`: what the resolver has to say, if peers hold it up.
pub fn syncing(progress: &Progress, peers: Option<String>, view: &View) -> String {
    match (&progress.waiting, peers) {
        (Waiting::Disk | Waiting::Root | Waiting::Observer | Waiting::Finish, _) => {
            progress.waiting.to_string()
        }
        (_, Some(peers)) if view.connected.is_empty() => format!("{peers}{}", unreached(view)),
        (_, Some(peers)) => peers,
        (Waiting::Nothing, None) => "beginning".into(),
        (waiting, None) => waiting.to_string(),
    }
}

/// What a node without a database waits for.
pub fn empty(standing: Option<&Standing>, view: &View) -> String {
    let refused = standing.and_then(|standing| standing.refused.as_ref());
    let peers = view.usable();
    match (refused, peers) {
        (Some(refused), _) => format!(
            "no database yet: the checkpoint at height {} was refused, as {}",
            refused.height, refused.message
        ),
        (None, 0) => format!("no database yet: no peer is connected{}", unreached(view)),
        (None, 1) => {
            "no database yet: the one peer has shown no checkpoint that the trust policy accepts".into()
        }
        (None, n) => {
            format!("no database yet: none of {n} peers has shown a checkpoint that the trust policy accepts")
        }
    }
}

/// What a node with a complete database is doing.
///
/// - `standing`: what it believes, if it has a trust policy.
/// - `publishes`: whether the checkpoints are its own.
pub fn serving(standing: Option<&Standing>, publishes: bool, view: &View) -> String {
    let Some(standing) = standing else {
        return "nothing to do: it serves a complete database, and follows nobody as there is no trust policy \
                (`trust.signers`)"
            .into();
    };
    match &standing.newest {
        Some(newest) if publishes => format!(
            "nothing to do: checkpoint {} is signed, and all is in it",
            newest.height
        ),
        None if publishes => "nothing to do: it signs the next commit".into(),
        Some(newest) if view.connected.is_empty() => format!(
            "at checkpoint {}, and no peer is connected to hear of the next one from{}",
            newest.height,
            unreached(view)
        ),
        Some(newest) => format!(
            "nothing to do: at checkpoint {}, waiting for the next one",
            newest.height
        ),
        None if view.connected.is_empty() => format!(
            "it serves what it has, and no peer is connected to hear of checkpoints from{}",
            unreached(view)
        ),
        None => "it serves what it has: no checkpoint that the trust policy accepts has come yet".into(),
    }
}

/// The first address that cannot be reached, and how many more there are.
fn unreached(view: &View) -> String {
    match view.problems.as_slice() {
        [] => String::new(),
        [(address, problem)] => format!(" ({address}: {problem})"),
        [(address, problem), more @ ..] => format!(" ({address}: {problem}; and {} more)", more.len()),
    }
}

/// Tells the log.
#[derive(Debug)]
pub(crate) struct Teller(Instant);

impl Teller {
    /// The first word comes after [`TELL_EVERY`]: a quick sync says nothing.
    pub(crate) fn new(now: Instant) -> Self {
        Self(now)
    }

    /// It is `why` now.
    pub(crate) fn on_look(&mut self, now: Instant, why: &str, progress: &Progress) {
        if now.duration_since(self.0) >= TELL_EVERY {
            self.0 = now;
            tracing::info!(size = %progress.size, end = %progress.end, "syncing: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::believing::{Refused, Shown};
    use libp2p::PeerId;

    fn view(peers: usize, problems: usize) -> View {
        let problem = |n| {
            (
                format!("/ip4/10.0.0.{n}/tcp/7370").parse().unwrap(),
                "Connection refused".into(),
            )
        };
        View {
            connected: (0..peers).map(|_| (PeerId::random(), None)).collect(),
            problems: (0..problems).map(problem).collect(),
            ..View::default()
        }
    }

    #[test]
    fn a_sync_says_what_holds_it_up() {
        let since = Duration::from_secs(3);
        let nobody = "no peers (/ip4/10.0.0.0/tcp/7370: Connection refused; and 1 more)";
        for (waiting, peers, view, expected) in [
            (
                Waiting::Disk,
                Some("no peers"),
                view(0, 1),
                "waiting for the disk",
            ),
            (Waiting::Root, None, view(1, 0), "comparing the root"),
            (Waiting::Nothing, None, view(1, 0), "beginning"),
            (
                Waiting::Answers { requests: 3, since },
                Some("no peers"),
                view(0, 2),
                nobody,
            ),
            (
                Waiting::Answers { requests: 3, since },
                None,
                view(1, 1),
                "waiting for answers to 3 requests",
            ),
            (
                Waiting::Answers { requests: 3, since },
                Some("none of 2 peers serves size 9 from 0 on"),
                view(2, 0),
                "none of 2 peers serves size 9 from 0 on",
            ),
        ] {
            let progress = Progress {
                waiting,
                ..Progress::default()
            };
            assert_eq!(syncing(&progress, peers.map(str::to_owned), &view), expected);
        }
    }

    #[test]
    fn a_node_at_rest_says_whether_it_will_hear_of_more() {
        let newest = Shown {
            height: 7,
            target: String::new(),
            time: 0,
            signers: Vec::new(),
            threshold: 1,
            signed: String::new(),
        };
        let refused = Refused {
            height: 9,
            reason: "too_old",
            message: "it is 3 days old".into(),
            at: 0,
        };
        let none = Standing::default();
        let at = Standing {
            newest: Some(newest),
            ..Standing::default()
        };
        let not = Standing {
            refused: Some(refused),
            ..Standing::default()
        };
        for (got, expected) in [
            (
                serving(None, false, &view(3, 0)),
                "nothing to do: it serves a complete database, and follows nobody as there is no trust policy (`trust.signers`)",
            ),
            (
                serving(Some(&at), true, &view(0, 0)),
                "nothing to do: checkpoint 7 is signed, and all is in it",
            ),
            (
                serving(Some(&at), false, &view(1, 0)),
                "nothing to do: at checkpoint 7, waiting for the next one",
            ),
            (
                serving(Some(&at), false, &view(0, 1)),
                "at checkpoint 7, and no peer is connected to hear of the next one from (/ip4/10.0.0.0/tcp/7370: \
                 Connection refused)",
            ),
            (
                serving(Some(&none), false, &view(1, 0)),
                "it serves what it has: no checkpoint that the trust policy accepts has come yet",
            ),
            (
                empty(Some(&none), &view(0, 1)),
                "no database yet: no peer is connected (/ip4/10.0.0.0/tcp/7370: Connection refused)",
            ),
            (
                empty(Some(&none), &view(2, 0)),
                "no database yet: none of 2 peers has shown a checkpoint that the trust policy accepts",
            ),
            (
                empty(Some(&not), &view(2, 0)),
                "no database yet: the checkpoint at height 9 was refused, as it is 3 days old",
            ),
        ] {
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_named() {
        assert_eq!(room(LITTLE_ROOM), None);
        assert_eq!(
            room(3 << 19).as_deref(),
            Some("its disk has 1.5 MiB left: free some space")
        );
    }

    #[test]
    fn a_full_disk_is_called_one() {
        let source = std::io::Error::from_raw_os_error(28);
        let path = "data/nodes/0".into();
        let said = crate::follow::cause(&crate::storage::Error::Full { path, source });
        assert_eq!(
            said,
            "the disk is full at data/nodes/0: free some space, then run the same command again; what was committed is safe: \
             No space left on device (os error 28)"
        );
    }
}
