//! What other machines made and what stays with them until it is read here.

use std::sync::atomic::Ordering;

use netsec::app::gc::RetentionRule;
use netsec::app::workspace::{RunOptions, Workspace};
use netsec::base::cancel::Cancel;
use netsec::base::outcome::StageOutcome;
use netsec::store::blob::Store;
use proptest::prelude::*;

use crate::loopback_runner::Loopback;
use crate::toy::{registry, run, run_away};
use crate::world::{World, noise, open_store};

/// How many bytes the file has, and so each output.
const BYTES: usize = 2 << 20;

const FAR: &str = "stages:
  a: { kind: join, inputs: { x: ./f } }
  b: { kind: join, inputs: { x: a.out } }
  c: { kind: join, inputs: { x: b.out, y: a.out } }
";

/// The last stage reads here what the others made.
const NEAR: &str = "stages:
  a: { kind: join, inputs: { x: ./f } }
  b: { kind: join, inputs: { x: a.out } }
  c: { kind: join, inputs: { x: b.out, y: a.out }, limits: { remote: false } }
";

fn world() -> World {
    let world = World::new();
    world.write("f", noise(1, BYTES));
    world
}

fn machines() -> Loopback {
    let mut loopback = Loopback::new(registry);
    loopback.leaves = true;
    loopback
}

/// How many bytes are here.
fn bytes(world: &World) -> u64 {
    let listed = open_store(world).list().unwrap();
    listed.iter().map(|(_, size)| size).sum()
}

#[test]
fn nothing_comes_here_that_nobody_here_reads() {
    let world = world();
    let loopback = machines();
    let away = run_away(&world, FAR, &loopback.workers(2));
    assert!(away.is_all(StageOutcome::Made));
    assert_eq!(away.digests(), run(&self::world(), FAR).digests());
    assert!(bytes(&world) < 10_000, "{}", bytes(&world));
    assert_eq!(loopback.brought.load(Ordering::SeqCst), 0);
    // It is as good as here: nothing is made again, with the machines or without.
    for again in [
        run_away(&world, FAR, &loopback.workers(2)),
        run(&world, FAR),
    ] {
        assert!(again.is_all(StageOutcome::Reused));
    }
    let workspace = Workspace::open(world.root()).unwrap();
    let verified = workspace.verify(false).unwrap();
    assert!(verified.bad.is_empty(), "{verified:?}");
    let stats = workspace.stats().unwrap();
    assert_eq!(stats.away_blobs, 3);
    assert!(stats.away_bytes > 4 * BYTES as u64);
}

#[test]
fn what_a_stage_here_reads_is_brought_once() {
    let world = world();
    let loopback = machines();
    let away = run_away(&world, NEAR, &loopback.workers(2));
    assert!(away.is_all(StageOutcome::Made));
    assert_eq!(away.digests(), run(&self::world(), NEAR).digests());
    assert_eq!(loopback.brought.load(Ordering::SeqCst), 2);
    assert!(bytes(&world) > 4 * BYTES as u64);
}

#[test]
fn what_is_gone_there_is_made_again() {
    let world = world();
    let loopback = machines();
    let first = run_away(&world, FAR, &loopback.workers(2));
    loopback.forget();
    // Nobody reads it: whether it is there still, nobody asks.
    assert!(run_away(&world, FAR, &loopback.workers(2)).is_all(StageOutcome::Reused));
    let near = run_away(
        &world,
        &NEAR.replace("y: a.out", "z: a.out"),
        &loopback.workers(2),
    );
    assert!(
        near.summary
            .stages
            .iter()
            .all(|stage| stage.outcome.is_success())
    );
    let again = run(&world, FAR);
    assert_eq!(again.digests(), first.digests());
    assert_eq!(again.outcome("c"), StageOutcome::Reused);
}

#[test]
fn a_server_that_does_not_answer_stops_no_run() {
    let loopback = machines();
    let expected = run(&world(), NEAR).digests();
    for with_machines in [true, false] {
        let world = world();
        run_away(&world, FAR, &loopback.workers(2));
        loopback.is_silent.store(true, Ordering::SeqCst);
        let ran = match with_machines {
            true => run_away(&world, NEAR, &loopback.workers(2)),
            // Nobody in this run speaks to the server.
            false => run(&world, NEAR),
        };
        // The same action: where it is carried out is no part of its key.
        assert!(ran.is_all(StageOutcome::Reused));
        let other = NEAR.replace("y: a.out", "z: a.out");
        let ran = match with_machines {
            true => run_away(&world, &other, &loopback.workers(2)),
            false => run(&world, &other),
        };
        let made = ran.digests();
        assert_eq!(ran.summary.stages.len(), 3);
        assert!(
            ran.summary
                .stages
                .iter()
                .all(|stage| stage.outcome.is_success()),
            "{:?} {:#?}",
            ran.outcomes(),
            ran.events
        );
        assert_eq!(made["a.out"], expected["a.out"]);
        assert_eq!(made["b.out"], expected["b.out"]);
        loopback.is_silent.store(false, Ordering::SeqCst);
    }
}

#[test]
fn a_sweep_drops_what_nobody_needs_there_too() {
    let world = world();
    let loopback = machines();
    run_away(&world, FAR, &loopback.workers(2));
    world.write("f", noise(2, BYTES));
    run_away(&world, FAR, &loopback.workers(2));
    let workspace = Workspace::open(world.root()).unwrap();
    // What took no time there is made here.
    assert_eq!(workspace.stats().unwrap().away_blobs, 3);
    let rule = RetentionRule {
        runs: 1,
        days: None,
        bytes: None,
    };
    let cancel = Cancel::new();
    workspace
        .sweep(&rule, &RunOptions::quiet(1, &cancel))
        .unwrap();
    assert_eq!(workspace.stats().unwrap().away_blobs, 0);
    assert!(run(&world, FAR).is_all(StageOutcome::Reused));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Whatever goes wrong on the way, and whatever the server loses between two runs, the bytes are
    /// those of a run here.
    #[test]
    fn whatever_goes_wrong_the_bytes_are_those_of_a_run_here(seed in any::<u64>(), loses in any::<bool>()) {
        let world = world();
        let mut loopback = machines().faulty(30, seed);
        loopback.leaves = true;
        let first = run_away(&world, FAR, &loopback.workers(2));
        prop_assert_eq!(first.digests(), run(&self::world(), FAR).digests());
        if loses {
            loopback.forget();
        }
        world.write("f", noise(3, BYTES));
        let changed = run_away(&world, NEAR, &loopback.workers(2));
        world.write("f", noise(1, BYTES));
        let back = run_away(&world, NEAR, &loopback.workers(2));
        prop_assert_eq!(back.digests(), first.digests());
        prop_assert_ne!(changed.digests(), first.digests());
    }
}
