//! Ask a node's HTTP interface: one request, one answer, nothing kept open.

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
    parse(address, path, &ask(address, "GET", path, "").await?)
}

/// What it answers to `body`, sent to `path`.
///
/// # Errors
/// As [`fetch`].
pub async fn post<T: DeserializeOwned>(address: &str, path: &str, body: &str) -> io::Result<T> {
    parse(address, path, &ask(address, "POST", path, body).await?)
}

/// The text at `path`.
///
/// # Errors
/// As [`fetch`].
pub async fn text(address: &str, path: &str) -> io::Result<String> {
    let body = ask(address, "GET", path, "").await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn parse<T: DeserializeOwned>(address: &str, path: &str, body: &[u8]) -> io::Result<T> {
    serde_json::from_slice(body).map_err(|error| invalid(address, path, &error.to_string()))
}

/// The body of a good answer.
async fn ask(address: &str, method: &str, path: &str, body: &str) -> io::Result<Vec<u8>> {
    let mut answer = timeout(LIMIT, exchange(address, method, path, body)).await??;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| invalid(address, path, "no HTTP answer"))?;
    let body = answer.split_off(end + 4);
    if answer.split(|&byte| byte == b' ').nth(1) != Some(b"200") {
        let said = [&answer[..], &body[..]].concat();
        return Err(invalid(address, path, &String::from_utf8_lossy(&said)));
    }
    Ok(body)
}

fn invalid(address: &str, path: &str, what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("http://{address}{path}: {what}"),
    )
}

async fn exchange(address: &str, method: &str, path: &str, body: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0: the server closes behind its answer and does not send it in chunks.
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut answer).await?;
    Ok(answer)
}
