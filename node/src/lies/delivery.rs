//! Answers that do not come, or not in one piece.

use super::LieCounter;
use cordee_protocol::wire::Frame;
use cordee_resolver_p2p::{Delivery, Manner};
use std::sync::Arc;

/// All answers to ranges go out in one way; statuses as they should, so that a liar is asked like anybody else.
#[derive(Debug)]
pub(super) struct Delivered {
    delivery: Delivery,
    counter: Arc<LieCounter>,
}

impl Delivered {
    pub(super) fn new(delivery: Delivery, counter: Arc<LieCounter>) -> Self {
        Self { delivery, counter }
    }
}

impl Manner for Delivered {
    fn deliver(&self, frame: &Frame) -> Delivery {
        // Operations begin with 0 or 1: see the wire protocol.
        if !matches!(frame.head.first(), Some(0 | 1)) {
            return Delivery::Whole;
        }
        self.counter.on_told();
        self.delivery
    }
}
