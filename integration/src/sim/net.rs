//! Simulated links: when what one node sends arrives at another, if it does.
//!
//! A message is part of a stream, as TCP and QUIC show it: what is lost on the way arrives later, or the stream breaks;
//! it never arrives twice or damaged. All that one node sends shares its uplink, first come first served.
//!
//! ```text
//!   send --> [ uplink queue, bytes/s ] --> latency of both ends + jitter (+ stall) (+ wait for the end of a partition)
//! ```
//! Memory is one record a node; links are not enumerated, so a thousand nodes cost a thousand records.

use super::time::Time;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

/// A node's name.
pub type NodeId = u32;

/// How a node is connected to everybody else.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// One way, to the middle of the network: a round trip between two nodes has all four.
    pub latency: Duration,
    /// A message takes up to so much longer.
    pub jitter: Duration,
    /// Bytes per second that it sends, over all links.
    pub uplink: u64,
    /// How often a message is lost and sent again.
    pub loss: f64,
    /// How long that takes.
    pub stall: Duration,
    /// How often a lost message takes its stream with it.
    pub breaks: f64,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(10),
            jitter: Duration::from_millis(2),
            uplink: 4 << 20,
            loss: 0.0,
            stall: Duration::from_millis(300),
            breaks: 0.0,
        }
    }
}

/// A time in which `side` and the others do not hear each other.
#[derive(Clone, Debug)]
pub struct Partition {
    /// When.
    pub during: Range<Duration>,
    /// One of the two sides.
    pub side: BTreeSet<NodeId>,
}

impl Partition {
    fn parts(&self, now: Duration, a: NodeId, b: NodeId) -> bool {
        self.during.contains(&now) && self.side.contains(&a) != self.side.contains(&b)
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transit {
    /// It is there at this time.
    Arrives(Duration),
    /// Its stream breaks at this time, for both ends.
    Breaks(Duration),
}

/// What a node sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that were lost and sent again.
    pub stalled: u64,
    /// Messages that broke their stream.
    pub broken: u64,
}

struct Node {
    access: Access,
    /// When its uplink has sent everything so far.
    free: Duration,
    sent: Sent,
}

/// All links.
pub struct Net {
    time: Time,
    rng: ChaCha8Rng,
    nodes: BTreeMap<NodeId, Node>,
    partitions: Vec<Partition>,
}

impl Net {
    /// A network without nodes.
    pub fn new(time: Time, seed: u64, partitions: Vec<Partition>) -> Self {
        Self {
            time,
            rng: ChaCha8Rng::seed_from_u64(seed),
            nodes: BTreeMap::new(),
            partitions,
        }
    }

    /// Connect a node.
    pub fn add(&mut self, node: NodeId, access: Access) {
        let (free, sent) = (Duration::ZERO, Sent::default());
        self.nodes.insert(node, Node { access, free, sent });
    }

    /// Whether the two can hear each other now.
    pub fn reaches(&self, a: NodeId, b: NodeId) -> bool {
        let now = self.time.now();
        !self.partitions.iter().any(|partition| partition.parts(now, a, b))
    }

    /// Send `bytes` now.
    pub fn send(&mut self, from: NodeId, to: NodeId, bytes: usize) -> Transit {
        let now = self.time.now();
        let far = self.nodes.get(&to).map(|node| node.access).unwrap_or_default();
        let Some(near) = self.nodes.get_mut(&from) else {
            return Transit::Breaks(now);
        };
        let access = near.access;
        let seconds = bytes as f64 / access.uplink.max(1) as f64;
        near.free = near.free.max(now) + Duration::from_secs_f64(seconds);
        near.sent.messages += 1;
        near.sent.bytes += bytes as u64;
        let jitter = (access.jitter + far.jitter).mul_f64(self.rng.random());
        let mut arrives = near.free + access.latency + far.latency + jitter;
        if self.rng.random_bool((access.loss + far.loss).clamp(0.0, 1.0)) {
            near.sent.stalled += 1;
            arrives += access.stall;
            if self
                .rng
                .random_bool(access.breaks.max(far.breaks).clamp(0.0, 1.0))
            {
                near.sent.broken += 1;
                return Transit::Breaks(arrives);
            }
        }
        // What is under way when a partition begins is sent again when it ends.
        for partition in &self.partitions {
            if partition.parts(arrives, from, to) || partition.parts(now, from, to) {
                arrives = arrives.max(partition.during.end + access.latency + far.latency);
            }
        }
        Transit::Arrives(arrives)
    }

    /// What `node` sent so far.
    pub fn sent(&self, node: NodeId) -> Sent {
        self.nodes.get(&node).map(|node| node.sent).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn an_uplink_is_shared_and_a_partition_holds_back() {
        let time = Time::default();
        let parted = Partition {
            during: millis(5000)..millis(9000),
            side: [2].into(),
        };
        let mut net = Net::new(time.clone(), 1, vec![parted]);
        let access = Access {
            jitter: Duration::ZERO,
            uplink: 1000,
            ..Access::default()
        };
        for node in 1..4 {
            net.add(node, access);
        }
        // 1,000 bytes take a second of the uplink, and 20 ms the way.
        assert_eq!(net.send(1, 2, 1000), Transit::Arrives(millis(1020)));
        assert_eq!(
            net.send(1, 3, 1000),
            Transit::Arrives(millis(2020)),
            "behind the first"
        );
        assert_eq!(
            net.send(3, 1, 1000),
            Transit::Arrives(millis(1020)),
            "an uplink of its own"
        );
        assert_eq!(net.send(1, 2, 4000), Transit::Arrives(millis(9020)), "held back");
        assert_eq!(
            net.send(1, 3, 1),
            Transit::Arrives(millis(6021)),
            "on the same side"
        );
        assert!(net.reaches(1, 2));
        assert_eq!(net.sent(1).bytes, 6001);
    }
}
