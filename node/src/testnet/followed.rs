//! What a testnet has shown whose publisher goes on writing: how far everybody was behind, what it cost, and whether all ended at
//! the same root. Pure: everything is passed in. The JSON fields are a contract with scripts; more may be added.

use super::blows::Blow;
use super::cast::Role;
use super::lag::Lag;
use serde::Serialize;

/// The whole.
#[derive(Clone, Debug, Serialize)]
pub struct Followed {
    /// For how long it was watched, in seconds.
    pub seconds: f64,
    /// Writes a second that were wanted.
    pub rate: u64,
    /// Writes a second that the publisher took, each made durable and answered.
    pub writes_per_s: f64,
    /// Operations a second that the log grew by: those writes, and what moves with the floor.
    pub ops_per_s: f64,
    /// Keys that sign.
    pub signers: usize,
    /// How many of them have to agree.
    pub threshold: usize,
    /// Checkpoints that the publisher signed.
    pub checkpoints: u64,
    /// The publisher's root at the end.
    pub root: String,
    /// Its size.
    pub size: u64,
    /// What copies it.
    pub target: String,
    /// Seconds from the last write until all were there.
    pub settled_s: f64,
    /// Everybody.
    pub nodes: Vec<NodeFollowed>,
    /// What was done to them, in order; the first [`MAX_BLOWS`].
    pub blows: Vec<BlowReport>,
    /// Honest nodes that an honest node has banned at the end.
    pub honest_banned: usize,
    /// What is wrong, a sentence each.
    pub failures: Vec<String>,
}

/// Blows that are told one by one.
pub const MAX_BLOWS: usize = 10_000;

/// How one node did.
#[derive(Clone, Debug, Serialize)]
pub struct NodeFollowed {
    /// Its name here.
    pub name: String,
    /// What it is there for.
    pub role: Role,
    /// Its root at the end; `None` if it did not say.
    pub root: Option<String>,
    /// Its size at the end.
    pub size: u64,
    /// How far it was behind, without the time that it was away and came back.
    pub lag: Lag,
    /// CPU seconds in all its lives.
    pub cpu_s: f64,
    /// The most memory in any of its lives, in MiB.
    pub peak_rss_mib: f64,
    /// Times that it was killed.
    pub kills: usize,
    /// Times that it was stopped.
    pub stops: usize,
    /// Messages of the gossip.
    pub gossip: Gossiped,
    /// The same for each checkpoint.
    pub per_checkpoint: PerCheckpoint,
}

/// Messages with checkpoints, without what gossip tells of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gossiped {
    /// Sent.
    pub sent: u64,
    /// Bytes of these.
    pub sent_bytes: u64,
    /// Received, duplicates too.
    pub received: u64,
    /// Bytes of these.
    pub received_bytes: u64,
}

/// [`Gossiped`], for each checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PerCheckpoint {
    /// Sent.
    pub sent: f64,
    /// Bytes of these.
    pub sent_bytes: f64,
    /// Received, duplicates too.
    pub received: f64,
    /// Bytes of these.
    pub received_bytes: f64,
}

/// One node that was ended and started again.
#[derive(Clone, Debug, Serialize)]
pub struct BlowReport {
    /// When, in seconds since the testnet began to write.
    pub at_s: f64,
    /// Whom.
    pub name: String,
    /// How.
    pub blow: Blow,
    /// Seconds that it took to end in order; `None` if it was not to, or did not.
    pub ended_s: Option<f64>,
    /// Operations that it had durably before.
    pub size_before: u64,
    /// Operations that it had when it was up again.
    pub size_after: u64,
    /// Seconds from its new start until it had all that was written before that; `None` if it was ended again before.
    pub back_s: Option<f64>,
}

impl Gossiped {
    /// Those of the text at `/metrics`.
    pub fn read(metrics: &str) -> Self {
        let sum = |name: &str| {
            let lines = metrics.lines().filter_map(|line| {
                let rest = line
                    .strip_prefix("cordee_gossipsub_topic_msg_")?
                    .strip_prefix(name)?;
                let (labels, value) = rest.rsplit_once(' ')?;
                labels.starts_with('{').then(|| value.parse::<u64>().ok())?
            });
            lines.sum()
        };
        Self {
            sent: sum("sent_counts_total"),
            sent_bytes: sum("sent_bytes_total"),
            received: sum("recv_counts_unfiltered_total"),
            received_bytes: sum("recv_bytes_unfiltered_total"),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        self.each(before, u64::saturating_sub)
    }

    fn each(self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            sent: of(self.sent, other.sent),
            sent_bytes: of(self.sent_bytes, other.sent_bytes),
            received: of(self.received, other.received),
            received_bytes: of(self.received_bytes, other.received_bytes),
        }
    }

    /// For each of so many checkpoints.
    pub fn per(self, checkpoints: u64) -> PerCheckpoint {
        let of = |number: u64| number as f64 / checkpoints.max(1) as f64;
        PerCheckpoint {
            sent: of(self.sent),
            sent_bytes: of(self.sent_bytes),
            received: of(self.received),
            received_bytes: of(self.received_bytes),
        }
    }
}

