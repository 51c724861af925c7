//! Frames on a substream: a length, then so many bytes.
//!
//! This code runs on the connection's task, which also encrypts and multiplexes for every other request: it moves bytes
//! and does nothing else. An answer is decoded by whoever waits for it.
//!
//! # Always
//! 1. A length meets its limit before anything is allocated.
//! 2. What is allocated for a length that is only claimed is at most [`FIRST`], or a buffer that was there already; after
//!    that at most eight times the bytes that have come.
//! 3. Operations go from the [`Frame`] to the substream without being joined with anything.

use bytes::Bytes;
use cordee_protocol::buffers::Buffers;
use cordee_protocol::codec::put_varint;
use cordee_protocol::wire::Frame;
use cordee_protocol::wire::limits::{MAX_ANSWER, MAX_ASK};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::request_response;
use std::io;

/// Allocated at once for a frame, at most. Two reads of a 256 KiB flow control window.
const FIRST: usize = 256 << 10;

/// The codec. An ask is its encoding; an answer that is received lies whole in [`Frame::head`].
#[derive(Clone, Debug)]
pub struct Codec {
    buffers: Buffers,
    /// The longest answer to the ask that was written: libp2p clones a codec for each substream.
    max_answer: usize,
    #[cfg(feature = "lies")]
    manner: Option<std::sync::Arc<dyn crate::manner::Manner>>,
}

impl Default for Codec {
    fn default() -> Self {
        Self {
            buffers: Buffers::default(),
            max_answer: MAX_ANSWER,
            #[cfg(feature = "lies")]
            manner: None,
        }
    }
}

#[cfg(feature = "lies")]
impl Codec {
    /// One whose answers go out in this manner.
    pub(crate) fn of(manner: Option<std::sync::Arc<dyn crate::manner::Manner>>) -> Self {
        Self {
            manner,
            ..Self::default()
        }
    }
}

impl request_response::Codec for Codec {
    type Protocol = &'static str;
    type Request = Bytes;
    type Response = Frame;

    async fn read_request<T>(&mut self, _: &Self::Protocol, io: &mut T) -> io::Result<Bytes>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_frame(io, MAX_ASK, &self.buffers).await
    }

    async fn read_response<T>(&mut self, _: &Self::Protocol, io: &mut T) -> io::Result<Frame>
    where
        T: AsyncRead + Unpin + Send,
    {
        let head = read_frame(io, self.max_answer, &self.buffers).await?;
        Ok(Frame {
            head,
            body: Bytes::new(),
        })
    }

    async fn write_request<T>(&mut self, _: &Self::Protocol, io: &mut T, ask: Bytes) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        // A status is answered with a status, which is never longer than an ask with a status in it.
        let is_status = ask.first() == Some(&2);
        self.max_answer = if is_status { MAX_ASK } else { MAX_ANSWER };
        write_frame(io, &ask, &[]).await
    }

    async fn write_response<T>(&mut self, _: &Self::Protocol, io: &mut T, frame: Frame) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        #[cfg(feature = "lies")]
        if let Some(manner) = &self.manner
            && let Some(written) = crate::manner::write(io, &frame, manner.deliver(&frame)).await
        {
            return written;
        }
        write_frame(io, &frame.head, &frame.body).await
    }
}

async fn write_frame<T: AsyncWrite + Unpin>(io: &mut T, head: &[u8], body: &[u8]) -> io::Result<()> {
    let mut front = Vec::with_capacity(5 + head.len());
    put_varint(&mut front, (head.len() + body.len()) as u64);
    front.extend_from_slice(head);
    io.write_all(&front).await?;
    io.write_all(body).await
}

async fn read_frame<T: AsyncRead + Unpin>(io: &mut T, max: usize, buffers: &Buffers) -> io::Result<Bytes> {
    let length = read_length(io, max).await?;
    let mut frame = buffers.take(length, FIRST);
    let mut filled = 0;
    loop {
        let room = frame.room(filled);
        io.read_exact(room).await?;
        filled += room.len();
        if !frame.grow(8) {
            return Ok(frame.into_bytes());
        }
    }
}

