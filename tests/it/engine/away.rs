//! Stages and parts that other machines carry out: the same bytes, whatever goes wrong on the way.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use netsec::base::outcome::StageOutcome;
use netsec::event::EventKind;
use netsec::lineage::record::ActionRecord;
use proptest::prelude::*;

use crate::loopback_runner::Loopback;
use crate::toy::{Ran, registry, run, run_away};
use crate::world::World;

const PIPELINE: &str = "stages:
  a: { kind: echo, with: { text: one } }
  b: { kind: join, inputs: { x: a.out, f: files, g: one.txt } }
  c: { kind: folder }
  d: { kind: join, inputs: { x: b.out, y: c.out } }
  e: { kind: sums, inputs: { x: b.out, y: c.out }, with: { number: 7 } }
";

fn world() -> World {
    let world = World::new();
    world.write("one.txt", b"one");
    world.write("files/a.txt", b"a");
    world.write("files/b/c.txt", b"c");
    world
}

fn actions(world: &World) -> Vec<ActionRecord> {
    let (ledger, _) = netsec::lineage::sled::open(&world.root().join("cache")).unwrap();
    ledger.actions().unwrap()
}

/// What is recorded of every stage and part, without when and where.
fn records(world: &World) -> BTreeMap<String, ActionRecord> {
    let mut records = BTreeMap::new();
    for mut record in actions(world) {
        record.remote = None;
        record.started_ms = 0;
        record.seconds = 0.0;
        record.host = String::new();
        record.run = netsec::base::name::RunId::new(0, 0);
        let part = record.part.clone().unwrap_or_default();
        records.insert(format!("{} {part}", record.stage), record);
    }
    records
}

fn warnings(ran: &Ran) -> Vec<String> {
    let warning = |kind: &EventKind| match kind {
        EventKind::Warning { message, .. } => Some(message.clone()),
        _ => None,
    };
    ran.events
        .iter()
        .filter_map(|event| warning(&event.kind))
        .collect()
}

#[test]
fn another_machine_gives_the_same_bytes_and_records() {
    let (here, there) = (world(), world());
    let local = run(&here, PIPELINE);
    let loopback = Loopback::new(registry);
    let away = run_away(&there, PIPELINE, &loopback.workers_with(2, true));
    assert!(away.is_all(StageOutcome::Made), "{:?}", away.outcomes());
    assert_eq!(away.digests(), local.digests());
    assert_eq!(records(&there), records(&here));
    assert_eq!(warnings(&away), Vec::<String>::new());
    // Four stages as a whole; of the last one each round in three batches, as much as shares work.
    assert_eq!(loopback.jobs.load(Ordering::SeqCst), 4 + 2 * 3);
    let mut remote = actions(&there);
    remote.retain(|record| record.remote.is_some());
    assert!(remote.iter().all(|record| record.host == "loopback"));
    assert_eq!(remote.len(), 4 + 2 * 7);
    // Nothing is done twice.
    let again = run_away(&there, PIPELINE, &loopback.workers(2));
    assert!(again.is_all(StageOutcome::Reused));
}

#[test]
fn parts_that_are_alike_are_made_for_all_that_ask() {
    let text = "stages:
  a: { kind: echo }
  e: { kind: sums, inputs: { x: a.out }, with: { number: 9, text: alike }, limits: { remote: true } }
";
    let loopback = Loopback::new(registry);
    for jobs in [1, 3] {
        let away = run_away(&World::new(), text, &loopback.workers_with(jobs, true));
        assert_eq!(away.digests(), run(&World::new(), text).digests());
    }
}

#[test]
fn machines_of_another_class_are_left_alone() {
    let mut loopback = Loopback::new(registry);
    loopback.class = "other";
    let away = run_away(&world(), PIPELINE, &loopback.workers(2));
    assert_eq!(away.digests(), run(&world(), PIPELINE).digests());
    let warnings = warnings(&away);
    assert!(
        warnings.iter().any(|line| line.contains("class `other`")),
        "{warnings:?}"
    );
    assert!(loopback.jobs.load(Ordering::SeqCst) <= 2);
}

#[test]
fn a_stage_that_fails_there_has_failed_and_what_it_says_is_told() {
    let text = "stages:\n  a: { kind: fail, with: { how: data } }\n";
    let loopback = Loopback::new(registry);
    let away = run_away(&World::new(), text, &loopback.workers(2));
    let local = run(&World::new(), text);
    assert_eq!(away.error("a"), local.error("a"));
    assert_eq!(loopback.jobs.load(Ordering::SeqCst), 1);
}

#[test]
fn where_machines_are_required_a_stage_fails_that_they_cannot_carry_out() {
    let mut loopback = Loopback::new(registry).faulty(100, 3);
    loopback.required = true;
    let text = "stages:\n  a: { kind: echo }\n  b: { kind: join, inputs: { x: a.out } }\n";
    let away = run_away(&World::new(), text, &loopback.workers(2));
    assert_eq!(away.outcomes(), ["a failed", "b skipped"]);
    let error = away.error("a");
    let told = "the machines of `loopback` did not carry it out, and the pipeline says `remote: { required: true }`: ";
    assert!(error.starts_with(told), "{error}");
    assert_eq!(warnings(&away), Vec::<String>::new());
}

#[test]
fn a_stage_that_is_to_stay_stays() {
    let text = "stages:\n  a: { kind: echo, limits: { remote: false } }\n  b: { kind: seeded }\n";
    let loopback = Loopback::new(registry);
    run_away(&World::new(), text, &loopback.workers(2));
    let tasks = loopback.tasks.lock().unwrap();
    let kinds: Vec<&str> = tasks.iter().map(|task| task.kind.as_str()).collect();
    assert_eq!(kinds, ["seeded"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_goes_wrong_there_nothing_comes_of_it(faults in 5_u64..90, seed: u64, jobs in 1_usize..5, alone: bool) {
        let (here, there) = (world(), world());
        let local = run(&here, PIPELINE);
        let loopback = Loopback::new(registry).faulty(faults, seed);
        let away = run_away(&there, PIPELINE, &loopback.workers_with(jobs, alone));
        prop_assert_eq!(away.digests(), local.digests());
        prop_assert_eq!(records(&there), records(&here));
        prop_assert!(run(&there, PIPELINE).is_all(StageOutcome::Reused));
    }
}
