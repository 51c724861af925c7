//! What outlives connections and restarts (P22), what one prefix may have (P23), and parole (P21).

use super::*;
use crate::policy::config::SybilConfig;
use std::num::NonZeroUsize;

impl Net {
    /// `peer` lies under a root that `honest` satisfies.
    fn lie(&mut self, liar: u32) {
        while self.policy.ban(&liar).is_none() {
            self.ask(0, GOOD);
            self.answer_all(|peer| peer != liar, true);
        }
    }

    fn leave(&mut self, peer: u32) {
        self.policy.on_disconnected(self.now, peer, true);
        self.settle();
    }
}

#[test]
fn p22_offences_have_reasons_and_times_and_outlive_a_reconnect_and_a_restart() {
    let mut net = Net::new(2);
    net.lie(1);
    let banned_at = net.now;
    net.leave(1);
    assert!(matches!(net.policy.admit(&1, None), Err(Denied::Banned(_))));
    assert_eq!(
        net.view(1).log,
        [Misdeed {
            offence: Offence::Lie,
            at: banned_at
        }]
    );

    let records = net.policy.records(net.now);
    let mut again = Net::new(0);
    again.now = net.now + secs(600);
    again.policy.restore(again.now, records);
    let (before, after) = (net.view(1), again.view(1));
    assert_eq!(
        (after.log, after.offences, after.ban),
        (before.log, before.offences, before.ban)
    );
    assert!(matches!(again.policy.admit(&1, None), Err(Denied::Banned(_))));
    // Half of what the honest one had won is left after one half-life.
    assert!((again.view(0).trust - net.view(0).trust / 2.0).abs() < 1e-9);

    // The ban ends in its time, and the next is four times as long.
    again.advance(secs(3000));
    assert_eq!(again.unbanned, [1]);
    assert!(again.policy.admit(&1, None).is_ok());
    again.join(0, None);
    again.join(1, None);
    assert_eq!(again.view(1).state, State::Limited, "re-enters at -20");
    again.leave(0);
    again.ask(0, GOOD);
    again.answer_all(|_| false, true);
    again.join(0, None);
    again.ask(0, GOOD);
    again.answer_all(|_| true, true);
    let left = again.view(1).ban.unwrap().until - again.now;
    assert!(left > secs(4 * 3600 - 10) && left <= secs(4 * 3600));

    again.policy.on_pardon(again.now, 1);
    again.settle();
    assert!(again.policy.admit(&1, None).is_ok() && again.view(1).offences == 0);
}

#[test]
fn p22_what_is_remembered_is_bounded_and_the_banned_stay_longest() {
    let mut config = Config::default();
    (config.trust.remembered_banned, config.trust.remembered) = (3, 2);
    let mut net = Net::with(0, config.clone(), 7);
    for peer in 0..10 {
        net.join(peer, None);
        if peer % 2 == 0 {
            net.policy.on_ban(net.now, peer);
        } else {
            net.penalise(peer);
        }
        net.leave(peer);
        net.now += secs(1);
    }
    let records = net.policy.records(net.now);
    let banned: Vec<_> = (records.iter())
        .filter(|record| record.standing.ban.is_some())
        .map(|record| record.peer)
        .collect();
    assert_eq!(banned, [4, 6, 8], "whose ban lasts longest");
    assert_eq!(records.len(), 5);
    assert!(net.policy.peers.len() <= 5);

    // A record from a clock that was wrong makes no endless ban, and no trust beyond the ends of the scale.
    let standing = Standing {
        trust: f64::NAN,
        at: secs(1 << 40),
        offences: 3,
        log: vec![
            Misdeed {
                offence: Offence::Lie,
                at: secs(1)
            };
            100
        ],
        bans: u32::MAX,
        ban: Some(Ban {
            reason: Offence::Lie,
            until: Duration::MAX,
        }),
    };
    let mut again = Net::with(0, config, 7);
    again.policy.restore(
        again.now,
        [Record {
            peer: 1,
            standing,
            prefix: Prefix::Own,
        }],
    );
    let view = again.view(1);
    assert_eq!(view.ban.unwrap().until, again.now + secs(24 * 3600));
    assert!(view.trust == 0.0 && view.log.len() == 8);
    again.advance(secs(25 * 3600));
    again.policy.on_ban(again.now, 1);
    again.settle();
}

impl Net {
    fn penalise(&mut self, peer: u32) {
        self.policy.penalise(self.now, peer, Offence::Timeout);
        self.settle();
    }
}

