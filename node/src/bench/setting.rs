//! What the benchmarks share: a published database, servers of it as processes, and a folder for everything.

use super::distance::Distance;
use super::parts::{self, Answering, RawReady};
use crate::audience::Audience;
use crate::dataset::Dataset;
use crate::folder::{self, Folder};
use crate::process::{self, Messages, Process, Program};
use cordee_protocol::Target;
use cordee_protocol::db::KINDS;
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one step may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A folder or its database.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// Reading.
    #[error(transparent)]
    Part(#[from] parts::Error),
    /// A process.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// Files.
    #[error("setting up")]
    Setup(#[from] io::Error),
    /// A true answer is not proven: nothing to be measured.
    #[error("an answer is not proven: {0}")]
    Unproven(String),
    /// The copy is not one: nothing to be measured.
    #[error("the client ended at root {got} instead of {want}")]
    WrongRoot {
        /// The servers' root.
        want: String,
        /// The client's.
        got: String,
    },
}

/// The servers' database and where everything is.
pub(super) struct Setting {
    place: Arc<tempfile::TempDir>,
    program: Program,
    transport: Transport,
    round_trip: Option<Duration>,
    /// What they serve.
    pub(super) target: Target,
    /// Bytes of its operations.
    pub(super) encoded_bytes: u64,
}

/// What servers and clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// With Noise and Yamux.
    Tcp,
    /// Version 1.
    Quic,
}

impl Transport {
    /// Any port of the loopback device.
    fn address(self) -> &'static str {
        match self {
            Self::Tcp => "/ip4/127.0.0.1/tcp/0",
            Self::Quic => "/ip4/127.0.0.1/udp/0/quic-v1",
        }
    }
}

/// One that serves.
pub(super) struct Server {
    pub(super) address: String,
    /// Where it answers HTTP; empty if nowhere.
    pub(super) http: String,
    pub(super) process: Process,
    /// What lies between it and who dials.
    _distance: Option<Distance>,
}

impl Setting {
    /// Write the database, and as many copies of it as there are servers, which will listen by `transport`.
    pub(super) async fn prepare(
        dataset: Dataset,
        servers: usize,
        transport: Transport,
        audience: Arc<dyn Audience>,
    ) -> Result<Self, Error> {
        let place = Arc::new(tempfile::Builder::new().prefix("cordee-bench-").tempdir()?);
        let program = Program::own()?
            .with("network.listen", transport.address())
            .with("http.listen", "")
            // What is measured is the program, not its manners.
            .with("serve.requests_per_second", 0)
            .with("serve.bytes_per_second", 0);
        let kept = place.clone();
        audience.stage("a database is written", dataset.ops);
        let written = tokio::task::spawn_blocking(move || {
            let first = make(&kept.path().join("server-1"))?;
            let mut database = first.publisher()?;
            // The files go with the folder, so a writer that nobody waits for any more fails soon.
            let filled = dataset.fill(&mut database, |ops| {
                audience.progress(ops);
                Arc::strong_count(&kept) > 1
            });
            filled.map_err(folder::Error::from)?;
            let (target, bytes) = (database.target(), parts::encoded_bytes(&database)?);
            drop(database);
            for n in 2..=servers {
                let other = make(&kept.path().join(format!("server-{n}")))?;
                copy_files(&first.data(), &other.data())?;
            }
            Ok::<_, Error>((target, bytes))
        });
        let (target, encoded_bytes) = written.await.map_err(io::Error::other)??;
        Ok(Self {
            place,
            program,
            transport,
            round_trip: None,
            target,
            encoded_bytes,
        })
    }

    /// Servers that start from now on, raw ones too, are so far away; they have to speak TCP.
    pub(super) fn far(self, round_trip: Option<Duration>) -> Self {
        Self { round_trip, ..self }
    }

    /// Start server number `n`, from 1.
    ///
    /// - `slow`: bytes a second that it sends at most.
    pub(super) async fn serve(&self, n: usize, slow: Option<u32>) -> Result<Server, Error> {
        let program = match slow {
            Some(bytes) => (self.program.clone())
                .with("serve.bytes_per_second", bytes)
                .with("serve.burst_bytes", bytes),
            None => self.program.clone(),
        };
        self.run(n, &program).await
    }

    /// Start server number `n`, from 1, with HTTP.
    pub(super) async fn serve_with_http(&self, n: usize) -> Result<Server, Error> {
        let program = self.program.clone().with("http.listen", "127.0.0.1:0");
        self.run(n, &program).await
    }

    async fn run(&self, n: usize, program: &Program) -> Result<Server, Error> {
        #[derive(Deserialize)]
        struct Ready {
            listen: Vec<String>,
            http: Option<String>,
        }
        let name = format!("server-{n}");
        let folder = self.folder(&name);
        let args = [
            "run",
            "--json",
            "--stop-with-stdin",
            "--log",
            "warn",
            "-C",
            path(&folder),
        ];
        let log = self.folder(&format!("{name}.log"));
        let mut process = program.start(&name, args, &log, Messages::Log)?;
        let Ready { listen, http } = process.hear(LIMIT).await?;
        let address = listen.into_iter().next().unwrap_or_default();
        self.server(address, http.unwrap_or_default(), process).await
    }

    /// Start a server of raw bytes.
    pub(super) async fn serve_raw(&self, n: usize) -> Result<Server, Error> {
        let args = ["bench", "raw-server", "--listen", self.transport.address()];
        let mut process = self.start(&format!("raw-server-{n}"), &args)?;
        let RawReady { listen: address } = process.hear(LIMIT).await?;
        self.server(address, String::new(), process).await
    }

    /// The server that is reached at `address` from nearby.
    async fn server(&self, address: String, http: String, process: Process) -> Result<Server, Error> {
        let distance = match self.round_trip {
            Some(round_trip) => Some(Distance::from(&address, round_trip).await?),
            None => None,
        };
        Ok(Server {
            address: distance
                .as_ref()
                .map_or(address, |distance| distance.address.clone()),
            http,
            process,
            _distance: distance,
        })
    }

    /// From the start of a process until it says that its database answers, in seconds.
    pub(super) async fn time(&self, name: &str, args: &[&str]) -> Result<(f64, Answering), Error> {
        let start = Instant::now();
        let mut process = self.start(name, args)?;
        let said: Answering = process.hear(LIMIT).await?;
        let took = start.elapsed().as_secs_f64();
        process.stop().await;
        let want = self.target.root().to_string();
        if said.root == want {
            Ok((took, said))
        } else {
            Err(Error::WrongRoot { want, got: said.root })
        }
    }

    /// A process of this program.
    pub(super) fn start(&self, name: &str, args: &[&str]) -> Result<Process, process::Error> {
        self.program
            .start(name, args, &self.folder(&format!("{name}.log")), Messages::Log)
    }

    /// Where something called so lies.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }
}

/// A node's folder.
pub(super) fn make(path: &Path) -> Result<Folder, folder::Error> {
    Folder::create(path, "bench", KINDS[0])
}

/// The middle figure; of an even number, the mean of the two in the middle.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => figures[middle],
        _ => (figures[middle - 1] + figures[middle]) / 2.0,
    }
}

/// What lies below says nothing.
pub(super) fn to_thousandths(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_files(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Temporary folders' paths are what the system says; those that are no text are refused when the program starts.
pub(super) fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_the_middle() {
        for (figures, middle) in [
            (vec![3.0, 1.0, 2.0], 2.0),
            (vec![4.0, 1.0], 2.5),
            (vec![7.0], 7.0),
        ] {
            assert_eq!(median(figures), middle);
        }
    }
}
