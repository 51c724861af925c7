//! What peers did, in a file of the node's folder: bans outlast the process (PEERS P22).
//!
//! ```text
//!   peers.json            what was last written; replaced as a whole, so it is the old one or the new one
//!   peers.json.damaged    one that could not be read, set aside: it is evidence, and no reason not to start
//! ```
//! The policy says what is remembered and how much of it: at most 1,000 banned peers and 500 others, under 1 MB.

use crate::folder::Folder;
use crate::small_file;
use cordee_resolver_p2p::Reputation;
use cordee_resolver_p2p::policy::{Ban, Misdeed, Offence, Prefix, Record, Standing};
use libp2p::PeerId;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const FILE: &str = "peers.json";

/// The format that is written; another one is not read.
const VERSION: u32 = 1;

/// Several times what 1,500 peers with 8 offences each need.
const MAX_BYTES: u64 = 8 << 20;

/// The file of one node.
#[derive(Debug)]
pub struct PeersFile {
    path: PathBuf,
    /// One write at a time: the newest is to be the one that stays.
    writing: Mutex<()>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    peers: Vec<Entry>,
}

/// Times are milliseconds since 1970.
#[derive(Serialize, Deserialize)]
struct Entry {
    peer_id: String,
    trust: f64,
    at_ms: u64,
    offences: u64,
    recent: Vec<Done>,
    bans: u32,
    ban: Option<Until>,
    prefix: String,
}

#[derive(Serialize, Deserialize)]
struct Done {
    reason: String,
    at_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct Until {
    reason: String,
    until_ms: u64,
}

impl PeersFile {
    /// That of `folder`, whether it is there or not.
    pub fn of(folder: &Folder) -> Self {
        Self::at(folder.path())
    }

    fn at(folder: &Path) -> Self {
        Self {
            path: folder.join(FILE),
            writing: Mutex::new(()),
        }
    }

    fn read(&self) -> io::Result<Vec<Record<PeerId>>> {
        let Some(bytes) = small_file::read(&self.path, MAX_BYTES)? else {
            return Ok(Vec::new());
        };
        let Content { version, peers } = serde_json::from_slice(&bytes).map_err(invalid)?;
        if version != VERSION {
            return Err(invalid(format!("version {version}, {VERSION} is known")));
        }
        peers.into_iter().map(Entry::read).collect()
    }
}

impl Reputation for PeersFile {
    fn load(&self) -> Vec<Record<PeerId>> {
        match self.read() {
            Ok(records) => records,
            Err(error) => {
                let aside = self.path.with_extension("json.damaged");
                let path = self.path.display();
                tracing::warn!(%path, %error, "cannot read what peers did, so bans of earlier are lost");
                match fs::rename(&self.path, &aside) {
                    Ok(()) => tracing::warn!(path = %aside.display(), "the damaged file is kept"),
                    Err(error) => tracing::warn!(%path, %error, "nor set the file aside"),
                }
                Vec::new()
            }
        }
    }

    fn save(&self, records: &[Record<PeerId>]) -> io::Result<()> {
        let content = Content {
            version: VERSION,
            peers: records.iter().map(Entry::of).collect(),
        };
        let bytes = serde_json::to_vec(&content).map_err(invalid)?;
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        small_file::replace(&self.path, &bytes)
    }
}

impl Entry {
    fn of(record: &Record<PeerId>) -> Self {
        let Standing {
            trust,
            at,
            offences,
            log,
            bans,
            ban,
        } = &record.standing;
        let done = |misdeed: &Misdeed| Done {
            reason: misdeed.offence.label().into(),
            at_ms: millis(misdeed.at),
        };
        Self {
            peer_id: record.peer.to_string(),
            trust: *trust,
            at_ms: millis(*at),
            offences: *offences,
            recent: log.iter().map(done).collect(),
            bans: *bans,
            ban: ban.as_ref().map(|ban| Until {
                reason: ban.reason.label().into(),
                until_ms: millis(ban.until),
            }),
            prefix: record.prefix.to_string(),
        }
    }

