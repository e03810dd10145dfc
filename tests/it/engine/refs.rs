//! The champion: moved with evidence, compared with what it replaced, never twice for the same
//! reason.

use crate::toy::{run, run_with};
use crate::world::World;
use netsec::app::workspace::{RunOptions, RunRequest, Workspace};
use netsec::base::artifact::ContentRef;
use netsec::base::cancel::Cancel;
use netsec::base::digest::Digest;
use netsec::base::name::RefName;
use netsec::base::outcome::StageOutcome;
use netsec::event::EventKind;
use netsec::lineage::refs::{ManualEvidence, RefEvidence};

fn pipeline(text: &str) -> String {
    format!(
        "stages:\n  m: {{ kind: echo, with: {{ text: '{text}' }} }}\n  j: {{ kind: judge, inputs: {{ model: m.out, champion: 'ref:champion/toy' }} }}\n"
    )
}

fn champion(world: &World) -> Option<Digest> {
    let ledger = Workspace::open(world.root())
        .unwrap()
        .reading()
        .unwrap()
        .ledger;
    ledger
        .reference(&RefName::new("champion/toy").unwrap())
        .unwrap()
        .current()
        .map(|content| content.digest)
}

#[test]
fn the_first_is_accepted_and_a_rerun_runs_nothing() {
    let world = World::new();
    assert_eq!(run(&world, &pipeline("b")).outcomes(), ["m made", "j made"]);
    assert_eq!(champion(&world), Some(Digest::of(b"b")));
    assert_eq!(
        run(&world, &pipeline("b")).outcomes(),
        ["m reused", "j reused"]
    );
}

#[test]
fn a_better_one_replaces_it_and_a_worse_one_does_not() {
    let world = World::new();
    run(&world, &pipeline("b"));
    assert_eq!(run(&world, &pipeline("a")).outcome("j"), StageOutcome::Made);
    assert_eq!(champion(&world), Some(Digest::of(b"b")));
    assert_eq!(
        run(&world, &pipeline("a")).outcome("j"),
        StageOutcome::Reused,
        "a refusal is remembered"
    );
    run(&world, &pipeline("c"));
    assert_eq!(champion(&world), Some(Digest::of(b"c")));
    assert_eq!(
        run(&world, &pipeline("c")).outcome("j"),
        StageOutcome::Reused
    );
    assert_eq!(
        run(&world, &pipeline("b")).outcome("j"),
        StageOutcome::Made,
        "b is now compared with c"
    );
    assert_eq!(champion(&world), Some(Digest::of(b"c")));
}

#[test]
fn a_reused_decision_moves_the_pointer_of_this_pipeline() {
    let world = World::new();
    run(&world, &pipeline("b"));
    let other = pipeline("b").replace("champion/toy", "champion/other");
    assert_eq!(run(&world, &other).outcome("j"), StageOutcome::Reused);
    let ledger = Workspace::open(world.root())
        .unwrap()
        .reading()
        .unwrap()
        .ledger;
    let state = ledger
        .reference(&RefName::new("champion/other").unwrap())
        .unwrap();
    let expected = ContentRef::bytes(Digest::of(b"b"));
    assert_eq!(state.current(), Some(expected));
    let key = state.moves[0].evidence.action().unwrap();
    let evidence = ledger.action(&key).unwrap().unwrap();
    assert_eq!(evidence.kind, "judge");
}

#[test]
fn two_challengers_of_one_run_meet_one_after_the_other() {
    for jobs in [1, 2, 4] {
        two_challengers(jobs);
    }
}

/// They meet in the order of the plan, however many stages run at once.
fn two_challengers(jobs: usize) {
    let world = World::new();
    let both = "stages:
  weak: { kind: echo, with: { text: 'b' } }
  strong: { kind: echo, with: { text: 'c' } }
  js: { kind: judge, inputs: { model: strong.out, champion: 'ref:champion/toy' } }
  jw: { kind: judge, inputs: { model: weak.out, champion: 'ref:champion/toy' } }
";
    // Both models are there before: the plan of the second run is made before either is judged.
    let models = RunRequest {
        until: vec!["weak".to_owned(), "strong".to_owned()],
        ..RunRequest::default()
    };
    run_with(&world, both, &models, jobs, &Cancel::new()).unwrap();
    let ran = run_with(&world, both, &RunRequest::default(), jobs, &Cancel::new()).unwrap();
    assert_eq!(
        ran.outcomes(),
        ["weak reused", "strong reused", "js made", "jw made"]
    );
    assert_eq!(
        champion(&world),
        Some(Digest::of(b"c")),
        "the weak one met the strong one and lost"
    );
    assert_eq!(
        run(&world, both).outcomes()[2..],
        ["js reused", "jw reused"]
    );
}

