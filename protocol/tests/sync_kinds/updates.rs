//! Targets that move and syncs that end (ENGINE 13.2), for every kind of database.

use super::rows::{assert_copies, config, copy_of, engine, target};
use super::*;
use cordee_protocol::sync::error::Ended;
use cordee_protocol::sync::progress::Progress;
use futures::FutureExt;
use std::task::Poll;
use tokio::sync::{mpsc, watch};

/// A first target and a later one with the same start, and the source that has both.
struct Moving {
    kind: Kind,
    first: Target,
    later: Target,
    earlier: MemoryDb,
    source: MemoryDb,
}

impl Moving {
    fn new(name: &str, initial: u64, added: u64) -> Self {
        let kind = kind(name);
        let earlier = database_of(kind, 5, 1, initial);
        let mut source = copy_of(&earlier);
        grow(&mut source, 6, 1, added);
        let first = target(&earlier);
        let later = Target::new(source.root(), first.start()..source.log().size()).unwrap();
        Self {
            kind,
            first,
            later,
            earlier,
            source,
        }
    }

    fn resolver(&self) -> Scripted {
        Scripted::honest(self.source.log().journal().clone())
    }

    fn engine(&self, config: Config, channels: Channels) -> Engine<Client, Scripted> {
        let held = MemoryJournal::default();
        engine(self.kind, config, &self.first, held, &self.resolver(), channels)
    }

    fn assert_at_first(&self, done: (cordee_protocol::log::Log<MemoryJournal>, Keys), case: &str) {
        let copy = Db::from_parts(done.0, done.1).unwrap();
        assert_copies(copy, &self.earlier, self.first.start(), case);
    }

    fn assert_at_later(&self, done: (cordee_protocol::log::Log<MemoryJournal>, Keys), case: &str) {
        let copy = Db::from_parts(done.0, done.1).unwrap();
        assert_copies(copy, &self.source, self.later.start(), case);
    }
}

#[test]
fn a_bound_that_goes_back_is_refused_or_passed_over() {
    // T13.2.7, T13.2.8, T13.2.30, T13.2.31; E50 with the switch (W5.2), W5.1 without.
    for name in KINDS {
        let moving = Moving::new(name, 40, 10);
        let (start, end) = (moving.first.start().get(), moving.first.end().get());
        let root = *moving.later.root();
        for (case, range) in [
            ("lower bound", location(start - 1)..location(end + 1)),
            ("upper bound", location(start)..location(end - 1)),
        ] {
            let case = format!("{name}, {case}");
            for strict_updates in [false, true] {
                let update = Target::new(root, range.clone()).unwrap();
                let (update_tx, update_rx) = mpsc::channel(1);
                update_tx.try_send(update.clone()).unwrap();
                let channels = Channels {
                    update_rx: Some(update_rx),
                    ..Channels::default()
                };
                let config = Config {
                    strict_updates,
                    ..config(3, 16)
                };
                match block_on(moving.engine(config, channels).run()) {
                    Ok(done) if !strict_updates => moving.assert_at_first(done, &case),
                    Err(Error::Ended(Ended::SyncTargetMovedBackward { old, new })) if strict_updates => {
                        assert_eq!((*old, *new), (moving.first.clone(), update), "{case}");
                    }
                    other => panic!("{case}, strict {strict_updates}: {:?}", other.map(|_| ())),
                }
            }
        }
    }
}

#[test]
fn an_update_before_the_first_step_is_gone_to_at_once() {
    // T13.2.9, T13.2.10, T13.2.32, T13.2.33; E38, E51 to E55, E74: both bounds rise, and afterwards nobody hears an update.
    for name in KINDS {
        let moving = Moving::new(name, 40, 30);
        let start = moving
            .source
            .floor()
            .unwrap_or(location(moving.first.start().get() + 5));
        assert!(start > moving.first.start(), "{name}");
        let later = Target::new(moving.source.root(), start..moving.later.end()).unwrap();
        let (update_tx, update_rx) = mpsc::channel(1);
        update_tx.try_send(later.clone()).unwrap();
        let channels = Channels {
            update_rx: Some(update_rx),
            ..Channels::default()
        };
        let (log, keys) = block_on(moving.engine(config(3, 16), channels).run()).unwrap();
        assert!(update_tx.try_send(later).is_err(), "{name}");
        let copy = Db::from_parts(log, keys).unwrap();
        assert_copies(copy, &moving.source, start, name);
    }
}

