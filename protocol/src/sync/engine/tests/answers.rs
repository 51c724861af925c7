//! Answers that do not fit, in whole syncs.

use super::*;
use crate::FetchResult;
use crate::testing::stepped::Stepped;
use crate::wire::Response;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::oneshot;

#[test]
fn only_the_exact_number_of_operations_will_do() {
    // E43, W4.1, T13.6.3: each request is for one operation, and is answered by two, by none, then by exactly one.
    let mut source = source(7, 10);
    let end = source.target().end();
    let resolver = Scripted::new(source.log().journal().clone(), move |number, request| {
        match number % 3 {
            // Behind the last operation the source has no second one.
            0 if request.range().end < end => Act::Long,
            1 => Act::Nothing,
            _ => Act::Honest,
        }
    });
    let mut copy = sync(
        config(1, 1),
        &source.target(),
        MemoryJournal::default(),
        &resolver,
    )
    .unwrap();
    assert!(resolver.asked().iter().all(|(request, _)| request.max_ops() == 1));
    for (act, verdict) in resolver.verdicts() {
        assert_eq!(verdict, Some(act == Act::Honest), "{act:?}");
    }
    assert_same(&mut copy, &mut source, "one at a time");
}

/// A sync that is at an earlier target when a later one comes, with the boundary not yet answered.
struct Moved {
    source: MemoryDb,
    earlier: Target,
    later: Target,
}

impl Moved {
    fn new() -> Self {
        let earlier = source(71, 10);
        let source = earlier.clone_with_more(5);
        let later = Target::new(source.root(), earlier.target().start()..source.log().size()).unwrap();
        Self {
            earlier: earlier.target(),
            source,
            later,
        }
    }
}

#[test]
fn an_old_boundary_answer_replayed_for_the_fresh_request_gains_nothing() {
    // W1.2, W1.3, W2.1 to W2.3, T13.5.1, T13.6.4: the peer answers for the size of the earlier target, whose root is retained.
    // What lies behind the boundary comes all the same (W3.3).
    let moved = Moved::new();
    let (start, old, new) = (moved.later.start(), moved.earlier.end(), moved.later.end());
    let fresh = Arc::new(AtomicUsize::new(0));
    let count = fresh.clone();
    let resolver = Scripted::new(whole_journal(&moved.source), move |_, request| {
        let boundary = request.kind() == Kind::Boundary && request.start() == start;
        match (boundary, request.size() == new) {
            (true, false) => Act::Silence,
            // Replayed three times, then held back, then answered.
            (true, true) => match count.fetch_add(1, Ordering::Relaxed) {
                0..3 => Act::AtSize(old),
                3 => Act::Silence,
                _ => Act::Honest,
            },
            (false, _) => Act::Honest,
        }
    });
    let (update_tx, update_rx) = mpsc::channel(1);
    let (reached_tx, mut reached_rx) = mpsc::channel(1);
    let (progress_tx, progress) = watch::channel(Progress::default());
    let local = Client::open(MemoryJournal::default(), moved.earlier.clone(), Keys::new(KIND)).unwrap();
    let clock = Stepped::default();
    let config = Config {
        request_timeout: Some(Duration::from_secs(9)),
        ..config(4, 16)
    };
    let channels = Channels {
        update_rx: Some(update_rx),
        reached_tx: Some(reached_tx),
        progress: Some(progress_tx),
        ..Channels::default()
    };
    let runtime = Arc::new(clock.clone());
    let engine = Engine::new(
        config,
        moved.earlier.clone(),
        local,
        resolver.clone(),
        runtime,
        channels,
    );
    let mut run = engine.run().boxed();
    let mut poll = || block_on(async { futures::poll!(&mut run) });
    assert!(poll().is_pending());
    update_tx.try_send(moved.later.clone()).unwrap();
    assert!(poll().is_pending());
    assert_eq!(fresh.load(Ordering::Relaxed), 4, "refused and asked again");
    let verdicts = resolver.verdicts();
    let replayed: Vec<_> = verdicts.iter().filter(|row| row.0 == Act::AtSize(old)).collect();
    assert!(replayed.len() == 3 && replayed.iter().all(|row| row.1 == Some(false)));
    // Everything is there but the pinned nodes, and nobody has been told.
    {
        let progress = progress.borrow();
        assert_eq!(
            (progress.size, progress.reached, progress.in_flight),
            (new, false, 1)
        );
        assert!(
            matches!(progress.waiting, Waiting::Boundary { .. }),
            "{:?}",
            progress.waiting
        );
    }
    assert!(reached_rx.try_recv().is_err());
    clock.advance(Duration::from_secs(9));
    let Poll::Ready(Ok((log, _))) = poll() else {
        panic!("the last answer completes the sync")
    };
    assert_eq!(log.root(), *moved.later.root());
    assert_eq!(reached_rx.try_recv(), Ok(moved.later));
}

