//! Which target to believe (ARCHITECTURE 6). Pure: a signed checkpoint and the time go in, a [`Verdict`] comes out.
//!
//! # Rules
//! A checkpoint becomes the newest one, and its target what the node aims at, when all of this holds:
//! 1. Its network and kind are this node's.
//! 2. Every signature on it is right, and of a signer of the set in force at its height. One signature that is not right is a
//!    forgery, which no honest node passes on ([`Refusal::is_fault`]).
//! 3. So many of the set have signed as the policy wants. Until then it is [`Verdict::Gathering`]: signatures of one body are
//!    put together, from whomever they come.
//! 4. Its height and its size are above those of the newest one.
//! 5. It is not older than [`Policy::max_age`], and not more than [`MAX_AHEAD`] in the future.
//!
//! # Forks
//! Two checkpoints with enough signatures each that cannot be of one log are a fork: the same height or the same size with
//! another root, or more height with less size. Then nothing is believed any more, and both are kept ([`Fork`]). It is looked for
//! among the last [`HISTORY`] checkpoints, before age and height are, so an old one is evidence as well. A single signer of
//! several that signs two bodies is no fork: what lacks signatures is refused as [`Refusal::Conflicting`].
//!
//! # Other signers
//! A checkpoint may name the set that signs those above it. Only the old set can, and heights up to that one stay with it. Such
//! checkpoints are kept ([`Trust::rotations`]) for nodes that still know an earlier set. One that is too old to start from still
//! hands over to the next set, as that is no target.
//!
//! # Bounds
//! [`HISTORY`] checkpoints, [`ROTATIONS`] of them with other signers, and [`GATHERED`] bodies for each of at most 16 signers that
//! are short of signatures: (64 + 16 + 64) times 2.3 KiB are 324 KiB.

#[cfg(test)]
mod tests;

use crate::signing::{is_signed, name_of};
use cordee_protocol::Digest;
use cordee_protocol::wire::checkpoint::{Key, Signed, Signers};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How far a signer's clock may be ahead of ours.
pub const MAX_AHEAD: Duration = Duration::from_secs(60);

/// Accepted checkpoints that are remembered to find forks.
pub const HISTORY: usize = 64;

/// Changes of signers that are kept. A node whose policy names an earlier set has to be told the present one.
pub const ROTATIONS: usize = 16;

/// Checkpoints short of signatures that each signer may have here.
pub const GATHERED: usize = 4;

/// What the operator trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The network's name.
    pub network: String,
    /// The database's kind.
    pub kind: String,
    /// Who signs, until a checkpoint says otherwise.
    pub signers: Signers,
    /// The oldest that a checkpoint may be to be aimed at.
    pub max_age: Duration,
}

/// What comes of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the newest one now: aim at it, and pass it on.
    Accepted,
    /// It has signatures that were not here, and lacks some still: pass it on.
    Gathering {
        /// Signatures there are.
        have: usize,
        /// Signatures there must be.
        need: usize,
    },
    /// It is too old to aim at, but the signers that it names are in force.
    Rotated,
    /// It is one that is here already; new signatures on it are kept.
    Known {
        /// Whether there were some: then it is passed on.
        fresh: bool,
    },
    /// Not believed.
    Refused(Refusal),
    /// It and an accepted one cannot both be of one log. Nothing is believed from now on.
    Fork,
}

/// Why a checkpoint is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Of another network.
    #[error("it is of network {0:?}")]
    Network(String),
    /// Of another kind of database.
    #[error("it is of kind {0:?}")]
    Kind(String),
    /// Signed by somebody whom the policy does not name.
    #[error("{} is not a signer that is trusted at its height", name_of(.0))]
    UnknownSigner(Key),
    /// A signature that is none.
    #[error("the signature of {} is not right", name_of(.0))]
    BadSignature(Key),
    /// Another root at a height or size that is taken, but not signed by enough.
    #[error("it conflicts with an accepted checkpoint, and only {have} of {need} have signed it")]
    Conflicting {
        /// Signatures there are.
        have: usize,
        /// Signatures there must be.
        need: usize,
    },
    /// Not above what is accepted: a replay.
    #[error("height {got} and its size are not above those of the accepted height {newest}")]
    NotAdvancing {
        /// Its height.
        got: u64,
        /// The newest accepted one.
        newest: u64,
    },
    /// Too old to start from.
    #[error("it is {age} s old, and at most {max} s are accepted")]
    TooOld {
        /// Its age in seconds.
        age: u64,
        /// The policy's.
        max: u64,
    },
    /// Made later than now.
    #[error("it was made {ahead} s in the future; check the clocks")]
    InFuture {
        /// By so many seconds.
        ahead: u64,
    },
    /// There is a fork.
    #[error("there is a fork, and nothing is believed until the operator has decided")]
    Forked,
}

