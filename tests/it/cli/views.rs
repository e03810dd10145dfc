//! A run seen afterwards and beforehand: replay, timeline, graph, watch.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::world::{World, redact};

const TEXT: &str = "\
stages:
  slow: { kind: command, with: { run: [sh, -c, 'sleep 0.2; echo slow'] } }
  quick: { kind: command, with: { run: [echo, quick] } }
  both: { kind: command, inputs: { a: slow.stdout, b: quick.stdout }, with: { run: [cat, a, b] } }
  bad: { kind: command, inputs: { a: both.stdout }, with: { run: ['false'] } }
";

#[test]
fn a_run_is_told_again_as_it_was_told() {
    let world = World::new();
    world.write("p.yaml", TEXT);
    let told = world.netsec(&["run", "p.yaml", "--jobs", "1"]);
    assert_eq!(world.ok(&["replay"]), told.stderr);
    let events = world.ok(&["replay", "--json"]);
    assert!(events.lines().count() > 8 && events.lines().all(|line| line.starts_with("{\"v\":1")));
    assert_eq!(world.netsec(&["replay", "20200101-000000-00000"]).code, 2);
}

#[test]
fn a_timeline_marks_what_the_run_waited_for() {
    let world = World::new();
    world.write("p.yaml", TEXT);
    world.netsec(&["run", "p.yaml", "--jobs", "2"]);
    let timeline: serde_json::Value =
        serde_json::from_str(&world.ok(&["timeline", "--format", "json"])).unwrap();
    let bars = timeline["bars"].as_array().unwrap();
    let critical: Vec<&str> = bars
        .iter()
        .filter(|bar| bar["critical"] == true)
        .map(|bar| bar["id"].as_str().unwrap())
        .collect();
    // Which of the first two ended last is the machine's affair.
    assert_eq!(critical[1..], ["both", "bad"]);
    assert!(bars.iter().all(|bar| bar["lane"].as_u64().unwrap() < 4));
    world.ok(&["timeline", "-o", "t.html"]);
    let page = std::fs::read_to_string(world.root().join("t.html")).unwrap();
    assert!(
        page.contains("<svg")
            && page.contains("on the critical path")
            && !page.contains("http-equiv")
    );
    assert!(
        world
            .ok(&["timeline", "--format", "svg"])
            .starts_with("<svg")
    );
}

#[test]
fn a_drawing_shows_what_a_run_would_do() {
    let world = World::new();
    world.write("p.yaml", TEXT);
    world.ok(&["run", "p.yaml", "--until", "both"]);
    let page = world.ok(&["graph", "p.yaml", "--format", "html"]);
    assert!(
        page.contains("3 to reuse (green), 1 to run (orange), 0 wait"),
        "{page}"
    );
    let titles: Vec<String> = redact(&page, world.root())
        .split("<title>")
        .skip(2)
        .map(|rest| rest.split("</title>").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        titles,
        [
            "slow: reuse – made by run RUN",
            "quick: reuse – made by run RUN",
            "both: reuse – made by run RUN",
            "bad: run – no record of it yet"
        ]
    );
    assert!(world.ok(&["graph", "p.yaml"]).contains("s_slow"));
}

#[test]
fn a_watched_pipeline_runs_again_when_a_file_changes() {
    let world = World::new();
    world.write("in.txt", "one");
    let text = |word: &str| {
        format!(
            "stages:\n  a: {{ kind: {word}, inputs: {{ x: ./in.txt }}, with: {{ run: [cat, x] }} }}\n"
        )
    };
    world.write("p.yaml", text("command"));
    let mut child = world
        .command(&["watch", "p.yaml", "--rounds", "4"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut until = |word: &str| {
        let seen = lines.by_ref().find(|line| line.contains(word));
        assert!(seen.is_some(), "no `{word}` any more");
    };
    until("watching");
    world.write("in.txt", "two, and longer");
    until("made      a");
    until("watching");
    // A pipeline that is wrong is told, and waited for.
    world.write("p.yaml", text("comand"));
    until("there is no kind `comand`");
    until("watching");
    world.write("p.yaml", text("command"));
    until("reused    a");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
