//! Stories with several peers.

use super::*;

#[test]
fn p20_a_wrong_target_is_suspect_and_bans_nobody() {
    for (case, peers, wait) in [("five fail", 5, 0), ("two fail and time passes", 2, 61)] {
        let mut net = Net::new(peers);
        for round in 0..peers {
            net.ask(u64::from(round), WRONG);
            net.answer_all(|_| true, false);
        }
        assert!(net.suspects.is_empty(), "{case}: who is on its way is waited for");
        net.advance(secs(6));
        assert_eq!(net.suspects.is_empty(), wait > 0, "{case}");
        net.advance(secs(wait));
        let all: Vec<_> = (0..peers).collect();
        assert_eq!(net.suspects, [(WRONG, all)], "{case}");
        assert!(net.bans.is_empty(), "{case}");
        assert!((0..peers).all(|peer| net.view(peer).trust >= 0.0), "{case}");
        // Nobody is asked under it for a while; under another root everybody is.
        net.ask(0, WRONG);
        assert!(net.asked.is_empty(), "{case}");
        net.ask(0, GOOD);
        assert_eq!(net.asked.len(), 1, "{case}");
    }
}

#[test]
fn who_may_be_asked_and_who_of_them_says_to_hold_an_operation_is_counted() {
    let mut net = Net::new(2);
    net.policy.on_status(net.now, 1, status("net", 500, 1000));
    // Of another network, not heard yet, banned, and gone: none of them can be asked.
    for peer in 2..6 {
        net.policy.on_connected(net.now, peer, None);
    }
    net.policy.on_status(net.now, 2, status("other", 0, 1000));
    for peer in 4..6 {
        net.policy.on_status(net.now, peer, status("net", 0, 1000));
    }
    net.policy.on_ban(net.now, 4);
    net.policy.on_disconnected(net.now, 5, false);
    for (at, holding) in [(0, 1), (499, 1), (500, 2), (999, 2), (1000, 0)] {
        assert_eq!(
            net.policy.offers(location(at)),
            Offers { peers: 2, holding },
            "{at}"
        );
    }
}

#[test]
fn p20_a_liar_is_banned_with_the_first_success() {
    let mut net = Net::new(3);
    let mut verified = 0;
    while !net.policy.views(net.now).any(|view| view.refused > 0) {
        net.ask(0, GOOD);
        verified += net.answer_all(|peer| peer != 1, true);
    }
    while verified == 0 {
        net.ask(0, GOOD);
        verified += net.answer_all(|peer| peer != 1, true);
    }
    assert_eq!(net.bans, [1]);
    assert_eq!(net.view(1).state, State::Banned);
    assert!(net.suspects.is_empty());
}

#[test]
fn p20_three_sybils_do_not_veto_a_good_target() {
    let mut net = Net::new(0);
    for (peer, address) in [(0, "203.0.113.1"), (1, "203.0.113.2"), (2, "203.0.114.1")] {
        net.join(peer, Some(address));
    }
    for start in 0..3 {
        net.ask(start, GOOD);
        net.answer_all(|_| false, true);
    }
    assert!(net.suspects.is_empty(), "an honest peer may be on its way");
    net.advance(secs(6));
    assert_eq!(net.suspects.len(), 1, "alone they look like a wrong target");
    net.join(3, Some("198.51.100.1"));
    net.ask(0, GOOD);
    assert_eq!(net.answer_all(|peer| peer == 3, true), 1);
    // Asked again after the pause, they lie under a proven root.
    net.advance(secs(61));
    for start in 0..100 {
        net.ask(start, GOOD);
        net.answer_all(|peer| peer == 3, true);
    }
    net.bans.sort_unstable();
    assert_eq!(net.bans, [0, 1, 2]);
    assert_eq!(net.suspects.len(), 1);
}

#[test]
fn p20_quick_liars_do_not_veto_a_target_before_others_were_heard() {
    let mut net = Net::new(3);
    net.policy.on_connected(net.now, 3, None);
    net.settle();
    for start in 0..3 {
        net.ask(start, GOOD);
        net.answer_all(|_| false, true);
    }
    assert!(net.suspects.is_empty(), "one has not told what it serves");
    net.policy.on_status(net.now, 3, status("net", 0, 1000));
    net.ask(0, GOOD);
    assert_eq!(net.answer_all(|peer| peer == 3, true), 1);
    net.bans.sort_unstable();
    assert_eq!(net.bans, [0, 1, 2]);
    assert!(net.suspects.is_empty());
}

