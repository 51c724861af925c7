//! `cordee run`: a node that serves until it is stopped.

use super::{Exit, Failure, FolderArgs, interrupt, multiaddr, output, runtime};
use crate::config::{Error as ConfigError, Layers};
use crate::folder::Folder;
use crate::node::{self, Node};
use crate::source::Ending;
use clap::Args;
use libp2p::Multiaddr;
use serde::Serialize;
use std::fmt::Write;

/// Serve the folder's database to other nodes, follow the checkpoints that are trusted, with status and metrics over HTTP
///
/// With a trust policy (`[trust]` in the settings) the node bootstraps to the newest checkpoint that the policy accepts, and
/// follows those that come. A publisher (`checkpoint.publish`) takes writes at `POST /v1/batch`, and signs and announces what is
/// committed. Stops in order at ctrl-c or SIGTERM.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cordee run -C alps --listen /ip4/0.0.0.0/tcp/7370 --http 127.0.0.1:7371\n  \
                        CORDEE_TRUST__SIGNERS=12D3KooW.. cordee run -C joiner --peer /dns/alps.example.org/tcp/7370\n\n\
                        The target that it prints is what `cordee sync --target` takes.\nExit codes: 0 stopped, 1 failed, 2 wrong \
                        usage, 3 the folder holds writes of its own that were \
                        shown not to be of the history that is trusted. A network that is silent or gone ends no node."
)]
pub(super) struct Run {
    #[command(flatten)]
    folder: FolderArgs,

    /// A node to stay connected to; may be repeated, adds to network.peers
    #[arg(long = "peer", value_name = "MULTIADDR", value_parser = multiaddr, num_args = 1..)]
    peers: Vec<Multiaddr>,

    /// Where to listen; may be repeated, replaces network.listen
    #[arg(long, value_name = "MULTIADDR", value_parser = multiaddr, num_args = 1..)]
    listen: Vec<Multiaddr>,

    /// Where to listen for HTTP, or off; replaces http.listen
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,

    /// Print one JSON object when ready
    #[arg(long)]
    json: bool,

    /// Stop when standard input ends: a node whose parent has gone does not stay behind
    #[arg(long, hide = true)]
    stop_with_stdin: bool,

    /// Corrupt answers on purpose, in this way
    #[cfg(feature = "lies")]
    #[arg(long, hide = true, value_name = "NAME")]
    lie: Option<String>,
}

#[derive(Serialize)]
struct Ready {
    event: &'static str,
    peer_id: String,
    listen: Vec<String>,
    http: Option<String>,
    /// None as long as there is no database.
    target: Option<String>,
    root: Option<String>,
    size: u64,
    pid: u32,
}

impl Run {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let folder = Folder::open(&self.folder.dir, |layers| self.flags(layers))?;
        let runtime = runtime()?;
        let ended = runtime.block_on(self.serve(&folder));
        runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        ended
    }

    fn flags(&self, layers: Layers) -> Result<Layers, ConfigError> {
        let mut layers = layers;
        if !self.peers.is_empty() {
            let known = layers.config()?.network.peers;
            layers = layers.set(
                "--peer",
                "network",
                "peers",
                list(known.iter().chain(&self.peers)),
            )?;
        }
        if !self.listen.is_empty() {
            layers = layers.set("--listen", "network", "listen", list(&self.listen))?;
        }
        match &self.http {
            Some(address) => layers.set("--http", "http", "listen", address.clone().into()),
            None => Ok(layers),
        }
    }

    async fn serve(&self, folder: &Folder) -> Result<(), Failure> {
        #[cfg(feature = "lies")]
        let lie = self.lie.as_deref();
        #[cfg(not(feature = "lies"))]
        let lie = None;
        let node = Node::start(folder, lie).await?;
        let ready = Ready::of(&node);
        output::result(
            self.json,
            &ready,
            ready.text(&folder.config().network.name).trim_end(),
        )?;
        let ended = tokio::select! {
            ended = interrupt::signal() => ended,
            () = interrupt::end_of_input(), if self.stop_with_stdin => Ok(()),
            ending = node.ending() => Err(match ending {
                Ending::Failed(why) => Failure::failed(why),
                Ending::Refused(why) => Failure::new(Exit::Refused, why),
            }),
        };
        tracing::info!("stopping");
        node.stop().await;
        ended
    }
}

impl Ready {
    fn of(node: &Node) -> Self {
        let target = node.target();
        Self {
            event: "ready",
            peer_id: node.peer_id().to_string(),
            listen: node.addresses().iter().map(ToString::to_string).collect(),
            http: node.http().map(|address| address.to_string()),
            root: target.as_ref().map(|target| target.root().to_string()),
            size: target.as_ref().map_or(0, |target| target.end().get()),
            target: target.as_ref().map(ToString::to_string),
            pid: std::process::id(),
        }
    }

    fn text(&self, network: &str) -> String {
        let mut text = format!(
            "node {} of network {network:?}, {} operations\n",
            self.peer_id, self.size
        );
        for address in &self.listen {
            // Writing to a string does not fail.
            let _ = writeln!(text, "listening on {address}");
        }
        if let Some(http) = &self.http {
            let _ = writeln!(
                text,
                "dashboard on http://{http}/, status on http://{http}/v1/status, metrics on http://{http}/metrics"
            );
        }
        match &self.target {
            Some(target) => {
                let _ = writeln!(text, "target {target}");
            }
            None => text += "no database yet: waiting for a checkpoint that the trust policy accepts\n",
        }
        text
    }
}

impl From<node::Error> for Failure {
    fn from(error: node::Error) -> Self {
        match error {
            node::Error::Folder(error) => error.into(),
            #[cfg(feature = "lies")]
            node::Error::Lie(error) => Self::of(Exit::Usage, &error),
            error => Self::of(Exit::Failed, &error),
        }
    }
}

fn list<'a>(addresses: impl IntoIterator<Item = &'a Multiaddr>) -> toml::Value {
    let texts = addresses
        .into_iter()
        .map(|address| toml::Value::from(address.to_string()));
    toml::Value::Array(texts.collect())
}
