//! Bans, paroles, and what outlasts a process (PEERS P21, P22).

use crate::net::*;
use cordee_protocol::Location;
use cordee_protocol::sync::Resolver as _;
use cordee_protocol::wire::Request;
use cordee_resolver_p2p::policy::{Offence, Record};
use cordee_resolver_p2p::{Behaviour, Event, Metrics, Reputation};
use futures::StreamExt;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{DialError, SwarmEvent};
use libp2p::{PeerId, Swarm};
use libp2p_swarm_test::SwarmExt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn banned_peers_are_disconnected_and_refused() {
    let honest = Honest::new("net", 1);
    let (id, address) = server("net", Arc::clone(&honest) as _).await;
    let (resolver, mut events, _running) = client(&[address]).await;
    within(30, fetch_all(&resolver, honest.root())).await;
    resolver.ban(id);
    until(|| resolver.peers().iter().all(|peer| peer.state == "banned")).await;
    let request = Request::boundary(Location::new(10).unwrap(), Location::ZERO).unwrap();
    let fetch = resolver.get_operations(request, honest.root());
    let fetched = tokio::time::timeout(Duration::from_millis(300), fetch).await;
    assert!(fetched.is_err(), "nobody to ask");
    resolver.pardon(id);
    within(30, async {
        while !matches!(events.recv().await, Some(Event::Unbanned { peer }) if peer == id) {}
    })
    .await;
    assert!(
        resolver
            .peers()
            .iter()
            .all(|peer| !peer.banned && peer.state == "gone")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn banned_peers_are_not_dialled() {
    let (id, address) = server("net", Honest::new("net", 1)).await;
    let mut swarm = Swarm::new_ephemeral_tokio(|_| Behaviour::new(config("net"), None, Metrics::default()));
    swarm.behaviour().resolver().ban(id);
    let known = DialOpts::peer_id(id).addresses(vec![address.clone()]).build();
    assert!(matches!(swarm.dial(known), Err(DialError::Denied { .. })));
    swarm.dial(address).unwrap();
    within(30, async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::OutgoingConnectionError { error, .. } => {
                    return assert!(matches!(error, DialError::Denied { .. }), "{error}");
                }
                SwarmEvent::ConnectionEstablished { .. } => panic!("connected to a banned peer"),
                _ => {}
            }
        }
    })
    .await;
}

/// Remembers in memory, and how often it was told.
#[derive(Default)]
struct Memory {
    kept: Mutex<(Vec<Record<PeerId>>, usize)>,
}

impl Memory {
    fn bans(&self) -> Vec<(PeerId, Offence)> {
        let kept = self.kept.lock().unwrap();
        let ban = |record: &Record<PeerId>| Some((record.peer, record.standing.ban?.reason));
        kept.0.iter().filter_map(ban).collect()
    }
}

impl Reputation for Memory {
    fn load(&self) -> Vec<Record<PeerId>> {
        self.kept.lock().unwrap().0.clone()
    }

    fn save(&self, records: &[Record<PeerId>]) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap();
        kept.1 += 1;
        // A disk may fail now and then.
        if kept.1 == 1 {
            return Err(io::Error::other("a full disk"));
        }
        kept.0 = records.to_vec();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p22_who_was_banned_is_refused_by_the_next_process_too() {
    let honest = Honest::new("net", 1);
    let (_, address) = server("net", Arc::clone(&honest) as _).await;
    let liar = Twisted(Arc::clone(&honest), flip_an_operation);
    let (id, liars) = server("net", Arc::new(liar)).await;
    let store = Arc::new(Memory::default());
    let behaviour =
        || Behaviour::new(config("net"), None, Metrics::default()).with_reputation(Arc::clone(&store) as _);
    let both = [address, liars.clone()];
    let (resolver, _events, running) = client_of(behaviour(), &both).await;
    within(60, async {
        while resolver.peers().iter().all(|peer| !peer.banned) {
            fetch_all(&resolver, honest.root()).await;
        }
    })
    .await;
    // The write at the ban fails, the one at the end does not: a swarm that ends writes down what it knows.
    until(|| store.kept.lock().unwrap().1 > 0).await;
    drop(running);
    until(|| !store.bans().is_empty()).await;
    assert_eq!(store.bans(), [(id, Offence::Lie)]);

    let mut swarm = Swarm::new_ephemeral_tokio(|_| behaviour());
    let known = DialOpts::peer_id(id).addresses(vec![liars]).build();
    assert!(matches!(swarm.dial(known), Err(DialError::Denied { .. })));
    let resolver = swarm.behaviour().resolver();
    assert!(
        resolver
            .peers()
            .iter()
            .any(|peer| peer.banned && !peer.recent_offences.is_empty())
    );
    assert!(resolver.pardon(id) && !resolver.pardon(PeerId::random()));
    tokio::spawn(swarm.loop_on_next());
    until(|| store.bans().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p21_a_banned_peer_that_has_learnt_is_let_in_when_nobody_else_is_left() {
    let honest = Honest::new("net", 1);
    let lies = Arc::new(AtomicBool::new(true));
    let lying = Arc::clone(&lies);
    let turncoat = Twisted(Arc::clone(&honest), move |frame| {
        if lying.load(Ordering::Relaxed) {
            flip_an_operation(frame)
        } else {
            frame
        }
    });
    let (id, address) = server("net", Arc::new(turncoat)).await;
    let (other, others) = server("net", Arc::clone(&honest) as _).await;
    let mut config = config("net");
    config.policy.fetch.parole_after = Duration::from_secs(1);
    let behaviour = Behaviour::new(config, None, Metrics::default());
    let (resolver, mut events, _running) = client_of(behaviour, &[address, others]).await;
    within(60, async {
        while resolver.peers().iter().all(|peer| !peer.banned) {
            fetch_all(&resolver, honest.root()).await;
        }
    })
    .await;
    // The operator sends the other one away, for good.
    resolver.ban(other);
    lies.store(false, Ordering::Relaxed);
    assert_eq!(within(60, fetch_all(&resolver, honest.root())).await, 0);
    within(10, resolver.settled()).await;
    let of_id = |peers: Vec<cordee_resolver_p2p::PeerReport>| {
        let name = id.to_string();
        peers.into_iter().find(|peer| peer.peer_id == name).unwrap()
    };
    let report = of_id(resolver.peers());
    assert!(!report.banned && report.ops > 4000, "{report:?}");
    let mut paroled = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            Event::Paroled { peer } => paroled.push(peer),
            Event::Unbanned { peer } => assert_eq!(peer, id),
            _ => {}
        }
    }
    assert_eq!(paroled, [id], "never who was banned by the operator");
}
