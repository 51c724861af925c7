//! How a behaviour works.

use crate::policy::Config as PolicyConfig;
use crate::policy::config::QuotaConfig;
use libp2p::PeerId;
use std::time::Duration;

/// How a [`Behaviour`](crate::Behaviour) works.
#[derive(Clone, Debug)]
pub struct Config {
    /// The network's name; peers of another are not asked.
    pub network: String,
    /// The database's kind; peers with another are not asked.
    pub kind: String,
    /// How peers are judged, chosen and asked.
    pub policy: PolicyConfig,
    /// What peers may ask of this node.
    pub quota: QuotaConfig,
    /// Peers that are never banned.
    pub trusted: Vec<PeerId>,
    /// When a substream is given up, whatever it does: waiting for its turn at the server and the whole transfer count.
    /// Longer than the policy's longest deadline, 30 s + 10 %.
    pub request_timeout: Duration,
    /// Substreams on one connection, both directions. A peer has at most 64 of ours and, if it keeps to the defaults,
    /// 64 of its own. Below 512, where the multiplexer gives the connection up.
    pub max_concurrent_streams: usize,
    /// Seed of choices and jitter; `None` for a random one.
    pub seed: Option<u64>,
    /// How answers go out, if not as they should.
    #[cfg(feature = "lies")]
    pub manner: Option<std::sync::Arc<dyn crate::manner::Manner>>,
}

impl Config {
    /// The defaults for a network and a kind of database.
    pub fn new(network: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            network: network.into(),
            kind: kind.into(),
            policy: PolicyConfig::default(),
            quota: QuotaConfig::default(),
            trusted: Vec::new(),
            request_timeout: Duration::from_secs(35),
            max_concurrent_streams: 256,
            seed: None,
            #[cfg(feature = "lies")]
            manner: None,
        }
    }
}
