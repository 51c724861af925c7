//! Sync a proven database inside a program that has a libp2p swarm of its own:
//!
//! `cargo run --release -p cordee-node --example embed -- ROOT@START..END MULTIADDR FOLDER`
//!
//! The target is believed, so it comes from somebody who is trusted: `cordee apply` prints it, a signed checkpoint holds it. The
//! peer is not trusted: what it sends is proven against the target's root before it is stored.
#![allow(clippy::print_stdout, reason = "the result of an example")]

use cordee_node::{folder::Folder, runtime::TokioRuntime};
use cordee_protocol::sync::engine::{Channels, Engine};
use cordee_resolver_p2p::{Behaviour as Sync, Config, Metrics};
use futures::StreamExt;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, SwarmBuilder, noise, ping, tcp, yamux};
use std::{error::Error, path::Path, sync::Arc, time::Duration};

/// 1. The behaviour is one field more of yours.
#[derive(NetworkBehaviour)]
struct Mine {
    ping: ping::Behaviour,
    sync: Sync,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [target, peer, path] = args.as_slice() else {
        return Err("usage: embed ROOT@START..END MULTIADDR FOLDER".into());
    };

    // 2. A folder says which network and kind of database this is; peers with others are not asked. A sync that was interrupted
    //    goes on in it.
    let folder = Folder::open(Path::new(path), Ok)
        .or_else(|_| Folder::create(Path::new(path), "local", "any-unordered-variable"))?;
    let network = &folder.config().network;

    // 3. No source: this program asks and does not serve. The handle, through which the engine asks, works from any task.
    let config = Config::new(&network.name, &network.kind);
    let sync = Sync::new(config, None, Metrics::default());
    let resolver = sync.resolver();

    // 4. Your swarm: transports, identity and whom to dial are yours. An idle timeout above 10 s keeps connections between asks.
    let ping = ping::Behaviour::default();
    let mut swarm = SwarmBuilder::with_existing_identity(folder.keypair()?)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| Mine { ping, sync })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    swarm.dial(peer.parse::<Multiaddr>()?)?;

    // 5. Drive it as ever. Its events tell who serves what, and who was banned and why; nothing has to be done about them.
    let driving = tokio::spawn(async move {
        loop {
            if let SwarmEvent::Behaviour(MineEvent::Sync(event)) = swarm.select_next_some().await {
                tracing::info!(?event);
            }
        }
    });

    // 6. The engine asks, proves and stores. It ends at the target, or because of the own disk, never because of a peer: if nobody
    //    answers it waits, so give it a time limit. `Channels` take later targets, and tell the progress.
    let target = target.parse()?;
    let local = folder.sync_into(&target)?;
    let how = folder.config().engine();
    let runtime = Arc::new(TokioRuntime::current());
    let engine = Engine::new(how, target, local, resolver, runtime, Channels::default());
    let database = tokio::time::timeout(Duration::from_secs(600), engine.run()).await??;
    driving.abort();

    // 7. A database whose root is the target's, durable and ready to be read.
    println!("root {}, {} operations", database.root(), database.log().size());
    Ok(())
}
