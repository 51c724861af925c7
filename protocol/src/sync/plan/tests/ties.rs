//! What ties a target to what came before it: earlier targets, and what an earlier run has left.

use super::*;

const OTHER: Digest = Digest([9; 32]);

fn reused(config: Config, start: u64, size: u64, end: u64) -> Plan {
    let held = Held {
        size: at(size),
        pinned: true,
        guarded: false,
        root: Some(root(size)),
    };
    Plan::new(config, target(start, end), held, false)
}

/// The root of the target that ends there.
fn root(end: u64) -> Digest {
    *target(0, end).root()
}

/// A plan at its first target, which a caller may follow by others.
fn reached(config: Config, start: u64, end: u64) -> Plan {
    let held = Held {
        size: at(end),
        pinned: true,
        guarded: false,
        root: None,
    };
    let mut plan = Plan::new(config, target(start, end), held, true);
    assert_eq!(plan.start(), [Command::CheckRoot(Vec::new())]);
    assert_eq!(plan.rooted(root(end), &[]), [Command::Notify(target(start, end))]);
    plan
}

/// On to a target; the database has kept what it held.
fn follow(plan: &mut Plan, start: u64, end: u64) -> Vec<Command> {
    let held = plan.held;
    let mut commands = plan.updated(target(start, end));
    commands.extend(plan.on_event(NOW, Event::Retargeted(held)));
    commands
}

#[test]
fn what_an_earlier_run_left_is_tied_to_the_target_before_anything_is_put_behind_it() {
    // E29, W7.4, W23.1, W23.2, T13.5.3: of a partial log nothing is taken for the target's end, and no root compared.
    for (case, found, expected) in [
        (
            "of the target's log",
            root(8),
            Command::Append(Id::default(), at(8)),
        ),
        ("of another log", OTHER, Command::Restart),
    ] {
        let mut plan = reused(config(3, 4), 4, 8, 20);
        let commands = plan.start();
        let first = asked(&commands);
        assert_eq!(first.len(), commands.len(), "{case}: nothing but requests");
        let starts: Vec<_> = first.iter().map(|row| (row.1, row.2, row.3)).collect();
        assert_eq!(
            starts,
            [(8, 1, true), (9, 3, false), (12, 4, false), (16, 4, false)]
        );
        // Whatever comes first waits: nothing is appended to what may have to go.
        assert!(plan.verified(first[1].0, 3, 30).is_empty(), "{case}");
        let commands = plan.tied(first[0].0, 1, 10, Some(found));
        assert_eq!(commands.first(), Some(&expected), "{case}");
        assert_eq!(plan.progress().tied, found != OTHER, "{case}");
        if found == OTHER {
            let held = Held {
                size: at(4),
                pinned: false,
                guarded: false,
                root: None,
            };
            let commands = plan.on_event(NOW, Event::Restarted(held));
            // Only what is missing: the buffered and the asked stay.
            assert_eq!(shapes(&commands), [(4, 1, true)]);
            assert_eq!((plan.progress().reused, plan.progress().buffered_bytes), (0, 40));
            assert_eq!(plan.progress().in_flight, 3);
            let commands = plan.verified(first[2].0, 4, 40);
            assert_eq!(shapes(&commands), [(5, 3, false)]);
        }
    }
}

