//! What a testnet has shown: from the joiners' own reports and the liars' own confessions to one verdict.
//!
//! Pure: everything is passed in. The JSON fields are a contract with scripts; more may be added.

use super::cast::Role;
use super::followed::Followed;
use super::writing::State;
use crate::lies::LieInfo;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The JSON object that `cordee sync --json` prints, as far as it is looked at here.
#[derive(Clone, Debug, Deserialize)]
pub struct SyncReport {
    /// Whether the target was reached.
    pub ok: bool,
    /// The root that was reached.
    pub root: String,
    /// One past the last location.
    pub size: u64,
    /// From the start of the sync to its end.
    pub seconds: f64,
    /// Operations that came from peers.
    pub ops_fetched: u64,
    /// Operations found verified on disk from an earlier run.
    #[serde(default)]
    pub ops_reused: u64,
    /// Bytes of answers.
    pub bytes_received: u64,
    /// Answers that were refused.
    pub refused_batches: u64,
    /// What the peers did.
    pub peers: Vec<PeerReport>,
}

/// How a `cordee sync --json` ended.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum SyncEnd {
    /// At the target.
    Done(SyncReport),
    /// Somewhere else.
    Failed {
        /// Why.
        error: String,
    },
}

/// What one peer did in a sync.
#[derive(Clone, Debug, Deserialize)]
pub struct PeerReport {
    /// Who it is.
    pub peer_id: String,
    /// Proven operations from it.
    pub ops: u64,
    /// Answers of it that were refused.
    pub refused: u64,
    /// Whether it is banned at the end.
    pub banned: bool,
    /// What for.
    #[serde(default)]
    pub ban_reason: Option<String>,
}

/// One node of the testnet.
#[derive(Clone, Debug, Serialize)]
pub struct NodeReport {
    /// Its name here.
    pub name: String,
    /// What it is there for.
    pub role: Role,
    /// Its name in the network.
    pub peer_id: String,
    /// Where its HTTP interface is, while it runs.
    pub http: Option<String>,
    /// Where others dial it, while it runs.
    pub address: Option<String>,
    /// Its folder.
    pub data_dir: PathBuf,
    /// Its process: the running node, or for a joiner that does not run on, the sync.
    pub pid: Option<u32>,
}

/// How a joiner did.
#[derive(Clone, Debug, Serialize)]
pub struct JoinerReport {
    /// Its name here.
    pub name: String,
    /// Whether it has the publisher's root.
    pub ok: bool,
    /// The root that it reached.
    pub root: Option<String>,
    /// The size that it reached.
    pub size: u64,
    /// How long it took.
    pub seconds: f64,
    /// Operations fetched in a second.
    pub ops_per_s: f64,
    /// Bytes of answers.
    pub bytes_received: u64,
    /// Answers that it refused.
    pub refused_batches: u64,
    /// Peers that gave it operations which were proven.
    pub peers_used: usize,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How a liar fared.
#[derive(Clone, Debug, Serialize)]
pub struct LiarReport {
    /// Its name here.
    pub name: String,
    /// Its name in the network.
    pub peer_id: String,
    /// The lie that it tells.
    pub lie: &'static str,
    /// Whether no honest node could have given such an answer.
    pub provable: bool,
    /// False answers that it gave to joiners.
    pub lies_told: u64,
    /// False answers that it sent off when no joiner listened any more: asked of it, then had from somebody faster.
    pub lies_unheard: u64,
    /// Whether each joiner that it lied to has banned it, one at least.
    pub banned: bool,
    /// Why it is banned, or why not.
    pub reason: String,
}

/// The whole.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether everything is as it should be; [`Self::failures`] is empty then.
    pub ok: bool,
    /// What data and lies follow from.
    pub seed: u64,
    /// What all their databases are.
    pub kind: String,
    /// Operations in the publisher's database, from the target's start to its end.
    pub ops: u64,
    /// The publisher's root.
    pub root: String,
    /// One past the last location.
    pub size: u64,
    /// The target that the joiners were given.
    pub target: String,
    /// Everybody.
    pub nodes: Vec<NodeReport>,
    /// How the joiners did.
    pub joiners: Vec<JoinerReport>,
    /// How the liars fared.
    pub liars: Vec<LiarReport>,
    /// Honest nodes that a joiner has banned.
    pub honest_banned: usize,
    /// What is wrong, a sentence each.
    pub failures: Vec<String>,
    /// How all followed a publisher that went on writing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub following: Option<Followed>,
}

/// What the publisher has.
#[derive(Clone, Debug)]
pub struct Published {
    /// What it is.
    pub kind: String,
    /// Its root.
    pub root: String,
    /// Its size.
    pub size: u64,
    /// Operations from the target's start to its end.
    pub ops: u64,
    /// The target that the joiners were given.
    pub target: String,
    /// The roots that it had before, by size, if it goes on writing.
    pub earlier: BTreeMap<u64, String>,
}

