//! Stories with several peers, and random events under the invariant of P3.

use super::*;
use cordee_protocol::Location;
use rand::RngExt;

const GOOD: Digest = Digest([1; 32]);
const WRONG: Digest = Digest([2; 32]);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn location(n: u64) -> Location {
    Location::new(n).unwrap()
}

fn request(start: u64) -> Request {
    Request::operations(location(1000), location(start), 100).unwrap()
}

fn status(network: &str, oldest: u64, size: u64) -> Status {
    Status {
        network: network.into(),
        kind: "kind".into(),
        oldest: location(oldest),
        size: location(size),
        provable_from: location(oldest + 1),
        ..Status::default()
    }
}

/// A policy with what it did.
struct Net {
    policy: Policy<u32>,
    now: Duration,
    asked: Vec<(u32, AttemptId, Request)>,
    bans: Vec<u32>,
    suspects: Vec<(Digest, Vec<u32>)>,
    statuses: Vec<u32>,
    rejected: Vec<(u32, String)>,
}

impl Net {
    fn new(peers: u32) -> Self {
        Self::seeded(peers, 7)
    }

    fn seeded(peers: u32, seed: u64) -> Self {
        let mut net = Self {
            policy: Policy::new("net".into(), "kind".into(), Config::default(), seed),
            now: secs(1),
            asked: Vec::new(),
            bans: Vec::new(),
            suspects: Vec::new(),
            statuses: Vec::new(),
            rejected: Vec::new(),
        };
        (0..peers).for_each(|peer| net.join(peer, None));
        net
    }

    fn join(&mut self, peer: u32, address: Option<&str>) {
        let address = address.map(|address| address.parse().unwrap());
        self.policy.on_connected(self.now, peer, address);
        self.policy.on_status(self.now, peer, status("net", 0, 1000));
        self.settle();
    }

    /// Carry out, and check P3.
    fn settle(&mut self) {
        while let Some(action) = self.policy.poll_action() {
            match action {
                Action::Ask {
                    peer,
                    attempt,
                    request,
                } => self.asked.push((peer, attempt, request)),
                Action::AskStatus { peer } => self.statuses.push(peer),
                Action::Ban { peer, .. } => self.bans.push(peer),
                Action::Suspect { root, peers } => self.suspects.push((root.0, peers)),
                Action::Rejected { peer, reason } => self.rejected.push((peer, reason)),
                Action::Ready { .. } | Action::Unban { .. } | Action::Penalised { .. } => {}
            }
        }
        let (slots, flying, of_peers) = self.policy.slots();
        assert!(
            slots == flying && flying == of_peers,
            "P3: {slots} {flying} {of_peers}"
        );
        assert!(slots <= self.policy.config.fetch.in_flight.get());
    }

    fn ask(&mut self, start: u64, root: Digest) -> FetchId {
        let id = self.policy.on_ask(self.now, request(start), root);
        self.settle();
        id
    }

    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.policy.poll_timeout(self.now).filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.policy.on_timeout(self.now);
            self.settle();
            // Everybody answers a question for its status.
            for peer in std::mem::take(&mut self.statuses) {
                self.policy.on_status(self.now, peer, status("net", 0, 1000));
                self.settle();
            }
        }
        self.now = end;
    }

    /// Every peer that is asked answers; `honest` says whose answers verify.
    fn answer_all(&mut self, honest: impl Fn(u32) -> bool, good: bool) -> usize {
        let mut verified = 0;
        for (peer, attempt, _) in std::mem::take(&mut self.asked) {
            self.now += Duration::from_millis(1);
            if let Some(id) = self.policy.on_delivered(self.now, peer, attempt, 12_800) {
                let receipt = self.policy.on_accepted(self.now, id, 100).unwrap();
                let verdict = honest(peer) && good;
                verified += usize::from(verdict);
                self.policy.on_verdict(self.now, &receipt, Some(verdict));
            }
            self.settle();
        }
        verified
    }

    fn view(&self, peer: u32) -> View<u32> {
        self.policy
            .views(self.now)
            .find(|view| view.peer == peer)
            .unwrap()
    }
}

