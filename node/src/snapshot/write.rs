//! Writing: answers to the asks that a reader would have, each proven before it leaves.

use super::{MAGIC, VERSION, tag};
use cordee_protocol::codec::{Encode, put_bytes, put_varint};
use cordee_protocol::db::{Db, Index};
use cordee_protocol::mmr::Elements as _;
use cordee_protocol::sync::serve::{Budget, Error as ServeError, KnownRoots, proven_answer};
use cordee_protocol::wire::{Answer, Request};
use cordee_protocol::{Journal, Location};
use std::io::{self, Write};
use std::num::NonZeroU64;

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError<E: std::error::Error + 'static> {
    /// The log cannot be read, or is damaged.
    #[error(transparent)]
    Log(#[from] ServeError<E>),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Operations from the target's start on.
    pub operations: u64,
    /// Sections with operations.
    pub chunks: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Write the target of `db` to `out`, at most `max_ops` operations in a chunk; `progress` is told the location reached.
/// Memory: one chunk.
///
/// # Errors
/// [`WriteError`]; nothing that does not lead to the root is written.
pub fn write<J: Journal, I: Index>(
    db: &Db<J, I>,
    network: &str,
    max_ops: NonZeroU64,
    out: &mut impl Write,
    mut progress: impl FnMut(Location),
) -> Result<Written, WriteError<J::Error>> {
    let target = db.target();
    let (start, size) = (target.start(), target.end());
    let mut sections = Sections { out, bytes: 0 };
    sections.put(&[&MAGIC[..], &[VERSION]].concat())?;

    let mut head = Vec::new();
    put_bytes(&mut head, network.as_bytes());
    put_bytes(&mut head, db.kind().to_string().as_bytes());
    target.encode(&mut head);
    sections.section(tag::HEAD, &[&head])?;

    let roots = KnownRoots::default();
    let answer = |request: Option<Request>| {
        let request = request.ok_or(ServeError::NotHeld {
            held: db.log().bounds(),
            start,
            size,
        })?;
        proven_answer(db.log(), &roots, &request, Budget::default())
    };
    let mut put = |tag, answer: Answer| {
        let frame = answer.to_frame();
        sections.section(tag, &[&frame.head, &frame.body])
    };
    let last = Location::new(size.get() - 1).unwrap_or_default();
    put(
        tag::LAST,
        Answer::Range(answer(Request::operations(size, last, 1))?),
    )?;
    put(tag::FIRST, Answer::Range(answer(Request::boundary(size, start))?))?;
    let (mut at, mut chunks) = (start.saturating_add(1), 0);
    while at < size {
        // Chunks that end at multiples are whole trees, with the shortest proofs.
        let ops = max_ops.get() - at.get() % max_ops;
        let response = answer(Request::operations(size, at, ops))?;
        at = at.saturating_add(response.operations.len() as u64);
        put(tag::CHUNK, Answer::Range(response))?;
        chunks += 1;
        progress(at);
    }
    let mut count = Vec::new();
    put_varint(&mut count, chunks);
    sections.section(tag::END, &[&count])?;
    sections.out.flush()?;
    Ok(Written {
        operations: size.since(start),
        chunks,
        bytes: sections.bytes,
    })
}

struct Sections<'a, W> {
    out: &'a mut W,
    bytes: u64,
}

impl<W: Write> Sections<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn section(&mut self, tag: u8, parts: &[&[u8]]) -> io::Result<()> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        // No answer is longer than 4.3 MiB.
        let len = u32::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.put(&[tag])?;
        self.put(&len.to_be_bytes())?;
        parts.iter().try_for_each(|part| self.put(part))
    }
}
