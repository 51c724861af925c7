//! What a testnet has shown, and what is known of it before: the shapes. What follows from what: [`mod@super::judge`].
//!
//! The JSON fields are a contract with scripts; more may be added.

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
    /// Whom they trust, if they follow checkpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trusted>,
    /// How all followed a publisher that went on writing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub following: Option<Followed>,
}

/// Whose checkpoints are followed: the settings of section `trust`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trusted {
    /// Peer ids.
    pub signers: Vec<String>,
    /// How many of them have to agree.
    pub threshold: usize,
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
    pub(super) fn had(&self, root: &str, size: u64) -> bool {
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
