//! Ask a node's HTTP interface: one GET, one answer, nothing kept open.

use serde::de::DeserializeOwned;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer, at most.
const MAX_BYTES: u64 = 1 << 20;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The JSON at `path` of the node whose interface is at `address`.
///
/// # Errors
/// If there is none within ten seconds, or it is not of type `T`.
pub async fn fetch<T: DeserializeOwned>(address: &str, path: &str) -> io::Result<T> {
    let answer = timeout(LIMIT, exchange(address, path)).await??;
    let invalid = |what: &str| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("http://{address}{path}: {what}"),
        )
    };
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.ok_or_else(|| invalid("no HTTP answer"))?);
    let status = head.split(|&byte| byte == b' ').nth(1);
    if status != Some(b"200") {
        return Err(invalid(&String::from_utf8_lossy(head)));
    }
    serde_json::from_slice(&body[4..]).map_err(|error| invalid(&error.to_string()))
}

async fn exchange(address: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0: the server closes behind its answer and does not send it in chunks.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut answer).await?;
    Ok(answer)
}
