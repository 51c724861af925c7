//! Decoders of bytes: what they take, they write again in the same bytes.

use crate::runner::fuzz;
use cordee_protocol::codec::{Decode, Encode, Error, Reader};
use cordee_protocol::db::{Db, KINDS, Kind, Operation};
use cordee_protocol::log::{Journal, MemoryJournal};
use cordee_protocol::mmr::{Elements, MultiProof, Proof, prove_multi};
use cordee_protocol::sync::serve::{self, Budget};
use cordee_protocol::testing::source::{database_of, operations};
use cordee_protocol::wire::{Answer, Ask, Request, Status};
use cordee_protocol::{Digest, Location, Target};
use std::fmt::Debug;

/// A small database of the kind called `name`; fixed kinds have values of 8 bytes.
pub(crate) fn database(name: &str) -> Db<MemoryJournal> {
    let kind = Kind::parse(name, name.ends_with("fixed").then_some(8)).unwrap();
    database_of(kind, 5, 6, 4)
}

pub(crate) fn location(n: u64) -> Location {
    Location::new(n).unwrap()
}

/// How decoding ended: the kind of error, without its numbers.
fn ending<T>(result: &Result<T, Error>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(Error::Invalid(what)) => (*what).into(),
        Err(Error::Length { .. }) => "too long".into(),
        Err(Error::Trailing(_)) => "trailing".into(),
        Err(error) => error.to_string(),
    }
}

/// What decodes has one encoding.
pub(crate) fn same_again<T: Decode + Encode + Debug>(input: &[u8]) -> String {
    let decoded = T::from_slice(input);
    if let Ok(value) = &decoded {
        assert_eq!(value.to_vec(), input, "{value:?} has two encodings");
    }
    ending(&decoded)
}

#[test]
fn operations_of_all_kinds() {
    let mut seeds = Vec::new();
    for (i, name) in KINDS.into_iter().enumerate() {
        let db = database(name);
        for operation in operations(db.log().journal()) {
            // Kind, value size, and the operation.
            seeds.push([&[i as u8, 8], &operation[..]].concat());
        }
    }
    fuzz("operation", seeds, |input| {
        let Some((&[kind, size], operation)) = input.split_first_chunk() else {
            return String::new();
        };
        let name = KINDS[usize::from(kind) % KINDS.len()];
        let size = name.ends_with("fixed").then_some(usize::from(size).max(1));
        let kind = Kind::parse(name, size).unwrap();
        let read = Operation::read(kind, operation);
        if let Ok(value) = &read {
            assert_eq!(
                value.to_vec(kind),
                operation,
                "{value:?} of {kind} has two encodings"
            );
        }
        let tag = read.as_ref().ok().map(|value| match value {
            Operation::Delete(_) => 0,
            Operation::Update { .. } => 1,
            Operation::Append(_) => 2,
            Operation::Commit { metadata, .. } => 3 + u8::from(metadata.is_some()),
        });
        // Found by its length alone, it is of the same kind.
        if let (Some(_), Ok(_)) = (size, &read) {
            assert_eq!(Kind::of_operation(name, operation.len()), Ok(kind));
        }
        format!("{name} {tag:?} {}", ending(&read))
    });
}

fn status(db: &Db<MemoryJournal>) -> Status {
    Status {
        network: "net".into(),
        kind: db.kind().to_string(),
        oldest: db.log().bounds().start,
        size: db.log().size(),
        provable_from: location(1),
        root: Some(db.root()),
        checkpoint: Some(bytes::Bytes::from_static(b"signed")),
    }
}

fn asks(db: &Db<MemoryJournal>) -> Vec<Ask> {
    let size = db.log().size();
    vec![
        Ask::Status(status(db)),
        Ask::Range(Request::boundary(size, location(5)).unwrap()),
        Ask::Range(Request::operations(size, location(2), 7).unwrap()),
        Ask::Range(Request::operations(location(9), location(8), 1).unwrap()),
    ]
}