#[test]
fn p20_neighbours_are_not_enough_to_make_a_target_suspect() {
    let mut net = Net::new(0);
    for peer in 0..4 {
        net.join(peer, Some(&format!("203.0.113.{peer}")));
    }
    for start in 0..4 {
        net.ask(start, GOOD);
        net.answer_all(|_| false, true);
    }
    assert!(net.suspects.is_empty());
}

#[test]
fn p2_a_request_goes_on_until_somebody_answers() {
    let mut net = Net::new(0);
    net.ask(0, GOOD);
    assert_eq!(net.policy.why(net.now).as_deref(), Some("no peers"));
    net.join(0, None);
    let (peer, attempt, _) = net.asked.pop().unwrap();
    assert_eq!(net.policy.why(net.now), None);
    net.policy.on_failed(net.now, peer, attempt, Failure::Broken);
    net.settle();
    assert!(net.asked.is_empty(), "not the same peer at once");
    net.join(1, None);
    let (peer, attempt, _) = net.asked.pop().unwrap();
    assert_eq!(peer, 1);
    let id = net.policy.on_delivered(net.now, peer, attempt, 10).unwrap();
    net.policy.on_turned(net.now, id, Turn::Unavailable);
    net.settle();
    net.advance(secs(2));
    let (peer, _, _) = net.asked.pop().unwrap();
    assert_eq!(peer, 0, "again, as nobody else is left");
    net.advance(secs(15));
    assert!(
        net.policy.totals().retried >= 3,
        "and once more, as it did not answer"
    );
    assert!(net.bans.is_empty());
}

#[test]
fn p3_withdrawing_frees_the_slot_and_remembers_the_stream() {
    let mut net = Net::new(1);
    let ids: Vec<_> = (0..10).map(|start| net.ask(start, GOOD)).collect();
    assert_eq!(net.asked.len(), 2, "the first window");
    ids.into_iter().for_each(|id| {
        net.policy.on_withdraw(net.now, id);
        net.settle();
    });
    assert_eq!(net.policy.slots(), (0, 0, 0));
    assert_eq!(net.view(0).trust, 0.0, "P17");
    // Each withdrawn request made room for the next.
    assert_eq!(net.asked.len(), 10);
    for start in 0..200 {
        let id = net.ask(start, GOOD);
        net.policy.on_withdraw(net.now, id);
        net.settle();
    }
    assert_eq!(net.asked.len(), 64, "never more substreams than that");
    let (peer, attempt, _) = net.asked[0];
    assert_eq!(net.policy.on_delivered(net.now, peer, attempt, 1), None);
    net.ask(0, GOOD);
    assert_eq!(net.asked.len(), 65);
}

#[test]
fn p44_peers_are_asked_only_for_what_they_say_to_have() {
    for (case, status, asked, rejected) in [
        ("all of it", status("net", 0, 1000), true, false),
        ("more", status("net", 0, 2000), true, false),
        ("pruned below", status("net", 500, 1000), true, false),
        ("pruned beyond", status("net", 501, 1000), false, false),
        ("too short", status("net", 0, 999), false, false),
        (
            "no proofs for that size",
            Status {
                provable_from: location(1001),
                ..status("net", 0, 2000)
            },
            false,
            false,
        ),
        ("another network", status("other", 0, 1000), false, true),
    ] {
        let mut net = Net::new(0);
        net.ask(500, GOOD);
        net.policy.on_connected(net.now, 0, None);
        net.settle();
        assert_eq!(net.statuses, [0], "{case}");
        net.policy.on_status(net.now, 0, status);
        net.settle();
        assert_eq!(!net.asked.is_empty(), asked, "{case}");
        assert_eq!(!net.rejected.is_empty(), rejected, "{case}");
        assert_eq!(net.policy.why(net.now).is_none(), asked, "{case}");
        // Who may have more by now is asked again soon.
        let due = net.policy.peers[&0].status_due;
        let soon = due <= net.now + Duration::from_millis(500);
        assert_eq!(soon, !asked && !rejected, "{case}");
    }
}

#[test]
fn p44_who_may_have_it_any_moment_is_asked_soon_and_ever_later_while_it_tells_the_same() {
    let mut net = Net::new(0);
    net.policy.on_connected(net.now, 0, None);
    net.settle();
    net.policy.on_status(net.now, 0, status("net", 0, 999));
    net.settle();
    net.statuses.clear();
    net.now += secs(1);
    net.ask(500, GOOD);
    let mut asked = Vec::new();
    while asked.len() < 7 {
        if net.statuses.pop().is_some() {
            asked.push(net.now.as_millis());
            net.policy.on_status(net.now, 0, status("net", 0, 999));
        } else {
            net.now = net.policy.poll_timeout(net.now).unwrap();
            net.policy.on_timeout(net.now);
        }
        net.settle();
    }
    let pauses: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses[..5], [50, 100, 200, 400, 500], "{asked:?}");
    net.policy.on_status(net.now, 0, status("net", 0, 1000));
    net.settle();
    assert_eq!(net.asked.len(), 1, "it has it now");
}