#[test]
fn only_what_a_stage_made_can_become_champion() {
    let world = World::new();
    world.write("model.bin", "from elsewhere");
    let text = "stages:\n  j: { kind: judge, inputs: { model: ./model.bin, champion: 'ref:champion/toy' } }\n";
    let ran = run(&world, text);
    assert!(
        ran.error("j")
            .contains("only what a stage made can be pointed at"),
        "{}",
        ran.error("j")
    );
    assert_eq!(champion(&world), None);
}

fn word(why: &str) -> ManualEvidence {
    ManualEvidence {
        who: "someone".to_owned(),
        why: why.to_owned(),
        attestation: None,
    }
}

#[test]
fn a_rollback_stands_until_the_stage_decides_again() {
    let world = World::new();
    run(&world, &pipeline("b"));
    run(&world, &pipeline("c"));
    assert_eq!(champion(&world), Some(Digest::of(b"c")));
    let workspace = Workspace::open(world.root()).unwrap();
    let name = RefName::new("champion/toy").unwrap();
    let cancel = Cancel::new();
    let terms = RunOptions::quiet(1, &cancel);
    let step = workspace
        .roll_back(&name, word("it misses scans"), &terms)
        .unwrap();
    assert_eq!(step.to.unwrap().digest, Digest::of(b"b"));
    let ran = run(&world, &pipeline("c"));
    assert_eq!(ran.outcome("j"), StageOutcome::Reused);
    assert_eq!(
        champion(&world),
        Some(Digest::of(b"b")),
        "by a person's word"
    );
    let warning = ran.events.iter().find_map(|event| match &event.kind {
        EventKind::Warning { code, message } if code == "ref::kept" => Some(message.clone()),
        _ => None,
    });
    insta::assert_snapshot!(warning.unwrap(), @"`champion/toy` stays where someone put it (it misses scans): `netsec run --only j --force` lets the stage decide again");
    let again = RunRequest {
        only: vec!["j".to_owned()],
        force: true,
        ..RunRequest::default()
    };
    run_with(&world, &pipeline("c"), &again, 1, &Cancel::new()).unwrap();
    assert_eq!(
        champion(&world),
        Some(Digest::of(b"c")),
        "it was asked again"
    );
}

#[test]
fn a_promotion_by_hand_needs_a_reason_and_something_that_a_stage_made() {
    let world = World::new();
    run(&world, &pipeline("b"));
    run(&world, &pipeline("a"));
    world.write("file.txt", "x");
    let workspace = Workspace::open(world.root()).unwrap();
    let name = RefName::new("champion/toy").unwrap();
    let cancel = Cancel::new();
    let terms = RunOptions::quiet(1, &cancel);
    let refused = |target: &str, why: &str| {
        let found = workspace.find_named(target);
        let refused =
            found.and_then(|(found, _)| workspace.promote(&name, &found, word(why), None, &terms));
        refused.unwrap_err().to_string()
    };
    insta::assert_snapshot!(refused("m.out", " "), @"say who decides it (`--by NAME`) and why (`--why TEXT`): both stand in the history for good");
    insta::assert_snapshot!(refused("m.nothing", "x"), @"nothing is known of `m.nothing`: name a stage's output (`train.model`), a file, a `ref:` or at least four digits of a digest");
    let step = workspace
        .promote(
            &name,
            &workspace.find_named("m.out").unwrap().0,
            word("known to be right"),
            None,
            &terms,
        )
        .unwrap();
    assert_eq!(step.from.map(|from| from.digest), Some(Digest::of(b"b")));
    assert_eq!(champion(&world), Some(Digest::of(b"a")));
    insta::assert_snapshot!(refused("m.out", "x"), @"`champion/toy` points at 17762fddd969 already");
    let ledger = workspace.reading().unwrap().ledger;
    let state = ledger.reference(&name).unwrap();
    assert_eq!(state.moves.len(), 2);
    assert_eq!(
        state.moves[1].evidence,
        RefEvidence::Manual(word("known to be right"))
    );
}
