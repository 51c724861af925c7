//! The ways in and out of a running sync: which is looked at first, what a missing one means, what is withdrawn when.

use super::*;
use crate::testing::stepped::Stepped;
use std::sync::Mutex;

struct Case {
    source: MemoryDb,
    first: Target,
    later: Target,
}

impl Case {
    fn new() -> Self {
        let first = source(71, 10);
        let source = first.clone_with_more(5);
        let later = Target::new(source.root(), first.target().start()..source.log().size()).unwrap();
        Self {
            first: first.target(),
            source,
            later,
        }
    }

    fn engine(
        &self,
        clock: &Stepped,
        config: Config,
        resolver: &Scripted,
        channels: Channels,
    ) -> Engine<Client, Scripted> {
        let local = Client::open(MemoryJournal::default(), self.first.clone(), Keys::new(KIND)).unwrap();
        let runtime = Arc::new(clock.clone());
        Engine::new(
            config,
            self.first.clone(),
            local,
            resolver.clone(),
            runtime,
            channels,
        )
    }
}

type Names = Arc<Mutex<Vec<&'static str>>>;

/// A recorder, and the names of the events it was told.
fn events() -> (Option<Box<dyn Recorder>>, Names) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let names = heard.clone();
    let recorder = move |line: Line| {
        let Line::Step(step) = line else { return };
        names.lock().unwrap().push(match step.event {
            Event::Finish => "finish",
            Event::FinishClosed => "finish closed",
            Event::Updates(_) => "updates",
            Event::Verified { .. } => "verified",
            Event::Settled(_) => "settled",
            _ => "other",
        });
    };
    (Some(Box::new(recorder)), heard)
}

#[test]
fn finish_is_heard_before_updates_and_updates_before_answers() {
    // E38, E60, E62, E63: all three are there before the first step; answers are there at once.
    let case = Case::new();
    let resolver = Scripted::honest(whole_journal(&case.source));
    let (update_tx, update_rx) = mpsc::channel(1);
    let (finish_tx, finish_rx) = mpsc::channel(1);
    update_tx.try_send(case.later.clone()).unwrap();
    finish_tx.try_send(()).unwrap();
    // E63: once it was said, nobody needs to stay.
    drop(finish_tx);
    let (recorder, heard) = events();
    let channels = Channels {
        update_rx: Some(update_rx),
        finish_rx: Some(finish_rx),
        recorder,
        ..Channels::default()
    };
    let engine = case.engine(&Stepped::default(), config(4, 16), &resolver, channels);
    let (log, _) = block_on(engine.run()).unwrap();
    assert_eq!(
        log.root(),
        *case.later.root(),
        "the update came before the target was reached"
    );
    let heard = heard.lock().unwrap();
    let told: Vec<_> = heard
        .iter()
        .filter(|name| **name != "other")
        .take(3)
        .copied()
        .collect();
    assert_eq!(told, ["finish", "updates", "verified"]);
}

#[test]
fn a_finish_at_the_target_wins_over_updates_that_are_queued() {
    // W6.2, T13.5.6, E63, E74: both are sent while the sync waits at its target.
    let case = Case::new();
    let resolver = Scripted::honest(whole_journal(&case.source));
    let (update_tx, update_rx) = mpsc::channel(4);
    let (finish_tx, finish_rx) = mpsc::channel(1);
    let channels = Channels {
        update_rx: Some(update_rx),
        finish_rx: Some(finish_rx),
        ..Channels::default()
    };
    let mut run = case
        .engine(&Stepped::default(), config(4, 16), &resolver, channels)
        .run()
        .boxed();
    let mut poll = || block_on(async { futures::poll!(&mut run) });
    assert!(poll().is_pending());
    update_tx.try_send(case.later.clone()).unwrap();
    finish_tx.try_send(()).unwrap();
    let Poll::Ready(Ok((log, _))) = poll() else {
        panic!("it completes")
    };
    assert_eq!(log.root(), *case.first.root());
    assert!(
        update_tx.try_send(case.later.clone()).is_err(),
        "E74: nobody hears it"
    );
}

