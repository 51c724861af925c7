//! Errors of the network as one short sentence each.

use libp2p::TransportError;
use libp2p::swarm::DialError;

/// One short sentence of a nested error.
pub(super) fn dial_reason(error: &DialError) -> String {
    match error {
        DialError::Transport(tried) => {
            let reasons = tried.iter().map(|(_, error)| transport_reason(error));
            reasons
                .reduce(|all, one| format!("{all}; {one}"))
                .unwrap_or_else(|| "no address to dial".into())
        }
        DialError::Denied { cause } => innermost(cause),
        DialError::WrongPeerId { obtained, .. } => format!("another peer answers there: {obtained}"),
        DialError::LocalPeerId { .. } => "that is this node itself".into(),
        error => error.to_string(),
    }
}

pub(super) fn transport_reason(error: &TransportError<std::io::Error>) -> String {
    match error {
        TransportError::MultiaddrNotSupported(_) => {
            "this kind of address is not supported (tcp and quic-v1 are)".into()
        }
        TransportError::Other(error) => innermost(error),
    }
}

pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
