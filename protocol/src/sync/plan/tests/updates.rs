//! Updates: which are taken, and what of the work before stays.

use super::*;

fn held(size: u64, pinned: bool) -> Held {
    Held {
        size: at(size),
        pinned,
        guarded: false,
        root: None,
    }
}

/// At 0..100 with everything before it done, told this update.
fn updated(strict: bool, update: Target) -> (Plan, Vec<Command>) {
    let config = Config {
        strict_updates: strict,
        ..config(4, 16)
    };
    let mut plan = plan(config, 10, 100);
    plan.start();
    let commands = plan.updated(update);
    (plan, commands)
}

#[test]
fn updates_are_told_apart() {
    // T13.4.3 to T13.4.7, T13.5.8; E50, E93, E97, W5.1 to W5.3: from 10..100, as updates and under both settings.
    #[derive(Debug, PartialEq)]
    enum Verdict {
        Taken,
        Backward,
        SameRoot,
    }
    use Verdict::*;
    let first = target(10, 100);
    let same_root = |start: u64, end: u64| Target::new(*first.root(), at(start)..at(end)).unwrap();
    for (case, update, expected) in [
        ("a later start and end", target(50, 200), Taken),
        ("the same start", target(10, 200), Taken),
        ("the same end, only pruning", target(50, 100), Backward),
        ("an earlier end", target(10, 50), Backward),
        ("the same again", first.clone(), Backward),
        ("an earlier start", target(9, 200), Backward),
        ("the same root, later", same_root(50, 200), SameRoot),
        ("the same root and end", same_root(50, 100), Backward),
        ("an end at the limit", target(10, 1 << 62), Taken),
    ] {
        for strict in [false, true] {
            let (plan, commands) = updated(strict, update.clone());
            let case = format!("{case}, strict {strict}");
            match expected {
                Taken => {
                    assert_eq!(
                        commands.last(),
                        Some(&Command::Retarget(update.clone())),
                        "{case}"
                    );
                    assert_eq!(plan.progress().stale_updates, 0, "{case}");
                }
                Backward if strict => {
                    let (old, new) = (Box::new(first.clone()), Box::new(update.clone()));
                    let ended = Ended::SyncTargetMovedBackward { old, new };
                    assert_eq!(commands, [Command::Fail(ended)], "{case}");
                }
                Backward => {
                    assert!(commands.is_empty(), "{case}: {commands:?}");
                    assert_eq!(
                        (plan.target(), plan.progress().stale_updates),
                        (&first, 1),
                        "{case}"
                    );
                }
                SameRoot => {
                    let ended = Ended::SyncTargetRootUnchanged(Box::new(update.clone()));
                    assert_eq!(commands, [Command::Fail(ended)], "{case}");
                }
            }
        }
    }
}

#[test]
fn a_request_of_an_earlier_target_is_answered_under_its_own_root() {
    // E44, E53, E56, W1.1, W1.3, W22.1: what was asked for at size 20 is still wanted at size 40, bound to the root of 20.
    let mut plan = plan(config(4, 8), 0, 20);
    let first = asked(&plan.start());
    let tracked = plan.requests.get(first[0].0).unwrap().clone();
    plan.updated(target(0, 40));
    plan.on_event(NOW, Event::Retargeted(held(0, true)));
    let kept = plan.requests.get(first[0].0).unwrap();
    assert_eq!(kept, &tracked);
    assert_eq!((kept.request.size(), kept.root), (at(20), *target(0, 20).root()));
    let commands = plan.verified(first[0].0, 8, 80);
    assert_eq!(commands[0], Command::Append(first[0].0, at(0)));
    // What is asked for from now on is bound to the new one (E32, E55).
    let new = asked(&plan.verified(first[1].0, 8, 80));
    let new = plan.requests.get(new[0].0).unwrap();
    assert_eq!((new.request.size(), new.root), (at(40), *target(0, 40).root()));
}

