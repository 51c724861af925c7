//! Answering peers: admission, bounded work off the swarm's task, reply (PEERS P40 to P43).
//!
//! An ask is not met with silence: what cannot be read is refused, what is too much is busy, what takes too long is busy,
//! what fails is unavailable. Only who goes on asking what makes no sense is ignored for a while. What a [`Source`] returns
//! is sent as it is.

use crate::metrics::Metrics;
use crate::policy::config::QuotaConfig;
use crate::policy::quota::{JobId, Quota, Refusal};
use cordee_protocol::sync::serve::Source;
use cordee_protocol::wire::{Answer, Ask, Frame, Status};
use futures::future::{BoxFuture, Either, FutureExt, select};
use futures::stream::{FuturesUnordered, StreamExt};
use libp2p::PeerId;
use libp2p::request_response::{InboundRequestId, ResponseChannel};
use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

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
    /// What of the quota it holds; `None` for who was turned away.
    pub(crate) job: Option<JobId>,
}

/// What became of an ask in work.
struct Read {
    reply: Reply,
    /// The read goes on although its asker was told "busy".
    overdue: Option<JoinHandle<Frame>>,
}

/// Two for each core: one may wait for the disk while the other works.
fn readers() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from)
}

/// Everything that peers want of this node.
pub(crate) struct Serving {
    source: Option<Arc<dyn Source>>,
    /// What a node without a source says of itself.
    empty: Status,
    quota: Quota<PeerId, Incoming>,
    work_for: Duration,
    /// Reads at once: reading and checking an answer is work for a core, and each thread that does it keeps some MiB.
    readers: Arc<Semaphore>,
    jobs: FuturesUnordered<BoxFuture<'static, Read>>,
    /// Reads that nobody waits for any more; they keep their places until they end.
    overdue: FuturesUnordered<BoxFuture<'static, JobId>>,
    /// Answers on their way, what they hold, and their bytes.
    sending: HashMap<InboundRequestId, (PeerId, JobId, u64)>,
    metrics: Metrics,
}

