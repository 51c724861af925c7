//! What the wire lets through, and that what an honest server answers proves itself to the asker.

use super::*;
use crate::codec::Error;
use crate::digest::Digest;
use crate::log::{Journal, MemoryJournal, Operations};
use crate::mmr::{Elements, Frontier, Location, Proof};
use crate::sync::serve::{self, Budget};
use crate::sync::verify::{Fault, verify};
use crate::wire::limits::{
    MAX_ANSWER, MAX_CHECKPOINT, MAX_NAME, MAX_OPERATION, MAX_OPERATION_BYTES, MAX_OPERATIONS, MAX_OVERHEAD,
};
use crate::wire::{Kind, PROTOCOL};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

const MAX: u64 = 1 << 62;

fn at(n: u64) -> Location {
    Location::new(n).unwrap()
}

fn operations(size: u64, start: u64, max_ops: u64) -> Request {
    Request::operations(at(size), at(start), max_ops).unwrap()
}

fn boundary(size: u64, start: u64) -> Request {
    Request::boundary(at(size), at(start)).unwrap()
}

fn status() -> Status {
    Status {
        network: "test".into(),
        kind: "any-unordered-variable".into(),
        oldest: at(3),
        size: at(300),
        provable_from: at(4),
        root: Some(Digest::of(&[b"root"])),
        checkpoint: Some(Bytes::from_static(b"signed")),
    }
}

/// Operations of 1 to 90 bytes, and the root at every size.
fn journal(count: u64) -> (MemoryJournal, Vec<Digest>) {
    let mut journal = MemoryJournal::default();
    let mut frontier = Frontier::default();
    let mut roots = vec![frontier.root()];
    for i in 0..count {
        let operation = Digest::of(&[&i.to_be_bytes()]).0.repeat(3)[..=(i * 37 % 90) as usize].to_vec();
        let operations = Operations::collect([operation]).unwrap();
        let nodes = frontier.append(&operations).unwrap();
        journal.append(&operations, &nodes).unwrap();
        roots.push(frontier.root());
    }
    (journal, roots)
}

fn serve(journal: &MemoryJournal, request: &Request) -> Response {
    serve::answer(journal, request, Budget::default()).unwrap()
}

fn bytes_of(response: Response) -> Bytes {
    Answer::Range(response).to_frame().join()
}

// ---- Asks ----

#[test]
fn asks_are_written_as_documented_and_read_back() {
    assert_eq!(PROTOCOL, "/cordee/sync/1");
    let name = format!(
        "02{}{}",
        "0474657374", "16616e792d756e6f7264657265642d7661726961626c65"
    );
    let root = Digest::of(&[b"root"]);
    for (ask, bytes) in [
        (Ask::Range(operations(11, 4, 3)), "000b0403".into()),
        (Ask::Range(operations(300, 0, 300)), "00ac0200ac02".into()),
        (
            Ask::Range(operations(MAX, MAX - 1, 1)),
            "00808080808080808040ffffffffffffffff3f01".into(),
        ),
        (
            Ask::Range(operations(MAX, 0, MAX_OPERATIONS)),
            "0080808080808080804000808004".into(),
        ),
        (Ask::Range(boundary(11, 4)), "010b04".into()),
        (Ask::Range(boundary(1, 0)), "010100".into()),
        (
            Ask::Status(status()),
            format!("{name}03ac020401{root}01067369676e6564"),
        ),
        (
            Ask::Status(Status {
                root: None,
                checkpoint: None,
                ..status()
            }),
            format!("{name}03ac02040000"),
        ),
        (Ask::Status(Status::default()), "0200000000000000".into()),
    ] {
        assert_eq!(hex::encode(ask.to_vec()), bytes, "{ask:?}");
        assert_eq!(Ask::from_slice(&ask.to_vec()), Ok(ask));
    }
}

