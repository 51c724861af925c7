use super::*;

fn address(port: usize) -> Vec<Multiaddr> {
    vec![format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()]
}

#[test]
fn p23_a_third_of_the_connections_are_dialled_and_no_more_than_there_may_be() {
    for (case, total, dialled, target, most, expected) in [
        ("alone", 0, 0, 24, 256, 24),
        ("on the way", 10, 10, 24, 256, 14),
        ("there", 24, 8, 24, 256, 0),
        ("there, but others dialled", 24, 0, 24, 256, 12),
        ("one is missing to a third", 24, 7, 24, 256, 2),
        ("many came", 170, 0, 24, 256, 85),
        ("many came, and there is a limit", 170, 0, 24, 200, 30),
        ("full", 8, 0, 24, 8, 0),
        ("one place", 0, 0, 1, 1, 1),
        ("more than wanted", 40, 40, 24, 256, 0),
    ] {
        let more = wanted(total, dialled, target, most);
        assert_eq!(more, expected, "{case}");
        let (total, dialled) = (total + more, dialled + more);
        assert!(total <= most.max(total - more), "{case}");
        assert!(3 * dialled >= total || total == most, "{case}");
    }
}

#[test]
fn found_peers_are_dialled_up_to_the_target_and_again_when_they_are_lost() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut finding = Finding::new(3, 16, 1);
    assert!(finding.is_short());
    for peer in 0..5 {
        finding.on_found(at(0), peer, address(peer));
    }
    finding.on_found(at(0), 9, Vec::new());
    let dials = finding.due(at(0));
    assert_eq!(dials.len(), 3);
    assert!(
        finding.due(at(0)).is_empty(),
        "as many as are wanted are under way"
    );
    for (peer, addresses) in &dials[..2] {
        assert_eq!(*addresses, address(*peer));
        finding.on_connected(at(1), *peer, true);
    }
    // The third cannot be reached: another one is tried, and it later.
    finding.on_failed(at(1), dials[2].0);
    let again = finding.due(at(1));
    assert_eq!(again.len(), 1);
    assert_ne!(again[0].0, dials[2].0);
    finding.on_connected(at(1), again[0].0, true);
    assert!(!finding.is_short());
    assert_eq!(finding.poll_timeout(), None);
    // One goes: those that never failed come first.
    finding.on_disconnected(at(2), dials[0].0);
    let next = finding.due(at(2));
    assert_eq!(next.len(), 1);
    assert!(dials.iter().chain(&again).all(|(peer, _)| *peer != next[0].0));
    finding.on_failed(at(2), next[0].0);
    assert!(finding.poll_timeout().is_some_and(|when| when > at(2)));
    // It told another address meanwhile.
    finding.on_found(at(3), dials[0].0, address(77));
    let found: Vec<_> = (3..10).flat_map(|s| finding.due(at(s))).collect();
    let back = found.iter().find(|(peer, _)| *peer == dials[0].0);
    assert!(back.is_none_or(|(_, addresses)| *addresses == address(77)));
    assert!(!found.is_empty());
}

#[test]
fn what_is_remembered_is_bounded_and_nobody_pushes_out_what_works() {
    let start = Instant::now();
    let mut finding = Finding::new(8, 16, 1);
    let many = (0..20).flat_map(address).collect();
    finding.on_found(start, 0, many);
    assert_eq!(finding.candidates[&0].addresses.len(), ADDRESSES);
    for peer in 1..2 * CANDIDATES {
        finding.on_found(start, peer, address(peer));
    }
    assert_eq!(finding.candidates.len(), CANDIDATES);
    assert!(!finding.candidates.contains_key(&CANDIDATES));
    // One that could not be reached makes room.
    finding.on_failed(start, 5);
    finding.on_found(start, 999, address(999));
    assert!(finding.candidates.contains_key(&999) && !finding.candidates.contains_key(&5));
    // One that never can be is forgotten.
    for _ in 0..FAILURES {
        finding.on_failed(start, 6);
    }
    assert!(!finding.candidates.contains_key(&6));
    // One of another network is left alone for long.
    let mut finding = Finding::new(8, 16, 1);
    finding.on_found(start, 7, address(7));
    finding.on_connected(start, 7, true);
    finding.on_useless(start, 7);
    finding.on_disconnected(start, 7);
    assert!(finding.due(start + USELESS_FOR / 2).is_empty());
    assert_eq!(finding.due(start + USELESS_FOR).len(), 1);
}

#[test]
fn connections_that_were_dialled_beyond_the_target_are_closed_and_the_listed_and_the_oldest_stay() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut finding = Finding::new(3, 16, 1);
    for peer in 0..6 {
        finding.on_connected(at(peer), peer, true);
    }
    assert!(
        finding.surplus(at(6), |_| false).is_empty(),
        "they have their time"
    );
    assert_eq!(finding.surplus(at(100), |_| false), [5, 4, 3]);
    assert_eq!(finding.surplus(at(100), |peer| *peer >= 3), [2, 1, 0]);
    // Many that others dialled: a third has to be ours.
    for peer in 10..19 {
        finding.on_connected(at(7), peer, false);
    }
    assert_eq!(finding.surplus(at(100), |_| false), [5]);
}

#[test]
fn those_that_were_of_use_are_remembered_and_the_connected_ones_first() {
    let start = Instant::now();
    let mut finding = Finding::new(8, 16, 1);
    for peer in 0..2 * REMEMBERED {
        finding.on_found(start, peer, address(peer));
        if peer % 2 == 1 {
            finding.on_good(peer);
        }
    }
    assert_eq!(finding.good().len(), REMEMBERED);
    for peer in 0..2 * REMEMBERED {
        finding.on_good(peer);
    }
    let last = 2 * REMEMBERED - 1;
    assert!(finding.good().iter().all(|(peer, _)| *peer != last));
    finding.on_connected(start, last, false);
    assert!(finding.good().contains(&(last, address(last))));
    // It may tell where it is after it was of use.
    let mut late = Finding::new(8, 16, 1);
    late.on_connected(start, 7, false);
    late.on_good(7);
    late.on_found(start, 7, address(7));
    assert_eq!(late.good(), [(7, address(7))]);
    finding.on_useless(start, last);
    assert!(finding.good().iter().all(|(peer, _)| *peer != last));
}

#[test]
fn those_are_coming_that_are_dialled_or_wait_for_it() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut finding = Finding::new(2, 16, 1);
    assert_eq!(finding.coming(at(0)), 0);
    for peer in 0..2 {
        finding.on_found(at(0), peer, address(peer));
    }
    assert_eq!(finding.coming(at(0)), 2, "they wait");
    assert_eq!(finding.due(at(0)).len(), 2);
    assert_eq!(finding.coming(at(0)), 2, "they are dialled");
    finding.on_failed(at(1), 0);
    finding.on_connected(at(1), 1, true);
    assert_eq!(finding.coming(at(1)), 1, "one is dialled again");
    finding.on_useless(at(1), 1);
    finding.on_disconnected(at(1), 1);
    assert_eq!(finding.coming(at(1)), 1, "a stranger is left alone");
    for peer in 8..10 {
        finding.on_connected(at(2), peer, false);
        finding.on_connected(at(2), peer + 10, true);
    }
    assert_eq!(finding.coming(at(2)), 0, "there are enough");
    for peer in 8..20 {
        finding.on_disconnected(at(3), peer);
    }
    for failure in 1..FAILURES {
        finding.on_failed(at(3 + u64::from(failure)), 0);
    }
    assert_eq!(finding.coming(at(9)), 0, "it is forgotten");
}
