//! Targets that move, forks, finish and reached.

use super::*;
use crate::testing::source::database_of;
use std::sync::Mutex;

#[test]
fn targets_move_and_nothing_proven_is_lost() {
    // E50, E55, W5.1 to W5.3, W27.1, T13.5.9: updates queued before the first step.
    let first = database(61, 20, 12);
    let middle = first.clone_with_more(5);
    let mut last = first.clone_with_more(15);
    let from = |db: &MemoryDb| Target::new(db.root(), first.floor().unwrap()..db.log().size()).unwrap();
    let resolver = Scripted::honest(last.log().journal().clone());
    let run = |updates: Vec<Target>, strict: bool| {
        let (update_tx, update_rx) = mpsc::channel(16);
        for update in updates {
            update_tx.try_send(update).unwrap();
        }
        let channels = Channels {
            update_rx: Some(update_rx),
            ..Channels::default()
        };
        let config = Config {
            strict_updates: strict,
            ..config(4, 16)
        };
        let engine = engine(
            config,
            &from(&first),
            MemoryJournal::default(),
            &resolver,
            channels,
        );
        block_on(engine.run()).map(|(log, keys)| Db::from_parts(log, keys).unwrap())
    };
    let mut copy = run(
        vec![from(&middle), from(&first), from(&last), from(&middle)],
        false,
    )
    .unwrap();
    last.prune(first.floor().unwrap()).unwrap();
    assert_same(&mut copy, &mut last, "straight to the newest");
    assert!(
        resolver
            .asked()
            .iter()
            .all(|(request, _)| request.size() != middle.log().size())
    );

    let copy = run(vec![from(&first)], false).unwrap();
    assert_eq!(copy.root(), first.root());
    let error = run(vec![from(&first)], true).unwrap_err();
    assert!(matches!(
        error,
        Error::Ended(Ended::SyncTargetMovedBackward { .. })
    ));
    let same_root = Target::new(
        first.root(),
        first.floor().unwrap()..at(first.log().size().get() + 1),
    )
    .unwrap();
    for strict in [false, true] {
        let error = run(vec![same_root.clone()], strict).unwrap_err();
        assert!(matches!(error, Error::Ended(Ended::SyncTargetRootUnchanged(_))));
    }
}

#[test]
fn finish_and_reached_mean_what_they_say() {
    // E62 to E65, E67 to E69, E74, E96
    let first = source(71, 10);
    let second = first.clone_with_more(5);
    let later = Target::new(second.root(), first.floor().unwrap()..second.log().size()).unwrap();
    let resolver = Scripted::honest(second.log().journal().clone());
    let start = |channels| {
        engine(
            config(4, 16),
            &first.target(),
            MemoryJournal::default(),
            &resolver,
            channels,
        )
    };

    // Reached, waits; updated, reached again, waits; finish.
    let (finish_tx, finish_rx) = mpsc::channel(1);
    let (reached_tx, mut reached_rx) = mpsc::channel(1);
    let (update_tx, update_rx) = mpsc::channel(1);
    let channels = Channels {
        finish_rx: Some(finish_rx),
        reached_tx: Some(reached_tx),
        update_rx: Some(update_rx),
        ..Channels::default()
    };
    let mut run = start(channels).run().boxed();
    let mut poll = || block_on(async { futures::poll!(&mut run) });
    assert!(poll().is_pending());
    assert_eq!(reached_rx.try_recv().unwrap(), first.target());
    assert!(poll().is_pending() && reached_rx.try_recv().is_err());
    update_tx.try_send(later.clone()).unwrap();
    assert!(poll().is_pending());
    assert_eq!(reached_rx.try_recv().unwrap(), later);
    finish_tx.try_send(()).unwrap();
    let Poll::Ready(Ok((log, _))) = poll() else {
        panic!("finish completes at the target")
    };
    assert_eq!(log.root(), second.root());
    assert!(update_tx.try_send(later.clone()).is_err());

    // Finish before the start, and nobody who observes.
    let (finish_tx, finish_rx) = mpsc::channel(1);
    let (reached_tx, reached_rx) = mpsc::channel(1);
    drop(reached_rx);
    finish_tx.try_send(()).unwrap();
    let channels = Channels {
        finish_rx: Some(finish_rx),
        reached_tx: Some(reached_tx),
        ..Channels::default()
    };
    let (log, _) = block_on(start(channels).run()).unwrap();
    assert_eq!(log.root(), first.root());

    // Nobody left to say finish.
    let (finish_tx, finish_rx) = mpsc::channel(1);
    drop(finish_tx);
    let error = block_on(
        start(Channels {
            finish_rx: Some(finish_rx),
            ..Channels::default()
        })
        .run(),
    )
    .unwrap_err();
    assert!(matches!(error, Error::Ended(Ended::FinishChannelClosed)));
}