#[test]
fn asks_for_nothing_or_beyond_their_size_are_refused() {
    // W29.1, T13.5.17
    const NOTHING: Error = Error::Invalid("a request for nothing, or beyond its size");
    const UNKNOWN: Error = Error::Invalid("an unknown kind of request");
    for (case, bytes, error) in [
        ("start = size", "000b0b01", NOTHING),
        ("start above size", "000b0c01", NOTHING),
        ("size 0", "00000001", NOTHING),
        ("max_ops 0", "000b0400", NOTHING),
        ("max_ops one beyond the size", "000b0408", NOTHING),
        (
            "max_ops far beyond the size",
            "000b04ffffffffffffffffff01",
            NOTHING,
        ),
        (
            "max_ops one above the limit",
            "0080808080808080804000818004",
            NOTHING,
        ),
        ("boundary with start = size", "010b0b", NOTHING),
        ("boundary with start above size", "010b0c", NOTHING),
        ("boundary of nothing", "010000", NOTHING),
        ("unknown tag", "030b0401", UNKNOWN),
        ("unknown tag, high", "ff0b0401", UNKNOWN),
        ("a byte behind", "000b040300", Error::Trailing(1)),
        ("a boundary with max_ops", "010b0401", Error::Trailing(1)),
        ("nothing", "", Error::Short),
        ("a tag alone", "00", Error::Short),
        ("a status alone", "02", Error::Short),
        ("cut", "000b04", Error::Short),
        ("overlong number", "008b000403", Error::Varint),
        (
            "size above 2^62",
            "008180808080808080400401",
            Error::Invalid("a location is above 2^62"),
        ),
        (
            "start above 2^62",
            "000bffffffffffffffffff0101",
            Error::Invalid("a location is above 2^62"),
        ),
    ] {
        let bytes = hex::decode(bytes).unwrap();
        assert_eq!(Ask::from_slice(&bytes), Err(error), "{case}");
    }
}

#[test]
fn requests_are_cut_to_what_there_is() {
    // size, start, max_ops asked for, max_ops of the request
    for (size, start, asked, expected) in [
        (11, 4, 3, Some(3)),
        (11, 4, 7, Some(7)),
        (11, 4, u64::MAX, Some(7)),
        (MAX, 0, u64::MAX, Some(MAX_OPERATIONS)),
        (MAX, MAX - 2, u64::MAX, Some(2)),
        (11, 4, 0, None),
        (11, 11, 1, None),
        (11, 12, 1, None),
        (0, 0, 1, None),
    ] {
        let request = Request::operations(at(size), at(start), asked);
        assert_eq!(
            request.map(|request| request.max_ops()),
            expected,
            "{asked} at {start}"
        );
        if let Some(request) = request {
            assert_eq!(request.range(), at(start)..at(start + request.max_ops()));
            assert_eq!((request.size(), request.kind()), (at(size), Kind::Operations));
        }
        let boundary = Request::boundary(at(size), at(start));
        assert_eq!(boundary.is_some(), start < size, "boundary at {start} of {size}");
        assert!(boundary.is_none_or(|request| request.max_ops() == 1 && request.kind() == Kind::Boundary));
    }
}

#[test]
fn requests_that_differ_in_any_field_are_different() {
    // W29.3
    let requests = [
        operations(11, 4, 1),
        operations(12, 4, 1),
        operations(11, 5, 1),
        operations(11, 4, 2),
        boundary(11, 4),
    ];
    assert_eq!(BTreeSet::from(requests).len(), requests.len());
    assert!(BTreeSet::from(requests).contains(&operations(11, 4, 1)));
}

#[test]
fn the_largest_ask_fits_and_nothing_longer_is_read() {
    let largest = Status {
        network: "n".repeat(MAX_NAME),
        kind: "k".repeat(MAX_NAME),
        oldest: Location::MAX,
        size: Location::MAX,
        provable_from: Location::MAX,
        root: Some(Digest([0xff; 32])),
        checkpoint: Some(vec![0xff; MAX_CHECKPOINT].into()),
    };
    let bytes = Ask::Status(largest.clone()).to_vec();
    assert_eq!(bytes.len(), 2498);
    assert_eq!(Ask::from_slice(&bytes), Ok(Ask::Status(largest)));
    let range = Ask::Range(operations(MAX, MAX - MAX_OPERATIONS, MAX_OPERATIONS)).to_vec();
    assert!(range.len() <= bytes.len() && bytes.len() <= MAX_ASK);
    for length in [MAX_ASK + 1, 1 << 20] {
        let error = Error::Length {
            got: length as u64,
            max: MAX_ASK as u64,
        };
        assert_eq!(Ask::from_slice(&vec![0; length]), Err(error));
    }
}