#[test]
fn p23_a_prefix_has_a_quarter_of_slots_and_connections_and_probation_after_five_bans() {
    let config = Config {
        sybil: SybilConfig {
            connections: NonZeroUsize::new(40),
            ..SybilConfig::default()
        },
        ..Config::default()
    };
    let mut net = Net::with(0, config, 7);
    let address = |n: u32| format!("203.0.113.{n}");
    let ip = |n: u32| Some(address(n).parse().unwrap());
    for n in 1..=10 {
        assert_eq!(net.policy.admit(&n, ip(n)), Ok(()), "{n}");
        net.join(n, Some(&address(n)));
    }
    let prefix: Prefix = "203.0.113.0/24".parse().unwrap();
    assert_eq!(net.policy.admit(&11, ip(11)), Err(Denied::Crowded(prefix)));
    assert_eq!(
        net.policy.admit_address(ip(11)),
        Err(Denied::Crowded(prefix)),
        "before it says who it is"
    );
    assert_eq!(
        net.policy.admit(&10, ip(10)),
        Ok(()),
        "a second connection of one"
    );
    assert_eq!(net.policy.admit(&11, Some("10.0.0.1".parse().unwrap())), Ok(()));

    for start in 0..100 {
        net.ask(start, GOOD);
    }
    assert_eq!(net.asked.len(), 16, "a quarter of 64");
    for n in 100..110 {
        net.join(n, Some("127.0.0.1"));
    }
    assert_eq!(net.asked.len(), 16 + 20, "loopback is exempt");

    // One short of too many: nobody else is held to account.
    for n in 1..=5 {
        net.policy.on_ban(net.now, n);
        net.leave(n);
    }
    assert_eq!(net.policy.admit(&20, ip(20)), Ok(()));
    net.policy.on_ban(net.now, 6);
    net.leave(6);
    assert_eq!(net.policy.admit(&20, ip(20)), Err(Denied::Probation(prefix)));
    (7..=10).for_each(|n| net.leave(n));
    assert_eq!(net.policy.admit(&20, ip(20)), Ok(()), "one at a time");
    net.join(20, Some(&address(20)));
    let of_prefix = net
        .policy
        .attempts
        .values()
        .filter(|attempt| attempt.peer == 20)
        .count();
    assert!(of_prefix <= 1, "one request");
    // Bans that end are counted no more.
    net.advance(secs(3601));
    assert_eq!(net.policy.admit(&21, ip(21)), Ok(()));
}

#[test]
fn p21_when_nobody_is_left_the_banned_are_let_in_one_at_a_time_for_one_operation() {
    let mut net = Net::new(4);
    for liar in [1, 2] {
        net.lie(liar);
        net.leave(liar);
    }
    net.policy.on_ban(net.now, 3);
    net.settle();
    (0..4)
        .filter(|peer| *peer != 1 && *peer != 2)
        .for_each(|peer| net.leave(peer));
    net.ask(0, GOOD);
    net.advance(secs(59));
    assert!(net.paroled.is_empty(), "not before 60 s");
    net.advance(secs(2));
    assert_eq!(net.paroled, [1], "one at a time");
    assert!(net.policy.admit(&1, None).is_ok() && net.policy.admit(&2, None).is_err());
    assert_eq!(net.view(1).state, State::Paroled);
    net.advance(secs(31));
    assert_eq!(
        (&net.paroled[..], &net.revoked[..]),
        (&[1, 2][..], &[1][..]),
        "it did not come"
    );

    // This one lies again, and its next ban is longer.
    net.join(2, None);
    let (peer, attempt, asked) = net.asked.pop().unwrap();
    assert_eq!((peer, asked.max_ops()), (2, 1), "one operation");
    let id = net.policy.on_delivered(net.now, 2, attempt, 100).unwrap();
    let receipt = net.policy.on_accepted(net.now, id, 1).unwrap();
    net.policy.on_verdict(net.now, &receipt, Some(false));
    net.settle();
    let left = net.view(2).ban.unwrap().until - net.now;
    assert!(left > secs(4 * 3600 - 1), "{left:?}");
    net.leave(2);

    // The other one is asked again later, and has learnt.
    net.ask(0, GOOD);
    net.advance(secs(61));
    assert_eq!(net.paroled.last(), Some(&1));
    net.join(1, None);
    let (peer, attempt, _) = net.asked.pop().unwrap();
    assert_eq!(peer, 1);
    let id = net.policy.on_delivered(net.now, 1, attempt, 100).unwrap();
    let receipt = net.policy.on_accepted(net.now, id, 1).unwrap();
    net.policy.on_verdict(net.now, &receipt, Some(true));
    net.settle();
    assert_eq!((net.view(1).state, &net.unbanned[..]), (State::Limited, &[1][..]));
    assert!(!net.paroled.contains(&3), "the operator's word stands");
}

