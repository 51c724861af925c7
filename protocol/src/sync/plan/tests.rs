//! The plan by itself: lists of events, and the commands that come back.

mod buffer;
mod ending;
mod ties;
mod updates;

use super::*;
use crate::digest::Digest;
use crate::wire::Kind;
use std::num::{NonZeroU64, NonZeroUsize};

fn at(n: u64) -> Location {
    Location::new(n).unwrap()
}

fn target(start: u64, end: u64) -> Target {
    Target::new(Digest::of(&[&end.to_be_bytes()]), at(start)..at(end)).unwrap()
}

fn plan(config: Config, start: u64, end: u64) -> Plan {
    let held = Held {
        size: at(start),
        pinned: start == 0,
        guarded: false,
        root: None,
    };
    Plan::new(config, target(start, end), held, false)
}

fn config(outstanding: usize, batch: u64) -> Config {
    Config {
        max_outstanding_requests: NonZeroUsize::new(outstanding).unwrap(),
        fetch_batch_size: NonZeroU64::new(batch).unwrap(),
        ..Config::default()
    }
}

const NOW: Duration = Duration::from_secs(1);
const FAULT: &str = "the input ends too early";

/// The events, in short.
impl Plan {
    fn start(&mut self) -> Vec<Command> {
        self.on_event(NOW, Event::Start)
    }

    fn verified(&mut self, id: Id, operations: u64, bytes: u64) -> Vec<Command> {
        self.tied(id, operations, bytes, None)
    }

    fn tied(&mut self, id: Id, operations: u64, bytes: u64, root_at_start: Option<Digest>) -> Vec<Command> {
        let event = Event::Verified {
            id,
            operations,
            bytes,
            root_at_start,
        };
        self.on_event(NOW, event)
    }

    fn refused(&mut self, now: Duration, id: Id, heard: bool) -> Vec<Command> {
        let reason = FAULT.to_owned();
        self.on_event(now, Event::Refused { id, reason, heard })
    }

    fn updated(&mut self, target: Target) -> Vec<Command> {
        self.on_event(NOW, Event::Updates(vec![target]))
    }

    fn rooted(&mut self, root: Digest, earlier: &[Digest]) -> Vec<Command> {
        let earlier = earlier.to_vec();
        self.on_event(
            NOW,
            Event::Root {
                root,
                torn: false,
                earlier,
            },
        )
    }
}

/// What is asked for by these commands: number, start, most operations, and whether it is the boundary.
fn asked(commands: &[Command]) -> Vec<(Id, u64, u64, bool)> {
    let fetches = commands.iter().filter_map(|command| match command {
        Command::Fetch(id, tracked) => Some((*id, tracked.request)),
        _ => None,
    });
    fetches
        .map(|(id, asked)| {
            (
                id,
                asked.start().get(),
                asked.max_ops(),
                asked.kind() == Kind::Boundary,
            )
        })
        .collect()
}

fn shapes(commands: &[Command]) -> Vec<(u64, u64, bool)> {
    asked(commands)
        .into_iter()
        .map(|(_, start, most, boundary)| (start, most, boundary))
        .collect()
}

#[test]
fn the_first_requests_are_the_boundary_and_what_follows_it() {
    // E31, E33, E34, W2.4, W3.1, W3.2, W16.2, T13.5.4; batches end at multiples of their size, a power of two.
    for (case, outstanding, batch, start, end, expected) in [
        ("two at once", 2, 5, 5, 10, vec![(5, 1, true), (6, 2, false)]),
        (
            "up to the limit",
            4,
            4,
            14,
            83,
            vec![(14, 1, true), (15, 1, false), (16, 4, false), (20, 4, false)],
        ),
        ("one at once", 1, 4, 14, 83, vec![(14, 1, true)]),
        ("no boundary at 0", 3, 4, 0, 6, vec![(0, 4, false), (4, 2, false)]),
        ("one operation", 3, 4, 5, 6, vec![(5, 1, true)]),
        ("an end at the limit", 1, 4, 0, 1 << 62, vec![(0, 4, false)]),
    ] {
        assert_eq!(
            shapes(&plan(config(outstanding, batch), start, end).start()),
            expected,
            "{case}"
        );
    }
}

