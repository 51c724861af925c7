//! At the target: who is told, and when it is over.

use super::*;

fn whole(end: u64) -> Held {
    Held {
        size: at(end),
        pinned: true,
        guarded: false,
        root: None,
    }
}

/// At 4..20, told so; `waits`: for finish.
fn reached(waits: bool) -> (Plan, Vec<Command>) {
    let mut plan = Plan::new(config(4, 8), target(4, 20), whole(20), waits);
    assert_eq!(plan.start(), [Command::CheckRoot(Vec::new())]);
    let commands = plan.rooted(*target(4, 20).root(), &[]);
    (plan, commands)
}

#[test]
fn at_the_target_one_notice_and_then_whatever_ends_it() {
    // E60, E61, E63, E65 to E68
    let notice = Command::Notify(target(4, 20));
    let (_, commands) = reached(false);
    assert_eq!(
        commands,
        [notice.clone(), Command::Settle],
        "E66: nobody says when"
    );

    let (mut plan, commands) = reached(true);
    assert_eq!(commands, [notice], "E65: it waits");
    assert_eq!(plan.progress().waiting, Waiting::Finish);
    // Stray events change nothing, and nobody is told twice (E68).
    for event in [
        Event::Tick,
        Event::Failed { id: Id::default() },
        Event::Updates(vec![target(4, 20), target(0, 90)]),
        Event::Root {
            root: *target(4, 20).root(),
            torn: false,
            earlier: Vec::new(),
        },
    ] {
        assert!(plan.on_event(NOW, event.clone()).is_empty(), "{event:?}");
    }
    assert_eq!(plan.on_event(NOW, Event::Finish), [Command::Complete]);
    assert!(
        plan.on_event(NOW, Event::Finish).is_empty(),
        "nothing follows an end"
    );

    // A new target is a new notice.
    let (mut plan, _) = reached(true);
    plan.updated(target(4, 30));
    plan.on_event(NOW, Event::Retargeted(whole(30)));
    let commands = plan.rooted(*target(4, 30).root(), &[*target(4, 20).root()]);
    assert_eq!(commands, [Command::Notify(target(4, 30))]);
}

#[test]
fn an_early_finish_is_remembered_and_cuts_nothing_short() {
    // E63, E67: said while operations are missing; the channel may then close.
    let mut plan = Plan::new(
        config(4, 8),
        target(0, 8),
        Held {
            size: at(0),
            ..whole(0)
        },
        true,
    );
    let first = asked(&plan.start());
    assert!(plan.on_event(NOW, Event::Finish).is_empty());
    assert!(plan.on_event(NOW, Event::FinishClosed).is_empty());
    assert_eq!(
        plan.verified(first[0].0, 8, 80),
        [Command::Append(first[0].0, at(0)), Command::CheckRoot(Vec::new())]
    );
    let commands = plan.rooted(*target(0, 8).root(), &[]);
    assert_eq!(commands, [Command::Notify(target(0, 8)), Command::Complete]);
}

#[test]
fn a_finish_channel_that_closes_unsaid_is_an_error_wherever_the_sync_is() {
    // E64, E96
    let closed = [Command::Fail(Ended::FinishChannelClosed)];
    let (mut plan, _) = reached(true);
    assert_eq!(plan.on_event(NOW, Event::FinishClosed), closed);
    let mut plan = Plan::new(config(4, 8), target(4, 20), whole(20), true);
    plan.start();
    assert_eq!(
        plan.on_event(NOW, Event::FinishClosed),
        closed,
        "while the root is compared"
    );
    let mut plan = Plan::new(
        config(4, 8),
        target(0, 8),
        Held {
            size: at(0),
            ..whole(0)
        },
        true,
    );
    plan.start();
    assert_eq!(
        plan.on_event(NOW, Event::FinishClosed),
        closed,
        "while operations are missing"
    );
}

#[test]
fn queued_updates_are_taken_before_completing_unless_finish_was_said() {
    // W6.1 to W6.3, T13.5.5, T13.5.6
    let (mut plan, _) = reached(false);
    let queued = vec![target(4, 10), target(4, 20), target(4, 50), target(4, 40)];
    let commands = plan.on_event(NOW, Event::Settled(queued));
    assert_eq!(commands, [Command::Retarget(target(4, 50))]);
    assert_eq!(plan.progress().stale_updates, 3, "W5.1");

    for (case, queued) in [
        ("none queued, or the channel has closed", Vec::new()),
        ("only stale ones", vec![target(4, 10), target(0, 90)]),
    ] {
        let (mut plan, _) = reached(false);
        assert_eq!(
            plan.on_event(NOW, Event::Settled(queued)),
            [Command::Complete],
            "{case}"
        );
    }
    // W6.2: finish comes before the updates that are queued, and they are not looked at.
    let mut plan = Plan::new(config(4, 8), target(4, 20), whole(20), true);
    plan.start();
    plan.on_event(NOW, Event::Finish);
    let commands = plan.rooted(*target(4, 20).root(), &[]);
    assert_eq!(commands, [Command::Notify(target(4, 20)), Command::Complete]);
    assert!(plan.updated(target(4, 50)).is_empty());
}

#[test]
fn a_sync_that_can_neither_ask_nor_wait_says_so() {
    // E39, E95, W19.1: with channels and without. No event leads there, because what is missing can always be asked for: so
    // the locations are spoken for by hand, as a mistake in the books would do it.
    for waits_for_finish in [false, true] {
        let mut plan = Plan::new(config(4, 8), target(4, 20), whole(10), waits_for_finish);
        plan.coverage.insert(at(10)..at(20));
        assert_eq!(plan.start(), [Command::Fail(Ended::SyncStalled)]);
    }
    // A pause is no stall: something is to come.
    let mut plan = plan(config(1, 8), 0, 8);
    let mut next = asked(&plan.start());
    while let Some((id, ..)) = next.pop() {
        next = asked(&plan.refused(NOW, id, true));
    }
    assert!(matches!(plan.progress().waiting, Waiting::Pause { .. }) && plan.poll_timeout().is_some());
}
