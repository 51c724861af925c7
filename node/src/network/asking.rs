//! Asking another node for its checkpoints: an empty question, and an answer as [`crate::gossip`] writes it.

use crate::gossip::MAX_ANSWER;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::request_response;
use std::io;

/// The protocol's name in libp2p.
pub(super) const PROTOCOL: &str = "/cordee/checkpoints/1";

/// Ends with the substream, and has at most [`MAX_ANSWER`] bytes; a question has none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Codec;

impl request_response::Codec for Codec {
    type Protocol = &'static str;
    type Request = ();
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &Self::Protocol, io: &mut T) -> io::Result<()>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, 0).await.map(drop)
    }

    async fn read_response<T>(&mut self, _: &Self::Protocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, MAX_ANSWER).await
    }

    async fn write_request<T>(&mut self, _: &Self::Protocol, _: &mut T, (): ()) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Ok(())
    }

    async fn write_response<T>(&mut self, _: &Self::Protocol, io: &mut T, answer: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&answer).await
    }
}

async fn read<T: AsyncRead + Unpin>(io: &mut T, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io.take(max as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.len() > max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "longer than it may be",
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::io::Cursor;

    #[test]
    fn nothing_longer_than_an_answer_is_read() {
        for (length, max, fits) in [
            (0, 0, true),
            (1, 0, false),
            (MAX_ANSWER, MAX_ANSWER, true),
            (MAX_ANSWER + 1, MAX_ANSWER, false),
        ] {
            let read = block_on(read(&mut Cursor::new(vec![7; length]), max));
            assert_eq!(read.map(|bytes| bytes.len()).ok(), fits.then_some(length));
        }
    }
}
