//! A testnet that follows: nodes are struck down and started again while its publisher writes; in the end everybody has to be at
//! the same root, and says what that has cost.

use super::blows::{Blow, Blows};
use super::cast::Role;
use super::followed::{BlowReport, Followed, Gossiped, MAX_BLOWS, NodeFollowed};
use super::node::{Place, Running};
use super::writing::{Seen, Writing};
use super::{Error, Follow, http};
use crate::audience::Audience;
use crate::bench::usage::Usage;
use futures::future::join_all;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// How long all may take to get to the last root, when nothing is written any more.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);

/// How often it is looked whether they are there.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Without a blow to come: longer than anybody watches.
const NEVER: Duration = Duration::from_secs(1 << 30);

/// What a node has cost and said so far in this life.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    usage: Usage,
    gossip: Gossiped,
}

impl Cost {
    async fn of(node: &Running) -> Self {
        let metrics = http::text(node.http(), "/metrics").await.unwrap_or_default();
        Self {
            usage: node.id().and_then(Usage::of).unwrap_or_default(),
            gossip: Gossiped::read(&metrics),
        }
    }
}

/// All lives of a node.
#[derive(Debug, Default)]
struct Lives {
    cpu_s: f64,
    peak_rss_mib: f64,
    gossip: Gossiped,
    /// At the beginning of watching, for the life that had begun before.
    base: Cost,
    kills: usize,
    stops: usize,
    /// Its last blow, in the list of all.
    last: Option<usize>,
}

impl Lives {
    /// This life ends, or is counted, with `cost`.
    fn on_end(&mut self, cost: Cost) {
        self.cpu_s += (cost.usage.cpu_s - self.base.usage.cpu_s).max(0.0);
        self.peak_rss_mib = self.peak_rss_mib.max(cost.usage.peak_rss_mib);
        self.gossip = self.gossip.plus(cost.gossip.since(self.base.gossip));
        self.base = Cost::default();
    }
}

/// A testnet that is watched. The publisher is the first of `running`.
pub(super) struct Watching<'a> {
    pub(super) place: &'a Place,
    pub(super) running: &'a mut [Running],
    pub(super) audience: &'a dyn Audience,
    pub(super) options: &'a Follow,
    pub(super) seed: u64,
    pub(super) writing: Writing,
}

