//! Answers.

use super::*;

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
