//! Serving: nobody is met with silence, and nobody takes the service from others (PEERS P40 to P43).

use crate::net::*;
use cordee_protocol::Location;
use cordee_protocol::codec::{Decode, Encode};
use cordee_protocol::sync::serve::Source;
use cordee_protocol::wire::{Answer, Ask, Frame, PROTOCOL, Request, Status};
use cordee_resolver_p2p::{Behaviour, Codec, Metrics};
use futures::{AsyncRead, AsyncWrite, StreamExt};
use libp2p::request_response::{self, Message};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Swarm};
use libp2p_swarm_test::SwarmExt;
use std::collections::HashMap;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Send `asks` at once, without a policy; returns what came back, which is nothing to those that were ignored.
async fn raw(address: Multiaddr, server: PeerId, asks: Vec<Vec<u8>>) -> Vec<Answer> {
    let protocols = [(PROTOCOL, request_response::ProtocolSupport::Outbound)];
    let settings = request_response::Config::default().with_max_concurrent_streams(200);
    let mut swarm = Swarm::new_ephemeral_tokio(|_| {
        request_response::Behaviour::with_codec(Codec::default(), protocols, settings)
    });
    assert_eq!(swarm.dial_and_wait(address).await, server);
    let mut sent: HashMap<_, _> = (asks.into_iter())
        .map(|ask| {
            (
                swarm.behaviour_mut().send_request(&server, ask.clone().into()),
                ask,
            )
        })
        .collect();
    let mut answers = Vec::new();
    while !sent.is_empty() {
        match swarm.next_behaviour_event().await {
            request_response::Event::Message {
                message: request_response::Message::Response { request_id, response },
                ..
            } => {
                let ask = sent.remove(&request_id).unwrap();
                // Where the ask is nonsense any other will do.
                let ask = Ask::from_slice(&ask).unwrap_or(Ask::Range(boundary()));
                answers.push(Answer::decode(&response.join(), &ask).unwrap());
            }
            // Ignored: its substream ends without an answer.
            request_response::Event::OutboundFailure { request_id, .. } => {
                sent.remove(&request_id).unwrap();
            }
            _ => {}
        }
    }
    answers
}

fn range(start: u64) -> Ask {
    let at = |n| Location::new(n).unwrap();
    Ask::Range(Request::operations(at(OPERATIONS), at(start), 50).unwrap())
}

