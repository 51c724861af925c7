//! The two messages, and how an answer is framed without copying its operations.

use super::limits::MAX_ASK;
use super::request::Request;
use super::response::Response;
use super::status::Status;
use crate::codec::{self, Decode, Encode, Reader, put_varint};
use bytes::Bytes;
use std::time::Duration;

/// What one node asks another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Operations, perhaps with pinned nodes.
    Range(Request),
    /// What do you serve? Here is what I do.
    Status(Status),
}

/// What it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Operations with their proof.
    Range(Response),
    /// The server does not hold that range, or cannot prove that size.
    Unavailable,
    /// The server has too much to do: ask again after this time.
    Busy(Duration),
    /// The server could not make sense of the ask.
    Refused,
    /// What the server serves.
    Status(Status),
}

/// An encoded answer in two parts, sent one behind the other: so that operations go from where they were read to the
/// socket without another copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Everything before the operations.
    pub head: Bytes,
    /// The operations' bytes; empty for answers without.
    pub body: Bytes,
}

impl Frame {
    /// Bytes in both parts.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Both parts in one buffer, as they are received.
    pub fn join(&self) -> Bytes {
        if self.body.is_empty() {
            self.head.clone()
        } else {
            [&self.head[..], &self.body].concat().into()
        }
    }
}

impl Encode for Ask {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Range(request) => request.encode(out),
            Self::Status(status) => {
                out.push(2);
                status.encode(out);
            }
        }
    }
}

impl Decode for Ask {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
        if reader.remaining() > MAX_ASK {
            return Err(codec::Error::Length {
                got: reader.remaining() as u64,
                max: MAX_ASK as u64,
            });
        }
        let mut ahead = reader.clone();
        if ahead.byte()? != 2 {
            return Request::decode(reader).map(Self::Range);
        }
        *reader = ahead;
        Status::decode(reader).map(Self::Status)
    }
}

impl Answer {
    /// Encode for sending.
    pub fn to_frame(&self) -> Frame {
        let mut head = Vec::new();
        let mut body = Bytes::new();
        match self {
            Self::Range(response) => {
                response.encode_head(&mut head);
                body = response.operations.bytes().clone();
            }
            Self::Unavailable => head.push(2),
            Self::Busy(after) => {
                head.push(3);
                put_varint(&mut head, u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
            }
            Self::Refused => head.push(4),
            Self::Status(status) => {
                head.push(5);
                status.encode(&mut head);
            }
        }
        Frame {
            head: head.into(),
            body,
        }
    }

    /// Read what came back for `ask`. Operations stay in `bytes`, uncopied.
    ///
    /// # Errors
    /// For anything that an honest server never sends for this ask (PEERS P1): more than asked, another size, a wrong
    /// number of digests, a status for a range, bytes left over.
    pub fn decode(bytes: &Bytes, ask: &Ask) -> Result<Self, codec::Error> {
        let mut reader = Reader::new(bytes);
        let answer = match (reader.byte()?, ask) {
            (tag @ (0 | 1), Ask::Range(request)) => {
                Self::Range(Response::decode_body(&mut reader, bytes, tag == 1, request)?)
            }
            (2, Ask::Range(_)) => Self::Unavailable,
            (3, _) => Self::Busy(Duration::from_millis(reader.varint()?)),
            (4, _) => Self::Refused,
            (5, Ask::Status(_)) => Self::Status(Status::decode(&mut reader)?),
            _ => {
                return Err(codec::Error::Invalid(
                    "an answer to something else than was asked",
                ));
            }
        };
        reader.finish()?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests;