#[test]
fn p21_who_cannot_be_reached_makes_room_for_the_next() {
    let mut net = Net::new(3);
    for liar in [1, 2] {
        net.lie(liar);
        net.leave(liar);
    }
    net.leave(0);
    net.ask(0, GOOD);
    net.advance(secs(61));
    net.policy.on_unreachable(net.now, 1);
    net.settle();
    assert_eq!((&net.paroled[..], &net.revoked[..]), (&[1, 2][..], &[1][..]));
    // And nobody is dialled over and over.
    net.policy.on_unreachable(net.now, 2);
    net.settle();
    assert_eq!(net.paroled.len(), 2);
    net.advance(secs(40));
    assert_eq!(net.paroled.len(), 2);
    net.advance(secs(30));
    assert!(net.paroled.len() > 2);
    // When somebody honest comes, nobody is let in any more.
    net.join(0, None);
    net.answer_all(|_| true, true);
    net.ask(0, GOOD);
    net.answer_all(|_| true, true);
    net.advance(secs(31));
    let so_far = net.paroled.len();
    net.advance(secs(300));
    assert_eq!(net.paroled.len(), so_far);
}

#[test]
fn p11_what_nobody_asked_for_does_nothing() {
    let mut net = Net::new(2);
    net.ask(0, GOOD);
    let (peer, attempt, _) = net.asked.pop().unwrap();
    let slots = net.policy.slots();
    // An answer of somebody else, of nobody, and the same one twice.
    assert_eq!(
        net.policy.on_delivered(net.now, 1 - peer, AttemptId(999), 10),
        None
    );
    assert_eq!(net.policy.on_delivered(net.now, 77, AttemptId(998), 10), None);
    assert_eq!(net.policy.slots(), slots);
    let id = net.policy.on_delivered(net.now, peer, attempt, 10).unwrap();
    assert_eq!(net.policy.on_delivered(net.now, peer, attempt, 10), None);
    net.settle();
    assert!(net.policy.on_accepted(net.now, id, 100).is_some());
    net.settle();
    assert!(net.penalties.is_empty() && net.policy.totals().unwanted_bytes == 30);
}

#[test]
fn p13_what_a_newer_status_no_longer_claims_costs_nothing() {
    for (case, oldest, penalties) in [("still claimed", 0, 1), ("pruned meanwhile", 500, 0)] {
        let mut net = Net::new(1);
        net.ask(0, GOOD);
        let (peer, attempt, _) = net.asked.pop().unwrap();
        net.policy.on_status(net.now, peer, status("net", oldest, 1000));
        let id = net.policy.on_delivered(net.now, peer, attempt, 3).unwrap();
        net.policy.on_turned(net.now, id, Turn::Unavailable);
        net.settle();
        assert_eq!(net.penalties.len(), penalties, "{case}");
        net.asked.clear();
        net.advance(secs(29));
        assert!(net.asked.is_empty(), "{case}: not asked for 30 s");
    }
}

#[test]
fn p16_a_burst_of_busy_is_one_setback_and_busy_at_once_is_not_asked_at_once() {
    let mut net = Net::new(1);
    for start in 0..200 {
        net.ask(start, GOOD);
        net.answer_all(|_| true, true);
    }
    assert_eq!(net.view(0).window, 16);
    for start in 0..16 {
        net.ask(start, GOOD);
    }
    net.now += Duration::from_millis(1);
    let asked = std::mem::take(&mut net.asked);
    assert_eq!(asked.len(), 16);
    for (peer, attempt, _) in asked {
        let id = net.policy.on_delivered(net.now, peer, attempt, 3).unwrap();
        net.policy.on_turned(net.now, id, Turn::Busy(Duration::ZERO));
        net.settle();
    }
    assert_eq!(net.view(0).window, 8);
    assert!(net.asked.is_empty() && net.view(0).state == State::Paused);
    net.advance(Duration::from_millis(60));
    assert_eq!(net.asked.len(), 8);
}
