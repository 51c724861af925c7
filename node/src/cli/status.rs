//! `cordee status` and `cordee peers`: ask a running node over its HTTP interface.

use super::{Failure, FolderArgs, output};
use crate::config::parse_http;
use crate::folder::Folder;
use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a node may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What the running node does: state, size, target, peers
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cordee status -C alps\n  cordee status --http 127.0.0.1:7371 --json")]
pub(super) struct Status {
    #[command(flatten)]
    node: NodeArgs,
}

/// The running node's peers: trust, rate, window, offences
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cordee peers -C alps\n  cordee peers --http 127.0.0.1:7371 --json")]
pub(super) struct Peers {
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Debug, Args)]
struct NodeArgs {
    #[command(flatten)]
    folder: FolderArgs,

    /// Where the node answers HTTP [default: http.listen of the folder's settings]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,

    /// Print one JSON value, as the node sent it
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let answer = self.node.ask("/v1/status")?;
        let status: StatusView = understood(&answer)?;
        output::result(self.node.json, &answer, &status.text())
    }
}

impl Peers {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let answer = self.node.ask("/v1/peers")?;
        let peers: Vec<PeerView> = understood(&answer)?;
        let mut text = format!("{} known", output::counted(peers.len() as u64, "peer"));
        for peer in peers {
            text += &peer.line();
        }
        output::result(self.node.json, &answer, &text)
    }
}

/// The part of a status that is shown in words.
#[derive(Deserialize)]
struct StatusView {
    state: String,
    why: String,
    size: u64,
    target: TargetView,
    peers: u64,
}

#[derive(Deserialize)]
struct TargetView {
    root: String,
    start: u64,
    end: u64,
}

impl StatusView {
    fn text(&self) -> String {
        let TargetView { root, start, end } = &self.target;
        format!(
            "{}: {}\n{} of {end} operations, {}\ntarget {root}@{start}..{end}",
            self.state,
            self.why,
            self.size,
            output::counted(self.peers, "peer")
        )
    }
}

/// The part of a peer that is shown in words.
#[derive(Deserialize)]
struct PeerView {
    peer_id: String,
    state: String,
    trust: f64,
    rate: Option<f64>,
    ops: u64,
    refused: u64,
    offences: u64,
    ban_reason: Option<String>,
}

impl PeerView {
    fn line(&self) -> String {
        let mut line = format!("\n{}  {}, trust {:.1}", self.peer_id, self.state, self.trust);
        // Writing to a string does not fail.
        let _ = match self.rate {
            Some(rate) => write!(line, ", {:.1} MB/s", rate / 1e6),
            None => Ok(()),
        };
        let _ = write!(
            line,
            ", {} operations, {} refused, {} offences",
            self.ops, self.refused, self.offences
        );
        if let Some(reason) = &self.ban_reason {
            let _ = write!(line, ", banned: {reason}");
        }
        line
    }
}

impl NodeArgs {
    fn ask(&self, path: &str) -> Result<Value, Failure> {
        #[derive(Deserialize)]
        struct Node {
            peer_id: String,
        }
        if let Some(text) = &self.http {
            let text = text.strip_prefix("http://").unwrap_or(text);
            let address = parse_http(text.trim_end_matches('/'));
            let address = address.map_err(|error| Failure::usage(format!("--http: {error}")))?;
            return get(known(address)?, path);
        }
        let folder = Folder::open(&self.folder.dir, Ok)?;
        let address = known(folder.config().http.listen)?;
        // Another node answers there if this folder's was started with another --http.
        let Node { peer_id } = understood(&get(address, "/v1/status")?)?;
        let ours = folder.keypair()?.public().to_peer_id().to_string();
        if peer_id != ours {
            return Err(Failure::failed(format!(
                "at http://{address} is {peer_id}, not {ours} of {dir}: name where that one answers with --http",
                dir = self.folder.dir.display()
            )));
        }
        get(address, path)
    }
}

fn get(address: SocketAddr, path: &str) -> Result<Value, Failure> {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_WITHIN))
        .build()
        .new_agent();
    let answer = agent.get(format!("http://{address}{path}")).call();
    answer.and_then(|mut answer| answer.body_mut().read_json()).map_err(|error| {
            Failure::failed(format!(
                "no answer from a node at http://{address}{path}: {error}; check that `cordee run` is up, and its \
                 `http.listen`"
            ))
        })
}

/// Where to ask.
fn known(address: Option<SocketAddr>) -> Result<SocketAddr, Failure> {
    let address = address.ok_or_else(|| Failure::usage("the node's HTTP is off: set `http.listen`"))?;
    match address.port() {
        0 => Err(Failure::usage(
            "the node takes any free port for HTTP: name the one it printed with --http",
        )),
        _ => Ok(address),
    }
}

fn understood<T: for<'a> Deserialize<'a>>(answer: &Value) -> Result<T, Failure> {
    T::deserialize(answer).map_err(|error| {
        Failure::failed(format!(
            "the node's answer is not understood: {error}; it may be another version"
        ))
    })
}