#[test]
fn a_tie_that_cannot_be_had_holds_nothing_up() {
    // W3.3: a refusal, or half the buffer, and the rest is appended on trust.
    let mut plan = reused(config(3, 4), 4, 8, 16);
    let first = asked(&plan.start());
    plan.verified(first[1].0, 3, 30);
    let commands = plan.refused(NOW, first[0].0, true);
    let again = asked(&commands);
    assert_eq!((again[0].1, again[0].3), (8, true), "asked again");
    assert_eq!(
        (again[1].1, again[1].2, again[1].3),
        (8, 1, false),
        "and without pinned nodes"
    );
    let commands = plan.verified(again[1].0, 1, 10);
    assert_eq!(commands.first(), Some(&Command::Append(again[1].0, at(8))));
    assert!(!plan.progress().tied);
    // The tie comes late, and is still held against what was there.
    assert!(
        plan.tied(again[0].0, 1, 10, Some(OTHER))
            .contains(&Command::Restart)
    );

    let small = Config {
        max_buffered_bytes: 2000,
        ..config(9, 4)
    };
    let mut plan = reused(small, 4, 8, 1 << 20);
    let first = asked(&plan.start());
    let behind = first.iter().find(|row| row.1 == 9).unwrap();
    let commands = plan.verified(behind.0, 3, 1250);
    assert!(!commands.contains(&Command::Restart));
    assert_ne!(plan.progress().waiting, Waiting::Tie);
}

#[test]
fn a_prefix_that_ends_at_the_target_needs_no_answer() {
    // E30, W7.2, T13.5.2: the root is compared at once, once, and tells as much.
    let mut plan = reused(config(3, 4), 4, 20, 20);
    assert_eq!(plan.start(), [Command::CheckRoot(Vec::new())]);
    assert_eq!(plan.rooted(OTHER, &[]), [Command::Restart]);
}

#[test]
fn a_log_that_forked_is_found_out_by_one_answer_with_both_targets() {
    // W23.1, for an earlier target: the peaks at its end, under the later root.
    let mut plan = reached(config(2, 8), 4, 20);
    let first = asked(&follow(&mut plan, 4, 60));
    assert_eq!(
        first.iter().map(|row| (row.1, row.2, row.3)).collect::<Vec<_>>(),
        [(20, 1, true), (21, 3, false), (24, 8, false)],
        "the tie takes nobody's place"
    );
    let commands = plan.tied(first[0].0, 1, 10, Some(OTHER));
    let [Command::Fail(Ended::Fork { earlier, later, got })] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!(
        (&**earlier, &**later, *got),
        (&target(4, 20), &target(4, 60), Some(OTHER))
    );
    assert!(
        plan.verified(first[1].0, 3, 30).is_empty(),
        "nothing follows an end"
    );

    // A log that only grew goes on, and is not asked again at the next update.
    let mut plan = reached(config(2, 8), 4, 20);
    let first = asked(&follow(&mut plan, 4, 60));
    assert!(
        plan.tied(first[0].0, 1, 10, Some(root(20)))
            .contains(&Command::Append(first[0].0, at(20)))
    );
    let next = shapes(&follow(&mut plan, 4, 90));
    assert_eq!(next.first(), Some(&(60, 1, true)));
    assert!(!next.contains(&(20, 1, true)));
}

#[test]
fn ties_survive_updates_and_are_made_at_the_end_at_last() {
    // W22.4, W23.1: three targets in a row, none of whose ties is answered before the end.
    let mut plan = reached(config(4, 64), 4, 20);
    let mut open = asked(&follow(&mut plan, 4, 30));
    open.extend(asked(&follow(&mut plan, 4, 40)));
    let ties: Vec<_> = open
        .iter()
        .filter(|row| row.3)
        .map(|row| (row.0, row.1))
        .collect();
    assert_eq!(ties.iter().map(|tie| tie.1).collect::<Vec<_>>(), [20, 30]);
    // The older tie was asked for under the target in between, and is still good.
    let commands = plan.tied(ties[0].0, 1, 10, Some(root(20)));
    assert!(!matches!(commands.last(), Some(Command::Fail(_))));
    // All operations arrive, the second tie does not: what was proven for the size before it is appended.
    for row in open.iter().filter(|row| !row.3) {
        plan.verified(row.0, row.2, 10);
    }
    assert_eq!(plan.progress().size, at(30));
    let again = asked(&plan.refused(NOW, ties[1].0, true));
    let (tie, operation) = (again[0], again[1]);
    assert!(
        tie.1 == 30 && tie.3 && operation.1 == 30 && !operation.3,
        "{again:?}"
    );
    let commands = plan.verified(operation.0, 1, 10);
    assert_eq!(
        commands.last(),
        Some(&Command::CheckRoot(vec![at(30)])),
        "{commands:?}"
    );
    for (case, found, good) in [("grown", root(30), true), ("forked", OTHER, false)] {
        let mut plan = plan.clone();
        let commands = plan.rooted(root(40), &[found]);
        assert_eq!(
            commands.last() == Some(&Command::Notify(target(4, 40))),
            good,
            "{case}: {commands:?}"
        );
        assert_eq!(
            matches!(commands[..], [Command::Fail(Ended::Fork { .. })]),
            !good,
            "{case}"
        );
    }
}

