//! Every lie, one after the other: the joiner ends with the right root, bans whom it caught, and remembers it.

use cordee_integration::net::{Net, Result, join, publish};
use cordee_node::lies::LIES;
use cordee_node::node::Node;
use cordee_node::reputation::PeersFile;
use cordee_resolver_p2p::Reputation;
use cordee_resolver_p2p::policy::Offence;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_lie_the_root_is_right_and_only_the_liar_is_banned() -> Result<()> {
    let net = Net::new(64)?;
    let published = net.folder("publisher", "tcp/0")?;
    let target = publish(&published, 3000)?;
    let publisher = Node::start(&published, None).await?;
    let copied = net.folder("liar", "tcp/0")?;
    join(&copied, &target, &[&publisher]).await?;
    for lie in LIES {
        let liar = Node::start(&copied, Some(lie.name)).await?;
        let joiner = net.folder(lie.name, "tcp/0")?;
        let outcome = join(&joiner, &target, &[&publisher, &liar]).await?;
        assert_eq!(outcome.database.target(), target, "{}", lie.name);

        let report = |node: &Node| {
            let name = node.peer_id().to_string();
            outcome.peers.iter().find(|peer| peer.peer_id == name)
        };
        let honest = report(&publisher).expect("the publisher is the only one to have the boundary's truth");
        assert!(!honest.banned && honest.refused == 0, "{}: {honest:?}", lie.name);
        let caught = report(&liar).is_some_and(|liar| liar.refused > 0);
        let banned = report(&liar).is_some_and(|liar| liar.banned);
        assert_eq!(caught, banned, "{}: {:?}", lie.name, report(&liar));
        // Nobody asks a liar for its pinned nodes if the publisher is asked for the boundary.
        let expected = lie
            .provable
            .then_some(true)
            .filter(|_| lie.name != "wrong-pinned");
        let expected = expected.or((!lie.provable).then_some(false));
        assert!(
            expected.is_none_or(|expected| caught == expected),
            "{}: {:?}",
            lie.name,
            report(&liar)
        );
        // P22: the next process of this node knows.
        let records = PeersFile::of(&joiner).load();
        let remembered = records.iter().find(|record| record.peer == liar.peer_id());
        let ban = remembered.and_then(|record| record.standing.ban);
        assert_eq!(
            ban.map(|ban| ban.reason),
            banned.then_some(Offence::Lie),
            "{}",
            lie.name
        );
        liar.stop().await;
    }
    publisher.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_goes_from_copy_to_copy_over_tcp_and_quic() -> Result<()> {
    let net = Net::new(1024)?;
    let published = net.folder("publisher", "udp/0/quic-v1")?;
    let target = publish(&published, 3000)?;
    let publisher = Node::start(&published, None).await?;
    let copied = net.folder("copy", "tcp/0")?;
    join(&copied, &target, &[&publisher]).await?;
    publisher.stop().await;

    // The publisher is gone; its copy begins at the floor, and serves whoever starts there.
    let copy = Node::start(&copied, None).await?;
    let outcome = join(&net.folder("copy of the copy", "tcp/0")?, &target, &[&copy]).await?;
    assert_eq!(outcome.database.target(), target);
    copy.stop().await;
    Ok(())
}
