//! Nodes on the loopback device, inside this process: their folders, databases and how they are started.

use cordee_node::bootstrap::{Options, Outcome, Watched, bootstrap};
use cordee_node::config::Layers;
use cordee_node::dataset::Dataset;
use cordee_node::folder::Folder;
use cordee_node::node::Node;
use cordee_protocol::Target;
use cordee_protocol::db::KINDS;
use tempfile::TempDir;
use tokio::sync::watch;

/// What a test says of a step that must succeed.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A place for the folders of nodes; they go with it.
#[derive(Debug)]
pub struct Net {
    place: TempDir,
    /// Operations that a node asks for at once, at most: small, so that everybody is asked.
    batch: i64,
}

impl Net {
    /// A place without nodes, whose nodes ask for at most `batch` operations at once.
    ///
    /// # Errors
    /// If there is no temporary folder.
    pub fn new(batch: u32) -> Result<Self> {
        Ok(Self {
            place: TempDir::new()?,
            batch: batch.into(),
        })
    }

    /// The folder of a new node, which will listen over `transport`: `tcp/0`, or `udp/0/quic-v1`.
    ///
    /// # Errors
    /// The folder's.
    pub fn folder(&self, name: &str, transport: &str) -> Result<Folder> {
        let path = self.place.path().join(name);
        Folder::create(&path, "integration", KINDS[0])?;
        let listen = format!("/ip4/127.0.0.1/{transport}");
        let settings = |layers: Layers| {
            layers
                .set("the test", "network", "listen", vec![listen].into())?
                .set("the test", "http", "listen", "".into())?
                .set("the test", "sync", "batch_operations", self.batch.into())
        };
        Ok(Folder::open(&path, settings)?)
    }
}

/// Fill `folder` with a database of `ops` operations.
///
/// # Errors
/// The database's.
pub fn publish(folder: &Folder, ops: u64) -> Result<Target> {
    let mut database = folder.publisher()?;
    let dataset = Dataset {
        ops,
        value_size: 100,
        seed: 1,
    };
    dataset.fill(&mut database, |_| true)?;
    Ok(database.target())
}

/// Bring `folder` to `target` from `nodes`.
///
/// # Errors
/// The sync's.
pub async fn join(folder: &Folder, target: &Target, nodes: &[&Node]) -> Result<Outcome> {
    let options = Options {
        peers: nodes.iter().flat_map(|node| node.addresses()).collect(),
        ..Options::default()
    };
    let unwatched = watch::Sender::new(Watched::default());
    Ok(bootstrap(folder, target.clone(), options, &unwatched).await?)
}