#[test]
fn an_update_that_is_queued_at_the_finish_line_is_taken() {
    // W6.1, W5.1, W27.1, T13.5.5, E68: sent while the reached channel is full, so that the engine finds it only when it settles.
    let case = Case::new();
    let resolver = Scripted::honest(whole_journal(&case.source));
    let (update_tx, update_rx) = mpsc::channel(4);
    let (reached_tx, mut reached_rx) = mpsc::channel(1);
    reached_tx.try_send(case.later.clone()).unwrap();
    let (recorder, heard) = events();
    let (progress_tx, progress) = watch::channel(Progress::default());
    let channels = Channels {
        update_rx: Some(update_rx),
        reached_tx: Some(reached_tx),
        progress: Some(progress_tx),
        recorder,
        ..Channels::default()
    };
    let mut run = case
        .engine(&Stepped::default(), config(4, 16), &resolver, channels)
        .run()
        .boxed();
    let mut poll = || block_on(async { futures::poll!(&mut run) });
    assert!(poll().is_pending());
    assert_eq!(progress.borrow().waiting, Waiting::Observer);
    for update in [&case.first, &case.later, &case.first] {
        update_tx.try_send(update.clone()).unwrap();
    }
    // W6.3: that the other side has gone by then is no error.
    drop(update_tx);
    let mut reached = vec![reached_rx.try_recv().unwrap()];
    let log = loop {
        match poll() {
            Poll::Ready(done) => break done.unwrap().0,
            Poll::Pending => reached.push(reached_rx.try_recv().unwrap()),
        }
    };
    reached.extend(reached_rx.try_recv());
    assert_eq!(reached[1..], [case.first.clone(), case.later.clone()]);
    assert_eq!(log.root(), *case.later.root());
    assert_eq!(progress.borrow().stale_updates, 2);
    assert!(
        !heard.lock().unwrap().contains(&"updates"),
        "they were found when it settled"
    );
}

#[test]
fn every_channel_may_be_left_out() {
    // E3, E40, E57, E66, E69, W6.3: each channel absent, or there with its other side gone where that is no error; none of them
    // ever fires.
    let case = Case::new();
    let resolver = Scripted::honest(whole_journal(&case.source));
    for bits in 0..16 {
        let (update_tx, update_rx) = mpsc::channel(1);
        let (reached_tx, reached_rx) = mpsc::channel(1);
        let (finish_tx, finish_rx) = mpsc::channel(1);
        drop((update_tx, reached_rx));
        finish_tx.try_send(()).unwrap();
        let (recorder, heard) = events();
        let channels = Channels {
            observer: None,
            update_rx: (bits & 1 > 0).then_some(update_rx),
            reached_tx: (bits & 2 > 0).then_some(reached_tx),
            finish_rx: (bits & 4 > 0).then_some(finish_rx),
            progress: (bits & 8 > 0).then(|| watch::channel(Progress::default()).0),
            recorder,
        };
        let engine = case.engine(&Stepped::default(), config(4, 16), &resolver, channels);
        let (log, _) = block_on(engine.run()).unwrap();
        assert_eq!(log.root(), *case.first.root(), "{bits:b}");
        let heard = heard.lock().unwrap();
        assert!(
            !heard.contains(&"updates") && !heard.contains(&"finish closed"),
            "{bits:b}"
        );
        assert_eq!(heard.contains(&"finish"), bits & 4 > 0, "{bits:b}");
    }
}

#[test]
fn without_answers_and_channels_it_waits_and_no_more() {
    // E17, E40, W8.2: nothing fires, and dropping the engine withdraws everything.
    let case = Case::new();
    let resolver = Scripted::new(whole_journal(&case.source), |_, _| Act::Silence);
    let (recorder, heard) = events();
    let channels = Channels {
        recorder,
        ..Channels::default()
    };
    let engine = case.engine(&Stepped::default(), config(3, 16), &resolver, channels);
    let mut run = engine.run().boxed();
    for _ in 0..5 {
        assert!(block_on(async { futures::poll!(&mut run) }).is_pending());
    }
    assert_eq!(heard.lock().unwrap().len(), 1, "the start");
    assert_eq!((resolver.asked().len(), resolver.open()), (3, 3));
    drop(run);
    assert_eq!(resolver.open(), 0);
}

#[test]
fn every_way_out_of_tracking_withdraws_the_request_at_once() {
    // E17, E26, W8.1, W13.1, T13.5.7: a deadline, an update, an answer, the end. The resolver sees its futures dropped without
    // being asked, and never holds more of them than are tracked.
    let case = Case::new();
    let resolver = Scripted::new(whole_journal(&case.source), |number, _| match number {
        0..8 => Act::Silence,
        _ => Act::Honest,
    });
    let (update_tx, update_rx) = mpsc::channel(1);
    let (progress_tx, progress) = watch::channel(Progress::default());
    let clock = Stepped::default();
    let channels = Channels {
        update_rx: Some(update_rx),
        progress: Some(progress_tx),
        ..Channels::default()
    };
    let config = Config {
        request_timeout: Some(Duration::from_secs(5)),
        max_retained_roots: 0,
        ..config(3, 16)
    };
    let mut run = case.engine(&clock, config, &resolver, channels).run().boxed();
    let mut poll = || block_on(async { futures::poll!(&mut run) });
    assert!(poll().is_pending());
    assert_eq!((resolver.asked().len(), resolver.open()), (3, 3));
    // Past their deadline: these are gone, and the same are asked for again.
    clock.advance(Duration::from_secs(5));
    assert!(poll().is_pending());
    assert_eq!((resolver.asked().len(), resolver.open()), (6, 3));
    // An update that retains none; two more are silent, the rest is answered.
    update_tx.try_send(case.later.clone()).unwrap();
    assert!(poll().is_pending());
    assert!(resolver.asked().len() > 8);
    assert_eq!((resolver.open(), progress.borrow().in_flight), (2, 2));
    clock.advance(Duration::from_secs(5));
    let Poll::Ready(Ok((log, _))) = poll() else {
        panic!("all is answered")
    };
    assert_eq!(log.root(), *case.later.root());
    assert_eq!(resolver.open(), 0);
}

