//! What the cache holds: cleared, mended, carried elsewhere.

use netsec::base::digest::Digest;

use crate::world::{World, digests, outcomes};

fn pipeline(words: &[&str]) -> String {
    format!(
        "stages:\n  say: {{ kind: command, matrix: {{ w: [{}] }}, with: {{ run: [sh, -c, 'echo ${{matrix.w}}; mkdir d; echo ${{matrix.w}} >d/f'], outputs: {{ d: d }} }} }}\n  all: {{ kind: command, inputs: {{ x: say.stdout }}, with: {{ run: [sh, -c, 'cat x-*'] }} }}\n",
        words.join(", ")
    )
}

fn bytes(world: &World) -> usize {
    world.blobs().len()
}

#[test]
fn gc_removes_what_no_kept_run_needs_and_nothing_else() {
    let world = World::new();
    for words in [["one", "two"], ["two", "three"], ["four", "five"]] {
        world.write("p.yaml", pipeline(&words));
        assert_eq!(world.run(&["p.yaml"])["outcome"], "succeeded");
    }
    // What changed nothing counts as one run with the one before it.
    world.ok(&["run", "p.yaml"]);
    world.ok(&["run", "p.yaml"]);
    let before = bytes(&world);
    let said = world.ok(&["cache", "gc", "--keep-runs", "2"]);
    assert!(
        said.contains("can go") && bytes(&world) == before,
        "nothing goes without --apply: {said}"
    );
    world.ok(&["cache", "gc", "--keep-runs", "2", "--apply"]);
    let after = bytes(&world);
    assert!(after < before, "{after} of {before}");
    assert_eq!(
        world.netsec(&["cache", "verify"]).code,
        0,
        "what was removed on purpose is not missed"
    );
    // The kept runs are reused whole; of the first, only what was lost is made again.
    assert!(
        outcomes(&world.run(&["p.yaml"]))
            .iter()
            .all(|outcome| outcome.ends_with("reused"))
    );
    world.write("p.yaml", pipeline(&["two", "three"]));
    assert!(
        outcomes(&world.run(&["p.yaml"]))
            .iter()
            .all(|outcome| outcome.ends_with("reused"))
    );
    world.write("p.yaml", pipeline(&["one", "two"]));
    assert_eq!(
        outcomes(&world.run(&["p.yaml"])),
        ["say[w=one] made", "say[w=two] reused", "all made"]
    );
    let none: serde_json::Value =
        serde_json::from_str(&world.ok(&["cache", "gc", "--keep-runs", "0", "--json"])).unwrap();
    assert_eq!(none["removal"]["kept_blobs"], 0);
    let all: serde_json::Value = serde_json::from_str(&world.ok(&[
        "cache",
        "gc",
        "--keep-runs",
        "0",
        "--keep-days",
        "1",
        "--json",
    ]))
    .unwrap();
    assert!(
        all["removal"]["blobs"].as_array().unwrap().is_empty(),
        "{all}"
    );
    let small: serde_json::Value =
        serde_json::from_str(&world.ok(&["cache", "gc", "--max-size", "1", "--json"])).unwrap();
    assert_eq!(small["removal"]["kept_bytes"], 0);
}

#[test]
fn a_champion_outlives_every_sweep() {
    let world = World::shipped();
    world.run(&["pipelines/default.yaml", "--set", "rows=600"]);
    world.ok(&["cache", "gc", "--keep-runs", "0", "--apply"]);
    assert!(
        !world
            .ok(&["cat", "ref:champion/default", "-o", "model.bin"])
            .contains("error")
    );
    assert!(
        world
            .ok(&["lineage", "ref:champion/default"])
            .contains("made by train (train)")
    );
}

#[test]
fn verify_repairs_what_the_pipelines_can_make_again() {
    let world = World::new();
    world.write("p.yaml", pipeline(&["one", "two"]));
    let first = world.run(&["p.yaml"]);
    let blobs = world.blobs();
    world.flip(&blobs[0]);
    std::fs::remove_file(&blobs[1]).unwrap();
    assert_eq!(world.netsec(&["cache", "verify"]).code, 1);
    let mended = world.netsec(&["cache", "verify", "--repair"]);
    assert_eq!(mended.code, 0, "{}{}", mended.stdout, mended.stderr);
    assert_eq!(digests(&world.run(&["p.yaml"])), digests(&first));
}

