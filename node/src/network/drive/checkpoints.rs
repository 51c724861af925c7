//! What the task does with checkpoints: announces them, passes on what is worth it, asks for them and answers who asks.

use super::Drive;
use crate::believing::Believing;
use crate::gossip::{ASK_EVERY, ASK_SOON, Passing};
use bytes::Bytes;
use cordee_resolver_p2p::Resolver;
use libp2p::gossipsub::{MessageAcceptance, MessageId};
use libp2p::{PeerId, request_response};
use rand::seq::IteratorRandom;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// What the swarm does with checkpoints.
pub(in crate::network) struct Checkpoints {
    pub(in crate::network) believing: Option<Arc<Believing>>,
    pub(in crate::network) resolver: Resolver,
    /// Checkpoints to announce.
    pub(in crate::network) announced: mpsc::Receiver<Bytes>,
}

/// When one of the peers is asked for its checkpoints: pure; time is an argument.
pub(super) struct Rounds(Instant);

impl Rounds {
    pub(super) fn new(now: Instant) -> Self {
        Self(now + ASK_EVERY)
    }

    /// When somebody is to be asked.
    pub(super) fn at(&self) -> Instant {
        self.0
    }

    /// Whether somebody is to be asked now.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.0 <= now;
        if is_due {
            self.0 = now + ASK_EVERY;
        }
        is_due
    }

    /// An answer brought what gossip did not: this node may be where gossip does not reach, so it asks again soon.
    fn on_missed(&mut self, now: Instant) {
        self.0 = self.0.min(now + ASK_SOON);
    }
}

impl Drive {
    /// Tell everybody.
    pub(super) fn announce(&mut self, signed: Bytes) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        // Where nobody listens, nobody is told; whoever comes asks.
        if let Err(error) = gossip.publish(self.topic.clone(), signed.to_vec()) {
            tracing::debug!(%error, "a checkpoint is not announced");
        }
    }

    /// Ask one of the peers for its checkpoints, from time to time: what was lost on the way comes so.
    pub(super) fn ask_somebody(&mut self) {
        let now = Instant::now();
        if !self.rounds.is_due(now) || self.checkpoints.believing.is_none() {
            return;
        }
        let any = self.swarm.connected_peers().copied().choose(&mut rand::rng());
        if let Some(peer) = any {
            self.ask(peer);
        }
    }

    pub(super) fn ask(&mut self, peer: PeerId) {
        if self.checkpoints.believing.is_some() {
            self.swarm.behaviour_mut().asking.send_request(&peer, ());
        }
    }

    /// A checkpoint has come by gossip; nothing goes on before this.
    pub(super) fn on_gossip(&mut self, source: PeerId, id: &MessageId, data: &[u8]) {
        let passing = match &self.checkpoints.believing {
            Some(believing) => believing.on_message(source, data),
            // Who believes nothing cannot tell what is worth passing on.
            None => Passing::Dropped,
        };
        let acceptance = match passing {
            Passing::On => MessageAcceptance::Accept,
            Passing::Dropped => MessageAcceptance::Ignore,
            Passing::Blamed => MessageAcceptance::Reject,
        };
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(id, &source, acceptance);
        if passing == Passing::Blamed {
            self.checkpoints.resolver.on_forgery(source);
        }
    }

    pub(super) fn on_asking(&mut self, event: request_response::Event<(), Vec<u8>>) {
        let request_response::Event::Message { peer, message, .. } = event else {
            // Who does not answer is asked again another time.
            return;
        };
        let Some(believing) = self.checkpoints.believing.clone() else {
            return;
        };
        match message {
            request_response::Message::Request { channel, .. } => {
                let asking = &mut self.swarm.behaviour_mut().asking;
                // It may have gone.
                let _ = asking.send_response(channel, believing.answer());
            }
            request_response::Message::Response { response, .. } => {
                let before = *believing.news().borrow();
                if believing.on_answer(peer, &response) {
                    self.checkpoints.resolver.on_forgery(peer);
                }
                if *believing.news().borrow() != before {
                    self.rounds.on_missed(Instant::now());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_hears_nothing_by_gossip_asks_each_second_and_who_hears_it_seldom() {
        let start = Instant::now();
        let asked = |seconds: u64, missed: fn(u64) -> bool| {
            let mut rounds = Rounds::new(start);
            let mut asked = 0;
            for tick in 0..seconds * 10 {
                let now = start + Duration::from_millis(100 * tick);
                if rounds.is_due(now) {
                    asked += 1;
                    if missed(tick / 10) {
                        rounds.on_missed(now);
                    }
                }
            }
            asked
        };
        assert_eq!(asked(101, |_| false), 10);
        assert_eq!(asked(101, |_| true), 91);
        // Gossip comes back after half of the time.
        assert_eq!(asked(101, |second| second < 50), 40 + 1 + 5);
    }
}
