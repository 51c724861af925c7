//! The folder of one node: settings, key, data, and what the data is bound to.
//!
//! ```text
//!   cordee.toml           settings, written by `init`
//!   node.key              the node's libp2p key in its protobuf encoding; readable by the owner only
//!   peers.json            what peers did (see `reputation`)
//!   addresses.json        where peers are (see `network`)
//!   checkpoints.json      which checkpoints are believed, and which were signed here (see `checkpoints`)
//!   data/                 the log (see `storage`), made by the first command that writes
//!   data/database.toml    kind and network of that log; a node of another kind or network does not touch it
//! ```

use crate::config::{self, Config, FILE_NAME, Layers};
use crate::signing::key_of;
use crate::small_file;
use crate::storage::{self, DiskJournal, Writer};
use crate::trust::Policy;
use cordee_protocol::db::kind::KindError;
use cordee_protocol::db::{self, Kind};
use cordee_protocol::log::Mark;
use cordee_protocol::wire::limits::MAX_NAME;
use cordee_protocol::{Journal, Location, Target};
use libp2p::identity::Keypair;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

const KEY: &str = "node.key";
const BINDING: &str = "database.toml";

pub use crate::storage::Database;

/// A node's folder, with the settings that are in force.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    config: Config,
    kind: Kind,
}

/// A file that says that the folder's database was written here, not copied from others.
const WRITTEN: &str = "written";

/// Why a folder cannot be used; says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `init` found something there.
    #[error(
        "{0} exists and is not empty: choose another folder, or remove this one if its node is no longer wanted"
    )]
    Exists(PathBuf),
    /// No node folder.
    #[error(
        "{0} is not a node folder (it has no {FILE_NAME}): make one with `cordee init`, or name another with -C"
    )]
    Missing(PathBuf),
    /// Its database cannot be had from peers again.
    #[error(
        "the database of {0} was written here, and perhaps is nowhere else: this would replace it. Make another folder with \
         `cordee init`, or remove {0}/{WRITTEN} if the database may be lost"
    )]
    Written(PathBuf),
    /// A kind of database that there is not.
    #[error("{0}{hint}", hint = hint(.0))]
    Kind(#[source] KindError),
    /// A network name that does not fit the wire.
    #[error("{0:?} is not a network name: one has 1 to {MAX_NAME} bytes")]
    Network(String),
    /// Settings.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The data belongs to another kind or network.
    #[error(
        "the data in {folder} is of {} {found:?}, the settings say {wanted:?}: \
         set `network.{what}` back, or use a fresh folder (`cordee init`)",
        if *what == "name" { "network" } else { what }
    )]
    Bound {
        /// The node's folder.
        folder: PathBuf,
        /// `kind` or `name`.
        what: &'static str,
        /// What the data is.
        found: String,
        /// What the settings want.
        wanted: String,
    },
    /// The key is not one.
    #[error("{0} does not hold an Ed25519 libp2p key: restore it, or make a new node with `cordee init`")]
    Key(PathBuf),
    /// The trust policy is none.
    #[error("{0}")]
    Trust(String),
    /// The token is not one.
    #[error(
        "the first line of {0} is no token: 16 letters and digits or more, like `head -c 32 /dev/urandom | xxd -p -c 64` prints"
    )]
    Token(PathBuf),
    /// A command that needs a database found none.
    #[error(
        "{0} has no database yet: fill it with `cordee import` or `cordee apply` (a publisher), or with `cordee sync` \
         (a copy)"
    )]
    Empty(PathBuf),
    /// A sync was interrupted here.
    #[error(
        "a sync to {target} is not finished in {folder}: run it again with `cordee sync --target {target}`"
    )]
    Unfinished {
        /// The node's folder.
        folder: PathBuf,
        /// What was aimed at.
        target: Box<Target>,
    },
    /// A file cannot be read or written.
    #[error("cannot {doing} {path}{}", if storage::is_full(source) { ": free some space, then do the same again; nothing is lost" } else { "" })]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Another process has the data open.
    #[error(
        "another cordee process uses {0}: stop it first (`cordee run` and `cordee sync` hold their folder), or use \
         another folder"
    )]
    InUse(PathBuf),
    /// The log.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The database over the log.
    #[error(transparent)]
    Database(#[from] db::database::Error<storage::Error>),
    /// What is left of an earlier sync, or the database to go on from.
    #[error(transparent)]
    Local(#[from] storage::writer::Error),
}

/// What a folder's data is; the content of `data/database.toml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Binding {
    kind: String,
    network: String,
}

