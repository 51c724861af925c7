//! What a running node believes, shared by the swarm that hears of it, the task that follows, and whoever looks.
//!
//! Decides nothing: [`Gossip`] and [`Trust`] do. Here are the lock, the clock, the counters, the log, and the files.

#[cfg(test)]
mod tests;

use crate::checkpoints::{CheckpointFile, Kept};
use crate::folder::Folder;
use crate::gossip::{Gossip, Heard, Passing, read_answer};
use crate::signing::name_of;
use crate::trust::{Policy, Trust, Verdict};
use bytes::Bytes;
use cordee_protocol::Digest;
use cordee_protocol::codec::Encode;
use cordee_protocol::wire::checkpoint::{Checkpoint, Signed};
use libp2p::PeerId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The policy of one node at work.
#[derive(Debug)]
pub struct Believing {
    state: Mutex<State>,
    store: CheckpointFile,
    began: Instant,
    /// Counts what is news: something newer, a signature more, a fork.
    news: watch::Sender<u64>,
    checkpoints: Family<Outcome, Counter>,
    refusals: Family<Reason, Counter>,
}

/// How often one reason to refuse checkpoints is worth a line of the log.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The reason not to believe a checkpoint yet.
const TOO_FEW: &str = "too_few_signatures";

#[derive(Debug)]
struct State {
    gossip: Gossip<PeerId>,
    /// The last one that was signed here.
    signed: Option<Signed>,
    /// What there was to say about the last one that was not believed.
    refused: Option<Refused>,
    /// Why nothing is believed any more.
    fork: Option<String>,
    /// When the log was last told of each reason.
    told: BTreeMap<&'static str, Instant>,
    /// What the file holds.
    saved: Vec<Digest>,
}

/// A checkpoint that was not believed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// Its height.
    pub height: u64,
    /// A short name of the reason, as in the metric.
    pub reason: &'static str,
    /// The reason in words.
    pub message: String,
    /// Seconds since 1970-01-01 UTC.
    pub at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// What a node can say about its newest checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Standing {
    /// The newest accepted one.
    pub newest: Option<Shown>,
    /// Those above it that lack signatures, at most four.
    pub gathering: Vec<Shown>,
    /// The last one that was not believed.
    pub refused: Option<Refused>,
    /// The one that needs the fewest signatures more, if the newest is not above it.
    pub lacking: Option<Refused>,
    /// Why nothing is believed any more.
    pub fork: Option<String>,
}

/// A checkpoint, for people and scripts.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Shown {
    /// Its height.
    pub height: u64,
    /// Its target.
    pub target: String,
    /// When it was made, in seconds since 1970-01-01 UTC.
    pub time: u64,
    /// Who has signed it.
    pub signers: Vec<String>,
    /// How many have to.
    pub threshold: usize,
    /// The whole, in hex: what `cordee checkpoint verify` reads.
    pub signed: String,
}

impl Believing {
    /// What `folder`'s policy believes, as it was left; `None` if it has none.
    ///
    /// # Errors
    /// If the kept checkpoints cannot be read: who signs must know what was signed last.
    pub fn open(folder: &Folder, policy: Policy) -> io::Result<Self> {
        let store = CheckpointFile::of(folder);
        let kept = store.load()?;
        let forks = store.forks()?;
        let mut trust = Trust::new(policy);
        let believed = trust.resume(kept.believed);
        tracing::debug!(believed, "checkpoints of before");
        let fork = (!forks.is_empty()).then(|| {
            let files: Vec<_> = forks.iter().map(|path| path.display().to_string()).collect();
            format!(
                "a fork was found, see {}: ask the signers, and remove these files when it is settled",
                files.join(" and ")
            )
        });
        if let Some(fork) = &fork {
            tracing::error!("{fork}");
        }
        Ok(Self {
            state: Mutex::new(State {
                gossip: Gossip::new(trust),
                signed: kept.signed,
                refused: None,
                fork,
                told: BTreeMap::new(),
                saved: Vec::new(),
            }),
            store,
            began: Instant::now(),
            news: watch::Sender::new(0),
            checkpoints: Family::default(),
            refusals: Family::default(),
        })
    }

    /// Count in `registry` what comes of checkpoints.
    pub fn register(&self, registry: &mut Registry) {
        count(registry, &self.checkpoints, &self.refusals);
    }

    /// Changes with everything that is news.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The newest accepted checkpoint.
    pub fn newest(&self) -> Option<Signed> {
        self.lock().gossip.trust().newest().cloned()
    }

    /// Accepted checkpoints that are remembered, by rising height.
    pub fn history(&self) -> Vec<Signed> {
        self.lock().gossip.trust().history().cloned().collect()
    }

    /// The last one that was signed here, if enough have signed it: it was accepted, and may not be remembered otherwise.
    pub fn own(&self) -> Option<Signed> {
        let state = self.lock();
        let trust = state.gossip.trust();
        state.signed.clone().filter(|signed| trust.is_backed(signed))
    }

