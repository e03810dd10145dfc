//! Workspaces as they should not be: odd files, a clock that is wrong, a disk that cannot be
//! written.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::dice::Dice;
use crate::world::{World, digests, outcomes, skip};

const FOLDER: &str =
    "stages:\n  a: { kind: command, inputs: { x: data }, with: { run: [ls, x] } }\n";

#[test]
fn files_that_are_none_are_refused_and_nothing_waits_for_them() {
    let world = World::new();
    world.write("p.yaml", FOLDER);
    let refused = |name: &[u8], make: &dyn Fn(&std::path::Path), says: &str| {
        world.write("data/good.txt", "x");
        let path = world.root().join("data").join(OsStr::from_bytes(name));
        make(&path);
        for (file, text) in [
            ("p.yaml", FOLDER.to_owned()),
            ("q.yaml", FOLDER.replace("x: data", "x: data/odd")),
        ] {
            world.write(file, text);
            let output = world.netsec(&["run", file]);
            let says = if file == "p.yaml" { says } else { "data/odd" };
            assert!(
                output.code == 3 && output.stderr.contains(says),
                "{}",
                output.stderr
            );
        }
        std::fs::remove_file(path).unwrap();
    };
    let pipe = |path: &std::path::Path| {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success())
    };
    refused(b"odd", &pipe, "neither a file nor a plain directory");
    refused(
        b"odd",
        &|path| drop(UnixListener::bind(path).unwrap()),
        "neither a file nor a plain directory",
    );
    refused(
        b"odd",
        &|path| std::os::unix::fs::symlink("nowhere", path).unwrap(),
        "No such file",
    );
    refused(
        b"o\xff\xfe",
        &|path| drop(std::fs::File::create_new(path).unwrap()),
        "the name is not UTF-8",
    );
    assert_eq!(outcomes(&world.run(&["p.yaml"])), ["a made"]);
}

#[test]
fn a_program_that_makes_odd_things_fails_and_leaves_nothing() {
    let world = World::new();
    for (script, says) in [
        ("mkfifo out", "neither a file nor a directory"),
        (
            "mkdir out; mkfifo out/pipe",
            "neither a file nor a plain directory",
        ),
        (
            "mkdir out; ln -s .. out/loop",
            "neither a file nor a plain directory",
        ),
        (
            "mkdir out; touch \"out/$(printf 'o\\377')\"",
            "the name is not UTF-8",
        ),
        ("ln -s /etc/hostname out", "leads out of the stage's folder"),
        ("ln -s nowhere out", "did not make `out`"),
    ] {
        let run = serde_json::json!(["sh", "-c", script]);
        world.write(
            "p.yaml",
            format!(
                "stages:\n  a: {{ kind: command, with: {{ run: {run}, outputs: {{ o: out }} }} }}\n"
            ),
        );
        let summary = world.run(&["p.yaml"]);
        let error = summary["stages"][0]["error"]["message"]
            .as_str()
            .unwrap_or_default();
        assert!(error.contains(says), "{script}: {error}");
    }
    world.ok(&["cache", "verify"]);
}

#[test]
fn names_with_anything_in_them_go_through() {
    let world = World::new();
    for name in [
        "with space",
        "line\nbreak",
        "quote'\"",
        "-dash",
        "ünï",
        "*",
        "#",
    ] {
        world.write(&format!("data/{name}"), name);
    }
    world.write(
        "p.yaml",
        "
stages:
  a: { kind: command, inputs: { x: data }, with: { run: [cp, -r, x, out], outputs: { o: out } } }
  b: { kind: command, inputs: { x: a.o }, with: { run: [sh, -c, 'ls x | wc -l'] } }
",
    );
    let first = digests(&world.run(&["p.yaml"]));
    assert_eq!(digests(&world.run(&["p.yaml"])), first);
    assert_eq!(
        world.ok(&["cat", "b.stdout"]).trim(),
        "8",
        "one name has two lines"
    );
    world.ok(&["cat", "a.o", "-o", "back"]);
    assert_eq!(
        std::fs::read_to_string(world.root().join("back/line\nbreak")).unwrap(),
        "line\nbreak"
    );
}

