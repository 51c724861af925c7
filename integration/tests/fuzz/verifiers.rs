//! Verifiers: they agree with the slow and obvious one, and accept nothing but the truth under an honest root.

use crate::codecs::{database, location, log};
use crate::runner::fuzz;
use cordee_node::claims::ClaimJson;
use cordee_node::proofs::ProofFile;
use cordee_protocol::codec::{Decode, Encode, Error, Reader, put_bytes, put_varint};
use cordee_protocol::db::{Claim, Db, KINDS};
use cordee_protocol::log::MemoryJournal;
use cordee_protocol::mmr::proof::{put_digests, read_digests};
use cordee_protocol::mmr::{MultiProof, Proof, prove_multi, reference, verify, verify_multi};
use cordee_protocol::{Digest, Location};

/// A claim as bytes. The first says whether the root is taken from the input, or is the one that the rest leads to: so
/// that acceptance is met often.
fn encode(claim: &reference::Claim, found: bool) -> Vec<u8> {
    let mut out = vec![u8::from(found) | u8::from(claim.pinned.is_some()) << 1];
    put_varint(&mut out, claim.leaves);
    put_varint(&mut out, claim.start);
    claim.root.encode(&mut out);
    put_digests(&mut out, &claim.digests);
    put_digests(&mut out, claim.pinned.as_deref().unwrap_or_default());
    for element in &claim.elements {
        put_bytes(&mut out, element);
    }
    out
}

fn decode(input: &[u8]) -> Result<(reference::Claim, bool), Error> {
    let mut reader = Reader::new(input);
    let flags = reader.byte()?;
    let (leaves, start) = (reader.varint()?, reader.varint()?);
    let root = Digest::decode(&mut reader)?;
    let digests = read_digests(&mut reader, 200)?;
    let pinned = read_digests(&mut reader, 100)?;
    let mut elements = Vec::new();
    while reader.remaining() > 0 {
        elements.push(reader.bytes(1000)?.to_vec());
    }
    let claim = reference::Claim {
        leaves,
        digests,
        start,
        elements,
        pinned: (flags & 2 != 0).then_some(pinned),
        root,
    };
    Ok((claim, flags & 1 != 0))
}

fn claims(db: &Db<MemoryJournal>) -> Vec<reference::Claim> {
    let size = db.log().size().get();
    let mut claims = Vec::new();
    for (n, a) in (1..=size).flat_map(|n| [0, n / 3, n / 2, n - 1].map(|a| (n, a))) {
        let claim = Claim::of(db, location(n), location(a), n % 7 + 1, a % 2 == 0).unwrap();
        claims.push(reference::Claim {
            leaves: claim.leaves,
            digests: claim.digests,
            start: claim.start,
            elements: claim.operations,
            pinned: claim.pinned,
            root: claim.root,
        });
    }
    claims
}

#[test]
fn two_verifiers_give_one_verdict() {
    let claims = claims(&database(KINDS[0]));
    let seeds = claims
        .iter()
        .flat_map(|claim| [encode(claim, false), encode(claim, true)]);
    fuzz("verify", seeds.collect(), |input| {
        let Ok((mut claim, found)) = decode(input) else {
            return "no claim".into();
        };
        if let Some((root, _)) = claim.rebuild().filter(|_| found) {
            claim.root = root;
        }
        let slow = claim.verify();
        let fast = Location::new(claim.leaves)
            .zip(Location::new(claim.start))
            .map(|(leaves, start)| {
                let proof = Proof {
                    leaves,
                    digests: claim.digests.clone(),
                };
                verify(
                    &proof,
                    start,
                    claim.elements.as_slice(),
                    claim.pinned.as_deref(),
                    &claim.root,
                )
            });
        let accepted = matches!(fast, Some(Ok(_)));
        assert_eq!(accepted, slow.is_some(), "{fast:?}, {claim:?}");
        if let (Some(Ok(nodes)), Some(seen)) = (&fast, &slow) {
            // The nodes that are stored are those that the obvious one saw.
            let first = reference::pos(claim.start);
            for (position, node) in (first..).zip(nodes) {
                assert!(
                    seen.get(&position) == Some(node),
                    "position {position} of {claim:?}"
                );
            }
        }
        let pinned = claim.pinned.as_ref().map(|pinned| pinned.len().min(3));
        match fast {
            Some(Err(error)) => format!("{:?} {pinned:?}", std::mem::discriminant(&error)),
            fast => format!("{} {pinned:?} {}", fast.is_some(), claim.elements.len()),
        }
    });
}

