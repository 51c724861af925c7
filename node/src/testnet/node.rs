//! The nodes' folders and processes.

use super::Error;
use super::cast::Part;
use super::report::NodeReport;
use crate::folder::Folder;
use crate::process::{self, Messages, Process, Program};
use cordee_protocol::db::Kind;
use futures::future::try_join_all;
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the network that they make up.
const NETWORK: &str = "testnet";

/// How long a node may take to open its database and to listen.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Where the folders of all nodes are.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    kind: Kind,
    program: Program,
    /// Removes the folder with everything in it when dropped.
    _temporary: Option<tempfile::TempDir>,
}

impl Place {
    /// For nodes with a database of `kind`. `batch`: operations that a joiner asks for at once, at most.
    pub(super) fn new(keep: bool, kind: Kind, batch: u64) -> io::Result<Self> {
        let temporary = tempfile::Builder::new().prefix("cordee-testnet-").tempdir()?;
        let program = Program::own()?
            .with(
                "network.listen",
                "/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/udp/0/quic-v1",
            )
            .with("http.listen", "127.0.0.1:0")
            // On one machine nobody shares a line: what a testnet shows is not to be how fast it may serve.
            .with("serve.requests_per_second", 0)
            .with("serve.bytes_per_second", 0)
            .with("peers.profile", "testnet")
            .with("sync.batch_operations", batch);
        let path = temporary.path().to_path_buf();
        let temporary = if keep {
            let _ = temporary.keep();
            None
        } else {
            Some(temporary)
        };
        Ok(Self {
            path,
            kind,
            program,
            _temporary: temporary,
        })
    }

    /// The folder of a new node.
    pub(super) fn make(&self, part: &Part) -> Result<Folder, Error> {
        let kind = self.kind.to_string();
        Ok(Folder::create(&self.folder(&part.name()), NETWORK, &kind)?)
    }

    /// Let the node called `name` copy `target` from `peers`.
    pub(super) fn sync(
        &self,
        name: &str,
        target: &str,
        peers: &[String],
        messages: Messages,
    ) -> Result<Process, process::Error> {
        let folder = self.folder(name);
        let mut args = vec![
            "sync",
            "--json",
            "--stop-with-stdin",
            "-C",
            path(&folder),
            "--target",
            target,
        ];
        for peer in peers {
            args.extend(["--peer", peer]);
        }
        if messages == Messages::Terminal {
            // What it warns of, the report says better.
            args.extend(["--log", "error"]);
        }
        self.program.start(name, args, &self.log(name), messages)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.log"))
    }
}

/// The temporary folder's path is what the system says, and names of nodes are ASCII.
fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// What `cordee run --json` says when it is up.
#[derive(Debug, Deserialize)]
struct Ready {
    peer_id: String,
    listen: Vec<String>,
    http: Option<String>,
}

/// A node that is up.
#[derive(Debug)]
pub(super) struct Running {
    part: Part,
    folder: PathBuf,
    ready: Ready,
    process: Process,
}

impl Running {
    /// Start `parts`, whose folders have a database, all at once; each stays connected to `peers`.
    pub(super) async fn start_all(
        place: &Place,
        parts: &[Part],
        seed: u64,
        peers: &[String],
    ) -> Result<Vec<Self>, Error> {
        Ok(try_join_all(parts.iter().map(|part| Self::start(place, part, seed, peers))).await?)
    }

    async fn start(place: &Place, part: &Part, seed: u64, peers: &[String]) -> Result<Self, process::Error> {
        let name = part.name();
        let folder = place.folder(&name);
        let lie = part
            .lie
            .map(|lie| format!("{}:{}", lie.name, seed.wrapping_add(part.number as u64)));
        let mut args = vec!["run", "--json", "--stop-with-stdin", "-C", path(&folder)];
        if let Some(lie) = &lie {
            args.extend(["--lie", lie]);
        }
        for peer in peers {
            args.extend(["--peer", peer]);
        }
        let mut process = place
            .program
            .start(&name, args, &place.log(&name), Messages::Log)?;
        let ready = process.hear(READY_WITHIN).await?;
        Ok(Self {
            part: *part,
            folder,
            ready,
            process,
        })
    }

    pub(super) fn part(&self) -> &Part {
        &self.part
    }

    pub(super) fn peer_id(&self) -> &str {
        &self.ready.peer_id
    }

    /// Where others dial it: over TCP, the faster one on a loopback device.
    pub(super) fn address(&self) -> &str {
        self.ready
            .listen
            .iter()
            .find(|address| address.contains("/tcp/"))
            .map_or("", String::as_str)
    }

    pub(super) fn http(&self) -> &str {
        self.ready.http.as_deref().unwrap_or_default()
    }

    pub(super) fn report(&self) -> NodeReport {
        NodeReport {
            name: self.part.name(),
            role: self.part.role,
            peer_id: self.ready.peer_id.clone(),
            http: self.ready.http.clone(),
            address: Some(self.address().to_owned()),
            data_dir: self.folder.clone(),
            pid: self.process.id(),
        }
    }

    pub(super) async fn stop(self) {
        self.process.stop().await;
    }
}