#[test]
fn a_clock_that_went_back_changes_no_order() {
    let world = World::new();
    world.write(
        "p.yaml",
        "stages:\n  a: { kind: command, inputs: { x: ./x.txt }, with: { run: [cat, x] } }\n",
    );
    world.write("x.txt", "one");
    let first = world.run(&["p.yaml"])["run"].as_str().unwrap().to_owned();
    // As if that run had been in a year that has not come yet: its name, and the file it read.
    let later = "20990101-000000-00001";
    for ending in ["records", "jsonl"] {
        let runs = world.root().join("cache/runs");
        let bytes = std::fs::read(runs.join(format!("{first}.{ending}"))).unwrap();
        world.write(&format!("cache/runs/{later}.{ending}"), bytes);
    }
    // The latest name is kept by itself; where it is lost, the runs are listed.
    std::fs::remove_file(world.root().join("cache/latest")).unwrap();
    let future = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(5_000_000_000);
    let set = |text: &str| {
        world.write("x.txt", text);
        std::fs::File::options()
            .append(true)
            .open(world.root().join("x.txt"))
            .unwrap()
            .set_modified(future)
            .unwrap();
    };
    set("two");
    let second = world.run(&["p.yaml"]);
    assert_eq!(outcomes(&second), ["a made"]);
    assert!(second["run"].as_str().unwrap() > later, "{}", second["run"]);
    set("six");
    let third = world.run(&["p.yaml"]);
    assert_eq!(
        outcomes(&third),
        ["a made"],
        "the same size and times, and another content"
    );
    assert!(third["run"].as_str() > second["run"].as_str());
    assert!(
        world
            .ok(&["runs"])
            .lines()
            .nth(1)
            .unwrap()
            .contains(third["run"].as_str().unwrap())
    );
}

#[test]
fn queries_are_answered_on_a_disk_that_cannot_be_written() {
    let world = World::new();
    world.write(
        "p.yaml",
        "stages:\n  a: { kind: command, with: { run: [echo, hello] } }\n",
    );
    world.ok(&["run", "p.yaml"]);
    let inside = |args: &str| {
        let netsec = env!("CARGO_BIN_EXE_netsec");
        let script = format!(
            "mount --bind . . && mount -o remount,ro,bind . && cd \"$PWD\" && {netsec} {args}"
        );
        let output = Command::new("unshare")
            .args(["-rm", "sh", "-c", &script])
            .current_dir(world.root())
            .output();
        output.map(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            (output.status.code(), text)
        })
    };
    if !inside("--version").is_ok_and(|(code, _)| code == Some(0)) {
        return skip("a read-only mount cannot be made here");
    }
    for (args, says) in [
        ("runs", "succeeded"),
        ("status p.yaml", "reuse  a"),
        ("explain a -f p.yaml", "`a` is up to date"),
        ("lineage a.stdout", "made by a (command)"),
        ("cat a.stdout", "hello"),
        ("cache verify", ""),
        ("cache stats", ""),
        ("replay", "made"),
        ("check p.yaml", ""),
    ] {
        let (code, text) = inside(args).unwrap();
        assert!(
            code == Some(0) && text.contains(says),
            "netsec {args}: {text}"
        );
    }
    let (code, text) = inside("run p.yaml").unwrap();
    assert!(
        code == Some(5) && text.contains("Read-only file system"),
        "{text}"
    );
}

#[test]
fn links_empty_folders_and_programs_in_a_directory_come_back() {
    let world = World::new();
    let make = "mkdir -p o/deep/empty o/bin; echo x > o/file; ln -s ../file o/deep/link; ln -s deep o/folder; \
                printf \"#!/bin/sh\\\\necho ran\\\\n\" > o/bin/run; chmod +x o/bin/run";
    let look = "cd x; test -d deep/empty && cat deep/link folder/link && readlink deep/link folder && bin/run";
    world.write(
        "p.yaml",
        format!(
            "stages:\n  a: {{ kind: command, with: {{ run: [sh, -c, '{make}'], outputs: {{ o: o }} }} }}\n  b: {{ kind: command, inputs: {{ x: a.o }}, with: {{ run: [sh, -c, '{look}'] }} }}\n"
        ),
    );
    let summary = world.run(&["p.yaml"]);
    assert_eq!(summary["outcome"], "succeeded", "{summary}");
    assert_eq!(world.ok(&["cat", "b.stdout"]), "x\nx\n../file\ndeep\nran\n");
    world.ok(&["cat", "a.o", "-o", "back"]);
    let back = world.root().join("back");
    assert_eq!(
        std::fs::read_link(back.join("deep/link")).unwrap(),
        std::path::Path::new("../file")
    );
    assert_eq!(
        std::fs::read_to_string(back.join("folder/link")).unwrap(),
        "x\n"
    );
    assert!(
        back.join("deep/empty").is_dir()
            && netsec::base::disk::is_executable(&back.join("bin/run"))
    );
    assert!(!netsec::base::disk::is_executable(&back.join("file")));
    assert_eq!(world.netsec(&["cache", "verify"]).code, 0);
    // What leads out is not made, whoever says that it was.
    for (name, target) in [
        ("l", "../x"),
        ("d/l", "../../x"),
        ("l", "/etc"),
        ("l", "a/../../x"),
        ("l", ""),
    ] {
        assert!(
            !netsec::base::directory::stays_below(std::path::Path::new(name), target),
            "{name} to {target}"
        );
    }
    assert!(netsec::base::directory::stays_below(
        std::path::Path::new("d/l"),
        "../x/./y"
    ));
}

