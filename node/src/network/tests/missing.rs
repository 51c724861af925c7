//! Who is not connected and may still be.

use super::*;

#[tokio::test]
async fn a_peer_that_closes_is_missing_at_once() {
    let mut listed = stranger();
    listed.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = listed.select_next_some().await {
            break address;
        }
    };
    let listed = tokio::spawn(async move { while listed.next().await.is_some() {} });
    let (_place, node) = node(|config| config.network.peers = vec![address]).await;
    until(&node, "connected", |view| {
        !view.connected.is_empty() && view.problems.is_empty()
    })
    .await;
    listed.abort();
    until(&node, "gone", |view| {
        assert!(
            !view.connected.is_empty() || !view.problems.is_empty(),
            "neither connected nor missing"
        );
        view.connected.is_empty()
    })
    .await;
    node.stop().await;
}

#[tokio::test]
async fn a_peer_that_is_remembered_is_missing_until_it_is_connected() {
    let (_helpers, helper) = node(|_| {}).await;
    let address = helper.addresses()[0].clone();
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::create(&place.path().join("b"), "n", "any-unordered-variable").unwrap();
    let closed = vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()];
    let remembered = [(PeerId::random(), closed), (helper.peer_id(), vec![address])];
    known::AddressFile::of(&folder).save(&remembered).unwrap();
    let source = Arc::new(Nothing::new("n", "any-unordered-variable"));
    let (keypair, hooks) = (folder.keypair().unwrap(), Hooks::new(&folder, source));
    let started = Network::start(keypair, folder.config(), &[], hooks, &mut Registry::default()).await;
    let node = started.unwrap();
    // The one that cannot be reached is dialled on; nobody is listed.
    until(&node, "one connected, and one missing", |view| {
        assert!(view.problems.is_empty());
        let is_ready = view.ready.contains(&helper.peer_id());
        is_ready && view.coming == 1 && !view.is_complete()
    })
    .await;
    node.stop().await;
    helper.stop().await;
}
