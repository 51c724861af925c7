//! Fetching from several peers, some of which lie: what finally holds, never how fast.

use crate::net::*;
use cordee_protocol::sync::Resolver as _;
use cordee_protocol::sync::serve::Source;
use cordee_protocol::wire::Request;
use cordee_protocol::{Digest, Location};
use cordee_resolver_p2p::{Event, Shutdown};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_liars_are_banned_and_the_honest_are_not() {
    let honest = Honest::new("net", 1);
    let root = honest.root();
    let mut addresses = Vec::new();
    let mut liars = Vec::new();
    let mut others = Vec::new();
    for _ in 0..3 {
        let (id, address) = server("net", Arc::clone(&honest) as _).await;
        others.push(id.to_string());
        addresses.push(address);
    }
    for (liar, source) in [
        (
            true,
            Arc::new(Twisted(Arc::clone(&honest), flip_an_operation)) as Arc<dyn Source>,
        ),
        (true, Arc::new(Twisted(Arc::clone(&honest), junk))),
        (true, Arc::new(Twisted(Arc::clone(&honest), oversize))),
        (false, Arc::new(Twisted(Arc::clone(&honest), silence))),
    ] {
        let (id, address) = server("net", source).await;
        if liar { &mut liars } else { &mut others }.push(id.to_string());
        addresses.push(address);
    }
    let (resolver, mut events, _running) = client(&addresses).await;
    let refused = within(120, fetch_all(&resolver, root)).await;
    within(10, resolver.settled()).await;
    until(|| resolver.peers().iter().filter(|peer| peer.banned).count() == liars.len()).await;
    for peer in resolver.peers() {
        assert_eq!(peer.banned, liars.contains(&peer.peer_id), "{peer:?}");
        assert!(peer.in_flight == 0 || others.contains(&peer.peer_id), "{peer:?}");
        assert!(!peer.banned || peer.refused > 0, "{peer:?}");
    }
    assert!(refused > 0, "the flipped operation reached the caller");
    let totals = resolver.totals();
    assert!(
        totals.bytes_received > OPERATIONS * 98 && totals.refused >= 3,
        "{totals:?}"
    );
    assert_eq!(
        resolver.peers().iter().map(|peer| peer.ops).sum::<u64>(),
        OPERATIONS
    );
    let mut banned = 0;
    while let Ok(event) = events.try_recv() {
        match event {
            Event::Banned { peer, .. } => {
                assert!(liars.contains(&peer.to_string()));
                banned += 1;
            }
            Event::TargetSuspect { .. } | Event::Rejected { .. } => panic!("{event:?}"),
            _ => {}
        }
    }
    assert_eq!(banned, liars.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_fetch_frees_its_slot() {
    let honest = Honest::new("net", 1);
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let slow = Twisted(Arc::clone(&honest), move |frame| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(500));
        frame
    });
    let (_, address) = server("net", Arc::new(slow)).await;
    let (resolver, _events, running) = client(&[address]).await;
    until(|| resolver.peers().iter().any(|peer| peer.state == "ready")).await;
    let request = Request::boundary(Location::new(OPERATIONS).unwrap(), Location::ZERO).unwrap();
    let fetch = tokio::spawn({
        let resolver = resolver.clone();
        async move {
            resolver
                .get_operations(request, Digest::default())
                .await
                .map(|_| ())
        }
    });
    until(|| asked.load(Ordering::Relaxed) == 1).await;
    assert_eq!(resolver.totals().in_flight, 1);
    fetch.abort();
    until(|| resolver.totals().in_flight == 0).await;
    assert!(
        resolver
            .peers()
            .iter()
            .all(|peer| peer.in_flight == 0 && peer.trust == 0.0)
    );

    // A swarm that ends ends what waits for it.
    let fetch = tokio::spawn(async move {
        resolver
            .get_operations(request, Digest::default())
            .await
            .map(|_| ())
    });
    until(|| asked.load(Ordering::Relaxed) == 2).await;
    drop(running);
    assert_eq!(within(10, fetch).await.unwrap(), Err(Shutdown));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_networks_are_rejected_with_a_sentence() {
    let other = Honest::new("other", 2);
    let (id, address) = server("other", other as _).await;
    let (resolver, mut events, _running) = client(&[address]).await;
    let event = within(30, events.recv()).await;
    match event {
        Some(Event::Rejected { peer, reason }) => {
            assert_eq!(peer, id);
            assert_eq!(reason, "serves network \"other\", this node is on \"net\"");
        }
        event => panic!("{event:?}"),
    }
    assert_eq!(resolver.peers()[0].state, "rejected");
    let request = Request::boundary(Location::new(10).unwrap(), Location::ZERO).unwrap();
    let fetch = resolver.get_operations(request, Digest::default());
    tokio::pin!(fetch);
    let none = tokio::time::timeout(Duration::from_millis(200), &mut fetch).await;
    assert!(none.is_err());
    assert_eq!(
        resolver.why().as_deref(),
        Some("none of 1 peer is of this network and kind")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_root_is_suspect_and_bans_nobody() {
    let honest = Honest::new("net", 1);
    let mut addresses = Vec::new();
    for _ in 0..3 {
        addresses.push(server("net", Arc::clone(&honest) as _).await.1);
    }
    let (resolver, mut events, _running) = client(&addresses).await;
    until(|| {
        resolver
            .peers()
            .iter()
            .filter(|peer| peer.state == "ready")
            .count()
            == 3
    })
    .await;
    let wrong = Digest([9; 32]);
    let fetching = tokio::spawn({
        let resolver = resolver.clone();
        async move { fetch_all(&resolver, wrong).await }
    });
    let suspect = within(30, async {
        loop {
            match events.recv().await.unwrap() {
                Event::TargetSuspect { root, peers, .. } => return (root, peers.len()),
                Event::Banned { peer, .. } => panic!("banned {peer}"),
                _ => {}
            }
        }
    })
    .await;
    assert_eq!(suspect, (wrong, 3));
    fetching.abort();
    assert!(resolver.peers().iter().all(|peer| !peer.banned));
    within(60, fetch_all(&resolver, honest.root())).await;
}
