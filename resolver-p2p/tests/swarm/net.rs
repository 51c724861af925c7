//! Servers and clients over the memory transport, what they serve, and how a test waits.

use cordee_protocol::log::{Journal, MemoryJournal};
use cordee_protocol::mmr::Frontier;
use cordee_protocol::sync::Resolver as _;
use cordee_protocol::sync::serve::{self, Budget, Source};
use cordee_protocol::sync::verify::verify;
use cordee_protocol::wire::{Ask, Frame, Request, Status};
use cordee_protocol::{Digest, Location, Operations};
use cordee_resolver_p2p::{Behaviour, Config, Event, Metrics, Resolver};
use futures::StreamExt;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Swarm};
use libp2p_swarm_test::SwarmExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub(crate) const OPERATIONS: u64 = 5000;

/// A database that answers by the rules.
pub(crate) struct Honest {
    journal: MemoryJournal,
    status: Status,
}

impl Honest {
    pub(crate) fn new(network: &str, seed: u8) -> Arc<Self> {
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

    pub(crate) fn root(&self) -> Digest {
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
pub(crate) struct Twisted<F>(pub(crate) Arc<Honest>, pub(crate) F);

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

pub(crate) fn flip_an_operation(frame: Frame) -> Frame {
    let mut body = frame.body.to_vec();
    body[0] ^= 1;
    Frame {
        head: frame.head,
        body: body.into(),
    }
}

pub(crate) fn junk(_: Frame) -> Frame {
    Frame {
        head: vec![0xff; 1000].into(),
        body: Default::default(),
    }
}

pub(crate) fn oversize(_: Frame) -> Frame {
    Frame {
        head: vec![0; 5 << 20].into(),
        body: Default::default(),
    }
}

/// Silent until the asker has long given up.
pub(crate) fn silence(frame: Frame) -> Frame {
    std::thread::sleep(Duration::from_secs(4));
    frame
}

pub(crate) fn config(network: &str) -> Config {
    let mut config = Config::new(network, "keyless-variable");
    config.seed = Some(1);
    config.policy.fetch.timeout_first = Duration::from_secs(1);
    config.policy.fetch.timeout_min = Duration::from_secs(1);
    config
}

/// Start a server; returns its id and address.
pub(crate) async fn server(network: &str, source: Arc<dyn Source>) -> (PeerId, Multiaddr) {
    server_with(config(network), source).await
}

/// Start a server that works so.
pub(crate) async fn server_with(config: Config, source: Arc<dyn Source>) -> (PeerId, Multiaddr) {
    let mut swarm = Swarm::new_ephemeral_tokio(|_| Behaviour::new(config, Some(source), Metrics::default()));
    let (address, _) = swarm.listen().await;
    let id = *swarm.local_peer_id();
    tokio::spawn(swarm.loop_on_next());
    (id, address)
}

/// A client's handle, its events, and what it ends with.
pub(crate) type Client = (Resolver, mpsc::UnboundedReceiver<Event>, mpsc::Sender<()>);

/// Start a client connected to `addresses`.
pub(crate) async fn client(addresses: &[Multiaddr]) -> Client {
    client_of(Behaviour::new(config("net"), None, Metrics::default()), addresses).await
}

/// Start a client with this behaviour.
pub(crate) async fn client_of(behaviour: Behaviour, addresses: &[Multiaddr]) -> Client {
    let mut swarm = Swarm::new_ephemeral_tokio(|_| behaviour);
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
pub(crate) async fn fetch_all(resolver: &Resolver, root: Digest) -> usize {
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

pub(crate) async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), future)
        .await
        .expect("takes too long")
}

pub(crate) async fn until(condition: impl Fn() -> bool) {
    within(30, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