#[test]
fn replaying_an_old_answer_for_ever_ends_the_sync() {
    // W1.2, W11.2, T13.6.2: every answer to the fresh boundary request is one under the retained root.
    let moved = Moved::new();
    let (start, old, new) = (moved.later.start(), moved.earlier.end(), moved.later.end());
    let resolver = Scripted::new(whole_journal(&moved.source), move |_, request| {
        match (request.kind(), request.size() == new) {
            _ if request.start() != start => Act::Honest,
            (Kind::Boundary, true) => Act::AtSize(old),
            (Kind::Boundary, false) => Act::Silence,
            (Kind::Operations, _) => Act::Honest,
        }
    });
    let (update_tx, update_rx) = mpsc::channel(1);
    update_tx.try_send(moved.later.clone()).unwrap();
    let channels = Channels {
        update_rx: Some(update_rx),
        ..Channels::default()
    };
    let config = Config {
        max_refused: 40,
        ..config(4, 16)
    };
    let engine = engine(
        config,
        &moved.earlier,
        MemoryJournal::default(),
        &resolver,
        channels,
    );
    let error = block_on(engine.run()).unwrap_err();
    assert!(
        matches!(error, Error::Ended(Ended::TooManyRefused { count: 41, .. })),
        "{error}"
    );
    let verdicts = resolver.verdicts();
    let replayed = verdicts.iter().filter(|row| row.0 == Act::AtSize(old));
    let refused = replayed.filter(|row| row.1 == Some(false)).count();
    assert!(
        (41..60).contains(&refused),
        "{refused}: each of them, and few before the last progress"
    );
}

#[test]
fn bad_pinned_nodes_end_a_sync_from_a_source_that_cannot_be_told() {
    // W11.1, W11.2, T13.5.10: with feedback they are asked for again.
    for takes_verdicts in [true, false] {
        let mut source = source(3, 20);
        let mut resolver = Scripted::new(source.log().journal().clone(), |number, request| {
            match request.kind() {
                Kind::Boundary if number < 9 => Act::FlipPinned,
                _ => Act::Honest,
            }
        });
        resolver.takes_verdicts = takes_verdicts;
        match sync(
            config(3, 8),
            &source.target(),
            MemoryJournal::default(),
            &resolver,
        ) {
            Ok(mut copy) if takes_verdicts => assert_same(&mut copy, &mut source, "retried"),
            Err(Error::Ended(Ended::InvalidResponse(_))) if !takes_verdicts => {}
            other => panic!("{takes_verdicts}: {:?}", other.map(|copy| copy.root())),
        }
    }
}

#[test]
fn one_failure_or_silence_among_many_is_asked_again() {
    // W12.2, T13.6.5: one of ten requests fails; W13.1, T13.6.6: one is never answered, and there is a deadline.
    for act in [Act::Fail, Act::Silence] {
        let mut source = source(7, 40);
        let resolver = Scripted::new(source.log().journal().clone(), move |number, _| match act {
            Act::Fail if number % 10 == 4 => Act::Fail,
            Act::Silence if number == 4 => Act::Silence,
            _ => Act::Honest,
        });
        let config = Config {
            request_timeout: Some(Duration::from_secs(1)),
            ..config(3, 8)
        };
        let mut copy = sync(config, &source.target(), MemoryJournal::default(), &resolver).unwrap();
        let asked = resolver.asked();
        let bad: Vec<_> = asked.iter().filter(|row| row.1 == act).map(|row| row.0).collect();
        assert!(!bad.is_empty(), "{act:?}");
        for request in bad {
            let again = asked.iter().filter(|row| row.0.range() == request.range());
            assert_eq!(again.count(), 2, "{act:?}: exactly once more");
        }
        assert_same(&mut copy, &mut source, &format!("{act:?}"));
    }
}

