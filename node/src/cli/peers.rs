//! `cordee peers`: what a running node knows of its peers, and the operator's word on them.

use super::status::{NodeArgs, understood};
use super::{Failure, output};
use clap::{Args, Subcommand};
use libp2p::PeerId;
use serde::Deserialize;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// The running node's peers: trust, rate, window, requests, offences, bans
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cordee peers -C alps\n  cordee peers --http 127.0.0.1:7371 --json\n  \
                  cordee peers ban -C alps 12D3KooW..\n  cordee peers pardon -C alps 12D3KooW.."
)]
pub(super) struct Peers {
    #[command(flatten)]
    node: NodeArgs,

    #[command(subcommand)]
    order: Option<Order>,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Disconnect a peer and refuse it, for as long as a first lie would cost it; longer each time
    Ban(OrderArgs),
    /// Forget everything that a peer did, and refuse it no longer
    Pardon(OrderArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cordee peers ban -C alps 12D3KooW..\n  cordee peers pardon -C alps 12D3KooW..\n\n\
                        A node with `http.token_file` set wants the token of that file: name the folder with -C."
)]
struct OrderArgs {
    #[command(flatten)]
    node: NodeArgs,

    /// Which peer, as `cordee peers` lists it
    #[arg(value_name = "PEER_ID", value_parser = peer_id)]
    peer: PeerId,
}

fn peer_id(text: &str) -> Result<PeerId, String> {
    let parsed = text.parse();
    parsed.map_err(|error| format!("{error}; a peer id looks like 12D3KooW.., and `cordee peers` lists them"))
}

impl Peers {
    pub(super) fn execute(self) -> Result<(), Failure> {
        match self.order {
            None => list(&self.node),
            Some(Order::Ban(args)) => args.order("ban"),
            Some(Order::Pardon(args)) => args.order("pardon"),
        }
    }
}

fn list(node: &NodeArgs) -> Result<(), Failure> {
    let answer = node.ask("/v1/peers")?;
    let peers: Vec<PeerView> = understood(&answer)?;
    let mut text = format!("{} known", output::counted(peers.len() as u64, "peer"));
    for peer in peers {
        text.push('\n');
        text += &peer.text();
    }
    output::result(node.json, &answer, &text)
}

impl OrderArgs {
    fn order(&self, what: &str) -> Result<(), Failure> {
        let answer = self.node.order(&format!("/v1/peers/{}/{what}", self.peer))?;
        let peer: PeerView = understood(&answer)?;
        output::result(self.node.json, &answer, &peer.text())
    }
}

/// The part of a peer that is shown, here and by `cordee top`.
#[derive(Debug, Deserialize)]
pub(super) struct PeerView {
    pub(super) peer_id: String,
    pub(super) state: String,
    pub(super) trust: f64,
    pub(super) rate: Option<f64>,
    pub(super) window: u64,
    pub(super) in_flight: u64,
    pub(super) ops: u64,
    pub(super) refused: u64,
    pub(super) offences: u64,
    pub(super) recent_offences: Vec<OffenceView>,
    pub(super) ban_reason: Option<String>,
    pub(super) ban_until: Option<f64>,
    pub(super) ban_left_s: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OffenceView {
    pub(super) reason: String,
    pub(super) what: String,
    pub(super) at: f64,
}

impl PeerView {
    /// One line for the peer, and one for each thing to be said of it.
    fn text(&self) -> String {
        let mut text = format!("{}  {}, trust {:.1}", self.peer_id, self.state, self.trust);
        // Writing to a string does not fail.
        if let Some(rate) = self.rate {
            let _ = write!(text, ", {:.1} MB/s", rate / 1e6);
        }
        let _ = write!(
            text,
            ", {} of {} in flight, {}, {} refused, {}",
            self.in_flight,
            output::counted(self.window, "request"),
            output::counted(self.ops, "operation"),
            self.refused,
            output::counted(self.offences, "offence"),
        );
        for offence in &self.recent_offences {
            let _ = write!(
                text,
                "\n    {}  {}: it {}",
                date(offence.at),
                offence.reason,
                offence.what
            );
        }
        if let (Some(until), Some(left)) = (self.ban_until, self.ban_left_s) {
            let left = output::time(left);
            let _ = write!(text, "\n    banned until {}, {left} more", date(until));
        }
        text
    }
}

/// `2026-11-25 02:40:01Z`.
fn date(seconds: f64) -> String {
    // Up to the year 9999, which is as far as the format goes.
    let since = Duration::from_secs_f64(seconds.clamp(0.0, 253_402_300_799.0));
    let text = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + since).to_string();
    text.replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_shown_with_its_offences_and_its_ban() {
        let json = r#"{"peer_id":"12D3","state":"banned","trust":-50.0,"rate":2500000.0,"window":4,"in_flight":0,
            "ops":1,"refused":2,"offences":1,"ban_until":1700003600.0,"ban_left_s":3599.2,"more":7,
            "recent_offences":[{"reason":"lie","what":"gave an answer that fails verification","at":1700000000.4}]}"#;
        let peer: PeerView = serde_json::from_str(json).unwrap();
        assert_eq!(
            peer.text(),
            "12D3  banned, trust -50.0, 2.5 MB/s, 0 of 4 requests in flight, 1 operation, 2 refused, 1 offence\n    \
             2023-11-14 22:13:20Z  lie: it gave an answer that fails verification\n    \
             banned until 2023-11-14 23:13:20Z, 59m 59s more"
        );
        assert_eq!(date(f64::MAX), "9999-12-31 23:59:59Z");
    }
}
