//! Nodes for tests: folders, databases, and processes of the binary, which end with the test.

use crate::network::until;
use cordee_node::dataset::Dataset;
use cordee_node::folder::Folder;
use cordee_protocol::db::KINDS;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// `cordee` with `args`, and with settings of its own only.
pub(crate) fn cordee(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cordee"));
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("CORDEE_")) {
        command.env_remove(key);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// The last line of its standard output as JSON.
pub(crate) fn json(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = stdout.lines().last();
    let line = line.unwrap_or_else(|| panic!("nothing said but: {}", stderr(output)));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// What it says to people.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An address of this machine that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A node's folder.
pub(crate) struct Node {
    path: PathBuf,
}

impl Node {
    /// A fresh one inside `place`.
    pub(crate) fn new(place: &Path, name: &str) -> Self {
        let path = place.join(name);
        Folder::create(&path, "test", KINDS[0]).unwrap();
        Self { path }
    }

    /// One with a database of so many operations; returns its target as well.
    pub(crate) fn publisher(place: &Path, name: &str, ops: u64) -> (Self, String) {
        let node = Self::new(place, name);
        let mut database = node.folder().publisher().unwrap();
        let dataset = Dataset {
            ops,
            value_size: 100,
            seed: 1,
        };
        dataset.fill(&mut database, |_| true).unwrap();
        (node, database.target().to_string())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it said when it last ran.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(crate) fn folder(&self) -> Folder {
        Folder::open(&self.path, Ok).unwrap()
    }

    /// `cordee apply` of these lines; returns the target behind each.
    pub(crate) fn apply(&self, lines: &[String]) -> Vec<String> {
        let file = self.path.join("writes.jsonl");
        std::fs::write(&file, lines.join("\n")).unwrap();
        let args = [
            "apply",
            "--json",
            "-C",
            self.path.to_str().unwrap(),
            file.to_str().unwrap(),
        ];
        let output = cordee(&args).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let stdout = String::from_utf8(output.stdout).unwrap();
        let states = stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        states
            .map(|state| state["target"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The file that says what of its log is valid.
    pub(crate) fn record(&self) -> Vec<u8> {
        std::fs::read(self.path.join("data/record")).unwrap_or_default()
    }

    /// `cordee sync --json` into it.
    pub(crate) fn sync(&self, target: &str, peers: &[&str]) -> Command {
        let mut args = vec![
            "sync",
            "--json",
            "-C",
            self.path.to_str().unwrap(),
            "--target",
            target,
        ];
        args.extend(peers.iter().flat_map(|peer| ["--peer", peer]));
        cordee(&args)
    }

    /// `cordee run`, up and listening on loopback.
    pub(crate) fn serve(&self, settings: &[(&str, &str)]) -> Serving {
        let listen = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"];
        self.serve_with(&listen, settings, &[])
    }

    /// The same, of a node that lies.
    #[cfg(feature = "lies")]
    pub(crate) fn serve_lying(&self, lie: &str) -> Serving {
        let listen = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"];
        self.serve_with(&listen, &[], &["--lie", lie])
    }

    /// `cordee run`, up and listening on these addresses.
    pub(crate) fn serve_on(&self, listen: &[&str], settings: &[(&str, &str)]) -> Serving {
        self.serve_with(listen, settings, &[])
    }

    fn serve_with(&self, listen: &[&str], settings: &[(&str, &str)], more: &[&str]) -> Serving {
        let mut args = vec![
            "run",
            "--json",
            "--stop-with-stdin",
            "-C",
            self.path.to_str().unwrap(),
        ];
        args.extend(["--http", "127.0.0.1:0"]);
        args.extend(listen.iter().flat_map(|address| ["--listen", address]));
        args.extend(more);
        let mut process = cordee(&args)
            .envs(settings.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(self.log()).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = process.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let listen = ready["listen"].as_array().unwrap().iter();
        let text = |field: &str| ready[field].as_str().unwrap().to_owned();
        Serving {
            process,
            peer_id: text("peer_id"),
            http: text("http"),
            listen: listen
                .map(|address| address.as_str().unwrap().to_owned())
                .collect(),
        }
    }
}

/// A running node; killed when dropped.
pub(crate) struct Serving {
    process: Child,
    peer_id: String,
    http: String,
    listen: Vec<String>,
}

impl Serving {
    /// Its name in the network.
    pub(crate) fn peer_id(&self) -> &str {
        &self.peer_id
    }

    /// Where it answers HTTP.
    pub(crate) fn http(&self) -> &str {
        &self.http
    }

    /// Its exit code, once it has ended by itself.
    pub(crate) fn ends(mut self) -> Option<i32> {
        until("it ends", || self.process.try_wait().unwrap()).code()
    }

    /// Its address over `tcp` or `quic`.
    pub(crate) fn address(&self, transport: &str) -> &str {
        self.listen
            .iter()
            .find(|address| address.contains(transport))
            .unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
