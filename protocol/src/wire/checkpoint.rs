//! What a network vouches for: a root at a height, signed by some of those whom it trusts (ARCHITECTURE 6).
//!
//! # Bytes
//! Numbers are varints, digests 32 bytes, texts have their length before them (FORMAT F2). A checkpoint has one encoding.
//! ```text
//!   body        network kind height root start end time set
//!     network   text of 1 to 64 bytes
//!     kind      text of 1 to 64 bytes, with the value size of a fixed kind
//!     height    counts a network's checkpoints, from 1; each is above the one before
//!     root start end   the target (F2.7): what a database of this height holds
//!     time      seconds since 1970-01-01 UTC
//!     set       00, or 01 and the signers from the next height on: k n key*n
//!   signed      body m (key signature)*m         1 to 16 signatures
//! ```
//! A key is 32 bytes, an Ed25519 public key as in a libp2p identity; a signature is 64 bytes. Keys rise strictly, so no signer
//! is there twice.
//!
//! # What is signed
//! Each signature is over [`DOMAIN`] and the body's bytes; no other message of a libp2p identity begins so. Two signed
//! checkpoints of one body carry signatures of the same bytes, so they can be put together ([`Signed::merge`]).
//!
//! # Not here
//! Whether a signature is right, and whether its signer counts: `node::trust`. This crate has no signature library.

use super::limits::{MAX_NAME, MAX_SIGNERS};
use crate::codec::{self, Decode, Encode, Reader, put_bytes, put_varint};
use crate::digest::Digest;
use crate::sync::target::Target;
use std::collections::{BTreeMap, BTreeSet};

/// What every signature is over before the body.
pub const DOMAIN: &[u8] = b"cordee checkpoint 1\n";

/// An Ed25519 public key.
pub type Key = [u8; 32];

/// An Ed25519 signature.
pub type Signature = [u8; 64];

/// Who signs, and how many of them have to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signers {
    threshold: usize,
    keys: BTreeSet<Key>,
}

impl Signers {
    /// At least `threshold` of `keys`; `None` unless that is between 1 and their number, and they are at most
    /// [`MAX_SIGNERS`].
    pub fn new(threshold: usize, keys: BTreeSet<Key>) -> Option<Self> {
        let fits = (1..=keys.len()).contains(&threshold) && keys.len() <= MAX_SIGNERS;
        fits.then_some(Self { threshold, keys })
    }

    /// How many have to sign.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// Who may.
    pub fn keys(&self) -> &BTreeSet<Key> {
        &self.keys
    }
}

/// A root that somebody may vouch for, and what it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The network's name.
    pub network: String,
    /// The database's kind, by its full name.
    pub kind: String,
    /// How many checkpoints there are up to this one.
    pub height: u64,
    /// The root, and the range to hold under it.
    pub target: Target,
    /// When it was made, in seconds since 1970-01-01 UTC.
    pub time: u64,
    /// Who signs the checkpoints above this one, if that changes here.
    pub next: Option<Signers>,
}

impl Checkpoint {
    /// The bytes that a signature is over.
    pub fn message(&self) -> Vec<u8> {
        let mut message = DOMAIN.to_vec();
        self.encode(&mut message);
        message
    }

    /// The digest of [`Self::message`]: a name for this body, whoever has signed it.
    pub fn id(&self) -> Digest {
        Digest::of(&[&self.message()])
    }
}

/// A checkpoint with signatures that nobody has looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    checkpoint: Checkpoint,
    signatures: BTreeMap<Key, Signature>,
}

impl Signed {
    /// `checkpoint` with `signatures`; `None` unless they are 1 to [`MAX_SIGNERS`].
    pub fn new(checkpoint: Checkpoint, signatures: BTreeMap<Key, Signature>) -> Option<Self> {
        (1..=MAX_SIGNERS).contains(&signatures.len()).then_some(Self {
            checkpoint,
            signatures,
        })
    }

    /// What is vouched for.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// By whom, as they say.
    pub fn signatures(&self) -> &BTreeMap<Key, Signature> {
        &self.signatures
    }

    /// Take over the signatures of `other` that this one lacks, up to [`MAX_SIGNERS`]. Whether there were any. Nothing is taken
    /// from a checkpoint with another body.
    pub fn merge(&mut self, other: &Self) -> bool {
        if other.checkpoint != self.checkpoint {
            return false;
        }
        let before = self.signatures.len();
        for (key, signature) in &other.signatures {
            if self.signatures.len() < MAX_SIGNERS {
                self.signatures.entry(*key).or_insert(*signature);
            }
        }
        self.signatures.len() > before
    }
}

