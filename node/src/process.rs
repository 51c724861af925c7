//! One `cordee` process under control: started, listened to, stopped.
//!
//! # Always
//! 1. A process ends with us: it watches its standard input, which closes when we are gone in whatever way, and it is
//!    killed when its [`Process`] is dropped.
//! 2. What it says on standard output is JSON lines of bounded length; the rest is in its log file, or on our terminal.

use serde::de::DeserializeOwned;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// The longest line that is read from a process: a report about some ten thousand peers.
const MAX_LINE: u64 = 4 << 20;

/// How much of a log's end is looked at for its last lines.
const TAIL_BYTES: usize = 4 << 10;

/// How many last lines of a log are shown.
const TAIL_LINES: usize = 12;

/// How long a process may take to end in order.
const GRACE: Duration = Duration::from_secs(10);

/// Why a process is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started.
    #[error("starting {name} ({program})")]
    Start {
        /// Its name.
        name: String,
        /// What was to be run.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Talking to it failed.
    #[error("listening to {name}")]
    Listen {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It said something else than expected.
    #[error("{name} said {line:?}, which is not what was expected")]
    Unexpected {
        /// Its name.
        name: String,
        /// What it said.
        line: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It ended without having said what was expected.
    #[error("{name} ended with {status}{tail}")]
    Ended {
        /// Its name.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        tail: String,
    },
    /// It takes too long.
    #[error("{name} was not ready after {} s{tail}", after.as_secs())]
    Slow {
        /// Its name.
        name: String,
        /// How long it had.
        after: Duration,
        /// The last lines of its log.
        tail: String,
    },
}

/// Where the messages of a process go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// Into its log file.
    Log,
    /// To our standard error: progress bars are seen.
    Terminal,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    environment: Vec<(String, String)>,
}

impl Program {
    /// This very program.
    ///
    /// # Errors
    /// If the system does not say which it is.
    pub fn own() -> io::Result<Self> {
        Ok(Self {
            path: std::env::current_exe()?,
            environment: Vec::new(),
        })
    }

    /// The program at `path`.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            environment: Vec::new(),
        }
    }

    /// With a setting of `cordee.toml` overridden in the environment, like `network.listen`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        let name = format!("CORDEE_{}", key.replace('.', "__").to_uppercase());
        self.environment.push((name, value.to_string()));
        self
    }

    /// Start it as `name`. Settings in our own environment do not reach it.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub fn start<A: AsRef<OsStr>>(
        &self,
        name: &str,
        args: impl IntoIterator<Item = A>,
        log: &Path,
        messages: Messages,
    ) -> Result<Process, Error> {
        let failed = |source| Error::Start {
            name: name.into(),
            program: self.path.clone(),
            source,
        };
        let stderr = match messages {
            Messages::Terminal => Stdio::inherit(),
            Messages::Log => {
                let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
                file.map_err(failed)?.into()
            }
        };
        let mut command = Command::new(&self.path);
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("CORDEE_") {
                command.env_remove(key);
            }
        }
        command
            .args(args)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true);
        #[cfg(unix)]
        if messages == Messages::Log {
            // A ctrl-c at the terminal is for us: we end the others when it is time.
            command.process_group(0);
        }
        let mut child = command.spawn().map_err(failed)?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Process {
            name: name.into(),
            id: child.id(),
            stdin: child.stdin.take(),
            stdout: BufReader::new(stdout),
            log: (messages == Messages::Log).then(|| log.to_path_buf()),
            child,
        })
    }
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: String,
    id: Option<u32>,
    child: Child,
    /// The process ends when this closes.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    log: Option<PathBuf>,
}

impl Process {
    /// The name that it was started by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> Option<u32> {
        self.id
    }

    /// The next line that it says, within `limit`.
    ///
    /// # Errors
    /// [`Error`]: it ended instead, said something else, or nothing in time.
    pub async fn hear<T: DeserializeOwned>(&mut self, limit: Duration) -> Result<T, Error> {
        match timeout(limit, self.line()).await {
            Err(_) => Err(Error::Slow {
                name: self.name.clone(),
                after: limit,
                tail: self.tail(),
            }),
            Ok(None) => Err(self.ended().await),
            Ok(Some(line)) => self.parse(&line?),
        }
    }

    /// Wait for its end and return the last line that it said, however it ended. There is no time limit.
    ///
    /// # Errors
    /// [`Error::Ended`] if it said nothing, [`Error::Unexpected`] if it said something else.
    pub async fn finish<T: DeserializeOwned>(mut self) -> Result<T, Error> {
        let mut last = None;
        while let Some(line) = self.line().await {
            last = Some(line?);
        }
        match last {
            Some(line) => {
                self.child.wait().await.map_err(|source| self.failed(source))?;
                self.parse(&line)
            }
            None => Err(self.ended().await),
        }
    }

    /// End it at once, as `kill -9` does.
    pub async fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill().await;
    }

    /// Send it SIGTERM and wait for its end: how long that took, or `None` if it did not end well within ten seconds. It is gone
    /// in either case. Where there are no signals its input is closed instead.
    pub async fn terminate(&mut self) -> Option<Duration> {
        let began = Instant::now();
        #[cfg(unix)]
        {
            use rustix::process::{Pid, Signal, kill_process};
            let id = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
            // Without an id it has ended.
            id.map(|id| kill_process(id, Signal::TERM));
        }
        #[cfg(not(unix))]
        {
            self.stdin = None;
        }
        match timeout(GRACE, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Some(began.elapsed()),
            Ok(_) => None,
            Err(_) => {
                self.kill().await;
                None
            }
        }
    }

    /// End it in order; kill it if that takes too long.
    pub async fn stop(mut self) {
        self.stdin = None;
        if timeout(GRACE, self.child.wait()).await.is_err() {
            // It may just have ended by itself.
            let _ = self.child.kill().await;
        }
    }

    /// `None` at the end of its output.
    async fn line(&mut self) -> Option<Result<String, Error>> {
        let mut line = String::new();
        let read = (&mut self.stdout).take(MAX_LINE).read_line(&mut line).await;
        match read {
            Ok(0) => None,
            Ok(_) => Some(Ok(line)),
            Err(source) => Some(Err(self.failed(source))),
        }
    }

    fn parse<T: DeserializeOwned>(&self, line: &str) -> Result<T, Error> {
        serde_json::from_str(line).map_err(|source| Error::Unexpected {
            name: self.name.clone(),
            line: line.trim_end().chars().take(500).collect(),
            source,
        })
    }

    async fn ended(&mut self) -> Error {
        match self.child.wait().await {
            Ok(status) => Error::Ended {
                name: self.name.clone(),
                status,
                tail: self.tail(),
            },
            Err(source) => self.failed(source),
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Listen {
            name: self.name.clone(),
            source,
        }
    }

    /// The last lines of its log, each on a line of its own; empty if there are none.
    fn tail(&self) -> String {
        let text = self
            .log
            .as_ref()
            .and_then(|log| std::fs::read(log).ok())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(TAIL_BYTES)..]);
        let lines: Vec<_> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        shown.iter().map(|line| format!("\n  | {line}")).collect()
    }
}