#[test]
fn what_an_untracked_request_still_brings_is_discarded_and_judged_by_nobody() {
    // E16, E27, E41, W24.2: the answers have come and are being verified elsewhere when an update untracks their requests.
    let case = Case::new();
    let resolver = Scripted::honest(whole_journal(&case.source));
    let (update_tx, update_rx) = mpsc::channel(1);
    let (progress_tx, progress) = watch::channel(Progress::default());
    let clock = Stepped::deferring();
    let channels = Channels {
        update_rx: Some(update_rx),
        progress: Some(progress_tx),
        ..Channels::default()
    };
    let config = Config {
        max_retained_roots: 0,
        ..config(3, 16)
    };
    let mut run = case.engine(&clock, config, &resolver, channels).run().boxed();
    let mut poll = || block_on(async { futures::poll!(&mut run) });
    assert!(poll().is_pending());
    assert_eq!(resolver.asked().len(), 3);
    assert_eq!(
        progress.borrow().fetched_ops,
        0,
        "nothing is verified on the engine's task"
    );
    update_tx.try_send(case.later.clone()).unwrap();
    assert!(poll().is_pending());
    let before = resolver.asked().len();
    assert_eq!(
        before, 7,
        "three, then the boundary, two of operations and the tie"
    );
    // The work of all seven is done; that of the first three is for nobody.
    assert_eq!(clock.work(), 7);
    let mut done = poll();
    assert!(progress.borrow().fetched_ops > 0);
    while done.is_pending() {
        assert!(clock.work() > 0);
        done = poll();
    }
    let Poll::Ready(Ok((log, _))) = done else {
        panic!("it completes")
    };
    assert_eq!(log.root(), *case.later.root());
    let verdicts: Vec<_> = resolver.verdicts().into_iter().map(|row| row.1).collect();
    assert_eq!(verdicts[..3], [None; 3]);
    assert!(verdicts[3..].iter().all(|verdict| *verdict == Some(true)));
}

#[test]
fn size_and_target_can_be_read_from_the_start_on() {
    // W28.1, T13.5.11: at construction, while it runs, after an update, and at the target before finish is said.
    let case = Case::new();
    let resolver = Scripted::new(whole_journal(&case.source), |number, _| match number {
        1 => Act::Silence,
        _ => Act::Honest,
    });
    let (update_tx, update_rx) = mpsc::channel(1);
    let (_finish_tx, finish_rx) = mpsc::channel(1);
    let (progress_tx, progress) = watch::channel(Progress::default());
    let channels = Channels {
        update_rx: Some(update_rx),
        finish_rx: Some(finish_rx),
        progress: Some(progress_tx),
        ..Channels::default()
    };
    let shown = || {
        let progress = progress.borrow();
        (progress.start, progress.size, progress.end, progress.reached)
    };
    let clock = Stepped::default();
    let config = Config {
        request_timeout: Some(Duration::from_secs(5)),
        ..config(3, 16)
    };
    let engine = case.engine(&clock, config, &resolver, channels);
    let (start, end) = (case.first.start(), case.first.end());
    assert_eq!(shown(), (start, start, end, false), "constructed");
    let mut run = engine.run().boxed();
    let mut poll = || block_on(async { futures::poll!(&mut run) });
    assert!(poll().is_pending());
    assert_eq!(
        shown(),
        (start, at(start.get() + 1), end, false),
        "the boundary alone"
    );
    clock.advance(Duration::from_secs(5));
    assert!(poll().is_pending());
    assert_eq!(shown(), (start, end, end, true));
    update_tx.try_send(case.later.clone()).unwrap();
    assert!(poll().is_pending());
    assert_eq!(shown(), (start, case.later.end(), case.later.end(), true));
}