fn boundary() -> Request {
    Request::boundary(Location::new(OPERATIONS).unwrap(), Location::ZERO).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asks_are_never_met_with_silence() {
    let honest = Honest::new("net", 1);
    let slow = Twisted(Arc::clone(&honest), |frame| {
        std::thread::sleep(Duration::from_millis(20));
        frame
    });
    let (id, address) = server("net", Arc::new(slow)).await;
    let asks = (0..100).map(|start| range(start).to_vec()).collect();
    let mut answers = raw(address.clone(), id, asks).await;
    let busy = answers
        .iter()
        .filter(|answer| matches!(answer, Answer::Busy(_)))
        .count();
    answers.retain(|answer| matches!(answer, Answer::Range(_)));
    assert_eq!(busy + answers.len(), 100);
    assert!(answers.len() >= 32, "4 in work and 28 waiting");
    let nonsense = vec![vec![9; 9], vec![0], Vec::from([0xff; 200])];
    assert_eq!(
        raw(address, id, nonsense).await,
        [Answer::Refused, Answer::Refused, Answer::Refused]
    );

    // Who serves nothing says so.
    let mut swarm = Swarm::new_ephemeral_tokio(|_| Behaviour::new(config("net"), None, Metrics::default()));
    let (address, _) = swarm.listen().await;
    let id = *swarm.local_peer_id();
    tokio::spawn(swarm.loop_on_next());
    let asks = vec![
        Ask::Range(boundary()).to_vec(),
        Ask::Status(honest.status()).to_vec(),
    ];
    let answers = raw(address, id, asks).await;
    assert!(answers.contains(&Answer::Unavailable));
    assert!(
        answers
            .iter()
            .any(|answer| matches!(answer, Answer::Status(status) if status.size == Location::ZERO))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p42_nonsense_is_ignored_in_the_end_and_the_same_again_is_busy() {
    let honest = Honest::new("net", 1);
    let mut config = config("net");
    config.quota.invalid_at_most = 5;
    let (id, address) = server_with(config, Arc::clone(&honest) as _).await;
    let answers = raw(address.clone(), id, vec![vec![9; 9]; 20]).await;
    assert_eq!(answers, vec![Answer::Refused; 5], "and fifteen times nothing");
    let answers = raw(address, id, vec![range(7).to_vec(); 5]).await;
    let busy = answers
        .iter()
        .filter(|answer| matches!(answer, Answer::Busy(_)))
        .count();
    assert_eq!((answers.len(), busy), (5, 3), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p40_a_flood_of_one_peer_leaves_service_to_others() {
    let honest = Honest::new("net", 1);
    let worked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&worked);
    let slow = Twisted(Arc::clone(&honest), move |frame| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(2));
        frame
    });
    let (id, address) = server("net", Arc::new(slow)).await;
    // One peer asks two hundred things at once, again and again, for as long as the other is served.
    let flood = tokio::spawn({
        let address = address.clone();
        async move {
            let mut answers = Vec::new();
            for round in 0..4 {
                let asks = (0..200).map(|n| range(round * 200 + n).to_vec()).collect();
                answers.extend(raw(address.clone(), id, asks).await);
            }
            answers
        }
    });
    until(|| worked.load(Ordering::Relaxed) > 0).await;
    let (resolver, _events, _running) = client(&[address]).await;
    let refused = within(60, fetch_all(&resolver, honest.root())).await;
    assert_eq!(refused, 0);
    within(10, resolver.settled()).await;
    let report = &resolver.peers()[0];
    assert_eq!(report.ops, OPERATIONS, "all of it");
    assert_eq!(report.offences, 0, "and no deadline passed");
    // A flood is answered too, mostly by "busy": 28 wait, 4 are in work, and 64 are all that one may ask at once.
    let answers = within(60, flood).await.unwrap();
    let served = answers
        .iter()
        .filter(|answer| matches!(answer, Answer::Range(_)))
        .count();
    let busy = answers
        .iter()
        .filter(|answer| matches!(answer, Answer::Busy(_)))
        .count();
    assert_eq!((served + busy, answers.len()), (800, 800));
    assert!(busy > served, "{busy} busy, {served} served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p40_rates_are_held_against_strangers_and_not_against_trusted_peers() {
    let honest = Honest::new("net", 1);
    for trusted in [false, true] {
        let mut swarm =
            Swarm::new_ephemeral_tokio(|_| Behaviour::new(config("net"), None, Metrics::default()));
        let client = *swarm.local_peer_id();
        let mut config = config("net");
        config.quota.requests_per_second = NonZeroU32::new(1);
        config.quota.request_burst = const { NonZeroU32::new(2).unwrap() };
        if trusted {
            config.trusted = vec![client];
        }
        let (_, address) = server_with(config, Arc::clone(&honest) as _).await;
        let resolver = swarm.behaviour().resolver();
        swarm.dial(address).unwrap();
        tokio::spawn(swarm.loop_on_next());
        until(|| {
            resolver
                .peers()
                .iter()
                .any(|peer| peer.state == "ready" || peer.state == "paused")
        })
        .await;
        let fetch = fetch_all(&resolver, honest.root());
        let ended = tokio::time::timeout(Duration::from_secs(if trusted { 60 } else { 3 }), fetch).await;
        assert_eq!(ended.is_ok(), trusted);
        let report = &resolver.peers()[0];
        assert!(trusted || report.ops < 1000, "{report:?}");
        assert_eq!(report.offences, 0, "busy is no fault");
    }
}

/// Serves answers that are too long for the window of a substream.
struct Long(Arc<Honest>);

impl Source for Long {
    fn status(&self) -> Status {
        self.0.status()
    }

    fn answer(&self, ask: &Ask) -> Frame {
        match ask {
            Ask::Status(_) => Answer::Status(self.status()).to_frame(),
            Ask::Range(_) => Frame {
                head: vec![0; 1 << 20].into(),
                body: Default::default(),
            },
        }
    }
}

/// Asks, and never reads.
#[derive(Clone, Default)]
struct Sloth;

impl request_response::Codec for Sloth {
    type Protocol = &'static str;
    type Request = Vec<u8>;
    type Response = ();

    async fn read_request<T>(&mut self, _: &Self::Protocol, _: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        std::future::pending().await
    }

    async fn read_response<T>(&mut self, _: &Self::Protocol, _: &mut T) -> io::Result<()>
    where
        T: AsyncRead + Unpin + Send,
    {
        std::future::pending().await
    }

    async fn write_request<T>(&mut self, _: &Self::Protocol, io: &mut T, ask: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let frame = [&[ask.len() as u8], &ask[..]].concat();
        futures::AsyncWriteExt::write_all(io, &frame).await
    }

    async fn write_response<T>(&mut self, _: &Self::Protocol, _: &mut T, (): ()) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p40_slow_readers_hold_no_place_for_ever_and_too_many_answers_cost_the_connection() {
    let honest = Honest::new("net", 1);
    let mut config = config("net");
    config.quota.work = 2;
    config.quota.work_for = Duration::from_millis(200);
    config.quota.slow = 3;
    config.quota.slow_per_peer = 100;
    let (id, address) = server_with(config, Arc::new(Long(Arc::clone(&honest)))).await;
    let protocols = [(PROTOCOL, request_response::ProtocolSupport::Outbound)];
    let mut sloth = Swarm::new_ephemeral_tokio(|_| {
        let settings = request_response::Config::default().with_request_timeout(Duration::from_secs(600));
        request_response::Behaviour::with_codec(Sloth, protocols, settings)
    });
    assert_eq!(sloth.dial_and_wait(address.clone()).await, id);
    // Each place of the server, then each place for slow ones, and one more.
    for start in 0..6 {
        sloth.behaviour_mut().send_request(&id, range(start).to_vec());
    }
    let cut = tokio::spawn(async move {
        loop {
            if let SwarmEvent::ConnectionClosed { .. } = sloth.select_next_some().await {
                return;
            }
        }
    });
    // Others are served meanwhile: each of these waits for a place that the sloth has, and gets it.
    let sizes = within(
        30,
        lengths(address, id, (10..14).map(|start| range(start).to_vec()).collect()),
    )
    .await;
    assert_eq!(sizes, [1 << 20; 4]);
    within(30, cut).await.unwrap();
}

/// Send `asks` and read what comes back, whatever it is; returns the lengths.
async fn lengths(address: Multiaddr, server: PeerId, asks: Vec<Vec<u8>>) -> Vec<usize> {
    let protocols = [(PROTOCOL, request_response::ProtocolSupport::Outbound)];
    let mut swarm = Swarm::new_ephemeral_tokio(|_| {
        request_response::Behaviour::with_codec(Codec::default(), protocols, Default::default())
    });
    assert_eq!(swarm.dial_and_wait(address).await, server);
    let wanted = asks.len();
    for ask in asks {
        swarm.behaviour_mut().send_request(&server, ask.into());
    }
    let mut lengths = Vec::new();
    while lengths.len() < wanted {
        match swarm.next_behaviour_event().await {
            request_response::Event::Message {
                message: Message::Response { response, .. },
                ..
            } => lengths.push(response.len()),
            request_response::Event::OutboundFailure { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
    lengths
}