/// A length of 1 to `max`, in its shortest form.
async fn read_length<T: AsyncRead + Unpin>(io: &mut T, max: usize) -> io::Result<usize> {
    let mut length = 0u64;
    // 4 groups of 7 bits hold 2^28 - 1, above every limit.
    for shift in [0, 7, 14, 21] {
        let mut byte = [0];
        io.read_exact(&mut byte).await?;
        let [byte] = byte;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let overlong = byte == 0 && shift > 0;
            return match usize::try_from(length) {
                Ok(length) if !overlong && (1..=max).contains(&length) => Ok(length),
                _ => Err(invalid(format!(
                    "a frame of {length} bytes, at most {max} are allowed"
                ))),
            };
        }
    }
    Err(invalid(format!(
        "a frame of 2^28 bytes or more, at most {max} are allowed"
    )))
}

/// These bytes are wrong, whatever the connection did: no honest peer sends them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadFrame(pub(crate) String);

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, BadFrame(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordee_protocol::wire::PROTOCOL;
    use futures::executor::block_on;
    use futures::io::Cursor;
    use libp2p::request_response::Codec as _;

    fn framed(length: u64, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, length);
        out.extend_from_slice(bytes);
        out
    }

    #[test]
    fn lengths_are_refused_before_bytes_are_read() {
        let max = MAX_ASK as u64;
        for (case, input, result) in [
            ("one byte", framed(1, &[7]), Ok(1)),
            ("the limit", framed(max, &[7; MAX_ASK]), Ok(MAX_ASK)),
            (
                "above the limit",
                framed(max + 1, &[7; MAX_ASK]),
                Err(io::ErrorKind::InvalidData),
            ),
            ("nothing", framed(0, &[]), Err(io::ErrorKind::InvalidData)),
            ("overlong", vec![0x81, 0x00, 7], Err(io::ErrorKind::InvalidData)),
            ("endless", vec![0x80; 20], Err(io::ErrorKind::InvalidData)),
            ("2^64", framed(u64::MAX, &[]), Err(io::ErrorKind::InvalidData)),
            (
                "cut short",
                framed(10, &[7; 9]),
                Err(io::ErrorKind::UnexpectedEof),
            ),
            ("no length", vec![], Err(io::ErrorKind::UnexpectedEof)),
        ] {
            let mut codec = Codec::default();
            let read = block_on(codec.read_request(&PROTOCOL, &mut Cursor::new(input)));
            assert_eq!(
                read.map(|bytes| bytes.len()).map_err(|error| error.kind()),
                result,
                "{case}"
            );
        }
    }

    #[test]
    fn answers_survive_the_wire_and_have_the_limit_of_their_ask() {
        for (head, body) in [
            (1, 0),
            (300, 0),
            (40, FIRST),
            (40, 3 * FIRST + 1),
            (40, MAX_ANSWER - 40),
        ] {
            let frame = Frame {
                head: vec![1; head].into(),
                body: vec![2; body].into(),
            };
            let mut io = Cursor::new(Vec::new());
            let mut codec = Codec::default();
            block_on(codec.write_response(&PROTOCOL, &mut io, frame.clone())).unwrap();
            io.set_position(0);
            let read = block_on(codec.read_response(&PROTOCOL, &mut io)).unwrap();
            assert_eq!(read.join(), frame.join());

            let mut asked = Codec::default();
            let ask = Bytes::from_static(&[2, 0]);
            block_on(asked.write_request(&PROTOCOL, &mut Cursor::new(Vec::new()), ask)).unwrap();
            io.set_position(0);
            let read = block_on(asked.read_response(&PROTOCOL, &mut io));
            assert_eq!(read.is_ok(), frame.len() <= MAX_ASK);
        }
    }
}
