//! How peers are found: Kademlia over the whole network, mDNS in the local one. What to do with them: [`super::finding`].
//!
//! Kademlia is used for its routing table alone: records and providers that others want stored are refused. The table has at most
//! 256 buckets of 20 peers of [`ADDRESSES`](super::finding::ADDRESSES) addresses, most of them empty; a peer enters it once it is
//! connected and has told, by identify, where it listens. Who does not listen asks and is not in it.

use crate::config::Network;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::{PeerId, StreamProtocol, kad, mdns};
use std::time::Duration;

/// Of nothing.
pub(super) type Store = MemoryStore;

/// How long one walk may take.
const WALK_WITHIN: Duration = Duration::from_secs(20);

/// How often all of the table is looked after.
const REFRESH_EVERY: Duration = Duration::from_secs(600);

/// The protocol's name in libp2p: networks do not mix.
pub(super) fn protocol(network: &str) -> StreamProtocol {
    let name = format!("/cordee/{network}/kad/1");
    StreamProtocol::try_from_owned(name).unwrap_or_else(|_| unreachable!("it begins with a slash"))
}

/// Kademlia, if it is to be used.
pub(super) fn kademlia(peer: PeerId, config: &Network, listens: bool) -> Option<kad::Behaviour<Store>> {
    if !config.discovery {
        return None;
    }
    let mut settings = kad::Config::new(protocol(&config.name));
    settings
        .set_query_timeout(WALK_WITHIN)
        .set_periodic_bootstrap_interval(Some(REFRESH_EVERY))
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        // Given to us as events, which are dropped.
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_caching(kad::Caching::Disabled);
    let nothing = MemoryStoreConfig {
        max_records: 0,
        max_value_bytes: 0,
        max_providers_per_key: 0,
        max_provided_keys: 0,
    };
    let store = MemoryStore::with_config(peer, nothing);
    let mut kad = kad::Behaviour::with_config(peer, store, settings);
    kad.set_mode(Some(if listens {
        kad::Mode::Server
    } else {
        kad::Mode::Client
    }));
    Some(kad)
}

/// mDNS, if it is to be used.
pub(super) fn neighbours(peer: PeerId, config: &Network) -> Result<Option<mdns::tokio::Behaviour>, String> {
    if !config.mdns {
        return Ok(None);
    }
    let behaviour = mdns::tokio::Behaviour::new(mdns::Config::default(), peer);
    let behaviour = behaviour.map_err(|error| format!("mDNS: {error}; turn `network.mdns` off"))?;
    Ok(Some(behaviour))
}