    /// Why nothing is believed any more, if so.
    pub fn fork(&self) -> Option<String> {
        self.lock().fork.clone()
    }

    /// Checkpoints above the newest one that lack signatures, those with the most first.
    pub fn gathering(&self) -> Vec<Signed> {
        self.lock()
            .gossip
            .trust()
            .gathering()
            .into_iter()
            .cloned()
            .collect()
    }

    /// What is to be said about it.
    pub fn standing(&self) -> Standing {
        let state = self.lock();
        let trust = state.gossip.trust();
        let threshold = trust.signers().threshold();
        let shown = |signed: &Signed| Shown {
            height: signed.checkpoint().height,
            target: signed.checkpoint().target.to_string(),
            time: signed.checkpoint().time,
            signers: signed.signatures().keys().map(name_of).collect(),
            threshold,
            signed: hex::encode(signed.to_vec()),
        };
        let gathering = trust.gathering();
        let lacking = gathering.first().map(|signed| Refused {
            height: signed.checkpoint().height,
            reason: TOO_FEW,
            message: too_few(signed.signatures().len(), threshold),
            at: signed.checkpoint().time,
        });
        Standing {
            newest: trust.newest().map(shown),
            gathering: gathering.into_iter().take(4).map(shown).collect(),
            refused: state.refused.clone(),
            lacking,
            fork: state.fork.clone(),
        }
    }

    /// `peer` has shown `bytes`. Whether they are to go on.
    pub fn on_message(&self, peer: PeerId, bytes: &[u8]) -> Passing {
        let mut state = self.lock();
        if state.fork.is_some() {
            return Passing::Dropped;
        }
        let heard = state.gossip.on_message(self.began.elapsed(), now(), peer, bytes);
        self.note(&mut state, &heard, Some(peer));
        heard.passing
    }

    /// `peer` has answered with all that it knows. Whether it is to blame for something in it.
    pub fn on_answer(&self, peer: PeerId, answer: &[u8]) -> bool {
        let Some(all) = read_answer(answer) else {
            return true;
        };
        let blamed = |bytes: &&[u8]| self.on_message(peer, bytes) == Passing::Blamed;
        all.iter().filter(|bytes| blamed(bytes)).count() > 0
    }

    /// `peer` has gone.
    pub fn on_disconnected(&self, peer: &PeerId) {
        self.lock().gossip.on_disconnected(peer);
    }

    /// What whoever asks is told.
    pub fn answer(&self) -> Vec<u8> {
        self.lock().gossip.answer()
    }

    /// The height above all that is known here.
    pub fn next_height(&self) -> u64 {
        self.kept().height().saturating_add(1)
    }

    /// Whether this node may put its name under `checkpoint` ([`Kept::may_sign`]).
    pub fn may_sign(&self, checkpoint: &Checkpoint) -> bool {
        self.kept().may_sign(checkpoint)
    }

    /// What outlasts the process.
    fn kept(&self) -> Kept {
        let state = self.lock();
        Kept::of(state.gossip.trust(), state.signed.clone())
    }

    /// This node has signed. Durable when it returns, and only then to be shown to others: as the message to announce. Blocks.
    ///
    /// # Errors
    /// Of the file system; then the signature must not be shown.
    pub fn on_signed_here(&self, signed: Signed) -> io::Result<Bytes> {
        // Not under the lock: the swarm hears of checkpoints meanwhile. One task signs and saves, so no write overtakes another.
        let kept = Kept::of(self.lock().gossip.trust(), Some(signed.clone()));
        self.store.save(&kept)?;
        let mut state = self.lock();
        state.saved = kept.ids();
        state.signed = Some(signed.clone());
        let bytes = Bytes::from(signed.to_vec());
        let verdict = state.gossip.on_own(now(), &signed);
        let heard = Heard {
            passing: Passing::On,
            signed: Some(signed),
            verdict: Some(verdict),
        };
        self.note(&mut state, &heard, None);
        Ok(bytes)
    }

    /// Make what is believed outlast the process; signatures alone that have come to it are not worth a write. Blocks.
    ///
    /// # Errors
    /// Of the file system.
    pub fn save(&self) -> io::Result<()> {
        let kept = self.kept();
        let ids = kept.ids();
        if self.lock().saved == ids {
            return Ok(());
        }
        self.store.save(&kept)?;
        self.lock().saved = ids;
        Ok(())
    }