#[test]
fn short_answers_are_used_and_exactly_the_rest_is_asked_again() {
    // W4.2, E48
    let mut plan = plan(config(1, 8), 0, 8);
    let [(id, 0, 8, false)] = asked(&plan.start())[..] else {
        panic!("one request for all")
    };
    let commands = plan.verified(id, 3, 300);
    assert_eq!(commands[0], Command::Append(id, at(0)));
    assert_eq!(shapes(&commands), [(3, 5, false)]);
    assert_eq!(plan.progress().size, at(3));
}

#[test]
fn answers_are_appended_in_order_and_the_root_is_compared_before_anybody_is_told() {
    // E48, W2.1, W2.2, W21.1, W21.2: the notice comes after the root was compared, so it means the whole database.
    let mut plan = plan(config(9, 4), 4, 12);
    let first = asked(&plan.start());
    assert_eq!(first.iter().map(|row| row.1).collect::<Vec<_>>(), [4, 5, 8]);
    assert!(plan.verified(first[2].0, 4, 400).is_empty());
    assert_eq!(plan.progress().buffered_bytes, 400);
    assert!(plan.verified(first[1].0, 3, 300).is_empty());
    let commands = plan.tied(first[0].0, 1, 100, Some(Digest::default()));
    let expected = [
        Command::Pin(first[0].0),
        Command::Append(first[0].0, at(4)),
        Command::Append(first[1].0, at(5)),
        Command::Append(first[2].0, at(8)),
        Command::CheckRoot(Vec::new()),
    ];
    assert_eq!(commands, expected);
    let commands = plan.rooted(*target(4, 12).root(), &[]);
    assert_eq!(commands, [Command::Notify(target(4, 12)), Command::Settle]);
    assert_eq!(
        plan.on_event(NOW, Event::Settled(Vec::new())),
        [Command::Complete]
    );
}

#[test]
fn a_wrong_root_discards_what_is_held_before_the_sync_fails() {
    // E73, E91, W23.2, W23.3: local data of another log is fetched again once; otherwise it is an error.
    let held = Held {
        size: at(12),
        pinned: true,
        guarded: false,
        root: None,
    };
    let mut plan = Plan::new(config(1, 4), target(4, 12), held, false);
    assert_eq!(plan.start(), [Command::CheckRoot(Vec::new())]);
    assert_eq!(plan.progress().reused, 8);
    let wrong = Digest::default();
    assert_eq!(plan.rooted(wrong, &[]), [Command::Restart]);
    let commands = plan.on_event(
        NOW,
        Event::Restarted(Held {
            size: at(4),
            pinned: true,
            guarded: false,
            root: None,
        }),
    );
    assert_eq!(shapes(&commands), [(4, 4, false)]);
    let (id, ..) = asked(&commands)[0];
    let (id, ..) = asked(&plan.verified(id, 4, 4))[0];
    plan.verified(id, 4, 4);
    let commands = plan.rooted(wrong, &[]);
    assert_eq!(commands[0], Command::Discard);
    assert!(matches!(commands[1], Command::Fail(Ended::RootMismatch { .. })));
    assert!(plan.updated(target(4, 20)).is_empty(), "nothing follows an end");
}

#[test]
fn refusals_slow_down_and_end() {
    // W11.1, W11.2, W11.3: sixteen at once, then longer and longer pauses, at last an error; progress forgives all.
    let mut plan = plan(
        Config {
            max_refused: 20,
            ..config(1, 8)
        },
        0,
        8,
    );
    let mut now = NOW;
    let mut next = asked(&plan.start());
    let mut pauses = Vec::new();
    for _ in 0..20 {
        let commands = plan.refused(now, next[0].0, true);
        next = asked(&commands);
        if next.is_empty() {
            let until = plan.poll_timeout().unwrap();
            pauses.push((until - now).as_millis());
            now = until;
            next = asked(&plan.on_event(now, Event::Tick));
        }
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160]);
    let commands = plan.refused(now, next[0].0, true);
    assert_eq!(
        commands,
        [Command::Fail(Ended::TooManyRefused {
            count: 21,
            last: FAULT.into()
        })]
    );

    let mut plan = Plan::new(
        config(1, 8),
        target(0, 8),
        Held {
            size: at(0),
            pinned: true,
            guarded: false,
            root: None,
        },
        false,
    );
    let (id, ..) = asked(&plan.start())[0];
    assert_eq!(
        plan.refused(NOW, id, false),
        [Command::Fail(Ended::InvalidResponse(FAULT.into()))]
    );
}

