//! Limits of stages and runs: retries, time, what there is of the machine, how many may fail.

use crate::toy::{Ran, run, run_terms, run_with, try_load};
use crate::world::World;
use netsec::app::workspace::{AppError, RunRequest, Workspace};
use netsec::base::cancel::Cancel;
use netsec::base::outcome::{RunOutcome, StageOutcome};
use netsec::event::EventKind;

fn retries(ran: &Ran) -> Vec<String> {
    let warning = |kind: &EventKind| match kind {
        EventKind::Warning { code, message } if code == "stage::retry" => Some(message.clone()),
        _ => None,
    };
    ran.events
        .iter()
        .filter_map(|event| warning(&event.kind))
        .collect()
}

#[test]
fn a_stage_that_fails_is_tried_again_and_then_it_is_as_if_it_had_not() {
    let world = World::new();
    let path = world.root().join("tries");
    let text = |retries: u32| {
        format!(
            "stages:\n  a: {{ kind: flaky, limits: {{ retries: {retries}, backoff_seconds: 0 }}, with: {{ path: {} }} }}\n  b: {{ kind: join, inputs: {{ x: a.out }} }}\n",
            path.display()
        )
    };
    let failed = run(&world, &text(1));
    assert_eq!(failed.outcomes(), ["a failed", "b skipped"]);
    assert_eq!(
        retries(&failed),
        ["`a` failed, attempt 2 of 2 in 0 s: after 0"]
    );
    let passed = run(&world, &text(5));
    assert_eq!(passed.outcomes(), ["a made", "b made"]);
    assert_eq!(
        retries(&passed),
        ["`a` failed, attempt 2 of 6 in 0 s: after 2"]
    );
    assert_eq!(
        run(&world, &text(0)).outcomes(),
        ["a reused", "b reused"],
        "limits are no part of the key"
    );
}

#[test]
fn bad_data_is_not_tried_again() {
    let world = World::new();
    let ran = run(
        &world,
        "stages: { a: { kind: fail, limits: { retries: 3 }, with: { how: data } } }",
    );
    assert_eq!(
        (ran.outcomes(), retries(&ran).len()),
        (vec!["a failed".to_owned()], 0)
    );
}

#[test]
fn a_stage_that_takes_too_long_is_ended_and_the_rest_goes_on() {
    let world = World::new();
    let text = "stages:\n  slow: { kind: wait, limits: { timeout_seconds: 0.05 } }\n  b: { kind: join, inputs: { x: slow.out } }\n  c: { kind: echo }\n";
    let ran = run(&world, text);
    assert_eq!(ran.outcomes(), ["slow failed", "b skipped", "c made"]);
    assert_eq!(
        ran.error("slow"),
        "timed out after 0.05 s (`limits.timeout_seconds`)"
    );
}

#[test]
fn no_more_run_at_once_than_there_is_for_them() {
    let world = World::new();
    let folder = world.root().join("now");
    let most = |limits: &str, stage: &str| {
        netsec::base::disk::remove_dir(&world.root().join("cache")).unwrap();
        let text = format!(
            "{limits}stages:\n  s: {{ kind: count, matrix: {{ n: [1, 2, 3, 4, 5, 6, 7, 8] }}, {stage} with: {{ path: '{}' }} }}\n",
            folder.display()
        );
        // Each has to be an action of its own.
        let text = text.replace(
            "kind: count,",
            "kind: count, inputs: { x: 'f${matrix.n}' },",
        );
        (1..=8).for_each(|n| world.write(&format!("f{n}"), n.to_string()));
        let ran = run(&world, &text);
        assert_eq!(ran.summary.outcome, RunOutcome::Succeeded);
        let ledger = Workspace::open(world.root()).unwrap();
        let digests: Vec<_> = ran
            .summary
            .stages
            .iter()
            .map(|stage| stage.outputs[0].digest)
            .collect();
        let count = |digest| {
            String::from_utf8(ledger.fetch(digest).unwrap()[0].1.clone())
                .unwrap()
                .parse::<u32>()
                .unwrap()
        };
        digests.iter().map(count).max().unwrap()
    };
    assert!(most("", "") <= 4, "four jobs");
    assert!(most("", "limits: { cpus: 2 },") <= 2);
    assert_eq!(most("", "limits: { cpus: 99 },"), 1);
    assert_eq!(
        most(
            "limits: { slots: { gpu: 1 } }\n",
            "limits: { slots: { gpu: 1 } },"
        ),
        1
    );
    assert!(most("limits: { memory_mb: 100 }\n", "limits: { memory_mb: 40 },") <= 2);
}

#[test]
fn a_slot_nobody_declared_is_a_problem() {
    let world = World::new();
    let text = "limits: { slots: { gpu: 1 } }\nstages: { a: { kind: echo, limits: { slots: { gpv: 1 }, retries: -1, what: 2 } } }\n";
    let Err(AppError::Report(report)) = try_load(&world, text) else {
        panic!("a report")
    };
    let plain = report.plain();
    assert!(
        plain.contains("`limits.slots` has no `gpv` (did you mean `gpu`?)"),
        "{plain}"
    );
    assert!(
        plain.contains("there is no parameter `what`") && plain.contains("found `-1`"),
        "{plain}"
    );
}

#[test]
fn after_so_many_failures_nothing_more_is_begun() {
    let world = World::new();
    let text = "stages:\n  a: { kind: fail }\n  b: { kind: echo, with: { text: b } }\n  c: { kind: fail, with: { how: data } }\n  d: { kind: echo, with: { text: d } }\n  e: { kind: echo, with: { text: e } }\n  f: { kind: join, inputs: { x: e.out } }\n";
    let all = run_with(&world, text, &RunRequest::default(), 1, &Cancel::new()).unwrap();
    assert_eq!(
        all.outcomes(),
        [
            "a failed", "b made", "c failed", "d made", "e made", "f made"
        ]
    );
    netsec::base::disk::remove_dir(&world.root().join("cache")).unwrap();
    let first = run_terms(&world, text, 1, Some(1)).unwrap();
    assert_eq!(first.summary.outcome, RunOutcome::Failed);
    assert_eq!(first.outcome("a"), StageOutcome::Failed);
    // What was handed out already, two stages for each job, may still be through.
    assert!(
        ["d", "f"]
            .iter()
            .all(|id| first.outcome(id) == StageOutcome::Skipped),
        "{:?}",
        first.outcomes()
    );
    assert_eq!(
        first.error("f"),
        "not started: `--max-failures` was reached (1 failed)"
    );
    let second = run_terms(&world, text, 1, Some(2)).unwrap();
    assert_eq!(second.outcome("c"), StageOutcome::Failed);
}

#[test]
fn what_the_rest_waits_for_longest_goes_first() {
    let world = World::new();
    // Of two that are ready, `late` has more below it.
    let text = "stages:\n  early: { kind: echo, with: { text: early } }\n  late: { kind: echo, with: { text: late } }\n  below: { kind: join, inputs: { x: late.out } }\n  end: { kind: join, inputs: { x: below.out } }\n";
    let ran = run_with(&world, text, &RunRequest::default(), 1, &Cancel::new()).unwrap();
    let started = ran.events.iter().filter_map(|event| match &event.kind {
        EventKind::StageStarted { stage, .. } => Some(stage.to_string()),
        _ => None,
    });
    assert_eq!(started.take(2).collect::<Vec<_>>(), ["late", "early"]);
}
