//! Models that are swapped while they are asked, and servers that end while they are.

use std::io::{BufReader, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::serve::client::{TREES, TestServer, ask, digest_of, read_answer, train_other, trained};
use crate::world::World;

const BODY: &str = r#"{"rows": [{"duration": 1.5, "id.orig_p": 80, "proto": "tcp"}]}"#;

/// A workspace with two models, of which the first is the champion; returns their digests.
fn two_models() -> (World, String, String) {
    let world = trained(TREES);
    train_other(&world, "[5]");
    let first = digest_of(&world, "champion/flows");
    let second = digest_of(&world, "champion/other");
    (world, first, second)
}

fn promote(world: &World, digest: &str) {
    world.ok(&[
        "model",
        "promote",
        digest,
        "--to",
        "champion/flows",
        "--by",
        "it",
        "--why",
        "a test",
    ]);
}

#[test]
fn a_moved_ref_swaps_the_model_and_every_answer_names_its_own() {
    let (world, first, second) = two_models();
    let mut server = TestServer::start(&world, &["--watch", "0.02"]);
    let told = server.post("/v1/score", BODY);
    assert_eq!(told.header("x-netsec-model"), Some(first.as_str()));
    let before = told.json()["rows"][0]["probability"].clone();
    promote(&world, &second);
    server.hears("answers now, instead of");
    let told = server.post("/v1/score", BODY);
    assert_eq!(told.header("x-netsec-model"), Some(second.as_str()));
    assert_ne!(told.json()["rows"][0]["probability"], before);
    assert_eq!(
        server.metric("netsec_reloads_total{model=\"flows\",outcome=\"Swapped\"}"),
        1.0
    );
    let version = server.get(&format!("/v2/models/flows/versions/{}", &second[..12]));
    assert_eq!(version.json()["versions"][0], *second);
    // A model whose bytes were changed is refused, and the other goes on.
    let mut server = TestServer::start(&world, &["--watch", "1000"]);
    world.ok(&[
        "model",
        "rollback",
        "champion/flows",
        "--by",
        "it",
        "--why",
        "a test",
    ]);
    let blobs = world.blobs();
    let is_first =
        |path: &&std::path::PathBuf| path.to_str().unwrap().replace('/', "").ends_with(&first);
    world.flip(blobs.iter().find(is_first).unwrap());
    server.signal(Signal::HUP);
    let kept = server.hears("goes on answering");
    assert!(kept.contains(&second[..12]), "{kept}");
    assert_eq!(
        server.post("/v1/score", BODY).header("x-netsec-model"),
        Some(second.as_str())
    );
    let told = ask(&server.admin, "POST", "/admin/reload", &[], b"").json();
    assert_eq!(
        (&told[0]["outcome"], &told[0]["digest"]),
        (&"kept".into(), &second.clone().into())
    );
}

#[test]
fn a_server_that_ends_answers_what_is_in_progress() {
    let world = trained(TREES);
    let mut server = TestServer::start(&world, &["--drain-delay", "0.3"]);
    let mut slow = TcpStream::connect(&server.address).unwrap();
    let (begin, rest) = BODY.split_at(20);
    let head = format!(
        "POST /v1/score HTTP/1.1\r\nhost: netsec\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{begin}",
        BODY.len()
    );
    slow.write_all(head.as_bytes()).unwrap();
    while server.metric("netsec_requests_in_flight") < 1.0 {}
    server.signal(Signal::TERM);
    server.hears("not ready any more");
    let told = ask(&server.address, "GET", "/v2/health/ready", &[], b"");
    assert_eq!(told.status, 503);
    assert_eq!(
        server.post("/v1/score", BODY).status,
        200,
        "it still answers for a while"
    );
    while TcpStream::connect(&server.address).is_ok() {}
    slow.write_all(rest.as_bytes()).unwrap();
    let told = read_answer(&mut BufReader::new(slow));
    assert_eq!(
        (told.status, told.header("connection")),
        (200, Some("close"))
    );
    assert_eq!(server.ended(), 0);
}

#[test]
fn a_server_that_is_asked_twice_to_end_ends_at_once() {
    let world = trained(TREES);
    let mut server = TestServer::start(&world, &["--drain-delay", "1000", "--drain", "1000"]);
    assert_eq!(server.post("/v1/score", BODY).status, 200);
    server.signal(Signal::TERM);
    server.hears("not ready any more");
    server.signal(Signal::INT);
    server.hears("ends at once");
    assert_eq!(server.ended(), 0);
}

#[test]
fn a_stream_whose_answers_nobody_reads_gives_its_place_back() {
    let world = trained(TREES);
    let server = TestServer::start(&world, &["--concurrency", "1", "--timeout", "0.3"]);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let head = "POST /v1/score/stream HTTP/1.1\r\nhost: netsec\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let lines = "{\"duration\": 1.5, \"id.orig_p\": 80, \"proto\": \"tcp\"}\n".repeat(100);
    let chunk = format!("{:x}\r\n{lines}\r\n", lines.len());
    // The server closes the connection, and the system says so sooner or later.
    while stream.write_all(chunk.as_bytes()).is_ok() {}
    while server.post("/v1/score", BODY).status == 503 {}
    assert_eq!(server.post("/v1/score", BODY).status, 200);
}

#[test]
fn an_exported_model_is_served_by_itself() {
    let world = trained(TREES);
    world.ok(&["keys", "new", "-o", "team"]);
    world.ok(&[
        "model",
        "export",
        "ref:champion/flows",
        "-o",
        "flows.netsec-model",
        "--sign",
        "team.pem",
    ]);
    let elsewhere = World::new();
    for file in ["flows.netsec-model", "team.pub.pem"] {
        elsewhere.write(file, std::fs::read(world.root().join(file)).unwrap());
    }
    let unsaid = elsewhere.netsec(&["serve", "--import", "flows.netsec-model"]);
    assert_eq!(unsaid.code, 2, "{}", unsaid.stderr);
    let server = TestServer::of(
        &elsewhere,
        &[
            "--import",
            "flows.netsec-model",
            "--signed-by",
            "team.pub.pem",
        ],
    );
    assert_eq!(server.post("/v1/score", BODY).status, 200);
    assert!(
        !elsewhere.root().join("cache").exists(),
        "nothing is written"
    );
}
