//! What happens when something goes wrong.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::toy::{Heard, load, run, run_with};
use crate::world::World;
use netsec::app::supervisors::SupervisorPool;
use netsec::app::workspace::{AppError, RunRequest, Workspace};
use netsec::base::cancel::Cancel;
use netsec::base::clock::TickingClock;
use netsec::base::digest::Digest;
use netsec::base::disk::FileLock;
use netsec::base::name::RunId;
use netsec::base::outcome::{FailureClass, RunOutcome, StageOutcome};
use netsec::engine::drive::drive;
use netsec::engine::emitter::EventEmitter;
use netsec::engine::run_setup::{RunSetup, RunSummary};
use netsec::event::{Event, EventKind, Sink};
use netsec::lineage::ledger::Ledger;
use netsec::plan::decide::DecideError;
use netsec::plan::planner::{Planner, SourceFiles};
use netsec::store::blob::{Store, StoreError};
use netsec::store::faulty::FaultyStore;
use netsec::store::memory::MemoryStore;

const FORK: &str = "
stages:
  good: { kind: echo }
  bad: { kind: fail, inputs: { x: good.out } }
  below: { kind: join, inputs: { x: bad.out } }
  lowest: { kind: join, inputs: { x: below.out } }
  apart: { kind: join, inputs: { x: good.out } }
";

#[test]
fn a_failed_stage_fails_only_what_depends_on_it() {
    let world = World::new();
    let ran = run(&world, FORK);
    assert_eq!(
        ran.outcomes(),
        [
            "good made",
            "bad failed",
            "below skipped",
            "lowest skipped",
            "apart made"
        ]
    );
    assert_eq!(ran.summary.outcome, RunOutcome::Failed);
    assert_eq!(ran.error("bad"), "it failed");
    assert_eq!(
        run(&world, FORK).outcomes()[..2],
        ["good reused", "bad failed"]
    );
}

#[test]
fn a_panic_is_a_failure_and_nothing_more() {
    let world = World::new();
    let ran = run(
        &world,
        &FORK.replace("kind: fail,", "kind: fail, with: { how: panic },"),
    );
    assert_eq!(ran.outcome("bad"), StageOutcome::Failed);
    assert!(
        ran.error("bad").contains("a toy panicked"),
        "{}",
        ran.error("bad")
    );
    let class = ran.summary.stages[1].error.as_ref().unwrap().class;
    assert_eq!(class, FailureClass::Fault);
}

#[test]
fn a_stage_that_forgets_an_output_is_not_recorded() {
    let world = World::new();
    let ran = run(&world, "stages:\n  a: { kind: forget }\n");
    assert!(
        ran.error("a").contains("gave no output `out`"),
        "{}",
        ran.error("a")
    );
}

#[test]
fn last_words_of_a_failed_stage_are_kept() {
    let world = World::new();
    let ran = run(&world, "stages:\n  a: { kind: leave }\n");
    let output = &ran.summary.stages[0].outputs[0];
    let files = Workspace::open(world.root())
        .unwrap()
        .fetch(&output.digest)
        .unwrap();
    assert_eq!(files, [(String::new(), b"last words".to_vec())]);
}

#[test]
fn an_input_edited_while_its_stage_runs_is_never_recorded() {
    let world = World::new();
    world.write("in.txt", "before");
    let path = world.root().join("in.txt");
    let text = format!(
        "stages:\n  a: {{ kind: edit, inputs: {{ x: ./in.txt }}, with: {{ path: '{}' }} }}\n",
        path.display()
    );
    let ran = run(&world, &text);
    assert!(
        ran.error("a").contains("changed while the stage ran"),
        "{}",
        ran.error("a")
    );
    let ledger = Workspace::open(world.root())
        .unwrap()
        .reading()
        .unwrap()
        .ledger;
    assert!(ledger.actions().unwrap().is_empty());
}

#[test]
fn a_flipped_byte_in_the_cache_is_never_used() {
    let world = World::new();
    let text = "stages:\n  a: { kind: echo, with: { text: treasure } }\n  b: { kind: join, inputs: { x: a.out } }\n";
    let first = run(&world, text);
    for blob in world.blobs() {
        world.flip(&blob);
        let again = run(&world, text);
        let warned = |event: &Event| matches!(&event.kind, EventKind::Warning { code, message } if code == "store::lost" && message.contains("damaged"));
        assert!(
            again.events.iter().any(warned),
            "the user is told: {:?}",
            again.events
        );
        assert_eq!(again.digests(), first.digests());
        assert_eq!(again.summary.outcome, RunOutcome::Succeeded);
    }
    assert_eq!(
        netsec::base::disk::list(&world.root().join("cache/bad"))
            .unwrap()
            .len(),
        2
    );
    assert_eq!(run(&world, text).outcomes(), ["a reused", "b reused"]);
}