#[test]
fn names_are_short_and_utf_8() {
    let with = |network: &[u8], kind: &[u8]| {
        let mut bytes = vec![2];
        codec::put_bytes(&mut bytes, network);
        codec::put_bytes(&mut bytes, kind);
        bytes.extend([0; 5]);
        bytes
    };
    let too_long = Error::Length { got: 65, max: 64 };
    const NOT_UTF_8: Error = Error::Invalid("a name is not UTF-8");
    for (case, bytes, error) in [
        ("at the limit", with(&[b'a'; 64], &[b'b'; 64]), None),
        (
            "two bytes a letter, at the limit",
            with("\u{e9}".repeat(32).as_bytes(), b""),
            None,
        ),
        ("network too long", with(&[b'a'; 65], b"k"), Some(too_long)),
        ("kind too long", with(b"n", &[b'a'; 65]), Some(too_long)),
        ("network not UTF-8", with(b"\xff", b"k"), Some(NOT_UTF_8)),
        ("kind not UTF-8", with(b"n", b"a\xc3"), Some(NOT_UTF_8)),
        (
            "a length that lies",
            vec![2, 0xff, 0xff, 0xff, 0xff, 0x0f, b'a'],
            Some(Error::Length {
                got: u32::MAX.into(),
                max: 64,
            }),
        ),
        (
            "a length of more than is there",
            vec![2, 64, b'a'],
            Some(Error::Short),
        ),
        (
            "a root neither there nor not",
            vec![2, 0, 0, 0, 0, 0, 2],
            Some(Error::Invalid("a flag is neither 0 nor 1")),
        ),
        (
            "a root cut short",
            vec![2, 0, 0, 0, 0, 0, 1, 7],
            Some(Error::Short),
        ),
        (
            "a checkpoint above its limit",
            vec![2, 0, 0, 0, 0, 0, 0, 1, 0x81, 0x12],
            Some(Error::Length {
                got: MAX_CHECKPOINT as u64 + 1,
                max: MAX_CHECKPOINT as u64,
            }),
        ),
        (
            "a checkpoint cut short",
            vec![2, 0, 0, 0, 0, 0, 0, 1, 2, 7],
            Some(Error::Short),
        ),
    ] {
        assert_eq!(Ask::from_slice(&bytes).err(), error, "{case}");
        // The same status as an answer.
        let answer: Bytes = [&[5], &bytes[1..]].concat().into();
        let ask = Ask::Status(status());
        assert_eq!(Answer::decode(&answer, &ask).err(), error, "{case}, as an answer");
    }
}

// ---- Answers ----

#[test]
fn answers_without_operations_read_back_for_the_asks_they_fit() {
    let range = Ask::Range(operations(11, 4, 3));
    let status_ask = Ask::Status(status());
    let millis = Duration::from_millis;
    // answer, its first bytes, fits a range, fits a status
    for (answer, bytes, fits_range, fits_status) in [
        (Answer::Unavailable, vec![2], true, false),
        (Answer::Busy(millis(0)), vec![3, 0], true, true),
        (Answer::Busy(millis(300)), vec![3, 0xac, 2], true, true),
        (Answer::Busy(millis(u64::MAX)), vec![3, 0xff], true, true),
        (Answer::Refused, vec![4], true, true),
        (Answer::Status(status()), vec![5, 4, b't'], false, true),
    ] {
        let frame = answer.to_frame();
        assert!(frame.head.starts_with(&bytes) && frame.body.is_empty() && !frame.is_empty());
        assert_eq!(frame.len(), frame.join().len());
        for (ask, fits) in [(&range, fits_range), (&status_ask, fits_status)] {
            let expected = fits.then(|| answer.clone());
            assert_eq!(
                Answer::decode(&frame.join(), ask).ok(),
                expected,
                "{answer:?} to {ask:?}"
            );
        }
        let longer: Bytes = [&frame.join()[..], &[0]].concat().into();
        for ask in [&range, &status_ask] {
            assert!(Answer::decode(&longer, ask).is_err(), "{answer:?} and a byte");
        }
    }
    for bytes in [&[][..], &[6], &[0xff], &[3], &[3, 0x80, 0], &[5]] {
        for ask in [&range, &status_ask] {
            let bytes = Bytes::copy_from_slice(bytes);
            assert!(Answer::decode(&bytes, ask).is_err(), "{bytes:?}");
        }
    }
    // More milliseconds than a varint holds are as many as it holds.
    let forever = Answer::Busy(Duration::MAX).to_frame().join();
    assert_eq!(
        Answer::decode(&forever, &range),
        Ok(Answer::Busy(millis(u64::MAX)))
    );
}

