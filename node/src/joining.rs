//! The newest checkpoint that the trust policy accepts, from peers: for a sync that is given no target.

use crate::believing::{Believing, Refused};
use crate::bootstrap::LOOK_EVERY;
use crate::config::Config;
use crate::folder::{self, Folder};
use crate::network::{self, Hooks, Network};
use crate::source::Nothing;
use crate::unreached::{self, Tell, Unreached};
use cordee_protocol::wire::checkpoint::Signed;
use libp2p::Multiaddr;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long others may still show a newer one, once one is accepted: a round trip or two.
const SETTLE: Duration = Duration::from_millis(500);

/// Why there is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// The swarm.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// What was believed before.
    #[error(
        "cannot read the kept checkpoints; restore checkpoints.json, or move it away if this node never signs"
    )]
    Kept(#[source] std::io::Error),
    /// No policy.
    #[error(
        "nothing to aim at: name a target with --target, a checkpoint file with --checkpoint, or the signers to trust in \
         `trust.signers`"
    )]
    NoPolicy,
    /// Nobody of this network.
    #[error("{}", unreached::strangers(.0))]
    Strangers(String),
    /// A fork.
    #[error("{0}")]
    Fork(String),
    /// Nothing came that is accepted.
    #[error("no checkpoint that the trust policy accepts came in {} s{}", after.as_secs_f64(), seen(*peers, why, refused.as_deref()))]
    None {
        /// For how long it was waited.
        after: Duration,
        /// Peers of this network connected at the end.
        peers: usize,
        /// What is known of the others, and of each address.
        why: String,
        /// The last one that was not accepted.
        refused: Option<Box<Refused>>,
    },
}

impl Error {
    /// Whether what peers showed was looked at, and not accepted.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Fork(_) | Self::None { refused: Some(_), .. })
    }
}

fn seen(peers: usize, why: &str, refused: Option<&Refused>) -> String {
    match (refused, peers) {
        (Some(refused), _) => format!(
            ": the one at height {} was refused, as {}",
            refused.height, refused.message
        ),
        (None, 0) => {
            format!(": nobody could be asked{why}; check the addresses, and that `cordee run` is up there")
        }
        (None, n) => {
            format!(": peers connected: {n}, and none has one; ask their operators whether a publisher signs")
        }
    }
}

/// Ask `peers`, beside those of the settings, until one is accepted.
///
/// - `tell`: told whom it cannot ask, while it can ask nobody.
///
/// # Errors
/// [`Error`].
pub async fn newest(folder: &Folder, peers: &[Multiaddr], tell: Tell) -> Result<Signed, Error> {
    let policy = folder.policy()?.ok_or(Error::NoPolicy)?;
    let believing = Arc::new(Believing::open(folder, policy).map_err(Error::Kept)?);
    let mut config = folder.config().clone();
    config.network.peers.extend(peers.iter().cloned());
    let source = Arc::new(Nothing::new(&config.network.name, &config.network.kind));
    let mut hooks = Hooks::new(folder, source);
    hooks.believing = Some(Arc::clone(&believing));
    let network = Network::start(folder.keypair()?, &config, &[], hooks, &mut Registry::default()).await?;
    let mut news = believing.news();
    let after = config.sync.no_peer_timeout;
    // What was believed before is good enough if nothing newer comes soon.
    let patience = if believing.newest().is_some() {
        4 * SETTLE
    } else {
        after
    };
    let heard = tokio::time::timeout(patience, async {
        while believing.fork().is_none() {
            // The sender is in `believing`.
            let _ = news.changed().await;
            if believing.newest().is_some() {
                tokio::time::sleep(SETTLE).await;
                return;
            }
        }
    });
    let strangers = tokio::select! {
        // Without an answer the last word is what is believed already.
        _ = heard => None,
        why = strangers(&network, &config, &tell) => Some(why),
    };
    let view = network.view().borrow().clone();
    network.stop().await;
    let standing = believing.standing();
    if let Some(fork) = standing.fork {
        return Err(Error::Fork(fork));
    }
    if let Some(newest) = believing.newest() {
        return Ok(newest);
    }
    if let Some(why) = strangers {
        return Err(Error::Strangers(why));
    }
    Err(Error::None {
        after,
        peers: view.usable(),
        why: unreached::reasons(&view),
        refused: standing.refused.map(Box::new),
    })
}

/// Say whom `network` cannot ask. Ends, with the reasons, once only peers of other networks or kinds could be reached for too long.
async fn strangers(network: &Network, config: &Config, tell: &Tell) -> String {
    let mut unreached = Unreached::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let (now, view) = (Instant::now(), network.view().borrow().clone());
        if let Some(said) = unreached.on_look(now, &view) {
            tell(&said);
        }
        if unreached::is_among_strangers(config, unreached.strangers_for(now)) {
            return unreached::reasons(&view);
        }
    }
}
