//! Exit codes, and the words of every command.

use crate::world::{World, package, redact, same_file};

const PIPELINE: &str = "\
params: { word: hello }
stages:
  say:
    kind: command
    with: { run: [echo, '${params.word}'] }
  count:
    kind: command
    inputs: { text: say.stdout }
    with: { run: [wc, -c, text] }
";

#[test]
fn a_run_in_lines_and_in_json() {
    let world = World::new();
    world.write("p.yaml", PIPELINE);
    let run = world.netsec(&["run", "p.yaml", "--jobs", "1"]);
    insta::assert_snapshot!(redact(&run.stderr, world.root()), @"
    run RUN of p.yaml: 2 stages
      running   say            no record of it yet
      made      say            in TIME s
      running   count          no record of it yet
      made      count          in TIME s
    succeeded in TIME s: 2 made
    ");
    let summary = world.run(&["p.yaml"]);
    assert_eq!(summary["pipeline"], "p.yaml");
    assert_eq!(summary["stages"][1]["id"], "count");
    assert_eq!(summary["stages"][1]["kind"], "command");
    assert_eq!(summary["stages"][1]["outcome"], "reused");
    assert_eq!(summary["stages"][1]["key"].as_str().unwrap().len(), 64);
    assert_eq!(summary["stages"][1]["outputs"][1]["port"], "stdout");
    assert_eq!(summary["stages"][1]["outputs"][1]["size"], 7);
    let lines = world
        .netsec(&["run", "p.yaml", "--log-format", "json"])
        .stderr;
    for (at, line) in lines.lines().enumerate() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&event["v"], &event["seq"]), (&1.into(), &at.into()));
    }
}