#[test]
fn an_honest_answer_at_any_size_reads_back_and_proves_itself() {
    // E15, E18, E45, W1.4: proven where the request says, under its root and no other.
    let (journal, roots) = journal(70);
    let sizes = [1, 2, 3, 7, 8, 11, 16, 33, 63, 64, 69, 70];
    let mut served = 0;
    for size in sizes {
        for start in 0..size {
            let counts = [1, 2, 5, size - start];
            let requests = counts.map(|count| operations(size, start, count));
            for request in requests.into_iter().chain([boundary(size, start)]) {
                let case = format!("{request:?}");
                let response = serve(&journal, &request);
                let frame = Answer::Range(response.clone()).to_frame();
                assert_eq!(&frame.body, response.operations.bytes(), "{case}");
                let ask = Ask::Range(request);
                let decoded = Answer::decode(&frame.join(), &ask);
                assert_eq!(decoded, Ok(Answer::Range(response.clone())), "{case}");

                let root = &roots[size as usize];
                let (verified, pinned) = verify(&request, root, response.clone()).unwrap();
                assert_eq!(verified.range(), request.range(), "{case}");
                assert_eq!(verified.operations(), &response.operations, "{case}");
                let digests = pinned.as_ref().map(|pinned| pinned.digests().to_vec());
                assert_eq!(digests, response.pinned_nodes, "{case}");
                if let Some(pinned) = pinned {
                    let frontier = crate::mmr::Frontier::new(pinned.at(), pinned.digests().to_vec()).unwrap();
                    assert_eq!(frontier.root(), roots[start as usize], "{case}");
                }

                let other = &roots[size as usize - 1];
                let fault = verify(&request, other, response).unwrap_err();
                assert!(matches!(fault, Fault::Proof(_)), "{case}: {fault}");
                served += 1;
            }
        }
    }
    assert!(served > 1000, "{served}");
}

#[test]
fn an_answer_is_cut_to_its_budget_and_still_proven() {
    // P41, W4.2
    let (journal, roots) = journal(70);
    let request = operations(60, 3, 50);
    let lengths: Vec<_> = serve(&journal, &request)
        .operations
        .iter()
        .map(<[u8]>::len)
        .collect();
    assert_eq!(lengths.len(), 50);
    for operation_bytes in [0, 1, lengths[0], lengths[0] + lengths[1], 500, 1000, usize::MAX] {
        let mut sum = 0;
        let fitting = lengths
            .iter()
            .take_while(|&&length| {
                sum += length;
                sum <= operation_bytes
            })
            .count();
        let response = serve::answer(&journal, &request, Budget { operation_bytes }).unwrap();
        assert_eq!(
            response.operations.len(),
            fitting.max(1),
            "{operation_bytes} bytes"
        );
        let decoded = Answer::decode(&bytes_of(response.clone()), &Ask::Range(request));
        assert_eq!(
            decoded,
            Ok(Answer::Range(response.clone())),
            "{operation_bytes} bytes"
        );
        let (verified, _) = verify(&request, &roots[60], response).unwrap();
        assert_eq!(verified.range(), at(3)..at(3 + fitting.max(1) as u64));
    }
}

#[test]
fn what_is_not_held_is_unavailable() {
    // E18: a log serves what it holds, at earlier sizes too, and says so where it does not.
    let (whole, roots) = journal(70);
    let mut pruned = whole.clone();
    pruned.prune(at(21)).unwrap();
    // The same operations, but the peaks at the start were never learnt.
    let mut unpinned = MemoryJournal::default();
    unpinned.restart(at(21)).unwrap();
    let kept = Operations::collect(whole.read(at(21)..at(70), usize::MAX).unwrap().iter()).unwrap();
    let nodes: Vec<_> = (at(21).position().get()..at(70).position().get())
        .map(|position| {
            let position = crate::mmr::Position::new(position).unwrap();
            crate::mmr::Nodes::node(&whole, position).unwrap().unwrap()
        })
        .collect();
    unpinned.append(&kept, &nodes).unwrap();

    for (case, journal, request, held) in [
        ("all of it", &whole, operations(70, 0, 70), true),
        ("a size not reached", &whole, operations(71, 0, 1), false),
        ("a size far away", &whole, operations(MAX, 0, 1), false),
        (
            "a boundary at a size not reached",
            &whole,
            boundary(71, 70),
            false,
        ),
        (
            "nothing at all",
            &MemoryJournal::default(),
            operations(1, 0, 1),
            false,
        ),
        ("below the pruned start", &pruned, operations(70, 20, 5), false),
        (
            "a boundary below the pruned start",
            &pruned,
            boundary(70, 20),
            false,
        ),
        (
            "a size below the pruned start",
            &pruned,
            operations(20, 3, 5),
            false,
        ),
        ("at the pruned start", &pruned, operations(70, 21, 5), true),
        ("a boundary at the pruned start", &pruned, boundary(70, 21), true),
        (
            "an old size above the pruned start",
            &pruned,
            operations(22, 21, 1),
            true,
        ),
        ("a boundary at an old size", &pruned, boundary(22, 21), true),
        ("nodes never learnt", &unpinned, operations(70, 21, 5), false),
        ("pinned nodes never learnt", &unpinned, boundary(70, 21), false),
    ] {
        let answer = serve::answer(journal, &request, Budget::default());
        match &answer {
            Ok(response) => {
                let root = &roots[request.size().get() as usize];
                assert!(verify(&request, root, response.clone()).is_ok(), "{case}");
                assert_eq!(response, &serve(&whole, &request), "{case}");
            }
            Err(error) => {
                let serve::Error::NotHeld { held, start, size } = error else {
                    panic!("{case}: {error}");
                };
                let asked = (request.start(), request.size());
                assert_eq!((held, (*start, *size)), (&journal.bounds(), asked), "{case}");
            }
        }
        assert_eq!(answer.is_ok(), held, "{case}");
        let ask = Ask::Range(request);
        let frame = serve::frame(&ask, status, |_| answer);
        let decoded = Answer::decode(&frame.join(), &ask).unwrap();
        assert_eq!(matches!(decoded, Answer::Range(_)), held, "{case}");
        assert_eq!(matches!(decoded, Answer::Unavailable), !held, "{case}");
    }
    let ask = Ask::Status(status());
    let frame = serve::frame(&ask, status, |request| {
        serve::answer(&whole, request, Budget::default())
    });
    assert_eq!(Answer::decode(&frame.join(), &ask), Ok(Answer::Status(status())));
}

