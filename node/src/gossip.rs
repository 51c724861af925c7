//! Checkpoints among nodes: what to pass on, what to drop, and whom to blame (ARCHITECTURE 6). Pure: messages and the time go
//! in, a [`Heard`] comes out; [`crate::network`] carries it out.
//!
//! # Ways
//! ```text
//!   announcement   gossipsub, topic "cordee/checkpoints/1/NETWORK", a message is one signed checkpoint (`protocol::wire::checkpoint`),
//!                  its id is the SHA-256 of its bytes
//!   asking         request-response "/cordee/checkpoints/1": nothing is asked, the answer is every change of signers, then the
//!                  newest, then those that lack signatures, each with its length before it
//! ```
//! A node asks everybody whom it connects to, and one of them every [`ASK_EVERY`]: so nobody waits for the next announcement, and
//! what was lost on the way comes after all. One whom gossip does not reach, as those around it have enough others, asks every
//! [`ASK_SOON`]. Both ways end here.
//!
//! # What a message goes through
//! 1. Its size, before it is read: [`MAX_CHECKPOINT`].
//! 2. How much its sender has sent ([`PEER_RATE`]): beyond it is dropped unread. Duplicates do not come here.
//! 3. Its bytes: one that does not decode is the sender's fault, as every honest node looks before it passes something on.
//! 4. How much its signers have signed ([`SIGNER_RATE`]), for what nobody has seen yet: who signs without end is not passed on.
//! 5. [`Trust::on_signed`]. A forged signature is the sender's fault; everything else may be a matter of clocks and policies.
//!
//! Only [`Verdict::is_news`] is passed on. A fault costs the sender what a false answer to a request does, a ban.
//!
//! # Bounds
//! Two buckets for each connected peer and each of at most 16 signers of a set; [`Trust`] has its own.

use crate::trust::{Refusal, Trust, Verdict};
use cordee_protocol::codec::{Decode, Encode, Reader, put_bytes};
use cordee_protocol::wire::checkpoint::{Key, Signed};
use cordee_protocol::wire::limits::MAX_CHECKPOINT;
use cordee_resolver_p2p::policy::quota::Bucket;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

/// How often one of the connected peers is asked for its checkpoints.
pub const ASK_EVERY: Duration = Duration::from_secs(10);

/// How soon after an answer that brought what gossip did not.
pub const ASK_SOON: Duration = Duration::from_secs(1);

/// Checkpoints that a peer may show in a second, and how many more at once. A set of 16 signers that sign apart from each other
/// makes 16 messages a checkpoint.
pub const PEER_RATE: u32 = 32;
const PEER_BURST: u32 = 128;

/// Bodies that a signer may sign in a second, and how many more at once.
pub const SIGNER_RATE: u32 = 4;
const SIGNER_BURST: u32 = 16;

/// Checkpoints in an answer, at most: changes of signers, the newest one, and some that lack signatures.
pub const MAX_ANSWERED: usize = crate::trust::ROTATIONS + 1 + MAX_GATHERED;

/// How many that lack signatures are told.
const MAX_GATHERED: usize = 4;

/// An answer, at most: each checkpoint with its length.
pub const MAX_ANSWER: usize = MAX_ANSWERED * (MAX_CHECKPOINT + 2);

/// Whether a message goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// To everybody.
    On,
    /// To nobody, and nobody is blamed.
    Dropped,
    /// To nobody, and its sender is to blame.
    Blamed,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Whether it goes on.
    pub passing: Passing,
    /// What was said, if it could be read.
    pub signed: Option<Signed>,
    /// What comes of it, if it was looked at.
    pub verdict: Option<Verdict>,
}

/// The checkpoints of one network, as one node hears of them. `P` names a peer.
#[derive(Debug)]
pub struct Gossip<P> {
    trust: Trust,
    peers: BTreeMap<P, Bucket>,
    signers: BTreeMap<Key, Bucket>,
}

