//! Random events: what always holds, holds after each. [`Net::settle`] checks it; here is who may be banned at all, that
//! nothing is due twice, that nothing is left behind, and that equal seeds do equal things.

use super::*;
use rand::RngExt;
use std::collections::BTreeSet;

/// Tells the seed if the test fails, wherever that is.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}", self.0);
        }
    }
}

/// What happens to one net in 400 random events; returns everything that the policy did.
fn run(seed: u64) -> String {
    let _seed = Seed(seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut net = Net::new(5);
    let mut open = Vec::new();
    let mut judging = Vec::new();
    let mut receipts = Vec::new();
    // Who gave something false, or displeased the operator.
    let mut guilty = BTreeSet::new();
    let mut done = String::new();
    for _ in 0..400 {
        // Now and then so much time that bans, paroles and the watchdog have their turn.
        let pause = [300, 300, 300, 300, 70_000][rng.random_range(0..5)];
        net.now += Duration::from_millis(rng.random_range(0..pause));
        let now = net.now;
        let peer = rng.random_range(0..12);
        match rng.random_range(0..18) {
            0..=3 => open.push(net.ask(rng.random_range(0..900), if rng.random() { GOOD } else { WRONG })),
            4 if !open.is_empty() => {
                let id = open.swap_remove(rng.random_range(0..open.len()));
                // A caller that looks at an answer, or has it, has no more to withdraw.
                if !judging.contains(&id) {
                    net.policy.on_withdraw(now, id);
                }
            }
            5..=7 if !net.asked.is_empty() => {
                let (peer, attempt, request) = net.asked.swap_remove(rng.random_range(0..net.asked.len()));
                let bytes = rng.random_range(1..100_000);
                let delivered = net.policy.on_delivered(now, peer, attempt, bytes);
                if let Some(id) = delivered {
                    assert_eq!(
                        net.policy.judged(id),
                        Some(request),
                        "answers are to what was asked"
                    );
                    judging.push(id);
                }
            }
            8 if !net.asked.is_empty() => {
                let (peer, attempt, _) = net.asked.swap_remove(rng.random_range(0..net.asked.len()));
                let failures = [
                    Failure::Timeout,
                    Failure::Broken,
                    Failure::Malformed,
                    Failure::Local,
                ];
                let failure = failures[rng.random_range(0..4)];
                if failure == Failure::Malformed {
                    guilty.insert(peer);
                }
                net.policy.on_failed(now, peer, attempt, failure);
            }
            9 if !judging.is_empty() => {
                let id = judging.swap_remove(rng.random_range(0..judging.len()));
                let turns = [
                    Turn::Unavailable,
                    Turn::Busy(secs(1)),
                    Turn::Refused,
                    Turn::Malformed,
                ];
                let turn = turns[rng.random_range(0..4)];
                if turn == Turn::Malformed
                    && let Some(fetch) = net.policy.fetches.get(&id)
                    && let Caller::Judges { peer, .. } = fetch.caller
                {
                    guilty.insert(peer);
                }
                net.policy.on_turned(now, id, turn);
            }
            10 if !judging.is_empty() => {
                let id = judging.swap_remove(rng.random_range(0..judging.len()));
                receipts.extend(net.policy.on_accepted(now, id, 100));
            }
            11 if !receipts.is_empty() => {
                let receipt = receipts.swap_remove(rng.random_range(0..receipts.len()));
                let verdict = [Some(true), Some(true), Some(false), None][rng.random_range(0..4)];
                if verdict == Some(false) {
                    guilty.insert(receipt.peer());
                }
                net.policy.on_verdict(now, &receipt, verdict);
            }
            12 => net.policy.on_disconnected(now, peer, rng.random()),
            13 => {
                let addresses = [None, Some("203.0.113.7"), Some("2001:db8::1"), Some("127.0.0.1")];
                let address = addresses[rng.random_range(0..4)];
                if net
                    .policy
                    .admit(&peer, address.map(|ip| ip.parse().unwrap()))
                    .is_ok()
                {
                    net.join(peer, address);
                }
            }
            14 if rng.random_bool(0.2) => {
                guilty.insert(peer);
                net.policy.on_ban(now, peer);
            }
            15 if rng.random_bool(0.3) => {
                net.policy.on_pardon(now, peer);
            }
            16 => net.policy.on_unreachable(now, peer),
            17 => {
                // A node that stops and starts again knows who did what.
                let records = net.policy.records(now);
                let mut again = Net::seeded(0, seed);
                again.now = now;
                again.policy.restore(now, records.clone());
                assert_eq!(again.policy.records(now), records);
            }
            _ => net.policy.on_timeout(now),
        }
        net.settle();
        let next = net.policy.poll_timeout(net.now);
        net.policy.on_timeout(net.now);
        net.settle();
        let after = net.policy.poll_timeout(net.now);
        assert!(after.is_none_or(|at| at > net.now), "{next:?} then {after:?}");
        done += &format!("{:?} {:?} {:?}\n", net.asked.last(), net.policy.slots(), after);
    }
    let banned: BTreeSet<_> = net.bans.iter().copied().collect();
    assert!(banned.is_subset(&guilty), "{banned:?} of {guilty:?}");
    // Whatever happened: with everything withdrawn nothing is left.
    for n in 0..=net.policy.next {
        net.policy.on_withdraw(net.now, FetchId(n));
    }
    net.settle();
    assert_eq!(net.policy.slots(), (0, 0, 0));
    done
}

#[test]
fn p3_and_what_else_always_holds_hold_after_any_event() {
    for seed in 0..24 {
        run(seed);
    }
}

#[test]
fn equal_seeds_and_events_do_equal_things() {
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
