//! What the operator decides: `cordee.toml`, the environment, and flags, in that order (each overrides the one before).
//!
//! The documented file `config/cordee.toml` is the only home of names, defaults and their comments: [`Config::default`]
//! is that file read, `cordee init` writes it, and a key that it does not have is an error.

mod layers;

pub use layers::{Error, Layers};

use crate::signing::key_of;
use cordee_protocol::db::Kind;
use cordee_protocol::db::kind::KindError;
use cordee_protocol::log::Keep;
use cordee_protocol::sync::plan as engine;
use cordee_protocol::wire::checkpoint::Signers;
use cordee_protocol::wire::limits::MAX_SIGNERS;
use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// The settings file with every key, its comment and its default.
pub const TEMPLATE: &str = include_str!("config/cordee.toml");

/// The name of the settings file in a node's folder.
pub const FILE_NAME: &str = "cordee.toml";

/// All settings of a node.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Config {
    /// Whom to talk to, and where.
    pub network: Network,
    /// How to fetch.
    pub sync: Sync,
    /// What to keep.
    pub storage: Storage,
    /// What to do for others.
    pub serve: Serve,
    /// How to judge others.
    pub peers: Peers,
    /// Whose checkpoints to believe.
    pub trust: Trust,
    /// Which checkpoints to sign.
    pub checkpoint: Checkpoint,
    /// Status and metrics.
    pub http: Http,
}

/// Section `network`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Network {
    /// The network's name; only nodes that have the same one sync with each other.
    pub name: String,
    /// The kind of database. In the settings of a [`crate::folder::Folder`] it is the name that peers compare.
    pub kind: String,
    /// The value size of a fixed kind whose name does not hold it; 0 is none.
    pub value_size: usize,
    /// Where to listen.
    pub listen: Vec<Multiaddr>,
    /// Whom to stay connected to.
    pub peers: Vec<Multiaddr>,
    /// Whether peers tell of further ones, and are told of this node.
    pub discovery: bool,
    /// Whether peers are looked for in the local network.
    pub mdns: bool,
    /// Found peers are dialled until so many are connected.
    pub target_peers: NonZeroU32,
    /// Where others reach this node.
    pub external: Vec<Multiaddr>,
    /// Whether to find out, with peers, where others reach this node, and to help them find out.
    pub autonat: bool,
    /// Relays through which to be reachable.
    pub relays: Vec<Multiaddr>,
    /// Whether to connect through relays, and from there directly.
    pub hole_punching: bool,
    /// Whether to be a relay for others.
    pub relay_server: bool,
    /// Bytes that one relayed connection may carry here.
    pub relay_bytes: u64,
    /// Connections at once.
    pub max_connections: NonZeroU32,
    /// Connections at once with one peer.
    pub max_connections_per_peer: NonZeroU32,
    /// Share of the connections, and of the requests in flight, that one address prefix has at most.
    #[serde(deserialize_with = "share")]
    pub prefix_share: f64,
    /// Share of the machine's memory above which no connection is taken.
    #[serde(deserialize_with = "share")]
    pub max_memory_share: f64,
}

/// Section `sync`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Sync {
    /// How long to wait without a peer.
    #[serde(deserialize_with = "duration")]
    pub no_peer_timeout: Duration,
    /// How long to wait without progress.
    #[serde(deserialize_with = "duration")]
    pub stall_timeout: Duration,
    /// Requests open at once.
    pub max_in_flight: NonZeroUsize,
    /// Operations in one request, at most.
    pub batch_operations: NonZeroU64,
    /// Operation bytes wanted in one answer.
    pub batch_bytes: NonZeroU64,
    /// Operation bytes asked for or held in memory, at most.
    pub max_buffer_bytes: u64,
}

/// Section `storage`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Storage {
    /// What of the log is kept.
    #[serde(deserialize_with = "keep")]
    pub keep: Keep,
}

/// Section `serve`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Serve {
    /// Operation bytes in one answer, at most.
    pub answer_bytes: NonZeroUsize,
    /// Requests in work over all peers.
    pub max_requests: NonZeroUsize,
    /// Requests in work for one peer.
    pub max_requests_per_peer: NonZeroUsize,
    /// Requests a second that one peer may ask; 0 is no limit.
    pub requests_per_second: u32,
    /// Requests that one peer may ask at once on top of that.
    pub burst_requests: NonZeroU32,
    /// Bytes a second that one peer is sent; 0 is no limit.
    pub bytes_per_second: u32,
    /// Bytes that one peer is sent at once on top of that.
    pub burst_bytes: u32,
}

/// Section `peers`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Peers {
    /// How hard to judge.
    pub profile: Profile,
    /// Failures without one success for this long make the target suspect.
    #[serde(deserialize_with = "duration")]
    pub suspect_after: Duration,
    /// Peers that are never banned.
    #[serde(deserialize_with = "peer_ids")]
    pub trusted: Vec<PeerId>,
}

/// How peers are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Strangers on the internet.
    Public,
    /// Processes of one experiment.
    Testnet,
}