#[test]
fn a_file_goes_from_stage_to_stage_that_is_larger_than_all_addresses() {
    let world = World::new();
    world.write(
        "p.yaml",
        "stages:\n  a: { kind: command, with: { run: [sh, -c, 'yes | head -c 671088640 > o'], outputs: { o: o } } }\n  \
         b: { kind: command, inputs: { x: a.o }, with: { run: [sh, -c, 'wc -c < x'] } }\n",
    );
    let script = format!(
        "ulimit -v 600000; exec {} run p.yaml",
        env!("CARGO_BIN_EXE_netsec")
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(world.root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(world.ok(&["cat", "b.stdout"]).trim(), "671088640");
    let kept: u64 = world
        .blobs()
        .iter()
        .map(|blob| blob.metadata().unwrap().len())
        .sum();
    assert!(kept < 1 << 20, "it was compressed: {kept}");
}

#[test]
fn many_features_are_made_a_piece_at_a_time() {
    let world = World::new();
    let mut rows = "a,b,label\n".to_owned();
    for row in 0..500 {
        rows += &format!(
            "w{},v{},{}\n",
            row * 7 % 40 + row % 2 * 9,
            row % 23,
            row % 2
        );
    }
    world.write("all.csv", &rows);
    let few: Vec<&str> = rows.lines().take(101).collect();
    world.write("t.csv", few.join("\n"));
    world.write(
        "p.yaml",
        "stages:
  ingest: { kind: ingest, inputs: { data: t.csv } }
  split: { kind: split, inputs: { data: ingest.data }, with: { target: label } }
  transform: { kind: transform, inputs: { train: split.train, test: split.test }, with: { target: label, target_map: { 0: 0, 1: 1 }, steps: [{ hash: { buckets: 60000 } }] } }
  train: { kind: train, inputs: { train: transform.train, preprocessor: transform.preprocessor }, with: { candidates: [{ learner: naive_bayes }], select: { min_score: 0, min_attacks: 5 } } }
",
    );
    let ran = world.netsec(&["run", "p.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // 60,000 features and 500 rows are more than are made at once; each row is as by itself.
    let whole = world.ok(&["predict", "train.model", "all.csv"]);
    let lines: Vec<&str> = rows.lines().collect();
    for (name, part) in [("first", &lines[1..241]), ("second", &lines[241..])] {
        let file = format!("{name}.csv");
        world.write(&file, format!("{}\n{}\n", lines[0], part.join("\n")));
        let scored = world.ok(&["predict", "train.model", &file]);
        let scored: Vec<&str> = scored.lines().skip(1).collect();
        assert!(whole.contains(&scored.join("\n")), "{name}");
    }
}

#[test]
fn a_model_takes_the_words_of_na_for_missing_and_no_others() {
    let world = World::new();
    let mut dice = Dice(5);
    let mut text = "service,bytes,label\n".to_owned();
    for _ in 0..900 {
        // Those without a name are attacks, those that are not known are either.
        let service = ["", "http", "-"][dice.below(3)];
        let chance = match service {
            "" => 0.95,
            "http" => 0.05,
            _ => 0.5,
        };
        let label = if dice.chance(chance) {
            "scan"
        } else {
            "normal"
        };
        text.push_str(&format!("{service},{:.3},{label}\n", dice.normal()));
    }
    world.write("flows.csv", text);
    world.write(
        "p.yaml",
        "stages:
  rows: { kind: ingest, inputs: { data: flows.csv }, with: { na: ['-'] } }
  split: { kind: split, inputs: { data: rows.data }, with: { target: label } }
  transform:
    kind: transform
    inputs: { train: split.train, test: split.test }
    with: { target: label, target_map: { normal: 0, scan: 1 }, steps: [{ category: {} }] }
  train:
    kind: train
    inputs: { train: transform.train, preprocessor: transform.preprocessor }
    with: { candidates: [{ learner: decision_tree, grid: { max_depth: [2] } }], select: { min_score: 0.1 } }
",
    );
    world.ok(&["run", "p.yaml"]);
    world.write("new.csv", "service,bytes\n,0\nhttp,0\n-,0\n");
    let scored = world.ok(&["predict", "train.model", "new.csv"]);
    let p = |line: &str| line.split(',').nth(2).unwrap().parse::<f64>().unwrap();
    let p: Vec<f64> = scored.lines().skip(1).map(p).collect();
    assert!(
        p[0] > 0.9 && p[1] < 0.2 && (0.3..0.7).contains(&p[2]),
        "{p:?}"
    );
    let refused = world.netsec(&["model", "export", "train.model", "-o", "m.onnx"]);
    assert!(
        refused.stderr.contains("no missing text but the empty one"),
        "{}",
        refused.stderr
    );
}
