//! What one node asked for and what came, in bytes and over time: what tables are made from.

use super::net::NodeId;
use std::time::Duration;

/// What was asked for and what came. 24 bytes for each request on top of the sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of answers to range requests, useful or not.
    pub received_bytes: u64,
    /// Of these, bytes of answers that verified.
    pub verified_bytes: u64,
    /// Of these, bytes of answers that were refused: lies.
    pub false_bytes: u64,
    /// When who was asked.
    pub asks: Vec<(Duration, NodeId)>,
    /// When whose answer verified, and its bytes.
    pub gains: Vec<(Duration, NodeId, u64)>,
}

impl Traffic {
    pub(super) fn on_asked(&mut self, now: Duration, peer: NodeId) {
        self.asks.push((now, peer));
    }

    pub(super) fn on_verified(&mut self, now: Duration, peer: NodeId, bytes: u64) {
        self.verified_bytes += bytes;
        self.gains.push((now, peer, bytes));
    }

    /// Keep the requests alone.
    pub(super) fn forget_sums(&mut self) {
        (self.received_bytes, self.verified_bytes, self.false_bytes) = (0, 0, 0);
    }

    /// Bytes of answers that brought nothing new: lies, second copies that came second, and what nobody wanted any more.
    /// What was under way at the end is not among them.
    pub fn useless_bytes(&self) -> u64 {
        self.received_bytes.saturating_sub(self.verified_bytes)
    }

    /// The same without the lies.
    pub fn duplicate_bytes(&self) -> u64 {
        self.useless_bytes().saturating_sub(self.false_bytes)
    }

    /// Add the sums of `other`.
    pub fn add(&mut self, other: &Self) {
        self.received_bytes += other.received_bytes;
        self.verified_bytes += other.verified_bytes;
        self.false_bytes += other.false_bytes;
    }
}