impl Serving {
    pub(crate) fn new(
        source: Option<Arc<dyn Source>>,
        empty: Status,
        config: QuotaConfig,
        trusted: &[PeerId],
        metrics: Metrics,
    ) -> Self {
        let work_for = config.work_for;
        let mut quota = Quota::new(config);
        trusted.iter().for_each(|peer| quota.trust(*peer));
        Self {
            source,
            empty,
            quota,
            work_for,
            readers: Arc::new(Semaphore::new(readers())),
            jobs: FuturesUnordered::new(),
            overdue: FuturesUnordered::new(),
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

    /// Take an ask in, or say at once why not. Dropping the channel of an ignored one ends its substream.
    pub(crate) fn on_ask(&mut self, now: Duration, peer: PeerId, incoming: Incoming) -> Option<Reply> {
        let request = match incoming.ask {
            Ask::Range(request) => Some(request),
            Ask::Status(_) => None,
        };
        let (incoming, refusal) = self.quota.on_ask(now, peer, request, incoming).err()?;
        match refusal {
            Refusal::Busy(after) => {
                self.metrics.on_served("busy", 0);
                Some(Reply {
                    peer,
                    id: incoming.id,
                    channel: incoming.channel,
                    frame: Answer::Busy(after).to_frame(),
                    job: None,
                })
            }
            Refusal::Ignored => {
                self.metrics.on_served("ignored", 0);
                None
            }
        }
    }

    /// An ask that cannot be read; `None` if its asker is ignored.
    pub(crate) fn on_nonsense(&mut self, now: Duration, peer: PeerId) -> Option<Frame> {
        let answered = self.quota.on_nonsense(now, peer);
        self.metrics
            .on_served(if answered { "refused" } else { "ignored" }, 0);
        answered.then(|| Answer::Refused.to_frame())
    }

    /// Whether this node fetches something itself (P43).
    pub(crate) fn on_own_sync(&mut self, syncing: bool) {
        self.quota.on_own_sync(syncing);
    }

    /// The next answer to send.
    pub(crate) fn poll(&mut self, now: Duration, cx: &mut Context<'_>) -> Poll<Reply> {
        while let Poll::Ready(Some(job)) = self.overdue.poll_next_unpin(cx) {
            self.quota.on_done(now, job, 0);
        }
        while let Some((peer, job, incoming)) = self.quota.poll_work() {
            if !incoming.channel.is_open() {
                // It has gone, or waited too long.
                self.metrics.on_served("gone", 0);
                self.quota.on_done(now, job, 0);
                continue;
            }
            self.jobs.push(self.work(peer, job, incoming));
        }
        match self.jobs.poll_next_unpin(cx) {
            Poll::Ready(Some(Read { mut reply, overdue })) => {
                if let (Some(job), Some(overdue)) = (reply.job, overdue) {
                    reply.job = None;
                    self.metrics.on_served("busy", 0);
                    self.overdue.push(overdue.map(move |_| job).boxed());
                }
                Poll::Ready(reply)
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// The answer to `id` was given to the substream (`sent`), or the substream is gone.
    pub(crate) fn on_sending(
        &mut self,
        now: Duration,
        peer: PeerId,
        id: InboundRequestId,
        job: Option<JobId>,
        sent: Option<&Sent>,
    ) {
        let Some(job) = job else { return };
        match sent {
            Some(sent) => {
                self.metrics.on_served(sent.result, sent.bytes);
                self.quota.on_sending(now, job);
                self.sending.insert(id, (peer, job, sent.bytes));
            }
            None => {
                self.metrics.on_served("gone", 0);
                self.quota.on_done(now, job, 0);
            }
        }
    }

    /// The substream of `id` ended.
    pub(crate) fn on_sent(&mut self, now: Duration, id: InboundRequestId) {
        if let Some((_, job, bytes)) = self.sending.remove(&id) {
            self.quota.on_done(now, job, bytes);
        }
    }

    /// The last connection to `peer` is down (P43).
    pub(crate) fn on_gone(&mut self, now: Duration, peer: PeerId) {
        let ids: Vec<_> = (self.sending.iter())
            .filter(|(_, (of, ..))| *of == peer)
            .map(|(id, _)| *id)
            .collect();
        ids.into_iter().for_each(|id| self.on_sent(now, id));
        self.quota.on_gone(now, peer);
    }

    /// When [`Self::on_timeout`] next has work.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        self.quota.poll_timeout()
    }

    /// Make room for others where readers are slow; returns whom to disconnect.
    pub(crate) fn on_timeout(&mut self, now: Duration) -> Vec<PeerId> {
        let cut: Vec<_> = self.quota.on_timeout(now).into_iter().collect();
        cut.iter().for_each(|_| self.metrics.on_served("cut", 0));
        cut
    }

    fn work(&self, peer: PeerId, job: JobId, incoming: Incoming) -> BoxFuture<'static, Read> {
        let Incoming { id, ask, channel } = incoming;
        let reply = move |frame| Reply {
            peer,
            id,
            channel,
            frame,
            job: Some(job),
        };
        let Some(source) = self.source.clone() else {
            let answer = match ask {
                Ask::Status(_) => Answer::Status(self.empty.clone()),
                Ask::Range(_) => Answer::Unavailable,
            };
            let reply = reply(answer.to_frame());
            let overdue = None;
            return Box::pin(std::future::ready(Read { reply, overdue }));
        };
        let limit = Box::pin(tokio::time::sleep(self.work_for));
        let after = self.work_for;
        let readers = Arc::clone(&self.readers);
        Box::pin(async move {
            let place = Box::pin(readers.acquire_owned());
            let (place, limit) = match select(place, limit).await {
                // The semaphore is never closed.
                Either::Left((place, limit)) => (place.ok(), limit),
                Either::Right(_) => {
                    return Read {
                        reply: reply(Answer::Busy(after).to_frame()),
                        overdue: None,
                    };
                }
            };
            let read = tokio::task::spawn_blocking(move || {
                let _place = place;
                source.answer(&ask)
            });
            match select(read, limit).await {
                Either::Left((read, _)) => Read {
                    reply: reply(read.unwrap_or_else(|error| {
                        tracing::error!(%error, "could not answer a peer");
                        Answer::Unavailable.to_frame()
                    })),
                    overdue: None,
                },
                Either::Right(((), read)) => {
                    tracing::warn!(?after, "an answer takes too long: is the disk busy?");
                    Read {
                        reply: reply(Answer::Busy(after).to_frame()),
                        overdue: Some(read),
                    }
                }
            }
        })
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
