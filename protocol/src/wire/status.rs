//! What a node says of itself when a connection is up (PEERS P44).

use super::limits::{MAX_CHECKPOINT, MAX_NAME};
use crate::codec::{self, Decode, Encode, Reader, put_bytes};
use crate::digest::Digest;
use crate::mmr::Location;
use bytes::Bytes;

/// What a node serves. A claim, not a proof: it only says whom to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The network's name, at most [`MAX_NAME`] bytes.
    pub network: String,
    /// The database's kind, like `any-unordered-variable`.
    pub kind: String,
    /// The oldest location that it holds.
    pub oldest: Location,
    /// Its size. 0 if it has nothing to serve.
    pub size: Location,
    /// The least size for which it can prove; it can for every size from this one up to `size`. Never below 1 where
    /// anything is served.
    pub provable_from: Location,
    /// Its root at `size`, if it has one.
    pub root: Option<Digest>,
    /// The newest checkpoint that it believes, encoded, at most [`MAX_CHECKPOINT`] bytes. Opaque here: whoever decides
    /// what to trust reads it.
    pub checkpoint: Option<Bytes>,
}

impl Status {
    /// Whether it says that it can prove `size`.
    pub fn proves(&self, size: Location) -> bool {
        (self.provable_from..=self.size).contains(&size)
    }
}

impl Encode for Status {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.network.as_bytes());
        put_bytes(out, self.kind.as_bytes());
        self.oldest.encode(out);
        self.size.encode(out);
        self.provable_from.encode(out);
        out.push(u8::from(self.root.is_some()));
        if let Some(root) = &self.root {
            root.encode(out);
        }
        out.push(u8::from(self.checkpoint.is_some()));
        if let Some(checkpoint) = &self.checkpoint {
            put_bytes(out, checkpoint);
        }
    }
}

impl Decode for Status {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
        Ok(Self {
            network: name(reader)?,
            kind: name(reader)?,
            oldest: Location::decode(reader)?,
            size: Location::decode(reader)?,
            provable_from: Location::decode(reader)?,
            root: if reader.flag()? {
                Some(Digest::decode(reader)?)
            } else {
                None
            },
            checkpoint: if reader.flag()? {
                Some(Bytes::copy_from_slice(reader.bytes(MAX_CHECKPOINT)?))
            } else {
                None
            },
        })
    }
}

fn name(reader: &mut Reader<'_>) -> Result<String, codec::Error> {
    let text = std::str::from_utf8(reader.bytes(MAX_NAME)?);
    text.map(Into::into)
        .map_err(|_| codec::Error::Invalid("a name is not UTF-8"))
}