impl<P: Copy + Ord> Gossip<P> {
    /// Hear for `trust`.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            peers: BTreeMap::new(),
            signers: BTreeMap::new(),
        }
    }

    /// What is believed.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// A peer has gone.
    pub fn on_disconnected(&mut self, peer: &P) {
        self.peers.remove(peer);
    }

    /// `peer` has passed on `bytes`. `at` is the time on a clock that never steps, `now` that in seconds since 1970.
    pub fn on_message(&mut self, at: Duration, now: u64, peer: P, bytes: &[u8]) -> Heard {
        let heard = |passing| Heard {
            passing,
            signed: None,
            verdict: None,
        };
        let rate = NonZeroU32::new(PEER_RATE);
        let bucket = self
            .peers
            .entry(peer)
            .or_insert_with(|| Bucket::full(at, rate, PEER_BURST));
        if bucket.wait(at).is_some() {
            return heard(Passing::Dropped);
        }
        bucket.take(1.0);
        if bytes.len() > MAX_CHECKPOINT {
            return heard(Passing::Blamed);
        }
        let Ok(signed) = Signed::from_slice(bytes) else {
            return heard(Passing::Blamed);
        };
        if self.is_too_much(at, &signed) {
            return Heard {
                signed: Some(signed),
                ..heard(Passing::Dropped)
            };
        }
        let verdict = self.trust.on_signed(now, &signed);
        let passing = match &verdict {
            verdict if verdict.is_news() => Passing::On,
            Verdict::Refused(refusal) if refusal.is_fault() => Passing::Blamed,
            _ => Passing::Dropped,
        };
        self.count(&signed, &verdict);
        Heard {
            passing,
            signed: Some(signed),
            verdict: Some(verdict),
        }
    }

    /// This node has made or signed a checkpoint.
    pub fn on_own(&mut self, now: u64, signed: &Signed) -> Verdict {
        self.trust.on_signed(now, signed)
    }

    /// Whether one of its signers has signed too much of late. Signatures that are not right cost their alleged signer nothing.
    fn is_too_much(&mut self, at: Duration, signed: &Signed) -> bool {
        let set = self.trust.signers().keys();
        let rate = NonZeroU32::new(SIGNER_RATE);
        let known = signed.signatures().keys().filter(|key| set.contains(*key));
        let mut too_much = false;
        for key in known {
            let bucket = self
                .signers
                .entry(*key)
                .or_insert_with(|| Bucket::full(at, rate, SIGNER_BURST));
            too_much |= bucket.wait(at).is_some();
        }
        too_much
    }

    /// A body that nobody had seen costs each of its signers a token. What others only repeat costs them nothing.
    fn count(&mut self, signed: &Signed, verdict: &Verdict) {
        let is_new = match verdict {
            Verdict::Accepted | Verdict::Gathering { .. } => true,
            Verdict::Refused(refusal) => {
                matches!(refusal, Refusal::Conflicting { .. } | Refusal::InFuture { .. })
            }
            _ => false,
        };
        for key in signed.signatures().keys().filter(|_| is_new) {
            if let Some(bucket) = self.signers.get_mut(key) {
                bucket.take(1.0);
            }
        }
        // Those of a set that is no longer in force.
        let set = self.trust.signers().keys();
        self.signers.retain(|key, _| set.contains(key));
    }

    /// What somebody is told who asks.
    pub fn answer(&self) -> Vec<u8> {
        let gathering = self.trust.gathering().into_iter().take(MAX_GATHERED);
        let all = self.trust.rotations().chain(self.trust.newest()).chain(gathering);
        let mut answer = Vec::new();
        for signed in all.take(MAX_ANSWERED) {
            put_bytes(&mut answer, &signed.to_vec());
        }
        answer
    }
}

