//! What runs, what is reused, and why.

use crate::toy::{load, run, run_with};
use crate::world::World;
use netsec::app::workspace::{AppError, RunRequest, Workspace};
use netsec::base::cancel::Cancel;
use netsec::base::outcome::StageOutcome;
use netsec::event::EventKind;
use netsec::plan::decide::{RunReason, Verdict};

const CHAIN: &str = "
stages:
  a: { kind: echo, with: { text: hello } }
  b: { kind: length, inputs: { x: a.out } }
  c: { kind: join, inputs: { x: b.out } }
";

#[test]
fn the_second_run_runs_nothing() {
    let world = World::new();
    assert_eq!(
        run(&world, CHAIN).outcomes(),
        ["a made", "b made", "c made"]
    );
    let again = run(&world, CHAIN);
    assert_eq!(again.outcomes(), ["a reused", "b reused", "c reused"]);
    assert!(
        !again
            .events
            .iter()
            .any(|event| matches!(event.kind, EventKind::StageStarted { .. }))
    );
}

#[test]
fn an_unchanged_output_stops_the_wave() {
    let world = World::new();
    run(&world, CHAIN);
    let same_length = CHAIN.replace("hello", "world");
    assert_eq!(
        run(&world, &same_length).outcomes(),
        ["a made", "b made", "c reused"]
    );
}

#[test]
fn going_back_reuses_what_was_made_before() {
    let world = World::new();
    run(&world, CHAIN);
    run(&world, &CHAIN.replace("hello", "goodbye"));
    assert_eq!(
        run(&world, CHAIN).outcomes(),
        ["a reused", "b reused", "c reused"]
    );
}

#[test]
fn neither_names_nor_comments_nor_order_are_part_of_a_key() {
    let world = World::new();
    run(&world, CHAIN);
    let renamed = "
# another file in all but meaning
stages:
  last: { kind: join, inputs: { x: middle.out } }
  middle: { kind: length, inputs: { x: first.out } }
  first: { with: { number: 0, text: 'hello' }, kind: echo }
";
    assert_eq!(
        run(&world, renamed).outcomes(),
        ["last reused", "middle reused", "first reused"]
    );
}

#[test]
fn the_seed_is_an_ingredient_of_seeded_kinds_only() {
    let world = World::new();
    let text = "seed: 1\nstages:\n  a: { kind: seeded }\n  b: { kind: echo }\n";
    run(&world, text);
    assert_eq!(
        run(&world, &text.replace("seed: 1", "seed: 2")).outcomes(),
        ["a made", "b reused"]
    );
}

#[test]
fn a_plan_tells_what_a_run_would_do_and_why() {
    let world = World::new();
    run(&world, CHAIN);
    let loaded = load(&world, &CHAIN.replace("hello", "goodbye"));
    let plan = Workspace::open(world.root())
        .unwrap()
        .plan(&loaded, &RunRequest::default())
        .unwrap();
    let Verdict::Run(RunReason::Changed { differences }) = &plan.decisions[&0].verdict else {
        panic!("{plan:?}")
    };
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].name, "with.text");
    assert_eq!(differences[0].before.as_deref(), Some("\"hello\""));
    assert_eq!(differences[0].after.as_deref(), Some("\"goodbye\""));
    assert!(
        matches!(&plan.decisions[&1].verdict, Verdict::Wait(stages) if stages[0].as_str() == "a")
    );
}

#[test]
fn forced_stages_run_and_the_rest_is_reused() {
    let world = World::new();
    run(&world, CHAIN);
    let wish = RunRequest {
        only: vec!["b".to_owned()],
        force: true,
        ..RunRequest::default()
    };
    let ran = run_with(&world, CHAIN, &wish, 2, &Cancel::new()).unwrap();
    assert_eq!(ran.outcomes(), ["b made"]);
}