#[test]
fn pinned_nodes_are_taken_under_the_current_root_only() {
    // E45, E52: the boundary of the earlier target is withdrawn, and its answer, should it come, pins nothing.
    let mut plan = plan(config(4, 8), 4, 20);
    let old = asked(&plan.start())[0].0;
    let commands = plan.updated(target(4, 40));
    assert_eq!(commands[0], Command::Cancel(old));
    let fresh = asked(&plan.on_event(NOW, Event::Retargeted(held(4, false))))[0];
    assert_eq!((fresh.1, fresh.3), (4, true));
    assert_eq!(
        plan.tied(old, 1, 10, Some(Digest::default())),
        [Command::Forget(old)]
    );
    let commands = plan.tied(fresh.0, 1, 10, Some(Digest::default()));
    assert_eq!(commands[0], Command::Pin(fresh.0));
}

#[test]
fn the_root_remembered_first_is_forgotten_first() {
    // E53, E54, E56: two roots are retained. With the third update the requests of the first target are withdrawn, and
    // their ranges are asked for again; with none retained (0) each update does that.
    for (retained, expected) in [(0, [0, 0, 0]), (1, [2, 0, 0]), (2, [2, 2, 0]), (8, [2, 2, 2])] {
        let config = Config {
            max_retained_roots: retained,
            ..config(2, 8)
        };
        let mut plan = plan(config, 0, 20);
        let first: Vec<_> = asked(&plan.start()).into_iter().map(|row| row.0).collect();
        assert_eq!(first.len(), 2);
        for (update, kept) in expected.into_iter().enumerate() {
            let commands = plan.updated(target(0, 40 + update as u64));
            let still = first.iter().filter(|id| plan.is_tracked(**id)).count();
            assert_eq!(still, kept, "{retained} retained, update {update}");
            let withdrawn = first
                .iter()
                .filter(|id| commands.contains(&Command::Cancel(**id)));
            assert!(withdrawn.count() <= 2 - kept);
            let commands = plan.on_event(NOW, Event::Retargeted(held(0, true)));
            let again = shapes(&commands).contains(&(0, 8, false));
            assert_eq!(
                again,
                kept == 0 && (update == 0 || retained == 0 || update == retained)
            );
        }
    }
}

#[test]
fn what_lies_below_the_new_start_goes_and_the_rest_stays() {
    // E52, W22.1, W22.4: W22 wins over E52 for what lies above the start, also where a batch spans it.
    let mut plan = plan(config(9, 8), 0, 48);
    let first = asked(&plan.start());
    assert_eq!(
        first.iter().map(|row| row.1).collect::<Vec<_>>(),
        [0, 8, 16, 24, 32, 40]
    );
    // Buffered: 8..16 and 16..24. Asked for: the others.
    plan.verified(first[1].0, 8, 80);
    plan.verified(first[2].0, 8, 80);
    let commands = plan.updated(target(20, 60));
    assert_eq!(
        commands,
        [
            Command::Cancel(first[0].0),
            Command::Forget(first[1].0),
            Command::Retarget(target(20, 60))
        ]
    );
    let commands = plan.on_event(NOW, Event::Retargeted(held(20, true)));
    // The rest of the batch that spans the start is appended, and nothing kept is asked for again.
    assert_eq!(commands[0], Command::Append(first[2].0, at(20)));
    assert_eq!(shapes(&commands), [(48, 1, true), (49, 7, false), (56, 4, false)]);
}

#[test]
fn the_same_start_needs_no_second_boundary() {
    // W22.2, T13.6.12: it would be at 4; what is asked for at 20 ties the two targets.
    let mut plan = plan(config(9, 8), 4, 20);
    let first = asked(&plan.start());
    assert!(
        plan.tied(first[0].0, 1, 10, Some(Digest::default()))
            .contains(&Command::Pin(first[0].0))
    );
    plan.updated(target(4, 40));
    let asked = shapes(&plan.on_event(NOW, Event::Retargeted(held(5, true))));
    assert_eq!(
        asked.iter().filter(|row| row.2).collect::<Vec<_>>(),
        [&(20, 1, true)]
    );
}
