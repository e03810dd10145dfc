//! The champion: moved with evidence, compared with what it replaced, never twice for the same reason.

use netsec::app::workspace::Workspace;
use netsec::base::digest::Digest;
use netsec::base::name::RefName;
use netsec::base::outcome::Outcome;

use crate::toy::run;
use crate::world::World;

fn pipeline(text: &str) -> String {
    format!(
        "stages:\n  m: {{ kind: echo, with: {{ text: '{text}' }} }}\n  j: {{ kind: judge, inputs: {{ model: m.out, champion: 'ref:champion/toy' }} }}\n"
    )
}

fn champion(world: &World) -> Option<Digest> {
    let ledger = Workspace::open(world.root()).unwrap().reading().unwrap().ledger;
    ledger.reference(&RefName::new("champion/toy").unwrap()).unwrap().current()
}

#[test]
fn the_first_is_accepted_and_a_rerun_runs_nothing() {
    let world = World::new();
    assert_eq!(run(&world, &pipeline("b")).outcomes(), ["m made", "j made"]);
    assert_eq!(champion(&world), Some(Digest::of(b"b")));
    assert_eq!(run(&world, &pipeline("b")).outcomes(), ["m reused", "j reused"]);
}

#[test]
fn a_better_one_replaces_it_and_a_worse_one_does_not() {
    let world = World::new();
    run(&world, &pipeline("b"));
    assert_eq!(run(&world, &pipeline("a")).outcome("j"), Outcome::Made);
    assert_eq!(champion(&world), Some(Digest::of(b"b")));
    assert_eq!(run(&world, &pipeline("a")).outcome("j"), Outcome::Reused, "a refusal is remembered");
    run(&world, &pipeline("c"));
    assert_eq!(champion(&world), Some(Digest::of(b"c")));
    assert_eq!(run(&world, &pipeline("c")).outcome("j"), Outcome::Reused);
    assert_eq!(run(&world, &pipeline("b")).outcome("j"), Outcome::Made, "b is now compared with c");
    assert_eq!(champion(&world), Some(Digest::of(b"c")));
}

#[test]
fn a_reused_decision_moves_the_pointer_of_this_pipeline() {
    let world = World::new();
    run(&world, &pipeline("b"));
    let other = pipeline("b").replace("champion/toy", "champion/other");
    assert_eq!(run(&world, &other).outcome("j"), Outcome::Reused);
    let ledger = Workspace::open(world.root()).unwrap().reading().unwrap().ledger;
    let state = ledger.reference(&RefName::new("champion/other").unwrap()).unwrap();
    assert_eq!(state.current(), Some(Digest::of(b"b")));
    let evidence = ledger.action(&state.moves[0].evidence).unwrap().unwrap();
    assert_eq!(evidence.kind, "judge");
}