#[test]
fn a_request_past_its_deadline_is_asked_again_and_its_answer_ignored() {
    // W13.1, E41
    let timeout = Duration::from_secs(3);
    let mut plan = plan(
        Config {
            request_timeout: Some(timeout),
            ..config(1, 8)
        },
        0,
        8,
    );
    let (old, ..) = asked(&plan.start())[0];
    assert_eq!(plan.poll_timeout(), Some(NOW + timeout));
    assert!(plan.on_event(NOW + timeout / 2, Event::Tick).is_empty());
    let commands = plan.on_event(NOW + timeout, Event::Tick);
    assert_eq!(commands[0], Command::Cancel(old));
    let (new, ..) = asked(&commands)[0];
    assert!(new != old && plan.is_tracked(new) && !plan.is_tracked(old));
    assert_eq!(plan.verified(old, 8, 8), [Command::Forget(old)]);
    assert!(plan.refused(NOW, old, false).is_empty());
}

#[test]
fn the_buffer_has_a_bound_that_the_tip_ignores() {
    // W14.1, W14.2, T13.6.7: 10 operations of 100 bytes fit of 2^40, without a deadline; the tip is asked for although the
    // buffer is full.
    let config = Config {
        max_buffered_bytes: 1000,
        batch_bytes: NonZeroU64::new(400).unwrap(),
        ..config(99, 4)
    };
    let mut plan = plan(config, 0, 1 << 40);
    let first = asked(&plan.start());
    let (tip, second) = (first[0].0, first[1].0);
    let more = asked(&plan.verified(second, first[1].2, first[1].2 * 100));
    let mut open: Vec<_> = first[2..].iter().chain(&more).copied().collect();
    for _ in 0..50 {
        let Some((id, _, most, _)) = open.pop() else { break };
        open.extend(asked(&plan.verified(id, most, most * 100)));
    }
    assert!(open.is_empty(), "nothing but the tip is open");
    assert_eq!(plan.progress().in_flight, 1);
    assert!(
        (600..=1000).contains(&plan.progress().buffered_bytes),
        "{}",
        plan.progress().buffered_bytes
    );
    let again = asked(&plan.refused(NOW, tip, true));
    assert_eq!((again.len(), again[0].1), (1, 0), "the tip is asked again");
}

#[test]
fn an_update_keeps_what_is_buffered_and_asked() {
    // E52, W22.1, W22.4, T13.6.13: only the boundary is asked again. W22 wins over E52: what is above the start stays.
    let mut plan = plan(config(4, 4), 4, 20);
    let first = asked(&plan.start());
    assert_eq!(first.iter().map(|row| row.1).collect::<Vec<_>>(), [4, 5, 8, 12]);
    let next = asked(&plan.verified(first[2].0, 4, 40));
    assert_eq!(next[0].1, 16);
    let commands = plan.updated(target(4, 40));
    assert_eq!(
        commands,
        [Command::Cancel(first[0].0), Command::Retarget(target(4, 40))]
    );
    let commands = plan.on_event(
        NOW,
        Event::Retargeted(Held {
            size: at(4),
            pinned: false,
            guarded: false,
            root: None,
        }),
    );
    assert_eq!(shapes(&commands), [(4, 1, true), (20, 1, true)]);
    // A start beyond everything drops all.
    let commands = plan.updated(target(30, 60));
    assert!(commands.contains(&Command::Forget(first[2].0)));
    assert_eq!(plan.progress().in_flight, 1, "the tie to what ended at 20");
    assert_eq!(commands.last(), Some(&Command::Retarget(target(30, 60))));
    // With retention off nothing is waited for.
    let mut plan = Plan::new(
        Config {
            max_retained_roots: 0,
            ..config(4, 4)
        },
        target(0, 20),
        Held {
            size: at(0),
            pinned: true,
            guarded: false,
            root: None,
        },
        false,
    );
    plan.start();
    plan.updated(target(0, 40));
    assert_eq!(plan.progress().in_flight, 0);
}

#[test]
fn a_journal_beyond_the_target_is_a_bug_that_is_named() {
    // E61, E94
    let held = Held {
        size: at(13),
        pinned: true,
        guarded: false,
        root: None,
    };
    let mut plan = Plan::new(config(1, 4), target(4, 12), held, false);
    assert!(matches!(
        plan.start()[..],
        [Command::Fail(Ended::InvalidState { .. })]
    ));
}