impl Encode for Signers {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.threshold as u64);
        put_varint(out, self.keys.len() as u64);
        self.keys.iter().for_each(|key| out.extend_from_slice(key));
    }
}

impl Decode for Signers {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
        let threshold = reader.length(MAX_SIGNERS)?;
        let count = reader.length(MAX_SIGNERS)?;
        let mut keys = BTreeSet::new();
        for _ in 0..count {
            let key: Key = reader.array()?;
            if keys.last().is_some_and(|last| *last >= key) {
                return Err(codec::Error::Invalid("keys do not rise"));
            }
            keys.insert(key);
        }
        Self::new(threshold, keys).ok_or(codec::Error::Invalid("a threshold that is not one of its keys"))
    }
}

impl Encode for Checkpoint {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.network.as_bytes());
        put_bytes(out, self.kind.as_bytes());
        put_varint(out, self.height);
        self.target.encode(out);
        put_varint(out, self.time);
        out.push(u8::from(self.next.is_some()));
        if let Some(next) = &self.next {
            next.encode(out);
        }
    }
}

impl Decode for Checkpoint {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
        let (network, kind) = (name(reader)?, name(reader)?);
        let height = reader.varint()?;
        if height == 0 {
            return Err(codec::Error::Invalid("heights begin at 1"));
        }
        Ok(Self {
            network,
            kind,
            height,
            target: Target::decode(reader)?,
            time: reader.varint()?,
            next: if reader.flag()? {
                Some(Signers::decode(reader)?)
            } else {
                None
            },
        })
    }
}

impl Encode for Signed {
    fn encode(&self, out: &mut Vec<u8>) {
        self.checkpoint.encode(out);
        put_varint(out, self.signatures.len() as u64);
        for (key, signature) in &self.signatures {
            out.extend_from_slice(key);
            out.extend_from_slice(signature);
        }
    }
}

impl Decode for Signed {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
        let checkpoint = Checkpoint::decode(reader)?;
        let count = reader.length(MAX_SIGNERS)?;
        let mut signatures = BTreeMap::new();
        for _ in 0..count {
            let key: Key = reader.array()?;
            if signatures.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(codec::Error::Invalid("keys do not rise"));
            }
            signatures.insert(key, reader.array()?);
        }
        Self::new(checkpoint, signatures)
            .ok_or(codec::Error::Invalid("a signed checkpoint without a signature"))
    }
}

