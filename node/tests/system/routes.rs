//! Bad input for every route: the status, the message, and that nothing was written; and what the database's routes answer.

use crate::bad_inputs::written;
use crate::nodes::{Node, Serving, cordee, json, stderr};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A request as it is; the status and the body.
fn request(
    serving: &Serving,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .allow_non_standard_methods(true)
        .build()
        .into();
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", serving.http()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = agent.run(request.body(body.to_owned()).unwrap()).unwrap();
    let status = answer.status().as_u16();
    (status, answer.body_mut().read_json().unwrap_or_default())
}

#[test]
fn every_route_says_what_is_wrong_and_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (node, _) = Node::publisher(place.path(), "publisher", 30);
    let serving = node.serve(&[]);
    let key = "ab".repeat(32);
    let id = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
    let (ban, pardon) = (format!("/v1/peers/{id}/ban"), format!("/v1/peers/{id}/pardon"));
    let browser: &[(&str, &str)] = &[("Origin", "http://evil.example")];
    let at = |query: &str| format!("/v1/ops{query}");
    let kv = |query: &str| format!("/v1/kv/{key}{query}");
    // method, path, headers, body; status, code
    type Row<'a> = (&'a str, String, &'a [(&'a str, &'a str)], &'a str, u16, &'a str);
    let rows: Vec<Row<'_>> = vec![
        ("GET", "/nothing".into(), &[], "", 404, "not_found"),
        ("GET", "/v1".into(), &[], "", 404, "not_found"),
        ("GET", "/v1/kv/".into(), &[], "", 404, "not_found"),
        ("GET", "/../cordee.toml".into(), &[], "", 404, "not_found"),
        ("POST", "/".into(), &[], "", 405, "method_not_allowed"),
        ("POST", "/metrics".into(), &[], "", 405, "method_not_allowed"),
        ("DELETE", "/v1/status".into(), &[], "", 405, "method_not_allowed"),
        ("PUT", "/v1/peers".into(), &[], "", 405, "method_not_allowed"),
        ("POST", "/v1/events".into(), &[], "", 405, "method_not_allowed"),
        ("POST", kv(""), &[], "", 405, "method_not_allowed"),
        ("POST", at("?start=0"), &[], "", 405, "method_not_allowed"),
        ("GET", ban.clone(), &[], "", 405, "method_not_allowed"),
        ("GET", "/v1/batch".into(), &[], "", 405, "method_not_allowed"),
        ("GET", "/v1/checkpoint".into(), &[], "", 404, "no_policy"),
        ("GET", "/v1/kv/ab".into(), &[], "", 400, "bad_key"),
        (
            "GET",
            format!("/v1/kv/{}", "g".repeat(64)),
            &[],
            "",
            400,
            "bad_key",
        ),
        ("GET", kv("?prove=perhaps"), &[], "", 400, "bad_query"),
        ("GET", kv("?proof=true"), &[], "", 400, "bad_query"),
        ("GET", kv(""), &[], "", 404, "no_value"),
        ("GET", kv("?prove=true"), &[], "", 404, "no_value"),
        ("GET", at(""), &[], "", 400, "bad_query"),
        ("GET", at("?start=x"), &[], "", 400, "bad_query"),
        ("GET", at("?start=-1"), &[], "", 400, "bad_query"),
        (
            "GET",
            at("?start=18446744073709551616"),
            &[],
            "",
            400,
            "bad_query",
        ),
        ("GET", at("?start=18446744073709551615"), &[], "", 404, "not_held"),
        ("GET", at("?start=0&max=0"), &[], "", 400, "bad_query"),
        ("GET", at("?start=0&max=1001"), &[], "", 400, "bad_query"),
        ("GET", at("?start=0&more=1"), &[], "", 400, "bad_query"),
        ("GET", at("?start=99999"), &[], "", 404, "not_held"),
        ("POST", "/v1/peers/alice/ban".into(), &[], "", 400, "bad_peer_id"),
        (
            "POST",
            "/v1/peers/alice/pardon".into(),
            &[],
            "",
            400,
            "bad_peer_id",
        ),
        ("POST", pardon.clone(), &[], "", 404, "unknown_peer"),
        ("POST", ban.clone(), browser, "", 403, "forbidden"),
        ("POST", pardon, browser, "", 403, "forbidden"),
        ("POST", "/v1/batch".into(), browser, "{}", 403, "forbidden"),
        ("POST", "/v1/batch".into(), &[], "", 400, "bad_batch"),
        ("POST", "/v1/batch".into(), &[], "[]", 400, "bad_batch"),
        ("POST", "/v1/batch".into(), &[], "{\"push\":[]}", 400, "bad_batch"),
        (
            "POST",
            "/v1/batch".into(),
            &[],
            "{\"put\":[[\"ab\",\"\"]]}",
            400,
            "bad_batch",
        ),
        (
            "POST",
            "/v1/batch".into(),
            &[],
            "{\"append\":[\"00\"]}",
            400,
            "bad_batch",
        ),
        ("POST", "/v1/batch".into(), &[], "{}\n{}", 400, "bad_batch"),
    ];
    let status = |serving: &Serving| request(serving, "GET", "/v1/status", &[], "").1["target"].clone();
    let (target, before) = (status(&serving), written(node.path()));
    let mut wrong = Vec::new();
    for (method, path, headers, body, expected, code) in &rows {
        let (is, answer) = request(&serving, method, path, headers, body);
        let error = &answer["error"];
        let said = error["message"].as_str().unwrap_or_default();
        if is != *expected || error["code"] != *code || said.is_empty() {
            wrong.push(format!(
                "{method} {path} {headers:?}: {is} {answer}, expected {expected} {code}"
            ));
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "\n{}", wrong.join("\n"));
    // One byte more than is taken: refused when it has come, so that no server closes while this one still sends.
    let mut stream = TcpStream::connect(serving.http()).unwrap();
    let length = (8 << 20) + 1;
    write!(
        stream,
        "POST /v1/batch HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(&vec![b' '; length]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("too_large"),
        "{answer}"
    );
    assert_eq!(status(&serving), target);
    assert_eq!(written(node.path()), before);
    drop(serving);

    std::fs::write(node.path().join("token"), "0123456789abcdef\n").unwrap();
    let serving = node.serve(&[("CORDEE_HTTP__TOKEN_FILE", "token")]);
    for headers in [
        &[][..],
        &[("Authorization", "Bearer 0123456789abcdeX")],
        &[("Authorization", "0123456789abcdef")],
    ] {
        for path in [&ban, "/v1/batch"] {
            let (is, answer) = request(&serving, "POST", path, headers, "{}");
            assert_eq!(
                (is, &answer["error"]["code"]),
                (401, &"unauthorized".into()),
                "{headers:?}"
            );
        }
    }
}