impl Followed {
    /// Find what is wrong with it.
    #[must_use]
    pub fn judged(mut self) -> Self {
        let mut failures = Vec::new();
        for node in &self.nodes {
            let name = &node.name;
            match &node.root {
                None => failures.push(format!("{name} does not answer any more")),
                Some(root) if *root != self.root => {
                    failures.push(format!("{name} ended at size {} with root {root}", node.size));
                }
                Some(_) => {}
            }
            if node.lag.samples == 0 {
                failures.push(format!("{name} never followed"));
            }
        }
        for blow in &self.blows {
            let name = &blow.name;
            if blow.size_after < blow.size_before {
                let (before, after) = (blow.size_before, blow.size_after);
                failures.push(format!(
                    "{name} had {before} operations before it was ended, and {after} after"
                ));
            }
            if blow.blow == Blow::Stop && blow.ended_s.is_none() {
                failures.push(format!("{name} did not end in order"));
            }
        }
        if self.honest_banned > 0 {
            failures.push(format!(
                "honest nodes banned by honest ones: {}",
                self.honest_banned
            ));
        }
        if self.checkpoints == 0 {
            failures.push("no checkpoint was signed".into());
        }
        self.failures = failures;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(root: Option<&str>, samples: u64) -> NodeFollowed {
        NodeFollowed {
            name: "replica-1".into(),
            role: Role::Replica,
            root: root.map(str::to_owned),
            size: 9,
            lag: Lag {
                samples,
                ..Lag::default()
            },
            cpu_s: 0.0,
            peak_rss_mib: 0.0,
            kills: 0,
            stops: 0,
            gossip: Gossiped::default(),
            per_checkpoint: PerCheckpoint::default(),
        }
    }

    fn blow(blow: Blow, ended_s: Option<f64>, size_after: u64) -> BlowReport {
        BlowReport {
            at_s: 1.0,
            name: "replica-1".into(),
            blow,
            ended_s,
            size_before: 9,
            size_after,
            back_s: None,
        }
    }

    #[test]
    fn everybody_at_the_root_with_nothing_lost_is_fine() {
        let fine = || vec![node(Some("aa"), 1)];
        for (what, nodes, blows, honest_banned, checkpoints, failures) in [
            ("all as it should be", fine(), vec![], 0, 1, 0),
            ("another root", vec![node(Some("bb"), 1)], vec![], 0, 1, 1),
            ("gone", vec![node(None, 1)], vec![], 0, 1, 1),
            ("never there", vec![node(Some("aa"), 0)], vec![], 0, 1, 1),
            ("killed", fine(), vec![blow(Blow::Kill, None, 9)], 0, 1, 0),
            ("lost something", fine(), vec![blow(Blow::Kill, None, 8)], 0, 1, 1),
            ("stopped", fine(), vec![blow(Blow::Stop, Some(0.1), 9)], 0, 1, 0),
            ("did not stop", fine(), vec![blow(Blow::Stop, None, 9)], 0, 1, 1),
            ("an honest node banned", fine(), vec![], 1, 1, 1),
            ("nothing signed", fine(), vec![], 0, 0, 1),
        ] {
            let followed = Followed {
                seconds: 1.0,
                rate: 1,
                writes_per_s: 1.0,
                ops_per_s: 1.0,
                signers: 1,
                threshold: 1,
                checkpoints,
                root: "aa".into(),
                size: 9,
                target: "aa@4..9".into(),
                settled_s: 0.0,
                nodes,
                blows,
                honest_banned,
                failures: Vec::new(),
            };
            let found = followed.judged().failures;
            assert_eq!(found.len(), failures, "{what}: {found:?}");
        }
    }

    #[test]
    fn gossip_is_read_from_the_metrics() {
        let text = "# HELP cordee_gossipsub_topic_msg_sent_counts Number.\n\
                    cordee_gossipsub_topic_msg_sent_counts_total{hash=\"a\"} 3\n\
                    cordee_gossipsub_topic_msg_sent_counts_total{hash=\"b\"} 4\n\
                    cordee_gossipsub_topic_msg_sent_bytes_total{hash=\"a\",partial=\"false\"} 900\n\
                    cordee_gossipsub_topic_msg_recv_counts_total{hash=\"a\"} 1\n\
                    cordee_gossipsub_topic_msg_recv_counts_unfiltered_total{hash=\"a\"} 2\n\
                    cordee_gossipsub_topic_msg_recv_bytes_unfiltered_total{hash=\"a\"} 400\n";
        let read = Gossiped::read(text);
        let (sent, sent_bytes, received, received_bytes) = (7, 900, 2, 400);
        let expected = Gossiped {
            sent,
            sent_bytes,
            received,
            received_bytes,
        };
        assert_eq!(read, expected);
        assert_eq!(read.plus(read).since(read), read);
        assert_eq!(read.per(2).sent, 3.5);
    }
}
