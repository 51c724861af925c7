//! Signed checkpoints from strangers: decoded, and then judged.

use crate::codecs::{location, same_again};
use crate::runner::fuzz;
use cordee_node::signing::{key_of, sign};
use cordee_node::trust::{GATHERED, Policy, Trust};
use cordee_protocol::codec::{Decode, Encode};
use cordee_protocol::wire::checkpoint::{Checkpoint, Signed, Signers};
use cordee_protocol::{Digest, Target};
use libp2p::identity::Keypair;
use std::time::Duration;

const NOW: u64 = 1_800_000_000;

fn pair(n: u8) -> Keypair {
    Keypair::ed25519_from_bytes([n; 32]).expect("any 32 bytes are a secret key")
}

fn body(height: u64, next: bool) -> Checkpoint {
    Checkpoint {
        network: "n".into(),
        kind: "keyless-variable".into(),
        height,
        target: Target::new(Digest([height as u8; 32]), location(0)..location(10 * height))
            .expect("not empty"),
        time: NOW,
        next: next.then(|| signers(1)),
    }
}

fn signers(threshold: usize) -> Signers {
    let keys = (1..=2).filter_map(|n| key_of(&pair(n).public().to_peer_id()));
    Signers::new(threshold, keys.collect()).expect("two keys")
}

/// The trust of a node that has accepted height 5 and has half of height 6.
fn trust() -> Trust {
    let mut trust = Trust::new(Policy {
        network: "n".into(),
        kind: "keyless-variable".into(),
        signers: signers(2),
        max_age: Duration::from_secs(3600),
    });
    trust.on_signed(NOW, &sign(body(5, false), &[pair(1), pair(2)]).expect("signed"));
    trust.on_signed(NOW, &sign(body(6, false), &[pair(1)]).expect("signed"));
    trust
}

#[test]
fn checkpoints() {
    let signed = |height, next, pairs: &[Keypair]| sign(body(height, next), pairs).expect("signed").to_vec();
    let (one, two) = ([pair(1)], [pair(1), pair(2)]);
    let seeds = vec![
        signed(4, false, &two),
        signed(5, true, &two),
        signed(6, false, &[pair(2)]),
        signed(7, false, &one),
        signed(7, true, &two),
        signed(u64::MAX / 100, false, &two),
    ];
    let start = trust();
    fuzz("checkpoint", seeds, |input| {
        let decoding = same_again::<Signed>(input);
        let Ok(signed) = Signed::from_slice(input) else {
            return decoding;
        };
        let mut trust = start.clone();
        let verdict = trust.on_signed(NOW, &signed);
        let newest = trust.newest().expect("a newest one stays").checkpoint().height;
        assert!(newest >= 5 && trust.gathering().len() <= 2 * GATHERED);
        verdict.name().into()
    });
}
