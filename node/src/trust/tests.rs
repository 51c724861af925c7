//! What is believed, refused and called a fork, as tables; and that no order of messages changes it.

use super::*;
use cordee_protocol::wire::checkpoint::{Checkpoint, Signature};
use cordee_protocol::{Location, Target};
use libp2p::identity::Keypair;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

const NOW: u64 = 1_800_000_000;

/// The signer number `n`, the same in every run.
fn pair(n: u8) -> Keypair {
    Keypair::ed25519_from_bytes([n; 32]).unwrap()
}

fn key(n: u8) -> Key {
    crate::signing::key_of(&pair(n).public().to_peer_id()).unwrap()
}

fn set(threshold: usize, signers: impl IntoIterator<Item = u8>) -> Signers {
    let keys: BTreeSet<_> = signers.into_iter().map(key).collect();
    Signers::new(threshold, keys).unwrap()
}

/// Two of the signers 1, 2 and 3.
fn trust() -> Trust {
    Trust::new(Policy {
        network: "alps".into(),
        kind: "keyless-variable".into(),
        signers: set(2, 1..=3),
        max_age: Duration::from_secs(3600),
    })
}

fn body(height: u64, size: u64, root: u8) -> Checkpoint {
    let end = Location::new(size).unwrap();
    Checkpoint {
        network: "alps".into(),
        kind: "keyless-variable".into(),
        height,
        target: Target::new(Digest([root; 32]), Location::ZERO..end).unwrap(),
        time: NOW,
        next: None,
    }
}

fn sign(body: Checkpoint, signers: impl IntoIterator<Item = u8>) -> Signed {
    let pairs: Vec<_> = signers.into_iter().map(pair).collect();
    crate::signing::sign(body, &pairs).unwrap()
}

fn changed(change: impl FnOnce(&mut Checkpoint)) -> Signed {
    let mut body = body(20, 200, 20);
    change(&mut body);
    sign(body, [1, 2])
}

fn forged(signed: &Signed, signer: u8) -> Signed {
    let mut signatures = signed.signatures().clone();
    let wrong: Signature = [7; 64];
    signatures.insert(key(signer), wrong);
    Signed::new(signed.checkpoint().clone(), signatures).unwrap()
}

#[test]
fn one_checkpoint_after_height_10_and_what_comes_of_it() {
    let good = sign(body(20, 200, 20), [1, 2]);
    let far = MAX_AHEAD.as_secs();
    let table: Vec<(&str, Signed, &str)> = vec![
        ("two of three", good.clone(), "accepted"),
        ("three of three", sign(body(20, 200, 20), [1, 2, 3]), "accepted"),
        ("one of three", sign(body(20, 200, 20), [3]), "gathering"),
        ("the accepted one again", sign(body(10, 100, 10), [1, 2]), "known"),
        (
            "it with one signature more",
            sign(body(10, 100, 10), [3]),
            "known",
        ),
        ("a stranger alone", sign(body(20, 200, 20), [9]), "unknown_signer"),
        (
            "a stranger more than needed",
            sign(body(20, 200, 20), [1, 2, 9]),
            "unknown_signer",
        ),
        (
            "a forged signature",
            forged(&sign(body(20, 200, 20), [1]), 2),
            "bad_signature",
        ),
        ("a forged one more than needed", forged(&good, 3), "bad_signature"),
        (
            "signatures of another height",
            Signed::new(body(21, 200, 20), good.signatures().clone()).unwrap(),
            "bad_signature",
        ),
        (
            "another network",
            changed(|body| body.network = "andes".into()),
            "network",
        ),
        (
            "another kind",
            changed(|body| body.kind = "immutable-variable".into()),
            "kind",
        ),
        (
            "as old as may be",
            changed(|body| body.time = NOW - 3600),
            "accepted",
        ),
        (
            "a second older",
            changed(|body| body.time = NOW - 3601),
            "too_old",
        ),
        (
            "from the beginning of time",
            changed(|body| body.time = 0),
            "too_old",
        ),
        (
            "as far ahead as may be",
            changed(|body| body.time = NOW + far),
            "accepted",
        ),
        (
            "a second more",
            changed(|body| body.time = NOW + far + 1),
            "in_future",
        ),
        (
            "from the end of time",
            changed(|body| body.time = u64::MAX),
            "in_future",
        ),
        ("an earlier one", sign(body(9, 99, 9), [1, 2]), "not_advancing"),
        (
            "more height, the same size and root",
            sign(body(11, 100, 10), [1, 2]),
            "not_advancing",
        ),
        (
            "the same height, another root",
            sign(body(10, 100, 66), [1, 2]),
            "fork",
        ),
        (
            "the same height, more size",
            sign(body(10, 200, 20), [1, 2]),
            "fork",
        ),
        (
            "the same size, another root",
            sign(body(20, 100, 66), [1, 2]),
            "fork",
        ),
        ("more height, less size", sign(body(20, 99, 9), [1, 2]), "fork"),
        ("less height, more size", sign(body(9, 101, 11), [1, 2]), "fork"),
        (
            "a fork with one signature",
            sign(body(10, 100, 66), [3]),
            "conflicting",
        ),
        (
            "a fork that is old",
            changed(|body| (body.height, body.time) = (10, 0)),
            "fork",
        ),
    ];
    for (case, signed, expected) in table {
        let mut trust = trust();
        assert_eq!(
            trust.on_signed(NOW, &sign(body(10, 100, 10), [1, 2])),
            Verdict::Accepted
        );
        let verdict = trust.on_signed(NOW, &signed);
        assert_eq!(verdict.name(), expected, "{case}");
        let newest = trust.newest().unwrap().checkpoint().height;
        assert_eq!(newest, if expected == "accepted" { 20 } else { 10 }, "{case}");
        assert_eq!(trust.fork().is_some(), expected == "fork", "{case}");
        let fault = matches!(&verdict, Verdict::Refused(refusal) if refusal.is_fault());
        assert_eq!(fault, expected == "bad_signature", "{case}");
    }
}