/// Section `trust`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Trust {
    /// Who signs.
    #[serde(deserialize_with = "peer_ids")]
    pub signers: Vec<PeerId>,
    /// How many of them have to.
    pub threshold: NonZeroUsize,
    /// The oldest that a checkpoint may be to be aimed at.
    #[serde(deserialize_with = "duration")]
    pub max_age: Duration,
}

/// Section `checkpoint`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Checkpoint {
    /// Whether to sign and announce what is committed here.
    pub publish: bool,
    /// Files with keys to sign with, relative to the folder.
    pub keys: Vec<PathBuf>,
    /// The shortest time between two checkpoints.
    #[serde(deserialize_with = "duration")]
    pub every: Duration,
    /// Whether to sign checkpoints of others whose root is held here.
    pub cosign: bool,
}

/// Section `http`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Http {
    /// Where to listen; `None` is off.
    #[serde(deserialize_with = "optional_address")]
    pub listen: Option<SocketAddr>,
    /// Where the token is for requests that change something, relative to the folder; empty is nowhere.
    pub token_file: String,
}

impl Network {
    /// Whether connections through relays are possible.
    pub fn uses_relays(&self) -> bool {
        self.hole_punching || !self.relays.is_empty()
    }

    /// The kind of database that `kind` and `value_size` name.
    ///
    /// # Errors
    /// [`KindError`].
    pub fn database_kind(&self) -> Result<Kind, KindError> {
        let value_size = (self.value_size > 0).then_some(self.value_size);
        Kind::parse(&self.kind, value_size)
    }
}

impl Trust {
    /// Who signs and how many have to; `None` if nobody is named.
    ///
    /// # Errors
    /// Says which id is not that of an Ed25519 key, or what the threshold has to be.
    pub fn set(&self) -> Result<Option<Signers>, String> {
        if self.signers.is_empty() {
            return Ok(None);
        }
        let mut keys = BTreeSet::new();
        for peer in &self.signers {
            let key = key_of(peer).ok_or_else(|| {
                format!("`trust.signers`: {peer} is not the id of an Ed25519 key, which begins with 12D3KooW")
            })?;
            keys.insert(key);
        }
        let (threshold, count) = (self.threshold.get(), keys.len());
        if count > MAX_SIGNERS {
            return Err(format!(
                "`trust.signers` names {count}; at most {MAX_SIGNERS} may sign"
            ));
        }
        Signers::new(threshold, keys)
            .map(Some)
            .ok_or_else(|| format!("`trust.threshold` is {threshold}, but `trust.signers` names {count}"))
    }
}

impl Config {
    /// How the engine asks.
    pub fn engine(&self) -> engine::Config {
        engine::Config {
            max_outstanding_requests: self.sync.max_in_flight,
            fetch_batch_size: self.sync.batch_operations,
            batch_bytes: self.sync.batch_bytes,
            max_buffered_bytes: self.sync.max_buffer_bytes,
            ..engine::Config::default()
        }
    }

    /// How peers are asked, served and judged. Of the testnet profile's numbers, bans are those of PEERS P19; pauses are
    /// as long as it takes to restart a process on the same machine.
    pub fn resolver(&self) -> cordee_resolver_p2p::Config {
        let mut config = cordee_resolver_p2p::Config::new(&self.network.name, &self.network.kind);
        config.policy.escrow.patience = self.peers.suspect_after;
        if self.peers.profile == Profile::Testnet {
            let trust = &mut config.policy.trust;
            (trust.half_life, trust.ban_for) = (Duration::from_secs(60), Duration::from_secs(60));
            (trust.disconnect_pause, trust.unavailable_pause) =
                (Duration::from_secs(5), Duration::from_secs(5));
        }
        config.trusted.clone_from(&self.peers.trusted);
        config.policy.sybil.connections = NonZeroUsize::new(self.network.max_connections.get() as usize);
        config.policy.sybil.share = self.network.prefix_share;
        config.quota.work = self.serve.max_requests.get();
        config.quota.work_per_peer = self.serve.max_requests_per_peer.get();
        config.quota.requests_per_second = NonZeroU32::new(self.serve.requests_per_second);
        config.quota.request_burst = self.serve.burst_requests;
        config.quota.bytes_per_second = NonZeroU32::new(self.serve.bytes_per_second);
        config.quota.byte_burst = self.serve.burst_bytes;
        config
    }
}

impl Default for Config {
    fn default() -> Self {
        Layers::new()
            .config()
            .expect("the template is read by the tests of this module")
    }
}

/// The settings file of a new node: the template with these two values in it.
pub fn new_file(network: &str, kind: &str) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    TEMPLATE
        .replacen("name = \"local\"", &format!("name = {}", quoted(network)), 1)
        .replacen(
            "kind = \"any-unordered-variable\"",
            &format!("kind = {}", quoted(kind)),
            1,
        )
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format!("{text:?} is not a duration like 30s or 5m: {error}"))
    })
}