impl Refusal {
    /// A short name, for a metric.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Network(_) => "network",
            Self::Kind(_) => "kind",
            Self::UnknownSigner(_) => "unknown_signer",
            Self::BadSignature(_) => "bad_signature",
            Self::Conflicting { .. } => "conflicting",
            Self::NotAdvancing { .. } => "not_advancing",
            Self::TooOld { .. } => "too_old",
            Self::InFuture { .. } => "in_future",
            Self::Forked => "forked",
        }
    }

    /// Whether no honest node passes such a thing on, whatever its policy and its clock.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::BadSignature(_))
    }
}

impl Verdict {
    /// Every [`Self::name`].
    pub const NAMES: [&str; 14] = [
        "accepted",
        "gathering",
        "rotated",
        "known",
        "fork",
        "network",
        "kind",
        "unknown_signer",
        "bad_signature",
        "conflicting",
        "not_advancing",
        "too_old",
        "in_future",
        "forked",
    ];

    /// A short name, for a metric.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Gathering { .. } => "gathering",
            Self::Rotated => "rotated",
            Self::Known { .. } => "known",
            Self::Refused(refusal) => refusal.name(),
            Self::Fork => "fork",
        }
    }

    /// Whether others should hear of the checkpoint from this node. A fork is passed on, as everybody has to know.
    pub fn is_news(&self) -> bool {
        matches!(
            self,
            Self::Accepted | Self::Gathering { .. } | Self::Known { fresh: true } | Self::Fork
        )
    }
}

/// Two checkpoints that are both signed by enough, and cannot both be of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The one that was accepted.
    pub accepted: Signed,
    /// The one that came later.
    pub other: Signed,
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (a, b) = (self.accepted.checkpoint(), self.other.checkpoint());
        write!(
            f,
            "checkpoints {} at height {} and {} at height {} are both signed, and cannot be of one log",
            a.target, a.height, b.target, b.height
        )
    }
}

/// What is believed, and on what grounds.
#[derive(Clone, Debug)]
pub struct Trust {
    policy: Policy,
    /// Sets of signers, each from its height on. The first is the policy's, from 0.
    sets: BTreeMap<u64, Signers>,
    /// Accepted ones by height.
    history: BTreeMap<u64, Signed>,
    newest: Option<Signed>,
    rotations: BTreeMap<u64, Signed>,
    gathering: BTreeMap<Digest, Signed>,
    fork: Option<Box<Fork>>,
}

impl Trust {
    /// Believe nothing yet.
    pub fn new(policy: Policy) -> Self {
        Self {
            sets: BTreeMap::from([(0, policy.signers.clone())]),
            policy,
            history: BTreeMap::new(),
            newest: None,
            rotations: BTreeMap::new(),
            gathering: BTreeMap::new(),
            fork: None,
        }
    }

    /// What the operator trusts.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The newest accepted checkpoint.
    pub fn newest(&self) -> Option<&Signed> {
        self.newest.as_ref()
    }

    /// Accepted checkpoints, by rising height; at most [`HISTORY`].
    pub fn history(&self) -> impl Iterator<Item = &Signed> {
        self.history.values()
    }

    /// Checkpoints that changed the signers, by rising height; at most [`ROTATIONS`].
    pub fn rotations(&self) -> impl Iterator<Item = &Signed> {
        self.rotations.values()
    }

    /// The fork, if there is one.
    pub fn fork(&self) -> Option<&Fork> {
        self.fork.as_deref()
    }