#[test]
fn signatures_are_gathered_from_anybody_until_there_are_enough() {
    let mut trust = trust();
    let body = || body(1, 10, 1);
    let gathering = Verdict::Gathering { have: 1, need: 2 };
    assert_eq!(trust.on_signed(NOW, &sign(body(), [1])), gathering);
    assert_eq!(
        trust.on_signed(NOW, &sign(body(), [1])),
        Verdict::Known { fresh: false }
    );
    assert!(trust.newest().is_none());
    assert_eq!(trust.gathering().len(), 1);
    assert_eq!(trust.on_signed(NOW, &sign(body(), [3])), Verdict::Accepted);
    assert_eq!(trust.newest().unwrap().signatures().len(), 2);
    assert_eq!(
        trust.on_signed(NOW, &sign(body(), [2])),
        Verdict::Known { fresh: true }
    );
    assert_eq!(trust.newest().unwrap().signatures().len(), 3, "for whoever asks");
    assert!(trust.gathering().is_empty());
}

#[test]
fn a_fork_ends_all_belief_and_keeps_both() {
    let mut trust = trust();
    let (a, b) = (sign(body(5, 50, 5), [1, 2]), sign(body(5, 50, 6), [2, 3]));
    trust.on_signed(NOW, &a);
    assert_eq!(trust.on_signed(NOW, &b), Verdict::Fork);
    let fork = trust.fork().unwrap().clone();
    assert_eq!((&fork.accepted, &fork.other), (&a, &b));
    let later = sign(body(6, 60, 7), [1, 2, 3]);
    assert_eq!(trust.on_signed(NOW, &later), Verdict::Refused(Refusal::Forked));
    assert_eq!(trust.newest(), Some(&a), "what was believed stays to be served");
    assert!(fork.to_string().contains("at height 5"), "{fork}");
}

#[test]
fn one_signer_that_signs_two_bodies_is_no_fork() {
    let mut trust = trust();
    trust.on_signed(NOW, &sign(body(5, 50, 6), [3]));
    assert_eq!(
        trust.on_signed(NOW, &sign(body(5, 50, 5), [1, 3])),
        Verdict::Accepted
    );
    let again = trust.on_signed(NOW, &sign(body(5, 50, 6), [3]));
    assert_eq!(again.name(), "conflicting");
    assert!(trust.fork().is_none());
}

#[test]
fn what_one_signer_may_leave_unfinished_is_bounded() {
    let mut trust = trust();
    for height in 1..=100 {
        trust.on_signed(NOW, &sign(body(height, 10 * height, 1), [3]));
        assert!(trust.gathering().len() <= GATHERED);
    }
    // The signer 1 still has its place.
    assert_eq!(
        trust.on_signed(NOW, &sign(body(7, 70, 7), [1])).name(),
        "gathering"
    );
    assert_eq!(
        trust.on_signed(NOW, &sign(body(7, 70, 7), [2])),
        Verdict::Accepted
    );
    for height in 8..8 + 2 * HISTORY as u64 {
        assert_eq!(
            trust.on_signed(NOW, &sign(body(height, 10 * height, 9), [1, 2])),
            Verdict::Accepted
        );
    }
    assert_eq!(trust.history.len(), HISTORY);
    assert!(
        trust.gathering().is_empty(),
        "nothing below the newest is waited for"
    );
}

