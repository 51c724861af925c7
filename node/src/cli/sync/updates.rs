//! `--updates`: later targets, a line each, while the sync runs. What `cordee apply` prints will do as it stands.

use super::super::Failure;
use super::super::apply::open;
use crate::writes::next_line;
use cordee_protocol::Target;
use std::io::BufRead;
use tokio::sync::{mpsc, oneshot};

/// Targets read ahead; the reader waits beyond.
const AHEAD: usize = 16;

/// Why there are no more; nothing is sent at the end of the input.
pub(super) type Unread = oneshot::Receiver<Failure>;

/// Read targets from a file on a thread of its own: a pipe may stay silent for as long as it likes.
pub(super) fn read(file: &str) -> Result<(mpsc::Receiver<Target>, Unread), Failure> {
    let (input, name) = open(file)?;
    let (targets, received) = mpsc::channel(AHEAD);
    let (failed, unread) = oneshot::channel();
    let started = std::thread::Builder::new().name("updates".into()).spawn(move || {
        if let Err(failure) = pass_on(input, &name, &targets) {
            // A sync that has ended needs no reason.
            let _ = failed.send(failure);
            // The failure ends the sync, not the end of the targets.
            futures::executor::block_on(targets.closed());
        }
    });
    match started {
        Ok(_) => Ok((received, unread)),
        Err(error) => Err(Failure::failed(format!(
            "cannot start a thread: {error}; see to the limits of this machine"
        ))),
    }
}

/// Ends when the input does, or the sync.
fn pass_on(mut input: impl BufRead, name: &str, targets: &mpsc::Sender<Target>) -> Result<(), Failure> {
    let (mut line, mut number) = (String::new(), 0);
    loop {
        let read = next_line(&mut input, &mut line, &mut number);
        let usage = |why: String| Failure::usage(format!("--updates: {name}, line {number}: {why}"));
        if !read.map_err(|error| usage(error.to_string()))? {
            return Ok(());
        }
        // A line of `cordee apply` or `cordee import` ends with the target.
        let target = line.split_whitespace().next_back().unwrap_or_default();
        let target = target
            .parse()
            .map_err(|error: cordee_protocol::sync::target::ParseError| usage(error.to_string()))?;
        if targets.blocking_send(target).is_err() {
            return Ok(());
        }
    }
}

/// The failure, when there is one; else for ever.
pub(super) async fn failed(unread: Option<Unread>) -> Failure {
    if let Some(unread) = unread
        && let Ok(failure) = unread.await
    {
        return failure;
    }
    std::future::pending().await
}
