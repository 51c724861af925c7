//! Tables of what is taken in, and a property over random events.

use super::*;
use cordee_protocol::Location;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::num::NonZeroU32;

const SECOND: Duration = Duration::from_secs(1);

fn quota(config: QuotaConfig) -> Quota<u8, u32> {
    Quota::new(config)
}

/// No buckets.
fn free() -> QuotaConfig {
    QuotaConfig {
        requests_per_second: None,
        bytes_per_second: None,
        ..QuotaConfig::default()
    }
}

fn request(start: u64) -> Request {
    let at = |n| Location::new(n).unwrap();
    Request::operations(at(1_000_000), at(start), 10).unwrap()
}

fn busy<T>(ask: u32, time: Duration) -> Result<T, (u32, Refusal)> {
    Err((ask, Refusal::Busy(time)))
}

/// Places are counted as jobs and as a sum over peers.
fn check(quota: &Quota<u8, u32>) {
    let slow = |job: &&Job<u8>| job.stage == Stage::Slow;
    let slow = quota.jobs.values().filter(slow).count();
    assert_eq!((quota.work, quota.slow), (quota.jobs.len() - slow, slow));
    let sum = |of: fn(&Client<u32>) -> usize| quota.peers.values().map(of).sum::<usize>();
    assert_eq!(quota.work, sum(|client| client.work));
    assert_eq!(quota.slow, sum(|client| client.slow));
    assert_eq!(quota.waiting, sum(|client| client.waiting.len()));
    assert!(quota.work <= quota.config.work && quota.waiting <= quota.config.waiting);
}

#[test]
fn p40_work_is_bounded_per_peer_and_overall_and_shared_in_turn() {
    let mut quota = quota(QuotaConfig { work: 6, ..free() });
    for ask in 0..32 {
        let result = quota.on_ask(Duration::ZERO, 1, None, ask);
        assert_eq!(result.is_err(), ask >= 28, "28 wait");
    }
    (0..3).for_each(|ask| quota.on_ask(Duration::ZERO, 2, None, ask).unwrap());
    let jobs: Vec<_> = std::iter::from_fn(|| quota.poll_work()).collect();
    let order: Vec<_> = jobs.iter().map(|(peer, _, ask)| (*peer, *ask)).collect();
    assert_eq!(order, [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (2, 2)]);
    assert_eq!(quota.poll_work(), None, "overall");
    let done = |quota: &mut Quota<u8, u32>, of: u8| {
        let of_peer = jobs.iter().filter(|(peer, ..)| *peer == of);
        of_peer.for_each(|(_, job, _)| quota.on_done(Duration::ZERO, *job, 1));
    };
    done(&mut quota, 2);
    let (peer, last, ask) = quota.poll_work().unwrap();
    assert_eq!((peer, ask), (1, 3));
    assert_eq!(quota.poll_work(), None, "per peer");
    quota.on_gone(Duration::ZERO, 1);
    assert_eq!((quota.waiting, quota.in_work()), (0, 4), "P43");
    done(&mut quota, 1);
    quota.on_done(Duration::ZERO, last, 1);
    assert_eq!(quota.poll_work(), None);
    quota.on_gone(Duration::ZERO, 1);
    quota.on_gone(Duration::ZERO, 2);
    assert!(quota.peers.is_empty());
}

#[test]
fn p40_buckets_say_when_to_come_back_and_trusted_peers_have_none() {
    let mut quota = quota(QuotaConfig {
        requests_per_second: NonZeroU32::new(2),
        request_burst: NonZeroU32::new(3).unwrap(),
        bytes_per_second: NonZeroU32::new(1000),
        byte_burst: 0,
        ..QuotaConfig::default()
    });
    quota.trust(9);
    (0..3).for_each(|ask| quota.on_ask(Duration::ZERO, 1, None, ask).unwrap());
    assert_eq!(quota.on_ask(Duration::ZERO, 1, None, 3), busy(3, SECOND / 2));
    (0..20).for_each(|ask| quota.on_ask(Duration::ZERO, 9, None, ask).unwrap());
    quota.on_ask(SECOND / 2, 1, None, 3).unwrap();
    let (_, job, _) = quota.poll_work().unwrap();
    quota.on_done(SECOND, job, 5000);
    assert_eq!(quota.on_ask(SECOND, 1, None, 4), busy(4, 5 * SECOND));
    // Leaving and coming back pays no debt.
    quota.on_gone(SECOND, 1);
    assert_eq!(quota.on_ask(SECOND, 1, None, 4), busy(4, 5 * SECOND));
    quota.on_ask(6 * SECOND, 1, None, 4).unwrap();
}

#[test]
fn p40_the_defaults_are_64_requests_and_8_mib_a_second() {
    let mut quota = quota(QuotaConfig {
        waiting_per_peer: 1000,
        ..QuotaConfig::default()
    });
    for ask in 0..80 {
        let taken = quota.on_ask(Duration::ZERO, 1, None, ask).is_ok();
        assert_eq!(taken, ask < 64, "{ask}");
    }
    // Ten seconds of answers of 1 MiB, asked for whenever it is allowed.
    let (mut sent, mut now) = (0u64, SECOND);
    while now < 11 * SECOND {
        let taken = quota.on_ask(now, 2, None, 0).is_ok();
        if taken {
            while let Some((_, job, _)) = quota.poll_work() {
                quota.on_done(now, job, 1 << 20);
                sent += 1 << 20;
            }
        }
        now += Duration::from_millis(1);
    }
    let of_peer_1 = 64 << 20;
    let mib = (sent - of_peer_1) >> 20;
    assert!((80..=90).contains(&mib), "{mib} MiB: a burst of 8 and 8 a second");
}

