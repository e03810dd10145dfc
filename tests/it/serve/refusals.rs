//! What bad requests get: the table of `docs/serve.md`, a row each.

use std::io::{BufReader, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::serve::client::{Answer, TREES, TestServer, ask, read_answer, trained};
use crate::world::World;

const ROW: &str = r#"{"duration": 1.5, "id.orig_p": 80, "proto": "tcp"}"#;

/// Checks a problem: its status, its code, and that its body is whole.
fn is(answer: &Answer, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let body = answer.json();
    assert_eq!(body["code"], code);
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"].as_str(), answer.header("x-request-id"));
    assert_eq!(body["error"], body["detail"]);
    body
}

fn key(world: &World, args: &[&str]) -> String {
    let all = [&["keys", "api"], args].concat();
    world.ok(&all).trim().to_owned()
}

#[test]
fn what_is_malformed_is_refused_and_says_why() {
    let world = trained(TREES);
    let server = TestServer::start(&world, &["--max-body", "2000", "--max-rows", "3"]);
    let score = |body: &str| server.post("/v1/score", body);
    for (body, why) in [
        ("", "EOF while parsing"),
        ("{\"rows\": [", "EOF while parsing"),
        ("{}", "it has no list `rows`"),
        ("[]", "an object with the list `rows`"),
        ("{\"rows\": {}}", "a list of records"),
        ("{\"rows\": [], \"rows\": []}", "`rows` stands twice"),
        ("{\"rows\": [], \"tune\": 1}", "it has a key `tune`"),
        ("{\"rows\": [], \"explain\": -1}", "explain"),
        ("{\"rows\": []} x", "trailing"),
    ] {
        let told = is(&score(body), 400, "malformed");
        let detail = told["detail"].as_str().unwrap();
        assert!(detail.contains(why) || why == "explain", "{body}: {detail}");
    }
    let deep = format!(
        "{{\"rows\": [{{\"service\": {}{}}}]}}",
        "[".repeat(500),
        "]".repeat(500)
    );
    is(&score(&deep), 400, "malformed");
    is(
        &score(&format!("{{\"rows\": [{}]}}", [ROW; 4].join(","))),
        422,
        "too-many-rows",
    );
    assert_eq!(
        score(&format!("{{\"rows\": [{}]}}", [ROW; 3].join(","))).status,
        200
    );
    assert_eq!(
        score("{\"rows\": []}").json()["rows"],
        Value::from(Vec::<Value>::new())
    );
    is(&score(&" ".repeat(2001)), 413, "too-large");
    let table = server.send(
        "POST",
        "/invocations",
        &[("content-type", "text/csv")],
        b"duration;proto\n1;tcp\n",
    );
    let told = is(&table, 422, "unfit-rows");
    assert!(
        told["detail"]
            .as_str()
            .unwrap()
            .ends_with("separated by ';', and have to be by ','"),
        "{told}"
    );
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let told = server.send(
            "POST",
            "/v1/score",
            &[("content-type", kind)],
            b"{\"rows\": []}",
        );
        is(&told, 415, "media-type");
    }
    let packed = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    is(
        &server.send("POST", "/v1/score", &packed, b"x"),
        415,
        "packed",
    );
    is(&server.get("/v1/nothing"), 404, "not-found");
    is(&server.get("/v1/score"), 405, "wrong-method");
    is(
        &server.post("/v1/score?model=other", "{\"rows\": []}"),
        404,
        "no-model",
    );
    is(&server.get("/v2/models/other"), 404, "no-model");
    is(
        &server.get("/v2/models/flows/versions/0123456789"),
        404,
        "no-version",
    );
    let infer = |body: &str| server.post("/v2/models/flows/infer", body);
    is(&infer("{\"inputs\": 1}"), 400, "malformed");
    let short = "{\"inputs\": [{\"name\": \"duration\", \"shape\": [1], \"datatype\": \"FP64\", \"data\": [1]}]}";
    is(&infer(short), 422, "unfit-rows");
    let many = short.replace("[1], \"data", "[9], \"data");
    is(&infer(&many), 422, "too-many-rows");
    let huge = short.replace("[1], \"data", "[18446744073709551615], \"data");
    is(&infer(&huge), 422, "too-many-rows");
    is(&infer(&short.replace("[1]}", "[1, 2]}")), 400, "malformed");
    is(&infer(&short.replace("[1]}", "[\"a\"]}")), 400, "malformed");
    let told = server.post(
        "/invocations",
        "{\"inputs\": {\"duration\": [1, 2], \"proto\": [\"tcp\"]}}",
    );
    is(&told, 400, "malformed");
    is(
        &server.post("/invocations", "{\"dataframe_split\": {}, \"inputs\": []}"),
        400,
        "malformed",
    );
    is(
        &server.post("/invocations", "{\"dataframe_records\": [{}]}"),
        422,
        "unfit-rows",
    );
    // A body whose length is not told is held to the same limit.
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let head = "POST /v1/score HTTP/1.1\r\nhost: netsec\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..3 {
        let _ = stream.write_all(format!("3e8\r\n{}\r\n", " ".repeat(1000)).as_bytes());
    }
    is(&read_answer(&mut BufReader::new(stream)), 413, "too-large");
}