/// Follows `targets` one after the other, each as soon as the one before is reached.
pub(super) fn follow(
    kind: DbKind,
    targets: &[Target],
    resolver: &Scripted,
    journal: MemoryJournal,
) -> (Outcome, Vec<Target>, Progress, Vec<Line>) {
    let (update_tx, update_rx) = mpsc::channel(1);
    let (reached_tx, mut reached_rx) = mpsc::channel(1);
    let (finish_tx, finish_rx) = mpsc::channel(1);
    let (progress_tx, progress) = watch::channel(Progress::default());
    let lines = Arc::new(Mutex::new(Vec::new()));
    let written = lines.clone();
    let channels = Channels {
        observer: None,
        update_rx: Some(update_rx),
        finish_rx: Some(finish_rx),
        reached_tx: Some(reached_tx),
        progress: Some(progress_tx),
        recorder: Some(Box::new(move |line| written.lock().unwrap().push(line))),
    };
    let local = Client::open(journal, targets[0].clone(), Keys::new(kind)).unwrap();
    let engine = Engine::new(
        config(4, 16),
        targets[0].clone(),
        local,
        resolver.clone(),
        Arc::new(Virtual::default()),
        channels,
    );
    let mut run = engine.run().boxed();
    let (mut reached, mut next) = (Vec::new(), targets[1..].iter());
    let outcome = loop {
        if let Poll::Ready(ended) = block_on(async { futures::poll!(&mut run) }) {
            break ended.map(|(log, keys)| Db::from_parts(log, keys).unwrap());
        }
        while let Ok(target) = reached_rx.try_recv() {
            reached.push(target);
            match next.next() {
                Some(target) => update_tx.try_send(target.clone()).unwrap(),
                None => finish_tx.try_send(()).unwrap(),
            }
        }
    };
    let (progress, lines) = (progress.borrow().clone(), lines.lock().unwrap().clone());
    (outcome, reached, progress, lines)
}

#[test]
fn a_start_that_moves_costs_no_boundary_and_no_operation_twice() {
    // W22.2, W22.3, W22.4, W28.1, E51, T13.6.12, for every kind of database: of kinds without a floor the publisher prunes.
    for name in crate::db::KINDS {
        let kind = DbKind::parse(name, name.ends_with("fixed").then_some(20)).unwrap();
        let mut db = database_of(kind, 81, 20, 12);
        let first = db.log().size().get() / 3;
        let mut targets = Vec::new();
        for step in 0..6 {
            let start = db.floor().unwrap_or(at(first + 20 * step));
            targets.push(Target::new(db.root(), start..db.log().size()).unwrap());
            grow(&mut db, 82 + step, 1, 12);
        }
        let last = targets[5].clone();
        let overlap = |pair: &[Target]| pair[0].start() < pair[1].start() && pair[1].start() < pair[0].end();
        assert!(targets.windows(2).all(overlap), "{name}: {targets:?}");
        let resolver = Scripted::honest(db.log().journal().clone());
        let (copy, reached, progress, lines) = follow(kind, &targets, &resolver, MemoryJournal::default());
        let copy = copy.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (copy.target(), reached),
            (last.clone(), targets.clone()),
            "{name}"
        );
        assert_eq!(
            (progress.retargets, progress.end, progress.size),
            (5, last.end(), last.end())
        );
        let asked = resolver.asked();
        let operations: u64 = asked.iter().map(|(request, _)| request.max_ops()).sum();
        assert_eq!(
            operations,
            last.end().since(targets[0].start()),
            "{name}: none twice"
        );
        // The first boundary, and one tie for each update.
        let boundaries = asked
            .iter()
            .filter(|(request, _)| request.kind() == Kind::Boundary);
        let starts: Vec<_> = boundaries.map(|(request, _)| request.start()).collect();
        let ends = targets[..5].iter().map(Target::end);
        assert_eq!(
            starts,
            [targets[0].start()].into_iter().chain(ends).collect::<Vec<_>>(),
            "{name}"
        );
        // The same keys as a database that is opened again.
        let reopened = Db::open(copy.log().journal().clone(), kind).unwrap();
        for i in 0..48 {
            assert_eq!(
                copy.value(&key(i)).unwrap(),
                reopened.value(&key(i)).unwrap(),
                "{name}, key {i}"
            );
        }
        replays(&lines, name);
    }
}

