//! The table of FORMAT F3.5, and what decoding refuses (F6, strictness).

use super::*;
use crate::db::KINDS;

const K: Key = [0xab; 32];
const K2: Key = [0xcd; 32];

/// The kind called `name`; `k` and `l` in `text` stand for the keys, spaces for nothing.
fn case(name: &str, text: &str) -> (Kind, Vec<u8>) {
    let text = text.replace('k', &"ab".repeat(32)).replace('l', &"cd".repeat(32));
    (name.parse().unwrap(), hex::decode(text.replace(' ', "")).unwrap())
}

fn commit(metadata: Option<&[u8]>, floor: impl Into<Option<u64>>) -> Operation<'_> {
    let floor = floor.into().map(|floor| Location::new(floor).unwrap());
    Operation::Commit { metadata, floor }
}

fn update(value: &[u8], next: Option<Key>) -> Operation<'_> {
    Operation::Update { key: K, value, next }
}

#[test]
fn bytes_are_those_of_the_format() {
    // F3.1 to F3.5, F2.1, F2.5
    let long = format!("d2 k ac02 {}", "07".repeat(300));
    let nine = [0, 0, 0, 0, 0, 0, 0, 9];
    let padded = format!("d3 00 {} 000000000000012c {}", "00".repeat(8), "00".repeat(23));
    let metadata = format!("d3 01 l 000000000000012c {}", "00".repeat(23));
    let ordered = format!("d1 k {}", "00".repeat(40));
    let rows: &[(&str, Operation<'_>, &str)] = &[
        // F3.5; with keys of 32 bytes, the only ones here.
        (
            "any-unordered-variable",
            update(&[1, 2, 3], None),
            "d2 k 03 010203",
        ),
        ("any-unordered-variable", update(&[7; 300], None), &long),
        ("any-unordered-variable", Operation::Delete(K), "d1 k"),
        ("any-unordered-variable", commit(None, 300), "d3 00 ac02"),
        (
            "any-unordered-variable",
            commit(Some(&[1, 2, 3]), 300),
            "d3 01 03010203 ac02",
        ),
        ("any-unordered-variable", commit(Some(&[]), 300), "d3 01 00 ac02"),
        ("any-unordered-variable", commit(None, 0), "d3 00 00"),
        (
            "any-unordered-fixed:8",
            Operation::Delete(K),
            "d1 k 0000000000000000",
        ),
        ("any-unordered-fixed:8", commit(None, 300), &padded),
        ("any-unordered-fixed:32", commit(Some(&K2), 300), &metadata),
        (
            "any-ordered-variable",
            update(&[1, 2, 3], Some(K2)),
            "d2 k 03010203 l",
        ),
        (
            "any-ordered-fixed:8",
            update(&nine, Some(K2)),
            "d2 k 0000000000000009 l",
        ),
        ("any-ordered-fixed:8", Operation::Delete(K), &ordered),
        ("immutable-variable", update(&[1, 2, 3], None), "00 k 03010203"),
        ("immutable-variable", commit(None, None), "01 00"),
        ("immutable-fixed:8", update(&nine, None), "00 k 0000000000000009"),
        ("keyless-variable", Operation::Append(&[1, 2, 3]), "01 03010203"),
        ("keyless-variable", commit(None, None), "00 00"),
        (
            "keyless-fixed:8",
            Operation::Append(&[0, 0, 0, 0, 0, 0, 1, 2]),
            "01 0000000000000102 00",
        ),
        ("keyless-fixed:8", commit(None, None), "00000000000000000000"),
        (
            "keyless-fixed:8",
            commit(Some(&nine), None),
            "00 01 0000000000000009",
        ),
    ];
    for (name, operation, text) in rows {
        let (kind, bytes) = case(name, text);
        assert_eq!(hex::encode(operation.to_vec(kind)), hex::encode(&bytes), "{name}");
        assert_eq!(Operation::read(kind, &bytes), Ok(*operation), "{name}");
        assert_eq!(
            kind.operation_size().unwrap_or(bytes.len()),
            bytes.len(),
            "{name}"
        );
    }
}

#[test]
fn anything_else_is_refused() {
    let rows: &[(&str, &str, &str)] = &[
        ("nothing", "any-unordered-variable", ""),
        ("another tag", "any-unordered-variable", "d4 k"),
        ("a byte too many", "any-unordered-variable", "d1 k 00"),
        ("a value cut short", "any-unordered-variable", "d2 k 0301"),
        (
            "an option that is neither 0 nor 1",
            "any-unordered-variable",
            "d3 02 00",
        ),
        (
            "a floor above 2^62",
            "any-unordered-variable",
            "d3 00 818080808080808040",
        ),
        (
            "a floor with a second form",
            "any-unordered-variable",
            "d3 00 8000",
        ),
        (
            "a length with a second form",
            "any-unordered-variable",
            "d2 k 8100 00",
        ),
        ("no next key", "any-ordered-variable", "d2 k 03010203"),
        ("a next key too many", "any-unordered-variable", "d2 k 03010203 l"),
        ("padding that is not zero", "any-unordered-fixed:2", "d1 k 0001"),
        (
            "absent metadata that is not zero",
            "keyless-fixed:2",
            "00 00 0001",
        ),
        (
            "an option that is neither 0 nor 1",
            "keyless-fixed:2",
            "00 02 0000",
        ),
        ("the byte behind an append", "keyless-fixed:2", "01 0000 01"),
        ("a short fixed operation", "any-unordered-fixed:2", "d1 k 00"),
        ("a long fixed operation", "any-unordered-fixed:2", "d1 k 000000"),
        ("a set without its value", "immutable-variable", "00 k"),
        ("a delete", "immutable-variable", "d1 k"),
        ("an append", "immutable-variable", "01 03010203"),
        ("an update", "keyless-variable", "d2 k 03010203"),
        ("a floor", "keyless-variable", "00 00 00"),
        ("a floor", "immutable-variable", "01 00 00"),
    ];
    for (why, name, text) in rows {
        let (kind, bytes) = case(name, text);
        assert!(Operation::read(kind, &bytes).is_err(), "{name}: {why}");
    }
    // The largest floor that there can be, and the next.
    let kind: Kind = "any-unordered-fixed:2".parse().unwrap();
    let mut bytes = commit(None, 1 << 62).to_vec(kind);
    assert_eq!(Operation::read(kind, &bytes), Ok(commit(None, 1 << 62)));
    bytes[11] = 1;
    assert!(Operation::read(kind, &bytes).is_err());
}

#[test]
fn an_operation_has_one_encoding() {
    // Every bit flip, cut and extension is refused, or is the encoding of another operation.
    let mut compared = 0;
    for name in KINDS {
        let kind = Kind::parse(name, name.ends_with("fixed").then_some(4)).unwrap();
        let next = (kind.family() == Family::AnyOrdered).then_some(K2);
        let floor = kind.is_any().then_some(77);
        let mut operations = vec![commit(None, floor), commit(Some(&[1, 2, 3, 4]), floor)];
        match kind.family() {
            Family::Keyless => operations.push(Operation::Append(&[0, 0, 0, 7])),
            Family::Immutable => operations.push(update(&[0, 0, 0, 7], None)),
            _ => operations.extend([update(&[0, 0, 0, 7], next), Operation::Delete(K)]),
        }
        for operation in operations {
            let bytes = operation.to_vec(kind);
            let mut altered: Vec<Vec<u8>> = (0..bytes.len()).map(|end| bytes[..end].to_vec()).collect();
            altered.extend((0..=1).map(|more| [&bytes[..], &[more]].concat()));
            altered.extend((0..8 * bytes.len()).map(|bit| {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            }));
            for bytes in altered {
                if let Ok(other) = Operation::read(kind, &bytes) {
                    assert_ne!(other, operation, "{kind}");
                    assert_eq!(other.to_vec(kind), bytes, "{kind}");
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 7000, "{compared}");
}
