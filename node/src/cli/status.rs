//! `cordee status`, and how any command asks a running node over its HTTP interface.

use super::{Failure, FolderArgs, output};
use crate::config::parse_http;
use crate::folder::Folder;
use crate::{storage, why};
use clap::Args;
use cordee_protocol::log::Mark;
use cordee_protocol::{Location, Target};
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// How long a node may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What the running node does, and why: state, size, target, rate, peers
///
/// Where no process has the folder open, what it holds, and exit code 1.
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
        let asked = self.node.ask("/v1/status");
        let rest = match &asked {
            Err(_) if self.node.http.is_none() => self.node.at_rest(),
            _ => None,
        };
        if let Some(rest) = rest {
            self.show(&rest)?;
            return asked.map(drop);
        }
        self.show(&asked?)
    }

    fn show(&self, answer: &Value) -> Result<(), Failure> {
        let status: StatusView = understood(answer)?;
        output::result(self.node.json, answer, &status.text())
    }
}

/// The part of a status that is shown in words.
#[derive(Deserialize)]
struct StatusView {
    state: String,
    #[serde(default = "yes")]
    running: bool,
    why: String,
    size: u64,
    target: Option<TargetView>,
    #[serde(default)]
    ops_per_s: f64,
    eta_s: Option<f64>,
    peers: u64,
    checkpoint_age_s: Option<f64>,
    checkpoint_refused: Option<RefusedView>,
    checkpoint_lacking: Option<RefusedView>,
}

/// A node that answers runs.
fn yes() -> bool {
    true
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
    height: Option<u64>,
}

impl StatusView {
    fn text(&self) -> String {
        let state = if self.running { &self.state } else { "not running" };
        let mut text = format!("{state}: {}\n", self.why);
        // Writing to a string does not fail.
        let _ = match &self.target {
            Some(target) => write!(text, "{} of {} operations", self.size, target.end),
            None => write!(text, "{}", output::counted(self.size, "operation")),
        };
        if self.state == "syncing" {
            let _ = write!(text, ", {:.0}/s", self.ops_per_s);
            if let Some(eta) = self.eta_s {
                let _ = write!(text, ", {} more", output::time(eta));
            }
        }
        let _ = write!(text, ", {}", output::counted(self.peers, "peer"));
        if let Some(TargetView {
            root,
            start,
            end,
            height,
        }) = &self.target
        {
            let _ = write!(text, "\ntarget {root}@{start}..{end}");
            if let (Some(height), Some(age)) = (height, self.checkpoint_age_s) {
                let _ = write!(text, ", checkpoint {height}, made {} ago", output::time(age));
            }
        } else {
            text += "\nno target yet";
        }
        for refused in [&self.checkpoint_refused, &self.checkpoint_lacking]
            .into_iter()
            .flatten()
        {
            let RefusedView { height, message } = refused;
            let _ = write!(text, "\nnot believed: checkpoint {height}, {message}");
        }
        text
    }
}

impl NodeArgs {
    /// The node's answer to a question.
    pub(super) fn ask(&self, path: &str) -> Result<Value, Failure> {
        get(self.address()?, path)
    }

    /// What the folder holds while no process has it open; `None` if one has, or there is no such folder.
    fn at_rest(&self) -> Option<Value> {
        let folder = Folder::open(&self.folder.dir, Ok).ok()?;
        let peer_id = folder.keypair().ok()?.public().to_peer_id().to_string();
        let status = |size: Location, target: Option<&Target>, why: String| {
            let target = target.map(|target| {
                serde_json::json!({ "root": target.root().to_string(), "start": target.start().get(),
                    "end": target.end().get(), "height": null })
            });
            // One of the five states that scripts know.
            serde_json::json!({ "state": "failed", "running": false, "why": why, "size": size.get(), "target": target, "ops_per_s": 0.0,
                "eta_s": null, "peers": 0, "checkpoint_age_s": null, "peer_id": peer_id })
        };
        let dir = self.folder.dir.display();
        let nothing = || {
            let why = "no process runs here, and there is no database yet: fill it with `cordee import`, `cordee apply` or \
                       `cordee sync`";
            status(Location::ZERO, None, why.into())
        };
        if !folder.data().exists() {
            return Some(nothing());
        }
        let (mark, held) = folder.mark().ok()?;
        let first = room(&folder.data()).unwrap_or_default();
        match mark {
            None => Some(nothing()),
            Some(Mark::Complete { root, floor }) => {
                let target = Target::new(root, floor.unwrap_or(held.start)..held.end);
                let why = format!(
                    "no process runs here; the database is complete, and {first}`cordee run -C {dir}` serves it"
                );
                Some(status(held.end, target.as_ref(), why))
            }
            Some(Mark::Syncing(target)) => {
                let why = format!(
                    "a sync was interrupted here and no process runs; {first}`cordee sync -C {dir} --target {target}` goes on"
                );
                Some(status(held.end, Some(&target), why))
            }
        }
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
        if let Some(text) = &self.http {
            let text = text.strip_prefix("http://").unwrap_or(text);
            let address = parse_http(text.trim_end_matches('/'));
            let address = address.map_err(|error| Failure::usage(format!("--http: {error}")))?;
            return known(address);
        }
        let folder = Folder::open(&self.folder.dir, Ok)?;
        let address = known(folder.config().http.listen)?;
        // Another node answers there if this folder's was started with another --http.
        let (peer_id, ours) = (at(address)?, folder.keypair()?.public().to_peer_id().to_string());
        if peer_id != ours {
            return Err(Failure::failed(format!(
                "at http://{address} is {peer_id}, not {ours} of {dir}: name where that one answers with --http",
                dir = self.folder.dir.display()
            )));
        }
        Ok(address)
    }
}

/// What to do before anything else, if the disk of `folder` is full or nearly so.
fn room(folder: &Path) -> Option<String> {
    let short = why::room(storage::free_bytes(folder)?)?;
    Some(format!("{short}, then "))
}

/// Where the node of `folder` answers, if it runs and its settings say where.
pub(super) fn answers(folder: &Folder) -> Option<SocketAddr> {
    let address = known(folder.config().http.listen).ok()?;
    let ours = folder.keypair().ok()?.public().to_peer_id().to_string();
    (at(address).ok()? == ours).then_some(address)
}

/// Who answers at `address`.
fn at(address: SocketAddr) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Node {
        peer_id: String,
    }
    let Node { peer_id } = understood(&get(address, "/v1/status")?)?;
    Ok(peer_id)
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