    /// The signers of the next height.
    pub fn signers(&self) -> &Signers {
        self.sets
            .last_key_value()
            .map_or(&self.policy.signers, |(_, set)| set)
    }

    /// Checkpoints above the newest one that lack signatures, by falling number of those that they have, then by falling height.
    pub fn gathering(&self) -> Vec<&Signed> {
        let mut all: Vec<_> = self.gathering.values().collect();
        all.sort_by_key(|signed| {
            let height = signed.checkpoint().height;
            std::cmp::Reverse((signed.signatures().len(), height))
        });
        all
    }

    /// Believe again what was believed before a restart: no age is too old for that, and what the policy no longer backs
    /// is left out. How many of `kept` are believed.
    pub fn resume(&mut self, kept: impl IntoIterator<Item = Signed>) -> usize {
        let believed = |signed: Signed| {
            let now = signed.checkpoint().time;
            matches!(self.on_signed(now, &signed), Verdict::Accepted)
        };
        kept.into_iter().map(believed).filter(|&yes| yes).count()
    }

    /// Whether enough of the signers that are in force at its height have signed it, whatever else is to be said of it.
    pub fn is_backed(&self, signed: &Signed) -> bool {
        self.check(signed)
            .is_ok_and(|(signed, need)| signed.signatures().len() >= need)
    }

