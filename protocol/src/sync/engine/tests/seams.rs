//! Two histories, and peers that show what they like of them: wherever batches of both meet, no database comes of it, and a
//! right target is never blamed.

use super::*;
use crate::mmr::hash;
use crate::mmr::nodes::peaks_at;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A log of these operations.
fn log_of(list: Vec<Vec<u8>>) -> MemoryJournal {
    let nodes = crate::mmr::Frontier::default().append(list.as_slice()).unwrap();
    let mut journal = MemoryJournal::default();
    journal
        .append(&Operations::collect(list).unwrap(), &nodes)
        .unwrap();
    journal
}

fn root_of(journal: &MemoryJournal, size: u64) -> Digest {
    hash::root(at(size), &peaks_at(journal, at(size)).unwrap().unwrap())
}

fn to(journal: &MemoryJournal, start: u64, end: u64) -> Target {
    Target::new(root_of(journal, end), at(start)..at(end)).unwrap()
}

/// The same log but for one byte of the first update in `range`; and where that is.
fn forked(list: &[Vec<u8>], range: std::ops::Range<usize>) -> (Vec<Vec<u8>>, u64) {
    let mut other = list.to_vec();
    let i = range.into_iter().find(|&i| other[i].len() > 34).unwrap();
    *other[i].last_mut().unwrap() ^= 1;
    (other, i as u64)
}

/// What an honest peer of `journal` proves.
fn proven(journal: &MemoryJournal, size: u64, from: u64, to: u64) -> Verified {
    answered(journal, size, Request::operations(at(size), at(from), to - from)).0
}

fn answered(journal: &MemoryJournal, size: u64, request: Option<Request>) -> (Verified, Option<Pinned>) {
    let request = request.unwrap();
    let response = serve::answer(journal, &request, Budget::default()).unwrap();
    verify(&request, &root_of(journal, size), response).unwrap()
}

/// A source, its operations, and where its floor is.
fn long() -> (MemoryDb, Vec<Vec<u8>>, u64) {
    let db = database(91, 20, 12);
    let list = operations(db.log().journal());
    let floor = db.floor().unwrap().get();
    (db, list, floor)
}

/// Holds back what `held` says, until it is opened.
#[derive(Clone)]
struct Gated {
    inner: Scripted,
    held: Arc<dyn Fn(&Request) -> bool + Send + Sync>,
    open: Arc<AtomicBool>,
}

impl Gated {
    fn new(inner: Scripted, held: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        let (held, open) = (Arc::new(held), Arc::default());
        Self { inner, held, open }
    }
}

impl Resolver for Gated {
    type Error = crate::testing::source::Failure;

    async fn get_operations(
        &self,
        request: Request,
        root: Digest,
    ) -> Result<crate::sync::FetchResult, Self::Error> {
        if (self.held)(&request) {
            let open = || self.open.load(Ordering::Relaxed);
            poll_fn(|_| if open() { Poll::Ready(()) } else { Poll::Pending }).await;
        }
        self.inner.get_operations(request, root).await
    }
}

type Outcome = Result<(crate::log::Log<MemoryJournal>, Keys), EngineError<Client, Gated>>;

/// Sync to `first`, and to `second` when nothing moves any more; then open the gate, and finish.
fn run(disk: MemoryJournal, resolver: &Gated, first: &Target, second: &Target) -> (Outcome, Progress) {
    let (update_tx, update_rx) = mpsc::channel(4);
    let (finish_tx, finish_rx) = mpsc::channel(1);
    let (progress_tx, progress) = watch::channel(Progress::default());
    let channels = Channels {
        update_rx: Some(update_rx),
        finish_rx: Some(finish_rx),
        progress: Some(progress_tx),
        ..Channels::default()
    };
    let local = Client::open(disk, first.clone(), Keys::new(KIND)).unwrap();
    let runtime = Arc::new(Virtual::default());
    let engine = Engine::new(
        config(4, 16),
        first.clone(),
        local,
        resolver.clone(),
        runtime,
        channels,
    );
    let mut run = engine.run().boxed();
    let mut steps = 0;
    loop {
        if let Poll::Ready(outcome) = block_on(async { futures::poll!(&mut run) }) {
            return (outcome, progress.borrow().clone());
        }
        match steps {
            0 => update_tx.try_send(second.clone()).unwrap(),
            1 => resolver.open.store(true, Ordering::Relaxed),
            2 => finish_tx.try_send(()).unwrap(),
            _ => panic!("nothing moves: {:?}", progress.borrow()),
        }
        steps += 1;
    }
}

