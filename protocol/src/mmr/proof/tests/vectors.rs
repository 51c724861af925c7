//! The vectors of the reference implementation, and F5.

use super::format::{NODES_OF_11, PROOFS_AT_11, ROOTS};
use super::*;

/// Counts what is compared, so that a vector file which lost its content does not pass.
#[derive(Default)]
struct Compared {
    numbers: usize,
    hexes: usize,
}

impl Compared {
    fn number(&mut self, ours: u64, theirs: &Value) {
        assert_eq!(Some(ours), theirs.as_u64());
        self.numbers += 1;
    }

    fn hex(&mut self, ours: impl AsRef<[u8]>, theirs: &Value) {
        assert_eq!(hex::encode(ours), theirs.as_str().unwrap());
        self.hexes += 1;
    }

    fn digests(&mut self, ours: &[Digest], theirs: &Value) {
        let theirs = list(theirs);
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            self.hex(ours, theirs);
        }
    }

    fn positions(&mut self, size: u64, theirs: &Value) {
        let theirs = list(theirs);
        assert_eq!(peak_count(at(size)), theirs.len());
        for (peak, theirs) in peaks(at(size)).zip(theirs) {
            self.number(peak.position().get(), theirs);
        }
    }

    /// Everything of one entry that holds a proof. `pinned`: the digests at its start.
    fn proof(&mut self, nodes: &MemoryNodes, elements: &[Vec<u8>], entry: &Value, pinned: &Value) {
        let [n, a, b] = ["leaves", "start", "end"].map(|key| number(entry, key));
        let proof = prove(nodes, at(n), at(a)..at(b)).unwrap();
        self.digests(&proof.digests, &entry["digests"]);
        self.hex(proof.to_vec(), &entry["encoded"]);
        self.hex(root_at(nodes, n), &entry["root"]);
        let encoded = hex::decode(entry["encoded"].as_str().unwrap()).unwrap();
        assert_eq!(Proof::from_slice(&encoded), Ok(proof.clone()));
        let Ok(Some(peaks)) = peaks_at(nodes, at(a)) else {
            panic!("every node is held");
        };
        self.digests(&peaks, pinned);
        let root = digest(entry["root"].as_str().unwrap());
        let elements = &elements[a as usize..b as usize];
        assert_eq!(
            verify(&proof, at(a), elements, Some(&peaks), &root).as_deref(),
            Ok(&nodes.0[at(a).position().get() as usize..at(b).position().get() as usize])
        );
    }
}

fn number(entry: &Value, key: &str) -> u64 {
    entry[key].as_u64().unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    let list = value.as_array();
    list.unwrap_or_else(|| panic!("no list: {value}"))
}

/// How many texts there are at any depth.
fn texts(value: &Value) -> usize {
    match value {
        Value::String(_) => 1,
        Value::Array(list) => list.iter().map(texts).sum(),
        Value::Object(map) => map.values().map(texts).sum(),
        _ => 0,
    }
}

#[test]
fn every_value_of_the_vectors_is_ours() {
    // F1.3 to F1.6, F1.8, F1.9, F2.6: roots, peaks, proofs and encodings of the reference.
    let file: Value = serde_json::from_str(include_str!("../../../../tests/vectors/mmr.json")).unwrap();
    let sections = ["roots", "nodes_of_11", "proofs", "pinned", "historical"];
    assert!(sections.iter().all(|section| !list(&file[*section]).is_empty()));
    let elements: Vec<_> = (0..1000u64)
        .map(|i| Digest::of(&[&i.to_be_bytes()]).0.to_vec())
        .collect();
    let (_, nodes) = grow(&elements);
    let mut compared = Compared::default();

    for entry in list(&file["roots"]) {
        let n = number(entry, "leaves");
        let (frontier, nodes) = grow(&elements[..n as usize]);
        compared.number(nodes.0.len() as u64, &entry["nodes"]);
        compared.hex(frontier.root(), &entry["root"]);
        assert_eq!(list(&entry["peaks"]).len(), frontier.peaks().len());
        for ((peak, digest), entry) in peaks(at(n)).zip(frontier.peaks()).zip(list(&entry["peaks"])) {
            compared.number(peak.position().get(), &entry["position"]);
            compared.number(peak.height.into(), &entry["height"]);
            compared.hex(digest, &entry["digest"]);
        }
    }
    compared.digests(&grow(&elements[..11]).1.0, &file["nodes_of_11"]);
    for entry in list(&file["pinned"]) {
        let boundary = number(entry, "boundary");
        let Ok(peaks) = peaks_at(&nodes, at(boundary));
        compared.digests(&peaks.unwrap(), &entry["digests"]);
        compared.positions(boundary, &entry["positions"]);
    }
    for entry in list(&file["proofs"]) {
        let (_, nodes) = grow(&elements[..number(entry, "leaves") as usize]);
        let pinned = &entry["pinned_at_start"];
        compared.proof(&nodes, &elements, entry, &pinned["digests"]);
        compared.positions(number(entry, "start"), &pinned["positions"]);
    }
    for entry in list(&file["historical"]) {
        let (_, nodes) = grow(&elements[..number(entry, "leaves_now") as usize]);
        compared.proof(&nodes, &elements, entry, &entry["pinned_at_start"]);
    }

    let there = sections
        .iter()
        .map(|section| texts(&file[*section]))
        .sum::<usize>();
    assert_eq!(compared.hexes, there, "a value was passed over");
    // To the stream itself, so that it is seen where the test runner keeps what tests print to itself.
    let _ = writeln!(
        std::io::stderr(),
        "mmr.json: compared {} digests, roots and encodings and {} numbers; verified {} proofs",
        compared.hexes,
        compared.numbers,
        list(&file["proofs"]).len() + list(&file["historical"]).len()
    );
}

#[test]
fn roots_nodes_and_proofs_are_those_of_the_format() {
    // F1.3, F1.5, F2.6, F5
    let elements: Vec<_> = (0..1000u64).map(|i| i.to_be_bytes().to_vec()).collect();
    for (leaves, count, root) in ROOTS {
        let (frontier, nodes) = grow(&elements[..leaves]);
        assert_eq!(frontier.root(), digest(root), "{leaves} leaves");
        assert_eq!(nodes.0.len(), count, "{leaves} leaves");
    }
    let (frontier, nodes) = grow(&elements[..11]);
    assert_eq!(nodes.0, NODES_OF_11.map(digest));
    for (a, b, encoded) in PROOFS_AT_11 {
        let proof = prove(&nodes, at(11), at(a)..at(b)).unwrap();
        assert_eq!(hex::encode(proof.to_vec()), encoded, "{a}..{b}");
        let decoded = Proof::from_slice(&hex::decode(encoded).unwrap()).unwrap();
        let elements = &elements[a as usize..b as usize];
        assert!(verify(&decoded, at(a), elements, None, &frontier.root()).is_ok());
    }
}
