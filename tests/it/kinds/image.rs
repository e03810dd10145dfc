//! Container images: the same bytes for the same inputs, and of nothing that needs something beside it.

use netsec::image::layer::sha256;
use serde_json::Value;

use crate::serve::client::{TREES, trained};

/// The head of a program of 64 bits without a loader, and then whatever it does.
fn static_program() -> Vec<u8> {
    let mut program = b"\x7fELF\x02\x01\x01".to_vec();
    program.resize(64, 0);
    program[32] = 64;
    program[54] = 56;
    // It has no parts: nothing names a loader.
    program.extend(b"what it does");
    program
}

#[test]
fn an_image_is_a_stage_and_a_command_and_the_same_bytes() {
    let world = trained(TREES);
    world.write("program", static_program());
    world.write(
        "image.yaml",
        "stages:
  image: { kind: image, inputs: { champion: 'ref:champion/flows', program: program }, with: { name: flows } }
",
    );
    world.ok(&["run", "image.yaml"]);
    world.ok(&["cat", "image.image", "-o", "first"]);
    world.ok(&["run", "image.yaml", "--force"]);
    world.ok(&["cat", "image.image", "-o", "second"]);
    let files = |folder: &str| {
        let walked = netsec::base::disk::walk(&world.root().join(folder)).unwrap();
        let read =
            |(name, path): (String, std::path::PathBuf)| (name, std::fs::read(path).unwrap());
        walked.into_iter().map(read).collect::<Vec<_>>()
    };
    assert_eq!(files("first"), files("second"));
    for (name, bytes) in files("first") {
        if let Some(digest) = name.strip_prefix("blobs/sha256/") {
            assert_eq!(sha256(&bytes), digest);
        }
    }
    let build = [
        "image",
        "build",
        "ref:champion/flows",
        "--program",
        "program",
    ];
    world.ok(&[&build[..], &["-o", "built"]].concat());
    let told = world.ok(&[&build[..], &["-o", "again", "--json"]].concat());
    assert_eq!(files("built"), files("again"));
    let told: Value = serde_json::from_str(&told).unwrap();
    let index: Value =
        serde_json::from_slice(&std::fs::read(world.root().join("built/index.json")).unwrap())
            .unwrap();
    assert_eq!(index["manifests"][0]["digest"], told["digest"]);
    // The model of an image is served as it stands there.
    world.ok(&["cat", "ref:champion/flows", "-o", "flows.model"]);
    let server =
        crate::serve::client::TestServer::of(&world, &["--import", "flows.model", "--unsigned"]);
    assert_eq!(server.get("/v2/models/flows/ready").status, 200);
}

#[test]
fn what_cannot_stand_alone_is_no_image_of_a_stage() {
    let world = trained(TREES);
    world.write(
        "program",
        std::fs::read(env!("CARGO_BIN_EXE_netsec")).unwrap(),
    );
    world.write("text", "no program");
    for (program, name, code, why) in [
        ("program", "flows", 4, "is not static"),
        ("text", "flows", 4, "is not a program for Linux"),
        ("text", "a b", 3, "is not a name for a model"),
    ] {
        world.write(
            "image.yaml",
            format!(
                "stages:\n  image: {{ kind: image, inputs: {{ champion: 'ref:champion/flows', program: {program} }}, with: {{ name: {name} }} }}\n"
            ),
        );
        let told = world.netsec(&["run", "image.yaml"]);
        assert_eq!(told.code, code, "{}", told.stderr);
        assert!(told.stderr.contains(why), "{}", told.stderr);
    }
}