fn keep<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Keep, D::Error> {
    let value = toml::Value::deserialize(deserializer)?;
    let number = match &value {
        toml::Value::String(text) => match text.as_str() {
            "state" => return Ok(Keep::State),
            "all" => return Ok(Keep::All),
            number => number.parse().ok(),
        },
        toml::Value::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    number.and_then(NonZeroU64::new).map(Keep::Newest).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "{value} is neither \"state\", \"all\" nor a number of operations like 1000000"
        ))
    })
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    let error = || serde::de::Error::custom(format!("{share} is not a share above 0 and up to 1"));
    (share > 0.0 && share <= 1.0).then_some(share).ok_or_else(error)
}

fn peer_ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PeerId>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let read = |text: String| {
        let id = text.parse::<PeerId>();
        id.map_err(|_| serde::de::Error::custom(format!("{text:?} is not a peer id like 12D3KooW..")))
    };
    texts.into_iter().map(read).collect()
}

fn optional_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_http(&text).map_err(serde::de::Error::custom)
}

/// Read an address of the HTTP listener; empty and `off` are none.
///
/// # Errors
/// Says what an address looks like.
pub fn parse_http(text: &str) -> Result<Option<SocketAddr>, String> {
    if matches!(text, "" | "off") {
        return Ok(None);
    }
    let local = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    let parsed = local.as_deref().unwrap_or(text).parse().map(Some);
    parsed.map_err(|_| format!("{text:?} is not an address and port like 127.0.0.1:7371 (or off)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_listens_at_an_address_and_port_or_not_at_all() {
        for (text, expected) in [
            ("127.0.0.1:7371", Ok(Some("127.0.0.1:7371"))),
            ("localhost:7371", Ok(Some("127.0.0.1:7371"))),
            ("[::1]:80", Ok(Some("[::1]:80"))),
            ("off", Ok(None)),
            ("", Ok(None)),
            ("7371", Err(())),
            ("localhost", Err(())),
            ("localhost:70000", Err(())),
            ("host:7371", Err(())),
        ] {
            let expected = expected.map(|address| address.map(|address| address.parse().unwrap()));
            assert_eq!(parse_http(text).map_err(drop), expected, "{text}");
        }
    }

    #[test]
    fn the_file_that_init_writes_reads_back_to_the_defaults() {
        let default = Config::default();
        let read = Layers::new()
            .file(&new_file("local", "any-unordered-variable"), "f")
            .unwrap();
        assert_eq!(read.config().unwrap(), default);
        assert_eq!(default.sync.no_peer_timeout, Duration::from_secs(60));
        assert_eq!(default.http.listen, Some(([127, 0, 0, 1], 7371).into()));

        let engine = engine::Config::default();
        assert_eq!(
            format!("{:?}", default.engine()),
            format!("{engine:?}"),
            "the file says what the engine does"
        );
        let quota = cordee_resolver_p2p::Config::new("", "").quota;
        assert_eq!(format!("{:?}", default.resolver().quota), format!("{quota:?}"));
        let policy = cordee_resolver_p2p::Config::new("", "").policy;
        assert_eq!(default.resolver().policy.sybil.share, policy.sybil.share);
        let mut narrow = default.clone();
        (narrow.network.prefix_share, narrow.network.max_connections) = (0.1, NonZeroU32::new(20).unwrap());
        let sybil = narrow.resolver().policy.sybil;
        assert_eq!((sybil.share, sybil.connections), (0.1, NonZeroUsize::new(20)));

        assert_eq!(
            default.storage.keep,
            Keep::Newest(NonZeroU64::new(1_000_000).unwrap())
        );
        for (text, expected) in [
            ("\"state\"", Some(Keep::State)),
            ("\"all\"", Some(Keep::All)),
            ("5", NonZeroU64::new(5).map(Keep::Newest)),
            ("\"5\"", NonZeroU64::new(5).map(Keep::Newest)),
            ("0", None),
            ("-1", None),
            ("\"some\"", None),
            ("1.5", None),
        ] {
            let read = Layers::new().file(&format!("[storage]\nkeep = {text}"), "f");
            match read.and_then(|layers| layers.config()) {
                Ok(config) => assert_eq!(Some(config.storage.keep), expected, "{text}"),
                Err(error) => {
                    assert_eq!(expected, None, "{text}");
                    let error = error.to_string();
                    assert!(
                        error.contains("storage.keep") && error.contains("\"state\", \"all\""),
                        "{error}"
                    );
                }
            }
        }
        let named = Layers::new()
            .file(&new_file("alps \"north\"", "other"), "f")
            .unwrap();
        let network = named.config().unwrap().network;
        assert_eq!(
            (network.name.as_str(), network.kind.as_str()),
            ("alps \"north\"", "other")
        );
    }

    #[test]
    fn every_key_of_the_file_has_a_comment() {
        let mut commented = false;
        for line in TEMPLATE.lines() {
            match line {
                "" => commented = false,
                line if line.starts_with('#') => commented = true,
                line if line.starts_with('[') => {}
                line => assert!(commented, "{line} has no comment"),
            }
        }
    }
}
