//! Reading: one section at a time, each proven before it is given out.

use super::{MAGIC, MAX_OPTIONAL, VERSION, tag};
use bytes::Bytes;
use cordee_protocol::codec::{self, Decode, Reader as Codec};
use cordee_protocol::sync::verify::{Fault, Pinned, Verified, verify};
use cordee_protocol::wire::limits::{MAX_ANSWER, MAX_NAME, MAX_OPERATIONS};
use cordee_protocol::wire::{Answer, Ask, Request};
use cordee_protocol::{Digest, Location, Operations, Target};
use std::io::{self, Read};

/// A section's tag and length.
const SECTION_HEAD: u64 = 5;

/// Why a snapshot was not read to its end. Each names the byte at which the section begins that is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine's.
    #[error("cannot be read")]
    Io(#[source] io::Error),
    /// No snapshot, or a newer one.
    #[error("this is no snapshot: {0}")]
    Foreign(String),
    /// The end is missing.
    #[error("the file is cut off: it ends at byte {at}, in {section}; what was proven before is kept")]
    Truncated {
        /// Where it ends.
        at: u64,
        /// In what.
        section: Section,
    },
    /// What stands there is not what has to.
    #[error("{section} at byte {at} is not what it has to be: {what}")]
    Malformed {
        /// Where the section begins.
        at: u64,
        /// Which.
        section: Section,
        /// What is wrong.
        what: String,
    },
    /// It does not lead to the root.
    #[error("{section} at byte {at} is not proven: {fault}")]
    Refused {
        /// Where the section begins.
        at: u64,
        /// Which.
        section: Section,
        /// What is wrong.
        fault: Fault,
    },
}

/// A part of the file, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Before all others.
    Head,
    /// The first operation and the pinned nodes.
    First,
    /// The last operation.
    Last,
    /// Operations; counted from 1.
    Chunk(u64),
    /// Behind all others.
    End,
}

impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Head => f.write_str("the head"),
            Self::First => f.write_str("the first operation"),
            Self::Last => f.write_str("the last operation"),
            Self::Chunk(n) => write!(f, "chunk {n}"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// What a snapshot says of itself. Believed by nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The network's name.
    pub network: String,
    /// The kind of database.
    pub kind: String,
    /// The target.
    pub target: Target,
}

/// What is proven next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The last operation.
    Last(Operations),
    /// The first operation, and the pinned nodes at the start.
    First(Verified, Pinned),
    /// The operations behind those before.
    Chunk(Verified),
    /// That was all, and it was whole.
    End,
}

/// Reads a snapshot from any stream. After an error it is of no further use.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// Bytes read.
    at: u64,
    head: Head,
    root: Digest,
    size: Location,
    next: Next,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    First,
    Last,
    /// The number of the chunk, from 1, and where it begins.
    Chunk(u64, Location),
    Nothing,
}