#[test]
fn p40_slow_readers_do_not_hold_places_in_work() {
    let mut quota = quota(QuotaConfig {
        work: 4,
        slow: 3,
        slow_per_peer: 2,
        ..free()
    });
    let sending = |quota: &mut Quota<u8, u32>, now, peer, count: u32| {
        (0..count).for_each(|ask| quota.on_ask(now, peer, None, ask).unwrap());
        while let Some((_, job, _)) = quota.poll_work() {
            quota.on_sending(now, job);
        }
        check(quota);
    };
    sending(&mut quota, Duration::ZERO, 1, 2);
    sending(&mut quota, Duration::ZERO, 2, 2);
    quota.on_ask(Duration::ZERO, 3, None, 0).unwrap();
    assert_eq!(quota.poll_work(), None, "all places are taken");
    assert_eq!(quota.poll_timeout(), Some(5 * SECOND));
    // Four slow answers are one too many: one of the two peers goes.
    let cut = quota.on_timeout(5 * SECOND);
    check(&quota);
    assert_eq!((quota.work, quota.slow, cut.len()), (0, 4, 1));
    assert!(quota.poll_work().is_some(), "others have a place");
    assert_eq!(quota.on_ask(5 * SECOND, 1, None, 7), busy(7, 5 * SECOND));
    assert_eq!(quota.poll_timeout(), None, "reading has no such end");
}

#[test]
fn p42_the_same_again_is_busy_and_nonsense_is_ignored_in_the_end() {
    let mut quota = quota(free());
    for (second, start, taken) in [
        (0, 1, true),
        (10, 1, true),
        (20, 1, false),
        (20, 2, true),
        (59, 1, false),
        (60, 1, true),
        (61, 1, false),
        (70, 1, true),
    ] {
        let result = quota.on_ask(second * SECOND, 1, Some(request(start)), 0);
        assert_eq!(result.is_ok(), taken, "{start} at {second} s: {result:?}");
        if let Err((_, refusal)) = result {
            assert!(matches!(refusal, Refusal::Busy(time) if time <= 60 * SECOND));
        }
    }
    // Statuses may be asked for as often as the buckets allow.
    (0..10).for_each(|ask| quota.on_ask(70 * SECOND, 1, None, ask).unwrap());

    let mut now = 100 * SECOND;
    for (round, ignored) in [300, 600, 1200].into_iter().enumerate() {
        for n in 1..=501 {
            assert_eq!(quota.on_nonsense(now, 2), n <= 500, "{n} of round {round}");
        }
        assert_eq!(quota.on_ask(now, 2, None, 0), Err((0, Refusal::Ignored)));
        // Reconnecting makes nobody forget.
        quota.on_gone(now, 2);
        now += ignored * SECOND;
        let before = now - SECOND;
        assert_eq!(quota.on_ask(before, 2, None, 0), Err((0, Refusal::Ignored)));
        quota.on_ask(now, 2, None, 0).unwrap();
    }
    quota.on_ask(now, 3, None, 0).unwrap();
}

#[test]
fn p43_half_the_places_are_left_while_this_node_syncs() {
    let mut quota = quota(QuotaConfig { work: 6, ..free() });
    for peer in 0..3 {
        (0..4).for_each(|ask| quota.on_ask(Duration::ZERO, peer, None, ask).unwrap());
    }
    quota.on_own_sync(true);
    assert_eq!(std::iter::from_fn(|| quota.poll_work()).count(), 3);
    quota.on_own_sync(false);
    assert_eq!(std::iter::from_fn(|| quota.poll_work()).count(), 3);
}

#[test]
fn p40_places_are_counted_right_after_any_event() {
    for seed in 0..50 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut quota = quota(QuotaConfig {
            work: 8,
            slow: 4,
            waiting: 20,
            remembered: 3,
            ..QuotaConfig::default()
        });
        let (mut now, mut jobs) = (Duration::ZERO, Vec::new());
        for _ in 0..1000 {
            now += Duration::from_millis(rng.random_range(0..2000));
            let peer = rng.random_range(0..6);
            match rng.random_range(0..9) {
                0..=2 => {
                    let request = rng.random::<bool>().then(|| request(rng.random_range(0..4)));
                    let _ = quota.on_ask(now, peer, request, 0);
                }
                3 => jobs.extend(quota.poll_work().map(|(_, job, _)| job)),
                4 if !jobs.is_empty() => quota.on_sending(now, jobs[rng.random_range(0..jobs.len())]),
                5 if !jobs.is_empty() => {
                    let job = jobs.swap_remove(rng.random_range(0..jobs.len()));
                    quota.on_done(now, job, rng.random_range(0..1 << 20));
                }
                6 => quota.on_gone(now, peer),
                7 => {
                    quota.on_nonsense(now, peer);
                }
                _ => {
                    quota.on_timeout(now);
                    assert!(quota.poll_timeout().is_none_or(|at| at > now), "seed {seed}");
                }
            }
            check(&quota);
        }
        jobs.into_iter().for_each(|job| quota.on_done(now, job, 0));
        assert_eq!(quota.in_work(), 0, "seed {seed}");
        check(&quota);
    }
}
