//! What the policy decided, carried out.

use super::{Behaviour, Purpose};
use crate::event::Event;
use crate::policy::{Action, Failure};
use cordee_protocol::codec::Encode;
use cordee_protocol::wire::Ask;
use libp2p::PeerId;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{CloseConnection, ToSwarm};
use std::sync::Arc;
use std::time::Duration;

impl Behaviour {
    /// Carry out what the policy decided; returns whether there was anything.
    pub(super) fn carry_out(&mut self, now: Duration) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        self.verdicts.extend(state.verdicts.drain(..));
        let mut any = false;
        let mut changed = std::mem::take(&mut self.states_changed);
        while let Some(action) = state.policy.poll_action() {
            any = true;
            changed |= !matches!(action, Action::Ask { .. } | Action::AskStatus { .. });
            match action {
                Action::Ask {
                    peer,
                    attempt,
                    request,
                } if self.inner.is_connected(&peer) => {
                    let ask = Ask::Range(request).to_vec().into();
                    let id = self.inner.send_request(&peer, ask);
                    self.asked.insert(id, (peer, Purpose::Range(attempt)));
                }
                Action::Ask { peer, attempt, .. } => {
                    state.policy.on_failed(now, peer, attempt, Failure::Local);
                }
                Action::AskStatus { peer } => self.greet.push(peer),
                Action::Ready { peer, status } => self.tell(Event::Ready { peer, status }),
                Action::Rejected { peer, reason } => {
                    tracing::info!(%peer, reason, "peer is not asked");
                    self.tell(Event::Rejected { peer, reason });
                }
                Action::Ban { peer, ban } => {
                    tracing::warn!(%peer, reason = ban.reason.sentence(), "peer is banned");
                    self.metrics.on_ban(ban.reason.label());
                    self.disconnect(peer);
                    self.remember(now);
                    self.tell(Event::Banned {
                        peer,
                        reason: ban.reason,
                        left: ban.until.saturating_sub(now),
                    });
                }
                Action::Unban { peer } => {
                    self.remember(now);
                    if !self.inner.is_connected(&peer) {
                        self.homes.remove(&peer);
                    }
                    self.tell(Event::Unbanned { peer });
                }
                Action::Parole { peer } => {
                    tracing::info!(%peer, "nobody else is left: a banned peer is let in for one operation");
                    if let Some(home) = self.homes.get(&peer) {
                        let opts = DialOpts::peer_id(peer).addresses(vec![home.clone()]).build();
                        self.out.push_back(ToSwarm::Dial { opts });
                    }
                    self.tell(Event::Paroled { peer });
                }
                Action::Revoke { peer } => self.disconnect(peer),
                Action::Stuck { after, peers } => {
                    tracing::warn!(seconds = after.as_secs(), "nothing has verified for long");
                    for (peer, hold) in peers {
                        tracing::warn!(%peer, hold, "what holds a peer back");
                    }
                }
                Action::Penalised { offence, .. } => self.metrics.on_penalty(offence.label()),
                Action::Suspect { root, peers } => {
                    let (root, size) = root;
                    tracing::error!(%root, size = size.get(), "answers of all peers fail: is the target right?");
                    self.tell(Event::TargetSuspect { root, size, peers });
                }
            }
        }
        if changed {
            self.metrics
                .set_peers(state.policy.views(now).map(|view| view.state));
        }
        let totals = state.policy.totals();
        self.metrics.set_totals(&totals);
        self.serving.on_own_sync(totals.in_flight > 0);
        any
    }

    pub(super) fn disconnect(&mut self, peer: PeerId) {
        self.out.push_back(ToSwarm::CloseConnection {
            peer_id: peer,
            connection: CloseConnection::All,
        });
    }

    fn remember(&mut self, now: Duration) {
        if let Some(keeper) = &mut self.keeper {
            keeper.on_ban(now);
        }
    }

    fn tell(&mut self, event: Event) {
        self.out.push_back(ToSwarm::GenerateEvent(event));
    }
}