#[test]
fn a_run_goes_to_another_workspace_in_one_file() {
    let (here, there) = (World::new(), World::new());
    for world in [&here, &there] {
        world.write("p.yaml", pipeline(&["one", "two"]));
    }
    let made = here.run(&["p.yaml"]);
    here.ok(&["export", "run.netsec"]);
    let file = std::fs::read(here.root().join("run.netsec")).unwrap();
    // What is torn or damaged is refused, and leaves no record.
    for bad in [
        &file[..file.len() - 3],
        &file[1..],
        &[file.as_slice(), b"x"].concat(),
        b"",
    ] {
        there.write("run.netsec", bad);
        let refused = there.netsec(&["import", "run.netsec"]);
        assert_eq!(refused.code, 5, "{}", refused.stderr);
        assert!(there.netsec(&["runs"]).stderr.contains("no run yet"));
    }
    there.write("run.netsec", &file);
    there.ok(&["import", "run.netsec"]);
    let reused = there.run(&["p.yaml"]);
    assert!(
        outcomes(&reused)
            .iter()
            .all(|outcome| outcome.ends_with("reused")),
        "{reused}"
    );
    assert_eq!(digests(&reused), digests(&made));
    assert!(
        there
            .ok(&["lineage", "all.stdout"])
            .contains("say[w=two].stdout")
    );
    assert_eq!(there.netsec(&["cache", "verify"]).code, 0);
    assert_eq!(here.netsec(&["export", "x", "--run", "2026"]).code, 2);
}

#[test]
fn large_blobs_are_compressed_where_it_pays_and_nobody_else_sees_it() {
    let world = World::new();
    // One of the two compresses, the other does not; both are long enough to be copied without
    // being held in memory.
    let random = {
        let mut state = 1_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..2 << 20).map(|_| next()).collect::<Vec<u8>>()
    };
    world.write("random.bin", &random);
    world.write(
        "p.yaml",
        "
stages:
  count: { kind: command, with: { run: [sh, -c, 'seq 1 400000 >out'], outputs: { out: out } } }
  same: { kind: command, inputs: { x: ./random.bin }, with: { run: [cp, x, out], outputs: { out: out } } }
  both: { kind: command, inputs: { a: count.out, b: same.out }, with: { run: [sh, -c, 'cat a b | cksum'] } }
",
    );
    let expected = digests(&world.run(&["p.yaml"]));
    let bytes: Vec<u8> = (1..=400_000)
        .flat_map(|n| format!("{n}\n").into_bytes())
        .collect();
    assert!(
        expected.contains(&format!("\"out\" \"{}\"", Digest::of(&bytes))),
        "the digest is that of the content"
    );
    assert!(expected.contains(&format!("\"out\" \"{}\"", Digest::of(&random))));
    let blob = |content: &[u8]| {
        world
            .blobs()
            .into_iter()
            .find(|path| path.ends_with(Digest::of(content).hex()))
            .unwrap()
    };
    let size = |content: &[u8]| std::fs::metadata(blob(content)).unwrap().len();
    assert!(size(&bytes) < bytes.len() as u64 / 2, "{}", size(&bytes));
    assert_eq!(size(&random), 2 << 20);
    world.ok(&["cat", "count.out", "-o", "back"]);
    assert_eq!(std::fs::read(world.root().join("back")).unwrap(), bytes);
    world.ok(&["export", "run.netsec"]);
    // Without the memory of what is on disk, it is read again and found to be right.
    std::fs::remove_file(world.root().join("cache/known")).unwrap();
    assert!(
        outcomes(&world.run(&["p.yaml"]))
            .iter()
            .all(|outcome| outcome.ends_with("reused"))
    );
    for content in [&bytes, &random] {
        world.flip(&blob(content));
        assert_eq!(world.netsec(&["cache", "verify"]).code, 1);
        assert_eq!(digests(&world.run(&["p.yaml"])), expected);
        world.ok(&["cache", "verify"]);
    }
    let other = World::new();
    other.write("random.bin", &random);
    other.write(
        "p.yaml",
        std::fs::read(world.root().join("p.yaml")).unwrap(),
    );
    other.ok(&["import", world.root().join("run.netsec").to_str().unwrap()]);
    assert!(
        outcomes(&other.run(&["p.yaml"]))
            .iter()
            .all(|outcome| outcome.ends_with("reused"))
    );
}
