//! Answers that no honest server gives.

use super::*;

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
