//! Ed25519 over checkpoints, with the keys of libp2p identities: a signer is named by its peer id.

use cordee_protocol::wire::checkpoint::{Checkpoint, Key, Signature, Signed};
use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey, ed25519};
use std::collections::BTreeMap;

/// The multihash code of a peer id that is the key itself, as those of Ed25519 keys are.
const IDENTITY: u64 = 0;

/// The Ed25519 key behind a peer id; `None` for ids of other keys.
pub fn key_of(peer: &PeerId) -> Option<Key> {
    let hash = peer.as_ref();
    if hash.code() != IDENTITY {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(key.try_into_ed25519().ok()?.to_bytes())
}

/// The peer id of a signer; `None` for 32 bytes that are no key.
pub fn peer_of(key: &Key) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(key).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// How a signer is shown: its peer id, or hex for 32 bytes that are no key.
pub fn name_of(key: &Key) -> String {
    peer_of(key).map_or_else(|| hex::encode(key), |peer| peer.to_string())
}

/// Sign `checkpoint` with each of `keys`; `None` if none of them is an Ed25519 key, or they are too many.
pub fn sign<'a>(checkpoint: Checkpoint, keys: impl IntoIterator<Item = &'a Keypair>) -> Option<Signed> {
    let message = checkpoint.message();
    let sign = |pair: &Keypair| {
        let pair = pair.clone().try_into_ed25519().ok()?;
        let signature = Signature::try_from(pair.sign(&message)).ok()?;
        Some((pair.public().to_bytes(), signature))
    };
    let signatures: BTreeMap<_, _> = keys.into_iter().filter_map(sign).collect();
    Signed::new(checkpoint, signatures)
}

/// Whether `signature` is that of `key` over `message`.
pub fn is_signed(key: &Key, message: &[u8], signature: &Signature) -> bool {
    ed25519::PublicKey::try_from_bytes(key).is_ok_and(|key| key.verify(message, signature))
}