    fn read(self) -> io::Result<Record<PeerId>> {
        let peer = self.peer_id.parse().map_err(invalid)?;
        let offence = |label: &str| {
            let known = Offence::labelled(label);
            known.ok_or_else(|| invalid(format!("there is no offence called {label:?}")))
        };
        let done = |done: &Done| {
            Ok(Misdeed {
                offence: offence(&done.reason)?,
                at: Duration::from_millis(done.at_ms),
            })
        };
        let ban = |ban: &Until| {
            Ok::<_, io::Error>(Ban {
                reason: offence(&ban.reason)?,
                until: Duration::from_millis(ban.until_ms),
            })
        };
        let standing = Standing {
            trust: self.trust,
            at: Duration::from_millis(self.at_ms),
            offences: self.offences,
            log: self.recent.iter().map(done).collect::<io::Result<_>>()?,
            bans: self.bans,
            ban: self.ban.as_ref().map(ban).transpose()?,
        };
        let prefix = self.prefix.parse::<Prefix>().map_err(invalid)?;
        Ok(Record {
            peer,
            standing,
            prefix,
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn invalid(what: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record<PeerId>> {
        let at = |s: u64| Duration::from_secs(1_700_000_000 + s);
        let standing = Standing {
            trust: -50.25,
            at: at(5),
            offences: 12,
            log: vec![
                Misdeed {
                    offence: Offence::Timeout,
                    at: at(1),
                },
                Misdeed {
                    offence: Offence::Lie,
                    at: at(5),
                },
            ],
            bans: 2,
            ban: Some(Ban {
                reason: Offence::Lie,
                until: at(14_405),
            }),
        };
        let record = |standing, prefix| Record {
            peer: PeerId::random(),
            standing,
            prefix,
        };
        vec![
            record(standing, Prefix::V4([203, 0, 113])),
            record(Standing::default(), Prefix::V6([0x2001, 0xdb8, 0, 7])),
            record(Standing::default(), Prefix::Own),
        ]
    }

    #[test]
    fn p22_what_is_written_reads_back_and_replaces_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = PeersFile::at(folder.path());
        assert_eq!(file.load(), []);
        for written in [records(), records(), Vec::new()] {
            file.save(&written).unwrap();
            assert_eq!(PeersFile::at(folder.path()).load(), written);
        }
        let names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, [FILE], "no temporary file stays");
    }

    #[test]
    fn p22_a_damaged_file_is_set_aside_and_is_no_reason_not_to_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = PeersFile::at(folder.path());
        file.save(&records()).unwrap();
        let whole = fs::read_to_string(&file.path).unwrap();
        for (case, text) in [
            ("empty", String::new()),
            ("cut short", whole[..whole.len() / 2].into()),
            (
                "of another version",
                whole.replace("\"version\":1", "\"version\":9"),
            ),
            ("an unknown offence", whole.replace("\"lie\"", "\"rudeness\"")),
            ("no peer id", whole.replace("\"peer_id\":\"", "\"peer_id\":\"!")),
            ("no prefix", whole.replace("/24", "/7")),
            (
                "a time below zero",
                whole.replace("\"at_ms\":17", "\"at_ms\":-17"),
            ),
            ("too long", whole + &" ".repeat(MAX_BYTES as usize)),
        ] {
            fs::write(&file.path, &text).unwrap();
            assert_eq!(file.load(), [], "{case}");
            assert!(!file.path.exists(), "{case}");
            let aside = folder.path().join("peers.json.damaged");
            assert_eq!(fs::read_to_string(aside).unwrap(), text, "{case}");
            assert_eq!(file.load(), [], "{case}: and the next start is as new");
        }
        file.save(&records()).unwrap();
        assert_eq!(file.load().len(), 3);
    }
}
