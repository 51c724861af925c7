//! Second copies (P34, ENGINE W13.2), small requests for slow peers (P30, P33), and the watchdog (P35).

use super::*;

/// The first ask of a net whose peers have all been measured: second copies need traffic to be a share of.
fn warm(peers: u32) -> Net {
    let mut net = Net::new(peers);
    for start in 0..40 {
        net.ask(start, GOOD);
        net.answer_all(|_| true, true);
    }
    net
}

fn deliver(net: &mut Net, (peer, attempt, _): (u32, AttemptId, Request)) -> Option<FetchId> {
    let delivered = net.policy.on_delivered(net.now, peer, attempt, 12_800);
    net.settle();
    delivered
}

fn accept(net: &mut Net, id: FetchId, verdict: Option<bool>) {
    let receipt = net.policy.on_accepted(net.now, id, 100).unwrap();
    net.settle();
    net.policy.on_verdict(net.now, &receipt, verdict);
    net.settle();
}

#[test]
fn p34_w13_2_only_the_tip_and_the_boundary_have_a_second_copy() {
    let mut net = warm(4);
    let boundary = Request::boundary(location(1000), location(7)).unwrap();
    for start in [300, 200, 100] {
        net.ask(start, GOOD);
    }
    net.policy.on_ask(net.now, boundary, GOOD);
    net.settle();
    let first = std::mem::take(&mut net.asked);
    assert_eq!(first.len(), 4);
    net.advance(Duration::from_millis(35));
    assert!(net.asked.is_empty(), "not before its time");
    net.advance(Duration::from_millis(115));
    let mut copied: Vec<_> = net.asked.iter().map(|(_, _, request)| *request).collect();
    copied.sort_unstable();
    assert_eq!(
        copied,
        [boundary, request(100)]
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
    for (peer, _, request) in &net.asked {
        let before = first.iter().find(|(_, _, same)| same == request).unwrap();
        assert_ne!(*peer, before.0, "another peer");
    }
    net.advance(Duration::from_millis(1500));
    assert_eq!(net.asked.len(), 2, "two copies at most");
    assert_eq!(net.policy.totals().hedges, 2);
}

#[test]
fn p34_the_tip_that_is_asked_for_once_more_goes_before_what_waits_for_a_peer() {
    let mut net = Net::new(1);
    let first = net.ask(100, GOOD);
    for start in [200, 300, 400, 500] {
        net.ask(start, GOOD);
    }
    // A new peer has two at once; its answer for the tip fails, and the caller asks again.
    let tip = net.asked.remove(0);
    assert_eq!(deliver(&mut net, tip), Some(first));
    accept(&mut net, first, None);
    net.ask(100, GOOD);
    let starts = |net: &Net| {
        net.asked
            .iter()
            .map(|(_, _, request)| request.start().get())
            .collect()
    };
    let open: Vec<u64> = starts(&net);
    assert_eq!(open, [200, 300], "it waits: the window is full");
    let next = net.asked.remove(0);
    deliver(&mut net, next);
    let open: Vec<u64> = starts(&net);
    assert_eq!(open, [300, 100]);
}

#[test]
fn p34_what_alone_is_left_to_wait_for_is_asked_twice_however_far_its_peer_is() {
    // A slot more than half of them is in use, or not; when the copy of the tip is due.
    for (others, due) in [(32, 600), (31, 600), (30, 40), (0, 40)] {
        let mut net = warm(20);
        for peer in net.policy.peers.values_mut() {
            peer.trip = Duration::from_millis(400);
        }
        for start in 0..=others {
            net.ask(100 + start, GOOD);
        }
        assert_eq!(std::mem::take(&mut net.asked).len() as u64, others + 1);
        let copied = |net: &Net| net.asked.iter().any(|(_, _, copy)| *copy == request(100));
        net.advance(Duration::from_millis(due - 5));
        assert!(!copied(&net), "{others}: {:?}", net.asked);
        net.advance(Duration::from_millis(20));
        assert!(copied(&net), "{others}");
    }
}

#[test]
fn p34_the_first_verified_answer_wins_and_the_other_copy_costs_nothing() {
    for second_first in [false, true] {
        let mut net = warm(2);
        net.ask(100, GOOD);
        let mut copies = std::mem::take(&mut net.asked);
        net.advance(Duration::from_millis(150));
        copies.append(&mut net.asked);
        assert_eq!(copies.len(), 2);
        if second_first {
            copies.reverse();
        }
        let loser = copies.pop().unwrap();
        let trust = net.view(loser.0).trust;
        let id = deliver(&mut net, copies.pop().unwrap()).unwrap();
        assert_eq!(
            net.policy.slots(),
            (1, 1, 1),
            "until the verdict, the other copy goes on"
        );
        accept(&mut net, id, Some(true));
        assert_eq!(net.policy.slots(), (0, 0, 0), "withdrawn");
        assert_eq!(deliver(&mut net, loser), None, "and unwanted when it comes");
        assert!(net.view(loser.0).trust >= trust * 0.99 && net.penalties.is_empty());
        assert_eq!(net.policy.totals().unwanted_bytes, 12_800);
    }
}

#[test]
fn p34_when_the_first_answer_is_a_lie_the_second_copy_answers_who_asks_again() {
    let mut net = warm(3);
    let id = net.ask(100, GOOD);
    let liar = net.asked.pop().unwrap();
    net.advance(Duration::from_millis(150));
    let honest = net.asked.pop().unwrap();
    let delivered = deliver(&mut net, liar).unwrap();
    accept(&mut net, delivered, Some(false));
    assert_eq!(net.bans, [liar.0]);
    assert_eq!(net.ask(100, GOOD), id, "its copy is in flight");
    assert!(net.asked.is_empty(), "nobody is asked a third time");
    let delivered = deliver(&mut net, honest).unwrap();
    accept(&mut net, delivered, Some(true));
    assert_eq!(net.policy.slots(), (0, 0, 0));

    // Who does not ask again in time leaves nothing behind.
    net.ask(200, GOOD);
    let liar = net.asked.pop().unwrap();
    net.advance(Duration::from_millis(150));
    assert_eq!(net.asked.len(), 1);
    let delivered = deliver(&mut net, liar).unwrap();
    accept(&mut net, delivered, Some(false));
    net.advance(Duration::from_millis(1100));
    assert_eq!(net.policy.slots(), (0, 0, 0));
    assert!(net.policy.fetches.is_empty());
}

#[test]
fn p34_copies_are_at_most_a_tenth_of_what_is_asked() {
    let mut net = warm(8);
    let mut asked = 40;
    for start in 0..400 {
        net.ask(start % 900, GOOD);
        asked += 1;
        net.asked.clear();
        net.advance(Duration::from_millis(150));
        // Nobody answers, and the caller loses interest.
        for n in 0..=net.policy.next {
            net.policy.on_withdraw(net.now, FetchId(n));
        }
        for (peer, attempt, _) in std::mem::take(&mut net.asked) {
            net.policy.on_delivered(net.now, peer, attempt, 1);
        }
        net.settle();
        let hedges = net.policy.totals().hedges;
        assert!(hedges * 9 <= asked, "{hedges} copies of {asked}");
    }
    assert!(net.policy.totals().hedges > 10);
}

#[test]
fn p30_after_two_timeouts_in_a_row_a_peer_is_probed_with_little() {
    let mut net = warm(1);
    for (timeouts, small) in [(1, false), (2, true), (3, true)] {
        net.ask(100, GOOD);
        net.advance(secs(1));
        let (_, attempt, _) = net.asked.remove(0);
        while net.asked.is_empty() {
            net.advance(Duration::from_millis(100));
        }
        let (peer, last, next) = *net.asked.last().unwrap_or(&(0, attempt, request(100)));
        assert_eq!(net.view(peer).offences, timeouts);
        assert_eq!(next.max_ops() < 100, small, "after {timeouts}: {next:?}");
        if timeouts == 3 {
            // An answer to little is good, and ends the probing.
            let id = net.policy.on_delivered(net.now, peer, last, 3000).unwrap();
            assert_eq!(net.policy.judged(id), Some(next));
            let receipt = net.policy.on_accepted(net.now, id, next.max_ops()).unwrap();
            assert!(receipt.quality() >= 1.0);
            net.policy.on_verdict(net.now, &receipt, Some(true));
            net.settle();
            net.asked.clear();
            net.ask(100, GOOD);
            assert_eq!(net.asked[0].2.max_ops(), 100);
        }
        for n in 0..=net.policy.next {
            net.policy.on_withdraw(net.now, FetchId(n));
        }
        net.settle();
        net.asked.clear();
    }
}

#[test]
fn p33_slow_peers_are_asked_for_what_they_bring_in_a_second() {
    let mut net = Net::new(1);
    let wanted = Request::operations(location(1000), location(0), 1000).unwrap();
    let mut ops = Vec::new();
    for _ in 0..60 {
        net.policy.on_ask(net.now, wanted, GOOD);
        net.settle();
        let (peer, attempt, request) = net.asked.pop().unwrap();
        // 200 bytes each, 100 kB/s.
        let bytes = request.max_ops() * 200;
        net.now += Duration::from_micros(bytes * 10);
        let id = net.policy.on_delivered(net.now, peer, attempt, bytes).unwrap();
        let receipt = net.policy.on_accepted(net.now, id, request.max_ops()).unwrap();
        net.policy.on_verdict(net.now, &receipt, Some(true));
        net.settle();
        ops.push(request.max_ops());
    }
    assert_eq!((ops[0], ops[59]), (1000, 256), "{ops:?}");
    assert!(net.penalties.is_empty(), "slow is no fault");
}

#[test]
fn p35_the_watchdog_says_what_holds_each_peer_back_and_starts_windows_anew() {
    let mut net = warm(2);
    net.join(3, None);
    net.policy.on_ban(net.now, 3);
    net.policy.on_disconnected(net.now, 3, true);
    net.policy.on_connected(net.now, 4, None);
    net.settle();
    assert!(net.view(0).window > 2);
    net.ask(100, GOOD);
    net.statuses.clear();
    // Nobody answers; the silent are asked again and again.
    for _ in 0..31 {
        net.advance(secs(1));
        net.policy.on_disconnected(net.now, 4, true);
        net.policy.on_connected(net.now, 4, None);
        net.settle();
        net.statuses.clear();
    }
    assert_eq!(net.stuck.len(), 1);
    let stuck: BTreeMap<_, _> = net.stuck.pop().unwrap().into_iter().collect();
    assert!(stuck[&3].starts_with("banned for"), "{stuck:?}");
    assert!(stuck[&4].contains("not told what it serves"), "{stuck:?}");
    let others = [&stuck[&0], &stuck[&1]];
    let told = |what: &str| others.iter().any(|hold| hold.contains(what));
    assert!(
        told("asked for") || told("failed this request") || told("left alone"),
        "{stuck:?}"
    );
    assert_eq!(net.view(0).window, 2);
    net.advance(secs(31));
    assert_eq!(net.stuck.len(), 1, "again after as long");
}

#[test]
fn p35_why_is_a_sentence() {
    let mut net = warm(1);
    assert_eq!(net.policy.why(net.now), None, "nothing is wanted");
    net.ask(0, GOOD);
    assert_eq!(net.policy.why(net.now), None, "it has only begun");
    net.now += secs(2);
    let why = net.policy.why(net.now).unwrap();
    assert_eq!(why, "waiting 2 s for the head batch from 0");
    let asked = net.asked.pop().unwrap();
    let id = deliver(&mut net, asked).unwrap();
    net.ask(500, GOOD);
    net.asked.clear();
    net.policy.on_accepted(net.now, id, 100).unwrap();
    assert!(net.policy.why(net.now).is_some());
}

#[test]
fn p30_a_silent_peer_is_left_alone_for_longer_and_longer() {
    let mut net = Net::new(1);
    net.ask(100, GOOD);
    let mut asked = Vec::new();
    while net.now < secs(300) {
        for _ in std::mem::take(&mut net.asked) {
            asked.push(net.now.as_secs());
        }
        net.advance(Duration::from_millis(500));
    }
    let gaps: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 5 && gaps.last().unwrap() > &gaps[1], "{gaps:?}");
    // P21: with nobody else for 30 s it is asked all the same.
    assert!(gaps.iter().all(|gap| *gap <= 62), "{gaps:?}");
}

#[test]
fn p30_slow_answers_of_one_make_nobody_else_look_slow() {
    let mut net = Net::new(3);
    // The first that is measured gives one operation at a time.
    net.ask(0, GOOD);
    let (slow, attempt, _) = net.asked.pop().unwrap();
    net.now += Duration::from_millis(10);
    let id = net.policy.on_delivered(net.now, slow, attempt, 128).unwrap();
    let receipt = net.policy.on_accepted(net.now, id, 1).unwrap();
    net.policy.on_verdict(net.now, &receipt, Some(true));
    net.settle();
    assert!(net.view(slow).rate.unwrap() < 1000.0);
    let wanted = Request::operations(location(1000), location(0), 1000).unwrap();
    net.policy.on_ask(net.now, wanted, GOOD);
    net.settle();
    let (other, _, request) = net.asked.pop().unwrap();
    // 64 KiB of what answers have by default, to learn how fast it is: not one operation of 128 bytes.
    assert!(other != slow && request.max_ops() == 512, "{request:?}");
}
