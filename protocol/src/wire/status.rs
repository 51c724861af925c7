//! What a node says of itself when a connection is up (PEERS P44).

use super::limits::MAX_NAME;
use crate::codec::{self, Decode, Encode, Reader, put_bytes};
use crate::digest::Digest;
use crate::mmr::Location;

/// What a node serves. A claim, not a proof: it only says whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The network's name, at most [`MAX_NAME`] bytes.
    pub network: String,
    /// The database's kind, like `any-unordered-variable`.
    pub kind: String,
    /// The oldest location that it holds.
    pub oldest: Location,
    /// Its size; it can prove every size above `oldest` up to this one. 0 if it has nothing to serve.
    pub size: Location,
    /// Its root at `size`, if it has one.
    pub root: Option<Digest>,
}

impl Encode for Status {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.network.as_bytes());
        put_bytes(out, self.kind.as_bytes());
        self.oldest.encode(out);
        self.size.encode(out);
        out.push(u8::from(self.root.is_some()));
        if let Some(root) = &self.root {
            root.encode(out);
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
            root: if reader.flag()? {
                Some(Digest::decode(reader)?)
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
