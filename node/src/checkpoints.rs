//! Checkpoints that outlast the process, in the node's folder.
//!
//! ```text
//!   checkpoints.json                    changes of signers, the newest accepted one, the last one signed here; all encoded,
//!                                       in hex; replaced as a whole
//!   fork-HEIGHT-accepted.checkpoint     two that cannot both be of one log: the evidence. As long as they are there, the node
//!   fork-HEIGHT-other.checkpoint        believes nothing; the operator removes them when it is settled
//! ```
//! A checkpoint is in its file before anybody is shown a signature on it, so a signer that is killed does not sign another
//! one of the same height ([`Kept::may_sign`]).

use crate::folder::Folder;
use crate::small_file;
use crate::trust::{HISTORY, ROTATIONS, Trust};
use cordee_protocol::Digest;
use cordee_protocol::codec::{Decode, Encode};
use cordee_protocol::wire::checkpoint::{Checkpoint, Signed};
use cordee_protocol::wire::limits::MAX_CHECKPOINT;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "checkpoints.json";

/// The format that is written; another one is not read.
const VERSION: u32 = 1;

/// In hex, quoted, and some more for the rest.
const MAX_BYTES: u64 = ((HISTORY + ROTATIONS + 2) * (2 * MAX_CHECKPOINT + 8)) as u64;

/// The files of one node.
#[derive(Clone, Debug)]
pub struct CheckpointFile {
    folder: PathBuf,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Changes of signers and the newest accepted one, by rising height.
    pub believed: Vec<Signed>,
    /// The last one that was signed here.
    pub signed: Option<Signed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    believed: Vec<String>,
    signed: Option<String>,
}

impl Kept {
    /// What of `trust` is to be kept, beside the last one that was signed here.
    pub fn of(trust: &Trust, signed: Option<Signed>) -> Self {
        let mut believed: Vec<_> = trust.rotations().chain(trust.newest()).cloned().collect();
        believed.dedup();
        Self { believed, signed }
    }

    /// Names of the checkpoints in it, whoever has signed them.
    pub fn ids(&self) -> Vec<Digest> {
        let all = self.believed.iter().chain(&self.signed);
        all.map(|signed| signed.checkpoint().id()).collect()
    }

    /// The highest height that is known here; 0 if none is.
    pub fn height(&self) -> u64 {
        let all = self.believed.iter().chain(&self.signed);
        all.map(|signed| signed.checkpoint().height).max().unwrap_or(0)
    }

    /// Whether this node can put its name under `checkpoint` without contradicting itself: it is the last one it signed, or has
    /// more height and more size.
    pub fn may_sign(&self, checkpoint: &Checkpoint) -> bool {
        self.signed.as_ref().is_none_or(|last| {
            let last = last.checkpoint();
            let above = checkpoint.height > last.height && checkpoint.target.end() > last.target.end();
            checkpoint == last || above
        })
    }
}

impl CheckpointFile {
    /// Those of `folder`, whether they are there or not.
    pub fn of(folder: &Folder) -> Self {
        Self::at(folder.path())
    }

