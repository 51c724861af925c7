//! Answers that do not come, or not in one piece; and the second copies that make up for them (PEERS P34, ENGINE W13.2).

use crate::net::*;
use cordee_protocol::wire::Frame;
use cordee_resolver_p2p::{Behaviour, Delivery, Manner, Metrics};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
struct Ranges(Delivery);

impl Manner for Ranges {
    fn deliver(&self, frame: &Frame) -> Delivery {
        match frame.head.first() {
            Some(0 | 1) => self.0,
            _ => Delivery::Whole,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_answers_go_out_everything_arrives_and_only_provable_lies_ban() {
    let honest = Honest::new("net", 1);
    for (delivery, banned) in [
        (Delivery::Silence, false),
        (Delivery::Drip(Duration::from_millis(50)), false),
        (Delivery::HangUp, false),
        (Delivery::Oversized, true),
    ] {
        let (_, address) = server("net", Arc::clone(&honest) as _).await;
        let mut bad = config("net");
        bad.manner = Some(Arc::new(Ranges(delivery)));
        let (id, bads) = server_with(bad, Arc::clone(&honest) as _).await;
        let (resolver, _events, _running) = client(&[address, bads]).await;
        let name = id.to_string();
        let report = || resolver.peers().into_iter().find(|peer| peer.peer_id == name);
        within(60, async {
            while report().is_none_or(|bad| bad.offences == 0 && bad.state != "paused" && bad.state != "gone")
            {
                assert_eq!(fetch_all(&resolver, honest.root()).await, 0, "{delivery:?}");
            }
        })
        .await;
        for peer in resolver.peers() {
            let bad = peer.peer_id == name;
            assert_eq!(peer.banned, bad && banned, "{delivery:?}: {peer:?}");
            assert!(!bad || peer.ops == 0, "{delivery:?}: {peer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p34_w13_2_a_silent_peer_at_the_tip_does_not_hold_up_a_sync() {
    let honest = Honest::new("net", 1);
    let (_, address) = server("net", Arc::clone(&honest) as _).await;
    let mut silent = config("net");
    silent.manner = Some(Arc::new(Ranges(Delivery::Silence)));
    let (_, silents) = server_with(silent, Arc::clone(&honest) as _).await;
    // Deadlines so far off that only second copies can end this.
    let mut config = config("net");
    config.policy.fetch.timeout_first = Duration::from_secs(3600);
    config.policy.fetch.timeout_min = Duration::from_secs(3600);
    config.policy.fetch.timeout_max = Duration::from_secs(3600);
    config.policy.hedge.share = 1.0;
    let behaviour = Behaviour::new(config, None, Metrics::default());
    let (resolver, _events, _running) = client_of(behaviour, &[address, silents]).await;
    until(|| {
        resolver
            .peers()
            .iter()
            .filter(|peer| peer.state == "ready")
            .count()
            == 2
    })
    .await;
    assert_eq!(within(60, fetch_all(&resolver, honest.root())).await, 0);
    let totals = resolver.totals();
    assert!(totals.hedges > 0, "{totals:?}");
    for peer in resolver.peers() {
        assert_eq!(peer.offences, 0, "who lost costs nothing: {peer:?}");
    }
    until(|| resolver.totals().in_flight == 0).await;
}
