//! Every value of the reference implementation's answers, for each kind that it answered for.

use cordee_protocol::codec::{Decode, Encode};
use cordee_protocol::db::{Batch, Claim, Db, Kind, Operation};
use cordee_protocol::log::MemoryJournal;
use cordee_protocol::mmr::{Proof, proof, shape};
use cordee_protocol::{Digest, Location, Target};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;

#[test]
fn any_unordered_variable() {
    let compared = compare(
        "any-unordered-variable",
        include_str!("vectors/any_unordered_variable.json"),
    );
    report("any_unordered_variable.json", compared);
}

#[test]
fn any_unordered_fixed() {
    let compared = compare(
        "any-unordered-fixed:32",
        include_str!("vectors/any_unordered_fixed.json"),
    );
    report("any_unordered_fixed.json", compared);
}

#[test]
fn immutable_variable() {
    let compared = compare(
        "immutable-variable",
        include_str!("vectors/immutable_variable.json"),
    );
    report("immutable_variable.json", compared);
}

#[test]
fn keyless_variable() {
    let compared = compare("keyless-variable", include_str!("vectors/keyless_variable.json"));
    report("keyless_variable.json", compared);
}

/// Says how much was compared, also where the test runner keeps what tests print to itself.
fn report(file: &str, compared: usize) {
    assert!(compared > 1000, "{compared} values are too few");
    let _ = writeln!(std::io::stderr(), "{compared} values of {file} are equal");
}

/// Compares, and counts.
#[derive(Default)]
struct Counter(usize);

impl Counter {
    #[track_caller]
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, got: T, want: T) {
        assert_eq!(got, want);
        self.0 += 1;
    }

    #[track_caller]
    fn all<T: PartialEq + std::fmt::Debug>(&mut self, got: &[T], want: &[T]) {
        assert_eq!(got, want);
        self.0 += got.len();
    }
}

fn compare(kind: &str, file: &str) -> usize {
    let kind: Kind = kind.parse().unwrap();
    let vectors: Value = serde_json::from_str(file).unwrap();
    let mut counter = Counter::default();
    let db = commits(kind, &vectors, &mut counter);
    operations(&db, &vectors, &mut counter);
    proofs(&db, &vectors, &mut counter);
    counter.0
}

/// The log, commit by commit.
fn commits(kind: Kind, vectors: &Value, counter: &mut Counter) -> Db<MemoryJournal> {
    let script = vectors["script"].as_array().unwrap();
    let mut db = Db::open(MemoryJournal::default(), kind).unwrap();
    let mut next = 0;
    for commit in vectors["commits"].as_array().unwrap() {
        if let Some(last) = commit["script_index"].as_u64() {
            let mut batch = Batch::new();
            for step in &script[next..last as usize] {
                match step["op"].as_str().unwrap() {
                    "put" => batch.put(key(&step["key"]), bytes(&step["value"])),
                    "delete" => batch.delete(key(&step["key"])),
                    "append" => batch.append(bytes(&step["value"])),
                    other => panic!("{other} inside a batch"),
                };
            }
            let metadata = Some(&script[last as usize]["metadata"]).filter(|text| !text.is_null());
            counter.same(db.log().size().get(), commit["first_op"].as_u64().unwrap());
            db.apply(&batch, metadata.map(bytes).as_deref()).unwrap();
            next = last as usize + 1;
        }
        counter.same(db.log().size().get(), commit["op_count"].as_u64().unwrap());
        counter.same(db.root(), digest(&commit["root"]));
        counter.same(db.floor().map(Location::get), commit["inactivity_floor"].as_u64());
        if let Some(target) = commit.get("sync_target_encoded") {
            counter.same(db.target().to_vec(), bytes(target));
            counter.same(Target::from_slice(&bytes(target)), Ok(db.target()));
        }
    }
    assert_eq!(next, script.len());
    counter.same(
        db.log().size().get(),
        vectors["final"]["op_count"].as_u64().unwrap(),
    );
    counter.same(db.root(), digest(&vectors["final"]["root"]));
    db
}

fn operations(db: &Db<MemoryJournal>, vectors: &Value, counter: &mut Counter) {
    let rows = vectors["ops"].as_array().unwrap();
    assert_eq!(rows.len() as u64, db.log().size().get());
    let mut newest = BTreeMap::new();
    for row in rows {
        let at = location(row["loc"].as_u64().unwrap());
        let stored = db.log().operation(at).unwrap();
        counter.same(&stored[..], &bytes(&row["hex"]));
        let read = Operation::read(db.kind(), &stored).unwrap();
        counter.same(read.to_vec(db.kind()), stored.to_vec());
        let name = match read {
            Operation::Delete(key) => {
                newest.insert(key, None);
                "delete"
            }
            Operation::Update { key, value, .. } => {
                newest.insert(key, Some(value.to_vec()));
                if db.kind().is_any() { "update" } else { "set" }
            }
            Operation::Append(_) => "append",
            Operation::Commit { .. } if db.kind().is_any() => "commit_floor",
            Operation::Commit { .. } => "commit",
        };
        counter.same(name, row["kind"].as_str().unwrap());
    }
    for (key, value) in newest {
        assert_eq!(db.value(&key).unwrap().as_deref(), value.as_deref());
    }
}

/// Proofs at the final size and at earlier ones, with pinned nodes.
fn proofs(db: &Db<MemoryJournal>, vectors: &Value, counter: &mut Counter) {
    for row in vectors["historical_proofs"].as_array().unwrap() {
        let number = |name: &str| row[name].as_u64().unwrap();
        let (size, start) = (location(number("op_count")), location(number("start")));
        let (proof, operations) = db.log().historical_proof(size, start, number("max_ops")).unwrap();
        let pinned = db.log().pinned_nodes_at(start).unwrap();
        let encoded = bytes(&row["proof"]["encoded"]);
        counter.all(&proof.digests, &digests(&row["proof"]["digests"]));
        counter.same(proof.leaves.get(), row["proof"]["leaves"].as_u64().unwrap());
        counter.same(proof.to_vec(), encoded.clone());
        counter.same(Proof::from_slice(&encoded), Ok(proof.clone()));
        counter.all(
            &operations.iter().map(hex::encode).collect::<Vec<_>>(),
            &texts(&row["ops"]),
        );
        counter.all(&pinned, &digests(&row["pinned_nodes"]["digests"]));
        let positions = row["pinned_nodes"]["positions"].as_array().unwrap();
        let positions: Vec<_> = positions
            .iter()
            .map(|position| position.as_u64().unwrap())
            .collect();
        let peaks: Vec<_> = shape::peaks(start).map(|peak| peak.position().get()).collect();
        counter.all(&peaks, &positions);
        let root = digest(&row["root"]);
        counter.same(db.log().root_at(size).unwrap(), root);
        assert!(proof::verify(&proof, start, &operations, Some(&pinned), &root).is_ok());
        // The same as a proof that stands alone.
        let claim = Claim::of(db, size, start, number("max_ops"), true).unwrap();
        assert_eq!(claim.pinned.as_ref(), Some(&pinned));
        assert_eq!((claim.root, claim.check().is_ok()), (root, true));
    }
}

fn location(n: u64) -> Location {
    Location::new(n).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn key(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn digest(value: &Value) -> Digest {
    Digest(key(value))
}

fn digests(list: &Value) -> Vec<Digest> {
    list.as_array().unwrap().iter().map(digest).collect()
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().unwrap().iter();
    texts.map(|text| text.as_str().unwrap().to_owned()).collect()
}
