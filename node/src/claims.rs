//! The JSON of proofs: what `cordee db script` and `cordee db prove` print, and `cordee db verify` reads.
//!
//! ```text
//!   {"kind","root","size","start","leaves","digests":[hex,...],"ops":[hex,...],"pinned":[hex,...] or null}
//! ```
//! Reading believes nothing and checks the shape only: [`Claim::check`] decides whether it is true. Numbers are read
//! exactly, up to 2^64-1. Memory: a few times the text.

use cordee_protocol::Digest;
use cordee_protocol::db::Claim;
use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// Why a text is not a proof at all.
#[derive(Debug, thiserror::Error)]
#[error("not one JSON object with kind, root, size, start, leaves, digests, ops and pinned: {0}")]
pub struct Error(#[from] serde_json::Error);

/// A claim as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimJson {
    kind: String,
    root: HexDigest,
    size: u64,
    start: u64,
    leaves: u64,
    digests: Vec<HexDigest>,
    ops: Vec<Hex>,
    #[serde(default)]
    pinned: Option<Vec<HexDigest>>,
}

impl ClaimJson {
    /// Read one object. Fields that are not known are left alone.
    ///
    /// # Errors
    /// [`Error`] for another shape: no JSON, a missing field, no hex, a digest that is not 32 bytes, a number that is
    /// negative, no integer or above 2^64-1.
    pub fn parse(text: &[u8]) -> Result<Claim, Error> {
        let json: Self = serde_json::from_slice(text)?;
        Ok(Claim {
            kind: json.kind,
            root: json.root.0,
            size: json.size,
            start: json.start,
            leaves: json.leaves,
            digests: plain(json.digests),
            operations: json.ops.into_iter().map(|operation| operation.0).collect(),
            pinned: json.pinned.map(plain),
        })
    }
}

impl From<Claim> for ClaimJson {
    fn from(claim: Claim) -> Self {
        let digests = |list: Vec<Digest>| list.into_iter().map(HexDigest).collect();
        Self {
            kind: claim.kind,
            root: HexDigest(claim.root),
            size: claim.size,
            start: claim.start,
            leaves: claim.leaves,
            digests: digests(claim.digests),
            ops: claim.operations.into_iter().map(Hex).collect(),
            pinned: claim.pinned.map(digests),
        }
    }
}

fn plain(digests: Vec<HexDigest>) -> Vec<Digest> {
    digests.into_iter().map(|digest| digest.0).collect()
}

/// Bytes, written in lower-case hex and read in either case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hex::decode(&text);
        bytes
            .map(Self)
            .map_err(|_| D::Error::custom(format_args!("{:?} is not hex", beginning(&text))))
    }
}

/// A digest or key, like [`Hex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HexDigest(pub(crate) Digest);

impl Serialize for HexDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for HexDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digest = Digest::from_hex(&text).map(Self);
        digest.ok_or_else(|| D::Error::custom(format_args!("{:?} is not 64 hex digits", beginning(&text))))
    }
}

/// Enough of a text to find it by.
pub(crate) fn beginning(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shape_is_checked_here() {
        let zeros = "00".repeat(32);
        let text = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut value = serde_json::json!({
                "kind": "any", "root": zeros, "size": 3, "start": 1, "leaves": 3,
                "digests": [zeros], "ops": ["00FF", ""], "pinned": [],
            });
            change(&mut value);
            value.to_string()
        };
        for (case, text, expected) in [
            ("as it is", text(&|_| {}), Ok(())),
            ("an unknown field", text(&|v| v["extra"] = 1.into()), Ok(())),
            (
                "no pinned nodes",
                text(&|v| v["pinned"] = serde_json::Value::Null),
                Ok(()),
            ),
            (
                "the largest number",
                text(&|v| v["size"] = u64::MAX.into()),
                Ok(()),
            ),
            (
                "above it",
                text(&|_| {}).replace("\"size\":3", "\"size\":18446744073709551616"),
                Err("floating point"),
            ),
            (
                "negative",
                text(&|v| v["start"] = (-1).into()),
                Err("integer `-1`"),
            ),
            (
                "a fraction",
                text(&|v| v["leaves"] = 1.5.into()),
                Err("floating point"),
            ),
            (
                "a number as text",
                text(&|v| v["size"] = "3".into()),
                Err("expected u64"),
            ),
            (
                "a short digest",
                text(&|v| v["digests"][0] = "00".into()),
                Err("\"00\" is not 64 hex digits"),
            ),
            (
                "no hex",
                text(&|v| v["ops"][0] = "0g".into()),
                Err("\"0g\" is not hex"),
            ),
            (
                "half a byte",
                text(&|v| v["ops"][0] = "000".into()),
                Err("is not hex"),
            ),
            (
                "a kind that is no text",
                text(&|v| v["kind"] = 3.into()),
                Err("expected a string"),
            ),
            (
                "a missing field",
                text(&|_| {}).replace("leaves", "leafs"),
                Err("missing field `leaves`"),
            ),
            (
                "two objects",
                format!("{0}\n{0}", text(&|_| {})),
                Err("trailing characters"),
            ),
            ("a list", "[]".into(), Err("not one JSON object")),
            ("nothing", String::new(), Err("EOF")),
        ] {
            match (ClaimJson::parse(text.as_bytes()), expected) {
                (Ok(claim), Ok(())) => assert_eq!(claim.operations, [vec![0, 255], vec![]], "{case}"),
                (Err(error), Err(phrase)) => assert!(error.to_string().contains(phrase), "{case}: {error}"),
                (got, expected) => panic!("{case}: {got:?}, expected {expected:?}"),
            }
        }
    }
}