impl Published {
    /// It has gone on to `state`, past `roots`.
    pub(super) fn go_on(&mut self, state: State, roots: BTreeMap<u64, String>) {
        (self.root, self.size, self.target) = (state.root, state.size, state.target);
        self.earlier = roots;
    }

    /// Whether it had this root at this size.
    fn had(&self, root: &str, size: u64) -> bool {
        (self.root == root && self.size == size) || self.earlier.get(&size).is_some_and(|had| had == root)
    }
}

/// How a joiner's sync ended.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The joiner's name.
    pub name: String,
    /// Its report, or the reason why there is none.
    pub result: Result<SyncReport, String>,
}

/// What a liar says of itself.
#[derive(Clone, Debug)]
pub struct Confession {
    /// The liar's name.
    pub name: String,
    /// Its name in the network.
    pub peer_id: String,
    /// The lie that it tells.
    pub lie: LieInfo,
    /// False answers that it sent.
    pub told: u64,
}

/// Put everything together and find what is wrong with it.
pub fn judge(
    seed: u64,
    published: Published,
    nodes: Vec<NodeReport>,
    joined: &[Joined],
    confessions: &[Confession],
) -> Report {
    let joiners: Vec<_> = joined.iter().map(|joined| joiner(&published, joined)).collect();
    let liars: Vec<_> = confessions.iter().map(|liar| judge_liar(liar, joined)).collect();
    let honest: Vec<_> = nodes
        .iter()
        .filter(|node| matches!(node.role, Role::Publisher | Role::Replica))
        .filter(|node| heard_from(&node.peer_id, joined).any(|peer| peer.banned))
        .collect();

    let mut failures = Vec::new();
    for joiner in joiners.iter().filter(|joiner| !joiner.ok) {
        let why = joiner
            .error
            .as_deref()
            .unwrap_or("it reached another root than the publisher's");
        failures.push(format!("{}: {why}", joiner.name));
    }
    for liar in liars
        .iter()
        .filter(|liar| liar.provable && liar.lies_told > 0 && !liar.banned)
    {
        failures.push(format!("{} lied and was not banned: {}", liar.name, liar.reason));
    }
    for node in &honest {
        failures.push(format!("{} is honest and was banned", node.name));
    }
    let honest_banned = honest.len();
    let Published {
        kind,
        root,
        size,
        ops,
        target,
        earlier: _,
    } = published;
    Report {
        ok: failures.is_empty(),
        seed,
        kind,
        ops,
        root,
        size,
        target,
        nodes,
        joiners,
        liars,
        honest_banned,
        failures,
        following: None,
    }
}

impl Report {
    /// What came of following.
    pub(super) fn on_followed(&mut self, followed: Followed) {
        self.failures.extend(followed.failures.iter().cloned());
        self.ok = self.failures.is_empty();
        self.honest_banned = self.honest_banned.max(followed.honest_banned);
        self.root.clone_from(&followed.root);
        self.target.clone_from(&followed.target);
        self.size = followed.size;
        self.following = Some(followed);
    }
}

fn joiner(published: &Published, joined: &Joined) -> JoinerReport {
    let mut report = JoinerReport {
        name: joined.name.clone(),
        ok: false,
        root: None,
        size: 0,
        seconds: 0.0,
        ops_per_s: 0.0,
        bytes_received: 0,
        refused_batches: 0,
        peers_used: 0,
        error: None,
    };
    match &joined.result {
        Err(why) => report.error = Some(why.clone()),
        Ok(sync) => {
            report.ok = sync.ok && published.had(&sync.root, sync.size);
            report.root = Some(sync.root.clone());
            report.size = sync.size;
            report.seconds = sync.seconds;
            report.ops_per_s = sync.ops_fetched as f64 / sync.seconds.max(1e-3);
            report.bytes_received = sync.bytes_received;
            report.refused_batches = sync.refused_batches;
            report.peers_used = sync.peers.iter().filter(|peer| peer.ops > 0).count();
        }
    }
    report
}

fn judge_liar(liar: &Confession, joined: &[Joined]) -> LiarReport {
    // A lie on its way when the joiner had the answer from somebody else reaches nobody, and nobody can judge it.
    let listeners: Vec<_> = heard_from(&liar.peer_id, joined)
        .filter(|peer| peer.refused > 0 || peer.banned)
        .collect();
    let heard = !listeners.is_empty();
    let banned = heard && listeners.iter().all(|peer| peer.banned);
    let refused: u64 = listeners.iter().map(|peer| peer.refused).sum();
    if !liar.lie.provable {
        // Nobody can say of these whether they are lies, so whoever was asked has heard them.
        let reason = match liar.told {
            0 => "it was never asked something that it could lie about".into(),
            _ => format!(
                "not provable, an honest node may be out of luck just so: {}",
                liar.lie.what
            ),
        };
        return LiarReport {
            name: liar.name.clone(),
            peer_id: liar.peer_id.clone(),
            lie: liar.lie.name,
            provable: false,
            lies_told: liar.told,
            lies_unheard: 0,
            banned,
            reason,
        };
    }
    let ban = listeners.iter().find_map(|peer| peer.ban_reason.as_deref());
    let ban = ban.unwrap_or("lie");
    let reason = match (liar.told, heard, banned) {
        (0, false, _) => "it was never asked something that it could lie about".into(),
        (_, false, _) => "its answers came when the joiners had them from others already".into(),
        (_, true, true) => format!(
            "{refused} of its answers refused, banned for a {ban}: {}",
            liar.lie.what
        ),
        (_, true, false) => format!("{refused} of its answers refused, without a ban"),
    };
    LiarReport {
        name: liar.name.clone(),
        peer_id: liar.peer_id.clone(),
        lie: liar.lie.name,
        provable: liar.lie.provable,
        lies_told: if heard { liar.told } else { 0 },
        lies_unheard: if heard { 0 } else { liar.told },
        banned,
        reason,
    }
}

