use super::*;
use Reach::{Anywhere, Local, Machine};

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

/// A rule whose operator listed these.
fn told(now: Instant, listed: &[&str]) -> Told {
    let listed: Vec<_> = listed.iter().map(|text| address(text)).collect();
    Told::new(now, &listed)
}

#[test]
fn p23_what_others_tell_is_dialled_no_nearer_than_somebody_is_connected() {
    let now = Instant::now();
    let peer = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X";
    for (text, nearest) in [
        ("/ip4/127.0.0.1/tcp/22", Some(Machine)),
        ("/ip6/::1/udp/22/quic-v1", Some(Machine)),
        ("/ip4/192.168.0.1/tcp/80", Some(Local)),
        ("/ip4/169.254.169.254/tcp/80", Some(Local)),
        ("/ip6/::ffff:10.0.0.1/tcp/80", Some(Local)),
        ("/ip4/203.0.113.5/tcp/1", Some(Anywhere)),
        ("/ip4/0.0.0.0/tcp/1", None),
        ("/memory/7", None),
    ] {
        for from in [Machine, Local, Anywhere] {
            for suffix in [String::new(), format!("/p2p/{peer}")] {
                let mut told = told(now, &[]);
                told.set_nearest(from);
                let seen = told.on_dial(now, &address(&format!("{text}{suffix}")));
                let expected = match nearest {
                    None => Err(Refused::Nowhere),
                    Some(nearest) if nearest < from => Err(Refused::Near),
                    Some(_) => Ok(Dial::Told),
                };
                assert_eq!(seen, expected, "{text} from {from:?}");
            }
        }
    }
}

#[test]
fn what_the_operator_listed_is_always_dialled_and_where_its_names_lead() {
    let now = Instant::now();
    let listed = [
        "/ip4/10.0.0.1/tcp/1",
        "/dns4/node.example/tcp/2",
        "/dnsaddr/all.example",
    ];
    let mut told = told(now, &listed);
    for _ in 0..1000 {
        for text in listed {
            assert_eq!(told.on_name(now, &address(text)), Ok(()));
        }
        assert_eq!(told.on_dial(now, &address(listed[0])), Ok(Dial::Listed));
        assert_eq!(
            told.on_dial(now, &address("/ip4/10.9.9.9/tcp/2")),
            Ok(Dial::Listed)
        );
    }
    for (text, expected) in [
        ("/ip4/10.0.0.1/tcp/2/ws", Err(Refused::Near)),
        ("/ip4/10.0.0.1/tcp/3", Err(Refused::Near)),
        ("/ip4/10.0.0.2/tcp/1", Err(Refused::Near)),
        ("/ip4/10.0.0.1/udp/2/quic-v1", Err(Refused::Near)),
    ] {
        assert_eq!(told.on_dial(now, &address(text)), expected, "{text}");
    }
}

#[test]
fn names_that_others_tell_are_looked_up_at_a_rate_and_never_many_for_one() {
    let now = Instant::now();
    let mut told = told(now, &[]);
    assert_eq!(told.on_name(now, &address("/ip4/203.0.113.1/tcp/1")), Ok(()));
    assert_eq!(
        told.on_name(now, &address("/dnsaddr/victim.example")),
        Err(Refused::Nowhere)
    );
    for _ in 0..BURST {
        assert_eq!(told.on_name(now, &address("/dns4/victim.example/tcp/1")), Ok(()));
    }
    let refused = told.on_name(now, &address("/dns6/other.example/tcp/1"));
    assert_eq!(refused, Err(Refused::Rate));
    assert_eq!(
        told.on_name(now + EACH, &address("/dns/other.example/tcp/1")),
        Ok(())
    );
}

#[test]
fn what_was_vetted_is_dialled_soon_though_it_is_near() {
    let now = Instant::now();
    let mut told = told(now, &[]);
    let near = address("/ip4/127.0.0.1/tcp/1");
    told.vet(now, std::slice::from_ref(&near));
    assert_eq!(told.on_dial(now, &near), Ok(Dial::Told));
    assert_eq!(
        told.on_dial(now, &address("/ip4/127.0.0.1/tcp/2")),
        Err(Refused::Near)
    );
    assert_eq!(told.on_dial(now + VETTED_FOR, &near), Err(Refused::Near));
    for port in 1..9999 {
        told.vet(now, &[address(&format!("/ip4/127.0.0.1/tcp/{port}"))]);
    }
    assert_eq!(told.vetted.len(), VETTED);
    told.vet(now + VETTED_FOR, &[]);
    assert_eq!(told.vetted.len(), 0);
}

#[test]
fn nobody_is_dialled_more_often_than_the_rate_of_one_host_allows() {
    let start = Instant::now();
    for (case, one, other, spared) in [
        (
            "ports of one host",
            "/ip4/203.0.113.1/tcp/",
            "/ip4/198.51.100.1/tcp/",
            true,
        ),
        (
            "neighbours",
            "/ip4/203.0.113.1/tcp/",
            "/ip4/203.0.113.99/tcp/",
            false,
        ),
        (
            "of a /64",
            "/ip6/2001:db8::1/tcp/",
            "/ip6/2001:db8::2/tcp/",
            false,
        ),
    ] {
        let mut told = told(start, &[]);
        let mut begun = 0;
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            for port in 1..20 {
                if told.on_dial(now, &address(&format!("{one}{port}"))).is_ok() {
                    begun += 1;
                    told.on_end();
                }
            }
        }
        assert_eq!(begun, HOST_BURST + 9, "{case}");
        let now = start + Duration::from_secs(99);
        let seen = told.on_dial(now, &address(&format!("{other}1"))).is_ok();
        assert_eq!(seen, spared, "{case}");
    }
    // Nodes of one machine are many hosts.
    let mut told = told(start, &[]);
    told.set_nearest(Machine);
    for port in 1..=40 {
        let dial = told.on_dial(start, &address(&format!("/ip4/127.0.0.1/tcp/{port}")));
        assert_eq!(dial, Ok(Dial::Told));
    }
}

#[test]
fn a_stranger_that_tells_of_everybody_causes_no_storm() {
    let start = Instant::now();
    let victim = |n: u64| {
        address(&format!(
            "/ip4/{}.{}.{}.1/tcp/1",
            1 + n / 65536 % 9,
            n / 256 % 256,
            n % 256
        ))
    };
    let (mut told, mut victims) = (told(start, &["/ip4/10.0.0.1/tcp/1"]), 0..);
    let mut dial = |told: &mut Told, now| told.on_dial(now, &victim(victims.next().unwrap_or(0)));
    // None of them answers.
    let begun = (0..1000).filter(|_| dial(&mut told, start).is_ok()).count();
    assert_eq!(begun, OPEN, "so many are open at once");
    assert_eq!(
        told.on_dial(start, &address("/ip4/10.0.0.1/tcp/1")),
        Ok(Dial::Listed)
    );
    for _ in 0..begun {
        told.on_end();
    }
    // All of them answer at once.
    let mut begun = begun as u64;
    for step in 0..6000 {
        let now = start + Duration::from_millis(100 * step);
        for _ in 0..20 {
            if dial(&mut told, now).is_ok() {
                begun += 1;
                told.on_end();
            }
        }
        assert!(told.hosts.len() <= (BURST + 160 * 3 + 1) as usize);
    }
    let most = u64::from(BURST) + 600_000 / EACH.as_millis() as u64 + 1;
    assert!(begun <= most, "{begun} of {most} in ten minutes");
    assert!(begun + 2 >= most, "{begun} of {most} in ten minutes");
}
