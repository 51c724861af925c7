//! From the joiners' own reports and the liars' own confessions to one verdict: pure.

use super::cast::Role;
use super::report::{
    Confession, Joined, JoinerReport, LiarReport, NodeReport, PeerReport, Published, Report,
};

/// Put everything together and find what is wrong with it.
pub fn judge(
    seed: u64,
    published: Published,
    nodes: Vec<NodeReport>,
    joined: &[Joined],
    confessions: &[Confession],
) -> Report {
    let joiners: Vec<_> = joined.iter().map(|joined| joiner(&published, joined)).collect();
    let liars: Vec<_> = confessions.iter().map(|liar| judge_liar(liar, joined)).collect();
    let honest: Vec<_> = nodes
        .iter()
        .filter(|node| matches!(node.role, Role::Publisher | Role::Replica))
        .filter(|node| heard_from(&node.peer_id, joined).any(|peer| peer.banned))
        .collect();

    let mut failures = Vec::new();
    for joiner in joiners.iter().filter(|joiner| !joiner.ok) {
        let why = joiner
            .error
            .as_deref()
            .unwrap_or("it reached another root than the publisher's");
        failures.push(format!("{}: {why}", joiner.name));
    }
    for liar in liars
        .iter()
        .filter(|liar| liar.provable && liar.lies_told > 0 && !liar.banned)
    {
        failures.push(format!("{} lied and was not banned: {}", liar.name, liar.reason));
    }
    for node in &honest {
        failures.push(format!("{} is honest and was banned", node.name));
    }
    let honest_banned = honest.len();
    let Published {
        kind,
        root,
        size,
        ops,
        target,
        earlier: _,
    } = published;
    Report {
        ok: failures.is_empty(),
        seed,
        kind,
        ops,
        root,
        size,
        target,
        nodes,
        joiners,
        liars,
        honest_banned,
        failures,
        trust: None,
        following: None,
    }
}

fn joiner(published: &Published, joined: &Joined) -> JoinerReport {
    let mut report = JoinerReport {
        name: joined.name.clone(),
        ok: false,
        root: None,
        size: 0,
        seconds: 0.0,
        ops_per_s: 0.0,
        bytes_received: 0,
        refused_batches: 0,
        peers_used: 0,
        error: None,
    };
    match &joined.result {
        Err(why) => report.error = Some(why.clone()),
        Ok(sync) => {
            report.ok = sync.ok && published.had(&sync.root, sync.size);
            report.root = Some(sync.root.clone());
            report.size = sync.size;
            report.seconds = sync.seconds;
            report.ops_per_s = sync.ops_fetched as f64 / sync.seconds.max(1e-3);
            report.bytes_received = sync.bytes_received;
            report.refused_batches = sync.refused_batches;
            report.peers_used = sync.peers.iter().filter(|peer| peer.ops > 0).count();
        }
    }
    report
}

fn judge_liar(liar: &Confession, joined: &[Joined]) -> LiarReport {
    // A lie on its way when the joiner had the answer from somebody else reaches nobody, and nobody can judge it.
    let listeners: Vec<_> = heard_from(&liar.peer_id, joined)
        .filter(|peer| peer.refused > 0 || peer.banned)
        .collect();
    let heard = !listeners.is_empty();
    let banned = heard && listeners.iter().all(|peer| peer.banned);
    let refused: u64 = listeners.iter().map(|peer| peer.refused).sum();
    if !liar.lie.provable {
        // Nobody can say of these whether they are lies, so whoever was asked has heard them.
        let reason = match liar.told {
            0 => "it was never asked something that it could lie about".into(),
            _ => format!(
                "not provable, an honest node may be out of luck just so: {}",
                liar.lie.what
            ),
        };
        return LiarReport {
            name: liar.name.clone(),
            peer_id: liar.peer_id.clone(),
            lie: liar.lie.name,
            provable: false,
            lies_told: liar.told,
            lies_unheard: 0,
            banned,
            reason,
        };
    }
    let ban = listeners.iter().find_map(|peer| peer.ban_reason.as_deref());
    let ban = ban.unwrap_or("lie");
    let reason = match (liar.told, heard, banned) {
        (0, false, _) => "it was never asked something that it could lie about".into(),
        (_, false, _) => "its answers came when the joiners had them from others already".into(),
        (_, true, true) => format!(
            "{refused} of its answers refused, banned for a {ban}: {}",
            liar.lie.what
        ),
        (_, true, false) => format!("{refused} of its answers refused, without a ban"),
    };
    LiarReport {
        name: liar.name.clone(),
        peer_id: liar.peer_id.clone(),
        lie: liar.lie.name,
        provable: liar.lie.provable,
        lies_told: if heard { liar.told } else { 0 },
        lies_unheard: if heard { 0 } else { liar.told },
        banned,
        reason,
    }
}