#[test]
fn multi_proofs_show_only_what_is_there() {
    let db = database(KINDS[0]);
    let (size, root, log) = (db.log().size(), db.root(), log(&db));
    let seed = |i: u64| {
        let mut locations = [i % size.get(), i * 7 % size.get(), i * 3 % size.get()];
        locations.sort_unstable();
        let proof = prove_multi(db.log().journal(), size, &locations.map(location)).unwrap();
        let mut out = Vec::new();
        out.push(3);
        for at in locations {
            put_varint(&mut out, at);
            put_bytes(&mut out, &log[at as usize]);
        }
        proof.encode(&mut out);
        out
    };
    fuzz("verify-multi", (0..40).map(seed).collect(), |input| {
        let read = || {
            let mut reader = Reader::new(input);
            let count = reader.byte()?;
            let mut elements = Vec::new();
            for _ in 0..count {
                elements.push((Location::decode(&mut reader)?, reader.bytes(1000)?));
            }
            Ok::<_, Error>((MultiProof::decode(&mut reader, elements.len())?, elements))
        };
        let Ok((proof, elements)) = read() else {
            return "no proof".into();
        };
        let verdict = verify_multi(&proof, &elements, &root);
        if verdict.is_ok() {
            for (at, element) in &elements {
                assert_eq!(&log[at.get() as usize], element, "{at} in {elements:?}");
            }
        }
        match verdict {
            Ok(()) => format!("ok {}", elements.len()),
            Err(error) => format!("{:?} {}", std::mem::discriminant(&error), elements.len().min(4)),
        }
    });
}

#[test]
fn claims_of_all_kinds_show_only_what_is_there() {
    let databases = KINDS.map(|name| (database(name), log(&database(name))));
    let mut seeds = Vec::new();
    for (db, _) in &databases {
        let end = db.log().size().get();
        for (size, start) in [(end, end / 2), (end - 1, 3), (1, 0)] {
            let claim = Claim::of(db, location(size), location(start), 3, start % 2 == 1).unwrap();
            seeds.push(serde_json::to_vec(&ClaimJson::from(claim)).unwrap());
        }
    }
    fuzz("claim", seeds, |input| {
        let Ok(claim) = ClaimJson::parse(input) else {
            return "no claim".into();
        };
        let verdict = claim.check();
        if verdict.is_ok() {
            for (db, log) in databases.iter().filter(|(db, _)| db.root() == claim.root) {
                let start = claim.start as usize;
                assert_eq!(claim.size, db.log().size().get());
                assert_eq!(log[start..start + claim.operations.len()], claim.operations[..]);
            }
        }
        match verdict {
            Ok(kind) => format!("{kind} {}", claim.operations.len()),
            Err(error) => format!("{:?}", std::mem::discriminant(&error)),
        }
    });
}

#[test]
fn proof_files_show_only_what_is_there() {
    // As `cordee get --prove` writes them: the command is tested where it lives.
    let databases = KINDS.map(|name| (database(name), log(&database(name))));
    let mut seeds = Vec::new();
    for (db, log) in &databases {
        let size = db.log().size();
        for at in 1..5 {
            let claim = Claim::of(db, size, location(at), 1, false).unwrap();
            let digests: Vec<_> = claim.digests.iter().map(ToString::to_string).collect();
            let operation = &log[at as usize];
            let value = &operation[operation.len().min(33)..];
            let file = serde_json::json!({
                "kind": db.kind().to_string(), "root": claim.root.to_string(), "size": claim.size, "location": at,
                "key": hex::encode(operation.get(1..33).unwrap_or_default()), "value": hex::encode(value),
                "operation": hex::encode(operation), "leaves": claim.leaves, "digests": digests,
            });
            seeds.push(serde_json::to_vec(&file).unwrap());
        }
    }
    fuzz("proof-file", seeds, |input| {
        let Ok(file) = ProofFile::parse(input) else {
            return "no proof file".into();
        };
        let verdicts = databases.iter().map(|(db, log)| {
            let verdict = file.check(&db.root());
            if let Ok(statement) = &verdict {
                let operation = &log[statement.location as usize];
                let value = statement.value.as_deref().unwrap_or_default();
                assert!(
                    operation
                        .windows(value.len().max(1))
                        .any(|part| value.is_empty() || part == value)
                );
                assert!(!statement.to_string().is_empty());
            }
            match verdict {
                Ok(statement) => format!("{} {}", statement.kind, statement.value.is_some()),
                Err(error) => format!("{:?}", std::mem::discriminant(&error)),
            }
        });
        verdicts.collect::<Vec<_>>().join(" ")
    });
}