#[test]
fn targets_below_the_new_start_are_asked_about_and_not_waited_for() {
    // W23: peers need not hold what lies below the start; but if one does, a fork shows there as well.
    let mut plan = reached(config(4, 64), 4, 20);
    let held = Held {
        size: at(25),
        pinned: false,
        guarded: false,
        root: None,
    };
    plan.updated(target(25, 60));
    let commands = plan.on_event(NOW, Event::Retargeted(held));
    let open = asked(&commands);
    assert_eq!(shapes(&commands), [(25, 1, true), (20, 1, true), (26, 34, false)]);
    let mut forked = plan.clone();
    let commands = forked.tied(open[1].0, 1, 10, Some(OTHER));
    assert!(
        matches!(commands[..], [Command::Fail(Ended::Fork { .. })]),
        "{commands:?}"
    );
    plan.tied(open[0].0, 1, 10, Some(root(25)));
    let commands = plan.verified(open[2].0, 34, 340);
    assert_eq!(commands.last(), Some(&Command::CheckRoot(Vec::new())));
    let commands = plan.rooted(root(60), &[]);
    assert_eq!(
        commands,
        [Command::Cancel(open[1].0), Command::Notify(target(25, 60))],
        "nobody is asked for what is no longer needed"
    );

    // With retention off the last target is tied all the same.
    let off = Config {
        max_retained_roots: 0,
        ..config(4, 64)
    };
    let mut plan = reached(off, 4, 20);
    assert_eq!(shapes(&follow(&mut plan, 4, 60))[0], (20, 1, true));
    assert_eq!(shapes(&follow(&mut plan, 4, 90))[0], (60, 1, true));
}

#[test]
fn what_is_proven_waits_for_the_tie_and_then_does_without() {
    // W23.1: five seconds, to the nanosecond. The operation at the tie comes with it, or by a request of its own.
    let mut plan = reached(config(4, 64), 4, 20);
    let open = asked(&follow(&mut plan, 4, 60));
    assert_eq!(open[0].1, 20);
    for row in &open[1..] {
        assert!(plan.verified(row.0, row.2, 10 * row.2).is_empty());
    }
    // A boundary answer that says nothing of its peaks is none that an engine tells; it brings the operation all the same.
    assert!(asked(&plan.tied(open[0].0, 1, 10, None)).iter().all(|row| row.3));
    let progress = plan.progress();
    assert_eq!((progress.size, progress.waiting), (at(20), Waiting::Tie));
    let until = NOW + Config::default().tie_patience;
    assert_eq!(plan.poll_timeout(), Some(until));
    let early = until - Duration::from_nanos(1);
    assert!(plan.on_event(early, Event::Tick).is_empty());
    let commands = plan.on_event(until, Event::Tick);
    assert_eq!(commands.last(), Some(&Command::CheckRoot(vec![at(20)])));
}

#[test]
fn the_newest_of_a_burst_counts_and_stale_ones_are_counted() {
    // W5.1, W27.1, W28.1
    let mut plan = reached(config(4, 64), 4, 20);
    let burst = [(4, 30), (4, 20), (4, 90), (2, 99), (4, 40)].map(|(start, end)| target(start, end));
    let commands = plan.on_event(NOW, Event::Updates(burst.to_vec()));
    assert_eq!(commands, [Command::Retarget(target(4, 90))]);
    let progress = plan.progress();
    assert_eq!(
        (progress.end, progress.retargets, progress.stale_updates),
        (at(90), 1, 3)
    );
    assert!(!progress.reached);
}