fn name(reader: &mut Reader<'_>) -> Result<String, codec::Error> {
    let text = std::str::from_utf8(reader.bytes(MAX_NAME)?);
    match text {
        Ok("") => Err(codec::Error::Invalid("an empty name")),
        Ok(text) => Ok(text.into()),
        Err(_) => Err(codec::Error::Invalid("a name is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmr::Location;
    use crate::wire::limits::MAX_CHECKPOINT;

    fn location(n: u64) -> Location {
        Location::new(n).unwrap()
    }

    fn checkpoint(name: &str, numbers: u64, next: usize) -> Checkpoint {
        Checkpoint {
            network: name.into(),
            kind: name.into(),
            height: numbers,
            target: Target::new(
                Digest([7; 32]),
                location(numbers.min(1 << 62) - 1)..location(numbers.min(1 << 62)),
            )
            .unwrap(),
            time: numbers,
            next: Signers::new(next, (0..next as u8).map(|n| [n; 32]).collect()),
        }
    }

    fn signed(checkpoint: Checkpoint, keys: impl IntoIterator<Item = u8>) -> Option<Signed> {
        let signatures = keys.into_iter().map(|key| ([key; 32], [key ^ 0xff; 64]));
        Signed::new(checkpoint, signatures.collect())
    }

    #[test]
    fn the_bytes_of_one_are_as_documented() {
        let checkpoint = Checkpoint {
            network: "alps".into(),
            kind: "keyless-fixed:4".into(),
            height: 300,
            target: Target::new(Digest([0xab; 32]), location(5)..location(130)).unwrap(),
            time: 1_700_000_000,
            next: Signers::new(1, [[2; 32]].into()),
        };
        let body = [
            "04616c7073".to_owned(),
            "0f6b65796c6573732d66697865643a34".to_owned(),
            "ac02".to_owned(),
            "ab".repeat(32),
            "058201".to_owned(),
            "80e2cfaa06".to_owned(),
            format!("010101{}", "02".repeat(32)),
        ]
        .concat();
        assert_eq!(hex::encode(checkpoint.to_vec()), body);
        let message = [&hex::encode(DOMAIN), &body[..]].concat();
        assert_eq!(hex::encode(checkpoint.message()), message);
        let signed = signed(checkpoint, [1, 3]).unwrap();
        let whole = format!(
            "{body}02{}{}{}{}",
            "01".repeat(32),
            "fe".repeat(64),
            "03".repeat(32),
            "fc".repeat(64)
        );
        assert_eq!(hex::encode(signed.to_vec()), whole);
        assert_eq!(Signed::from_slice(&signed.to_vec()), Ok(signed));
    }

    #[test]
    fn the_largest_is_within_its_limit_and_no_part_may_be_left_out() {
        let largest = signed(checkpoint(&"n".repeat(MAX_NAME), u64::MAX, MAX_SIGNERS), 0..16).unwrap();
        let bytes = largest.to_vec();
        assert_eq!(bytes.len(), 2252, "the arithmetic of MAX_CHECKPOINT");
        assert!(bytes.len() <= MAX_CHECKPOINT);
        assert_eq!(Signed::from_slice(&bytes).as_ref(), Ok(&largest));
        for end in 0..bytes.len() {
            assert_eq!(
                Signed::from_slice(&bytes[..end]),
                Err(codec::Error::Short),
                "{end}"
            );
        }
        assert!(signed(checkpoint("n", 1, 0), 0..17).is_none());
        assert!(signed(checkpoint("n", 1, 0), []).is_none());
    }

    #[test]
    fn what_has_another_form_is_refused() {
        let plain = |change: fn(&mut Vec<u8>)| {
            let mut bytes = signed(checkpoint("n", 9, 2), [1, 2]).unwrap().to_vec();
            change(&mut bytes);
            Signed::from_slice(&bytes)
        };
        assert!(plain(|_| {}).is_ok());
        for (case, found) in [
            ("a byte more", plain(|bytes| bytes.push(0))),
            ("an empty network", plain(|bytes| drop(bytes.splice(0..2, [0])))),
            ("height 0", plain(|bytes| bytes[4] = 0)),
            ("a flag of 2", plain(|bytes| bytes[4 + 1 + 32 + 2 + 1] = 2)),
            ("threshold 0", plain(|bytes| bytes[4 + 1 + 32 + 2 + 2] = 0)),
            (
                "threshold above the keys",
                plain(|bytes| bytes[4 + 1 + 32 + 2 + 2] = 3),
            ),
            (
                "keys of the set that fall",
                plain(|bytes| bytes[4 + 1 + 32 + 2 + 4] = 9),
            ),
            (
                "a signer twice",
                plain(|bytes| {
                    let at = bytes.len() - 96;
                    bytes[at..at + 32].fill(1);
                }),
            ),
            (
                "no signature",
                plain(|bytes| {
                    bytes.truncate(bytes.len() - (2 * 96 + 1));
                    bytes.push(0);
                }),
            ),
            (
                "seventeen said",
                plain(|bytes| {
                    let at = bytes.len() - (2 * 96 + 1);
                    bytes[at] = 17;
                }),
            ),
        ] {
            assert!(found.is_err(), "{case}");
        }
    }

    #[test]
    fn signatures_of_one_body_are_put_together_and_of_others_are_not() {
        let body = checkpoint("n", 9, 0);
        let mut one = signed(body.clone(), [1, 2]).unwrap();
        assert!(!one.merge(&signed(body.clone(), [2]).unwrap()));
        assert!(one.merge(&signed(body.clone(), [2, 3]).unwrap()));
        assert_eq!(one, signed(body.clone(), [1, 2, 3]).unwrap());
        assert!(!one.merge(&signed(checkpoint("n", 8, 0), [4]).unwrap()));
        assert!(one.merge(&signed(body, 4..20).unwrap()));
        assert_eq!(one.signatures().len(), MAX_SIGNERS, "no more than there may be");
    }

    #[test]
    fn the_id_is_of_the_body_alone() {
        let (a, b) = (checkpoint("n", 9, 0), checkpoint("n", 10, 0));
        assert_ne!(a.id(), b.id());
        assert_eq!(
            signed(a.clone(), [1]).unwrap().checkpoint().id(),
            signed(a, [2]).unwrap().checkpoint().id()
        );
    }
}