    fn at(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// What is kept; nothing if there is no file yet.
    ///
    /// # Errors
    /// If it cannot be read, or is not such a file. Then a signer must not sign: what it signed last is not known.
    pub fn load(&self) -> io::Result<Kept> {
        let Some(bytes) = small_file::read(&self.path(), MAX_BYTES)? else {
            return Ok(Kept::default());
        };
        let content: Content = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        if content.version != VERSION {
            let error = format!("version {}, {VERSION} is known", content.version);
            return Err(io::Error::other(error));
        }
        let believed = content
            .believed
            .iter()
            .map(|text| decode(text))
            .collect::<io::Result<_>>()?;
        let signed = content.signed.as_deref().map(decode).transpose()?;
        Ok(Kept { believed, signed })
    }

    /// Keep this instead; durable when it returns.
    ///
    /// # Errors
    /// Of the file system; what was kept before is still there.
    pub fn save(&self, kept: &Kept) -> io::Result<()> {
        let content = Content {
            version: VERSION,
            believed: kept.believed.iter().map(encode).collect(),
            signed: kept.signed.as_ref().map(encode),
        };
        let bytes = serde_json::to_vec_pretty(&content).map_err(io::Error::other)?;
        small_file::replace(&self.path(), &bytes)
    }

    /// Keep the evidence of a fork. Where it is.
    ///
    /// - `accepted`: what `other` contradicts; `None` if that is a database which no checkpoint vouched for.
    ///
    /// # Errors
    /// Of the file system.
    pub fn keep_fork(&self, accepted: Option<&Signed>, other: &Signed) -> io::Result<Vec<PathBuf>> {
        let height = other.checkpoint().height;
        let sides = [("accepted", accepted), ("other", Some(other))];
        let mut paths = Vec::new();
        for (side, signed) in sides {
            if let Some(signed) = signed {
                let path = self.folder.join(format!("fork-{height}-{side}.checkpoint"));
                small_file::replace(&path, &signed.to_vec())?;
                paths.push(path);
            }
        }
        Ok(paths)
    }

    /// The evidence of a fork that has not been settled, if there is some.
    ///
    /// # Errors
    /// Of the file system.
    pub fn forks(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let is_fork = |name: &str| name.starts_with("fork-") && name.ends_with(".checkpoint");
            if name.to_str().is_some_and(is_fork) {
                found.push(self.folder.join(name));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Read a checkpoint file: its bytes, or these in hex.
///
/// # Errors
/// If it cannot be read; [`io::ErrorKind::InvalidData`] if it is no signed checkpoint.
pub fn read_file(path: &Path) -> io::Result<Signed> {
    let found = small_file::read(path, 4 * MAX_CHECKPOINT as u64)?;
    let bytes = found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    if let Ok(text) = std::str::from_utf8(&bytes)
        && let Ok(signed) = decode(text.trim())
    {
        return Ok(signed);
    }
    Signed::from_slice(&bytes).map_err(invalid)
}

fn encode(signed: &Signed) -> String {
    hex::encode(signed.to_vec())
}

fn decode(text: &str) -> io::Result<Signed> {
    let bytes = hex::decode(text).map_err(invalid)?;
    Signed::from_slice(&bytes).map_err(invalid)
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not a signed checkpoint: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::sign;
    use crate::trust::Fork;
    use cordee_protocol::{Location, Target};
    use libp2p::identity::Keypair;

    fn signed(height: u64, size: u64) -> Signed {
        let checkpoint = Checkpoint {
            network: "alps".into(),
            kind: "keyless-variable".into(),
            height,
            target: Target::new(Digest([1; 32]), Location::ZERO..Location::new(size).unwrap()).unwrap(),
            time: 7,
            next: None,
        };
        sign(checkpoint, &[Keypair::ed25519_from_bytes([1; 32]).unwrap()]).unwrap()
    }

    #[test]
    fn what_is_kept_is_read_again_and_damage_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::at(folder.path());
        assert_eq!(file.load().unwrap(), Kept::default());
        let kept = Kept {
            believed: vec![signed(1, 10), signed(4, 40)],
            signed: Some(signed(5, 50)),
        };
        file.save(&kept).unwrap();
        assert_eq!(file.load().unwrap(), kept);
        assert_eq!(kept.height(), 5);
        for content in [
            "",
            "{}",
            "{\"version\":2,\"believed\":[],\"signed\":null}",
            "{\"version\":1,\"believed\":[\"00\"],\"signed\":null}",
        ] {
            std::fs::write(file.path(), content).unwrap();
            assert!(file.load().is_err(), "{content}");
        }
    }

    #[test]
    fn a_signer_never_contradicts_itself() {
        let kept = Kept {
            believed: Vec::new(),
            signed: Some(signed(5, 50)),
        };
        for (height, size, may) in [
            (5, 50, true),
            (5, 51, false),
            (4, 40, false),
            (6, 50, false),
            (6, 49, false),
            (4, 60, false),
            (6, 51, true),
        ] {
            assert_eq!(
                kept.may_sign(signed(height, size).checkpoint()),
                may,
                "{height} {size}"
            );
            assert!(Kept::default().may_sign(signed(height, size).checkpoint()));
        }
    }

    #[test]
    fn the_evidence_of_a_fork_is_kept_and_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::at(folder.path());
        assert!(file.forks().unwrap().is_empty());
        let fork = Fork {
            accepted: signed(5, 50),
            other: signed(5, 60),
        };
        let paths = file.keep_fork(Some(&fork.accepted), &fork.other).unwrap();
        assert_eq!(file.forks().unwrap(), paths);
        assert_eq!(read_file(&paths[0]).unwrap(), fork.accepted);
        std::fs::write(&paths[1], encode(&fork.other) + "\n").unwrap();
        assert_eq!(read_file(&paths[1]).unwrap(), fork.other, "in hex");
        std::fs::write(&paths[1], "other").unwrap();
        assert!(read_file(&paths[1]).is_err());
        let alone = file.keep_fork(None, &signed(7, 70)).unwrap();
        assert_eq!(alone.len(), 1);
        assert_eq!(file.forks().unwrap().len(), 3);
    }
}