fn heard_from<'a>(peer_id: &'a str, joined: &'a [Joined]) -> impl Iterator<Item = &'a PeerReport> {
    let reports = joined.iter().filter_map(|joined| joined.result.as_ref().ok());
    reports
        .flat_map(|report| &report.peers)
        .filter(move |peer| peer.peer_id == peer_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lies::{LIES, LieInfo};
    use crate::testnet::report::SyncReport;
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    fn peer(peer_id: &str, ops: u64, refused: u64, banned: bool) -> PeerReport {
        PeerReport {
            peer_id: peer_id.into(),
            ops,
            refused,
            banned,
            ban_reason: banned.then(|| "lie".into()),
        }
    }

    fn case(root: &str, honest_banned: bool, told: u64, refused: u64, banned: bool) -> Report {
        of_lie(LIES[0], root, honest_banned, told, refused, banned)
    }

    fn unprovable(told: u64, banned: bool) -> Report {
        let lie = LIES.into_iter().find(|lie| !lie.provable).unwrap();
        of_lie(lie, "aa", false, told, 0, banned)
    }

    fn published() -> Published {
        Published {
            kind: "any-unordered-variable".into(),
            root: "aa".into(),
            size: 9,
            ops: 5,
            target: "aa@4..9".into(),
            earlier: BTreeMap::new(),
        }
    }

    fn of_lie(
        lie: LieInfo,
        root: &str,
        honest_banned: bool,
        told: u64,
        refused: u64,
        banned: bool,
    ) -> Report {
        let node = NodeReport {
            name: "publisher".into(),
            role: Role::Publisher,
            peer_id: "honest".into(),
            http: None,
            address: None,
            data_dir: PathBuf::new(),
            pid: None,
        };
        let sync = SyncReport {
            ok: true,
            root: root.into(),
            size: 9,
            seconds: 1.0,
            ops_fetched: 5,
            ops_reused: 0,
            bytes_received: 100,
            refused_batches: refused,
            peers: vec![
                peer("honest", 5, 0, honest_banned),
                peer("liar", 0, refused, banned),
            ],
        };
        let joined = Joined {
            name: "joiner-1".into(),
            result: Ok(sync),
        };
        let liar = Confession {
            name: "liar-1".into(),
            peer_id: "liar".into(),
            lie,
            told,
        };
        judge(1, published(), vec![node], &[joined], &[liar])
    }

    #[test]
    fn only_the_right_root_with_every_liar_and_no_honest_node_banned_is_fine() {
        for (what, report, ok) in [
            ("all as it should be", case("aa", false, 3, 1, true), true),
            ("another root", case("bb", false, 3, 1, true), false),
            ("an honest node banned", case("aa", true, 3, 1, true), false),
            (
                "a liar heard and not banned",
                case("aa", false, 3, 1, false),
                false,
            ),
            ("a liar whose lie is not provable", unprovable(3, false), true),
            ("a liar never asked", case("aa", false, 0, 0, false), true),
            ("a liar that was too late", case("aa", false, 1, 0, false), true),
        ] {
            assert_eq!(report.ok, ok, "{what}: {:?}", report.failures);
            assert_eq!(report.failures.is_empty(), ok, "{what}");
        }
        let quiet = unprovable(3, false);
        assert!(quiet.liars[0].reason.contains("not provable") && quiet.liars[0].lies_told == 3);
        assert!(
            case("aa", false, 3, 1, true).liars[0]
                .reason
                .contains("banned for a lie")
        );
        let late = case("aa", false, 2, 0, false);
        assert_eq!((late.liars[0].lies_told, late.liars[0].lies_unheard), (0, 2));
        assert_eq!(case("aa", true, 3, 1, true).honest_banned, 1);
    }

    #[test]
    fn a_joiner_without_a_report_says_why() {
        let joined = Joined {
            name: "joiner-1".into(),
            result: Err("no peer answered".into()),
        };
        let report = judge(1, published(), Vec::new(), &[joined], &[]);
        assert_eq!(report.failures, ["joiner-1: no peer answered"]);
    }
}
