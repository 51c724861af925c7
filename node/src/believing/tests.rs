use super::*;
use crate::signing::{key_of, sign};
use cordee_protocol::wire::checkpoint::Signers;
use cordee_protocol::{Location, Target};
use libp2p::identity::Keypair;

fn pair(n: u8) -> Keypair {
    Keypair::ed25519_from_bytes([n; 32]).unwrap()
}

fn signed(height: u64, root: u8, signers: &[u8]) -> Signed {
    let end = Location::new(10 * height).unwrap();
    let checkpoint = Checkpoint {
        network: "n".into(),
        kind: "any-unordered-variable".into(),
        height,
        target: Target::new(Digest([root; 32]), Location::ZERO..end).unwrap(),
        time: now(),
        next: None,
    };
    let pairs: Vec<_> = signers.iter().map(|&n| pair(n)).collect();
    sign(checkpoint, &pairs).unwrap()
}

fn open(folder: &Folder) -> Believing {
    let key = |n| key_of(&pair(n).public().to_peer_id()).unwrap();
    let policy = Policy {
        network: "n".into(),
        kind: "any-unordered-variable".into(),
        signers: Signers::new(2, (1..=3).map(key).collect()).unwrap(),
        max_age: Duration::from_secs(3600),
    };
    Believing::open(folder, policy).unwrap()
}

#[test]
fn belief_refusals_and_forks_outlast_the_process_and_are_told() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::create(&place.path().join("a"), "n", "any-unordered-variable").unwrap();
    let peer = PeerId::random();
    let first = open(&folder);
    let mut news = first.news();
    assert_eq!(
        first.on_message(peer, &signed(5, 5, &[1, 2]).to_vec()),
        Passing::On
    );
    assert!(news.has_changed().unwrap());
    news.mark_unchanged();
    assert_eq!(
        first.on_message(peer, &signed(6, 6, &[9]).to_vec()),
        Passing::Dropped
    );
    assert!(!news.has_changed().unwrap());
    let standing = first.standing();
    assert_eq!(standing.refused.unwrap().reason, "unknown_signer");
    assert_eq!(standing.newest.unwrap().height, 5);
    first.save().unwrap();
    let file = CheckpointFile::of(&folder).path();
    let written = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    first.on_message(peer, &signed(5, 5, &[3]).to_vec());
    assert_eq!(first.newest().unwrap().signatures().len(), 3);
    first.save().unwrap();
    assert!(!file.exists(), "a signature more is not worth a write");
    std::fs::write(&file, written).unwrap();

    let second = open(&folder);
    assert_eq!(
        second.newest().unwrap().checkpoint(),
        first.newest().unwrap().checkpoint()
    );
    assert_eq!(second.next_height(), 6);
    let own = signed(6, 6, &[1]);
    let bytes = second.on_signed_here(own.clone()).unwrap();
    assert_eq!(bytes, own.to_vec());

    let third = open(&folder);
    assert_eq!(third.next_height(), 7);
    assert!(!third.may_sign(signed(6, 7, &[1]).checkpoint()));
    assert!(third.may_sign(own.checkpoint()));
    assert!(!third.on_answer(peer, &second.answer()));
    assert_eq!(third.gathering(), [own]);
    assert_eq!(
        third.on_message(peer, &signed(5, 7, &[1, 3]).to_vec()),
        Passing::On,
        "everybody has to know"
    );
    assert!(third.fork().unwrap().contains("a fork: "));

    let fourth = open(&folder);
    assert!(fourth.fork().unwrap().contains("fork-5-accepted.checkpoint"));
    assert_eq!(
        fourth.on_message(peer, &signed(8, 8, &[1, 2]).to_vec()),
        Passing::Dropped
    );
    std::fs::remove_file(folder.path().join("fork-5-accepted.checkpoint")).unwrap();
    std::fs::remove_file(folder.path().join("fork-5-other.checkpoint")).unwrap();
    assert_eq!(open(&folder).fork(), None);
    let mut registry = Registry::default();
    third.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("checkpoints_total{result=\"fork\"} 1"), "{text}");
    assert!(third.on_answer(peer, &[9]), "an answer that is none");
}