#[test]
fn asked() {
    let seeds = asks(&database(KINDS[0]));
    fuzz(
        "ask",
        seeds.iter().map(Encode::to_vec).collect(),
        same_again::<Ask>,
    );
}

#[test]
fn statuses() {
    let whole = status(&database(KINDS[0]));
    let bare = Status {
        root: None,
        checkpoint: None,
        ..whole.clone()
    };
    let seeds = [whole, bare, Status::default()].map(|status| status.to_vec());
    fuzz("status", seeds.into(), same_again::<Status>);
}

#[test]
fn targets() {
    let seed = database(KINDS[0]).target().to_vec();
    fuzz("target", vec![seed], same_again::<Target>);
}

#[test]
fn answers() {
    let mut seeds = Vec::new();
    for db in KINDS.map(database) {
        for ask in asks(&db) {
            let range = |request: &Request| serve::answer(db.log().journal(), request, Budget::default());
            let honest = serve::frame(&ask, || status(&db), range).join();
            let others = [
                Answer::Unavailable,
                Answer::Refused,
                Answer::Busy(std::time::Duration::from_secs(1)),
            ];
            for answer in others
                .iter()
                .map(|answer| answer.to_frame().join())
                .chain([honest])
            {
                let ask = ask.to_vec();
                seeds.push([&[ask.len() as u8], &ask[..], &answer].concat());
            }
        }
    }
    fuzz("answer", seeds, |input| {
        let Some((ask, answer)) = input
            .split_first()
            .and_then(|(&len, rest)| rest.split_at_checked(usize::from(len)))
        else {
            return String::new();
        };
        let Ok(ask) = Ask::from_slice(ask) else {
            return "no ask".into();
        };
        let bytes = bytes::Bytes::copy_from_slice(answer);
        let decoded = Answer::decode(&bytes, &ask);
        if let Ok(Answer::Range(response)) = &decoded {
            let Ask::Range(request) = &ask else {
                panic!("{response:?} to {ask:?}")
            };
            assert!(response.operations.len() as u64 <= request.max_ops());
        }
        if let Ok(answer) = &decoded {
            assert_eq!(answer.to_frame().join(), bytes, "{answer:?} has two encodings");
        }
        ending(&decoded)
    });
}

#[test]
fn proofs() {
    let db = database(KINDS[0]);
    let size = db.log().size();
    let prove = |start| {
        db.log()
            .historical_proof(size, location(start), 3)
            .unwrap()
            .0
            .to_vec()
    };
    fuzz("proof", (0..size.get()).map(prove).collect(), same_again::<Proof>);
}

#[test]
fn scattered_proofs() {
    let db = database(KINDS[0]);
    let size = db.log().size();
    let multi = |i: u64| {
        let locations = [i % size.get(), i * 7 % size.get()].map(location);
        let proof = prove_multi(db.log().journal(), size, &locations).unwrap();
        [&[2], &proof.to_vec()[..]].concat()
    };
    fuzz("multi-proof", (0..20).map(multi).collect(), |input| {
        let Some((&elements, rest)) = input.split_first() else {
            return String::new();
        };
        let mut reader = Reader::new(rest);
        let decoded = MultiProof::decode(&mut reader, elements.into());
        let left = reader.remaining();
        if let Ok(proof) = &decoded {
            assert_eq!(proof.to_vec(), rest[..rest.len() - left]);
        }
        ending(&decoded)
    });
}

#[test]
fn digests_in_hex() {
    let seeds = vec![Digest::of(&[b"x"]).to_string().into_bytes()];
    fuzz("digest", seeds, |input| {
        let text = String::from_utf8_lossy(input);
        let read = Digest::from_hex(&text);
        assert!(read.is_none_or(|digest| digest.to_string() == text.to_lowercase()));
        format!("{}", read.is_some())
    });
}

/// The whole journal, where that is a seed.
pub(crate) fn log(db: &Db<MemoryJournal>) -> Vec<Vec<u8>> {
    assert_eq!(db.log().journal().bounds().start, Location::ZERO);
    operations(db.log().journal())
}
