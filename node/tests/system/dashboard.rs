//! The page of a node in a real browser, while a sync runs among liars; and the bound on who listens.

use crate::browser::Page;
use crate::nodes::{Node, cordee, free_address, stderr};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[cfg(feature = "lies")]
#[test]
fn the_page_follows_a_sync_and_shows_the_liar_with_its_reason() {
    let Some(mut page) = Page::open() else { return };
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", 60_000);
    let (other, same) = Node::publisher(place.path(), "liar", 60_000);
    assert_eq!(target, same);
    // So slow, and in such small steps, that the sync goes on for longer than a browser on a loaded machine takes to look.
    let slow = [
        ("CORDEE_SERVE__BYTES_PER_SECOND", "100000"),
        ("CORDEE_SERVE__BURST_BYTES", "0"),
    ];
    let honest = publisher.serve(&slow);
    let liar = other.serve_lying("flipped-operation");
    let copy = Node::new(place.path(), "copy");
    let http = free_address().to_string();
    let mut sync = copy.sync(&target, &[honest.address("tcp"), liar.address("tcp")]);
    let mut sync = sync
        .args(["--http", &http])
        .env("CORDEE_SYNC__BATCH_OPERATIONS", "256")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while TcpStream::connect(&http).is_err() {
        assert!(began.elapsed() < Duration::from_secs(30), "it does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }

    page.look(1280, 1000, "light");
    page.go(&format!("http://{http}/"));
    page.until("document.getElementById('live')?.textContent === 'live'");
    assert_eq!(page.text("state"), "syncing");
    assert!(!page.text("why").is_empty());
    // It goes on by itself: no reload between these two.
    page.until("document.getElementById('progress').value > 0.1");
    let before = page
        .eval("document.getElementById('progress').value")
        .as_f64()
        .unwrap();
    page.until(&format!("document.getElementById('progress').value > {before}"));
    page.until("document.getElementById('line').getAttribute('d').split('L').length > 3");
    page.until("document.querySelectorAll('#map rect').length > 1");
    page.until("document.querySelectorAll('#requests tr').length > 0");
    page.picture("early");
    // The liar, banned, with the reason.
    page.until(
        "[...document.querySelectorAll('#peer-rows tr')].some(row => row.innerText.includes('banned'))",
    );
    let rows =
        page.eval("[...document.querySelectorAll('#peer-rows tr')].map(row => row.innerText).join('\\n')");
    let rows = rows.as_str().unwrap().to_owned();
    assert!(
        rows.contains("more: lie; it gave an answer that fails verification"),
        "{rows}"
    );
    let banned = "[...document.querySelectorAll('#peer-rows .badge.banned')]\
                  .map(badge => badge.closest('tr').querySelector('code').title)";
    assert_eq!(page.eval(banned), json!([liar.peer_id()]), "{rows}");
    page.picture("light");

    page.look(1280, 1000, "dark");
    let dark = page.eval("getComputedStyle(document.body).backgroundColor");
    assert_eq!(dark, "rgb(17, 22, 28)");
    page.picture("dark");
    page.look(375, 1800, "light");
    assert_eq!(
        page.eval("document.documentElement.scrollWidth <= 375"),
        true,
        "it fits a phone"
    );
    page.picture("phone");

    // The keyboard comes to the way past the header first, and to everything that can be worked.
    let key = |kind: &str| json!({ "type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9 });
    page.ask("Input.dispatchKeyEvent", key("keyDown"));
    page.ask("Input.dispatchKeyEvent", key("keyUp"));
    assert_eq!(
        page.eval("document.activeElement.textContent"),
        "Skip to the node's state"
    );
    // What a screen reader is given: names for what has no text.
    let tree = page.ask("Accessibility.getFullAXTree", json!({}));
    let named = |role: &str| {
        let nodes = tree["nodes"].as_array().unwrap().iter();
        let names = nodes
            .filter(|node| node["role"]["value"] == role)
            .map(|node| node["name"]["value"].clone());
        names
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(named("progressbar"), ["Operations held of the target"]);
    let images = named("image");
    assert!(
        images.len() == 2 && images.iter().all(|name| name.contains(' ')),
        "{images:?}"
    );
    assert_eq!(
        page.errors,
        Vec::<String>::new(),
        "exceptions, or what the content policy refused"
    );

    sync.kill().unwrap();
    sync.wait().unwrap();
    page.until("document.getElementById('live').textContent.startsWith('no word from the node')");
}

#[test]
fn a_page_of_a_node_at_rest_is_right_too() {
    let Some(mut page) = Page::open() else { return };
    let place = tempfile::tempdir().unwrap();
    let (publisher, _) = Node::publisher(place.path(), "publisher", 300);
    let id = publisher
        .folder()
        .keypair()
        .unwrap()
        .public()
        .to_peer_id()
        .to_string();
    let serving = publisher.serve(&[
        ("CORDEE_TRUST__SIGNERS", &id),
        ("CORDEE_CHECKPOINT__PUBLISH", "true"),
    ]);
    page.look(1280, 900, "light");
    page.go(&format!("http://{}/", serving.http()));
    page.until("document.getElementById('state')?.textContent === 'following'");
    page.until("document.getElementById('checkpoints').innerText.includes('height 1')");
    assert!(page.text("checkpoints").contains(&id));
    assert_eq!(page.text("percent"), "100.0 %");
    page.picture("rest");
    assert_eq!(page.errors, Vec::<String>::new());
}

fn listen(http: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(http).unwrap();
    write!(stream, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    (stream, String::from_utf8_lossy(&head).into_owned())
}

#[test]
fn sixteen_listen_and_the_next_is_told_so() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, _) = Node::publisher(place.path(), "publisher", 300);
    let serving = publisher.serve(&[]);
    let mut held: Vec<_> = (0..16).map(|_| listen(serving.http())).collect();
    assert!(held.iter().all(|(_, head)| head == "HTTP/1.1 200"));
    assert_eq!(listen(serving.http()).1, "HTTP/1.1 503");
    // Other questions are answered, and who goes makes room.
    let output = cordee(&["status", "--http", serving.http()]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    drop(held.pop());
    let began = Instant::now();
    while listen(serving.http()).1 != "HTTP/1.1 200" {
        assert!(began.elapsed() < Duration::from_secs(30), "no room was made");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_range_that_waits_for_a_peer_is_not_called_asked() {
    let Some(mut page) = Page::open() else { return };
    let place = tempfile::tempdir().unwrap();
    let (publisher, _) = Node::publisher(place.path(), "publisher", 300);
    let serving = publisher.serve(&[]);
    page.go(&format!("http://{}/", serving.http()));
    page.until("document.getElementById('live')?.textContent === 'live'");
    // Who is asked for each range.
    for (open, expected) in [
        (vec![vec!["a"]], "1 range asked of 1 peer"),
        (vec![vec![]], "1 range waits for a peer"),
        (vec![vec![], vec![]], "2 ranges wait for a peer"),
        (vec![vec!["a", "b"], vec!["a"]], "2 ranges asked of 2 peers"),
        (
            vec![vec!["a"], vec![]],
            "1 range asked of 1 peer; 1 waits for a peer",
        ),
        (
            vec![vec!["a"], vec![], vec!["b"], vec![]],
            "2 ranges asked of 2 peers; 2 wait for a peer",
        ),
    ] {
        let open: Vec<_> = open.into_iter().map(|peers| json!({ "peers": peers })).collect();
        assert_eq!(page.eval(&format!("asked({})", json!(open))), json!(expected));
    }
}
