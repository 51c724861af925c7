//! Answering peers: admission, bounded work off the swarm's task, reply.
//!
//! An ask is never met with silence: what cannot be read is refused, what is too much is busy, what fails is
//! unavailable. What a [`Source`] returns is sent as it is.

use crate::metrics::Metrics;
use crate::policy::config::QuotaConfig;
use crate::policy::quota::Quota;
use cordee_protocol::sync::serve::Source;
use cordee_protocol::wire::{Answer, Ask, Frame, Status};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use libp2p::PeerId;
use libp2p::request_response::{InboundRequestId, ResponseChannel};
use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// An ask that waits for its turn.
pub(crate) struct Incoming {
    pub(crate) id: InboundRequestId,
    pub(crate) ask: Ask,
    pub(crate) channel: ResponseChannel<Frame>,
}

/// An answer to be sent. [`Serving::on_sending`] must be told whether it was taken.
pub(crate) struct Reply {
    pub(crate) peer: PeerId,
    pub(crate) id: InboundRequestId,
    pub(crate) channel: ResponseChannel<Frame>,
    pub(crate) frame: Frame,
}

/// Everything that peers want of this node.
pub(crate) struct Serving {
    source: Option<Arc<dyn Source>>,
    /// What a node without a source says of itself.
    empty: Status,
    quota: Quota<PeerId, Incoming>,
    jobs: FuturesUnordered<BoxFuture<'static, Reply>>,
    /// Answers on their way, and their bytes.
    sending: HashMap<InboundRequestId, (PeerId, u64)>,
    metrics: Metrics,
}

impl Serving {
    pub(crate) fn new(
        source: Option<Arc<dyn Source>>,
        empty: Status,
        config: QuotaConfig,
        metrics: Metrics,
    ) -> Self {
        Self {
            source,
            empty,
            quota: Quota::new(config),
            jobs: FuturesUnordered::new(),
            sending: HashMap::new(),
            metrics,
        }
    }

    /// Compute this node's status, off the task that wants it.
    pub(crate) fn status(&self) -> BoxFuture<'static, Status> {
        let empty = self.empty.clone();
        match self.source.clone() {
            None => Box::pin(std::future::ready(empty)),
            Some(source) => {
                let job = tokio::task::spawn_blocking(move || source.status());
                Box::pin(async move { job.await.unwrap_or(empty) })
            }
        }
    }

    /// Take an ask in, or say at once why not.
    pub(crate) fn on_ask(&mut self, now: Duration, peer: PeerId, incoming: Incoming) -> Option<Reply> {
        let refused = self.quota.on_ask(now, peer, incoming);
        refused.err().map(|(incoming, after)| {
            self.metrics.on_served("busy", 0);
            Reply {
                peer,
                id: incoming.id,
                channel: incoming.channel,
                frame: Answer::Busy(after).to_frame(),
            }
        })
    }

    /// An ask that cannot be read.
    pub(crate) fn on_nonsense(&self) -> Frame {
        self.metrics.on_served("refused", 0);
        Answer::Refused.to_frame()
    }

    /// The next answer to send.
    pub(crate) fn poll(&mut self, now: Duration, cx: &mut Context<'_>) -> Poll<Reply> {
        while let Some((peer, incoming)) = self.quota.poll_work() {
            if !incoming.channel.is_open() {
                // It has gone, or waited too long.
                self.quota.on_done(now, peer, 0);
                continue;
            }
            self.jobs.push(self.work(peer, incoming));
        }
        match self.jobs.poll_next_unpin(cx) {
            Poll::Ready(Some(reply)) => Poll::Ready(reply),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// The answer of `reply` was given to the substream, or the substream is gone.
    pub(crate) fn on_sending(
        &mut self,
        now: Duration,
        peer: PeerId,
        id: InboundRequestId,
        sent: Option<&Sent>,
    ) {
        match sent {
            Some(sent) => {
                self.metrics.on_served(sent.result, sent.bytes);
                self.sending.insert(id, (peer, sent.bytes));
            }
            None => {
                self.metrics.on_served("gone", 0);
                self.quota.on_done(now, peer, 0);
            }
        }
    }

    /// The substream of `id` ended.
    pub(crate) fn on_sent(&mut self, now: Duration, id: InboundRequestId) {
        if let Some((peer, bytes)) = self.sending.remove(&id) {
            self.quota.on_done(now, peer, bytes);
        }
    }

    /// The last connection to `peer` is down (PEERS P43).
    pub(crate) fn on_gone(&mut self, now: Duration, peer: PeerId) {
        let ids: Vec<_> = (self.sending.iter())
            .filter(|(_, (of, _))| *of == peer)
            .map(|(id, _)| *id)
            .collect();
        ids.into_iter().for_each(|id| self.on_sent(now, id));
        self.quota.on_gone(now, peer);
    }

    fn work(&self, peer: PeerId, incoming: Incoming) -> BoxFuture<'static, Reply> {
        let Incoming { id, ask, channel } = incoming;
        let reply = move |frame| Reply {
            peer,
            id,
            channel,
            frame,
        };
        match self.source.clone() {
            None => {
                let answer = match ask {
                    Ask::Status(_) => Answer::Status(self.empty.clone()),
                    Ask::Range(_) => Answer::Unavailable,
                };
                Box::pin(std::future::ready(reply(answer.to_frame())))
            }
            Some(source) => {
                let job = tokio::task::spawn_blocking(move || source.answer(&ask));
                Box::pin(async move {
                    reply(job.await.unwrap_or_else(|error| {
                        tracing::error!(%error, "could not answer a peer");
                        Answer::Unavailable.to_frame()
                    }))
                })
            }
        }
    }
}

/// What is counted of an answer.
pub(crate) struct Sent {
    result: &'static str,
    bytes: u64,
}

impl Sent {
    pub(crate) fn of(frame: &Frame) -> Self {
        Self {
            result: match frame.head.first() {
                Some(0 | 1) => "range",
                Some(2) => "unavailable",
                Some(5) => "status",
                _ => "other",
            },
            bytes: frame.len() as u64,
        }
    }
}