#[test]
fn the_old_signers_hand_over_to_new_ones_and_only_they() {
    let hand_over = |signers: &[u8], time| {
        let mut body = body(10, 100, 10);
        (body.next, body.time) = (Some(set(1, [7])), time);
        sign(body, signers.iter().copied())
    };
    let mut trust = trust();
    assert_eq!(
        trust.on_signed(NOW, &sign(body(11, 110, 11), [7])).name(),
        "unknown_signer"
    );
    assert_eq!(trust.on_signed(NOW, &hand_over(&[1], NOW)).name(), "gathering");
    assert_eq!(trust.on_signed(NOW, &hand_over(&[2], NOW)), Verdict::Accepted);
    assert_eq!(
        trust.on_signed(NOW, &sign(body(11, 110, 11), [1, 2])).name(),
        "unknown_signer"
    );
    assert_eq!(
        trust.on_signed(NOW, &sign(body(11, 110, 11), [7])),
        Verdict::Accepted
    );
    // A fork below the change is shown by those who signed there.
    assert_eq!(
        trust.on_signed(NOW, &sign(body(10, 100, 66), [1, 3])),
        Verdict::Fork
    );

    // Who joins later and knows only the old ones is led over, though the change is too old to aim at.
    let mut late = self::trust();
    let later = NOW + 100_000;
    let newest = || {
        let mut body = body(12, 120, 12);
        body.time = later;
        sign(body, [7])
    };
    assert_eq!(late.on_signed(later, &newest()).name(), "unknown_signer");
    assert_eq!(late.on_signed(later, &hand_over(&[1, 2], NOW)), Verdict::Rotated);
    assert_eq!(late.newest(), None);
    assert_eq!(late.on_signed(later, &newest()), Verdict::Accepted);
    assert_eq!(late.rotations().count(), 1);
    assert_eq!(
        late.on_signed(later, &hand_over(&[1, 2], NOW)).name(),
        "not_advancing"
    );
}

#[test]
fn a_restart_believes_what_was_believed_if_the_policy_still_does() {
    let mut first = trust();
    let mut rotation = body(1, 10, 1);
    rotation.next = Some(set(1, [8]));
    let kept = [sign(rotation, [1, 2]), sign(body(2, 20, 2), [8])];
    for signed in &kept {
        assert_eq!(first.on_signed(NOW, signed), Verdict::Accepted);
    }
    let mut second = trust();
    assert_eq!(second.resume(kept.clone()), 2);
    assert_eq!(second.newest(), first.newest());
    // Much later it is not too old: it is what the database is at.
    assert_eq!(
        second.on_signed(NOW + 1_000_000, &kept[1]),
        Verdict::Known { fresh: false }
    );
    let mut other = Trust::new(Policy {
        signers: set(1, [2]),
        ..first.policy().clone()
    });
    assert_eq!(other.resume(kept), 0);
}

/// In whatever order, how often and with however much noise the checkpoints of one log come, the newest is believed in the end,
/// and never is there a fork.
#[test]
fn no_order_and_no_noise_keeps_a_node_from_the_newest_of_one_log() {
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..40 {
        let mut trust = trust();
        let mut messages = Vec::new();
        for height in 1..=8u64 {
            let body = body(height, 10 * height, height as u8);
            for signer in 1..=3 {
                messages.extend(vec![sign(body.clone(), [signer]); rng.random_range(1..3)]);
            }
            messages.push(forged(&sign(body.clone(), [1]), 2));
            messages.push(sign(body, [9]));
            messages.push(sign(
                self::body(height, 10 * height, 99),
                [rng.random_range(1..=3)],
            ));
        }
        // A liar among three may sign anything, but only once each; two honest ones are enough.
        messages.retain(|signed| {
            signed.checkpoint().target.root() != &Digest([99; 32])
                || signed.signatures().contains_key(&key(3))
        });
        messages.shuffle(&mut rng);
        let mut heights = vec![0];
        for signed in &messages {
            if trust.on_signed(NOW, signed) == Verdict::Accepted {
                heights.push(trust.newest().unwrap().checkpoint().height);
            }
        }
        assert!(heights.is_sorted(), "{heights:?}");
        assert_eq!(trust.fork(), None);
        // What was pushed out by much at once comes again, as gossip and asking do.
        for signed in &messages {
            trust.on_signed(NOW, signed);
        }
        assert_eq!(trust.newest().unwrap().checkpoint().height, 8);
    }
}