#[test]
fn what_is_held_can_be_read_with_its_proof() {
    let place = tempfile::tempdir().unwrap();
    let (node, _) = Node::publisher(place.path(), "publisher", 30);
    let serving = node.serve(&[]);
    let key = "cd".repeat(32);
    let (is, state) = request(
        &serving,
        "POST",
        "/v1/batch",
        &[],
        &format!("{{\"put\":[[\"{key}\",\"6869\"]]}}"),
    );
    assert_eq!(is, 200, "{state}");
    let (is, value) = request(&serving, "GET", &format!("/v1/kv/{key}?prove=true"), &[], "");
    assert_eq!(
        (is, &value["value"], &value["text"], &value["root"]),
        (200, &"6869".into(), &"hi".into(), &state["root"])
    );
    // The proof is the file of `cordee get --prove`.
    let file = place.path().join("proof.json");
    fs::write(&file, value["proof"].to_string()).unwrap();
    let root = state["root"].as_str().unwrap();
    let output = cordee(&[
        "proof",
        "verify",
        file.to_str().unwrap(),
        "--root",
        root,
        "--json",
    ])
    .output()
    .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(json(&output)["value"], "6869");
    let (is, without) = request(&serving, "GET", &format!("/v1/kv/{key}"), &[], "");
    assert!(is == 200 && without["proof"].is_null() && without["location"] == value["location"]);
    let at = &value["location"];
    let (is, operations) = request(&serving, "GET", &format!("/v1/ops?start={at}&max=2"), &[], "");
    assert_eq!(is, 200, "{operations}");
    let ops = operations["ops"].as_array().unwrap();
    assert!(
        !ops.is_empty() && ops[0].as_str().unwrap().contains(&key),
        "{operations}"
    );
}