fn heard_from<'a>(peer_id: &'a str, joined: &'a [Joined]) -> impl Iterator<Item = &'a PeerReport> {
    let reports = joined.iter().filter_map(|joined| joined.result.as_ref().ok());
    reports
        .flat_map(|report| &report.peers)
        .filter(move |peer| peer.peer_id == peer_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lies::LIES;

    fn peer(peer_id: &str, ops: u64, refused: u64, banned: bool) -> PeerReport {
        PeerReport {
            peer_id: peer_id.into(),
            ops,
            refused,
            banned,
            ban_reason: banned.then(|| "lie".into()),
        }
    }

    fn case(root: &str, honest_banned: bool, told: u64, refused: u64, banned: bool) -> Report {
        of_lie(LIES[0], root, honest_banned, told, refused, banned)
    }

    fn unprovable(told: u64, banned: bool) -> Report {
        let lie = LIES.into_iter().find(|lie| !lie.provable).unwrap();
        of_lie(lie, "aa", false, told, 0, banned)
    }

    fn of_lie(
        lie: LieInfo,
        root: &str,
        honest_banned: bool,
        told: u64,
        refused: u64,
        banned: bool,
    ) -> Report {
        let published = Published {
            kind: "any-unordered-variable".into(),
            root: "aa".into(),
            size: 9,
            ops: 5,
            target: "aa@4..9".into(),
            earlier: BTreeMap::new(),
        };
        let node = NodeReport {
            name: "publisher".into(),
            role: Role::Publisher,
            peer_id: "honest".into(),
            http: None,
            address: None,
            data_dir: PathBuf::new(),
            pid: None,
        };
        let sync = SyncReport {
            ok: true,
            root: root.into(),
            size: 9,
            seconds: 1.0,
            ops_fetched: 5,
            ops_reused: 0,
            bytes_received: 100,
            refused_batches: refused,
            peers: vec![
                peer("honest", 5, 0, honest_banned),
                peer("liar", 0, refused, banned),
            ],
        };
        let joined = Joined {
            name: "joiner-1".into(),
            result: Ok(sync),
        };
        let liar = Confession {
            name: "liar-1".into(),
            peer_id: "liar".into(),
            lie,
            told,
        };
        judge(1, published, vec![node], &[joined], &[liar])
    }

    #[test]
    fn only_the_right_root_with_every_liar_and_no_honest_node_banned_is_fine() {
        for (what, report, ok) in [
            ("all as it should be", case("aa", false, 3, 1, true), true),
            ("another root", case("bb", false, 3, 1, true), false),
            ("an honest node banned", case("aa", true, 3, 1, true), false),
            (
                "a liar heard and not banned",
                case("aa", false, 3, 1, false),
                false,
            ),
            ("a liar whose lie is not provable", unprovable(3, false), true),
            ("a liar never asked", case("aa", false, 0, 0, false), true),
            ("a liar that was too late", case("aa", false, 1, 0, false), true),
        ] {
            assert_eq!(report.ok, ok, "{what}: {:?}", report.failures);
            assert_eq!(report.failures.is_empty(), ok, "{what}");
        }
        let quiet = unprovable(3, false);
        assert!(quiet.liars[0].reason.contains("not provable") && quiet.liars[0].lies_told == 3);
        assert!(
            case("aa", false, 3, 1, true).liars[0]
                .reason
                .contains("banned for a lie")
        );
        let late = case("aa", false, 2, 0, false);
        assert_eq!((late.liars[0].lies_told, late.liars[0].lies_unheard), (0, 2));
        assert_eq!(case("aa", true, 3, 1, true).honest_banned, 1);
    }

    #[test]
    fn a_joiner_without_a_report_says_why() {
        let published = Published {
            kind: "any-unordered-variable".into(),
            root: "aa".into(),
            size: 9,
            ops: 5,
            target: "aa@4..9".into(),
            earlier: BTreeMap::new(),
        };
        let joined = Joined {
            name: "joiner-1".into(),
            result: Err("no peer answered".into()),
        };
        let report = judge(1, published, Vec::new(), &[joined], &[]);
        assert_eq!(report.failures, ["joiner-1: no peer answered"]);
    }
}
