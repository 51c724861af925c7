//! The nodes' folders and processes.

use super::Error;
use super::blows::Blow;
use super::cast::Part;
use super::policy::Policy;
use super::report::NodeReport;
use crate::folder::Folder;
use crate::process::{self, Messages, Process, Program};
use cordee_protocol::db::Kind;
use futures::future::try_join_all;
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// The name of the network that they make up.
pub(super) const NETWORK: &str = "testnet";

/// How long a node may take to open its database and to listen.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(120);

/// Where the folders of all nodes are.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    kind: Kind,
    program: Program,
    policy: OnceLock<Policy>,
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
            policy: OnceLock::new(),
            _temporary: temporary,
        })
    }

    /// From now on all nodes have this trust policy.
    pub(super) fn trust(&self, policy: Policy) {
        // There is one.
        let _ = self.policy.set(policy);
    }

    pub(super) fn policy(&self) -> Option<&Policy> {
        self.policy.get()
    }

    fn program(&self, part: &Part) -> Program {
        let program = self.program.clone();
        match self.policy() {
            Some(policy) => policy.of(part, program),
            None => program,
        }
    }

    /// The folder of a new node.
    pub(super) fn make(&self, part: &Part) -> Result<Folder, Error> {
        let kind = self.kind.to_string();
        Ok(Folder::create(&self.folder(&part.name()), NETWORK, &kind)?)
    }

    /// The folder of a node that was made.
    pub(super) fn open(&self, part: &Part) -> Result<Folder, Error> {
        Ok(Folder::open(&self.folder(&part.name()), Ok)?)
    }

    /// Let `part` copy `target` from `peers`; without one, the newest checkpoint that the policy accepts.
    pub(super) fn sync(
        &self,
        part: &Part,
        target: Option<&str>,
        peers: &[String],
        messages: Messages,
    ) -> Result<Process, process::Error> {
        let name = part.name();
        let folder = self.folder(&name);
        let mut args = vec!["sync", "--json", "--stop-with-stdin", "-C", path(&folder)];
        if let Some(target) = target {
            args.extend(["--target", target]);
        }
        for peer in peers {
            args.extend(["--peer", peer]);
        }
        if messages == Messages::Terminal {
            // What it warns of, the report says better.
            args.extend(["--log", "error"]);
        }
        self.program(part).start(&name, args, &self.log(&name), messages)
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
    size: u64,
}

/// A node that is up.
#[derive(Debug)]
pub(super) struct Running {
    part: Part,
    folder: PathBuf,
    ready: Ready,
    process: Process,
    /// What it was started with, for when it is started again.
    args: Vec<String>,
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

    /// Start `part`; it stays connected to `peers`.
    pub(super) async fn start(
        place: &Place,
        part: &Part,
        seed: u64,
        peers: &[String],
    ) -> Result<Self, process::Error> {
        let folder = place.folder(&part.name());
        let mut args: Vec<String> = ["run", "--json", "--stop-with-stdin", "-C", path(&folder)]
            .map(str::to_owned)
            .into();
        if let Some(lie) = part.lie {
            let seed = seed.wrapping_add(part.number as u64);
            args.extend(["--lie".into(), format!("{}:{seed}", lie.name)]);
        }
        for peer in peers {
            args.extend(["--peer".into(), peer.clone()]);
        }
        let (process, ready) = Self::launch(place, part, &args).await?;
        Ok(Self {
            part: *part,
            folder,
            ready,
            process,
            args,
        })
    }

    async fn launch(place: &Place, part: &Part, args: &[String]) -> Result<(Process, Ready), process::Error> {
        let name = part.name();
        let mut process = place
            .program(part)
            .start(&name, args, &place.log(&name), Messages::Log)?;
        let ready = process.hear(READY_WITHIN).await?;
        Ok((process, ready))
    }

    /// End it: how long it took to end in order, if it was to and did.
    pub(super) async fn strike(&mut self, blow: Blow) -> Option<Duration> {
        match blow {
            Blow::Kill => {
                self.process.kill().await;
                None
            }
            Blow::Stop => self.process.terminate().await,
        }
    }

    /// Start it again at the addresses that others know. Returns how many operations it has.
    pub(super) async fn start_again(&mut self, place: &Place) -> Result<u64, process::Error> {
        let mut args = self.args.clone();
        for address in &self.ready.listen {
            let address = address.split("/p2p/").next().unwrap_or_default();
            args.extend(["--listen".into(), address.to_owned()]);
        }
        args.extend(["--http".into(), self.http().to_owned()]);
        (self.process, self.ready) = Self::launch(place, &self.part, &args).await?;
        Ok(self.ready.size)
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.process.id()
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
