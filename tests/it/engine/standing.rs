//! A run that needs no plan: when it is taken, and when it is not.

use crate::toy::{load, run};
use crate::world::World;
use netsec::app::workspace::{Overrides, RunOptions, RunRequest, Workspace};
use netsec::base::cancel::Cancel;
use netsec::base::outcome::{RunOutcome, StageOutcome};
use netsec::plan::up_to_date::RunSpec;

/// Whether a run of which this is asked would be cut short.
fn is_known(world: &World, choices: &Overrides) -> bool {
    let cancel = Cancel::new();
    let asked = RunSpec {
        file: "toy.yaml",
        terms: &RunRequest::default().terms(choices),
    };
    let workspace = Workspace::open(world.root()).unwrap();
    let summary = workspace
        .run_unchanged(&asked, &RunOptions::quiet(1, &cancel))
        .unwrap();
    summary.is_some_and(|summary| summary.outcome == RunOutcome::Succeeded)
}

/// Waits until a change of what was just written would show.
fn calm(world: &World) {
    let path = world.root().join("toy.yaml");
    let written = std::fs::metadata(path).unwrap().modified().unwrap();
    while written.elapsed().unwrap_or_default().as_millis() < 150 {
        std::thread::yield_now();
    }
}

const TEXT: &str = "\
stages:
  a: { kind: join, inputs: { x: ./f, d: ./dir } }
  b: { kind: folder, inputs: { x: a.out } }
";

fn ready() -> World {
    let world = World::new();
    world.write("f", "one");
    world.write("dir/x", "1");
    run(&world, TEXT);
    calm(&world);
    // The file of the pipeline is written anew by each run of a toy: run it without.
    let loaded = Workspace::open(world.root())
        .unwrap()
        .load(
            "toy.yaml",
            &Overrides::default(),
            &crate::toy::registry(),
            &|_| None,
        )
        .unwrap_or_else(|error| panic!("{error}"));
    let cancel = Cancel::new();
    Workspace::open(world.root())
        .unwrap()
        .run(
            &loaded,
            &RunRequest::default(),
            &RunOptions::quiet(1, &cancel),
        )
        .unwrap();
    world
}

#[test]
fn what_is_as_it_was_is_told_without_a_plan_and_recorded() {
    let world = ready();
    assert!(is_known(&world, &Overrides::default()) && is_known(&world, &Overrides::default()));
    let ledger = Workspace::open(world.root())
        .unwrap()
        .reading()
        .unwrap()
        .ledger;
    let runs = ledger.runs().unwrap();
    assert_eq!(runs.len(), 4);
    let last = ledger.run(&runs[3].run).unwrap().unwrap();
    assert_eq!(last.unchanged_since, Some(runs[1].run.clone()));
    let outcomes: Vec<StageOutcome> = last.stages.iter().map(|stage| stage.outcome).collect();
    assert_eq!(
        (outcomes, last.counts),
        (
            vec![StageOutcome::Reused; 2],
            [(StageOutcome::Reused, 2)].into()
        )
    );
}

/// What is changed, and how.
type Change = (&'static str, fn(&World));

#[test]
fn any_change_that_could_matter_asks_for_a_plan() {
    let other = Overrides {
        sets: vec!["x=1".to_owned()],
        ..Overrides::default()
    };
    assert!(!is_known(&ready(), &other), "something else is asked");
    let changes: [Change; 7] = [
        ("a file", |world| world.write("f", "two")),
        ("a file, its bytes as before", |world| {
            world.write("f", "one")
        }),
        ("the pipeline", |world| world.write("toy.yaml", TEXT)),
        ("a file more in a folder", |world| world.write("dir/y", "2")),
        ("a blob", |world| world.flip(&world.blobs()[0])),
        ("a blob that is gone", |world| {
            std::fs::remove_file(&world.blobs()[0]).unwrap()
        }),
        ("another run that made something", |world| {
            let loaded = load(world, "stages: { c: { kind: echo } }");
            drop(loaded);
            run(world, "stages: { c: { kind: echo } }");
            world.write("toy.yaml", TEXT);
        }),
    ];
    for (what, change) in changes {
        let world = ready();
        assert!(is_known(&world, &Overrides::default()));
        change(&world);
        assert!(!is_known(&world, &Overrides::default()), "{what}");
    }
}

#[test]
fn a_memory_that_is_damaged_is_no_memory() {
    let world = ready();
    let folder = world.root().join("cache/standing");
    let file = netsec::base::disk::list(&folder).unwrap().remove(0);
    let bytes = std::fs::read(&file).unwrap();
    let name = file
        .strip_prefix(world.root())
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    for length in [0, 7, 31, 40, bytes.len() - 64, bytes.len() - 1] {
        world.write(&name, &bytes[..length]);
        assert!(
            !is_known(&world, &Overrides::default()),
            "{length} of {} bytes",
            bytes.len()
        );
    }
    world.write(&name, &bytes);
    assert!(is_known(&world, &Overrides::default()));
}