#[test]
fn refusals_starve_neither_updates_nor_finish() {
    // W11.3: every answer is bad. The update that comes with the 40th request, and the finish that comes with the 60th, are
    // heard in between, long before the sync gives up.
    let moved = Moved::new();
    let (update_tx, update_rx) = mpsc::channel(1);
    let (finish_tx, finish_rx) = mpsc::channel(1);
    let later = moved.later.clone();
    let resolver = Scripted::new(whole_journal(&moved.source), move |number, _| {
        match number {
            40 => update_tx.try_send(later.clone()).unwrap(),
            60 => finish_tx.try_send(()).unwrap(),
            _ => {}
        }
        Act::Flip
    });
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let events = heard.clone();
    let recorder = move |line: Line| {
        if let Line::Step(step) = line {
            events.lock().unwrap().push(step.event);
        }
    };
    let channels = Channels {
        update_rx: Some(update_rx),
        finish_rx: Some(finish_rx),
        recorder: Some(Box::new(recorder)),
        ..Channels::default()
    };
    let engine = engine(
        config(1, 8),
        &moved.earlier,
        MemoryJournal::default(),
        &resolver,
        channels,
    );
    let error = block_on(engine.run()).unwrap_err();
    assert!(
        matches!(error, Error::Ended(Ended::TooManyRefused { .. })),
        "{error}"
    );
    let heard = heard.lock().unwrap();
    let refused_before = |wanted: fn(&Event) -> bool| {
        let before = heard.iter().take_while(|event| !wanted(event));
        before
            .filter(|event| matches!(event, Event::Refused { .. }))
            .count()
    };
    // Up to the answer in whose request they were sent, and not one more.
    assert_eq!(refused_before(|event| matches!(event, Event::Updates(_))), 41);
    assert_eq!(refused_before(|event| matches!(event, Event::Finish)), 61);
}

/// A resolver that says nothing of its errors.
struct Plain {
    source: MemoryJournal,
    fails: bool,
    clones: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Clone for Plain {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::Relaxed);
        Self {
            source: self.source.clone(),
            fails: self.fails,
            clones: self.clones.clone(),
            asked: self.asked.clone(),
        }
    }
}

impl Resolver for Plain {
    type Error = std::io::Error;

    async fn get_operations(&self, request: Request, _root: Digest) -> Result<FetchResult, std::io::Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.fails {
            return Err(std::io::Error::other("something unknown"));
        }
        let response =
            serve::answer(&self.source, &request, Budget::default()).map_err(std::io::Error::other)?;
        // E16: nobody listens, which is no error as long as all is well.
        Ok(FetchResult::new(response, oneshot::channel().0))
    }
}

#[test]
fn a_resolver_is_cloned_for_each_request_and_its_unknown_errors_are_fatal() {
    // E14, E16, E42, W12.1, W12.3
    let source = source(3, 20);
    for fails in [false, true] {
        let resolver = Plain {
            source: whole_journal(&source),
            fails,
            clones: Arc::default(),
            asked: Arc::default(),
        };
        let (clones, asked) = (resolver.clones.clone(), resolver.asked.clone());
        let local = Client::open(MemoryJournal::default(), source.target(), Keys::new(KIND)).unwrap();
        let runtime = Arc::new(Virtual::default());
        let channels = Channels::default();
        let engine = Engine::new(config(3, 8), source.target(), local, resolver, runtime, channels);
        match block_on(engine.run()) {
            Ok((log, _)) => assert_eq!((log.root(), fails), (source.root(), false)),
            Err(Error::Resolver(error)) => {
                assert_eq!((error.to_string().as_str(), fails), ("something unknown", true))
            }
            Err(error) => panic!("{error}"),
        }
        let (clones, asked) = (clones.load(Ordering::Relaxed), asked.load(Ordering::Relaxed));
        if fails {
            assert_eq!((clones, asked), (3, 1), "the first error ends it");
        } else {
            assert!(clones == asked && asked > 5, "{clones} clones, {asked} requests");
        }
    }
}

#[test]
fn an_answer_stays_the_bytes_that_came_until_it_is_stored() {
    // W21.3, W24.1, E7: the operations are a part of the frame from the wire to the journal, and the digests stored are those
    // that verifying has made.
    let source = database(5, 20, 12);
    let (target, journal) = (source.target(), source.log().journal());
    let request = Request::operations(target.end(), at(0), 50).unwrap();
    let ask = crate::wire::Ask::Range(request);
    let frame = serve::frame(
        &ask,
        || unreachable!(),
        |request| serve::answer(journal, request, Budget::default()),
    )
    .join();
    let Ok(crate::wire::Answer::Range(response)) = crate::wire::Answer::decode(&frame, &ask) else {
        panic!("a range")
    };
    let inside = |bytes: &bytes::Bytes| frame.as_ptr_range().contains(&bytes.as_ptr());
    let Response { operations, .. } = &response;
    assert!(inside(operations.bytes()));
    let (batch, _) = verify(&request, target.root(), response).unwrap();
    assert!(inside(batch.operations().bytes()));
    let to = Target::new(source.root(), at(0)..target.end()).unwrap();
    let mut local = Client::open(MemoryJournal::default(), to, Keys::new(KIND)).unwrap();
    local.append(&batch).unwrap();
    let held = local.into_journal();
    assert_eq!(held.bounds(), batch.range());
    for (position, digest) in batch.nodes().iter().enumerate() {
        let position = Position::new(position as u64).unwrap();
        assert_eq!(held.node(position).unwrap().as_ref(), Some(digest));
        assert_eq!(journal.node(position).unwrap().as_ref(), Some(digest));
    }
}