/// A record replays to the same commands, line by line, also after a way through text.
fn replays(lines: &[Line], case: &str) {
    let text = |line: &Line| serde_json::to_string(line).unwrap();
    let Ok(Line::Begin(begin)) = serde_json::from_str::<Line<serde_json::Value>>(&text(&lines[0])) else {
        panic!("{case}: {}", text(&lines[0]))
    };
    assert!(lines.len() > 10, "{case}");
    let mut plan = begin.plan();
    for line in &lines[1..] {
        let Ok(Line::Step(step)) = serde_json::from_str::<Line<serde_json::Value>>(&text(line)) else {
            panic!("{case}: {}", text(line))
        };
        let commands = step.replay(&mut plan);
        assert_eq!(
            serde_json::to_value(commands).unwrap(),
            step.commands,
            "{case}: {}",
            text(line)
        );
    }
}

#[test]
fn a_forked_target_is_found_out_before_the_download_ends() {
    // W23.1, for an earlier target: two histories that part after the first target; the second is far longer.
    let base = database(91, 20, 12);
    let first = Target::new(base.root(), base.floor().unwrap()..base.log().size()).unwrap();
    let parted = {
        // The same log but for its last commits.
        let mut db = database(91, 16, 12);
        grow(&mut db, 777, 200, 12);
        db
    };
    assert!(parted.log().size() > first.end());
    let second = Target::new(parted.root(), first.start()..parted.log().size()).unwrap();
    let (own, other) = (base.log().journal().clone(), parted.log().journal().clone());
    let resolver = Scripted::honest(own).then(first.end(), other);
    let (outcome, reached, progress, lines) = follow(
        KIND,
        &[first.clone(), second.clone()],
        &resolver,
        MemoryJournal::default(),
    );
    let Err(Error::Ended(Ended::Fork { earlier, later, got })) = outcome else {
        panic!("no fork was seen")
    };
    assert_eq!((*earlier, *later), (first.clone(), second.clone()));
    let peaks = crate::mmr::nodes::peaks_at(parted.log().journal(), first.end())
        .unwrap()
        .unwrap();
    assert_eq!(
        got,
        Some(crate::mmr::hash::root(first.end(), &peaks)),
        "the evidence is the other log's own root"
    );
    assert_eq!(reached, [first]);
    let fetched = progress.size.since(progress.start);
    let all = second.end().since(second.start());
    assert!(
        progress.size < second.end() && fetched < all / 4,
        "{fetched} of {all}"
    );
    assert!(
        resolver
            .verdicts()
            .iter()
            .all(|(_, verdict)| *verdict != Some(false)),
        "no peer is blamed"
    );
    replays(&lines, "fork");
}

#[test]
fn an_observer_who_does_not_look_holds_the_sync_and_lets_go_of_it() {
    // E70, W8.2, T13.6.15: the channel is full, so nothing goes on; drained, it does; dropped, everything is released.
    let first = source(71, 10);
    let second = first.clone_with_more(5);
    let later = Target::new(second.root(), first.floor().unwrap()..second.log().size()).unwrap();
    let resolver = Scripted::new(second.log().journal().clone(), {
        let end = later.end();
        move |_, request| {
            if request.size() == end {
                Act::Silence
            } else {
                Act::Honest
            }
        }
    });
    let (update_tx, update_rx) = mpsc::channel(4);
    let (_finish_tx, finish_rx) = mpsc::channel(1);
    let (reached_tx, mut reached_rx) = mpsc::channel(1);
    let (progress_tx, progress) = watch::channel(Progress::default());
    reached_tx.try_send(later.clone()).unwrap();
    let channels = Channels {
        update_rx: Some(update_rx),
        finish_rx: Some(finish_rx),
        reached_tx: Some(reached_tx),
        progress: Some(progress_tx),
        ..Channels::default()
    };
    let run = engine(
        config(4, 16),
        &first.target(),
        MemoryJournal::default(),
        &resolver,
        channels,
    );
    let mut run = run.run().boxed();
    let mut poll = || block_on(async { futures::poll!(&mut run) }).is_pending();
    assert!(poll());
    assert_eq!(progress.borrow().waiting, Waiting::Observer);
    update_tx.try_send(later.clone()).unwrap();
    assert!(
        poll() && progress.borrow().end == first.target().end(),
        "the update waits too"
    );
    reached_rx.try_recv().unwrap();
    assert!(poll());
    assert_eq!(reached_rx.try_recv().unwrap(), first.target());
    assert!(poll() && progress.borrow().end == later.end());
    assert!(matches!(
        progress.borrow().waiting,
        Waiting::Answers { .. } | Waiting::Head { .. }
    ));
    let open = resolver.open();
    assert!(open > 0);
    drop(run);
    assert_eq!(resolver.open(), 0, "every request is withdrawn");
    assert!(update_tx.is_closed());
}