/// Refuse the first request that `which` names, by a wrong pinned node, and be silent to all later ones.
fn once_wrong_then_silent(
    journal: &MemoryJournal,
    which: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> Scripted {
    let told = AtomicUsize::new(0);
    Scripted::new(journal.clone(), move |_, request| {
        if request.kind() != Kind::Boundary || !which(request) {
            Act::Honest
        } else if told.fetch_add(1, Ordering::Relaxed) == 0 {
            Act::FlipPinned
        } else {
            Act::Silence
        }
    })
}

#[test]
fn pinned_nodes_that_come_last_do_not_hide_that_two_logs_were_put_together() {
    // W21.1, W23: all operations of one history, the rest of another behind them; only then the pinned nodes.
    let (_, list, floor) = long();
    let size = list.len() as u64;
    let mid = size - 13;
    let (other, _) = forked(&list, 385..mid as usize);
    let (one, two) = (log_of(other), log_of(list));
    let (first, second) = (to(&one, floor, mid), to(&two, floor, size));

    let mut local = Client::open(MemoryJournal::default(), first.clone(), Keys::new(KIND)).unwrap();
    local.append(&proven(&one, mid, floor, mid)).unwrap();
    local.retarget(second.clone()).unwrap();
    local.append(&proven(&two, size, mid, size)).unwrap();
    let (_, pinned) = answered(&two, size, Request::boundary(at(size), at(floor)));
    local.pin(&pinned.unwrap()).unwrap();
    assert!(local.root().unwrap().torn);
    assert!(matches!(local.complete(), Err(database::Error::Root { .. })));

    // The same by an engine: the tie is never answered, the boundary late.
    let inner = once_wrong_then_silent(&one, move |request| request.size() == at(mid));
    let inner = inner.then(at(mid), two);
    let gated = Gated::new(inner, move |request| {
        request.kind() == Kind::Boundary && request.size() == at(size)
    });
    let (outcome, progress) = run(MemoryJournal::default(), &gated, &first, &second);
    assert!(!progress.reached);
    let Err(Error::Ended(Ended::Fork { earlier, later, got })) = outcome else {
        panic!("a database of two logs")
    };
    assert_eq!((*earlier, *later, got), (first, second, None));
}

#[test]
fn batches_kept_across_an_update_do_not_hide_a_fork_before_them() {
    // W22.1, W23: what lies behind the difference is proven under the earlier target, the difference under the later one.
    let (_, list, _) = long();
    let size = list.len() as u64;
    let mid = size - 13;
    let (other, i) = forked(&list, 0..20);
    let (one, two) = (log_of(other), log_of(list));
    let mut local = Client::open(MemoryJournal::default(), to(&one, 0, mid), Keys::new(KIND)).unwrap();
    local.retarget(to(&two, 0, size)).unwrap();
    local.append(&proven(&two, size, 0, i + 1)).unwrap();
    local.append(&proven(&one, mid, i + 1, mid)).unwrap();
    local.append(&proven(&two, size, mid, size)).unwrap();
    // The operations are the target's, and so is the root; the nodes are not, and proofs from them would fail.
    let rooted = local.root().unwrap();
    assert_eq!((rooted.root, rooted.torn), (root_of(&two, size), true));
    assert!(matches!(local.complete(), Err(database::Error::Root { .. })));
}

#[test]
fn a_start_that_moves_before_the_boundary_is_known_may_make_it_known() {
    // W22.3: all peaks of the new start lie behind the old one.
    let (_, list, _) = long();
    let size = list.len() as u64;
    let (mid, log) = (size - 13, log_of(list));
    let mut local = Client::open(MemoryJournal::default(), to(&log, 72, mid), Keys::new(KIND)).unwrap();
    local.append(&proven(&log, mid, 72, mid)).unwrap();
    assert!(local.retarget(to(&log, 128, size)).unwrap().pinned);
    local.append(&proven(&log, size, mid, size)).unwrap();
    let rooted = local.root().unwrap();
    assert_eq!((rooted.root, rooted.torn), (root_of(&log, size), false));
}

#[test]
fn what_an_earlier_run_left_of_another_log_is_given_up_though_the_start_has_passed_it() {
    // W23.2: the tie is refused once and then not answered, so batches are put behind what is foreign; the start moves past
    // it. The target is right, and must not be called wrong.
    let (_, list, _) = long();
    let size = list.len() as u64;
    let (log, mid) = (log_of(list), size - 60);
    let other = operations(database(12, 20, 12).log().journal());
    let mut disk = log_of(other[..200].to_vec());
    disk.prune(at(100)).unwrap();
    let (first, second) = (to(&log, 100, mid), to(&log, 220, size));
    disk.commit(Mark::Syncing(first.clone())).unwrap();
    let inner = once_wrong_then_silent(&log, |request| request.start() == at(200));
    let gated = Gated::new(inner, move |request| {
        request.size() == at(mid) && request.start() >= at(mid - 20)
    });
    let (outcome, _) = run(disk, &gated, &first, &second);
    let (log, _) = outcome.unwrap_or_else(|error| panic!("the target is right, and: {error}"));
    assert_eq!(log.root(), *second.root());
}

#[test]
fn a_fork_that_no_peer_shows_is_still_called_one() {
    // W23: the tie is refused once and then not answered; the root of the whole tells, and nothing proven is thrown away.
    let (_, list, floor) = long();
    let size = list.len() as u64;
    let mid = size - 13;
    let (other, _) = forked(&list, floor as usize + 1..375);
    let (one, two) = (log_of(other), log_of(list));
    let (first, second) = (to(&one, floor, mid), to(&two, floor, size));
    let inner = once_wrong_then_silent(&one, move |request| request.start() == at(mid));
    let gated = Gated::new(inner.then(at(mid), two), |_| false);
    let (outcome, _) = run(MemoryJournal::default(), &gated, &first, &second);
    let Err(Error::Ended(ended @ Ended::Fork { .. })) = outcome else {
        panic!("no fork was seen")
    };
    let text = ended.to_string();
    assert!(
        text.contains("does not continue it") && text.contains(&first.to_string()),
        "{text}"
    );
}
