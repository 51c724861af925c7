//! Real processes, killed with SIGKILL at random moments: what the next one finds, and what it has to do again.
//!
//! [`sync`]: a copy that fetches from several nodes, killed a few times on its way. [`apply`]: a publisher that is fed without
//! a pause, killed while it commits; [`full`]: not killed, but without room on a disk of their own. The moments follow from a
//! seed; what a process has done by then does not, so a round cannot be repeated exactly.
//!
//! # What came of it
//! 28 November 2026, 2 cores that were shared with builds, ext4: `kills --rounds 200 --seed 1`, with the key index on disk; the
//! second row with commits by the tail, `kills --only apply --rounds 40 --seed 3` and `--rounds 100 --seed 4`.
//! ```text
//!   sync   200 rounds, 397 kills, 1,000,000 operations each: all 200 at the target, 10 of them checked whole
//!          proven and fetched again, a kill: median 6.9 MiB, most 24.6 MiB (W25 allows 64), of at most the last 0.41 s
//!   apply  140 rounds, 239,010 commits acknowledged: none lost; 57 found that had not been acknowledged yet
//!   full   sync, import-snapshot, apply, export and run on full file systems: nothing durable lost, all went on with room
//! ```

pub mod apply;
pub mod full;
pub mod sync;

use cordee_node::dataset::Dataset;
use cordee_node::folder::Folder;
use cordee_protocol::db::KINDS;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Why the loop itself failed, rather than what it looks at.
pub type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// The program under test: its path, and what stands before its arguments.
#[derive(Clone, Debug)]
pub struct Cordee {
    path: PathBuf,
    before: Vec<String>,
}

impl Cordee {
    /// A program that is `cordee` when these arguments stand first.
    pub fn new(path: PathBuf, before: &[&str]) -> Self {
        let before = before.iter().map(ToString::to_string).collect();
        Self { path, before }
    }

    /// With `args`, and no settings from our environment; it says nothing to people.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("CORDEE_")) {
            command.env_remove(key);
        }
        command
            .args(&self.before)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Run to the end; the last line as JSON, or what it said instead.
    fn json(&self, args: &[&str]) -> Result<Value, Trouble> {
        let output = self.command(args).output()?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        match (output.status.success(), stdout.lines().last()) {
            (true, Some(line)) => Ok(serde_json::from_str(line)?),
            _ => Err(format!(
                "{args:?}: {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )
            .into()),
        }
    }
}

/// A node that serves until it is dropped.
#[derive(Debug)]
struct Serving {
    process: Child,
    address: String,
    http: String,
}

impl Serving {
    fn start(cordee: &Cordee, dir: &Path) -> Result<Self, Trouble> {
        let listen = "/ip4/127.0.0.1/tcp/0";
        let dir = text(dir)?;
        let args = [
            "run",
            "--json",
            "--stop-with-stdin",
            "-C",
            dir,
            "--http",
            "127.0.0.1:0",
            "--listen",
            listen,
        ];
        let mut process = cordee
            .command(&args)
            .env("CORDEE_SERVE__REQUESTS_PER_SECOND", "0")
            .env("CORDEE_SERVE__BYTES_PER_SECOND", "0")
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = process.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line)?;
        let said = |value: &Value| value.as_str().map(str::to_owned).ok_or("no address");
        Ok(Self {
            address: said(&ready["listen"][0])?,
            http: said(&ready["http"])?,
            process,
        })
    }

    /// Bytes of answers that it has sent.
    fn sent(&self) -> io::Result<u64> {
        let mut stream = TcpStream::connect(&self.http)?;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let line = answer
            .lines()
            .find_map(|line| line.strip_prefix("cordee_serve_bytes_total ")?.parse().ok());
        line.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Kill `child` after `delay`. Whether it was still running.
fn kill_after(child: &mut Child, delay: Duration) -> io::Result<bool> {
    let until = Instant::now() + delay;
    loop {
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.kill()?;
            child.wait()?;
            return Ok(true);
        }
        std::thread::sleep(left.min(Duration::from_millis(5)));
    }
}

fn text(path: &Path) -> Result<&str, Trouble> {
    path.to_str().ok_or_else(|| "a path that is no text".into())
}

/// The middle one, and the largest.
fn median_and_most(mut figures: Vec<u64>) -> (u64, u64) {
    figures.sort_unstable();
    let most = figures.last().copied().unwrap_or_default();
    (figures.get(figures.len() / 2).copied().unwrap_or_default(), most)
}

/// A publisher's folder at `path` with so many operations, and what a copy of it aims at.
fn publisher(path: &Path, ops: u64) -> Result<String, Trouble> {
    let folder = Folder::create(path, "kills", KINDS[0])?;
    let mut database = folder.publisher()?;
    let dataset = Dataset {
        ops,
        value_size: 100,
        seed: 1,
    };
    dataset.fill(&mut database, |_| true)?;
    Ok(database.target().to_string())
}