/// An answer to `operations(59, 53, 2)`: six digests, two operations.
fn sample() -> (Request, Response) {
    let request = operations(59, 53, 2);
    (request, serve(&journal(70).0, &request))
}

/// An answer to `boundary(59, 53)`: four pinned nodes, one operation.
fn sample_boundary() -> (Request, Response) {
    let request = boundary(59, 53);
    (request, serve(&journal(70).0, &request))
}

#[test]
fn an_answer_that_does_not_fit_its_ask_is_refused_before_any_hash() {
    // W1.2, W4.1, W4.3, W24.3, W29.2, P1, F2.8
    const SIZE: Error = Error::Invalid("a proof for another size than asked");
    const COUNT: Error = Error::Invalid("no operations, or more than asked");
    const PINNED: Error = Error::Invalid("another number of pinned nodes than the start has");
    const DIGESTS: Error = Error::Invalid("another number of proof digests than the range needs");
    type Row = (&'static str, Error, fn(&mut Request, &mut Response));
    let rows: &[Row] = &[
        ("zero operations", COUNT, |_, r| {
            r.operations = Operations::default()
        }),
        ("another size, smaller", SIZE, |_, r| r.proof.leaves = at(58)),
        ("another size, larger", SIZE, |_, r| {
            r.proof.leaves = Location::MAX
        }),
        ("size 0", SIZE, |_, r| r.proof.leaves = Location::ZERO),
        ("for another size than was asked", SIZE, |q, _| {
            *q = operations(60, 53, 2)
        }),
        ("a digest too few", DIGESTS, |_, r| r.proof.digests.truncate(5)),
        ("a digest too many", DIGESTS, |_, r| {
            r.proof.digests.push(Digest::default())
        }),
        ("no digests", DIGESTS, |_, r| r.proof.digests.clear()),
        ("for another start than was asked", DIGESTS, |q, _| {
            *q = operations(59, 52, 2)
        }),
        ("pinned nodes unasked", PINNED, |_, r| {
            r.pinned_nodes = Some(vec![Digest::default(); 4])
        }),
        ("no pinned nodes, unasked", PINNED, |_, r| {
            r.pinned_nodes = Some(Vec::new())
        }),
    ];
    let boundary_rows: &[Row] = &[
        ("pinned nodes missing", PINNED, |_, r| r.pinned_nodes = None),
        ("no pinned nodes", PINNED, |_, r| {
            r.pinned_nodes = Some(Vec::new())
        }),
        ("a pinned node too few", PINNED, |_, r| {
            r.pinned_nodes.as_mut().unwrap().truncate(3)
        }),
        ("a pinned node too many", PINNED, |_, r| {
            r.pinned_nodes.as_mut().unwrap().push(Digest::default())
        }),
        ("as many pinned nodes as a list may have", PINNED, |_, r| {
            r.pinned_nodes.as_mut().unwrap().resize(62, Digest::default())
        }),
        ("a start with fewer peaks", PINNED, |q, _| *q = boundary(59, 52)),
    ];
    let rows = rows.iter().map(|row| (row, sample()));
    let boundary_rows = boundary_rows.iter().map(|row| (row, sample_boundary()));
    for ((case, error, alter), (mut request, mut response)) in rows.chain(boundary_rows) {
        assert_eq!(response.check(&request), Ok(()));
        alter(&mut request, &mut response);
        assert_eq!(response.check(&request), Err(*error), "{case}");
        assert_eq!(
            verify(&request, &Digest::default(), response.clone()),
            Err(Fault::Shape(*error)),
            "{case}, to be verified"
        );
        let decoded = Answer::decode(&bytes_of(response), &Ask::Range(request));
        assert_eq!(decoded, Err(*error), "{case}, on the wire");
    }

    // More operations than asked for: the wire stops at their count, the check behind it does not rely on it.
    let (request, response) = (operations(59, 53, 1), sample().1);
    assert_eq!(response.check(&request), Err(COUNT));
    assert_eq!(
        Answer::decode(&bytes_of(response), &Ask::Range(request)),
        Err(Error::Length { got: 2, max: 1 })
    );
}

#[test]
fn answers_of_another_kind_and_bytes_left_over_are_refused() {
    // W29.2, T13.5.17
    const OTHER: Error = Error::Invalid("an answer to something else than was asked");
    let (request, response) = sample();
    let (boundary, pinned) = sample_boundary();
    let (response, pinned) = (bytes_of(response), bytes_of(pinned));
    let (request, boundary) = (Ask::Range(request), Ask::Range(boundary));
    let status_answer = Answer::Status(status()).to_frame().join();
    let behind = |bytes: &Bytes| Bytes::from([&bytes[..], &[0]].concat());
    for (case, bytes, ask, error) in [
        ("a status for a range", status_answer.clone(), &request, OTHER),
        ("a status for a boundary", status_answer.clone(), &boundary, OTHER),
        (
            "operations for a status",
            response.clone(),
            &Ask::Status(status()),
            OTHER,
        ),
        (
            "a boundary for a status",
            pinned.clone(),
            &Ask::Status(status()),
            OTHER,
        ),
        (
            "unavailable for a status",
            vec![2].into(),
            &Ask::Status(status()),
            OTHER,
        ),
        ("an unknown tag", vec![6].into(), &request, OTHER),
        ("nothing", Bytes::new(), &request, Error::Short),
        (
            "a byte behind operations",
            behind(&response),
            &request,
            Error::Trailing(1),
        ),
        (
            "a byte behind a boundary",
            behind(&pinned),
            &boundary,
            Error::Trailing(1),
        ),
        (
            "a byte behind unavailable",
            vec![2, 0].into(),
            &request,
            Error::Trailing(1),
        ),
        (
            "a byte behind busy",
            vec![3, 1, 0].into(),
            &request,
            Error::Trailing(1),
        ),
        (
            "a byte behind refused",
            vec![4, 0].into(),
            &request,
            Error::Trailing(1),
        ),
        (
            "a byte behind a status",
            behind(&status_answer),
            &Ask::Status(status()),
            Error::Trailing(1),
        ),
    ] {
        assert_eq!(Answer::decode(&bytes, ask), Err(error), "{case}");
    }
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    let (request, response) = sample();
    let (boundary, pinned) = sample_boundary();
    for (ask, answer) in [
        (Ask::Range(request), Answer::Range(response)),
        (Ask::Range(boundary), Answer::Range(pinned)),
        (Ask::Status(status()), Answer::Status(status())),
        (Ask::Status(status()), Answer::Busy(Duration::from_secs(99))),
    ] {
        let bytes = answer.to_frame().join();
        assert_eq!(Answer::decode(&bytes, &ask).as_ref(), Ok(&answer));
        for cut in 0..bytes.len() {
            let error = Answer::decode(&bytes.slice(..cut), &ask).unwrap_err();
            assert_eq!(error, Error::Short, "{answer:?} cut at {cut}");
        }
        let bytes = ask.to_vec();
        for cut in 0..bytes.len() {
            assert_eq!(
                Ask::from_slice(&bytes[..cut]),
                Err(Error::Short),
                "{ask:?} cut at {cut}"
            );
        }
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    // W29.2, T13.5.17: too many digests, pinned nodes, operations.
    let short = Error::Short;
    let above = |got, max| Error::Length { got, max };
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let four_mib = [0x80, 0x80, 0x80, 0x02];
    let bytes = |parts: &[&[u8]]| Bytes::from(parts.concat());
    // Both asks are for the whole of a log of one: no digests, no pinned nodes.
    let all = Ask::Range(operations(MAX, 0, MAX_OPERATIONS));
    let one = Ask::Range(operations(1, 0, 1));
    let pinned = Ask::Range(boundary(1, 0));
    let all_ones = u64::from(u32::MAX);
    for (case, bytes, ask, error) in [
        (
            "digests: all there can be",
            bytes(&[&[0, 1], &huge]),
            &one,
            above(all_ones, 184),
        ),
        (
            "digests: one too many",
            bytes(&[&[0, 1, 0xb9, 1]]),
            &one,
            above(185, 184),
        ),
        ("digests: none behind", bytes(&[&[0, 1, 0xb8, 1]]), &one, short),
        (
            "digests: more than 32 bits",
            bytes(&[&[0, 1], &[0xff; 5]]),
            &one,
            Error::Varint,
        ),
        (
            "pinned: all there can be",
            bytes(&[&[1, 1, 0], &huge]),
            &pinned,
            above(all_ones, 62),
        ),
        (
            "pinned: one too many",
            bytes(&[&[1, 1, 0, 63]]),
            &pinned,
            above(63, 62),
        ),
        ("pinned: none behind", bytes(&[&[1, 1, 0, 62]]), &pinned, short),
        (
            "operations: all there can be",
            bytes(&[&[0, 1, 0], &huge]),
            &one,
            above(all_ones, 1),
        ),
        (
            "operations: one too many",
            bytes(&[&[0, 1, 0, 2, 1, 1, 7, 7]]),
            &one,
            above(2, 1),
        ),
        (
            "operations: one too many at a boundary",
            bytes(&[&[1, 1, 0, 0, 2]]),
            &pinned,
            above(2, 1),
        ),
        (
            "operations: as many as may be, none behind",
            bytes(&[&[0, 1, 0, 0x80, 0x80, 4]]),
            &all,
            short,
        ),
        (
            "length: all there can be",
            bytes(&[&[0, 1, 0, 1], &huge]),
            &one,
            above(all_ones, 4 << 20),
        ),
        (
            "length: as long as may be, none behind",
            bytes(&[&[0, 1, 0, 1], &four_mib, &[7]]),
            &one,
            short,
        ),
        (
            "length: one too long",
            bytes(&[&[0, 1, 0, 1, 0x81, 0x80, 0x80, 2]]),
            &one,
            above((4 << 20) + 1, 4 << 20),
        ),
        (
            "lengths: too long together",
            bytes(&[&[0, 1, 0, 2], &four_mib, &[1]]),
            &all,
            above(1, 0),
        ),
        (
            "length: of more than is there",
            bytes(&[&[0, 1, 0, 1, 2, 7]]),
            &one,
            short,
        ),
        (
            "length: of less than is there",
            bytes(&[&[0, 1, 0, 1, 1, 7, 7]]),
            &one,
            Error::Trailing(1),
        ),
        (
            "an empty operation",
            bytes(&[&[0, 1, 0, 1, 0]]),
            &one,
            Error::Invalid("an empty operation"),
        ),
        (
            "an empty operation between others",
            bytes(&[&[0, 1, 0, 3, 1, 0, 1, 7, 7]]),
            &all,
            Error::Invalid("an empty operation"),
        ),
    ] {
        assert_eq!(Answer::decode(&bytes, ask), Err(error), "{case}");
    }
    let fine = bytes(&[&[0, 1, 0, 1, 1, 7]]);
    assert!(matches!(Answer::decode(&fine, &one), Ok(Answer::Range(_))));
}

#[test]
fn the_largest_answers_stay_below_their_bound() {
    let most = MAX_OPERATIONS as usize;
    // Whatever their shape: as many digests and pinned nodes as lists can have.
    let answer = |operations| {
        let response = Response {
            proof: Proof {
                leaves: Location::MAX,
                digests: vec![Digest::default(); 184],
            },
            operations,
            pinned_nodes: Some(vec![Digest::default(); 62]),
        };
        Answer::Range(response).to_frame()
    };
    let even = vec![7; MAX_OPERATION_BYTES / most];
    let long = vec![7; MAX_OPERATION_BYTES - most + 1];
    for (case, operations) in [
        ("one as long as may be", vec![vec![7; MAX_OPERATION]]),
        ("as many as may be, of equal length", vec![even; most]),
        (
            "as many as may be, one of them long",
            std::iter::once(long)
                .chain(std::iter::repeat_n(vec![7], most - 1))
                .collect(),
        ),
    ] {
        let frame = answer(Operations::collect(operations).unwrap());
        assert_eq!(frame.body.len(), MAX_OPERATION_BYTES, "{case}");
        assert!(frame.head.len() <= MAX_OVERHEAD, "{case}");
        assert!(frame.len() <= MAX_ANSWER, "{case}");
    }

    // The longest operation there may be travels; a journal may hold a longer one, the wire does not.
    let request = operations(1, 0, 1);
    for (length, fits) in [(MAX_OPERATION, true), (MAX_OPERATION + 1, false)] {
        let response = Response {
            proof: Proof {
                leaves: at(1),
                digests: Vec::new(),
            },
            operations: Operations::collect([vec![7; length]]).unwrap(),
            pinned_nodes: None,
        };
        let decoded = Answer::decode(&bytes_of(response), &Ask::Range(request));
        assert_eq!(decoded.is_ok(), fits, "{length} bytes");
    }
}

// ---- Damage ----

#[test]
fn decoding_damaged_bytes_never_panics_and_what_it_accepts_has_one_form() {
    let (journal, roots) = journal(70);
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..20_000u64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let size = rng.random_range(1..=70);
        let start = rng.random_range(0..size);
        let (ask, answer) = match rng.random_range(0..5) {
            0 => (Ask::Status(status()), Answer::Status(status())),
            1 => {
                let request = boundary(size, start);
                (Ask::Range(request), Answer::Range(serve(&journal, &request)))
            }
            2 => (
                Ask::Range(operations(size, start, 1)),
                Answer::Busy(Duration::from_millis(rng.random())),
            ),
            _ => {
                let request = operations(size, start, rng.random_range(1..20));
                (Ask::Range(request), Answer::Range(serve(&journal, &request)))
            }
        };
        let sent = answer.to_frame().join();
        let mut answer_bytes = sent.to_vec();
        let mut ask_bytes = ask.to_vec();
        for _ in 0..rng.random_range(1..4) {
            damage(&mut answer_bytes, &mut rng);
            damage(&mut ask_bytes, &mut rng);
        }
        let answer_bytes = Bytes::from(answer_bytes);

        if let Ok(decoded) = Ask::from_slice(&ask_bytes) {
            assert_eq!(decoded.to_vec(), ask_bytes, "seed {seed}");
            if let Ask::Range(request) = decoded {
                assert!(request.start() < request.range().end, "seed {seed}");
                assert!(request.range().end <= request.size(), "seed {seed}");
                assert!(request.max_ops() <= MAX_OPERATIONS, "seed {seed}");
            }
        }
        match Answer::decode(&answer_bytes, &ask) {
            Ok(decoded) => {
                accepted += 1;
                assert_eq!(decoded.to_frame().join(), answer_bytes, "seed {seed}");
                if let (Answer::Range(response), Ask::Range(request)) = (decoded, &ask) {
                    assert_eq!(response.check(request), Ok(()), "seed {seed}");
                    // Altered bytes that read well prove nothing.
                    let honest = verify(request, &roots[size as usize], response).is_ok();
                    assert_eq!(honest, answer_bytes == sent, "seed {seed}");
                }
            }
            Err(_) => refused += 1,
        }
    }
    assert!(
        accepted > 2000 && refused > 2000,
        "{accepted} accepted, {refused} refused"
    );
}

/// Flip, drop, add or repeat a few bytes.
fn damage(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let i = rng.random_range(0..=bytes.len());
    match rng.random_range(0..8) {
        0 => bytes.truncate(i),
        1 => bytes.insert(i, rng.random()),
        2 if i < bytes.len() => drop(bytes.remove(i)),
        // Tags and counts stand in front.
        3..5 if bytes.len() > 6 => bytes[rng.random_range(0..6)] = rng.random(),
        _ if i < bytes.len() => bytes[i] ^= 1 << rng.random_range(0..8),
        _ => bytes.extend(rng.random::<[u8; 3]>()),
    }
}

#[test]
fn noise_never_panics() {
    let asks = [
        Ask::Status(status()),
        Ask::Range(operations(70, 3, 9)),
        Ask::Range(boundary(70, 69)),
        Ask::Range(operations(MAX, MAX - 1, 1)),
        Ask::Range(boundary(MAX, MAX - 1)),
    ];
    for seed in 0..20_000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = vec![0; rng.random_range(0..300)];
        rng.fill(&mut bytes[..]);
        if let Some(tag) = bytes.first_mut() {
            *tag %= 7;
        }
        if let Ok(ask) = Ask::from_slice(&bytes) {
            assert_eq!(ask.to_vec(), bytes, "seed {seed}");
        }
        let bytes = Bytes::from(bytes);
        for ask in &asks {
            if let Ok(answer) = Answer::decode(&bytes, ask) {
                assert_eq!(answer.to_frame().join(), bytes, "seed {seed}");
            }
        }
    }
}
