//! Asks.

use super::*;

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
