//! One honest peer among many that are not.

use super::*;
use rand::RngExt;

/// What a peer does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Habit {
    Honest,
    WrongOperations,
    Junk,
    Unavailable,
    Busy,
    Silent,
    Broken,
    Leaves,
}

#[test]
fn one_honest_peer_among_twenty_is_enough() {
    use Habit::*;
    for seed in 0..100 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let habits: Vec<_> = (0..20)
            .map(|peer| match peer {
                13 => Honest,
                _ => {
                    [WrongOperations, Junk, Unavailable, Busy, Silent, Broken, Leaves][rng.random_range(0..7)]
                }
            })
            .collect();
        let mut net = Net::seeded(20, seed);
        let mut wanted = 40;
        let mut lied = std::collections::BTreeSet::new();
        for start in 0..8 {
            net.ask(start, GOOD);
        }
        while wanted > 0 {
            assert!(net.now < secs(3600), "seed {seed}: {:?}", net.policy.why(net.now));
            if net.asked.is_empty() {
                net.advance(secs(1));
            }
            for (peer, attempt, request) in std::mem::take(&mut net.asked) {
                net.now += Duration::from_millis(1);
                let habit = habits[peer as usize];
                match habit {
                    Silent => continue,
                    Broken => net.policy.on_failed(net.now, peer, attempt, Failure::Broken),
                    Leaves => {
                        net.policy.on_disconnected(net.now, peer, false);
                        net.join(peer, None);
                    }
                    _ => {
                        let Some(id) = net.policy.on_delivered(net.now, peer, attempt, 12_800) else {
                            continue;
                        };
                        match habit {
                            Junk => net.policy.on_turned(net.now, id, Turn::Malformed),
                            Unavailable => net.policy.on_turned(net.now, id, Turn::Unavailable),
                            Busy => net.policy.on_turned(net.now, id, Turn::Busy(secs(1))),
                            _ => {
                                let receipt = net.policy.on_accepted(net.now, id, 100).unwrap();
                                net.policy.on_verdict(net.now, &receipt, Some(habit == Honest));
                                wanted -= i32::from(habit == Honest);
                                // The engine asks for what was refused again, or for what is next.
                                net.ask(request.start().get(), GOOD);
                            }
                        }
                        if matches!(habit, Junk | WrongOperations) {
                            lied.insert(peer);
                        }
                    }
                }
                net.settle();
            }
        }
        let banned: std::collections::BTreeSet<_> = net.bans.iter().copied().collect();
        assert_eq!(banned, lied, "seed {seed}");
        assert!(net.view(13).trust > 0.0, "seed {seed}");
    }
}