#[test]
fn p12_p15_p16_faults_pause_and_limit_but_do_not_ban() {
    let mut net = Net::new(1);
    net.ask(0, GOOD);
    let (peer, attempt, _) = net.asked.pop().unwrap();
    let id = net.policy.on_delivered(net.now, peer, attempt, 3).unwrap();
    net.policy.on_turned(net.now, id, Turn::Busy(secs(1000)));
    net.settle();
    assert_eq!(
        (net.view(0).state, net.view(0).window, net.view(0).trust),
        (State::Paused, 1, 0.0)
    );
    net.advance(secs(9));
    assert!(net.asked.is_empty(), "obeyed");
    net.advance(secs(1));
    assert_eq!(net.asked.len(), 1, "for 10 s at most");
    for times in 1..=3 {
        net.policy.on_disconnected(net.now, 0, false);
        net.settle();
        net.join(0, None);
        assert_eq!(net.view(0).state, State::Paused);
        let asked = net.asked.len();
        net.advance(secs(31));
        assert_eq!(net.asked.len(), asked + 1, "P21: nobody else for 30 s");
        assert_eq!(net.view(0).trust < -15.0, times == 3, "P15");
    }
    assert!(net.bans.is_empty());
}

#[test]
fn p31_p32_fast_peers_get_more() {
    let mut net = Net::new(2);
    for start in 0..500 {
        net.ask(start % 900, GOOD);
        for (peer, attempt, _) in std::mem::take(&mut net.asked) {
            net.now += Duration::from_millis(if peer == 0 { 1 } else { 50 });
            let id = net.policy.on_delivered(net.now, peer, attempt, 12_800).unwrap();
            let receipt = net.policy.on_accepted(net.now, id, 100).unwrap();
            net.policy.on_verdict(net.now, &receipt, Some(true));
            net.settle();
        }
    }
    let (fast, slow) = (net.view(0), net.view(1));
    assert!(fast.operations > 5 * slow.operations && slow.operations > 0);
    assert!(fast.rate.unwrap() > 10.0 * slow.rate.unwrap());
    assert_eq!(fast.window, 16);
}

#[test]
fn p31_a_peer_has_no_more_open_than_fill_its_line() {
    for (case, trip, alone, most) in [
        ("next door", 1, 10, 2),
        ("near, and slow", 5, 10, 5),
        ("far away", 50, 10, 16),
        ("far away, over a thin line", 50, 100, 5),
        ("not known how far", 0, 10, 16),
    ] {
        let mut net = Net::new(1);
        if trip > 0 {
            net.now += Duration::from_millis(trip);
            net.policy.on_status_answer(net.now, 0, status("net", 0, 1000));
        }
        let mut open = 0;
        for start in 0..900 {
            net.ask(start, GOOD);
        }
        // Answers come one behind the other, each in the time that it takes alone.
        for _ in 0..500 {
            let (peer, attempt, _) = net.asked.remove(0);
            net.now += Duration::from_millis(alone);
            let id = net.policy.on_delivered(net.now, peer, attempt, 12_800).unwrap();
            let receipt = net.policy.on_accepted(net.now, id, 100).unwrap();
            net.policy.on_verdict(net.now, &receipt, Some(true));
            net.settle();
            open = net.asked.len();
        }
        assert_eq!(open, most, "{case}");
        assert_eq!(net.view(0).window, 16, "{case}");
    }
}

#[test]
fn a_pause_that_ended_while_nobody_looked_is_over() {
    let mut net = Net::new(1);
    net.ask(0, GOOD);
    let (peer, attempt, _) = net.asked.pop().unwrap();
    let id = net.policy.on_delivered(net.now, peer, attempt, 3).unwrap();
    net.policy.on_turned(net.now, id, Turn::Busy(secs(1)));
    net.settle();
    // Something else keeps the driver until just after that second: it must still be told to look.
    net.now += Duration::from_millis(1001);
    assert!(net.policy.poll_timeout(net.now).unwrap() <= net.now);
    net.policy.on_timeout(net.now);
    net.settle();
    assert_eq!(net.asked.len(), 1);
}
