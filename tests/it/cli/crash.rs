//! Processes that are killed, and processes at the same time.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::world::{World, digests, outcomes};

/// A chain of programs beside another: each adds a line to what it was given.
fn chains() -> String {
    let mut text = "stages:\n".to_owned();
    for chain in ["a", "b"] {
        for step in 0..6 {
            let input = if step == 0 {
                String::new()
            } else {
                format!("inputs: {{ before: {chain}{}.out }}, ", step - 1)
            };
            text.push_str(&format!(
                "  {chain}{step}: {{ kind: command, {input}with: {{ run: [sh, -c, 'cat before >out 2>/dev/null; echo {chain}{step} >>out'], outputs: {{ out: out }} }} }}\n"
            ));
        }
    }
    text
}

#[test]
fn killed_at_any_moment_the_next_run_continues_from_there() {
    let clean = World::new();
    clean.write("p.yaml", chains());
    let expected = digests(&clean.run(&["p.yaml"]));
    let world = World::new();
    world.write("p.yaml", chains());
    let mut finished = 0;
    // Ten moments: after so many lines of the log, and a few thousand turns more, so that it is
    // between them.
    for (lines, turns) in [
        (1, 0),
        (2, 4000),
        (3, 900),
        (2, 70_000),
        (4, 0),
        (5, 30_000),
        (3, 1),
        (4, 9000),
        (6, 200),
        (5, 5),
    ] {
        let mut command = world.command(&["run", "p.yaml", "--jobs", "2"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let seen = log.by_ref().take(lines).count();
        (0..turns).for_each(|_| std::hint::spin_loop());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen > 0);
        let verified = world.netsec(&["cache", "verify"]);
        assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
        let stats: serde_json::Value =
            serde_json::from_str(&world.ok(&["cache", "stats", "--json"])).unwrap();
        let actions = stats["actions"].as_u64().unwrap();
        assert!(actions >= finished, "nothing that was finished is lost");
        finished = actions;
    }
    let after = world.run(&["p.yaml"]);
    assert_eq!(after["outcome"], "succeeded");
    assert_eq!(digests(&after), expected);
    let reused = outcomes(&after)
        .iter()
        .filter(|outcome| outcome.ends_with("reused"))
        .count() as u64;
    assert_eq!(reused, finished, "what was finished is not made again");
    assert!(
        outcomes(&world.run(&["p.yaml"]))
            .iter()
            .all(|outcome| outcome.ends_with("reused"))
    );
}

#[test]
fn two_runs_at_once_make_everything_once() {
    let world = World::new();
    world.write("p.yaml", chains());
    let spawn = || {
        world
            .command(&["run", "p.yaml", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (one, two) = (spawn(), spawn());
    let summary = |child: std::process::Child| {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let (one, two) = (summary(one), summary(two));
    assert_eq!(digests(&one), digests(&two));
    let all = [outcomes(&one), outcomes(&two)].concat();
    assert_eq!(
        all.iter()
            .filter(|outcome| outcome.ends_with("made"))
            .count(),
        12
    );
    assert_eq!(
        all.iter()
            .filter(|outcome| outcome.ends_with("reused"))
            .count(),
        12
    );
}

#[test]
fn queries_are_answered_while_a_run_is_going_on() {
    let world = World::new();
    let slow = "stages:\n  quick: { kind: command, with: { run: [echo, hi] } }\n  slow: { kind: command, inputs: { x: quick.stdout }, with: { run: [sleep, '60'] } }\n";
    world.write("p.yaml", slow);
    let mut child = world
        .command(&["run", "p.yaml", "--log-format", "json"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(child.stderr.take().unwrap()).lines();
    let started = log
        .map(Result::unwrap)
        .find(|line| line.contains("stage_started") && line.contains("\"slow\""));
    assert!(started.is_some());
    assert!(world.ok(&["runs"]).contains("not ended"));
    assert!(
        world
            .ok(&["lineage", &netsec::base::digest::Digest::of(b"hi\n").hex()])
            .contains("made by quick (command)")
    );
    assert!(world.ok(&["status", "p.yaml"]).contains("reuse  quick"));
    let busy = world.netsec(&["run", "p.yaml", "--no-wait"]);
    assert_eq!(busy.code, 5);
    assert!(
        busy.stderr.contains("the workspace is held by a run "),
        "{}",
        busy.stderr
    );
    // Asked to end, it stops cleanly, and ends its program with it.
    let pid = rustix_pid(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(world.ok(&["runs"]).contains("cancelled"));
}

#[test]
fn one_stage_of_a_run_is_cancelled_from_outside_and_the_others_go_on() {
    let world = World::new();
    assert!(
        world
            .netsec(&["cancel", "slow"])
            .stderr
            .contains("no run is in progress")
    );
    world.write(
        "p.yaml",
        "
stages:
  slow: { kind: command, matrix: { n: [1, 2] }, with: { run: [sleep, '6${matrix.n}'] } }
  later: { kind: command, inputs: { x: slow.stdout }, with: { run: [cat, port-1] } }
  other: { kind: command, with: { run: [sh, -c, 'sleep 0.1; echo done'] } }
  after: { kind: command, inputs: { x: other.stdout }, with: { run: [cat, x] } }
",
    );
    let args = ["run", "p.yaml", "--jobs", "2", "--log-format", "json"];
    let mut child = world.command(&args).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(log.any(|line| line.contains("stage_started") && line.contains("slow[n=2]")));
    let wrong = world.netsec(&["cancel", "slov"]);
    assert!(
        wrong.code == 2 && wrong.stderr.contains("has no stage `slov`"),
        "{}",
        wrong.stderr
    );
    assert!(
        world
            .netsec(&["cancel", "slow"])
            .stderr
            .starts_with("asked run ")
    );
    assert!(log.any(|line| line.contains("stopping `slow[n=1]` on request")));
    assert_eq!(
        log.filter(|line| line.contains("\"outcome\":\"cancelled\""))
            .count(),
        4,
        "slow twice, later, the run"
    );
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let runs: serde_json::Value = serde_json::from_str(&world.ok(&["runs", "--json"])).unwrap();
    assert_eq!(
        runs[0]["counts"],
        serde_json::json!({"made": 2, "cancelled": 3})
    );
}

fn rustix_pid(child: &std::process::Child) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

/// The processes that carry an environment variable.
pub(crate) fn carriers(variable: &str) -> usize {
    let folders = netsec::base::disk::list(std::path::Path::new("/proc")).unwrap();
    let environments = folders
        .iter()
        .filter_map(|folder| std::fs::read(folder.join("environ")).ok());
    environments
        .filter(|all| {
            all.split(|byte| *byte == 0)
                .any(|one| one == variable.as_bytes())
        })
        .count()
}

/// Whether each supervisor that a process has started leads its process group.
fn groups_of_supervisors(parent: u32) -> Vec<bool> {
    let stats = netsec::base::disk::list(std::path::Path::new("/proc"))
        .unwrap()
        .into_iter()
        .filter_map(|folder| {
            let line = std::fs::read(folder.join("cmdline")).ok()?;
            let is_meant = line.split(|byte| *byte == 0).nth(1) == Some(b"supervise");
            is_meant.then(|| std::fs::read_to_string(folder.join("stat")).ok())?
        });
    let own = |stat: String| {
        let (pid, rest) = stat.split_once(' ')?;
        let fields: Vec<&str> = rest.rsplit_once(") ")?.1.split(' ').collect();
        (fields[1] == parent.to_string()).then(|| fields[2] == pid)
    };
    stats.filter_map(own).collect()
}

#[test]
fn what_a_killed_run_started_ends_with_it() {
    let world = World::new();
    let own = format!("OWN={}", world.root().display());
    // One program stays in its group, one leaves it; both would write once more if they lived.
    world.write(
        "p.yaml",
        format!(
            "stages:\n  a: {{ kind: command, with: {{ run: [sh, -c, 'setsid sleep 601 & sleep 602'], env: {{ OWN: '{}' }} }} }}\n",
            world.root().display()
        ),
    );
    let mut child = world
        .command(&["run", "p.yaml"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("running")));
    while carriers(&own) < 3 {
        std::thread::yield_now();
    }
    // A signal from the terminal reaches the group of the run, and not its supervisors.
    assert_eq!(
        groups_of_supervisors(child.id()),
        [true],
        "a supervisor leads a group of its own"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    // The workspace is free only when all of them are gone.
    world.write(
        "p.yaml",
        "stages: { b: { kind: command, with: { run: [echo, hi] } } }\n",
    );
    assert_eq!(world.run(&["p.yaml"])["outcome"], "succeeded");
    assert_eq!(carriers(&own), 0);
}

/// Twenty runs at once, and readers and sweeps beside them: 100 rounds with `NETSEC_FULL=1`,
/// otherwise two.
#[test]
fn twenty_runs_at_once_with_readers_and_sweeps_beside_lose_nothing() {
    let world = World::new();
    let rounds = if super::matrix::is_full() { 100 } else { 2 };
    let (mut made, mut told, mut looks) = (0, Vec::new(), 0);
    for round in 0..rounds {
        // Half of it is new in every round.
        let changed = chains().replace("echo b0", &format!("echo b0 {round}"));
        world.write("p.yaml", &changed);
        let spawn = |args: &[&str]| {
            world
                .command(args)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let runs: Vec<_> = (0..20)
            .map(|_| spawn(&["run", "p.yaml", "--json"]))
            .collect();
        let readers: Vec<_> = (0..10)
            .map(|at| {
                let args = [
                    ["cache", "verify", "--json"].as_slice(),
                    &["runs", "-n", "5"],
                    &["status", "p.yaml"],
                    &["cache", "verify"],
                    &["cache", "gc", "--keep-runs", "3", "--apply"],
                ][at % 5];
                (args, spawn(args))
            })
            .collect();
        for run in runs {
            let output = run.wait_with_output().unwrap();
            assert!(
                output.status.success(),
                "{round}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            made += outcomes(&summary)
                .iter()
                .filter(|outcome| outcome.ends_with("made"))
                .count();
            told.push(summary["run"].as_str().unwrap().to_owned());
        }
        for (args, reader) in readers {
            let output = reader.wait_with_output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            assert!(
                output.status.success(),
                "{round}, {args:?}: {}",
                String::from_utf8_lossy(&said)
            );
            looks += 1;
        }
        let verified = world.netsec(&["cache", "verify"]);
        assert_eq!(
            verified.code, 0,
            "{round}: {}{}",
            verified.stdout, verified.stderr
        );
    }
    // A chain of six is new in each round, the other one only in the first. What a sweep took is
    // made again.
    assert!(made >= 6 * (rounds + 1) && looks == 10 * rounds, "{made}");
    let listed = world.ok(&["runs", "-n", "100000"]);
    let lost: Vec<_> = told
        .iter()
        .filter(|run| !listed.contains(run.as_str()))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} runs: {lost:?}",
        lost.len(),
        told.len()
    );
}

#[test]
fn a_clock_that_goes_back_does_not_turn_the_order_of_runs() {
    let world = World::new();
    world.write(
        "p.yaml",
        "stages: { a: { kind: command, with: { run: [echo, one] } } }\n",
    );
    let first = world.run(&["p.yaml"])["run"].as_str().unwrap().to_owned();
    // As if the latest run had been made by a clock far ahead.
    world.write(
        "cache/runs/20990101-000000-00000.records",
        "netsec-journal-1\n",
    );
    world.write("cache/latest", "20990101-000000-00000");
    let text = "stages: { a: { kind: command, with: { run: [echo, two] } } }\n";
    world.write("p.yaml", text);
    let second = world.run(&["p.yaml"])["run"].as_str().unwrap().to_owned();
    assert!(
        first < second && second.as_str() > "20990101-000000-00000",
        "{first} {second}"
    );
    let listed = world.ok(&["runs"]);
    assert!(listed.find(&second) < listed.find(&first), "{listed}");
    assert!(world.ok(&["status", "p.yaml"]).starts_with("reuse"));
}

#[test]
fn a_workspace_that_cannot_be_written_can_still_be_asked() {
    let world = World::new();
    world.write("p.yaml", chains());
    world.run(&["p.yaml"]);
    let root = world.root().to_str().unwrap();
    let protect = |mode: &str| {
        let done = std::process::Command::new("chmod")
            .args(["-R", mode, root])
            .status()
            .unwrap();
        assert!(done.success());
    };
    // The administrator may write anywhere: then it is asked as somebody else.
    let is_root = rustix::process::geteuid().is_root();
    let program = env!("CARGO_BIN_EXE_netsec");
    let copied = world.root().join("netsec");
    // By another process: while this one has the copy open to write, a test beside it may begin a program,
    // which keeps the file busy for a moment.
    let done = std::process::Command::new("cp")
        .arg(program)
        .arg(&copied)
        .status();
    assert!(done.unwrap().success());
    protect("a-w,a+rX");
    let ask = |args: &[&str]| {
        let mut command = match is_root {
            true => {
                let mut command = std::process::Command::new("setpriv");
                command
                    .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
                    .arg(&copied);
                command
            }
            false => std::process::Command::new(&copied),
        };
        command
            .args(["-C", root])
            .args(args)
            .current_dir("/")
            .output()
    };
    let answers: Vec<_> = [
        ["runs", "-n3"].as_slice(),
        &["status", "p.yaml"],
        &["lineage", "a5.out"],
        &["cat", "a5.out"],
        &["cache", "stats"],
    ]
    .iter()
    .map(|args| (args[0], ask(args)))
    .collect();
    let run = ask(&["run", "p.yaml"]);
    protect("u+rwX");
    for (what, answer) in answers {
        let Ok(answer) = answer else {
            crate::world::skip("setpriv is not installed");
            return;
        };
        assert!(
            answer.status.success(),
            "{what}: {}",
            String::from_utf8_lossy(&answer.stderr)
        );
        assert!(!answer.stdout.is_empty(), "{what}");
    }
    let run = run.unwrap();
    assert_eq!(
        run.status.code(),
        Some(5),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
}
