//! What all nodes of a simulation share: time, links, who is there, and what is written down of it.

use super::hub::Hub;
use super::net::{Net, NodeId, Partition};
use super::peer::Peer;
use super::time::{Time, locked};
use cordee_protocol::wire::Ask;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};

/// What all nodes share.
pub struct World {
    /// The clock and what will happen.
    pub time: Time,
    /// The links.
    pub net: Mutex<Net>,
    /// Every node that can be asked.
    peers: Mutex<BTreeMap<NodeId, Arc<Peer>>>,
    /// The nodes that are there now.
    online: Mutex<BTreeSet<NodeId>>,
    hubs: Mutex<BTreeMap<NodeId, Weak<Hub>>>,
    events: Option<Mutex<Vec<String>>>,
    failures: Mutex<Vec<String>>,
    counts: Mutex<BTreeMap<String, u64>>,
}

impl World {
    /// A world without nodes.
    ///
    /// - `logs`: whether events are written down.
    pub fn new(seed: u64, partitions: Vec<Partition>, logs: bool) -> Arc<Self> {
        let time = Time::default();
        Arc::new(Self {
            net: Mutex::new(Net::new(time.clone(), seed, partitions)),
            time,
            peers: Mutex::default(),
            online: Mutex::default(),
            hubs: Mutex::default(),
            events: logs.then(Mutex::default),
            failures: Mutex::default(),
            counts: Mutex::default(),
        })
    }

    /// A node that can be asked.
    pub fn add_peer(&self, peer: Peer) {
        locked(&self.peers).insert(peer.id, Arc::new(peer));
    }

    /// A node that asks.
    pub fn add_hub(&self, hub: &Arc<Hub>) {
        locked(&self.hubs).insert(hub.id(), Arc::downgrade(hub));
    }

    /// The node called `id`, if it can be asked.
    pub fn peer(&self, id: NodeId) -> Option<Arc<Peer>> {
        locked(&self.peers).get(&id).cloned()
    }

    /// Every node that can be asked.
    pub fn peers(&self) -> Vec<Arc<Peer>> {
        locked(&self.peers).values().cloned().collect()
    }

    /// Whether the node is there.
    pub fn is_online(&self, id: NodeId) -> bool {
        locked(&self.online).contains(&id)
    }

    /// A node comes or goes. Whoever is connected to one that goes finds out at once.
    pub fn set_online(&self, id: NodeId, online: bool) {
        self.log(|| format!("node {id} {}", if online { "comes" } else { "goes" }));
        if online {
            locked(&self.online).insert(id);
        } else {
            locked(&self.online).remove(&id);
            self.cut(|_, peer| peer == id);
        }
    }

    /// Close all connections of an asking node to an asked one that `which` names.
    pub fn cut(&self, which: impl Fn(NodeId, NodeId) -> bool) {
        let hubs: Vec<_> = locked(&self.hubs).values().filter_map(Weak::upgrade).collect();
        for hub in hubs {
            for peer in hub.connected() {
                if which(hub.id(), peer) {
                    hub.on_closed(peer, false);
                }
            }
        }
    }

    /// An asking node that is itself asked for its status learns that of who asks.
    pub fn greet(&self, from: NodeId, to: NodeId, ask: &Ask) {
        let hub = locked(&self.hubs).get(&to).and_then(Weak::upgrade);
        if let (Some(hub), Ask::Status(status)) = (hub, ask) {
            hub.on_greeted(from, status);
        }
    }

    /// Write an event down, if events are.
    pub fn log(&self, event: impl FnOnce() -> String) {
        if let Some(events) = &self.events {
            let now = self.time.now();
            locked(events).push(format!("{:>11.6} {}", now.as_secs_f64(), event()));
        }
    }

    /// A property does not hold.
    pub fn fail(&self, reason: String) {
        self.log(|| format!("FAILURE {reason}"));
        let now = self.time.now().as_secs_f64();
        let mut failures = locked(&self.failures);
        // One cause can show a thousand times.
        if failures.len() < 20 {
            failures.push(format!("at {now:.3} s: {reason}"));
        }
    }

    /// Whether a property has failed.
    pub fn has_failed(&self) -> bool {
        !locked(&self.failures).is_empty()
    }

    /// Count something that happened.
    pub fn count(&self, what: &str, by: u64) {
        if by > 0 {
            *locked(&self.counts).entry(what.to_owned()).or_default() += by;
        }
    }

    /// The events so far.
    pub fn take_events(&self) -> Vec<String> {
        self.events
            .as_ref()
            .map(|events| std::mem::take(&mut *locked(events)))
            .unwrap_or_default()
    }

    /// The properties that did not hold.
    pub fn take_failures(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.failures))
    }

    /// What happened, and how often.
    pub fn take_counts(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *locked(&self.counts))
    }
}
