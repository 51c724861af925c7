//! What ended a request, and who is at the other end: from libp2p's words to the policy's.

use crate::codec::BadFrame;
use crate::policy::Failure;
use bytes::Bytes;
use cordee_protocol::wire::{Answer, Ask, Status};
use libp2p::core::upgrade::NegotiationError;
use libp2p::core::{Multiaddr, multiaddr};
use libp2p::request_response::OutboundFailure;
use std::io;
use std::net::IpAddr;

/// The status in an answer; `None` if it is another answer.
pub(super) fn status_of(bytes: &Bytes) -> Option<Status> {
    // Any status will do: whether one was asked for is all that decoding looks at.
    let ask = Ask::Status(Status::default());
    match Answer::decode(bytes, &ask) {
        Ok(Answer::Status(status)) => Some(status),
        _ => None,
    }
}

pub(super) fn failure(error: &OutboundFailure) -> Failure {
    match error {
        OutboundFailure::Timeout => Failure::Timeout,
        OutboundFailure::Io(error) if is_bad_frame(error) => Failure::Malformed,
        // Whatever ends a substream early the other side can bring about, just before each deadline: one of several
        // connections closed, a refusal of the protocol, no room left by substreams of its own. If it were free, who
        // holds back all answers would never come to be the last to be asked.
        OutboundFailure::Io(_)
        | OutboundFailure::ConnectionClosed
        | OutboundFailure::UnsupportedProtocols => Failure::Broken,
        OutboundFailure::DialFailure => Failure::Local,
    }
}

fn is_bad_frame(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<BadFrame>())
}

/// Whether the peer does not speak the protocol. Negotiated lazily, it says so only where the answer should be.
pub(super) fn is_unsupported(error: &OutboundFailure) -> bool {
    match error {
        OutboundFailure::UnsupportedProtocols => true,
        OutboundFailure::Io(error) => (error.get_ref())
            .and_then(|inner| inner.downcast_ref::<NegotiationError>())
            .is_some_and(|error| matches!(error, NegotiationError::Failed)),
        _ => false,
    }
}

/// The first IP address in `address`; `None` for names.
pub fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        multiaddr::Protocol::Ip4(ip) => Some(ip.into()),
        multiaddr::Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_other_side_cannot_bring_about_is_free() {
        use OutboundFailure::{ConnectionClosed, DialFailure, Io, Timeout, UnsupportedProtocols};
        let refused = || Io(NegotiationError::Failed.into());
        let bad_frame = || {
            Io(io::Error::new(
                io::ErrorKind::InvalidData,
                BadFrame(String::new()),
            ))
        };
        for (case, error, ends_as, unsupported) in [
            ("no answer", Timeout, Failure::Timeout, false),
            ("a bad length", bad_frame(), Failure::Malformed, false),
            (
                "half an answer",
                Io(io::ErrorKind::UnexpectedEof.into()),
                Failure::Broken,
                false,
            ),
            (
                "the multiplexer gave up",
                Io(io::Error::other("max sub-streams reached")),
                Failure::Broken,
                false,
            ),
            ("another protocol, told late", refused(), Failure::Broken, true),
            ("another protocol", UnsupportedProtocols, Failure::Broken, true),
            ("one of its connections", ConnectionClosed, Failure::Broken, false),
            ("never asked", DialFailure, Failure::Local, false),
        ] {
            assert_eq!(failure(&error), ends_as, "{case}");
            assert_eq!(is_unsupported(&error), unsupported, "{case}");
        }
    }
}