/// The checkpoints in an answer, each still encoded; `None` if it is none.
pub fn read_answer(answer: &[u8]) -> Option<Vec<&[u8]>> {
    let mut reader = Reader::new(answer);
    let mut all = Vec::new();
    while reader.remaining() > 0 {
        if all.len() == MAX_ANSWERED {
            return None;
        }
        all.push(reader.bytes(MAX_CHECKPOINT).ok()?);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::{key_of, sign};
    use crate::trust::Policy;
    use cordee_protocol::wire::checkpoint::{Checkpoint, Signers};
    use cordee_protocol::{Digest, Location, Target};
    use libp2p::identity::Keypair;

    const NOW: u64 = 1_800_000_000;
    const SECOND: Duration = Duration::from_secs(1);

    fn pair(n: u8) -> Keypair {
        Keypair::ed25519_from_bytes([n; 32]).unwrap()
    }

    fn gossip() -> Gossip<&'static str> {
        let key = |n| key_of(&pair(n).public().to_peer_id()).unwrap();
        Gossip::new(Trust::new(Policy {
            network: "n".into(),
            kind: "keyless-variable".into(),
            signers: Signers::new(2, (1..=3).map(key).collect()).unwrap(),
            max_age: Duration::from_secs(3600),
        }))
    }

    fn signed(height: u64, signers: &[u8]) -> Vec<u8> {
        let end = Location::new(10 * height).unwrap();
        let checkpoint = Checkpoint {
            network: "n".into(),
            kind: "keyless-variable".into(),
            height,
            target: Target::new(Digest([height as u8; 32]), Location::ZERO..end).unwrap(),
            time: NOW,
            next: None,
        };
        let pairs: Vec<_> = signers.iter().map(|&n| pair(n)).collect();
        sign(checkpoint, &pairs).unwrap().to_vec()
    }

    #[test]
    fn what_is_passed_on_dropped_and_blamed() {
        let mut forged = signed(9, &[1, 2]);
        *forged.last_mut().unwrap() ^= 1;
        let mut trailing = signed(9, &[1, 2]);
        trailing.push(0);
        for (case, bytes, passing) in [
            ("two of three", signed(9, &[1, 2]), Passing::On),
            ("one of three", signed(9, &[1]), Passing::On),
            ("the newest again", signed(5, &[1, 2]), Passing::Dropped),
            ("it with a signature more", signed(5, &[3]), Passing::On),
            ("a replay", signed(4, &[1, 2]), Passing::Dropped),
            ("a stranger", signed(9, &[7]), Passing::Dropped),
            ("a forgery", forged, Passing::Blamed),
            ("a byte too many", trailing, Passing::Blamed),
            ("nothing", Vec::new(), Passing::Blamed),
            ("noise", vec![0xff; 64], Passing::Blamed),
            ("too long", vec![1; MAX_CHECKPOINT + 1], Passing::Blamed),
        ] {
            let mut gossip = gossip();
            gossip.on_message(SECOND, NOW, "first", &signed(5, &[1, 2]));
            let heard = gossip.on_message(SECOND, NOW, "second", &bytes);
            assert_eq!(heard.passing, passing, "{case}");
        }
    }

    #[test]
    fn a_peer_that_shows_too_much_is_not_read_for_a_while() {
        let mut gossip = gossip();
        let noise = [7; 100];
        let read = |gossip: &mut Gossip<_>, at, peer| {
            gossip.on_message(at, NOW, peer, &noise).passing == Passing::Blamed
        };
        let at_once = (0..1000).filter(|_| read(&mut gossip, SECOND, "loud")).count();
        assert_eq!(at_once, PEER_BURST as usize);
        assert!(read(&mut gossip, SECOND, "other"), "nobody else pays for it");
        let later = (0..1000)
            .filter(|_| read(&mut gossip, 2 * SECOND, "loud"))
            .count();
        assert_eq!(later, PEER_RATE as usize);
        gossip.on_disconnected(&"loud");
        gossip.on_disconnected(&"other");
        assert!(gossip.peers.is_empty());
    }

    #[test]
    fn a_signer_that_signs_without_end_is_not_passed_on_and_others_are() {
        let mut gossip = gossip();
        let mut on = 0;
        for height in 10..110 {
            // From many peers, so that none of them is loud.
            let peer = ["a", "b", "c", "d"][height as usize % 4];
            let heard = gossip.on_message(SECOND, NOW, peer, &signed(height, &[3]));
            on += usize::from(heard.passing == Passing::On);
        }
        assert_eq!(on, SIGNER_BURST as usize);
        let good = gossip.on_message(SECOND, NOW, "e", &signed(200, &[1, 2]));
        assert_eq!(good.verdict, Some(Verdict::Accepted));
        // Forgeries in the name of a signer cost it nothing.
        for height in 0..100u64 {
            let mut forged = signed(300 + height, &[1]);
            *forged.last_mut().unwrap() ^= 1;
            let peer = ["a", "b", "c", "d"][height as usize % 4];
            gossip.on_message(SECOND, NOW, peer, &forged);
        }
        let good = gossip.on_message(SECOND, NOW, "e", &signed(201, &[1, 2]));
        assert_eq!(good.verdict, Some(Verdict::Accepted));
    }

    #[test]
    fn who_asks_hears_what_it_takes_to_believe() {
        let mut first = gossip();
        for height in 1..40 {
            // In time, not all at once.
            let at = SECOND * u32::try_from(height).unwrap();
            first.on_message(
                at,
                NOW,
                "p",
                &signed(height, if height < 30 { &[1, 2] } else { &[1] }),
            );
        }
        let answer = first.answer();
        assert!(answer.len() <= MAX_ANSWER);
        let told = read_answer(&answer).unwrap();
        assert_eq!(told.len(), 1 + MAX_GATHERED);
        let mut second = gossip();
        for bytes in told {
            second.on_message(SECOND, NOW, "first", bytes);
        }
        assert_eq!(second.trust().newest(), first.trust().newest());
        for (case, wrong) in [
            ("cut", &answer[..answer.len() - 1]),
            ("too long", &[0xff, 0x7f, 1][..]),
        ] {
            assert_eq!(read_answer(wrong), None, "{case}");
        }
        assert_eq!(read_answer(&[]), Some(Vec::new()), "nothing is known there");
        assert_eq!(read_answer(&[0; MAX_ANSWERED + 1]), None, "too many");
    }
}
