//! What becomes of answers between their verification and their place in the log.

use super::*;

/// What an empty local side holds.
fn empty_at(start: u64) -> Held {
    Held {
        size: at(start),
        pinned: true,
        guarded: false,
        root: None,
    }
}

#[test]
fn nothing_empty_is_stored_and_a_longer_batch_replaces_a_shorter() {
    // E46, E47, T13.2.1 (a plan knows no kind, so it is the same for all): two answers without operations, then one and three operations from 9 on, behind the tip at 8.
    let mut plan = plan(config(9, 4), 8, 16);
    let first = asked(&plan.start());
    assert_eq!(first.iter().map(|row| row.1).collect::<Vec<_>>(), [8, 9, 12]);
    let (boundary, from_9, from_12) = (first[0].0, first[1].0, first[2].0);
    for id in [from_9, from_12] {
        let commands = plan.verified(id, 0, 0);
        assert_eq!(commands[0], Command::Forget(id));
    }
    assert_eq!(plan.progress().buffered_bytes, 0);
    assert_eq!(plan.progress().in_flight, 3, "both ranges are asked for again");
    assert!(plan.is_tracked(boundary));

    // On from a target that ended at 9. The request that ties it is refused once, and so covers nothing when it is asked
    // again; that for 10..12 fails, and so 9 is asked for with what follows it.
    let mut plan = Plan::new(config(2, 4), target(8, 9), empty_at(8), false);
    plan.start();
    plan.updated(target(8, 16));
    let first = asked(&plan.on_event(NOW, Event::Retargeted(empty_at(8))));
    assert_eq!(
        first.iter().map(|row| (row.1, row.2, row.3)).collect::<Vec<_>>(),
        [(9, 1, true), (10, 2, false)]
    );
    let tie = asked(&plan.refused(NOW, first[0].0, true))[0].0;
    let from_9 = asked(&plan.on_event(NOW, Event::Failed { id: first[1].0 }))[0];
    assert_eq!((from_9.1, from_9.2), (9, 3));
    assert!(plan.tied(tie, 1, 10, Some(*target(8, 9).root())).is_empty());
    assert_eq!(plan.progress().buffered_bytes, 10);
    let commands = plan.verified(from_9.0, 3, 30);
    assert_eq!(commands[0], Command::Forget(tie));
    assert_eq!((plan.buffered.len(), plan.progress().buffered_bytes), (1, 30));
    // What lies wholly below the size goes first of all (E47).
    plan.held.size = at(12);
    let mut out = Vec::new();
    plan.append(NOW, &mut out);
    assert_eq!(out, [Command::Forget(from_9.0)]);
    assert_eq!((plan.buffered.len(), plan.progress().buffered_bytes), (0, 0));
}

#[test]
fn a_batch_that_begins_below_the_size_is_appended_from_the_size_on() {
    // E48: 8..12 is buffered, and by the time it is looked at the log has grown to 10.
    let mut plan = plan(config(9, 4), 0, 16);
    let first = asked(&plan.start());
    assert!(plan.verified(first[2].0, 4, 40).is_empty());
    plan.held.size = at(10);
    let mut out = Vec::new();
    plan.append(NOW, &mut out);
    assert_eq!(out, [Command::Append(first[2].0, at(10))]);
    assert_eq!(plan.progress().size, at(12));
}

#[test]
fn a_boundary_answer_that_comes_late_brings_its_pinned_nodes_all_the_same() {
    // W3.3, W3.4: refused once, so that its operation is asked for without pinned nodes and appended first.
    let mut plan = plan(config(9, 8), 8, 16);
    let first = asked(&plan.start());
    let again = asked(&plan.refused(NOW, first[0].0, true));
    assert_eq!(
        again.iter().map(|row| (row.1, row.2, row.3)).collect::<Vec<_>>(),
        [(8, 1, true), (8, 1, false)]
    );
    plan.verified(first[1].0, 7, 70);
    plan.verified(again[1].0, 1, 10);
    assert_eq!(plan.progress().size, at(16));
    assert!(matches!(plan.progress().waiting, Waiting::Boundary { .. }));
    let commands = plan.tied(again[0].0, 1, 10, Some(Digest::default()));
    assert_eq!(
        commands,
        [
            Command::Pin(again[0].0),
            Command::Forget(again[0].0),
            Command::CheckRoot(Vec::new())
        ]
    );
}

#[test]
fn without_a_gap_nothing_is_asked_for() {
    // E32, E37, W4.2: all is asked for at once, for the target's size; then only what an answer left over.
    let mut plan = plan(config(99, 4), 0, 12);
    let commands = plan.start();
    assert_eq!(shapes(&commands), [(0, 4, false), (4, 4, false), (8, 4, false)]);
    for command in &commands {
        let Command::Fetch(_, tracked) = command else {
            panic!("{command:?}")
        };
        assert_eq!(
            (tracked.request.size(), tracked.root),
            (at(12), *target(0, 12).root())
        );
    }
    assert!(plan.on_event(NOW, Event::Tick).is_empty());
    let first = asked(&commands);
    assert_eq!(shapes(&plan.verified(first[1].0, 1, 10)), [(5, 3, false)]);
    assert!(
        plan.verified(first[2].0, 4, 40).is_empty(),
        "the rest is under way"
    );
}

#[test]
fn a_failure_among_many_is_asked_again_and_forgiven() {
    // W12.2: failures in a row are counted, and any progress in between begins the count again.
    let few = Config {
        max_failed: 2,
        ..config(2, 4)
    };
    let mut plan = plan(few, 0, 1000);
    let mut open = asked(&plan.start());
    for _ in 0..20 {
        let (failing, fine) = (open[0].0, open[1]);
        let mut next = asked(&plan.on_event(NOW, Event::Failed { id: failing }));
        assert_eq!(next[0].1, open[0].1, "the same range again");
        next.extend(asked(&plan.verified(fine.0, fine.2, 10)));
        open = next;
    }
    let mut id = open[0].0;
    for _ in 0..2 {
        id = asked(&plan.on_event(NOW, Event::Failed { id }))[0].0;
    }
    assert_eq!(plan.on_event(NOW, Event::Failed { id }), [Command::GiveUp]);
}