#[test]
fn p20_a_wrong_target_is_suspect_and_bans_nobody() {
    for (case, peers, wait) in [("five fail", 5, 0), ("two fail and time passes", 2, 61)] {
        let mut net = Net::new(peers);
        for round in 0..peers {
            net.ask(u64::from(round), WRONG);
            net.answer_all(|_| true, false);
        }
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
    assert_eq!(
        net.policy.totals().retried,
        3,
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
fn peers_are_asked_only_for_what_they_say_to_have() {
    for (case, status, asked, rejected) in [
        ("all of it", status("net", 0, 1000), true, false),
        ("more", status("net", 0, 2000), true, false),
        ("pruned below", status("net", 500, 1000), true, false),
        ("pruned beyond", status("net", 501, 1000), false, false),
        ("too short", status("net", 0, 999), false, false),
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
        let soon = net.policy.poll_timeout(net.now).unwrap() <= net.now + Duration::from_millis(500);
        assert_eq!(soon, !asked && !rejected, "{case}");
    }
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

#[test]
fn p3_holds_after_any_event() {
    for seed in 0..50 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut net = Net::new(5);
        let mut open = Vec::new();
        let mut judging = Vec::new();
        let mut receipts = Vec::new();
        for _ in 0..600 {
            net.now += Duration::from_millis(rng.random_range(0..300));
            let now = net.now;
            let peer = rng.random_range(0..8);
            match rng.random_range(0..14) {
                0..=3 => {
                    open.push(net.ask(rng.random_range(0..900), if rng.random() { GOOD } else { WRONG }))
                }
                4 if !open.is_empty() => {
                    let id = open.swap_remove(rng.random_range(0..open.len()));
                    net.policy.on_withdraw(now, id);
                }
                5..=7 if !net.asked.is_empty() => {
                    let (peer, attempt, _) = net.asked.swap_remove(rng.random_range(0..net.asked.len()));
                    judging.extend(
                        net.policy
                            .on_delivered(now, peer, attempt, rng.random_range(1..100_000)),
                    );
                }
                8 if !net.asked.is_empty() => {
                    let (peer, attempt, _) = net.asked.swap_remove(rng.random_range(0..net.asked.len()));
                    let failures = [
                        Failure::Timeout,
                        Failure::Broken,
                        Failure::Malformed,
                        Failure::Local,
                    ];
                    net.policy
                        .on_failed(now, peer, attempt, failures[rng.random_range(0..4)]);
                }
                9 if !judging.is_empty() => {
                    let id = judging.swap_remove(rng.random_range(0..judging.len()));
                    let turns = [
                        Turn::Unavailable,
                        Turn::Busy(secs(1)),
                        Turn::Refused,
                        Turn::Malformed,
                    ];
                    net.policy.on_turned(now, id, turns[rng.random_range(0..4)]);
                }
                10 if !judging.is_empty() => {
                    let id = judging.swap_remove(rng.random_range(0..judging.len()));
                    receipts.extend(net.policy.on_accepted(now, id, 100));
                }
                11 if !receipts.is_empty() => {
                    let receipt = receipts.swap_remove(rng.random_range(0..receipts.len()));
                    let verdict = [Some(true), Some(true), Some(false), None][rng.random_range(0..4)];
                    net.policy.on_verdict(now, &receipt, verdict);
                }
                12 => net.policy.on_disconnected(now, peer, rng.random()),
                13 if net.policy.ban(&peer).is_none() => net.join(peer, None),
                _ => net.policy.on_timeout(now),
            }
            net.settle();
            let next = net.policy.poll_timeout(net.now);
            net.policy.on_timeout(net.now);
            net.settle();
            let after = net.policy.poll_timeout(net.now);
            assert!(
                after.is_none_or(|at| at > net.now),
                "seed {seed}: {next:?} then {after:?}"
            );
        }
        // Whatever happened: with everything withdrawn nothing is left.
        for n in 0..=net.policy.next {
            net.policy.on_withdraw(net.now, FetchId(n));
        }
        net.settle();
        assert_eq!(net.policy.slots(), (0, 0, 0), "seed {seed}");
    }
}