impl<R: Read> Reader<R> {
    /// Read the head. What follows is proven under its own target, so the caller compares that with the one it trusts.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(input: R) -> Result<Self, Error> {
        let mut start = Start { input, at: 0 };
        let magic = start.bytes(MAGIC.len() + 1, Section::Head);
        let magic = magic.map_err(|error| match error {
            Error::Truncated { at, .. } => Error::Foreign(format!("it has {at} bytes")),
            error => error,
        })?;
        match magic.split_last() {
            Some((&VERSION, magic)) if magic == MAGIC => {}
            Some((version, magic)) if magic == MAGIC => {
                return Err(Error::Foreign(format!(
                    "it has format version {version}, and this program knows {VERSION}; use the program that wrote it"
                )));
            }
            _ => return Err(Error::Foreign("it does not begin like one".into())),
        }
        let begin = start.at;
        let malformed = |what: String| Error::Malformed {
            at: begin,
            section: Section::Head,
            what,
        };
        let (tag, bytes) = start.section(Section::Head)?;
        if tag != tag::HEAD {
            return Err(malformed(format!("its tag is {tag:02x}")));
        }
        let head = read_head(&bytes).map_err(|error| malformed(error.to_string()))?;
        let Start { input, at } = start;
        Ok(Self {
            input,
            at,
            root: *head.target.root(),
            size: head.target.end(),
            head,
            next: Next::Last,
        })
    }

    /// What it says of itself.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How many bytes were read.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Read and prove what comes next.
    ///
    /// # Errors
    /// [`Error`].
    pub fn part(&mut self) -> Result<Part, Error> {
        let (section, request) = match self.next {
            Next::First => (
                Section::First,
                Request::boundary(self.size, self.head.target.start()),
            ),
            Next::Last => {
                let last = Location::new(self.size.get() - 1).unwrap_or_default();
                (Section::Last, Request::operations(self.size, last, 1))
            }
            Next::Chunk(n, at) => match Request::operations(self.size, at, MAX_OPERATIONS) {
                Some(request) => (Section::Chunk(n), Some(request)),
                None => (Section::End, None),
            },
            Next::Nothing => return Ok(Part::End),
        };
        let (begin, tag, bytes) = self.section(section)?;
        let malformed = |what: String| Error::Malformed {
            at: begin,
            section,
            what,
        };
        let expected = match (self.next, request) {
            (Next::First, _) => tag::FIRST,
            (Next::Last, _) => tag::LAST,
            (_, Some(_)) => tag::CHUNK,
            // The log is complete.
            (_, None) => tag::END,
        };
        if tag != expected {
            return Err(malformed(format!(
                "its tag is {tag:02x} instead of {expected:02x}"
            )));
        }
        let Some(request) = request else {
            self.end(&bytes).map_err(|error| malformed(error.to_string()))?;
            self.next = Next::Nothing;
            return Ok(Part::End);
        };
        let answer =
            Answer::decode(&bytes, &Ask::Range(request)).map_err(|error| malformed(error.to_string()))?;
        let Answer::Range(response) = answer else {
            return Err(malformed("it holds no operations".into()));
        };
        let refused = |fault| Error::Refused {
            at: begin,
            section,
            fault,
        };
        let (batch, pinned) = verify(&request, &self.root, response).map_err(refused)?;
        let behind = batch.range().end;
        match (self.next, pinned) {
            (Next::Last, _) => {
                self.next = Next::First;
                Ok(Part::Last(batch.operations().clone()))
            }
            (Next::Chunk(n, _), _) => {
                self.next = Next::Chunk(n + 1, behind);
                Ok(Part::Chunk(batch))
            }
            (_, Some(pinned)) => {
                self.next = Next::Chunk(1, behind);
                Ok(Part::First(batch, pinned))
            }
            // An answer to a boundary ask has them, or does not decode.
            (_, None) => Err(malformed("the pinned nodes are missing".into())),
        }
    }

    /// The last section's content, and that nothing follows.
    fn end(&mut self, bytes: &[u8]) -> Result<(), codec::Error> {
        let mut codec = Codec::new(bytes);
        let count = codec.varint()?;
        codec.finish()?;
        if !matches!(self.next, Next::Chunk(n, _) if n == count.saturating_add(1)) {
            return Err(codec::Error::Invalid("it counts another number of chunks"));
        }
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(()),
            _ => Err(codec::Error::Invalid("bytes follow the end")),
        }
    }

    /// The next section that is known: where it begins, its tag, and its content.
    fn section(&mut self, section: Section) -> Result<(u64, u8, Bytes), Error> {
        loop {
            let begin = self.at;
            let mut start = Start {
                input: &mut self.input,
                at: begin,
            };
            let (tag, bytes) = start.section(section)?;
            self.at = start.at;
            if tag < tag::OPTIONAL {
                return Ok((begin, tag, bytes));
            }
        }
    }
}

/// A stream and how many bytes of it were read.
struct Start<R> {
    input: R,
    at: u64,
}

impl<R: Read> Start<R> {
    fn section(&mut self, section: Section) -> Result<(u8, Bytes), Error> {
        let begin = self.at;
        let head = self.bytes(SECTION_HEAD as usize, section)?;
        let (tag, length) = (head[0], u32::from_be_bytes([head[1], head[2], head[3], head[4]]));
        let most = if tag < tag::OPTIONAL {
            MAX_ANSWER
        } else {
            MAX_OPTIONAL
        };
        if length as usize > most {
            let what = format!("it is to have {length} bytes, above the limit of {most}");
            return Err(Error::Malformed {
                at: begin,
                section,
                what,
            });
        }
        Ok((tag, self.bytes(length as usize, section)?))
    }

    /// `n` bytes. What is not there takes no memory.
    fn bytes(&mut self, n: usize, section: Section) -> Result<Bytes, Error> {
        let mut bytes = Vec::with_capacity(n.min(1 << 20));
        let read = (&mut self.input).take(n as u64).read_to_end(&mut bytes);
        self.at += bytes.len() as u64;
        read.map_err(Error::Io)?;
        if bytes.len() < n {
            return Err(Error::Truncated { at: self.at, section });
        }
        Ok(bytes.into())
    }
}

fn read_head(bytes: &[u8]) -> Result<Head, codec::Error> {
    let mut reader = Codec::new(bytes);
    let mut text = || {
        let bytes = reader.bytes(MAX_NAME)?.to_vec();
        String::from_utf8(bytes).map_err(|_| codec::Error::Invalid("a name is not UTF-8"))
    };
    let (network, kind) = (text()?, text()?);
    let target = Target::decode(&mut reader)?;
    reader.finish()?;
    Ok(Head {
        network,
        kind,
        target,
    })
}