#[test]
fn a_record_replays_to_the_same_decisions_from_any_line() {
    // A plan has no other input, so a copy of it decides the same; and nothing panics on what no engine says.
    let mut plan = reused(config(3, 4), 4, 8, 40);
    let first = asked(&plan.start());
    let events = [
        Event::Verified {
            id: first[1].0,
            operations: u64::MAX,
            bytes: u64::MAX,
            root_at_start: Some(OTHER),
        },
        Event::Retargeted(Held {
            size: Location::MAX,
            pinned: true,
            guarded: true,
            root: Some(OTHER),
        }),
        Event::Root {
            root: OTHER,
            torn: false,
            earlier: vec![OTHER; 9],
        },
        Event::Restarted(Held {
            size: at(0),
            pinned: false,
            guarded: false,
            root: None,
        }),
        Event::Settled(vec![target(4, 50)]),
        Event::LastChecked,
        Event::Tick,
    ];
    for event in events {
        let (mut one, mut two) = (plan.clone(), plan.clone());
        for event in [
            event,
            Event::Tick,
            Event::Updates(vec![target(39, 90)]),
            Event::Finish,
        ] {
            assert_eq!(
                one.on_event(Duration::MAX, event.clone()),
                two.on_event(Duration::MAX, event)
            );
        }
    }
}

#[test]
fn only_the_newest_last_operation_is_asked_for_while_a_database_is_guarded() {
    // W14.1, W18.2, W18.3: a burst of updates must not pile up requests.
    let held = Held {
        size: at(20),
        pinned: true,
        guarded: true,
        root: None,
    };
    let mut plan = Plan::new(config(2, 8), target(0, 50), held, false);
    assert_eq!(shapes(&plan.start()), [(49, 1, false)]);
    assert_eq!(plan.progress().waiting, Waiting::Last);
    for end in [60, 70, 80] {
        let commands = plan.updated(target(0, end));
        assert!(
            matches!(commands[..], [Command::Cancel(_), Command::Retarget(_)]),
            "{commands:?}"
        );
        let commands = plan.on_event(NOW, Event::Retargeted(held));
        assert_eq!(shapes(&commands), [(end - 1, 1, false)]);
        assert_eq!(plan.progress().in_flight, 1);
    }
}

#[test]
fn a_complete_database_is_given_up_only_when_the_tie_is_known_or_cannot_be_had() {
    // W23.1, W10.1: the later target begins above the earlier one, whose database is complete and would go.
    let mut plan = reached(config(4, 64), 4, 20);
    let held = Held {
        size: at(25),
        pinned: false,
        guarded: true,
        root: None,
    };
    plan.updated(target(25, 60));
    let last = asked(&plan.on_event(NOW, Event::Retargeted(held)));
    plan.verified(last[0].0, 1, 10);
    let open = asked(&plan.on_event(NOW, Event::LastChecked));
    let starts: Vec<_> = open.iter().map(|row| (row.1, row.3)).collect();
    assert_eq!(starts, [(25, true), (20, true), (26, false)]);
    plan.tied(open[0].0, 1, 10, Some(root(25)));
    plan.verified(open[2].0, open[2].2, 330);
    let progress = plan.progress();
    assert_eq!((progress.size, progress.waiting), (at(25), Waiting::Tie));
    let mut forked = plan.clone();
    let commands = forked.tied(open[1].0, 1, 10, Some(OTHER));
    assert!(
        matches!(commands[..], [Command::Fail(Ended::Fork { .. })]),
        "{commands:?}"
    );
    // Nobody can show it: then without.
    let commands = plan.on_event(NOW + Config::default().tie_patience, Event::Tick);
    assert!(
        matches!(commands[..], [Command::Append(..), .., Command::CheckRoot(_)]),
        "{commands:?}"
    );
}
