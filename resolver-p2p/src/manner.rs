//! How an answer goes out, if not as it should: the seam for liars below a [`Source`](cordee_protocol::sync::serve::Source).
//! Compiled with the feature `lies` only, for testnets and tests.

use bytes::Bytes;
use cordee_protocol::codec::put_varint;
use cordee_protocol::wire::Frame;
use cordee_protocol::wire::limits::MAX_ANSWER;
use futures::{AsyncWrite, AsyncWriteExt};
use std::fmt::Debug;
use std::io;
use std::time::Duration;

/// What is done with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is sent.
    Whole,
    /// It is not sent, and the substream stays open.
    Silence,
    /// It is sent byte by byte, with this pause behind each.
    Drip(Duration),
    /// Half of it is sent, then the connection is closed.
    HangUp,
    /// A length above the limit is sent before it.
    Oversized,
}

/// Decides how each answer goes out.
pub trait Manner: Debug + Send + Sync + 'static {
    /// What to do with `frame`.
    fn deliver(&self, frame: &Frame) -> Delivery;
}

/// The connection is to be closed.
#[derive(Debug, thiserror::Error)]
#[error("hung up on purpose")]
pub(crate) struct HungUp;

/// Send `frame` in that way; `None` if it is to be sent as it should be.
pub(crate) async fn write<T: AsyncWrite + Unpin>(
    io: &mut T,
    frame: &Frame,
    delivery: Delivery,
) -> Option<io::Result<()>> {
    if delivery == Delivery::Whole {
        return None;
    }
    let length = match delivery {
        Delivery::Oversized => MAX_ANSWER + 1,
        _ => frame.len(),
    };
    let mut front = Vec::new();
    put_varint(&mut front, length as u64);
    let whole: Bytes = [&front[..], &frame.head, &frame.body].concat().into();
    Some(twisted(io, &whole, delivery).await)
}

async fn twisted<T: AsyncWrite + Unpin>(io: &mut T, whole: &[u8], delivery: Delivery) -> io::Result<()> {
    match delivery {
        // The substream ends with the request's time.
        Delivery::Silence => std::future::pending().await,
        Delivery::Drip(pause) => {
            for byte in whole {
                io.write_all(std::slice::from_ref(byte)).await?;
                io.flush().await?;
                tokio::time::sleep(pause).await;
            }
            Ok(())
        }
        Delivery::HangUp => {
            io.write_all(&whole[..whole.len() / 2]).await?;
            io.flush().await?;
            Err(io::Error::other(HungUp))
        }
        Delivery::Whole | Delivery::Oversized => io.write_all(whole).await,
    }
}