impl Folder {
    /// Make a new node: settings and a fresh key. A fixed `kind` is named with its value size.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Kind`], [`Error::Network`], [`Error::Io`].
    pub fn create(path: &Path, network: &str, kind: &str) -> Result<Self, Error> {
        check_network(network)?;
        let kind = kind.parse::<Kind>().map_err(Error::Kind)?;
        let occupied = match std::fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(_) => true,
        };
        if occupied {
            return Err(Error::Exists(path.into()));
        }
        std::fs::create_dir_all(path).map_err(io("make", path))?;
        let key = Keypair::generate_ed25519().to_protobuf_encoding();
        let key = key.map_err(|_| Error::Key(path.join(KEY)))?;
        write_new(&path.join(KEY), &key, 0o600)?;
        write_new(
            &path.join(FILE_NAME),
            config::new_file(network, &kind.to_string()).as_bytes(),
            0o644,
        )?;
        Self::open(path, Ok)
    }

    /// Open a node's folder; `flags` lays what the command line says over file and environment.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Config`], [`Error::Kind`], [`Error::Network`].
    pub fn open(
        path: &Path,
        flags: impl FnOnce(Layers) -> Result<Layers, config::Error>,
    ) -> Result<Self, Error> {
        let file = path.join(FILE_NAME);
        if !file.is_file() {
            return Err(Error::Missing(path.into()));
        }
        let mut config = flags(Layers::of(&file)?)?.config()?;
        check_network(&config.network.name)?;
        let kind = config.network.database_kind().map_err(Error::Kind)?;
        // One kind, one text, however the settings write it.
        config.network.kind = kind.to_string();
        Ok(Self {
            path: path.into(),
            config,
            kind,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The kind of its database.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where the log is.
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The node's key.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Key`].
    pub fn keypair(&self) -> Result<Keypair, Error> {
        read_key(&self.path.join(KEY))
    }

    /// The keys that sign checkpoints here (`checkpoint.keys`), or those in `files` if there are some.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Key`] also for keys other than Ed25519.
    pub fn signing_keys(&self, files: &[PathBuf]) -> Result<Vec<Keypair>, Error> {
        let own = self
            .config
            .checkpoint
            .keys
            .iter()
            .map(|name| self.path.join(name));
        let paths = if files.is_empty() {
            own.collect()
        } else {
            files.to_vec()
        };
        let read = |path: PathBuf| {
            let pair = read_key(&path)?;
            match key_of(&pair.public().to_peer_id()) {
                Some(_) => Ok(pair),
                None => Err(Error::Key(path)),
            }
        };
        paths.into_iter().map(read).collect()
    }

    /// What the operator trusts; `None` if no signer is named, and this node is not to sign.
    ///
    /// # Errors
    /// [`Error::Trust`]; those of [`Self::keypair`].
    pub fn policy(&self) -> Result<Option<Policy>, Error> {
        let set = self.config.trust.set().map_err(Error::Trust)?;
        let checkpoint = &self.config.checkpoint;
        if set.is_none() && (checkpoint.publish || checkpoint.cosign) {
            let setting = if checkpoint.publish { "publish" } else { "cosign" };
            let id = self.keypair()?.public().to_peer_id();
            return Err(Error::Trust(format!(
                "`checkpoint.{setting}` is on, but `trust.signers` names nobody whose checkpoints count: name all who sign, \
                 here and at every node; node.key of this one is {id}"
            )));
        }
        Ok(set.map(|signers| Policy {
            network: self.config.network.name.clone(),
            kind: self.config.network.kind.clone(),
            signers,
            max_age: self.config.trust.max_age,
        }))
    }

    /// The first line of the file with the token for requests that change something; `None` if none is configured.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Token`].
    pub fn token(&self) -> Result<Option<String>, Error> {
        let name = &self.config.http.token_file;
        if name.is_empty() {
            return Ok(None);
        }
        let path = self.path.join(name);
        let text = std::fs::read_to_string(&path).map_err(io("read", &path))?;
        let token = text.lines().next().unwrap_or_default().trim();
        // What a header can carry, and nothing that is guessed at once.
        if token.len() < 16 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Token(path));
        }
        Ok(Some(token.into()))
    }

    /// Bind the data to kind and network, or see that it is bound to these.
    ///
    /// # Errors
    /// [`Error::Bound`], [`Error::Io`].
    pub fn bind(&self) -> Result<(), Error> {
        let data = self.data();
        std::fs::create_dir_all(&data).map_err(io("make", &data))?;
        let path = data.join(BINDING);
        let network = &self.config.network;
        let wanted = Binding {
            kind: network.kind.clone(),
            network: network.name.clone(),
        };
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = toml::to_string(&wanted).expect("two strings are TOML");
                return small_file::replace(&path, text.as_bytes()).map_err(io("write", &path));
            }
            text => text.map_err(io("read", &path))?,
        };
        let found: Binding = toml::from_str(&text).map_err(|error| config::Error::Toml {
            place: path.display().to_string(),
            message: error.message().into(),
        })?;
        let pairs = [
            ("kind", found.kind, wanted.kind),
            ("name", found.network, wanted.network),
        ];
        match pairs.into_iter().find(|(_, found, wanted)| found != wanted) {
            Some((what, found, wanted)) => Err(Error::Bound {
                folder: self.path.clone(),
                what,
                found,
                wanted,
            }),
            None => Ok(()),
        }
    }

    /// What the log was last marked as, and which locations it holds.
    ///
    /// # Errors
    /// [`Error::Bound`], [`Error::Storage`].
    pub fn mark(&self) -> Result<(Option<Mark>, std::ops::Range<Location>), Error> {
        let journal = self.journal()?;
        Ok((journal.mark().cloned(), journal.bounds()))
    }

    /// The database, made if there is none: for publishers.
    ///
    /// # Errors
    /// [`Error::Unfinished`], [`Error::Bound`], [`Error::Storage`], [`Error::Database`].
    pub fn publisher(&self) -> Result<Database, Error> {
        self.database(self.journal()?)
    }

    /// From now on the database is not replaced by that of others unasked ([`Self::check_replaceable`]): call it before the first
    /// commit.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set_written(&self) -> Result<(), Error> {
        let path = self.path.join(WRITTEN);
        if path.exists() {
            return Ok(());
        }
        let says = "The database of this folder was written here, not copied from others.\n";
        small_file::replace(&path, says.as_bytes()).map_err(io("write", &path))
    }

    /// Whether a sync or an import may put another database in the place of the one that is here.
    ///
    /// # Errors
    /// [`Error::Written`].
    pub fn check_replaceable(&self) -> Result<(), Error> {
        match self.path.join(WRITTEN).exists() {
            true => Err(Error::Written(self.path.clone())),
            false => Ok(()),
        }
    }

    /// The database that is there: for those who serve it.
    ///
    /// # Errors
    /// [`Error::Empty`], and those of [`Self::publisher`].
    pub fn existing(&self) -> Result<Database, Error> {
        // To look makes nothing.
        if !self.data().exists() {
            return Err(Error::Empty(self.path.clone()));
        }
        let journal = self.journal()?;
        match journal.mark() {
            None => Err(Error::Empty(self.path.clone())),
            Some(_) => self.database(journal),
        }
    }

    /// The log, to be brought to `target`: what is held of it is kept. Blocks while that is replayed.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Bound`], [`Error::Storage`], [`Error::Local`].
    pub fn sync_into(&self, target: &Target) -> Result<Writer, Error> {
        let keep = self.config.storage.keep;
        Ok(Writer::open(self.journal()?, target.clone(), self.kind, keep)?)
    }

    /// The log as it is, to be checked: also if its offset table does not end where it should.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::Bound`], [`Error::InUse`], [`Error::Storage`].
    pub fn to_check(&self) -> Result<DiskJournal, Error> {
        if !self.data().exists() {
            return Err(Error::Empty(self.path.clone()));
        }
        self.bind()?;
        let options = storage::Options::default();
        DiskJournal::open_to_check(storage::file::OsFiles, self.data(), options).map_err(
            |error| match error {
                storage::Error::Locked { .. } => Error::InUse(self.path.clone()),
                error => error.into(),
            },
        )
    }

    /// The database over a log of this folder.
    ///
    /// # Errors
    /// [`Error::Unfinished`], [`Error::Database`].
    pub fn open_database(&self, journal: DiskJournal) -> Result<Database, Error> {
        self.database(journal)
    }

    fn database(&self, journal: DiskJournal) -> Result<Database, Error> {
        let opened = storage::open_database(journal, self.kind).map_err(|error| match error {
            db::database::Error::Unfinished(target) => Error::Unfinished {
                folder: self.path.clone(),
                target: target.into(),
            },
            error => error.into(),
        });
        let mut database = opened?;
        database.keep(self.config.storage.keep);
        Ok(database)
    }

    fn journal(&self) -> Result<DiskJournal, Error> {
        self.bind()?;
        DiskJournal::open(self.data(), storage::Options::default()).map_err(|error| match error {
            storage::Error::Locked { .. } => Error::InUse(self.path.clone()),
            error => error.into(),
        })
    }
}

impl Error {
    /// Whether the operator's input or settings are at fault, rather than the machine.
    pub fn is_usage(&self) -> bool {
        !matches!(
            self,
            Self::Io { .. }
                | Self::Key(_)
                | Self::InUse(_)
                | Self::Storage(_)
                | Self::Database(_)
                | Self::Local(_)
        )
    }
}

fn read_key(path: &Path) -> Result<Keypair, Error> {
    let bytes = std::fs::read(path).map_err(io("read", path))?;
    Keypair::from_protobuf_encoding(&bytes).map_err(|_| Error::Key(path.into()))
}

fn check_network(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Error::Network(name.into()));
    }
    Ok(())
}

/// What to do about a kind that there is not.
fn hint(error: &KindError) -> &'static str {
    match error {
        KindError::NoSize(_) => {
            ": name it with its size, like any-unordered-fixed:32, or set --value-size or `network.value_size`"
        }
        KindError::NotFixed(_) => {
            ": its values have any length; leave the size out, or choose a kind ending in -fixed"
        }
        _ => "",
    }
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io {
        doing,
        path: path.into(),
        source,
    }
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(io("write", path))
}
