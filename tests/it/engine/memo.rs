//! Parts of a stage's work that are kept by themselves.

use crate::toy::{Ran, run, run_terms};
use crate::world::World;
use netsec::app::workspace::Workspace;
use netsec::base::outcome::StageOutcome;
use netsec::event::EventKind;
use netsec::lineage::query;

fn text(world: &World, number: u32) -> String {
    let path = world.root().join("ran");
    format!(
        "stages:\n  a: {{ kind: parts, with: {{ number: {number}, path: '{}' }} }}\n",
        path.display()
    )
}

/// The parts that ran since the last look, in order.
fn ran(world: &World) -> Vec<u32> {
    let path = world.root().join("ran");
    let mut lines: Vec<u32> = std::fs::read_to_string(&path)
        .unwrap_or_default()
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    netsec::base::disk::remove_dir(&path).unwrap();
    lines.sort_unstable();
    lines
}

fn told(ran: &Ran) -> usize {
    ran.events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::PartFinished { .. }))
        .count()
}

#[test]
fn a_part_that_is_made_stays_made() {
    let world = World::new();
    let first = run(&world, &text(&world, 3));
    assert_eq!(
        (first.outcome("a"), told(&first), ran(&world)),
        (StageOutcome::Made, 3, vec![0, 1, 2])
    );
    let more = run(&world, &text(&world, 5));
    assert_eq!(
        (more.outcome("a"), told(&more), ran(&world)),
        (StageOutcome::Made, 2, vec![3, 4])
    );
    // Of a stage that fails, the parts that did not fail stay.
    let failed = run_terms(&world, &text(&world, 9), 1, None).unwrap();
    assert_eq!(
        (failed.outcome("a"), failed.error("a").as_str()),
        (StageOutcome::Failed, "part five")
    );
    assert!(ran(&world).is_empty());
    world.write("ran.mended", "");
    let mended = run(&world, &text(&world, 9));
    assert_eq!(
        (mended.outcome("a"), ran(&world)),
        (StageOutcome::Made, vec![5, 6, 7, 8])
    );
    let digest = netsec::base::digest::Digest::of(b"<0><1><2><3><4><5><6><7><8>");
    assert_eq!(mended.digests()["a.out"], digest.hex());
    // A part that is lost is made again, alone.
    let store = netsec::base::digest::Digest::of(b"<7>").hex();
    netsec::base::disk::remove_file(
        &world
            .root()
            .join(format!("cache/blobs/{}/{store}", &store[..2])),
    )
    .unwrap();
    assert_eq!(
        run(&world, &text(&world, 8)).outcome("a"),
        StageOutcome::Made
    );
    assert_eq!(ran(&world), [7]);
}

#[test]
fn the_number_of_jobs_has_no_say_in_what_parts_make() {
    let (one, four) = (World::new(), World::new());
    for world in [&one, &four] {
        world.write("ran.mended", "");
    }
    let alone = run_terms(&one, &text(&one, 9), 1, None).unwrap();
    let beside = run_terms(&four, &text(&four, 9), 4, None).unwrap();
    assert_eq!(alone.digests(), beside.digests());
    assert_eq!(ran(&one), ran(&four));
}

#[test]
fn lineage_leads_through_parts() {
    let world = World::new();
    let done = run(&world, &text(&world, 2));
    let ledger = Workspace::open(world.root())
        .unwrap()
        .reading()
        .unwrap()
        .ledger;
    let trace = query::trace(
        &ledger,
        done.summary.stages[0].outputs[0].digest,
        "a.out",
        None,
    )
    .unwrap();
    let names: Vec<&str> = trace
        .inputs
        .iter()
        .map(|input| input.name.as_str())
        .collect();
    assert_eq!(names, ["a.part-0", "a.part-1"]);
    assert_eq!(trace.inputs[0].action.as_ref().unwrap().kind, "parts/part");
}