#[test]
fn only_refuses_what_is_not_up_to_date() {
    let world = World::new();
    let wish = RunRequest {
        only: vec!["b".to_owned()],
        ..RunRequest::default()
    };
    let refused = run_with(&world, CHAIN, &wish, 2, &Cancel::new());
    let Err(AppError::Report(report)) = refused else {
        panic!("it ran")
    };
    assert!(
        report.plain().contains("`a` is needed, is not up to date"),
        "{}",
        report.plain()
    );
    let until = RunRequest {
        until: vec!["b".to_owned()],
        ..RunRequest::default()
    };
    assert_eq!(
        run_with(&world, CHAIN, &until, 2, &Cancel::new())
            .unwrap()
            .outcomes(),
        ["a made", "b made"]
    );
    let from = RunRequest {
        from: vec!["b".to_owned()],
        ..RunRequest::default()
    };
    assert_eq!(
        run_with(&world, CHAIN, &from, 2, &Cancel::new())
            .unwrap()
            .outcomes(),
        ["b reused", "c made"]
    );
}

#[test]
fn one_worker_or_eight_make_the_same() {
    let wide: String = (0..24)
        .map(|i| format!("  s{i}: {{ kind: echo, with: {{ text: t{i} }} }}\n  j{i}: {{ kind: join, inputs: {{ a: s{i}.out, b: s{}.out }} }}\n", i / 2))
        .collect();
    let text = format!("stages:\n{wide}");
    let of = |jobs| {
        run_with(
            &World::new(),
            &text,
            &RunRequest::default(),
            jobs,
            &Cancel::new(),
        )
        .unwrap()
    };
    let (one, eight) = (of(1), of(8));
    assert_eq!(one.digests(), eight.digests());
    assert_eq!(one.outcomes(), eight.outcomes());
}

#[test]
fn events_are_numbered_and_told_after_they_are_recorded() {
    let world = World::new();
    let ran = run(&world, CHAIN);
    assert!(
        ran.events
            .iter()
            .enumerate()
            .all(|(at, event)| event.seq == at as u64)
    );
    let ledger = Workspace::open(world.root())
        .unwrap()
        .reading()
        .unwrap()
        .ledger;
    for stage in &ran.summary.stages {
        assert_eq!(stage.outcome, StageOutcome::Made);
        let record = ledger.action(&stage.key.unwrap()).unwrap().unwrap();
        assert_eq!(record.outputs, stage.outputs);
        assert_eq!(record.netsec, env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn a_directory_is_kept_and_reused() {
    let world = World::new();
    let text = "stages:\n  d: { kind: folder }\n  j: { kind: join, inputs: { d: d.out } }\n";
    let ran = run(&world, text);
    assert_eq!(ran.outcomes(), ["d made", "j made"]);
    assert_eq!(run(&world, text).outcomes(), ["d reused", "j reused"]);
    let workspace = Workspace::open(world.root()).unwrap();
    let artifact = &ran.summary.stages[0].outputs[0];
    let files = workspace.fetch(&artifact.digest).unwrap();
    assert_eq!(
        files
            .iter()
            .map(|(path, _)| path.as_str())
            .collect::<Vec<_>>(),
        ["a/b.txt", "c.txt"]
    );
    assert_eq!(artifact.size, 5);
}

#[test]
fn stages_that_are_the_same_action_run_once() {
    let world = World::new();
    let text = "stages:\n  a: { kind: echo }\n  b: { kind: echo }\n  c: { kind: echo }\n  j: { kind: join, inputs: { a: a.out, b: b.out, c: c.out } }\n";
    for jobs in [1, 4] {
        netsec::base::disk::remove_dir(&world.root().join("cache")).unwrap();
        let ran = run_with(&world, text, &RunRequest::default(), jobs, &Cancel::new()).unwrap();
        assert_eq!(ran.outcomes(), ["a made", "b reused", "c reused", "j made"]);
    }
    let failing = "stages:\n  a: { kind: fail }\n  b: { kind: fail }\n";
    assert_eq!(run(&world, failing).outcomes(), ["a failed", "b failed"]);
}