/// A store whose disk loses a blob without its times telling: `has` says yes, the first `get` finds
/// it bad.
struct Rotten {
    inner: MemoryStore,
    rotten: Digest,
    found: AtomicBool,
}

impl Store for Rotten {
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.inner.put(bytes)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush()
    }

    fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        if *digest == self.rotten && !self.found.swap(true, Ordering::SeqCst) {
            self.inner.remove(digest)?;
        }
        self.inner.get(digest)
    }

    fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.inner.has(digest)
    }

    fn list(&self) -> Result<Vec<(Digest, u64)>, StoreError> {
        self.inner.list()
    }

    fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        self.inner.remove(digest)
    }
}

/// Drives a pipeline over a store and a ledger of the test's own.
fn drive_with(
    world: &World,
    text: &str,
    store: Arc<dyn Store>,
    ledger: &Ledger,
) -> Result<(RunSummary, Vec<Event>), DecideError> {
    let loaded = load(world, text);
    let (sources, forced) = (SourceFiles::new(), Default::default());
    let planner = Planner {
        pipeline: &loaded.pipeline,
        graph: &loaded.graph,
        ledger,
        store: store.as_ref(),
        sources: &sources,
        forced: &forced,
    };
    let plan = planner.plan((0..loaded.pipeline.stages.len()).collect())?;
    let clock = TickingClock::from_ms(1_000);
    let heard = Heard::default();
    let mut voice = EventEmitter::new(&clock, vec![Box::new(heard.clone())]);
    let scratch = tempfile::tempdir_in(world.root()).unwrap();
    let setup = RunSetup {
        full: false,
        planner: &planner,
        store: Arc::clone(&store),
        temporary: scratch.path(),
        clock: &clock,
        cancel: &Cancel::new(),
        run: RunId::new(1_000, 0),
        host: "test".to_owned(),
        jobs: 2,
        max_failures: None,
        supervisors: &SupervisorPool::none(),
        shared: None,
        workers: None,
    };
    let summary = drive(&setup, &plan, &mut voice)?;
    let events = heard.0.lock().unwrap().clone();
    Ok((summary, events))
}

#[test]
fn a_blob_that_rotted_unseen_is_made_again_within_the_run() {
    let world = World::new();
    let rotten = Digest::of(b"rots");
    let store = Arc::new(Rotten {
        inner: MemoryStore::default(),
        rotten,
        found: AtomicBool::new(true),
    });
    let ledger = Ledger::in_memory();
    let first = "stages:\n  a: { kind: echo, with: { text: rots } }\n";
    drive_with(&world, first, Arc::clone(&store) as Arc<dyn Store>, &ledger).unwrap();
    store.found.store(false, Ordering::SeqCst);
    let both = "stages:\n  a: { kind: echo, with: { text: rots } }\n  b: { kind: join, inputs: { x: a.out } }\n";
    let (summary, events) = drive_with(&world, both, store, &ledger).unwrap();
    assert_eq!(summary.outcome, RunOutcome::Succeeded, "{summary:?}");
    let outcomes: Vec<StageOutcome> = summary.stages.iter().map(|stage| stage.outcome).collect();
    assert_eq!(
        outcomes,
        [StageOutcome::Made, StageOutcome::Made],
        "what was reused at first was made after all"
    );
    assert!(events.iter().any(
        |event| matches!(&event.kind, EventKind::Warning { code, .. } if code == "store::lost")
    ));
}

#[test]
fn many_users_of_a_rotten_directory_are_all_served() {
    let world = World::new();
    let store = Arc::new(Rotten {
        inner: MemoryStore::default(),
        rotten: Digest::of(b"rots"),
        found: AtomicBool::new(true),
    });
    let ledger = Ledger::in_memory();
    let first = "stages:\n  d: { kind: folder, with: { text: rots } }\n";
    drive_with(&world, first, Arc::clone(&store) as Arc<dyn Store>, &ledger).unwrap();
    store.found.store(false, Ordering::SeqCst);
    let mut many = first.to_owned();
    for i in 0..6 {
        many.push_str(&format!(
            "  j{i}: {{ kind: join, inputs: {{ d: d.out }}, with: {{ text: t{i} }} }}\n"
        ));
    }
    let (summary, _) = drive_with(&world, &many, store, &ledger).unwrap();
    assert_eq!(
        summary.outcome,
        RunOutcome::Succeeded,
        "{:?}",
        summary.stages
    );
}