impl Watching<'_> {
    /// Watch until `until` completes; then writing stops, and everybody has to get to the last root.
    ///
    /// # Errors
    /// [`Error`], if a node does not start again.
    pub(super) async fn run(mut self, until: impl Future<Output = ()>) -> Result<Followed, Error> {
        let mut lives = Vec::new();
        for node in self.running.iter() {
            lives.push(Lives {
                base: Cost::of(node).await,
                ..Lives::default()
            });
        }
        let first = height(&self.running[0]).await;
        let (began, written, size) = (
            self.writing.now(),
            self.writing.written(),
            self.writing.last().size,
        );
        self.writing.look_at(self.running);
        let told = self.blows(began, &mut lives, until).await?;

        let seconds = (self.writing.now() - began).as_secs_f64();
        let written = self.writing.written() - written;
        self.audience
            .stage("nothing more is written; all have to get there", 0);
        self.writing.finish().await;
        let last = self.writing.last();
        let since = Instant::now();
        let settled = |node| settled(node, &last.root);
        let seen: Vec<_> = join_all(self.running.iter().map(settled)).await;
        let settled_s = since.elapsed().as_secs_f64();

        let checkpoints = height(&self.running[0]).await.saturating_sub(first);
        let mut nodes = Vec::new();
        for (i, ((node, mut lives), seen)) in self.running.iter().zip(lives).zip(seen).enumerate() {
            lives.on_end(Cost::of(node).await);
            nodes.push(NodeFollowed {
                name: node.part().name(),
                role: node.part().role,
                size: seen.as_ref().map_or(0, |seen| seen.size),
                root: seen.and_then(Seen::root),
                lag: self.writing.lag(i),
                cpu_s: lives.cpu_s,
                peak_rss_mib: lives.peak_rss_mib,
                kills: lives.kills,
                stops: lives.stops,
                gossip: lives.gossip,
                per_checkpoint: lives.gossip.per(checkpoints),
            });
        }
        let (signers, threshold) = self.place.policy().map_or((0, 0), |policy| policy.counts());
        let followed = Followed {
            seconds,
            rate: self.options.rate,
            writes_per_s: written as f64 / seconds.max(1e-3),
            ops_per_s: last.size.saturating_sub(size) as f64 / seconds.max(1e-3),
            signers,
            threshold,
            checkpoints,
            root: last.root,
            size: last.size,
            target: last.target,
            settled_s,
            nodes,
            blows: told,
            honest_banned: self.honest_banned().await,
            failures: Vec::new(),
        };
        Ok(followed.judged())
    }

    /// Strike nodes down until `until` completes.
    async fn blows(
        &mut self,
        began: Duration,
        lives: &mut [Lives],
        until: impl Future<Output = ()>,
    ) -> Result<Vec<BlowReport>, Error> {
        let plans = [
            (Blow::Kill, self.options.kill_every),
            (Blow::Stop, self.options.stop_every),
        ];
        let plan = |(blow, every): (Blow, Option<Duration>)| Some(Blows::new(blow, every?, self.seed, began));
        let mut plans: Vec<_> = plans.into_iter().filter_map(plan).collect();
        let mut told = Vec::new();
        tokio::pin!(until);
        loop {
            let next = plans.iter().map(Blows::poll_timeout).min();
            let wait = next.map_or(NEVER, |next| next.saturating_sub(self.writing.now()));
            if timeout(wait, &mut until).await.is_ok() {
                break;
            }
            for plan in &mut plans {
                if let Some((node, blow)) = plan.on_timeout(self.writing.now(), self.running.len()) {
                    let report = self.strike(node, blow, &mut lives[node], &mut told).await?;
                    if told.len() < MAX_BLOWS {
                        lives[node].last = Some(told.len());
                        told.push(report);
                    }
                }
            }
        }
        // Who was struck just now comes back while all settle.
        let struck = lives.iter().enumerate().filter(|(_, lives)| lives.last.is_some());
        for (node, _) in struck.clone() {
            let back = async {
                while self.writing.back(node).is_none() {
                    sleep(LOOK_EVERY).await;
                }
            };
            // Then it is told that it was not.
            let _ = timeout(SETTLE_WITHIN, back).await;
        }
        for (node, lives) in struck {
            self.note_back(node, lives, &mut told);
        }
        Ok(told)
    }

    /// End a node and start it again.
    async fn strike(
        &mut self,
        node: usize,
        blow: Blow,
        lives: &mut Lives,
        told: &mut [BlowReport],
    ) -> Result<BlowReport, Error> {
        let name = self.running[node].part().name();
        self.note_back(node, lives, told);
        lives.on_end(Cost::of(&self.running[node]).await);
        let at_s = self.writing.now().as_secs_f64();
        let size_before = self.writing.on_down(node);
        let ended = self.running[node].strike(blow).await;
        let starting = Instant::now();
        let size_after = self.running[node].start_again(self.place).await?;
        let started = starting.elapsed();
        self.writing.on_up(node, started);
        match blow {
            Blow::Kill => lives.kills += 1,
            Blow::Stop => lives.stops += 1,
        }
        let how = match blow {
            Blow::Kill => "was killed".into(),
            Blow::Stop => ended.map_or("did not end in order".into(), |took| {
                format!("ended in order within {:.1} s", took.as_secs_f64())
            }),
        };
        let what = format!(
            "{name} {how}, and is up again with {size_after} operations after {:.1} s",
            started.as_secs_f64()
        );
        self.audience.stage(&what, 0);
        Ok(BlowReport {
            at_s,
            name,
            blow,
            ended_s: ended.map(|took| took.as_secs_f64()),
            size_before,
            size_after,
            back_s: None,
        })
    }

    /// Complete what was told of a node's last blow.
    fn note_back(&self, node: usize, lives: &Lives, told: &mut [BlowReport]) {
        if let Some(report) = lives.last.and_then(|last| told.get_mut(last)) {
            report.back_s = self.writing.back(node).map(|back| back.as_secs_f64());
        }
    }

    /// Honest nodes that an honest node has banned.
    async fn honest_banned(&self) -> usize {
        #[derive(Deserialize)]
        struct Peer {
            peer_id: String,
            banned: bool,
        }
        let honest = || self.running.iter().filter(|node| node.part().role != Role::Liar);
        let lists = honest().map(|node| http::fetch::<Vec<Peer>>(node.http(), "/v1/peers"));
        let lists = join_all(lists).await;
        let peers = lists.into_iter().flatten().flatten();
        let banned: BTreeSet<_> = peers
            .filter(|peer| peer.banned)
            .map(|peer| peer.peer_id)
            .collect();
        honest().filter(|node| banned.contains(node.peer_id())).count()
    }
}

/// What is seen of `node` once it is at `root`, or when that takes too long.
async fn settled(node: &Running, root: &str) -> Option<Seen> {
    let there = async {
        loop {
            let seen = Seen::of(node).await;
            if seen.is_some_and(|seen| seen.root().as_deref() == Some(root)) {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    // What it says then is judged.
    let _ = timeout(SETTLE_WITHIN, there).await;
    Seen::of(node).await
}

/// The height of the newest checkpoint that `node` believes; 0 without one.
async fn height(node: &Running) -> u64 {
    #[derive(Deserialize)]
    struct Standing {
        newest: Option<Newest>,
    }
    #[derive(Deserialize)]
    struct Newest {
        height: u64,
    }
    let standing = http::fetch::<Standing>(node.http(), "/v1/checkpoint").await;
    standing
        .ok()
        .and_then(|standing| standing.newest)
        .map_or(0, |newest| newest.height)
}