#[test]
fn it_waits_for_finish_at_each_target() {
    // T13.2.11; E63, E65, E67, E68
    for name in KINDS {
        let moving = Moving::new(name, 40, 10);
        let (update_tx, update_rx) = mpsc::channel(1);
        let (finish_tx, finish_rx) = mpsc::channel(1);
        let (reached_tx, mut reached_rx) = mpsc::channel(4);
        let channels = Channels {
            update_rx: Some(update_rx),
            finish_rx: Some(finish_rx),
            reached_tx: Some(reached_tx),
            ..Channels::default()
        };
        let mut run = moving.engine(config(3, 16), channels).run().boxed();
        let mut poll = || block_on(async { futures::poll!(&mut run) });
        for target in [&moving.first, &moving.later] {
            for _ in 0..3 {
                assert!(poll().is_pending(), "{name}");
            }
            assert_eq!(reached_rx.try_recv().as_ref(), Ok(target), "{name}");
            assert!(reached_rx.try_recv().is_err(), "{name}: told once");
            if *target == moving.first {
                update_tx.try_send(moving.later.clone()).unwrap();
            }
        }
        finish_tx.try_send(()).unwrap();
        let Poll::Ready(done) = poll() else {
            panic!("{name}: it completes")
        };
        moving.assert_at_later(done.unwrap(), name);
    }
}

#[test]
fn finish_may_come_early_or_never_and_nobody_need_watch() {
    // T13.2.12 to T13.2.14; E62 to E64, E67, E69
    for name in KINDS {
        let moving = Moving::new(name, 40, 10);
        // Before the start; the observer is told all the same.
        let (finish_tx, finish_rx) = mpsc::channel(1);
        let (reached_tx, mut reached_rx) = mpsc::channel(1);
        finish_tx.try_send(()).unwrap();
        let channels = Channels {
            finish_rx: Some(finish_rx),
            reached_tx: Some(reached_tx),
            ..Channels::default()
        };
        let done = block_on(moving.engine(config(3, 16), channels).run()).unwrap();
        moving.assert_at_first(done, name);
        assert_eq!(reached_rx.try_recv().as_ref(), Ok(&moving.first), "{name}");

        let (_, finish_rx) = mpsc::channel(1);
        let channels = Channels {
            finish_rx: Some(finish_rx),
            ..Channels::default()
        };
        let error = block_on(moving.engine(config(3, 16), channels).run()).unwrap_err();
        assert!(
            matches!(error, Error::Ended(Ended::FinishChannelClosed)),
            "{name}: {error}"
        );

        let (reached_tx, _) = mpsc::channel(1);
        let channels = Channels {
            reached_tx: Some(reached_tx),
            ..Channels::default()
        };
        let done = block_on(moving.engine(config(3, 16), channels).run()).unwrap();
        moving.assert_at_first(done, name);
    }
}

#[test]
fn an_update_in_the_middle_of_a_sync_is_gone_on_to() {
    // T13.2.15, T13.2.26; E51 to E56, W22.4: batches of one operation, ten in flight, the update comes when the log has moved.
    for name in KINDS {
        for (initial, added) in [
            (1, 1),
            (1, 2),
            (1, 100),
            (2, 1),
            (2, 2),
            (2, 100),
            (20, 10),
            (100, 1),
            (100, 2),
            (100, 100),
            (100, 1000),
        ] {
            let case = format!("{name}, {initial} and {added}");
            let moving = Moving::new(name, initial, added);
            let (start, end) = (moving.first.start(), moving.first.end());
            let (update_tx, update_rx) = mpsc::channel(1);
            let (finish_tx, finish_rx) = mpsc::channel(1);
            let (progress_tx, progress) = watch::channel(Progress::default());
            let (later, seen, update) = (moving.later.clone(), progress.clone(), update_tx.clone());
            let resolver = Scripted::new(moving.source.log().journal().clone(), move |_, _| {
                let progress = seen.borrow();
                if progress.size > start && progress.end == end {
                    // The channel has room for one; once it was taken there is a later end.
                    let _ = update.try_send(later.clone());
                }
                cordee_protocol::testing::source::Act::Honest
            });
            let channels = Channels {
                update_rx: Some(update_rx),
                finish_rx: Some(finish_rx),
                progress: Some(progress_tx),
                ..Channels::default()
            };
            let held = MemoryJournal::default();
            let engine = engine(
                moving.kind,
                config(10, 1),
                &moving.first,
                held,
                &resolver,
                channels,
            );
            let mut run = engine.run().boxed();
            let mut poll = || block_on(async { futures::poll!(&mut run) });
            assert!(poll().is_pending(), "{case}");
            if end.since(start) > 2 {
                assert_eq!(progress.borrow().end, moving.later.end(), "{case}: in the middle");
            } else if progress.borrow().end == end {
                // Too short to have a middle.
                update_tx.try_send(moving.later.clone()).unwrap();
                assert!(poll().is_pending(), "{case}");
            }
            finish_tx.try_send(()).ok();
            let done = loop {
                if let Poll::Ready(done) = poll() {
                    break done.unwrap();
                }
            };
            // Ties and the boundary are asked for at the new size as well; no other operation is asked for twice.
            let asked: u64 = resolver
                .asked()
                .iter()
                .map(|(request, _)| request.max_ops())
                .sum();
            let all = moving.later.end().since(start);
            assert!((all..=all + 2).contains(&asked), "{case}: {asked} of {all}");
            moving.assert_at_later(done, &case);
        }
    }
}