#[test]
fn what_was_lost_and_cannot_be_made_again_fails_what_needs_it() {
    let world = World::new();
    world.write("tries", "try\ntry\ntry\n");
    let store = Arc::new(Rotten {
        inner: MemoryStore::default(),
        rotten: Digest::of(b"at last"),
        found: AtomicBool::new(true),
    });
    let ledger = Ledger::in_memory();
    let mut text = format!(
        "stages:\n  x: {{ kind: flaky, with: {{ path: {} }} }}\n",
        world.root().join("tries").display()
    );
    drive_with(&world, &text, Arc::clone(&store) as Arc<dyn Store>, &ledger).unwrap();
    store.found.store(false, Ordering::SeqCst);
    world.write("tries", "");
    // Two of them are the same action.
    for (id, more) in [("a", "one"), ("b", "one"), ("c", "other")] {
        text.push_str(&format!(
            "  {id}: {{ kind: join, inputs: {{ x: x.out }}, with: {{ text: {more} }} }}\n"
        ));
    }
    let (summary, _) = drive_with(&world, &text, store, &ledger).unwrap();
    assert_eq!(summary.outcome, RunOutcome::Failed);
    let outcomes: Vec<StageOutcome> = summary.stages.iter().map(|stage| stage.outcome).collect();
    assert_eq!(
        outcomes,
        [
            StageOutcome::Failed,
            StageOutcome::Skipped,
            StageOutcome::Skipped,
            StageOutcome::Skipped
        ]
    );
}

#[test]
fn every_store_call_may_fail_and_the_next_run_mends() {
    let text = "stages:\n  a: { kind: echo }\n  b: { kind: join, inputs: { x: a.out } }\n  c: { kind: folder }\n";
    let clean = drive_with(
        &World::new(),
        text,
        Arc::new(MemoryStore::default()),
        &Ledger::in_memory(),
    )
    .unwrap()
    .0;
    let mut faults = 0;
    for calls in 0.. {
        let world = World::new();
        let ledger = Ledger::in_memory();
        let store = Arc::new(FaultyStore::after(MemoryStore::default(), calls));
        let broken = drive_with(&world, text, Arc::clone(&store) as Arc<dyn Store>, &ledger);
        if let Ok((summary, _)) = &broken
            && !store.has_failed()
        {
            assert_eq!(summary.outcome, RunOutcome::Succeeded, "{summary:?}");
            break;
        }
        faults += 1;
        for record in ledger.actions().unwrap() {
            for output in &record.outputs {
                assert!(
                    store.get(&output.digest).is_ok(),
                    "whatever is recorded is in the store"
                );
            }
        }
        let (mended, _) = drive_with(&world, text, store, &ledger).unwrap();
        assert_eq!(mended.outcome, RunOutcome::Succeeded, "after {calls} calls");
        let outputs = |summary: &RunSummary| {
            summary
                .stages
                .iter()
                .flat_map(|stage| stage.outputs.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(outputs(&mended), outputs(&clean));
    }
    assert!(faults >= 5, "the story makes more calls than {faults}");
}

#[test]
fn a_run_that_is_stopped_keeps_what_is_finished() {
    /// Stops the run when the stage that never ends has begun.
    struct Stop(Cancel);
    impl Sink for Stop {
        fn take(&mut self, event: &Event) -> Result<(), String> {
            if matches!(&event.kind, EventKind::StageStarted { kind, .. } if kind == "wait") {
                self.0.cancel();
            }
            Ok(())
        }
    }
    let world = World::new();
    let text = "stages:\n  a: { kind: echo }\n  w: { kind: wait, inputs: { x: a.out } }\n  z: { kind: join, inputs: { x: w.out } }\n";
    let loaded = load(&world, text);
    let cancel = Cancel::new();
    let terms = netsec::app::workspace::RunOptions {
        max_failures: None,
        program: None,
        jobs: 2,
        wait: false,
        shared: None,
        workers: None,
        cancel: &cancel,
        waiting: &|_| {},
        sinks: &|_: &Path| Ok(vec![Box::new(Stop(cancel.clone())) as Box<dyn Sink>]),
    };
    let workspace = Workspace::open(world.root()).unwrap();
    let summary = workspace
        .run(&loaded, &RunRequest::default(), &terms)
        .unwrap();
    assert_eq!(summary.outcome, RunOutcome::Cancelled);
    let outcomes: Vec<StageOutcome> = summary.stages.iter().map(|stage| stage.outcome).collect();
    assert_eq!(
        outcomes,
        [
            StageOutcome::Made,
            StageOutcome::Cancelled,
            StageOutcome::Cancelled
        ]
    );
    assert_eq!(
        workspace.reading().unwrap().ledger.actions().unwrap().len(),
        1
    );
}

#[test]
fn a_sink_that_fails_is_dropped_and_the_run_goes_on() {
    struct Broken;
    impl Sink for Broken {
        fn take(&mut self, _: &Event) -> Result<(), String> {
            Err("the disk is full".to_owned())
        }
    }
    let world = World::new();
    let loaded = load(&world, "stages:\n  a: { kind: echo }\n");
    let heard = Heard::default();
    let sinks = heard.clone();
    let terms = netsec::app::workspace::RunOptions {
        max_failures: None,
        program: None,
        jobs: 1,
        wait: false,
        shared: None,
        workers: None,
        cancel: &Cancel::new(),
        waiting: &|_| {},
        sinks: &|_: &Path| {
            Ok(vec![
                Box::new(Broken) as Box<dyn Sink>,
                Box::new(sinks.clone()),
            ])
        },
    };
    let summary = Workspace::open(world.root())
        .unwrap()
        .run(&loaded, &RunRequest::default(), &terms)
        .unwrap();
    assert_eq!(summary.outcome, RunOutcome::Succeeded, "{summary:?}");
    let warnings = heard
        .0
        .lock()
        .unwrap()
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Warning { .. }))
        .count();
    assert_eq!(warnings, 1);
}