#[test]
fn status_explain_runs_and_lineage_speak_plainly() {
    let world = World::new();
    world.write("p.yaml", PIPELINE);
    let say = |args: &[&str]| redact(&world.ok(args), world.root());
    insta::assert_snapshot!(say(&["status", "p.yaml"]), @"
    run   say    command  no record of it yet
    wait  count  command  for say
    0 to reuse, 1 to run, 1 pending
    ");
    world.ok(&["run", "p.yaml"]);
    world.ok(&["run", "p.yaml", "--set", "word=bye"]);
    insta::assert_snapshot!(say(&["status", "p.yaml"]), @"
    reuse  say    command  made by run RUN
    reuse  count  command  made by run RUN
    2 to reuse, 0 to run
    ");
    insta::assert_snapshot!(say(&["run", "p.yaml", "--set", "word=third", "--dry-run"]), @"
    run   say    command  changed: with.run
    wait  count  command  for say
    0 to reuse, 1 to run, 1 pending
    ");
    insta::assert_snapshot!(say(&["explain", "say", "-f", "p.yaml", "--set", "word=third"]), @r#"
    `say` would run: these ingredients differ from the last record
      with.run
        - ["echo", "bye"]
        + ["echo", "third"]
      key DIGEST
    "#);
    insta::assert_snapshot!(say(&["runs"]), @"
    run                    started               seconds  outcome    stages  pipeline
    RUN  INSTANT  TIME     succeeded  2 made  p.yaml
    RUN  INSTANT  TIME     succeeded  2 made  p.yaml
    ");
    insta::assert_snapshot!(say(&["lineage", "count.stdout"]), @"
    count.stdout  DIGEST  made by count (command) in run RUN
    └─ say.stdout  DIGEST  made by say (command) in run RUN
    ");
    insta::assert_snapshot!(say(&["lineage", "say.stdout", "--downstream"]), @"
    say.stdout  DIGEST
    └─ count (command) in run RUN
       ├─ count.stderr  DIGEST
       └─ count.stdout  DIGEST
    ");
    insta::assert_snapshot!(say(&["graph", "p.yaml"]), @r#"
    flowchart LR
      s_say["say<br/>command"]
      s_count["count<br/>command"]
      s_say -->|stdout| s_count
    "#);
    insta::assert_snapshot!(say(&["graph", "p.yaml", "--format", "dot"]), @r#"
    digraph "p" {
      rankdir=LR;
      node [shape=box];
      "say" [label="say\ncommand"];
      "count" [label="count\ncommand"];
      "say" -> "count" [label="stdout"];
    }
    "#);
    insta::assert_snapshot!(say(&["cat", "count.stdout"]), @"4 text");
    let graph: serde_json::Value =
        serde_json::from_str(&say(&["graph", "p.yaml", "--format", "json"])).unwrap();
    assert_eq!(graph["stages"][1]["needs"][0], "say");
}

#[test]
fn every_way_to_fail_has_its_code() {
    let world = World::shipped();
    world.write("p.yaml", PIPELINE);
    let code = |args: &[&str]| world.netsec(args).code;
    assert_eq!(code(&["run"]), 2);
    assert_eq!(code(&["run", "nowhere.yaml"]), 2);
    assert_eq!(code(&["run", "p.yaml", "--only", "sya"]), 2);
    assert_eq!(code(&["lineage", "nothing.here"]), 2);
    assert_eq!(
        code(&["run", "p.yaml", "--from", "count", "--until", "say"]),
        2
    );
    assert_eq!(code(&["status", "p.yaml", "--only", "count"]), 3);
    world.write("wrong.yaml", "stages: { a: { kind: nonsense } }");
    assert_eq!(code(&["run", "wrong.yaml"]), 3);
    assert_eq!(code(&["check", "p.yaml"]), 0);
    world.write(
        "fails.yaml",
        "stages: { a: { kind: command, with: { run: ['false'] } } }",
    );
    assert_eq!(code(&["run", "fails.yaml"]), 1);
    world.write("data.csv", "a,y\n1,1\n2,-1\n");
    world.write(
        "data.yaml",
        "stages: { a: { kind: ingest, inputs: { data: ./data.csv }, with: { drop: [z] } } }",
    );
    assert_eq!(code(&["run", "data.yaml"]), 4);
    let picky = std::fs::read_to_string(world.root().join("pipelines/default.yaml")).unwrap();
    world.write(
        "picky.yaml",
        picky.replacen(
            "with: { select: { metric: f1, min_score: 0.9 } }",
            "with: { select: { metric: f1, min_score: 1.0 }, candidates: [{ learner: decision_tree }] }",
            1,
        ),
    );
    let rejected = world.netsec(&["run", "picky.yaml", "--until", "train"]);
    assert_eq!(rejected.code, 6, "{}", rejected.stderr);
    assert!(
        rejected
            .stderr
            .contains("no candidate may be picked: the best was decision_tree"),
        "{}",
        rejected.stderr
    );
}

#[test]
fn cache_verify_names_what_is_bad() {
    let world = World::new();
    world.write("p.yaml", PIPELINE);
    world.ok(&["run", "p.yaml"]);
    assert_eq!(world.netsec(&["cache", "verify"]).code, 0);
    let blobs = world.blobs();
    world.flip(&blobs[0]);
    let verified = world.netsec(&["cache", "verify"]);
    assert_eq!(verified.code, 1);
    let name = blobs[0].file_name().unwrap().to_str().unwrap();
    assert!(
        verified
            .stdout
            .contains(&format!("the blob {name} is damaged")),
        "{}",
        verified.stdout
    );
    std::fs::remove_file(&blobs[1]).unwrap();
    let verified = world.netsec(&["cache", "verify"]);
    assert!(
        verified.stdout.contains("is missing"),
        "{}",
        verified.stdout
    );
    world.ok(&["run", "p.yaml"]);
    assert_eq!(
        world.netsec(&["cache", "verify"]).code,
        0,
        "the next run mends it"
    );
}

#[test]
fn a_command_sees_only_what_it_declares() {
    let world = World::new();
    world.write("in.txt", "data");
    let text = "stages:\n  a:\n    kind: command\n    inputs: { x: ./in.txt }\n    with:\n      run: [sh, -c, 'ls; env | sort; cat x; echo $TOKEN >&2']\n      env: { A: b }\n      secrets: { TOKEN: 'Bearer ${env.NETSEC_TEST_TOKEN}' }\n";
    world.write("p.yaml", text);
    let mut command = world.command(&["run", "p.yaml"]);
    let output = command
        .env("NETSEC_TEST_TOKEN", "planted-secret")
        .env("STRAY", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let stdout = world.ok(&["cat", "a.stdout"]);
    assert!(
        stdout.starts_with("x\n") && stdout.contains("A=b\n") && stdout.ends_with("data"),
        "{stdout}"
    );
    assert!(!stdout.contains("STRAY"), "{stdout}");
    assert_eq!(world.ok(&["cat", "a.stderr"]), "***\n");
    world.assert_not_in_cache(b"planted-secret");
}

#[test]
fn a_command_that_hangs_is_ended_with_all_it_started() {
    let world = World::new();
    world.write("p.yaml", "stages: { a: { kind: command, with: { run: [sh, -c, 'echo begun >&2; sleep 600 & sleep 600'], timeout_seconds: 0.3 } } }");
    let output = world.netsec(&["run", "p.yaml"]);
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("timed out after 0.3 s"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("begun"), "{}", output.stderr);
}

#[test]
fn a_program_cannot_open_what_it_does_not_declare() {
    let world = World::new();
    world.write("data.txt", "rows\n");
    world.write("tools/tool", "help\n");
    let data = world.root().join("data.txt");
    let stage = |more: &str| {
        format!(
            "stages: {{ a: {{ kind: command, with: {{ run: [sh, -c, 'cat {}; echo x > {}'] {more} }} }} }}\n",
            data.display(),
            world.root().join("stray").display()
        )
    };
    world.write("p.yaml", stage(""));
    let output = world.netsec(&["run", "p.yaml"]);
    if output.code == 0 {
        crate::world::skip("this system cannot confine programs");
        return;
    }
    assert!(
        output.stderr.contains("Permission denied")
            && output.stderr.contains("give the file as an input"),
        "{}",
        output.stderr
    );
    assert!(!world.root().join("stray").exists());
    world.write("p.yaml", stage(", sandbox: false"));
    assert_eq!(world.run(&["p.yaml"])["outcome"], "succeeded");
    assert!(world.root().join("stray").exists());
    let tool = world.root().join("tools");
    world.write(
        "p.yaml",
        format!(
            "stages: {{ a: {{ kind: command, with: {{ run: [cat, {0}/tool], reads: [{0}] }} }} }}\n",
            tool.display()
        ),
    );
    assert_eq!(world.run(&["p.yaml"])["outcome"], "succeeded");
}

#[test]
fn a_program_finds_nothing_of_those_before_it() {
    let world = World::new();
    world.write(
        "p.yaml",
        "
stages:
  one:
    kind: command
    with:
      run: [sh, -c, 'echo secret >kept; ln -s \"$PWD/kept\" out; echo stray >../stray && echo written; true']
      outputs: { out: out }
  two: { kind: command, inputs: { x: one.out }, with: { run: [sh, -c, 'cat x; ls ..; cat ../*/kept; true'] } }
",
    );
    let summary = world.run(&["p.yaml", "--jobs", "1"]);
    assert_eq!(
        summary["outcome"], "succeeded",
        "a link within the folder is an output: {summary}"
    );
    if world.ok(&["cat", "one.stdout"]) == "written\n" {
        return crate::world::skip("this system cannot confine programs");
    }
    assert_eq!(
        world.ok(&["cat", "two.stdout"]),
        "secret\n",
        "its input, and nothing besides"
    );
    assert!(
        world
            .ok(&["cat", "two.stderr"])
            .contains("Permission denied")
    );
}

#[test]
fn a_process_that_left_its_group_is_not_waited_for() {
    let world = World::new();
    world.write("flag", "");
    // It holds the stage's output open until this test removes the flag, which it does only
    // afterwards.
    let stay = format!(
        "while [ -e {} ]; do sleep 0.1; done",
        world.root().join("flag").display()
    );
    world.write(
        "p.yaml",
        format!("stages: {{ a: {{ kind: command, with: {{ run: [setsid, --fork, sh, -c, '{stay}'] }} }} }}"),
    );
    let output = world.netsec(&["run", "p.yaml"]);
    std::fs::remove_file(world.root().join("flag")).unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
    // The shell, and what it waits by, unless that has just ended.
    let told = [
        "left 2 processes running, which were ended",
        "left 1 process running, which was ended",
    ];
    assert!(
        told.iter()
            .any(|told| output.stderr.contains(&format!("`setsid` {told} with it"))),
        "{}",
        output.stderr
    );
}

#[test]
fn secrets_and_links_do_not_leave_through_outputs() {
    let world = World::new();
    let secret = |run: &str, outputs: &str| {
        format!(
            "stages: {{ a: {{ kind: command, with: {{ run: [sh, -c, '{run}'], outputs: {{ {outputs} }}, secrets: {{ A: '${{env.S1}}', B: 'Bearer ${{env.S2}}' }} }} }} }}"
        )
    };
    let run = |text: String| {
        world.write("p.yaml", text);
        world
            .command(&["run", "p.yaml"])
            .env("S1", "abc")
            .env("S2", "abcdef-token")
            .output()
            .unwrap()
    };
    assert!(
        run(secret("echo $A; echo $B; echo $B | cut -c8-", ""))
            .status
            .success()
    );
    assert_eq!(world.ok(&["cat", "a.stdout"]), "***\n***\n***\n");
    let kept = run(secret("env >all", "out: all"));
    assert_eq!(kept.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&kept.stderr).contains("the output `out` holds a secret"));
    let linked = run(secret("ln -s /etc/hostname all", "out: all"));
    assert!(
        String::from_utf8_lossy(&linked.stderr)
            .contains("leads out of the stage's folder by a link")
    );
    world.assert_not_in_cache(b"abcdef-token");
}

#[test]
fn a_script_of_ones_own_is_an_input() {
    let world = World::new();
    world.write("tool.sh", "#!/bin/sh\necho one\n");
    world.write(
        "p.yaml",
        "stages: { a: { kind: command, inputs: { script: tool.sh }, with: { run: [./script] } } }",
    );
    let refused = world.netsec(&["check", "p.yaml"]);
    assert!(
        refused
            .stderr
            .contains("a file of that name is written `./tool.sh`"),
        "{}",
        refused.stderr
    );
    world.write("p.yaml", "stages: { a: { kind: command, inputs: { script: ./tool.sh }, with: { run: [./script] } } }");
    world.ok(&["run", "p.yaml"]);
    assert_eq!(world.ok(&["cat", "a.stdout"]), "one\n");
    world.write("tool.sh", "#!/bin/sh\necho two\n");
    world.ok(&["run", "p.yaml"]);
    assert_eq!(world.ok(&["cat", "a.stdout"]), "two\n");
}

#[test]
fn a_glob_means_the_same_from_everywhere() {
    let world = World::new();
    world.write("w/data/a.csv", "x,y\n1,1\n");
    world.write(
        "w/p.yaml",
        "stages: { a: { kind: command, inputs: { d: 'data/*.csv' }, with: { run: [find, d, -type, f] } } }",
    );
    let from_outside = world.run(&["p.yaml", "-C", "w"]);
    assert_eq!(world.ok(&["cat", "a.stdout", "-C", "w"]), "d/a.csv\n");
    let whole = world.root().join("w");
    let by_path = world.run(&["p.yaml", "-C", whole.to_str().unwrap()]);
    assert_eq!(crate::world::outcomes(&by_path), ["a reused"]);
    assert_eq!(from_outside["outcome"], "succeeded");
}

#[test]
fn data_that_cannot_be_written_is_not_lost_in_silence() {
    let world = World::new();
    world.write("p.yaml", PIPELINE);
    world.ok(&["run", "p.yaml"]);
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = world
        .command(&["cat", "say.stdout"])
        .stdout(full)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(5));
}

#[test]
fn other_classes_for_the_same_labels_are_not_compared() {
    let world = World::shipped();
    world.ok(&["run", "pipelines/default.yaml"]);
    let default = std::fs::read_to_string(world.root().join("pipelines/default.yaml")).unwrap();
    world.write(
        "swapped.yaml",
        default.replacen(
            "split.test }\n    with: { target: \"${params.target}\" }",
            "split.test }\n    with: { target: result, target_map: { -1: 1, 1: 0 } }",
            1,
        ),
    );
    let output = world.netsec(&["run", "swapped.yaml"]);
    assert_eq!(output.code, 4, "{}", output.stderr);
    assert!(
        output
            .stderr
            .contains("with other classes for the same labels"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_command_keeps_files_and_directories() {
    let world = World::new();
    world.write("p.yaml", "stages:\n  a: { kind: command, with: { run: [sh, -c, 'mkdir -p d/e; echo 1 >d/e/f; echo 2 >g'], outputs: { dir: d, file: g } } }\n  b: { kind: command, inputs: { dir: a.dir }, with: { run: [cat, dir/e/f] } }\n");
    world.ok(&["run", "p.yaml"]);
    assert_eq!(world.ok(&["cat", "b.stdout"]), "1\n");
    world.ok(&["cat", "a.dir", "-o", "copy"]);
    assert_eq!(
        std::fs::read_to_string(world.root().join("copy/e/f")).unwrap(),
        "1\n"
    );
    world.write(
        "q.yaml",
        "stages: { a: { kind: command, with: { run: ['true'], outputs: { out: never } } } }",
    );
    let missing = world.netsec(&["run", "q.yaml"]);
    assert!(
        missing
            .stderr
            .contains("did not make `never`, its output `out`"),
        "{}",
        missing.stderr
    );
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let lines = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_command_line_reference_is_current() {
    let world = World::new();
    let mut page =
        "# Command line\n\nGenerated from `--help` of every command; a test compares.\n".to_owned();
    let mut section = |title: &str, args: &[&str]| {
        let help = world.ok(args);
        page.push_str(&format!(
            "\n## `{title}`\n\n```text\n{}\n```\n",
            help.trim_end()
        ));
    };
    section("netsec", &["--help"]);
    for name in commands(&world.ok(&["--help"])) {
        section(&format!("netsec {name}"), &[&name, "--help"]);
    }
    for outer in ["cache", "schema", "quarantine", "data"] {
        for name in commands(&world.ok(&[outer, "--help"])) {
            section(&format!("netsec {outer} {name}"), &[outer, &name, "--help"]);
        }
    }
    same_file(&package().join("docs/cli.md"), &page);
    assert!(world.ok(&["completions", "bash"]).contains("_netsec()"));
}

#[test]
fn lineage_tells_of_the_data_of_the_run_that_is_meant() {
    let world = World::new();
    world.write(
        "p.yaml",
        "
stages:
  first: { kind: command, inputs: { x: ./x.txt }, with: { run: [head, '-n1', x] } }
  last: { kind: command, inputs: { x: first.stdout }, with: { run: [cat, x] } }
",
    );
    let digest = |text: &str| netsec::base::digest::Digest::of(text.as_bytes()).short();
    // Both files begin with the same line, so that the last stage is not run again.
    let (one, two) = ("same\none\n", "same\ntwo\n");
    for text in [one, two] {
        world.write("x.txt", text);
        world.ok(&["run", "p.yaml"]);
        let told = world.ok(&["lineage", "last.stdout"]);
        let other = if text == one { two } else { one };
        assert!(
            told.contains(&digest(text)) && !told.contains(&digest(other)),
            "{told}"
        );
    }
    world.write("x.txt", one);
    world.ok(&["run", "p.yaml"]);
    assert!(world.ok(&["lineage", "last.stdout"]).contains(&digest(one)));
}

#[test]
fn explain_names_the_files_rows_and_columns_that_changed() {
    let world = World::new();
    let rows = |changed: &str| format!("a,b\n1,2\n3,4\n{changed}\n7,8\n");
    world.write("data/a.csv", rows("5,6"));
    world.write("data/old.csv", "x\n");
    world.write("t.csv", rows("5,6"));
    world.write(
        "p.yaml",
        "
stages:
  read: { kind: ingest, inputs: { data: ./t.csv } }
  judge: { kind: command, inputs: { t: read.data, all: data/ }, with: { run: [ls, all] } }
",
    );
    world.ok(&["run", "p.yaml"]);
    world.write("data/a.csv", rows("5,6000"));
    world.write("data/new.csv", "x\n");
    std::fs::remove_file(world.root().join("data/old.csv")).unwrap();
    world.write("t.csv", rows("5,7"));
    world.ok(&["run", "p.yaml", "--only", "read"]);
    insta::assert_snapshot!(redact(&world.ok(&["explain", "judge", "-f", "p.yaml"]), world.root()), @"
    `judge` would run: these ingredients differ from the last record
      input.all
        - DIGEST
        + DIGEST
        a.csv changed: 20 B → 23 B
        new.csv is new: 2 B
        old.csv is gone
      input.t
        - DIGEST
        + DIGEST
        1 row of 4 changed: row 3
      key DIGEST
    ");
    let whole: serde_json::Value =
        serde_json::from_str(&world.ok(&["explain", "judge", "-f", "p.yaml", "--json"])).unwrap();
    let differences = &whole["stages"][0]["why"]["differences"];
    assert_eq!(
        differences[1]["behind"],
        serde_json::json!(["1 row of 4 changed: row 3"])
    );
    // What the explanation rests on is no waste, and stays as long as the run does.
    let stats: serde_json::Value =
        serde_json::from_str(&world.ok(&["cache", "stats", "--json"])).unwrap();
    assert_eq!(stats["unrecorded_blobs"], 0);
    world.ok(&["cache", "gc", "--apply"]);
    assert!(
        world
            .ok(&["explain", "judge", "-f", "p.yaml"])
            .contains("old.csv is gone")
    );
}
