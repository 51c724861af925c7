//! Puts every dial to the rule of [`super::told`]: a transport around another.
//!
//! ```text
//!   Gate (names) -> DNS -> Gate (hosts) -> TCP, QUIC
//! ```
//! It stands on both sides of DNS: before, for what may be looked up; behind, as only there it is known where a name leads. All
//! dials come here, whichever behaviour began them.

use super::told::{Dial, Told};
use libp2p::core::Transport;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::{Multiaddr, PeerId};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

type Output = (PeerId, StreamMuxerBox);
type Inner = Boxed<Output>;

/// The rule, shared by the gates and the task that knows who is connected.
#[derive(Clone, Debug)]
pub(super) struct Rule(Arc<Mutex<Told>>);

impl Rule {
    pub(super) fn new(told: Told) -> Self {
        Self(Arc::new(Mutex::new(told)))
    }

    /// Every change is done in one call, so a panic elsewhere leaves it whole.
    pub(super) fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is asked of the rule.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    Names,
    Hosts,
}

/// A transport that dials what the rule allows.
pub(super) struct Gate {
    inner: Inner,
    rule: Rule,
    of: Of,
}

impl Gate {
    pub(super) fn new(inner: Inner, rule: Rule, of: Of) -> Self {
        Self { inner, rule, of }
    }
}

/// An open dial that others led to.
struct Open(Rule);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().on_end();
    }
}

impl Transport for Gate {
    type Output = Output;
    type Error = io::Error;
    type ListenerUpgrade = <Inner as Transport>::ListenerUpgrade;
    type Dial = <Inner as Transport>::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let now = Instant::now();
        let allowed = match self.of {
            Of::Names => self.rule.lock().on_name(now, &address).map(|()| Dial::Listed),
            Of::Hosts => self.rule.lock().on_dial(now, &address),
        };
        let allowed = allowed.map_err(|refused| TransportError::Other(io::Error::other(refused)))?;
        let open = (allowed == Dial::Told).then(|| Open(self.rule.clone()));
        let dial = self.inner.dial(address, options)?;
        Ok(Box::pin(async move {
            let done = dial.await;
            drop(open);
            done
        }))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}
