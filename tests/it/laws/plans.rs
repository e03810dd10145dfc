//! What a plan says is what a run does, whatever happened to the workspace before.

use proptest::prelude::*;

use crate::toy::{load, run};
use crate::world::World;
use netsec::app::workspace::{RunOptions, RunRequest, Workspace};
use netsec::base::cancel::Cancel;
use netsec::base::outcome::StageOutcome;
use netsec::plan::decide::Verdict;
use netsec::plan::up_to_date::RunSpec;

/// What may happen between two runs.
#[derive(Clone, Debug)]
enum Change {
    /// A parameter has another value.
    Text(usize, u8),
    /// A file has other bytes.
    File(usize, u8),
    /// A file is touched.
    Touch(usize),
    /// A blob is gone.
    Lose(prop::sample::Index),
    /// A byte of a blob is another.
    Flip(prop::sample::Index),
    /// A stage is forced.
    Force,
    /// Nothing.
    Nothing,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..3_usize, 0..3_u8).prop_map(|(at, to)| Change::Text(at, to)),
        (0..2_usize, 0..3_u8).prop_map(|(at, to)| Change::File(at, to)),
        (0..2_usize).prop_map(Change::Touch),
        any::<prop::sample::Index>().prop_map(Change::Lose),
        any::<prop::sample::Index>().prop_map(Change::Flip),
        Just(Change::Force),
        Just(Change::Nothing),
    ]
}

/// A diamond over two files, with a stage that may stop the wave and one that may fail.
fn text(words: &[u8; 3]) -> String {
    format!(
        "stages:\n  a: {{ kind: join, inputs: {{ x: ./f0 }}, with: {{ text: t{} }} }}\n  b: {{ kind: echo, inputs: {{ x: ./f1 }}, with: {{ text: t{} }} }}\n  l: {{ kind: length, inputs: {{ x: a.out, y: b.out }} }}\n  e: {{ kind: join, inputs: {{ x: l.out }}, with: {{ text: t{} }} }}\n  d: {{ kind: folder, inputs: {{ x: a.out }}, with: {{ text: t{} }} }}\n  z: {{ kind: join, inputs: {{ x: d.out, y: e.out }} }}\n",
        words[0], words[1], words[2], words[0]
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_a_plan_says_is_what_a_run_does(changes in prop::collection::vec(change(), 1..8)) {
        let world = World::new();
        let mut words = [0; 3];
        world.write("f0", "0");
        world.write("f1", "0");
        run(&world, &text(&words));
        for change in changes {
            let blobs = world.blobs();
            let mut wish = RunRequest::default();
            match &change {
                Change::Text(at, to) => words[*at] = *to,
                Change::File(at, to) => world.write(&format!("f{at}"), to.to_string()),
                Change::Touch(at) => {
                    let path = world.root().join(format!("f{at}"));
                    let bytes = std::fs::read(&path).unwrap();
                    world.write(&format!("f{at}"), bytes);
                }
                Change::Lose(at) => std::fs::remove_file(&blobs[at.index(blobs.len())]).unwrap(),
                Change::Flip(at) => world.flip(&blobs[at.index(blobs.len())]),
                Change::Force => wish.force = true,
                Change::Nothing => {}
            }
            let loaded = load(&world, &text(&words));
            let workspace = Workspace::open(world.root()).unwrap();
            let plan = workspace.plan(&loaded, &wish).unwrap();
            let cancel = Cancel::new();
            let terms = RunOptions::quiet(2, &cancel);
            let asked = RunSpec { file: "toy.yaml", terms: &wish.terms(&loaded.choices) };
            let short = if wish.force { None } else { workspace.run_unchanged(&asked, &terms).unwrap() };
            let all_reused = plan.decisions.values().all(|decision| matches!(decision.verdict, Verdict::Reuse(_)));
            prop_assert!(short.is_none() || all_reused, "a run was cut short although {change:?}");
            let summary = workspace.run(&loaded, &wish, &terms).unwrap();
            for (at, stage) in summary.stages.iter().enumerate() {
                let said = &plan.decisions[&at].verdict;
                let is_true = match said {
                    Verdict::Reuse(record) => stage.outcome == StageOutcome::Reused && stage.key == Some(record.key),
                    Verdict::Run(_) => stage.outcome == StageOutcome::Made,
                    Verdict::Wait(_) => matches!(stage.outcome, StageOutcome::Made | StageOutcome::Reused),
                };
                prop_assert!(is_true, "{change:?}: `{}` was {:?}, and the plan said {said:?}", stage.id, stage.outcome);
            }
            // And what is there afterwards is what a workspace without a past would have.
            let fresh = World::new();
            for file in ["f0", "f1"] {
                fresh.write(file, std::fs::read(world.root().join(file)).unwrap());
            }
            let clean = run(&fresh, &text(&words));
            let digests = |stages: &[netsec::event::StageResult]| -> Vec<_> {
                stages.iter().flat_map(|stage| stage.outputs.iter().map(|output| output.digest)).collect()
            };
            prop_assert_eq!(digests(&summary.stages), digests(&clean.summary.stages), "{:?}", change);
        }
    }
}
