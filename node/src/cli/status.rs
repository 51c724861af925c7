//! `cordee status`, and how any command asks a running node over its HTTP interface.

use super::{Failure, FolderArgs, output};
use crate::config::parse_http;
use crate::folder::Folder;
use clap::Args;
use serde::Deserialize;
use serde_json::Value;
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

/// Which node, and how it is shown.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    #[command(flatten)]
    folder: FolderArgs,

    /// Where the node answers HTTP [default: http.listen of the folder's settings]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,

    /// Print one JSON value, as the node sent it
    #[arg(long)]
    pub(super) json: bool,
}

impl Status {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let answer = self.node.ask("/v1/status")?;
        let status: StatusView = understood(&answer)?;
        output::result(self.node.json, &answer, &status.text())
    }
}

/// The part of a status that is shown in words.
#[derive(Deserialize)]
struct StatusView {
    state: String,
    why: String,
    size: u64,
    target: Option<TargetView>,
    peers: u64,
    checkpoint_refused: Option<RefusedView>,
    checkpoint_lacking: Option<RefusedView>,
}

#[derive(Deserialize)]
struct RefusedView {
    height: u64,
    message: String,
}

#[derive(Deserialize)]
struct TargetView {
    root: String,
    start: u64,
    end: u64,
}

impl StatusView {
    fn text(&self) -> String {
        let peers = output::counted(self.peers, "peer");
        let mut text = format!("{}: {}\n", self.state, self.why);
        text += &match &self.target {
            Some(TargetView { root, start, end }) => {
                format!(
                    "{} of {end} operations, {peers}\ntarget {root}@{start}..{end}",
                    self.size
                )
            }
            None => format!("{} operations, {peers}\nno target yet", self.size),
        };
        for refused in [&self.checkpoint_refused, &self.checkpoint_lacking]
            .into_iter()
            .flatten()
        {
            text += &format!(
                "\nnot believed: checkpoint {}, {}",
                refused.height, refused.message
            );
        }
        text
    }
}

impl NodeArgs {
    /// The node's answer to a question.
    pub(super) fn ask(&self, path: &str) -> Result<Value, Failure> {
        get(self.address()?, path)
    }

    /// Let the node do something, with the token of the folder's settings if there is one.
    pub(super) fn order(&self, path: &str) -> Result<Value, Failure> {
        let address = self.address()?;
        let token = match Folder::open(&self.folder.dir, Ok) {
            Ok(folder) => folder.token()?,
            // Named by --http alone, it needs no folder here.
            Err(_) if self.http.is_some() => None,
            Err(error) => return Err(error.into()),
        };
        let mut request = agent().post(format!("http://{address}{path}"));
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let answer = request.send_empty();
        let read =
            answer.and_then(|mut answer| Ok((answer.status(), answer.body_mut().read_json::<Value>()?)));
        let (status, value) = read.map_err(|error| no_answer(address, path, &error))?;
        if status.is_success() {
            return Ok(value);
        }
        let message = value["error"]["message"].as_str().unwrap_or("it did not say why");
        Err(Failure::failed(format!("the node refuses ({status}): {message}")))
    }

    fn address(&self) -> Result<SocketAddr, Failure> {
        #[derive(Deserialize)]
        struct Node {
            peer_id: String,
        }
        if let Some(text) = &self.http {
            let text = text.strip_prefix("http://").unwrap_or(text);
            let address = parse_http(text.trim_end_matches('/'));
            let address = address.map_err(|error| Failure::usage(format!("--http: {error}")))?;
            return known(address);
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
        Ok(address)
    }
}

fn get(address: SocketAddr, path: &str) -> Result<Value, Failure> {
    let answer = agent().get(format!("http://{address}{path}")).call();
    let read = answer.and_then(|mut answer| {
        let status = answer.status();
        if !status.is_success() {
            return Err(ureq::Error::StatusCode(status.as_u16()));
        }
        answer.body_mut().read_json()
    });
    read.map_err(|error| no_answer(address, path, &error))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_WITHIN))
        // What a node refuses it explains.
        .http_status_as_error(false)
        .build()
        .new_agent()
}

fn no_answer(address: SocketAddr, path: &str, error: &ureq::Error) -> Failure {
    Failure::failed(format!(
        "no answer from a node at http://{address}{path}: {error}; check that `cordee run` is up, and its `http.listen`"
    ))
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

/// The node's answer as `T`.
pub(super) fn understood<T: for<'a> Deserialize<'a>>(answer: &Value) -> Result<T, Failure> {
    T::deserialize(answer).map_err(|error| {
        Failure::failed(format!(
            "the node's answer is not understood: {error}; it may be another version"
        ))
    })
}
