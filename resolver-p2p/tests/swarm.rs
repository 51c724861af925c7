//! Real swarms over the memory transport: what finally holds, never how fast.

use cordee_protocol::codec::{Decode, Encode};
use cordee_protocol::log::{Journal, MemoryJournal};
use cordee_protocol::mmr::Frontier;
use cordee_protocol::sync::Resolver as _;
use cordee_protocol::sync::serve::{self, Budget, Source};
use cordee_protocol::sync::verify::verify;
use cordee_protocol::wire::{Answer, Ask, Frame, PROTOCOL, Request, Status};
use cordee_protocol::{Digest, Location, Operations};
use cordee_resolver_p2p::{Behaviour, Codec, Config, Event, Metrics, Resolver, Shutdown};
use futures::StreamExt;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, request_response};
use libp2p_swarm_test::SwarmExt;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

const OPERATIONS: u64 = 5000;

/// A database that answers by the rules.
struct Honest {
    journal: MemoryJournal,
    status: Status,
}

impl Honest {
    fn new(network: &str, seed: u8) -> Arc<Self> {
        let mut frontier = Frontier::default();
        let mut journal = MemoryJournal::default();
        let operations = (0..OPERATIONS).map(|n| [&[seed; 90][..], &n.to_be_bytes()].concat());
        let operations = Operations::collect(operations).unwrap();
        let nodes = frontier.append(&operations).unwrap();
        journal.append(&operations, &nodes).unwrap();
        let status = Status {
            network: network.into(),
            kind: "keyless-variable".into(),
            size: frontier.size(),
            provable_from: Location::new(1).unwrap(),
            root: Some(frontier.root()),
            ..Status::default()
        };
        Arc::new(Self { journal, status })
    }

    fn root(&self) -> Digest {
        self.status.root.unwrap()
    }
}

impl Source for Honest {
    fn status(&self) -> Status {
        self.status.clone()
    }

    fn answer(&self, ask: &Ask) -> Frame {
        let range = |request: &Request| serve::answer(&self.journal, request, Budget::default());
        serve::frame(ask, || self.status(), range)
    }
}

/// One that does something to every answer.
struct Twisted<F>(Arc<Honest>, F);

impl<F: Fn(Frame) -> Frame + Send + Sync + 'static> Source for Twisted<F> {
    fn status(&self) -> Status {
        self.0.status()
    }

    fn answer(&self, ask: &Ask) -> Frame {
        let frame = self.0.answer(ask);
        match ask {
            Ask::Status(_) => frame,
            Ask::Range(_) => (self.1)(frame),
        }
    }
}

fn flip_an_operation(frame: Frame) -> Frame {
    let mut body = frame.body.to_vec();
    body[0] ^= 1;
    Frame {
        head: frame.head,
        body: body.into(),
    }
}

fn junk(_: Frame) -> Frame {
    Frame {
        head: vec![0xff; 1000].into(),
        body: Default::default(),
    }
}

fn oversize(_: Frame) -> Frame {
    Frame {
        head: vec![0; 5 << 20].into(),
        body: Default::default(),
    }
}

/// Silent until the asker has long given up.
fn silence(frame: Frame) -> Frame {
    std::thread::sleep(Duration::from_secs(4));
    frame
}

fn config(network: &str) -> Config {
    let mut config = Config::new(network, "keyless-variable");
    config.seed = Some(1);
    config.policy.fetch.timeout_first = Duration::from_secs(1);
    config.policy.fetch.timeout_min = Duration::from_secs(1);
    config
}

/// Start a server; returns its id and address.
async fn server(network: &str, source: Arc<dyn Source>) -> (PeerId, Multiaddr) {
    let mut swarm =
        Swarm::new_ephemeral_tokio(|_| Behaviour::new(config(network), Some(source), Metrics::default()));
    let (address, _) = swarm.listen().await;
    let id = *swarm.local_peer_id();
    tokio::spawn(swarm.loop_on_next());
    (id, address)
}

/// Start a client connected to `addresses`; returns its handle and its events. It ends with the sender that comes back.
async fn client(addresses: &[Multiaddr]) -> (Resolver, mpsc::UnboundedReceiver<Event>, mpsc::Sender<()>) {
    let mut swarm = Swarm::new_ephemeral_tokio(|_| Behaviour::new(config("net"), None, Metrics::default()));
    let resolver = swarm.behaviour().resolver();
    for address in addresses {
        swarm.dial(address.clone()).unwrap();
    }
    let (events, seen) = mpsc::unbounded_channel();
    let (stop, mut stopped) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                event = swarm.select_next_some() => {
                    if let SwarmEvent::Behaviour(event) = event {
                        let _ = events.send(event);
                    }
                }
                _ = stopped.recv() => break,
            }
        }
    });
    (resolver, seen, stop)
}

/// Fetch everything, eight requests at a time, sending verdicts; returns how many answers were refused.
async fn fetch_all(resolver: &Resolver, root: Digest) -> usize {
    let size = Location::new(OPERATIONS).unwrap();
    let mut refused = 0;
    let fetches = futures::stream::iter((0..OPERATIONS).step_by(50)).map(|start| async move {
        let request = Request::operations(size, Location::new(start).unwrap(), 50).unwrap();
        let mut refused = 0;
        loop {
            let (response, verdict) = resolver.get_operations(request, root).await.unwrap().split();
            let proven = verify(&request, &root, response);
            verdict.send(proven.is_ok()).unwrap();
            match proven {
                Ok(_) => return refused,
                Err(_) => refused += 1,
            }
        }
    });
    let mut fetches = fetches.buffer_unordered(8);
    while let Some(n) = fetches.next().await {
        refused += n;
    }
    refused
}

async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), future)
        .await
        .expect("takes too long")
}

async fn until(condition: impl Fn() -> bool) {
    within(30, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

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

/// Send `asks` at once, without a policy; returns what came back.
async fn raw(address: Multiaddr, server: PeerId, asks: Vec<Vec<u8>>) -> Vec<Answer> {
    let protocols = [(PROTOCOL, request_response::ProtocolSupport::Outbound)];
    let settings = request_response::Config::default().with_max_concurrent_streams(200);
    let mut swarm = Swarm::new_ephemeral_tokio(|_| {
        request_response::Behaviour::with_codec(Codec::default(), protocols, settings)
    });
    assert_eq!(swarm.dial_and_wait(address).await, server);
    let wanted = asks.len();
    let mut sent: HashMap<_, _> = (asks.into_iter())
        .map(|ask| {
            (
                swarm.behaviour_mut().send_request(&server, ask.clone().into()),
                ask,
            )
        })
        .collect();
    let mut answers = Vec::new();
    while answers.len() < wanted {
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
            request_response::Event::OutboundFailure { error, .. } => panic!("{error}"),
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
        Some("none of 1 peers is of this network and kind")
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