    /// The log that was synced shows, by `what`, that the newest checkpoint is of another one than `accepted`, or than a database that
    /// no checkpoint known here vouches for.
    pub fn on_fork(&self, what: &str, accepted: Option<&Signed>) {
        let mut state = self.lock();
        if let Some(other) = state.gossip.trust().newest().cloned() {
            let accepted = accepted.filter(|accepted| accepted.checkpoint() != other.checkpoint());
            let height = other.checkpoint().height;
            let between = match accepted {
                Some(accepted) => format!(
                    "checkpoints {} and {height} are both signed, and cannot be of one log",
                    accepted.checkpoint().height
                ),
                None => format!(
                    "checkpoint {height} is signed, and no checkpoint that is known here vouches for the database"
                ),
            };
            self.keep_fork(
                &mut state,
                &format!("a fork: {what}; {between}"),
                accepted,
                &other,
            );
        } else {
            self.stop(&mut state, format!("a fork: {what}"));
        }
        self.count("fork");
        self.news.send_modify(|count| *count += 1);
    }

    fn note(&self, state: &mut State, heard: &Heard, peer: Option<PeerId>) {
        let result = heard.verdict.as_ref().map_or(
            if heard.passing == Passing::Blamed {
                "malformed"
            } else {
                "rate_limited"
            },
            Verdict::name,
        );
        self.checkpoints.get_or_create(&Outcome { result }).inc();
        let Some(signed) = &heard.signed else {
            tracing::debug!(?peer, result, "a checkpoint that was not read");
            return;
        };
        let checkpoint = signed.checkpoint();
        let (height, size) = (checkpoint.height, checkpoint.target.end().get());
        match &heard.verdict {
            Some(Verdict::Accepted) => tracing::debug!(height, size, "accepted a checkpoint"),
            Some(Verdict::Gathering { have, need }) => {
                self.count(TOO_FEW);
                let why = too_few(*have, *need);
                if state.is_worth_telling(TOO_FEW) {
                    tracing::info!(height, size, ?peer, "a checkpoint is not believed yet: {why}");
                } else {
                    tracing::debug!(height, size, ?peer, "a checkpoint is not believed yet: {why}");
                }
            }
            Some(Verdict::Refused(refusal)) => {
                let reason = refusal.name();
                self.count(reason);
                if state.is_worth_telling(reason) {
                    tracing::warn!(height, size, ?peer, reason, "refused a checkpoint: {refusal}");
                } else {
                    tracing::debug!(height, size, ?peer, reason, "refused a checkpoint: {refusal}");
                }
                state.refused = Some(Refused {
                    height,
                    reason,
                    message: refusal.to_string(),
                    at: now(),
                });
            }
            Some(Verdict::Fork) => {
                self.count("fork");
                if let Some(fork) = state.gossip.trust().fork().cloned() {
                    let why = format!("a fork: {fork}");
                    self.keep_fork(state, &why, Some(&fork.accepted), &fork.other);
                }
            }
            _ => {}
        }
        if heard.verdict.as_ref().is_some_and(Verdict::is_news) {
            self.news.send_modify(|count| *count += 1);
        }
    }

    /// Keep both sides of a fork for whoever has to decide, and believe nothing more.
    fn keep_fork(&self, state: &mut State, why: &str, accepted: Option<&Signed>, other: &Signed) {
        let kept = match self.store.keep_fork(accepted, other) {
            Ok(paths) => {
                let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                format!("kept as {}", paths.join(" and "))
            }
            Err(error) => format!("and could not be kept: {error}"),
        };
        self.stop(
            state,
            format!("{why}; {kept}. Following has stopped: ask the signers"),
        );
    }

    fn stop(&self, state: &mut State, why: String) {
        tracing::error!("{why}");
        state.fork = Some(why);
    }

    fn count(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Have the metric of checkpoints in `registry` for a node that believes nobody: zeros.
pub fn register_none(registry: &mut Registry) {
    count(registry, &Family::default(), &Family::default());
}

/// Every outcome is there from the start.
fn count(
    registry: &mut Registry,
    checkpoints: &Family<Outcome, Counter>,
    refusals: &Family<Reason, Counter>,
) {
    for result in Verdict::NAMES.into_iter().chain(["malformed", "rate_limited"]) {
        drop(checkpoints.get_or_create(&Outcome { result }));
    }
    registry.register(
        "checkpoints",
        "Checkpoints that were shown to this node, by what came of them",
        checkpoints.clone(),
    );
    registry.register(
        "checkpoint_refusals",
        "Checkpoints that were not believed, by the reason",
        refusals.clone(),
    );
}

impl State {
    /// Whether the log was not told of this reason for long: the same thing again and again is worth one line.
    fn is_worth_telling(&mut self, reason: &'static str) -> bool {
        let now = Instant::now();
        let is_due = self.told.get(reason).is_none_or(|at| now - *at >= TELL_EVERY);
        if is_due {
            self.told.insert(reason, now);
        }
        is_due
    }
}

fn too_few(have: usize, need: usize) -> String {
    format!("only {have} of the {need} signers that it needs have signed it")
}

/// Seconds since 1970-01-01 UTC; 0 for a clock that stands before.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs()
}