#[test]
fn only_who_has_a_key_is_answered_and_only_about_its_models() {
    let world = trained(TREES);
    let all = key(&world, &["all"]);
    let own = key(&world, &["own", "--model", "flows"]);
    let other = key(&world, &["other", "--model", "other"]);
    let over = key(&world, &["over", "--expires", "0"]);
    let again = world.netsec(&["keys", "api", "all"]);
    assert_eq!(again.code, 2, "{}", again.stderr);
    let odd = world.netsec(&["keys", "api", "odd", "--model", "ref:champion/flows"]);
    assert_eq!(odd.code, 2, "{}", odd.stderr);
    let server = TestServer::start(&world, &["--keys", "serve-keys.json", "--rate", "5"]);
    let score = |headers: &[(&str, &str)]| {
        let body = format!("{{\"rows\": [{ROW}]}}");
        let kind = [("content-type", "application/json")];
        server.send(
            "POST",
            "/v1/score",
            &[&kind, headers].concat(),
            body.as_bytes(),
        )
    };
    let bearer = |key: &str| format!("Bearer {key}");
    // One that differs in its last letter, whichever that is.
    let (rest, last) = other.split_at(other.len() - 1);
    let changed = format!("{rest}{}", if last == "a" { "b" } else { "a" });
    for given in ["", &over, &all[1..], "netsec_", &changed] {
        let told = score(&[("authorization", &bearer(given))]);
        is(&told, 401, "no-key");
        assert_eq!(told.header("www-authenticate"), Some("Bearer"));
    }
    is(&score(&[]), 401, "no-key");
    is(&server.get("/v2/models/flows"), 401, "no-key");
    assert_eq!(server.get("/v2/health/ready").status, 200);
    assert_eq!(score(&[("authorization", &bearer(&all))]).status, 200);
    assert_eq!(score(&[("x-api-key", &own)]).status, 200);
    is(
        &score(&[("authorization", &bearer(&other))]),
        403,
        "not-allowed",
    );
    // Whether there is a model that the key may not ask is not told.
    let headers = [("authorization", bearer(&own))];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    is(
        &server.send("GET", "/v2/models/secret", &headers, b""),
        403,
        "not-allowed",
    );
    let told: Vec<u16> = (0..30).map(|_| score(&headers).status).collect();
    assert!(told.contains(&429), "{told:?}");
    let refused = (0..30)
        .map(|_| score(&headers))
        .find(|told| told.status == 429);
    let refused = refused.unwrap();
    is(&refused, 429, "too-many-requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Keys stand nowhere but with who has them.
    let kept = std::fs::read_to_string(world.root().join("serve-keys.json")).unwrap();
    for key in [&all, &own, &other, &over] {
        assert!(!kept.contains(key.as_str()));
        world.assert_not_in_cache(key.as_bytes());
        let metrics = ask(&server.admin, "GET", "/metrics", &[], b"").text();
        assert!(!metrics.contains(key.as_str()));
    }
}

#[test]
fn more_requests_than_there_is_room_for_are_sent_away() {
    let world = trained(TREES);
    let server = TestServer::start(&world, &["--concurrency", "1", "--timeout", "1000"]);
    // A request whose body does not come holds the only place, some time after it was counted.
    let head = "POST /v1/score HTTP/1.1\r\nhost: netsec\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let body = format!("{{\"rows\": [{ROW}]}}");
    let taken = (0..100).find_map(|_| {
        let mut slow = TcpStream::connect(&server.address).unwrap();
        slow.write_all(head.as_bytes()).unwrap();
        (0..10_000).any(|_| server.metric("netsec_requests_in_flight") >= 1.0);
        let answer = server.post("/v1/score", &body);
        (answer.status != 200).then_some((slow, answer))
    });
    let (slow, busy) = taken.expect("it holds the place");
    is(&busy, 503, "busy");
    assert_eq!(busy.header("retry-after"), Some("1"));
    assert_eq!(server.get("/v2/health/ready").status, 200);
    drop(slow);
    while server.post("/v1/score", &body).status == 503 {}
    assert_eq!(server.post("/v1/score", &body).status, 200);
    // It holds it no longer than its time.
    let server = TestServer::start(&world, &["--concurrency", "1", "--timeout", "0.3"]);
    let mut slow = TcpStream::connect(&server.address).unwrap();
    slow.write_all(head.as_bytes()).unwrap();
    is(&read_answer(&mut BufReader::new(slow)), 504, "timeout");
    while server.post("/v1/score", &body).status == 503 {}
}

#[test]
fn a_public_address_needs_keys() {
    let world = trained(TREES);
    let refused = world.netsec(&["serve", "ref:champion/flows", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("netsec keys api"),
        "{}",
        refused.stderr
    );
    let refused = world.netsec(&[
        "serve",
        "ref:champion/flows",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "0.0.0.0:0",
    ]);
    assert_eq!(refused.code, 2);
    let none = world.netsec(&["serve", "ref:champion/other"]);
    assert_eq!(none.code, 2, "{}", none.stderr);
    let odd = world.netsec(&["serve", "evaluate.decision"]);
    assert_eq!(odd.code, 4, "{}", odd.stderr);
    let twice = world.netsec(&["serve", "ref:champion/flows", "ref:champion/flows"]);
    assert!(
        twice.stderr.contains("two models are called `flows`"),
        "{}",
        twice.stderr
    );
}