#[test]
fn a_held_workspace_says_who_holds_it_and_can_still_be_read() {
    let world = World::new();
    run(&world, FORK);
    let path = world.root().join("cache/lock");
    let mut lock = FileLock::try_take(&path).unwrap().unwrap();
    lock.describe(&path, "run X (process 1 on there)").unwrap();
    let refused = run_with(&world, FORK, &RunRequest::default(), 1, &Cancel::new());
    assert!(
        matches!(refused, Err(AppError::Busy(holder)) if holder == "run X (process 1 on there)")
    );
    // What is read needs neither lock nor database, and is what the database says.
    let read = Workspace::open(world.root()).unwrap().reading().unwrap();
    drop(lock);
    let (database, _) = netsec::lineage::sled::open(&world.root().join("cache")).unwrap();
    let actions = database.actions().unwrap();
    assert_eq!(read.ledger.actions().unwrap(), actions);
    assert_eq!(actions.len(), 2);
    assert_eq!(read.ledger.runs().unwrap(), database.runs().unwrap());
}

#[test]
fn a_damaged_database_is_set_aside_and_rebuilt() {
    let world = World::new();
    let before = run(&world, FORK);
    world.write("cache/ledger/db", vec![0x5a; 700]);
    world.write("cache/ledger/conf", "nonsense");
    let read = || {
        Workspace::open(world.root())
            .unwrap()
            .reading()
            .unwrap()
            .ledger
            .actions()
            .unwrap()
            .len()
    };
    assert_eq!(
        (read(), read()),
        (2, 2),
        "readers are served from the journals and hide nothing"
    );
    let after = run(&world, FORK);
    assert!(after.events.iter().any(
        |event| matches!(&event.kind, EventKind::Warning { code, .. } if code == "ledger::rebuilt")
    ));
    assert_eq!(after.outcome("good"), StageOutcome::Reused);
    assert_eq!(after.digests()["apart.out"], before.digests()["apart.out"]);
    assert!(world.root().join("cache/bad/ledger-1").exists());
    // A run that ends before its first commit leaves nothing that could hide the loss.
    let missing = "stages:\n  a: { kind: join, inputs: { x: ./nowhere } }\n";
    assert!(run_with(&world, missing, &RunRequest::default(), 1, &Cancel::new()).is_err());
    netsec::base::disk::remove_dir(&world.root().join("cache/ledger")).unwrap();
    assert_eq!(
        run(&world, FORK).outcome("good"),
        StageOutcome::Reused,
        "a database that is gone is rebuilt too"
    );
}
