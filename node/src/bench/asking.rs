//! Fetch every range of a target from one server as a node would, and do nothing with it: what serving costs, and no more.
//!
//! The ranges are fixed before the first is asked, each of so many operations that no answer is cut; as many are in flight as
//! of raw bytes ([`super::raw`]).

use super::raw::{self, IN_FLIGHT};
use bytes::Bytes;
use cordee_protocol::codec::Encode;
use cordee_protocol::wire::limits::SOFT_OPERATION_BYTES;
use cordee_protocol::wire::{Ask, PROTOCOL, Request};
use cordee_protocol::{Location, Target};
use cordee_resolver_p2p::Codec;
use futures::StreamExt;
use libp2p::request_response::{self, Event, Message, ProtocolSupport};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm};
use std::time::{Duration, Instant};

/// Bytes of an operation besides its value, at most: a context byte, a key, a length.
const AROUND: usize = 40;

/// Fetch what `target` ranges over from `server`; returns the bytes of all answers, and how long they took, connecting included.
///
/// - `value_size`: bytes in a value, at most.
///
/// # Errors
/// [`raw::Error`]; also if an answer holds no operations.
pub async fn fetch(
    server: &Multiaddr,
    target: &Target,
    value_size: usize,
) -> Result<(u64, Duration), raw::Error> {
    tokio::time::timeout(raw::LIMIT, transfer(server, target, value_size))
        .await
        .map_err(|_| raw::Error::Slow)?
}

/// The requests for all of `target`.
fn requests(target: &Target, value_size: usize) -> Vec<Request> {
    let count = (SOFT_OPERATION_BYTES / (value_size + AROUND)).max(1) as u64;
    let (start, end) = (target.start().get(), target.end());
    let starts = (start..end.get()).step_by(usize::try_from(count).unwrap_or(usize::MAX));
    let request = |start| Request::operations(end, Location::new(start)?, count);
    starts.filter_map(request).collect()
}

async fn transfer(
    server: &Multiaddr,
    target: &Target,
    value_size: usize,
) -> Result<(u64, Duration), raw::Error> {
    let start = Instant::now();
    let mut swarm = raw::swarm(|| {
        let config = request_response::Config::default().with_request_timeout(raw::LIMIT);
        request_response::Behaviour::with_codec(
            Codec::default(),
            [(PROTOCOL, ProtocolSupport::Outbound)],
            config,
        )
    })?;
    let peer = raw::dial(&mut swarm, server)?;
    let failed = |why: String| raw::Error::Server { peer, why };
    let requests = requests(target, value_size);
    let (mut unasked, mut missing, mut bytes) = (requests.iter(), requests.len(), 0);
    let mut ask = |swarm: &mut Swarm<request_response::Behaviour<Codec>>| {
        if let Some(request) = unasked.next() {
            let ask = Bytes::from(Ask::Range(*request).to_vec());
            swarm.behaviour_mut().send_request(&peer, ask);
        }
    };
    while missing > 0 {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } => (0..IN_FLIGHT).for_each(|_| ask(&mut swarm)),
            SwarmEvent::Behaviour(Event::Message {
                message: Message::Response { response, .. },
                ..
            }) => {
                // 0 and 1 are operations, without and with pinned nodes.
                match response.head.first() {
                    Some(0 | 1) => {}
                    tag => return Err(failed(format!("an answer of kind {tag:?} holds no operations"))),
                }
                bytes += response.len() as u64;
                missing -= 1;
                ask(&mut swarm);
            }
            SwarmEvent::Behaviour(Event::OutboundFailure { error, .. }) => {
                return Err(failed(error.to_string()));
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(failed(error.to_string())),
            _ => {}
        }
    }
    Ok((bytes, start.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordee_protocol::Digest;

    #[test]
    fn requests_cover_a_target_once_and_none_is_cut() {
        let at = |n| Location::new(n).unwrap();
        for (from, to, value_size) in [(0, 1, 0), (5, 100_000, 100), (7, 30, 1 << 20)] {
            let target = Target::new(Digest([1; 32]), at(from)..at(to)).unwrap();
            let mut next = at(from);
            for request in requests(&target, value_size) {
                assert_eq!(request.start(), next);
                next = request.range().end;
                let operations = next.since(request.start());
                assert!(
                    operations == 1 || operations as usize * (value_size + AROUND) <= SOFT_OPERATION_BYTES
                );
            }
            assert_eq!(next, at(to));
        }
    }
}