    /// Somebody shows a checkpoint. `now` is in seconds since 1970-01-01 UTC.
    pub fn on_signed(&mut self, now: u64, signed: &Signed) -> Verdict {
        let (signed, need) = match self.check(signed) {
            Ok(checked) => checked,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        let have = signed.signatures().len();
        let height = signed.checkpoint().height;
        if let Some(known) = self.history.get_mut(&height)
            && known.checkpoint() == signed.checkpoint()
        {
            let fresh = known.merge(&signed);
            if let Some(newest) = self.newest.as_mut() {
                newest.merge(&signed);
            }
            return Verdict::Known { fresh };
        }
        if let Some(accepted) = self.conflict(&signed) {
            if have < need {
                return Verdict::Refused(Refusal::Conflicting { have, need });
            }
            let accepted = accepted.clone();
            self.fork = Some(Box::new(Fork {
                accepted,
                other: signed,
            }));
            return Verdict::Fork;
        }
        let rotates = have >= need && signed.checkpoint().next.is_some() && self.is_next_set(height);
        match self.refusal(now, &signed) {
            Some(Refusal::TooOld { .. }) if rotates => {
                self.rotate(&signed);
                Verdict::Rotated
            }
            Some(refusal) => Verdict::Refused(refusal),
            None if have < need => self.gather(signed, have, need),
            None => {
                self.accept(signed);
                Verdict::Accepted
            }
        }
    }

    /// Rules 1 and 2; gives the checkpoint with every right signature that is here, and how many it needs.
    fn check(&self, signed: &Signed) -> Result<(Signed, usize), Refusal> {
        let checkpoint = signed.checkpoint();
        if self.fork.is_some() {
            return Err(Refusal::Forked);
        }
        if checkpoint.network != self.policy.network {
            return Err(Refusal::Network(checkpoint.network.clone()));
        }
        if checkpoint.kind != self.policy.kind {
            return Err(Refusal::Kind(checkpoint.kind.clone()));
        }
        let set = self.set_at(checkpoint.height);
        if let Some(stranger) = signed.signatures().keys().find(|key| !set.keys().contains(*key)) {
            return Err(Refusal::UnknownSigner(*stranger));
        }
        let message = checkpoint.message();
        let gathered = self.gathering.get(&Digest::of(&[&message]));
        for (key, signature) in signed.signatures() {
            let seen = gathered.and_then(|known| known.signatures().get(key));
            if seen != Some(signature) && !is_signed(key, &message, signature) {
                return Err(Refusal::BadSignature(*key));
            }
        }
        let mut merged = signed.clone();
        if let Some(known) = gathered {
            merged.merge(known);
        }
        Ok((merged, set.threshold()))
    }

    fn set_at(&self, height: u64) -> &Signers {
        let set = self.sets.range(..=height).next_back();
        set.map_or(&self.policy.signers, |(_, set)| set)
    }

    /// An accepted checkpoint that cannot be of one log with this other one.
    fn conflict(&self, signed: &Signed) -> Option<&Signed> {
        let new = signed.checkpoint();
        self.history.values().find(|accepted| {
            let old = accepted.checkpoint();
            let same_root = old.target.root() == new.target.root();
            let heights = old.height.cmp(&new.height);
            let sizes = old.target.end().cmp(&new.target.end());
            match (heights.is_eq(), sizes.is_eq()) {
                (true, true) | (false, true) => !same_root,
                (true, false) => true,
                (false, false) => heights != sizes,
            }
        })
    }

    /// Rules 4 and 5.
    fn refusal(&self, now: u64, signed: &Signed) -> Option<Refusal> {
        let new = signed.checkpoint();
        if let Some(newest) = &self.newest {
            let newest = newest.checkpoint();
            if new.height <= newest.height || new.target.end() <= newest.target.end() {
                return Some(Refusal::NotAdvancing {
                    got: new.height,
                    newest: newest.height,
                });
            }
        }
        let ahead = new.time.saturating_sub(now);
        if ahead > MAX_AHEAD.as_secs() {
            return Some(Refusal::InFuture { ahead });
        }
        let (age, max) = (now.saturating_sub(new.time), self.policy.max_age.as_secs());
        (age > max).then_some(Refusal::TooOld { age, max })
    }

    fn gather(&mut self, signed: Signed, have: usize, need: usize) -> Verdict {
        let id = signed.checkpoint().id();
        let before = self.gathering.get(&id);
        let fresh = before.is_none_or(|before| before.signatures().len() < have);
        if !fresh {
            return Verdict::Known { fresh: false };
        }
        self.gathering.insert(id, signed.clone());
        for key in signed.signatures().keys() {
            self.let_go(key);
        }
        Verdict::Gathering { have, need }
    }

    /// A signer that signs too much loses its signature on what is lowest; those of others stay.
    fn let_go(&mut self, key: &Key) {
        let of_key = self
            .gathering
            .iter()
            .filter(|(_, gathered)| gathered.signatures().contains_key(key));
        let heights: Vec<_> = of_key
            .map(|(id, gathered)| (gathered.checkpoint().height, *id))
            .collect();
        if heights.len() <= GATHERED {
            return;
        }
        let lowest = heights.into_iter().min();
        if let Some((id, gathered)) = lowest.and_then(|(_, id)| self.gathering.remove_entry(&id)) {
            let mut signatures = gathered.signatures().clone();
            signatures.remove(key);
            if let Some(rest) = Signed::new(gathered.checkpoint().clone(), signatures) {
                self.gathering.insert(id, rest);
            }
        }
    }

    fn accept(&mut self, signed: Signed) {
        let height = signed.checkpoint().height;
        self.rotate(&signed);
        self.gathering
            .retain(|_, gathered| gathered.checkpoint().height > height);
        self.history.insert(height, signed.clone());
        while self.history.len() > HISTORY {
            self.history.pop_first();
        }
        self.newest = Some(signed);
    }

    /// Whether a change of signers at `height` is above those that are known.
    fn is_next_set(&self, height: u64) -> bool {
        self.sets.last_key_value().is_none_or(|(from, _)| height >= *from)
    }

    /// Put the next signers in force, if the checkpoint names some. What the old ones have signed above it is void.
    fn rotate(&mut self, signed: &Signed) {
        let height = signed.checkpoint().height;
        let Some(next) = signed
            .checkpoint()
            .next
            .clone()
            .filter(|_| self.is_next_set(height))
        else {
            return;
        };
        self.sets.insert(height.saturating_add(1), next);
        self.rotations.insert(height, signed.clone());
        self.gathering
            .retain(|_, gathered| gathered.checkpoint().height <= height);
        while self.rotations.len() > ROTATIONS {
            self.rotations.pop_first();
        }
        // The set before the oldest kept rotation still counts for the heights that history reaches down to.
        while self.sets.len() > ROTATIONS + 1 {
            self.sets.pop_first();
        }
    }
}
